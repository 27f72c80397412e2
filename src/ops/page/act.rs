//! What the page asks for: `up` does to its children what only their parent can, nodes are asked for the rest.

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Hub, node_of};
use crate::limits::PAGE_ACT_MAX;
use crate::ops::market::node_id;
use crate::types::{OrderKind, PeerId, Quantity, node_name};

/// What `up` does to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Kill,
    Pause,
    Resume,
    Restart,
    /// The link to another node carries nothing any more, or carries again.
    Cut(PeerId, bool),
}

/// An act on a child, and who waits for what became of it.
pub(crate) struct Asked {
    pub(crate) act: Act,
    pub(crate) node: PeerId,
    pub(crate) reply: oneshot::Sender<Result<String, Refused>>,
}

/// All acts, as the page names them,
pub(super) const ACTS: [&str; 6] = ["kill", "pause", "resume", "restart", "resign", "order"];
/// and those that need proxies between the nodes.
pub(super) const LINK_ACTS: [&str; 2] = ["cut", "heal"];

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// 400 what was asked makes no sense, 409 not now.
    pub(crate) status: u16,
    pub(crate) what: String,
    pub(crate) hint: &'static str,
}

impl Refused {
    /// It makes sense, and cannot be done now.
    pub(crate) fn now(what: String, hint: &'static str) -> Refused {
        Refused { status: 409, what, hint }
    }

    fn odd(what: String) -> Refused {
        Refused { status: 400, what, hint: "reload the page" }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "error": { "what": self.what, "why": null, "hint": self.hint } })
    }
}

#[derive(Debug, Deserialize)]
struct Body {
    act: String,
    node: String,
    #[serde(default)]
    other: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    product: String,
    #[serde(default)]
    quantity: u64,
}

/// Does what a body asks for. Gives a line that says what was done.
pub(super) async fn act(hub: &Hub, body: &[u8]) -> Result<String, Refused> {
    let body: Body =
        serde_json::from_slice(body).map_err(|error| Refused::odd(format!("no act is named: {error}")))?;
    let node = node_id(&body.node).ok_or_else(|| Refused::odd(format!("{} is no node", body.node)))?;
    let doing = async {
        match body.act.as_str() {
            "kill" => child(hub, Act::Kill, node).await,
            "pause" => child(hub, Act::Pause, node).await,
            "resume" => child(hub, Act::Resume, node).await,
            "restart" => child(hub, Act::Restart, node).await,
            "cut" | "heal" => {
                let other = node_id(&body.other);
                let other = other.ok_or_else(|| Refused::odd(format!("{} is no node", body.other)))?;
                child(hub, Act::Cut(other, body.act == "cut"), node).await
            }
            "resign" => resign(hub, node).await,
            "order" => order(hub, node, &body).await,
            other => Err(Refused::odd(format!("there is no act {other}"))),
        }
    };
    match tokio::time::timeout(PAGE_ACT_MAX, doing).await {
        Ok(done) => done,
        Err(_) => Err(Refused::now(
            format!("{} {} has not come about within {PAGE_ACT_MAX:?}", body.act, body.node),
            "look at the node: it may come about yet",
        )),
    }
}

async fn child(hub: &Hub, act: Act, node: PeerId) -> Result<String, Refused> {
    let ending = || Refused::now("the market is ending".to_owned(), "start it again with bazaar up");
    let acts = hub.acts.as_ref().ok_or_else(ending)?;
    let (reply, done) = oneshot::channel();
    acts.send(Asked { act, node, reply }).await.map_err(|_| ending())?;
    done.await.map_err(|_| ending())?
}

async fn connected(hub: &Hub, node: PeerId) -> Result<crate::wire::client::Node, Refused> {
    let silent = |why: String| {
        Refused::now(format!("{} does not answer: {why}", node_name(node)), "restart it, or let it go on")
    };
    let reports = hub.reports(hub.timeout).await;
    let report = reports.answered.get(&node).ok_or_else(|| {
        silent(reports.silent.get(&node).cloned().unwrap_or_else(|| "it is not running".to_owned()))
    })?;
    node_of(report, PAGE_ACT_MAX).await.map_err(silent)
}

async fn resign(hub: &Hub, node: PeerId) -> Result<String, Refused> {
    let resigned = connected(hub, node).await?.resign_by_hand(PeerId(0)).await;
    let hint = "the two traders hold offices: choose one of them";
    match resigned {
        Ok(Some((office, term))) => {
            Ok(format!("{} has given up the {} office (term {term})", node_name(node), office.name()))
        }
        Ok(None) => Err(Refused::now(format!("{} holds no office", node_name(node)), hint)),
        Err(error) => Err(Refused::now(format!("{} did not resign: {error}", node_name(node)), hint)),
    }
}

async fn order(hub: &Hub, node: PeerId, body: &Body) -> Result<String, Refused> {
    let kind = match body.kind.as_str() {
        "buy" => OrderKind::Buy { partial: false },
        "deposit" | "sell" => OrderKind::Sell,
        other => return Err(Refused::odd(format!("an order is to buy or to deposit, not to {other}"))),
    };
    let placed = connected(hub, node).await?.place(&body.product, Quantity(body.quantity), kind).await;
    match placed {
        Ok(outcome) => Ok(format!(
            "order {} of {}: {}, {} {}",
            outcome.id,
            node_name(node),
            outcome.kind.name(),
            outcome.filled,
            body.product
        )),
        Err(error) => Err(Refused::now(
            format!("the order was not taken: {error}"),
            "choose a peer out of office and a good of the list",
        )),
    }
}
