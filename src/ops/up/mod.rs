//! `up`: a whole market on this machine, each node its own process, so that `kill -9` is real.
//!
//! Starts the warehouse, then the peers; prints what they tell; ends when every living buyer out of office has placed
//! its requests and heard of them, at `--duration`, at Ctrl-C, or 30 s after the last progress. It stops in order:
//! shoppers, secondary, primary, warehouse, so that no peer is elected while closing. Children hold a pipe from here and
//! end when it closes; a child that dies never ends `up`.

mod close;
mod command;
mod count;
mod deaths;
mod dir;
pub(super) mod failovers;
mod fleet;
mod hear;
mod kept;
mod lines;
mod missing;
mod paged;
mod plan;
mod ports;
mod proxies;
mod signals;
mod summary;
mod told;
pub(super) mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal as _;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::time::sleep_until;

use self::dir::MarketDir;
use self::failovers::Failovers;
use self::fleet::Fleet;
use self::missing::Missing;
use self::plan::Plan;
use self::signals::Signals;
use self::told::Told;
use self::watch::{News, Watches};
use super::output::{Failure, Paint, colored, exit, note};
use super::page::{Asked, Served, Shown};
use super::runtime::runtime_with_thread;
use crate::cli::{Global, UpArgs};
use crate::limits::PROGRESS_MAX;
use crate::model::offices::Roster;
use crate::node::notify::Notify;
use crate::node::wall_now;
use crate::types::{Money, PeerId, Seq, WallMicros};

/// Runs a market.
///
/// # Errors
/// A node cannot be started, the ledger cannot be counted, or nothing happened for 30 s.
pub fn run(args: &UpArgs, global: &Global) -> Result<u8, Failure> {
    let before = if args.fresh { 0 } else { MarketDir::peers_before(&args.data_dir) };
    let plan = Plan::new(args, before)?;
    let made = !args.data_dir.exists();
    let dir = MarketDir::take(&args.data_dir, &plan, args.fresh)?;
    if let Err(taken) = ports::check(&plan, args.base_port) {
        if made {
            // One that stays is empty, and in nobody's way.
            let _ = std::fs::remove_dir(&args.data_dir);
        }
        return Err(taken);
    }
    if !global.quiet && !global.json {
        let (version, nodes) = (env!("CARGO_PKG_VERSION"), plan.peers.len() + 1);
        note(format_args!("bazaar {version}  starting {nodes} nodes in {}", dir.name()));
    }
    runtime_with_thread()?.block_on(async {
        let signals = Signals::new()?;
        let mut up = Up::start(args, global, plan, dir).await?;
        let end = up.trade(signals).await;
        up.close(end).await
    })
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

/// A run: its processes, and what was heard of them.
struct Up<'a> {
    args: &'a UpArgs,
    global: &'a Global,
    fleet: Fleet<'a>,
    news: mpsc::Receiver<News>,
    watches: Watches,
    told: Told,
    roster: Roster,
    /// Buyers that have placed their requests and heard of them.
    done: BTreeSet<PeerId>,
    /// Buyers that were said to hold an office, which keeps them from their requests.
    kept_from: BTreeSet<PeerId>,
    /// The random part of each node's present life, as it said itself: a new store learns its epoch later.
    lives: BTreeMap<PeerId, u64>,
    failovers: Failovers,
    started: Instant,
    started_at: WallMicros,
    /// The ledger's end before this run.
    first_seq: Seq,
    /// When the last order got its outcome.
    progress: Instant,
    /// Orders are printed as they are told,
    talk: bool,
    /// in colours.
    color: bool,
    goods: Vec<(String, Money)>,
    notify: Notify,
    missing: Missing,
    /// What the page is told of the children, and what it asks for.
    shown: Shown,
    acts: mpsc::Receiver<Asked>,
    page: Option<Served>,
}

impl<'a> Up<'a> {
    async fn start(
        args: &'a UpArgs,
        global: &'a Global,
        plan: Plan,
        dir: MarketDir,
    ) -> Result<Up<'a>, Failure> {
        let (started, started_at) = (Instant::now(), wall_now());
        let mut fleet = Fleet::start(args, plan, dir)?;
        // What the ledger holds before this run: asked while no peer trades yet.
        let before = fleet.ask(PeerId::WAREHOUSE, global.timeout).await.map_err(|error| {
            Failure::new(exit::UNREACHABLE, format!("the warehouse does not answer: {error}"))
                .hint("see its log, or give it more time with --timeout")
        })?;
        let kept = kept::otherwise(&args.market, &before);
        let (sender, news) = mpsc::channel(4096);
        let mut watches = Watches::new(sender);
        // From their first order on: a peer trades while the next one starts.
        fleet.start_peers(|peer, addr| watches.begin(peer, addr))?;
        watches.begin(PeerId::WAREHOUSE, &fleet.warehouse().addr);
        let (shown, (asks, acts)) = (paged::shown(&fleet), mpsc::channel(1));
        let page = paged::serve(args, &mut fleet, &shown, asks, global.timeout).await?;
        let talk = !global.quiet && !global.json && (std::io::stdout().is_terminal() || global.verbose > 0);
        let mut up = Up {
            args,
            global,
            fleet,
            news,
            watches,
            told: Told::default(),
            roster: Roster::default(),
            done: BTreeSet::new(),
            kept_from: BTreeSet::new(),
            lives: BTreeMap::new(),
            failovers: Failovers::default(),
            started,
            started_at,
            first_seq: before.ledger.0,
            progress: Instant::now(),
            talk,
            color: colored(global.color, &std::io::stdout()),
            goods: before.goods,
            notify: Notify::from_env(),
            missing: Missing::default(),
            shown,
            acts,
            page,
        };
        up.catch_up().await;
        up.header();
        kept.iter().for_each(|line| up.tell(line));
        up.notify.ready(&up.status());
        Ok(up)
    }

    /// Asks once what the warehouse told before it was watched.
    async fn catch_up(&mut self) {
        if let Ok(report) = self.fleet.ask(PeerId::WAREHOUSE, self.global.timeout).await {
            self.see_roster(report.roster);
        }
    }

    // ---- trading

    /// Trades until the end.
    ///
    /// # Errors
    /// What is told cannot be printed.
    async fn trade(&mut self, signals: Signals) -> Result<End, Failure> {
        let Signals { mut int, mut term, mut child } = signals;
        let deadline = self.args.duration.map(|duration| self.started + duration);
        let may_stick = self.args.shopper.requests.is_some();
        let mut alive = tokio::time::interval(self.notify.every());
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let end = loop {
            let stuck = (self.progress + PROGRESS_MAX).into();
            tokio::select! {
                biased;
                _ = int.recv() => {
                    self.tell("up        closing: what is open gets its outcome; Ctrl-C once more ends at once");
                    break Ok(End::Done);
                }
                _ = term.recv() => break Ok(End::Done),
                () = at(deadline) => break Ok(End::Done),
                _ = child.recv() => {
                    self.bury();
                    if self.fleet.warehouse_refused() {
                        break Ok(End::Refused);
                    }
                }
                _ = alive.tick() => self.notify.alive(&self.status()),
                Some(news) = self.news.recv() => {
                    if let Err(unheard) = self.hear(news) {
                        break Err(unheard);
                    }
                }
                Some(asked) = self.acts.recv() => self.act(asked),
                () = at(self.missing.due()) => self.say_missing().await,
                () = sleep_until(stuck), if may_stick => break Ok(End::Stuck),
            }
            if self.all_done() && self.settled().await {
                break Ok(End::Done);
            }
        };
        self.notify.stopping();
        if !matches!(end, Ok(End::Stuck | End::Refused)) {
            signals::leave_at_once_next_time(int);
        }
        end
    }

    // ---- telling

    fn clock(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        format!("{:02}:{:02}", seconds / 60, seconds % 60)
    }

    fn tell(&self, line: &str) {
        if !self.global.quiet {
            note(format_args!("{} {line}", self.clock()));
        }
    }

    fn tell_of_harm(&self, line: &str) {
        self.tell(&Paint::Red.on(line, colored(self.global.color, &std::io::stderr())));
    }

    /// One line for a supervisor.
    fn status(&self) -> String {
        let (nodes, living) = (self.fleet.addrs().len(), self.fleet.living().len() + 1);
        let dead = nodes - living + usize::from(self.fleet.is_dead(PeerId::WAREHOUSE));
        let addr = self.fleet.addr(PeerId::WAREHOUSE).unwrap_or_default();
        format!("{nodes} nodes, {dead} dead, warehouse at {addr}")
    }

    fn header(&self) {
        if !self.global.quiet && !self.global.json {
            note(lines::header(&self.fleet, self.page.as_ref().map(Served::url)).trim_end());
        }
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}
