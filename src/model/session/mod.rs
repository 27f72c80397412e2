//! Sessions at the warehouse: which numbers of a peer are decided, and the outcomes that may be asked again.
//!
//! A window of [`crate::limits::SESSION_WINDOW`] numbers per epoch. Deciding number `k` acknowledges everything up to
//! `k - SESSION_WINDOW`: a peer sends `k` only when its own journal durably holds the outcomes of those, so the floor
//! is a function of the ledger and needs no message of its own. It never passes an undecided number.
//!
//! Without the window: a peer could hold numbers open without bound, or an outcome would have to be kept for ever.

mod marks;
mod window;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::window::Window;
use super::row::Outcome;
use crate::limits::STORES_REMEMBERED;
use crate::types::{Epoch, Generation, Hash, Number, Order, OrderKind};

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

/// A peer's session: the present store and the decided sets of its earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Of the present store of this peer.
    pub epoch: Epoch,
    /// BLAKE3 of the present store's token.
    pub store: Hash,
    /// One window per epoch; those below `epoch` are closed: undecided numbers there become `void`.
    ///
    /// Most peers have one: a tree's node with room for eleven of them would take a kilobyte of each client.
    pub windows: BTreeMap<Epoch, Box<Window>>,
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

    /// Keeps which numbers are decided, and no outcome any more.
    pub(crate) fn forget(&mut self) {
        self.windows.values_mut().for_each(|window| window.forget());
    }

    /// The outcomes that are kept.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Decided> {
        self.windows.values().flat_map(|window| window.kept())
    }

    /// How many those are.
    pub(crate) fn kept_count(&self) -> usize {
        self.windows.values().map(|window| window.kept_count()).sum()
    }

    /// The window of an epoch that has been opened, or of which an order was voided.
    pub(crate) fn window(&self, epoch: Epoch) -> Option<&Window> {
        self.windows.get(&epoch).map(Box::as_ref)
    }

    /// Whether it was opened in this generation: a restore of the warehouse closes all sessions before it.
    pub(crate) fn is_open(&self, generation: Generation) -> bool {
        !is_lost(self.epoch, generation)
    }

    /// # Errors
    /// Says what does not hold.
    pub(crate) fn invariants(&self, generation: Generation) -> Result<(), String> {
        self.windows.iter().try_for_each(|(epoch, window)| {
            let lost = is_lost(*epoch, generation);
            window.invariants(lost).map_err(|why| format!("epoch {epoch}: {why}"))
        })
    }

    /// The lowest number of the present epoch that may be asked for.
    pub(crate) fn floor(&self) -> Number {
        Number::new(self.epoch, self.window(self.epoch).map_or(1, Window::floor))
    }

    /// The highest number of the present epoch that was decided.
    pub(crate) fn highest(&self) -> Number {
        Number::new(self.epoch, self.window(self.epoch).map_or(0, Window::highest))
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
