//! The run itself: one loop that plays the schedule, looks at everything at its times, and takes in what comes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use super::books::Books;
use super::faults::{self, Fault};
use super::history::Lines;
use super::schedule::{Planned, SCHEDULE};
use super::slope::warm_up;
use super::stage::Stage;
use super::verdict::Seen;
use super::{Plan, failed, line};
use crate::cli::{Global, SoakArgs};
use crate::limits::{
    INBOX_MAX, SOAK_CHECK_EVERY, SOAK_CHECK_EVERY_MIN, SOAK_DRAIN_MAX, START_MAX, TRACE_EVENTS_SOAK,
};
use crate::model::happening::What;
use crate::node::wall_now;
use crate::ops::live::Asking;
use crate::ops::market;
use crate::ops::output::{Failure, exit, grouped, note};
use crate::ops::page::{self, Market, Shown, Target};
use crate::ops::progress::Part;
use crate::ops::record::{Interval, Record, Sample};
use crate::ops::retry;
use crate::ops::rig::cluster::{Cluster, Node, Shape};
use crate::ops::rig::count::Count;
use crate::ops::rig::load::Load;
use crate::ops::source::open_offline;
use crate::ops::up::failovers::Failovers;
use crate::ops::up::watch::{News, Watches};
use crate::ops::verify::child::{Verified, verify};
use crate::types::{PeerId, node_name};

const HISTORY: &str = "history.jsonl";
/// Longer than any run: no fault is to come.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);
/// How often the offices are looked at while the market comes up.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks of a run, about: at a long one it is looked less often.
const LOOKS: u32 = 720;

/// How often a run of this length is looked at.
fn look_every(run: Duration) -> Duration {
    (run / LOOKS).clamp(Duration::from_secs(1), Duration::from_secs(30))
}

/// A check that ended, with the books that it went on with.
struct Checked {
    verified: Verified,
    books: Books,
    /// Why the running warehouse's ledger was not read, if it was not.
    unread: Option<Failure>,
}

/// See the module's text.
pub(super) struct Run {
    plan: Plan,
    stage: Stage,
    count: Count,
    floor: watch::Receiver<Instant>,
    stop: watch::Sender<bool>,
    load: JoinHandle<()>,
    began: Instant,
    seen: Seen,
    failovers: Failovers,
    /// None while a check has them.
    books: Option<Books>,
    checking: Option<JoinHandle<Checked>>,
    playing: JoinSet<Fault>,
    /// Nodes that had ended by themselves.
    returning: JoinSet<(PeerId, Result<(), Failure>)>,
    watches: Watches,
    news: mpsc::Receiver<News>,
    history: Lines,
    schedule: Lines,
    report: PathBuf,
    /// How long it is to last.
    planned: Duration,
    global: Global,
    terminal: Part,
}

async fn paired(addr: &str) -> Result<bool, Failure> {
    let report = market::report(addr, START_MAX).await;
    report.map(|report| report.roster.paired).map_err(|error| market::unreachable(addr, &error))
}

impl Run {
    /// Starts the market and the load, plays the schedule until time is up, and ends the load.
    pub(super) async fn start(
        plan: Plan,
        args: &SoakArgs,
        global: &Global,
        report: &Path,
    ) -> Result<Run, Failure> {
        let (mut plan, lines) =
            (plan, |name: &str| Lines::create(&report.join(name)).map_err(failed(report)));
        let (history, schedule) = (lines(HISTORY)?, lines(SCHEDULE)?);
        // Who looks wants to see messages.
        let trace_events = if args.http.is_some() { TRACE_EVENTS_SOAK } else { 0 };
        let shape = Shape { trace_events, ..Shape::new(args.nodes, args.consistency) };
        let cluster = Arc::new(Cluster::new(report, shape, plan.disk.take())?);
        let stage = Stage { cluster: Arc::clone(&cluster), shown: Shown::default() };
        let starting = stage.clone();
        blocking(move || starting.start()).await??;
        let warehouse = cluster.node(PeerId::WAREHOUSE).map(|node| node.addr()).unwrap_or_default();
        if !retry::until(LOOK_EVERY, START_MAX, async || paired(&warehouse).await).await? {
            return Err(Failure::new(exit::UNDETERMINED, "no pair of traders came into office"));
        }
        let addrs = cluster.nodes().map(|node| node.addr()).collect();
        let load = Load::open(&warehouse, addrs, args.rate).await?;
        let (count, floor, books) = (load.count(), load.floor(), Some(Books::new(load.ids())));
        let (stop, stopped) = watch::channel(false);
        let (sender, news) = mpsc::channel(INBOX_MAX);
        let seen = Seen { left_out: plan.left_out.clone(), ..Seen::default() };
        show(args, &stage, &seen.record, global).await?;
        let mut run = Run {
            seen,
            plan,
            stage,
            count,
            floor,
            stop,
            load: tokio::spawn(load.run(stopped)),
            began: Instant::now(),
            failovers: Failovers::default(),
            books,
            checking: None,
            playing: JoinSet::new(),
            returning: JoinSet::new(),
            watches: Watches::new(sender),
            news,
            history,
            schedule,
            report: report.to_owned(),
            planned: args.duration,
            global: global.clone(),
            terminal: line(global),
        };
        run.watch();
        run.play(args).await?;
        run.end_load().await;
        Ok(run)
    }

    fn at_s(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// What happens at the nodes says when a trader was suspected and taken over.
    fn watch(&mut self) {
        for node in self.stage.cluster.nodes() {
            self.watches.begin(node.id, &node.addr());
        }
    }

    async fn play(&mut self, args: &SoakArgs) -> Result<(), Failure> {
        let caught = |kind| signal(kind).map_err(|error| Failure::new(exit::FAILURE, error.to_string()));
        let (mut int, mut term) = (caught(SignalKind::interrupt())?, caught(SignalKind::terminate())?);
        let check_every = (args.duration / 6).clamp(SOAK_CHECK_EVERY_MIN, SOAK_CHECK_EVERY);
        let mut looks = tokio::time::interval(look_every(args.duration));
        let mut checks = tokio::time::interval_at((self.began + check_every).into(), check_every);
        let mut next = self.plan.next();
        while !self.is_over(args) {
            let due = next.as_ref().map_or(NEVER, |fault| Duration::from_millis(fault.at_ms));
            let wake = self.began + if args.until_failure { due } else { due.min(args.duration) };
            tokio::select! {
                _ = looks.tick() => self.look(),
                _ = checks.tick() => self.check(),
                Some(fault) = self.playing.join_next() => self.played(fault),
                Some(returned) = self.returning.join_next() => self.returned(returned),
                checked = ended(&mut self.checking) => self.checked(checked),
                Some(news) = self.news.recv() => self.heard(news),
                () = tokio::time::sleep_until(wake.into()) => {
                    if let Some(fault) = next.take_if(|_| self.began.elapsed() >= due) {
                        self.begin(fault);
                        next = self.plan.next();
                    }
                }
                _ = int.recv() => self.seen.interrupted = true,
                _ = term.recv() => self.seen.interrupted = true,
            }
        }
        // Ending takes a while; the next one ends at once, and the nodes with this process.
        tokio::spawn(async move {
            int.recv().await;
            std::process::exit(i32::from(exit::INTERRUPTED));
        });
        Ok(())
    }

    fn is_over(&self, args: &SoakArgs) -> bool {
        let wrong = !self.seen.broken.is_empty() || !self.seen.missed.is_empty();
        let over = if args.until_failure { wrong } else { self.began.elapsed() >= args.duration };
        over || self.seen.interrupted
    }

    // ---- faults

    fn begin(&mut self, fault: Planned) {
        self.schedule.add(&fault);
        self.schedule.flush();
        let roster = self.count.look().roster.clone();
        self.failovers.offices(&roster);
        let silences = matches!(fault.kind.as_str(), "kill" | "pause");
        for node in fault.nodes().filter(|node| silences && roster.held_by(*node).is_some()) {
            self.failovers.ended(node, wall_now().0);
        }
        self.playing.spawn(faults::play(
            fault,
            self.stage.clone(),
            (self.count.clone(), self.floor.clone()),
            self.began,
        ));
    }

    fn played(&mut self, fault: Result<Fault, tokio::task::JoinError>) {
        let Ok(fault) = fault else {
            return self.seen.unclear.push("a fault was not played to its end".to_owned());
        };
        for (node, why) in &fault.lost {
            let (kind, at) = (&fault.planned.kind, fault.at_s);
            self.seen.broken.push(format!(
                "{} did not come back after {kind} at {at:.1} s: {}",
                node_name(*node),
                why.what
            ));
        }
        if fault.recovered.is_none() {
            let (kind, at) = (&fault.planned.kind, fault.at_s);
            self.seen
                .missed
                .push(format!("trade did not go on after {kind} of {} at {at:.1} s", fault.nodes()));
        }
        self.history.event("fault", fault.json());
        self.seen.faults.push(fault);
    }

    // ---- looking

    fn look(&mut self) {
        let at_s = self.at_s();
        self.sample(at_s);
        let last = self.seen.record.last().map_or(0.0, |it| it.at_s);
        let interval = {
            let mut count = self.count.look();
            let (told, ms) = (count.interval_us.len() as f64, |us: u64| us as f64 / 1_000.0);
            let of = &count.interval_us;
            let (p50_ms, p99_ms) = (ms(of.value_at_quantile(0.5)), ms(of.value_at_quantile(0.99)));
            let (max_ms, open) = (ms(of.max()), count.open as f64);
            count.interval_us.reset();
            Interval { at_s, per_s: told / (at_s - last).max(0.001), p50_ms, p99_ms, max_ms, open }
        };
        self.history.event("load", interval.json());
        self.seen.record.load(interval);
        self.history.flush();
        self.mind_the_dead();
        self.seen.unclear.extend(self.stage.cluster.links.take_failed());
        let wrong = std::mem::take(&mut self.count.look().wrong);
        self.seen.told_wrong += wrong.len() as u64;
        self.seen.broken.extend(wrong);
        self.terminal.says(|| self.status());
    }

    /// One of each node that runs.
    fn sample(&mut self, at_s: f64) {
        for node in self.stage.cluster.nodes() {
            let Some(sample) = node.pid().and_then(|pid| Sample::of(pid, &node.dir, at_s)) else { continue };
            let Sample { rss, fds, threads, disk, .. } = sample;
            self.history.event("sample", json!({
                "at_s": at_s, "node": node_name(node.id), "rss": rss, "fds": fds, "threads": threads, "disk": disk,
            }));
            self.seen.record.sample(node.id, sample);
        }
    }

    /// A node that ends by itself has failed. It is started again, so that the run goes on.
    fn mind_the_dead(&mut self) {
        for (node, why) in self.stage.cluster.ended_by_themselves() {
            self.seen.broken.push(why.what.clone());
            self.history
                .event("ended", json!({ "at_s": self.at_s(), "node": node_name(node), "why": why.what }));
            self.stage.shown.died(node, why.what);
            let stage = self.stage.clone();
            self.returning.spawn_blocking(move || (node, stage.start_node(node)));
        }
    }

    fn returned(&mut self, returned: Result<(PeerId, Result<(), Failure>), tokio::task::JoinError>) {
        match returned {
            Ok((node, Err(why))) => {
                self.seen.broken.push(format!("{} does not start again: {}", node_name(node), why.what));
            }
            Ok((_, Ok(()))) => {}
            Err(_) => self.seen.unclear.push("a node was not started to its end".to_owned()),
        }
    }

    /// The most important first: a narrow terminal shows no more.
    fn status(&self) -> String {
        let count = self.count.look();
        let check = self.seen.checks.last().map_or("no check yet".to_owned(), |check| {
            let found = if check.is_ok() { "ok" } else { "NOT ok" };
            format!("{found} {:.0} s ago", self.at_s() - check.at_s)
        });
        let (seconds, faults) = (self.began.elapsed().as_secs(), self.seen.faults.len());
        let (told, open, unsure) = (grouped(count.told), count.open, count.unsure);
        let (resolved, per_s) = (count.resolved, self.seen.record.last().map_or(0.0, |it| it.per_s));
        format!(
            "soak {}:{:02}  {told} ({per_s:.0}/s)  open {open}  unsure {unsure} ({resolved} resolved)  faults {faults}  \
             {check}{}",
            seconds / 60,
            seconds % 60,
            self.growth(),
        )
    }

    /// Of the node that grows most, once that says anything.
    fn growth(&self) -> String {
        if self.began.elapsed() < 2 * warm_up(self.planned) {
            return String::new();
        }
        let trends = self.seen.trends_after(warm_up(self.planned), |sample| sample.rss);
        let most = trends.into_values().map(|it| it.slope_per_h).fold(0.0, f64::max);
        format!("  memory {:+.1} MiB/h", most / (1 << 20) as f64)
    }

    fn heard(&mut self, news: News) {
        match news {
            News::Happened(it) => {
                match it.what {
                    What::Roster(roster) => return self.failovers.offices(&roster),
                    What::Suspected(trader) => self.failovers.suspected(trader, it.time),
                    What::TookOver(trader) => self.failovers.took_over(it.peer, trader, it.time),
                    // Its line is for people who look on.
                    What::Replayed(trader, replayed) => drop(self.failovers.replayed(trader, replayed)),
                    _ => return,
                }
                self.stage.shown.failed_over(self.failovers.with_times());
            }
            News::Report(..) => {}
            News::Gone(node, watch) if self.watches.is_present(node, watch) => {
                let addr = self.stage.cluster.node(node).map(Node::addr).unwrap_or_default();
                self.watches.begin(node, &addr);
            }
            News::Gone(..) => {}
        }
    }

    // ---- checks

    fn check(&mut self) {
        let Some(mut books) = self.books.take() else { return };
        let (at_s, market, file) =
            (self.at_s(), self.stage.cluster.dir.clone(), self.report.join("verified"));
        let warehouse =
            self.stage.cluster.node(PeerId::WAREHOUSE).map(|node| node.addr()).unwrap_or_default();
        let (count, global) =
            (self.count.clone(), Global { quiet: true, json: false, ..self.global.clone() });
        self.checking = Some(tokio::task::spawn_blocking(move || {
            let verified = verify(&market, Some(&file), at_s);
            books.hear(std::mem::take(&mut count.look().to_compare));
            // A warehouse that is away is read the next time, and its store at the end.
            let ledger = Asking::new(&global, false).and_then(|asking| asking.node(&warehouse));
            let read = ledger.and_then(|mut ledger| Ok(books.read(&mut ledger)?));
            Checked { verified, books, unread: read.err() }
        }));
    }

    fn checked(&mut self, checked: Result<Checked, tokio::task::JoinError>) {
        self.checking = None;
        let Ok(Checked { verified, books, unread }) = checked else {
            return self.seen.unclear.push("a check was not made to its end".to_owned());
        };
        self.history.event("check", verified.json());
        if let Some(why) = unread {
            self.history.event("ledger not read", json!({ "at_s": verified.at_s.round(), "why": why.what }));
        }
        if verified.is_broken() {
            self.seen.broken.push(format!("check at {:.0} s: {}", verified.at_s, verified.why()));
        }
        self.stage.shown.checked(page::verdict(wall_now().0, &verified));
        self.seen.checks.push(verified);
        self.books = Some(books);
    }

    // ---- the end

    async fn end_load(&mut self) {
        self.seen.elapsed = self.began.elapsed();
        // Each of them ends within its time.
        while let Some(fault) = self.playing.join_next().await {
            self.played(fault);
        }
        while let Some(returned) = self.returning.join_next().await {
            self.returned(returned);
        }
        if let Some(checking) = self.checking.take() {
            self.checked(checking.await);
        }
        self.stop.send_replace(true);
        let within = SOAK_DRAIN_MAX + Duration::from_secs(5);
        if tokio::time::timeout(within, &mut self.load).await.is_err() {
            self.load.abort();
        }
        self.look();
    }

    /// Ends the nodes, looks at all their stores once more, and judges.
    pub(super) fn finish(mut self, runtime: &Runtime, args: &SoakArgs) -> Result<Seen, Failure> {
        self.seen.broken.extend(self.stage.cluster.stop());
        // Nobody tells anything any more, and nobody is watched.
        self.news.close();
        runtime.block_on(async { tokio::task::yield_now().await });
        if let Some(disk) = &self.stage.cluster.disk {
            let dir = self.stage.cluster.dir.join(node_name(PeerId(args.nodes)));
            disk.keep(&dir).map_err(failed(&dir))?;
        }
        let last = verify(&self.stage.cluster.dir, None, self.at_s());
        if last.is_broken() {
            self.seen.broken.push(format!("the last check: {}", last.why()));
        }
        self.history.event("check", last.json());
        self.seen.checks.push(last);
        self.compare();
        let count = self.count.look();
        let (due, told, open, resolved) = (count.due, count.told, count.open, count.resolved);
        let latency_us = Some(count.latency_us.clone());
        drop(count);
        let opened = self.stage.cluster.nodes().map(|node| (node.id, node.opened())).collect();
        let (detected_ms, took_over_ms) = self.failovers.times().unzip();
        self.history.flush();
        self.seen
            .unclear
            .extend(self.history.failed.take().map(|why| format!("the history is not whole: {why}")));
        let mut seen =
            Seen { due, told, open, resolved, latency_us, opened, detected_ms, took_over_ms, ..self.seen };
        seen.judge(args);
        Ok(seen)
    }

    /// What clients were told against the stopped warehouse's store.
    fn compare(&mut self) {
        let Some(mut books) = self.books.take() else { return };
        books.hear(std::mem::take(&mut self.count.look().to_compare));
        let warehouse = self.stage.cluster.dir.join(node_name(PeerId::WAREHOUSE));
        let read = open_offline(&warehouse)
            .map_err(|error| error.to_string())
            .and_then(|mut ledger| books.read(&mut ledger).map_err(|error| error.to_string()));
        match read {
            Ok(()) => self.seen.lost = books.close(),
            Err(why) => self.seen.unclear.push(format!("what was told could not be compared: {why}")),
        }
        (self.seen.compared, self.seen.told_wrong) = (books.compared, self.seen.told_wrong + books.wrong);
        self.seen.broken.extend(std::mem::take(&mut books.examples));
    }
}

/// Serves a page of the market while it is under load, if one is wanted.
async fn show(args: &SoakArgs, stage: &Stage, record: &Record, global: &Global) -> Result<(), Failure> {
    let Some(at) = args.http else { return Ok(()) };
    let target = Target::Dir(stage.cluster.dir.clone());
    let market = Market {
        target,
        shown: stage.shown.clone(),
        acts: None,
        cuttable: false,
        record: Some(record.clone()),
    };
    let served = page::serve(at, market, global.timeout).await?;
    if !global.quiet {
        note(format_args!("page: {}", served.url()));
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(exit::FAILURE, error.to_string()))
}

/// The end of a check; never, while there is none.
async fn ended(checking: &mut Option<JoinHandle<Checked>>) -> Result<Checked, tokio::task::JoinError> {
    match checking {
        Some(checking) => checking.await,
        None => std::future::pending().await,
    }
}
