use crate::model::call::Ask;
use crate::model::offices::Roster;
use crate::model::peer::testing::*;

fn health(bench: &mut Bench, reply: u64) -> String {
    let line = bench.ask(reply, Ask::Status).remove(0);
    line.replace(&format!("reply r{reply} status of 4: "), "").replace(" (before)", "")
}

#[test]
fn the_health_names_the_worst_first() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), Some((9, 9))));
    assert_eq!(health(&mut bench, 1), "ok");
    bench.hear(offices(3, None, None));
    assert_eq!(health(&mut bench, 2), "no trader in office");
    bench.hear(offices(4, Some((6, 2)), None));
    assert_eq!(health(&mut bench, 5), "no secondary in office");
    let mut absent = offices(5, Some((6, 2)), Some((9, 9)));
    absent.primary.as_mut().unwrap().present = false;
    bench.hear(absent);
    assert_eq!(health(&mut bench, 6), "the primary, peer 6, is absent");
    bench.broken("control");
    assert_eq!(health(&mut bench, 3), "no connection to the warehouse");
    bench.at.disk_low = true;
    assert_eq!(health(&mut bench, 4), "disk almost full: orders are refused");
}

#[test]
fn a_full_queue_is_named() {
    let mut bench = Bench::with(|parts| parts.queue_max = 1).enter(offices(2, Some((ME, 1)), Some((9, 9))));
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    let lines = bench.say("from-10", trade(None, &[order(10, 1), order(10, 2)]));
    assert_eq!(lines, ["send from-10 trade 10-2 not taken (Busy) roster 0.2.0 4(1) 9(9)"]);
    assert_eq!(health(&mut bench, 1), "1 orders wait for the warehouse: new ones are refused");
    bench.after(700);
    let report = bench.peer.rooms.report(&bench.peer.facts);
    assert_eq!(
        (report.queue_depth, report.oldest, report.oldest_waiting_ms),
        (1, Some(order(10, 1).id), 700)
    );
}

/// A status tells of what was recorded: it waits for the disk like any answer.
#[test]
fn a_status_waits_for_what_it_tells() {
    let mut bench = Bench::in_market(Roster::default());
    let place = Ask::Place(
        "fish".into(),
        crate::types::Quantity(1),
        crate::types::OrderKind::Sell,
        crate::types::Number(0),
    );
    let ask = |reply, ask| crate::model::step::Input::Asked(crate::model::step::ReplyId(reply), ask);
    let lines = bench.turn([ask(1, place), ask(2, Ask::Status)]);
    assert_eq!(lines, ["reply r2 status of 4: no trader in office (this turn)"]);
    assert_eq!(bench.peer.rooms.report(&bench.peer.facts).shopping.open, 1);
}
