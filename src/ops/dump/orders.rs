//! `dump orders`: a peer's own orders in the order of their numbers, each printed when no entry can change it any more.
//!
//! Orders are answered about as they were placed, so that few of them are kept at a time however long the journal is. One
//! that is open at its end would hold up those behind it; the node's own state says which these are.

use std::collections::{BTreeSet, VecDeque};
use std::io;

use serde_json::Value;

use super::filter::Selection;
use super::{Dump, Findings, say_left_out, states, with_node};
use crate::audit::{Alarms, BlockSource, Folded, JournalFold, Keep, OwnOrder, Source};
use crate::model::catalogue::Catalogue;
use crate::ops::output::{Column, Failure, Printer, Row, Shape, note, rows_at};
use crate::types::{Number, OrderId, OrderKind, PeerId, Seq};

/// Rows on their way out.
struct Rows<'a> {
    printer: Printer<'a>,
    selection: &'a Selection<'a>,
    limit: usize,
    printed: usize,
    /// The last ones, to be printed backwards; they are not printed before the end.
    last: Option<VecDeque<Row>>,
    failed: io::Result<()>,
}

impl Rows<'_> {
    fn take(&mut self, row: Row) {
        if self.is_full() || !self.selection.takes(&row) {
            return;
        }
        let Some(last) = &mut self.last else {
            self.printed += 1;
            self.failed = self.printer.row(&row);
            return;
        };
        last.push_back(row);
        if last.len() > self.limit {
            last.pop_front();
        }
    }

    /// Nothing more comes of further rows.
    fn is_full(&self) -> bool {
        self.failed.is_err() || self.last.is_none() && self.printed >= self.limit
    }

    fn finish(mut self, quiet: bool) -> Result<usize, Failure> {
        for row in self.last.take().unwrap_or_default().iter().rev() {
            self.printed += 1;
            self.failed = self.failed.and_then(|()| self.printer.row(row));
        }
        let left_out = self.failed.and_then(|()| self.printer.finish()).map_err(Failure::writing)?;
        say_left_out(&left_out, quiet);
        Ok(self.printed)
    }
}

/// Prints the orders of all that were chosen.
pub(super) fn run(
    dump: &mut Dump<'_>,
    chosen: Vec<&mut Source>,
    selection: &Selection<'_>,
    columns: &[Column],
) -> Result<(), Failure> {
    let (limit, until, several) = (dump.limit(), states::until(dump), chosen.len() > 1);
    let last = dump.args.reverse.then(VecDeque::new);
    let (columns, fit) = (dump.columns(columns)?, dump.fit(&[]));
    let printer = Printer::new(dump.out, dump.shape, &columns).fitting(fit);
    let mut rows = Rows { printer, selection, limit, printed: 0, last, failed: Ok(()) };
    for source in chosen {
        if rows.is_full() {
            break;
        }
        let named = |node: PeerId, row: Row| if several { with_node(node, row) } else { row };
        of_journal(&mut dump.findings, source.as_mut(), until, &mut |node, row| {
            rows.take(named(node, row));
            !rows.is_full()
        })?;
    }
    let (full, table) = (rows.is_full(), matches!(dump.shape, Shape::Table { .. }));
    let printed = rows.finish(dump.quiet)?;
    if full && table && printed >= limit && !dump.quiet {
        let which = if dump.args.reverse { "last" } else { "first" };
        note(format_args!("{}; more with --limit", rows_at(which, limit)));
    }
    Ok(())
}

/// Gives the rows to `take` until it wants no more.
fn of_journal(
    findings: &mut Findings,
    source: &mut dyn BlockSource,
    until: Seq,
    take: &mut dyn FnMut(PeerId, Row) -> bool,
) -> Result<(), Failure> {
    let (node, catalogue) = (source.meta().node, source.meta().catalogue.clone());
    let stay_open = open_at(source, until)?;
    let is_final = |order: &OwnOrder| {
        order.answer.is_some() || order.forgotten || stay_open.contains(&order.placed.number)
    };
    let (mut fold, mut alarms) = (JournalFold::new(node, Keep::All), Alarms::new(0));
    let mut wanted = true;
    let last = findings.readable_while(source, until, |place, entry| {
        fold.apply(place, &entry, &mut alarms);
        while let Some(order) = fold.own.pass_first(is_final).filter(|_| wanted) {
            wanted = take(node, order_row(node, &order, &catalogue));
        }
        wanted
    })?;
    findings.broken_by(&alarms);
    if !wanted {
        return Ok(());
    }
    if last <= until {
        findings.ended(source.meta(), last);
    }
    while let Some(order) = fold.own.pass_first(|_| true) {
        if !take(node, order_row(node, &order, &catalogue)) {
            break;
        }
    }
    Ok(())
}

/// Numbers that are open after the row `until`.
fn open_at(source: &mut dyn BlockSource, until: Seq) -> Result<BTreeSet<Number>, Failure> {
    Ok(match source.folded(until)? {
        Some(Folded::Journal(folded)) => folded.state.open.keys().copied().collect(),
        _ => BTreeSet::new(),
    })
}

fn order_row(peer: PeerId, order: &OwnOrder, catalogue: &Catalogue) -> Row {
    let placed = &order.placed;
    let state = match order {
        OwnOrder { answer: Some(_), .. } => "answered",
        OwnOrder { forgotten: true, .. } => "forgotten",
        OwnOrder { .. } => "placed",
    };
    let mut members: Vec<(&str, Value)> = vec![
        ("number", placed.number.0.into()),
        ("order", OrderId { peer, number: placed.number }.to_string().into()),
        ("stamp", placed.stamp.0.into()),
        ("kind", placed.kind.name().into()),
    ];
    if placed.kind != OrderKind::Void {
        members.push(("product", catalogue.name(placed.product).into()));
        members.push(("asked", placed.quantity.0.into()));
    }
    members.push(("state", state.into()));
    if let Some(answer) = &order.answer {
        members.push(("outcome", answer.told.kind.name().into()));
        members.push(("filled", answer.told.filled.0.into()));
        members.push(("amount", answer.told.amount.0.into()));
        members.push(("told_at", answer.told_at.to_string().into()));
        members.push(("via", answer.via.0.into()));
    }
    members.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}
