//! The rows of a run, counted in the ledger when no node is left to write more.

use std::path::Path;

use super::fleet::Fleet;
use crate::journal::Block;
use crate::limits::CALL_DEADLINE;
use crate::model::row::Record;
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
        match record {
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
