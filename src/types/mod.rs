//! The words of the market as types: ids, quantities, money, clocks, terms.
//!
//! Every id and quantity is a newtype, so that a peer is never taken for a trader's term or a stamp for a number.
//! Nothing here does I/O; parsing lives where text comes in, range checks in [`crate::limits`].

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A peer (1..=1000) or a client (from 1001); 0 is the warehouse, as the owner of the initial stock.
    PeerId(u32)
);
number!(
    /// An order's number at its peer: `epoch << 30 | k`, `k` from 1. See [`Number::epoch`] and [`Number::k`].
    Number(u64)
);
number!(
    /// Sequence of a record in a node's log, from 1 without gap; 0 is "nothing yet".
    Seq(u64)
);
number!(
    /// Number of a grant of an office: (generation, count). One counter numbers the grants of both offices, from 1.
    Term(u64)
);
number!(
    /// A Lamport time (Lamport 1978): a node's clock, or the stamp that the placing peer gave an order.
    Stamp(u64)
);
number!(
    /// Index of a good in the catalogue, in the order of its `stocked` row.
    ProductId(u16)
);
number!(
    /// Number of a settle batch of one trader's term, from 1.
    Batch(u64)
);
impl Batch {
    /// Above all numbers of batches.
    const DECISIONS: u64 = 1 << 40;

    /// In the place of a batch: the how-manieth decision of its trader's term an order is, from 1.
    pub(crate) fn of_decision(nth: u64) -> Batch {
        Batch(Batch::DECISIONS.saturating_add(nth))
    }

    /// The number of the trader's decision, if it was one.
    pub(crate) fn decision(self) -> Option<u64> {
        self.0.checked_sub(Batch::DECISIONS).filter(|nth| *nth > 0)
    }
}

number!(
    /// Tells the stores of one peer apart: (generation, count). The first store of a market's peer has epoch 0, and each
    /// later one a greater epoch.
    Epoch(u64)
);
number!(
    /// Pieces of a good.
    Quantity(u64)
);

mod number;
mod order;
mod secret;

pub use number::{GENERATION_MAX, Generation};
pub(crate) use order::QueueKey;
pub use order::{Order, OrderKind};
pub(crate) use secret::Signing;
pub use secret::{PublicKey, SecretKey, Signature, Token};

impl PeerId {
    /// The owner of what was in stock at the start.
    pub const WAREHOUSE: PeerId = PeerId(0);
    /// The largest id of a peer; greater ids are clients, which never stand for office.
    pub(crate) const PEER_MAX: PeerId = PeerId(1_000);

    /// A one-shot `buy` or `sell` identity, which the warehouse numbers from 1001.
    pub(crate) fn is_client(self) -> bool {
        self > PeerId::PEER_MAX
    }

    /// Paired traders share the peers by the parity of their ids: the primary decides for the even ones.
    pub(crate) fn is_even(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

/// `warehouse` or `peer-4`: what a node is called in output, and its directory in a market's.
pub(crate) fn node_name(node: PeerId) -> String {
    if node == PeerId::WAREHOUSE { "warehouse".into() } else { format!("peer-{node}") }
}

/// The node that is called so; see [`node_name`].
pub(crate) fn node_named(name: &str) -> Option<PeerId> {
    match name {
        "warehouse" => Some(PeerId::WAREHOUSE),
        name => name.strip_prefix("peer-")?.parse().ok().map(PeerId),
    }
}

impl Seq {
    /// The sequence after this one.
    pub fn next(self) -> Seq {
        Seq(self.0 + 1)
    }
}

/// Names an order for ever: the placing peer and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OrderId {
    /// The peer that placed it.
    pub peer: PeerId,
    /// Its number at that peer.
    pub number: Number,
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.peer, self.number)
    }
}

/// An amount of money in minor units (a price of 3 in stock.json is 300 here); prints with two decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money(pub i64);

impl Money {
    /// `percent` of this amount, rounded down to a minor unit: what is left over stays with the seller.
    pub(crate) fn percent(self, percent: u8) -> Money {
        Money((i128::from(self.0) * i128::from(percent)).div_euclid(100) as i64)
    }
}

impl std::ops::Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0 + other.0)
    }
}

impl std::ops::Sub for Money {
    type Output = Money;
    fn sub(self, other: Money) -> Money {
        Money(self.0 - other.0)
    }
}

impl std::ops::AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        self.0 += other.0;
    }
}

impl std::iter::Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money(0), |sum, amount| sum + amount)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let minor = self.0.unsigned_abs();
        f.pad(&format!("{sign}{}.{:02}", minor / 100, minor % 100))
    }
}

/// Price times pieces.
impl std::ops::Mul<Quantity> for Money {
    type Output = Money;
    fn mul(self, pieces: Quantity) -> Money {
        Money(self.0 * pieces.0 as i64)
    }
}

/// One life of a process: (epoch of its store, start count in `meta`, random), compared in that order; never the
/// operating system's pid. The higher one of the same peer is the newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProcessId {
    /// Epoch of the store, so that a fresh store's first start beats any start of a lost one.
    pub epoch: Epoch,
    /// How often a process started on this store.
    pub starts: u64,
    /// Tells two processes apart that were started on copies of one store.
    pub random: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:x}", self.epoch, self.starts, self.random)
    }
}

/// A BLAKE3 hash: of a block, or of a store's token (then it is the store id).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// Hashes bytes.
    pub fn of(bytes: &[u8]) -> Hash {
        Hash(*blake3::hash(bytes).as_bytes())
    }

    /// Reads 32 bytes, as they come over the wire.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Hash> {
        bytes.try_into().ok().map(Hash)
    }

    /// Its first eight bytes as a number, where a short digest will do.
    pub(crate) fn first_u64(&self) -> u64 {
        self.0.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("..")
    }
}

/// The two posts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Office {
    /// Decides for all peers when alone, for even ids when paired.
    Primary,
    /// Decides for odd ids when paired; takes the primary's place when that dies.
    Secondary,
}

impl Office {
    /// Both, primary first.
    pub const BOTH: [Office; 2] = [Office::Primary, Office::Secondary];

    /// The other post.
    pub(crate) fn other(self) -> Office {
        match self {
            Office::Primary => Office::Secondary,
            Office::Secondary => Office::Primary,
        }
    }

    /// As printed and in rows.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Office::Primary => "primary",
            Office::Secondary => "secondary",
        }
    }
}

impl fmt::Display for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// When a trader answers. Codes are persisted: appended, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Consistency {
    /// After the warehouse has settled.
    #[default]
    Cacheless,
    /// From the pushed cache; settled later.
    Cached,
    /// From goods that the warehouse has set aside for it.
    Escrow,
}

impl Consistency {
    /// All, by their codes.
    pub const ALL: [Consistency; 3] = [Consistency::Cacheless, Consistency::Cached, Consistency::Escrow];

    /// As typed and printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Consistency::Cacheless => "cacheless",
            Consistency::Cached => "cached",
            Consistency::Escrow => "escrow",
        }
    }
}

/// What a peer does for itself while it holds no office.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Places buy orders.
    Buyer,
    /// Deposits goods.
    Seller,
    /// Only stands for office.
    #[default]
    Idle,
}

impl Role {
    /// As printed and typed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Role::Buyer => "buyer",
            Role::Seller => "seller",
            Role::Idle => "idle",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Microseconds since 1970-01-01T00:00:00Z by the wall clock of who wrote it. For people; nothing is ordered by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WallMicros(pub u64);

impl fmt::Display for WallMicros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Years have four digits.
        const LAST: u64 = 253_402_300_799_999_999;
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_micros(self.0.min(LAST));
        f.pad(&humantime::format_rfc3339_micros(at).to_string())
    }
}

/// Milliseconds of a monotonic clock since the process started: the `now` that machines are given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now(pub u64);

impl Now {
    /// This much later.
    pub(crate) fn after_ms(self, ms: u64) -> Now {
        Now(self.0 + ms)
    }

    /// Milliseconds from `earlier` to this; 0 when `earlier` is later.
    pub(crate) fn ms_since(self, earlier: Now) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_prints_minor_units() {
        assert_eq!(Money(300).to_string(), "3.00");
        assert_eq!(Money(-5).to_string(), "-0.05");
    }

    #[test]
    fn a_node_is_found_by_its_name() {
        for node in [PeerId::WAREHOUSE, PeerId(4), PeerId(1_001)] {
            assert_eq!(node_named(&node_name(node)), Some(node));
        }
        assert_eq!((node_named("client"), node_named("peer-x")), (None, None));
    }

    #[test]
    fn commission_rounds_down_in_favour_of_the_seller() {
        assert_eq!(Money(300).percent(5), Money(15));
        assert_eq!(Money(119).percent(5), Money(5));
        assert_eq!(Money(19).percent(5), Money(0));
        assert_eq!(Money(100).percent(100), Money(100));
    }

    #[test]
    fn wall_time_has_six_decimals_and_z() {
        assert_eq!(WallMicros(1_500_000).to_string(), "1970-01-01T00:00:01.500000Z");
    }
}
