//! The market: goods, lots, money, sessions and offices, as the fold of the ledger.
//!
//! `decide` reads the state and says what an order's record will be; `apply` takes a record in and is the only thing
//! that changes the state, live and at recovery alike, so that a replayed market equals the one that was killed.
//! Invariants (names of DESIGN): V01 goods are conserved, V02 nothing is negative, V03 one outcome per order,
//! V08 all accounts sum to zero.

mod allotment;
mod apply;
mod checkpoint;
mod decide;
mod remembered;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

pub use self::allotment::{Held, Holder};
pub(crate) use self::checkpoint::Part;
pub use self::decide::{NotTaken, Settling, Verdict};
use self::remembered::Remembered;
use super::offices::Offices;
use super::session::Session;
use super::totals::Totals;
use crate::limits::LOTS_MAX;
use crate::types::{
    Consistency, Generation, Hash, Money, Number, OrderId, PeerId, PublicKey, Quantity, Seq, Stamp, Term,
};

/// Pieces of one deposit that are still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lot {
    /// The deposit that made it; its peer is paid when a piece is sold.
    pub id: OrderId,
    /// What is left of it.
    pub quantity: Quantity,
}

/// One good: its price, its lots in the order of arrival, and its totals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shelf {
    /// The good's name.
    pub name: String,
    /// Posted price of one piece.
    pub unit_price: Money,
    /// Pieces that are there, allotted and frozen ones too.
    pub on_hand: Quantity,
    /// Those that are set aside for nobody, oldest first.
    pub lots: VecDeque<Lot>,
    /// What is set aside, by the term that it is set aside for. A term of which nothing is left may sell what it takes in.
    pub held: BTreeMap<Term, Held>,
    /// Initial goods.
    pub stocked: Quantity,
    /// Put in by sellers.
    pub deposited: Quantity,
    /// Taken by buyers.
    pub sold: Quantity,
    /// Sequence of the last row that changed the stock.
    pub changed: Seq,
}

/// The warehouse's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Market {
    /// The goods, by [`crate::types::ProductId`].
    pub shelves: Vec<Shelf>,
    /// What buyers paid, and sellers, traders and the warehouse got.
    pub accounts: BTreeMap<PeerId, Account>,
    /// The peers' sessions.
    pub sessions: BTreeMap<PeerId, Session>,
    /// The offices and their grants.
    pub offices: Offices,
    /// The last record's sequence.
    pub seq: Seq,
    /// The highest clock in a record.
    pub clock: Stamp,
    /// Counts restores from backups.
    pub generation: Generation,
    /// When traders answer. All present terms are of this mode: a change of it ends those before.
    pub mode: Consistency,
    /// Traders told from caches, at some time: such answers are heeded.
    pub was_cached: bool,
    /// Terms with goods set aside, and those that ended so and have not reported what they sold.
    pub holders: BTreeMap<Term, Holder>,
    /// Terms of which a person has accepted that what they sold is lost.
    pub released: BTreeSet<Term>,
    /// The public halves of the warehouse's keys, the present one last; none in a ledger that only format 1 wrote.
    pub keys: Vec<PublicKey>,
    /// What all records add up to.
    pub totals: Totals,
    /// The sessions' peers by their present stores.
    owners: BTreeMap<Hash, BTreeSet<PeerId>>,
    /// The clients whose outcomes are kept.
    remembered: Remembered,
}

/// A peer's money: what it turned over, ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// For what it bought.
    pub paid: Money,
    /// For what it sold, after commission.
    pub received: Money,
    /// For what others bought through it.
    pub commission: Money,
}

impl Account {
    /// What it got less what it paid.
    pub(crate) fn balance(&self) -> Money {
        Money(self.received.0 + self.commission.0 - self.paid.0)
    }
}

impl Shelf {
    fn invariants(&self) -> Result<(), String> {
        let Shelf { name, on_hand, stocked, deposited, sold, .. } = self;
        let all = || self.lots.iter().chain(self.held.values().flat_map(|held| &held.lots));
        let lots: u64 = all().map(|lot| lot.quantity.0).sum();
        if lots != on_hand.0 || all().any(|lot| lot.quantity.0 == 0) {
            return Err(format!("V01: the lots of {name} hold {lots} pieces, and {on_hand} are on hand"));
        }
        for (term, held) in &self.held {
            let lots: u64 = held.lots.iter().map(|lot| lot.quantity.0).sum();
            if lots != held.pieces.0 {
                let pieces = held.pieces;
                return Err(format!(
                    "V01: {pieces} pieces of {name} are allotted to term {term}, {lots} in lots"
                ));
            }
        }
        if stocked.0 + deposited.0 != sold.0 + on_hand.0 {
            let came = format!("{stocked} and {deposited} pieces of {name} came in");
            return Err(format!("V01: {came}, {sold} were sold and {on_hand} are on hand"));
        }
        Ok(())
    }
}

impl Market {
    /// The warehouse's present key.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.keys.last().copied()
    }

    /// The peer whose last session was opened with this store. A restore may have closed that session since.
    pub(crate) fn owner(&self, store: Hash) -> Option<PeerId> {
        self.owners.get(&store)?.first().copied()
    }

    /// Outcomes of clients that are kept, to be told again.
    pub(crate) fn client_outcomes(&self) -> usize {
        self.remembered.outcomes()
    }

    /// Lots that a good may have: all goods share alike in what the warehouse holds.
    pub(crate) fn lots_max(&self) -> usize {
        LOTS_MAX / self.shelves.len().max(1)
    }

    /// Name and price of the goods, by [`crate::types::ProductId`].
    pub(crate) fn goods(&self) -> impl Iterator<Item = (&str, Money)> {
        self.shelves.iter().map(|shelf| (shelf.name.as_str(), shelf.unit_price))
    }

    /// What holds after each record.
    ///
    /// # Errors
    /// Says what does not hold.
    pub fn invariants(&self) -> Result<(), String> {
        self.shelves.iter().try_for_each(Shelf::invariants)?;
        let known = |term: &&Term| !self.holders.contains_key(term);
        if let Some(term) = self.shelves.iter().flat_map(|shelf| shelf.held.keys()).find(known) {
            return Err(format!("V01: goods are set aside for term {term}, which nobody holds"));
        }
        let sum = self.accounts.values().map(Account::balance).sum::<Money>();
        if sum != Money(0) {
            return Err(format!("V08: all accounts come to {sum}"));
        }
        for (peer, session) in &self.sessions {
            session
                .invariants(self.generation)
                .map_err(|why| format!("the session of peer {peer}: {why}"))?;
        }
        let clients = self.sessions.range(PeerId(PeerId::PEER_MAX.0 + 1)..);
        let (kept, counted) = (clients.map(|(_, it)| it.kept_count()).sum::<usize>(), self.client_outcomes());
        if kept != counted {
            return Err(format!("{kept} outcomes of clients are kept, and {counted} are counted"));
        }
        Ok(())
    }

    /// The number that a new client gets: one above the highest id, from 1001.
    pub(crate) fn next_client(&self) -> PeerId {
        let highest = self.sessions.keys().next_back().copied().unwrap_or(PeerId::PEER_MAX);
        PeerId(highest.max(PeerId::PEER_MAX).0 + 1)
    }

    /// The lowest number that a peer may still ask for, and the highest decided.
    pub(crate) fn numbers(&self, peer: PeerId) -> (Number, Number) {
        self.sessions
            .get(&peer)
            .map_or((Number(1), Number(0)), |session| (session.floor(), session.highest()))
    }
}

#[cfg(test)]
pub(in crate::model) mod tests;
