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
pub struct Habits {
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
pub struct Shopper {
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
    /// If a range of `habits` is empty or leaves 1..=1,000,000: whoever read them must have checked.
    pub fn new(habits: Habits, me: PeerId, products: u16, now: Now) -> Shopper {
        for (least, most) in [habits.deposit, habits.quantity] {
            assert!(1 <= least && least <= most && most <= QUANTITY_MAX, "pieces {least} to {most}");
        }
        let rng = fastrand::Rng::with_seed(peer_seed(habits.seed, me));
        Shopper { habits, products, rng, next: now, placed: 0, paused: false, stopped: false }
    }

    /// When the next order is to be placed, now at the earliest, if `open` orders are unanswered. `None`: not until
    /// something changes (done, idle, paused, window full).
    pub fn due(&self, now: Now, open: usize) -> Option<Now> {
        (self.room(open) > 0).then(|| self.next.max(now))
    }

    /// What is due now, at most `max`, with `open` orders unanswered. All of it counts as placed.
    ///
    /// The next is due one interval from *now*: however late this is called, one order is made up, not all missed ones.
    pub fn wishes(&mut self, now: Now, open: usize, max: usize) -> Vec<Wish> {
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
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// The peer is out of office: it goes on where it was.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// In office.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// It places no more in this run.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    /// Nobody has to wait for more orders of it: its quota is placed, it was stopped, or it is no buyer. A buyer whose
    /// quota is not placed is not done while it is paused.
    pub fn done(&self) -> bool {
        self.stopped || self.habits.role != Role::Buyer || self.quota_left() == 0
    }

    /// Orders placed in this run.
    pub fn placed(&self) -> u64 {
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
