//! Numbers of orders, epochs of stores, generations of ledgers and terms of grants: how one is part of the other.
//!
//! ```text
//! number   generation 7 bits | epoch's count 16 bits | k 30 bits   always below 2^53, so that JSON readers keep it
//! epoch    generation        | count                               number >> 30
//! term     generation 7 bits | count 46 bits
//! ```
//!
//! None of them comes from a clock. A restore begins a generation, and with it epochs and terms that no earlier one can
//! have had, whatever the lost part of the ledger granted. In generation 0 all of them count from 0 or 1.
//!
//! **Ledgers of format 1.** There an order's number was `epoch << 32 | k` and a generation the second of the restore
//! since 1970, which was a lower bound of its epochs and terms, too. Read as above such a number has four times its
//! epoch and the same `k`, so epochs of format 1 are multiplied by four where they are read; then all numbers compare as
//! they did. A ledger that was restored under format 1 keeps its large numbers, and its generations go on in steps of
//! [`OLD_STEP`]: epochs are `generation << 2` or more, terms `generation << 20`. In one such generation the step leaves
//! 2^18 epochs to each peer and 2^36 terms, all below those of the next. Terms of format 1, generation or a little more,
//! are below 2^32 and so below all of these; and with 2^32 as a bound of such generations, numbers stay below 2^64,
//! terms below 2^52, and there is room for some 38,000 restores.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Epoch, Number, Stamp, Term};

/// Bits of `k` in a number.
const K_BITS: u32 = 30;
/// Bits of the epochs of one generation.
const EPOCH_BITS: u32 = 16;
/// Bits of the generation.
const GENERATION_BITS: u32 = 7;
/// The highest generation that counts from 0.
pub const GENERATION_MAX: u64 = (1 << GENERATION_BITS) - 1;
/// From one generation to the next in a ledger that was restored under format 1.
pub(crate) const OLD_STEP: u64 = 1 << 16;
/// Generations of format 1 are seconds since 1970, and were above this since 2004.
pub(crate) const OLD_MIN: u64 = 1 << 30;
/// Generations that go on from those of format 1 stay below this.
const OLD_END: u64 = 1 << 32;
/// Bits of such a generation's epochs and terms.
const OLD_EPOCH_BITS: u32 = 2;
const OLD_TERM_BITS: u32 = 20;

/// Bits of the clocks of one generation; of an old ledger's less, since it counts in steps of [`OLD_STEP`].
const CLOCK_BITS: u32 = 48;
const OLD_CLOCK_BITS: u32 = 28;

const _: () = {
    assert!(OLD_END << OLD_CLOCK_BITS <= 1 << 60, "clocks of old ledgers stay in a u64");
    assert!(OLD_MIN << OLD_CLOCK_BITS > (GENERATION_MAX + 1) << CLOCK_BITS);
    assert!(K_BITS + EPOCH_BITS + GENERATION_BITS == 53, "a number is exact in JSON");
    assert!(OLD_END << OLD_EPOCH_BITS <= 1 << (64 - K_BITS), "numbers of old ledgers stay in a u64");
    assert!(
        OLD_STEP << OLD_EPOCH_BITS >= 1 << EPOCH_BITS,
        "a generation of an old ledger has as many epochs"
    );
    assert!(OLD_END << OLD_TERM_BITS < 1 << 53, "terms are exact in JSON");
    assert!(OLD_MIN << OLD_TERM_BITS > OLD_END, "terms of format 1 are below all later ones");
};

impl Number {
    /// The highest `k`: then the store takes a new token, hence a new epoch.
    pub const K_MAX: u32 = (1 << K_BITS) - 1;

    /// Puts a number together from the epoch of the store and the count in it, which is at most [`Number::K_MAX`].
    pub fn new(epoch: Epoch, k: u32) -> Number {
        debug_assert!(k <= Number::K_MAX, "the count {k} does not fit a number");
        Number(epoch.0 << K_BITS | u64::from(k))
    }

    /// The epoch of the store that gave this number.
    pub fn epoch(self) -> Epoch {
        Epoch(self.0 >> K_BITS)
    }

    /// The count within its epoch, from 1.
    pub fn k(self) -> u32 {
        self.0 as u32 & Number::K_MAX
    }

    /// The number after this one, in the same epoch; none if the count is spent.
    pub(crate) fn next(self) -> Option<Number> {
        (self.k() < Number::K_MAX).then(|| Number(self.0 + 1))
    }
}

impl Epoch {
    /// The epoch that a record of format 1 means; see the module's text.
    pub(crate) fn of_format_1(epoch: u32) -> Epoch {
        Epoch(u64::from(epoch) << (32 - K_BITS))
    }

    /// What a record of format 1 said, and its row shows.
    pub(crate) fn in_format_1(self) -> u64 {
        self.0 >> (32 - K_BITS)
    }
}

/// A generation of a ledger: how often it was restored from a backup, and which of the restores with this count it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation {
    /// Counts restores, from 0; of a ledger that was restored under format 1 see the module's text.
    pub count: u64,
    /// Drawn at the restore. Two restores of one backup have the same count, and tell apart by this. 0: the first
    /// generation, or a restore of format 1.
    pub random: u64,
}

impl Generation {
    /// The count for a ledger that is restored when generations up to `seen` may have been in use; none if they are
    /// spent.
    pub(crate) fn count_after(seen: u64) -> Option<u64> {
        if seen <= GENERATION_MAX {
            return Some(seen + 1).filter(|count| *count <= GENERATION_MAX);
        }
        seen.checked_add(OLD_STEP).filter(|count| *count < OLD_END)
    }

    /// Whether a ledger can have it: it is counted, or goes on from one of format 1.
    pub(crate) fn is_possible(count: u64) -> bool {
        count <= GENERATION_MAX || (OLD_MIN..OLD_END).contains(&count)
    }

    /// The lowest epoch that a session opened in this generation may have.
    pub(crate) fn first_epoch(self) -> Epoch {
        Generation::first_epoch_of(self.count)
    }

    /// Epochs of this generation end before this one, with which a later generation may begin.
    pub(crate) fn end_of_epochs(self) -> Epoch {
        let step = if self.count > GENERATION_MAX { OLD_STEP } else { 1 };
        Generation::first_epoch_of(self.count.saturating_add(step))
    }

    fn first_epoch_of(count: u64) -> Epoch {
        // One above the counted generations bounds the epochs of the last of them.
        let bits = if count > GENERATION_MAX + 1 { OLD_EPOCH_BITS } else { EPOCH_BITS };
        Epoch(count.min(OLD_END) << bits)
    }

    /// All terms granted in this generation are above this one.
    pub(crate) fn before_first_term(self) -> Term {
        match self.count {
            count @ ..=GENERATION_MAX => Term(count << (K_BITS + EPOCH_BITS)),
            // Restored under format 1: its terms began there.
            count if self.random == 0 => Term(count),
            count => Term(count.min(OLD_END) << OLD_TERM_BITS),
        }
    }

    /// The warehouse's clock begins here, or above it. No market makes as many ticks in one generation (2^48: a million a
    /// second for nine years), so no clock of an earlier generation has got there, whatever became of the ledgers. If a
    /// restored clock were counted from its backup's instead: a ledger is restored twice in a row, then an older backup
    /// once, and the peers' clocks are so far ahead of the warehouse's that it believes none of them, for ever.
    pub(crate) fn first_clock(self) -> Stamp {
        let bits = if self.count > GENERATION_MAX { OLD_CLOCK_BITS } else { CLOCK_BITS };
        Stamp(self.count.min(OLD_END) << bits)
    }

    /// The one with this count that all tests have.
    #[cfg(test)]
    pub(crate) fn of_test(count: u64) -> Generation {
        Generation { count, random: 7 * count.min(1) }
    }

    /// Another restore with the same count: at most one of the two is the market's ledger.
    pub(crate) fn rivals(self, other: Generation) -> bool {
        self.count == other.count && self.random != other.random
    }

    /// What is wrong when a ledger of this generation meets a store that has seen a rival, and the mend.
    pub(crate) fn rival(self, seen: Generation) -> String {
        format!(
            "this ledger is of generation {self}, and the store has seen generation {seen}: they are of two restores. \
             To go on with this one stop the warehouse, move its directory away, and restore it above both: \
             bazaar restore --from DIRECTORY --accept-loss --above {}",
            self.count
        )
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.random {
            0 => write!(f, "{}", self.count),
            random => write!(f, "{} ({random:016x})", self.count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generation(count: u64) -> Generation {
        Generation { count, random: 7 }
    }

    #[test]
    fn numbers_carry_their_epoch_and_stay_below_2_to_the_53() {
        let number = Number::new(Epoch(3), 7);
        assert_eq!((number.epoch(), number.k()), (Epoch(3), 7));
        assert!(Number::new(Epoch(1), 1) > Number::new(Epoch(0), Number::K_MAX));
        let last = Number::new(Epoch(generation(GENERATION_MAX).end_of_epochs().0 - 1), Number::K_MAX);
        assert_eq!(last.0, (1 << 53) - 1);
    }

    #[test]
    fn a_number_of_format_1_has_four_times_its_epoch_and_the_same_k() {
        for (epoch, k) in [(0_u32, 1_u32), (1, 3), (1_795_341_600, 40), (u32::MAX, Number::K_MAX)] {
            let number = Number(u64::from(epoch) << 32 | u64::from(k));
            assert_eq!((number.epoch(), number.k()), (Epoch::of_format_1(epoch), k));
            assert_eq!(number.epoch().in_format_1(), u64::from(epoch));
        }
    }

    #[test]
    fn a_spent_count_has_no_next_number() {
        assert_eq!(Number::new(Epoch(2), 7).next(), Some(Number::new(Epoch(2), 8)));
        assert_eq!(Number::new(Epoch(2), Number::K_MAX).next(), None);
    }

    #[test]
    fn generations_count_and_are_spent() {
        assert_eq!((0..3).map(Generation::count_after).collect::<Vec<_>>(), [Some(1), Some(2), Some(3)]);
        assert_eq!(Generation::count_after(GENERATION_MAX - 1), Some(GENERATION_MAX));
        assert_eq!(Generation::count_after(GENERATION_MAX), None);
        assert_eq!(Generation::count_after(1_700_000_000), Some(1_700_000_000 + OLD_STEP));
        assert_eq!(Generation::count_after(OLD_END - 1), None);
        assert_eq!(Generation::count_after(u64::MAX), None);
    }

    /// Otherwise an epoch or a term that was given in the lost part of a ledger would be given once more.
    #[test]
    fn epochs_and_terms_of_a_generation_lie_below_those_of_the_next() {
        for count in (0..GENERATION_MAX).chain([OLD_MIN, 1_795_341_600, OLD_END - 1 - OLD_STEP]) {
            let (this, next) = (generation(count), generation(Generation::count_after(count).unwrap()));
            assert_eq!(this.end_of_epochs(), next.first_epoch(), "{count}");
            assert!(this.first_epoch() < this.end_of_epochs());
            assert!(next.before_first_term().0 - this.before_first_term().0 >= 1 << 36, "{count}");
        }
        let under_format_1 = Generation { count: 1_795_341_600, random: 0 };
        let next = generation(1_795_341_600 + OLD_STEP);
        assert_eq!(under_format_1.before_first_term(), Term(1_795_341_600));
        assert!(next.before_first_term() > Term(u64::from(u32::MAX)), "no term of format 1 reaches it");
    }

    #[test]
    fn two_restores_with_one_count_are_rivals() {
        assert!(generation(1).rivals(Generation { count: 1, random: 8 }));
        assert!(!generation(1).rivals(generation(1)) && !generation(1).rivals(generation(2)));
    }

    #[test]
    fn a_generation_is_counted_or_of_format_1() {
        assert!([0, 127, OLD_MIN, 1_795_341_600].into_iter().all(Generation::is_possible));
        assert!(![128, 900, OLD_END, u64::MAX].into_iter().any(Generation::is_possible));
    }
}
