//! A scrape: what was counted, and what the node says of itself now.

use std::path::Path;

use hdrhistogram::serialization::Deserializer;
use prometheus::TextEncoder;

use super::families::{Families, seconds};
use super::{Counts, MeterError};
use crate::journal::{SYNC_BOUNDS_US, Stats};
use crate::model::offices::Seat;
use crate::model::report::{Report, Shopping};
use crate::node::process::{self, Taken};
use crate::types::{Office, PeerId};

impl Counts {
    /// The text of a scrape. `dir` is the node's directory.
    ///
    /// # Errors
    /// A family has no name, or none that Prometheus takes.
    pub(crate) fn scrape(&self, report: &Report, stats: &Stats, dir: &Path) -> Result<String, MeterError> {
        let mut families = Families::default();
        build(&mut families);
        node(&mut families, report);
        offices(&mut families, report);
        trade(&mut families, report);
        shopping(&mut families, &report.shopping);
        journal(&mut families, report, stats);
        taken(&mut families, dir);
        let mut all = families.finish();
        // A family without samples is none: nothing was counted of it yet.
        all.extend(self.registry.gather());
        all.sort_by(|one, other| one.name().cmp(other.name()));
        TextEncoder::new().encode_to_string(&all)
    }
}

fn flag(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

fn build(to: &mut Families) {
    let labels = vec![("version", env!("CARGO_PKG_VERSION"))];
    to.gauges("bazaar_build_info", "The program's version.", [(labels, 1.0)]);
}

fn node(to: &mut Families, report: &Report) {
    to.gauge(
        "bazaar_healthy",
        "1: the node is well, as status and /readyz say.",
        flag(report.health == "ok"),
    );
    to.gauge("bazaar_clock", "The node's Lamport clock.", report.clock.0 as f64);
    to.gauge("bazaar_log_seq", "Records in the node's own log, durably.", report.log.0.0 as f64);
    let ledger = if report.peer == PeerId::WAREHOUSE { report.log } else { report.ledger };
    to.gauge("bazaar_ledger_seq", "Rows of the ledger, as far as the node has heard.", ledger.0.0 as f64);
    let left = report.members.iter().filter(|member| member.left).count();
    let states = [("member", report.members.len() - left), ("left", left)];
    let states = states.map(|(state, count)| (vec![("state", state)], count as f64));
    to.gauges("bazaar_members", "Peers that the node knows.", states);
    let help = "Elections that this process has started.";
    to.counter("bazaar_elections_total", help, report.elections);
    let help = "Orders that were asked again and answered from the record.";
    to.counter("bazaar_duplicates_total", help, report.duplicates);
    if report.peer == PeerId::WAREHOUSE {
        let help = "Stores of peers and clients that have a session.";
        to.gauge("bazaar_sessions", help, report.sessions as f64);
    }
    to.gauge(
        "bazaar_generation",
        "Restores of the ledger, as far as the node knows.",
        report.generation.count as f64,
    );
}

fn offices(to: &mut Families, report: &Report) {
    // Of an office that nobody holds, too: what is not there cannot be compared with 0.
    let of = |value: fn(&Report, &Seat) -> f64| {
        Office::BOTH.map(|office| {
            let seat = report.roster.get(office);
            (vec![("office", office.name())], seat.map_or(0.0, |seat| value(report, seat)))
        })
    };
    let help = "The term of the office's holder; 0: nobody holds it.";
    to.gauges("bazaar_office_term", help, of(|_, seat| seat.term.0 as f64));
    let help = "1: this node holds the office.";
    to.gauges("bazaar_office_held", help, of(|me, seat| flag(seat.peer == me.peer)));
    let help = "1: somebody holds the office, and is seen alive.";
    to.gauges("bazaar_office_present", help, of(|_, seat| flag(seat.present)));
    to.gauge("bazaar_paired", "1: the traders are partners.", flag(report.roster.paired));
    let frozen = report.roster.frozen.len() as f64;
    to.gauge("bazaar_frozen_terms", "Terms that ended and have not reported what they had sold.", frozen);
}

fn trade(to: &mut Families, report: &Report) {
    let ms = |ms: u64| ms as f64 / 1e3;
    to.gauge("bazaar_queue_orders", "Orders waiting or in flight.", report.queue_depth as f64);
    let help = "How long the oldest of them has waited here.";
    to.gauge("bazaar_queue_oldest_seconds", help, ms(report.oldest_waiting_ms));
    to.gauge("bazaar_cache_age_seconds", "Since the last push of stock.", ms(report.cache_age_ms));
    let help = "Since the last sign of life of the partner or the warehouse.";
    to.gauge("bazaar_heartbeat_age_seconds", help, ms(report.heartbeat_age_ms));
    let goods = report.goods.iter().zip(&report.stock);
    let pieces = goods.map(|((name, _), pieces)| (vec![("good", name.as_str())], pieces.0 as f64));
    to.gauges("bazaar_stock_pieces", "Pieces in stock, as the node knows.", pieces);
}

fn shopping(to: &mut Families, own: &Shopping) {
    to.counter("bazaar_own_orders_placed_total", "Orders that this process placed for itself.", own.placed);
    let outcomes = [
        ("bought", own.bought),
        ("sold_out", own.sold_out),
        ("deposited", own.deposits),
        ("refused", own.refused),
    ];
    let outcomes = outcomes.map(|(outcome, count)| (vec![("outcome", outcome)], count as f64));
    to.counters("bazaar_own_orders_total", "Those of them that have an outcome.", outcomes);
    to.gauge(
        "bazaar_own_orders_open",
        "Own orders without one, those of earlier processes too.",
        own.open as f64,
    );
    if let Ok(latencies) = Deserializer::new().deserialize(&mut &own.latency_us[..]) {
        to.latencies("bazaar_own_order_seconds", "From placing an own order to its outcome.", &latencies);
    }
}

fn journal(to: &mut Families, report: &Report, stats: &Stats) {
    let bounds = SYNC_BOUNDS_US.map(seconds);
    let help = "Write and sync of a group of records.";
    to.histogram(
        "bazaar_journal_sync_seconds",
        help,
        &bounds,
        &stats.sync_buckets,
        seconds(stats.sync_us_sum),
    );
    to.counter("bazaar_journal_blocks_total", "Blocks written.", stats.blocks);
    to.counter("bazaar_journal_written_bytes_total", "Bytes handed to the store.", stats.bytes_written);
    to.counter("bazaar_journal_checkpoints_total", "Checkpoints completed.", stats.checkpoints);
    to.gauge("bazaar_disk_free_bytes", "Space left on the disk, as last asked.", report.disk_free as f64);
    to.gauge("bazaar_disk_low", "1: orders are refused until there is space again.", flag(report.disk_low));
}

/// What a process that is no node says of itself, and these gauges of it: name, help, value.
///
/// # Errors
/// See [`MeterError`].
pub(crate) fn process_text(gauges: &[(&str, &str, f64)]) -> Result<String, MeterError> {
    let mut families = Families::default();
    build(&mut families);
    gauges.iter().for_each(|(name, help, value)| families.gauge(name, help, *value));
    this_process(&mut families);
    let mut all = families.finish();
    all.sort_by(|one, other| one.name().cmp(other.name()));
    TextEncoder::new().encode_to_string(&all)
}

fn taken(to: &mut Families, dir: &Path) {
    to.gauge("bazaar_store_bytes", "What the store takes on its disk.", process::disk_of(&dir.join("store")));
    this_process(to);
}

fn this_process(to: &mut Families) {
    let Some(Taken { rss, fds, threads, cpu_s }) = process::taken(std::process::id()) else { return };
    to.gauge("bazaar_process_resident_bytes", "Memory of the process.", rss);
    to.gauge("bazaar_process_descriptors", "Open file descriptors.", fds);
    to.gauge("bazaar_process_threads", "Threads.", threads);
    to.counters("bazaar_process_cpu_seconds_total", "Processor time of the process.", [(Vec::new(), cpu_s)]);
}
