//! How the market is, as one object for the page.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::rates::Rates;
use super::shown::Lasting;
use super::{Hub, Life};
use crate::model::report::Report;
use crate::node::wall_now;
use crate::ops::market::Reports;
use crate::ops::record::{Interval, Sample};
use crate::ops::status::node_json;
use crate::types::{Order, PeerId, node_name};

/// What is remembered from one look to the next.
#[derive(Default)]
pub(super) struct Seen {
    /// The first moment that the ledger has; 0: not known yet.
    pub(super) began: u64,
    rates: Rates,
}

/// The market as it is.
pub(super) fn snapshot(hub: &Hub, reports: &Reports, seen: &mut Seen) -> Value {
    let lives = hub.shown.lives();
    let time = wall_now().0;
    let (recorded, samples) = hub.record.at(hub.record.seconds(time));
    let answered = &reports.answered;
    let newest = answered.values().max_by_key(|report| report.ledger.0);
    let mut nodes: BTreeMap<PeerId, Value> = answered
        .iter()
        .map(|(node, report)| (*node, of_report(report, lives.get(node), samples.get(node))))
        .collect();
    for (node, life) in &lives {
        nodes.entry(*node).or_insert_with(|| silent(*node, Some(life), "silent", samples.get(node)));
    }
    for node in reports.silent.keys() {
        nodes.entry(*node).or_insert_with(|| silent(*node, None, "silent", None));
    }
    for node in &reports.left {
        nodes.insert(*node, silent(*node, None, "left", None));
    }
    let cluster = newest.map_or(String::new(), |report| report.cluster.clone());
    let links: Value = links(answered.values()).into();
    // One's own children may be found by others behind proxies.
    let addr = |report: &Report| lives.get(&report.peer).map_or(&report.addr, |life| &life.addr).clone();
    let addrs = answered.values().map(|report| (report.peer, addr(report))).collect();
    let roles = answered.values().map(|report| (report.peer, report.role.clone())).collect();
    let ledger_seq = newest.map_or(0, |report| report.ledger.0.0);
    hub.shown.lasts(Lasting { cluster: cluster.clone(), links: links.clone(), addrs, roles, ledger_seq });
    let stock = newest.map(|newest| stock(answered.get(&PeerId::WAREHOUSE).unwrap_or(newest)));
    json!({
        "time": time,
        "cluster": cluster,
        "consistency": newest.map_or("", |report| &report.consistency),
        "began": if seen.began == 0 { time } else { seen.began },
        "acts": hub.acts(),
        "nodes": nodes.into_values().collect::<Vec<_>>(),
        "links": links,
        "cuts": links_json(&hub.shown.cuts()),
        "stock": stock.unwrap_or_default(),
        "ledger_seq": ledger_seq,
        "rates": rates(if hub.measured { recorded } else { seen.rates.look(answered, hub.record.seconds(time)) }),
        "failovers": hub.shown.failovers(),
        "verdict": hub.shown.verdict(),
    })
}

fn of_report(report: &Report, life: Option<&Life>, sample: Option<&Sample>) -> Value {
    let mut node = node_json(report);
    let in_office = !node["office"].is_null();
    let paused = life.is_some_and(|life| life.paused);
    node["state"] = if paused { "paused" } else { "alive" }.into();
    node["queue"] = if in_office { queue(report) } else { Value::Array(Vec::new()) };
    let cache = report.stock.iter().map(|pieces| pieces.0).collect::<Vec<_>>();
    node["cache"] = if in_office { cache.into() } else { Value::Null };
    with_taken(&mut node, sample);
    node
}

/// What the node takes.
pub(super) fn with_taken(node: &mut Value, sample: Option<&Sample>) {
    node["rss_bytes"] = sample.map(|it| it.rss).into();
    node["disk_bytes"] = sample.map(|it| it.disk).into();
}

/// Rate and latencies; null without any.
pub(super) fn rates(interval: Option<Interval>) -> Value {
    let Some(Interval { per_s, p50_ms, p99_ms, .. }) = interval else { return Value::Null };
    let ms = |ms: f64| if per_s > 0.0 { ms.into() } else { Value::Null };
    json!({ "orders_per_s": per_s, "p50_ms": ms(p50_ms), "p99_ms": ms(p99_ms) })
}

fn queue(report: &Report) -> Value {
    let good = |order: &Order| report.goods.get(usize::from(order.product.0)).map_or("", |(name, _)| name);
    let order = |order: &Order| {
        json!({
            "order": order.id.to_string(), "stamp": order.stamp.0, "kind": order.kind.name(),
            "product": good(order), "quantity": order.quantity.0,
        })
    };
    report.queue.iter().map(order).collect()
}

/// A node that says nothing.
fn silent(node: PeerId, life: Option<&Life>, state: &str, sample: Option<&Sample>) -> Value {
    let state = match life {
        Some(Life { dead: true, .. }) => "dead",
        Some(Life { paused: true, .. }) => "paused",
        _ => state,
    };
    let mut it = json!({
        "node": node_name(node),
        "role": life.map_or("", |life| &life.role),
        "addr": life.map_or("", |life| &life.addr),
        "pid": life.map(|life| life.pid),
        "state": state,
        "office": null, "term": null, "pairing": null, "clock": null, "log_seq": null, "ledger_seq": null,
        "queue_depth": 0, "queue": [], "cache": null, "cache_age_ms": null, "cache_behind": null,
        "heartbeat_age_ms": null, "elections": null, "duplicates": null, "messages_sent": null, "health": state,
    });
    with_taken(&mut it, sample.filter(|_| !matches!(state, "dead" | "left")));
    it
}

/// Each link of the topology once.
fn links<'a>(reports: impl Iterator<Item = &'a Report>) -> Vec<Value> {
    let mut links: Vec<(PeerId, PeerId)> = reports
        .flat_map(|report| report.neighbours.iter().map(|other| (report.peer, *other)))
        .map(|(one, other)| (one.min(other), one.max(other)))
        .collect();
    links.sort_unstable();
    links.dedup();
    links_json(&links)
}

/// Pairs of names.
pub(super) fn links_json<'a>(links: impl IntoIterator<Item = &'a (PeerId, PeerId)>) -> Vec<Value> {
    links.into_iter().map(|(one, other)| json!([node_name(*one), node_name(*other)])).collect()
}

fn stock(report: &Report) -> Vec<Value> {
    let goods = report.goods.iter().zip(&report.stock);
    goods
        .map(|((name, price), pieces)| json!({ "product": name, "stock": pieces.0, "unit_price": price.0 }))
        .collect()
}
