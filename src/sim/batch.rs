//! Many seeds over several threads, folded in the order of the seeds: what comes out is the same for any number of
//! threads.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use super::check::Failure;
use super::faults::{Counts, Kind};
use super::marks::{Mark, Seen};
use super::{Options, Outcome, run};
use crate::types::Hash;

/// A batch of at least so many seeds, with all faults, must have seen every kind and mark.
pub(crate) const SEEDS_TELLING: u64 = 200;

/// What came of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    /// How many seeds ran.
    pub seeds: u64,
    /// Those that failed, in their order.
    pub failed: Vec<(u64, Failure)>,
    /// Orders placed.
    pub orders: u64,
    /// How often each kind of fault came about.
    pub faults: Counts,
    /// How often each mark was seen.
    pub marks: Seen,
    /// BLAKE3 of the seeds' hashes, in their order.
    pub trace_hash: Hash,
}

impl Report {
    /// Kinds of faults and marks that a batch of this size must have seen, and has not.
    pub(crate) fn missing(&self, options: &Options) -> Vec<&'static str> {
        let all = Kind::ALL.iter().all(|kind| options.faults.contains(kind));
        if self.seeds < SEEDS_TELLING || !all {
            return Vec::new();
        }
        let kinds = Kind::ALL.into_iter().filter(|kind| !self.faults.contains_key(kind)).map(Kind::name);
        let marks = Mark::ALL.into_iter().filter(|mark| !self.marks.contains_key(mark)).map(Mark::name);
        kinds.chain(marks).collect()
    }
}

/// A report under way.
#[derive(Default)]
struct Folded {
    seeds: u64,
    failed: Vec<(u64, Failure)>,
    orders: u64,
    faults: Counts,
    marks: Seen,
    hasher: blake3::Hasher,
}

impl Folded {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.orders += outcome.orders;
        outcome.faults.iter().for_each(|(kind, count)| *self.faults.entry(*kind).or_default() += count);
        outcome.marks.iter().for_each(|(mark, count)| *self.marks.entry(*mark).or_default() += count);
        self.hasher.update(&outcome.hash.0);
        self.failed.extend(outcome.failed.map(|failure| (outcome.seed, failure)));
    }

    fn report(self) -> Report {
        let Folded { seeds, failed, orders, faults, marks, hasher } = self;
        Report { seeds, failed, orders, faults, marks, trace_hash: Hash(*hasher.finalize().as_bytes()) }
    }
}

/// How a batch is run.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Which seeds.
    pub seeds: RangeInclusive<u64>,
    /// Threads.
    pub jobs: u32,
    /// Stop at the first seed that fails: seeds after it do not count.
    pub until_failure: bool,
}

impl Batch {
    /// Runs the seeds. `each` is given every outcome, in the order of the seeds.
    pub(crate) fn run(&self, options: &Options, each: impl FnMut(&Outcome)) -> Report {
        self.run_with(&|seed| run(seed, options), each)
    }

    fn run_with(&self, run: &(dyn Fn(u64) -> Outcome + Sync), mut each: impl FnMut(&Outcome)) -> Report {
        let (next, over) = (AtomicU64::new(*self.seeds.start()), AtomicBool::new(false));
        let (sender, outcomes) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let (sender, next, over) = (sender.clone(), &next, &over);
                scope.spawn(move || self.work(run, next, over, &sender));
            }
            drop(sender);
            let mut folded = Folded::default();
            let mut early: BTreeMap<u64, Outcome> = BTreeMap::new();
            for outcome in outcomes {
                early.insert(outcome.seed, outcome);
                while let Some(outcome) = early.remove(&(self.seeds.start() + folded.seeds)) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    each(&outcome);
                    let last = self.until_failure && outcome.failed.is_some();
                    over.store(last, Ordering::Relaxed);
                    folded.add(outcome);
                }
            }
            folded.report()
        })
    }

    /// One thread: takes the next seed until there is none, or no more is wanted.
    fn work(
        &self,
        run: &(dyn Fn(u64) -> Outcome + Sync),
        next: &AtomicU64,
        over: &AtomicBool,
        sender: &mpsc::Sender<Outcome>,
    ) {
        while !over.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !self.seeds.contains(&seed) || sender.send(run(seed)).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds 6 and 8 fail; later seeds are done sooner.
    fn lived(seed: u64) -> Outcome {
        thread::sleep(std::time::Duration::from_millis(10 - seed.min(10)));
        Outcome {
            seed,
            failed: [6, 8].contains(&seed).then(|| Failure::new("audit", format!("of {seed}"))),
            orders: seed,
            faults: Counts::from([(Kind::Kill, 1)]),
            marks: Seen::from([(Mark::Grant, 2)]),
            hash: Hash::of(&seed.to_le_bytes()),
            lines: Vec::new(),
            svg: None,
        }
    }

    #[test]
    fn outcomes_are_folded_in_the_order_of_seeds() {
        let batch = |jobs| {
            let mut order = Vec::new();
            let batch = Batch { seeds: 1..=9, jobs, until_failure: false };
            let report = batch.run_with(&lived, |outcome| order.push(outcome.seed));
            (report, order)
        };
        let (report, order) = batch(1);
        assert_eq!(order, (1..=9).collect::<Vec<_>>());
        assert_eq!((report.orders, report.faults[&Kind::Kill], report.marks[&Mark::Grant]), (45, 9, 18));
        assert_eq!(report.failed.iter().map(|(seed, _)| *seed).collect::<Vec<_>>(), [6, 8]);
        assert_eq!(batch(4), (report, order));
    }

    #[test]
    fn a_batch_may_end_at_its_first_failure() {
        for jobs in [1, 4] {
            let batch = Batch { seeds: 2..=9, jobs, until_failure: true };
            let report = batch.run_with(&lived, |outcome| assert!(outcome.seed <= 6));
            assert_eq!((report.seeds, report.failed.len()), (5, 1));
        }
    }

    #[test]
    fn what_a_large_batch_never_saw_is_named() {
        let report = Folded { seeds: SEEDS_TELLING, ..Folded::default() }.report();
        let missing = report.missing(&Options::default());
        assert_eq!(missing.len(), Kind::ALL.len() + Mark::ALL.len());
        let small = Folded { seeds: SEEDS_TELLING - 1, ..Folded::default() }.report();
        assert!(small.missing(&Options::default()).is_empty());
        assert!(report.missing(&Options { faults: Vec::new(), ..Options::default() }).is_empty());
    }
}
