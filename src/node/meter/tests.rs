use std::collections::BTreeSet;
use std::path::Path;

use hdrhistogram::serialization::{Serializer as _, V2Serializer};

use super::*;
use crate::journal::Stats;
use crate::model::message::{SettleAnswer, SettleAsk, TradeAnswer, TradeAsk};
use crate::model::offices::{Roster, Seat};
use crate::model::report::{Report, Shopping};
use crate::model::row::{Decision, Outcome, OutcomeKind, Record};
use crate::types::{
    Batch, Money, Number, Office, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId, Quantity, Seq,
    Stamp, Term, WallMicros,
};

fn order(number: u64) -> Order {
    let id = OrderId { peer: PeerId(3), number: Number(number) };
    Order { id, stamp: Stamp(1), kind: OrderKind::Sell, product: ProductId(0), quantity: Quantity(2) }
}

fn decision(number: u64) -> Decision {
    let (stock_after, batch) = (Quantity(2), Batch(1));
    Decision { order: order(number), clock: Stamp(2), stock_after, trader: PeerId(6), term: Term(1), batch }
}

fn outcome(number: u64) -> Outcome {
    Record::Deposit(decision(number)).outcome(Seq(1), WallMicros(0)).unwrap()
}

fn scraped(counts: &Counts) -> String {
    counts.scrape(&Report::default(), &Stats::default(), Path::new("none")).unwrap()
}

/// A node that knows of everything, and has done everything.
fn full() -> String {
    let counts = Counts::new().unwrap();
    let mut meter = Meter::new(Arc::clone(&counts));
    meter.staged(&Record::Deposit(decision(1)));
    meter.refused(&Refusal::Invalid("what".into()));
    meter.heard(&Message::SettleAsk(SettleAsk { orders: vec![order(7)], ..SettleAsk::default() }));
    meter
        .said(&Message::SettleAnswer(SettleAnswer { outcomes: vec![outcome(7)], ..SettleAnswer::default() }));
    let seat = Seat {
        peer: PeerId(6),
        process: ProcessId::default(),
        term: Term(1),
        present: true,
        addr: "here".into(),
        licence: None,
    };
    let roster = Roster { primary: Some(seat.clone()), secondary: Some(seat), ..Roster::default() };
    let mut latency_us = Vec::new();
    let mut latencies = hdrhistogram::Histogram::<u64>::new(3).unwrap();
    latencies.record(900).unwrap();
    V2Serializer::new().serialize(&latencies, &mut latency_us).unwrap();
    let shopping = Shopping { latency_us, ..Shopping::default() };
    let (goods, stock) = (vec![("fish \"fresh\"".to_owned(), Money(1))], vec![Quantity(4)]);
    let report = Report { roster, goods, stock, shopping, ..Report::default() };
    counts.scrape(&report, &Stats::default(), Path::new("none")).unwrap()
}

/// What stands in expressions, without what Prometheus adds to a histogram's name.
fn names_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let families = words.filter(|word| word.starts_with("bazaar_"));
    let bare = |word: &str| word.trim_end_matches("_bucket").to_owned();
    families.map(bare).collect()
}

/// A dashboard with a name that nobody serves would show nothing, and say nothing.
#[test]
fn the_dashboard_asks_for_what_there_is() {
    let (dashboard, text) = (include_str!("../../../data/grafana-dashboard.json"), full());
    serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
    let (asked, served) = (names_in(dashboard), names_in(&text));
    assert!(asked.len() > 25, "{asked:?}");
    let missing: Vec<_> = asked.difference(&served).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // Help says it in words: a number that no panel shows is one that somebody looks up.
    assert!(text.contains("bazaar_own_order_seconds_bucket{le=\"0.001024\"} 1"), "{text}");
    assert!(text.contains(r#"bazaar_stock_pieces{good="fish \"fresh\""} 4"#), "{text}");
}

/// Each family once with help and type before its samples, and only names that Prometheus likes.
#[test]
fn a_scrape_is_well_formed() {
    let text = full();
    let mut seen = BTreeSet::new();
    let mut family = "";
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(seen.insert(name), "{name} twice");
            assert!(name.starts_with("bazaar_") && help.ends_with('.'), "{line}");
            family = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, family);
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        } else {
            assert!(line.starts_with(family), "{line} is none of {family}");
        }
    }
    assert!(seen.len() > 30, "{seen:?}");
}

/// An alarm on `== 0` would stay silent for what is not there.
#[test]
fn an_office_that_nobody_holds_is_a_zero() {
    let text = scraped(&Counts::new().unwrap());
    for office in Office::BOTH {
        for family in ["held", "present", "term"] {
            let line = format!("bazaar_office_{family}{{office=\"{}\"}} 0\n", office.name());
            assert!(text.contains(&line), "{line} is not in {text}");
        }
    }
}

#[test]
fn rows_orders_messages_and_refusals_are_counted() {
    let counts = Counts::new().unwrap();
    let mut meter = Meter::new(Arc::clone(&counts));
    meter.staged(&Record::Deposit(decision(1)));
    meter.staged(&Record::Refusal { decision: decision(2), reason: None });
    meter.staged(&Record::Stocked {
        name: "fish".into(),
        quantity: Quantity(1),
        unit_price: Money(1),
        clock: Stamp(1),
    });
    let busy = vec![(order(4).id, NotTaken::Busy)];
    meter.said(&Message::TradeAnswer(TradeAnswer { not_taken: busy, ..TradeAnswer::default() }));
    meter.refused(&Refusal::Invalid("what".into()));
    let text = scraped(&counts);
    for line in [
        "bazaar_orders_total{kind=\"sell\",outcome=\"deposited\"} 1",
        "bazaar_ledger_rows_total{kind=\"stocked\"} 1",
        "bazaar_messages_total{direction=\"sent\",kind=\"trade_answer\"} 1",
        "bazaar_refusals_total{reason=\"BUSY\"} 1",
        "bazaar_refusals_total{reason=\"INVALID\"} 1",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert_eq!(outcome(1).kind, OutcomeKind::Deposited);
}

#[test]
fn an_order_is_followed_through_its_stages() {
    let counts = Counts::new().unwrap();
    let mut meter = Meter::new(Arc::clone(&counts));
    let count = |stage: &str| counts.stage(stage).get_sample_count();
    let orders = |numbers: &[u64]| numbers.iter().map(|number| order(*number)).collect::<Vec<_>>();
    let outcomes = |numbers: &[u64]| numbers.iter().map(|number| outcome(*number)).collect::<Vec<_>>();
    meter.heard(&Message::TradeAsk(TradeAsk { orders: orders(&[1, 2]), ..TradeAsk::default() }));
    meter.heard(&Message::TradeAsk(TradeAsk { orders: orders(&[3]), ..TradeAsk::default() }));
    meter.said(&Message::SettleAsk(SettleAsk { orders: orders(&[2, 3]), ..SettleAsk::default() }));
    assert_eq!(count("queued"), 0, "another order left");
    meter.said(&Message::SettleAsk(SettleAsk { orders: orders(&[1]), ..SettleAsk::default() }));
    meter.heard(&Message::SettleAnswer(SettleAnswer { outcomes: outcomes(&[1]), ..SettleAnswer::default() }));
    meter.said(&Message::TradeAnswer(TradeAnswer { outcomes: outcomes(&[1]), ..TradeAnswer::default() }));
    assert_eq!(["queued", "settling", "answering", "traded", "deciding"].map(count), [1, 1, 1, 1, 0]);
    meter.heard(&Message::SettleAsk(SettleAsk { orders: orders(&[7]), ..SettleAsk::default() }));
    meter.said(&Message::SettleAnswer(SettleAnswer { outcomes: outcomes(&[7]), ..SettleAnswer::default() }));
    assert_eq!(count("deciding"), 1);
}
