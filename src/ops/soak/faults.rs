//! What goes wrong, done to the nodes from outside, and how long it takes until trade goes on.

use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::watch;

use super::schedule::Planned;
use super::stage::Stage;
use crate::cli::FaultKind;
use crate::limits::SOAK_RECOVERY_MAX;
use crate::ops::output::Failure;
use crate::ops::rig::count::Count;
use crate::ops::rig::delay::{detach, lacks_strace, slow};
use crate::ops::rig::disk::SmallDisk;
use crate::ops::rig::links::Cut;
use crate::types::{PeerId, node_name};

/// What a kind needs that is not there, if anything: such a kind is left out, by name.
pub(super) fn lacks(kind: FaultKind, disk: &Result<SmallDisk, String>) -> Option<String> {
    match kind {
        FaultKind::SlowDisk => lacks_strace(),
        FaultKind::DiskFull => disk.as_ref().err().cloned(),
        _ => None,
    }
}

/// A fault that was played.
pub(super) struct Fault {
    pub planned: Planned,
    /// Seconds after the begin of the load.
    pub at_s: f64,
    /// How long an order waited at most that was due while it lasted: so long trade stood still for somebody. None: some
    /// client was not answered, long after the fault's end, what was due then.
    pub recovered: Option<Duration>,
    /// Nodes that did not come back, and why.
    pub lost: Vec<(PeerId, Failure)>,
}

impl Fault {
    /// Its nodes, for people.
    pub(super) fn nodes(&self) -> String {
        let names: Vec<String> = self.planned.nodes().map(node_name).collect();
        match (self.planned.kind(), names.as_slice()) {
            (Some(FaultKind::RestartAll), _) => "all".to_owned(),
            (Some(FaultKind::Partition), [one, others @ ..]) if others.len() > 1 => format!("{one} from all"),
            (Some(FaultKind::Partition), [one, other]) => format!("{one} from {other}"),
            _ => names.join(" "),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "at_s": (self.at_s * 1_000.0).round() / 1_000.0,
            "kind": self.planned.kind,
            "node": self.nodes(),
            "for_ms": self.planned.for_ms,
            "recovered_ms": self.recovered.map(|it| it.as_millis() as u64),
        })
    }
}

/// Does it, undoes it after its time, and waits until trade goes on for all clients.
pub(super) async fn play(
    planned: Planned,
    stage: Stage,
    (count, mut floor): (Count, watch::Receiver<Instant>),
    load_began: Instant,
) -> Fault {
    let (began, at_s) = (Instant::now(), load_began.elapsed().as_secs_f64());
    let lasts = Duration::from_millis(planned.for_ms);
    let (doing, done) = (stage.clone(), planned.clone());
    let undo = blocking(move || begin(&doing, &done)).await.unwrap_or(Undo::Nothing);
    tokio::time::sleep(lasts).await;
    let lost = blocking(move || end(&stage, undo)).await.unwrap_or_default();
    let ended = Instant::now();
    let served = floor.wait_for(|floor| *floor >= ended);
    let served = tokio::time::timeout(SOAK_RECOVERY_MAX, served).await.is_ok_and(|it| it.is_ok());
    let recovered = served.then(|| count.look().longest_wait(began, ended));
    Fault { planned, at_s, recovered, lost }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// What the page says of a node whose disk is wrong.
const FULL: &str = "disk-full";
const SLOW: &str = "slow-disk";

/// What makes it well again.
enum Undo {
    Nothing,
    Start(Vec<PeerId>),
    GoOn(PeerId),
    Heal(Vec<(PeerId, PeerId)>),
    Clear(PeerId),
    Hurry(PeerId, Option<Child>),
}

fn begin(stage: &Stage, planned: &Planned) -> Undo {
    let nodes: Vec<PeerId> = planned.nodes().collect();
    let Some((first, others)) = nodes.split_first() else { return Undo::Nothing };
    match planned.kind() {
        Some(FaultKind::Kill | FaultKind::RestartAll) => {
            nodes.iter().for_each(|node| stage.kill(*node));
            Undo::Start(nodes)
        }
        Some(FaultKind::Pause) => {
            stage.pause(*first, true);
            Undo::GoOn(*first)
        }
        Some(FaultKind::Partition) => {
            let pairs: Vec<_> = others.iter().map(|other| (*first, *other)).collect();
            stage.cut(&pairs, if planned.reset { Cut::Reset } else { Cut::Silent });
            Undo::Heal(pairs)
        }
        Some(FaultKind::DiskFull) => {
            stage.cluster.disk.iter().for_each(SmallDisk::fill);
            stage.shown.fault(*first, FULL, true);
            Undo::Clear(*first)
        }
        Some(FaultKind::SlowDisk) => {
            let strace = stage.cluster.node(*first).and_then(|node| slow(node, planned.late_ms));
            stage.shown.fault(*first, SLOW, true);
            Undo::Hurry(*first, strace)
        }
        None => Undo::Nothing,
    }
}

/// Gives the nodes that did not come back.
fn end(stage: &Stage, undo: Undo) -> Vec<(PeerId, Failure)> {
    match undo {
        Undo::Nothing => {}
        Undo::GoOn(node) => stage.pause(node, false),
        Undo::Heal(pairs) => stage.heal(&pairs),
        Undo::Clear(node) => {
            stage.cluster.disk.iter().for_each(SmallDisk::clear);
            stage.shown.fault(node, FULL, false);
        }
        Undo::Hurry(node, strace) => {
            strace.into_iter().for_each(detach);
            stage.shown.fault(node, SLOW, false);
        }
        Undo::Start(nodes) => {
            let start = |node: PeerId| stage.start_node(node).err().map(|why| (node, why));
            return nodes.into_iter().filter_map(start).collect();
        }
    }
    Vec::new()
}
