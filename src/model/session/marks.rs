//! A set of numbers that takes little room: of a window of 4,096 numbers 1.5 KB at most.

use std::collections::BTreeMap;

const WORD: u32 = u64::BITS;

/// By words of 64 numbers; a word without any is not there, so that equal sets are equal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks(BTreeMap<u32, u64>);

impl Marks {
    pub(super) fn insert(&mut self, k: u32) {
        *self.0.entry(k / WORD).or_default() |= 1 << (k % WORD);
    }

    /// Takes a number out; false if it was not there.
    pub(super) fn remove(&mut self, k: u32) -> bool {
        let Some(word) = self.0.get_mut(&(k / WORD)) else { return false };
        let was_there = *word & 1 << (k % WORD) != 0;
        *word &= !(1 << (k % WORD));
        if *word == 0 {
            self.0.remove(&(k / WORD));
        }
        was_there
    }

    pub(super) fn contains(&self, k: u32) -> bool {
        self.0.get(&(k / WORD)).is_some_and(|word| word & 1 << (k % WORD) != 0)
    }

    /// The greatest.
    pub(super) fn last(&self) -> Option<u32> {
        let (at, word) = self.0.last_key_value()?;
        Some(at * WORD + word.ilog2())
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(|word| word.count_ones() as usize).sum()
    }

    /// Its words, ascending, each with its place.
    pub(super) fn words(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.0.iter().map(|(at, word)| (*at, *word))
    }

    /// Adds the numbers of a word.
    pub(super) fn insert_word(&mut self, at: u32, word: u64) {
        if word != 0 {
            *self.0.entry(at).or_default() |= word;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behave_like_a_set(steps in proptest::collection::vec((any::<bool>(), 0u32..200), 0..200)) {
            let (mut marks, mut model) = (Marks::default(), BTreeSet::new());
            for (adds, k) in steps {
                if adds {
                    marks.insert(k);
                    model.insert(k);
                } else {
                    prop_assert_eq!(marks.remove(k), model.remove(&k));
                }
                prop_assert_eq!((marks.last(), marks.len()), (model.last().copied(), model.len()));
                prop_assert_eq!(marks.contains(k), model.contains(&k));
            }
            let (mut again, mut words) = (Marks::default(), Marks::default());
            model.into_iter().rev().for_each(|k| again.insert(k));
            marks.words().for_each(|(at, word)| words.insert_word(at, word));
            prop_assert_eq!(&words, &again);
            prop_assert_eq!(marks, again, "equal sets are equal");
        }
    }
}
