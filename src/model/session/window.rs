//! The numbers of one epoch: which are decided, and what became of those that may be asked again.

use std::collections::VecDeque;

use super::marks::Marks;
use super::{Decided, Standing};
use crate::limits::SESSION_WINDOW;
use crate::model::row::OutcomeKind;
use crate::types::ProductId;

/// The numbers of one epoch, by their count `k`: all below `floor` are decided and acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    floor: u32,
    /// The outcomes that may be asked again, by number from the floor on.
    slots: VecDeque<Option<Box<Decided>>>,
    /// Decided numbers at or above the floor whose outcomes are in the ledger alone, and in the journal of the store that
    /// asked, if it was told.
    forgotten: Marks,
    /// Outcomes in `slots`.
    kept: u32,
    /// Numbers decided, ever.
    decided: u64,
}

impl Default for Window {
    fn default() -> Self {
        Window::restored(1, 0)
    }
}

impl Window {
    /// Where number `k` stands.
    pub fn standing(&self, k: u32) -> Standing<'_> {
        if k < self.floor || self.forgotten.contains(k) {
            return Standing::Stale;
        }
        match self.slots.get((k - self.floor) as usize) {
            Some(Some(decided)) => Standing::Decided(decided),
            _ if k - self.floor < SESSION_WINDOW => Standing::Open,
            _ if self.leading_decided(k - self.floor - SESSION_WINDOW + 1) => Standing::Open,
            _ => Standing::TooFar,
        }
    }

    fn leading_decided(&self, count: u32) -> bool {
        (self.floor..self.floor + count).all(|k| self.is_decided(k))
    }

    fn is_decided(&self, k: u32) -> bool {
        self.forgotten.contains(k) || self.slots.get((k - self.floor) as usize).is_some_and(Option::is_some)
    }

    /// Records the outcome of number `k`, which must be `Open`.
    pub fn decide(&mut self, k: u32, decided: Decided) {
        while k - self.floor >= SESSION_WINDOW {
            assert!(self.rise(), "the floor never passes an undecided number");
        }
        *self.slot(k) = Some(Box::new(decided));
        self.kept += 1;
        self.decided += 1;
    }

    /// The floor goes one up. Gives whether the number there was decided.
    fn rise(&mut self) -> bool {
        let kept = self.slots.pop_front().flatten().is_some();
        self.kept -= u32::from(kept);
        let forgotten = self.forgotten.remove(self.floor);
        self.floor += 1;
        kept || forgotten
    }

    /// The slot of a number at or above the floor.
    fn slot(&mut self, k: u32) -> &mut Option<Box<Decided>> {
        let at = (k - self.floor) as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, None);
        }
        &mut self.slots[at]
    }

    /// Keeps which numbers are decided, and no outcome any more.
    pub(super) fn forget(&mut self) {
        let slots = (self.floor..).zip(std::mem::take(&mut self.slots));
        slots.filter(|(_, slot)| slot.is_some()).for_each(|(k, _)| self.forgotten.insert(k));
        self.kept = 0;
        while self.forgotten.contains(self.floor) {
            self.rise();
        }
    }

    /// Records the outcome of number `k` of an epoch whose outcomes a restore lost. The numbers below `k` stay
    /// undecided for ever. Their peer never asks for them again: it went on to `k`, so it holds their outcomes durably.
    pub(crate) fn decide_lost(&mut self, k: u32, decided: Decided) {
        let gone = (k - self.floor + 1).saturating_sub(SESSION_WINDOW);
        // What lies beyond the highest one is neither kept nor forgotten.
        let there = gone.min(self.highest() + 1 - self.floor);
        for _ in 0..there {
            self.rise();
        }
        self.floor += gone - there;
        self.decide(k, decided);
    }

    /// The lowest number that may still be asked for.
    pub(crate) fn floor(&self) -> u32 {
        self.floor
    }

    /// The highest number decided; `floor - 1` if none above it.
    pub(crate) fn highest(&self) -> u32 {
        let kept = self.floor + self.slots.len() as u32 - 1;
        self.forgotten.last().map_or(kept, |forgotten| forgotten.max(kept))
    }

    /// Whether a number above `k` has traded in this good already, or may have: then `k` comes too late, since a peer's
    /// rows of a good are by number. Peers send their numbers in order, so this happens to one that does not.
    pub(crate) fn is_overtaken(&self, k: u32, product: ProductId) -> bool {
        if self.forgotten.last().is_some_and(|forgotten| forgotten > k) {
            return true;
        }
        let above = (k + 1).saturating_sub(self.floor) as usize;
        let nothing = [OutcomeKind::Voided, OutcomeKind::Reversed];
        let traded = |it: &Decided| it.order.product == product && !nothing.contains(&it.outcome.kind);
        above < self.slots.len() && self.slots.iter().skip(above).filter_map(Option::as_deref).any(traded)
    }

    /// The highest number up to which all are decided.
    pub(crate) fn all_decided_to(&self) -> u32 {
        (self.floor..).take_while(|k| self.is_decided(*k)).last().unwrap_or(self.floor - 1)
    }

    /// All numbers below the floor were decided: no restore lost any.
    pub(crate) fn is_whole(&self) -> bool {
        let above = u64::from(self.kept) + self.forgotten.len() as u64;
        self.decided == u64::from(self.floor - 1) + above
    }

    /// How many numbers were decided, ever.
    pub(crate) fn decided(&self) -> u64 {
        self.decided
    }

    /// The outcomes that are kept, ascending.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Decided> {
        self.slots.iter().filter_map(Option::as_deref)
    }

    /// How many those are.
    pub(crate) fn kept_count(&self) -> usize {
        self.kept as usize
    }

    /// The decided numbers at or above the floor whose outcomes are not kept: a bit for each of 64 from 64 times the
    /// first number on.
    pub(crate) fn forgotten_words(&self) -> impl Iterator<Item = (u32, u64)> {
        self.forgotten.words()
    }

    /// Below the floor every number is decided. A restore may have lost the outcomes of an epoch: there the floor goes
    /// by what its peer must hold.
    pub(super) fn invariants(&self, lost: bool) -> Result<(), String> {
        let (Window { floor, decided, .. }, kept) = (self, self.kept().count());
        if kept != self.kept_count() {
            return Err(format!("{kept} outcomes are kept, and {} are counted", self.kept));
        }
        if lost || self.is_whole() {
            return Ok(());
        }
        let forgotten = self.forgotten.len();
        Err(format!(
            "the floor is {floor}, {kept} outcomes are kept, {forgotten} not, and {decided} were decided"
        ))
    }

    /// A window with this floor and nothing kept, for `restore_kept` to fill.
    pub(crate) fn restored(floor: u32, decided: u64) -> Window {
        Window { floor, slots: VecDeque::new(), forgotten: Marks::default(), kept: 0, decided }
    }

    /// Puts a kept outcome back; `restored` has counted it as decided already.
    pub(crate) fn restore_kept(&mut self, k: u32, decided: Decided) {
        *self.slot(k) = Some(Box::new(decided));
        self.kept += 1;
    }

    /// The same of a number whose outcome is not kept.
    pub(crate) fn restore_forgotten(&mut self, k: u32) {
        self.forgotten.insert(k);
    }

    /// The same of up to 64 of them.
    pub(crate) fn restore_forgotten_word(&mut self, at: u32, word: u64) {
        self.forgotten.insert_word(at, word);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::row::Outcome;
    use crate::types::{
        Epoch, Money, Number, Order, OrderId, OrderKind, PeerId, Quantity, Seq, Stamp, WallMicros,
    };

    fn decided(k: u32) -> Decided {
        let id = OrderId { peer: PeerId(1), number: Number::new(Epoch(0), k) };
        let kind = OrderKind::Buy { partial: false };
        let order = Order { id, stamp: Stamp(1), kind, product: ProductId(0), quantity: Quantity(1) };
        let outcome = Outcome {
            id,
            kind: OutcomeKind::SoldOut,
            reason: None,
            filled: Quantity(0),
            amount: Money(0),
            shares: vec![],
            stock_after: Quantity(0),
            seq: Seq(1),
            time: WallMicros(0),
            trader: PeerId(6),
            repeated: false,
        };
        Decided { order, outcome }
    }

    #[test]
    fn the_floor_never_passes_an_undecided_number() {
        let mut window = Window::default();
        (2..=SESSION_WINDOW).for_each(|k| window.decide(k, decided(k)));
        assert_eq!(window.standing(SESSION_WINDOW + 1), Standing::TooFar);
        window.decide(1, decided(1));
        assert_eq!(window.standing(SESSION_WINDOW + 1), Standing::Open);
        window.decide(SESSION_WINDOW + 1, decided(SESSION_WINDOW + 1));
        assert_eq!(window.standing(1), Standing::Stale);
        assert!(matches!(window.standing(2), Standing::Decided(_)));
    }

    #[test]
    fn numbers_far_above_what_a_restore_left_are_decided_all_the_same() {
        let mut window = Window::default();
        (1..=3).for_each(|k| window.decide(k, decided(k)));
        window.decide_lost(9_000, decided(9_000));
        assert_eq!((window.floor(), window.highest()), (9_000 - SESSION_WINDOW + 1, 9_000));
        window.decide_lost(8_999, decided(8_999));
        assert_eq!(window.standing(8_998), Standing::Open);
        assert_eq!(window.standing(3), Standing::Stale);
        window.decide_lost(Number::K_MAX, decided(Number::K_MAX));
        assert!(matches!(window.standing(Number::K_MAX), Standing::Decided(_)));
    }

    #[test]
    fn a_window_says_up_to_where_all_are_decided_and_if_none_was_lost() {
        let mut window = Window::default();
        assert_eq!((window.all_decided_to(), window.is_whole()), (0, true));
        [1, 2, 4].into_iter().for_each(|k| window.decide(k, decided(k)));
        assert_eq!((window.all_decided_to(), window.is_whole()), (2, true));
        window.forget();
        assert_eq!((window.all_decided_to(), window.floor()), (2, 3));
        window.decide_lost(9_000, decided(9_000));
        assert!(!window.is_whole() && window.invariants(false).is_err());
        assert_eq!(window.invariants(true), Ok(()), "a restore lost some");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        /// Against a set of decided numbers: decided stays decided or becomes stale, and nothing is decided twice.
        #[test]
        fn behaves_like_a_set(steps in proptest::collection::vec((0u32..4, 1u32..5000), 1..300)) {
            let mut window = Window::default();
            let mut model = BTreeSet::new();
            let mut next = 1u32;
            let mut forgotten = BTreeSet::new();
            for (kind, pick) in steps {
                if kind == 3 && pick < 500 {
                    window.forget();
                    forgotten.extend(model.iter().copied());
                    continue;
                }
                let k = match kind { 0 => { next += 1; next - 1 }, 1 => { next += SESSION_WINDOW / 3; next }, _ => pick };
                match window.standing(k) {
                    Standing::Open => {
                        prop_assert!(model.insert(k));
                        window.decide(k, decided(k));
                    }
                    Standing::Stale => prop_assert!(
                        model.contains(&k) && (forgotten.contains(&k) || k + SESSION_WINDOW <= window.highest())
                    ),
                    Standing::Decided(found) => prop_assert!(model.contains(&k) && found.order.id.number.k() == k && !forgotten.contains(&k)),
                    Standing::TooFar => prop_assert!((window.floor()..=k - SESSION_WINDOW).any(|n| !model.contains(&n))),
                }
            }
            prop_assert_eq!(window.decided(), model.len() as u64);
            prop_assert_eq!(window.highest(), model.last().copied().unwrap_or_default());
            prop_assert_eq!(window.invariants(false), Ok(()));
            let mut restored = Window::restored(window.floor(), window.decided());
            window.kept().for_each(|kept| restored.restore_kept(kept.order.id.number.k(), kept.clone()));
            window.forgotten_words().for_each(|(at, word)| restored.restore_forgotten_word(at, word));
            prop_assert_eq!(restored, window);
        }
    }
}
