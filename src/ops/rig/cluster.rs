//! The market of a soak: a warehouse and peers, each its own process behind a proxy, killed and started at will.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::disk::SmallDisk;
use super::links::{Links, proxy};
use super::ports::free_addrs;
use crate::limits::{CLOSE_MAX, DRAIN_MAX, HAND_OVER_MAX};
use crate::ops::children::{self, Child, push};
use crate::ops::output::{Failure, exit};
use crate::types::{Consistency, PeerId, node_name};

/// Goods of a soak, and pieces of each at the start: so many that the stock lasts while sales and deposits even out.
const GOODS: [&str; 8] = ["boar", "fish", "salt", "hemp", "iron", "wool", "wine", "lead"];
const STOCK_EACH: u32 = 20_000;
/// Between traders, so that a node which stands still or is cut off is noticed within a slot of a soak's schedule.
const HEARTBEAT_MS: u64 = 500;
const SUSPECT_AFTER_MS: u64 = 1_000;
/// Of the traders' journals: a soak that lasts for days keeps no more of others' orders than this.
const KEEP: [&str; 2] = ["--keep", "10m"];

/// What kind of market.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct Shape {
    /// The warehouse apart.
    pub peers: u32,
    /// When traders answer; none: as the ledger is born.
    pub mode: Option<Consistency>,
    pub heartbeat_ms: u64,
    pub suspect_after_ms: u64,
    /// What goes to or comes from the warehouse takes so much longer, each way.
    pub far_ms: u64,
    /// Nodes reach each other through proxies, so that links can be cut or long. Proxies cost time: with 32 peers they
    /// would be what is measured.
    pub proxied: bool,
    /// Events that each node remembers of its messages.
    pub trace_events: u64,
}

impl Shape {
    pub(in crate::ops) fn new(peers: u32, mode: Option<Consistency>) -> Shape {
        let (heartbeat_ms, suspect_after_ms) = (HEARTBEAT_MS, SUSPECT_AFTER_MS);
        Shape { peers, mode, heartbeat_ms, suspect_after_ms, far_ms: 0, proxied: true, trace_events: 0 }
    }

    /// A market whose links are whole.
    pub(in crate::ops) fn direct(peers: u32) -> Shape {
        Shape { proxied: false, ..Shape::new(peers, None) }
    }
}

/// One node.
pub(in crate::ops) struct Node {
    pub id: PeerId,
    pub dir: PathBuf,
    /// Where it listens, and where others find it.
    target: SocketAddr,
    at: SocketAddr,
    child: Mutex<Option<Child>>,
    /// How long each start took, and when it was, in seconds after the begin.
    opened: Mutex<Vec<(f64, f64)>>,
}

fn locked<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Node {
    /// Its process, while it runs.
    pub(in crate::ops) fn pid(&self) -> Option<u32> {
        locked(&self.child).as_ref().map(Child::pid)
    }

    /// When it was started, and how many milliseconds passed until it served.
    pub(in crate::ops) fn opened(&self) -> Vec<(f64, f64)> {
        locked(&self.opened).clone()
    }

    /// Where it listens, whoever is cut off from it.
    pub(in crate::ops) fn addr(&self) -> String {
        self.target.to_string()
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid().and_then(|pid| Pid::from_raw(pid as i32)) {
            // Gone already: there is nothing to stop.
            let _ = kill_process(pid, signal);
        }
    }

    /// It stands still until it goes on.
    pub(in crate::ops) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(in crate::ops) fn go_on(&self) {
        self.signal(Signal::CONT);
    }
}

/// See the module's text.
pub(in crate::ops) struct Cluster {
    /// The market's directory.
    pub dir: PathBuf,
    config: PathBuf,
    shape: Shape,
    nodes: BTreeMap<PeerId, Node>,
    pub links: Arc<Links>,
    began: Instant,
    /// The disk of the node that has one of its own.
    pub disk: Option<SmallDisk>,
}

fn failed(what: &Path) -> impl Fn(std::io::Error) -> Failure + '_ {
    move |error| Failure::new(exit::FAILURE, format!("{}: {error}", what.display()))
}

impl Cluster {
    /// Makes the directories; nothing is started yet. `disk` becomes the one of the peer with that id.
    pub(in crate::ops) fn new(
        report: &Path,
        shape: Shape,
        disk: Option<(PeerId, SmallDisk)>,
    ) -> Result<Cluster, Failure> {
        let (dir, config) = (report.join("market"), report.join("goods"));
        for made in [&dir, &config] {
            fs::create_dir_all(made).map_err(failed(made))?;
        }
        let good = |(name, price): (&&str, u32)| {
            ((*name).to_owned(), serde_json::json!({ "quantity": STOCK_EACH, "price": price }))
        };
        let goods: serde_json::Map<_, _> = GOODS.iter().zip(1..).map(good).collect();
        let stock = config.join("stock.json");
        fs::write(&stock, serde_json::Value::from(goods).to_string()).map_err(failed(&stock))?;
        let (links, mut nodes) = (Links::new(Duration::from_millis(shape.far_ms)), BTreeMap::new());
        let addrs = free_addrs(2 * (shape.peers as usize + 1))?;
        for (id, addrs) in (0..=shape.peers).map(PeerId).zip(addrs.chunks(2)) {
            let (target, dir) = (addrs[0], dir.join(node_name(id)));
            let at = if shape.proxied { addrs[1] } else { target };
            if let Some((_, disk)) = disk.as_ref().filter(|(of, _)| *of == id) {
                disk.lead_to(&dir).map_err(failed(&dir))?;
            }
            let (child, opened) = (Mutex::default(), Mutex::default());
            nodes.insert(id, Node { id, dir, target, at, child, opened });
        }
        let (began, disk) = (Instant::now(), disk.map(|(_, disk)| disk));
        Ok(Cluster { dir, config, shape, nodes, links, began, disk })
    }

    /// Starts all nodes, the warehouse first and then the peers from the highest id: the first one is elected.
    pub(in crate::ops) fn start(&self) -> Result<(), Failure> {
        let apart = self.nodes.values().filter(|node| node.at != node.target);
        apart.for_each(|node| proxy(Arc::clone(&self.links), node.id, node.at, node.target));
        self.start_node(PeerId::WAREHOUSE)?;
        self.nodes.keys().rev().filter(|id| **id != PeerId::WAREHOUSE).try_for_each(|id| self.start_node(*id))
    }

    pub(in crate::ops) fn node(&self, id: PeerId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(in crate::ops) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    fn line(&self, node: &Node) -> Vec<OsString> {
        let mut line: Vec<OsString> =
            vec![if node.id == PeerId::WAREHOUSE { "warehouse" } else { "peer" }.into()];
        push(&mut line, "--data-dir", &node.dir);
        push(&mut line, "--listen", node.target.to_string());
        push(&mut line, "--advertise", node.at.to_string());
        if node.id == PeerId::WAREHOUSE {
            push(&mut line, "--config-dir", &self.config);
            self.shape.mode.iter().for_each(|mode| push(&mut line, "--consistency", mode.name()));
        } else {
            push(&mut line, "--id", node.id.to_string());
            self.nodes.get(&PeerId::WAREHOUSE).iter().for_each(|warehouse| {
                push(&mut line, "--warehouse", warehouse.at.to_string());
            });
            line.extend(KEEP.map(OsString::from));
        }
        let Shape { heartbeat_ms, suspect_after_ms, trace_events, .. } = self.shape;
        push(&mut line, "--trace-events", trace_events.to_string());
        push(&mut line, "--heartbeat", format!("{heartbeat_ms}ms"));
        push(&mut line, "--suspect-after", format!("{suspect_after_ms}ms"));
        line
    }

    /// Starts a node that is not running, and waits until it serves.
    ///
    /// # Errors
    /// It ends at once, or takes too long; with what it said last.
    pub(in crate::ops) fn start_node(&self, id: PeerId) -> Result<(), Failure> {
        let Some(node) = self.nodes.get(&id).filter(|node| node.pid().is_none()) else { return Ok(()) };
        let (began, at) = (Instant::now(), self.began.elapsed().as_secs_f64());
        let starting = children::start(&node_name(id), &node.dir, &self.line(node))?;
        // Others are dialed while it opens its store.
        self.links.is_up(id, starting.pid());
        match starting.ready() {
            Ok(child) => {
                *locked(&node.child) = Some(child);
                locked(&node.opened).push((at, began.elapsed().as_secs_f64() * 1_000.0));
                Ok(())
            }
            Err(failure) => {
                self.links.is_down(id);
                Err(failure)
            }
        }
    }

    /// SIGKILL.
    pub(in crate::ops) fn kill(&self, id: PeerId) {
        let child = self.nodes.get(&id).and_then(|node| locked(&node.child).take());
        if let Some(mut child) = child {
            child.wait(Duration::ZERO);
            self.links.is_down(id);
        }
    }

    /// Nodes that have ended and were not killed, and how. They are not running any more after this.
    pub(in crate::ops) fn ended_by_themselves(&self) -> Vec<(PeerId, Failure)> {
        let mut ended = Vec::new();
        for node in self.nodes.values() {
            let mut child = locked(&node.child);
            let status = child.as_mut().and_then(Child::ended);
            if let (Some(status), Some(child)) = (status, child.take_if(|_| status.is_some())) {
                let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILURE);
                ended.push((node.id, children::said_last(&child, &children::how(status), code)));
                self.links.is_down(node.id);
            }
        }
        ended
    }

    /// Ends the peers, then the warehouse. Gives those that did not end well.
    pub(in crate::ops) fn stop(&self) -> Vec<String> {
        let (peers, warehouse): (Vec<&Node>, Vec<&Node>) =
            self.nodes.values().partition(|node| node.id != PeerId::WAREHOUSE);
        [peers, warehouse].into_iter().flat_map(|nodes| stop_all(&nodes)).collect()
    }
}

fn stop_all(nodes: &[&Node]) -> Vec<String> {
    let mut children: Vec<(&Node, Child)> =
        nodes.iter().filter_map(|node| Some((*node, locked(&node.child).take()?))).collect();
    children.iter().for_each(|(_, child)| child.terminate());
    let mut bad = Vec::new();
    for (node, child) in &mut children {
        let status = child.wait(DRAIN_MAX + HAND_OVER_MAX + CLOSE_MAX + DRAIN_MAX);
        if !status.is_some_and(|status| status.success()) {
            let how = status.map_or("did not end".to_owned(), children::how);
            bad.push(format!("{} was told to stop and {how}", node_name(node.id)));
        }
    }
    bad
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.nodes.values().for_each(|node| {
            node.go_on();
            if let Some(mut child) = locked(&node.child).take() {
                child.wait(Duration::ZERO);
            }
        });
    }
}
