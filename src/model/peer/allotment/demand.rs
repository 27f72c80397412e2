//! How much of a good is asked for: an exponential average, which halves every [`ALLOTMENT_HALVES_MS`].
//!
//! The time is halved with the pieces, so that the average is right from the first second on, and not only when it has run
//! for some halvings.

use crate::limits::{
    ALLOTMENT_HALVES_MS, ALLOTMENT_LASTS_MS, ALLOTMENT_PIECES_MAX, ALLOTMENT_PIECES_MIN, DEMAND_SEEN_MS_MIN,
};
use crate::types::Now;

/// Beyond so many halvings nothing is left.
const HALVINGS_MAX: u64 = 63;

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// Pieces, those before the last halving counted half, and so on.
    pieces: u64,
    /// The time in which they were asked for before the last halving, counted like them, in milliseconds.
    seen_ms: u64,
    halved: Option<Now>,
}

impl Demand {
    pub(super) fn add(&mut self, now: Now, pieces: u64) {
        if self.now(now) == 0 {
            *self = Demand { halved: Some(now), ..Demand::default() };
        }
        self.pieces = self.pieces.saturating_add(pieces);
    }

    /// The pieces as of now.
    pub(super) fn now(&mut self, now: Now) -> u64 {
        let halved = *self.halved.get_or_insert(now);
        let halvings = now.ms_since(halved) / ALLOTMENT_HALVES_MS;
        for _ in 0..halvings.min(HALVINGS_MAX) {
            self.pieces /= 2;
            self.seen_ms = (self.seen_ms + ALLOTMENT_HALVES_MS) / 2;
        }
        self.halved = Some(halved.after_ms(halvings * ALLOTMENT_HALVES_MS));
        self.pieces
    }

    /// When it halves next.
    pub(super) fn halves_at(&self) -> Now {
        self.halved.unwrap_or(Now(0)).after_ms(ALLOTMENT_HALVES_MS)
    }

    /// Pieces that an allotment should have: what is asked for in [`ALLOTMENT_LASTS_MS`] at the present pace, between a
    /// floor and a ceiling; 0 if nobody asks.
    pub(super) fn target(&mut self, now: Now) -> u64 {
        let pieces = self.now(now);
        if pieces == 0 {
            return 0;
        }
        let since_ms = self.halved.map_or(0, |halved| now.ms_since(halved));
        let seen_ms = (self.seen_ms + since_ms).max(DEMAND_SEEN_MS_MIN);
        let target = pieces.saturating_mul(ALLOTMENT_LASTS_MS) / seen_ms;
        target.clamp(ALLOTMENT_PIECES_MIN, ALLOTMENT_PIECES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(halvings: u64) -> Now {
        Now(1).after_ms(halvings * ALLOTMENT_HALVES_MS)
    }

    #[test]
    fn what_is_asked_for_counts_half_after_a_while_and_then_nothing() {
        let mut demand = Demand::default();
        assert_eq!(demand.target(at(0)), 0);
        demand.add(at(0), 1_000);
        demand.add(at(1), 100);
        assert_eq!([demand.now(at(1)), demand.now(at(2)), demand.now(at(4))], [600, 300, 75]);
        assert_eq!([demand.now(at(60)), demand.target(at(200))], [0, 0]);
    }

    /// 100 pieces a second, seen for one second, for a minute, and again after a long silence.
    #[test]
    fn the_target_is_the_same_however_long_the_pace_was_seen() {
        let mut demand = Demand::default();
        let mut after = |from: u64, seconds: u64| {
            for tenth in 0..seconds * 10 {
                demand.add(Now(1).after_ms(from + tenth * 100), 10);
            }
            demand.target(Now(1).after_ms(from + seconds * 1_000))
        };
        let wanted = 100 * ALLOTMENT_LASTS_MS / 1_000;
        for (from, seconds) in [(0, 1), (1_000, 10), (11_000, 60), (10_000_000, 1), (10_001_000, 5)] {
            let target = after(from, seconds);
            assert!(target.abs_diff(wanted) <= wanted / 20, "{target} of {wanted} after {seconds} s");
        }
    }

    #[test]
    fn an_allotment_has_a_floor_and_a_ceiling() {
        let mut demand = Demand::default();
        demand.add(Now(1), 1);
        assert_eq!(demand.target(Now(1)), ALLOTMENT_PIECES_MIN);
        demand.add(Now(1), u64::MAX);
        assert_eq!(demand.target(Now(1)), ALLOTMENT_PIECES_MAX);
    }
}
