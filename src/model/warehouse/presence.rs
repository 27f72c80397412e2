//! Control streams: who is present, who answers, and who may be replaced.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conn, Denied, Warehouse};
use crate::model::hello::{Dialed, Hello};
use crate::model::membership::Member;
use crate::model::message::ControlUp;
use crate::model::offices::{Grant, Offices};
use crate::model::passed_over::PassedOver;
use crate::model::row::Record;
use crate::model::step::{At, Because, ConnId, Effect, Exit, Past, Turn};
use crate::types::{Now, PeerId, ProcessId, Term};

/// The peers that are seen, in this life of the warehouse.
pub(super) struct Presence {
    started: Now,
    suspect_after_ms: u64,
    present: BTreeMap<PeerId, Present>,
    /// Terms whose control stream was seen in this life and closed.
    lost: BTreeSet<Term>,
    passed_over: PassedOver,
}

struct Present {
    conn: ConnId,
    process: ProcessId,
    dialed: Dialed,
    addr: String,
    /// When the oldest unanswered heartbeat was sent.
    asked: Option<Now>,
}

impl Presence {
    pub(super) fn new(started: Now, suspect_after_ms: u64) -> Presence {
        Presence {
            started,
            suspect_after_ms,
            present: BTreeMap::new(),
            lost: BTreeSet::new(),
            passed_over: PassedOver::default(),
        }
    }

    /// A control stream is up. It proves that the term which its process holds is alive.
    fn came(&mut self, hello: &Hello, conn: ConnId, held: Option<Term>) {
        if let Some(term) = held {
            self.lost.remove(&term);
        }
        let Hello { process, addr, .. } = hello.clone();
        let present = Present { conn, process, dialed: hello.dialed(), addr, asked: None };
        self.present.insert(hello.peer, present);
    }

    /// A control stream ended: an office that its peer holds can be claimed now.
    pub(super) fn closed(&mut self, conn: ConnId, offices: &Offices) {
        let found = self.present.iter().find(|(_, present)| present.conn == conn);
        let Some(peer) = found.map(|(peer, _)| *peer) else { return };
        self.present.remove(&peer);
        if let Some(grant) = offices.held_by(peer) {
            self.lost.insert(grant.term);
        }
    }

    /// The process whose control stream is up.
    pub(super) fn process_of(&self, peer: PeerId) -> Option<ProcessId> {
        self.present.get(&peer).map(|present| present.process)
    }

    /// The peer's process has dialed a later control stream, which is here already.
    fn has_later(&self, hello: &Hello) -> bool {
        let present = self.present.get(&hello.peer).filter(|present| present.process == hello.process);
        present.is_some_and(|present| hello.was_dialed_before(present.dialed))
    }

    /// Where a present peer listens; empty for any other.
    pub(super) fn addr_of(&self, peer: PeerId) -> String {
        self.present.get(&peer).map_or(String::new(), |present| present.addr.clone())
    }

    /// The control streams that are up, by peer.
    pub(super) fn streams(&self) -> impl Iterator<Item = (PeerId, ConnId)> {
        self.present.iter().map(|(peer, present)| (*peer, present.conn))
    }

    /// The peers whose control stream is up, by id.
    pub(super) fn members(&self) -> Vec<Member> {
        let member = |(id, it): (&PeerId, &Present)| Member {
            id: *id,
            addr: it.addr.clone(),
            process: it.process,
            left: false,
        };
        self.present.iter().map(member).collect()
    }

    /// A heartbeat goes out to everyone: a peer that has not answered the last one is waited for since that one.
    pub(super) fn ask(&mut self, now: Now) {
        for present in self.present.values_mut() {
            present.asked.get_or_insert(now);
        }
    }

    /// Any message on a peer's control stream is a sign of life.
    fn alive(&mut self, conn: ConnId) {
        if let Some(present) = self.present.values_mut().find(|present| present.conn == conn) {
            present.asked = None;
        }
    }

    /// This process was stopped for a while: what is unanswered counts from now, or everybody would seem silent.
    pub(super) fn was_away(&mut self, now: Now) {
        for present in self.present.values_mut().filter(|present| present.asked.is_some()) {
            present.asked = Some(now);
        }
    }

    /// When the roster changes by itself: a holder that stays silent can be replaced, or somebody may stand again.
    pub(super) fn next_change(&self, now: Now, offices: &Offices) -> Option<Now> {
        let asked = offices.grants().filter_map(|grant| self.present.get(&grant.peer)?.asked);
        let grace = offices.grants().next().is_some().then_some(self.started);
        let due = asked.chain(grace).map(|since| since.after_ms(self.suspect_after_ms));
        let due = due.chain(self.passed_over.next_end(now));
        due.filter(|due| *due > now).min()
    }

    /// Whether the holder of an office is seen alive.
    pub(super) fn sees(&self, grant: &Grant, now: Now) -> bool {
        match self.present.get(&grant.peer).filter(|present| present.process == grant.process) {
            Some(present) => self.answers(present, now),
            None => !self.lost.contains(&grant.term) && now.ms_since(self.started) < self.suspect_after_ms,
        }
    }

    fn answers(&self, present: &Present, now: Now) -> bool {
        present.asked.is_none_or(|since| now.ms_since(since) < self.suspect_after_ms)
    }

    /// The holder is not to be elected again for a while.
    pub(super) fn pass_over(&mut self, now: Now, grant: &Grant) {
        self.passed_over.add(now, grant.peer, grant.process);
    }

    /// Those that are not to be elected now.
    pub(super) fn passed_over(&self, now: Now) -> Vec<PeerId> {
        let present = self.present.iter();
        let present = present.map(|(peer, it)| (*peer, it.process, self.answers(it, now)));
        self.passed_over.among(now, present)
    }
}

impl Warehouse {
    pub(super) fn control(&mut self, at: At, conn: ConnId, up: ControlUp, turn: &mut Turn<Record>) {
        let greeted = matches!(self.conns.get(&conn), Some(Conn::Control(Some(_))));
        // Only a known peer moves the clock.
        match (&up.hello, greeted) {
            (Some(_), false) | (None, true) => {}
            (Some(_), true) => return self.hang_up(conn, "it says a second hello", turn),
            (None, false) => return self.hang_up(conn, "it says no hello", turn),
        }
        if let Some(hello) = &up.hello {
            // Before all else: an older copy may not even know the peer's session.
            if let Some(exit) = self.older_copy(hello, turn.past()) {
                return turn.at_once(Because::TellsNothing, Effect::Exit(exit));
            }
            if self.presence.has_later(hello) {
                return self.hang_up(conn, "a stream that its process dialed later is here", turn);
            }
            if let Err(denied) = self.control_up(at, conn, hello, turn) {
                return self.hang_up(conn, &denied.to_string(), turn);
            }
        }
        if self.clock.receive(up.clock).is_err() {
            return self.hang_up(conn, "its clock is too far ahead", turn);
        }
        match up.hello {
            Some(hello) => self.tell_greeting(at.now, conn, hello.peer, turn),
            None => self.presence.alive(conn),
        }
    }

    /// A peer's control stream is up. A term that an earlier process of it held ends here: a term lives in one process.
    fn control_up(
        &mut self,
        at: At,
        conn: ConnId,
        hello: &Hello,
        turn: &mut Turn<Record>,
    ) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        if peer.is_client() {
            return Err(Denied::NotEligible(peer));
        }
        if self.presence.process_of(peer).is_some_and(|process| process > hello.process) {
            return Err(Denied::StoreAlive(peer));
        }
        let grant = self.market.offices.held_by(peer).copied();
        if let Some(grant) = grant.filter(|grant| grant.process != hello.process) {
            self.end_term(at.time, &grant, peer, turn);
        }
        let held = self.market.offices.held_by(peer).map(|grant| grant.term);
        self.presence.came(hello, conn, held);
        self.conns.insert(conn, Conn::Control(Some(peer)));
        Ok(())
    }

    /// A peer that was told of more than this ledger holds proves that the store is an older copy. An older copy would
    /// tell peers what never was, so it serves nobody: the process ends.
    fn older_copy(&self, hello: &Hello, past: &dyn Past) -> Option<Exit> {
        let (generation, own) = (hello.generation, self.market.generation);
        // Anybody may become a client, so a client is no witness.
        if generation < own || hello.peer.is_client() || !self.knows(hello) {
            return None;
        }
        let (seq, hash) = hello.ledger;
        let seen = if generation > own {
            format!("generation {generation} of the ledger")
        } else {
            match past.holds(seq, hash) {
                Ok(true) => return None,
                Ok(false) => format!("ledger record {seq}"),
                Err(error) => {
                    tracing::error!(error, "the ledger cannot be compared with what a peer has seen");
                    return None;
                }
            }
        };
        tracing::error!(peer = %hello.peer, seen, "this store is an older copy of the warehouse's");
        Some(exit_as_older_copy(hello.peer, &seen))
    }
}

fn exit_as_older_copy(peer: PeerId, seen: &str) -> Exit {
    Exit {
        code: 7,
        what: format!(
            "peer {peer} has seen {seen}, which this store lacks: it is an older copy of the warehouse's"
        ),
        hint:
            "put the newest copy of the warehouse's directory back; if there is none, move this one away and \
               mend with: bazaar restore --from BACKUP --accept-loss"
                .to_owned(),
    }
}
