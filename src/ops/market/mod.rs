//! Where the market is: its directory, its warehouse, its nodes.
//!
//! In: how a command was told to find it. Out: addresses and reports. Files are only a hint from the last start: a node
//! that answers at an address says itself which one it is.

mod cluster_json;
mod joining;
mod lines;
mod named;
mod reports;

use std::path::Path;
use std::time::Duration;

pub(crate) use self::cluster_json::{ClusterJson, ClusterNode, node_id};
pub(crate) use self::joining::{WayIn, way_in};
pub(crate) use self::lines::Lines;
pub(crate) use self::named::{Named, named_peer};
pub(crate) use self::reports::{Reports, reports, reports_over};
use super::output::{Failure, exit};
use crate::cli::ConnectFlags;
use crate::journal::mend;
use crate::model::report::Report;
use crate::types::{PeerId, node_name};
use crate::wire::client::{CallError, Node};
use crate::wire::status::Cause;

/// Others are asked only for a better hint.
const OTHERS_ASKED_MAX: Duration = Duration::from_secs(1);

/// The node at `addr` cannot be reached or does not answer, so nothing was sent to it.
pub(crate) fn unreachable(addr: &str, error: &CallError) -> Failure {
    match error {
        CallError::Unreachable { .. } => Failure::new(exit::UNREACHABLE, error.to_string())
            .hint("start the market with bazaar up, or name a node with --connect"),
        // Its text says the mend.
        CallError::Refused { cause: Cause::OtherVersion, .. } => {
            Failure::new(exit::UNREACHABLE, format!("{addr} does not serve: {error}"))
        }
        _ => Failure::new(exit::UNREACHABLE, format!("{addr} does not serve: {error}"))
            .hint("see how the market is with bazaar status"),
    }
}

/// The warehouse cannot be reached. Where other nodes of its market answer, the market is up but for it.
pub(crate) async fn warehouse_away(
    flags: &ConnectFlags,
    addr: &str,
    error: &CallError,
    timeout: Duration,
) -> Failure {
    let failure = unreachable(addr, error);
    let others = match error {
        CallError::Unreachable { .. } => everybody(flags, timeout.min(OTHERS_ASKED_MAX)).await.ok(),
        _ => None,
    };
    if others.is_none_or(|others| others.answered.is_empty()) {
        return failure;
    }
    let dir = flags.data_dir.join(node_name(PeerId::WAREHOUSE));
    failure.hint(match &flags.connect {
        None => format!(
            "the market is up without its warehouse; start that again: bazaar warehouse --data-dir {} --listen {}",
            mend::word(&dir),
            addr
        ),
        Some(_) => "the market is up without its warehouse; start that again where it was".to_owned(),
    })
}

fn absent(market: &Path) -> Failure {
    Failure::new(exit::USAGE, format!("{} holds no market", market.display()))
        .hint("start one with bazaar up, or name a running node with --connect ADDR")
}

/// Where the warehouse of the market listens. `--connect` may name any of its nodes.
///
/// # Errors
/// There is no market in the directory, or the node named does not answer.
pub(crate) async fn warehouse_addr(flags: &ConnectFlags, timeout: Duration) -> Result<String, Failure> {
    let Some(addr) = &flags.connect else {
        let found = ClusterJson::find(&flags.data_dir).ok_or_else(|| absent(&flags.data_dir))?;
        return Ok(found.warehouse);
    };
    let addr = addr.to_string();
    let report = report(&addr, timeout).await.map_err(|error| unreachable(&addr, &error))?;
    Ok(if report.peer == PeerId::WAREHOUSE { addr } else { report.warehouse })
}

/// Asks a node for its report.
///
/// # Errors
/// It does not answer in time.
pub(crate) async fn report(addr: &str, timeout: Duration) -> Result<Report, CallError> {
    Node::connect(addr, timeout).await?.status().await
}

/// The addresses that a client command starts from.
///
/// # Errors
/// There is no market in the directory, and no node was named.
fn seeds(flags: &ConnectFlags) -> Result<Vec<(Option<PeerId>, String)>, Failure> {
    if let Some(addr) = &flags.connect {
        return Ok(vec![(None, addr.to_string())]);
    }
    let found = ClusterJson::find(&flags.data_dir).ok_or_else(|| absent(&flags.data_dir))?;
    let mut seeds = vec![(Some(PeerId::WAREHOUSE), found.warehouse)];
    seeds.extend(found.nodes.into_iter().map(|node| (node.id(), node.addr)));
    Ok(seeds)
}

/// Asks every node of the market that a command was pointed at.
///
/// # Errors
/// There is no market in the directory, and no node was named.
pub(crate) async fn everybody(flags: &ConnectFlags, timeout: Duration) -> Result<Reports, Failure> {
    Ok(reports(seeds(flags)?, timeout).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_market_the_mend_is_named() {
        let flags = ConnectFlags { connect: None, data_dir: "no/such/market".into() };
        let failure = seeds(&flags).unwrap_err();
        assert_eq!(failure.exit, exit::USAGE);
        assert!(failure.hint.unwrap().contains("bazaar up"));
    }
}
