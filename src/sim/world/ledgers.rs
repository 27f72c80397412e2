//! The warehouse's disk put back to an earlier state, and what its mend is.
//!
//! It happens when all else has healed, so that whoever has seen more of the ledger can say so: an older copy must not
//! serve while a peer that knows better is there. Where the warehouse ends since it is an older copy, what its hint says
//! is done: the newest copy is put in its place.

use super::{Event, World};
use crate::journal::MemoryDisk;
use crate::model::step::Exit;
use crate::sim::check::Failure;
use crate::sim::faults::Aim;
use crate::sim::marks::Mark;
use crate::sim::network::Process;
use crate::sim::queue::MS;
use crate::types::{PeerId, node_name};

/// Exit code of a store that must not be served.
const NOT_TO_BE_SERVED: i32 = 7;

/// Copies of the warehouse's disk.
#[derive(Default)]
pub(super) struct Ledgers {
    /// What is to be put back, and whether the traders' disks are lost with it.
    old: Option<(MemoryDisk, bool)>,
    /// What was there before that.
    newest: Option<MemoryDisk>,
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
        let traders = Aim::Traders.nodes(self.seats());
        if self.nodes[0].is_alive() {
            self.kill(0, 0);
        }
        self.ledgers.newest = Some(self.nodes[0].disk.copy());
        self.nodes[0].disk.put_back(&old);
        self.queue.put(self.queue.now().after(10 * MS), Event::Start(PeerId::WAREHOUSE));
        for at in traders.into_iter().filter(|_| alone).map(|id| id as usize) {
            if self.nodes[at].is_alive() {
                self.kill(at, 0);
            }
            self.nodes[at].disk.wipe();
        }
    }

    /// A process has ended itself.
    ///
    /// # Errors
    /// Nothing that went wrong is a reason for that.
    pub(super) fn exited(&mut self, from: Process, exit: &Exit) -> Result<(), Failure> {
        let newest = match (from.node, exit.code) {
            (PeerId::WAREHOUSE, NOT_TO_BE_SERVED) => self.ledgers.newest.take(),
            _ => None,
        };
        let Some(newest) = newest else {
            let why = format!("{} exits with {}: {}", node_name(from.node), exit.code, exit.what);
            return Err(Failure::new("exit", why));
        };
        self.marks.mark(Mark::OlderCopyRefused);
        self.kill(0, 10 * MS);
        self.nodes[0].disk.put_back(&newest);
        Ok(())
    }
}
