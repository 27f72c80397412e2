//! Which peers are in the market.

use std::collections::BTreeMap;

use crate::cli::{Shape, UpArgs};
use crate::config::{self, PeerPlan};
use crate::ops::output::Failure;
use crate::types::{PeerId, Role};

/// The peers of this run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// By ascending id.
    pub(super) peers: Vec<PeerPlan>,
    /// Seed of all shoppers.
    pub(super) seed: u64,
}

impl Plan {
    /// Reads the configuration, or lays a ring. The market's last run had so many peers.
    pub(super) fn new(args: &UpArgs, before: u32) -> Result<Plan, Failure> {
        // The stock is read by the warehouse; what is wrong with it is said before anything starts.
        config::stock(&args.market.config_dir)?;
        let market = match args.shape(before) {
            Shape::Configured { nodes } => config::market(&args.market.config_dir, nodes)?,
            Shape::Ring { buyers, sellers } => config::ring(buyers, sellers),
        };
        Ok(Plan { peers: market.peers, seed: args.shopper.seed.unwrap_or_else(|| fastrand::u64(..)) })
    }

    /// What one peer is to be.
    pub(super) fn peer(&self, id: PeerId) -> Option<&PeerPlan> {
        self.peers.iter().find(|peer| peer.id == id)
    }

    /// The peers with this role.
    pub(super) fn with_role(&self, role: Role) -> Vec<PeerId> {
        self.peers.iter().filter(|peer| peer.role == role).map(|peer| peer.id).collect()
    }

    /// Where the peers listen; empty if ports are to be free ones.
    pub(super) fn addrs(&self, base_port: u16) -> BTreeMap<PeerId, String> {
        if base_port == 0 {
            return BTreeMap::new();
        }
        let addr = |peer: &PeerPlan| (peer.id, format!("127.0.0.1:{}", u32::from(base_port) + peer.id.0));
        self.peers.iter().map(addr).collect()
    }
}
