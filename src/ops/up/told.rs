//! Which orders were told of: a peer that was killed before it had written down what it was told asks, and tells, again.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::SESSION_WINDOW;
use crate::types::{Number, OrderId, PeerId};

/// The last orders of each peer, as many as a peer may ask again.
#[derive(Default)]
pub(super) struct Told(BTreeMap<PeerId, BTreeSet<Number>>);

impl Told {
    /// Takes an order in; whether it was not told of before.
    pub(super) fn is_news(&mut self, order: OrderId) -> bool {
        let numbers = self.0.entry(order.peer).or_default();
        let is_news = numbers.insert(order.number);
        if numbers.len() > SESSION_WINDOW as usize {
            numbers.pop_first();
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_news_once_and_what_is_kept_has_a_bound() {
        let mut told = Told::default();
        let order = |peer, number| OrderId { peer: PeerId(peer), number: Number(number) };
        assert!(told.is_news(order(4, 1)) && told.is_news(order(1, 1)));
        assert!(!told.is_news(order(4, 1)), "asked again after a crash");
        for number in 2..=2 * u64::from(SESSION_WINDOW) {
            assert!(told.is_news(order(4, number)));
        }
        assert_eq!(told.0[&PeerId(4)].len(), SESSION_WINDOW as usize);
    }
}
