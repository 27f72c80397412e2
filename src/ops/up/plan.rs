//! Who is in the market, and the command line of each node.

use std::collections::BTreeMap;

use super::place::Place;
use crate::cli::{Shape, UpArgs};
use crate::config::{self, PeerPlan};
use crate::journal::NodeDir;
use crate::ops::output::Failure;
use crate::types::{PeerId, Role};

/// The peers of this run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By ascending id.
    pub peers: Vec<PeerPlan>,
    seed: u64,
}

impl Plan {
    /// Reads the configuration, or lays a ring.
    pub fn new(args: &UpArgs) -> Result<Plan, Failure> {
        // The stock is read by the warehouse; what is wrong with it is said before anything starts.
        config::stock(&args.market.config_dir)?;
        let market = match args.shape() {
            Shape::Configured { nodes } => config::market(&args.market.config_dir, nodes)?,
            Shape::Ring { buyers, sellers } => config::ring(buyers, sellers),
        };
        Ok(Plan { peers: market.peers, seed: args.shopper.seed.unwrap_or_else(|| fastrand::u64(..)) })
    }

    /// The peers with this role.
    pub fn with_role(&self, role: Role) -> Vec<PeerId> {
        self.peers.iter().filter(|peer| peer.role == role).map(|peer| peer.id).collect()
    }

    /// Where the peers listen; empty if ports are to be free ones.
    pub fn addrs(&self, base_port: u16) -> BTreeMap<PeerId, String> {
        if base_port == 0 {
            return BTreeMap::new();
        }
        let addr = |peer: &PeerPlan| (peer.id, format!("127.0.0.1:{}", u32::from(base_port) + peer.id.0));
        self.peers.iter().map(addr).collect()
    }

    /// The warehouse's command line.
    pub fn warehouse_args(&self, args: &UpArgs, place: &Place) -> Vec<String> {
        let mut line = vec!["warehouse".to_owned()];
        push(&mut line, "--data-dir", place.node("warehouse").display());
        push(&mut line, "--listen", format_args!("127.0.0.1:{}", args.base_port));
        push(&mut line, "--config-dir", args.market.config_dir.display());
        push(&mut line, "--commission-percent", args.market.commission_percent);
        self.common(args, &mut line);
        line
    }

    /// A peer's command line. Neighbours without a known address dial us.
    pub fn peer_args(
        &self,
        args: &UpArgs,
        place: &Place,
        id: PeerId,
        warehouse: &str,
        addrs: &BTreeMap<PeerId, String>,
    ) -> Vec<String> {
        let Some(peer) = self.peers.iter().find(|peer| peer.id == id) else { return Vec::new() };
        let listen = addrs.get(&id).cloned().unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let mut line = vec!["peer".to_owned()];
        push(&mut line, "--id", id);
        push(&mut line, "--role", peer.role);
        push(&mut line, "--data-dir", place.node(&format!("peer-{id}")).display());
        push(&mut line, "--listen", listen);
        push(&mut line, "--warehouse", warehouse);
        // A store of another market is refused before it trades in this one.
        if let Some(json) = NodeDir::new(&place.node("warehouse")).read_node_json() {
            push(&mut line, "--cluster", json.cluster);
        }
        for neighbour in &peer.neighbours {
            if let Some(addr) = addrs.get(neighbour) {
                push(&mut line, "--neighbour", format_args!("{neighbour}={addr}"));
            }
        }
        self.shopping(args, &mut line);
        self.common(args, &mut line);
        line
    }

    fn shopping(&self, args: &UpArgs, line: &mut Vec<String>) {
        let shopper = &args.shopper;
        if let Some(requests) = shopper.requests {
            push(line, "--requests", requests);
        }
        push(line, "--interval", millis(shopper.interval));
        push(line, "--deposit-every", millis(shopper.deposit_every));
        push(line, "--deposit", format_args!("{}-{}", shopper.deposit.min, shopper.deposit.max));
        push(line, "--quantity", format_args!("{}-{}", shopper.quantity.min, shopper.quantity.max));
        push(line, "--seed", self.seed);
        if shopper.partial {
            line.push("--partial".to_owned());
        }
        push(line, "--queue-max", shopper.queue_max);
        if shopper.no_preempt {
            line.push("--no-preempt".to_owned());
        }
    }

    fn common(&self, args: &UpArgs, line: &mut Vec<String>) {
        push(line, "--heartbeat", millis(args.timers.heartbeat));
        push(line, "--suspect-after", millis(args.timers.suspect_after));
    }

    /// The same command line at the address of an earlier process: others know it there.
    pub fn with_listen(&self, mut line: Vec<String>, addr: &str) -> Vec<String> {
        if let Some(at) = line.iter().position(|word| word == "--listen") {
            addr.clone_into(&mut line[at + 1]);
        }
        line
    }
}

fn push(line: &mut Vec<String>, flag: &str, value: impl std::fmt::Display) {
    line.extend([flag.to_owned(), value.to_string()]);
}

fn millis(time: std::time::Duration) -> String {
    format!("{}ms", time.as_millis())
}
