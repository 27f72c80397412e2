//! A small log for this module's tests: counters per name, and a running hash of everything in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Birth, Durable, Fatal, Journal, Step, Ticket, Urgency};
use crate::model::fold::{Fold, Stored, Tree};
use crate::model::format_1::OfFormat1;
use crate::types::{PeerId, Seq, Stamp, Token, WallMicros};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Count {
    Add { name: u16, amount: u64 },
    Note(Vec<u8>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub counts: BTreeMap<u16, u64>,
    pub notes: u64,
    pub last: Seq,
    pub time: WallMicros,
    pub order: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Counts(Vec<(u16, u64)>),
    Rest { notes: u64, last: Seq, time: WallMicros, order: u64 },
}

impl OfFormat1 for Count {}
impl Stored for Count {
    fn pruned(self) -> Option<Count> {
        matches!(self, Count::Note(_)).then_some(self)
    }
}
impl OfFormat1 for Part {}
impl Stored for Part {}

impl Fold for Counts {
    type Record = Count;
    type Part = Part;
    const LOG: Tree = Tree::Ledger;

    fn apply(&mut self, seq: Seq, time: WallMicros, record: &Count) {
        assert_eq!(seq, self.last.next(), "no gap");
        (self.last, self.time) = (seq, time);
        let content = match record {
            Count::Add { name, amount } => {
                *self.counts.entry(*name).or_default() += amount;
                u64::from(*name) << 32 | amount
            }
            Count::Note(bytes) => {
                self.notes += 1;
                bytes.len() as u64
            }
        };
        self.order = self.order.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(content);
    }

    fn each_part(&self, give: &mut dyn FnMut(Tree, Part)) {
        let pairs: Vec<(u16, u64)> = self.counts.iter().map(|(name, count)| (*name, *count)).collect();
        pairs.chunks(100).for_each(|chunk| give(Tree::Inventory, Part::Counts(chunk.to_vec())));
        let Counts { notes, last, time, order, .. } = *self;
        give(Tree::Accounts, Part::Rest { notes, last, time, order });
    }

    fn restore(&mut self, part: Part) {
        match part {
            Part::Counts(pairs) => self.counts.extend(pairs),
            Part::Rest { notes, last, time, order } => {
                (self.notes, self.last, self.time, self.order) = (notes, last, time, order);
            }
        }
    }
}

pub(crate) fn add(name: u16, amount: u64) -> Count {
    Count::Add { name, amount }
}

pub(crate) fn step(records: Vec<Count>, clock: u64) -> Step<Count> {
    Step { records, time: WallMicros(clock), clock: Stamp(clock), urgency: Urgency::Now }
}

impl Counts {
    pub(crate) fn take(&mut self, time: u64, records: &[Count]) {
        for record in records {
            self.apply(self.last.next(), WallMicros(time), record);
        }
    }
}

pub(crate) fn birth() -> Birth {
    Birth::new("test", PeerId(0), "warehouse", Token([7; 32]))
}

/// Fails the test when called.
pub(crate) fn never() -> Fatal {
    Arc::new(|why| panic!("{why}"))
}

/// Keeps what it was called with.
pub(crate) fn caught() -> (Fatal, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let keep = said.clone();
    (Arc::new(move |fault| keep.lock().unwrap().push(fault.to_string())), said)
}

/// Waits until `holds`, for 10 s.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < end, "waited 10 s until {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

pub(crate) fn wait<F: Fold>(journal: &Journal<F>, ticket: Ticket) -> Durable {
    let reader = journal.reader();
    until("the ticket is durable", || reader.durable().ticket >= ticket);
    reader.durable()
}
