//! What the checks counted: how often each held, how often not, and a few examples.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::row::Place;
use crate::types::{OrderId, Seq};

/// An invariant, by the number under which it is documented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Check {
    /// V01.
    Goods = 1,
    /// V02.
    NeverNegative,
    /// V03.
    ExactlyOnce,
    /// V04.
    ToldIsDone,
    /// V05.
    Chain,
    /// V06.
    Order,
    /// V07.
    Clock,
    /// V08.
    Money,
    /// V09.
    Fencing,
    /// V10.
    Caches,
    /// V11.
    Readable,
    /// V12.
    Durable,
}

impl Check {
    /// All, by number.
    pub(crate) const ALL: [Check; 12] = [
        Check::Goods,
        Check::NeverNegative,
        Check::ExactlyOnce,
        Check::ToldIsDone,
        Check::Chain,
        Check::Order,
        Check::Clock,
        Check::Money,
        Check::Fencing,
        Check::Caches,
        Check::Readable,
        Check::Durable,
    ];

    /// 1 for V01.
    pub(crate) fn number(self) -> u8 {
        self as u8
    }

    /// `V01`.
    pub(crate) fn id(self) -> String {
        format!("V{:02}", self.number())
    }

    /// In one or two words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Check::Goods => "goods",
            Check::NeverNegative => "never negative",
            Check::ExactlyOnce => "exactly once",
            Check::ToldIsDone => "told = done",
            Check::Chain => "chain",
            Check::Order => "order",
            Check::Clock => "clock",
            Check::Money => "money",
            Check::Fencing => "fencing",
            Check::Caches => "caches",
            Check::Readable => "readable",
            Check::Durable => "durable",
        }
    }
}

/// A case in which a check failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Example {
    /// What is wrong.
    pub what: String,
    /// Arguments of `bazaar dump` that show it.
    pub show: String,
    /// It may be over soon: a second look tells.
    pub underway: bool,
}

impl Example {
    /// With the arguments that show it.
    pub(crate) fn shown(what: String, show: String) -> Example {
        Example { what, show, underway: false }
    }

    /// The same, of something that may be over soon.
    pub(crate) fn underway(self) -> Example {
        Example { underway: true, ..self }
    }

    /// At a row of the ledger.
    pub(crate) fn row(place: &Place, what: impl std::fmt::Display) -> Example {
        Example::at(place.seq, what)
    }

    /// At a sequence of the ledger.
    pub(crate) fn at(seq: Seq, what: impl std::fmt::Display) -> Example {
        Example::shown(format!("row {seq}: {what}"), format!("ledger --from {seq} --to {seq}"))
    }

    /// In the life of an order.
    pub(crate) fn order(id: OrderId, what: impl std::fmt::Display) -> Example {
        Example::shown(format!("order {id}: {what}"), format!("--order {id}"))
    }

    /// In a node's store.
    pub(crate) fn node(name: &str, what: impl std::fmt::Display) -> Example {
        Example::shown(format!("{name}: {what}"), "meta".into())
    }
}

/// What one check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Cases looked at.
    pub checked: u64,
    /// Cases that failed.
    pub failed: u64,
    /// The first of them.
    pub examples: Vec<Example>,
    /// Cases that a restore lost, by its row: neither right nor wrong.
    pub lost: BTreeMap<Seq, u64>,
}

/// The tallies of all checks.
#[derive(Clone, Debug)]
pub(crate) struct Alarms {
    tallies: [Tally; 12],
    examples_max: usize,
    /// Rows looked at.
    rows: u64,
}

impl Alarms {
    /// Keeps at most so many examples per check.
    pub(crate) fn new(examples_max: usize) -> Alarms {
        Alarms { tallies: Default::default(), examples_max, rows: 0 }
    }

    /// How many cases held, by check.
    pub(super) fn held(&self) -> Vec<(Check, u64)> {
        Check::ALL.into_iter().map(|check| (check, self.of(check).checked - self.of(check).failed)).collect()
    }

    /// The same limits, and nothing counted yet.
    pub(super) fn again(&self) -> Alarms {
        Alarms::new(self.examples_max)
    }

    /// Counts cases that hold.
    pub(crate) fn holds(&mut self, check: Check, cases: u64) {
        self.tallies[usize::from(check.number()) - 1].checked += cases;
    }

    /// Counts rows that are looked at.
    pub(super) fn looked_at(&mut self, rows: usize) {
        self.rows += rows as u64;
    }

    /// How many there were.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether nothing failed so far.
    pub(super) fn is_clean(&self) -> bool {
        self.tallies.iter().all(|tally| tally.failed == 0)
    }

    /// Adds what was found elsewhere, its examples behind those that are here.
    pub(super) fn add(&mut self, other: Alarms) {
        self.rows += other.rows;
        for (tally, found) in self.tallies.iter_mut().zip(other.tallies) {
            tally.checked += found.checked;
            tally.failed += found.failed;
            let room = self.examples_max.saturating_sub(tally.examples.len());
            tally.examples.extend(found.examples.into_iter().take(room));
            found.lost.into_iter().for_each(|(row, count)| *tally.lost.entry(row).or_default() += count);
        }
    }

    /// The same, its examples before those that are here.
    pub(super) fn add_before(&mut self, other: Alarms) {
        let behind = std::mem::replace(self, other);
        self.add(behind);
    }

    /// Counts a case; if it does not hold, `example` says what is wrong.
    pub(crate) fn check(&mut self, check: Check, holds: bool, example: impl FnOnce() -> Example) {
        let examples_max = self.examples_max;
        let tally = &mut self.tallies[usize::from(check.number()) - 1];
        tally.checked += 1;
        if !holds {
            tally.failed += 1;
            if tally.examples.len() < examples_max {
                tally.examples.push(example());
            }
        }
    }

    /// Counts a case that is not in the ledger because the restore of that row lost it.
    pub(crate) fn lost(&mut self, check: Check, row: Seq) {
        *self.tallies[usize::from(check.number()) - 1].lost.entry(row).or_default() += 1;
    }

    /// What a check found.
    pub(crate) fn of(&self, check: Check) -> &Tally {
        &self.tallies[usize::from(check.number()) - 1]
    }

    /// The checks that failed.
    pub(crate) fn failed(&self) -> Vec<Check> {
        Check::ALL.into_iter().filter(|check| self.of(*check).failed > 0).collect()
    }

    /// Keeps, of the failures of `check`, those that `again` has too: what a second look no longer finds was underway.
    pub(crate) fn confirm(&mut self, check: Check, again: &Alarms) {
        let tally = &mut self.tallies[usize::from(check.number()) - 1];
        let again = again.of(check);
        tally.examples.retain(|example| again.examples.contains(example));
        tally.failed = tally.examples.len() as u64;
    }

    /// The same for those alone that may be over soon.
    pub(crate) fn confirm_underway(&mut self, check: Check, again: &Alarms) {
        let tally = &mut self.tallies[usize::from(check.number()) - 1];
        let again = again.of(check);
        let before = tally.examples.len();
        tally.examples.retain(|example| !example.underway || again.examples.contains(example));
        tally.failed -= (before - tally.examples.len()) as u64;
    }
}
