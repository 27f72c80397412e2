//! How long messages take in the simulated network, and what of them is lost when a stream ends.

use super::chance::Chance;
use super::queue::{MS, Moment};

/// How long messages take: drawn per seed, then per message.
pub(super) struct Lag {
    chance: Chance,
    least: u64,
    most: u64,
    /// One in so many takes long; 0: none.
    slow_one_in: u64,
}

/// The longest that a slow message takes.
const SLOW: u64 = 150 * MS;

impl Lag {
    /// The lag of a seed.
    pub(crate) fn of(seed: u64) -> Lag {
        let mut chance = Chance::of(seed, "network");
        let scale = chance.pick(&[100, MS, 8 * MS]);
        let slow_one_in = chance.pick(&[0, 1_000, 50]);
        Lag { chance, least: scale / 2, most: scale * 3 / 2, slow_one_in }
    }

    /// Microseconds that the next message takes.
    pub(crate) fn draw(&mut self) -> u64 {
        let most = if self.chance.one_in(self.slow_one_in) { SLOW } else { self.most };
        self.chance.between(self.least, most)
    }

    /// Whether something that is on its way is lost with the process that said it.
    pub(crate) fn loses(&mut self) -> bool {
        self.chance.one_in(2)
    }

    /// A moment between the two, from which on what is on its way is lost.
    pub(crate) fn cut(&mut self, from: Moment, to: Moment) -> Moment {
        Moment(self.chance.between(from.0, to.0))
    }
}
