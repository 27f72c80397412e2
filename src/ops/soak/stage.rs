//! The nodes of a soak, what is done to them, and what its page is told of that.

use std::sync::Arc;

use crate::ops::output::Failure;
use crate::ops::page::{Life, Shown};
use crate::ops::rig::cluster::{Cluster, Node};
use crate::ops::rig::links::Cut;
use crate::types::PeerId;

/// See the module's text. Clones are of one stage.
#[derive(Clone)]
pub(super) struct Stage {
    pub cluster: Arc<Cluster>,
    pub shown: Shown,
}

impl Stage {
    /// Starts all nodes.
    pub(super) fn start(&self) -> Result<(), Failure> {
        self.cluster.start()?;
        self.cluster.nodes().for_each(|node| self.lives(node));
        Ok(())
    }

    fn lives(&self, node: &Node) {
        let Some(pid) = node.pid() else { return };
        let role = if node.id == PeerId::WAREHOUSE { "warehouse" } else { "peer" };
        let (addr, role, dir) = (node.addr(), role.to_owned(), node.dir.clone());
        self.shown.lives_now(node.id, Life { addr, pid, role, dir, ..Life::default() });
    }

    /// Starts a node that is not running, and waits until it serves.
    pub(super) fn start_node(&self, id: PeerId) -> Result<(), Failure> {
        self.cluster.start_node(id)?;
        self.cluster.node(id).into_iter().for_each(|node| self.lives(node));
        Ok(())
    }

    /// SIGKILL.
    pub(super) fn kill(&self, id: PeerId) {
        self.cluster.kill(id);
        self.shown.died(id, "killed by SIGKILL".to_owned());
    }

    /// It stands still, or goes on.
    pub(super) fn pause(&self, id: PeerId, paused: bool) {
        let act = if paused { Node::pause } else { Node::go_on };
        self.cluster.node(id).into_iter().for_each(act);
        self.shown.paused(id, paused);
    }

    /// Links carry nothing any more.
    pub(super) fn cut(&self, pairs: &[(PeerId, PeerId)], how: Cut) {
        self.cluster.links.cut(pairs, how);
        pairs.iter().for_each(|(one, other)| self.shown.cut(*one, *other, true));
    }

    /// They carry again.
    pub(super) fn heal(&self, pairs: &[(PeerId, PeerId)]) {
        self.cluster.links.heal(pairs);
        pairs.iter().for_each(|(one, other)| self.shown.cut(*one, *other, false));
    }
}
