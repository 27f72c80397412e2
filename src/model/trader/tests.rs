use super::*;
use crate::limits::TRADER_QUEUE_ORDERS_MAX;
use crate::model::market::tests::order;
use crate::model::row::OutcomeKind;
use crate::types::{Money, Seq, WallMicros};

const BUY: OrderKind = OrderKind::Buy { partial: false };

fn buy(peer: u32, k: u32) -> Order {
    order(peer, k, BUY, 0, 1)
}

fn outcome(order: &Order) -> Outcome {
    Outcome {
        id: order.id,
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
    }
}

fn trader() -> Trader {
    let mut trader = Trader::new(1, TRADER_QUEUE_ORDERS_MAX);
    trader.stream_up();
    trader
}

#[test]
fn a_full_queue_refuses_what_is_new_until_something_is_settled() {
    let mut trader = Trader::new(1, 2);
    trader.stream_up();
    trader.admit(buy(1, 1)).unwrap();
    trader.admit(buy(2, 1)).unwrap();
    assert!(trader.is_full());
    assert_eq!(trader.admit(buy(3, 1)), Err(NotTaken::Busy));
    assert_eq!(trader.admit(buy(2, 1)), Ok(Admitted::Attached), "what is here may be asked for again");
    let (batch, orders) = trader.next_batch().unwrap();
    trader.settled(batch, vec![outcome(&orders[0])], vec![]);
    assert_eq!(trader.admit(buy(3, 1)), Ok(Admitted::New));
}

/// Otherwise every client that came once is counted until the term ends.
#[test]
fn who_has_nothing_here_any_more_is_not_counted() {
    let mut trader = trader();
    for client in 1_001..1_101 {
        trader.admit(buy(client, 1)).unwrap();
        trader.admit(buy(client, 2)).unwrap();
    }
    assert_eq!(trader.by_peer.len(), 100);
    let (batch, orders) = trader.next_batch().unwrap();
    let first = orders.iter().filter(|order| order.id.number.k() == 1 || order.id.peer.0 < 1_051);
    trader.settled(batch, first.map(outcome).collect(), vec![]);
    assert_eq!(trader.by_peer.len(), 50, "each of those has one order left");
    assert_eq!(trader.admit(buy(1_001, 3)), Ok(Admitted::New));
}

#[test]
fn an_order_that_makes_no_sense_stays_with_its_sender() {
    let mut trader = trader();
    assert_eq!(trader.admit(order(1, 0, BUY, 0, 1)), Err(NotTaken::Window));
    assert_eq!(trader.admit(order(1, 1, BUY, 1, 1)), Err(NotTaken::UnknownProduct));
    assert_eq!(trader.admit(order(1, 1, BUY, 0, 0)), Err(NotTaken::Quantity));
    assert_eq!(trader.admit(order(1, 1, BUY, 0, QUANTITY_MAX + 1)), Err(NotTaken::Quantity));
    assert_eq!(trader.depth(), 0);
}

#[test]
fn asked_again_it_is_attached_and_other_content_is_named() {
    let mut trader = trader();
    assert_eq!(trader.admit(buy(1, 1)), Ok(Admitted::New));
    trader.next_batch();
    assert_eq!(trader.admit(buy(1, 1)), Ok(Admitted::Attached));
    assert_eq!(trader.admit(order(1, 1, BUY, 0, 2)), Err(NotTaken::OtherContent));
}

#[test]
fn a_void_passes_the_order_that_it_gives_up() {
    let mut trader = trader();
    trader.admit(buy(1, 1)).unwrap();
    trader.admit(buy(2, 1)).unwrap();
    assert_eq!(trader.admit(order(1, 1, OrderKind::Void, 0, 0)), Ok(Admitted::New));
    let (_, orders) = trader.next_batch().unwrap();
    assert_eq!(orders[0].kind, OrderKind::Void);
}

#[test]
fn a_new_stream_repeats_everything_unsettled_in_queue_order() {
    let mut trader = trader();
    for order in [buy(2, 2), buy(1, 1)] {
        trader.admit(order).unwrap();
    }
    let (_, first) = trader.next_batch().unwrap();
    trader.admit(buy(3, 1)).unwrap();
    trader.stream_lost();
    assert_eq!(trader.next_batch(), None);
    trader.stream_up();
    let (_, again) = trader.next_batch().unwrap();
    assert_eq!(first.len(), 2);
    assert_eq!(again, [buy(1, 1), buy(3, 1), buy(2, 2)]);
}

#[test]
fn batches_in_flight_are_bounded() {
    let mut trader = trader();
    for k in 1..=SETTLE_BATCHES_IN_FLIGHT_MAX as u32 {
        trader.admit(buy(1, k)).unwrap();
        assert!(trader.next_batch().is_some());
    }
    trader.admit(buy(2, 1)).unwrap();
    assert_eq!(trader.next_batch(), None);
    trader.settled(Batch(1), vec![outcome(&buy(1, 1))], vec![]);
    assert!(trader.next_batch().is_some());
}

/// Without it: numbers 1 and 3 are settled as 1..=3 and a restart forgets the waiting 2.
#[test]
fn only_neighbouring_numbers_leave_as_one_range() {
    let mut trader = trader();
    for k in 1..=4 {
        trader.admit(buy(1, k)).unwrap();
    }
    let (batch, _) = trader.next_batch().unwrap();
    let settled = trader.settled(batch, [1, 2, 4].map(|k| outcome(&buy(1, k))).to_vec(), vec![]);
    let ranges: Vec<_> = settled
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Settled { first, last, .. } => (first.k(), last.k()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(ranges, [(1, 2), (4, 4)]);
    assert_eq!(trader.depth(), 1);
}

#[test]
fn an_outcome_of_an_order_that_left_is_told_to_nobody() {
    let mut trader = trader();
    assert!(trader.settled(Batch(1), vec![outcome(&buy(1, 1))], vec![]).outcomes.is_empty());
}

/// Its row has to be one that the audit can read.
#[test]
fn a_void_of_more_than_there_can_be_stays_with_its_sender() {
    let mut trader = trader();
    let void = |quantity| order(1, 1, OrderKind::Void, 9, quantity);
    assert_eq!(trader.admit(void(QUANTITY_MAX + 1)), Err(NotTaken::Quantity));
    assert_eq!(trader.admit(void(QUANTITY_MAX)), Ok(Admitted::New), "whatever it says of goods");
}

/// Otherwise a peer is turned away for good once it has placed a window full of orders.
#[test]
fn a_settled_order_makes_room_in_the_window_of_its_peer() {
    let mut trader = trader();
    (1..=SESSION_WINDOW).for_each(|k| assert_eq!(trader.admit(buy(1, k)), Ok(Admitted::New)));
    assert_eq!(trader.admit(buy(1, SESSION_WINDOW + 1)), Err(NotTaken::Window));
    assert_eq!(trader.admit(buy(2, 1)), Ok(Admitted::New), "another peer");
    trader.settled(Batch(1), vec![outcome(&buy(1, 1))], vec![]);
    assert_eq!(trader.admit(buy(1, SESSION_WINDOW + 1)), Ok(Admitted::New));
    assert_eq!(trader.admit(buy(1, SESSION_WINDOW + 2)), Err(NotTaken::Window));
}

#[test]
fn the_batches_of_a_term_are_numbered_from_1() {
    let mut trader = trader();
    trader.admit(buy(1, 1)).unwrap();
    assert_eq!(trader.next_batch().unwrap().0, Batch(1));
    trader.begin();
    assert_eq!(trader.next_batch(), Some((Batch(1), vec![buy(1, 1)])), "what was on its way goes again");
}
