//! What a node counts while it runs, and how Prometheus is told of it.
//!
//! In: what the port hears and says, and each record that is staged. Out: text, when somebody scrapes: these counts, and of
//! all else what the node's own report says at that moment. A count is an addition to a number of this process; nobody waits
//! for it. A node that serves no HTTP counts nothing.

mod families;
mod followed;
mod scrape;

use std::sync::{Arc, OnceLock};

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry};

use self::followed::Followed;
pub(crate) use self::scrape::process_text;
use crate::limits::{STAGE_BUCKETS, STAGE_SECONDS_MIN};
use crate::model::call::Refusal;
use crate::model::fold::Stored;
use crate::model::happening::What;
use crate::model::market::NotTaken;
use crate::model::message::Message;
use crate::model::row::{OutcomeKind, Record};
use crate::types::OrderKind;
use crate::wire::status;

/// A family cannot be registered: its name is taken, or is none.
pub(crate) type MeterError = prometheus::Error;

/// See the module's text. What is counted here is shared with who scrapes.
#[derive(Debug)]
pub(crate) struct Counts {
    registry: Registry,
    orders: IntCounterVec,
    /// Those of them that were used: a name is looked up once.
    decided: [[OnceLock<IntCounter>; OutcomeKind::COUNT]; OrderKind::COUNT],
    rows: [IntCounter; Record::KINDS.len()],
    sent: [IntCounter; Message::KINDS.len()],
    received: [IntCounter; Message::KINDS.len()],
    refusals: IntCounterVec,
    replayed: IntCounter,
    failovers: IntCounter,
    stages: HistogramVec,
}

/// The counting side, which belongs to the node's loop.
#[derive(Debug)]
pub(crate) struct Meter {
    counts: Arc<Counts>,
    followed: Option<Followed>,
}

impl Counts {
    /// # Errors
    /// See [`MeterError`].
    pub(crate) fn new() -> Result<Arc<Counts>, MeterError> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(family.clone()))?;
            Ok::<_, MeterError>(family)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, MeterError>(counter)
        };
        let messages = counters(
            "bazaar_messages_total",
            "Messages to and from other nodes, by what carries them.",
            &["direction", "kind"],
        )?;
        let of = |direction: &str| Message::KINDS.map(|kind| messages.with_label_values(&[direction, kind]));
        let (sent, received) = (of("sent"), of("received"));
        let rows = counters(
            "bazaar_ledger_rows_total",
            "Rows that this warehouse has written since it started.",
            &["kind"],
        )?;
        let buckets = prometheus::exponential_buckets(STAGE_SECONDS_MIN, 2.0, STAGE_BUCKETS)?;
        let help = "How long one order at a time, which is followed on its way, took for a stage of it.";
        let stages = HistogramOpts::new("bazaar_stage_seconds", help).buckets(buckets);
        let stages = HistogramVec::new(stages, &["stage"])?;
        registry.register(Box::new(stages.clone()))?;
        Ok(Arc::new(Counts {
            orders: counters(
                "bazaar_orders_total",
                "Orders that this warehouse has decided since it started.",
                &["kind", "outcome"],
            )?,
            decided: Default::default(),
            rows: Record::KINDS.map(|kind| rows.with_label_values(&[kind])),
            refusals: counters(
                "bazaar_refusals_total",
                "What this node did not take, by the reason that it gave.",
                &["reason"],
            )?,
            replayed: counter(
                "bazaar_replayed_orders_total",
                "Orders of a dead partner that this trader has settled in its place.",
            )?,
            failovers: counter(
                "bazaar_failovers_total",
                "Times that this trader took over from another one.",
            )?,
            sent,
            received,
            stages,
            registry,
        }))
    }

    fn stage(&self, name: &str) -> Histogram {
        self.stages.with_label_values(&[name])
    }

    fn not_taken(&self, why: NotTaken) {
        self.refusals.with_label_values(&[status::reason_of(why)]).inc();
    }
}

impl Meter {
    pub(crate) fn new(counts: Arc<Counts>) -> Meter {
        Meter { counts, followed: None }
    }

    /// A message is here.
    pub(crate) fn heard(&mut self, message: &Message) {
        self.counts.received[message.kind_number()].inc();
        followed::heard(&mut self.followed, message, &self.counts);
    }

    /// A message leaves.
    pub(crate) fn said(&mut self, message: &Message) {
        self.counts.sent[message.kind_number()].inc();
        followed::said(&mut self.followed, message, &self.counts);
        match message {
            Message::TradeAnswer(answer) => {
                answer.not_taken.iter().for_each(|(_, why)| self.counts.not_taken(*why))
            }
            Message::SettleAnswer(answer) => {
                let refused = answer.not_taken.iter().map(|(_, why)| *why).chain(answer.refused);
                refused.for_each(|why| self.counts.not_taken(why));
            }
            _ => {}
        }
    }

    /// A caller is refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.counts.refusals.with_label_values(&[status::reason(refusal)]).inc();
    }

    /// A record is staged: it is durable soon, or this process ends.
    pub(crate) fn staged(&self, record: &impl Stored) {
        let Some(counted) = record.counted() else { return };
        self.counts.rows[counted.row].inc();
        if let Some((kind, outcome)) = counted.decided {
            let names = || self.counts.orders.with_label_values(&[kind.name(), outcome.name()]);
            self.counts.decided[kind.number()][outcome as usize].get_or_init(names).inc();
        }
    }

    /// Something happens that people watch.
    pub(crate) fn happens(&self, what: &What) {
        match what {
            What::TookOver(_) => self.counts.failovers.inc(),
            What::Replayed(_, replayed) => self.counts.replayed.inc_by(replayed.settled),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
