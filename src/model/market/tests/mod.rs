mod allotted;
mod lots;
mod told;

use proptest::prelude::*;

use super::*;
use crate::limits::{LOTS_MAX, PRODUCTS_MAX, QUANTITY_MAX, SALE_LOTS_MAX, STOCK_MAX};
use crate::model::clock::Clock;
use crate::model::fold::Fold as _;
use crate::model::hello::Hello;
use crate::model::message::{Message, SettleAnswer, SettleAsk, Stream};
use crate::model::row::{Outcome, OutcomeKind, Reason, Record};
use crate::model::step::{At, ConnId, Effect, Input, Machine, Numbers, Past, Turn};
use crate::model::totals::Totals;
use crate::model::warehouse::{Parts, Rules, Warehouse};
use crate::types::{
    Batch, Epoch, Now, Office, Order, OrderKind, ProcessId, ProductId, Term, Token, WallMicros,
};

pub(in crate::model) fn order(peer: u32, k: u32, kind: OrderKind, product: u16, quantity: u64) -> Order {
    let id = OrderId { peer: PeerId(peer), number: Number::new(Epoch(0), k) };
    Order { id, stamp: Stamp(u64::from(k)), kind, product: ProductId(product), quantity: Quantity(quantity) }
}

const BUY: OrderKind = OrderKind::Buy { partial: false };
const BUY_SOME: OrderKind = OrderKind::Buy { partial: true };

fn by() -> Settling {
    Settling {
        trader: PeerId(6),
        term: Term(1),
        batch: Batch(1),
        clock: Stamp(9),
        commission_percent: 5,
        told: None,
    }
}

/// A market with 10 fish at 1.00, and sessions of peers 1 to 3.
fn market() -> Market {
    let mut market = Market::default();
    let stocked = Record::Stocked {
        name: "fish".into(),
        quantity: Quantity(10),
        unit_price: Money(100),
        clock: Stamp(1),
    };
    apply(&mut market, stocked);
    for peer in 1..=3 {
        let store = Hash::of(&[peer as u8]);
        apply(
            &mut market,
            Record::Session { peer: PeerId(peer), epoch: Epoch(0), store, key: None, clock: Stamp(2) },
        );
    }
    market
}

fn apply(market: &mut Market, record: Record) -> Option<Outcome> {
    let outcome = market.apply_outcome(market.seq.next(), WallMicros(1), &record);
    assert_eq!(market.invariants(), Ok(()));
    outcome
}

fn settle(market: &mut Market, order: &Order) -> Verdict {
    let verdict = market.decide(order, &by());
    if let Verdict::New(record) = &verdict {
        apply(market, record.clone());
    }
    verdict
}

fn outcome(market: &mut Market, order: &Order) -> OutcomeKind {
    match settle(market, order) {
        Verdict::New(record) => record.outcome(Seq(1), WallMicros(0)).unwrap().kind,
        other => panic!("{other:?}"),
    }
}

/// The ladder of verdicts, top to bottom: each order fails at its own rung only.
#[test]
fn outcomes_by_precedence() {
    let mut market = market();
    let mut check = |order: Order, expected: Result<OutcomeKind, NotTaken>| {
        let found = match market.decide(&order, &by()) {
            Verdict::NotTaken(why) => Err(why),
            Verdict::Known(outcome) => Ok(outcome.kind),
            Verdict::New(record) => Ok(apply(&mut market, record).unwrap().kind),
            Verdict::Waits => panic!("nobody has goods set aside"),
        };
        assert_eq!(found, expected, "{order:?}");
    };
    let mut far = order(1, 1, BUY, 0, 1);
    far.id.number = Number::new(Epoch(1), 1);
    check(order(9, 1, BUY, 0, 1), Err(NotTaken::NoSession));
    check(far, Err(NotTaken::NoSession));
    check(order(1, 0, BUY, 0, 1), Err(NotTaken::Window));
    check(order(1, 4097, BUY, 0, 1), Err(NotTaken::Window));
    check(order(1, 1, BUY, 7, 1), Err(NotTaken::UnknownProduct));
    check(order(1, 1, BUY, 0, 0), Err(NotTaken::Quantity));
    check(order(1, 1, BUY, 0, QUANTITY_MAX + 1), Err(NotTaken::Quantity));
    check(order(3, 1, BUY, 0, QUANTITY_MAX), Ok(OutcomeKind::SoldOut));
    check(order(1, 1, BUY, 0, 3), Ok(OutcomeKind::Bought));
    check(order(1, 1, BUY, 0, 3), Ok(OutcomeKind::Bought));
    check(order(1, 1, BUY, 0, 4), Err(NotTaken::OtherContent));
    check(order(1, 1, OrderKind::Void, 0, 0), Ok(OutcomeKind::Bought));
    check(order(1, 2, OrderKind::Void, 0, 3), Ok(OutcomeKind::Voided));
    check(order(1, 2, BUY, 0, 3), Ok(OutcomeKind::Voided));
    check(order(1, 3, BUY, 0, 8), Ok(OutcomeKind::SoldOut));
    check(order(1, 4, BUY_SOME, 0, 8), Ok(OutcomeKind::PartlyBought));
    check(order(1, 5, BUY_SOME, 0, 1), Ok(OutcomeKind::SoldOut));
    check(order(2, 1, OrderKind::Sell, 0, 5), Ok(OutcomeKind::Deposited));
    check(order(1, 6, BUY, 0, 5), Ok(OutcomeKind::Bought));
}

/// A peer's rows of a good are by number (V06). One that sends its numbers out of order gets a definite answer, and no
/// row that the audit calls a breach.
#[test]
fn a_number_behind_a_higher_one_of_its_good_is_voided() {
    let mut market = market();
    assert_eq!(outcome(&mut market, &order(1, 5, BUY, 0, 1)), OutcomeKind::Bought);
    assert_eq!(outcome(&mut market, &order(1, 4, OrderKind::Void, 0, 1)), OutcomeKind::Voided);
    let Verdict::New(record) = settle(&mut market, &order(1, 3, BUY, 0, 1)) else { panic!() };
    assert!(matches!(record, Record::Void { reason: Reason::Overtaken, .. }), "{record:?}");
    assert_eq!(outcome(&mut market, &order(1, 7, OrderKind::Void, 0, 1)), OutcomeKind::Voided);
    assert_eq!(
        outcome(&mut market, &order(1, 6, BUY, 0, 1)),
        OutcomeKind::Bought,
        "a void overtakes nothing"
    );
}

#[test]
fn each_outcome_tells_the_stock_that_it_leaves_and_no_stock_passes_its_limit() {
    let mut market = market();
    let (name, unit_price, clock) = ("salt".into(), Money(50), Stamp(2));
    apply(&mut market, Record::Stocked { name, quantity: Quantity(STOCK_MAX - 5), unit_price, clock });
    let (name, quantity) = ("none yet".into(), Quantity(0));
    apply(&mut market, Record::Stocked { name, quantity, unit_price, clock });
    let mut after = |order: &Order| match settle(&mut market, order) {
        Verdict::New(record) => {
            let outcome = record.outcome(Seq(1), WallMicros(0)).unwrap();
            (outcome.kind, outcome.stock_after.0)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(after(&order(1, 1, BUY, 0, 3)), (OutcomeKind::Bought, 7));
    assert_eq!(after(&order(1, 2, OrderKind::Sell, 0, 2)), (OutcomeKind::Deposited, 9));
    assert_eq!(after(&order(1, 3, OrderKind::Sell, 1, 5)), (OutcomeKind::Deposited, STOCK_MAX));
    assert_eq!(after(&order(1, 4, OrderKind::Sell, 1, 1)), (OutcomeKind::Refused, STOCK_MAX));
    assert_eq!((market.totals.outcomes, market.totals.amount, market.is_whole()), (4, Money(300), true));
    market.totals = Totals::default();
    assert!(!market.is_whole(), "an earlier version counted nothing");
}

#[test]
fn an_undecided_order_of_a_closed_epoch_becomes_void() {
    let mut market = market();
    outcome(&mut market, &order(1, 1, BUY, 0, 1));
    let store = Hash::of(b"new");
    apply(
        &mut market,
        Record::Session { peer: PeerId(1), epoch: Epoch(1), store, key: None, clock: Stamp(3) },
    );
    assert_eq!(outcome(&mut market, &order(1, 2, BUY, 0, 1)), OutcomeKind::Voided);
    assert!(matches!(market.decide(&order(1, 1, BUY, 0, 1), &by()), Verdict::Known(_)));
}

/// The order with a number of another epoch.
fn of_epoch(epoch: u64, order: Order) -> Order {
    let number = Number::new(Epoch(epoch), order.id.number.k());
    Order { id: OrderId { number, ..order.id }, ..order }
}

#[test]
fn after_a_restore_orders_of_lost_epochs_are_closed_for_ever() {
    let mut market = market();
    assert_eq!(outcome(&mut market, &order(1, 1, BUY, 0, 1)), OutcomeKind::Bought);
    apply(&mut market, Record::Restored { generation: Generation::of_test(1), clock: Stamp(3) });
    let decided_before = market.decide(&order(1, 1, BUY, 0, 1), &by());
    assert!(matches!(decided_before, Verdict::Known(_)), "what the backup has stands");
    // Nobody has opened a session yet: numbers of the lost part, even far above what the backup knows, and of epochs
    // that it does not know at all.
    for lost in [order(1, 2, BUY, 0, 1), order(1, 9_000, BUY, 0, 1), of_epoch(3, order(1, 7, BUY, 0, 1))] {
        assert_eq!(outcome(&mut market, &lost), OutcomeKind::Voided, "{lost:?}");
        assert!(matches!(market.decide(&lost, &by()), Verdict::Known(_)), "{lost:?}: decided once");
    }
    let fresh = of_epoch(1 << 16, order(1, 1, BUY, 0, 1));
    assert_eq!(market.decide(&fresh, &by()), Verdict::NotTaken(NotTaken::NoSession));
    let stranger = order(9, 1, BUY, 0, 1);
    assert_eq!(market.decide(&stranger, &by()), Verdict::NotTaken(NotTaken::NoSession));
    let store = Hash::of(&[1]);
    apply(
        &mut market,
        Record::Session { peer: PeerId(1), epoch: Epoch(1 << 16), store, key: None, clock: Stamp(4) },
    );
    assert_eq!(outcome(&mut market, &fresh), OutcomeKind::Bought);
    assert_eq!(outcome(&mut market, &order(1, 8_999, BUY, 0, 1)), OutcomeKind::Voided);
    // The peer held the outcome of 3 durably when it placed 9,000.
    assert_eq!(market.decide(&order(1, 3, BUY, 0, 1), &by()), Verdict::NotTaken(NotTaken::Stale));

    apply(&mut market, Record::Mode { mode: Consistency::Cached, clock: Stamp(5) });
    let mut checkpointed = Market::default();
    market.parts().into_iter().for_each(|(_, part)| checkpointed.restore(part));
    assert_eq!(checkpointed, market);
}

fn orders() -> impl Strategy<Value = Vec<(u32, u32, u8, u64)>> {
    // peer, how far the number jumps back or ahead, kind, quantity
    proptest::collection::vec((1u32..=3, 0u32..4, 0u8..4, 0u64..9), 1..120)
}

/// A log that is never asked.
struct NoLog;

impl Past for NoLog {
    fn holds(&self, _: Seq, _: Hash) -> Result<bool, String> {
        Err("there is no log".to_owned())
    }
}

const TRADER: ConnId = ConnId(1);

fn turn() -> Turn<Record> {
    Turn::new(Numbers::default(), Box::new(NoLog))
}

fn at() -> At {
    At { time: WallMicros(5), ..At::default() }
}

/// A warehouse with peer 3 in office, and its settle stream.
fn warehouse() -> Warehouse {
    let (office, trader, process) = (Office::Primary, PeerId(3), ProcessId::default());
    let mut market = market();
    let token = Token([3; 32]);
    let session = Record::Session {
        peer: trader,
        epoch: Epoch(0),
        store: token.store_id(),
        key: None,
        clock: Stamp(7),
    };
    apply(&mut market, session);
    apply(&mut market, Record::Office { office, trader, process, term: Term(1), clock: Stamp(8) });
    let parts = Parts {
        mode: Consistency::default(),
        restore: String::new(),
        market,
        clock: Clock::starting_at(Stamp(9)),
        rules: Rules { commission_percent: 7, suspect_after_ms: 1000, starts: 1 },
        cluster: String::new(),
        store: Hash::default(),
        key: None,
        process,
        addr: String::new(),
        pid: 1,
        heartbeat_ms: 100,
        goods: Vec::new(),
    };
    let mut warehouse = Warehouse::new(parts, Now(0));
    warehouse.has_heard_all();
    let hello = Some(Box::new(Hello { peer: trader, token: Some(token), ..Hello::default() }));
    let ask = SettleAsk { hello, ..SettleAsk::default() };
    let mut turn = turn();
    warehouse.step(at(), Input::Opened(TRADER, Stream::Settle), &mut turn);
    warehouse.step(at(), Input::Said(TRADER, Message::SettleAsk(ask)), &mut turn);
    warehouse
}

/// A turn with one batch: its answers and its records.
fn settle_batch(warehouse: &mut Warehouse, ask: SettleAsk) -> (Vec<SettleAnswer>, Vec<Record>) {
    let mut turn = turn();
    warehouse.step(at(), Input::Said(TRADER, Message::SettleAsk(ask)), &mut turn);
    warehouse.end_turn(at(), &mut turn);
    let answer = |(_, effect)| match effect {
        Effect::Send(TRADER, Message::SettleAnswer(answer)) => Some(answer),
        _ => None,
    };
    (turn.take_effects().into_iter().filter_map(answer).collect(), turn.take_records().0)
}

/// What a restore and the first election after it write.
fn restored(term: &mut Term) -> Vec<Record> {
    let (clock, office) = (Stamp(9), Office::Primary);
    let (peer, trader, process) = (PeerId(1), PeerId(3), ProcessId::default());
    *term = Term((5 << 46) + 1);
    vec![
        Record::Restored { generation: Generation::of_test(5), clock },
        Record::Session { peer, epoch: Epoch(5 << 16), store: Hash::of(&[1]), key: None, clock },
        Record::Office { office, trader, process, term: *term, clock },
    ]
}

/// Another store takes the place of the peer's present one.
fn another_store(market: &Market, peer: u32) -> Record {
    let epoch = Epoch(market.sessions[&PeerId(peer)].epoch.0 + 1);
    let store = Hash::of(&epoch.0.to_le_bytes());
    Record::Session { peer: PeerId(peer), epoch, store, key: None, clock: Stamp(9) }
}

/// A peer that lost twenty stores had an outcome of each of their orders in every checkpoint.
#[test]
fn outcomes_are_kept_of_the_last_three_sessions() {
    let mut market = market();
    let of = |epoch: u64, k: u32| {
        let order = order(2, k, OrderKind::Sell, 0, 1);
        Order { id: OrderId { number: Number::new(Epoch(epoch), k), ..order.id }, ..order }
    };
    for epoch in 0..20 {
        for k in [1, 2, 4] {
            assert_eq!(outcome(&mut market, &of(epoch, k)), OutcomeKind::Deposited);
        }
        let opened = another_store(&market, 2);
        apply(&mut market, opened);
    }
    let kept: usize = market.sessions[&PeerId(2)].windows.values().map(|window| window.kept().count()).sum();
    assert_eq!(kept, 6, "of epochs 18 and 19; that of epoch 20 has none yet");
    for epoch in [18, 19] {
        assert!(
            matches!(settle(&mut market, &of(epoch, 4)), Verdict::Known(_)),
            "it may be that of epoch 20"
        );
    }
    for k in [1, 2, 4] {
        assert_eq!(
            settle(&mut market, &of(17, k)),
            Verdict::NotTaken(NotTaken::Stale),
            "decided once and for all"
        );
    }
    assert_eq!(outcome(&mut market, &of(17, 3)), OutcomeKind::Voided, "never decided, and its store is gone");
    let owner = |epoch: u64| market.owner(Hash::of(&epoch.to_le_bytes()));
    assert_eq!(
        (owner(20), owner(19), market.owner(Hash::of(&[1]))),
        (Some(PeerId(2)), None, Some(PeerId(1)))
    );
}

/// Its rows of a good are by number (V06), also where it is not known any more what the numbers behind were for.
#[test]
fn a_number_behind_a_forgotten_one_is_voided() {
    let mut market = market();
    assert_eq!(outcome(&mut market, &order(1, 5, BUY, 0, 1)), OutcomeKind::Bought);
    market.sessions.get_mut(&PeerId(1)).unwrap().forget();
    assert_eq!(market.decide(&order(1, 5, BUY, 0, 1), &by()), Verdict::NotTaken(NotTaken::Stale));
    assert_eq!(outcome(&mut market, &order(1, 4, BUY, 0, 1)), OutcomeKind::Voided);
    assert_eq!(outcome(&mut market, &order(1, 6, BUY, 0, 1)), OutcomeKind::Bought);
    assert_eq!(market.numbers(PeerId(1)), (Number(1), Number(6)), "1 to 3 are open");
    (1..=3).for_each(|k| {
        assert_eq!(outcome(&mut market, &order(1, k, OrderKind::Void, 0, 1)), OutcomeKind::Voided)
    });
    market.sessions.get_mut(&PeerId(1)).unwrap().forget();
    assert_eq!(market.numbers(PeerId(1)), (Number(7), Number(6)), "all are decided");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Any orders, doubled, skipped and reordered, in any batches: goods and money are conserved at every prefix, no
    /// order has two outcomes, and the state is the fold of the records, also from a checkpoint at any place.
    #[test]
    fn conserved_at_every_prefix_and_replayed_alike(
        steps in orders(),
        cut in 0usize..200,
        size in 1usize..9,
        restore_at in 0usize..30,
        stores_at in proptest::collection::vec(0usize..30, 0..5),
    ) {
        let mut live = warehouse();
        let mut fold = live.market.clone();
        let mut checkpointed = None;
        let mut next = [1u32; 4];
        let mut outcomes: BTreeMap<OrderId, (Seq, OutcomeKind)> = BTreeMap::new();
        let mut term = Term(1);
        for (at, batch) in steps.chunks(size).enumerate() {
            let batch: Vec<Order> = batch.iter().map(|&(peer, jump, kind, quantity)| {
                let k = if jump == 0 { next[peer as usize].saturating_sub(1).max(1) } else { next[peer as usize] + jump - 1 };
                next[peer as usize] = next[peer as usize].max(k + 1);
                let kind = [BUY, BUY_SOME, OrderKind::Sell, OrderKind::Void][kind as usize];
                order(peer, k, kind, 0, quantity)
            }).collect();
            // A backup of just now: peer 1 opens its session again, the others have not come yet.
            let mut records = if at == restore_at { restored(&mut term) } else { Vec::new() };
            records.extend(stores_at.iter().filter(|it| **it == at).take(1).map(|_| another_store(&live.market, 2)));
            for record in &records {
                apply(&mut live.market, record.clone());
            }
            let ask = SettleAsk { batch: Batch(at as u64), term, orders: batch, ..SettleAsk::default() };
            let (answers, decided) = settle_batch(&mut live, ask);
            prop_assert!(!answers.is_empty());
            for answer in answers {
                prop_assert_eq!(answer.refused, None);
                for outcome in answer.outcomes {
                    let told = (outcome.seq, outcome.kind);
                    prop_assert_eq!(*outcomes.entry(outcome.id).or_insert(told), told, "told twice alike");
                }
            }
            records.extend(decided);
            for record in records {
                let seq = fold.seq.next();
                fold.apply(seq, WallMicros(5), &record);
                prop_assert_eq!(fold.invariants(), Ok(()));
                if fold.seq.0 as usize == cut {
                    let mut restored = Market::default();
                    fold.parts().into_iter().for_each(|(_, part)| restored.restore(part));
                    checkpointed = Some(restored);
                } else if let Some(restored) = &mut checkpointed {
                    restored.apply(seq, WallMicros(5), &record);
                }
            }
            prop_assert_eq!(&fold, &live.market);
        }
        if let Some(restored) = checkpointed {
            prop_assert_eq!(&restored, &live.market);
        }
    }
}
