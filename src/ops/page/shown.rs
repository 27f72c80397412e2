//! What `up` or `soak` knows of its children, for the page: who lives, who was paused, what befell them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::limits::{PAGE_FAILOVERS_MAX, PAGE_MARKS_MAX};
use crate::node::wall_now;
use crate::types::{PeerId, node_name};

/// One child.
#[derive(Clone, Debug, Default)]
pub(crate) struct Life {
    pub(crate) addr: String,
    pub(crate) pid: u32,
    pub(crate) role: String,
    pub(crate) dir: PathBuf,
    pub(crate) dead: bool,
    pub(crate) paused: bool,
}

/// Something that a person looks for on the time line.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    /// Unix microseconds.
    pub(crate) time: u64,
    /// `crashed` until `started`, `fault` until `healed` of the same text; `fence`, `office` and `mode` are the ledger's.
    pub(crate) kind: &'static str,
    /// The node that it befell.
    pub(crate) node: PeerId,
    pub(crate) text: String,
}

impl Mark {
    pub(crate) fn json(&self) -> Value {
        json!({ "time": self.time, "kind": self.kind, "node": node_name(self.node), "text": self.text })
    }
}

/// How the mark of a cut link begins; the other node follows.
pub(super) const CUT_OFF: &str = "cut off from ";
/// The mark of a node that stands still.
pub(super) const PAUSED: &str = "paused";

#[derive(Debug, Default)]
struct Inner {
    lives: BTreeMap<PeerId, Life>,
    failovers: Vec<Value>,
    marks: Vec<Mark>,
    /// Links that carry nothing.
    cuts: BTreeSet<(PeerId, PeerId)>,
    /// The last check of all stores.
    verdict: Option<Value>,
    lasting: Lasting,
}

/// What holds for all of a market's time, or nearly: stores need not be asked for it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lasting {
    pub(super) cluster: String,
    pub(super) links: Value,
    /// Where the nodes listen that have answered,
    pub(super) addrs: BTreeMap<PeerId, String>,
    /// and their roles.
    pub(super) roles: BTreeMap<PeerId, String>,
    /// The last row of the ledger that was heard of.
    pub(super) ledger_seq: u64,
}

/// See the module's text. Clones are of one thing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown(Arc<Mutex<Inner>>);

impl Shown {
    /// A panic while it was held leaves whole values.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A child lives, or lives again.
    pub(crate) fn lives_now(&self, node: PeerId, life: Life) {
        let mut inner = self.inner();
        let mark = Mark { time: wall_now().0, kind: "started", node, text: format!("pid {}", life.pid) };
        if inner.lives.insert(node, life).is_some() {
            add(&mut inner.marks, mark);
        }
    }

    /// A child has ended; says how.
    pub(crate) fn died(&self, node: PeerId, how: String) {
        let mut inner = self.inner();
        let (mut was_paused, time) = (false, wall_now().0);
        if let Some(life) = inner.lives.get_mut(&node) {
            was_paused = std::mem::take(&mut life.paused);
            life.dead = true;
        }
        if was_paused {
            add(&mut inner.marks, Mark { time, kind: "healed", node, text: PAUSED.to_owned() });
        }
        add(&mut inner.marks, Mark { time, kind: "crashed", node, text: how });
    }

    /// A child was stopped, or goes on.
    pub(crate) fn paused(&self, node: PeerId, paused: bool) {
        let before =
            self.inner().lives.get_mut(&node).map(|life| std::mem::replace(&mut life.paused, paused));
        if before == Some(!paused) {
            self.fault(node, PAUSED, paused);
        }
    }

    /// Something goes wrong at a child, or is well again.
    pub(crate) fn fault(&self, node: PeerId, text: &str, wrong: bool) {
        let kind = if wrong { "fault" } else { "healed" };
        add(&mut self.inner().marks, Mark { time: wall_now().0, kind, node, text: text.to_owned() });
    }

    /// The link between two carries nothing any more, or carries again.
    pub(crate) fn cut(&self, one: PeerId, other: PeerId, cut: bool) {
        let (one, other) = (one.min(other), one.max(other));
        let changed = {
            let cuts = &mut self.inner().cuts;
            if cut { cuts.insert((one, other)) } else { cuts.remove(&(one, other)) }
        };
        if changed {
            self.fault(other, &format!("{CUT_OFF}{}", node_name(one)), cut);
        }
    }

    pub(super) fn cuts(&self) -> BTreeSet<(PeerId, PeerId)> {
        self.inner().cuts.clone()
    }

    /// All stores were checked.
    pub(crate) fn checked(&self, verdict: Value) {
        self.inner().verdict = Some(verdict);
    }

    pub(super) fn verdict(&self) -> Option<Value> {
        self.inner().verdict.clone()
    }

    /// The failovers of the run so far; the last ones of many are kept.
    pub(crate) fn failed_over(&self, mut failovers: Vec<Value>) {
        failovers.drain(..failovers.len().saturating_sub(PAGE_FAILOVERS_MAX));
        self.inner().failovers = failovers;
    }

    /// What was last seen to last.
    pub(super) fn lasts(&self, lasting: Lasting) {
        self.inner().lasting = lasting;
    }

    pub(super) fn lasting(&self) -> Lasting {
        self.inner().lasting.clone()
    }

    pub(super) fn lives(&self) -> BTreeMap<PeerId, Life> {
        self.inner().lives.clone()
    }

    pub(super) fn is_dead(&self, node: PeerId) -> bool {
        self.inner().lives.get(&node).is_some_and(|life| life.dead)
    }

    pub(super) fn failovers(&self) -> Vec<Value> {
        self.inner().failovers.clone()
    }

    pub(super) fn marks(&self) -> Vec<Mark> {
        self.inner().marks.clone()
    }
}

fn add(marks: &mut Vec<Mark>, mark: Mark) {
    if marks.len() == PAGE_MARKS_MAX {
        marks.remove(0);
    }
    marks.push(mark);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_befell_a_child_is_kept() {
        let (shown, node) = (Shown::default(), PeerId(6));
        let life = |pid| Life { pid, ..Life::default() };
        shown.lives_now(node, life(1));
        shown.paused(node, true);
        shown.paused(node, true);
        assert!(shown.lives()[&node].paused);
        shown.died(node, "killed by SIGKILL".to_owned());
        assert!(shown.is_dead(node) && !shown.lives()[&node].paused);
        shown.lives_now(node, life(2));
        assert!(!shown.is_dead(node));
        let kinds: Vec<_> = shown.marks().iter().map(|mark| (mark.kind, mark.text.clone())).collect();
        let expected = [
            ("fault", "paused"),
            ("healed", "paused"),
            ("crashed", "killed by SIGKILL"),
            ("started", "pid 2"),
        ];
        assert_eq!(kinds, expected.map(|(kind, text)| (kind, text.to_owned())));
    }
}
