//! The market's directory: taken by one `up` at a time, its `cluster.json`, its ports.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::plan::Plan;
use crate::ops::children::Child;
use crate::ops::market::ClusterJson;
use crate::ops::output::{Failure, exit};
use crate::types::PeerId;

/// A market's directory that this process has taken.
pub struct Place {
    dir: PathBuf,
    /// Held until the process ends.
    _lock: File,
}

impl Place {
    /// Takes the directory, which is absent, empty, or a market's. `fresh` removes the market that is in it.
    pub fn take(dir: &Path, plan: &Plan, fresh: bool) -> Result<Place, Failure> {
        if dir.exists() && !dir.is_dir() {
            return Err(Failure::new(exit::USAGE, format!("{} is a file, not a directory", dir.display()))
                .hint("choose another --data-dir"));
        }
        fs::create_dir_all(dir).map_err(|error| io(dir, &error))?;
        let lock = File::open(dir).map_err(|error| io(dir, &error))?;
        if lock.try_lock().is_err() {
            let owner = owner(dir).map_or(String::new(), |pid| format!(" by pid {pid}"));
            return Err(Failure::new(exit::DIRECTORY, format!("{} is in use{owner}", dir.display()))
                .hint("stop that market first, or choose another --data-dir"));
        }
        let place = Place { dir: dir.to_owned(), _lock: lock };
        place.check(plan, fresh)?;
        Ok(place)
    }

    fn check(&self, plan: &Plan, fresh: bool) -> Result<(), Failure> {
        let entries = fs::read_dir(&self.dir).map_err(|error| io(&self.dir, &error))?;
        let names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        if let Some(strange) = names.iter().find(|name| !is_ours(name)) {
            let what = format!("{} holds {strange}, which is not a market's", self.dir.display());
            return Err(Failure::new(exit::DIRECTORY, what).hint("choose another --data-dir"));
        }
        if fresh {
            return self.clear(&names);
        }
        self.check_warehouse(&names)?;
        let before = self.highest(&names);
        let asked = plan.peers.len() as u32;
        if before > asked {
            let what =
                format!("the market in {} has {before} peers, {asked} were asked for", self.dir.display());
            return Err(Failure::new(exit::USAGE, what)
                .hint(format!("ask for --nodes {before}, or begin a new market with --fresh")));
        }
        Ok(())
    }

    /// The highest id of the peers that the last run started. Others may have joined it: they are not ours to start.
    fn highest(&self, names: &[String]) -> u32 {
        let told =
            ClusterJson::read(&self.dir).map(|json| json.nodes.into_iter().map(|node| node.node).collect());
        let peers: Vec<String> = told.unwrap_or_else(|| names.to_vec());
        peers.iter().filter_map(|name| name.strip_prefix("peer-")?.parse().ok()).max().unwrap_or(0)
    }

    /// A new ledger among the stores of an older one would belong to nobody.
    fn check_warehouse(&self, names: &[String]) -> Result<(), Failure> {
        let born = |name: &str| self.dir.join(name).join("store").is_dir();
        let peers = names.iter().filter(|name| name.starts_with("peer-") && born(name)).count();
        if peers == 0 || born("warehouse") {
            return Ok(());
        }
        let what =
            format!("{} has the stores of {peers} peers, and the warehouse's is gone", self.dir.display());
        Err(Failure::new(exit::DIRECTORY, what).hint(
            "put it back, or mend with: bazaar restore --from BACKUP --accept-loss; --fresh begins a new market",
        ))
    }

    /// Removes an earlier market, unless one of its nodes runs.
    fn clear(&self, names: &[String]) -> Result<(), Failure> {
        for name in names {
            let db = self.dir.join(name).join("store").join("db");
            if File::open(&db).is_ok_and(|file| file.try_lock().is_err()) {
                return Err(Failure::new(exit::DIRECTORY, format!("{name} of that market is running"))
                    .hint("stop it first, or choose another --data-dir"));
            }
        }
        for name in names {
            let path = self.dir.join(name);
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|error| io(&path, &error))?;
        }
        Ok(())
    }

    /// As the user named it.
    pub fn name(&self) -> String {
        self.dir.display().to_string()
    }

    /// A node's directory.
    pub fn node(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Says whose a port is before anything starts.
    pub fn check_ports(&self, plan: &Plan, base_port: u16) -> Result<(), Failure> {
        if base_port == 0 {
            return Ok(());
        }
        let ids = std::iter::once(0).chain(plan.peers.iter().map(|peer| peer.id.0));
        for port in ids.filter_map(|id| u16::try_from(u32::from(base_port) + id).ok()) {
            if TcpListener::bind(("127.0.0.1", port)).is_err() {
                let by = listener(port).map_or(String::new(), |pid| format!(" by pid {pid}"));
                return Err(Failure::new(exit::FAILURE, format!("port {port} is taken{by}")).hint(format!(
                    "stop it, or choose other ports: bazaar up --base-port {}",
                    free_base(base_port)
                )));
            }
        }
        Ok(())
    }

    /// Writes `cluster.json` by rename.
    pub fn write_cluster(
        &self,
        plan: &Plan,
        warehouse: &Child,
        peers: &BTreeMap<PeerId, Child>,
    ) -> Result<(), Failure> {
        let cluster = crate::journal::NodeDir::new(&warehouse.dir).read_node_json().map(|json| json.cluster);
        let node = |node: &str, role: &str, child: &Child| json!({"node": node, "role": role, "addr": child.addr, "pid": child.pid()});
        let mut nodes = vec![node("warehouse", "warehouse", warehouse)];
        for peer in &plan.peers {
            if let Some(child) = peers.get(&peer.id) {
                nodes.push(node(&child.name, peer.role.name(), child));
            }
        }
        let text = json!({"cluster": cluster, "warehouse": warehouse.addr, "nodes": nodes});
        let (path, temporary) = (self.dir.join("cluster.json"), self.dir.join("cluster.json.tmp"));
        fs::write(&temporary, format!("{text:#}\n"))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| io(&path, &error))
    }
}

fn io(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(exit::FAILURE, format!("{}: {error}", path.display()))
}

fn is_ours(name: &str) -> bool {
    matches!(name, "cluster.json" | "cluster.json.tmp" | "client" | "warehouse")
        || name.strip_prefix("peer-").is_some_and(|id| id.parse::<u32>().is_ok())
}

/// The process that runs the market, as far as its nodes' parent tells.
fn owner(dir: &Path) -> Option<u64> {
    let json: Value = serde_json::from_slice(&fs::read(dir.join("cluster.json")).ok()?).ok()?;
    let pid = json["nodes"][0]["pid"].as_u64()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The process that listens at a port of this machine, from /proc.
fn listener(port: u16) -> Option<u32> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let local = format!(":{port:04X}");
    let line = table.lines().find(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|addr| addr.ends_with(&local)) && fields.nth(1) == Some("0A")
    })?;
    let socket = format!("socket:[{}]", line.split_whitespace().nth(9)?);
    let pids =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
        fds.into_iter()
            .any(|fd| fs::read_link(fd.path()).is_ok_and(|link| link.as_os_str() == socket.as_str()))
    })
}

fn free_base(taken: u16) -> u16 {
    if taken < 60_000 { taken + 100 } else { crate::cli::BASE_PORT }
}
