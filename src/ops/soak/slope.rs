//! Growth of a series: the slope of the line of least squares through its samples, with its standard error.

use std::time::Duration;

use serde_json::{Value, json};

use crate::limits::SOAK_WARM_UP_MAX;

/// Samples without which a line says nothing.
const SAMPLES_MIN: usize = 5;
/// Of a series whose rest does not change at all, the samples still say something.
const PERSISTENCE_MAX: f64 = 0.98;
const SECONDS_PER_HOUR: f64 = 3_600.0;

/// What a series came to. Units are those of the series, and those per hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Trend {
    /// First sample after the warm-up.
    pub first: f64,
    /// Last sample.
    pub last: f64,
    /// Growth per hour.
    pub slope_per_h: f64,
    /// Standard error of that.
    pub slope_error: f64,
}

/// When samples begin to count: after 20 minutes, or a third of a shorter run.
pub(super) fn warm_up(run: Duration) -> Duration {
    (run / 3).min(SOAK_WARM_UP_MAX)
}

impl Trend {
    /// Of samples as (seconds, value); none if there are too few after the warm-up.
    pub(super) fn of(samples: impl Iterator<Item = (f64, f64)>, warm_up: Duration) -> Option<Trend> {
        let samples: Vec<(f64, f64)> = samples.filter(|(at, _)| *at >= warm_up.as_secs_f64()).collect();
        let (first, last) = (samples.first()?.1, samples.last()?.1);
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let count = samples.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| samples.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|it| it.0), mean(|it| it.1));
        let squares: f64 = samples.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
        let slope = samples.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum::<f64>() / squares;
        let rest: f64 = samples.iter().map(|(x, y)| (y - mean_y - slope * (x - mean_x)).powi(2)).sum();
        let error = (rest / (count - 2.0) / squares).sqrt() * persistence(&samples, (mean_x, mean_y), slope);
        let (slope_per_h, slope_error) = (slope * SECONDS_PER_HOUR, error * SECONDS_PER_HOUR);
        Some(Trend { first, last, slope_per_h, slope_error })
    }

    /// It grows faster than that, and not only by chance.
    pub(super) fn is_above(&self, per_hour: u64) -> bool {
        self.slope_per_h - 2.0 * self.slope_error > per_hour as f64
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "first": self.first.round(),
            "last": self.last.round(),
            "slope_per_h": self.slope_per_h.round(),
            "slope_error": self.slope_error.round(),
        })
    }
}

/// By how much the error is larger than that of independent samples: what is left of one beside the line is still there in
/// the next, so that few of them are independent (Santer and others, "Statistical significance of trends", 2000, for a
/// first-order autoregression).
fn persistence(samples: &[(f64, f64)], (mean_x, mean_y): (f64, f64), slope: f64) -> f64 {
    let left = |(x, y): &(f64, f64)| y - mean_y - slope * (x - mean_x);
    let squares: f64 = samples.iter().map(|it| left(it).powi(2)).sum();
    let products: f64 = samples.windows(2).map(|pair| left(&pair[0]) * left(&pair[1])).sum();
    let kept = if squares > 0.0 { (products / squares).clamp(0.0, PERSISTENCE_MAX) } else { 0.0 };
    ((1.0 + kept) / (1.0 - kept)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: impl Fn(f64) -> f64) -> Trend {
        let samples = (0..600).map(|at| (f64::from(at), value(f64::from(at))));
        Trend::of(samples, Duration::from_secs(200)).unwrap()
    }

    #[test]
    fn a_line_is_found_and_what_came_before_does_not_count() {
        let trend = of(|at| if at < 200.0 { 9_999.0 } else { 50.0 + at });
        assert_eq!((trend.first, trend.last), (250.0, 649.0));
        assert!((trend.slope_per_h - 3_600.0).abs() < 1e-6 && trend.slope_error < 1e-6, "{trend:?}");
        assert!(trend.is_above(3_599) && !trend.is_above(3_601));
    }

    /// A saw-tooth, as of a node that is killed now and then, is no growth.
    #[test]
    fn what_comes_and_goes_is_no_growth() {
        let trend = of(|at| (at % 120.0) * 1_000.0);
        assert!(!trend.is_above(1_000_000), "{trend:?}");
        assert!(of(|at| (at % 120.0) * 1_000.0 + at * 2_000.0).is_above(1_000_000));
    }

    /// What wanders says less with as many samples than what is drawn anew each time; steps without end are growth.
    #[test]
    fn what_persists_has_a_larger_error() {
        let drawn = of(|at| if (at as u64).is_multiple_of(2) { 1e6 } else { 0.0 });
        let wanders = of(|at| if ((at / 50.0) as u64).is_multiple_of(2) { 1e6 } else { 0.0 });
        assert!(wanders.slope_error > 4.0 * drawn.slope_error, "{wanders:?} {drawn:?}");
        let steps = of(|at| 20e6 + (at / 20.0).floor() * 1e6);
        assert!(steps.is_above(8 << 20), "{steps:?}");
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(Trend::of((0..4).map(|at| (f64::from(at), 1.0)), Duration::ZERO), None);
        assert_eq!(warm_up(Duration::from_secs(600)), Duration::from_secs(200));
        assert_eq!(warm_up(Duration::from_secs(36_000)), SOAK_WARM_UP_MAX);
    }
}
