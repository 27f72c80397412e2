//! Sessions at the warehouse: which numbers of a peer are decided, and the outcomes that may be asked again.
//!
//! A window of [`SESSION_WINDOW`] numbers per epoch. Deciding number `k` acknowledges everything up to
//! `k - SESSION_WINDOW`: a peer sends `k` only when its own journal durably holds the outcomes of those, so the floor
//! is a function of the ledger and needs no message of its own. It never passes an undecided number.
//!
//! Without the window: a peer could hold numbers open without bound, or an outcome would have to be kept for ever.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::row::{Outcome, OutcomeKind};
use crate::limits::{SESSION_WINDOW, STORES_REMEMBERED};
use crate::types::{Epoch, Generation, Hash, Number, Order, OrderKind, ProductId};

/// A decided order with its whole content: asked again with other content it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// What was asked.
    pub order: Order,
    /// What became of it.
    pub outcome: Outcome,
}

/// Where a number stands in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing<'a> {
    /// Decided and acknowledged: its outcome is in the peer's own journal only.
    Stale,
    /// Decided; the recorded outcome.
    Decided(&'a Decided),
    /// Undecided, and may be decided now.
    Open,
    /// Too far above a number that is still undecided.
    TooFar,
}

/// A number at or above the floor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Slot {
    /// Undecided.
    #[default]
    Open,
    /// Decided; may be asked again.
    Decided(Decided),
    /// Decided; the outcome is in the ledger, and in the journal of the store that asked, if it was told.
    Forgotten,
}

/// The numbers of one epoch, by their count `k`: all below `floor` are decided and acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    floor: u32,
    slots: VecDeque<Slot>,
    decided: u64,
}

impl Default for Window {
    fn default() -> Self {
        Window { floor: 1, slots: VecDeque::new(), decided: 0 }
    }
}

impl Window {
    /// Where number `k` stands.
    pub fn standing(&self, k: u32) -> Standing<'_> {
        if k < self.floor {
            return Standing::Stale;
        }
        match self.slots.get((k - self.floor) as usize) {
            Some(Slot::Decided(decided)) => Standing::Decided(decided),
            Some(Slot::Forgotten) => Standing::Stale,
            _ if k - self.floor < SESSION_WINDOW => Standing::Open,
            _ if self.leading_decided(k - self.floor - SESSION_WINDOW + 1) => Standing::Open,
            _ => Standing::TooFar,
        }
    }

    fn leading_decided(&self, count: u32) -> bool {
        count as usize <= self.slots.len() && self.slots.iter().take(count as usize).all(Slot::is_decided)
    }

    /// Records the outcome of number `k`, which must be `Open`.
    pub fn decide(&mut self, k: u32, decided: Decided) {
        while k - self.floor >= SESSION_WINDOW {
            let below = self.slots.pop_front().unwrap_or_default();
            assert!(below.is_decided(), "the floor never passes an undecided number");
            self.floor += 1;
        }
        *self.slot(k) = Slot::Decided(decided);
        self.decided += 1;
    }

    /// The slot of a number at or above the floor.
    fn slot(&mut self, k: u32) -> &mut Slot {
        let at = (k - self.floor) as usize;
        if at >= self.slots.len() {
            self.slots.resize(at + 1, Slot::Open);
        }
        &mut self.slots[at]
    }

    /// Keeps which numbers are decided, and no outcome any more.
    fn forget(&mut self) {
        for slot in self.slots.iter_mut().filter(|slot| slot.is_decided()) {
            *slot = Slot::Forgotten;
        }
        while self.slots.front().is_some_and(Slot::is_decided) {
            self.slots.pop_front();
            self.floor += 1;
        }
    }

    /// Records the outcome of number `k` of an epoch whose outcomes a restore lost. The numbers below `k` stay
    /// undecided for ever. Their peer never asks for them again: it went on to `k`, so it holds their outcomes durably.
    pub(crate) fn decide_lost(&mut self, k: u32, decided: Decided) {
        let gone = (k - self.floor + 1).saturating_sub(SESSION_WINDOW);
        self.slots.drain(..self.slots.len().min(gone as usize));
        self.floor += gone;
        self.decide(k, decided);
    }

    /// The lowest number that may still be asked for.
    pub(crate) fn floor(&self) -> u32 {
        self.floor
    }

    /// The highest number decided; `floor - 1` if none above it.
    pub(crate) fn highest(&self) -> u32 {
        self.floor + self.slots.len() as u32 - 1
    }

    /// Whether a number above `k` has traded in this good already: then `k` comes too late, since a peer's rows of a good
    /// are by number. Peers send their numbers in order, so this happens to one that does not.
    pub(crate) fn is_overtaken(&self, k: u32, product: ProductId) -> bool {
        let above = (k + 1).saturating_sub(self.floor) as usize;
        let traded = |it: &Decided| it.order.product == product && it.outcome.kind != OutcomeKind::Voided;
        above < self.slots.len() && self.slots.iter().skip(above).filter_map(Slot::kept).any(traded)
    }

    /// The highest number up to which all are decided.
    pub(crate) fn all_decided_to(&self) -> u32 {
        self.floor - 1 + self.slots.iter().take_while(|slot| slot.is_decided()).count() as u32
    }

    /// All numbers below the floor were decided: no restore lost any.
    pub(crate) fn is_whole(&self) -> bool {
        let decided = self.slots.iter().filter(|slot| slot.is_decided()).count();
        self.decided == u64::from(self.floor - 1) + decided as u64
    }

    /// How many numbers were decided, ever.
    pub(crate) fn decided(&self) -> u64 {
        self.decided
    }

    /// The outcomes that are kept, ascending.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Decided> {
        self.slots.iter().filter_map(Slot::kept)
    }

    /// The decided numbers at or above the floor whose outcomes are not kept.
    pub(crate) fn forgotten(&self) -> impl Iterator<Item = u32> {
        let slots = (self.floor..).zip(&self.slots);
        slots.filter(|(_, slot)| **slot == Slot::Forgotten).map(|(k, _)| k)
    }

    /// Below the floor every number is decided. A restore may have lost the outcomes of an epoch: there the floor goes
    /// by what its peer must hold.
    fn invariants(&self, lost: bool) -> Result<(), String> {
        if lost || self.is_whole() {
            return Ok(());
        }
        let (Window { floor, decided, .. }, kept) = (self, self.kept().count());
        let forgotten = self.forgotten().count();
        Err(format!(
            "the floor is {floor}, {kept} outcomes are kept, {forgotten} not, and {decided} were decided"
        ))
    }

    /// A window with this floor and nothing kept, for `restore_kept` to fill.
    pub(crate) fn restored(floor: u32, decided: u64) -> Window {
        Window { floor, slots: VecDeque::new(), decided }
    }

    /// Puts a kept outcome back; `restored` has counted it already.
    pub(crate) fn restore_kept(&mut self, k: u32, decided: Decided) {
        *self.slot(k) = Slot::Decided(decided);
    }

    /// The same of a number whose outcome is not kept.
    pub(crate) fn restore_forgotten(&mut self, k: u32) {
        *self.slot(k) = Slot::Forgotten;
    }
}

impl Slot {
    fn is_decided(&self) -> bool {
        *self != Slot::Open
    }

    fn kept(&self) -> Option<&Decided> {
        match self {
            Slot::Decided(decided) => Some(decided),
            Slot::Open | Slot::Forgotten => None,
        }
    }
}

/// A peer's session: the present store and the decided sets of its earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Of the present store of this peer.
    pub epoch: Epoch,
    /// BLAKE3 of the present store's token.
    pub store: Hash,
    /// One window per epoch; those below `epoch` are closed: undecided numbers there become `void`.
    pub windows: BTreeMap<Epoch, Window>,
}

impl Session {
    /// Another store takes the place of the present one, or the one before that comes back. Outcomes are kept of the last
    /// [`STORES_REMEMBERED`] sessions, so that a store that was replaced and comes back is told what it had asked for.
    /// Otherwise a peer that lost twenty stores would have 81,920 of them in every checkpoint.
    pub(crate) fn open(&mut self, epoch: Epoch, store: Hash) {
        if epoch != self.epoch {
            let earlier = self.windows.range_mut(..=self.epoch).rev().skip(STORES_REMEMBERED - 1);
            earlier.for_each(|(_, window)| window.forget());
        }
        (self.epoch, self.store) = (epoch, store);
        self.windows.entry(epoch).or_default();
    }

    /// The window of an epoch that has been opened, or of which an order was voided.
    pub(crate) fn window(&self, epoch: Epoch) -> Option<&Window> {
        self.windows.get(&epoch)
    }

    /// Whether it was opened in this generation: a restore of the warehouse closes all sessions before it.
    pub(crate) fn is_open(&self, generation: Generation) -> bool {
        !is_lost(self.epoch, generation)
    }

    /// # Errors
    /// Says what does not hold.
    pub(crate) fn invariants(&self, generation: Generation) -> Result<(), String> {
        let mut windows = self.windows.iter();
        let check = |(epoch, window): (&Epoch, &Window)| {
            window.invariants(is_lost(*epoch, generation)).map_err(|why| format!("epoch {epoch}: {why}"))
        };
        windows.try_for_each(check)
    }

    /// The lowest number of the present epoch that may be asked for.
    pub(crate) fn floor(&self) -> Number {
        Number::new(self.epoch, self.windows.get(&self.epoch).map_or(1, Window::floor))
    }

    /// The highest number of the present epoch that was decided.
    pub(crate) fn highest(&self) -> Number {
        Number::new(self.epoch, self.windows.get(&self.epoch).map_or(0, Window::highest))
    }
}

/// Whether the epoch was opened before the restore that began this generation. The peers may have used any such epoch,
/// since the backup need not know of all of them.
pub(crate) fn is_lost(epoch: Epoch, generation: Generation) -> bool {
    epoch < generation.first_epoch()
}

/// Whether `asked` is the order that was decided. A void has the content of any order with its number.
pub(crate) fn same_content(decided: &Order, asked: &Order) -> bool {
    matches!(asked.kind, OrderKind::Void) || decided == asked || matches!(decided.kind, OrderKind::Void)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::row::OutcomeKind;
    use crate::types::{Money, OrderId, PeerId, ProductId, Quantity, Seq, Stamp, WallMicros};

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
        fn behaves_like_a_set(steps in proptest::collection::vec((0u32..3, 1u32..5000), 1..300)) {
            let mut window = Window::default();
            let mut model = BTreeSet::new();
            let mut next = 1u32;
            for (kind, pick) in steps {
                let k = match kind { 0 => { next += 1; next - 1 }, 1 => { next += SESSION_WINDOW / 3; next }, _ => pick };
                match window.standing(k) {
                    Standing::Open => {
                        prop_assert!(model.insert(k));
                        window.decide(k, decided(k));
                    }
                    Standing::Stale => prop_assert!(model.contains(&k) && k + SESSION_WINDOW <= window.highest()),
                    Standing::Decided(found) => prop_assert!(model.contains(&k) && found.order.id.number.k() == k),
                    Standing::TooFar => prop_assert!((window.floor()..=k - SESSION_WINDOW).any(|n| !model.contains(&n))),
                }
            }
            prop_assert_eq!(window.decided(), model.len() as u64);
        }
    }
}
