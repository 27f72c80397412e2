//! Families of samples that are read when somebody asks, and not counted here.

use hdrhistogram::Histogram as Latencies;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::limits::{LATENCY_BUCKETS, LATENCY_US_MIN};

/// One sample's labels and its value.
pub(super) type Sample<'a> = (Vec<(&'a str, &'a str)>, f64);

/// See the module's text.
#[derive(Default)]
pub(super) struct Families(Vec<MetricFamily>);

fn metric(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

impl Families {
    fn family(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        // The format has no family without a sample.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    /// One number for each set of labels.
    fn numbers<'a>(
        &mut self,
        name: &str,
        help: &str,
        kind: MetricType,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) {
        let of = |(labels, value): Sample<'_>| {
            let mut metric = metric(&labels);
            if kind == MetricType::GAUGE {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            } else {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            }
            metric
        };
        self.family(name, help, kind, samples.into_iter().map(of).collect());
    }

    pub(super) fn gauges<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) {
        self.numbers(name, help, MetricType::GAUGE, samples);
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.gauges(name, help, [(Vec::new(), value)]);
    }

    pub(super) fn counters<'a>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Sample<'a>>,
    ) {
        self.numbers(name, help, MetricType::COUNTER, samples);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [(Vec::new(), value as f64)]);
    }

    /// `counts`: how many values are up to each bound, and above the one before; those above all bounds come last.
    pub(super) fn histogram(&mut self, name: &str, help: &str, bounds: &[f64], counts: &[u64], sum: f64) {
        let (mut metric, mut histogram, mut upto) = (metric(&[]), Histogram::default(), 0);
        let buckets = bounds.iter().zip(counts).map(|(bound, count)| {
            upto += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(upto);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        metric.set_histogram(histogram);
        self.family(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    /// Of latencies in microseconds.
    pub(super) fn latencies(&mut self, name: &str, help: &str, latencies: &Latencies<u64>) {
        let bounds_us: Vec<u64> = (0..LATENCY_BUCKETS).map(|power| LATENCY_US_MIN << power).collect();
        let mut counts = vec![0; bounds_us.len() + 1];
        let mut sum_us = 0.0;
        for value in latencies.iter_recorded() {
            let (us, count) = (value.value_iterated_to(), value.count_since_last_iteration());
            counts[bounds_us.partition_point(|bound| *bound < us)] += count;
            sum_us += us as f64 * count as f64;
        }
        let bounds: Vec<f64> = bounds_us.iter().map(|us| seconds(*us)).collect();
        self.histogram(name, help, &bounds, &counts, sum_us / 1e6);
    }

    pub(super) fn finish(self) -> Vec<MetricFamily> {
        self.0
    }
}

/// Of microseconds.
pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
