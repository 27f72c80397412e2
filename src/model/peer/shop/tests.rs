use crate::limits::SESSION_WINDOW;
use crate::model::call::Ask;
use crate::model::evidence::Seen;
use crate::model::market::NotTaken;
use crate::model::message::TradeAnswer;
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::model::peer::testing::*;
use crate::model::step::Input;
use crate::types::{Epoch, Number, Order, OrderKind, Quantity, Role, Seq, Token};

const SELL: OrderKind = OrderKind::Sell;

fn place(what: &str) -> Ask {
    numbered(what, 1, 0)
}

/// An order of the good under that number.
fn numbered(what: &str, quantity: u64, number: u64) -> Ask {
    Ask::Place(what.into(), Quantity(quantity), SELL, Number(number))
}

/// Order `k` of the peer on the bench, as it placed it.
fn own(bench: &Bench, k: u32) -> Order {
    let placed = &bench.journal.open[&Number(u64::from(k))];
    bench.journal.order(crate::types::PeerId(ME), placed)
}

fn served() -> TradeAnswer {
    TradeAnswer { hello: Some(hello(6)), ..TradeAnswer::default() }
}

/// A peer whose home, trader 6, has answered its line.
fn at_home() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), Some((8, 9))));
    bench.say("home", told(served()));
    bench
}

/// The same with three orders that were sent; people wait for them as r1 to r3.
fn three_sent() -> Bench {
    let mut bench = at_home();
    (1..=3).for_each(|reply| drop(bench.ask(reply, place("fish"))));
    assert_eq!(bench.idle(), ["send home trade 4-3"]);
    bench.forget_what_happened();
    bench
}

fn refusal(bench: &Bench, first: NotTaken) -> TradeAnswer {
    let id = |k| own(bench, k).id;
    let later = NotTaken::Window;
    TradeAnswer { not_taken: vec![(id(1), first), (id(2), later), (id(3), later)], ..TradeAnswer::default() }
}

fn outcome_of(order: &Order) -> TradeAnswer {
    TradeAnswer { outcomes: vec![deposited(order)], ..TradeAnswer::default() }
}

/// Otherwise: the order is decided, power fails, and after the restart its number is given to another one.
#[test]
fn an_order_is_sent_when_it_is_durable_and_not_before() {
    let mut bench = at_home();
    bench.disk_works = false;
    assert_eq!(bench.ask(1, place("fish")), [""; 0]);
    assert!(matches!(bench.recorded()[..], [Entry::Placed(placed)] if placed.number == Number(1)));
    assert_eq!(bench.after(3_000), [""; 0], "the disk is slow");
    assert_eq!(bench.written(), ["send home trade 4-1"]);
}

/// Otherwise the warehouse forgets an outcome that this store, after a power cut, asks for.
#[test]
fn an_outcome_is_told_at_once_and_acknowledged_when_it_is_durable() {
    let mut bench = at_home();
    bench.ask(1, place("fish"));
    bench.idle();
    bench.disk_works = false;
    let order = own(&bench, 1);
    let lines = bench.say("home", told(outcome_of(&order)));
    assert_eq!(lines, ["reply r1 outcome 4-1 deposited"], "the warehouse has journaled it");
    let shop = &bench.peer.rooms.shop;
    assert_eq!((shop.acknowledged, bench.journal.floor()), (Number(1), Number(2)));
    bench.written();
    assert_eq!(bench.peer.rooms.shop.acknowledged, Number(2));
    assert_eq!((bench.journal.open.len(), bench.journal.answered), (0, 1));
}

#[test]
fn an_outcome_that_comes_twice_is_told_once() {
    let mut bench = three_sent();
    let order = own(&bench, 2);
    assert_eq!(bench.say("home", told(outcome_of(&order))), ["reply r2 outcome 4-2 deposited"]);
    assert_eq!(bench.say("home", told(outcome_of(&order))), [""; 0]);
    assert_eq!(bench.journal.answered, 1);
}

#[test]
fn a_trader_without_room_is_asked_again_on_the_same_line() {
    let mut bench = three_sent();
    let answer = refusal(&bench, NotTaken::Busy);
    assert_eq!(bench.say("home", told(answer)), [""; 0]);
    assert_eq!(bench.after(9), [""; 0]);
    assert_eq!(bench.after(1), ["send home trade 4-1 4-2 4-3"], "all of them, from the first");
    let first = Number(1);
    assert_eq!(bench.recorded(), [Entry::AskedAgain { first, last: Number(3) }]);
}

/// Otherwise: 1 is asked again, has its outcome on the way, and finds no room; the trader takes nothing above 1 on this
/// line before 1 comes, which is told by now and never comes.
#[test]
fn a_line_on_which_the_trader_waits_for_a_number_that_was_told_is_dialed_anew() {
    let mut bench = three_sent();
    let (answer, first) = (refusal(&bench, NotTaken::Busy), own(&bench, 1));
    bench.say("home", told(answer));
    bench.say("home", told(outcome_of(&first)));
    assert_eq!(bench.after(10), ["hang up home"], "the trader takes 2 on no line on which it waits for 1");
    assert_eq!(bench.after(20), ["dial home peer-6 trade hello of 4"]);
    assert_eq!(bench.say("home", told(served())), ["send home trade 4-2 4-3"]);
}

#[test]
fn a_line_on_which_the_trader_waits_for_a_number_that_was_forgotten_is_dialed_anew() {
    let mut bench = three_sent();
    let answer = refusal(&bench, NotTaken::OtherContent);
    let lines = bench.say("home", told(answer));
    assert_eq!(lines, ["reply r1 refused: this order number was used for another order (this turn)"]);
    assert_eq!(bench.journal.open.len(), 2, "1 is given up");
    assert_eq!(bench.after(10), ["hang up home"]);
}

#[test]
fn a_line_to_a_trader_that_is_no_home_is_dialed_anew() {
    let mut bench = three_sent();
    let answer = refusal(&bench, NotTaken::NotHome);
    assert_eq!(bench.say("home", told(answer)), ["hang up home"]);
    assert_eq!(bench.after(10), ["dial home peer-6 trade hello of 4"]);
    // Coming up alone proves nothing, or a trader that refuses would be dialed without end.
    bench.say("home", told(served()));
    let answer = refusal(&bench, NotTaken::NotHome);
    bench.say("home", told(answer));
    assert_eq!(bench.after(19), [""; 0]);
    assert_eq!(bench.after(1), ["dial home peer-6 trade hello of 4"]);
}

#[test]
fn number_0_as_not_taken_does_no_harm() {
    let mut bench = three_sent();
    let id = crate::types::OrderId { peer: crate::types::PeerId(ME), number: Number(0) };
    let answer = TradeAnswer { not_taken: vec![(id, NotTaken::Busy)], ..TradeAnswer::default() };
    bench.say("home", told(answer));
    assert_eq!(bench.after(10), ["hang up home"], "what waits for 0 takes nothing else");
}

#[test]
fn the_line_follows_the_home_and_starts_with_the_lowest_open_number() {
    let mut bench = three_sent();
    let first = own(&bench, 1);
    bench.say("home", told(outcome_of(&first)));
    let lines = bench.hear(offices(3, Some((8, 2)), None));
    assert_eq!(lines, ["hang up home", "dial home peer-8 trade hello of 4"]);
    assert_eq!(bench.say("home", told(served())), ["send home trade 4-2 4-3"]);
    assert_eq!(bench.hear(offices(4, None, None)), ["hang up home"], "nobody decides now");
}

#[test]
fn a_referral_of_the_old_home_leads_to_the_new_one() {
    let mut bench = three_sent();
    let roster = Some(Box::new(offices(3, Some((8, 2)), None)));
    let answer = TradeAnswer { roster, ..refusal(&bench, NotTaken::NotHome) };
    let lines = bench.say("home", told(answer));
    assert_eq!(lines, ["hang up home", "call warehouse open 4 generation 0"], "at once");
    let lines = bench.came("open", Ok(opened(0, offices(3, Some((8, 2)), None))));
    assert_eq!(lines, ["dial home peer-8 trade hello of 4"], "the warehouse says so, too");
}

#[test]
fn a_line_that_breaks_is_dialed_again_and_all_is_asked_again() {
    let mut bench = three_sent();
    assert_eq!(bench.broken("home"), [""; 0]);
    assert_eq!(bench.after(10), ["dial home peer-6 trade hello of 4"]);
    assert_eq!(bench.say("home", told(served())), ["send home trade 4-1 4-2 4-3"]);
}

/// Otherwise the log of an order's life does not tell that an earlier process had asked for it.
#[test]
fn orders_of_an_earlier_process_are_asked_again_in_order() {
    let state = three_sent().journal;
    let mut bench = Bench::with(|parts| parts.state = state).enter(offices(2, Some((6, 1)), Some((8, 9))));
    assert_eq!(bench.say("home", told(served())), ["send home trade 4-1 4-2 4-3"]);
    let asked = Entry::AskedAgain { first: Number(1), last: Number(3) };
    assert!(bench.recorded().contains(&asked));
    let order = own(&bench, 3);
    assert_eq!(bench.say("home", told(outcome_of(&order))), [""; 0], "nobody waits for it here");
    assert_eq!(bench.journal.open.len(), 2);
}

#[test]
fn what_a_person_may_not_place_is_refused() {
    let mut bench = Bench::in_market(Roster::default());
    let answers = [
        (place("gold"), "no such good: gold"),
        (numbered("fish", 0, 0), "the quantity must be between 1 and 1000000, not 0"),
        (numbered("fish", 1_000_001, 0), "the quantity must be between 1 and 1000000, not 1000001"),
        (
            Ask::Place("fish".into(), Quantity(1), OrderKind::Void, Number(0)),
            "the quantity must be between 1 and 1000000, not 1",
        ),
    ];
    for (at, (ask, text)) in answers.into_iter().enumerate() {
        let reply = at as u64 + 1;
        assert_eq!(bench.ask(reply, ask), [format!("reply r{reply} refused: {text} (before)")]);
    }
    assert_eq!(bench.ask(9, numbered("fish", 1_000_000, 0)), [""; 0]);
    let mut fresh = Bench::new();
    fresh.idle();
    let text = "no session yet, or too many orders are open; ask again";
    assert_eq!(fresh.ask(1, place("fish")), [format!("reply r1 refused: {text} (before)")]);
}

/// The same number three times bought three times.
#[test]
fn a_number_that_is_asked_for_again_is_not_placed_again() {
    let mut bench = at_home();
    assert_eq!(bench.ask(1, numbered("fish", 2, 1)), [""; 0]);
    assert_eq!(bench.idle(), ["send home trade 4-1"]);
    assert_eq!(bench.ask(2, numbered("fish", 2, 1)), [""; 0], "the first one is on its way");
    let other = "this order number was used for another order";
    assert_eq!(bench.ask(3, numbered("fish", 3, 1)), [format!("reply r3 refused: {other} (before)")]);
    let order = own(&bench, 1);
    let lines = bench.say("home", told(outcome_of(&order)));
    assert_eq!(lines, ["reply r1 outcome 4-1 deposited", "reply r2 outcome 4-1 deposited"]);
    assert_eq!(bench.ask(4, numbered("fish", 2, 1)), ["reply r4 outcome 4-1 deposited (before)"]);
    assert_eq!(bench.ask(5, numbered("fish", 3, 1)), [format!("reply r5 refused: {other} (before)")]);
    assert_eq!((bench.journal.last, bench.journal.answered), (Number(1), 1));
    let text = "number 3 is above the next one, which is 2";
    assert_eq!(bench.ask(6, numbered("fish", 2, 3)), [format!("reply r6 refused: {text} (before)")]);
}

#[test]
fn a_number_of_an_earlier_process_is_waited_for_or_known_to_be_done() {
    let mut before = three_sent();
    let (first, second) = (own(&before, 1), own(&before, 2));
    before.say("home", told(outcome_of(&first)));
    let state = before.journal;
    let mut bench = Bench::with(|parts| parts.state = state).enter(offices(2, Some((6, 1)), Some((8, 9))));
    bench.say("home", told(served()));
    let text = "order 4-1 has its outcome, and is not done again: bazaar dump orders --order 4-1";
    assert_eq!(bench.ask(1, numbered("fish", 1, 1)), [format!("reply r1 refused: {text} (before)")]);
    assert_eq!(bench.ask(2, numbered("fish", 1, 2)), [""; 0]);
    assert_eq!(bench.say("home", told(outcome_of(&second))), ["reply r2 outcome 4-2 deposited"]);
}

/// Placing number 4097 makes the warehouse forget number 1, whose outcome is not on this disk yet.
#[test]
fn a_full_window_takes_no_order_before_the_first_outcome_is_durable() {
    let mut bench = at_home();
    bench.disk_works = false;
    for reply in 1..=u64::from(SESSION_WINDOW) {
        bench.ask(reply, place("fish"));
    }
    let text = "no session yet, or too many orders are open; ask again";
    assert_eq!(bench.ask(9_001, place("fish")), [format!("reply r9001 refused: {text} (before)")]);
    bench.written();
    let first = own(&bench, 1);
    bench.say("home", told(outcome_of(&first)));
    assert!(bench.ask(9_002, place("fish"))[0].contains("refused"), "told, and not durably so");
    bench.written();
    assert_eq!(bench.ask(9_003, place("fish")), [""; 0]);
}

#[test]
fn a_shopper_begins_when_it_is_served_and_keeps_its_pace() {
    let seller = |parts: &mut crate::model::peer::Parts| parts.habits = habits(Role::Seller);
    let mut bench = Bench::with(seller).enter(offices(2, Some((6, 1)), Some((8, 9))));
    assert_eq!(bench.after(5_000), [""; 0], "nobody serves it");
    bench.say("home", told(served()));
    assert_eq!(bench.settle(), ["send home trade 4-1"]);
    assert_eq!(bench.after(999), [""; 0]);
    assert_eq!(bench.after(1), ["send home trade 4-2"]);
    bench.at.disk_low = true;
    assert_eq!(bench.after(5_000), [""; 0], "a full disk takes no orders");
}

#[test]
fn a_peer_in_office_places_nothing_for_itself() {
    let seller = |parts: &mut crate::model::peer::Parts| parts.habits = habits(Role::Seller);
    let mut bench = Bench::with(seller).enter(offices(2, Some((6, 1)), Some((8, 9))));
    bench.say("home", told(served()));
    bench.settle();
    bench.hear(offices(3, Some((4, 2)), None));
    bench.say("home", told(TradeAnswer { hello: Some(hello(4)), ..TradeAnswer::default() }));
    bench.recorded();
    bench.after(4_000);
    assert!(!bench.recorded().iter().any(|entry| matches!(entry, Entry::Placed(_))));
    bench.hear(offices(4, Some((6, 3)), None));
    bench.say("home", told(served()));
    bench.after(10);
    assert!(
        bench.recorded().iter().any(|entry| matches!(entry, Entry::Placed(_))),
        "out of office it goes on"
    );
}

#[test]
fn a_buyer_with_all_its_outcomes_says_so_once() {
    let buyer = |parts: &mut crate::model::peer::Parts| {
        parts.habits = crate::model::shopper::Habits { requests: Some(1), ..habits(Role::Buyer) };
    };
    let mut bench = Bench::with(buyer).enter(offices(2, Some((6, 1)), Some((8, 9))));
    bench.say("home", told(served()));
    bench.settle();
    bench.forget_what_happened();
    let order = own(&bench, 1);
    bench.at.watched = true;
    bench.say("home", told(outcome_of(&order)));
    bench.after(2_000);
    assert_eq!(bench.happened, ["told 4-1 deposited", "done"]);
}

#[test]
fn quiesce_stops_the_shopper_and_tells_what_is_open() {
    let mut bench = three_sent();
    assert_eq!(bench.ask(9, Ask::Quiesce), ["reply r9 open 3 (before)"]);
    assert_eq!(bench.ask(10, place("fish")), [""; 0], "people may go on");
}

/// Otherwise the next number would be of another epoch, or of none, and two orders could have one name.
#[test]
fn a_store_whose_numbers_are_spent_takes_a_new_session_when_its_orders_are_answered() {
    let last = Number::new(Epoch(0), Number::K_MAX);
    let bench = Bench::with(|parts| parts.state.last = Number(last.0 - 1));
    let mut bench = bench.enter(offices(2, Some((6, 1)), Some((8, 9))));
    bench.say("home", told(served()));
    bench.ask(1, place("fish"));
    assert!(matches!(bench.recorded()[..], [Entry::Placed(placed)] if placed.number == last));
    let text = "no session yet, or too many orders are open; ask again";
    assert_eq!(bench.idle(), [format!("send home trade 4-{last}")]);
    assert_eq!(bench.ask(3, place("fish")), [format!("reply r3 refused: {text} (before)")], "none is left");
    let order = bench.journal.order(crate::types::PeerId(ME), &bench.journal.open[&last]);
    let lines = bench.say("home", told(outcome_of(&order)));
    assert_eq!(
        lines,
        [format!("reply r1 outcome 4-{last} deposited"), "hang up control".into(), "renew token".into()],
        "not before it is answered"
    );
    // So slow a disk that the control stream is due to be dialed again with it.
    bench.stopped_for(10);
    assert_eq!(bench.turn([Input::Token(Token([99; 32]))]), ["call warehouse open 4 generation 0"]);
    bench.came("open", Ok(opened(1, offices(2, Some((6, 1)), Some((8, 9))))));
    bench.forget_what_happened();
    bench.ask(4, place("fish"));
    let first = Number::new(Epoch(1), 1);
    assert!(matches!(bench.recorded()[..], [Entry::Placed(placed)] if placed.number == first));
}

/// Otherwise it is asked for ever, and nothing above it is ever taken.
#[test]
fn an_order_that_is_refused_for_what_it_asks_is_given_up() {
    for why in [NotTaken::UnknownProduct, NotTaken::Quantity] {
        let mut bench = three_sent();
        let answer = refusal(&bench, why);
        assert_eq!(bench.say("home", told(answer)), [""; 0]);
        assert_eq!(bench.after(10), ["send home trade 4-1 (void) 4-2 4-3"], "{why:?}");
        bench.broken("home");
        bench.after(20);
        assert_eq!(
            bench.say("home", told(served())),
            ["send home trade 4-1 (void) 4-2 4-3"],
            "on a new line, too"
        );
        let mut voided = deposited(&own(&bench, 1));
        voided.kind = crate::model::row::OutcomeKind::Voided;
        let voided = TradeAnswer { outcomes: vec![voided], ..TradeAnswer::default() };
        assert_eq!(bench.say("home", told(voided)), ["reply r1 outcome 4-1 voided"]);
        assert_eq!(bench.journal.open.len(), 2);
    }
}

#[test]
fn a_peer_that_is_told_to_quiesce_places_no_more() {
    let seller = |parts: &mut crate::model::peer::Parts| parts.habits = habits(Role::Seller);
    let mut bench = Bench::with(seller).enter(offices(2, Some((6, 1)), Some((8, 9))));
    bench.say("home", told(served()));
    bench.after(3_000);
    assert!(bench.recorded().iter().any(|entry| matches!(entry, Entry::Placed(_))));
    bench.ask(1, Ask::Quiesce);
    bench.after(10_000);
    assert!(!bench.recorded().iter().any(|entry| matches!(entry, Entry::Placed(_))));
}

/// A warehouse that is put back to before an answer is found out by what came with it.
#[test]
fn what_proves_an_answer_is_kept_with_it_and_once() {
    let mut bench = three_sent();
    for (k, kept) in [(1, Some(Seq(9))), (2, None)] {
        let seen = Some(Box::new(Seen { seq: Seq(9), ..Seen::default() }));
        let answer = TradeAnswer { seen, ..outcome_of(&own(&bench, k)) };
        bench.say("home", told(answer));
        let recorded = bench.recorded();
        let [Entry::Answered { seen, .. }] = &recorded[..] else { panic!("{recorded:?}") };
        assert_eq!(seen.as_ref().map(|seen| seen.seq), kept);
    }
}

#[test]
fn a_shopper_without_outcomes_stops_at_the_window() {
    let seller = |parts: &mut crate::model::peer::Parts| {
        parts.habits = crate::model::shopper::Habits { deposit_every_ms: 0, ..habits(Role::Seller) };
    };
    let mut bench = Bench::with(seller).enter(offices(2, Some((6, 1)), Some((8, 9))));
    bench.say("home", told(served()));
    bench.settle();
    assert_eq!(bench.journal.open.len(), SESSION_WINDOW as usize);
}

#[test]
fn a_peer_that_stops_with_nothing_open_has_no_line_home() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 1)), Some((8, 9))));
    bench.greeted("from-10", trade(Some(hello(10)), &[order(10, 1)]));
    bench.turn([Input::Stop]);
    bench.hear(offices(3, Some((6, 2)), Some((8, 9))));
    assert!(!bench.has("home"));
}
