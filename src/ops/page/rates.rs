//! Rate and latencies of a market's orders, from one look at its nodes' reports to the next.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::model::report::Report;
use crate::ops::histogram::{add_histogram, latencies};
use crate::ops::record::Interval;
use crate::types::PeerId;

/// Of each peer's own orders: how many had their outcomes, and their latencies, at the last look.
#[derive(Default)]
pub(super) struct Rates {
    at: Option<Instant>,
    of: BTreeMap<PeerId, (u64, Histogram<u64>)>,
    last: Option<Interval>,
}

impl Rates {
    /// What was done since the last look; none at the first one. `at_s`: seconds after the begin of the run.
    pub(super) fn look(&mut self, answered: &BTreeMap<PeerId, Report>, at_s: f64) -> Option<Interval> {
        let since = self.at.replace(Instant::now()).map(|at| at.elapsed().as_secs_f64());
        let (mut count, mut sum, mut open) = (0, latencies(), 0);
        for (peer, report) in answered {
            let mut all = latencies();
            add_histogram(&mut all, &report.shopping.latency_us);
            let now = report.shopping.answered;
            open += report.shopping.open;
            let mut fresh = all.clone();
            if let Some((before, earlier)) = self.of.get(peer).filter(|(before, _)| *before <= now) {
                count += now - before;
                // A peer that began anew has fewer; then all of its are fresh.
                let _ = fresh.subtract(earlier);
                let _ = sum.add(&fresh);
            }
            self.of.insert(*peer, (now, all));
        }
        if let Some(seconds) = since.filter(|seconds| *seconds > 0.0) {
            let ms = |quantile| sum.value_at_quantile(quantile) as f64 / 1e3;
            let (p50_ms, p99_ms, max_ms) = (ms(0.5), ms(0.99), ms(1.0));
            let (per_s, open) = (count as f64 / seconds, open as f64);
            self.last = Some(Interval { at_s, per_s, p50_ms, p99_ms, max_ms, open });
        }
        self.last
    }
}
