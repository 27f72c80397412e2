//! What `up` prints: the header, lines of orders, failovers, and the table or object at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::Market;
use super::place::Place;
use super::plan::Plan;
use crate::journal::Block;
use crate::model::offices::Roster;
use crate::model::row::{Outcome, OutcomeKind, Record, Share};
use crate::ops::children::Child;
use crate::ops::histogram::{add_histogram, latencies};
use crate::ops::output::{Failure, exit, rounded};
use crate::ops::source::open_offline;
use crate::types::{Office, Order, OrderKind, PeerId, Role, Seq, WallMicros};
use crate::wire::client::{CallError, Node};
use crate::wire::server::Replayed;

/// A trader's end and what came after. Times are Unix microseconds.
#[derive(Clone, Debug)]
pub struct Failover {
    /// Who died.
    pub from: PeerId,
    /// Who took over.
    pub to: Option<PeerId>,
    /// When its process ended, as far as is known.
    pub ended: u64,
    /// When its process was found to have ended, if it did.
    pub reaped: Option<u64>,
    /// When it was suspected.
    pub detected: Option<u64>,
    /// When the first order was decided after it.
    pub took_over: Option<u64>,
    /// What became of the orders that it had accepted.
    pub replayed: Replayed,
}

impl Failover {
    /// A trader ended at this time.
    pub fn killed(from: PeerId, ended: u64) -> Failover {
        Failover {
            from,
            to: None,
            ended,
            reaped: None,
            detected: None,
            took_over: None,
            replayed: Replayed::default(),
        }
    }

    fn detected_ms(&self) -> Option<f64> {
        Some(self.detected?.saturating_sub(self.ended) as f64 / 1000.0)
    }

    fn took_over_ms(&self) -> Option<f64> {
        Some(self.took_over?.saturating_sub(self.detected?) as f64 / 1000.0)
    }

    /// For people.
    pub fn line(&self) -> String {
        let ms = |value: Option<f64>| value.map_or("?".to_owned(), |ms| format!("{ms:.0}"));
        let Replayed { settled, duplicates, lost } = self.replayed;
        format!(
            "detected {} ms  took over {} ms  replayed {settled}  duplicates suppressed {duplicates}  lost {lost}",
            ms(self.detected_ms()),
            ms(self.took_over_ms())
        )
    }

    fn json(&self) -> Value {
        json!({
            "from": self.from.0,
            "to": self.to.map(|peer| peer.0),
            "detected_ms": self.detected_ms(),
            "took_over_ms": self.took_over_ms(),
            "replayed": self.replayed.settled,
            "duplicates": self.replayed.duplicates,
        })
    }
}

/// How a process ended.
pub fn how(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(9), _) => "killed by SIGKILL".to_owned(),
        (Some(15), _) => "ended by SIGTERM".to_owned(),
        (Some(signal), _) => format!("ended by signal {signal}"),
        (_, Some(0)) => "left, or was told to stop".to_owned(),
        (_, Some(code)) => format!("ended with exit code {code}"),
        _ => "ended".to_owned(),
    }
}

/// One order's line.
pub fn told(plan: &Plan, goods: &[String], order: &Order, outcome: &Outcome) -> String {
    let peer = order.id.peer;
    let role = plan.peers.iter().find(|it| it.id == peer).map_or("peer", |it| it.role.name());
    let good = goods.get(order.product.0 as usize).map_or("?", String::as_str);
    let names: Vec<String> = outcome.shares.iter().map(seller).collect();
    let what = match outcome.kind {
        OutcomeKind::Bought | OutcomeKind::PartlyBought => {
            format!("bought {} {good} from {}", outcome.filled, names.join(" and "))
        }
        OutcomeKind::Deposited => format!("deposited {} {good}", outcome.filled),
        OutcomeKind::SoldOut => {
            format!("sold out: {} {good} wanted, {} left", order.quantity, outcome.stock_after)
        }
        kind => format!("{} {good}: {}", kind.name(), outcome.reason.map_or("", |reason| reason.name())),
    };
    format!("{role:<7} {peer:<3} {what} via trader {}", outcome.trader)
}

/// Peer 0 is the warehouse's own stock.
fn seller(share: &Share) -> String {
    if share.peer == PeerId::WAREHOUSE {
        "the warehouse".to_owned()
    } else {
        format!("seller {}", share.peer)
    }
}

/// Who is where.
pub fn header(plan: &Plan, place: &Place, warehouse: &Child, peers: &BTreeMap<PeerId, Child>) -> String {
    let cluster = crate::journal::NodeDir::new(&warehouse.dir).read_node_json().map(|json| json.cluster);
    let mut text = format!("  cluster {}  data {}\n", cluster.unwrap_or_default(), place.name());
    let mut line = |name: String, child: &Child| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<14} {:<21} pid {}", child.addr, child.pid());
    };
    line("warehouse".to_owned(), warehouse);
    for peer in &plan.peers {
        if let Some(child) = peers.get(&peer.id) {
            line(format!("{} {}", peer.role, peer.id), child);
        }
    }
    if let Some(highest) = peers.values().next_back() {
        let _ = writeln!(text, "  try:  kill -9 {}", highest.pid());
    }
    text
}

#[derive(Default)]
struct Counts {
    orders: u64,
    bought: u64,
    sold_out: u64,
    deposits: u64,
    first_sale: Option<WallMicros>,
    /// Offices granted.
    grants: u64,
    /// The ledger's end.
    end: Seq,
}

/// The figures of a run.
pub struct Summary {
    nodes: usize,
    buyers: usize,
    sellers: usize,
    traders: Vec<Value>,
    counts: Counts,
    elapsed: Duration,
    started_at: WallMicros,
    latency_us: Histogram<u64>,
    failovers: Vec<Failover>,
}

impl Summary {
    /// Asks the living peers, while they live.
    pub(super) async fn gather(market: &Market<'_>, roster: &Roster, elapsed: Duration) -> Summary {
        let mut latency_us = latencies();
        for peer in market.peers.keys().filter(|peer| !market.dead.contains(peer)) {
            let Ok(report) = market.ask(*peer).await else { continue };
            // A peer that reports none has nothing to add.
            let _ = add_histogram(&mut latency_us, &report.shopping.latency_us);
        }
        let seat = |office: Office| {
            let seat = roster.get(office).filter(|seat| seat.present)?;
            Some(json!({"peer": seat.peer.0, "office": office.name(), "term": seat.term.0}))
        };
        Summary {
            nodes: market.plan.peers.len(),
            buyers: market.plan.with_role(Role::Buyer).len(),
            sellers: market.plan.with_role(Role::Seller).len(),
            traders: Office::BOTH.into_iter().filter_map(seat).collect(),
            counts: Counts::default(),
            elapsed,
            started_at: market.started_at,
            latency_us,
            failovers: market.failovers.clone(),
        }
    }

    /// Counts this run's rows in the ledger, when nobody is left to write more.
    pub(super) async fn count(&mut self, market: &Market<'_>) -> Result<(), Failure> {
        self.counts = count(market).await?;
        Ok(())
    }

    fn per_second(&self) -> f64 {
        self.counts.orders as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn first_sale_s(&self) -> Option<f64> {
        let at = self.counts.first_sale?;
        Some(at.0.saturating_sub(self.started_at.0) as f64 / 1e6)
    }

    fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.latency_us.is_empty()).then(|| self.latency_us.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// For scripts.
    pub fn json(&self) -> Value {
        json!({
            "nodes": self.nodes,
            "buyers": self.buyers,
            "sellers": self.sellers,
            "traders": self.traders,
            "orders": self.counts.orders,
            "bought": self.counts.bought,
            "sold_out": self.counts.sold_out,
            "deposits": self.counts.deposits,
            "oversold": 0,
            "undersold": 0,
            "elapsed_s": thousandths(self.elapsed.as_secs_f64()),
            "orders_per_s": thousandths(self.per_second()),
            "p50_ms": self.quantile_ms(0.5).map(thousandths),
            "p99_ms": self.quantile_ms(0.99).map(thousandths),
            "elections": self.counts.grants,
            "failovers": self.failovers.iter().map(Failover::json).collect::<Vec<_>>(),
            "ledger_records": self.counts.end.0,
            "first_sale_s": self.first_sale_s().map(thousandths),
        })
    }

    /// For people: the same facts.
    pub fn table(&self) -> String {
        let Value::Object(facts) = self.json() else { return String::new() };
        facts.iter().fold(String::new(), |mut text, (name, value)| {
            let value = match value {
                Value::Array(items) if items.is_empty() => "none".to_owned(),
                Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("; "),
                Value::Null => "-".to_owned(),
                other => other.to_string(),
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name:<15} {value}");
            text
        })
    }
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

/// Counts the rows after a sequence: the warehouse is asked, or its store read if it is dead.
async fn count(market: &Market<'_>) -> Result<Counts, Failure> {
    let after = market.first_seq;
    if market.dead.contains(&PeerId::WAREHOUSE) {
        return count_on_disk(&market.warehouse.dir, after);
    }
    let counted = count_live(&market.warehouse.addr, after).await;
    counted
        .map_err(|error| Failure::new(exit::UNREACHABLE, format!("the ledger could not be counted: {error}")))
}

async fn count_live(addr: &str, after: Seq) -> Result<Counts, CallError> {
    let node = Node::connect(addr, crate::limits::CALL_DEADLINE).await?;
    let mut dumped = node.dump(after.next(), Seq(0), false).await?;
    let mut counts = Counts { end: after, ..Counts::default() };
    while let Some(blocks) = dumped.next().await? {
        for bytes in blocks {
            counts.add_block(&bytes, after).map_err(CallError::Unknown)?;
        }
    }
    Ok(counts)
}

fn count_on_disk(dir: &std::path::Path, after: Seq) -> Result<Counts, Failure> {
    let mut source = open_offline(dir)?;
    let mut counts = Counts { end: after, ..Counts::default() };
    for bytes in source.blocks(after.next()) {
        counts.add_block(&bytes?, after).map_err(|why| Failure::new(exit::UNDETERMINED, why))?;
    }
    Ok(counts)
}

impl Counts {
    fn add_block(&mut self, bytes: &[u8], after: Seq) -> Result<(), String> {
        let block = Block::<Record>::decode(bytes).map_err(|error| error.to_string())?;
        for (at, record) in block.records.iter().enumerate() {
            let seq = Seq(block.header.first.0 + at as u64);
            if seq > after {
                self.add(block.header.time, record);
                self.end = seq;
            }
        }
        Ok(())
    }

    fn add(&mut self, time: WallMicros, record: &Record) {
        self.grants += u64::from(matches!(record, Record::Office { .. }));
        let Some(decision) = record.decision() else { return };
        self.orders += 1;
        match record {
            Record::Sale { .. } => {
                self.bought += 1;
                self.first_sale.get_or_insert(time);
            }
            Record::Deposit(_) => self.deposits += 1,
            Record::Refusal { reason: None, .. } if decision.order.kind != OrderKind::Sell => {
                self.sold_out += 1
            }
            _ => {}
        }
    }
}
