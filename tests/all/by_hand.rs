//! A market whose nodes are started one by one, so that each can be killed, paused and started again on its own while
//! the others trade: the stage of the worst days.
//!
//! All nodes of a market listen at one loopback address of its own (127.x.y.z), so that a node comes back where it was
//! and no connection of anybody's is in its way meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bazaar::model::happening::What;
use bazaar::model::offices::Roster;
use bazaar::model::report::Report;
use bazaar::types::{Office, PeerId};
use bazaar::wire::client::Node;
use rustix::process::Signal;

use super::market::{Ended, Market, Running, SOON, bazaar, block_on, kill, limited, status, turn, until};

/// The warehouse among the nodes.
pub const WAREHOUSE: u32 = 0;
/// Peers 1 and 2 buy, 3 and 4 sell, 5 and 6 wait to be traders.
pub const PEERS: [u32; 6] = [1, 2, 3, 4, 5, 6];
/// Suspicion comes soon, and still not from two busy cores alone.
pub const QUICK: [&str; 4] = ["--heartbeat", "1s", "--suspect-after", "1s"];

/// See the module's text. Ends its nodes when dropped.
pub struct ByHand {
    pub market: Market,
    pub host: String,
    flags: Vec<String>,
    /// Nodes that listen elsewhere than at first.
    moved: BTreeMap<u32, u32>,
    /// What single nodes are told on their command line.
    told: BTreeMap<u32, Vec<String>>,
    /// Open files that each node may have, if not all that this process may.
    pub open_files_max: Option<u32>,
    /// Nodes that tell others another address than the one they listen at.
    advertised: BTreeMap<u32, String>,
    /// Peers are told of the warehouse and of nothing else.
    apart: bool,
    nodes: BTreeMap<u32, Running>,
    _turn: super::market::Turn,
}

pub fn name(id: u32) -> String {
    if id == WAREHOUSE { "warehouse".to_owned() } else { format!("peer-{id}") }
}

fn role(id: u32) -> &'static str {
    match id {
        1 | 2 => "buyer",
        3 | 4 => "seller",
        5 | 6 => "idle",
        id if id % 2 == 0 => "seller",
        _ => "buyer",
    }
}

impl ByHand {
    /// A market without nodes; `flags` go to all of them.
    pub fn empty(flags: &[&str]) -> ByHand {
        let _turn = turn();
        let [a, b, c] = [fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255)];
        ByHand {
            market: Market::new(),
            host: format!("127.{a}.{b}.{c}"),
            flags: flags.iter().map(ToString::to_string).collect(),
            moved: BTreeMap::new(),
            told: BTreeMap::new(),
            open_files_max: None,
            advertised: BTreeMap::new(),
            apart: false,
            nodes: BTreeMap::new(),
            _turn,
        }
    }

    /// The same; its peers are told where the warehouse is, and of no other node.
    pub fn apart(flags: &[&str]) -> ByHand {
        let mut hands = ByHand::empty(flags);
        hands.apart = true;
        hands
    }

    /// A market that trades under load, with a pair in office: 6 and 5.
    pub fn trading(flags: &[&str]) -> ByHand {
        let mut hands = ByHand::empty(flags);
        hands.start_in_order();
        hands
    }

    /// The warehouse, 6 as primary, 5 as secondary, the others; returns when they trade.
    pub fn start_in_order(&mut self) {
        self.start(&[WAREHOUSE]);
        self.start(&[6]);
        self.wait_for_holder(Office::Primary, 6);
        self.start(&[5]);
        assert_eq!(self.wait_for_pair(), (6, 5));
        self.start(&[1, 2, 3, 4]);
        self.trade_goes_on("the beginning", Instant::now());
    }

    pub fn addr(&self, id: u32) -> String {
        format!("{}:{}", self.host, 9200 + id + self.moved.get(&id).copied().unwrap_or(0))
    }

    /// From its next start on others are told this address.
    pub fn advertise(&mut self, id: u32, addr: String) {
        self.tell(id, &["--advertise", &addr]);
        self.advertised.insert(id, addr);
    }

    /// More flags for one node, from its next start on.
    pub fn tell(&mut self, id: u32, flags: &[&str]) {
        self.told.insert(id, flags.iter().map(ToString::to_string).collect());
    }

    /// Where others reach it.
    fn reached_at(&self, id: u32) -> String {
        self.advertised.get(&id).cloned().unwrap_or_else(|| self.addr(id))
    }

    /// From its next start on the node listens at another address.
    pub fn move_away(&mut self, id: u32) {
        *self.moved.entry(id).or_insert(0) += 40;
    }

    pub fn dir(&self, id: u32) -> PathBuf {
        self.market.node_dir(&name(id))
    }

    fn ready(&self, id: u32) -> PathBuf {
        self.market.cwd().join(format!("{}.ready", name(id)))
    }

    /// Starts a node without waiting for anything. Its last life is forgotten.
    pub fn spawn(&mut self, id: u32) {
        let mut command = bazaar(self.market.cwd());
        if id == WAREHOUSE {
            command.arg("warehouse");
        } else {
            command.args(["peer", "--id", &id.to_string(), "--role", role(id)]);
            command.args(["--warehouse", &self.addr(WAREHOUSE)]);
            let known = |other: &&u32| !self.apart && **other != WAREHOUSE && **other != id;
            if let Some(other) = self.nodes.keys().find(known) {
                command.args(["--join", &self.reached_at(*other)]);
            }
            command.args(["--interval", "2ms", "--deposit-every", "10ms"]);
        }
        self.launch(id, command);
    }

    fn launch(&mut self, id: u32, mut command: Command) {
        // A ready file of an earlier life says nothing.
        let _ = std::fs::remove_file(self.ready(id));
        command.arg("--data-dir").arg(self.dir(id)).arg("--ready-file").arg(self.ready(id));
        command.args(["--listen", &self.addr(id)]).args(&self.flags);
        command.args(self.told.get(&id).into_iter().flatten());
        let limits = self.open_files_max.map(|most| limited(&command, &format!("-n {most}")));
        self.nodes.insert(id, Running::start(limits.unwrap_or(command)));
    }

    /// A peer that is told of one living node and of nothing else; returns when it serves.
    pub fn join(&mut self, id: u32, at: u32) {
        let mut command = bazaar(self.market.cwd());
        command.args(["join", &self.reached_at(at), "--id", &id.to_string(), "--role", role(id)]);
        command.args(["--interval", "2ms", "--deposit-every", "10ms"]);
        self.launch(id, command);
        self.wait_until_serving(&[id]);
    }

    /// Whether its process was started and has not ended by a test's doing.
    pub fn runs(&self, id: u32) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Starts nodes at once; returns when all of them serve.
    pub fn start(&mut self, ids: &[u32]) {
        ids.iter().for_each(|id| self.spawn(*id));
        self.wait_until_serving(ids);
    }

    pub fn wait_until_serving(&mut self, ids: &[u32]) {
        for id in ids {
            let (ready, node) = (self.ready(*id), self.nodes.get_mut(id).unwrap());
            until(&format!("{} serves", name(*id)), SOON, || {
                assert!(!node.has_ended(), "{}", node.stderr());
                ready.exists().then_some(())
            });
        }
    }

    pub fn pid(&self, id: u32) -> u32 {
        self.nodes[&id].pid()
    }

    pub fn pids(&self) -> BTreeMap<u32, u32> {
        self.nodes.iter().map(|(id, node)| (*id, node.pid())).collect()
    }

    /// Whether it says that it serves.
    pub fn serves(&self, id: u32) -> bool {
        self.ready(id).exists()
    }

    pub fn signal(&self, id: u32, signal: Signal) {
        kill(self.pid(id), signal);
    }

    /// `kill -9` of nodes, as near to at once as can be; returns when they are gone.
    pub fn kill(&mut self, ids: &[u32]) {
        ids.iter().for_each(|id| self.signal(*id, Signal::KILL));
        ids.iter().for_each(|id| drop(self.end_of(*id)));
    }

    /// Waits for a node's own end.
    pub fn end_of(&mut self, id: u32) -> Ended {
        self.nodes.remove(&id).unwrap_or_else(|| panic!("{} does not run", name(id))).wait(SOON)
    }

    pub fn has_ended(&mut self, id: u32) -> bool {
        self.nodes.get_mut(&id).unwrap().has_ended()
    }

    pub fn log(&self, id: u32) -> String {
        self.nodes[&id].stderr()
    }

    pub fn status(&self, id: u32) -> Option<Report> {
        status(&self.addr(id))
    }

    /// The offices as the warehouse has them.
    pub fn roster(&self) -> Option<Roster> {
        Some(self.status(WAREHOUSE)?.roster)
    }

    pub fn holder(&self, office: Office) -> Option<u32> {
        self.roster()?.get(office).filter(|seat| seat.present).map(|seat| seat.peer.0)
    }

    pub fn wait_for_pair(&self) -> (u32, u32) {
        until("both offices are held and paired", SOON, || {
            let roster = self.roster().filter(|roster| roster.paired)?;
            Some((roster.primary?.peer.0, roster.secondary?.peer.0))
        })
    }

    pub fn wait_for_holder(&self, office: Office, peer: u32) {
        let what = format!("peer {peer} is {office}");
        until(&what, SOON, || (self.holder(office)? == peer).then_some(()));
    }

    /// Living shoppers out of office: these should be trading.
    fn shoppers(&self) -> Vec<u32> {
        let roster = until("the warehouse answers", SOON, || self.roster());
        let trades = |id: &&u32| role(**id) != "idle" && roster.held_by(PeerId(**id)).is_none();
        self.nodes.keys().filter(|id| **id != WAREHOUSE).filter(trades).copied().collect()
    }

    /// Waits until each living shopper has an answer to all that it had open and to something placed later; how long
    /// that took since `since`.
    pub fn trade_goes_on(&self, what: &str, since: Instant) -> Duration {
        let mut waiting = BTreeMap::new();
        until(&format!("trade goes on after {what}"), SOON, || {
            // A peer that came into office, or does not answer any more, is not waited for: one look at the roster per
            // round.
            for id in self.shoppers() {
                let Some(shopping) = self.status(id).map(|report| report.shopping) else { continue };
                let enough = waiting.entry(id).or_insert(shopping.answered + shopping.open + 1);
                if shopping.answered < *enough {
                    return None;
                }
            }
            (!waiting.is_empty()).then_some(())
        });
        since.elapsed()
    }

    /// The day is over: everything is answered, every node ends cleanly, and the records hold what was promised.
    pub fn ends_well(self, what: &str, took: Duration) -> Market {
        self.ends_well_but(what, took, &[])
    }

    /// The same after stores were lost, given as (peer, epoch): nobody knows any more what those had asked for.
    pub fn ends_well_but(mut self, what: &str, took: Duration, lost: &[(u64, u64)]) -> Market {
        self.settle_everything();
        self.stop();
        self.market.verify();
        self.market.every_order_is_answered_once_but(lost);
        eprintln!("worst day: {what}: trade went on after {} ms, verify 0", took.as_millis());
        std::mem::replace(&mut self.market, Market::new())
    }

    /// Nobody places any more, and waits until nothing is open or queued anywhere.
    pub fn settle_everything(&self) {
        let peers: Vec<u32> = self.nodes.keys().copied().filter(|id| *id != WAREHOUSE).collect();
        for id in &peers {
            until(&format!("{} is quiet", name(*id)), SOON, || block_on(self.quiesce(*id)));
        }
        for id in &peers {
            until(&format!("nothing is open at {}", name(*id)), SOON, || {
                let report = self.status(*id)?;
                (report.shopping.open == 0 && report.queue_depth == 0).then_some(())
            });
        }
    }

    async fn quiesce(&self, id: u32) -> Option<u64> {
        Node::connect(&self.addr(id), SOON).await.ok()?.quiesce().await.ok()
    }

    /// Ends every node as `up` does: shoppers, traders, warehouse.
    fn stop(&mut self) {
        let offices = self.roster().unwrap();
        let trader = |id: &u32| offices.held_by(PeerId(*id)).is_some();
        let peers: Vec<u32> = self.nodes.keys().copied().filter(|id| *id != WAREHOUSE).collect();
        let (traders, others): (Vec<u32>, Vec<u32>) = peers.into_iter().partition(trader);
        for ids in [others, traders, vec![WAREHOUSE]] {
            ids.iter().for_each(|id| self.signal(*id, Signal::TERM));
            for id in ids {
                let ended = self.end_of(id).expect(0);
                assert!(!ended.stderr.contains("panicked"), "{}: {}", name(id), ended.stderr);
            }
        }
    }

    /// Looks at what happens at a node until `react` gives something, on a thread; returns when it is looking.
    pub fn on_events<T: Send + 'static>(
        &self,
        id: u32,
        mut react: impl FnMut(&What) -> Option<T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (addr, (looking, looks)) = (self.addr(id), std::sync::mpsc::channel());
        let look = async move {
            let mut events = Node::connect(&addr, SOON).await.unwrap().events().await.unwrap();
            looking.send(()).unwrap();
            loop {
                let event = events.next().await.expect("the event comes before the node goes");
                if let Some(found) = react(&event.what) {
                    return found;
                }
            }
        };
        let limited = async { tokio::time::timeout(SOON, look).await.expect("the event comes") };
        let watch = std::thread::spawn(move || block_on(limited));
        looks.recv_timeout(SOON).expect("the node lets itself be watched");
        watch
    }

    /// Rows of this kind in a ledger.
    pub fn rows(market: &Market, kind: &str) -> Vec<serde_json::Value> {
        market.ledger().into_iter().filter(|row| row["kind"] == kind).collect()
    }
}

/// A test that fails shows what its nodes said last.
impl Drop for ByHand {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for (id, node) in &self.nodes {
            let log = node.stderr();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("---- {}\n{}", name(*id), lines[lines.len().saturating_sub(25)..].join("\n"));
        }
    }
}
