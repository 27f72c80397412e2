use super::*;
use crate::model::call::SalesReport;
use crate::model::message::GoodsWord;
use crate::model::tentative::{Draw, Tentative};

const FISH: ProductId = ProductId(0);

/// A pair in `escrow` mode, with a settle stream each: 6 with term 3 on 1, 5 with term 4 on 2.
fn escrow() -> Driven {
    let mut it = paired();
    assert!(matches!(it.ask(Ask::Mode(Consistency::Escrow)), Ok(Answer::Mode(..))));
    it.claim(6, Office::Primary).unwrap();
    it.claim(5, Office::Secondary).unwrap();
    it.demand(Ask::Pair(Box::new(hello(6, 1)), Term(3), Term(4))).unwrap();
    it.settler(1, 6, 1);
    it.settler(2, 5, 1);
    it.end();
    it.kinds();
    it.lines();
    it
}

impl Driven {
    fn wants(&mut self, conn: u64, term: u64, pieces: u64) {
        let wants = vec![(FISH, Quantity(pieces))];
        let ask = SettleAsk { term: Term(term), wants, ..SettleAsk::default() };
        self.step(Input::Said(ConnId(conn), Message::SettleAsk(ask)));
    }

    /// A batch of one order, which the trader has decided as that of its term.
    fn decided(&mut self, conn: u64, term: u64, order: Order, draw: (u64, u64)) {
        let told = vec![told(&order, draw)];
        let (term, batch, orders) = (Term(term), Batch(draw.1), vec![order]);
        let ask = SettleAsk { term, batch, orders, told, ..SettleAsk::default() };
        self.step(Input::Said(ConnId(conn), Message::SettleAsk(ask)));
    }

    /// The turn ends: what the streams were told of goods, and the outcomes.
    fn goods(&mut self) -> Vec<String> {
        self.settle().into_iter().flat_map(|answer| said(&answer)).collect()
    }

    fn report(&mut self, by: Hello, term: u64, sold: &[(Order, u64)]) -> Result<(), Denied> {
        let orders = sold.iter().map(|(order, _)| *order).collect();
        let told = sold.iter().map(|(order, nth)| told(order, (term, *nth))).collect();
        let report = SalesReport { term: Term(term), orders, told, last: true };
        self.demand(Ask::Complete(Box::new(by), Box::new(report)))
    }
}

fn told(order: &Order, (term, nth): (u64, u64)) -> Tentative {
    let draw = Some(Draw { term: Term(term), nth });
    Tentative { id: order.id, filled: order.quantity, draw }
}

fn said(answer: &SettleAnswer) -> Vec<String> {
    let outcomes = answer.outcomes.iter().map(|it| format!("{} {}", it.id, it.kind.name()));
    let goods: Vec<String> = answer.goods.iter().map(|word| of_goods(word)).collect();
    outcomes.chain(goods).collect()
}

fn of_goods(word: &GoodsWord) -> String {
    let allotted: Vec<String> = word.allotted.iter().map(|(_, pieces)| format!("{pieces:?}")).collect();
    let recall = if word.recall.is_empty() { "" } else { "recall" };
    format!("{}{recall} after {}", allotted.join(" "), word.decided)
}

#[test]
fn an_order_waits_until_others_have_given_back_what_they_have() {
    let mut it = escrow();
    it.wants(2, 4, 9);
    assert_eq!(it.goods(), ["Some(Quantity(5)) after 0"]);
    it.batch(1, 1, 3, vec![order(4, 1, BUY, 0, 7), order(4, 2, BUY, 0, 1)]);
    assert_eq!(it.goods(), ["recall after 0"], "and what is behind it waits");
    it.wants(1, 3, 1);
    assert_eq!(it.goods(), ["None after 0"], "nothing is set aside meanwhile");
    it.decided(2, 4, order(5, 1, BUY, 0, 2), (4, 1));
    it.wants(2, 4, 0);
    assert_eq!(it.goods(), ["5-1 bought", "None after 1", "4-1 bought", "4-2 bought"]);
    assert_eq!(it.kinds(), ["allotment", "sale", "returned", "sale", "sale"]);
    it.batch(1, 2, 3, vec![order(4, 3, BUY, 0, 1)]);
    assert_eq!(it.goods(), ["4-3 sold_out"], "nobody has any");
}

/// Two traders have the order, from a hand-over and from its peer.
#[test]
fn an_order_that_waits_on_two_streams_is_answered_on_both() {
    let mut it = escrow();
    it.wants(2, 4, 9);
    it.goods();
    let order = order(4, 1, BUY, 0, 7);
    it.batch(1, 1, 3, vec![order]);
    it.batch(2, 1, 4, vec![order]);
    it.wants(2, 4, 0);
    assert_eq!(it.goods(), ["None after 0", "4-1 bought", "4-1 bought"]);
}

#[test]
fn a_recall_goes_out_again_on_a_new_stream_and_what_waited_on_the_old_one_is_asked_again() {
    let mut it = escrow();
    it.wants(2, 4, 9);
    it.goods();
    it.batch(1, 1, 3, vec![order(4, 1, BUY, 0, 7)]);
    assert_eq!(it.goods(), ["recall after 0"]);
    it.settler(3, 5, 1);
    assert_eq!(it.goods(), ["recall after 0"]);
    it.wants(2, 4, 0);
    assert_eq!(
        it.goods(),
        [""; 0],
        "that stream was hung up: what comes on it late would give new goods back"
    );
    it.gone(ConnId(1));
    it.wants(3, 4, 0);
    assert_eq!(it.goods(), ["None after 0"]);
}

#[test]
fn the_partner_reports_and_then_what_is_left_is_free() {
    let mut it = escrow();
    it.wants(1, 3, 9);
    it.goods();
    it.fence(5, 3).unwrap();
    it.batch(2, 1, 4, vec![order(4, 1, BUY, 0, 7)]);
    assert_eq!(it.goods(), [""; 0], "what the ended term has may be sold, or not");
    let frozen: Vec<_> = it.roster(20).frozen.iter().map(|it| (it.term, it.trader, it.partner)).collect();
    assert_eq!(frozen, [(Term(3), PeerId(6), PeerId(5))]);
    let sold = (order(5, 1, BUY, 0, 2), 1);
    assert_eq!(it.report(hello(4, 1), 3, &[sold]), Err(Denied::NotReporter(Term(3))));
    assert_eq!(it.report(hello(5, 1), 4, &[sold]), Ok(()), "there is no such term to report");
    assert_eq!(it.report(hello(5, 1), 3, &[sold]), Ok(()));
    assert_eq!(it.goods(), ["4-1 bought"]);
    assert_eq!(it.kinds(), ["allotment", "fence", "adopt", "complete", "sale"]);
    assert_eq!(it.report(hello(6, 1), 3, &[]), Ok(()), "once more");
    assert!(it.roster(30).frozen.is_empty());
}

/// An older copy of the trader's store lacks what it told last, and its partner has it.
#[test]
fn a_later_process_of_the_trader_reports_only_while_its_partner_is_away() {
    let mut it = escrow();
    it.wants(1, 3, 9);
    it.goods();
    it.fence(5, 3).unwrap();
    assert_eq!(it.report(hello(6, 2), 3, &[]), Err(Denied::NotReporter(Term(3))));
    it.gone(control(5, 1));
    assert_eq!(it.report(hello(6, 2), 3, &[]), Ok(()));
}

#[test]
fn goods_are_released_of_a_term_that_ended_and_of_no_other() {
    let mut it = escrow();
    it.wants(1, 3, 9);
    it.goods();
    assert!(matches!(it.ask(Ask::Release(Term(3))), Err(Refusal::Invalid(why)) if why.contains("in office")));
    assert!(matches!(it.ask(Ask::Release(Term(9))), Err(Refusal::Invalid(why)) if why.contains("no frozen")));
    it.fence(5, 3).unwrap();
    let freed = it.ask(Ask::Release(Term(3)));
    assert!(matches!(freed, Ok(Answer::Released(it)) if it == [(FISH, Quantity(5))]));
    it.decided(2, 4, order(5, 1, BUY, 0, 11), (3, 1));
    assert_eq!(it.goods(), ["5-1 reversed"]);
}

/// The peers of a secondary are at home with a new primary at once.
#[test]
fn a_secondary_with_goods_does_not_outlast_its_partner_in_office() {
    let mut it = escrow();
    it.wants(2, 4, 9);
    it.goods();
    it.gone(control(6, 1));
    it.at.now = Now(5_000);
    it.claim(4, Office::Primary).unwrap();
    let roster = it.roster(5_000);
    assert_eq!((roster.secondary, roster.frozen.len()), (None, 1));
    assert_eq!(it.kinds()[1..], ["fence", "fence", "office"]);
}

#[test]
fn a_trader_decides_for_its_own_term_alone_and_numbers_no_batch_like_a_decision() {
    let mut it = escrow();
    it.wants(2, 4, 9);
    it.goods();
    it.decided(1, 3, order(4, 1, BUY, 0, 5), (4, 1));
    assert_eq!(it.goods(), ["4-1 bought"]);
    assert_eq!(it.it.market.holder(Term(4)).unwrap().decided, 0, "from what is free");
    it.batch(1, 1 << 41, 3, vec![order(4, 2, BUY, 0, 1)]);
    it.end();
    assert!(it.lines().contains(&"before: hang up s1".to_owned()));
}

/// Otherwise anybody takes what the ended term had sold to others.
#[test]
fn what_an_ended_term_told_is_booked_by_its_report_alone() {
    let mut it = escrow();
    it.wants(1, 3, 9);
    it.goods();
    it.fence(5, 3).unwrap();
    let (made_up, sold) = (order(4, 1, BUY, 0, 5), order(5, 1, BUY, 0, 4));
    it.decided(2, 4, made_up, (3, 1));
    assert_eq!(it.goods(), [""; 0], "it waits");
    assert_eq!(it.report(hello(5, 1), 3, &[(sold, 1), (made_up, 2)]), Err(Denied::ReportShort(Term(3))));
    assert_eq!(it.report(hello(5, 1), 3, &[(sold, 1)]), Ok(()));
    assert_eq!(it.goods(), ["4-1 bought"], "like any other order");
    assert_eq!(it.kinds(), ["allotment", "fence", "adopt", "complete", "sale"]);
}

#[test]
fn a_trader_that_does_not_give_back_loses_its_office() {
    let mut it = escrow();
    it.wants(2, 4, 9);
    it.goods();
    it.batch(1, 1, 3, vec![order(4, 1, BUY, 0, 7)]);
    assert_eq!(it.goods(), ["recall after 0"]);
    it.kinds();
    let patience = it.it.recall_patience_ms();
    it.pass(patience - 1);
    assert_eq!(it.kinds(), [""; 0]);
    it.pass(patience);
    assert_eq!(it.kinds(), ["fence"]);
    assert_eq!(it.roster(patience).frozen.len(), 1);
}
