//! Runs that try the traders' offices: an election, and a trader that stands still.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::results::{Cell, Figures};
use super::rig::{addr, blocking, started};
use crate::limits::{CALL_DEADLINE, START_MAX};
use crate::model::offices::Roster;
use crate::model::report::Report;
use crate::ops::market;
use crate::ops::output::{Failure, exit};
use crate::ops::retry;
use crate::ops::rig::cluster::{Cluster, Node, Shape};
use crate::types::{Office, PeerId, Term};

const LOOK_EVERY: Duration = Duration::from_millis(5);
/// What is still said when a pair is there: the end of an election is told to everybody.
const REST: Duration = Duration::from_millis(500);

fn cell<const N: usize>(figures: [(&str, f64); N]) -> Cell {
    let figures: Figures = figures.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Cell { runs: vec![figures], ..Cell::default() }
}

async fn roster(cluster: &Cluster) -> Result<Roster, Failure> {
    let warehouse = addr(cluster, PeerId::WAREHOUSE);
    let report = market::report(&warehouse, CALL_DEADLINE).await;
    report.map(|report| report.roster).map_err(|error| market::unreachable(&warehouse, &error))
}

fn primary(roster: &Roster) -> Result<(PeerId, Term), Failure> {
    let seat = roster.get(Office::Primary).map(|seat| (seat.peer, seat.term));
    seat.ok_or_else(|| Failure::new(exit::UNDETERMINED, "nobody is primary"))
}

/// Messages and elections of all peers that answer.
async fn said(cluster: &Cluster) -> Vec<(PeerId, Report)> {
    let mut reports = Vec::new();
    for node in cluster.nodes().filter(|node| node.id != PeerId::WAREHOUSE) {
        if let Ok(report) = market::report(&node.addr(), CALL_DEADLINE).await {
            reports.push((node.id, report));
        }
    }
    reports
}

async fn end(cluster: Arc<Cluster>) -> Result<(), Failure> {
    blocking(move || drop(cluster.stop())).await
}

/// The primary of so many idle peers is killed.
///
/// # Errors
/// No pair comes into office.
pub(super) async fn election(peers: u32, dir: &Path) -> Result<Cell, Failure> {
    let cluster = started(dir, Shape::direct(peers)).await?;
    tokio::time::sleep(REST).await;
    let (before, (dead, term)) = (said(&cluster).await, primary(&roster(&cluster).await?)?);
    let began = Instant::now();
    cluster.kill(dead);
    let again = retry::until(LOOK_EVERY, START_MAX, async || {
        let roster = roster(&cluster).await?;
        Ok::<_, Failure>(roster.paired && roster.get(Office::Primary).is_some_and(|seat| seat.term != term))
    });
    if !again.await? {
        return Err(Failure::new(exit::UNDETERMINED, "no pair came into office again"));
    }
    let took = began.elapsed().as_secs_f64() * 1_000.0;
    tokio::time::sleep(REST).await;
    let (mut messages, mut elections) = (0, 0);
    for (peer, after) in said(&cluster).await {
        if let Some((_, before)) = before.iter().find(|(id, _)| *id == peer) {
            messages += after.messages_sent.saturating_sub(before.messages_sent);
            elections += after.elections.saturating_sub(before.elections);
        }
    }
    end(cluster).await?;
    Ok(cell([("messages", messages as f64), ("ms", took), ("elections", elections as f64)]))
}

/// The primary stands still for a while, with nothing to do.
///
/// # Errors
/// The market cannot be asked.
pub(super) async fn detection(suspect_ms: u64, pause_ms: u64, dir: &Path) -> Result<Cell, Failure> {
    let shape = Shape { heartbeat_ms: suspect_ms / 2, suspect_after_ms: suspect_ms, ..Shape::direct(3) };
    let cluster = started(dir, shape).await?;
    let (paused, term) = primary(&roster(&cluster).await?)?;
    let began = Instant::now();
    cluster.node(paused).into_iter().for_each(Node::pause);
    let lasts = Duration::from_millis(pause_ms);
    let mut replaced = None;
    while began.elapsed() < lasts {
        replaced = replaced.or(is_replaced(&cluster, term).await?.then(|| began.elapsed()));
        tokio::time::sleep(LOOK_EVERY).await;
    }
    cluster.node(paused).into_iter().for_each(Node::go_on);
    // What was suspected while it stood still takes its course.
    tokio::time::sleep(Duration::from_millis(suspect_ms)).await;
    let lost = replaced.is_some() || is_replaced(&cluster, term).await?;
    end(cluster).await?;
    let mut cell = cell([("false_alarms", f64::from(u8::from(lost)))]);
    if let Some(replaced) = replaced {
        let ms = replaced.as_secs_f64() * 1_000.0;
        for run in &mut cell.runs {
            run.insert("replaced_ms".to_owned(), ms);
        }
    }
    Ok(cell)
}

async fn is_replaced(cluster: &Cluster, term: Term) -> Result<bool, Failure> {
    Ok(roster(cluster).await?.seats().all(|seat| seat.term != term))
}
