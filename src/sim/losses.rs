//! What lost and replaced stores of peers took from the market for good. The nodes can do nothing about that, so the audit's
//! findings of it are no failures; every other finding is one.
//!
//! In: which orders all stores hold before and after one of them is lost or replaced, and which numbers a peer had given.
//! Out: whether a finding is of such an order.

use std::collections::BTreeSet;

use super::check;
use super::engine::View;
use super::node::Node;
use crate::audit::Example;
use crate::model::chunk;
use crate::model::fold::Fold as _;
use crate::model::peer::PeerState;
use crate::types::{Number, OrderId, PeerId, Seq, WallMicros};

/// Findings about an order that is nowhere.
///
/// Unavoidable when the peer that placed it and all that held it for that peer lose their stores before the warehouse has
/// decided it: trader 3 hands order 1-7 over to trader 4 and drops it, as it is durable there and with 4's partner 1; the
/// warehouse's disk is slow; 4 and 1 lose their stores. While the peer's own store has the order open it asks again, so
/// such an order is not lost.
const OF_GONE: [&str; 1] = ["has no outcome and waits nowhere"];

/// Findings about an order that the peer's present store lacks, or has with other content.
///
/// Unavoidable when a peer's store is copied, the peer places 2-8, its trader accepts it, and the copy is put in the
/// store's place while the warehouse has not decided 2-8. The warehouse then knows of no number that the copy lacks, so it
/// takes the copy for the present store. 2-8 is decided later; the peer never placed it, or places another order as 2-8
/// meanwhile. Or the copy has 2-8 as it was written and never synced: the disk hung, the process ended without it, and the
/// next one placed another order as 2-8.
const OF_NOT_GIVEN: [&str; 3] =
    ["has an outcome and was never placed", "settled with other content", "other content than was settled"];

/// See the module's text.
#[derive(Default)]
pub(super) struct Losses {
    /// Orders whose last copy was lost.
    gone: BTreeSet<OrderId>,
    /// Orders whose numbers a peer had given when an older copy of its store was put in place, which does not know that.
    not_given: BTreeSet<OrderId>,
}

impl Losses {
    /// A store was lost or replaced. What is held again after an earlier loss is not gone: it is known to somebody who must
    /// not lose it.
    pub(crate) fn store_went(&mut self, before: BTreeSet<OrderId>, after: &BTreeSet<OrderId>) {
        self.gone.extend(before);
        self.gone.retain(|id| !after.contains(id));
    }

    /// A copy that has given numbers up to `last` took the place of a peer's store. The peer had given these, and some of
    /// them not only once.
    pub(crate) fn older_copy_came(&mut self, last: Number, given: impl Iterator<Item = (OrderId, bool)>) {
        let differs = given.filter(|(id, once)| id.number > last || !once);
        self.not_given.extend(differs.map(|(id, _)| id));
    }

    /// Whether there are no losses.
    pub(crate) fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.not_given.is_empty()
    }

    /// The peer's store may be an older copy, which does not know what it was told of the order.
    pub(crate) fn may_be_forgotten(&self, id: OrderId) -> bool {
        self.gone.contains(&id) || self.not_given.contains(&id)
    }

    /// The finding is of an order that was lost.
    pub(crate) fn explain(&self, finding: &Example) -> bool {
        let says = |words: &[&str]| words.iter().any(|words| finding.what.contains(words));
        let Some(id) = order_of(finding) else { return false };
        (says(&OF_GONE) && self.gone.contains(&id)) || (says(&OF_NOT_GIVEN) && self.not_given.contains(&id))
    }
}

fn order_of(finding: &Example) -> Option<OrderId> {
    let (peer, number) = finding.show.strip_prefix("--order ")?.split_once('-')?;
    Some(OrderId { peer: PeerId(peer.parse().ok()?), number: Number(number.parse().ok()?) })
}

/// Orders that a peer would ask for again, and those that it holds for others. Of a process that runs they are those that it
/// takes itself to hold, also what is not written yet: if it says so too early, and then loses them, that is a fault and no
/// loss.
pub(super) fn held_by(node: &Node) -> BTreeSet<OrderId> {
    match node.view() {
        Some(View::Peer(state)) => held(node.id, state),
        _ => held(node.id, &state_on(node)),
    }
}

/// The last number that the store on a peer's disk has given.
pub(super) fn last_given(node: &Node) -> Number {
    state_on(node).last
}

fn state_on(node: &Node) -> PeerState {
    let mut state = PeerState::default();
    let entries = (1..).zip(check::journal(&node.disk));
    entries.for_each(|(seq, entry)| state.apply(Seq(seq), WallMicros(0), &entry));
    state
}

fn held(peer: PeerId, state: &PeerState) -> BTreeSet<OrderId> {
    let own = state.open.keys().map(|number| OrderId { peer, number: *number });
    let chunks = state.mirrors.values().flatten();
    let mirrored = chunks.flat_map(|(_, bytes)| chunk::decode(bytes).unwrap_or_default().0);
    own.chain(state.accepted.keys().copied()).chain(mirrored.map(|order| order.id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encode;
    use crate::model::peer::entry::{Entry, Placed};
    use crate::types::{Order, OrderKind, ProductId, Quantity, Stamp, Term};

    fn id(peer: u32, number: u64) -> OrderId {
        OrderId { peer: PeerId(peer), number: Number(number) }
    }

    fn nowhere(id: OrderId) -> Example {
        Example::order(id, "was accepted by 3, has no outcome and waits nowhere")
    }

    #[test]
    fn only_what_was_held_nowhere_else_is_gone() {
        let mut losses = Losses::default();
        losses.store_went(BTreeSet::from([id(1, 7), id(1, 8)]), &BTreeSet::from([id(1, 8)]));
        assert!(losses.explain(&nowhere(id(1, 7))));
        assert!(!losses.explain(&nowhere(id(1, 8))), "somebody else had it");
        assert!(!losses.explain(&nowhere(id(1, 9))), "nobody had it");
        let other = Example::order(id(1, 7), "was answered, and the ledger has no outcome");
        assert!(!losses.explain(&other), "it was not told to anybody either");
        losses.store_went(BTreeSet::from([id(1, 7)]), &BTreeSet::from([id(1, 7)]));
        assert!(!losses.explain(&nowhere(id(1, 7))), "it came back");
    }

    #[test]
    fn only_numbers_that_the_copy_lacks_are_not_given() {
        let mut losses = Losses::default();
        losses
            .older_copy_came(Number(7), [(id(2, 6), false), (id(2, 7), true), (id(2, 8), true)].into_iter());
        for words in OF_NOT_GIVEN {
            assert!(losses.explain(&Example::order(id(2, 8), words)), "{words}");
            assert!(losses.explain(&Example::order(id(2, 6), words)), "given twice: {words}");
            assert!(!losses.explain(&Example::order(id(2, 7), words)), "the copy has it: {words}");
            assert!(!losses.explain(&Example::order(id(2, 9), words)), "it was given later: {words}");
        }
        assert!(!losses.explain(&nowhere(id(2, 8))));
    }

    #[test]
    fn own_accepted_and_mirrored_orders_are_held() {
        let (kind, product, quantity) = (OrderKind::Sell, ProductId(0), Quantity(3));
        let order = |id: OrderId| Order { id, stamp: Stamp(1), kind, product, quantity };
        let placed = Placed { number: Number(1), stamp: Stamp(1), kind, product, quantity };
        let (trader, term, chunk) = (PeerId(5), Term(2), Seq(4));
        let orders = encode(&vec![order(id(2, 6))]).unwrap();
        let mut state = PeerState::default();
        let entries = [
            Entry::Placed(placed),
            Entry::Accepted { term, order: order(id(2, 5)) },
            Entry::Mirrored { trader, term, chunk, orders },
        ];
        entries.iter().for_each(|entry| state.apply(Seq(1), WallMicros(0), entry));
        assert_eq!(held(PeerId(4), &state), BTreeSet::from([id(4, 1), id(2, 5), id(2, 6)]));
        let left = Entry::HandedOver { peer: PeerId(2), first: Number(5), last: Number(5) };
        state.apply(Seq(2), WallMicros(0), &left);
        state.apply(Seq(3), WallMicros(0), &Entry::Adopted { trader, from: term });
        assert_eq!(held(PeerId(4), &state), BTreeSet::from([id(4, 1)]));
    }
}
