//! `up`: a whole market on this machine, each node its own process, so that `kill -9` is real.
//!
//! Starts the warehouse, then the peers; prints what they tell; ends when every living buyer out of office has placed
//! its requests and heard of them, at `--duration`, at Ctrl-C, or 30 s after the last progress. It stops in order:
//! shoppers, secondary, primary, warehouse, so that nobody is elected while closing. Children hold a pipe from here and
//! end when it closes; a child that dies never ends `up`.

mod place;
mod plan;
mod summary;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use self::plan::Plan;
use self::summary::{Failover, Summary};
use self::watch::News;
use super::children::{self, Child};
use super::output::{Failure, exit};
use super::runtime::runtime_with_thread;
use crate::cli::{Global, Restart, UpArgs};
use crate::limits::{DRAIN_MAX, PROGRESS_MAX};
use crate::model::offices::Roster;
use crate::types::{Office, PeerId, Role, Seq, WallMicros};
use crate::wire::client::{CallError, Node};
use crate::wire::report::Report;
use crate::wire::server::{Happening, Replayed, What};

/// Runs a market. See the module's text.
pub fn run(args: &UpArgs, global: &Global) -> Result<u8, Failure> {
    let plan = Plan::new(args)?;
    let place = place::Place::take(&args.data_dir, &plan, args.fresh)?;
    place.check_ports(&plan, args.base_port)?;
    if !global.quiet {
        eprintln!(
            "bazaar {}  starting {} nodes in {}",
            env!("CARGO_PKG_VERSION"),
            plan.peers.len() + 1,
            place.name()
        );
    }
    runtime_with_thread()?.block_on(async {
        let signals = Signals::new()
            .map_err(|error| Failure::new(exit::FAILURE, format!("no signal handlers: {error}")))?;
        let mut market = Market::start(args, global, plan, place).await?;
        let end = market.trade(signals).await;
        market.close(end).await
    })
}

/// Caught from before the first child is started: a Ctrl-C meanwhile closes what there is as soon as it is there.
struct Signals {
    int: Signal,
    term: Signal,
    child: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            child: signal(SignalKind::child())?,
        })
    }
}

/// Why trade ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Everything asked for is done, time is up, or Ctrl-C.
    Done,
    /// Nothing happened for [`PROGRESS_MAX`].
    Stuck,
    /// The warehouse's directory cannot be used, as it found out when its peers came.
    Refused,
}

struct Market<'a> {
    args: &'a UpArgs,
    global: &'a Global,
    plan: Plan,
    place: place::Place,
    warehouse: Child,
    peers: BTreeMap<PeerId, Child>,
    news: mpsc::Receiver<News>,
    sender: mpsc::Sender<News>,
    roster: Roster,
    done: BTreeSet<PeerId>,
    dead: BTreeSet<PeerId>,
    started: Instant,
    started_at: WallMicros,
    first_seq: Seq,
    failovers: Vec<Failover>,
    progress: Instant,
    talk: bool,
    goods: Vec<String>,
}

impl<'a> Market<'a> {
    async fn start(
        args: &'a UpArgs,
        global: &'a Global,
        plan: Plan,
        place: place::Place,
    ) -> Result<Market<'a>, Failure> {
        let (started, started_at) = (Instant::now(), crate::node::wall_now());
        let warehouse =
            children::start("warehouse", &place.node("warehouse"), &plan.warehouse_args(args, &place))?;
        let warehouse = warehouse.ready()?;
        // What the ledger holds before this run: asked while nobody trades yet.
        let before = status_of(&warehouse.addr, global.timeout).await;
        let before = before.map_err(|error| {
            Failure::new(exit::UNREACHABLE, format!("the warehouse does not answer: {error}"))
                .hint("see its log, or give it more time with --timeout")
        })?;
        let peers = start_peers(args, &plan, &place, &warehouse.addr)?;
        place.write_cluster(&plan, &warehouse, &peers)?;
        let (sender, news) = mpsc::channel(4096);
        let talk = !global.quiet && !global.json && (std::io::stdout().is_terminal() || global.verbose > 0);
        let mut market = Market {
            args,
            global,
            plan,
            place,
            warehouse,
            peers,
            news,
            sender,
            roster: Roster::default(),
            done: BTreeSet::new(),
            dead: BTreeSet::new(),
            started,
            started_at,
            first_seq: before.ledger.0,
            failovers: Vec::new(),
            progress: Instant::now(),
            talk,
            goods: before.goods.into_iter().map(|(name, _)| name).collect(),
        };
        market.listen().await;
        market.header();
        Ok(market)
    }

    /// Watches every node, and asks once what it missed before.
    async fn listen(&mut self) {
        for (peer, child) in &self.peers {
            watch::node(*peer, child.addr.clone(), self.sender.clone());
        }
        watch::node(PeerId::WAREHOUSE, self.warehouse.addr.clone(), self.sender.clone());
        if let Ok(report) = self.ask(PeerId::WAREHOUSE).await {
            self.see_roster(report.roster);
        }
    }

    async fn ask(&self, peer: PeerId) -> Result<Report, CallError> {
        let addr = if peer == PeerId::WAREHOUSE { &self.warehouse.addr } else { &self.peers[&peer].addr };
        status_of(addr, self.global.timeout).await
    }

    // ---- trading

    async fn trade(&mut self, signals: Signals) -> End {
        let Signals { mut int, mut term, mut child } = signals;
        let deadline =
            self.args.duration.map(|duration| tokio::time::Instant::from_std(self.started + duration));
        loop {
            let stuck = tokio::time::Instant::from_std(self.progress + PROGRESS_MAX);
            tokio::select! {
                biased;
                _ = int.recv() => return leave_at_once_next_time(int),
                _ = term.recv() => return leave_at_once_next_time(int),
                () = at(deadline) => return leave_at_once_next_time(int),
                _ = child.recv() => {
                    self.bury().await;
                    if self.warehouse.ended().and_then(|status| status.code()) == Some(i32::from(exit::DIRECTORY)) {
                        return End::Refused;
                    }
                }
                Some(news) = self.news.recv() => self.hear(news),
                () = tokio::time::sleep_until(stuck), if self.args.shopper.requests.is_some() => return End::Stuck,
            }
            if self.all_done() && self.settled().await {
                return leave_at_once_next_time(int);
            }
        }
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Happened(happening) => self.happened(happening),
            News::Report(peer, report) => {
                if report.shopping.done && report.shopping.open == 0 && report.shopping.placed > 0 {
                    self.done.insert(peer);
                }
                if peer == PeerId::WAREHOUSE {
                    self.see_roster(report.roster);
                }
            }
            News::Gone(peer, addr) => {
                // Its end, if it ended, comes as a signal; a stream that was cut is taken up again.
                let child =
                    if peer == PeerId::WAREHOUSE { Some(&self.warehouse) } else { self.peers.get(&peer) };
                if !self.dead.contains(&peer) && child.is_some_and(|child| child.addr == addr) {
                    watch::node(peer, addr, self.sender.clone());
                }
            }
        }
    }

    fn happened(&mut self, happening: Happening) {
        let Happening { time, peer, what } = happening;
        match what {
            What::Told(order, outcome) => {
                self.progress = Instant::now();
                if self.talk {
                    println!("{} {}", self.clock(), summary::told(&self.plan, &self.goods, &order, &outcome));
                }
            }
            What::Line(line) if self.talk && line.starts_with("Dear") => {
                println!("{} trader {peer:<3} {line}", self.clock());
            }
            What::Line(_) => {}
            What::Roster(roster) => self.see_roster(roster),
            What::Done => {
                self.done.insert(peer);
            }
            What::Suspected(dead) => self.suspected(dead, time),
            What::TookOver(dead) => self.took_over(peer, dead, time),
            What::Replayed(dead, replayed) => self.replayed(dead, replayed),
        }
    }

    fn clock(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }

    fn see_roster(&mut self, roster: Roster) {
        if roster.newer_than(&self.roster) {
            self.roster = roster;
        }
    }

    fn in_office(&self, peer: PeerId) -> bool {
        self.roster.held_by(peer).is_some_and(|(_, seat)| seat.present)
    }

    /// Every living buyer that is not in office has placed its requests and heard of them.
    fn all_done(&self) -> bool {
        self.args.shopper.requests.is_some()
            && self
                .plan
                .peers
                .iter()
                .filter(|peer| peer.role == Role::Buyer && !self.dead.contains(&peer.id))
                .all(|peer| self.in_office(peer.id) || self.done.contains(&peer.id))
    }

    /// Buyers are done by what they said; what they say now counts.
    async fn settled(&mut self) -> bool {
        for peer in self.plan.peers.clone().iter().filter(|peer| peer.role == Role::Buyer) {
            if self.dead.contains(&peer.id) || self.in_office(peer.id) {
                continue;
            }
            let open = self.ask(peer.id).await.is_ok_and(|report| report.shopping.open > 0);
            if open {
                self.done.remove(&peer.id);
                return false;
            }
        }
        true
    }

    // ---- deaths

    /// Says which children died, and starts them again if that is asked for.
    async fn bury(&mut self) {
        let mut died = Vec::new();
        for (peer, child) in &mut self.peers {
            if !self.dead.contains(peer)
                && let Some(status) = child.ended()
            {
                died.push((*peer, child.pid(), status));
            }
        }
        if !self.dead.contains(&PeerId::WAREHOUSE)
            && let Some(status) = self.warehouse.ended()
        {
            died.push((PeerId::WAREHOUSE, self.warehouse.pid(), status));
        }
        for (peer, pid, status) in died {
            self.dead.insert(peer);
            self.say_death(peer, pid, status);
            let refused = status.code() == Some(i32::from(exit::DIRECTORY));
            if self.args.restart == Restart::OnCrash && !status.success() && !refused {
                self.revive(peer);
            }
        }
    }

    fn say_death(&mut self, peer: PeerId, pid: u32, status: std::process::ExitStatus) {
        let office = self.roster.held_by(peer).map(|(office, seat)| (office, seat.term));
        let name = match (peer, office) {
            (PeerId::WAREHOUSE, _) => "warehouse".to_owned(),
            (_, Some(_)) => format!("trader {peer}"),
            (_, None) => format!("peer {peer}"),
        };
        if !self.global.quiet {
            eprintln!("{} up        {name} (pid {pid}) {}", self.clock(), summary::how(status));
        }
        // Who ends in order has given its office up: nobody has to find that out.
        if office.is_some() && !status.success() {
            self.died(peer, crate::node::wall_now().0);
        }
    }

    fn revive(&mut self, peer: PeerId) {
        let name = if peer == PeerId::WAREHOUSE { "warehouse".to_owned() } else { format!("peer-{peer}") };
        let args = if peer == PeerId::WAREHOUSE {
            self.plan.with_listen(self.plan.warehouse_args(self.args, &self.place), &self.warehouse.addr)
        } else {
            let addrs = self.peers.iter().map(|(peer, child)| (*peer, child.addr.clone())).collect();
            let args = self.plan.peer_args(self.args, &self.place, peer, &self.warehouse.addr, &addrs);
            self.plan.with_listen(args, &self.peers[&peer].addr)
        };
        let started =
            children::start(&name, &self.place.node(&name), &args).and_then(children::Starting::ready);
        match started {
            Ok(child) => {
                watch::node(peer, child.addr.clone(), self.sender.clone());
                self.tell(&format!("up        {name} started again (pid {})", child.pid()));
                self.dead.remove(&peer);
                self.done.remove(&peer);
                if peer == PeerId::WAREHOUSE {
                    self.warehouse = child;
                } else {
                    self.peers.insert(peer, child);
                }
                if let Err(failure) = self.place.write_cluster(&self.plan, &self.warehouse, &self.peers) {
                    eprint!("{}", failure.render(false));
                }
            }
            Err(failure) => eprint!("{}", failure.render(false)),
        }
    }

    /// A trader ended. Its partner may have noticed before the system told us.
    fn died(&mut self, peer: PeerId, at: u64) {
        let suspected = self.failovers.iter_mut().rev().find(|it| it.from == peer && it.reaped.is_none());
        match suspected {
            Some(failover) => failover.reaped = Some(at),
            None => self.failovers.push(Failover { reaped: Some(at), ..Failover::killed(peer, at) }),
        }
    }

    fn suspected(&mut self, dead: PeerId, time: u64) {
        match self.failovers.iter_mut().rev().find(|failover| failover.from == dead && failover.to.is_none())
        {
            Some(failover) => {
                failover.detected.get_or_insert(time);
            }
            None => self.failovers.push(Failover { detected: Some(time), ..Failover::killed(dead, time) }),
        }
    }

    fn took_over(&mut self, by: PeerId, dead: PeerId, time: u64) {
        let Some(failover) = self.failovers.iter_mut().rev().find(|failover| failover.from == dead) else {
            return;
        };
        failover.to = Some(by);
        failover.took_over = Some(time);
    }

    fn replayed(&mut self, dead: PeerId, replayed: Replayed) {
        let Some(failover) = self.failovers.iter_mut().rev().find(|failover| failover.from == dead) else {
            return;
        };
        failover.replayed = replayed;
        let line = failover.line();
        self.tell(&format!("failover  {line}"));
    }

    fn tell(&self, line: &str) {
        if !self.global.quiet {
            eprintln!("{} {line}", self.clock());
        }
    }

    // ---- closing

    async fn close(mut self, end: End) -> Result<u8, Failure> {
        let elapsed = self.started.elapsed();
        let roster = self.roster.clone();
        self.quiesce().await;
        let mut summary = Summary::gather(&self, &roster, elapsed).await;
        self.stop_peers(&roster);
        let counted = summary.count(&self).await;
        self.stop_warehouse();
        if end == End::Refused {
            return Err(children::said_last(&self.warehouse, "ended", exit::DIRECTORY));
        }
        counted?;
        if self.global.json {
            println!("{}", summary.json());
        } else if !self.global.quiet {
            print!("{}", summary.table());
        }
        if end == End::Stuck {
            let text =
                format!("no progress for {} s: some orders have no outcome yet", PROGRESS_MAX.as_secs());
            return Err(Failure::new(exit::UNDETERMINED, text)
                .hint("bazaar up on the same directory goes on with them; the nodes' logs say more"));
        }
        Ok(exit::DONE)
    }

    /// Shoppers place no more; what is open gets its outcome, as far as there is a trader.
    async fn quiesce(&mut self) {
        let living: Vec<PeerId> =
            self.peers.keys().copied().filter(|peer| !self.dead.contains(peer)).collect();
        let limit = Instant::now() + DRAIN_MAX;
        for peer in living {
            let addr = self.peers[&peer].addr.clone();
            let Ok(node) = Node::connect(&addr, self.global.timeout).await else { continue };
            while let Ok(open) = node.quiesce().await
                && open > 0
                && Instant::now() < limit
                && !self.dead.contains(&PeerId::WAREHOUSE)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Shoppers first, then secondary and primary: nobody is left to elect.
    fn stop_peers(&mut self, roster: &Roster) {
        let seat = |office| roster.get(office).map(|seat| seat.peer);
        let traders: Vec<PeerId> =
            [Office::Secondary, Office::Primary].into_iter().filter_map(seat).collect();
        let shoppers: Vec<PeerId> =
            self.peers.keys().copied().filter(|peer| !traders.contains(peer)).collect();
        shoppers.iter().for_each(|peer| self.peers[peer].terminate());
        for peer in shoppers {
            self.end(peer);
        }
        for peer in traders {
            if self.peers.contains_key(&peer) {
                self.peers[&peer].terminate();
                self.end(peer);
            }
        }
    }

    fn stop_warehouse(&mut self) {
        self.warehouse.terminate();
        self.warehouse.wait(DRAIN_MAX + Duration::from_secs(2));
    }

    fn end(&mut self, peer: PeerId) {
        if let Some(child) = self.peers.get_mut(&peer) {
            child.wait(DRAIN_MAX + Duration::from_secs(2));
        }
    }

    fn header(&self) {
        if self.global.quiet || self.global.json {
            return;
        }
        eprint!("{}", summary::header(&self.plan, &self.place, &self.warehouse, &self.peers));
    }
}

async fn status_of(addr: &str, timeout: Duration) -> Result<Report, CallError> {
    Node::connect(addr, timeout).await?.status().await
}

/// Closing takes a moment; a Ctrl-C meanwhile ends it at once: the children end with their pipes.
fn leave_at_once_next_time(mut int: Signal) -> End {
    tokio::spawn(async move {
        int.recv().await;
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
    End::Done
}

async fn at(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Starts the peers: all at once on known ports, one after the other on free ones, since each is told the addresses of
/// those before it (a link that one side knows is a link). The highest ids first: whoever is there first is elected.
fn start_peers(
    args: &UpArgs,
    plan: &Plan,
    place: &place::Place,
    warehouse: &str,
) -> Result<BTreeMap<PeerId, Child>, Failure> {
    let mut addrs = plan.addrs(args.base_port);
    let mut starting = Vec::new();
    let mut children = BTreeMap::new();
    for peer in plan.peers.iter().rev() {
        let name = format!("peer-{}", peer.id);
        let node = plan.peer_args(args, place, peer.id, warehouse, &addrs);
        let started = children::start(&name, &place.node(&name), &node)?;
        if args.base_port == 0 {
            let child = started.ready()?;
            addrs.insert(peer.id, child.addr.clone());
            children.insert(peer.id, child);
        } else {
            starting.push((peer.id, started));
        }
    }
    for (peer, started) in starting {
        children.insert(peer, started.ready()?);
    }
    Ok(children)
}
