use super::*;
use crate::limits::{ALLOTMENT_HALVES_MS, ALLOTMENT_PIECES_MIN};
use crate::model::peer::testing::order;

const FISH: ProductId = ProductId(0);
const NOW: Now = Now(1);
const TERM: Term = Term(3);

fn buy(k: u32, pieces: u64) -> Order {
    Order { kind: OrderKind::Buy { partial: false }, quantity: Quantity(pieces), ..order(10, k) }
}

fn sell(k: u32, pieces: u64) -> Order {
    Order { kind: OrderKind::Sell, quantity: Quantity(pieces), ..order(10, k) }
}

fn word(allotted: Option<u64>, decided: u64) -> GoodsWord {
    let allotted = vec![(FISH, allotted.map(Quantity))];
    GoodsWord { allotted, decided, recall: Vec::new() }
}

fn recall() -> GoodsWord {
    GoodsWord { recall: vec![FISH], ..GoodsWord::default() }
}

/// With so many pieces.
fn open(pieces: u64) -> Allotment {
    let mut allotment = Allotment::default();
    assert_eq!(allotment.answer(NOW, TERM, &buy(1, 1)), None);
    assert_eq!(allotment.wants(NOW, true, true), [(FISH, Quantity(ALLOTMENT_PIECES_MIN))]);
    assert_eq!(allotment.wants(NOW, true, true), [], "it is asked already");
    allotment.heard(&word(Some(pieces), 0));
    allotment
}

fn nth(told: Option<Tentative>) -> Option<u64> {
    told.and_then(|told| told.draw).map(|draw| draw.nth)
}

#[test]
fn what_is_set_aside_is_sold_at_once_and_what_is_put_in_too() {
    let mut allotment = open(5);
    assert_eq!(nth(allotment.answer(NOW, TERM, &buy(2, 4))), Some(1));
    assert_eq!(nth(allotment.answer(NOW, TERM, &sell(3, 7))), Some(2));
    assert_eq!(nth(allotment.answer(NOW, TERM, &buy(4, 8))), Some(3));
    assert_eq!(allotment.free(FISH), Some(0));
    let void = Order { kind: OrderKind::Void, ..buy(5, 1) };
    assert_eq!(allotment.answer(NOW, TERM, &void), None);
}

/// The order that cannot be met waits until all that others have is back, this trader's too.
#[test]
fn an_order_that_cannot_be_met_closes_the_good_until_it_is_decided() {
    let mut allotment = open(5);
    let large = buy(2, 6);
    assert_eq!(allotment.answer(NOW, TERM, &large), None);
    allotment.came(&large);
    assert_eq!(nth(allotment.answer(NOW, TERM, &buy(3, 1))), None, "what comes behind it waits too");
    assert_eq!(allotment.wants(NOW, false, true), [], "something that was decided is not sent yet");
    assert_eq!(allotment.wants(NOW, true, true), [(FISH, Quantity(0))]);
    allotment.heard(&word(None, 0));
    assert_eq!(allotment.wants(NOW, true, true), [], "it is not decided");
    allotment.left(&large);
    assert!(matches!(allotment.wants(NOW, true, true)[..], [(FISH, Quantity(1..))]));
}

/// The warehouse's word is of some decision; what was decided since counts on top, whatever was lost with a stream.
#[test]
fn the_warehouse_s_word_puts_the_account_right() {
    let mut allotment = open(5);
    for (k, pieces) in [(2, 1), (3, 2)] {
        allotment.answer(NOW, TERM, &buy(k, pieces));
    }
    allotment.answer(NOW, TERM, &sell(4, 10));
    assert_eq!(allotment.free(FISH), Some(12));
    allotment.stream_up();
    allotment.heard(&word(Some(24), 1));
    assert_eq!(allotment.free(FISH), Some(24 - 2 + 10));
    allotment.heard(&word(Some(31), 3));
    assert_eq!(allotment.free(FISH), Some(31));
    // Settled otherwise, its pieces stayed: the next word has them.
    allotment.answer(NOW, TERM, &buy(5, 1));
    allotment.heard(&word(Some(31), 3));
    assert_eq!(allotment.free(FISH), Some(30));
}

#[test]
fn what_is_recalled_goes_back_even_if_nobody_told_that_it_was_there() {
    let mut allotment = open(5);
    allotment.heard(&recall());
    assert_eq!(nth(allotment.answer(NOW, TERM, &buy(2, 1))), None);
    allotment.heard(&word(Some(5), 0));
    assert_eq!(allotment.free(FISH), None, "that was said before it was given back");
    assert_eq!(allotment.wants(NOW, true, true), [(FISH, Quantity(0))]);
    allotment.stream_up();
    assert_eq!(allotment.wants(NOW, true, true), [(FISH, Quantity(0))], "the stream broke: once more");

    let mut unaware = Allotment::default();
    unaware.heard(&recall());
    assert_eq!(unaware.wants(NOW, true, false), [(FISH, Quantity(0))]);
}

#[test]
fn a_sale_names_so_many_lots_and_so_many_deposits_are_told_before_there_is_room_again() {
    let mut allotment = open(1_000);
    assert_eq!(nth(allotment.answer(NOW, TERM, &buy(2, SALE_LOTS_MAX as u64))), Some(1));
    let most = ALLOTMENT_DEPOSITS_MAX as u32;
    assert!((3..3 + most).all(|k| allotment.answer(NOW, TERM, &sell(k, 1)).is_some()));
    assert!(matches!(allotment.wants(NOW, true, true)[..], [(FISH, Quantity(1..))]), "it asks");
    allotment.heard(&word(Some(5_000), 1 + u64::from(most)));
    assert!(allotment.answer(NOW, TERM, &sell(3 + most, 1)).is_some());
    assert_eq!(allotment.answer(NOW, TERM, &buy(4 + most, SALE_LOTS_MAX as u64 + 1)), None);
}

#[test]
fn what_nobody_asks_for_goes_back() {
    let mut allotment = open(5);
    allotment.answer(NOW, TERM, &buy(2, 3));
    allotment.wants(NOW, true, true);
    let mut now = NOW;
    while let Some(due) = allotment.due() {
        now = due;
        allotment.wake(now);
        let wants = allotment.wants(now, true, true);
        if wants == [(FISH, Quantity(0))] {
            break;
        }
        allotment.heard(&word(Some(2), 1));
    }
    assert_eq!(now, NOW.after_ms(3 * ALLOTMENT_HALVES_MS), "four pieces: two, one, none");
    allotment.heard(&word(None, 1));
    allotment.wants(now, true, true);
    assert!(allotment.goods.is_empty() && allotment.due().is_none(), "nothing of it is kept");
}

#[test]
fn one_that_may_not_sell_wants_nothing() {
    let mut allotment = Allotment::default();
    allotment.answer(NOW, TERM, &buy(1, 1));
    assert_eq!(allotment.wants(NOW, true, false), []);
}
