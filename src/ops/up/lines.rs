//! The lines that `up` prints while the market trades.

use std::fmt::Write as _;

use super::fleet::Fleet;
use super::plan::Plan;
use crate::journal::NodeDir;
use crate::model::row::{Outcome, OutcomeKind, Share};
use crate::model::tentative::Tentative;
use crate::ops::children::Child;
use crate::ops::output::Paint;
use crate::types::{Money, Order, PeerId};

/// The nodes and where they listen, and the page.
pub(super) fn header(fleet: &Fleet<'_>, page: Option<String>) -> String {
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
    if let Some(page) = page {
        let _ = writeln!(text, "  page: {page}");
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
    let good = good_of(goods, order);
    let names: Vec<String> = outcome.shares.iter().map(seller).collect();
    let what = match outcome.kind {
        OutcomeKind::Bought | OutcomeKind::PartlyBought => {
            format!("bought {} {good} from {}", outcome.filled, names.join(" and "))
        }
        OutcomeKind::Deposited => format!("deposited {} {good}", outcome.filled),
        OutcomeKind::SoldOut => {
            format!("sold out: {} {good} wanted, {} left", order.quantity, outcome.stock_after)
        }
        OutcomeKind::Reversed => {
            format!("taken back: {} {good} wanted, {} there", order.quantity, outcome.stock_after)
        }
        kind => format!("{} {good}: {}", kind.name(), outcome.reason.map_or("", |reason| reason.name())),
    };
    let done =
        matches!(outcome.kind, OutcomeKind::Bought | OutcomeKind::PartlyBought | OutcomeKind::Deposited);
    let what = if done { what } else { Paint::Yellow.on(&what, color) };
    let name = named(plan, order.id.peer, color);
    let trader = Paint::Node(outcome.trader.0).on(&format!("trader {}", outcome.trader), color);
    format!("{name} {what} via {trader}")
}

/// The same of an order that was answered from a trader's cache, and is settled later.
pub(super) fn told_early(
    plan: &Plan,
    goods: &[(String, Money)],
    order: &Order,
    answer: &Tentative,
    color: bool,
) -> String {
    let (good, filled) = (good_of(goods, order), answer.filled);
    let what = match answer.kind(order) {
        OutcomeKind::Deposited => format!("deposited {filled} {good}"),
        OutcomeKind::SoldOut => {
            Paint::Yellow.on(&format!("sold out: {} {good} wanted", order.quantity), color)
        }
        _ => format!("bought {filled} {good}"),
    };
    format!("{} {what}, says a cache", named(plan, order.id.peer, color))
}

fn named(plan: &Plan, peer: PeerId, color: bool) -> String {
    let role = plan.peer(peer).map_or("peer", |it| it.role.name());
    Paint::Node(peer.0).on(&format!("{role:<7} {peer:<3}"), color)
}

fn good_of<'a>(goods: &'a [(String, Money)], order: &Order) -> &'a str {
    goods.get(order.product.0 as usize).map_or("?", |(name, _)| name)
}

/// Peer 0 is the warehouse's own stock.
fn seller(share: &Share) -> String {
    if share.peer == PeerId::WAREHOUSE {
        "the warehouse".to_owned()
    } else {
        format!("seller {}", share.peer)
    }
}
