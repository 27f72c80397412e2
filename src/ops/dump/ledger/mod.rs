//! `dump ledger`: every record is one row, in order or against it, with as little held in memory as that allows.
//!
//! ```text
//! blocks -> pages, without the rows of blocks that hold none that is wanted -> rows -> a table, or lines of text
//! ```
//!
//! Where all rows are printed as text, one thread reads blocks and prints, and another one makes lines of them.

mod backward;
mod follow;
mod text;

use super::filter::{Selection, Wanted};
use super::{Dump, Findings, say_left_out};
use crate::audit::{BlockSource, Folded, Page, Pager, ReadRow, rows};
use crate::model::catalogue::Catalogue;
use crate::model::row::Record;
use crate::ops::output::{Column, Failure, Printer, Row, Shape, note, rows_at};
use crate::ops::rows::{LEDGER_COLUMNS, LEDGER_RANKS, ledger_row, unreadable_row};
use crate::types::Seq;

/// The goods of a ledger: its first rows.
pub(super) fn catalogue(source: &mut dyn BlockSource) -> Result<Catalogue, Failure> {
    // The rows that name the goods are in an archive; the state before what is left has them, too.
    if source.archived_to() > Seq(0)
        && let Some(Folded::Ledger(folded)) = source.folded(source.archived_to())?
    {
        return Ok(folded.state.goods().map(|(name, price)| (name.to_owned(), price)).collect());
    }
    let mut goods = Vec::new();
    for row in rows::<Record>(source, Seq(1)) {
        match row?.1 {
            Ok(Record::Stocked { name, unit_price, .. }) => goods.push((name, unit_price)),
            _ => break,
        }
    }
    Ok(goods.into_iter().collect())
}

pub(super) fn as_row((place, record): &ReadRow<Record>, catalogue: &Catalogue) -> Row {
    match record {
        Ok(record) => ledger_row(place, record, catalogue),
        Err(why) => unreadable_row(place, why),
    }
}

pub(super) fn run(dump: &mut Dump<'_>, source: &mut dyn BlockSource) -> Result<(), Failure> {
    let catalogue = catalogue(source)?;
    let filter = &dump.args.filter;
    let names: Vec<String> = catalogue.0.iter().map(|good| good.name.clone()).collect();
    Selection::new(filter, &LEDGER_COLUMNS)?.known(&names, &Record::KINDS)?;
    let (named, quiet) = (!dump.args.columns.is_empty(), dump.quiet);
    let (table, limit) = (matches!(dump.shape, Shape::Table { .. }), dump.limit());
    let columns = if named { dump.columns(&LEDGER_COLUMNS)? } else { columns(table) };
    let show = Show { wanted: Wanted::new(filter, &catalogue), catalogue, columns, quiet };
    let (shape, follow) = (dump.shape, dump.args.follow);
    let fit = dump.fit(&LEDGER_RANKS);
    let printer = Printer::new(dump.out, shape, &show.columns).fitting(fit);
    let printer = if follow { printer.unbuffered() } else { printer };
    let findings = &mut dump.findings;
    if follow && filter.from.is_none() && filter.since.is_none() {
        let (tail, limit) = (dump.args.tail.unwrap_or(0), limit);
        return follow::run(&show, source, (tail, limit), printer, findings);
    }
    if let Some(tail) = dump.args.tail {
        return backward::in_order(&show, source, tail, printer, findings);
    }
    if dump.args.reverse {
        let more = backward::newest_first(&show, source, limit, printer, findings)?;
        if more && table && !dump.quiet {
            note(format_args!("{}; more with --limit", rows_at("last", limit)));
        }
        return Ok(());
    }
    if limit == usize::MAX && !follow && !named && matches!(shape, Shape::Jsonl | Shape::Csv) {
        return text::run(&show, source, shape, printer, findings);
    }
    let from = show.wanted.range().0;
    let more = forward(&show, source, from, limit, printer, findings)?;
    if more && table && !dump.quiet {
        let first = rows_at("first", limit);
        note(format_args!("{first}; more with --limit, the last ones with --reverse"));
    }
    Ok(())
}

fn columns(table: bool) -> Vec<Column> {
    LEDGER_COLUMNS.into_iter().filter(|column| !table || column.key != "block_hash").collect()
}

/// Which rows are shown, and what they are made with.
struct Show {
    wanted: Wanted,
    catalogue: Catalogue,
    columns: Vec<Column>,
    quiet: bool,
}

impl Show {
    /// The rows of a block that are wanted, and its last row.
    fn rows(&self, pager: &mut Pager, block: &[u8]) -> (Vec<ReadRow<Record>>, Seq) {
        let page = pager.page(block, |header| self.wanted.may_be_in(header));
        let last = match &page {
            Page::Sealed { header, .. } => header.last(),
            Page::Unreadable { place, .. } => place.seq,
        };
        let mut rows = page.into_rows();
        rows.retain(|row| self.wanted.takes(row));
        (rows, last)
    }
}

/// Prints rows from one on in their order, up to a limit. Gives whether there may be more: what follows the last one is not looked at.
fn forward(
    show: &Show,
    source: &mut dyn BlockSource,
    from: Seq,
    limit: usize,
    mut printer: Printer<'_>,
    findings: &mut Findings,
) -> Result<bool, Failure> {
    let to = show.wanted.range().1;
    let (mut pager, mut left, mut more) = (Pager::from(from), limit, false);
    // As far as is known where no block comes.
    let mut end = Seq(from.0.saturating_sub(1));
    for block in source.blocks(from) {
        let (rows, last) = show.rows(&mut pager, &block?);
        for row in rows.iter().take(left) {
            findings.unreadable += u64::from(row.1.is_err());
            printer.row(&as_row(row, &show.catalogue)).map_err(Failure::writing)?;
        }
        more = rows.len() > left || left == 0;
        left -= rows.len().min(left);
        end = last;
        if more || end >= to {
            break;
        }
    }
    let left_out = printer.finish().map_err(Failure::writing)?;
    say_left_out(&left_out, show.quiet);
    if !more && end < to {
        findings.ended(source.meta(), end);
    }
    Ok(more)
}
