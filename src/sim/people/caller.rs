//! Somebody who orders at a peer, in that peer's name, and then once more.

use super::{Hands, Person};
use crate::model::call::{Answer, Ask};
use crate::model::row::Outcome;
use crate::model::step::{CallId, Input};
use crate::sim::chance::Chance;
use crate::sim::check::Told;
use crate::sim::queue::{MS, Moment};
use crate::types::{Number, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Stamp};

/// Orders that it places.
const ORDERS: usize = 2;

/// See the module's text.
pub(in crate::sim) struct Caller {
    chance: Chance,
    /// Of whom it asks, and where.
    peer: (PeerId, String),
    goods: Vec<String>,
    call: Option<CallId>,
    called: usize,
    /// The orders of which it was told.
    told: Vec<OrderId>,
}

impl Caller {
    /// Somebody who orders these goods at a peer.
    pub(crate) fn new(peer: (PeerId, String), goods: Vec<String>, chance: Chance) -> Caller {
        Caller { chance, peer, goods, call: None, called: 0, told: Vec::new() }
    }

    fn order(&mut self, hands: &mut Hands) {
        let good = self.goods[self.chance.between(0, self.goods.len() as u64 - 1) as usize].clone();
        let kind = self.chance.pick(&[OrderKind::Buy { partial: true }, OrderKind::Sell]);
        let quantity = Quantity(self.chance.between(1, 5));
        self.called += 1;
        self.call = Some(hands.call(&self.peer.1, Ask::Place(good, quantity, kind, Number(0))));
    }

    /// Each of its orders is one of its own: the same outcome for both would be one order told twice.
    fn told(&mut self, outcome: Outcome, hands: &mut Hands) {
        let (peer, id) = (self.peer.0, outcome.id);
        if id.peer != peer || self.told.contains(&id) {
            return hands.wrong(format!("an order at peer {peer} was answered with the outcome of {id}"));
        }
        self.told.push(id);
        let (kind, product) = (OrderKind::Void, ProductId(0));
        // What was ordered is in the peer's journal; here only the name counts.
        let order = Order { id, stamp: Stamp(0), kind, product, quantity: outcome.filled };
        hands.told.push(Told { peer, order, outcome, generation: Default::default() });
    }
}

impl Person for Caller {
    fn act(&mut self, now: Moment, input: Option<Input>, hands: &mut Hands) {
        if let Some(Input::Came(call, result)) = input
            && self.call.take_if(|own| *own == call).is_some()
        {
            if let Ok(Answer::Outcome(outcome, _)) = result {
                self.told(*outcome, hands);
            }
            hands.wakes_at = Some(now.after(self.chance.between(0, 500 * MS)));
        } else if self.call.is_none() && self.called < ORDERS {
            self.order(hands);
        }
        hands.goes = self.call.is_none() && self.called == ORDERS;
    }

    fn describe(&self) -> String {
        format!("somebody who orders at peer {}", self.peer.0)
    }

    /// The peer that it asks has the order open, and is waited for anyway.
    fn waits_for(&self) -> Option<String> {
        None
    }

    fn is_welcome(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::step::{Effect, Numbers};
    use crate::sim::people::client::tests::bought;

    fn act(caller: &mut Caller, now: u64, input: Option<Input>) -> Hands {
        let mut hands = Hands::of(Numbers::default());
        caller.act(Moment(now), input, &mut hands);
        hands
    }

    fn asked(hands: &Hands) -> CallId {
        match &hands.effects[..] {
            [Effect::Call { call, addr, ask: Ask::Place(..) }] if addr == "there" => *call,
            other => panic!("{other:?}"),
        }
    }

    fn answer(call: CallId, peer: u32, number: u64) -> Option<Input> {
        Some(Input::Came(call, Ok(Answer::Outcome(Box::new(bought(peer, number)), None))))
    }

    #[test]
    fn two_orders_are_placed_and_their_outcomes_differ() {
        let mut caller =
            Caller::new((PeerId(4), "there".to_owned()), vec!["fish".to_owned()], Chance::of(1, "t"));
        let call = asked(&act(&mut caller, 0, None));
        let hands = act(&mut caller, 5, answer(call, 4, 7));
        assert_eq!((hands.told.len(), hands.goes), (1, false));
        let call = asked(&act(&mut caller, 900_000, None));
        let hands = act(&mut caller, 900_005, answer(call, 4, 7));
        assert!(hands.wrong.is_some_and(|failure| failure.why.contains("outcome of 4-7")));
        assert!(hands.goes);
    }

    #[test]
    fn another_peers_outcome_is_no_answer() {
        let mut caller =
            Caller::new((PeerId(4), "there".to_owned()), vec!["fish".to_owned()], Chance::of(1, "t"));
        let call = asked(&act(&mut caller, 0, None));
        assert!(act(&mut caller, 5, answer(call, 5, 7)).wrong.is_some());
    }
}
