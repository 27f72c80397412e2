//! The market in a directory, by the files that its nodes and `up` wrote at their last start.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::journal::{NodeDir, read_file};
use crate::ops::source::{dirs_at_hand, node_dirs, node_name};
use crate::types::PeerId;

/// `MARKET/cluster.json`: the nodes of a market that `up` started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterJson {
    /// The market's id.
    pub(crate) cluster: String,
    /// Where the warehouse listens.
    pub(crate) warehouse: String,
    /// Where its page is served: `127.0.0.1:PORT`; empty: nowhere.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) http: String,
    /// All nodes, the warehouse included.
    pub(crate) nodes: Vec<ClusterNode>,
}

/// A node in `cluster.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ClusterNode {
    /// `warehouse` or `peer-4`, as its directory is named.
    pub(crate) node: String,
    /// The role that it was made with.
    pub(crate) role: String,
    /// Where it listens.
    pub(crate) addr: String,
    /// Process id.
    pub(crate) pid: u32,
}

impl ClusterNode {
    /// `None`: the name is no node's.
    pub(crate) fn id(&self) -> Option<PeerId> {
        node_id(&self.node)
    }
}

/// The node of a name that [`node_name`] made.
pub(crate) fn node_id(name: &str) -> Option<PeerId> {
    match name {
        "warehouse" => Some(PeerId::WAREHOUSE),
        name => name.strip_prefix("peer-")?.parse().ok().map(PeerId),
    }
}

impl ClusterJson {
    /// What `up` wrote, if it was run in this directory.
    pub(crate) fn read(market: &Path) -> Option<ClusterJson> {
        let text = read_file(&market.join("cluster.json")).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The market in a directory, as `cluster.json` says; as the nodes' own files say where they were started one by one.
    pub(crate) fn find(market: &Path) -> Option<ClusterJson> {
        ClusterJson::read(market).or_else(|| gather(market)).filter(|it| !it.warehouse.is_empty())
    }
}

fn gather(market: &Path) -> Option<ClusterJson> {
    // A directory that is damaged hides no other.
    let dirs = node_dirs(market).unwrap_or_else(|_| dirs_at_hand(market));
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
    Some(ClusterJson { cluster, warehouse: addr, http: String::new(), nodes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::NodeJson;
    use std::fs;

    #[test]
    fn a_market_is_found_by_its_file_or_by_its_nodes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ClusterJson::find(dir.path()), None);
        let at = |name: &str| dir.path().join(name);
        for (name, node, role) in [("warehouse", 0, "warehouse"), ("peer-4", 4, "buyer")] {
            fs::create_dir_all(at(name).join("store")).unwrap();
            fs::write(at(name).join("mark"), "").unwrap();
            let addr = format!("127.0.0.1:770{node}");
            let node_dir = NodeDir::new(&at(name));
            let (cluster, role) = ("3f2a".to_owned(), role.to_owned());
            let json = NodeJson { cluster, node: PeerId(node), role, addr, ..NodeJson::default() };
            node_dir.write_node_json(&json).unwrap();
        }
        let gathered = ClusterJson::find(dir.path()).unwrap();
        assert_eq!(
            (
                gathered.warehouse.as_str(),
                gathered
                    .nodes
                    .iter()
                    .find(|node| node.id() == Some(PeerId(4)))
                    .map(|node| node.addr.as_str())
            ),
            ("127.0.0.1:7700", Some("127.0.0.1:7704"))
        );
        let told = ClusterJson { warehouse: "127.0.0.1:9900".into(), ..gathered };
        fs::write(at("cluster.json"), serde_json::to_vec(&told).unwrap()).unwrap();
        assert_eq!(ClusterJson::find(dir.path()), Some(told));
    }
}
