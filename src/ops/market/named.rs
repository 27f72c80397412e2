//! The peer that a person named: by its id, or by its address.

use std::time::Duration;

use super::{Reports, everybody, report, unreachable};
use crate::cli::PeerFlags;
use crate::model::report::Report;
use crate::ops::output::{Failure, exit};
use crate::types::PeerId;

/// What was found of the peer that was named.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    /// It answers.
    Running(Box<Report>),
    /// It has left the market.
    Left(PeerId),
}

/// The node at the address that was typed, or the peer of the id that was.
///
/// # Errors
/// None was named, there is none of this id, or it does not answer.
pub(crate) async fn named_peer(flags: &PeerFlags, timeout: Duration) -> Result<Named, Failure> {
    let Some(peer) = flags.peer else {
        let Some(addr) = flags.market.connect.as_ref().map(|addr| addr.to_string()) else {
            return Err(Failure::new(exit::USAGE, "which peer?")
                .hint("name it with --peer N, or its address with --connect ADDR"));
        };
        // The address that was typed is one that we can reach; the one that it tells others may not be.
        let found = report(&addr, timeout).await.map(|report| Report { addr: addr.clone(), ..report });
        return found.map(Box::new).map(Named::Running).map_err(|error| unreachable(&addr, &error));
    };
    match everybody(&flags.market, timeout).await?.of(peer) {
        Ok(report) => Ok(Named::Running(Box::new(report))),
        Err(reports) if reports.left.contains(&peer) => Ok(Named::Left(peer)),
        Err(reports) => Err(absent(peer, &reports)),
    }
}

fn absent(peer: PeerId, reports: &Reports) -> Failure {
    let nobody = reports.silent.values().chain(&reports.nobody).next();
    match (reports.silent.get(&peer), nobody) {
        (Some(why), _) => Failure::new(exit::UNREACHABLE, format!("peer {peer} does not answer: {why}"))
            .hint("a dead peer has nothing to give up; start it again first"),
        (None, Some(why)) if reports.answered.is_empty() => {
            Failure::new(exit::UNREACHABLE, format!("no node of the market answers: {why}"))
                .hint("name a running node with --connect ADDR")
        }
        _ => Failure::new(exit::USAGE, format!("--peer {peer}: there is no peer {peer} in this market"))
            .hint("see who is there with bazaar status"),
    }
}
