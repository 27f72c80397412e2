//! Own orders by number: the present stretch of numbers in a row, since they come and go in their order, and what is left
//! behind beside it.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::OwnOrder;
use crate::limits::VERIFY_STRETCH_MAX;
use crate::types::{Epoch, Number};

/// See the module's text.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Of the numbers in the row.
    epoch: Epoch,
    first: u32,
    row: VecDeque<Option<OwnOrder>>,
    beside: BTreeMap<Number, OwnOrder>,
}

impl Kept {
    /// Its place in the row, or where it would come.
    fn place(&self, number: Number) -> Option<usize> {
        let behind = number.k().checked_sub(self.first)? as usize;
        (number.epoch() == self.epoch && behind <= self.row.len()).then_some(behind)
    }

    /// Adds an order that is not there.
    pub(super) fn insert(&mut self, order: OwnOrder) {
        let number = order.placed.number;
        if self.row.is_empty() {
            (self.epoch, self.first) = (number.epoch(), number.k());
        }
        match self.place(number) {
            Some(at) if at == self.row.len() => self.row.push_back(Some(order)),
            Some(at) => self.row[at] = Some(order),
            None => drop(self.beside.insert(number, order)),
        }
        if self.row.len() > VERIFY_STRETCH_MAX {
            self.leave_behind();
        }
    }

    /// The first order has waited for long.
    fn leave_behind(&mut self) {
        self.first += 1;
        if let Some(order) = self.row.pop_front().flatten() {
            self.beside.insert(order.placed.number, order);
        }
        self.shorten();
    }

    fn shorten(&mut self) {
        while matches!(self.row.front(), Some(None)) {
            self.row.pop_front();
            self.first += 1;
        }
    }

    pub(super) fn get(&self, number: Number) -> Option<&OwnOrder> {
        let in_row = self.place(number).and_then(|at| self.row.get(at)?.as_ref());
        if in_row.is_some() { in_row } else { self.beside.get(&number) }
    }

    pub(super) fn get_mut(&mut self, number: Number) -> Option<&mut OwnOrder> {
        let at = self.place(number);
        let in_row = at.and_then(|at| self.row.get_mut(at)?.as_mut());
        if in_row.is_some() { in_row } else { self.beside.get_mut(&number) }
    }

    pub(super) fn remove(&mut self, number: Number) {
        let at = self.place(number);
        if at.and_then(|at| self.row.get_mut(at)?.take()).is_none() {
            self.beside.remove(&number);
        }
        self.shorten();
    }

    /// The one with the lowest number.
    pub(super) fn first(&self) -> Option<&OwnOrder> {
        let ends = [self.row.front().and_then(Option::as_ref), self.beside.values().next()];
        ends.into_iter().flatten().min_by_key(|order| order.placed.number)
    }

    /// All of them, by number.
    pub(super) fn values(&self) -> Vec<&OwnOrder> {
        let mut orders: Vec<&OwnOrder> = self.row.iter().flatten().chain(self.beside.values()).collect();
        orders.sort_unstable_by_key(|order| order.placed.number);
        orders
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::peer::entry::Placed;
    use crate::types::{OrderKind, ProductId, Quantity, Stamp};

    fn order(number: Number) -> OwnOrder {
        let (stamp, kind, product, quantity) = (Stamp(1), OrderKind::Sell, ProductId(0), Quantity(1));
        OwnOrder::new(Placed { number, stamp, kind, product, quantity })
    }

    proptest! {
        #[test]
        fn orders_that_are_kept_are_a_map(steps in prop::collection::vec((0_u64..2, 1_u32..30, any::<bool>()), 0..200)) {
            let (mut kept, mut model) = (Kept::default(), BTreeMap::new());
            for (epoch, k, adds) in steps {
                let number = Number::new(Epoch(epoch), k);
                if adds && !model.contains_key(&number) {
                    kept.insert(order(number));
                    model.insert(number, order(number));
                } else {
                    kept.remove(number);
                    model.remove(&number);
                }
                prop_assert_eq!(kept.values(), model.values().collect::<Vec<_>>());
                prop_assert_eq!(kept.first(), model.values().next());
                prop_assert_eq!(kept.get(number), model.get(&number));
                prop_assert_eq!(kept.get_mut(number), model.get_mut(&number));
            }
        }
    }

    #[test]
    fn one_that_waits_for_long_does_not_keep_room_for_the_others() {
        let mut kept = Kept::default();
        for k in 1..=2 * VERIFY_STRETCH_MAX as u32 {
            kept.insert(order(Number::new(Epoch(0), k)));
            if k > 1 {
                kept.remove(Number::new(Epoch(0), k));
            }
        }
        assert!(kept.row.len() <= 1, "{}", kept.row.len());
        assert_eq!(kept.values(), [&order(Number::new(Epoch(0), 1))]);
    }
}
