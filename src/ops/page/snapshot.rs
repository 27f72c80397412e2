//! How the market is, as one object for the page.

use std::collections::BTreeMap;
use std::time::Instant;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::act::ACTS;
use super::shown::Lasting;
use super::{Hub, Life};
use crate::limits::PAGE_TAKEN_EVERY;
use crate::model::report::Report;
use crate::node::process::{disk_of, taken};
use crate::node::wall_now;
use crate::ops::histogram::{add_histogram, latencies};
use crate::ops::market::Reports;
use crate::ops::status::node_json;
use crate::types::{Order, PeerId, node_name};

/// What is remembered from one look to the next.
#[derive(Default)]
pub(super) struct Seen {
    /// The last check of all stores.
    pub(super) verdict: Option<Value>,
    /// The first moment that the ledger has; 0: not known yet.
    pub(super) began: u64,
    /// Per node: bytes of memory and disk.
    taken: BTreeMap<PeerId, (f64, f64)>,
    taken_at: Option<Instant>,
    rates: Rates,
}

/// Of each peer's orders: how many had their outcomes, and their latencies, at the last look.
#[derive(Default)]
struct Rates {
    at: Option<Instant>,
    of: BTreeMap<PeerId, (u64, Histogram<u64>)>,
    last: Value,
}

/// The market as it is.
pub(super) fn snapshot(hub: &Hub, reports: &Reports, seen: &mut Seen) -> Value {
    let lives = hub.shown.lives();
    seen.take(&lives, reports);
    let answered = &reports.answered;
    let newest = answered.values().max_by_key(|report| report.ledger.0);
    let mut nodes: BTreeMap<PeerId, Value> =
        answered.iter().map(|(node, report)| (*node, of_report(report, lives.get(node), seen))).collect();
    for (node, life) in &lives {
        nodes.entry(*node).or_insert_with(|| silent(*node, Some(life), "silent", seen));
    }
    for node in reports.silent.keys() {
        nodes.entry(*node).or_insert_with(|| silent(*node, None, "silent", seen));
    }
    for node in &reports.left {
        nodes.insert(*node, silent(*node, None, "left", seen));
    }
    let cluster = newest.map_or(String::new(), |report| report.cluster.clone());
    let links: Value = links(answered.values()).into();
    let addrs = answered.values().map(|report| (report.peer, report.addr.clone())).collect();
    let roles = answered.values().map(|report| (report.peer, report.role.clone())).collect();
    hub.shown.lasts(Lasting { cluster: cluster.clone(), links: links.clone(), addrs, roles });
    let stock = newest.map(|newest| stock(answered.get(&PeerId::WAREHOUSE).unwrap_or(newest)));
    json!({
        "time": wall_now().0,
        "cluster": cluster,
        "consistency": newest.map_or("", |report| &report.consistency),
        "began": if seen.began == 0 { wall_now().0 } else { seen.began },
        "acts": if hub.acts.is_some() { &ACTS[..] } else { &[] },
        "nodes": nodes.into_values().collect::<Vec<_>>(),
        "links": links,
        "stock": stock.unwrap_or_default(),
        "ledger_seq": newest.map_or(0, |report| report.ledger.0.0),
        "rates": seen.rates.look(answered),
        "failovers": hub.shown.failovers(),
        "verdict": seen.verdict,
    })
}

fn of_report(report: &Report, life: Option<&Life>, seen: &Seen) -> Value {
    let mut node = node_json(report);
    let in_office = !node["office"].is_null();
    let paused = life.is_some_and(|life| life.paused);
    node["state"] = if paused { "paused" } else { "alive" }.into();
    node["queue"] = if in_office { queue(report) } else { Value::Array(Vec::new()) };
    let cache = report.stock.iter().map(|pieces| pieces.0).collect::<Vec<_>>();
    node["cache"] = if in_office { cache.into() } else { Value::Null };
    with_taken(&mut node, report.peer, seen);
    node
}

fn with_taken(node: &mut Value, of: PeerId, seen: &Seen) {
    let taken = seen.taken.get(&of);
    node["rss_bytes"] = taken.map(|(rss, _)| *rss).into();
    node["disk_bytes"] = taken.map(|(_, disk)| *disk).into();
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
fn silent(node: PeerId, life: Option<&Life>, state: &str, seen: &Seen) -> Value {
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
    with_taken(&mut it, node, seen);
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
    links.into_iter().map(|(one, other)| json!([node_name(one), node_name(other)])).collect()
}

fn stock(report: &Report) -> Vec<Value> {
    let goods = report.goods.iter().zip(&report.stock);
    goods
        .map(|((name, price), pieces)| json!({ "product": name, "stock": pieces.0, "unit_price": price.0 }))
        .collect()
}

impl Seen {
    /// Memory and disk of the nodes that run here.
    fn take(&mut self, lives: &BTreeMap<PeerId, Life>, reports: &Reports) {
        if self.taken_at.is_some_and(|at| at.elapsed() < PAGE_TAKEN_EVERY) {
            return;
        }
        self.taken_at = Some(Instant::now());
        let of = |(node, life): (&PeerId, &Life)| {
            let pid = reports.answered.get(node).map_or(life.pid, |report| report.pid);
            Some((*node, (taken(pid)?.rss, disk_of(&life.dir.join("store")))))
        };
        self.taken = lives.iter().filter_map(of).collect();
    }
}

impl Rates {
    /// Orders per second and latencies since the last look; null without one.
    fn look(&mut self, answered: &BTreeMap<PeerId, Report>) -> Value {
        let since = self.at.replace(Instant::now()).map(|at| at.elapsed().as_secs_f64());
        let (mut count, mut sum) = (0, latencies());
        for (peer, report) in answered {
            let mut all = latencies();
            add_histogram(&mut all, &report.shopping.latency_us);
            let now = report.shopping.answered;
            let mut fresh = all.clone();
            if let Some((before, earlier)) = self.of.get(peer).filter(|(before, _)| *before <= now) {
                count += now - before;
                // A peer that began anew has fewer; then all of its are fresh.
                let _ = fresh.subtract(earlier);
                let _ = sum.add(&fresh);
            }
            self.of.insert(*peer, (now, all));
        }
        if let Some(seconds) = since.filter(|seconds| *seconds > 0.0) {
            let ms = |quantile| match sum.is_empty() {
                true => Value::Null,
                false => (sum.value_at_quantile(quantile) as f64 / 1e3).into(),
            };
            self.last =
                json!({ "orders_per_s": count as f64 / seconds, "p50_ms": ms(0.5), "p99_ms": ms(0.99) });
        }
        self.last.clone()
    }
}
