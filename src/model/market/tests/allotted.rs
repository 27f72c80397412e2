//! Goods that are set aside for terms: what is told of them is booked, and nobody else is told that they are gone.

use super::*;
use crate::model::tentative::{Draw, Tentative};

/// A market in `escrow` mode, with ten fish and a pair: 6 with term 1, 5 with term 2.
fn market() -> Market {
    let mut market = super::market();
    let (process, clock) = (ProcessId::default(), Stamp(3));
    apply(&mut market, Record::Mode { mode: Consistency::Escrow, clock });
    for (office, trader, term) in [(Office::Primary, 6, 1), (Office::Secondary, 5, 2)] {
        let (trader, term) = (PeerId(trader), Term(term));
        apply(&mut market, Record::Office { office, trader, process, term, clock });
    }
    let (trader, partner) = (PeerId(6), PeerId(5));
    apply(&mut market, Record::Paired { trader, term: Term(1), partner, partner_term: Term(2), clock });
    market
}

const FISH: ProductId = ProductId(0);

fn allot(market: &mut Market, term: u64, pieces: u64) -> Option<u64> {
    let (term, trader) = (Term(term), PeerId(7 - term as u32));
    let slices = market.allot(term, FISH, Quantity(pieces))?;
    apply(market, Record::Allotment { trader, term, product: FISH, slices, clock: Stamp(4) });
    market.allotted(term, FISH).map(|pieces| pieces.0)
}

fn give_back(market: &mut Market, term: u64) {
    let (term, trader) = (Term(term), PeerId(7 - term as u32));
    while let Some(slices) = market.last_of(term, FISH) {
        apply(market, Record::Returned { trader, term, product: FISH, slices, clock: Stamp(5) });
    }
}

fn fence(market: &mut Market, term: u64) {
    let (trader, office) = match term {
        1 => (PeerId(6), Office::Primary),
        _ => (PeerId(5), Office::Secondary),
    };
    apply(market, Record::Fence { office, trader, term: Term(term), by: trader, clock: Stamp(6) });
}

/// What a trader has decided comes to the warehouse, in a batch of term 1 or of another one.
fn decided(market: &mut Market, order: &Order, (term, nth): (u64, u64), by_term: u64) -> Verdict {
    let draw = Some(Draw { term: Term(term), nth });
    let told = Some(Tentative { id: order.id, filled: order.quantity, draw });
    let verdict = market.decide(order, &Settling { told, term: Term(by_term), ..by() });
    if let Verdict::New(record) = &verdict {
        apply(market, record.clone());
    }
    verdict
}

fn kind(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::New(record) => record.kind(),
        Verdict::Known(_) => "known",
        Verdict::NotTaken(_) => "not taken",
        Verdict::Waits => "waits",
    }
}

fn pieces(market: &Market) -> (u64, u64) {
    (market.shelves[0].on_hand.0, market.shelves[0].free())
}

#[test]
fn half_of_what_is_free_is_set_aside_and_sold_and_given_back() {
    let mut market = market();
    assert_eq!([allot(&mut market, 1, 99), allot(&mut market, 2, 2)], [Some(5), Some(2)]);
    assert_eq!(pieces(&market), (10, 3));
    assert_eq!(kind(&decided(&mut market, &order(1, 1, BUY, 0, 4), (1, 1), 1)), "sale");
    assert_eq!(kind(&decided(&mut market, &order(1, 2, OrderKind::Sell, 0, 7), (1, 2), 1)), "deposit");
    assert_eq!((market.allotted(Term(1), FISH), pieces(&market)), (Some(Quantity(8)), (13, 3)));
    assert_eq!(market.holder(Term(1)).unwrap().decided, 2);
    give_back(&mut market, 1);
    assert_eq!((market.allotted(Term(1), FISH), pieces(&market)), (None, (13, 11)));
}

#[test]
fn nothing_is_set_aside_for_one_that_is_alone_or_in_another_mode() {
    let mut market = market();
    assert_eq!(market.allot(Term(9), FISH, Quantity(1)), None, "no present term");
    assert_eq!(market.allot(Term(1), ProductId(9), Quantity(1)), None);
    fence(&mut market, 2);
    assert_eq!(market.allot(Term(1), FISH, Quantity(1)), None, "alone");
    let mut market = super::market();
    assert_eq!(market.allot(Term(1), FISH, Quantity(1)), None);
    apply(&mut market, Record::Mode { mode: Consistency::Cached, clock: Stamp(3) });
    assert_eq!(market.allot(Term(1), FISH, Quantity(1)), None);
}

/// Sold out is said when the traders have nothing of it any more.
#[test]
fn what_others_may_have_is_waited_for() {
    let mut market = market();
    allot(&mut market, 1, 5);
    for (k, wanted, partial, verdict) in
        [(3, 5, false, "sale"), (4, 1, true, "waits"), (4, 1, false, "waits")]
    {
        let order = order(2, k, OrderKind::Buy { partial }, 0, wanted);
        assert_eq!(kind(&settle(&mut market, &order)), verdict, "{order:?}");
    }
    assert_eq!(kind(&settle(&mut market, &order(2, 20, OrderKind::Sell, 0, 1))), "deposit");
    give_back(&mut market, 1);
    assert_eq!(kind(&settle(&mut market, &order(2, 21, BUY, 0, 7))), "refusal");
}

/// Its deposit may be here already, by another row, and its pieces with others.
#[test]
fn while_goods_are_frozen_nothing_is_put_in_or_given_up_but_by_who_decided_it() {
    let mut market = market();
    allot(&mut market, 1, 5);
    fence(&mut market, 1);
    let (sell, void) = (order(1, 1, OrderKind::Sell, 0, 3), order(1, 2, OrderKind::Void, 0, 3));
    assert_eq!([&sell, &void].map(|order| kind(&market.decide(order, &by()))), ["waits"; 2]);
    assert_eq!(kind(&settle(&mut market, &order(1, 9, BUY, 0, 2))), "sale", "there is enough of it");
    // A sale of pieces of a deposit that is not here yet.
    let sold = order(2, 1, BUY, 0, 8);
    assert_eq!(kind(&decided(&mut market, &sell, (1, 1), 7)), "waits", "it is no report");
    assert_eq!(kind(&decided(&mut market, &sold, (1, 2), 1)), "waits");
    assert_eq!(kind(&decided(&mut market, &sell, (1, 1), 1)), "adopt");
    assert_eq!(kind(&decided(&mut market, &sold, (1, 2), 1)), "adopt");
    let found = market.sessions[&PeerId(2)].window(Epoch(0)).unwrap().standing(1);
    assert!(matches!(found, crate::model::session::Standing::Decided(it) if it.outcome.trader == PeerId(6)));
    apply(&mut market, Record::Complete { trader: PeerId(5), term: Term(2), of: Term(1), clock: Stamp(7) });
    assert_eq!((pieces(&market), market.holder(Term(1))), ((3, 3), None));
    assert_eq!(kind(&settle(&mut market, &void)), "void");
}

#[test]
fn a_report_is_the_last_word_and_a_release_is_none() {
    let mut market = market();
    allot(&mut market, 1, 5);
    allot(&mut market, 2, 2);
    fence(&mut market, 1);
    fence(&mut market, 2);
    apply(&mut market, Record::Complete { trader: PeerId(5), term: Term(0), of: Term(1), clock: Stamp(7) });
    // Its partner never had it, so it was told nobody.
    apply(&mut market, Record::Released { trader: PeerId(5), term: Term(2), clock: Stamp(8) });
    assert_eq!(kind(&decided(&mut market, &order(1, 1, BUY, 0, 11), (1, 3), 7)), "refusal");
    // It may have been told: what is there is booked as told.
    assert_eq!(kind(&decided(&mut market, &order(1, 2, BUY, 0, 6), (2, 1), 7)), "sale");
    assert_eq!(kind(&decided(&mut market, &order(1, 3, BUY, 0, 6), (2, 2), 7)), "reversal");
}

#[test]
fn a_term_that_gave_all_back_has_nothing_to_report() {
    let mut market = market();
    allot(&mut market, 1, 5);
    allot(&mut market, 2, 2);
    give_back(&mut market, 1);
    fence(&mut market, 1);
    assert_eq!(market.frozen().count(), 0);
    fence(&mut market, 2);
    assert_eq!(
        market.frozen().map(|(term, holder)| (term, holder.partner.0)).collect::<Vec<_>>(),
        [(Term(2), PeerId(6))]
    );
}

#[test]
fn a_checkpoint_has_what_is_set_aside() {
    let mut market = market();
    allot(&mut market, 1, 5);
    decided(&mut market, &order(1, 1, OrderKind::Sell, 0, 7), (1, 1), 1);
    allot(&mut market, 2, 1);
    decided(&mut market, &order(1, 2, BUY, 0, 1), (2, 1), 2);
    fence(&mut market, 1);
    let mut again = Market::default();
    market.each_part(&mut |_, part| again.restore(part));
    assert_eq!(again, market);
    apply(&mut market, Record::Released { trader: PeerId(6), term: Term(1), clock: Stamp(8) });
    apply(&mut market, Record::Restored { generation: Generation::of_test(1), clock: Stamp(9) });
    let mut again = Market::default();
    market.each_part(&mut |_, part| again.restore(part));
    assert_eq!((again, market.holders.len(), pieces(&market)), (market.clone(), 0, (16, 16)));
}

#[derive(Clone, Debug)]
enum Step {
    Allot(u64, u64),
    GiveBack(u64),
    Decide(u64, u32, OrderKind, u64),
    Plain(u32, OrderKind, u64),
    Fence(u64),
    Complete(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || prop_oneof![Just(BUY), Just(BUY_SOME), Just(OrderKind::Sell), Just(OrderKind::Void)];
    let term = || 1..3_u64;
    prop_oneof![
        3 => (term(), 1..9_u64).prop_map(|(term, pieces)| Step::Allot(term, pieces)),
        1 => term().prop_map(Step::GiveBack),
        6 => (term(), 1..4_u32, kind(), 1..6_u64).prop_map(|(t, p, k, q)| Step::Decide(t, p, k, q)),
        3 => (1..4_u32, kind(), 1..6_u64).prop_map(|(peer, kind, pieces)| Step::Plain(peer, kind, pieces)),
        1 => term().prop_map(Step::Fence),
        1 => term().prop_map(Step::Complete),
    ]
}

proptest! {
    /// V01 and V02 hold at every row (see `apply`), and what a trader decides from what it has is never taken back.
    #[test]
    fn goods_are_conserved_and_nothing_that_was_told_is_taken_back(steps in prop::collection::vec(step(), 1..120)) {
        let (mut market, mut k, mut nth) = (market(), 0, 0);
        for step in steps {
            k += 1;
            nth += 1;
            match step {
                Step::Allot(term, pieces) => drop(allot(&mut market, term, pieces)),
                Step::GiveBack(term) if market.offices.present(Term(term)).is_some() => give_back(&mut market, term),
                Step::Decide(term, peer, kind, pieces) => {
                    let has = market.allotted(Term(term), FISH).map_or(0, |has| has.0);
                    let takes = matches!(kind, OrderKind::Buy { .. });
                    let open = market.allotted(Term(term), FISH).is_some();
                    if kind != OrderKind::Void && open && (!takes || pieces <= has) {
                        let order = order(peer, k, kind, 0, pieces);
                        let Verdict::New(record) = decided(&mut market, &order, (term, nth), term) else {
                            panic!("it is decided");
                        };
                        prop_assert_ne!(record.kind(), "reversal");
                    }
                }
                Step::Plain(peer, kind, pieces) => drop(settle(&mut market, &order(peer, k, kind, 0, pieces))),
                Step::Fence(term) if market.offices.present(Term(term)).is_some() => fence(&mut market, term),
                Step::Complete(term) if market.frozen().any(|(frozen, _)| frozen == Term(term)) => {
                    let (trader, of, clock) = (PeerId(5), Term(term), Stamp(9));
                    apply(&mut market, Record::Complete { trader, term: Term(0), of, clock });
                }
                Step::GiveBack(_) | Step::Fence(_) | Step::Complete(_) => {}
            }
        }
    }
}
