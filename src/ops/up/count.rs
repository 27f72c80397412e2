//! The rows of a run, counted in the ledger when no node is left to write more.

use std::path::Path;

use super::fleet::Fleet;
use crate::journal::Block;
use crate::limits::{CALL_DEADLINE, SALE_LOTS_MAX};
use crate::model::row::{Decision, Record};
use crate::ops::output::{Failure, exit};
use crate::ops::source::open_offline;
use crate::types::{OrderKind, PeerId, Seq, WallMicros};
use crate::wire::client::{CallError, Node};

/// What the ledger got in this run.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) orders: u64,
    pub(super) bought: u64,
    pub(super) sold_out: u64,
    pub(super) deposits: u64,
    /// Told as done from a cache, and taken back.
    pub(super) oversold: u64,
    /// Refused, or filled in part, as a cache had said, though there was more.
    pub(super) undersold: u64,
    pub(super) first_sale: Option<WallMicros>,
    /// Offices granted.
    pub(super) grants: u64,
    /// The ledger's end.
    pub(super) end: Seq,
}

/// Counts the rows after a sequence: the warehouse is asked, or its store read if it is dead.
pub(super) async fn count(fleet: &Fleet<'_>, after: Seq) -> Result<Counts, Failure> {
    let warehouse = fleet.warehouse();
    if fleet.is_dead(PeerId::WAREHOUSE) {
        return count_on_disk(&warehouse.dir, after);
    }
    let counted = count_live(&warehouse.addr, after).await;
    counted
        .map_err(|error| Failure::new(exit::UNREACHABLE, format!("the ledger could not be counted: {error}")))
}

async fn count_live(addr: &str, after: Seq) -> Result<Counts, CallError> {
    let node = Node::connect(addr, CALL_DEADLINE).await?;
    let mut dumped = node.dump(after.next(), Seq(0), false).await?;
    let mut counts = Counts { end: after, ..Counts::default() };
    while let Some(blocks) = dumped.next().await? {
        for bytes in blocks {
            counts.add_block(&bytes, after).map_err(CallError::Unknown)?;
        }
    }
    Ok(counts)
}

fn count_on_disk(dir: &Path, after: Seq) -> Result<Counts, Failure> {
    let mut source = open_offline(dir)?;
    let mut counts = Counts { end: after, ..Counts::default() };
    for bytes in source.blocks(after.next()) {
        counts.add_block(&bytes?, after).map_err(|why| Failure::new(exit::UNDETERMINED, why))?;
    }
    Ok(counts)
}

impl Counts {
    fn add_block(&mut self, bytes: &[u8], after: Seq) -> Result<(), String> {
        let block = Block::<Record>::decode(bytes).map_err(|error| error.to_string())?;
        for (at, record) in block.records.iter().enumerate() {
            let seq = Seq(block.header.first.0 + at as u64);
            if seq > after {
                self.add(block.header.time, record);
                self.end = seq;
            }
        }
        Ok(())
    }

    fn add(&mut self, time: WallMicros, record: &Record) {
        self.grants += u64::from(matches!(record, Record::Office { .. }));
        let Some(decision) = record.decision() else { return };
        self.orders += 1;
        self.undersold += u64::from(is_undersold(record, decision));
        match record {
            Record::Reversal(_) => self.oversold += 1,
            Record::Sale { .. } => {
                self.bought += 1;
                self.first_sale.get_or_insert(time);
            }
            Record::Deposit(_) => self.deposits += 1,
            Record::Refusal { reason: None, .. } if decision.order.kind != OrderKind::Sell => {
                self.sold_out += 1
            }
            _ => {}
        }
    }
}

/// Less was filled than was there for it, and not because a sale takes from so many lots at most.
fn is_undersold(record: &Record, decision: &Decision) -> bool {
    let (asked, left) = (decision.order.quantity.0, decision.stock_after.0);
    match (record, decision.order.kind) {
        (Record::Refusal { reason: None, .. }, OrderKind::Buy { partial }) => {
            left >= asked || (partial && left > 0)
        }
        (Record::Sale { slices, .. }, OrderKind::Buy { partial: true }) => {
            let filled: u64 = slices.iter().map(|slice| slice.quantity.0).sum();
            filled < asked && left > 0 && slices.len() < SALE_LOTS_MAX
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::Slice;
    use crate::model::row::initial_lot;
    use crate::types::{Batch, Money, Number, Order, OrderId, ProductId, Quantity, Stamp, Term};

    fn decision(partial: bool, asked: u64, left: u64) -> Decision {
        let id = OrderId { peer: PeerId(1), number: Number(1) };
        let (stamp, kind, product) = (Stamp(1), OrderKind::Buy { partial }, ProductId(0));
        let order = Order { id, stamp, kind, product, quantity: Quantity(asked) };
        let (clock, stock_after, batch) = (Stamp(2), Quantity(left), Batch(1));
        Decision { order, clock, stock_after, trader: PeerId(6), term: Term(1), batch }
    }

    #[test]
    fn what_a_cache_told_wrongly_is_counted() {
        let mut counts = Counts::default();
        let sold_out = |partial, left| Record::Refusal { decision: decision(partial, 3, left), reason: None };
        let slices = vec![Slice { lot: initial_lot(), quantity: Quantity(1) }];
        let (decided, unit_price) = (decision(true, 3, 5), Money(100));
        let sale = Record::Sale { decision: decided, unit_price, commission_percent: 5, slices };
        for record in [
            sold_out(false, 2),
            sold_out(true, 0),
            sold_out(false, 3),
            sold_out(true, 1),
            sale,
            Record::Reversal(decision(false, 3, 0)),
        ] {
            counts.add(WallMicros(1), &record);
        }
        assert_eq!((counts.orders, counts.oversold, counts.undersold), (6, 1, 3));
    }
}
