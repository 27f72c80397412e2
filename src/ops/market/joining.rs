//! The market that a peer joins: any living node says where the warehouse is, and which market this is.
//!
//! In: the addresses that were typed. Out: a [`WayIn`]. Refused before anything is written: no node answers, it is of
//! another market, or a peer of this id is alive.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::report;
use crate::cli::{BASE_PORT, NodeAddr, PeerArgs};
use crate::journal::NodeDir;
use crate::limits::{CONNECT_MAX, NOTIFY_EVERY};
use crate::model::report::Report;
use crate::ops::output::{Failure, exit};
use crate::ops::retry::Backoff;
use crate::ops::runtime::runtime;
use crate::types::PeerId;
use crate::wire::client::CallError;

/// Where a peer finds its market.
#[derive(Clone, Debug)]
pub(crate) struct WayIn {
    /// The market that its store must belong to, if that is known.
    pub(crate) cluster: Option<String>,
    /// The warehouse's address.
    pub(crate) warehouse: String,
    /// Addresses of peers to join at.
    pub(crate) join: Vec<String>,
}

/// The way in as typed, or as the first node of `--join` that answers within `limit` says. `None`: the process was told to
/// stop meanwhile.
///
/// # Errors
/// See the module's text.
pub(crate) fn way_in(args: &PeerArgs, limit: Duration, timeout: Duration) -> Result<Option<WayIn>, Failure> {
    let join: Vec<String> = args.join.iter().map(NodeAddr::to_string).collect();
    let warehouse = args.warehouse.clone().unwrap_or(NodeAddr::here(BASE_PORT)).to_string();
    if join.is_empty() {
        return Ok(Some(WayIn { cluster: args.node.cluster.clone(), warehouse, join }));
    }
    runtime()?.block_on(async {
        let found = async {
            match args.warehouse {
                Some(_) => compare(args, warehouse, join, timeout.min(CONNECT_MAX)).await,
                None => ask(args, join, limit, timeout).await,
            }
        };
        tokio::select! {
            found = found => found.map(Some),
            () = told_to_stop() => Ok(None),
        }
    })
}

/// Waits for a signal. Nothing was begun yet, so the process may end at once, with exit 0.
async fn told_to_stop() {
    let (term, int) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (term, int) {
        (Ok(mut term), Ok(mut int)) => tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} },
        // Without handlers the signal ends the process as it always did.
        _ => std::future::pending().await,
    }
}

/// Warehouse and nodes were typed: those that answer must be of one market, which is that of the directory, too. Who does
/// not answer yet is not waited for; the peer finds out when it does.
async fn compare(
    args: &PeerArgs,
    warehouse: String,
    join: Vec<String>,
    timeout: Duration,
) -> Result<WayIn, Failure> {
    let dir = args.data_dir();
    let own = NodeDir::new(&dir).read_node_json().map(|json| (dir.display().to_string(), json.cluster));
    let mut known = args.node.cluster.clone().map(|cluster| ("--cluster".to_owned(), cluster)).or(own);
    for addr in [&warehouse].into_iter().chain(&join) {
        let Ok(Report { cluster, .. }) = report(addr, timeout).await else { continue };
        let (by, expected) = known.get_or_insert_with(|| (addr.clone(), cluster.clone()));
        if *expected != cluster {
            let text = format!("{addr} is a node of market {cluster}, and {by} is of market {expected}");
            return Err(Failure::new(exit::DIRECTORY, text).hint(format!(
                "name nodes of one market with --warehouse and --join, and its directory with --data-dir (now {})",
                dir.display()
            )));
        }
    }
    Ok(WayIn { cluster: args.node.cluster.clone(), warehouse, join })
}

async fn ask(
    args: &PeerArgs,
    join: Vec<String>,
    limit: Duration,
    timeout: Duration,
) -> Result<WayIn, Failure> {
    let (addr, report) = first_answer(&join, limit, timeout).await.map_err(|(addr, error)| {
        Failure::new(exit::UNREACHABLE, format!("no node to join at: {error}"))
            .hint(format!("is {addr} a living node? bazaar status --connect {addr}"))
    })?;
    check_market(args, &addr, &report)?;
    refuse_twins(args.id, &report, timeout).await?;
    let by_warehouse = report.peer == PeerId::WAREHOUSE;
    let warehouse = if by_warehouse { addr.clone() } else { report.warehouse };
    // The warehouse is no peer: it is not joined at itself, but it sees some that are.
    let peers = report.members.into_iter().filter(|member| by_warehouse && member.id != args.id);
    let mut join: Vec<String> = join.into_iter().filter(|it| !by_warehouse || *it != addr).collect();
    join.extend(peers.map(|member| member.addr).take(JOIN_AT_MAX));
    Ok(WayIn { cluster: Some(report.cluster), warehouse, join })
}

/// Peers that are joined at when the warehouse was named: one would do, if it lived long enough.
const JOIN_AT_MAX: usize = 3;

/// Asks the nodes in turn until one answers, and says now and then that none does.
async fn first_answer(
    nodes: &[String],
    limit: Duration,
    timeout: Duration,
) -> Result<(String, Report), (String, CallError)> {
    let (began, mut backoff, mut said_at) = (Instant::now(), Backoff::default(), None);
    loop {
        for addr in nodes {
            let error = match report(addr, timeout).await {
                Ok(report) => return Ok((addr.clone(), report)),
                Err(error) if began.elapsed() > limit => return Err((addr.clone(), error)),
                Err(error) => error,
            };
            if said_at.is_none_or(|at| began.elapsed() >= at + NOTIFY_EVERY) {
                said_at = Some(began.elapsed());
                let left = limit.saturating_sub(began.elapsed()).as_secs();
                tracing::warn!("waiting for a node to join at, {left} s more: {error}");
            }
        }
        backoff.pause(Duration::MAX).await;
    }
}

fn check_market(args: &PeerArgs, addr: &str, report: &Report) -> Result<(), Failure> {
    match &args.node.cluster {
        Some(meant) if *meant != report.cluster => {
            let text = format!("{addr} is a node of market {}, not of {meant}", report.cluster);
            Err(Failure::new(exit::DIRECTORY, text).hint("name a node of the right market"))
        }
        _ => Ok(()),
    }
}

/// Refuses if a peer of this id answers where the market says that it listens: two peers of one id would take the
/// session from each other.
async fn refuse_twins(id: PeerId, answer: &Report, timeout: Duration) -> Result<(), Failure> {
    let known = answer.members.iter().find(|member| member.id == id && !member.left);
    let addr = match known {
        _ if answer.peer == id => answer.addr.clone(),
        Some(member) => member.addr.clone(),
        None => return Ok(()),
    };
    match report(&addr, timeout).await {
        Ok(twin) if twin.peer == id && twin.cluster == answer.cluster => {
            let text = format!("peer {id} is alive already, at {addr} (pid {})", twin.pid);
            Err(Failure::new(exit::NO, text)
                .hint(format!("choose another --id, or let that one go first: bazaar leave --peer {id}")))
        }
        _ => Ok(()),
    }
}
