//! Rows of the ledger that were dropped, doubled, swapped or changed.

use super::*;
use crate::model::row::{Slice, initial_lot};

#[test]
fn every_dropped_doubled_or_swapped_row_is_caught() {
    let clean = Market::lived();
    let mut altered = 0;
    for step in 0..clean.ledger.len() {
        for row in 0..clean.ledger[step].len() {
            let mut dropped = clean.clone();
            dropped.ledger[step].remove(row);
            assert_ne!(failed(&dropped), [], "dropped {:?}", clean.ledger[step][row]);
            let mut doubled = clean.clone();
            let again = doubled.ledger[step][row].clone();
            doubled.ledger[step].insert(row, again);
            assert_ne!(failed(&doubled), [], "doubled {:?}", clean.ledger[step][row]);
            altered += 2;
            if row + 1 < clean.ledger[step].len() {
                let mut swapped = clean.clone();
                swapped.ledger[step].swap(row, row + 1);
                assert_ne!(failed_alone(&swapped), [], "swapped {:?}", clean.ledger[step][row]);
                altered += 1;
            }
        }
    }
    for step in 0..clean.ledger.len() - 1 {
        let mut swapped = clean.clone();
        swapped.ledger.swap(step, step + 1);
        assert_ne!(failed_alone(&swapped), [], "swapped blocks {step} and the next");
        altered += 1;
    }
    assert!(altered >= 40, "{altered}");
}

#[test]
fn changed_rows_of_the_ledger_are_caught_by_name() {
    let cases = [goods(), lots(), identities(), order_and_money(), offices()].concat();
    assert!(cases.len() >= 40, "{}", cases.len());
    for (what, check, market) in cases {
        let found = failed_alone(&market);
        assert!(found.contains(&check), "{what}: {found:?} instead of {check:?}");
    }
}

/// Pieces and products.
fn goods() -> Vec<Case> {
    vec![
        ("more stock after a sale", Check::Goods, decided("sale", 0, |d| d.stock_after.0 += 1)),
        ("less stock after a deposit", Check::Goods, decided("deposit", 0, |d| d.stock_after.0 -= 1)),
        ("other stock after a refusal", Check::Goods, decided("refusal", 0, |d| d.stock_after.0 += 1)),
        ("a larger deposit", Check::Goods, decided("deposit", 1, |d| d.order.quantity.0 += 1)),
        ("another product sold", Check::NeverNegative, decided("sale", 3, |d| d.order.product.0 = 0)),
        ("a product that is none", Check::Goods, decided("sale", 0, |d| d.order.product.0 = 9)),
        ("a deposit of nothing", Check::Goods, decided("deposit", 0, |d| d.order.quantity.0 = 0)),
        ("a sale to a seller", Check::Goods, decided("sale", 0, |d| d.order.kind = OrderKind::Sell)),
        ("a deposit by a buyer", Check::Goods, decided("deposit", 0, |d| d.order.kind = BUY)),
        ("a sale that fills too little", Check::Goods, decided("sale", 0, |d| d.order.quantity.0 += 1)),
        (
            "fewer pieces stocked",
            Check::Goods,
            change(1, is("stocked"), |r| {
                if let Record::Stocked { quantity, .. } = r {
                    quantity.0 -= 1
                }
            }),
        ),
    ]
}

/// Refusals and slices.
fn lots() -> Vec<Case> {
    vec![
        (
            "sold out with stock",
            Check::Goods,
            change(0, is("sale"), |r| {
                *r = Record::Refusal { decision: *decision(r), reason: None };
            }),
        ),
        (
            "too many lots for a seller",
            Check::Goods,
            change(0, is("refusal"), |r| {
                *r = Record::Refusal { decision: *decision(r), reason: Some(Reason::StockFull) };
            }),
        ),
        (
            "a sale of what a refusal refused",
            Check::NeverNegative,
            change(0, is("refusal"), |r| {
                let slices = vec![Slice { lot: initial_lot(), quantity: decision(r).order.quantity }];
                *r = Record::Sale {
                    decision: *decision(r),
                    unit_price: Money(400),
                    commission_percent: 5,
                    slices,
                };
            }),
        ),
        ("a larger slice", Check::NeverNegative, sale(3, |_, _, slices| slices[0].quantity.0 += 30)),
        (
            "a lot that never was",
            Check::NeverNegative,
            sale(0, |_, _, slices| slices[0].lot.number = Number(77)),
        ),
        ("no slices", Check::Goods, sale(0, |_, _, slices| slices.clear())),
        (
            "a younger lot first",
            Check::Goods,
            change(0, of_many_lots, |r| {
                if let Record::Sale { slices, .. } = r {
                    slices.reverse()
                }
            }),
        ),
    ]
}

/// Order ids and sessions.
fn identities() -> Vec<Case> {
    vec![
        (
            "an outcome twice",
            Check::ExactlyOnce,
            decided("sale", 1, |d| d.order.id = OrderId { peer: PeerId(4), number: Number(1) }),
        ),
        (
            "an order of another epoch",
            Check::ExactlyOnce,
            decided("sale", 0, |d| d.order.id.number = Number::new(Epoch(1), 1)),
        ),
        ("an order of a stranger", Check::ExactlyOnce, decided("sale", 0, |d| d.order.id.peer = PeerId(99))),
        (
            "an order without number",
            Check::ExactlyOnce,
            decided("sale", 0, |d| d.order.id.number = Number(0)),
        ),
        ("an epoch left out", Check::ExactlyOnce, session(3, |_, epoch, _| epoch.0 = 2)),
        ("a session of another peer", Check::ExactlyOnce, session(3, |peer, _, _| peer.0 = 9)),
        (
            "a store with two sessions",
            Check::ExactlyOnce,
            session(3, |peer, epoch, store| {
                (*peer, *epoch, *store) = (PeerId(1), Epoch(1), Hash::of(&[1]));
            }),
        ),
    ]
}

/// Stamps, clocks, prices, and what cannot be decoded.
fn order_and_money() -> Vec<Case> {
    vec![
        ("a later stamp first", Check::Order, decided("sale", 0, |d| d.order.stamp.0 += 1)),
        ("an earlier stamp later", Check::Order, decided("deposit", 0, |d| d.order.stamp.0 -= 5)),
        ("numbers out of order", Check::Order, numbers_swapped()),
        ("a clock below its stamp", Check::Clock, decided("sale", 0, |d| d.clock.0 = d.order.stamp.0 - 1)),
        ("a clock that goes back", Check::Clock, decided("sale", 2, |d| d.clock.0 -= 10)),
        ("a stamp from the future", Check::Clock, decided("sale", 2, |d| d.order.stamp.0 += 1_000)),
        ("another price", Check::Money, sale(0, |price, _, _| price.0 += 1)),
        ("a price of nothing", Check::Money, sale(0, |price, _, _| price.0 = 0)),
        (
            "a price posted otherwise",
            Check::Money,
            change(1, is("stocked"), |r| {
                if let Record::Stocked { unit_price, .. } = r {
                    unit_price.0 += 5
                }
            }),
        ),
        ("a commission beyond all", Check::Readable, sale(0, |_, percent, _| *percent = 101)),
        (
            "pieces beyond all limits",
            Check::Readable,
            decided("deposit", 0, |d| d.order.quantity.0 = u64::MAX),
        ),
        (
            "a kind of a later version",
            Check::Readable,
            change(0, is("void"), |r| *r = Record::Conflict(*decision(r))),
        ),
    ]
}

/// Terms, fences and pairs.
fn offices() -> Vec<Case> {
    vec![
        (
            "a write under a fenced term",
            Check::Fencing,
            decided("deposit", 5, |d| (d.trader, d.term) = (PeerId(6), Term(1))),
        ),
        ("a write under a term to come", Check::Fencing, decided("sale", 0, |d| d.term = Term(3))),
        ("a write under another's term", Check::Fencing, decided("sale", 0, |d| d.trader = PeerId(5))),
        (
            "a write without a term",
            Check::Fencing,
            decided("sale", 0, |d| (d.trader, d.term) = (PeerId(0), Term(0))),
        ),
        ("a term left out", Check::Fencing, office(0, |_, term, _| term.0 = 5)),
        ("a term granted twice", Check::Fencing, office(1, |_, term, _| term.0 = 1)),
        ("an office for another", Check::Fencing, office(0, |trader, _, _| trader.0 = 3)),
        ("an office for a client", Check::Fencing, office(3, |trader, _, _| trader.0 = 1_001)),
        ("the other office granted", Check::Fencing, office(0, |_, _, office| *office = Office::Secondary)),
        (
            "a fence of a term that is not present",
            Check::Fencing,
            change(0, is("fence"), |r| {
                if let Record::Fence { term, .. } = r {
                    term.0 = 2
                }
            }),
        ),
        (
            "a fence of the other office",
            Check::Fencing,
            change(0, is("fence"), |r| {
                if let Record::Fence { office, .. } = r {
                    *office = Office::Secondary
                }
            }),
        ),
        (
            "strangers paired",
            Check::Fencing,
            change(0, is("paired"), |r| {
                if let Record::Paired { partner, .. } = r {
                    partner.0 = 1
                }
            }),
        ),
    ]
}

fn sale(nth: usize, alter: impl Fn(&mut Money, &mut u8, &mut Vec<Slice>)) -> Market {
    change(nth, is("sale"), |record| {
        let Record::Sale { unit_price, commission_percent, slices, .. } = record else {
            unreachable!("a sale")
        };
        alter(unit_price, commission_percent, slices);
    })
}

fn session(nth: usize, alter: impl Fn(&mut PeerId, &mut Epoch, &mut Hash)) -> Market {
    change(nth, is("session"), |record| {
        let Record::Session { peer, epoch, store, .. } = record else { unreachable!("a session") };
        alter(peer, epoch, store);
    })
}

fn office(nth: usize, alter: impl Fn(&mut PeerId, &mut Term, &mut Office)) -> Market {
    change(nth, is("office"), |record| {
        let Record::Office { trader, term, office, .. } = record else { unreachable!("an office") };
        alter(trader, term, office);
    })
}

/// Two orders of one peer for one product, in two blocks, exchange their numbers.
fn numbers_swapped() -> Market {
    let mut market = Market::lived();
    let of_boar = |record: &Record| {
        record.decision().is_some_and(|d| {
            d.order.id.peer == PeerId(1) && d.order.product == ProductId(0) && d.order.kind == BUY
        })
    };
    let (one, other) = (find(&market, 0, of_boar), find(&market, 3, of_boar));
    let number = |market: &mut Market, (step, row): (usize, usize)| {
        decision(&mut market.ledger[step][row]).order.id.number
    };
    let (first, last) = (number(&mut market, one), number(&mut market, other));
    decision(&mut market.ledger[one.0][one.1]).order.id.number = last;
    decision(&mut market.ledger[other.0][other.1]).order.id.number = first;
    market
}
