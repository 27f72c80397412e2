//! The proxies of `up --proxied`: nodes reach each other through them, so that links can be cut.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::ops::children::Child;
use crate::ops::output::Failure;
use crate::ops::rig::links::{Cut, Links, proxy};
use crate::ops::rig::ports::free_addrs;
use crate::types::PeerId;

/// See the module's text.
pub(super) struct Proxies {
    links: Arc<Links>,
    /// Where others find each node; whether its proxy was begun.
    at: BTreeMap<PeerId, (SocketAddr, bool)>,
}

impl Proxies {
    /// # Errors
    /// There are not so many free ports.
    pub(super) fn new(nodes: impl Iterator<Item = PeerId>) -> Result<Proxies, Failure> {
        let nodes: Vec<PeerId> = nodes.collect();
        let addrs = free_addrs(nodes.len())?;
        let at = nodes.into_iter().zip(addrs.into_iter().map(|addr| (addr, false))).collect();
        Ok(Proxies { links: Links::new(Duration::ZERO), at })
    }

    /// Where others find the nodes.
    pub(super) fn addrs(&self) -> BTreeMap<PeerId, String> {
        self.at.iter().map(|(node, (addr, _))| (*node, addr.to_string())).collect()
    }

    /// A node was started; what it dials is its own from now on.
    pub(super) fn is_up(&self, node: PeerId, pid: u32) {
        self.links.is_up(node, pid);
    }

    /// A node has ended.
    pub(super) fn is_down(&self, node: PeerId) {
        self.links.is_down(node);
    }

    /// A node serves.
    pub(super) fn serves(&mut self, node: PeerId, child: &Child) {
        let Ok(target) = child.addr.parse() else { return };
        let Some((at, begun)) = self.at.get_mut(&node) else { return };
        if !std::mem::replace(begun, true) {
            proxy(Arc::clone(&self.links), node, *at, target);
        }
    }

    /// The link between two carries nothing, or carries again.
    pub(super) fn cut(&self, one: PeerId, other: PeerId, cut: bool) {
        match cut {
            true => self.links.cut(&[(one, other)], Cut::Silent),
            false => self.links.heal(&[(one, other)]),
        }
    }
}
