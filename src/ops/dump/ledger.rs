//! `dump ledger`: every record is one row, in order, with as little held in memory as the asked order allows.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use super::Dump;
use super::filter::Selection;
use crate::audit::{BlockSource, ReadRow, rows};
use crate::model::catalogue::Catalogue;
use crate::model::row::Record;
use crate::ops::output::{Failure, Printer, Row, Shape};
use crate::ops::rows::{LEDGER_COLUMNS, LEDGER_KINDS, ledger_row, unreadable_row};
use crate::types::Seq;

/// The goods of a ledger: its first rows.
pub(super) fn catalogue(source: &mut dyn BlockSource) -> Result<Catalogue, Failure> {
    let mut goods = Vec::new();
    for row in rows::<Record>(source, Seq(1)) {
        match row?.1 {
            Ok(Record::Stocked { name, unit_price, .. }) => goods.push((name, unit_price)),
            _ => break,
        }
    }
    Ok(goods.into_iter().collect())
}

pub(super) fn run(dump: &mut Dump<'_>, source: &mut dyn BlockSource) -> Result<(), Failure> {
    let catalogue = catalogue(source)?;
    let selection = Selection::new(&dump.args.filter, &LEDGER_COLUMNS)?;
    let names: Vec<String> = catalogue.0.iter().map(|good| good.name.clone()).collect();
    selection.known(&names, &LEDGER_KINDS)?;
    let table = matches!(dump.shape, Shape::Table { .. });
    let columns: Vec<_> =
        LEDGER_COLUMNS.into_iter().filter(|column| !table || column.key != "block_hash").collect();
    let limit = dump.limit();
    let printer = Printer::new(dump.out, dump.shape, &columns);
    let printer = if dump.args.follow { printer.unbuffered() } else { printer };
    let mut printed = Rows { printer, reverse: dump.args.reverse, limit, printed: 0, kept: VecDeque::new() };
    let from = dump.args.filter.from.unwrap_or(Seq(1));
    let to = dump.args.filter.to.unwrap_or(Seq(u64::MAX));
    let (mut more, mut last, mut whole) = (false, Seq(0), true);
    for read in rows::<Record>(source, from) {
        let read = read?;
        if read.0.seq > to {
            whole = false;
            break;
        }
        last = read.0.seq;
        let row = as_row(&read, &catalogue);
        if !selection.takes(&row) {
            continue;
        }
        dump.findings.unreadable += u64::from(read.1.is_err());
        if printed.take(row)?.is_break() {
            more = true;
            break;
        }
    }
    if more && table && !dump.quiet {
        eprintln!("the first {limit} rows; more with --limit, the last ones with --reverse");
    }
    printed.finish()?;
    if whole && !more && last > Seq(0) {
        dump.findings.ended(source.meta(), last);
    }
    Ok(())
}

pub(super) fn as_row((place, record): &ReadRow<Record>, catalogue: &Catalogue) -> Row {
    match record {
        Ok(record) => ledger_row(place, record, catalogue),
        Err(why) => unreadable_row(place, why),
    }
}

/// Rows on their way out: at once, or the last ones kept for the end.
struct Rows<'a> {
    printer: Printer<'a>,
    reverse: bool,
    limit: usize,
    printed: usize,
    kept: VecDeque<Row>,
}

impl Rows<'_> {
    /// Takes one; `Break` when that was one too many.
    fn take(&mut self, row: Row) -> Result<ControlFlow<()>, Failure> {
        if self.reverse {
            self.kept.push_front(row);
            self.kept.truncate(self.limit);
            return Ok(ControlFlow::Continue(()));
        }
        if self.printed >= self.limit {
            return Ok(ControlFlow::Break(()));
        }
        self.printed += 1;
        self.printer.row(&row).map_err(Failure::writing)?;
        Ok(ControlFlow::Continue(()))
    }

    fn finish(mut self) -> Result<(), Failure> {
        let kept = self.kept.iter().try_for_each(|row| self.printer.row(row));
        kept.and_then(|()| self.printer.finish()).map_err(Failure::writing)
    }
}
