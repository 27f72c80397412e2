//! One node of the picture, as cells and as an object.

use serde_json::{Value, json};

use super::cells;
use crate::model::report::Report;
use crate::ops::output::Row;
use crate::types::{Office, PeerId, node_name};

/// The office that a node holds by its own word, and its term.
pub(super) fn office(report: &Report) -> Option<(&'static str, u64)> {
    let (office, seat) = report.roster.held_by(report.peer)?;
    Some((office.name(), seat.term.0))
}

/// Whether a trader has a partner that holds what it has accepted. A secondary serves nobody before that.
pub(super) fn pairing(report: &Report) -> Option<&'static str> {
    let (office, _) = report.roster.held_by(report.peer)?;
    Some(match office {
        _ if report.roster.paired => "paired",
        Office::Primary => "solo",
        Office::Secondary => "syncing",
    })
}

pub(super) fn report_cells(report: &Report) -> Row {
    let mut row = cells(&[
        ("node", node_name(report.peer)),
        ("role", report.role.clone()),
        ("clock", report.clock.to_string()),
        ("ledger", report.ledger.0.to_string()),
        ("disk free", bytes(report.disk_free)),
        ("health", report.health.clone()),
    ]);
    if let Some((office, term)) = office(report) {
        row.extend(cells(&[
            ("office", office_cell(office, pairing(report))),
            ("term", term.to_string()),
            ("queue", report.queue_depth.to_string()),
            ("cache", cache_cell(report)),
            ("heartbeat", age(report.heartbeat_age_ms)),
        ]));
    }
    if let Some(id) = report.oldest {
        row.extend(cells(&[("oldest", format!("{id} {}", age(report.oldest_waiting_ms)))]));
    }
    row
}

/// `primary`, or `primary (solo)`.
pub(super) fn office_cell(office: &str, pairing: Option<&str>) -> String {
    match pairing {
        Some(alone @ ("solo" | "syncing")) => format!("{office} ({alone})"),
        _ => office.to_owned(),
    }
}

pub(crate) fn report_json(report: &Report) -> Value {
    let office = office(report);
    // Only a peer in office keeps a queue and a cache. The oldest order is the first in queue order, whoever placed it.
    let oldest = report
        .oldest
        .map(|id| json!({ "order": id.to_string(), "waiting_ms": report.oldest_waiting_ms, "rank": 1 }));
    json!({
        "node": node_name(report.peer),
        "role": report.role,
        "addr": report.addr,
        "pid": report.pid,
        "office": office.map(|(office, _)| office),
        "term": office.map(|(_, term)| term),
        "pairing": pairing(report),
        "clock": report.clock.0,
        "log_seq": report.log.0.0,
        "ledger_seq": report.ledger.0.0,
        "generation": report.generation.count,
        "queue_depth": report.queue_depth,
        "oldest": oldest,
        "cache_age_ms": office.map(|_| report.cache_age_ms),
        "heartbeat_age_ms": (report.peer != PeerId::WAREHOUSE).then_some(report.heartbeat_age_ms),
        "disk_free_bytes": report.disk_free,
        "elections": report.elections,
        "duplicates": report.duplicates,
        "messages_sent": report.messages_sent,
        "health": report.health,
        "cache_behind": office.map(|_| behind(report)),
    })
}

/// Rows of the ledger, as far as it was heard of, that the cache does not show yet.
fn behind(report: &Report) -> u64 {
    report.ledger.0.0.saturating_sub(report.stock_seq.0)
}

/// `120 ms`, or `120 ms, 7 behind`.
fn cache_cell(report: &Report) -> String {
    let age = age(report.cache_age_ms);
    if behind(report) == 0 { age } else { format!("{age}, {} behind", behind(report)) }
}

/// `120 ms`, `3.4 s`, `12 min`.
pub(super) fn age(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..100_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min", ms / 60_000),
    }
}

/// `52.1 GiB`.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..0x4000_0000 => format!("{} MiB", count >> 20),
        _ => format!("{}.{} GiB", count >> 30, (count >> 20) % 1_024 * 10 / 1_024),
    }
}
