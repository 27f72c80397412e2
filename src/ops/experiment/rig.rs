//! Runs on a market of real processes under a load that does not wait for answers.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::market::object;
use super::results::{Cell, Figures};
use super::work::{Fault, Rig, Trouble};
use crate::limits::{CALL_DEADLINE, START_MAX};
use crate::model::report::Report;
use crate::ops::market;
use crate::ops::output::{Failure, exit};
use crate::ops::retry;
use crate::ops::rig::cluster::{Cluster, Node, Shape};
use crate::ops::rig::count::Count;
use crate::ops::rig::delay::{detach, slow};
use crate::ops::rig::links::Cut;
use crate::ops::rig::load::Load;
use crate::types::{Office, PeerId};

/// How often the load is looked at, and a cache asked for its age.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Points of a picture over time are this far apart, in seconds.
const POINT_S: f64 = 0.1;

/// Work that blocks, off the runtime's threads.
///
/// # Errors
/// It did not end.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::new(exit::FAILURE, error.to_string()))
}

/// A market whose offices are held.
///
/// # Errors
/// It does not start.
pub(super) async fn started(dir: &Path, shape: Shape) -> Result<Arc<Cluster>, Failure> {
    let cluster = Arc::new(Cluster::new(dir, shape, None)?);
    let starting = Arc::clone(&cluster);
    blocking(move || starting.start()).await??;
    let warehouse = addr(&cluster, PeerId::WAREHOUSE);
    let held = |report: &Report| match shape.peers {
        1 => report.roster.primary.as_ref().is_some_and(|seat| !seat.addr.is_empty()),
        _ => report.roster.paired,
    };
    let ready = retry::until(LOOK_EVERY, START_MAX, async || {
        Ok::<_, Failure>(market::report(&warehouse, CALL_DEADLINE).await.is_ok_and(|report| held(&report)))
    });
    if ready.await? {
        Ok(cluster)
    } else {
        Err(Failure::new(exit::UNDETERMINED, "no traders came into office"))
    }
}

pub(super) fn addr(cluster: &Cluster, id: PeerId) -> String {
    cluster.node(id).map(Node::addr).unwrap_or_default()
}

/// See the module's text.
///
/// # Errors
/// The market does not start.
pub(super) async fn run(rig: &Rig, dir: &Path) -> Result<Cell, Failure> {
    let shape = Shape { far_ms: rig.far_ms, ..Shape::new(rig.peers, Some(rig.mode)) };
    let cluster = started(dir, shape).await?;
    let late =
        cluster.node(PeerId::WAREHOUSE).filter(|_| rig.late_ms > 0).and_then(|it| slow(it, rig.late_ms));
    let addrs = cluster.nodes().map(Node::addr).collect();
    let load = Load::open(&addr(&cluster, PeerId::WAREHOUSE), addrs, rig.rate).await?;
    let count = load.count();
    let (stop, stopped) = watch::channel(false);
    let load = tokio::spawn(load.run(stopped));
    let mut seen = Seen::new(count.clone());
    let ends = Instant::now() + Duration::from_secs(rig.seconds);
    let watching = async {
        while Instant::now() < ends {
            seen.look(rig, &cluster).await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let playing = async {
        match rig.trouble {
            Some(trouble) => play(trouble, Arc::clone(&cluster), count.clone()).await,
            None => Vec::new(),
        }
    };
    let ((), played) = tokio::join!(watching, playing);
    let offered = seen.began.elapsed().as_secs_f64();
    let answered = count.look().latency_us.len();
    stop.send_replace(true);
    let drained = load.await;
    late.into_iter().for_each(detach);
    if drained.is_err() {
        return Err(Failure::new(exit::FAILURE, "the load did not end"));
    }
    let mut cell = seen.cell(rig, &played, answered as f64 / offered);
    let market = cluster.dir.clone();
    let bad = blocking(move || cluster.stop()).await?;
    if let Some(bad) = bad.first() {
        return Err(Failure::new(exit::UNDETERMINED, bad.clone()));
    }
    let broken = f64::from(u8::from(!is_sound(&market).await?));
    cell.runs.iter_mut().for_each(|run| *run.entry("wrong".to_owned()).or_default() += broken);
    Ok(cell)
}

/// Whether all invariants hold over its stores.
async fn is_sound(market: &Path) -> Result<bool, Failure> {
    let args = ["verify", "--json", "--data-dir", "market"].map(str::to_owned);
    let dir = market.parent().unwrap_or(market);
    let verdict = object(dir, &args, &[i32::from(exit::DONE), i32::from(exit::BROKEN)]).await?;
    Ok(verdict["pass"] == true)
}

/// What went wrong, and what came of it.
#[derive(Clone, Debug)]
struct Played {
    fault: Fault,
    from_s: f64,
    to_s: f64,
    /// Orders that were answered while it lasted, of those that were due.
    answered: u64,
    due: u64,
    /// From its end until all that was due by then was settled.
    settled: Option<Duration>,
}

async fn play(trouble: Trouble, cluster: Arc<Cluster>, count: Count) -> Vec<Played> {
    let began = Instant::now();
    let mut all = Vec::new();
    for nth in 0..trouble.times {
        let at = Duration::from_millis(trouble.first_ms + u64::from(nth) * trouble.each_ms);
        tokio::time::sleep_until((began + at).into()).await;
        let (from_s, before) = (began.elapsed().as_secs_f64(), progress(&count));
        let undo = begin(trouble.fault, &cluster, &count);
        tokio::time::sleep(Duration::from_millis(trouble.for_ms)).await;
        let (to_s, after) = (began.elapsed().as_secs_f64(), progress(&count));
        let ended = Instant::now();
        let ending = Arc::clone(&cluster);
        // A node that does not come back is missed by all that follows.
        let _ = blocking(move || end(&ending, undo)).await;
        let due = after.1;
        let settled =
            retry::until(LOOK_EVERY, START_MAX, async || Ok::<_, Failure>(count.look().told >= due)).await;
        let settled = settled.is_ok_and(|settled| settled).then(|| ended.elapsed());
        let (answered, due) = (after.0 - before.0, after.1 - before.1);
        all.push(Played { fault: trouble.fault, from_s, to_s, answered, due, settled });
    }
    all
}

/// Orders that have an answer, and those that were due.
fn progress(count: &Count) -> (u64, u64) {
    let count = count.look();
    (count.latency_us.len(), count.due)
}

/// What makes it well again.
enum Undo {
    Nothing,
    Start(PeerId),
    GoOn(PeerId),
    Heal(Vec<(PeerId, PeerId)>),
}

fn begin(fault: Fault, cluster: &Cluster, count: &Count) -> Undo {
    if fault == Fault::NoWarehouse {
        cluster.kill(PeerId::WAREHOUSE);
        return Undo::Start(PeerId::WAREHOUSE);
    }
    let Some(primary) = count.look().roster.get(Office::Primary).map(|seat| seat.peer) else {
        return Undo::Nothing;
    };
    match fault {
        Fault::Pause => {
            cluster.node(primary).into_iter().for_each(Node::pause);
            Undo::GoOn(primary)
        }
        Fault::Partition => {
            let others = cluster.nodes().map(|node| node.id).filter(|id| *id != primary);
            let pairs: Vec<_> = others.map(|other| (primary, other)).collect();
            cluster.links.cut(&pairs, Cut::Silent);
            Undo::Heal(pairs)
        }
        Fault::Kill | Fault::NoWarehouse => {
            cluster.kill(primary);
            Undo::Start(primary)
        }
    }
}

fn end(cluster: &Cluster, undo: Undo) -> Result<(), Failure> {
    match undo {
        Undo::Nothing => Ok(()),
        Undo::Start(node) => cluster.start_node(node),
        Undo::GoOn(node) => {
            cluster.node(node).into_iter().for_each(Node::go_on);
            Ok(())
        }
        Undo::Heal(pairs) => {
            cluster.links.heal(&pairs);
            Ok(())
        }
    }
}

/// What was seen while it ran.
struct Seen {
    count: Count,
    began: Instant,
    /// When the last point was made, and how many orders had an answer then.
    last: (f64, u64),
    series: Vec<(f64, f64, f64)>,
    /// Rows that the primary's cache was behind, and its age in milliseconds.
    caches: Vec<(f64, f64)>,
}

impl Seen {
    fn new(count: Count) -> Seen {
        Seen { count, began: Instant::now(), last: (0.0, 0), series: Vec::new(), caches: Vec::new() }
    }

    async fn look(&mut self, rig: &Rig, cluster: &Cluster) {
        let at = self.began.elapsed().as_secs_f64();
        if at - self.last.0 >= POINT_S {
            let mut count = self.count.look();
            let answered = count.latency_us.len();
            let p99_ms = count.interval_us.value_at_quantile(0.99) as f64 / 1_000.0;
            count.interval_us.reset();
            drop(count);
            self.series.push((at, (answered - self.last.1) as f64 / (at - self.last.0), p99_ms));
            self.last = (at, answered);
        }
        if rig.watches_cache {
            let primary = self.count.look().roster.get(Office::Primary).map(|seat| seat.peer);
            let Some(primary) = primary.map(|peer| addr(cluster, peer)) else { return };
            if let Ok(report) = market::report(&primary, CALL_DEADLINE).await {
                let behind = report.ledger.0.0.saturating_sub(report.stock_seq.0);
                self.caches.push((behind as f64, report.cache_age_ms as f64));
            }
        }
    }

    fn cell(self, rig: &Rig, played: &[Played], orders_per_s: f64) -> Cell {
        let count = self.count.look();
        let ms = |quantile| count.latency_us.value_at_quantile(quantile) as f64 / 1_000.0;
        let longest = played.iter().map(|it| {
            let at = |seconds| count.began + Duration::from_secs_f64(seconds);
            count.longest_wait(at(it.from_s), at(it.to_s)).as_secs_f64() * 1_000.0
        });
        let mut figures = Figures::from(
            [
                ("orders_per_s", orders_per_s),
                ("p50_ms", ms(0.5)),
                ("p99_ms", ms(0.99)),
                ("early", count.early as f64),
                ("taken_back", count.taken_back as f64),
                ("wrong", count.wrong.len() as f64 + count.open as f64),
            ]
            .map(|(key, value)| (key.to_owned(), value)),
        );
        if !played.is_empty() {
            figures.insert("longest_wait_ms".to_owned(), longest.fold(0.0, f64::max));
            let (answered, due) =
                played.iter().fold((0, 0), |(answered, due), it| (answered + it.answered, due + it.due));
            figures.insert("answered_pct".to_owned(), 100.0 * answered as f64 / due.max(1) as f64);
            let settled = played.iter().map(|it| it.settled.unwrap_or(START_MAX).as_secs_f64() * 1_000.0);
            figures.insert("settled_after_ms".to_owned(), settled.fold(0.0, f64::max));
        }
        if rig.watches_cache {
            let of = |quantile, pick: fn(&(f64, f64)) -> f64| quantile_of(&self.caches, quantile, pick);
            figures.insert("behind_median".to_owned(), of(0.5, |it| it.0));
            figures.insert("behind_p99".to_owned(), of(0.99, |it| it.0));
            figures.insert("age_p99_ms".to_owned(), of(0.99, |it| it.1));
        }
        drop(count);
        let bands = played.iter().map(|it| (it.from_s, it.to_s, it.fault.name().to_owned())).collect();
        let series = if rig.trouble.is_some() { self.series } else { Vec::new() };
        Cell { at: Vec::new(), runs: vec![figures], series, bands }
    }
}

fn quantile_of(all: &[(f64, f64)], quantile: f64, pick: fn(&(f64, f64)) -> f64) -> f64 {
    let mut values: Vec<f64> = all.iter().map(pick).collect();
    values.sort_by(f64::total_cmp);
    let at = (values.len().saturating_sub(1) as f64 * quantile).round() as usize;
    values.get(at).copied().unwrap_or_default()
}
