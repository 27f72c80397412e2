//! `bazaar dump`: what stores hold, as rows. It reads blocks and folds them itself; it never writes to a store.
//!
//! In: stores on disk or running nodes, and what to show of them. Out: rows on stdout and an exit code: 6 if a row
//! could not be read or a log ends before its mark, 5 if a fold broke an invariant or two stores differ.

mod diff;
mod filter;
mod ledger;
mod life;
mod orders;
mod states;
mod summary;

use std::io::{self, BufWriter, IsTerminal as _, Write, stdout};

use self::filter::Selection;
use super::live::Asking;
use super::output::{
    Column, Failure, Fit, Printer, Ranked, Row, Shape, colored, counted, exit, nearest, note, terminal,
};
use crate::audit::{Alarms, BlockSource, Logged, Source, SourceMeta, rows};
use crate::cli::{DumpArgs, Format, Global, Target, View};
use crate::model::row::Place;
use crate::types::{PeerId, Seq, node_name};

/// Shows what stores hold.
///
/// # Errors
/// A store cannot be read, a node does not answer, or the flags do not go together.
pub fn dump(args: &DumpArgs, global: &Global) -> Result<u8, Failure> {
    if args.follow && args.view != View::Ledger {
        let what = format!("--follow prints rows as they come, and {} is not made of rows", args.view.name());
        return Err(Failure::new(exit::USAGE, what).hint("bazaar dump ledger --follow"));
    }
    let asking = Asking::new(global, args.follow)?;
    let streams = args.view == View::Ledger && stdout().is_terminal();
    let asking = if streams { asking.unseen() } else { asking };
    let sources = match args.stores.target() {
        Target::Node(addr) => vec![asking.node(&addr.to_string())?],
        Target::Dirs(dirs) => asking.stores_as_closed(&dirs, args.stores.archives())?,
    };
    if args.follow && !sources.iter().any(|source| source.meta().live && source.meta().is_ledger()) {
        return Err(Failure::new(exit::USAGE, "--follow needs a running warehouse")
            .hint("start it, name it with --connect, or leave --follow out"));
    }
    let other = match &args.diff {
        Some(dir) => asking.stores_as_closed(std::slice::from_ref(dir), &[])?,
        None => Vec::new(),
    };
    let width = terminal().map(|(columns, _)| columns);
    run(args, global, (sources, other), width, &mut stdout())
}

/// Prints what `args` ask for of the first sources; the others are the stores that `--diff` names. `width` is that of the
/// terminal, if stdout is one. Gives the exit code.
fn run(
    args: &DumpArgs,
    global: &Global,
    (mut sources, mut other): (Vec<Source>, Vec<Source>),
    width: Option<usize>,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    sources.sort_by_key(|source| source.meta().node);
    let mut out = BufWriter::with_capacity(1 << 16, out);
    let mut dump = Dump {
        args,
        shape: shape(args, global),
        quiet: global.quiet,
        width: width.filter(|_| !args.wide),
        out: &mut out,
        findings: Findings::default(),
    };
    match (args.view, args.filter.order) {
        _ if args.diff.is_some() => diff::run(&mut dump, &mut sources, &mut other)?,
        (View::Summary, Some(order)) => life::run(&mut dump, &mut sources, order)?,
        (View::Ledger, _) => ledger::run(&mut dump, warehouse(&mut sources)?)?,
        (View::Summary, None) => summary::run(&mut dump, &mut sources)?,
        (View::Meta, _) => summary::meta(&mut dump, &mut sources)?,
        (view, _) => states::run(&mut dump, &mut sources, view)?,
    }
    let code = dump.findings.report(global.quiet);
    out.flush().map_err(Failure::writing)?;
    Ok(code)
}

/// The run of one dump.
struct Dump<'a> {
    args: &'a DumpArgs,
    shape: Shape,
    quiet: bool,
    /// A table is to fit into so many cells.
    width: Option<usize>,
    out: &'a mut dyn Write,
    findings: Findings,
}

/// What was met on the way and decides the exit code.
#[derive(Default)]
struct Findings {
    unreadable: u64,
    broken: Vec<String>,
    lost: Vec<String>,
    differ: bool,
}

impl Findings {
    fn broken_by(&mut self, alarms: &Alarms) {
        self.broken
            .extend(alarms.failed().into_iter().map(|check| format!("{} {}", check.id(), check.title())));
    }

    /// Gives the rows of a log up to `until` that can be read to `take`, in their order, and counts those that cannot.
    /// Says which row was the last one looked at; 0: there are none.
    fn readable<R: Logged>(
        &mut self,
        source: &mut dyn BlockSource,
        until: Seq,
        take: impl FnMut(&Place, R),
    ) -> Result<Seq, Failure> {
        self.readable_from(source, Seq(1), until, take)
    }

    /// The same from the row `from` on.
    fn readable_from<R: Logged>(
        &mut self,
        source: &mut dyn BlockSource,
        from: Seq,
        until: Seq,
        mut take: impl FnMut(&Place, R),
    ) -> Result<Seq, Failure> {
        let take = |place: &Place, record: R| {
            take(place, record);
            true
        };
        self.readable_between(source, from, until, take)
    }

    /// The same from the first row on, until `take` wants no more.
    fn readable_while<R: Logged>(
        &mut self,
        source: &mut dyn BlockSource,
        until: Seq,
        take: impl FnMut(&Place, R) -> bool,
    ) -> Result<Seq, Failure> {
        self.readable_between(source, Seq(1), until, take)
    }

    fn readable_between<R: Logged>(
        &mut self,
        source: &mut dyn BlockSource,
        from: Seq,
        until: Seq,
        mut take: impl FnMut(&Place, R) -> bool,
    ) -> Result<Seq, Failure> {
        let mut last = Seq(0);
        for row in rows(source, from) {
            let (place, record) = row?;
            last = place.seq;
            match record {
                _ if last > until => break,
                _ if last < from => {}
                Ok(record) => {
                    if !take(&place, record) {
                        break;
                    }
                }
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(last)
    }

    /// A log was read to its end: does it reach as far as its mark?
    fn ended(&mut self, meta: &SourceMeta, last: Seq) {
        if let Some((mark, _)) = meta.mark.filter(|(mark, _)| *mark > last) {
            self.lost.push(format!("{}: the log ends at {last}, and {mark} was durable", meta.name()));
        }
    }

    fn report(&self, quiet: bool) -> u8 {
        for lost in self.lost.iter().filter(|_| !quiet) {
            note(format_args!("warning: {lost}"));
        }
        if self.unreadable > 0 && !quiet {
            note(format_args!("warning: {} could not be read", counted(self.unreadable, "row")));
        }
        if !self.broken.is_empty() && !quiet {
            note(format_args!("warning: these rows break {}; see bazaar verify", self.broken.join(", ")));
        }
        match self {
            Findings { unreadable: 1.., .. } => exit::UNDETERMINED,
            Findings { lost, .. } if !lost.is_empty() => exit::UNDETERMINED,
            Findings { differ: true, .. } => exit::BROKEN,
            Findings { broken, .. } if !broken.is_empty() => exit::BROKEN,
            _ => exit::DONE,
        }
    }
}

fn shape(args: &DumpArgs, global: &Global) -> Shape {
    match args.format {
        None if global.json => {
            let of_one_order = args.view == View::Summary && args.filter.order.is_some();
            Shape::Object { view: if of_one_order { "order" } else { args.view.name() } }
        }
        None | Some(Format::Table) => Shape::Table { color: colored(global.color, &io::stdout()) },
        Some(Format::Jsonl) => Shape::Jsonl,
        Some(Format::Csv) => Shape::Csv,
    }
}

/// The warehouse among the sources: the ledger is there and only there.
fn warehouse(sources: &mut [Source]) -> Result<&mut dyn BlockSource, Failure> {
    let found = sources.iter_mut().find(|source| source.meta().is_ledger());
    let missing =
        || Failure::new(exit::USAGE, "the ledger is the warehouse's, and its store is not among those named");
    match found {
        Some(source) => Ok(source.as_mut()),
        None => Err(missing().hint("bazaar dump ledger --data-dir bazaar-data/warehouse")),
    }
}

impl Dump<'_> {
    /// Rows wanted.
    fn limit(&self) -> usize {
        match self.shape {
            Shape::Object { .. } => self.args.limit_or(usize::MAX),
            _ => self.args.limit(),
        }
    }

    /// Prints those of `rows` that are wanted, as `columns`.
    fn print(
        &mut self,
        selection: &Selection<'_>,
        columns: &[Column],
        rows: Vec<Row>,
    ) -> Result<(), Failure> {
        let limit = self.limit();
        let mut wanted: Vec<Row> = rows.into_iter().filter(|row| selection.takes(row)).collect();
        if self.args.reverse {
            wanted.reverse();
        }
        let all = wanted.len();
        wanted.truncate(limit);
        self.table(columns, self.fit(&[]), &wanted)?;
        if all > limit && !self.quiet {
            let which = if self.args.reverse { "last" } else { "first" };
            note(format_args!("the {which} {limit} rows of {all}; more with --limit"));
        }
        Ok(())
    }

    /// Prints all of `rows`, with all columns.
    fn emit(&mut self, columns: &[Column], rows: &[Row]) -> Result<(), Failure> {
        self.table(columns, None, rows)
    }

    fn table(&mut self, columns: &[Column], fit: Option<Fit>, rows: &[Row]) -> Result<(), Failure> {
        let columns = self.columns(columns)?;
        let mut printer = Printer::new(self.out, self.shape, &columns).fitting(fit);
        let printed = rows.iter().try_for_each(|row| printer.row(row));
        let left_out = printed.and_then(|()| printer.finish()).map_err(Failure::writing)?;
        say_left_out(&left_out, self.quiet);
        Ok(())
    }

    /// The columns that are shown: those that `--columns` names, or all of these.
    fn columns(&self, all: &[Column]) -> Result<Vec<Column>, Failure> {
        let find = |name: &String| {
            let known = || all.iter().map(|column| column.key);
            all.iter().find(|column| column.key == name).copied().ok_or_else(|| {
                let failure = Failure::new(exit::USAGE, format!("--columns: there is no column {name}"));
                failure.hint(match nearest(name, known()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are {}", known().collect::<Vec<_>>().join(",")),
                })
            })
        };
        if self.args.columns.is_empty() {
            Ok(all.to_vec())
        } else {
            self.args.columns.iter().map(find).collect()
        }
    }

    /// How a table is to fit. Columns that were asked for by name are shown.
    fn fit(&self, ranks: &'static [Ranked]) -> Option<Fit> {
        self.width.filter(|_| self.args.columns.is_empty()).map(|width| Fit { width, ranks })
    }
}

/// Columns that are named where they do not fit; more of them would not fit either.
const NAMED_MAX: usize = 4;

/// Below a table that fits since it does not show all.
fn say_left_out(columns: &[&str], quiet: bool) {
    if columns.is_empty() || quiet {
        return;
    }
    let which = match columns.len() {
        ..=NAMED_MAX => columns.join(", "),
        many => format!("{many} columns"),
    };
    note(format_args!("left out to fit: {which}; --wide shows all, --columns A,B,C what it names"));
}

/// A row made in the order of its keys.
fn row<const N: usize>(members: [(&str, serde_json::Value); N]) -> Row {
    members.into_iter().map(|(key, value)| (key.to_string(), value)).collect()
}

/// Puts the node's name in front of a row.
fn with_node(node: PeerId, row: Row) -> Row {
    let name = node_name(node);
    std::iter::once(("node".to_string(), name.into())).chain(row).collect()
}

#[cfg(test)]
mod tests;
