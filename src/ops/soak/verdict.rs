//! What a run came to: one object, and what it says to people.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::faults::Fault;
use super::slope::{Trend, warm_up};
use crate::cli::SoakArgs;
use crate::limits::{SOAK_EXAMPLES_MAX, SOAK_REASONS_MAX};
use crate::ops::output::exit;
use crate::ops::record::{Of, Record};
use crate::ops::verify::child::Verified;
use crate::types::{PeerId, node_name};

/// Everything that was seen in a run.
#[derive(Default)]
pub(super) struct Seen {
    pub seed: u64,
    pub elapsed: Duration,
    pub due: u64,
    pub told: u64,
    pub open: u64,
    pub resolved: u64,
    pub latency_us: Option<Histogram<u64>>,
    pub faults: Vec<Fault>,
    pub checks: Vec<Verified>,
    pub record: Record,
    /// When nodes were started, and how many milliseconds passed until they served.
    pub opened: BTreeMap<PeerId, Vec<(f64, f64)>>,
    /// Milliseconds until a dead trader was suspected, and until trade went on after it.
    pub detected_ms: Vec<f64>,
    pub took_over_ms: Vec<f64>,
    /// Of what clients were told: compared with the ledger, other than done, and not in it.
    pub compared: u64,
    pub told_wrong: u64,
    pub lost: u64,
    /// Promises that were broken.
    pub broken: Reasons,
    /// Thresholds that were missed.
    pub missed: Vec<String>,
    /// What could not be told.
    pub unclear: Vec<String>,
    pub left_out: Vec<(String, String)>,
    pub interrupted: bool,
}

/// Bytes of a mebibyte.
const MIB: f64 = 1_048_576.0;

/// Reasons, as many as anybody reads: a node that ends over and over gives one each time.
#[derive(Clone, Debug, Default)]
pub(super) struct Reasons {
    first: Vec<String>,
}

impl Reasons {
    /// One more; where there are many it is only in the history.
    pub(super) fn push(&mut self, reason: String) {
        if self.first.len() < SOAK_REASONS_MAX {
            self.first.push(reason);
        }
    }

    /// Some more.
    pub(super) fn extend(&mut self, reasons: impl IntoIterator<Item = String>) {
        reasons.into_iter().for_each(|reason| self.push(reason));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }
}

fn at_most<T: Clone>(list: &[T]) -> Vec<T> {
    list.iter().take(SOAK_EXAMPLES_MAX).cloned().collect()
}

/// The value that this share of a list is at or below; none of an empty one.
pub(super) fn quantile(list: &[f64], share: f64) -> Option<f64> {
    let mut sorted = list.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied()
}

impl Seen {
    /// Each node's growth.
    pub(super) fn trends(&self, of: Of) -> BTreeMap<PeerId, Trend> {
        self.trends_after(warm_up(self.elapsed), of)
    }

    /// The same of the samples after that time.
    pub(super) fn trends_after(&self, warm_up: Duration, of: Of) -> BTreeMap<PeerId, Trend> {
        let trend = |(node, samples): (PeerId, Vec<_>)| Some((node, Trend::of(&samples, of, warm_up)?));
        self.record.samples().into_iter().filter_map(trend).collect()
    }

    /// Judges by the thresholds that were stated.
    pub(super) fn judge(&mut self, args: &SoakArgs) {
        let of: [(&str, Of, u64); 2] = [
            ("memory", |sample| sample.rss, args.max_rss_slope.0),
            ("disk", |sample| sample.disk, args.max_disk_slope.0),
        ];
        for (what, of, per_hour) in of {
            let grown = self.trends(of).into_iter().filter(|(_, trend)| trend.is_above(per_hour));
            let say = |(node, trend): (PeerId, Trend)| {
                format!(
                    "{} of {} grows by {:.1} MiB/h (error {:.1}), at most {:.1} are allowed",
                    what,
                    node_name(node),
                    trend.slope_per_h / MIB,
                    trend.slope_error / MIB,
                    per_hour as f64 / MIB
                )
            };
            let grown: Vec<String> = grown.map(say).collect();
            self.missed.extend(grown);
        }
        if self.open > 0 {
            self.missed.push(format!("{} orders have no outcome", self.open));
        }
        if self.told == 0 {
            self.unclear.push("no order was answered".to_owned());
        }
        if !self.checks.last().is_some_and(|last| last.is_ok() || last.is_broken()) {
            let why = self.checks.last().map_or("it was not begun".to_owned(), Verified::why);
            self.unclear.push(format!("the last check of all stores: {why}"));
        }
    }

    /// 0, 5, 8 or 6.
    pub(super) fn exit(&self) -> u8 {
        match (self.broken.is_empty(), self.missed.is_empty(), self.unclear.is_empty()) {
            (false, ..) => exit::BROKEN,
            (_, false, _) => exit::THRESHOLD,
            (_, _, false) => exit::UNDETERMINED,
            _ => exit::DONE,
        }
    }

    pub(super) fn failed(&self, check: &str) -> u64 {
        self.checks.iter().map(|it| it.failed(check)).max().unwrap_or_default()
    }

    pub(super) fn latency_ms(&self, share: f64) -> Option<f64> {
        let latency = self.latency_us.as_ref().filter(|latency| !latency.is_empty())?;
        Some(latency.value_at_quantile(share) as f64 / 1_000.0)
    }

    /// The first reasons why it is not well; empty if it is.
    pub(super) fn why(&self) -> Vec<String> {
        let all: Vec<String> =
            self.broken.first.iter().chain(&self.missed).chain(&self.unclear).cloned().collect();
        at_most(&all)
    }

    pub(super) fn json(&self) -> Value {
        let trends = |of: Of| -> Value {
            let json = |(node, trend): (PeerId, Trend)| (node_name(node), trend.json());
            self.trends(of).into_iter().map(json).collect::<serde_json::Map<_, _>>().into()
        };
        let opened = |(node, opened): (&PeerId, &Vec<(f64, f64)>)| {
            let took: Vec<f64> = opened.iter().map(|(_, ms)| *ms).collect();
            let of = |share| quantile(&took, share).map(f64::round);
            (node_name(*node), json!({ "starts": took.len(), "p50_ms": of(0.5), "max_ms": of(1.0) }))
        };
        json!({
            "seed": self.seed,
            "elapsed_s": self.elapsed.as_secs_f64().round(),
            "orders": self.told,
            "orders_per_s": (self.told as f64 / self.elapsed.as_secs_f64().max(1.0) * 10.0).round() / 10.0,
            "due": self.due,
            "open": self.open,
            "resolved": self.resolved,
            "faults": self.faults.iter().map(Fault::json).collect::<Vec<_>>(),
            "left_out": self.left_out.iter().map(|(kind, why)| json!({ "kind": kind, "why": why })).collect::<Vec<_>>(),
            "checks": self.checks.iter().map(Verified::json).collect::<Vec<_>>(),
            "rss": trends(|sample| sample.rss),
            "disk": trends(|sample| sample.disk),
            "fds": trends(|sample| sample.fds),
            "threads": trends(|sample| sample.threads),
            "opened": self.opened.iter().map(opened).collect::<serde_json::Map<_, _>>(),
            "compared": self.compared,
            "lost": self.lost + self.failed("V12"),
            "twice": self.failed("V03"),
            "oversold": self.failed("V01").max(self.failed("V02")),
            "told_wrong": self.told_wrong + self.failed("V04"),
            "detect_p99_ms": quantile(&self.detected_ms, 0.99),
            "failover_p99_ms": quantile(&self.took_over_ms, 0.99),
            "p50_ms": self.latency_ms(0.5),
            "p99_ms": self.latency_ms(0.99),
            "interrupted": self.interrupted,
            "pass": self.exit() == exit::DONE,
            "why": self.why(),
        })
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let ms = |value: Option<f64>| value.map_or("?".to_owned(), |ms| format!("{ms:.1} ms"));
        let recovered: Vec<f64> =
            self.faults.iter().filter_map(|fault| Some(fault.recovered?.as_secs_f64() * 1_000.0)).collect();
        let per_s = self.told as f64 / self.elapsed.as_secs_f64().max(1.0);
        let mut lines = vec![
            format!(
                "orders    {} in {} s ({per_s:.0}/s), {} of them after their line had ended, {} without an outcome",
                self.told,
                self.elapsed.as_secs(),
                self.resolved,
                self.open
            ),
            format!(
                "latency   p50 {}  p99 {}  from when an order was due",
                ms(self.latency_ms(0.5)),
                ms(self.latency_ms(0.99))
            ),
            format!(
                "faults    {}; trade went on after {} (median), {} (longest)",
                self.faults.len(),
                ms(quantile(&recovered, 0.5)),
                ms(quantile(&recovered, 1.0))
            ),
            format!(
                "traders   suspected after {} (p99), taken over after {} (p99), {} failovers",
                ms(quantile(&self.detected_ms, 0.99)),
                ms(quantile(&self.took_over_ms, 0.99)),
                self.took_over_ms.len()
            ),
            format!(
                "checks    {} of all stores; {} orders as told are as done; lost {}  twice {}  oversold {}  told wrong {}",
                self.checks.len(),
                self.compared,
                self.lost + self.failed("V12"),
                self.failed("V03"),
                self.failed("V01").max(self.failed("V02")),
                self.told_wrong + self.failed("V04")
            ),
        ];
        let why = self.why();
        lines.push(match self.exit() {
            exit::DONE if self.interrupted => "pass, of what was seen until it was interrupted".to_owned(),
            exit::DONE => "pass".to_owned(),
            exit::UNDETERMINED => format!("could not tell: {}", why.join("\n          ")),
            _ => format!("FAILED    {}", why.join("\n          ")),
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_list() {
        let list: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&list, 0.5), Some(50.0));
        assert_eq!(quantile(&list, 0.99), Some(99.0));
        assert_eq!(quantile(&list, 1.0), Some(100.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    /// A month's run of a node that ends over and over must not end by its own reasons.
    #[test]
    fn reasons_have_a_bound() {
        let mut reasons = Reasons::default();
        reasons.extend((0..2 * SOAK_REASONS_MAX).map(|at| at.to_string()));
        assert_eq!((reasons.first.len(), reasons.first.first()), (SOAK_REASONS_MAX, Some(&"0".to_owned())));
    }

    #[test]
    fn a_broken_promise_weighs_more_than_a_missed_threshold_and_that_more_than_doubt() {
        let mut seen = Seen { told: 1, ..Seen::default() };
        assert_eq!(seen.exit(), exit::DONE);
        seen.unclear.push("u".into());
        assert_eq!(seen.exit(), exit::UNDETERMINED);
        seen.missed.push("m".into());
        assert_eq!(seen.exit(), exit::THRESHOLD);
        seen.broken.push("b".into());
        assert_eq!(seen.exit(), exit::BROKEN);
        assert_eq!(seen.why(), ["b", "m", "u"]);
        assert_eq!(seen.json()["pass"], false);
    }
}
