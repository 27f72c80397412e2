//! Orders that people place in this peer's name.
//!
//! A number names one order, for ever: asked for again it is never placed twice, whatever the caller has heard of the
//! first time.

use std::collections::BTreeMap;

use super::Shop;
use crate::limits::{ASKERS_MAX, BY_HAND_MAX, QUANTITY_MAX};
use crate::model::call::{Answer, Refusal};
use crate::model::market::NotTaken;
use crate::model::peer::entry::Placed;
use crate::model::peer::facts::Cx;
use crate::model::row::Outcome;
use crate::model::shopper::Wish;
use crate::model::step::ReplyId;
use crate::types::{Number, OrderId, OrderKind, ProductId, Quantity};

/// Outcomes that people were told, to be told again: the last [`BY_HAND_MAX`] of this process.
#[derive(Default)]
pub(super) struct ByHand(BTreeMap<Number, (Wish, Outcome)>);

impl ByHand {
    pub(super) fn told(&mut self, placed: &Placed, outcome: &Outcome) {
        let outcome = Outcome { repeated: true, ..outcome.clone() };
        self.0.insert(placed.number, (wish_of(placed), outcome));
        if self.0.len() > BY_HAND_MAX {
            self.0.pop_first();
        }
    }
}

fn wish_of(placed: &Placed) -> Wish {
    Wish { kind: placed.kind, product: placed.product, quantity: placed.quantity }
}

impl Shop {
    /// A person's order in this peer's name, under that number, or (0) under the next one.
    pub(in crate::model::peer) fn place_for(
        &mut self,
        cx: &mut Cx<'_>,
        (good, quantity, kind): (&str, Quantity, OrderKind),
        number: Number,
        reply: ReplyId,
    ) {
        let placed = wish(cx, good, quantity, kind).and_then(|wish| self.under(cx, number, wish, reply));
        if let Err(refusal) = placed {
            cx.reply(reply, Err(refusal));
        }
    }

    fn under(&mut self, cx: &mut Cx<'_>, number: Number, wish: Wish, reply: ReplyId) -> Result<(), Refusal> {
        if number == Number(0) || Some(number) == cx.state.next_number(cx.me.epoch) {
            let number = self.next(cx)?;
            self.place(cx, number, wish, vec![reply]);
            return Ok(());
        }
        let other = || Refusal::NotTaken(NotTaken::OtherContent, Box::new(cx.roster.clone()));
        if let Some(placed) = cx.state.open.get(&number) {
            return if wish_of(placed) == wish { self.wait_for(cx, number, reply) } else { Err(other()) };
        }
        match self.by_hand.0.get(&number) {
            Some((placed, outcome)) if *placed == wish => {
                let answer = Answer::Outcome(Box::new(outcome.clone()), None);
                cx.reply(reply, Ok(answer));
                Ok(())
            }
            Some(_) => Err(other()),
            None => Err(no_such(cx, number)),
        }
    }

    fn next(&self, cx: &Cx<'_>) -> Result<Number, Refusal> {
        if cx.is_going() {
            let text = format!("peer {} is leaving and places no more orders", cx.me.id);
            return Err(Refusal::Unavailable(text));
        }
        let open = cx.session_open && cx.state.room(self.acknowledged) > 0;
        // Behind the last number of an epoch there is one again as soon as the store has its next session.
        cx.state.next_number(cx.me.epoch).filter(|_| open).ok_or_else(|| {
            let text = "no session yet, or too many orders are open; ask again".to_owned();
            Refusal::Unavailable(text)
        })
    }

    /// The order is open: who asks for it again hears its outcome, too.
    fn wait_for(&mut self, cx: &Cx<'_>, number: Number, reply: ReplyId) -> Result<(), Refusal> {
        // An order of an earlier process is waited for by nobody yet.
        let asking = self.asking.entry(number).or_insert_with(|| super::Asking {
            since_us: cx.at.micros,
            timed: false,
            replies: Vec::new(),
        });
        if asking.replies.len() >= ASKERS_MAX {
            let text = format!("{ASKERS_MAX} callers wait for order {number} already; ask again");
            return Err(Refusal::Unavailable(text));
        }
        asking.replies.push(reply);
        Ok(())
    }
}

fn wish(cx: &Cx<'_>, good: &str, quantity: Quantity, kind: OrderKind) -> Result<Wish, Refusal> {
    let product = cx.goods.iter().position(|(name, _)| name == good);
    let product = product.ok_or_else(|| Refusal::Invalid(format!("no such good: {good}")))?;
    if quantity.0 == 0 || quantity.0 > QUANTITY_MAX || kind == OrderKind::Void {
        let text = format!("the quantity must be between 1 and {QUANTITY_MAX}, not {quantity}");
        return Err(Refusal::Invalid(text));
    }
    Ok(Wish { kind, product: ProductId(product as u16), quantity })
}

/// Neither open, nor the next one, nor among the outcomes that are remembered here.
fn no_such(cx: &Cx<'_>, number: Number) -> Refusal {
    let id = OrderId { peer: cx.me.id, number };
    Refusal::Invalid(match cx.state.next_number(cx.me.epoch) {
        Some(next) if number > next => format!("number {number} is above the next one, which is {next}"),
        _ => format!("order {id} has its outcome, and is not done again: bazaar dump orders --order {id}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::peer::testing::{ME, deposited, order};

    #[test]
    fn the_last_outcomes_are_told_again_and_as_told_before() {
        let mut by_hand = ByHand::default();
        for k in 1..=BY_HAND_MAX as u32 + 1 {
            let order @ crate::types::Order { id, stamp, kind, product, quantity } = order(ME, k);
            let placed = Placed { number: id.number, stamp, kind, product, quantity };
            by_hand.told(&placed, &deposited(&order));
        }
        let numbers = by_hand.0.keys().map(|number| number.0);
        assert!(numbers.eq(2..=BY_HAND_MAX as u64 + 1));
        assert!(by_hand.0.values().all(|(_, outcome)| outcome.repeated));
    }
}
