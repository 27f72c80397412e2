use crate::model::call::{Answer, Ask};
use crate::model::chunk;
use crate::model::message::{GoodsWord, ReplicaAnswer};
use crate::model::message::{Message, ReplicaAsk, SettleAnswer, TradeAsk};
use crate::model::offices::{Frozen, Roster};
use crate::model::peer::entry::Entry;
use crate::model::peer::testing::*;
use crate::model::tentative::{Draw, Tentative};
use crate::types::{Consistency, Number, Order, OrderKind, PeerId, ProductId, Quantity, Seq, Stamp, Term};

const FISH: ProductId = ProductId(0);

fn escrow(roster: Roster) -> Roster {
    Roster { mode: Consistency::Escrow, ..roster }
}

fn from_partner(answer: ReplicaAnswer) -> Message {
    Message::ReplicaAnswer(ReplicaAnswer { clock: Stamp(1), ..answer })
}

fn mirrored() -> Message {
    from_partner(ReplicaAnswer { term: Term(4), ..ReplicaAnswer::default() })
}

fn buy(peer: u32, k: u32, pieces: u64) -> Order {
    Order { kind: OrderKind::Buy { partial: false }, quantity: Quantity(pieces), ..order(peer, k) }
}

fn drawn(order: &Order, term: u64, nth: u64) -> Tentative {
    Tentative { id: order.id, filled: order.quantity, draw: Some(Draw { term: Term(term), nth }) }
}

fn asked(orders: &[Order]) -> Message {
    let orders = orders.to_vec();
    Message::TradeAsk(TradeAsk { clock: Stamp(1), orders, again: Number(0), ..TradeAsk::default() })
}

fn word(pieces: u64, decided: u64) -> Message {
    let allotted = vec![(FISH, Some(Quantity(pieces)))];
    let goods = Some(Box::new(GoodsWord { allotted, decided, recall: Vec::new() }));
    settled(SettleAnswer { clock: Stamp(1), goods, ..SettleAnswer::default() })
}

/// The primary of a pair in `escrow` mode, with five fish to sell.
fn pair() -> Bench {
    let mut bench = Bench::in_market(escrow(offices(2, Some((ME, 3)), Some((6, 4)))));
    bench.settle_up();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.say("replicate", from_partner(ReplicaAnswer { hello: Some(hello(6)), ..ReplicaAnswer::default() }));
    bench.say("replicate", mirrored());
    bench.granted("pair", escrow(paired(3, (ME, 3), (6, 4))));
    let hello = ReplicaAsk { hello: Some(hello(6)), term: Term(4), ..ReplicaAsk::default() };
    bench.greeted("from-6", Message::ReplicaAsk(hello));
    bench.say("from-10", asked(&[buy(10, 1, 1)]));
    bench.decided(1, &[buy(10, 1, 1)]);
    bench.say("settle", word(5, 0));
    bench.settle();
    bench.recorded();
    bench.forget_what_happened();
    bench
}

/// The roster after the partner's term ended with goods.
fn survived() -> Roster {
    let frozen = vec![Frozen { term: Term(4), trader: PeerId(6), partner: PeerId(ME) }];
    Roster { frozen, ..escrow(offices(5, Some((ME, 3)), None)) }
}

#[test]
fn what_is_sold_from_the_allotment_is_told_when_it_is_on_both_disks() {
    let mut bench = pair();
    let lines = bench.say("from-10", asked(&[buy(10, 2, 2)]));
    assert_eq!(lines[0], "send settle settle term 3 batch 2 10-2 10-2 told 2", "{lines:?}");
    assert!(bench.recorded().contains(&Entry::Tentative(vec![drawn(&buy(10, 2, 2), 3, 1)])));
    let told: Vec<String> = (0..4).flat_map(|_| bench.say("replicate", mirrored())).collect();
    assert!(told.contains(&"send from-10 trade 10-2 told 2".to_owned()), "{told:?}");
}

/// It may be told, and its pieces may be sold on.
#[test]
fn what_is_decided_cannot_be_given_up() {
    let mut bench = pair();
    bench.say("from-10", asked(&[buy(10, 2, 2)]));
    let void = Order { kind: OrderKind::Void, ..buy(10, 2, 2) };
    bench.recorded();
    bench.say("from-10", asked(&[void]));
    assert!(bench.recorded().iter().all(|entry| !matches!(entry, Entry::Accepted { .. })));
    assert_eq!(bench.journal.accepted[&void.id].order.kind, buy(10, 2, 2).kind);
}

#[test]
fn the_partner_s_sales_are_reported_in_the_order_of_its_decisions_before_they_go_anywhere() {
    let mut bench = pair();
    let (first, second) = (buy(11, 7, 1), buy(11, 3, 2));
    let told = |id| if id == first.id { Some(drawn(&first, 4, 1)) } else { Some(drawn(&second, 4, 2)) };
    let orders = chunk::encode(&[second, first], told);
    let (clock, term, chunk) = (Stamp(1), Term(4), Seq(7));
    bench.say(
        "from-6",
        Message::ReplicaAsk(ReplicaAsk { clock, hello: None, term, chunk, orders, settled_below: Seq(0) }),
    );
    let lines = [bench.hear(survived()), bench.settle()].concat();
    let report = "sales of term 4 by 4 11-7 11-3 11-7 told 1 11-3 told 2, all";
    assert!(lines.iter().any(|line| line.ends_with(report)), "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains(" batch ")), "not before: {lines:?}");
    let done = Roster { version: 9, frozen: Vec::new(), ..survived() };
    let lines = bench.came("sales", Ok(Answer::Roster(Stamp(1), Box::new(done))));
    let lines = [lines, bench.settle()].concat();
    assert!(
        lines.iter().any(|line| line.starts_with("send settle settle term 3 batch 2 11-3 11-7")),
        "{lines:?}"
    );
}

#[test]
fn a_report_that_is_not_taken_goes_again() {
    let mut bench = pair();
    bench.hear(survived());
    bench.settle();
    assert_eq!(bench.calls("sales"), 1);
    bench.came("sales", Err(no_answer()));
    bench.settle();
    assert_eq!(bench.calls("sales"), 0);
    bench.after(2_000);
    assert_eq!(bench.calls("sales"), 1);
}

#[test]
fn a_term_of_others_is_not_reported() {
    let mut bench = pair();
    let frozen = vec![Frozen { term: Term(2), trader: PeerId(7), partner: PeerId(6) }];
    bench.hear(Roster { frozen, ..escrow(paired(5, (ME, 3), (6, 4))) });
    bench.settle();
    assert_eq!(bench.calls("sales"), 0);
    bench.ask(1, Ask::Release(Term(2)));
}

/// A new stream begins with a copy of all; what was accepted before it in the same turn is in there, without an answer.
#[test]
fn an_order_whose_copy_went_without_its_answer_is_not_told_early() {
    let mut bench = pair();
    bench.broken("replicate");
    bench.after(10);
    let hello = Some(hello(6));
    let ask = bench.said("from-10", asked(&[buy(10, 2, 2)]));
    let up = bench.said("replicate", from_partner(ReplicaAnswer { hello, ..ReplicaAnswer::default() }));
    bench.turn([ask, up]);
    let told: Vec<String> = (0..4).flat_map(|_| bench.say("replicate", mirrored())).collect();
    assert!(told.iter().all(|line| !line.contains("told")), "{told:?}");
    assert!(bench.recorded().iter().all(|entry| !matches!(entry, Entry::Tentative(_))));
}

/// What this trader told is here, or settled.
#[test]
fn what_others_say_that_this_term_told_is_not_believed() {
    let mut bench = pair();
    let order = buy(10, 2, 2);
    let (orders, told) = (vec![order], vec![drawn(&order, 3, 9)]);
    let ask = TradeAsk { clock: Stamp(1), orders, told, again: Number(2), ..TradeAsk::default() };
    let lines = bench.say("from-10", Message::TradeAsk(ask));
    assert_eq!(lines[0], "send settle settle term 3 batch 2 10-2", "{lines:?}");
}

#[test]
fn one_that_is_alone_gives_its_goods_back() {
    let mut bench = pair();
    let lines = [bench.hear(escrow(offices(5, Some((ME, 3)), None))), bench.settle()].concat();
    assert!(lines.contains(&"send settle settle term 3 wants 0 of 0".to_owned()), "{lines:?}");
}
