//! What a peer does for itself: a buyer orders 1-3 pieces of a random good each interval, a seller deposits Ng pieces
//! of one each Tg.
//!
//! In: the time and how many of the peer's orders are unanswered. Out: [`Wish`]es, which the node numbers, stamps and
//! journals. Invariants:
//! - the n-th wish is a function of habits, peer and catalogue alone, not of timing: a run can be repeated by its seed;
//! - never more than the session window is open;
//! - a pause, a stall or a full window delays orders and never makes them up in a burst.

use crate::limits::{QUANTITY_MAX, SESSION_WINDOW};
use crate::types::{Hash, Now, OrderKind, PeerId, ProductId, Quantity, Role};

/// How a shopper behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Habits {
    /// Buys, sells, or neither.
    pub role: Role,
    /// Orders that a buyer places in this run; `None`: for ever. Sellers deposit as long as the run lasts.
    pub requests: Option<u64>,
    /// Milliseconds between a buyer's orders; 0: as fast as the session window lets.
    pub interval_ms: u64,
    /// Pieces of one deposit (the course's Ng), least and most, within 1..=1,000,000.
    pub deposit: (u64, u64),
    /// Milliseconds between a seller's deposits (Tg); 0: as fast as the session window lets.
    pub deposit_every_ms: u64,
    /// Pieces that one order asks for, least and most, within 1..=1,000,000.
    pub quantity: (u64, u64),
    /// Buy whatever is there when the stock is short.
    pub partial: bool,
    /// Chooses goods and quantities, together with the peer's id.
    pub seed: u64,
}

/// An order to be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Buy or sell.
    pub kind: OrderKind,
    /// The good.
    pub product: ProductId,
    /// Pieces.
    pub quantity: Quantity,
}

/// One peer's buyer or seller.
#[derive(Clone, Debug)]
pub(crate) struct Shopper {
    habits: Habits,
    products: u16,
    rng: fastrand::Rng,
    next: Now,
    placed: u64,
    paused: bool,
    stopped: bool,
}

impl Shopper {
    /// A shopper whose first order is due at once. `products` is the size of the catalogue; with 0 it never orders.
    ///
    /// # Panics
    /// If a range of `habits` is empty or leaves 1..=1,000,000: reading the flags has ruled that out.
    pub(crate) fn new(habits: Habits, me: PeerId, products: u16, now: Now) -> Shopper {
        for (least, most) in [habits.deposit, habits.quantity] {
            assert!(1 <= least && least <= most && most <= QUANTITY_MAX, "pieces {least} to {most}");
        }
        let rng = fastrand::Rng::with_seed(peer_seed(habits.seed, me));
        Shopper { habits, products, rng, next: now, placed: 0, paused: false, stopped: false }
    }

    /// When to place the next order, now at the earliest, with `open` orders unanswered. `None`: not until something
    /// changes (done, idle, paused, window full).
    pub(crate) fn due(&self, now: Now, open: usize) -> Option<Now> {
        (self.room(open) > 0).then(|| self.next.max(now))
    }

    /// What is due now, at most `max`, with `open` orders unanswered. All of it counts as placed.
    ///
    /// The next order is due one interval from *now*: a late call gives one order, not all that were missed.
    pub(crate) fn wishes(&mut self, now: Now, open: usize, max: usize) -> Vec<Wish> {
        if now < self.next {
            return Vec::new();
        }
        let interval_ms = self.interval_ms();
        let count = self.room(open).min(max).min(if interval_ms == 0 { usize::MAX } else { 1 });
        if count > 0 {
            self.next = now.after_ms(interval_ms);
            self.placed += count as u64;
        }
        (0..count).map(|_| self.wish()).collect()
    }

    /// The peer took an office: it places nothing until [`Shopper::resume`].
    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// The peer is out of office: it goes on where it was.
    pub(crate) fn resume(&mut self) {
        self.paused = false;
    }

    /// It places no more in this run.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// No run waits for more orders of this shopper: its quota is placed, it was stopped, or it is no buyer. A buyer
    /// that is paused below its quota is not done.
    pub(crate) fn done(&self) -> bool {
        self.stopped || self.habits.role != Role::Buyer || self.quota_left() == 0
    }

    /// Orders placed in this run.
    #[cfg(test)]
    pub(crate) fn placed(&self) -> u64 {
        self.placed
    }

    /// How many orders it may place now if time allows.
    fn room(&self, open: usize) -> usize {
        let resting = self.stopped || self.paused || self.products == 0 || self.habits.role == Role::Idle;
        let window = (SESSION_WINDOW as usize).saturating_sub(open);
        if resting { 0 } else { window.min(usize::try_from(self.quota_left()).unwrap_or(usize::MAX)) }
    }

    fn quota_left(&self) -> u64 {
        match (self.habits.role, self.habits.requests) {
            (Role::Buyer, Some(requests)) => requests.saturating_sub(self.placed),
            _ => u64::MAX,
        }
    }

    fn interval_ms(&self) -> u64 {
        match self.habits.role {
            Role::Seller => self.habits.deposit_every_ms,
            Role::Buyer | Role::Idle => self.habits.interval_ms,
        }
    }

    fn wish(&mut self) -> Wish {
        let (kind, (least, most)) = match self.habits.role {
            Role::Seller => (OrderKind::Sell, self.habits.deposit),
            Role::Buyer | Role::Idle => {
                (OrderKind::Buy { partial: self.habits.partial }, self.habits.quantity)
            }
        };
        let product = ProductId(self.rng.u16(..self.products));
        Wish { kind, product, quantity: Quantity(self.rng.u64(least..=most)) }
    }
}

/// Hashed, so that peers of one run do not draw overlapping stretches of one sequence.
fn peer_seed(seed: u64, peer: PeerId) -> u64 {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..].copy_from_slice(&peer.0.to_le_bytes());
    Hash::of(&bytes).first_u64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: usize = SESSION_WINDOW as usize;

    fn habits(role: Role) -> Habits {
        Habits {
            role,
            requests: Some(50),
            interval_ms: 100,
            deposit: (5, 20),
            deposit_every_ms: 300,
            quantity: (1, 3),
            partial: false,
            seed: 7,
        }
    }

    fn shopper(habits: Habits) -> Shopper {
        Shopper::new(habits, PeerId(4), 3, Now(1_000))
    }

    #[test]
    fn the_first_order_is_due_at_once_and_the_next_an_interval_later() {
        let mut buyer = shopper(habits(Role::Buyer));
        assert_eq!(buyer.due(Now(1_000), 0), Some(Now(1_000)));
        assert_eq!(buyer.wishes(Now(1_000), 0, 9).len(), 1);
        assert_eq!(buyer.due(Now(1_000), 1), Some(Now(1_100)));
        assert_eq!(buyer.wishes(Now(1_099), 1, 9), []);
        assert_eq!(buyer.wishes(Now(1_100), 1, 9).len(), 1);
    }

    #[test]
    fn missed_intervals_are_not_made_up_in_a_burst() {
        let mut buyer = shopper(habits(Role::Buyer));
        assert_eq!(buyer.wishes(Now(9_000), 0, 9).len(), 1);
        assert_eq!(buyer.wishes(Now(9_000), 0, 9), []);
        assert_eq!(buyer.due(Now(9_000), 1), Some(Now(9_100)));
    }

    #[test]
    fn the_window_is_never_overrun() {
        let mut buyer = shopper(Habits { interval_ms: 0, requests: None, ..habits(Role::Buyer) });
        assert_eq!(buyer.wishes(Now(1_000), 0, 100).len(), 100);
        assert_eq!(buyer.wishes(Now(1_000), 100, usize::MAX).len(), WINDOW - 100);
        assert_eq!(buyer.due(Now(1_000), WINDOW), None);
        assert_eq!(buyer.wishes(Now(1_000), WINDOW + 1, usize::MAX), []);
        assert_eq!(buyer.due(Now(1_005), WINDOW - 1), Some(Now(1_005)), "an answer came");
    }

    #[test]
    fn a_full_window_or_no_room_does_not_use_up_the_turn() {
        let mut buyer = shopper(habits(Role::Buyer));
        assert_eq!(buyer.wishes(Now(1_000), WINDOW, 9), []);
        assert_eq!(buyer.wishes(Now(1_000), 0, 0), []);
        assert_eq!(buyer.due(Now(1_010), 0), Some(Now(1_010)));
    }

    #[test]
    fn a_buyer_stops_at_its_quota() {
        let mut buyer = shopper(Habits { interval_ms: 0, ..habits(Role::Buyer) });
        assert!(!buyer.done());
        assert_eq!(buyer.wishes(Now(1_000), 0, usize::MAX).len(), 50);
        assert_eq!((buyer.placed(), buyer.done(), buyer.due(Now(2_000), 0)), (50, true, None));
    }

    #[test]
    fn a_run_does_not_wait_for_sellers_yet_they_go_on() {
        let mut seller = shopper(Habits { requests: Some(1), ..habits(Role::Seller) });
        assert!(seller.done());
        assert_eq!(seller.wishes(Now(1_000), 0, 9).len(), 1);
        assert_eq!(seller.due(Now(1_000), 1), Some(Now(1_300)));
        assert_eq!(seller.wishes(Now(1_300), 1, 9).len(), 1);
    }

    #[test]
    fn a_trader_places_nothing_until_it_is_out_of_office() {
        let mut buyer = shopper(habits(Role::Buyer));
        buyer.pause();
        assert_eq!((buyer.due(Now(5_000), 0), buyer.wishes(Now(5_000), 0, 9)), (None, vec![]));
        assert!(!buyer.done(), "it is paused, not at its quota");
        buyer.resume();
        assert_eq!(buyer.due(Now(6_000), 0), Some(Now(6_000)));
    }

    #[test]
    fn stopped_idle_and_without_goods_it_places_nothing() {
        let mut stopped = shopper(habits(Role::Seller));
        stopped.stop();
        let without_goods = Shopper::new(habits(Role::Buyer), PeerId(4), 0, Now(1_000));
        for mut shopper in [stopped, shopper(habits(Role::Idle)), without_goods] {
            assert_eq!((shopper.due(Now(5_000), 0), shopper.wishes(Now(5_000), 0, 9)), (None, vec![]));
        }
        assert!(shopper(habits(Role::Idle)).done());
    }

    #[test]
    fn peers_of_one_run_do_not_all_want_the_same() {
        let wishes = |peer| {
            let habits = Habits { interval_ms: 0, ..habits(Role::Buyer) };
            Shopper::new(habits, PeerId(peer), 3, Now(0)).wishes(Now(0), 0, 50)
        };
        assert_eq!(wishes(4), wishes(4));
        assert_ne!(wishes(4), wishes(5));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// However the calls come, wishes are the same, in range, within quota and window, and not too early.
        #[test]
        fn timing_changes_when_but_not_what(
            seed: u64,
            sells: bool,
            interval_ms in 0..3_u64,
            requests in 0..40_u64,
            least in 1..50_u64,
            spread in 0..50_u64,
            calls in prop::collection::vec((0..6_u64, 0..WINDOW + 2, 0..9_usize), 0..40),
        ) {
            let (role, pieces) = (if sells { Role::Seller } else { Role::Buyer }, (least, least + spread));
            let of_run = Habits {
                seed,
                requests: Some(requests),
                interval_ms,
                deposit_every_ms: interval_ms,
                quantity: pieces,
                deposit: pieces,
                ..habits(role)
            };
            let all_at_once = Habits { interval_ms: 0, deposit_every_ms: 0, requests: None, ..of_run.clone() };
            let expected = shopper(all_at_once).wishes(Now(1_000), 0, 400);
            let (mut calm, mut wished, mut now) = (shopper(of_run), Vec::new(), Now(1_000));
            let mut last: Option<Now> = None;
            for (later, open, max) in calls {
                now = now.after_ms(later);
                let due = calm.due(now, open);
                let wishes = calm.wishes(now, open, max);
                prop_assert!(wishes.len() <= max && wishes.len() <= WINDOW.saturating_sub(open));
                prop_assert_eq!(!wishes.is_empty(), due == Some(now) && max > 0);
                if !wishes.is_empty() {
                    prop_assert!(last.is_none_or(|last| now.ms_since(last) >= interval_ms));
                    prop_assert!(interval_ms == 0 || wishes.len() == 1);
                    last = Some(now);
                }
                wished.extend(wishes);
            }
            prop_assert_eq!(&wished[..], &expected[..wished.len()]);
            prop_assert_eq!(calm.placed(), wished.len() as u64);
            prop_assert!(sells || wished.len() as u64 <= requests);
            for wish in &wished {
                prop_assert!(wish.product.0 < 3 && (pieces.0..=pieces.1).contains(&wish.quantity.0));
                prop_assert_eq!(wish.kind == OrderKind::Sell, sells);
            }
        }
    }
}
