//! The lines that `up` prints while the market trades.

use std::fmt::Write as _;

use super::fleet::Fleet;
use super::plan::Plan;
use crate::journal::NodeDir;
use crate::model::row::{Outcome, OutcomeKind, Share};
use crate::ops::children::Child;
use crate::ops::output::Paint;
use crate::types::{Money, Order, PeerId};

/// The nodes and where they listen.
pub(super) fn header(fleet: &Fleet<'_>) -> String {
    let cluster = NodeDir::new(&fleet.warehouse().dir).read_node_json().map(|json| json.cluster);
    let mut text = format!("  cluster {}  data {}\n", cluster.unwrap_or_default(), fleet.dir().name());
    let mut line = |name: String, child: &Child| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<14} {:<21} pid {}", child.addr, child.pid());
    };
    line("warehouse".to_owned(), fleet.warehouse());
    fleet.planned().for_each(|(peer, child)| line(format!("{} {}", peer.role, peer.id), child));
    if let Some((_, highest)) = fleet.planned().last() {
        let _ = writeln!(text, "  try:  kill -9 {}", highest.pid());
    }
    text
}

/// One order's line. Each node has a colour of its own, and yellow is what was not done.
pub(super) fn told(
    plan: &Plan,
    goods: &[(String, Money)],
    order: &Order,
    outcome: &Outcome,
    color: bool,
) -> String {
    let peer = order.id.peer;
    let role = plan.peer(peer).map_or("peer", |it| it.role.name());
    let good = goods.get(order.product.0 as usize).map_or("?", |(name, _)| name);
    let names: Vec<String> = outcome.shares.iter().map(seller).collect();
    let what = match outcome.kind {
        OutcomeKind::Bought | OutcomeKind::PartlyBought => {
            format!("bought {} {good} from {}", outcome.filled, names.join(" and "))
        }
        OutcomeKind::Deposited => format!("deposited {} {good}", outcome.filled),
        OutcomeKind::SoldOut => {
            format!("sold out: {} {good} wanted, {} left", order.quantity, outcome.stock_after)
        }
        kind => format!("{} {good}: {}", kind.name(), outcome.reason.map_or("", |reason| reason.name())),
    };
    let done =
        matches!(outcome.kind, OutcomeKind::Bought | OutcomeKind::PartlyBought | OutcomeKind::Deposited);
    let what = if done { what } else { Paint::Yellow.on(&what, color) };
    let name = Paint::Node(peer.0).on(&format!("{role:<7} {peer:<3}"), color);
    let trader = Paint::Node(outcome.trader.0).on(&format!("trader {}", outcome.trader), color);
    format!("{name} {what} via {trader}")
}

/// Peer 0 is the warehouse's own stock.
fn seller(share: &Share) -> String {
    if share.peer == PeerId::WAREHOUSE {
        "the warehouse".to_owned()
    } else {
        format!("seller {}", share.peer)
    }
}
