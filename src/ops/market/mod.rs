//! Where the market is: its directory, its warehouse, its nodes.
//!
//! In: how a command was told to find it. Out: addresses and reports. Files are only a hint from the last start: a node
//! that answers at an address says itself which one it is.

mod cluster_json;
mod joining;
mod named;
mod reports;

use std::path::Path;
use std::time::Duration;

pub(crate) use self::cluster_json::{ClusterJson, ClusterNode, node_id};
pub(crate) use self::joining::{WayIn, way_in};
pub(crate) use self::named::{Named, named_peer};
pub(crate) use self::reports::{Reports, reports};
use super::output::{Failure, exit};
use crate::cli::ConnectFlags;
use crate::model::report::Report;
use crate::types::PeerId;
use crate::wire::client::{CallError, Node};
use crate::wire::status::Cause;

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

fn absent(market: &Path) -> Failure {
    Failure::new(exit::USAGE, format!("{} holds no market", market.display()))
        .hint("start one with bazaar up, or name a running node with --connect ADDR")
}

/// Where the warehouse of the market listens. `--connect` may name any of its nodes.
///
/// # Errors
/// There is no market in the directory, or the node named does not answer.
pub(crate) async fn warehouse_addr(flags: &ConnectFlags, timeout: Duration) -> Result<String, Failure> {
    let Some(addr) = flags.connect else {
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
    if let Some(addr) = flags.connect {
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
