//! The market's directory: taken by one `up` at a time, with its `cluster.json`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::plan::Plan;
use crate::journal::{NodeDir, mend};
use crate::ops::market::{ClusterJson, node_id};
use crate::ops::output::{Failure, exit};
use crate::ops::source::node_name;
use crate::types::PeerId;

/// A market's directory that this process has taken.
pub(super) struct MarketDir {
    dir: PathBuf,
    /// Held until the process ends.
    _lock: File,
}

impl MarketDir {
    /// Takes the directory, which is absent, empty, or a market's. `fresh` removes the market that is in it.
    pub(super) fn take(dir: &Path, plan: &Plan, fresh: bool) -> Result<MarketDir, Failure> {
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
        let taken = MarketDir { dir: dir.to_owned(), _lock: lock };
        taken.check(plan, fresh)?;
        Ok(taken)
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
        let before = MarketDir::peers_before(&self.dir);
        let asked = plan.peers.len() as u32;
        if before > asked {
            let what =
                format!("the market in {} has {before} peers, {asked} were asked for", self.dir.display());
            return Err(Failure::new(exit::USAGE, what)
                .hint(format!("ask for --nodes {before}, or begin a new market with --fresh")));
        }
        Ok(())
    }

    /// The highest id of the peers that the last run started, 0 without one. Others may have joined it: they are not ours
    /// to start.
    pub(super) fn peers_before(dir: &Path) -> u32 {
        let told = ClusterJson::read(dir).map(|json| json.nodes.into_iter().map(|node| node.node).collect());
        let there = || {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
        };
        let peers: Vec<String> = told.unwrap_or_else(there);
        peers.iter().filter_map(|name| peer_id(name)).max().map_or(0, |peer| peer.0)
    }

    /// Refuses peers' stores without their warehouse's: a new ledger would not be the one that they know.
    fn check_warehouse(&self, names: &[String]) -> Result<(), Failure> {
        let born = |name: &str| self.dir.join(name).join("store").is_dir();
        let peers = names.iter().filter(|name| peer_id(name).is_some() && born(name)).count();
        if peers == 0 || born("warehouse") {
            return Ok(());
        }
        let what =
            format!("{} has the stores of {peers} peers, and the warehouse's is gone", self.dir.display());
        let warehouse = self.node(PeerId::WAREHOUSE);
        let mut restored = mend::restore(&mend::backup_of(&warehouse), &warehouse);
        // What stands in the store's place makes room first.
        if warehouse.join("store").symlink_metadata().is_ok() {
            restored = format!("{} && {restored}", mend::move_away(&warehouse).0);
        }
        Err(Failure::new(exit::DIRECTORY, what)
            .hint(format!("put it back, or its last backup in its place: {restored}")))
    }

    /// Removes an earlier market, unless one of its nodes runs.
    fn clear(&self, names: &[String]) -> Result<(), Failure> {
        for name in names {
            if NodeDir::new(&self.dir.join(name)).is_in_use() {
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
    pub(super) fn name(&self) -> String {
        self.dir.display().to_string()
    }

    /// A node's directory.
    pub(super) fn node(&self, node: PeerId) -> PathBuf {
        self.dir.join(node_name(node))
    }

    /// Writes `cluster.json` by rename.
    pub(super) fn write_cluster(&self, json: &ClusterJson) -> Result<(), Failure> {
        let (path, temporary) = (self.dir.join("cluster.json"), self.dir.join("cluster.json.tmp"));
        let text = serde_json::to_string_pretty(json).map_err(|error| io(&path, &error.into()))?;
        fs::write(&temporary, format!("{text}\n"))
            .and_then(|()| fs::rename(&temporary, &path))
            .map_err(|error| io(&path, &error))
    }
}

fn io(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(exit::FAILURE, format!("{}: {error}", path.display()))
}

/// The peer whose directory has this name.
fn peer_id(name: &str) -> Option<PeerId> {
    node_id(name).filter(|node| *node != PeerId::WAREHOUSE)
}

fn is_ours(name: &str) -> bool {
    matches!(name, "cluster.json" | "cluster.json.tmp" | "client") || node_id(name).is_some()
}

/// The process that runs the market, which is the parent of its nodes.
fn owner(dir: &Path) -> Option<u64> {
    let pid = ClusterJson::read(dir)?.nodes.first()?.pid;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
