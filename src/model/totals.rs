//! What a log adds up to, counted as it grows, so that nobody has to read all of it to say so.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{Money, WallMicros};

/// Counts over all records of a log. Kept in checkpoints: append only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Records by the number of their kind.
    pub kinds: Vec<u64>,
    /// Outcomes: decided in a ledger, told in a journal.
    pub outcomes: u64,
    /// What the decided orders cost, together.
    pub amount: Money,
    /// Wall clock of the first record.
    pub first: Option<WallMicros>,
}

impl Totals {
    /// Takes in a record of that kind.
    pub(super) fn count(&mut self, kind: usize, time: WallMicros) {
        if self.kinds.len() <= kind {
            self.kinds.resize(kind + 1, 0);
        }
        self.kinds[kind] += 1;
        self.first.get_or_insert(time);
    }

    /// How many records of that kind were counted.
    #[cfg(test)]
    pub(crate) fn of_kind(&self, kind: usize) -> u64 {
        self.kinds.get(kind).copied().unwrap_or_default()
    }

    /// How many records were counted.
    pub(crate) fn records(&self) -> u64 {
        self.kinds.iter().sum()
    }

    /// The kinds that there are, of those with these names by their numbers, and how many of each.
    pub(crate) fn by_name(&self, names: &[&'static str]) -> BTreeMap<&'static str, u64> {
        names.iter().copied().zip(self.kinds.iter().copied()).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_counted_by_their_numbers_and_the_first_time_is_kept() {
        let mut totals = Totals::default();
        for (kind, time) in [(2, 5), (0, 6), (2, 7)] {
            totals.count(kind, WallMicros(time));
        }
        assert_eq!(totals.kinds, [1, 0, 2]);
        assert_eq!((totals.records(), totals.first), (3, Some(WallMicros(5))));
        assert_eq!([0, 1, 2, 9].map(|kind| totals.of_kind(kind)), [1, 0, 2, 0]);
        let named = totals.by_name(&["stocked", "deposit", "sale", "refusal"]);
        assert_eq!(named, BTreeMap::from([("stocked", 1), ("sale", 2)]), "of those that there are");
    }
}
