//! What goes wrong in a seed: which kinds, how often, at whom, and for how long.
//!
//! Each seed draws its own mix; some have none. A fault is counted when it did something.

use std::collections::BTreeMap;

use super::chance::Chance;
use super::queue::{MS, SECOND};

/// A kind of fault: something that goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// kill -9 of a process or of several at once; they are started again later.
    Kill,
}

impl Kind {
    /// All there are.
    pub(crate) const ALL: [Kind; 1] = [Kind::Kill];

    /// As typed and printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
        }
    }

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// How often each kind came about.
pub(crate) type Counts = BTreeMap<Kind, u64>;

/// Which nodes a fault is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    Anyone,
    Warehouse,
    Primary,
    Secondary,
    Traders,
    Peers,
    All,
}

const AIMS: [Aim; 8] = [
    Aim::Anyone,
    Aim::Anyone,
    Aim::Warehouse,
    Aim::Primary,
    Aim::Secondary,
    Aim::Traders,
    Aim::Peers,
    Aim::All,
];

/// How many peers there are and who holds the offices: faults are aimed by it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seats {
    pub peers: u32,
    pub primary: Option<u32>,
    pub secondary: Option<u32>,
}

/// A fault that is to come about now.
pub(super) struct Strike {
    pub kind: Kind,
    /// At these nodes, by id.
    pub nodes: Vec<u32>,
}

/// See the module's text.
pub(super) struct Faults {
    chance: Chance,
    kinds: Vec<Kind>,
    aims: Vec<Aim>,
    gap: u64,
    down_most: u64,
    left: u64,
    counts: Counts,
}

impl Faults {
    /// The faults of a seed, of some of these kinds, spread over `takes` microseconds.
    pub(crate) fn draw(seed: u64, allowed: &[Kind], takes: u64) -> Faults {
        let mut chance = Chance::of(seed, "faults");
        let quiet = allowed.is_empty() || chance.one_in(8);
        let mut kinds: Vec<Kind> = allowed.iter().copied().filter(|_| !chance.one_in(3)).collect();
        if kinds.is_empty() && !quiet {
            kinds.push(chance.pick(allowed));
        }
        let left = if quiet { 0 } else { chance.between(15, 30) };
        Faults {
            aims: (0..chance.between(1, 4)).map(|_| chance.pick(&AIMS)).collect(),
            gap: takes / left.max(1),
            down_most: chance.pick(&[20 * MS, 500 * MS, 2 * SECOND, 5 * SECOND]),
            chance,
            kinds,
            left,
            counts: Counts::new(),
        }
    }

    /// How often each kind came about.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// No more are to come.
    pub(crate) fn are_over(&self) -> bool {
        self.left == 0
    }

    /// No more come.
    pub(crate) fn stop(&mut self) {
        self.left = 0;
    }

    /// Microseconds to the next fault; none if there is none to come.
    pub(crate) fn next(&mut self) -> Option<u64> {
        (self.left > 0).then(|| self.chance.between(self.gap / 4, self.gap * 7 / 4))
    }

    /// The next fault is due.
    pub(crate) fn strike(&mut self, seats: Seats) -> Option<Strike> {
        self.left = self.left.checked_sub(1)?;
        let (kind, aim) = (self.chance.pick(&self.kinds), self.chance.pick(&self.aims));
        let nodes = match aim {
            Aim::Anyone => vec![self.chance.between(0, seats.peers.into()) as u32],
            Aim::Warehouse => vec![0],
            Aim::Primary => seats.primary.into_iter().collect(),
            Aim::Secondary => seats.secondary.into_iter().collect(),
            Aim::Traders => seats.primary.into_iter().chain(seats.secondary).collect(),
            Aim::Peers => (1..=seats.peers).collect(),
            Aim::All => (0..=seats.peers).collect(),
        };
        Some(Strike { kind, nodes })
    }

    /// A fault came about.
    pub(crate) fn count(&mut self, kind: Kind) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Microseconds until a killed node is started again.
    pub(crate) fn down(&mut self) -> u64 {
        self.chance.between(0, self.down_most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_seeds_are_quiet_and_the_others_have_some_twenty_faults() {
        let seats = Seats { peers: 5, primary: Some(5), secondary: None };
        let strikes = |seed| {
            let mut faults = Faults::draw(seed, &Kind::ALL, SECOND);
            std::iter::from_fn(|| faults.strike(seats)).count()
        };
        let counts: Vec<usize> = (0..100).map(strikes).collect();
        assert!(counts.contains(&0));
        assert!(counts.iter().all(|count| *count == 0 || (15..=30).contains(count)));
        assert!(Faults::draw(1, &[], SECOND).are_over());
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        assert!(Kind::ALL.into_iter().all(|kind| Kind::named(kind.name()) == Some(kind)));
        assert_eq!(Kind::named("flood"), None);
    }
}
