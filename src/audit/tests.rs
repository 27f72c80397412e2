//! The checker is checked: a clean market raises no alarm, and every altered one does, under the right name.

use super::fixture::*;
use super::*;
use crate::model::entry::Entry;
use crate::model::row::{Decision, OutcomeKind, Reason, Record};
use crate::types::*;

fn failed(market: &Market) -> Vec<Check> {
    audit(&mut market.sources(), 5).unwrap().failed()
}

/// Of the ledger alone, as if no journal were left.
fn failed_alone(market: &Market) -> Vec<Check> {
    let mut alone: Vec<Source> = market.sources().into_iter().take(1).collect();
    audit(&mut alone, 5).unwrap().failed()
}

fn flat(market: &Market) -> Vec<Record> {
    market.ledger.concat()
}

/// Where in the ledger the `nth` record that `wanted` takes is: step and place in it.
fn find(market: &Market, nth: usize, wanted: impl Fn(&Record) -> bool) -> (usize, usize) {
    let places = market.ledger.iter().enumerate();
    let mut found = places.flat_map(|(step, rows)| (0..rows.len()).map(move |row| (step, row)));
    found.by_ref().filter(|(step, row)| wanted(&market.ledger[*step][*row])).nth(nth).unwrap()
}

fn change(nth: usize, wanted: fn(&Record) -> bool, alter: impl Fn(&mut Record)) -> Market {
    let mut market = Market::lived();
    let (step, row) = find(&market, nth, wanted);
    alter(&mut market.ledger[step][row]);
    market
}

fn is(kind: &'static str) -> fn(&Record) -> bool {
    match kind {
        "stocked" => |record| record.kind() == "stocked",
        "deposit" => |record| record.kind() == "deposit",
        "sale" => |record| record.kind() == "sale",
        "refusal" => |record| record.kind() == "refusal",
        "void" => |record| record.kind() == "void",
        "session" => |record| record.kind() == "session",
        "office" => |record| record.kind() == "office",
        "fence" => |record| record.kind() == "fence",
        _ => |record| record.kind() == "paired",
    }
}

fn of_many_lots(record: &Record) -> bool {
    matches!(record, Record::Sale { slices, .. } if slices.len() > 1)
}

fn decision(record: &mut Record) -> &mut Decision {
    match record {
        Record::Deposit(decision)
        | Record::Sale { decision, .. }
        | Record::Refusal { decision, .. }
        | Record::Void { decision, .. } => decision,
        other => panic!("{other:?} is no decision"),
    }
}

fn decided(kind: &'static str, nth: usize, alter: impl Fn(&mut Decision)) -> Market {
    change(nth, is(kind), |record| alter(decision(record)))
}

#[test]
fn a_clean_market_raises_no_alarm() {
    let found = audit(&mut Market::lived().sources(), 5).unwrap();
    for check in Check::ALL {
        let tally = found.of(check);
        assert_eq!(tally.failed, 0, "{}: {:?}", check.id(), tally.examples);
        assert!(tally.checked > 0 || check == Check::Caches, "{} looked at nothing", check.id());
    }
    assert!(found.lacks(Check::ToldIsDone).is_empty());
    assert!(flat(&Market::lived()).len() > 30);
}

#[test]
fn a_ledger_alone_raises_no_alarm_and_names_what_it_lacks() {
    let mut alone: Vec<Source> = Market::lived().sources().into_iter().take(1).collect();
    let found = audit(&mut alone, 5).unwrap();
    assert!(found.failed().is_empty());
    assert!(found.unchecked(Check::ToldIsDone) && !found.unchecked(Check::ExactlyOnce));
    assert_eq!(found.lacks(Check::ToldIsDone)[0], "peer-1");
}

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
    let cases: Vec<(&str, Check, Market)> = vec![
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
                let slices = vec![crate::model::row::Slice {
                    lot: crate::model::row::initial_lot(),
                    quantity: decision(r).order.quantity,
                }];
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
        (
            "a kind of a later version",
            Check::Readable,
            change(0, is("void"), |r| *r = Record::Conflict(*decision(r))),
        ),
    ];
    assert!(cases.len() >= 40, "{}", cases.len());
    for (what, check, market) in cases {
        let found = failed_alone(&market);
        assert!(found.contains(&check), "{what}: {found:?} instead of {check:?}");
    }
}

fn sale(nth: usize, alter: impl Fn(&mut Money, &mut u8, &mut Vec<crate::model::row::Slice>)) -> Market {
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

fn with_entry(peer: u32, nth: usize, alter: impl Fn(&mut Entry) -> bool) -> Market {
    let mut market = Market::lived();
    let entries = market.journals.get_mut(&PeerId(peer)).unwrap().iter_mut().flatten();
    assert!(entries.filter_map(|entry| alter(entry).then_some(())).nth(nth).is_some());
    market
}

#[test]
fn changed_journals_are_caught_by_name() {
    let told = |alter: fn(&mut crate::model::entry::Told)| {
        with_entry(4, 0, move |entry| match entry {
            Entry::Answered { told, .. } if told[0].number == Number(1) => {
                alter(&mut told[0]);
                true
            }
            _ => false,
        })
    };
    let mut lost = Market::lived();
    lost.ledger.truncate(lost.ledger.len() - 1);
    let mut dropped = Market::lived();
    dropped.ledger.pop();
    for steps in dropped.journals.values_mut() {
        steps.retain(|step| !matches!(step[0], Entry::Answered { .. }));
    }
    let cases: Vec<(&str, Check, Market)> = vec![
        ("told a larger fill", Check::ToldIsDone, told(|told| told.filled.0 += 1)),
        ("told another price", Check::ToldIsDone, told(|told| told.amount.0 += 1)),
        ("told sold out", Check::ToldIsDone, told(|told| told.kind = OutcomeKind::SoldOut)),
        ("told a reason", Check::ToldIsDone, told(|told| told.reason = Some(Reason::Closed))),
        ("told another row", Check::ToldIsDone, told(|told| told.seq.0 += 1)),
        ("told of an order never placed", Check::ToldIsDone, told(|told| told.number = Number(50))),
        (
            "placed other content",
            Check::ToldIsDone,
            with_entry(4, 0, |entry| match entry {
                Entry::Placed(placed) if placed.number == Number(2) => {
                    placed.quantity.0 += 1;
                    true
                }
                _ => false,
            }),
        ),
        (
            "placed with an old stamp",
            Check::Clock,
            with_entry(4, 0, |entry| match entry {
                Entry::Placed(placed) if placed.number == Number(2) => {
                    placed.stamp.0 = 1;
                    true
                }
                _ => false,
            }),
        ),
        ("answers that the ledger lost", Check::Durable, lost),
        ("accepted, settled and nowhere", Check::ExactlyOnce, dropped),
    ];
    for (what, check, market) in cases {
        let found = failed(&market);
        assert!(found.contains(&check), "{what}: {found:?} instead of {check:?}");
    }
}

#[test]
fn an_accepted_order_may_wait_in_any_store() {
    let mut market = Market::lived();
    market.ledger.pop();
    for steps in market.journals.values_mut() {
        let last = |entry: &Entry| match entry {
            Entry::Answered { told, .. } => told[0].seq > Seq(flat_len(&Market::lived()) - 4),
            Entry::Settled { peer: PeerId(1), last, .. } => last.0 > 7,
            Entry::Settled { peer: PeerId(2), last, .. } => last.0 > 3,
            _ => false,
        };
        steps.retain(|step| !last(&step[0]));
    }
    assert_eq!(failed(&market), []);
}

fn flat_len(market: &Market) -> u64 {
    flat(market).len() as u64
}

#[test]
fn damaged_blocks_are_caught_and_cost_no_other_row() {
    let clean = Market::lived();
    let (blocks, tip) = chain(&clean.ledger);
    for at in 0..blocks.len() {
        let mut flipped = blocks.clone();
        let middle = flipped[at].len() / 2;
        flipped[at][middle] ^= 1;
        let found = audit(&mut [memory(0, flipped, tip, 1_000)], 5).unwrap();
        assert!(found.of(Check::Chain).failed > 0 && found.of(Check::Readable).failed > 0, "{at}");
        let mut missing = blocks.clone();
        missing.remove(at);
        let found = audit(&mut [memory(0, missing, tip, 1_000)], 5).unwrap();
        assert!(!found.failed().is_empty(), "block {at} missing");
    }
}

#[test]
fn marks_and_clocks_are_compared() {
    let clean = Market::lived();
    let (blocks, tip) = chain(&clean.ledger);
    let with = |alter: fn(&mut Memory)| {
        let mut memory = Memory { meta: Default::default(), blocks: blocks.clone(), cache: None };
        memory.meta.mark = Some((tip.seq, tip.hash));
        alter(&mut memory);
        audit(&mut [Box::new(memory) as Source], 5).unwrap().failed()
    };
    assert_eq!(with(|_| {}), []);
    assert_eq!(with(|store| store.meta.mark.as_mut().unwrap().1 = Hash::default()), [Check::Chain]);
    assert_eq!(with(|store| store.meta.mark.as_mut().unwrap().0.0 -= 1), [Check::Chain]);
    assert_eq!(with(|store| store.meta.mark.as_mut().unwrap().0.0 += 1), [Check::Durable]);
    assert_eq!(with(|store| drop(store.blocks.pop())), [Check::Durable]);
    assert_eq!(with(|store| store.meta.clock_reserve = Some(Stamp(3))), [Check::Clock]);
}

#[test]
fn caches_are_compared_at_their_own_row() {
    let clean = Market::lived();
    let (blocks, tip) = chain(&clean.ledger);
    // Stock after the last row, and the age of a block.
    let (last, mut fold) = (tip.seq, LedgerFold::default());
    let mut time = WallMicros(0);
    let mut whole = Memory { meta: Default::default(), blocks: blocks.clone(), cache: None };
    for row in rows::<Record>(&mut whole, Seq(1)) {
        let (place, record) = row.unwrap();
        fold.apply(&place, &record.unwrap(), &mut Alarms::new(0));
        time = place.time;
    }
    let stock: Vec<Quantity> = fold.goods.0.iter().map(|it| Quantity(it.on_hand())).collect();
    let with = |alter: &dyn Fn(&mut StockCache)| {
        let mut cache = StockCache { seq: last, stock: stock.clone(), asked_at: time };
        alter(&mut cache);
        let memory = Memory { meta: Default::default(), blocks: blocks.clone(), cache: Some(cache) };
        let found = audit(&mut [Box::new(memory) as Source], 5).unwrap();
        assert!(found.of(Check::Caches).checked > 0);
        found.failed()
    };
    assert_eq!(with(&|_| {}), []);
    assert_eq!(with(&|cache| cache.stock[1].0 += 1), [Check::Caches]);
    assert_eq!(with(&|cache| cache.seq.0 += 1), [Check::Caches], "ahead of the ledger");
    assert_eq!(with(&|cache| cache.seq.0 -= 20), [Check::Caches], "stock of a later row");
    let early = |cache: &mut StockCache| {
        (cache.seq, cache.stock) = (Seq(3), [111, 43, 28].map(Quantity).to_vec());
    };
    assert_eq!(with(&early), [], "rows that are on their way");
    let behind = |cache: &mut StockCache| {
        early(cache);
        cache.asked_at.0 += 3_000_000;
    };
    assert_eq!(with(&behind), [Check::Caches]);
}

/// Row of the restore in [`Market::restored`].
fn restored_row(market: &Market) -> Seq {
    let (step, _) = find(market, 0, |record| record.kind() == "restored");
    Seq(market.ledger[..step].iter().map(Vec::len).sum::<usize>() as u64 + 1)
}

#[test]
fn what_a_restore_lost_is_counted_apart() {
    let market = Market::restored();
    let row = restored_row(&market);
    let found = audit(&mut market.sources(), 5).unwrap();
    for check in Check::ALL {
        let tally = found.of(check);
        assert_eq!(tally.failed, 0, "{}: {:?}", check.id(), tally.examples);
    }
    let lost = |check| found.of(check).lost.get(&row).copied();
    assert_eq!(
        lost(Check::ToldIsDone),
        Some(2),
        "one that is nowhere, one that was voided when it was asked again"
    );
    assert_eq!(
        lost(Check::Durable),
        Some(1 + 6),
        "that one, and what the six journals saw of the lost ledger"
    );
    assert_eq!(lost(Check::ExactlyOnce), Some(1), "accepted, decided in the lost part, and nowhere now");
}

/// Alters the `nth` record of a kind, counted from the last.
fn restored_with(kind: &'static str, nth: usize, alter: impl Fn(&mut Record)) -> Market {
    let mut market = Market::restored();
    let of_kind = flat(&market).iter().filter(|record| record.kind() == kind).count();
    let (step, row) = find(&market, of_kind - 1 - nth, |record| record.kind() == kind);
    alter(&mut market.ledger[step][row]);
    market
}

fn restored_entry(peer: u32, alter: impl Fn(&mut Entry) -> bool) -> Market {
    let mut market = Market::restored();
    let entries = market.journals.get_mut(&PeerId(peer)).unwrap().iter_mut().flatten();
    assert!(entries.filter_map(|entry| alter(entry).then_some(())).next().is_some());
    market
}

#[test]
fn the_exemption_of_a_restore_hides_nothing_else() {
    let row = restored_row(&Market::restored());
    let mut newer = Market::restored();
    newer.ledger.pop();
    let told = |alter: fn(&mut crate::model::entry::Told), lost: bool| {
        restored_entry(4, move |entry| match entry {
            Entry::Answered { told, .. }
                if (told[0].seq >= row && told[0].number.epoch() == Epoch(0)) == lost =>
            {
                alter(&mut told[0]);
                true
            }
            _ => false,
        })
    };
    let mut unknown = Market::restored();
    let (step, _) = find(&unknown, 0, |record| record.kind() == "restored");
    unknown.ledger[step] = vec![];
    unknown.ledger.retain(|rows| !rows.is_empty());
    let cases: Vec<(&str, Check, Market)> = vec![
        ("an answer of the new epoch is missing", Check::ToldIsDone, newer.clone()),
        ("a mark of the new generation is missing", Check::Durable, newer),
        ("a kept answer differs", Check::ToldIsDone, told(|told| told.filled.0 += 1, false)),
        ("a missing answer of a kept row", Check::ToldIsDone, told(|told| told.seq = Seq(10), true)),
        (
            "a kept row was seen otherwise",
            Check::Durable,
            restored_entry(4, move |entry| match entry {
                Entry::LedgerSeen { generation: 0, seq, .. } if *seq > row => {
                    seq.0 = row.0 - 1;
                    true
                }
                _ => false,
            }),
        ),
        ("the restore has no row", Check::ExactlyOnce, unknown),
        (
            "a generation that is none",
            Check::Fencing,
            restored_with("restored", 0, |record| {
                if let Record::Restored { generation, .. } = record {
                    *generation = 0
                }
            }),
        ),
        (
            "a term of the lost part granted again",
            Check::Fencing,
            restored_with("office", 1, |record| {
                if let Record::Office { term, .. } = record {
                    *term = Term(5)
                }
            }),
        ),
        (
            "a write under a term from before the restore",
            Check::Fencing,
            restored_with("sale", 0, |record| {
                (decision(record).trader, decision(record).term) = (PeerId(5), Term(3))
            }),
        ),
        (
            "an epoch that the lost part may have used",
            Check::ExactlyOnce,
            restored_with("session", 5, |record| {
                if let Record::Session { epoch, .. } = record {
                    *epoch = Epoch(1)
                }
            }),
        ),
        (
            "a sale to an order of a lost epoch",
            Check::ExactlyOnce,
            restored_with("sale", 0, |record| decision(record).order.id.number = Number(40)),
        ),
    ];
    for (what, check, market) in cases {
        let found = failed(&market);
        assert!(found.contains(&check), "{what}: {found:?} instead of {check:?}");
    }
}

#[test]
fn a_number_that_its_store_gave_up_is_no_alarm() {
    let mut market = Market::lived();
    let steps = market.journals.get_mut(&PeerId(4)).unwrap();
    for entry in steps.iter_mut().flatten() {
        match entry {
            // Another copy of this store used the number for another order.
            Entry::Placed(placed) if placed.number == Number(2) => placed.quantity.0 += 1,
            Entry::Answered { told, .. } if told[0].number == Number(2) => {
                *entry = Entry::Forgotten { number: Number(2) };
            }
            _ => {}
        }
    }
    assert_eq!(failed(&market), []);
}

#[test]
fn a_number_that_was_given_up_without_an_outcome_anywhere_is_lost() {
    let mut market = Market::lived();
    let steps = market.journals.get_mut(&PeerId(4)).unwrap();
    let placed = steps.iter().flatten().rev().find_map(|entry| match entry {
        Entry::Placed(placed) => Some(*placed),
        _ => None,
    });
    let mut placed = placed.unwrap();
    (placed.number, placed.stamp.0) = (Number(placed.number.0 + 90), placed.stamp.0 + 1_000);
    steps.push(vec![Entry::Placed(placed), Entry::Forgotten { number: placed.number }]);
    assert!(failed(&market).contains(&Check::ExactlyOnce));
}
