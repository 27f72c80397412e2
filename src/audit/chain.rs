//! One log's chain: V05 (sequences, hashes, links, the mark on it), V11 (every row readable) and the mark's half of V12.

use super::{Alarms, Check, Example, Page, SourceMeta};
use crate::journal::{BlockHeader, Seal, Tip};
use crate::types::{Hash, Seq};

/// Where a walk along a chain is.
pub(super) struct Chain {
    name: String,
    ledger: bool,
    mark: Option<(Seq, Hash)>,
    /// Absent at the start and behind a block that cannot be read.
    tip: Option<Tip>,
    begun: bool,
}

impl Chain {
    pub(super) fn new(meta: &SourceMeta) -> Chain {
        let mark = meta.mark.filter(|(seq, _)| *seq > Seq(0));
        Chain { name: meta.name(), ledger: meta.is_ledger(), mark, tip: None, begun: false }
    }

    /// The first block that is there follows this one.
    pub(super) fn begin_behind(&mut self, tip: Tip) {
        (self.tip, self.begun) = (Some(tip), true);
    }

    /// The end of the last block, if it could be read.
    pub(super) fn tip(&self) -> Option<Tip> {
        self.tip
    }

    /// Checks the next block and its rows.
    pub(super) fn page<R>(&mut self, page: &Page<R>, alarms: &mut Alarms) {
        match page {
            Page::Sealed { header, seal, rows } => {
                self.block(header, seal, alarms);
                alarms.looked_at(rows.len());
                alarms.holds(Check::Readable, rows.iter().filter(|(_, row)| row.is_ok()).count() as u64);
                rows.iter().for_each(|(seq, row)| self.unreadable(*seq, row, alarms));
            }
            Page::Unreadable { place, why } => {
                let broken = || Example::at(place.seq, format!("{}: {why}", self.name));
                alarms.check(Check::Chain, false, broken);
                alarms.check(Check::Readable, false, broken);
                self.tip = None;
            }
        }
        self.begun = true;
    }

    /// A ledger begins at its first row; a journal may have been pruned.
    fn block(&mut self, header: &BlockHeader, seal: &Seal, alarms: &mut Alarms) {
        let before = match self.tip {
            None if !self.begun && self.ledger => Some(Tip::default()),
            tip => tip,
        };
        alarms.check(Check::Chain, before.is_none_or(|tip| tip.links(header, seal)), || {
            let what = format!("{}: block {} does not follow the one before", self.name, header.number);
            Example::at(header.first, what)
        });
        if let Some((seq, expected)) = self.mark
            && (header.first..=header.last()).contains(&seq)
        {
            alarms.check(Check::Chain, seq == header.last() && seal.hash == expected, || {
                Example::node(&self.name, format!("the mark at {seq} is not on the chain"))
            });
        }
        self.tip = Some(Tip::after(header, seal));
    }

    fn unreadable<R>(&self, seq: Seq, row: &Result<R, String>, alarms: &mut Alarms) {
        if let Err(why) = row {
            alarms.check(Check::Readable, false, || Example::at(seq, format!("{}: {why}", self.name)));
        }
    }

    /// The log does not end before its mark.
    pub(super) fn finish(&self, alarms: &mut Alarms) {
        let Some((seq, _)) = self.mark else { return };
        let last = self.tip.map_or(Seq(0), |tip| tip.seq);
        alarms.check(Check::Durable, last >= seq, || {
            Example::node(&self.name, format!("the log ends at {last}, and {seq} was durable"))
        });
    }
}
