//! What `up` knows of its children, for the page: who lives, who was paused, what befell them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::limits::PAGE_MARKS_MAX;
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
    /// `crashed`, `started`, `fence`, `office`, `mode` or `recovered`.
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

#[derive(Debug, Default)]
struct Inner {
    lives: BTreeMap<PeerId, Life>,
    failovers: Vec<Value>,
    marks: Vec<Mark>,
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
        if let Some(life) = inner.lives.get_mut(&node) {
            (life.dead, life.paused) = (true, false);
        }
        add(&mut inner.marks, Mark { time: wall_now().0, kind: "crashed", node, text: how });
    }

    /// A child was stopped, or goes on.
    pub(crate) fn paused(&self, node: PeerId, paused: bool) {
        if let Some(life) = self.inner().lives.get_mut(&node) {
            life.paused = paused;
        }
    }

    /// The failovers of the run so far.
    pub(crate) fn failed_over(&self, failovers: Vec<Value>) {
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
        assert!(shown.lives()[&node].paused && shown.marks().is_empty());
        shown.died(node, "killed by SIGKILL".to_owned());
        assert!(shown.is_dead(node) && !shown.lives()[&node].paused);
        shown.lives_now(node, life(2));
        assert!(!shown.is_dead(node));
        let kinds: Vec<_> = shown.marks().iter().map(|mark| (mark.kind, mark.text.clone())).collect();
        assert_eq!(kinds, [("crashed", "killed by SIGKILL".to_owned()), ("started", "pid 2".to_owned())]);
    }
}
