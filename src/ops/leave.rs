//! `bazaar leave`: a peer goes for good. It finishes its own orders, gives up its office, hands over what it holds, tells
//! the others, and ends; this command returns when its process is gone.
//!
//! In: which peer. Out: one line or one JSON object with what the peer did. Exit codes: 0; 2 no peer was named, or none that
//! there is; 3 it cannot be reached, nothing was changed; 4 it is the warehouse, or going already; 6 orders stay in its store, or it is
//! not known what came of it.

use std::io::Write as _;

use serde_json::json;

use super::market::{self, Named};
use super::output::{Failure, exit, json_line};
use super::progress::Progress;
use super::runtime::runtime;
use crate::cli::{Global, LeaveArgs};
use crate::limits::LEAVE_MAX;
use crate::model::call::{CallError, Cause, Farewell};
use crate::model::report::Report;
use crate::types::PeerId;
use crate::wire::client::Node;

/// What came of it.
enum Done {
    Left(Farewell),
    Before(PeerId),
}

/// Lets a peer leave.
///
/// # Errors
/// See the module's text.
pub fn run(args: &LeaveArgs, global: &Global) -> Result<u8, Failure> {
    let part = Progress::new(global).part("waiting for the peer to end", "", None);
    let done = runtime()?.block_on(part.wait(leave(args, global), LEAVE_MAX));
    // Its line goes before another one stands there.
    drop(part);
    let done = done?;
    let text = if global.json { json_line(done.json()) } else { done.line() };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::writing)?;
    Ok(done.exit())
}

async fn leave(args: &LeaveArgs, global: &Global) -> Result<Done, Failure> {
    let report = match market::named_peer(&args.of, global.timeout).await? {
        Named::Running(report) => report,
        Named::Left(peer) => return Ok(Done::Before(peer)),
    };
    if report.peer == PeerId::WAREHOUSE {
        return Err(Failure::new(
            exit::NO,
            format!("{} is the warehouse, which never leaves its market", report.addr),
        )
        .hint("stop it with SIGTERM, or name a peer: bazaar leave --peer N"));
    }
    say_goodbye(&report, global).await.map(Done::Left)
}

/// Asks it to go, and waits for the end of its process: its stream of events ends with it.
async fn say_goodbye(report: &Report, global: &Global) -> Result<Farewell, Failure> {
    let (addr, peer) = (&report.addr, report.peer);
    let node =
        Node::connect(addr, global.timeout).await.map_err(|error| market::unreachable(addr, &error))?;
    let mut events = node.events().await.map_err(|error| market::unreachable(addr, &error))?;
    let node = Node::connect(addr, LEAVE_MAX).await.map_err(|error| market::unreachable(addr, &error))?;
    let farewell = node.leave().await.map_err(|error| match error {
        CallError::Unreachable { .. } => market::unreachable(addr, &error),
        CallError::Refused { cause, text } if cause != Cause::Unavailable => {
            Failure::new(exit::NO, text).hint("see how it is with bazaar status")
        }
        error => {
            Failure::new(exit::UNDETERMINED, format!("it is not known whether peer {peer} left: {error}"))
                .hint("see with bazaar status; asking again is safe")
        }
    })?;
    let ended = tokio::time::timeout(LEAVE_MAX, async { while events.next().await.is_some() {} }).await;
    match ended {
        Ok(()) => Ok(farewell),
        Err(_) => Err(Failure::new(
            exit::UNDETERMINED,
            format!("peer {peer} has left, but its process (pid {}) does not end", report.pid),
        )
        .hint("its log says more")),
    }
}

impl Done {
    fn line(&self) -> String {
        match self {
            Done::Left(farewell) => line(farewell),
            Done::Before(peer) => format!("peer {peer} has left before"),
        }
    }

    fn json(&self) -> serde_json::Value {
        let farewell = match self {
            Done::Before(peer) => return json!({ "peer": peer.0, "left": "before" }),
            Done::Left(farewell) => farewell,
        };
        json!({
            "peer": farewell.peer.0,
            "left": "now",
            "office": farewell.office.map(|(office, _)| office.name()),
            "term": farewell.office.map(|(_, term)| term.0),
            "handed_over": farewell.handed_over,
            "open": farewell.open,
            "pending": farewell.pending,
            "told": farewell.told,
        })
    }

    /// Orders that stayed behind are nobody's until the peer comes back.
    fn exit(&self) -> u8 {
        match self {
            Done::Left(farewell) if farewell.open + farewell.pending > 0 => exit::UNDETERMINED,
            _ => exit::DONE,
        }
    }
}

/// `peer 4 has left: 3 orders handed over, office secondary given up`.
fn line(farewell: &Farewell) -> String {
    let Farewell { peer, office, handed_over, open, pending, told } = *farewell;
    let orders = |count: u64| if count == 1 { "1 order".to_owned() } else { format!("{count} orders") };
    let mut did = Vec::new();
    if handed_over > 0 {
        did.push(format!("{} handed over", orders(handed_over)));
    }
    if let Some((office, _)) = office {
        did.push(format!("office {office} given up"));
    }
    if open > 0 {
        did.push(format!("{} of its own without outcome in its store", orders(open)));
    }
    if pending > 0 {
        did.push(format!("{} of others in its store", orders(pending)));
    }
    if told == 0 {
        did.push("no other peer could be told".to_owned());
    }
    if did.is_empty() {
        format!("peer {peer} has left")
    } else {
        format!("peer {peer} has left: {}", did.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Office, Term};

    #[test]
    fn what_was_done_is_said() {
        let plain = Farewell { peer: PeerId(4), told: 2, ..Farewell::default() };
        assert_eq!(line(&plain), "peer 4 has left");
        let trader = Farewell { handed_over: 3, office: Some((Office::Secondary, Term(2))), ..plain };
        assert_eq!(line(&trader), "peer 4 has left: 3 orders handed over, office secondary given up");
        assert_eq!(Done::Left(trader).exit(), exit::DONE);
    }

    #[test]
    fn what_stays_behind_is_no_success() {
        let behind = Farewell { peer: PeerId(4), open: 1, ..Farewell::default() };
        let text =
            "peer 4 has left: 1 order of its own without outcome in its store, no other peer could be told";
        assert_eq!(line(&behind), text);
        assert_eq!(Done::Left(behind).exit(), exit::UNDETERMINED);
    }
}
