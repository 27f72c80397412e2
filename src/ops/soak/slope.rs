//! Growth of a node over a run: the slope of the line of least squares through its samples, with its error.
//!
//! A node that is killed now and then begins small each time, and where it was killed last makes a line rise or fall by
//! chance: samples of one life are not independent. So the error is the larger one of two. One takes samples that follow
//! each other for alike (Santer and others, "Statistical significance of trends", 2000, for a first-order autoregression).
//! The other is by how much the slope changes when a life is left out (the jackknife of Cameron and Miller, "A
//! practitioner's guide to cluster-robust inference", 2015, section VI.B), and is the wider the fewer lives there are. What
//! a process gathers shows best in its longest life, if that is long enough to be judged alone.

use std::time::Duration;

use serde_json::{Value, json};

use crate::limits::SOAK_WARM_UP_MAX;
use crate::ops::record::{Of, Sample};

/// Samples without which a line says nothing.
const SAMPLES_MIN: usize = 5;
/// Of a series whose rest does not change at all, the samples still say something.
const PERSISTENCE_MAX: f64 = 0.98;
const SECONDS_PER_HOUR: f64 = 3_600.0;
/// Standard errors on either side within which 95 % of the slopes of so many lives are, by Student's distribution: of 2
/// lives, 3, and so on; the last of all that are more.
const ERRORS: [f64; 10] = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23];

/// What a series came to. Units are those of the series, and those per hour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Trend {
    /// First sample after the warm-up.
    pub first: f64,
    /// Last sample.
    pub last: f64,
    /// Growth per hour.
    pub slope_per_h: f64,
    /// Its error: chance explains twice this, 95 times of 100.
    pub slope_error: f64,
}

/// Sums over samples, of which a line follows. They are counted from the middle, so that no figure is lost in large ones.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    count: f64,
    x: f64,
    y: f64,
    xx: f64,
    xy: f64,
}

/// When samples begin to count: after 20 minutes, or a third of a shorter run.
pub(super) fn warm_up(run: Duration) -> Duration {
    (run / 3).min(SOAK_WARM_UP_MAX)
}

impl Trend {
    /// Of one figure of the samples; none if there are too few after the warm-up.
    pub(super) fn of(samples: &[Sample], of: Of, warm_up: Duration) -> Option<Trend> {
        let warm_up = warm_up.as_secs_f64();
        let whole = Trend::through(after(samples, warm_up), of)?;
        let longest = lives(samples).max_by(|one, other| lasted(one).total_cmp(&lasted(other)));
        let longest = longest.filter(|life| lasted(life) >= 2.0 * warm_up);
        let alone = longest.and_then(|life| Trend::through(after(life, life.first()?.at_s + warm_up), of));
        Some(alone.filter(|alone| alone.at_least() > whole.at_least()).unwrap_or(whole))
    }

    fn through(samples: &[Sample], of: Of) -> Option<Trend> {
        let (first, last) = (of(samples.first()?), of(samples.last()?));
        if samples.len() < SAMPLES_MIN {
            return None;
        }
        let mean = |of: Of| samples.iter().map(of).sum::<f64>() / samples.len() as f64;
        let (mean_x, mean_y) = (mean(|it| it.at_s), mean(of));
        let point = |it: &Sample| (it.at_s - mean_x, of(it) - mean_y);
        let whole = Sums::of(samples.iter().map(point));
        let slope = whole.slope();
        let beside: Vec<f64> = samples.iter().map(point).map(|(x, y)| y - slope * x).collect();
        let lives: Vec<Sums> = lives(samples).map(|life| Sums::of(life.iter().map(point))).collect();
        let error = error_of_samples(&beside, whole.xx).max(error_of_lives(&lives, whole));
        let (slope_per_h, slope_error) = (slope * SECONDS_PER_HOUR, error * SECONDS_PER_HOUR);
        Some(Trend { first, last, slope_per_h, slope_error })
    }

    /// What is not explained by chance.
    fn at_least(&self) -> f64 {
        self.slope_per_h - 2.0 * self.slope_error
    }

    /// It grows faster than that, and not only by chance.
    pub(super) fn is_above(&self, per_hour: u64) -> bool {
        self.at_least() > per_hour as f64
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

fn lives(samples: &[Sample]) -> impl Iterator<Item = &[Sample]> {
    samples.chunk_by(|one, next| one.pid == next.pid)
}

/// Seconds from the first sample to the last one.
fn lasted(life: &[Sample]) -> f64 {
    life.first().zip(life.last()).map_or(0.0, |(first, last)| last.at_s - first.at_s)
}

fn after(samples: &[Sample], at_s: f64) -> &[Sample] {
    &samples[samples.partition_point(|it| it.at_s < at_s)..]
}

impl Sums {
    fn of(points: impl Iterator<Item = (f64, f64)>) -> Sums {
        points.fold(Sums::default(), |sums, (x, y)| Sums {
            count: sums.count + 1.0,
            x: sums.x + x,
            y: sums.y + y,
            xx: sums.xx + x * x,
            xy: sums.xy + x * y,
        })
    }

    fn without(self, part: Sums) -> Sums {
        Sums {
            count: self.count - part.count,
            x: self.x - part.x,
            y: self.y - part.y,
            xx: self.xx - part.xx,
            xy: self.xy - part.xy,
        }
    }

    /// Of the line of least squares; 0 if all is at one time.
    fn slope(self) -> f64 {
        let squares = self.xx - self.x * self.x / self.count;
        if squares > 0.0 { (self.xy - self.x * self.y / self.count) / squares } else { 0.0 }
    }
}

/// Of a slope, by what samples are beside the line. Those that follow each other are alike: few of them are independent.
fn error_of_samples(beside: &[f64], squares: f64) -> f64 {
    let rest: f64 = beside.iter().map(|it| it.powi(2)).sum();
    let products: f64 = beside.windows(2).map(|pair| pair[0] * pair[1]).sum();
    let kept = if rest > 0.0 { (products / rest).clamp(0.0, PERSISTENCE_MAX) } else { 0.0 };
    (rest / (beside.len() as f64 - 2.0) / squares * (1.0 + kept) / (1.0 - kept)).sqrt()
}

/// Half of what chance explains, by the slopes without each of the lives. A single life says nothing of it.
fn error_of_lives(lives: &[Sums], whole: Sums) -> f64 {
    let Some(others) = lives.len().checked_sub(1).filter(|others| *others > 0) else { return 0.0 };
    let changes: f64 = lives.iter().map(|life| (whole.without(*life).slope() - whole.slope()).powi(2)).sum();
    (changes * others as f64 / lives.len() as f64).sqrt() * ERRORS[others.min(ERRORS.len()) - 1] / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample((at_s, rss, pid): (f64, f64, u32)) -> Sample {
        Sample { at_s, rss, pid, ..Sample::default() }
    }

    fn trend(samples: impl Iterator<Item = (f64, f64, u32)>, warm_up: u64) -> Option<Trend> {
        Trend::of(&samples.map(sample).collect::<Vec<_>>(), |it| it.rss, Duration::from_secs(warm_up))
    }

    /// Of one life.
    fn of(value: impl Fn(f64) -> f64) -> Trend {
        trend((0..600).map(|at| (f64::from(at), value(f64::from(at)), 1)), 200).unwrap()
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

    /// Memory of a node that was killed at these times, in bytes: it fills its caches within 5 minutes of each start.
    fn killed_at(kills: &[f64], leak_per_h: f64) -> Trend {
        let at = |at: u32| {
            let at = f64::from(at);
            let life = kills.iter().filter(|kill| **kill <= at).count();
            let began = if life == 0 { 0.0 } else { kills[life - 1] };
            let rss = 25e6 + 90e6 * ((at - began) / 300.0).min(1.0) + leak_per_h * at / SECONDS_PER_HOUR;
            (at, rss, life as u32)
        };
        trend((0..960).map(at), 320).unwrap()
    }

    /// Where it was killed last is chance.
    #[test]
    fn starts_are_no_growth() {
        let last_life_is_long = killed_at(&[210.0, 310.0, 435.0, 530.0, 610.0], 0.0);
        assert!(last_life_is_long.slope_per_h > 200e6, "{last_life_is_long:?}");
        assert!(!last_life_is_long.is_above(8 << 20), "{last_life_is_long:?}");
        let late: Vec<f64> = (1..16).map(|kill| f64::from(kill) * 60.0).collect();
        assert!(!killed_at(&late, 0.0).is_above(8 << 20));
        assert!(killed_at(&late, 100e6).is_above(8 << 20), "what stays from life to life is growth");
        assert!(killed_at(&[1.0], 100e6).is_above(8 << 20));
    }

    /// One early death does not hide what a long life gathers.
    #[test]
    fn growth_of_a_life_is_seen_beside_another() {
        let at = |at: u32| (f64::from(at), f64::from(at.max(250)) * 1e5, u32::from(at >= 250));
        assert!(trend((0..960).map(at), 200).unwrap().is_above(8 << 20));
    }

    #[test]
    fn few_samples_say_nothing() {
        assert_eq!(trend((0..4).map(|at| (f64::from(at), 1.0, 1)), 0), None);
        assert_eq!(warm_up(Duration::from_secs(600)), Duration::from_secs(200));
        assert_eq!(warm_up(Duration::from_secs(36_000)), SOAK_WARM_UP_MAX);
    }
}
