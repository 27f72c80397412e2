//! The peers' journals against the ledger: V03 (accepted orders), V04 (told = done) and V12 (durable).
//!
//! All of them are read in step with the ledger, each long one by a thread of its own, so that what is kept of an order is
//! let go of soon after. The ledger is read on once more after the last journal has ended. So a live market can only be
//! further on in the ledger than in the journals, and what a journal expects and the ledger lacks is no race but a doubt:
//! a violation, unless a restore lost it, which is known once all rows were looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use super::fold::{Answer, Keep, LedgerFold, Sessions, Settled};
use super::journal::{Before, Digest, Journal, Saw};
use super::pages::{Page, pages};
use super::verified::JournalVerified;
use super::{Alarms, BlockSource, Check, Example, Source, SourceError, reading};
use crate::journal::{Sealed, Tip};
use crate::limits::VERIFY_BATCHES_AHEAD;
use crate::model::row::Record;
use crate::types::{Hash, OrderId, PeerId, Seq};

/// Who reads a journal.
enum Reader<'a> {
    /// This thread.
    Here(Box<Journal<'a>>),
    /// Another one, which gives it back when it has ended.
    There(SyncSender<Digest>, Receiver<Result<Box<Journal<'a>>, SourceError>>),
}

impl<'a> Reader<'a> {
    fn take(&mut self, digest: Digest) -> Result<(), SourceError> {
        match self {
            Reader::Here(journal) => journal.take(&digest),
            // If it takes no more it has failed, which is found when it is to end.
            Reader::There(sender, _) => sender.send(digest).or(Ok(())),
        }
    }

    /// Reads the journal to its end.
    fn end(self) -> Result<Reader<'a>, SourceError> {
        let mut journal = match self {
            Reader::Here(journal) => journal,
            Reader::There(sender, receiver) => {
                drop(sender);
                receiver.recv().unwrap_or_else(|_| unreachable!("a thread that panicked ends the scope"))?
            }
        };
        journal.read_out()?;
        Ok(Reader::Here(journal))
    }
}

fn read<'a>(
    mut journal: Box<Journal<'a>>,
    digests: Receiver<Digest>,
) -> Result<Box<Journal<'a>>, SourceError> {
    digests.into_iter().try_for_each(|digest| journal.take(&digest))?;
    journal.read_out()?;
    Ok(journal)
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Journals<'a> {
    readers: Vec<Reader<'a>>,
    by_node: BTreeMap<PeerId, usize>,
}

impl<'a> Journals<'a> {
    /// Begins to read all of them.
    pub(super) fn begin(
        scope: &'a Scope<'a, '_>,
        sources: Vec<&'a mut Source>,
        keep: Keep,
        (mut before, passed): (BTreeMap<PeerId, JournalVerified>, Seq),
        alarms: &Alarms,
    ) -> Journals<'a> {
        let mut journals = Journals::default();
        let live = sources.iter().any(|source| source.meta().live);
        for source in sources {
            let (node, long) = (source.meta().node, reading::is_long(source.meta()));
            let before = Before { journal: before.remove(&node), passed };
            let journal = Box::new(Journal::new(source.as_mut(), keep, live, before, alarms.again()));
            journals.by_node.insert(node, journals.readers.len());
            journals.readers.push(match long {
                false => Reader::Here(journal),
                true => {
                    let (sender, digests) = sync_channel(VERIFY_BATCHES_AHEAD);
                    let (giver, taker) = sync_channel(1);
                    // Who does not take it any more has found an error.
                    scope.spawn(move || drop(giver.send(read(journal, digests))));
                    Reader::There(sender, taker)
                }
            });
        }
        journals
    }

    /// Tells each of them what the ledger holds further on.
    pub(super) fn take(
        &mut self,
        upto: (u64, Seq),
        blocks: Vec<(Seq, Hash)>,
        settled: Vec<Settled>,
    ) -> Result<(), SourceError> {
        let blocks = Arc::new(blocks);
        let mut own: Vec<Vec<Settled>> = vec![Vec::new(); self.readers.len()];
        for settled in settled {
            if let Some(at) = self.by_node.get(&settled.order.id.peer) {
                own[*at].push(settled);
            }
        }
        for (reader, settled) in self.readers.iter_mut().zip(own) {
            reader.take(Digest { upto, blocks: Arc::clone(&blocks), settled })?;
        }
        Ok(())
    }

    /// Reads all of them to their ends.
    pub(super) fn read_out(&mut self) -> Result<(), SourceError> {
        for reader in std::mem::take(&mut self.readers) {
            self.readers.push(reader.end()?);
        }
        Ok(())
    }

    /// All of them, once they were read to their ends.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Journal<'a>> {
        self.readers.iter_mut().filter_map(|reader| match reader {
            Reader::Here(journal) => Some(&mut **journal),
            Reader::There(..) => None,
        })
    }

    fn iter(&self) -> impl Iterator<Item = &Journal<'a>> {
        self.readers.iter().filter_map(|reader| match reader {
            Reader::Here(journal) => Some(&**journal),
            Reader::There(..) => None,
        })
    }

    /// Peers with a session whose stores were not among those read.
    pub(super) fn absent(&self, sessions: &Sessions) -> BTreeSet<PeerId> {
        let peers = sessions.stores.keys().map(|(peer, _)| *peer);
        peers.filter(|peer| !peer.is_client() && !self.by_node.contains_key(peer)).collect()
    }

    /// Compares what was said late with the rows that it is about.
    pub(super) fn look_up(&mut self, ledger: &mut dyn BlockSource) -> Result<(), SourceError> {
        // Rows in archives that were not named cannot be looked at.
        let archived = ledger.archived_to();
        let mut ledger = LookUp::new(ledger);
        for journal in self.iter_mut() {
            let mut answers: Vec<Answer> = journal.fold.own.take_late();
            answers.retain(|answer| answer.told.seq > archived);
            answers.sort_by_key(|answer| answer.told.seq);
            for answer in answers {
                let id = OrderId { peer: journal.node, number: answer.told.number };
                let there = ledger.outcome(answer.told.seq, id)?.map(|settled| settled.told);
                journal.fold.own.told_is(&answer, there.as_ref(), &mut journal.alarms);
            }
            let mut seen: Vec<Saw> = std::mem::take(&mut journal.late);
            seen.retain(|(_, seq, _)| *seq > archived);
            seen.sort_by_key(|(_, seq, _)| *seq);
            for saw in seen {
                let holds = ledger.ends(saw.1, saw.2)?;
                journal.judge(saw, holds);
            }
        }
        Ok(())
    }

    /// What a later audit goes on from; none if a journal ends with a block that cannot be read.
    pub(super) fn verified(&mut self) -> Option<BTreeMap<PeerId, JournalVerified>> {
        self.iter_mut().map(|journal| Some((journal.node, journal.verified()?))).collect()
    }

    /// V03, V04 and V12: what the journals hold and the ledger must have too.
    pub(super) fn against(&self, ledger: &LedgerFold, all_there: bool, alarms: &mut Alarms) {
        for journal in self.iter() {
            let how = format!("was accepted by {}", journal.node);
            for (peer, epoch, first, last) in journal.fold.accepted.runs() {
                let (there, missing) = ledger.sessions.of_run(peer, epoch, first, last);
                alarms.holds(Check::ExactlyOnce, there);
                missing.into_iter().for_each(|id| self.accounted_for(id, &how, ledger, all_there, alarms));
            }
            // A number is given up only since the ledger has an outcome of it.
            for id in journal.fold.own.given_up() {
                self.accounted_for(id, "was given up by its store", ledger, all_there, alarms);
            }
        }
        let doubts = self.iter().flat_map(|journal| journal.doubts());
        doubts.for_each(|doubt| doubt.judge(&ledger.restores, alarms));
    }

    /// An order that some store relies on, and of which there is no outcome, waits in some store.
    fn accounted_for(
        &self,
        id: OrderId,
        how: &str,
        ledger: &LedgerFold,
        all_there: bool,
        alarms: &mut Alarms,
    ) {
        let held = ledger.sessions.has_outcome(id) || self.iter().any(|journal| journal.fold.queue.waits(id));
        let closed = ledger.restores.closed_by(id.number.epoch());
        // Handed over to a store that was not read, or still open at a client whose store was not: nothing can be said.
        let placer = !id.peer.is_client() || self.by_node.contains_key(&id.peer);
        match closed {
            Some(row) if !held => alarms.lost(Check::ExactlyOnce, row),
            _ if held || (all_there && placer) => alarms.check(Check::ExactlyOnce, held, || {
                Example::order(id, format!("{how}, has no outcome and waits nowhere"))
            }),
            _ => {}
        }
    }
}

/// Rows of a ledger, one here and one there.
pub(super) struct LookUp<'a> {
    ledger: &'a mut dyn BlockSource,
    page: Option<Page<Record>>,
}

impl<'a> LookUp<'a> {
    pub(super) fn new(ledger: &'a mut dyn BlockSource) -> LookUp<'a> {
        LookUp { ledger, page: None }
    }

    /// Whether a block of any log ends there.
    pub(super) fn ends_in_any(&mut self, tip: Tip) -> Result<bool, SourceError> {
        let Some(block) = self.ledger.blocks(tip.seq).next().transpose()? else { return Ok(false) };
        Ok(Sealed::open(&block).is_ok_and(|sealed| Tip::after(&sealed.header, &sealed.seal) == tip))
    }

    /// The block that holds a row.
    fn page(&mut self, seq: Seq) -> Result<Option<&Page<Record>>, SourceError> {
        let holds = |page: &Page<Record>| match page {
            Page::Sealed { header, .. } => (header.first..=header.last()).contains(&seq),
            Page::Unreadable { .. } => false,
        };
        if !self.page.as_ref().is_some_and(holds) {
            self.page = pages::<Record>(self.ledger, seq).next().transpose()?;
        }
        Ok(self.page.as_ref().filter(|page| holds(page)))
    }

    fn outcome(&mut self, seq: Seq, id: OrderId) -> Result<Option<Settled>, SourceError> {
        let Some(Page::Sealed { header, rows, .. }) = self.page(seq)? else { return Ok(None) };
        let row = rows.iter().find(|(at, _)| *at == seq).and_then(|(_, row)| row.as_ref().ok());
        Ok(row.and_then(|record| {
            let outcome = record.outcome(seq, header.time).filter(|outcome| outcome.id == id)?;
            Some(Settled::new(&record.decision()?.order, &outcome))
        }))
    }

    /// Whether a block ends there, with that hash.
    fn ends(&mut self, at: Seq, hash: Hash) -> Result<bool, SourceError> {
        let page = self.page(at)?;
        Ok(
            matches!(page, Some(Page::Sealed { header, seal, .. }) if header.last() == at && seal.hash == hash),
        )
    }
}
