//! `dump ledger --follow`: the rows that a running warehouse writes from now on, behind the last ones that it has.

use super::{Show, as_row, forward};
use crate::audit::{BlockSource, Pager, ReadRow};
use crate::model::row::Record;
use crate::ops::dump::Findings;
use crate::ops::output::{Failure, Printer};
use crate::types::Seq;

/// Rows among which the last ones are looked for first: without filters each of them is wanted.
const FIRST_LOOK: u64 = 64;
/// How many times more are looked at when these were too few: little is read twice.
const NEXT_LOOK: u64 = 8;

/// Prints the last `tail` rows that are wanted, then each new one as it comes.
pub(super) fn run(
    show: &Show,
    source: &mut dyn BlockSource,
    (tail, limit): (usize, usize),
    mut printer: Printer<'_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let end = source.meta().mark.map_or(Seq(0), |(seq, _)| seq);
    printer.begin_now().map_err(Failure::writing)?;
    for row in last_rows(show, source, tail, end)? {
        findings.unreadable += u64::from(row.1.is_err());
        printer.row(&as_row(&row, &show.catalogue)).map_err(Failure::writing)?;
    }
    forward(show, source, end.next(), limit, printer, findings).map(drop)
}

/// The last `tail` wanted rows up to `end`, in their order. Blocks of a running node come forward only, so that they are
/// looked for among its last rows first, then among more of them.
fn last_rows(
    show: &Show,
    source: &mut dyn BlockSource,
    tail: usize,
    end: Seq,
) -> Result<Vec<ReadRow<Record>>, Failure> {
    let (first, last) = show.wanted.range();
    let (end, mut look) = (end.min(last), FIRST_LOOK.max(tail as u64));
    loop {
        let from = Seq(end.0.saturating_sub(look) + 1).max(first).max(Seq(1));
        let mut rows = if tail == 0 { Vec::new() } else { between(show, source, from, end)? };
        if tail == 0 || rows.len() >= tail || from <= first.max(Seq(1)) {
            return Ok(rows.split_off(rows.len().saturating_sub(tail)));
        }
        look = look.saturating_mul(NEXT_LOOK);
    }
}

fn between(
    show: &Show,
    source: &mut dyn BlockSource,
    from: Seq,
    end: Seq,
) -> Result<Vec<ReadRow<Record>>, Failure> {
    let (mut pager, mut found) = (Pager::from(from), Vec::new());
    if from > end {
        return Ok(found);
    }
    for block in source.blocks(from) {
        let (rows, last) = show.rows(&mut pager, &block?);
        found.extend(rows.into_iter().filter(|(place, _)| (from..=end).contains(&place.seq)));
        if last >= end {
            break;
        }
    }
    Ok(found)
}
