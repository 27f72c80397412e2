//! The command line of each node.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use super::dir::MarketDir;
use super::plan::Plan;
use crate::cli::UpArgs;
use crate::config::PeerPlan;
use crate::journal::NodeDir;
use crate::ops::children;
use crate::types::PeerId;

/// What all command lines of a run are made from.
pub(super) struct Commands<'a> {
    pub(super) args: &'a UpArgs,
    pub(super) plan: &'a Plan,
    pub(super) dir: &'a MarketDir,
    /// Where others find the nodes, if not where they listen.
    pub(super) found: BTreeMap<PeerId, String>,
}

impl Commands<'_> {
    /// The warehouse's command line.
    pub(super) fn warehouse(&self, listen: &str) -> Vec<OsString> {
        let args = self.args;
        let mut line = vec!["warehouse".into()];
        children::push(&mut line, "--data-dir", self.dir.node(PeerId::WAREHOUSE));
        push(&mut line, "--listen", listen);
        children::push(&mut line, "--config-dir", &args.market.config_dir);
        push(&mut line, "--commission-percent", args.market.commission_percent);
        if let Some(mode) = args.market.consistency {
            push(&mut line, "--consistency", mode.name());
        }
        self.advertised(&mut line, PeerId::WAREHOUSE);
        self.running(&mut line);
        line
    }

    fn advertised(&self, line: &mut Vec<OsString>, node: PeerId) {
        self.found.get(&node).iter().for_each(|at| push(line, "--advertise", at));
    }

    /// A peer's command line, at its address in `addrs` or at any free port. Of neighbours that have no address yet the
    /// membership tells.
    pub(super) fn peer(
        &self,
        peer: &PeerPlan,
        warehouse: &str,
        addrs: &BTreeMap<PeerId, String>,
    ) -> Vec<OsString> {
        let id = peer.id;
        let listen = addrs.get(&id).cloned().unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let mut line = vec!["peer".into()];
        push(&mut line, "--id", id);
        push(&mut line, "--role", peer.role);
        children::push(&mut line, "--data-dir", self.dir.node(id));
        push(&mut line, "--listen", listen);
        self.advertised(&mut line, id);
        push(&mut line, "--warehouse", self.found.get(&PeerId::WAREHOUSE).map_or(warehouse, String::as_str));
        // A store of another market is refused before it trades in this one.
        if let Some(json) = NodeDir::new(&self.dir.node(PeerId::WAREHOUSE)).read_node_json() {
            push(&mut line, "--cluster", json.cluster);
        }
        for neighbour in &peer.neighbours {
            match self.found.get(neighbour).or(addrs.get(neighbour)) {
                Some(addr) => push(&mut line, "--neighbour", format_args!("{neighbour}={addr}")),
                None => push(&mut line, "--neighbour", neighbour),
            }
        }
        self.shopping(&mut line);
        self.running(&mut line);
        line
    }

    fn shopping(&self, line: &mut Vec<OsString>) {
        let shopper = &self.args.shopper;
        if let Some(requests) = shopper.requests {
            push(line, "--requests", requests);
        }
        push(line, "--interval", millis(shopper.interval));
        push(line, "--deposit-every", millis(shopper.deposit_every));
        push(line, "--deposit", format_args!("{}-{}", shopper.deposit.min, shopper.deposit.max));
        push(line, "--quantity", format_args!("{}-{}", shopper.quantity.min, shopper.quantity.max));
        push(line, "--seed", self.plan.seed);
        push(line, "--keep", millis(self.args.keep.keep));
        push(line, "--keep-max", self.args.keep.keep_max);
        if shopper.partial {
            line.push("--partial".into());
        }
        push(line, "--queue-max", shopper.queue_max);
        if shopper.no_preempt {
            line.push("--no-preempt".into());
        }
    }

    /// What every node is told.
    fn running(&self, line: &mut Vec<OsString>) {
        let (timers, log) = (&self.args.timers, &self.args.log);
        push(line, "--heartbeat", millis(timers.heartbeat));
        push(line, "--suspect-after", millis(timers.suspect_after));
        if self.args.trace_events > 0 {
            push(line, "--trace-events", self.args.trace_events);
        }
        push(line, "--log-size", log.log_size);
        push(line, "--log-files", log.log_files);
    }
}

fn push(line: &mut Vec<OsString>, flag: &str, value: impl std::fmt::Display) {
    children::push(line, flag, value.to_string());
}

fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}
