//! The pictures of a record.

use super::{Interval, Of, Record, Sample};
use crate::ops::chart::{Band, Chart, Line};
use crate::types::node_name;

const MIB: f64 = 1_048_576.0;

/// What all pictures of a run have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame<'a> {
    /// Stretches in which something was wrong.
    pub bands: &'a [Band],
    /// Seconds that are shown.
    pub seconds: f64,
    /// The moment that is looked at, if it is not the last one.
    pub at: Option<f64>,
}

impl<'a> Frame<'a> {
    /// A picture in this frame; `dots`: single points.
    pub(crate) fn chart(&self, title: &'a str, unit: &'a str, lines: Vec<Line>, dots: bool) -> Chart<'a> {
        let Frame { bands, seconds, at } = *self;
        Chart { title, unit, lines, bands, dots, seconds, at }
    }
}

impl Record {
    /// Rate, latencies and what is open.
    pub(crate) fn load_charts<'a>(&self, frame: &Frame<'a>) -> [Chart<'a>; 3] {
        let of =
            |name: &str, of: fn(&Interval) -> f64| Line { name: name.to_owned(), points: self.of_load(of) };
        let latencies =
            vec![of("p50", |it| it.p50_ms), of("p99", |it| it.p99_ms), of("longest", |it| it.max_ms)];
        [
            frame.chart("answered", "orders/s", vec![of("orders/s", |it| it.per_s)], false),
            frame.chart("latency", "ms", latencies, false),
            frame.chart("orders without an outcome", "orders", vec![of("open", |it| it.open)], false),
        ]
    }

    /// What the nodes take.
    pub(crate) fn node_charts<'a>(&self, frame: &Frame<'a>) -> [Chart<'a>; 4] {
        let of: [(&str, &str, Of); 4] = [
            ("memory", "MiB", |sample: &Sample| sample.rss / MIB),
            ("disk", "MiB", |sample: &Sample| sample.disk / MIB),
            ("file descriptors", "open", |sample: &Sample| sample.fds),
            ("threads", "running", |sample: &Sample| sample.threads),
        ];
        of.map(|(title, unit, of)| {
            let line = |(node, points)| Line { name: node_name(node), points };
            frame.chart(title, unit, self.series(of).into_iter().map(line).collect(), false)
        })
    }
}
