use crate::limits::MEMBERSHIP_QUIET_MS;
use crate::model::call::Ask;
use crate::model::evidence::Seen;
use crate::model::message::{ControlDown, Message, StockPush};
use crate::model::offices::Roster;
use crate::model::peer::testing::*;
use crate::model::report::Report;
use crate::types::{Generation, Hash, Money, PeerId, ProductId, Quantity, Seq, Stamp};

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

#[test]
fn a_report_tells_what_the_peer_knows_of_itself_and_of_the_market() {
    let mut bench = Bench::in_market(Roster::default());
    bench.after(MEMBERSHIP_QUIET_MS);
    let offices = paired(2, (ME, 3), (6, 4));
    bench.granted("claim", offices.clone());
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.say("from-10", trade(None, &[order(10, 1), order(10, 1)]));
    let levels = vec![(ProductId(1), Quantity(8))];
    bench.say("watch", Message::Stock(StockPush { clock: Stamp(1), seq: Seq(70), levels }));
    bench.introduce(&[6]);
    let generation = Generation::of_test(1);
    bench.peer.facts.ledger_seen.generation = generation;
    let seen = Some(Box::new(Seen { generation, seq: Seq(71), hash: Hash([7; 32]), proof: None }));
    bench.say("control", down(ControlDown { seen, ..ControlDown::default() }));
    bench.at.disk_low = true;
    bench.after(300);
    let report = bench.peer.rooms.report(&bench.peer.facts);
    let expected = Report {
        clock: bench.clock(),
        peer: PeerId(ME),
        role: "idle".to_owned(),
        cluster: "market".to_owned(),
        pid: 1,
        addr: addr(ME),
        process: process(ME),
        roster: offices,
        ledger: (Seq(71), Hash([7; 32])),
        queue_depth: 1,
        queue: report.queue.clone(),
        oldest: Some(order(10, 1).id),
        oldest_waiting_ms: 300,
        cache_age_ms: 300,
        heartbeat_age_ms: 300,
        disk_low: true,
        members: vec![member(ME), member(6)],
        goods: vec![("fish".to_owned(), Money(100)), ("salt".to_owned(), Money(50))],
        stock: vec![Quantity(0), Quantity(8)],
        stock_seq: Seq(70),
        shopping: report.shopping.clone(),
        elections: 1,
        duplicates: 1,
        health: "disk almost full: orders are refused".to_owned(),
        consistency: "cacheless".to_owned(),
        warehouse: "warehouse".to_owned(),
        generation,
        ..Report::default()
    };
    assert_eq!(report.queue.iter().map(|order| order.id).collect::<Vec<_>>(), [order(10, 1).id]);
    assert_eq!(format!("{report:#?}"), format!("{expected:#?}"));
}
