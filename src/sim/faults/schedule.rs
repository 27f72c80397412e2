//! The faults of a seed, drawn in advance: each seed has its own mix with its own strengths, some have none.

use super::{Kind, Seats};
use crate::sim::chance::Chance;
use crate::sim::load;

/// Which nodes a fault is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    /// This one node; 0 is the warehouse.
    Node(u32),
    Primary,
    Secondary,
    Traders,
    Peers,
    All,
}

impl Aim {
    /// The nodes, by id, as the offices are held now. None where an office is vacant.
    pub(in crate::sim) fn nodes(self, seats: Seats) -> Vec<u32> {
        match self {
            Aim::Node(id) => vec![id],
            Aim::Primary => seats.primary.into_iter().collect(),
            Aim::Secondary => seats.secondary.into_iter().collect(),
            Aim::Traders => seats.primary.into_iter().chain(seats.secondary).collect(),
            Aim::Peers => (1..=seats.peers).collect(),
            Aim::All => (0..=seats.peers).collect(),
        }
    }

    fn draw(chance: &mut Chance, peers: u32) -> Aim {
        match chance.between(0, 7) {
            0 | 1 => Aim::Node(chance.between(0, peers.into()) as u32),
            2 => Aim::Node(0),
            3 => Aim::Primary,
            4 => Aim::Secondary,
            5 => Aim::Traders,
            6 => Aim::Peers,
            _ => Aim::All,
        }
    }
}

/// A fault that is to come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// Milliseconds after the world began.
    pub at_ms: u64,
    /// Of which kind.
    pub kind: Kind,
    /// At whom.
    pub aim: Aim,
    /// How long it lasts: what that means depends on the kind.
    pub lasts_ms: u64,
    /// What its details are drawn from.
    pub number: u32,
}

impl Planned {
    /// The draws for its details.
    pub(in crate::sim) fn chance(&self) -> Chance {
        Chance::of(self.number.into(), self.kind.name())
    }
}

/// What a world is made from: with the same code the same schedule gives the same run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schedule {
    /// Where all chance apart from the faults' comes from.
    pub seed: u64,
    /// How many peers.
    pub peers: u32,
    /// Orders that are placed, at least.
    pub orders: u64,
    /// What goes wrong, by time.
    pub faults: Vec<Planned>,
}

/// What schedules are drawn from.
pub(crate) struct Setting<'a> {
    pub seed: u64,
    pub peers: u32,
    pub orders: u64,
    /// Which faults may be drawn.
    pub faults: &'a [Kind],
}

/// How long faults of a kind last at most: drawn for each kind and seed.
const LASTS_MS: [u64; 5] = [20, 200, 1_000, 3_000, 10_000];

impl Schedule {
    /// The schedule of a seed.
    pub(crate) fn draw(setting: &Setting<'_>) -> Schedule {
        let Setting { seed, peers, orders, faults } = *setting;
        let mut chance = Chance::of(seed, "faults");
        let mix = Mix::draw(&mut chance, peers, faults);
        let gap = load::takes_ms(seed) / mix.count.max(1);
        let mut at_ms = 0;
        let faults = (0..mix.count)
            .map(|_| {
                at_ms += chance.between(gap / 4, gap * 7 / 4);
                mix.fault(at_ms, &mut chance, peers)
            })
            .collect();
        Schedule { seed, peers, orders, faults }
    }
}

/// The swarm: what may come about in a seed at all.
struct Mix {
    kinds: Vec<(Kind, u64)>,
    aims: Vec<Aim>,
    count: u64,
}

impl Mix {
    fn draw(chance: &mut Chance, peers: u32, allowed: &[Kind]) -> Mix {
        let quiet = allowed.is_empty() || chance.one_in(10);
        let few = chance.pick(&[2, 3, 6]);
        let mut kinds: Vec<Kind> = allowed.iter().copied().filter(|_| chance.one_in(few)).collect();
        if kinds.is_empty() && !quiet {
            kinds.push(chance.pick(allowed));
        }
        let kinds = kinds.into_iter().map(|kind| (kind, chance.pick(&LASTS_MS))).collect();
        let aims = (0..chance.between(1, 4)).map(|_| Aim::draw(chance, peers)).collect();
        Mix { kinds, aims, count: if quiet { 0 } else { chance.between(20, 30) } }
    }

    fn fault(&self, at_ms: u64, chance: &mut Chance, peers: u32) -> Planned {
        let (kind, most) = chance.pick(&self.kinds);
        let aim = match chance.one_in(4) {
            true => Aim::Node(chance.between(0, peers.into()) as u32),
            false => chance.pick(&self.aims),
        };
        let (lasts_ms, number) = (chance.between(0, most), chance.between(0, u32::MAX.into()) as u32);
        Planned { at_ms, kind, aim, lasts_ms, number }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, faults: &[Kind]) -> Schedule {
        Schedule::draw(&Setting { seed, peers: 5, orders: 200, faults })
    }

    #[test]
    fn some_seeds_are_quiet_and_the_others_have_twenty_faults_or_more() {
        let counts: Vec<usize> = (0..100).map(|seed| drawn(seed, &Kind::ALL).faults.len()).collect();
        assert!(counts.contains(&0));
        assert!(counts.iter().all(|count| *count == 0 || (20..=30).contains(count)));
        assert!(drawn(1, &[]).faults.is_empty());
    }

    #[test]
    fn every_kind_is_drawn_somewhere_and_no_seed_has_all() {
        let kinds = |seed| {
            let faults = drawn(seed, &Kind::ALL).faults;
            faults.into_iter().map(|fault| fault.kind).collect::<std::collections::BTreeSet<Kind>>()
        };
        let all: std::collections::BTreeSet<Kind> = (0..200).flat_map(kinds).collect();
        assert_eq!(all.len(), Kind::ALL.len());
        assert!((0..200).all(|seed| kinds(seed).len() < Kind::ALL.len() - 2));
    }

    #[test]
    fn aims_are_found_as_offices_are_held() {
        let seats = Seats { peers: 4, primary: Some(4), secondary: None };
        assert_eq!(Aim::Traders.nodes(seats), [4]);
        assert!(Aim::Secondary.nodes(seats).is_empty());
        assert_eq!(Aim::All.nodes(seats), [0, 1, 2, 3, 4]);
    }
}
