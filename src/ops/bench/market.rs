//! `bench market`: a whole market of real processes: warehouse, two traders, and peers that buy and sell as fast as
//! their session windows let.

use std::time::Duration;

use super::Place;
use super::figures::Run;
use super::nodes::{self, Ended, Nodes, report, unanswered};
use crate::cli::BenchFlags;
use crate::limits::{CALL_DEADLINE, PROGRESS_MAX, START_MAX};
use crate::model::report::Report;
use crate::ops::children::Child;
use crate::ops::histogram::{add_histogram, latencies};
use crate::ops::output::{Failure, exit};
use crate::ops::retry;
use crate::types::{PeerId, Role};
use crate::wire::client::Node;

/// How often a state that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Buyers and sellers go as fast as they can, and sellers deposit as much as buyers buy.
const SHOPPING: [&str; 8] =
    ["--interval", "0ms", "--deposit-every", "0ms", "--quantity", "1-3", "--deposit", "1-3"];

/// A market with both offices held, by peers that do nothing else.
pub(super) struct Market {
    pub warehouse: Nodes,
    pub addr: String,
    pub traders: Nodes,
}

impl Market {
    /// Starts it; the traders are the two ids above `shoppers`.
    pub(crate) async fn start(place: &Place, shoppers: u32) -> Result<Market, Failure> {
        let (warehouse, addr) = nodes::start_warehouse(place)?;
        let mut market = Market { warehouse, addr, traders: Nodes::default() };
        for id in [shoppers + 2, shoppers + 1] {
            let join = market.traders.addrs();
            let trader = nodes::start_peer(place, &market.addr, PeerId(id), Role::Idle, &join, &[])?;
            market.traders.add(trader.ready()?);
        }
        until("both offices are held", START_MAX, async || Ok(report(&market.addr).await?.roster.paired))
            .await?;
        Ok(market)
    }

    /// Ends traders, then the warehouse. The figures of all, the warehouse first.
    pub(crate) async fn end(self) -> Result<Vec<Ended>, Failure> {
        let traders = self.traders.end().await?;
        let mut ended = self.warehouse.end().await?;
        ended.extend(traders);
        Ok(ended)
    }
}

/// Looks until it is so; fails if that takes longer than `limit`.
pub(super) async fn until(
    what: &str,
    limit: Duration,
    so: impl AsyncFn() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    match retry::until(LOOK_EVERY, limit, so).await? {
        true => Ok(()),
        false => Err(Failure::new(exit::UNDETERMINED, format!("not within {limit:?}: {what}"))),
    }
}

/// Measures; all nodes are stopped when this returns.
pub(super) async fn run(place: &Place, flags: &BenchFlags) -> Result<Run, Failure> {
    let clients = flags.clients.max(2);
    let market = Market::start(place, clients).await?;
    let shoppers = start_shoppers(place, &market, clients)?;
    tokio::time::sleep(flags.duration).await;
    quiesce(&shoppers).await?;
    let shoppers = shoppers.end().await?;
    let mut run = shopped(&shoppers)?;
    let mut ended = market.end().await?;
    ended.extend(shoppers);
    add_costs(&mut run, ended);
    Ok(run)
}

/// Pairs of ids take turns to buy and to sell, so that both traders, one for even and one for odd ids, serve both; a
/// last pair that would be left over is split.
fn sells(id: u32, clients: u32) -> bool {
    let left_over = clients % 4 == 2 && id == clients;
    left_over || id.div_ceil(2).is_multiple_of(2)
}

pub(super) fn start_shoppers(place: &Place, market: &Market, clients: u32) -> Result<Nodes, Failure> {
    let join = market.traders.addrs();
    let role = |id: u32| if sells(id, clients) { Role::Seller } else { Role::Buyer };
    let start = |id: u32| nodes::start_peer(place, &market.addr, PeerId(id), role(id), &join, &SHOPPING);
    let starting = (1..=clients).map(start).collect::<Result<Vec<_>, Failure>>()?;
    let mut shoppers = Nodes::default();
    for peer in starting {
        let child: Child = peer.ready()?;
        shoppers.add(child);
    }
    Ok(shoppers)
}

/// No more orders, and an outcome for each that was placed.
pub(super) async fn quiesce(shoppers: &Nodes) -> Result<(), Failure> {
    for addr in shoppers.addrs() {
        let asked = async { Node::connect(&addr, CALL_DEADLINE).await?.quiesce().await };
        asked.await.map_err(|error| unanswered(&error))?;
    }
    for addr in shoppers.addrs() {
        let what = format!("the peer at {addr} has all its outcomes");
        until(&what, PROGRESS_MAX, async || Ok(report(&addr).await?.shopping.open == 0)).await?;
    }
    Ok(())
}

/// Orders, outcomes and latencies as the peers counted them.
pub(super) fn shopped(shoppers: &[Ended]) -> Result<Run, Failure> {
    let reports = || shoppers.iter().map(|peer| &peer.report.shopping);
    let first = reports().map(|it| it.first_at).filter(|at| *at > 0).min().unwrap_or_default();
    let last = reports().map(|it| it.last_at).max().unwrap_or_default();
    let mut latency_us = latencies();
    for shopping in reports() {
        if !add_histogram(&mut latency_us, &shopping.latency_us) {
            return Err(Failure::new(exit::FAILURE, "a peer reported no latencies"));
        }
    }
    Ok(Run {
        orders: reports().map(|it| it.answered).sum(),
        elapsed_s: last.saturating_sub(first) as f64 / 1e6,
        latency_us,
        syncs: 0,
        bytes: 0,
        outcomes: [
            reports().map(|it| it.bought).sum(),
            reports().map(|it| it.deposits).sum(),
            reports().map(|it| it.sold_out + it.refused).sum(),
        ],
        processes: Vec::new(),
    })
}

/// What the nodes spent since they were started; starting is little beside the run.
pub(super) fn add_costs(run: &mut Run, ended: Vec<Ended>) {
    for Ended { report: Report { syncs, bytes_written, .. }, process } in ended {
        run.syncs += syncs;
        run.bytes += bytes_written;
        run.processes.push(process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_them_sell_and_no_trader_serves_one_kind_alone() {
        for clients in [2, 4, 6, 8, 64] {
            let sellers: Vec<u32> = (1..=clients).filter(|id| sells(*id, clients)).collect();
            assert_eq!(sellers.len() as u32, clients / 2, "{clients}");
            assert!(
                clients < 4 || sellers.iter().any(|id| id % 2 == 0) && sellers.iter().any(|id| id % 2 == 1)
            );
        }
    }
}
