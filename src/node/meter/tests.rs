use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::journal::Stats;
use crate::model::message::{SettleAnswer, SettleAsk, TradeAnswer, TradeAsk};
use crate::model::report::Report;
use crate::model::row::{Decision, Outcome, OutcomeKind, Record};
use crate::types::{
    Batch, Money, Number, Order, OrderId, OrderKind, PeerId, ProductId, Quantity, Seq, Stamp, Term,
    WallMicros,
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

/// Each family once with help and type before its samples, and only names that Prometheus likes.
#[test]
fn a_scrape_is_well_formed() {
    let text = scraped(&Counts::new().unwrap());
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
