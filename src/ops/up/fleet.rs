//! The processes of a run: the warehouse, then the peers; which of them are dead; their end in order.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::command::Commands;
use super::dir::MarketDir;
use super::plan::Plan;
use super::proxies::Proxies;
use crate::cli::UpArgs;
use crate::config::PeerPlan;
use crate::journal::{NodeDir, mend};
use crate::limits::{DRAIN_MAX, HAND_OVER_MAX};
use crate::model::report::Report;
use crate::ops::children::{self, Child, Starting};
use crate::ops::market::{self, ClusterJson, ClusterNode};
use crate::ops::output::{Failure, exit};
use crate::ops::progress::Progress;
use crate::ops::retry;
use crate::ops::source::node_name;
use crate::types::PeerId;
use crate::wire::client::{CallError, Node};

/// How often a peer is asked whether its orders have their outcomes.
const ASK_EVERY: Duration = Duration::from_millis(5);
/// Time in which a node that was told to stop has ended.
const END_MAX: Duration = DRAIN_MAX.saturating_add(HAND_OVER_MAX).saturating_add(Duration::from_secs(2));

/// See the module's text.
pub(super) struct Fleet<'a> {
    args: &'a UpArgs,
    plan: Plan,
    dir: MarketDir,
    warehouse: Child,
    peers: BTreeMap<PeerId, Child>,
    dead: BTreeSet<PeerId>,
    /// Where the page is served.
    http: Option<SocketAddr>,
    /// None: nodes reach each other by themselves.
    proxies: Option<Proxies>,
}

/// A child that ended.
pub(super) struct Death {
    pub(super) node: PeerId,
    pub(super) pid: u32,
    pub(super) status: ExitStatus,
}

impl Death {
    /// Whether it is worth starting again.
    pub(super) fn is_crash(&self) -> bool {
        !self.status.success() && !is_refusal(self.status)
    }
}

/// The node could not use its directory.
fn is_refusal(status: ExitStatus) -> bool {
    status.code() == Some(i32::from(exit::DIRECTORY))
}

impl<'a> Fleet<'a> {
    /// Starts the warehouse and waits until it serves.
    pub(super) fn start(args: &'a UpArgs, plan: Plan, dir: MarketDir) -> Result<Fleet<'a>, Failure> {
        let nodes = plan.peers.iter().map(|peer| peer.id).chain([PeerId::WAREHOUSE]);
        let mut proxies = args.proxied.then(|| Proxies::new(nodes)).transpose()?;
        let found = proxies.as_ref().map(Proxies::addrs).unwrap_or_default();
        let line = Commands { args, plan: &plan, dir: &dir, found }
            .warehouse(&format!("127.0.0.1:{}", args.base_port));
        let starting = start(&dir, PeerId::WAREHOUSE, &line, proxies.as_ref())?;
        let warehouse = ready(starting, PeerId::WAREHOUSE, proxies.as_mut())?;
        let (peers, dead, http) = (BTreeMap::new(), BTreeSet::new(), None);
        Ok(Fleet { args, plan, dir, warehouse, peers, dead, http, proxies })
    }

    /// Starts the peers: all at once on known ports, one after the other on free ones, since each is told the addresses
    /// of those before it (a link that one side knows is a link). The highest ids first: the peer that comes first is
    /// elected. `serves` is told of each as soon as it does.
    pub(super) fn start_peers(&mut self, mut serves: impl FnMut(PeerId, &str)) -> Result<(), Failure> {
        let mut addrs = self.plan.addrs(self.args.base_port);
        let mut starting = Vec::new();
        for peer in self.plan.peers.iter().rev() {
            let line = self.commands().peer(peer, &self.warehouse.addr, &addrs);
            let started = start(&self.dir, peer.id, &line, self.proxies.as_ref())?;
            if self.args.base_port == 0 {
                let child = ready(started, peer.id, self.proxies.as_mut())?;
                serves(peer.id, &child.addr);
                addrs.insert(peer.id, child.addr.clone());
                self.peers.insert(peer.id, child);
            } else {
                starting.push((peer.id, started));
            }
        }
        for (peer, started) in starting {
            let child = ready(started, peer, self.proxies.as_mut())?;
            serves(peer, &child.addr);
            self.peers.insert(peer, child);
        }
        self.write_cluster()
    }

    fn commands(&self) -> Commands<'_> {
        let found = self.proxies.as_ref().map(Proxies::addrs).unwrap_or_default();
        Commands { args: self.args, plan: &self.plan, dir: &self.dir, found }
    }

    /// The proxies, if links can be cut.
    pub(super) fn proxies(&self) -> Option<&Proxies> {
        self.proxies.as_ref()
    }

    /// The page is served there.
    pub(super) fn page_at(&mut self, http: SocketAddr) {
        self.http = Some(http);
    }

    /// A child that was started, living or not.
    pub(super) fn child(&self, node: PeerId) -> Option<&Child> {
        if node == PeerId::WAREHOUSE { Some(&self.warehouse) } else { self.peers.get(&node) }
    }

    /// Ends a child at once, and waits until it is gone.
    pub(super) fn kill(&mut self, node: PeerId) {
        let child =
            if node == PeerId::WAREHOUSE { Some(&mut self.warehouse) } else { self.peers.get_mut(&node) };
        if let Some(child) = child {
            child.wait(Duration::ZERO);
        }
    }

    /// Writes down where the nodes listen, for client commands.
    pub(super) fn write_cluster(&self) -> Result<(), Failure> {
        let cluster = NodeDir::new(&self.warehouse.dir).read_node_json().map(|json| json.cluster);
        let node = |role: &str, child: &Child| {
            let (node, role, addr) = (child.name.clone(), role.to_owned(), child.addr.clone());
            ClusterNode { node, role, addr, pid: child.pid() }
        };
        let mut nodes = vec![node("warehouse", &self.warehouse)];
        nodes.extend(self.planned().map(|(peer, child)| node(peer.role.name(), child)));
        let (cluster, warehouse) = (cluster.unwrap_or_default(), self.warehouse.addr.clone());
        let http = self.http.map_or(String::new(), |addr| addr.to_string());
        self.dir.write_cluster(&ClusterJson { cluster, warehouse, http, nodes })
    }

    // ---- looking

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn dir(&self) -> &MarketDir {
        &self.dir
    }

    pub(super) fn warehouse(&self) -> &Child {
        &self.warehouse
    }

    /// The peers that were started, by id, with what they were started as.
    pub(super) fn planned(&self) -> impl Iterator<Item = (&PeerPlan, &Child)> {
        self.plan.peers.iter().filter_map(|peer| Some((peer, self.peers.get(&peer.id)?)))
    }

    /// Where each node listens: the peers, then the warehouse.
    pub(super) fn addrs(&self) -> Vec<(PeerId, String)> {
        let peers = self.peers.iter().map(|(peer, child)| (*peer, child.addr.clone()));
        peers.chain([(PeerId::WAREHOUSE, self.warehouse.addr.clone())]).collect()
    }

    /// Where a node listens.
    pub(super) fn addr(&self, node: PeerId) -> Option<&str> {
        self.child(node).map(|child| child.addr.as_str())
    }

    pub(super) fn is_dead(&self, node: PeerId) -> bool {
        self.dead.contains(&node)
    }

    /// The peers that live, by id.
    pub(super) fn living(&self) -> Vec<PeerId> {
        self.peers.keys().copied().filter(|peer| !self.is_dead(*peer)).collect()
    }

    /// What a node says of itself.
    pub(super) async fn ask(&self, node: PeerId, timeout: Duration) -> Result<Report, CallError> {
        market::report(self.addr(node).unwrap_or_default(), timeout).await
    }

    // ---- deaths

    /// The children that ended since this was asked last: peers, then the warehouse.
    pub(super) fn bury(&mut self) -> Vec<Death> {
        let warehouse = (PeerId::WAREHOUSE, &mut self.warehouse);
        let nodes = self.peers.iter_mut().map(|(peer, child)| (*peer, child)).chain([warehouse]);
        let living = nodes.filter(|(node, _)| !self.dead.contains(node));
        let died = living.filter_map(|(node, child)| {
            let status = child.ended()?;
            Some(Death { node, pid: child.pid(), status })
        });
        let died: Vec<Death> = died.collect();
        for Death { node, .. } in &died {
            self.dead.insert(*node);
            self.proxies.iter().for_each(|proxies| proxies.is_down(*node));
        }
        died
    }

    /// The warehouse ended since it cannot use its directory.
    pub(super) fn warehouse_refused(&mut self) -> bool {
        self.warehouse.ended().is_some_and(is_refusal)
    }

    /// Starts a dead node again at its address, where others know it. Gives its process id.
    pub(super) fn revive(&mut self, node: PeerId) -> Result<u32, Failure> {
        let line = self.line(node, self.commands());
        let starting = start(&self.dir, node, &line, self.proxies.as_ref())?;
        let child = ready(starting, node, self.proxies.as_mut())?;
        let pid = child.pid();
        if node == PeerId::WAREHOUSE {
            self.warehouse = child;
        } else {
            self.peers.insert(node, child);
        }
        self.dead.remove(&node);
        Ok(pid)
    }

    /// A node's command line, where it was.
    fn line(&self, node: PeerId, commands: Commands<'_>) -> Vec<OsString> {
        match self.plan.peer(node) {
            None => commands.warehouse(&self.warehouse.addr),
            Some(peer) => {
                let addrs = self.peers.iter().map(|(peer, child)| (*peer, child.addr.clone())).collect();
                commands.peer(peer, &self.warehouse.addr, &addrs)
            }
        }
    }

    /// The command that starts a node again, as it is typed: a proxy of this process knows none that others start.
    pub(super) fn command(&self, node: PeerId) -> String {
        let line = self.line(node, Commands { found: BTreeMap::new(), ..self.commands() });
        let typed = |word: &OsString| match word.to_str() {
            Some(flag) if flag.starts_with("--") => flag.to_owned(),
            _ => mend::word(Path::new(word)),
        };
        format!("bazaar {}", line.iter().map(typed).collect::<Vec<_>>().join(" "))
    }

    // ---- closing

    /// Shoppers place no more; what is open gets its outcome, as far as there is a trader.
    pub(super) async fn quiesce(&self, timeout: Duration, progress: &Progress) {
        let (limit, part) = (Instant::now() + DRAIN_MAX, progress.part("closing", "", None));
        for peer in self.living() {
            let Some(addr) = self.addr(peer) else { continue };
            let Ok(node) = Node::connect(addr, timeout).await else { continue };
            let left = limit.saturating_duration_since(Instant::now());
            let warehouse_is_dead = self.is_dead(PeerId::WAREHOUSE);
            let settled = async || {
                let open = node.quiesce().await?;
                part.says(|| format!("closing: {open} orders of peer {peer} wait for their outcomes"));
                Ok::<_, CallError>(open == 0 || warehouse_is_dead)
            };
            // Orders that stay open are counted by the summary, and finished by the next run.
            let _ = retry::until(ASK_EVERY, left, settled).await;
        }
    }

    /// Ends the shoppers, all at once, then the traders in this order; without a warehouse, which nobody can be elected
    /// by, all at once.
    pub(super) fn stop_peers(&mut self, traders: &[PeerId], progress: &Progress) {
        let traders = if self.is_dead(PeerId::WAREHOUSE) { &[] } else { traders };
        let shoppers = |peer: &PeerId| !traders.contains(peer);
        self.peers.iter().filter(|(peer, _)| shoppers(peer)).for_each(|(_, child)| child.terminate());
        self.peers.iter_mut().filter(|(peer, _)| shoppers(peer)).for_each(|(_, child)| end(child, progress));
        for trader in traders {
            if let Some(child) = self.peers.get_mut(trader) {
                child.terminate();
                end(child, progress);
            }
        }
    }

    /// Lets those go on that were stopped: a process that stands still does not end.
    pub(super) fn resume(&self) {
        self.peers.values().chain([&self.warehouse]).for_each(|child| child.signal(Signal::CONT));
    }

    pub(super) fn stop_warehouse(&mut self, progress: &Progress) {
        self.warehouse.terminate();
        end(&mut self.warehouse, progress);
    }
}

fn start(
    dir: &MarketDir,
    node: PeerId,
    line: &[OsString],
    proxies: Option<&Proxies>,
) -> Result<Starting, Failure> {
    let starting = children::start(&node_name(node), &dir.node(node), line)?;
    proxies.iter().for_each(|proxies| proxies.is_up(node, starting.pid()));
    Ok(starting)
}

/// Waits until it serves.
fn ready(starting: Starting, node: PeerId, proxies: Option<&mut Proxies>) -> Result<Child, Failure> {
    match (starting.ready(), proxies) {
        (Ok(child), Some(proxies)) => {
            proxies.serves(node, &child);
            Ok(child)
        }
        (Err(failure), Some(proxies)) => {
            proxies.is_down(node);
            Err(failure)
        }
        (done, None) => done,
    }
}

fn end(child: &mut Child, progress: &Progress) {
    let part = progress.part(format!("closing: {} has to end", child.name), "", None);
    child.wait_and(END_MAX, || part.begins());
}
