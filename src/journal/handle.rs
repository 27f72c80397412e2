//! The loop's handle of its journal: stage, go on, hear later what is durable.

use std::io::{Write as _, stderr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::watch;

use super::checkpoint::Parts;
use super::meta::Meta;
use super::reader::Reader;
use super::staging::{Item, Staging, Stats, Step, Stop, Ticket, Urgency};
use super::store::{StoreError, trees_of};
use crate::model::fold::{Fold, Tree};
use crate::types::{Hash, Seq};

/// Up to where everything is written and synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durable {
    /// All steps up to this one.
    pub ticket: Ticket,
    /// All records up to this one; the last one of a block.
    pub seq: Seq,
    /// Hash of that block.
    pub hash: Hash,
    /// Its number.
    pub block: u64,
}

/// What happens when a write or sync fails or stalls. It is called once, at the end of the writer, and is not expected
/// to return; if it does (in tests) nothing becomes durable any more.
pub type Fatal = Arc<dyn Fn(Fault) + Send + Sync>;

/// Why nothing is written any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A write or sync failed or stalls.
    #[error("{0}: this node ends, so that nothing is said that is not stored")]
    Failed(String),
    /// A fault in this program.
    #[error("{0}: this node ends, so that nothing is said that is not stored")]
    Bug(String),
    /// Another process owns the directory.
    #[error("{0}: this node ends, so that one owner is left")]
    Taken(String),
}

impl Fault {
    /// What the store says; `by` is who asked it.
    pub(super) fn of(by: &str, error: &StoreError) -> Fault {
        match error {
            StoreError::Taken(_) => Fault::Taken(format!("{by}: {error}")),
            StoreError::Panicked(_) | StoreError::Value(_) => Fault::Bug(format!("{by}: {error}")),
            _ => Fault::Failed(format!("{by}: {error}")),
        }
    }

    fn exit_code(&self) -> i32 {
        if matches!(self, Fault::Taken(_)) { 7 } else { 1 }
    }

    fn hint(&self) -> &'static str {
        match self {
            Fault::Failed(_) => {
                "mend the disk, or free space on it, then start again: what was acknowledged is there"
            }
            Fault::Bug(_) => {
                "start again: what was acknowledged is there; if it comes again, report it with the node's log"
            }
            Fault::Taken(_) => {
                "let one process run on the directory, and keep it where flock works (no network share)"
            }
        }
    }
}

/// Says why, and ends the process with exit code 1, or 7 if the directory is another's: peers and the next start find
/// everything that was acknowledged.
pub fn exit_on_failure() -> Fatal {
    Arc::new(|fault| {
        tracing::error!("{fault}");
        // Where nothing can be written any more, the log least of all, the exit code has to say it.
        let _ = writeln!(stderr(), "error: {fault}\n  hint: {}", fault.hint());
        std::process::exit(fault.exit_code())
    })
}

/// The journal could not be closed. Its writer failed before, and `fatal` has said why; or it has a pump that was not
/// closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal failed before it was closed")]
pub struct CloseError;

/// A node's journal. One owner; dropped without [`Journal::close`] it is as if the node had been killed.
pub struct Journal<F: Fold> {
    staging: Arc<Staging<F>>,
    reader: Reader,
    meta: Meta,
    next_seq: Seq,
    last_ticket: Ticket,
    done: mpsc::Receiver<Durable>,
    writer: Option<JoinHandle<()>>,
}

impl<F: Fold> Journal<F> {
    pub(super) fn new(
        staging: Arc<Staging<F>>,
        reader: Reader,
        meta: Meta,
        done: mpsc::Receiver<Durable>,
    ) -> Journal<F> {
        let next_seq = reader.durable().seq.next();
        Journal { staging, reader, meta, next_seq, last_ticket: Ticket(0), done, writer: None }
    }

    /// The thread that is stopped with this handle.
    pub(super) fn attach(&mut self, writer: JoinHandle<()>) {
        self.writer = Some(writer);
    }

    /// Sequence that the next staged record will have.
    pub fn next_seq(&self) -> Seq {
        self.next_seq
    }

    /// Hands a step to the writer; never blocks. The loop stops taking input while [`Journal::staged_records`] is at
    /// [`STAGED_RECORDS_MAX`](crate::limits::STAGED_RECORDS_MAX).
    pub fn stage(&mut self, step: Step<F::Record>) -> Ticket {
        let (ticket, urgency, records) = (self.next_ticket(), step.urgency, step.records.len());
        self.next_seq = Seq(self.next_seq.0 + records as u64);
        self.staging.records.fetch_add(records, Ordering::AcqRel);
        self.staging.push(Item::Step { ticket, step }, urgency);
        ticket
    }

    /// Stores a small fact under a name of the node's choice, durable with the ticket. At most a block long.
    pub(crate) fn put_meta(&mut self, key: &str, value: Vec<u8>) -> Ticket {
        let ticket = self.next_ticket();
        self.meta.extra.insert(key.to_owned(), value.clone());
        self.staging.push(Item::Meta { ticket, key: key.to_owned(), value }, Urgency::Now);
        ticket
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket = Ticket(self.last_ticket.0 + 1);
        self.last_ticket
    }

    /// What is durable, as it changes; published after flush and sync.
    pub fn durable(&self) -> watch::Receiver<Durable> {
        self.reader.subscribe()
    }

    /// Records staged and not yet durable.
    pub fn staged_records(&self) -> usize {
        self.staging.records.load(Ordering::Acquire)
    }

    /// The disk is nearly full: orders are to be refused. Recovers by itself when space returns.
    pub(crate) fn disk_low(&self) -> bool {
        self.staging.disk_low.load(Ordering::Relaxed)
    }

    /// It is time for [`Journal::checkpoint`].
    pub(crate) fn checkpoint_due(&self) -> bool {
        self.staging.checkpoint_due.load(Ordering::Acquire)
    }

    /// Gives the state as of all staged records to be written out, a few chunks with each group. Given while one is
    /// being written, or with nothing new since the last, it is dropped.
    ///
    /// # Panics
    ///
    /// If a part names a tree that the store of this log does not have.
    pub fn checkpoint(&mut self, parts: Parts<F>) {
        let trees = trees_of(F::LOG);
        let known = |tree: &Tree| trees.contains(tree) && *tree != F::LOG && *tree != Tree::Meta;
        assert!(
            parts.iter().all(|(tree, _)| known(tree)),
            "a checkpoint's part names a tree of another node"
        );
        self.staging.checkpointing.store(true, Ordering::Release);
        self.staging.checkpoint_due.store(false, Ordering::Release);
        self.staging.push(Item::Checkpoint { parts }, Urgency::Now);
    }

    /// A handle that reads durable blocks.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// What was done since the journal was opened.
    pub fn stats(&self) -> Stats {
        self.staging.counters.stats()
    }

    /// A look at what is done, for who has no journal.
    pub(crate) fn watch_stats(&self) -> impl Fn() -> Stats + Send + Sync + 'static + use<F> {
        let counters = Arc::clone(&self.staging.counters);
        move || counters.stats()
    }

    /// The store's facts as of when it was opened, with later [`Journal::put_meta`].
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Makes everything staged durable, completes a checkpoint in progress, writes the mark and stops the writer. The
    /// store itself is not waited for: it is as a kill would leave it, which it survives.
    ///
    /// A journal without a thread is closed by its [`Pump`](super::Pump) first; after that this gives the same.
    pub fn close(mut self) -> Result<Durable, CloseError> {
        if self.writer.take().is_none() {
            return self.done.try_recv().map_err(|_| CloseError);
        }
        self.staging.stop(Stop::Close);
        self.done.recv().map_err(|_| CloseError)
    }
}

impl<F: Fold> Drop for Journal<F> {
    fn drop(&mut self) {
        if let Some(writer) = self.writer.take() {
            self.staging.stop(Stop::Abandon);
            drop(writer.join());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is told to mend a disk that is well looks in the wrong place.
    #[test]
    fn a_panic_is_no_fault_of_the_disk() {
        let of = |error: StoreError| Fault::of("journal", &error).hint();
        assert!(of(StoreError::Panicked("the store panicked: why".into())).contains("report it"));
        assert!(of(StoreError::Failed("fdatasync: Input/output error".into())).contains("the disk"));
    }
}
