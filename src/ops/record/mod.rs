//! What a market did over the time of a run: rates, latencies, and what its nodes took. `soak` judges by it; its report and
//! the page of a running market draw it.
//!
//! Holds: however long a run is, its record has a bound. Of a run that is longer, less is kept the older it is.

mod charts;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub(crate) use self::charts::Frame;
use crate::limits::RECORD_POINTS_MAX;
use crate::node::process::{Taken, disk_of, taken};
use crate::node::wall_now;
use crate::types::{PeerId, WallMicros};

/// The load in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Interval {
    /// Its end, in seconds after the begin of the run.
    pub at_s: f64,
    /// Orders that got their outcomes, per second.
    pub per_s: f64,
    /// Their latencies in milliseconds; 0 without any.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Orders without an outcome at its end.
    pub open: f64,
}

impl Interval {
    pub(crate) fn json(&self) -> Value {
        let Interval { at_s, per_s, p50_ms, p99_ms, max_ms, open } = self;
        json!({
            "at_s": at_s, "per_s": per_s, "p50_ms": p50_ms, "p99_ms": p99_ms, "max_ms": max_ms, "open": open,
        })
    }
}

/// One node at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// The process.
    pub pid: u32,
    /// Seconds after the begin of the run.
    pub at_s: f64,
    /// Bytes of memory.
    pub rss: f64,
    /// Open file descriptors.
    pub fds: f64,
    pub threads: f64,
    /// Bytes on the disk.
    pub disk: f64,
}

impl Sample {
    /// Of a process and its directory, from `/proc` and the file system; none if it is gone.
    pub(crate) fn of(pid: u32, dir: &Path, at_s: f64) -> Option<Sample> {
        let Taken { rss, fds, threads, .. } = taken(pid)?;
        Some(Sample { pid, at_s, rss, fds, threads, disk: disk_of(&dir.join("store")) })
    }
}

/// What is drawn and judged of a sample.
pub(crate) type Of = fn(&Sample) -> f64;

/// See the module's text. Clones are of one record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    began: WallMicros,
    points: Arc<Mutex<Points>>,
}

#[derive(Debug, Default)]
struct Points {
    intervals: Vec<Interval>,
    samples: BTreeMap<PeerId, Vec<Sample>>,
}

impl Default for Record {
    /// Of a run that begins now.
    fn default() -> Record {
        Record { began: wall_now(), points: Arc::default() }
    }
}

/// Adds to a list that has become too long by dropping every second point.
fn keep<T>(list: &mut Vec<T>, point: T) {
    if list.len() >= RECORD_POINTS_MAX {
        let mut odd = false;
        list.retain(|_| {
            odd = !odd;
            odd
        });
    }
    list.push(point);
}

impl Record {
    /// A panic while it was held leaves whole points.
    fn points(&self) -> MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds from the begin of the run to a time; negative before it.
    pub(crate) fn seconds(&self, time: u64) -> f64 {
        (time as f64 - self.began.0 as f64) / 1e6
    }

    /// The time that many seconds after the begin, in Unix microseconds.
    pub(crate) fn time(&self, at_s: f64) -> u64 {
        self.began.0.saturating_add_signed((at_s * 1e6) as i64)
    }

    /// An interval has ended.
    pub(crate) fn load(&self, interval: Interval) {
        keep(&mut self.points().intervals, interval);
    }

    /// A node was looked at.
    pub(crate) fn sample(&self, node: PeerId, sample: Sample) {
        keep(self.points().samples.entry(node).or_default(), sample);
    }

    /// The last interval.
    pub(crate) fn last(&self) -> Option<Interval> {
        self.points().intervals.last().copied()
    }

    /// The last intervals, the newest first.
    pub(crate) fn last_ones(&self, count: usize) -> Vec<Interval> {
        self.points().intervals.iter().rev().take(count).copied().collect()
    }

    /// How it was: the last interval, and the last sample of each node, that had ended by then.
    pub(crate) fn at(&self, at_s: f64) -> (Option<Interval>, BTreeMap<PeerId, Sample>) {
        let points = self.points();
        let interval = points.intervals.iter().rfind(|it| it.at_s <= at_s).copied();
        let last = |(node, list): (&PeerId, &Vec<Sample>)| {
            list.iter().rfind(|it| it.at_s <= at_s).map(|sample| (*node, *sample))
        };
        (interval, points.samples.iter().filter_map(last).collect())
    }

    /// The points of one figure of the load.
    fn of_load(&self, of: fn(&Interval) -> f64) -> Vec<(f64, f64)> {
        self.points().intervals.iter().map(|it| (it.at_s, of(it))).collect()
    }

    /// Each node's samples, the oldest first.
    pub(crate) fn samples(&self) -> BTreeMap<PeerId, Vec<Sample>> {
        self.points().samples.clone()
    }

    /// Each node's points of one figure.
    pub(super) fn series(&self, of: Of) -> Vec<(PeerId, Vec<(f64, f64)>)> {
        let points = self.points();
        let series = |(node, list): (&PeerId, &Vec<Sample>)| {
            (*node, list.iter().map(|sample| (sample.at_s, of(sample))).collect())
        };
        points.samples.iter().map(series).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(at_s: f64) -> Interval {
        Interval { at_s, per_s: 10.0 * at_s, ..Interval::default() }
    }

    #[test]
    fn a_record_has_a_bound_and_keeps_its_begin_and_its_end() {
        let record = Record::default();
        let count = 5 * RECORD_POINTS_MAX;
        (0..count).for_each(|at| record.load(interval(at as f64)));
        let points = record.of_load(|it| it.at_s);
        assert!(points.len() <= RECORD_POINTS_MAX, "{}", points.len());
        assert!(points[0].0 == 0.0 && points.is_sorted());
        assert_eq!(record.last(), Some(interval((count - 1) as f64)));
    }

    #[test]
    fn what_was_is_what_had_ended_by_then() {
        let (record, node) = (Record::default(), PeerId(3));
        assert_eq!(record.at(9.0), (None, BTreeMap::new()));
        for at_s in [5.0, 10.0] {
            record.load(interval(at_s));
            record.sample(node, Sample { at_s, rss: at_s, ..Sample::default() });
        }
        let (was, nodes) = record.at(9.9);
        assert_eq!((was, nodes[&node].rss), (Some(interval(5.0)), 5.0));
        assert_eq!(record.at(4.0).0, None);
        assert_eq!(record.series(|it| it.rss), [(node, vec![(5.0, 5.0), (10.0, 10.0)])]);
    }
}
