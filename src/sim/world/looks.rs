//! What is looked at in a market: what must hold between turns and at the end, and what was seen on the way.

use std::collections::{BTreeMap, BTreeSet};

use super::World;
use crate::model::row::{Outcome, Record};
use crate::sim::check::{self, Failure};
use crate::sim::disks::Disk;
use crate::sim::marks::Mark;
use crate::sim::sights;
use crate::types::{OrderId, PeerId, Term, node_name};

impl World {
    /// Counts what can be seen best at the end.
    pub(super) fn look_back(&mut self) -> Result<(), Failure> {
        self.marks.count(Mark::Refused, self.network.refused());
        let checkpoints = self.nodes.iter().filter(|node| node.disk.has_checkpoint()).count();
        self.marks.count(Mark::Checkpoint, checkpoints as u64);
        for (sealed, pruned) in self.nodes.iter().map(|node| node.disk.sealed()) {
            self.marks.count(Mark::Sealed, u64::from(sealed));
            self.marks.count(Mark::Pruned, u64::from(pruned));
        }
        check::ledger(&self.nodes[0].disk)?.iter().for_each(|(record, _)| self.marks.row(record));
        let entries = self.nodes[1..].iter().flat_map(|node| check::journal(&node.disk));
        entries.filter_map(|entry| sights::entry(&entry)).for_each(|mark| self.marks.mark(mark));
        Ok(())
    }

    /// # Errors
    /// Something that must hold of a machine between turns does not.
    pub(super) fn machine_holds(&self, at: usize) -> Result<(), Failure> {
        let name = || node_name(self.nodes[at].id);
        self.nodes[at].invariants().map_err(|why| Failure::new("invariant", format!("{}: {why}", name())))
    }

    pub(super) fn check(&self) -> Result<(), Failure> {
        let disks: Vec<(PeerId, &Disk)> = self.nodes.iter().map(|node| (node.id, &node.disk)).collect();
        (0..self.nodes.len()).try_for_each(|at| self.machine_holds(at))?;
        let ledger = check::ledger(&self.nodes[0].disk);
        // What was done in another's name comes first: it breaks other rules, too. If the ledger cannot be read the audit
        // says why.
        let mut rows = ledger.iter().flatten().map(|(record, _)| record);
        let restored = self.ledgers.were_restored();
        rows.try_for_each(|record| self.placing.was_placed(record, restored))?;
        check::audited(&disks, &self.losses, self.ledgers.were_forked())?;
        let rows = ledger?;
        check::fenced_by_who_may(&rows)?;
        let released: BTreeSet<Term> = rows.iter().filter_map(|(record, _)| released(record)).collect();
        let outcomes = rows.into_iter().filter_map(|(_, outcome)| outcome);
        let done: BTreeMap<OrderId, Outcome> = outcomes.map(|outcome| (outcome.id, outcome)).collect();
        let is_lost = |generation, seq| self.ledgers.has_lost(generation, seq);
        self.heard.is_done(
            &done,
            is_lost,
            |id| self.losses.may_be_forgotten(id),
            |term| released.contains(&term),
        )
    }
}

fn released(record: &Record) -> Option<Term> {
    match record {
        Record::Released { term, .. } => Some(*term),
        _ => None,
    }
}
