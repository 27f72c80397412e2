//! A ledger with one row in each block, as a market with few orders a second has it after weeks: decided and journaled as
//! a warehouse does it, but without anybody who waits for an answer, so that it takes seconds.

use std::path::Path;

use super::{GOODS, STOCK_EACH};
use crate::journal::{Birth, Journal, Recovered, Step, Urgency, exit_on_failure, open};
use crate::limits::STAGED_RECORDS_MAX;
use crate::model::fold::Fold as _;
use crate::model::market::{Market, Settling, Verdict};
use crate::model::row::Record;
use crate::ops::nodes::directory;
use crate::ops::output::{Failure, exit};
use crate::ops::progress::Part;
use crate::types::{
    Batch, Epoch, Hash, Money, Number, Office, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId,
    Quantity, Stamp, Term, Token, WallMicros,
};

/// Peers that order, and the trader that settles.
const PEERS: u32 = 4;
const TRADER: PeerId = PeerId(6);
/// Microseconds between rows: 200 a second.
const APART: u64 = 5_000;
/// When the first row was decided: 2026-11-22T10:00:00Z.
const BEGAN: u64 = 1_795_341_600_000_000;

/// Writes a warehouse's store with so many rows.
///
/// # Errors
/// The store cannot be made, or its journal ends early.
pub(super) async fn write(dir: &Path, rows: u64, part: &Part) -> Result<(), Failure> {
    let birth = Birth::new("5ba25e00", PeerId::WAREHOUSE, "warehouse", Token([5; 32]));
    let opened = open::<Market>(dir, Some(birth), None, "127.0.0.1:7700", exit_on_failure());
    let Recovered { journal, state, .. } = opened.map_err(|error| directory(&error))?;
    let mut ledger = Ledger { journal, market: state, orders: 0 };
    for record in beginning() {
        ledger.put(record);
    }
    let mut durable = ledger.journal.durable();
    while ledger.market.seq.0 < rows {
        if ledger.journal.staged_records() >= STAGED_RECORDS_MAX {
            part.done(|| Some(ledger.market.seq.0));
            durable.changed().await.map_err(|_| ended())?;
            continue;
        }
        ledger.order()?;
        if ledger.journal.checkpoint_due() {
            ledger.journal.checkpoint(ledger.market.parts());
        }
    }
    ledger.journal.close().map(drop).map_err(|_| ended())
}

fn ended() -> Failure {
    Failure::new(exit::FAILURE, "the journal ended early")
}

/// Goods, sessions and a grant.
fn beginning() -> Vec<Record> {
    let clock = Stamp(1);
    let goods = GOODS.iter().zip(1..).map(|(name, price)| Record::Stocked {
        name: (*name).to_owned(),
        quantity: Quantity(STOCK_EACH.into()),
        unit_price: Money(price),
        clock,
    });
    let sessions = (1..=PEERS).map(|peer| Record::Session {
        peer: PeerId(peer),
        epoch: Epoch(0),
        store: Hash::of(&peer.to_le_bytes()),
        key: None,
        clock,
    });
    let (office, process, term) = (Office::Primary, ProcessId::default(), Term(1));
    goods.chain(sessions).chain([Record::Office { office, trader: TRADER, process, term, clock }]).collect()
}

struct Ledger {
    journal: Journal<Market>,
    market: Market,
    orders: u64,
}

impl Ledger {
    fn put(&mut self, record: Record) {
        let (seq, clock) = (self.market.seq.next(), record.clock());
        let time = WallMicros(BEGAN + seq.0 * APART);
        self.market.apply(seq, time, &record);
        self.journal.stage(Step { records: vec![record], time, clock, urgency: Urgency::Now });
    }

    /// The next order: peers take turns, and each product is bought as often as it is sold.
    fn order(&mut self) -> Result<(), Failure> {
        let (nth, peers) = (self.orders, u64::from(PEERS));
        let peer = PeerId((nth % peers) as u32 + 1);
        let number = Number::new(Epoch(0), (nth / peers) as u32 + 1);
        let kind = if peer.0.is_multiple_of(2) { OrderKind::Sell } else { OrderKind::Buy { partial: false } };
        let product = ProductId((nth / peers % GOODS.len() as u64) as u16);
        let (stamp, id) = (Stamp(nth * 2 + 2), OrderId { peer, number });
        let order = Order { id, stamp, kind, product, quantity: Quantity(1 + nth / peers % 3) };
        let clock = Stamp(stamp.0 + 1);
        let by = Settling {
            trader: TRADER,
            term: Term(1),
            batch: Batch(nth + 1),
            clock,
            commission_percent: 5,
            told: None,
        };
        let Verdict::New(record) = self.market.decide(&order, &by) else { return Err(ended()) };
        self.put(record);
        self.orders += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::audit;
    use crate::journal::OpenError;
    use crate::ops::progress::Progress;
    use crate::ops::runtime::runtime;
    use crate::ops::source::open_stores;
    use crate::types::Seq;

    #[test]
    fn a_sparse_ledger_is_sound_and_has_a_block_for_each_row() {
        let dir = tempfile::tempdir().unwrap();
        let part = Progress::hidden().part("", "rows", None);
        runtime().unwrap().block_on(write(dir.path(), 3_000, &part)).unwrap();
        // The writer lets the store go a moment after it has closed it.
        let in_use = &mut |_: &Path, error: &OpenError| Err(directory(error));
        let mut sources = open_stores(&[dir.path().to_path_buf()], &[], in_use).unwrap();
        assert_eq!(sources[0].blocks(Seq(1)).count(), 3_000);
        let found = audit(&mut sources, 5).unwrap();
        assert_eq!((found.failures(), found.failed()), (vec![], vec![]));
    }
}
