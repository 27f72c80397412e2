//! Lots: which one a sale takes from, and how many there may be.

use super::*;

#[test]
fn lots_are_filled_oldest_first_and_sellers_paid() {
    let mut market = market();
    outcome(&mut market, &order(2, 1, OrderKind::Sell, 0, 4));
    outcome(&mut market, &order(3, 1, OrderKind::Sell, 0, 4));
    let Verdict::New(record) = settle(&mut market, &order(1, 1, BUY, 0, 15)) else { panic!() };
    let outcome = record.outcome(Seq(1), WallMicros(0)).unwrap();
    let sellers: Vec<_> = outcome.shares.iter().map(|it| (it.peer.0, it.quantity.0, it.amount.0)).collect();
    assert_eq!(sellers, [(0, 10, 950), (2, 4, 380), (3, 1, 95)]);
    assert_eq!(market.accounts[&PeerId(6)].balance(), Money(75));
    assert_eq!(market.accounts[&PeerId(1)].balance(), Money(-1500));
}

#[test]
fn a_sale_from_too_many_lots_is_refused_or_partial() {
    let mut market = market();
    outcome(&mut market, &order(1, 1, BUY, 0, 10));
    (1..=200).for_each(|k| {
        assert_eq!(outcome(&mut market, &order(2, k, OrderKind::Sell, 0, 1)), OutcomeKind::Deposited)
    });
    assert_eq!(outcome(&mut market, &order(1, 2, BUY, 0, 200)), OutcomeKind::Refused);
    assert_eq!(outcome(&mut market, &order(1, 3, BUY_SOME, 0, 200)), OutcomeKind::PartlyBought);
    assert_eq!(market.shelves[0].on_hand.0, 200 - SALE_LOTS_MAX as u64);
}

/// Sellers who are faster than buyers would fill memory, and each checkpoint, with lots that nobody wants.
#[test]
fn a_good_has_its_share_of_all_lots_and_no_more() {
    let mut market = market();
    for good in 1..PRODUCTS_MAX {
        let (name, quantity, unit_price) = (good.to_string(), Quantity(0), Money(100));
        apply(&mut market, Record::Stocked { name, quantity, unit_price, clock: Stamp(1) });
    }
    assert_eq!(market.lots_max(), LOTS_MAX / PRODUCTS_MAX);
    let shares = market.lots_max() as u32;
    let sell = |market: &mut Market, k: u32| outcome(market, &order(2, k, OrderKind::Sell, 0, 1));
    // The initial goods are a lot, too.
    (1..shares).for_each(|k| assert_eq!(sell(&mut market, k), OutcomeKind::Deposited, "{k}"));
    let Verdict::New(record) = settle(&mut market, &order(2, shares, OrderKind::Sell, 0, 1)) else {
        panic!()
    };
    assert_eq!(record.outcome(Seq(1), WallMicros(0)).unwrap().reason, Some(Reason::StockFull));
    let other = order(2, shares + 1, OrderKind::Sell, 7, 1);
    assert_eq!(outcome(&mut market, &other), OutcomeKind::Deposited, "other goods have room");
    assert_eq!(
        outcome(&mut market, &order(1, 1, BUY, 0, 10)),
        OutcomeKind::Bought,
        "the initial goods are sold"
    );
    assert_eq!(sell(&mut market, shares + 2), OutcomeKind::Deposited);
    assert_eq!(market.shelves[0].lots.len(), market.lots_max());
}
