//! Orders that were told of before they come: exactly that is booked, or taken back.

use super::*;
use crate::model::tentative::Tentative;

/// A market whose traders tell before they settle.
fn market() -> Market {
    let mut market = super::market();
    apply(&mut market, Record::Mode { mode: Consistency::Cached, clock: Stamp(3) });
    market
}

fn told(market: &mut Market, order: &Order, pieces: u64) -> (OutcomeKind, u64) {
    let told = Tentative { id: order.id, filled: Quantity(pieces), draw: None };
    let by = Settling { told: Some(told), ..by() };
    let Verdict::New(record) = market.decide(order, &by) else { panic!("{order:?} is decided") };
    let seq = market.seq.next();
    let outcome = market.apply_outcome(seq, WallMicros(1), &record).unwrap();
    assert_eq!(market.invariants(), Ok(()));
    (outcome.kind, outcome.filled.0)
}

fn fish(market: &Market) -> u64 {
    market.shelves[0].on_hand.0
}

#[test]
fn what_was_told_is_booked_exactly_though_more_or_less_could_be() {
    let mut market = market();
    let there = fish(&market);
    let partial = OrderKind::Buy { partial: true };
    assert_eq!(told(&mut market, &order(1, 1, partial, 0, 3), 2), (OutcomeKind::PartlyBought, 2));
    assert_eq!(told(&mut market, &order(1, 2, BUY, 0, 1), 0), (OutcomeKind::SoldOut, 0), "undersold");
    assert_eq!(fish(&market), there - 2);
    assert_eq!(told(&mut market, &order(2, 1, OrderKind::Sell, 0, 7), 7), (OutcomeKind::Deposited, 7));
}

#[test]
fn what_cannot_be_booked_is_taken_back_and_moves_nothing() {
    let mut market = market();
    let (there, paid) = (fish(&market), market.accounts.clone());
    assert_eq!(told(&mut market, &order(1, 1, BUY, 0, there + 1), there + 1), (OutcomeKind::Reversed, 0));
    let more = order(1, 2, BUY, 0, 1);
    assert_eq!(told(&mut market, &more, 2), (OutcomeKind::Reversed, 0), "more than was asked for");
    assert_eq!(told(&mut market, &order(1, 3, BUY, 0, 3), 2), (OutcomeKind::Reversed, 0), "not partial");
    assert_eq!((fish(&market), &market.accounts), (there, &paid));
    let again = market.decide(&more, &by());
    assert!(matches!(again, Verdict::Known(outcome) if outcome.kind == OutcomeKind::Reversed), "for ever");
}

/// A peer's rows of a good are by number.
#[test]
fn an_overtaken_order_moves_nothing() {
    let mut market = market();
    assert_eq!(told(&mut market, &order(1, 2, BUY, 0, 1), 1), (OutcomeKind::Bought, 1));
    assert_eq!(told(&mut market, &order(1, 1, BUY, 0, 1), 1), (OutcomeKind::Reversed, 0));
    assert_eq!(told(&mut market, &order(1, 4, BUY, 0, 1), 1), (OutcomeKind::Bought, 1));
    assert_eq!(told(&mut market, &order(1, 3, BUY, 0, 1), 0), (OutcomeKind::Voided, 0), "nothing was told");
}

/// Its peer's store is lost, and what it was told is not.
#[test]
fn what_was_told_to_a_store_that_is_gone_is_done() {
    let mut market = market();
    let later = Record::Session {
        peer: PeerId(1),
        epoch: Epoch(1),
        store: Hash::of(&[7]),
        key: None,
        clock: Stamp(9),
    };
    apply(&mut market, later);
    assert_eq!(told(&mut market, &order(1, 1, BUY, 0, 1), 1), (OutcomeKind::Bought, 1));
    let untold = order(1, 2, BUY, 0, 1);
    assert_eq!(outcome(&mut market, &untold), OutcomeKind::Voided);
}

/// A trader that says so on its own is not heeded: an order is settled as if nobody had told of it.
#[test]
fn a_ledger_that_never_had_such_a_mode_books_nothing_as_told() {
    let mut market = super::market();
    let there = fish(&market);
    assert_eq!(told(&mut market, &order(1, 1, BUY, 0, there + 1), there + 1), (OutcomeKind::SoldOut, 0));
    assert_eq!(told(&mut market, &order(1, 2, BUY, 0, 1), 0), (OutcomeKind::Bought, 1));
}
