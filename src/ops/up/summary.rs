//! The figures of a run, as a table or as one object.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::count::Counts;
use super::failovers::Failovers;
use super::fleet::Fleet;
use crate::model::offices::Roster;
use crate::ops::histogram::{add_histogram, latencies};
use crate::ops::output::{grouped, rounded};
use crate::types::{Office, Role, WallMicros};

/// When a run began, and how long its market traded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) started_at: WallMicros,
    pub(super) elapsed: Duration,
}

/// The figures of a run.
pub(super) struct Summary {
    nodes: usize,
    buyers: usize,
    sellers: usize,
    traders: Vec<Value>,
    counts: Counts,
    times: Times,
    latency_us: Histogram<u64>,
    failovers: Failovers,
}

impl Summary {
    /// The figures that are known before the ledger is counted. Asks the peers while they live.
    pub(super) async fn gather(
        fleet: &Fleet<'_>,
        roster: &Roster,
        failovers: Failovers,
        times: Times,
        timeout: Duration,
    ) -> Summary {
        let plan = fleet.plan();
        Summary {
            nodes: plan.peers.len(),
            buyers: plan.with_role(Role::Buyer).len(),
            sellers: plan.with_role(Role::Seller).len(),
            traders: Office::BOTH.into_iter().filter_map(|office| trader(roster, office)).collect(),
            counts: Counts::default(),
            times,
            latency_us: latencies_of(fleet, timeout).await,
            failovers,
        }
    }

    /// Takes in the rows that the ledger got in this run.
    pub(super) fn counted(self, counts: Counts) -> Summary {
        Summary { counts, ..self }
    }

    fn per_second(&self) -> f64 {
        self.counts.orders as f64 / self.times.elapsed.as_secs_f64().max(1e-9)
    }

    fn first_sale_s(&self) -> Option<f64> {
        let at = self.counts.first_sale?;
        Some(at.0.saturating_sub(self.times.started_at.0) as f64 / 1e6)
    }

    fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.latency_us.is_empty()).then(|| self.latency_us.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// For scripts.
    pub(super) fn json(&self) -> Value {
        json!({
            "nodes": self.nodes,
            "buyers": self.buyers,
            "sellers": self.sellers,
            "traders": self.traders,
            "orders": self.counts.orders,
            "bought": self.counts.bought,
            "sold_out": self.counts.sold_out,
            "deposits": self.counts.deposits,
            "oversold": self.counts.oversold,
            "undersold": self.counts.undersold,
            "elapsed_s": thousandths(self.times.elapsed.as_secs_f64()),
            "orders_per_s": thousandths(self.per_second()),
            "p50_ms": self.quantile_ms(0.5).map(thousandths),
            "p99_ms": self.quantile_ms(0.99).map(thousandths),
            "elections": self.counts.grants,
            "failovers": self.failovers.json(),
            "ledger_records": self.counts.end.0,
            "first_sale_s": self.first_sale_s().map(thousandths),
        })
    }

    /// For people: the same facts.
    pub(super) fn table(&self) -> String {
        let Value::Object(facts) = self.json() else { return String::new() };
        facts.iter().fold(String::new(), |mut text, (name, value)| {
            let value = match value {
                Value::Array(items) if items.is_empty() => "none".to_owned(),
                Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
                Value::Null => "-".to_owned(),
                Value::Number(count) if count.is_u64() => grouped(count.as_u64().unwrap_or_default()),
                other => other.to_string(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<15} {value}");
            text
        })
    }
}

async fn latencies_of(fleet: &Fleet<'_>, timeout: Duration) -> Histogram<u64> {
    let mut latency_us = latencies();
    for peer in fleet.living() {
        let Ok(report) = fleet.ask(peer, timeout).await else { continue };
        // A peer that reports none has nothing to add.
        let _ = add_histogram(&mut latency_us, &report.shopping.latency_us);
    }
    latency_us
}

/// The trader in an office when trade ended.
fn trader(roster: &Roster, office: Office) -> Option<Value> {
    let seat = roster.get(office).filter(|seat| seat.present)?;
    Some(json!({"peer": seat.peer.0, "office": office.name(), "term": seat.term.0}))
}

fn words(value: &Value) -> String {
    let Value::Object(facts) = value else { return value.to_string() };
    let word = |(name, value): (&String, &Value)| format!("{name} {}", value.to_string().trim_matches('"'));
    facts.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Thousandths are enough of seconds, milliseconds and rates.
fn thousandths(value: f64) -> f64 {
    rounded(value, 3)
}
