//! Where the market is: its directory, its warehouse, its nodes.
//!
//! In: how a client command was told to find it. Out: addresses and reports. What stands in files is a hint of the last
//! start; who a node is, it says itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use super::output::{Failure, exit};
use super::source::{node_dirs, node_name};
use crate::cli::{ConnectFlags, PeerFlags};
use crate::journal::NodeDir;
use crate::types::{Office, PeerId};
use crate::wire::client::{CallError, Node};
use crate::wire::report::Report;

/// `MARKET/cluster.json`: the nodes of a market that `up` started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterJson {
    /// The market's id.
    pub cluster: String,
    /// Where the warehouse listens.
    pub warehouse: String,
    /// All nodes, the warehouse included.
    pub nodes: Vec<ClusterNode>,
}

/// A node in `cluster.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNode {
    /// `warehouse` or `peer-4`, as its directory is named.
    pub node: String,
    /// What it was made as.
    pub role: String,
    /// Where it listens.
    pub addr: String,
    /// Of the operating system.
    pub pid: u32,
}

impl ClusterNode {
    /// 0: the warehouse.
    pub fn id(&self) -> Option<PeerId> {
        match self.node.as_str() {
            "warehouse" => Some(PeerId::WAREHOUSE),
            name => name.strip_prefix("peer-")?.parse().ok().map(PeerId),
        }
    }
}

impl ClusterJson {
    /// What `up` wrote, if it has been here.
    pub fn read(market: &Path) -> Option<ClusterJson> {
        let text = std::fs::read(market.join("cluster.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The market in a directory: as `cluster.json` says, or, where nodes were started one by one, as theirs say.
    pub fn find(market: &Path) -> Option<ClusterJson> {
        ClusterJson::read(market).or_else(|| gather(market)).filter(|it| !it.warehouse.is_empty())
    }

    /// Where a node listens.
    pub fn addr_of(&self, node: PeerId) -> Option<&str> {
        let found = self.nodes.iter().find(|it| it.id() == Some(node))?;
        Some(&found.addr)
    }
}

fn gather(market: &Path) -> Option<ClusterJson> {
    let dirs = node_dirs(market).ok()?;
    let nodes: Vec<_> = dirs.iter().filter_map(|dir| NodeDir::new(dir).read_node_json()).collect();
    let warehouse = nodes.iter().find(|json| json.role == "warehouse")?;
    let (cluster, addr) = (warehouse.cluster.clone(), warehouse.addr.clone());
    let nodes = nodes
        .into_iter()
        .filter(|json| json.cluster == cluster && !json.addr.is_empty())
        .map(|json| ClusterNode {
            node: node_name(json.node),
            role: json.role,
            addr: json.addr,
            pid: json.pid,
        })
        .collect();
    Some(ClusterJson { cluster, warehouse: addr, nodes })
}

/// The runtime of a command that only asks.
///
/// # Errors
/// The system refuses.
pub fn runtime() -> Result<Runtime, Failure> {
    let built = Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::new(exit::FAILURE, format!("no runtime: {error}")))
}

/// Nothing was sent to the node at `addr`, since it cannot be reached or does not answer.
pub fn unreachable(addr: &str, error: &CallError) -> Failure {
    match error {
        CallError::Unreachable { .. } => Failure::new(exit::UNREACHABLE, error.to_string())
            .hint("start the market with bazaar up, or name a node with --connect"),
        _ => Failure::new(exit::UNREACHABLE, format!("{addr} does not serve: {error}"))
            .hint("see how the market is with bazaar status"),
    }
}

fn absent(market: &Path) -> Failure {
    Failure::new(exit::USAGE, format!("{} holds no market", market.display()))
        .hint("start one with bazaar up, or name a running node with --connect ADDR")
}

/// Where the warehouse of the market listens. `--connect` may name any of its nodes.
///
/// # Errors
/// There is no market in the directory, or the node named does not answer.
pub async fn warehouse_addr(flags: &ConnectFlags, timeout: Duration) -> Result<String, Failure> {
    let Some(addr) = flags.connect else {
        let found = ClusterJson::find(&flags.data_dir).ok_or_else(|| absent(&flags.data_dir))?;
        return Ok(found.warehouse);
    };
    let addr = addr.to_string();
    let report = report(&addr, timeout).await.map_err(|error| unreachable(&addr, &error))?;
    Ok(if report.peer == PeerId::WAREHOUSE { addr } else { report.warehouse })
}

/// Asks a node for its report.
///
/// # Errors
/// It does not answer in time.
pub async fn report(addr: &str, timeout: Duration) -> Result<Report, CallError> {
    Node::connect(addr, timeout).await?.status().await
}

/// The addresses that a client command starts from.
///
/// # Errors
/// There is no market in the directory, and no node was named.
pub fn seeds(flags: &ConnectFlags) -> Result<Vec<(Option<PeerId>, String)>, Failure> {
    if let Some(addr) = flags.connect {
        return Ok(vec![(None, addr.to_string())]);
    }
    let found = ClusterJson::find(&flags.data_dir).ok_or_else(|| absent(&flags.data_dir))?;
    let mut seeds = vec![(Some(PeerId::WAREHOUSE), found.warehouse)];
    seeds.extend(found.nodes.into_iter().map(|node| (node.id(), node.addr)));
    Ok(seeds)
}

/// Who was named on the command line.
#[derive(Clone, Debug)]
pub enum Named {
    /// It answers.
    Running(Box<Report>),
    /// It has left the market.
    Left(PeerId),
}

/// The node at an address that was typed, or the peer of an id.
///
/// # Errors
/// None was named, there is none of this id, or it does not answer.
pub async fn named_peer(flags: &PeerFlags, timeout: Duration) -> Result<Named, Failure> {
    let Some(peer) = flags.peer else {
        let Some(addr) = flags.market.connect.map(|addr| addr.to_string()) else {
            return Err(Failure::new(exit::USAGE, "which peer?")
                .hint("name it with --peer N, or its address with --connect ADDR"));
        };
        // The address that was typed is one that we can reach; the one that it tells others may not be.
        let found = report(&addr, timeout).await.map(|report| Report { addr: addr.clone(), ..report });
        return found.map(Box::new).map(Named::Running).map_err(|error| unreachable(&addr, &error));
    };
    let mut reports = reports(seeds(&flags.market)?, timeout).await;
    match reports.answered.remove(&peer) {
        Some(report) => Ok(Named::Running(Box::new(report))),
        None if reports.left.contains(&peer) => Ok(Named::Left(peer)),
        None => Err(absent_peer(peer, &reports)),
    }
}

fn absent_peer(peer: PeerId, reports: &Reports) -> Failure {
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

/// What asking everybody came to, by node: its report, or why there is none.
#[derive(Clone, Debug, Default)]
pub struct Reports {
    /// Who answered.
    pub answered: BTreeMap<PeerId, Report>,
    /// Who is known and did not, and why.
    pub silent: BTreeMap<PeerId, String>,
    /// Who went on purpose.
    pub left: BTreeSet<PeerId>,
    /// Why an address did not answer of which nobody knows whose it is.
    pub nobody: Vec<String>,
}

/// Asks the nodes at `seeds`, and those that they know of, all at once.
pub async fn reports(seeds: Vec<(Option<PeerId>, String)>, timeout: Duration) -> Reports {
    let mut reports = Reports::default();
    let mut asked = BTreeSet::new();
    let mut calls = JoinSet::new();
    let mut next = seeds;
    loop {
        for (node, addr) in next.drain(..) {
            if !addr.is_empty() && asked.insert(addr.clone()) {
                calls.spawn(async move { (node, report(&addr, timeout).await) });
            }
        }
        // A call that panicked has nothing to tell.
        let Some(done) = calls.join_next().await else { break };
        match done {
            Ok((_, Ok(report))) => {
                next = known_to(&report);
                reports.answered.insert(report.peer, report);
            }
            Ok((Some(node), Err(error))) => drop(reports.silent.insert(node, error.to_string())),
            Ok((None, Err(error))) => reports.nobody.push(error.to_string()),
            Err(_) => {}
        }
    }
    // An old address of a node that answers at its present one, or of one that went on purpose.
    let left = left(reports.answered.values());
    reports.silent.retain(|node, _| !reports.answered.contains_key(node) && !left.contains(node));
    reports.left = left.into_iter().filter(|node| !reports.answered.contains_key(node)).collect();
    reports
}

/// Who has left by the newest account of it.
fn left<'a>(reports: impl Iterator<Item = &'a Report>) -> BTreeSet<PeerId> {
    let mut newest = BTreeMap::new();
    for member in reports.flat_map(|report| &report.members) {
        let account = newest.entry(member.id).or_insert((member.process, member.left));
        *account = (*account).max((member.process, member.left));
    }
    newest.into_iter().filter(|(_, (_, left))| *left).map(|(id, _)| id).collect()
}

fn known_to(report: &Report) -> Vec<(Option<PeerId>, String)> {
    let present = report.members.iter().filter(|member| !member.left);
    let mut known: Vec<_> = present.map(|member| (Some(member.id), member.addr.clone())).collect();
    let seats = Office::BOTH.into_iter().filter_map(|office| report.roster.get(office));
    known.extend(seats.map(|seat| (Some(seat.peer), seat.addr.clone())));
    known.push((Some(PeerId::WAREHOUSE), report.warehouse.clone()));
    known
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::WallMicros;

    #[test]
    fn a_market_is_found_by_its_file_or_by_its_nodes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ClusterJson::find(dir.path()), None);
        let at = |name: &str| dir.path().join(name);
        for (name, node, role) in [("warehouse", 0, "warehouse"), ("peer-4", 4, "buyer")] {
            std::fs::create_dir_all(at(name).join("store")).unwrap();
            std::fs::write(at(name).join("mark"), "").unwrap();
            let addr = format!("127.0.0.1:770{node}");
            let node_dir = NodeDir::new(&at(name));
            node_dir.write_node_json("3f2a", PeerId(node), role, &addr, 1, WallMicros(0)).unwrap();
        }
        let gathered = ClusterJson::find(dir.path()).unwrap();
        assert_eq!(
            (gathered.warehouse.as_str(), gathered.addr_of(PeerId(4))),
            ("127.0.0.1:7700", Some("127.0.0.1:7704"))
        );
        let told = ClusterJson { warehouse: "127.0.0.1:9900".into(), ..gathered };
        std::fs::write(at("cluster.json"), serde_json::to_vec(&told).unwrap()).unwrap();
        assert_eq!(ClusterJson::find(dir.path()), Some(told));
    }

    #[test]
    fn without_a_market_the_mend_is_named() {
        let flags = ConnectFlags { connect: None, data_dir: "no/such/market".into() };
        let failure = seeds(&flags).unwrap_err();
        assert_eq!(failure.exit, exit::USAGE);
        assert!(failure.hint.unwrap().contains("bazaar up"));
    }

    #[test]
    fn asking_nobody_ends_and_says_why() {
        let runtime = runtime().unwrap();
        let gone = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().to_string()
        });
        let asked = runtime.block_on(reports(vec![(Some(PeerId(3)), gone.clone())], Duration::from_secs(1)));
        assert!(asked.answered.is_empty() && asked.silent[&PeerId(3)].contains(&gone), "{asked:?}");
    }
}
