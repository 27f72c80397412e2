//! The last rows of a ledger, read from its end.

use std::collections::VecDeque;

use super::{Show, as_row};
use crate::audit::{BlockSource, Pager, ReadRow};
use crate::model::row::Record;
use crate::ops::dump::{Findings, say_left_out};
use crate::ops::output::{Failure, Printer};
use crate::types::Seq;

/// Prints at most so many rows, the last one first. Gives whether there may be more.
pub(super) fn newest_first(
    show: &Show,
    source: &mut dyn BlockSource,
    limit: usize,
    mut printer: Printer<'_>,
    findings: &mut Findings,
) -> Result<bool, Failure> {
    let (mut printed, mut last) = (0, Seq(u64::MAX));
    each(show, source, limit, findings, &mut |row| {
        (printed, last) = (printed + 1, row.0.seq);
        printer.row(&as_row(&row, &show.catalogue)).map_err(Failure::writing)
    })?;
    say_left_out(&printer.finish().map_err(Failure::writing)?, show.quiet);
    Ok(printed == limit && last > show.wanted.range().0)
}

/// Prints the last rows, at most so many, in their order.
pub(super) fn in_order(
    show: &Show,
    source: &mut dyn BlockSource,
    limit: usize,
    mut printer: Printer<'_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let mut kept = VecDeque::new();
    each(show, source, limit, findings, &mut |row| {
        kept.push_front(row);
        Ok(())
    })?;
    let printed = kept.iter().try_for_each(|row| printer.row(&as_row(row, &show.catalogue)));
    let left_out = printed.and_then(|()| printer.finish()).map_err(Failure::writing)?;
    say_left_out(&left_out, show.quiet);
    Ok(())
}

type Take<'a> = dyn FnMut(ReadRow<Record>) -> Result<(), Failure> + 'a;

/// Gives the last rows that are wanted, the last one first.
fn each(
    show: &Show,
    source: &mut dyn BlockSource,
    limit: usize,
    findings: &mut Findings,
    take: &mut Take<'_>,
) -> Result<(), Failure> {
    let (from, to) = show.wanted.range();
    let Some(blocks) = source.blocks_back(to) else {
        return each_forward(show, source, limit, findings, take);
    };
    let (mut pager, mut left, mut end) = (Pager::from(to), limit, None);
    for block in blocks {
        let (rows, last) = show.rows(&mut pager, &block?);
        end.get_or_insert(last);
        for row in rows.into_iter().rev().take(left) {
            left -= 1;
            findings.unreadable += u64::from(row.1.is_err());
            take(row)?;
        }
        if left == 0 || last < from {
            break;
        }
    }
    if to == Seq(u64::MAX) {
        findings.ended(source.meta(), end.unwrap_or_default());
    }
    Ok(())
}

/// The same of a source that gives its blocks forward only.
fn each_forward(
    show: &Show,
    source: &mut dyn BlockSource,
    limit: usize,
    findings: &mut Findings,
    take: &mut Take<'_>,
) -> Result<(), Failure> {
    let (from, to) = show.wanted.range();
    let (mut pager, mut kept, mut end) = (Pager::from(from), VecDeque::new(), Seq(0));
    for block in source.blocks(from) {
        let (rows, last) = show.rows(&mut pager, &block?);
        kept.extend(rows);
        kept.drain(..kept.len().saturating_sub(limit));
        end = last;
        if end >= to {
            break;
        }
    }
    if end < to {
        findings.ended(source.meta(), end);
    }
    kept.into_iter().rev().try_for_each(|row| {
        findings.unreadable += u64::from(row.1.is_err());
        take(row)
    })
}
