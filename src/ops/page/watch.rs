//! Looks at the market while somebody looks at the page, and tells of it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::rates::Rates;
use super::snapshot::{Seen, snapshot};
use super::{Hub, Target, past};
use crate::limits::{
    PAGE_ASK_MAX, PAGE_BEGAN_MAX, PAGE_CHECK_EVERY, PAGE_CHECK_MAX, PAGE_LOOK_EVERY, PAGE_MESSAGES_EVERY,
    PAGE_MESSAGES_MAX, PAGE_RECORD_EVERY, PAGE_UNDER_WAY_MAX,
};
use crate::model::traced::{Traced, Wanted};
use crate::node::wall_now;
use crate::ops::market::Reports;
use crate::ops::record::Sample;
use crate::ops::trace::{Pairing, gather};
use crate::ops::verify::child::{self, Verified};
use crate::types::{PeerId, node_name};

/// What viewers are told.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// `market` or `messages`.
    pub(super) name: &'static str,
    pub(super) data: Arc<str>,
}

/// Begins to look; ends with the process.
pub(super) fn begin(hub: &Arc<Hub>) {
    tokio::spawn(look(Arc::clone(hub)));
    tokio::spawn(listen(Arc::clone(hub)));
}

impl Hub {
    fn is_seen(&self) -> bool {
        self.news.receiver_count() > 0
    }

    fn tell(&self, name: &'static str, data: &Value) {
        // The last viewer may have gone meanwhile.
        let _ = self.news.send(News { name, data: data.to_string().into() });
    }
}

async fn look(hub: Arc<Hub>) {
    let mut ticks = interval(PAGE_LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seen, mut checks, mut recorder) = (Seen::default(), Checks::default(), Recorder::default());
    loop {
        ticks.tick().await;
        let due = !hub.measured && recorder.is_due();
        if !hub.is_seen() && !due {
            continue;
        }
        let reports = hub.reports(PAGE_ASK_MAX).await;
        if due {
            recorder.record(&hub, &reports);
        }
        if !hub.is_seen() {
            continue;
        }
        if !hub.measured
            && let Some(verdict) = checks.next(&hub.target).await
        {
            hub.shown.checked(verdict);
        }
        if seen.began == 0 {
            let began = tokio::time::timeout(PAGE_BEGAN_MAX, past::began(&hub)).await;
            // A warehouse that does not answer is asked again.
            seen.began = began.ok().flatten().unwrap_or_default();
        }
        hub.tell("market", &snapshot(&hub, &reports, &mut seen));
    }
}

/// Keeps what the market does, from its nodes' reports, also while nobody looks.
#[derive(Default)]
struct Recorder {
    last: Option<Instant>,
    rates: Rates,
}

impl Recorder {
    fn is_due(&self) -> bool {
        self.last.is_none_or(|at| at.elapsed() >= PAGE_RECORD_EVERY)
    }

    fn record(&mut self, hub: &Hub, reports: &Reports) {
        self.last = Some(Instant::now());
        let at_s = hub.record.seconds(wall_now().0);
        if let Some(interval) = self.rates.look(&reports.answered, at_s) {
            hub.record.load(interval);
        }
        for (node, pid, dir) in hub.processes(reports) {
            if let Some(sample) = Sample::of(pid, &dir, at_s) {
                hub.record.sample(node, sample);
            }
        }
    }
}

impl Hub {
    /// The nodes that run on this machine, as far as that is known: process and directory.
    fn processes(&self, reports: &Reports) -> Vec<(PeerId, u32, PathBuf)> {
        let pid = |node: PeerId| reports.answered.get(&node).map(|report| report.pid);
        match (self.shown.lives(), &self.target) {
            (lives, _) if !lives.is_empty() => {
                let alive = lives.into_iter().filter(|(_, life)| !life.dead);
                alive.map(|(node, life)| (node, pid(node).unwrap_or(life.pid), life.dir)).collect()
            }
            (_, Target::Dir(dir)) => {
                let answered = reports.answered.iter();
                answered.map(|(node, report)| (*node, report.pid, dir.join(node_name(*node)))).collect()
            }
            (_, Target::Addr(_)) => Vec::new(),
        }
    }
}

/// Checks of all stores, one after the other.
#[derive(Default)]
struct Checks {
    began: Option<Instant>,
    running: Option<JoinHandle<Value>>,
}

impl Checks {
    /// Begins one if it is time for it; the verdict of one that has ended.
    async fn next(&mut self, target: &Target) -> Option<Value> {
        let due = self.began.is_none_or(|at| at.elapsed() >= PAGE_CHECK_EVERY);
        if self.running.is_none() && due {
            self.began = Some(Instant::now());
            self.running = Some(tokio::spawn(check(target.clone())));
        }
        let ended = self.running.take_if(|running| running.is_finished())?;
        ended.await.ok()
    }
}

/// All stores, by a process of its own, which ends with this one.
async fn check(target: Target) -> Value {
    let market: [&OsStr; 2] = match &target {
        Target::Dir(dir) => [OsStr::new("--data-dir"), dir.as_os_str()],
        Target::Addr(addr) => [OsStr::new("--connect"), OsStr::new(addr)],
    };
    let verified = match child::command(&market, None) {
        Ok(command) => {
            let mut command = tokio::process::Command::from(command);
            let output = command.kill_on_drop(true).output();
            match tokio::time::timeout(PAGE_CHECK_MAX, output).await {
                Ok(output) => child::ended(output),
                Err(_) => child::undetermined(format!("verify took longer than {PAGE_CHECK_MAX:?}")),
            }
        }
        Err(error) => child::undetermined(error.to_string()),
    };
    verdict(wall_now().0, &verified)
}

/// As the page shows it.
pub(crate) fn verdict(time: u64, verified: &Verified) -> Value {
    json!({
        "time": time,
        "ok": verified.is_ok(),
        "checks": verified.checks,
        "why": if verified.is_ok() { String::new() } else { verified.why() },
    })
}

/// What is sent, as far as the nodes remember it.
async fn listen(hub: Arc<Hub>) {
    let mut ticks = interval(PAGE_MESSAGES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut heard, mut pairing) = (Heard::default(), Pairing::default());
    loop {
        ticks.tick().await;
        if !hub.is_seen() {
            continue;
        }
        // What was sent and does not come within this is not shown as under way.
        pairing.forget(wall_now().0.saturating_sub(PAGE_UNDER_WAY_MAX.as_micros() as u64));
        let events = heard.next(&hub).await;
        let arrows: Vec<Value> = events
            .iter()
            .filter_map(|(node, event)| pairing.event(*node, event))
            .filter_map(|arrow| {
                let (sent, came) = (arrow.sent?, arrow.came?);
                let (from, to) = (node_name(arrow.from), node_name(arrow.to));
                Some(json!({ "from": from, "to": to, "kind": arrow.kind(), "sent": sent, "came": came }))
            })
            .collect();
        let every = arrows.len().div_ceil(PAGE_MESSAGES_MAX).max(1);
        let sample: Vec<Value> = arrows.into_iter().step_by(every).collect();
        if !sample.is_empty() {
            hub.tell("messages", &Value::Array(sample));
        }
    }
}

/// How far each node's events were read.
#[derive(Default)]
struct Heard {
    since: u64,
}

impl Heard {
    /// What has happened since the last time, by time. The last moments are left for the next one, so that a message is
    /// not seen to come before it was sent.
    async fn next(&mut self, hub: &Hub) -> Vec<(PeerId, Traced)> {
        let to = wall_now().0.saturating_sub(PAGE_MESSAGES_EVERY.as_micros() as u64);
        let from = self.since.max(to.saturating_sub(4 * PAGE_MESSAGES_EVERY.as_micros() as u64));
        self.since = to + 1;
        let addrs = hub.shown.lasting().addrs.into_iter().collect();
        let wanted = Wanted { after: 0, from, to, order: None };
        let gathered = gather(&hub.lines, addrs, wanted, PAGE_ASK_MAX).await;
        let each = gathered.events.into_iter();
        let mut events: Vec<(PeerId, Traced)> =
            each.flat_map(|(node, events)| events.into_iter().map(move |it| (node, it))).collect();
        events.sort_by_key(|(node, it)| (it.time, it.came(), *node, it.number));
        events
    }
}
