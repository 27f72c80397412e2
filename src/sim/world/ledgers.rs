//! The warehouse's disk put back to an earlier state, or lost and restored from a backup; and what its mend is.
//!
//! A disk is put back when all else has healed, so that whoever has seen more of the ledger can say so: an older copy must
//! not serve while a peer that knows better is there. Where the warehouse ends since it is another ledger than the
//! market's, what its hint says is done: the newest copy is put in its place; if that is refused as well, the ledger is
//! restored above what is named. The traders' disks may be lost at the same moment, as long as somebody else knows of what
//! the copy lacks. Restores come at any time, from backups of any age, also twice from the same one.

use std::collections::BTreeSet;

use super::{Event, World};
use crate::journal::{MemoryDisk, restore_by_hand};
use crate::limits::WITNESSES_MAX_MS;
use crate::model::message::Message;
use crate::model::peer::entry::Entry;
use crate::model::row::Record;
use crate::model::step::{Exit, Input};
use crate::sim::chance::Chance;
use crate::sim::check::{self, Failure};
use crate::sim::disks::Disk;
use crate::sim::engine::View;
use crate::sim::faults::Aim;
use crate::sim::marks::Mark;
use crate::sim::network::Process;
use crate::sim::queue::{MS, Moment};
use crate::types::{Generation, PeerId, Seq, node_name};

/// Exit code of a store that must not be served.
const NOT_TO_BE_SERVED: i32 = 7;
/// What a hint says before the generation above which to restore.
const ABOVE: &str = "--above ";

/// Copies of the warehouse's disk.
#[derive(Default)]
pub(super) struct Ledgers {
    /// What is to be put back, and whether the traders' disks are lost with it.
    old: Option<(MemoryDisk, bool)>,
    /// What was there before that.
    newest: Option<MemoryDisk>,
    /// An older copy was put in its place.
    was_put_back: bool,
    /// The generation and the last row of that copy.
    copied: (u64, Seq),
    /// The last backup.
    backup: Option<MemoryDisk>,
    /// Each restore: its generation, and the first sequence that is lost.
    restored: Vec<(Generation, Seq)>,
    /// The last row of an older copy that had gone on from there before it was found out.
    forked: Option<Seq>,
    /// Whom an older copy should hear before it writes anything.
    witnesses: Witnesses,
}

/// Peers that the copy knows, and that have seen more than it holds. Others may come too late, and what the copy writes
/// until then is lost with it.
#[derive(Default)]
struct Witnesses {
    /// They have not said hello to it.
    unheard: BTreeSet<PeerId>,
    /// It need not wait for them any longer.
    until: Moment,
}

impl Ledgers {
    pub(super) fn were_restored(&self) -> bool {
        !self.restored.is_empty()
    }

    /// An older copy had gone on before it was found out: what it wrote is gone with it.
    pub(super) fn were_forked(&self) -> bool {
        self.forked.is_some()
    }

    /// Whether a restore lost what a ledger of that generation held at that row, or an older copy wrote it. A restore may
    /// count lower than one before it, where nobody is left who remembers that one.
    pub(super) fn has_lost(&self, generation: Generation, seq: Seq) -> bool {
        let own = self.restored.iter().rposition(|(restored, _)| *restored == generation);
        let later = &self.restored[own.map_or(0, |own| own + 1)..];
        self.forked.is_some_and(|last| seq > last) || later.iter().any(|(_, from)| seq >= *from)
    }
}

impl World {
    /// Keeps a copy of the warehouse's disk, if it is the first one.
    pub(super) fn keep_ledger(&mut self, alone: bool) -> bool {
        let first = self.ledgers.old.is_none() && self.nodes[0].has_lived();
        if first {
            self.ledgers.old = Some((self.nodes[0].disk.copy(), alone));
        }
        first
    }

    /// The copy that was kept, if any, takes the place of the warehouse's disk.
    pub(super) fn put_ledger_back(&mut self) {
        let Some((old, alone)) = self.ledgers.old.take() else { return };
        let mut lost: Vec<usize> =
            Aim::Traders.nodes(self.seats()).into_iter().map(|id| id as usize).collect();
        if self.nodes[0].is_alive() {
            self.kill(0, 0);
        }
        self.queue.put(self.queue.now().after(10 * MS), Event::Start(PeerId::WAREHOUSE));
        let (newest, (present, _)) = (self.nodes[0].disk.copy(), end(&self.nodes[0].disk));
        self.nodes[0].disk.put_back(&old);
        self.ledgers.copied = end(&self.nodes[0].disk);
        // A restore that looked at no other store may count lower than one before it. A copy of that earlier one is then the
        // later ledger for everybody.
        let is_later = self.ledgers.copied.0 > present;
        if is_later || self.knowing_more().next().is_none() {
            return self.nodes[0].disk.put_back(&newest);
        }
        (self.ledgers.newest, self.ledgers.was_put_back) = (Some(newest), true);
        if !alone || self.knowing_more().all(|peer| lost.contains(&(peer.0 as usize))) {
            lost.clear();
        }
        for at in lost {
            self.replace_store(at, 0, Disk::wipe);
        }
        self.expect_witnesses();
    }

    /// The peers whose stores have anything of what the copy lacks: the ledger's end, or an answer, which must not be there
    /// without what proves it. There must be one. Otherwise the whole market is put back with the copy, and nothing in the
    /// world could tell: two peers trade and are the traders, the others have not come yet, and after the copy the two are
    /// told more; or all disks hang, and who was told ends before any of it is on its disk.
    fn knowing_more(&self) -> impl Iterator<Item = PeerId> {
        let copied = self.ledgers.copied;
        let tells = move |entry: &Entry| match entry {
            Entry::LedgerSeen { generation, seq, .. } => (generation.count, *seq) > copied,
            Entry::Answered { told, seen, .. } => {
                told.iter().any(|told| told.seq > copied.1)
                    || seen.as_ref().is_some_and(|seen| (seen.generation.count, seen.seq) > copied)
            }
            _ => false,
        };
        self.nodes[1..]
            .iter()
            .filter(move |node| check::journal(&node.disk).iter().any(&tells))
            .map(|node| node.id)
    }

    /// The older copy that was put in place has to wait for those that it knows.
    fn expect_witnesses(&mut self) {
        let knowing: BTreeSet<PeerId> = self.knowing_more().collect();
        let rows = check::ledger(&self.nodes[0].disk).unwrap_or_default();
        let known = rows.iter().filter_map(|(record, _)| match record {
            Record::Session { peer, .. } => Some(*peer),
            _ => None,
        });
        let unheard = known.filter(|peer| knowing.contains(peer)).collect();
        self.ledgers.witnesses = Witnesses { unheard, until: self.queue.now().after(WITNESSES_MAX_MS * MS) };
    }

    /// Something arrives at the warehouse.
    pub(super) fn ledger_hears(&mut self, input: &Input) {
        if let Input::Said(_, Message::ControlUp(up)) = input
            && let Some(hello) = &up.hello
        {
            self.ledgers.witnesses.unheard.remove(&hello.peer);
        }
    }

    /// # Errors
    /// An older copy of the ledger went on before it had heard those that know better.
    pub(super) fn ledger_waits(&self) -> Result<(), Failure> {
        let Witnesses { unheard, until } = &self.ledgers.witnesses;
        let Some(peer) = unheard.first().filter(|_| self.queue.now() < *until) else { return Ok(()) };
        match self.nodes[0].view() {
            Some(View::Market(market)) if market.seq > self.ledgers.copied.1 => {
                let why = format!(
                    "an older copy wrote row {} and had not heard peer {peer}, which has seen more",
                    market.seq
                );
                Err(Failure::new("fork", why))
            }
            _ => Ok(()),
        }
    }

    /// A backup is taken now, unless the last one is to be used again; later the warehouse's disk is lost.
    pub(super) fn plan_restore(&mut self, lasts: u64, chance: &mut Chance) -> bool {
        if !self.nodes[0].has_lived() {
            return false;
        }
        let again = chance.one_in(3) && self.ledgers.backup.is_some();
        if !again {
            // A backup of a stopped store reads what the disk has, as a start does.
            if !self.nodes[0].is_alive() {
                self.nodes[0].disk.drop_pages();
            }
            self.ledgers.backup = Some(self.nodes[0].disk.copy());
        }
        let (at_hand, random) = (chance.one_in(2), chance.between(1, u64::MAX));
        self.queue.put(self.queue.now().after(lasts), Event::Restore { at_hand, random });
        true
    }

    /// The warehouse's disk is lost, and the backup restored; with or without a look at the other stores.
    pub(super) fn restore_backup(&mut self, at_hand: bool, random: u64) {
        let Some(backup) = self.ledgers.backup.clone() else { return };
        let above = if at_hand { self.generation_seen() } else { 0 };
        self.restore(&backup, above, random);
    }

    /// The highest generation that a peer's store knows.
    fn generation_seen(&self) -> u64 {
        let seen = |node: &crate::sim::node::Node| match node.view()? {
            View::Peer(state) => Some(state.ledger_seen.generation.count),
            View::Market(market) => Some(market.generation.count),
        };
        self.nodes.iter().filter_map(seen).max().unwrap_or_default()
    }

    fn restore(&mut self, from: &MemoryDisk, above: u64, random: u64) {
        if self.nodes[0].is_alive() {
            self.kill(0, 10 * MS);
        } else {
            self.queue.put(self.queue.now().after(10 * MS), Event::Start(PeerId::WAREHOUSE));
        }
        let wall = self.queue.now().wall(0);
        let Some((disk, generation, lost_from)) = restore_by_hand(from, above, random, wall) else { return };
        self.trace_text(
            PeerId::WAREHOUSE,
            "restored",
            &format!("generation {generation}, lost from row {lost_from}"),
        );
        self.ledgers.restored.push((generation, lost_from));
        self.nodes[0].disk.put_back(&disk);
        self.marks.mark(Mark::Restored);
    }

    /// A process has ended itself.
    ///
    /// # Errors
    /// Nothing that went wrong is a reason for that.
    pub(super) fn exited(&mut self, from: Process, exit: &Exit) -> Result<(), Failure> {
        let known = self.ledgers.was_put_back || !self.ledgers.restored.is_empty();
        if (from.node, exit.code, known) != (PeerId::WAREHOUSE, NOT_TO_BE_SERVED, true) {
            let why = format!("{} exits with {}: {}", node_name(from.node), exit.code, exit.what);
            return Err(Failure::new("exit", why));
        }
        self.marks.mark(Mark::OlderCopyRefused);
        self.ledgers.witnesses = Witnesses::default();
        self.kill(0, 10 * MS);
        match self.ledgers.newest.take() {
            Some(newest) => {
                let ((_, copy), (_, here)) = (self.ledgers.copied, end(&self.nodes[0].disk));
                self.ledgers.forked = Some(copy).filter(|last| here > *last);
                self.nodes[0].disk.put_back(&newest);
            }
            None => {
                let copy = self.nodes[0].disk.copy();
                self.restore(&copy, named_above(&exit.hint), self.queue.now().0);
            }
        }
        Ok(())
    }
}

/// The generation and the last row of the ledger on a disk.
fn end(disk: &Disk) -> (u64, Seq) {
    let rows = check::ledger(disk).unwrap_or_default();
    let generation = rows.iter().rev().find_map(|(record, _)| match record {
        Record::Restored { generation, .. } => Some(generation.count),
        _ => None,
    });
    (generation.unwrap_or_default(), Seq(rows.len() as u64))
}

/// The generation that a hint names.
fn named_above(hint: &str) -> u64 {
    let number = hint.split_once(ABOVE).map_or("", |(_, rest)| rest);
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_default()
}
