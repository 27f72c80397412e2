use proptest::prelude::*;

use super::*;
use crate::model::market::tests::order;
use crate::model::peer::entry::Told;
use crate::model::row::OutcomeKind;
use crate::types::{Money, OrderKind, ProductId, Quantity, Signature};

fn entry() -> impl Strategy<Value = Entry> {
    let number = |k: u32| Number::new(Epoch(0), k);
    prop_oneof![
        (1u32..60).prop_map(move |k| Entry::Placed(Placed {
            number: number(k),
            stamp: Stamp(u64::from(k)),
            kind: OrderKind::Sell,
            product: ProductId(0),
            quantity: Quantity(1),
        })),
        (1u32..60).prop_map(move |k| Entry::Answered {
            via: PeerId(6),
            told: vec![Told {
                number: number(k),
                kind: OutcomeKind::Deposited,
                reason: None,
                filled: Quantity(1),
                amount: Money(0),
                seq: Seq(1),
            }],
            seen: None,
        }),
        (1u32..5, 1u32..60, 1u64..4).prop_map(|(peer, k, term)| Entry::Accepted {
            term: Term(term),
            order: order(peer, k, OrderKind::Sell, 0, 1),
        }),
        (1u32..5, 1u32..60, 0u32..4).prop_map(move |(peer, k, more)| Entry::Settled {
            peer: PeerId(peer),
            first: number(k),
            last: number(k + more),
        }),
        (1u64..4).prop_map(|term| Entry::Granted { office: Office::Primary, term: Term(term) }),
        (1u64..4).prop_map(|term| Entry::Ended { term: Term(term) }),
        (1u64..4).prop_map(|term| Entry::Licensed(Licence {
            term: Term(term),
            signature: Signature([[0; 32]; 2])
        })),
        (1u64..4).prop_map(|epoch| Entry::Opened { peer: PeerId(1), epoch: Epoch(epoch) }),
        (1u64..4).prop_map(|seq| Entry::LedgerSeen {
            generation: Generation::of_test(1),
            seq: Seq(seq),
            hash: Hash::of(&[2]),
            proof: None
        }),
        (1u32..5).prop_map(|peer| Entry::Known {
            peer: PeerId(peer),
            epoch: Epoch(0),
            store: Hash::of(&[1])
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A checkpoint at any place and the entries after it give the state of the whole journal.
    #[test]
    fn a_checkpoint_and_what_follows_is_the_whole(entries in proptest::collection::vec(entry(), 1..80), cut in 0usize..80) {
        let mut whole = PeerState::default();
        let mut resumed = None;
        for (at, entry) in entries.iter().enumerate() {
            if at == cut {
                let mut restored = PeerState::default();
                whole.parts().into_iter().for_each(|(_, part)| restored.restore(part));
                prop_assert!(restored == whole && restored.is_whole());
                resumed = Some(restored);
            }
            let seq = Seq(at as u64 + 1);
            whole.apply(seq, WallMicros(0), entry);
            if let Some(resumed) = &mut resumed {
                resumed.apply(seq, WallMicros(0), entry);
            }
        }
        if let Some(resumed) = resumed {
            prop_assert_eq!(resumed, whole);
        }
    }
}

/// Without it: placing number 4097 makes the warehouse forget number 1 while its outcome is not on this disk yet.
#[test]
fn the_window_counts_from_what_is_durably_answered() {
    let state = PeerState { last: Number::new(Epoch(0), SESSION_WINDOW), ..PeerState::default() };
    assert_eq!(state.room(Number::new(Epoch(0), 1)), 0);
    assert_eq!(state.room(Number::new(Epoch(0), 3)), 2);
    assert_eq!(state.room(state.last), SESSION_WINDOW - 1, "the last one is open");
    assert_eq!(PeerState::default().room(Number::new(Epoch(0), 1)), SESSION_WINDOW);
}

/// Otherwise a warehouse that shows an older session, for whatever reason, has two orders named alike.
#[test]
fn no_number_is_given_twice_whatever_the_epoch() {
    let number = |epoch, k| Number::new(Epoch(epoch), k);
    let state = PeerState { last: number(1, 7), ..PeerState::default() };
    assert_eq!(state.next_number(Epoch(1)), Some(number(1, 8)));
    assert_eq!(state.next_number(Epoch(2)), Some(number(2, 1)));
    assert_eq!(state.next_number(Epoch(0)), Some(number(1, 8)));
    assert_eq!(PeerState::default().next_number(Epoch(0)), Some(number(0, 1)));
}

/// Otherwise the number after the last one of an epoch would be of the next epoch, which another store may have.
#[test]
fn the_last_number_of_an_epoch_is_followed_by_the_first_of_the_next() {
    let last = Number::new(Epoch(1), Number::K_MAX);
    let state = PeerState { last, ..PeerState::default() };
    assert_eq!((state.next_number(Epoch(1)), state.numbers_left(Epoch(1))), (None, 0));
    assert_eq!(state.next_number(Epoch(2)), Some(Number::new(Epoch(2), 1)));
    assert_eq!(state.numbers_left(Epoch(2)), Number::K_MAX);
    assert_eq!(state.room(state.floor()), SESSION_WINDOW, "all of them are acknowledged");
}

#[test]
fn a_forgotten_order_is_open_no_more_and_holds_nothing_back() {
    let mut state = PeerState::default();
    let number = |k: u32| Number::new(Epoch(0), k);
    for k in 1..=2 {
        let (stamp, kind) = (Stamp(u64::from(k)), OrderKind::Sell);
        let placed = Placed { number: number(k), stamp, kind, product: ProductId(0), quantity: Quantity(1) };
        state.apply(Seq(u64::from(k)), WallMicros(0), &Entry::Placed(placed));
    }
    state.apply(Seq(3), WallMicros(0), &Entry::Forgotten { number: number(1) });
    assert_eq!((state.open.len(), state.floor(), state.answered), (1, number(2), 0));
    assert_eq!(state.next_number(Epoch(0)), Some(number(3)), "its number is not given again");
}

#[test]
fn what_was_kept_of_a_trader_is_trimmed_below_the_chunk_that_is_named() {
    let mut state = PeerState::default();
    let (trader, term) = (PeerId(6), Term(4));
    for chunk in 1..=3 {
        let entry = Entry::Mirrored { trader, term, chunk: Seq(chunk), orders: vec![1] };
        state.apply(Seq(chunk), WallMicros(0), &entry);
    }
    state.apply(Seq(4), WallMicros(0), &Entry::Trimmed { trader, term, below: Seq(2) });
    let kept: Vec<u64> = state.mirrors[&(trader, term)].iter().map(|(chunk, _)| chunk.0).collect();
    assert_eq!(kept, [2, 3]);
}

#[test]
fn what_is_settled_leaves_as_a_range_of_one_peer() {
    let mut state = PeerState::default();
    let number = |k: u32| Number::new(Epoch(0), k);
    let orders =
        [(5, 1), (5, 2), (5, 3), (5, 4), (6, 2)].map(|(peer, k)| order(peer, k, OrderKind::Sell, 0, 1));
    for (order, seq) in orders.into_iter().zip(1..) {
        state.apply(Seq(seq), WallMicros(0), &Entry::Accepted { term: Term(1), order });
    }
    let settled = Entry::Settled { peer: PeerId(5), first: number(1), last: number(3) };
    state.apply(Seq(6), WallMicros(0), &settled);
    assert_eq!(state.accepted.keys().collect::<Vec<_>>(), [&orders[3].id, &orders[4].id]);
    let told = |k: u32| Told {
        number: number(k),
        kind: OutcomeKind::Deposited,
        reason: None,
        filled: Quantity(1),
        amount: Money(0),
        seq: Seq(1),
    };
    let answered = Entry::Answered { via: PeerId(6), told: vec![told(1), told(2)], seen: None };
    state.apply(Seq(7), WallMicros(0), &answered);
    assert_eq!((state.totals.outcomes, state.is_whole()), (2, true));
    state.totals = Totals::default();
    assert!(!state.is_whole(), "an earlier version counted nothing");
}

/// A trader is asked by any number of clients, each of which would be in all its checkpoints.
#[test]
fn of_too_many_clients_the_oldest_is_forgotten_and_no_peer() {
    let mut state = PeerState::default();
    let mut know = |peer: u32| {
        let entry =
            Entry::Known { peer: PeerId(peer), epoch: Epoch(0), store: Hash::of(&peer.to_le_bytes()) };
        state.apply(state.seq.next(), WallMicros(1), &entry);
        assert!(state.known.contains_key(&PeerId(peer)), "it waits for this");
        state.known.len()
    };
    assert_eq!((1..=9).map(&mut know).max(), Some(9));
    let clients = KNOWN_MAX as u32 - 9;
    assert_eq!((1..=clients).map(|client| know(1_000 + client)).max(), Some(KNOWN_MAX));
    assert_eq!(know(1_001 + clients), KNOWN_MAX, "1001 goes");
    assert_eq!(know(1_001), KNOWN_MAX, "it comes again, and 1002 goes");
    let known: Vec<u32> = state.known.keys().map(|peer| peer.0).collect();
    assert_eq!((&known[..10], state.is_whole()), (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 1_001][..], true));
    assert_eq!(known[10], 1_003);
}
