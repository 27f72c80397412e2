//! `bazaar resign`: a trader gives its office up by a person's word, and another takes over.
//!
//! In: which trader, and who is to follow it. Out: one line or one object, when the office is given up. What the trader
//! had accepted is settled by then.

use std::io::Write as _;

use serde_json::json;

use super::market::{self, Named};
use super::output::{Failure, exit, json_line};
use super::progress::Progress;
use super::runtime::runtime;
use crate::cli::{Global, ResignArgs};
use crate::limits::{CALL_DEADLINE, DRAIN_MAX};
use crate::types::PeerId;
use crate::wire::client::{CallError, Node};

/// Asks the trader, and waits until it is out of office.
///
/// # Errors
/// It is no trader, cannot be reached, or could not settle what it has in time.
pub fn run(args: &ResignArgs, global: &Global) -> Result<u8, Failure> {
    runtime()?.block_on(async {
        let report = match market::named_peer(&args.of, global.timeout).await? {
            Named::Running(report) => report,
            Named::Left(peer) => return Err(no_office(peer)),
        };
        let (peer, to) = (report.peer, args.to.unwrap_or_default());
        if args.to == Some(peer) {
            return Err(Failure::new(exit::USAGE, format!("--to {to}: peer {peer} cannot follow itself"))
                .hint("name another peer, or leave --to out"));
        }
        let limit = global.timeout.max(DRAIN_MAX + 2 * CALL_DEADLINE);
        let node = Node::connect(&report.addr, limit).await;
        let node = node.map_err(|error| market::unreachable(&report.addr, &error))?;
        let part = Progress::new(global).part("waiting for the trader to settle what it has", "", None);
        let resigned = part.wait(Box::pin(node.resign_by_hand(to)), limit).await;
        drop(part);
        let resigned = resigned.map_err(|error| not_resigned(peer, &error))?;
        let (office, term) = resigned.ok_or_else(|| no_office(peer))?;
        let line = match global.json {
            true => json_line(json!({ "peer": peer.0, "office": office.name(), "term": term.0 })),
            false => format!("peer {peer} has given up the {office} office (term {term})"),
        };
        writeln!(std::io::stdout(), "{line}").map_err(Failure::writing)?;
        Ok(exit::DONE)
    })
}

fn no_office(peer: PeerId) -> Failure {
    let who = if peer == PeerId::WAREHOUSE { "the warehouse".to_owned() } else { format!("peer {peer}") };
    Failure::new(exit::NO, format!("{who} holds no office")).hint("see who does with bazaar status")
}

fn not_resigned(peer: PeerId, error: &CallError) -> Failure {
    let code = match error {
        CallError::Unknown(_) => exit::UNDETERMINED,
        _ => exit::UNREACHABLE,
    };
    Failure::new(code, format!("peer {peer} has not resigned: {error}"))
        .hint("see who holds office with bazaar status")
}
