//! `bazaar join`: a peer that nobody knows yet joins at any living node, which says where the warehouse is and which
//! market this is.
//!
//! In: the address of a node. Out: the peer, running in the foreground like `bazaar peer`. Refused before anything is
//! written: 3 the node does not answer; 4 a peer of this id is alive; 7 the market is not the one that was meant, or the
//! directory is another's.

use super::market;
use super::nodes;
use super::output::{Failure, exit};
use crate::cli::{Global, JoinArgs};

/// Runs one more peer until it is told to stop.
///
/// # Errors
/// See the module's text.
pub fn run(args: &JoinArgs, global: &Global) -> Result<u8, Failure> {
    nodes::prepare(&args.peer.node, &args.peer.data_dir(), global)?;
    let mut peer = args.peer.clone();
    peer.join.insert(0, args.at.clone());
    let way_in = market::way_in(&peer, global.timeout, global.timeout)?;
    way_in.map_or(Ok(exit::DONE), |way_in| nodes::run_peer(&peer, way_in))
}
