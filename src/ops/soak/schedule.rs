//! What goes wrong and when: drawn from a seed, or read from the schedule of an earlier run.
//!
//! Time is cut into slots. A quarter of them is quiet; each other one has one fault, or two on different nodes, which end
//! before the next slot begins. A line of a schedule is one fault as JSON.

use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cli::FaultKind;
use crate::types::PeerId;

/// The schedule in a report directory.
pub(super) const SCHEDULE: &str = "schedule.jsonl";
/// No fault is longer, whatever the slots are.
const LONGEST: Duration = Duration::from_secs(8);

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Planned {
    /// Milliseconds after the begin of the load.
    pub at_ms: u64,
    /// Its kind, by name.
    pub kind: String,
    /// The nodes, 0 for the warehouse. Of a partition the links between the first one and all others are cut.
    pub nodes: Vec<u32>,
    /// How long it lasts.
    pub for_ms: u64,
    /// Of a partition: connections are reset, and not silent.
    #[serde(default)]
    pub reset: bool,
    /// Of a slow disk: by how much each sync is late.
    #[serde(default)]
    pub late_ms: u64,
}

impl Planned {
    pub(super) fn kind(&self) -> Option<FaultKind> {
        FaultKind::named(&self.kind)
    }

    /// The nodes that it is about.
    pub(super) fn nodes(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.nodes.iter().copied().map(PeerId)
    }
}

/// Where faults come from.
pub(super) enum Schedule {
    /// Drawn as they are needed: a run may have no end.
    Drawn(Drawn),
    /// Those of an earlier run.
    Read(std::vec::IntoIter<Planned>),
}

/// See the module's text.
pub(super) struct Drawn {
    rng: fastrand::Rng,
    kinds: Vec<FaultKind>,
    /// Peers; the warehouse is 0.
    peers: u32,
    /// The one whose disk can be filled.
    small_disk: PeerId,
    slot: Duration,
    /// Slots that were drawn.
    drawn: u32,
    waiting: Vec<Planned>,
}

impl Drawn {
    pub(super) fn new(
        seed: u64,
        kinds: &[FaultKind],
        peers: u32,
        small_disk: PeerId,
        slot: Duration,
    ) -> Drawn {
        let (rng, kinds, waiting) = (fastrand::Rng::with_seed(seed), kinds.to_vec(), Vec::new());
        Drawn { rng, kinds, peers, small_disk, slot, drawn: 0, waiting }
    }

    /// The faults of the next slot, by their times.
    fn slot(&mut self) -> Vec<Planned> {
        let begins = self.slot * self.drawn;
        self.drawn += 1;
        // A market that has just come up is left alone, so that there is something to compare with.
        if self.drawn == 1 || self.rng.u8(..4) == 0 {
            return Vec::new();
        }
        let count = if self.rng.u8(..3) == 0 { 2 } else { 1 };
        let mut faults: Vec<Planned> = Vec::new();
        for _ in 0..count {
            let fault = self.fault(begins);
            let apart = |other: &Planned| other.nodes.iter().all(|node| !fault.nodes.contains(node));
            if faults.iter().all(apart) {
                faults.push(fault);
            }
        }
        faults.sort_by_key(|fault| fault.at_ms);
        faults
    }

    fn fault(&mut self, begins: Duration) -> Planned {
        let kind = self.kinds[self.rng.usize(..self.kinds.len())];
        let slot_ms = self.slot.as_millis() as u64;
        let at_ms = begins.as_millis() as u64 + self.rng.u64(..slot_ms / 4 + 1);
        let longest = (slot_ms * 6 / 10).min(LONGEST.as_millis() as u64);
        let for_ms = self.rng.u64(longest / 20..longest);
        let node = self.rng.u32(..=self.peers);
        let nodes = match kind {
            FaultKind::RestartAll => (0..=self.peers).collect(),
            FaultKind::DiskFull => vec![self.small_disk.0],
            FaultKind::Partition => self.partition(node),
            _ => vec![node],
        };
        let (reset, late_ms) = (self.rng.bool(), self.rng.u64(5..100));
        let (partition, slow) = (kind == FaultKind::Partition, kind == FaultKind::SlowDisk);
        Planned {
            at_ms,
            kind: kind.name().to_owned(),
            nodes,
            for_ms,
            reset: partition && reset,
            late_ms: if slow { late_ms } else { 0 },
        }
    }

    /// A node and those that it is cut off from: one other, or all.
    fn partition(&mut self, node: u32) -> Vec<u32> {
        let others: Vec<u32> = (0..=self.peers).filter(|other| *other != node).collect();
        let one = others[self.rng.usize(..others.len())];
        let cut = if self.rng.bool() { others } else { vec![one] };
        std::iter::once(node).chain(cut).collect()
    }
}

impl Schedule {
    /// The next fault; none if there are no more.
    pub(super) fn next(&mut self) -> Option<Planned> {
        match self {
            Schedule::Read(planned) => planned.next(),
            Schedule::Drawn(drawn) if drawn.kinds.is_empty() => None,
            Schedule::Drawn(drawn) => {
                while drawn.waiting.is_empty() {
                    drawn.waiting = drawn.slot();
                }
                Some(drawn.waiting.remove(0))
            }
        }
    }

    /// That of an earlier run.
    ///
    /// # Errors
    /// There is none, or it is not as a run writes it.
    pub(super) fn read(report: &Path) -> io::Result<Schedule> {
        let lines = BufReader::new(std::fs::File::open(report.join(SCHEDULE))?).lines();
        let planned = lines.map(|line| {
            let planned: Planned = serde_json::from_str(&line?).map_err(io::Error::other)?;
            match planned.kind() {
                Some(_) => Ok(planned),
                None => Err(io::Error::other(format!("{} is no kind of fault", planned.kind))),
            }
        });
        Ok(Schedule::Read(planned.collect::<io::Result<Vec<_>>>()?.into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, count: usize) -> Vec<Planned> {
        let slot = Duration::from_secs(10);
        let mut schedule = Schedule::Drawn(Drawn::new(seed, &FaultKind::ALL, 6, PeerId(6), slot));
        std::iter::from_fn(|| schedule.next()).take(count).collect()
    }

    #[test]
    fn a_seed_draws_the_same_each_time_and_another_one_another() {
        assert_eq!(drawn(7, 200), drawn(7, 200));
        assert_ne!(drawn(7, 200), drawn(8, 200));
    }

    #[test]
    fn a_quarter_is_quiet_and_all_ends_before_the_next_slot() {
        let faults = drawn(1, 2_000);
        let slots = faults.last().unwrap().at_ms / 10_000;
        let busy: std::collections::BTreeSet<u64> = faults.iter().map(|it| it.at_ms / 10_000).collect();
        let quiet = 1.0 - busy.len() as f64 / slots as f64;
        assert!((0.2..0.3).contains(&quiet), "{quiet}");
        assert!(faults.is_sorted_by_key(|it| it.at_ms) && faults[0].at_ms >= 10_000);
        for fault in &faults {
            assert!(fault.at_ms % 10_000 + fault.for_ms < 10_000 && fault.for_ms > 0, "{fault:?}");
        }
        for kind in FaultKind::ALL {
            assert!(faults.iter().any(|it| it.kind() == Some(kind)), "{}", kind.name());
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let faults = drawn(3, 50);
        let lines: String =
            faults.iter().map(|it| format!("{}\n", serde_json::to_string(it).unwrap())).collect();
        std::fs::write(dir.path().join(SCHEDULE), lines).unwrap();
        let mut read = Schedule::read(dir.path()).unwrap();
        assert_eq!(std::iter::from_fn(|| read.next()).collect::<Vec<_>>(), faults);
        std::fs::write(dir.path().join(SCHEDULE), "{\"at_ms\":1}\n").unwrap();
        assert!(Schedule::read(dir.path()).is_err());
    }
}
