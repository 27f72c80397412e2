//! A market of real processes: started, watched, killed and read after the fact. One at a time, since each wants both
//! cores.
//!
//! Nothing here waits a fixed time: conditions are named and have a limit. Only processes that a test started are ended,
//! by their id.

mod processes;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bazaar::model::offices::Seat;
use bazaar::model::report::Report;
use bazaar::types::Office;
use bazaar::wire::client::Node;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use processes::kill_with_children;
pub use processes::{Ended, Running, bazaar, children, kill, limited, lives, open_files, parent, run, shell};

/// Starting a market, or anything that a healthy one does, ends within this on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// So many tests run a market at once: those wait for time and disks more than they work.
const AT_ONCE: usize = 2;
static RUNNING: Mutex<usize> = Mutex::new(0);
static ENDED: Condvar = Condvar::new();

/// The right to run a market; a test that fails with it gives it back all the same.
pub struct Turn(());

pub fn turn() -> Turn {
    let is_full = |running: &mut usize| *running >= AT_ONCE;
    let waited = ENDED.wait_while(running(), is_full);
    *waited.unwrap_or_else(PoisonError::into_inner) += 1;
    Turn(())
}

fn running() -> MutexGuard<'static, usize> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Turn {
    fn drop(&mut self) {
        *running() -= 1;
        ENDED.notify_one();
    }
}

/// Waits until `condition` gives something; fails with its name when `limit` is over.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(began.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A node as `cluster.json` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAt {
    pub name: String,
    pub role: String,
    pub addr: String,
    pub pid: u32,
}

/// A market's directory: it outlives the processes that run it.
pub struct Market {
    cwd: TempDir,
}

impl Market {
    pub fn new() -> Market {
        Market { cwd: tempfile::tempdir().unwrap() }
    }

    pub fn cwd(&self) -> &Path {
        self.cwd.path()
    }

    pub fn dir(&self) -> PathBuf {
        self.cwd.path().join("bazaar-data")
    }

    pub fn node_dir(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    /// `bazaar ARGS...` in the directory that holds the market.
    pub fn run(&self, args: &[&str]) -> Ended {
        run(self.cwd(), args)
    }

    /// `bazaar up` on free ports, to its end.
    pub fn up(&self, args: &[&str]) -> Ended {
        self.run(&[&["up", "--base-port", "0", "--json"], args].concat())
    }

    /// `bazaar up` on free ports; returns when all nodes serve.
    pub fn start(&self, args: &[&str]) -> Up<'_> {
        let mut up = self.spawn(args);
        up.wait_until_it_serves();
        up
    }

    /// The same, in words for people.
    pub fn start_telling(&self, args: &[&str]) -> Up<'_> {
        let mut command = bazaar(self.cwd());
        command.args(["up", "--base-port", "0"]).args(args);
        let mut up = Up { market: self, running: Some(Running::start(command)) };
        up.wait_until_it_serves();
        up
    }

    /// The same whose nodes log what this filter lets through.
    pub fn start_logging(&self, filter: &str, args: &[&str]) -> Up<'_> {
        let mut command = bazaar(self.cwd());
        command.args(["up", "--base-port", "0", "--json"]).args(args).env("BAZAAR_LOG", filter);
        let mut up = Up { market: self, running: Some(Running::start(command)) };
        up.wait_until_it_serves();
        up
    }

    /// The same without waiting for anything.
    pub fn spawn(&self, args: &[&str]) -> Up<'_> {
        let mut command = bazaar(self.cwd());
        command.args(["up", "--base-port", "0", "--json"]).args(args);
        Up { market: self, running: Some(Running::start(command)) }
    }

    pub fn cluster(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.dir().join("cluster.json")).ok()?).ok()
    }

    pub fn cluster_id(&self) -> String {
        self.cluster().unwrap()["cluster"].as_str().unwrap().to_owned()
    }

    /// The nodes that `cluster.json` names.
    pub fn nodes(&self) -> Vec<NodeAt> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let node = |node: &Value| NodeAt {
            name: text(&node["node"]),
            role: text(&node["role"]),
            addr: text(&node["addr"]),
            pid: node["pid"].as_u64().unwrap_or(0) as u32,
        };
        let cluster = self.cluster().unwrap_or_default();
        cluster["nodes"].as_array().map(|nodes| nodes.iter().map(node).collect()).unwrap_or_default()
    }

    /// Rows of a stopped market, or of one node.
    pub fn dump(&self, view: &str, dir: &Path) -> Vec<Value> {
        let dumped = self.dump_text(view, dir);
        dumped.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn dump_text(&self, view: &str, dir: &Path) -> String {
        self.run(&["dump", view, "--format", "jsonl", "--data-dir", dir.to_str().unwrap()]).expect(0).stdout
    }

    pub fn ledger(&self) -> Vec<Value> {
        self.dump("ledger", &self.dir())
    }

    /// Every invariant holds, from the records alone.
    #[track_caller]
    pub fn verify(&self) {
        let dir = self.dir();
        let verdict = self.run(&["verify", "--json", "--data-dir", dir.to_str().unwrap()]);
        assert_eq!(verdict.code, 0, "{}\n{}", verdict.stdout, verdict.stderr);
        assert_eq!(verdict.object()["pass"], true);
    }

    /// The peers that have a directory.
    fn peers(&self) -> Vec<u64> {
        let names = fs::read_dir(self.dir()).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.to_str()?.strip_prefix("peer-")?.parse().ok()).collect()
    }

    /// Each order that a peer placed has exactly one outcome row, and its peer was told just that.
    #[track_caller]
    pub fn every_order_is_answered_once(&self) {
        self.every_order_is_answered_once_but(&[]);
    }

    /// The same where stores were lost, given as (peer, epoch): their orders are known to the ledger alone.
    #[track_caller]
    pub fn every_order_is_answered_once_but(&self, lost: &[(u64, u64)]) {
        let mut rows = std::collections::BTreeMap::<(u64, u64), Vec<String>>::new();
        for row in self.ledger() {
            if let (Some(number), Some(outcome)) = (row["number"].as_u64(), row["outcome"].as_str()) {
                rows.entry((row["peer"].as_u64().unwrap(), number)).or_default().push(outcome.to_owned());
            }
        }
        let mut placed = 0;
        for peer in self.peers() {
            for order in self.dump("orders", &self.node_dir(&format!("peer-{peer}"))) {
                let id = (peer, order["number"].as_u64().unwrap());
                assert_eq!(order["state"], "answered", "{peer}: {order}");
                assert_eq!(
                    rows.remove(&id).as_deref(),
                    Some(&[order["outcome"].as_str().unwrap().to_owned()][..]),
                    "{id:?}"
                );
                placed += 1;
            }
        }
        rows.retain(|(peer, number), _| !lost.contains(&(*peer, number >> 30)));
        assert!(placed > 0, "a market in which nobody orders proves nothing");
        assert_eq!(rows, Default::default(), "outcomes of orders that no peer knows");
    }
}

/// A running `bazaar up`. Dropping it kills it, and with it its nodes.
pub struct Up<'a> {
    market: &'a Market,
    running: Option<Running>,
}

impl Up<'_> {
    fn wait_until_it_serves(&mut self) {
        let (market, running) = (self.market, self.running.as_mut().unwrap());
        let pid = running.pid();
        until("cluster.json of this run", SOON, || {
            assert!(!running.has_ended(), "{}", running.stderr());
            let nodes = market.nodes();
            (!nodes.is_empty() && nodes.iter().all(|node| parent(node.pid) == Some(pid))).then_some(())
        });
    }

    /// What it has said so far on stderr.
    pub fn stderr(&self) -> String {
        self.running.as_ref().unwrap().stderr()
    }

    pub fn pid(&self) -> u32 {
        self.running.as_ref().unwrap().pid()
    }

    pub fn has_ended(&mut self) -> bool {
        self.running.as_mut().unwrap().has_ended()
    }

    pub fn node(&self, name: &str) -> NodeAt {
        self.market.nodes().into_iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no {name}"))
    }

    pub fn status(&self, name: &str) -> Option<Report> {
        status(&self.node(name).addr)
    }

    /// Who holds an office and is seen alive, as the warehouse says.
    pub fn seat(&self, office: Office) -> Option<Seat> {
        self.status("warehouse")?.roster.get(office).filter(|seat| seat.present).cloned()
    }

    pub fn holder(&self, office: Office) -> Option<String> {
        self.seat(office).map(|seat| format!("peer-{}", seat.peer))
    }

    pub fn wait_for_pair(&self) {
        until("both offices are held and paired", SOON, || {
            self.status("warehouse").filter(|report| report.roster.paired)
        });
    }

    /// Records in the ledger, durably.
    pub fn ledger_seq(&self) -> u64 {
        self.status("warehouse").map_or(0, |report| report.log.0.0)
    }

    pub fn wait_for_rows(&self, seq: u64) {
        until(&format!("ledger row {seq}"), SOON, || (self.ledger_seq() >= seq).then_some(()));
    }

    /// `kill -9` of a node of this run.
    pub fn kill(&self, name: &str) -> NodeAt {
        let node = self.node(name);
        assert_eq!(parent(node.pid), Some(self.pid()), "{name} is not a child of this run");
        kill(node.pid, Signal::KILL);
        node
    }

    /// `kill -9` of all nodes and of `up`.
    pub fn kill_all(mut self) {
        kill_with_children(self.running.take().unwrap());
    }

    pub fn interrupt(mut self) -> Ended {
        let running = self.running.take().unwrap();
        running.signal(Signal::INT);
        running.wait(SOON)
    }

    /// Its own end.
    pub fn wait(mut self, limit: Duration) -> Ended {
        self.running.take().unwrap().wait(limit)
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            kill_with_children(running);
        }
    }
}

/// A runtime for one question.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What a node says of itself, if it answers.
pub fn status(addr: &str) -> Option<Report> {
    block_on(async { Node::connect(addr, Duration::from_secs(2)).await.ok()?.status().await.ok() })
}

/// A node that was started by hand, without `up`.
pub struct ByHand {
    pub running: Running,
    pub addr: String,
}

pub fn by_hand(market: &Market, name: &str, listen: &str, args: &[&str]) -> ByHand {
    let ready = market.cwd().join(format!("{name}.ready"));
    // Of an earlier start.
    let _ = fs::remove_file(&ready);
    let mut command = bazaar(market.cwd());
    command.args(args).args(["--listen", listen, "--ready-file"]).arg(&ready);
    command.arg("--data-dir").arg(market.node_dir(name));
    let mut running = Running::start(command);
    let addr = until(&format!("{name} serves"), SOON, || {
        assert!(!running.has_ended(), "{}", running.stderr());
        let addr = fs::read_to_string(&ready).ok()?;
        addr.strip_suffix('\n').map(str::to_owned)
    });
    ByHand { running, addr }
}

/// A copy of a stopped node's directory, or of anything.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_tree(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), place).unwrap()),
        }
    }
}
