//! `bench latency`: one order at a time through a whole market that has nothing else to do.
//!
//! The time is taken inside the peer, from before its journal write to the outcome in hand; the call that makes it
//! place the order is not part of it.

use std::time::Instant;

use super::figures::Run;
use super::market::{Market, add_costs, shopped, until};
use super::nodes::{self, Nodes, report, unanswered};
use super::{GOODS, Place};
use crate::cli::BenchFlags;
use crate::limits::{CALL_DEADLINE, START_MAX};
use crate::ops::output::Failure;
use crate::types::{OrderKind, PeerId, Quantity, Role};
use crate::wire::client::{CallError, Node};

/// Measures; all nodes are stopped when this returns.
pub(super) async fn run(place: &Place, flags: &BenchFlags) -> Result<Run, Failure> {
    let market = Market::start(place, 1).await?;
    let join = market.traders.addrs();
    let mut peer = Nodes::default();
    peer.add(nodes::start_peer(place, &market.addr, PeerId(1), Role::Idle, &join, &[])?.ready()?);
    let addr = peer.addrs().concat();
    until("the peer can place orders", START_MAX, async || Ok(report(&addr).await?.health == "ok")).await?;
    one_by_one(&addr, flags).await.map_err(|error| unanswered(&error))?;
    let peer = peer.end().await?;
    let mut run = shopped(&peer)?;
    let mut ended = market.end().await?;
    ended.extend(peer);
    add_costs(&mut run, ended);
    Ok(run)
}

/// Buys and sells in turn, so that the stock lasts.
async fn one_by_one(addr: &str, flags: &BenchFlags) -> Result<(), CallError> {
    let node = Node::connect(addr, CALL_DEADLINE).await?;
    let kinds = [OrderKind::Buy { partial: false }, OrderKind::Sell];
    let mut orders = GOODS.iter().cycle().zip(kinds.iter().cycle());
    let began = Instant::now();
    while began.elapsed() < flags.duration {
        let Some((good, kind)) = orders.next() else { break };
        node.place(good, Quantity(1), *kind).await?;
    }
    Ok(())
}
