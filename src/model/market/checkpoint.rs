//! The market in pieces, for a checkpoint, and back: what a journal must know of this state.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Account, Held, Holder, Lot, Market, Shelf};
use crate::model::fold::{Fold, Stored, Tree};
use crate::model::offices::Offices;
use crate::model::row::Record;
use crate::model::session::{Decided, Session, Window};
use crate::model::totals::Totals;
use crate::types::{
    Consistency, Epoch, Generation, Hash, Money, OrderId, PeerId, PublicKey, Quantity, Seq, Stamp, Term,
    WallMicros,
};

/// One piece of a market in a checkpoint. Persisted: append only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Part {
    /// 0: totals of a good, in catalogue order.
    Good {
        /// Name.
        name: String,
        /// Price.
        unit_price: Money,
        /// Initial goods.
        stocked: Quantity,
        /// Put in by sellers.
        deposited: Quantity,
        /// Taken by buyers.
        sold: Quantity,
        /// Last change.
        changed: Seq,
    },
    /// 1: a lot of the good that came last, oldest first.
    Lot(Lot),
    /// 2: a balance, as earlier versions kept it.
    Balance(PeerId, Money),
    /// 3: a session's head.
    Session {
        /// The session's peer.
        peer: PeerId,
        /// Present epoch.
        epoch: Epoch,
        /// Present store.
        store: Hash,
    },
    /// 4: a window of the session that came last.
    Window {
        /// The session's peer.
        peer: PeerId,
        /// The epoch of the window's numbers.
        epoch: Epoch,
        /// Lowest number kept.
        floor: u32,
        /// Numbers decided, ever.
        decided: u64,
    },
    /// 5: an outcome of the window that came last.
    Decided(Decided),
    /// 6: grants.
    Offices(Offices),
    /// 7: what there is one of.
    Head {
        /// The last record's sequence.
        seq: Seq,
        /// The highest clock.
        clock: Stamp,
        /// Restores.
        generation: Generation,
        /// The warehouse's keys: at most one for each restore.
        keys: Vec<PublicKey>,
    },
    /// 8: a peer's money.
    Account(PeerId, Account),
    /// 9: what all records add up to.
    Totals(Totals),
    /// 10: a decided number of the window that came last, without its outcome.
    Forgotten {
        /// The session's peer.
        peer: PeerId,
        /// The epoch of the number.
        epoch: Epoch,
        /// Its count.
        k: u32,
    },
    /// 11: the same of all such numbers of 64: an earlier version wrote each of them.
    ForgottenWord {
        /// The session's peer.
        peer: PeerId,
        /// The epoch of the numbers.
        epoch: Epoch,
        /// The counts from 64 times this one on.
        at: u32,
        /// A bit for each, the lowest first.
        word: u64,
    },
    /// 12: when traders answer, unless it is after settling.
    Mode(Consistency),
    /// 13: the good that came last has an allotment of this term.
    Held(Term),
    /// 14: a lot of the allotment that came last.
    HeldLot(Lot),
    /// 15: a term that has goods set aside.
    Holder(Term, Holder),
    /// 16: a term of which what it sold may be lost.
    Released(Term),
    /// 17: traders told from caches, at some time.
    WasCached,
}

impl Stored for Part {}

impl Fold for Market {
    type Record = Record;
    type Part = Part;
    const LOG: Tree = Tree::Ledger;

    fn apply(&mut self, seq: Seq, time: WallMicros, record: &Record) {
        self.apply_outcome(seq, time, record);
    }

    fn each_part(&self, give: &mut dyn FnMut(Tree, Part)) {
        for shelf in &self.shelves {
            let Shelf { unit_price, stocked, deposited, sold, changed, .. } = *shelf;
            let name = shelf.name.clone();
            give(Tree::Inventory, Part::Good { name, unit_price, stocked, deposited, sold, changed });
            shelf.lots.iter().for_each(|lot| give(Tree::Inventory, Part::Lot(*lot)));
            for (term, held) in &shelf.held {
                give(Tree::Inventory, Part::Held(*term));
                held.lots.iter().for_each(|lot| give(Tree::Inventory, Part::HeldLot(*lot)));
            }
        }
        self.accounts.iter().for_each(|(peer, account)| give(Tree::Accounts, Part::Account(*peer, *account)));
        give(Tree::Accounts, Part::Totals(self.totals.clone()));
        for (&peer, session) in &self.sessions {
            give(Tree::Sessions, Part::Session { peer, epoch: session.epoch, store: session.store });
            for (&epoch, window) in &session.windows {
                let (floor, decided) = (window.floor(), window.decided());
                give(Tree::Sessions, Part::Window { peer, epoch, floor, decided });
                window.kept().for_each(|kept| give(Tree::Sessions, Part::Decided(kept.clone())));
                for (at, word) in window.forgotten_words() {
                    give(Tree::Sessions, Part::ForgottenWord { peer, epoch, at, word });
                }
            }
        }
        give(Tree::Offices, Part::Offices(self.offices.clone()));
        let Market { seq, clock, generation, .. } = *self;
        let keys = self.keys.clone();
        give(Tree::Offices, Part::Head { seq, clock, generation, keys });
        if self.mode != Consistency::default() {
            give(Tree::Offices, Part::Mode(self.mode));
        }
        self.holders.iter().for_each(|(term, it)| give(Tree::Offices, Part::Holder(*term, *it)));
        if self.was_cached {
            give(Tree::Offices, Part::WasCached);
        }
        self.released.iter().for_each(|term| give(Tree::Offices, Part::Released(*term)));
    }

    fn restore(&mut self, part: Part) {
        match part {
            Part::Good { name, unit_price, stocked, deposited, sold, changed } => self.shelves.push(Shelf {
                name,
                unit_price,
                on_hand: Quantity(0),
                lots: VecDeque::new(),
                held: BTreeMap::new(),
                stocked,
                deposited,
                sold,
                changed,
            }),
            Part::Lot(lot) => {
                if let Some(shelf) = self.shelves.last_mut() {
                    shelf.on_hand.0 += lot.quantity.0;
                    shelf.lots.push_back(lot);
                }
            }
            // With it goes that the state is not whole.
            Part::Balance(..) => {}
            Part::Account(peer, account) => {
                self.accounts.insert(peer, account);
            }
            Part::Totals(totals) => self.totals = totals,
            Part::Session { peer, epoch, store } => {
                self.sessions.insert(peer, Session { epoch, store, windows: BTreeMap::new() });
                self.owners.entry(store).or_default().insert(peer);
            }
            Part::Window { peer, epoch, floor, decided } => {
                let windows = &mut self.sessions.entry(peer).or_default().windows;
                windows.insert(epoch, Box::new(Window::restored(floor, decided)));
            }
            Part::Decided(decided) => {
                let (OrderId { peer, number }, seq, time) =
                    (decided.order.id, decided.outcome.seq, decided.outcome.time);
                if peer.is_client() {
                    self.remembered.restore(peer, seq, time);
                }
                let windows = &mut self.sessions.entry(peer).or_default().windows;
                windows.entry(number.epoch()).or_default().restore_kept(number.k(), decided);
            }
            Part::Forgotten { peer, epoch, k } => {
                let windows = &mut self.sessions.entry(peer).or_default().windows;
                windows.entry(epoch).or_default().restore_forgotten(k);
            }
            Part::ForgottenWord { peer, epoch, at, word } => {
                let windows = &mut self.sessions.entry(peer).or_default().windows;
                windows.entry(epoch).or_default().restore_forgotten_word(at, word);
            }
            Part::Offices(offices) => self.offices = offices,
            Part::Mode(mode) => {
                self.mode = mode;
                self.was_cached |= mode == Consistency::Cached;
            }
            Part::WasCached => self.was_cached = true,
            Part::Held(term) => {
                if let Some(shelf) = self.shelves.last_mut() {
                    shelf.held.insert(term, Held::default());
                }
            }
            Part::HeldLot(lot) => {
                if let Some(shelf) = self.shelves.last_mut()
                    && let Some(mut held) = shelf.held.last_entry()
                {
                    shelf.on_hand.0 += lot.quantity.0;
                    held.get_mut().put(lot);
                }
            }
            Part::Holder(term, holder) => drop(self.holders.insert(term, holder)),
            Part::Released(term) => drop(self.released.insert(term)),
            Part::Head { seq, clock, generation, keys } => {
                (self.seq, self.clock, self.generation, self.keys) = (seq, clock, generation, keys)
            }
        }
    }

    /// Earlier versions kept balances alone, counted nothing, and remembered all clients.
    fn is_whole(&self) -> bool {
        self.totals.records() == self.seq.0 && !self.remembered.has_idle()
    }
}
