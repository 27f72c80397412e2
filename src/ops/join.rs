//! `bazaar join`: a peer that nobody knows yet joins at any living node, which says where the warehouse is and which
//! market this is.
//!
//! In: the address of a node. Out: the peer, running in the foreground like `bazaar peer`. Refused before anything is
//! written: 3 the node does not answer; 4 a peer of this id is alive; 7 the market is not the one that was meant, or the
//! directory is another's.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::output::{Failure, exit};
use super::{market, nodes};
use crate::cli::{BASE_PORT, Global, JoinArgs, PeerArgs};
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};
use crate::types::PeerId;
use crate::wire::client::CallError;
use crate::wire::report::Report;

/// Where a peer finds its market.
#[derive(Clone, Debug)]
pub struct Place {
    /// The market that its store must belong to, if that is known.
    pub cluster: Option<String>,
    /// The warehouse's address.
    pub warehouse: String,
    /// Addresses of peers to join at.
    pub join: Vec<String>,
}

/// Runs one more peer until it is told to stop.
///
/// # Errors
/// See the module's text.
pub fn run(args: &JoinArgs, global: &Global) -> Result<u8, Failure> {
    nodes::log(&args.peer.node, global);
    let mut peer = args.peer.clone();
    peer.join.insert(0, args.at);
    let Some(place) = place(&peer, global.timeout, global.timeout)? else { return Ok(exit::DONE) };
    nodes::run_peer(&peer, place)
}

/// The market of a peer: as typed, or as the first node of `--join` that answers within `limit` says. None: it was told
/// to stop meanwhile.
///
/// # Errors
/// No node answers, it is another market's, or a peer of this id is alive.
pub fn place(args: &PeerArgs, limit: Duration, timeout: Duration) -> Result<Option<Place>, Failure> {
    let join = args.join.iter().map(SocketAddr::to_string).collect();
    if args.warehouse.is_some() || args.join.is_empty() {
        let warehouse = args.warehouse.unwrap_or(SocketAddr::from(([127, 0, 0, 1], BASE_PORT)));
        return Ok(Some(Place {
            cluster: args.node.cluster.clone(),
            warehouse: warehouse.to_string(),
            join,
        }));
    }
    market::runtime()?.block_on(async {
        tokio::select! {
            place = ask(args, join, limit, timeout) => place.map(Some),
            () = told_to_stop() => Ok(None),
        }
    })
}

/// Nothing was begun yet: a signal ends it at once, and well.
async fn told_to_stop() {
    let (term, int) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    match (term, int) {
        (Ok(mut term), Ok(mut int)) => tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} },
        // Without handlers the signal ends the process as it always did.
        _ => std::future::pending().await,
    }
}

async fn ask(
    args: &PeerArgs,
    join: Vec<String>,
    limit: Duration,
    timeout: Duration,
) -> Result<Place, Failure> {
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
    Ok(Place { cluster: Some(report.cluster), warehouse, join })
}

/// Peers that are joined at when the warehouse was named: one would do, if it lived long enough.
const JOIN_AT_MAX: usize = 3;

/// Asks the nodes in turn until one answers.
async fn first_answer(
    nodes: &[String],
    limit: Duration,
    timeout: Duration,
) -> Result<(String, Report), (String, CallError)> {
    let began = tokio::time::Instant::now();
    let mut wait = BACKOFF_MIN;
    loop {
        for addr in nodes {
            match market::report(addr, timeout).await {
                Ok(report) => return Ok((addr.clone(), report)),
                Err(error) if began.elapsed() > limit => return Err((addr.clone(), error)),
                Err(_) => {}
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(BACKOFF_MAX);
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

/// An id is one peer's: whoever answers under it where the market says it listens would lose its session to this one.
async fn refuse_twins(id: PeerId, report: &Report, timeout: Duration) -> Result<(), Failure> {
    let known = report.members.iter().find(|member| member.id == id && !member.left);
    let addr = match known {
        _ if report.peer == id => report.addr.clone(),
        Some(member) => member.addr.clone(),
        None => return Ok(()),
    };
    match market::report(&addr, timeout).await {
        Ok(twin) if twin.peer == id && twin.cluster == report.cluster => {
            let text = format!("peer {id} is alive already, at {addr} (pid {})", twin.pid);
            Err(Failure::new(exit::NO, text)
                .hint(format!("choose another --id, or let that one go first: bazaar leave --peer {id}")))
        }
        _ => Ok(()),
    }
}
