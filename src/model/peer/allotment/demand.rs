//! How much of a good is asked for: an exponential average, which halves every [`ALLOTMENT_HALVES_MS`].

use crate::limits::{ALLOTMENT_HALVES_MS, ALLOTMENT_PIECES_MAX, ALLOTMENT_PIECES_MIN};
use crate::types::Now;

/// Halvings for which an allotment lasts at the present pace.
const LASTS: u64 = 4;
/// Beyond so many halvings nothing is left.
const HALVINGS_MAX: u64 = 63;

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    /// Pieces, those before the last halving counted half, and so on.
    pieces: u64,
    halved: Option<Now>,
}

impl Demand {
    pub(super) fn add(&mut self, now: Now, pieces: u64) {
        self.pieces = self.now(now).saturating_add(pieces);
    }

    /// The average as of now.
    pub(super) fn now(&mut self, now: Now) -> u64 {
        let halved = *self.halved.get_or_insert(now);
        let halvings = now.ms_since(halved) / ALLOTMENT_HALVES_MS;
        if halvings > 0 {
            self.pieces = self.pieces.checked_shr(halvings.min(HALVINGS_MAX) as u32).unwrap_or(0);
            self.halved = Some(halved.after_ms(halvings * ALLOTMENT_HALVES_MS));
        }
        self.pieces
    }

    /// When it halves next.
    pub(super) fn halves_at(&self) -> Now {
        self.halved.unwrap_or(Now(0)).after_ms(ALLOTMENT_HALVES_MS)
    }

    /// Pieces that an allotment should have: what is asked for while it halves a few times, between a floor and a ceiling;
    /// 0 if nobody asks.
    pub(super) fn target(&mut self, now: Now) -> u64 {
        match self.now(now) {
            0 => 0,
            pieces => pieces.saturating_mul(LASTS).clamp(ALLOTMENT_PIECES_MIN, ALLOTMENT_PIECES_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_counts_half_after_a_while_and_then_nothing() {
        let at = |halvings: u64| Now(1).after_ms(halvings * ALLOTMENT_HALVES_MS);
        let mut demand = Demand::default();
        assert_eq!(demand.target(at(0)), 0);
        demand.add(at(0), 1_000);
        demand.add(at(1), 100);
        assert_eq!([demand.now(at(1)), demand.now(at(2)), demand.now(at(4))], [600, 300, 75]);
        assert_eq!(demand.target(at(4)), 75 * LASTS);
        assert_eq!([demand.now(at(60)), demand.target(at(200))], [0, 0]);
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
