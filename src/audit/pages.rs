//! Blocks into rows: each row is a record with its place, or says why it cannot be read.
//!
//! In: raw blocks. Out: [`Page`]s. A row is readable if its block is as it was written, it decodes, and its quantities and
//! prices are within the limits that every writer keeps, so that no sum over rows can overflow.

use super::{BlockSource, SourceError};
use crate::journal::{BlockHeader, Seal, Sealed};
use crate::limits::{SALE_LOTS_MAX, STOCK_MAX, UNIT_PRICE_MAX};
use crate::model::fold::Stored;
use crate::model::peer::entry::Entry;
use crate::model::row::{Place, Record, Slice};
use crate::types::{Money, Quantity, Seq};

/// Rows that a header is believed to count before they were read.
const ROWS_EXPECTED_MAX: u32 = 4_096;

/// A row that can be read, or why it cannot.
pub(crate) type ReadRow<R> = (Place, Result<R, String>);

/// One block.
#[derive(Clone, Debug)]
pub(crate) enum Page<R> {
    /// It is as it was written.
    Sealed {
        /// What it says of itself.
        header: BlockHeader,
        /// Its hash, and what ties it to the block before.
        seal: Seal,
        /// Its rows by their sequences; none if they were not wanted.
        rows: Vec<(Seq, Result<R, String>)>,
    },
    /// It cannot be read at all.
    Unreadable {
        /// Its first sequence, as its own damaged header or the block before says.
        place: Place,
        /// Why.
        why: String,
    },
}

/// A record of a log.
pub(crate) trait Logged: Stored + Clone {
    /// What is wrong with its figures, if anything.
    fn implausible(&self) -> Option<String>;
}

impl Logged for Record {
    fn implausible(&self) -> Option<String> {
        if let Record::Stocked { quantity, unit_price, .. } = self {
            return out_of_bounds(*quantity, *unit_price);
        }
        let (price, slices) = figures(self);
        let order = self.decision().map(|decision| decision.order.quantity.max(decision.stock_after));
        let pieces = slices.iter().map(|slice| slice.quantity).chain(order).max().unwrap_or_default();
        if slices.len() > SALE_LOTS_MAX {
            return Some(format!("fills from {} lots", slices.len()));
        }
        if let Record::Sale { commission_percent: percent @ 101.., .. } = self {
            return Some(format!("a commission of {percent} percent"));
        }
        out_of_bounds(pieces, price)
    }
}

impl Logged for Entry {
    fn implausible(&self) -> Option<String> {
        match self {
            Entry::Placed(placed) => out_of_bounds(placed.quantity, Money(0)),
            Entry::Accepted { order, .. } => out_of_bounds(order.quantity, Money(0)),
            _ => None,
        }
    }
}

fn figures(record: &Record) -> (Money, &[Slice]) {
    match record {
        Record::Sale { unit_price, slices, .. } | Record::Adopt { unit_price, slices, .. } => {
            (*unit_price, slices)
        }
        _ => (Money(0), &[]),
    }
}

fn out_of_bounds(pieces: Quantity, price: Money) -> Option<String> {
    match pieces.0 > STOCK_MAX || !(0..=UNIT_PRICE_MAX).contains(&price.0) {
        true => Some(format!("{pieces} pieces at {price} are beyond all limits")),
        false => None,
    }
}

/// The pages from the one that holds `from`. An error is the source's; what cannot be read is part of a page.
pub(crate) fn pages<R: Logged>(
    source: &mut dyn BlockSource,
    from: Seq,
) -> impl Iterator<Item = Result<Page<R>, SourceError>> + Send + '_ {
    let mut pager = Pager::from(from);
    source.blocks(from).map(move |bytes| Ok(pager.page(&bytes?, |_| true)))
}

/// Blocks in their order, or against it, into pages.
pub(crate) struct Pager {
    /// Place of a block that cannot even say where it stands.
    expected: (Seq, u64),
}

impl Pager {
    /// The first block holds that row.
    pub(crate) fn from(seq: Seq) -> Pager {
        Pager { expected: (seq, 0) }
    }

    /// The next page. Its rows are read only if they are `wanted`; that the block is whole is looked at in any case.
    pub(crate) fn page<R: Logged>(&mut self, bytes: &[u8], wanted: impl Fn(&BlockHeader) -> bool) -> Page<R> {
        let page = page(bytes, self.expected, wanted);
        self.expected = match &page {
            Page::Sealed { header, .. } => (header.last().next(), header.number + 1),
            Page::Unreadable { place, .. } => (place.seq.next(), place.block + 1),
        };
        page
    }
}

/// The rows from the page that holds `from` on, one by one.
pub(crate) fn rows<R: Logged>(
    source: &mut dyn BlockSource,
    from: Seq,
) -> impl Iterator<Item = Result<ReadRow<R>, SourceError>> + '_ {
    pages(source, from).flat_map(|page| match page {
        Ok(page) => page.into_rows().into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    })
}

fn page<R: Logged>(bytes: &[u8], expected: (Seq, u64), wanted: impl Fn(&BlockHeader) -> bool) -> Page<R> {
    match Sealed::open(bytes) {
        Ok(Sealed { header, seal, .. }) if !wanted(&header) => {
            Page::Sealed { header, seal, rows: Vec::new() }
        }
        Ok(sealed) => sealed_page(sealed),
        Err(error) => {
            let ((seq, block), version) = BlockHeader::peek(bytes)
                .map_or((expected, 0), |header| ((header.first, header.number), header.version));
            let (time, block_hash) = Default::default();
            let place = Place { seq, block, time, block_hash, version };
            Page::Unreadable { place, why: error.to_string() }
        }
    }
}

fn sealed_page<R: Logged>(sealed: Sealed<'_>) -> Page<R> {
    let (header, seal) = (sealed.header, sealed.seal);
    let mut rows = Vec::with_capacity(header.count.min(ROWS_EXPECTED_MAX) as usize);
    for (seq, record) in sealed.rows::<R>() {
        let row = match record {
            Err(error) => Err(error.to_string()),
            Ok(record) => record.implausible().map_or(Ok(record), Err),
        };
        rows.push((seq, row));
    }
    let read = if header.is_extract() { u64::from(header.count) } else { rows.len() as u64 };
    for seq in header.first.0 + read..=header.last().0 {
        rows.push((Seq(seq), Err("cut off".into())));
    }
    Page::Sealed { header, seal, rows }
}

/// Where the first row of a block stands.
pub(crate) fn place_of(header: &BlockHeader, seal: &Seal) -> Place {
    let BlockHeader { first: seq, number: block, time, version, .. } = *header;
    Place { seq, block, time, block_hash: seal.hash, version }
}

impl<R> Page<R> {
    /// The last row, as far as that can be read.
    pub(crate) fn last(&self) -> Seq {
        match self {
            Page::Sealed { header, .. } => header.last(),
            Page::Unreadable { place, .. } => place.seq,
        }
    }

    /// Its rows; one for a block that cannot be read.
    pub(crate) fn into_rows(self) -> Vec<ReadRow<R>> {
        match self {
            Page::Sealed { header, seal, rows } => {
                let place = place_of(&header, &seal);
                rows.into_iter().map(|(seq, row)| (Place { seq, ..place }, row)).collect()
            }
            Page::Unreadable { place, why } => vec![(place, Err(why))],
        }
    }
}
