//! What the shoppers of a seed want: goods, habits, topology, and how fast orders come.

use std::collections::BTreeSet;

use super::chance::Chance;
use crate::model::shopper::Habits;
use crate::types::{Consistency, Money, PeerId, Quantity, Role};

/// Fewest peers that place orders: two may hold the offices, and those place none.
const SHOPPERS_MIN: u64 = 3;

/// One peer as drawn.
pub(super) struct PeerPlan {
    pub habits: Habits,
    /// Whom it is linked to, ascending.
    pub neighbours: Vec<PeerId>,
}

/// See the module's text.
pub(super) struct Load {
    /// The warehouse's goods.
    pub goods: Vec<(String, Quantity, Money)>,
    /// How many orders are to be placed in all.
    pub orders: u64,
    /// When traders answer at first.
    pub mode: Consistency,
    /// No peer takes the primary office over from a lower one.
    pub no_preempt: bool,
    plans: Vec<PeerPlan>,
    /// All orders are placed: a peer that is started from now on places none.
    pub over: bool,
}

impl Load {
    /// The load of a seed for so many peers and orders.
    pub(crate) fn draw(seed: u64, peers: u32, orders: u64) -> Load {
        let mut chance = Chance::of(seed, "load");
        let takes_ms = takes_ms(seed);
        let roles = roles(peers, &mut chance);
        let shoppers = roles.iter().filter(|role| **role != Role::Idle).count() as u64;
        let interval_ms = (takes_ms * shoppers / orders.max(1)).max(1);
        let habits = Habits {
            role: Role::Idle,
            requests: None,
            interval_ms,
            deposit: (1, chance.pick(&[5, 20])),
            deposit_every_ms: interval_ms,
            quantity: (1, chance.pick(&[1, 3, 12])),
            partial: chance.one_in(2),
            seed,
        };
        let links = links(peers, &mut chance);
        let plan = |(role, neighbours): (Role, BTreeSet<PeerId>)| PeerPlan {
            habits: Habits { role, ..habits.clone() },
            neighbours: neighbours.into_iter().collect(),
        };
        Load {
            goods: goods(&mut chance),
            orders,
            mode: mode(seed),
            no_preempt: chance.one_in(4),
            plans: roles.into_iter().zip(links).map(plan).collect(),
            over: false,
        }
    }

    /// How a peer was drawn.
    pub(crate) fn plan(&self, id: PeerId) -> &PeerPlan {
        &self.plans[id.0 as usize - 1]
    }

    /// How a peer behaves from its `starts`-th start on. It wishes for other things in each life.
    pub(crate) fn habits(&self, id: PeerId, starts: u64) -> Habits {
        let habits = self.plan(id).habits.clone();
        let role = if self.over { Role::Idle } else { habits.role };
        Habits { role, seed: habits.seed.wrapping_add(starts << 32), ..habits }
    }
}

/// Milliseconds in which the orders of a seed are placed if nothing goes wrong.
pub(super) fn takes_ms(seed: u64) -> u64 {
    Chance::of(seed, "takes").pick(&[2_000, 8_000, 20_000, 45_000])
}

fn mode(seed: u64) -> Consistency {
    Chance::of(seed, "mode").pick(&Consistency::ALL)
}

fn goods(chance: &mut Chance) -> Vec<(String, Quantity, Money)> {
    let most = chance.pick(&[20, 200, 2_000]);
    let good =
        |(name, price): (&str, i64)| (name.to_owned(), Quantity(chance.between(1, most)), Money(price * 100));
    [("boar", 3), ("fish", 1), ("salt", 4)].into_iter().map(good).collect()
}

/// One buyer at least, and enough shoppers that some are left beside the traders.
fn roles(peers: u32, chance: &mut Chance) -> Vec<Role> {
    let idle = chance.between(0, u64::from(peers).saturating_sub(SHOPPERS_MIN)) as u32;
    let shopper = |nth: u32| match nth {
        0 => Role::Buyer,
        _ => chance.pick(&[Role::Buyer, Role::Buyer, Role::Seller]),
    };
    let mut roles: Vec<Role> = (0..peers - idle).map(shopper).collect();
    roles.resize(peers as usize, Role::Idle);
    // The highest ids get the offices, so which roles they have is drawn, too.
    for at in (1..roles.len()).rev() {
        roles.swap(at, chance.between(0, at as u64) as usize);
    }
    roles
}

/// A ring, and some links across it.
fn links(peers: u32, chance: &mut Chance) -> Vec<BTreeSet<PeerId>> {
    let mut links = vec![BTreeSet::new(); peers as usize];
    let mut link = |one: u32, other: u32| {
        if one != other {
            links[one as usize].insert(PeerId(other + 1));
            links[other as usize].insert(PeerId(one + 1));
        }
    };
    (0..peers).for_each(|one| link(one, (one + 1) % peers));
    for _ in 0..chance.between(0, u64::from(peers)) {
        link(chance.between(0, u64::from(peers) - 1) as u32, chance.between(0, u64::from(peers) - 1) as u32);
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_is_left_to_order_when_two_are_in_office() {
        for seed in 0..200 {
            let peers = 3 + (seed % 7) as u32;
            let load = Load::draw(seed, peers, 200);
            let of = |role| load.plans.iter().filter(|plan| plan.habits.role == role).count();
            assert!(of(Role::Buyer) + of(Role::Seller) >= 3 && of(Role::Buyer) >= 1, "seed {seed}");
            for (id, plan) in (1..=peers).zip(&load.plans) {
                assert!(!plan.neighbours.is_empty() && !plan.neighbours.contains(&PeerId(id)));
                assert!(
                    plan.neighbours.iter().all(|other| load.plan(*other).neighbours.contains(&PeerId(id)))
                );
            }
        }
    }
}
