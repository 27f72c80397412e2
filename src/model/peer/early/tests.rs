use crate::model::call::Ask;
use crate::model::message::{Message, ReplicaAnswer, ReplicaAsk, StockPush, TradeAnswer, TradeAsk};
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::model::peer::testing::*;
use crate::model::tentative::Tentative;
use crate::types::{Consistency, Number, Order, OrderKind, PeerId, ProductId, Quantity, Seq, Stamp, Term};

fn cached(roster: Roster) -> Roster {
    Roster { mode: Consistency::Cached, ..roster }
}

fn from_partner(answer: ReplicaAnswer) -> Message {
    Message::ReplicaAnswer(ReplicaAnswer { clock: Stamp(1), ..answer })
}

/// The partner has what it was sent.
fn mirrored() -> Message {
    from_partner(ReplicaAnswer { term: Term(4), ..ReplicaAnswer::default() })
}

fn stock(seq: u64, pieces: u64) -> Message {
    let levels = vec![(ProductId(0), Quantity(pieces))];
    Message::Stock(StockPush { clock: Stamp(1), seq: Seq(seq), levels })
}

fn buy(k: u32, pieces: u64) -> Order {
    Order { kind: OrderKind::Buy { partial: false }, quantity: Quantity(pieces), ..order(10, k) }
}

fn asked(orders: &[Order], told: &[(u32, u64)], again: u64) -> Message {
    let told = told.iter().map(|(k, filled)| tentative(*k, *filled)).collect();
    let (clock, orders, again) = (Stamp(1), orders.to_vec(), Number(again));
    Message::TradeAsk(TradeAsk { clock, hello: None, orders, told, again })
}

fn tentative(k: u32, filled: u64) -> Tentative {
    Tentative { id: order(10, k).id, filled: Quantity(filled), draw: None }
}

/// The primary of a pair in `cached` mode, whose cache has five fish.
fn pair() -> Bench {
    let mut bench = Bench::in_market(cached(offices(2, Some((ME, 3)), Some((6, 4)))));
    bench.settle_up();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.say("replicate", from_partner(ReplicaAnswer { hello: Some(hello(6)), ..ReplicaAnswer::default() }));
    bench.say("replicate", mirrored());
    bench.granted("pair", cached(paired(3, (ME, 3), (6, 4))));
    let hello = ReplicaAsk { hello: Some(hello(6)), term: Term(4), ..ReplicaAsk::default() };
    bench.greeted("from-6", Message::ReplicaAsk(hello));
    bench.say("watch", stock(9, 5));
    bench.settle();
    bench.forget_what_happened();
    bench
}

/// What is told on the trade stream of these lines.
fn heard(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("send from-10 trade ")).collect()
}

#[test]
fn an_answer_waits_for_both_disks() {
    for partner_first in [true, false] {
        let mut bench = pair();
        bench.disk_works = false;
        let lines = bench.say("from-10", asked(&[buy(1, 2)], &[], 0));
        assert_eq!(
            lines[0], "send settle settle term 3 batch 1 10-1 10-1 told 2",
            "the warehouse hears of it"
        );
        assert!(lines[1].starts_with("send replicate"), "{lines:?}");
        let term = Term(3);
        let (accepted, early) = (Entry::Accepted { term, order: buy(1, 2) }, tentative(1, 2));
        assert_eq!(bench.recorded(), [accepted, Entry::Tentative(vec![early])]);
        let mut durable = |partner: bool| match partner {
            true => bench.say("replicate", mirrored()),
            false => bench.written(),
        };
        assert_eq!(heard(&durable(partner_first)), [""; 0], "on one of them");
        assert_eq!(heard(&durable(!partner_first)), ["10-1 told 2"]);
    }
}

/// Otherwise a trader oversells all by itself.
#[test]
fn what_was_told_is_not_there_any_more() {
    let mut bench = pair();
    bench.say("from-10", asked(&[buy(1, 4), buy(2, 2), buy(3, 1)], &[], 0));
    assert_eq!(heard(&bench.say("replicate", mirrored())), ["10-1 told 4 10-2 told 0 10-3 told 1"]);
    // A push of a row before the sale still counts them.
    bench.say("watch", stock(10, 5));
    bench.say("from-10", asked(&[buy(4, 1)], &[], 0));
    assert_eq!(heard(&bench.say("replicate", mirrored())), ["10-4 told 0"]);
    bench.say("watch", stock(11, 6));
    bench.say("from-10", asked(&[buy(5, 1)], &[], 0));
    assert_eq!(heard(&bench.say("replicate", mirrored())), ["10-5 told 1"]);
}

/// It may have an outcome, or another trader's answer.
#[test]
fn an_order_that_was_asked_before_is_told_when_it_is_settled() {
    let mut bench = pair();
    bench.say("from-10", asked(&[buy(1, 2), buy(2, 2)], &[], 1));
    assert_eq!(heard(&bench.say("replicate", mirrored())), ["10-2 told 2"]);
}

#[test]
fn one_that_is_alone_tells_when_it_is_settled() {
    let mut bench = pair();
    bench.hear(cached(offices(4, Some((ME, 3)), None)));
    bench.forget_what_happened();
    let lines = bench.say("from-10", asked(&[buy(1, 2)], &[], 0));
    assert_eq!(lines, ["send settle settle term 3 batch 1 10-1"]);
    assert_eq!(bench.recorded(), [Entry::Accepted { term: Term(3), order: buy(1, 2) }]);
}

#[test]
fn nothing_is_told_from_a_cache_that_knows_nothing() {
    let mut bench = pair();
    let salt = Order { product: ProductId(1), ..buy(1, 2) };
    bench.say("from-10", asked(&[salt], &[], 0));
    assert_eq!(heard(&bench.say("replicate", mirrored())), [""; 0]);
}

#[test]
fn an_answer_that_the_partner_may_not_have_is_never_told() {
    let mut bench = pair();
    bench.say("from-10", asked(&[buy(1, 2)], &[], 0));
    bench.broken("replicate");
    let lines = bench.after(10);
    assert!(lines.iter().any(|line| line.starts_with("dial replicate")), "{lines:?}");
    bench.say("replicate", from_partner(ReplicaAnswer { hello: Some(hello(6)), ..ReplicaAnswer::default() }));
    for _ in 0..3 {
        assert_eq!(heard(&bench.say("replicate", mirrored())), [""; 0]);
    }
    assert_eq!(heard(&bench.decided(1, &[buy(1, 2)])).len(), 1, "it is told when it is settled");
}

/// What the peer was told by another trader binds this one, too.
#[test]
fn what_was_told_elsewhere_goes_to_the_warehouse() {
    let mut bench = pair();
    let lines = bench.say("from-10", asked(&[buy(1, 2)], &[(1, 2)], 1));
    assert_eq!(lines[0], "send settle settle term 3 batch 1 10-1 10-1 told 2");
    assert_eq!(heard(&bench.say("replicate", mirrored())), [""; 0], "its peer knows");
    assert_eq!(bench.journal.accepted[&buy(1, 2).id].told, Some(tentative(1, 2)));
    bench.say("from-10", asked(&[buy(2, 4)], &[], 0));
    assert_eq!(heard(&bench.say("replicate", mirrored())), ["10-2 told 0"], "and it counts here");
}

/// The survivor settles it as the dead one told it.
#[test]
fn a_mirror_has_what_was_told() {
    let mut bench = pair();
    let one = Order { id: order(11, 1).id, ..buy(1, 2) };
    let orders = crate::model::chunk::encode(&[one], |id| Some(Tentative { id, ..tentative(1, 2) }));
    let (clock, term, chunk) = (Stamp(1), Term(4), Seq(7));
    let copy = ReplicaAsk { clock, hello: None, term, chunk, orders, settled_below: Seq(0) };
    bench.say("from-6", Message::ReplicaAsk(copy));
    let lines = [bench.hear(cached(offices(4, Some((ME, 3)), None))), bench.settle()].concat();
    assert!(lines.contains(&"send settle settle term 3 batch 1 11-1 11-1 told 2".to_owned()), "{lines:?}");
}

// ---- the peer that is told

const HOME: &str = "home";

/// A peer with a home, and an order that was sent there.
fn asking() -> (Bench, Number) {
    let mut bench = Bench::in_market(cached(paired(2, (6, 3), (5, 4))));
    bench.say(HOME, told(TradeAnswer { hello: Some(hello(6)), ..TradeAnswer::default() }));
    let buy = OrderKind::Buy { partial: false };
    bench.ask(1, Ask::Place("fish".into(), Quantity(2), buy, Number(0)));
    let lines = bench.settle();
    assert!(lines.iter().any(|line| line.starts_with("send home trade 4-1")), "{lines:?}");
    bench.forget_what_happened();
    (bench, Number(1))
}

fn early(number: Number, filled: u64) -> Message {
    let id = crate::types::OrderId { peer: PeerId(ME), number };
    told(TradeAnswer {
        early: vec![Tentative { id, filled: Quantity(filled), draw: None }],
        ..TradeAnswer::default()
    })
}

/// A peer that forgot what it was told would ask without it, and be told otherwise.
#[test]
fn a_peer_is_told_when_that_is_durable_and_says_so_when_it_asks_again() {
    let (mut bench, number) = asking();
    bench.at.watched = true;
    bench.disk_works = false;
    bench.say(HOME, early(number, 2));
    assert_eq!(bench.happened, [""; 0]);
    bench.written();
    assert_eq!(bench.happened, ["told early 4-1 bought"]);
    assert_eq!(bench.say(HOME, early(number, 2)), [""; 0], "once");
    bench.disk_works = true;
    bench.broken(HOME);
    bench.after(10);
    let lines = bench.say(HOME, told(TradeAnswer { hello: Some(hello(6)), ..TradeAnswer::default() }));
    assert!(lines.contains(&"send home trade 4-1 4-1 told 2".to_owned()), "{lines:?}");
    assert_eq!(bench.happened, ["told early 4-1 bought"]);
}

#[test]
fn what_is_told_of_another_order_is_not_heard() {
    let (mut bench, _) = asking();
    bench.say(HOME, early(Number(2), 2));
    let id = order(10, 1).id;
    let other = TradeAnswer {
        early: vec![Tentative { id, filled: Quantity(1), draw: None }],
        ..TradeAnswer::default()
    };
    bench.say(HOME, told(other));
    assert!(bench.recorded().is_empty());
}
