//! Chance from a seed: one stream of draws per purpose, so that a new draw in one place does not shift the others.
//!
//! Whole numbers only: floats may come out differently on another machine.

use crate::types::Hash;

/// A stream of draws.
pub(super) struct Chance(fastrand::Rng);

impl Chance {
    /// The draws of a seed for one purpose.
    pub(crate) fn of(seed: u64, purpose: &str) -> Chance {
        let name = [&seed.to_le_bytes()[..], purpose.as_bytes()].concat();
        Chance(fastrand::Rng::with_seed(Hash::of(&name).first_u64()))
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most)
    }

    /// True once in `n` draws, on average; never for 0.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.0.u64(..n) == 0
    }

    /// One of several, each as likely as another.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.between(0, among.len() as u64 - 1) as usize]
    }

    /// Draws of its own, for a part whose number of draws is not to shift the others.
    pub(crate) fn branch(&mut self) -> Chance {
        Chance(fastrand::Rng::with_seed(self.between(0, u64::MAX)))
    }

    /// A secret.
    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_do_not_share_a_stream() {
        let draws = |seed, purpose| {
            let mut chance = Chance::of(seed, purpose);
            (0..8).map(|_| chance.between(0, u64::MAX)).collect::<Vec<_>>()
        };
        assert_eq!(draws(7, "network"), draws(7, "network"));
        assert_ne!(draws(7, "network"), draws(7, "disks"));
        assert_ne!(draws(7, "network"), draws(8, "network"));
    }

    #[test]
    fn nothing_is_never_one_in_none() {
        assert!(!Chance::of(1, "test").one_in(0));
        assert!(Chance::of(1, "test").one_in(1));
    }
}
