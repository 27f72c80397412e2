use super::super::testing::{Bench, ME, bench};
use super::*;

/// A peer with three orders that were sent on the line to its home; the line's number.
fn three_sent() -> (Bench, u64) {
    let mut bench = bench();
    let roster = Roster { secondary: None, ..bench.roster() };
    bench.node.adopt_roster(roster);
    let conn = bench.node.home.line.dialed.as_ref().unwrap().conn;
    bench.node.heard_home(TradeAnswer { hello: Some(Box::new(Hello::default())), ..TradeAnswer::default() });
    for _ in 0..3 {
        let wish = Wish { kind: OrderKind::Sell, product: ProductId(0), quantity: Quantity(1) };
        bench.node.place(wish, None);
    }
    bench.step(0);
    assert_eq!((bench.node.home.sent, bench.node.state.open.len()), (Number(3), 3));
    (bench, conn)
}

fn refusal(bench: &Bench, first: NotTaken) -> TradeAnswer {
    let id = |k| bench.order(ME, k).id;
    let later = NotTaken::Window;
    TradeAnswer { not_taken: vec![(id(1), first), (id(2), later), (id(3), later)], ..TradeAnswer::default() }
}

#[test]
fn who_has_no_room_is_asked_again_on_the_same_line() {
    let (mut bench, conn) = three_sent();
    let answer = refusal(&bench, NotTaken::Busy);
    bench.node.heard_home(answer);
    assert_eq!(bench.node.home.sent, Number(0));
    bench.step(2_000);
    assert!(bench.node.home.line.is(conn), "the line stays");
    assert_eq!(bench.node.home.sent, Number(3), "all of them, from the first");
}

/// Otherwise: 1 is asked again, has its outcome on the way, and finds no room; the trader takes nothing above 1 on this
/// line before 1 comes, which is told by now and never comes.
#[test]
fn a_line_on_which_the_trader_waits_for_a_number_that_was_told_is_dialed_anew() {
    let (mut bench, conn) = three_sent();
    let (answer, told) = (refusal(&bench, NotTaken::Busy), bench.deposited(bench.order(ME, 1)));
    bench.node.heard_home(answer);
    bench.node.heard_home(TradeAnswer { outcomes: vec![told], ..TradeAnswer::default() });
    bench.step(2_000);
    assert!(!bench.node.home.line.is(conn), "the trader takes 2 on no line on which it waits for 1");
    bench.step(2_000);
    assert!(bench.node.home.line.dialed.is_some(), "and a new one is dialed");
}

#[test]
fn a_line_on_which_the_trader_waits_for_a_number_that_was_forgotten_is_dialed_anew() {
    let (mut bench, conn) = three_sent();
    let answer = refusal(&bench, NotTaken::OtherContent);
    bench.node.heard_home(answer);
    assert_eq!(bench.node.state.open.len(), 2, "1 is given up");
    bench.step(2_000);
    assert!(!bench.node.home.line.is(conn));
}
