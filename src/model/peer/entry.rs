//! The records of a peer's journal: what it placed and was told, and what it accepted for others while in office.
//!
//! Like [`crate::model::row`] a persisted contract: variants are appended, never moved. One chain holds both kinds, so one
//! sequence and one sync say what is durable. The peer's state is the fold of these: see [`super::PeerState`].

use serde::{Deserialize, Serialize};

use crate::model::chunk;
use crate::model::evidence::{Licence, Seen};
use crate::model::fold::Stored;
use crate::model::row::{OutcomeKind, Reason};
use crate::model::tentative::{Tentative, Undrawn};
use crate::types::{
    Epoch, Generation, Hash, Money, Number, Office, Order, OrderKind, PeerId, ProductId, Quantity, Seq,
    Signature, Stamp, Term,
};

/// An order of this peer as it was placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed {
    /// Its number.
    pub number: Number,
    /// This peer's clock at placing.
    pub stamp: Stamp,
    /// Buy, sell or void.
    pub kind: OrderKind,
    /// The good.
    pub product: ProductId,
    /// Pieces.
    pub quantity: Quantity,
}

/// What the peer was told of one of its orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which order.
    pub number: Number,
    /// What became of it.
    pub kind: OutcomeKind,
    /// Why, for refused and voided.
    pub reason: Option<Reason>,
    /// Pieces.
    pub filled: Quantity,
    /// What it cost.
    pub amount: Money,
    /// The ledger row.
    pub seq: Seq,
}

/// The warehouse's signature of what of its ledger was seen: generation, sequence, hash and its clock then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The warehouse's clock.
    pub clock: Stamp,
    /// By the key in the warehouse's own session row.
    pub signature: Signature,
}

/// One record of a peer's journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// 0: numbered, stamped, and durable before it is sent.
    Placed(Placed),
    /// 1: outcomes that this peer was told, all by one trader. The block's time is `told_at`. Written lazily.
    Answered {
        /// The trader that told.
        via: PeerId,
        /// What it told.
        told: Vec<Told>,
        /// The ledger that holds the outcomes, if the answer showed it.
        seen: Option<Box<Seen>>,
    },
    /// 2: this peer's session was opened at the warehouse.
    Opened {
        /// The peer's id; a client learns it here.
        peer: PeerId,
        /// Epoch of this store.
        epoch: Epoch,
    },
    /// 3: another peer's session, as the warehouse told it: the store that may order in its name.
    Known {
        /// The peer.
        peer: PeerId,
        /// Which of its stores.
        epoch: Epoch,
        /// BLAKE3 of that store's token.
        store: Hash,
    },
    /// 4: a grant was received.
    Granted {
        /// Which office.
        office: Office,
        /// The grant's number.
        term: Term,
    },
    /// 5: the term ended for this node: fenced, resigned or given up.
    Ended {
        /// The grant's number.
        term: Term,
    },
    /// 6: an order taken under a term.
    Accepted {
        /// This trader's term.
        term: Term,
        /// The order.
        order: Order,
    },
    /// 7: orders of one peer that the warehouse has decided, or that are stale: numbers `first..=last` leave the queue.
    /// Written lazily: decided once more, the warehouse gives the recorded outcome.
    Settled {
        /// The peer that placed them.
        peer: PeerId,
        /// The lowest number.
        first: Number,
        /// The highest.
        last: Number,
    },
    /// 8: like `Settled`, but durable at another home now.
    HandedOver {
        /// The peer that placed them.
        peer: PeerId,
        /// The lowest number.
        first: Number,
        /// The highest.
        last: Number,
    },
    /// 9: what the ledger durably held when it was last heard of: shown in hellos, checked by `verify`. Written lazily.
    LedgerSeen {
        /// Generation of the ledger.
        generation: Generation,
        /// A ledger sequence.
        seq: Seq,
        /// Hash of the block that ends there.
        hash: Hash,
        /// That the warehouse said so.
        proof: Option<Box<Proof>>,
    },
    /// 10: orders that the partner has accepted, as it sent them: stored as bytes, read only if it dies.
    Mirrored {
        /// The partner.
        trader: PeerId,
        /// Its term.
        term: Term,
        /// The chunk's place in the partner's journal.
        chunk: Seq,
        /// Encoded orders.
        orders: Vec<u8>,
    },
    /// 11: a mirror became accepted orders of this store (entries of their own, before this one): the partner is dead,
    /// or its term is over.
    Adopted {
        /// The trader that had accepted its orders.
        trader: PeerId,
        /// Of which term.
        from: Term,
    },
    /// 12: chunks of a mirror below this one are settled. Written lazily.
    Trimmed {
        /// The trader that had accepted its orders.
        trader: PeerId,
        /// Of which term.
        term: Term,
        /// The lowest chunk that is still needed.
        below: Seq,
    },
    /// 13: an open order of this peer is given up. The warehouse has an outcome of its number that this store, an old
    /// copy, does not hold and never will.
    Forgotten {
        /// Which order.
        number: Number,
    },
    /// 14: orders of this peer that had been sent before were asked for again, or their outcome was looked up here. It
    /// changes no state; it is for a reader of an order's life. Written lazily.
    AskedAgain {
        /// The lowest number.
        first: Number,
        /// The highest.
        last: Number,
    },
    /// 15: what this peer keeps of a grant.
    Licensed(Licence),
    /// 16: [`Entry::Tentative`] as an earlier version wrote it.
    TentativeUndrawn(Vec<Undrawn>),
    /// 17: [`Entry::ToldEarly`] as an earlier version wrote it.
    ToldEarlyUndrawn {
        /// The trader that told.
        via: PeerId,
        /// What it told.
        told: Vec<Undrawn>,
    },
    /// 18: what this trader tells of orders that it has accepted, before the warehouse has settled them.
    Tentative(Vec<Tentative>),
    /// 19: what this peer was told of its open orders, before the warehouse had settled them. It is told nobody before it
    /// stands here.
    ToldEarly {
        /// The trader that told.
        via: PeerId,
        /// What it told.
        told: Vec<Tentative>,
    },
}

impl Stored for Entry {
    fn peer(&self) -> Option<PeerId> {
        match self {
            Entry::Opened { peer, .. }
            | Entry::Known { peer, .. }
            | Entry::Settled { peer, .. }
            | Entry::HandedOver { peer, .. } => Some(*peer),
            Entry::Accepted { order, .. } => Some(order.id.peer),
            _ => None,
        }
    }

    /// What the peer itself ordered and was told, and who it was, is asked for as long as the ledger has it. What it held
    /// for others is settled or in the state, and the ledger has the outcomes. A warehouse that was restored is shown the
    /// newest proof, which is in the state; that of an earlier answer would be a third of what stays.
    fn pruned(self) -> Option<Entry> {
        match self {
            Entry::Accepted { .. }
            | Entry::Settled { .. }
            | Entry::HandedOver { .. }
            | Entry::LedgerSeen { .. }
            | Entry::Mirrored { .. }
            | Entry::Adopted { .. }
            | Entry::TentativeUndrawn(_)
            | Entry::Tentative(_)
            | Entry::Trimmed { .. } => None,
            Entry::Answered { via, told, seen } => {
                let seen = seen.map(|seen| Box::new(Seen { proof: None, ..*seen }));
                Some(Entry::Answered { via, told, seen })
            }
            Entry::Placed(_)
            | Entry::Opened { .. }
            | Entry::Known { .. }
            | Entry::Granted { .. }
            | Entry::Ended { .. }
            | Entry::Forgotten { .. }
            | Entry::AskedAgain { .. }
            | Entry::ToldEarlyUndrawn { .. }
            | Entry::ToldEarly { .. }
            | Entry::Licensed(_) => Some(self),
        }
    }

    fn orders(&self, seen: &mut dyn FnMut(PeerId, Number, Number)) {
        let own = PeerId::default();
        match self {
            Entry::Placed(Placed { number, .. }) | Entry::Forgotten { number } => seen(own, *number, *number),
            Entry::Answered { told, .. } => {
                told.iter().for_each(|told| seen(own, told.number, told.number));
            }
            Entry::AskedAgain { first, last } => seen(own, *first, *last),
            Entry::Accepted { order: Order { id, .. }, .. } => seen(id.peer, id.number, id.number),
            Entry::Settled { peer, first, last } | Entry::HandedOver { peer, first, last } => {
                seen(*peer, *first, *last);
            }
            Entry::Mirrored { orders, .. } => {
                // A chunk that does not decode holds nothing that could be shown.
                let (orders, _) = chunk::decode(orders).unwrap_or_default();
                orders.iter().for_each(|order| seen(order.id.peer, order.id.number, order.id.number));
            }
            Entry::TentativeUndrawn(told) => {
                told.iter().for_each(|it| seen(it.id.peer, it.id.number, it.id.number));
            }
            Entry::Tentative(told) => {
                told.iter().for_each(|it| seen(it.id.peer, it.id.number, it.id.number));
            }
            Entry::ToldEarlyUndrawn { told, .. } => {
                told.iter().for_each(|it| seen(own, it.id.number, it.id.number));
            }
            Entry::ToldEarly { told, .. } => {
                told.iter().for_each(|it| seen(own, it.id.number, it.id.number));
            }
            _ => {}
        }
    }
}

impl Entry {
    /// The names of all kinds, by their numbers.
    pub(crate) const KINDS: [&str; 20] = [
        "placed",
        "answered",
        "opened",
        "known",
        "granted",
        "ended",
        "accepted",
        "settled",
        "handed_over",
        "ledger_seen",
        "mirrored",
        "adopted",
        "trimmed",
        "forgotten",
        "asked again",
        "licensed",
        "tentative undrawn",
        "told early undrawn",
        "tentative",
        "told early",
    ];

    /// The number of its variant: the one that the codec writes first.
    pub(crate) fn kind_number(&self) -> usize {
        match self {
            Entry::Placed(_) => 0,
            Entry::Answered { .. } => 1,
            Entry::Opened { .. } => 2,
            Entry::Known { .. } => 3,
            Entry::Granted { .. } => 4,
            Entry::Ended { .. } => 5,
            Entry::Accepted { .. } => 6,
            Entry::Settled { .. } => 7,
            Entry::HandedOver { .. } => 8,
            Entry::LedgerSeen { .. } => 9,
            Entry::Mirrored { .. } => 10,
            Entry::Adopted { .. } => 11,
            Entry::Trimmed { .. } => 12,
            Entry::Forgotten { .. } => 13,
            Entry::AskedAgain { .. } => 14,
            Entry::Licensed(_) => 15,
            Entry::TentativeUndrawn(_) => 16,
            Entry::ToldEarlyUndrawn { .. } => 17,
            Entry::Tentative(_) => 18,
            Entry::ToldEarly { .. } => 19,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;
    use crate::model::market::tests::order;

    /// An entry of each kind that is about something, with the peer that it is about.
    fn entries() -> Vec<(Entry, Option<PeerId>)> {
        let (term, number, peer, trader) = (Term(3), Number(1), PeerId(5), PeerId(6));
        let (epoch, store, first, last) = (Epoch(0), Hash::default(), number, number);
        let (generation, seq, hash, office) = (Generation::default(), Seq(1), store, Office::Primary);
        let order = order(5, 1, OrderKind::Sell, 0, 1);
        let undrawn = Undrawn { id: order.id, filled: order.quantity };
        let told = Tentative::from(undrawn);
        let (stamp, kind, product, quantity) = (order.stamp, order.kind, order.product, order.quantity);
        vec![
            (Entry::Placed(Placed { number, stamp, kind, product, quantity }), None),
            (Entry::Answered { via: trader, told: Vec::new(), seen: None }, None),
            (Entry::Opened { peer, epoch }, Some(peer)),
            (Entry::Known { peer, epoch, store }, Some(peer)),
            (Entry::Granted { office, term }, None),
            (Entry::Ended { term }, None),
            (Entry::Accepted { term, order }, Some(peer)),
            (Entry::Settled { peer, first, last }, Some(peer)),
            (Entry::HandedOver { peer, first, last }, Some(peer)),
            (Entry::LedgerSeen { generation, seq, hash, proof: None }, None),
            (Entry::Mirrored { trader, term, chunk: seq, orders: Vec::new() }, None),
            (Entry::Adopted { trader, from: term }, None),
            (Entry::Trimmed { trader, term, below: seq }, None),
            (Entry::Forgotten { number }, None),
            (Entry::AskedAgain { first, last }, None),
            (Entry::Licensed(Licence { term, signature: Signature([[1; 32]; 2]) }), None),
            (Entry::TentativeUndrawn(vec![undrawn]), None),
            (Entry::ToldEarlyUndrawn { via: trader, told: vec![undrawn] }, None),
            (Entry::Tentative(vec![told]), None),
            (Entry::ToldEarly { via: trader, told: vec![told] }, None),
        ]
    }

    #[test]
    fn the_kind_of_an_entry_is_what_the_codec_writes_first() {
        for (at, (entry, _)) in entries().into_iter().enumerate() {
            assert_eq!((entry.kind_number(), usize::from(encode(&entry).unwrap()[0])), (at, at), "{entry:?}");
        }
    }

    /// With what is compared with the ledger, and without the signature that only a warehouse looks at.
    #[test]
    fn an_answer_stays_without_its_proof() {
        let proof = Some(Proof { clock: Stamp(7), signature: Signature([[3; 32]; 2]) });
        let seen = Seen { seq: Seq(9), hash: Hash([8; 32]), proof, ..Seen::default() };
        let answered =
            |seen| Entry::Answered { via: PeerId(6), told: Vec::new(), seen: Some(Box::new(seen)) };
        assert_eq!(answered(seen).pruned(), Some(answered(Seen { proof: None, ..seen })));
        let stay = [0, 1, 2, 3, 4, 5, 13, 14, 15, 17, 19];
        let staying = entries().into_iter().filter_map(|(entry, _)| entry.pruned());
        assert_eq!(staying.map(|entry| entry.kind_number()).collect::<Vec<_>>(), stay);
    }

    #[test]
    fn an_entry_is_found_by_the_peer_that_it_is_about() {
        entries().into_iter().for_each(|(entry, peer)| assert_eq!(entry.peer(), peer, "{entry:?}"));
    }
}
