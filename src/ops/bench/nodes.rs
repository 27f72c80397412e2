//! The processes of a run: started with free ports, asked for their figures, ended in the order that is asked for.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::figures::Process;
use super::{Place, system};
use crate::journal::{self, Sealed};
use crate::limits::{CALL_DEADLINE, CLOSE_MAX, DRAIN_MAX, HAND_OVER_MAX};
use crate::model::report::Report;
use crate::model::row::Record;
use crate::ops::children::{self, Child, Starting};
use crate::ops::market;
use crate::ops::output::{Failure, exit};
use crate::ops::source::node_name;
use crate::types::{PeerId, Role, Seq};
use crate::wire::client::CallError;

/// Nodes that run. What is still there when this is dropped is killed.
#[derive(Default)]
pub(super) struct Nodes(Vec<Child>);

impl Drop for Nodes {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.wait(Duration::ZERO);
        }
    }
}

/// What a node said and cost before it was told to stop.
pub(super) struct Ended {
    pub report: Report,
    pub process: Process,
}

fn args(own: &[&str]) -> Vec<OsString> {
    own.iter().map(OsString::from).collect()
}

/// Starts the warehouse and waits until it serves.
pub(super) fn start_warehouse(place: &Place) -> Result<(Nodes, String), Failure> {
    let dir = place.node("warehouse");
    let mut args = args(&["warehouse", "--listen", "127.0.0.1:0"]);
    for (flag, path) in [("--data-dir", dir.as_path()), ("--config-dir", place.config.path())] {
        children::push(&mut args, flag, path);
    }
    place.mode.iter().for_each(|mode| children::push(&mut args, "--consistency", mode.name()));
    let child = children::start(&node_name(PeerId::WAREHOUSE), &dir, &args)?.ready()?;
    let addr = child.addr.clone();
    Ok((Nodes(vec![child]), addr))
}

/// Starts a peer; the others of its market are found at `join`.
pub(super) fn start_peer(
    place: &Place,
    warehouse: &str,
    id: PeerId,
    role: Role,
    join: &[String],
    more: &[&str],
) -> Result<Starting, Failure> {
    let name = node_name(id);
    let dir = place.node(&name);
    let id = id.to_string();
    let mut args = args(&["peer", "--id", &id, "--role", role.name(), "--listen", "127.0.0.1:0"]);
    children::push(&mut args, "--data-dir", &dir);
    children::push(&mut args, "--warehouse", warehouse);
    join.iter().for_each(|addr| children::push(&mut args, "--join", addr));
    args.extend(more.iter().map(OsString::from));
    children::start(&name, &dir, &args)
}

impl Nodes {
    pub(crate) fn add(&mut self, child: Child) {
        self.0.push(child);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Child> {
        self.0.iter()
    }

    pub(crate) fn addrs(&self) -> Vec<String> {
        self.0.iter().map(|child| child.addr.clone()).collect()
    }

    /// Asks each for its figures, then ends all and waits for them: what they journaled is complete.
    pub(crate) async fn end(mut self) -> Result<Vec<Ended>, Failure> {
        let mut ended = Vec::new();
        for child in &self.0 {
            let report = report(&child.addr).await?;
            let (cpu_s, rss_mib) = child.usage();
            ended.push(Ended { report, process: Process { name: child.name.clone(), cpu_s, rss_mib } });
        }
        self.0.iter().for_each(Child::terminate);
        for child in &mut self.0 {
            let status = child.wait(DRAIN_MAX + HAND_OVER_MAX + CLOSE_MAX);
            if !status.is_some_and(|status| status.success()) {
                let what = format!("{} did not end well: {status:?}", child.name);
                return Err(Failure::new(exit::FAILURE, what));
            }
        }
        Ok(ended)
    }
}

/// What a node says of itself.
pub(super) async fn report(addr: &str) -> Result<Report, Failure> {
    market::report(addr, CALL_DEADLINE).await.map_err(|error| unanswered(&error))
}

/// A node that should be there does not answer.
pub(super) fn unanswered(error: &CallError) -> Failure {
    Failure::new(exit::UNDETERMINED, error.to_string())
}

/// How many orders the ledger of a stopped warehouse has decided.
pub(super) fn ledger_orders(dir: &Path) -> Result<u64, Failure> {
    let store = journal::open_copy(dir)?;
    let mut orders = 0;
    for block in store.blocks(Seq(1)) {
        let unreadable = |error: &dyn std::fmt::Display| Failure::new(exit::UNDETERMINED, error.to_string());
        let block = block.map_err(|error| unreadable(&error))?;
        let sealed = Sealed::open(&block).map_err(|error| unreadable(&error))?;
        for (_, record) in sealed.rows::<Record>() {
            orders += u64::from(record.map_err(|error| unreadable(&error))?.decision().is_some());
        }
    }
    Ok(orders)
}

/// Runs `bazaar verify` on all stores of the run, in a process of its own: it needs memory that is then given back.
pub(super) fn verify(market: &Path) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(system)?;
    let mut command = Command::new(program);
    command.args(["verify", "--data-dir"]).arg(market).stdin(Stdio::null());
    let done = command.output().map_err(system)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stdout);
    let failed: Vec<&str> = said.lines().filter(|line| line.contains("FAILED")).collect();
    let why = if failed.is_empty() {
        String::from_utf8_lossy(&done.stderr).into_owned()
    } else {
        failed.join("; ")
    };
    let code = done.status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILURE);
    Err(Failure::new(code, format!("verify of the run's stores: {}", why.trim_end()))
        .hint("keep the stores with --data-dir DIR and look with bazaar verify"))
}
