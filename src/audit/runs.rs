//! Sets of orders as runs of numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{Epoch, Number, OrderId, PeerId};

/// Orders by peer and epoch. Numbers come in order but for few, so that runs of them take little room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken(BTreeMap<(PeerId, Epoch), BTreeMap<u32, u32>>);

impl Taken {
    /// Takes an order in; false if it was there.
    pub(crate) fn insert(&mut self, id: OrderId) -> bool {
        let (runs, k) = (self.0.entry((id.peer, id.number.epoch())).or_default(), id.number.k());
        let first = match runs.range_mut(..=k).next_back() {
            Some((_, end)) if *end >= k => return false,
            Some((first, end)) if *end + 1 == k => {
                *end = k;
                *first
            }
            _ => {
                runs.insert(k, k);
                k
            }
        };
        if let Some(end) = k.checked_add(1).and_then(|next| runs.remove(&next)) {
            runs.insert(first, end);
        }
        true
    }

    /// Whether an order is there.
    pub(crate) fn contains(&self, id: OrderId) -> bool {
        let runs = self.0.get(&(id.peer, id.number.epoch()));
        let run = runs.and_then(|runs| runs.range(..=id.number.k()).next_back());
        run.is_some_and(|(_, end)| *end >= id.number.k())
    }

    /// Orders of one peer and epoch that follow each other, as the first and the last.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (PeerId, Epoch, u32, u32)> + '_ {
        let of = |(&(peer, epoch), runs): (&(PeerId, Epoch), &'_ BTreeMap<u32, u32>)| {
            let runs: Vec<_> = runs.iter().map(|(first, last)| (peer, epoch, *first, *last)).collect();
            runs
        };
        self.0.iter().flat_map(of)
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.runs().flat_map(|(peer, epoch, first, last)| {
            (first..=last).map(move |k| OrderId { peer, number: Number::new(epoch, k) })
        })
    }

    /// Drops the orders of all epochs before this one.
    pub(crate) fn retain_from(&mut self, epoch: Epoch) {
        self.0.retain(|(_, other), _| *other >= epoch);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn taken_orders_are_a_set(orders in prop::collection::vec((1_u32..4, 0_u64..2, 1_u32..40), 0..120)) {
            let (mut taken, mut model) = (Taken::default(), BTreeSet::new());
            for (peer, epoch, k) in orders {
                let id = OrderId { peer: PeerId(peer), number: Number::new(Epoch(epoch), k) };
                prop_assert_eq!(taken.insert(id), model.insert(id));
                prop_assert!(taken.contains(id));
                let next = OrderId { number: Number(id.number.0 + 1), ..id };
                prop_assert_eq!(taken.contains(next), model.contains(&next));
            }
            prop_assert_eq!(taken.iter().collect::<Vec<_>>(), model.into_iter().collect::<Vec<_>>());
            for runs in taken.0.values() {
                let gaps = runs.values().zip(runs.keys().skip(1));
                prop_assert!(gaps.clone().all(|(end, next)| end + 1 < *next), "runs are as long as they can be");
            }
        }
    }
}
