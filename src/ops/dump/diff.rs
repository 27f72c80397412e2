//! `dump --diff DIR`: keys in which the logs of two stores of the same node differ, row by row.

use serde_json::Value;

use super::filter::Selection;
use super::{Dump, Source, ledger, row};
use crate::model::catalogue::Catalogue;
use crate::model::entry::Entry;
use crate::model::row::Record;
use crate::ops::log::{self, Logged, ReadRow};
use crate::ops::output::{Column, Failure, Row, Show, exit};
use crate::ops::rows::{ledger_row, unreadable_row};
use crate::ops::source::BlockSource;
use crate::types::Seq;

const COLUMNS: [Column; 4] = [
    Column { key: "seq", show: Show::Number },
    Column { key: "key", show: Show::Text },
    Column { key: "here", show: Show::Text },
    Column { key: "there", show: Show::Text },
];

pub(super) fn run(dump: &mut Dump<'_>, here: &mut [Source], there: &mut [Source]) -> Result<(), Failure> {
    let both = here.iter_mut().find_map(|one| {
        let other = there.iter().position(|other| other.meta().node == one.meta().node)?;
        Some((one, other))
    });
    let Some((one, other)) = both else {
        return Err(Failure::new(exit::USAGE, "the stores to compare are not of one node")
            .hint("name the same node's directory with --data-dir and with --diff"));
    };
    let other = &mut there[other];
    let differences = match one.meta().is_ledger() {
        true => ledgers(one.as_mut(), other.as_mut())?,
        false => compare(
            log::pages::<Entry>(one.as_mut(), Seq(1)),
            log::pages(other.as_mut(), Seq(1)),
            &entry_row,
        )?,
    };
    dump.findings.differ = !differences.is_empty();
    dump.print(&Selection::new(&dump.args.filter, &COLUMNS)?, &COLUMNS, differences)
}

fn ledgers(one: &mut dyn BlockSource, other: &mut dyn BlockSource) -> Result<Vec<Row>, Failure> {
    let goods: [Catalogue; 2] = [ledger::catalogue(one)?, ledger::catalogue(other)?];
    let as_row = |side: usize, (place, record): &ReadRow<Record>| match record {
        Ok(record) => ledger_row(place, record, &goods[side]),
        Err(why) => unreadable_row(place, why),
    };
    compare(log::pages::<Record>(one, Seq(1)), log::pages(other, Seq(1)), &as_row)
}

fn entry_row(_: usize, (place, entry): &ReadRow<Entry>) -> Row {
    match entry {
        Ok(entry) => row([
            ("seq", place.seq.0.into()),
            ("time", place.time.to_string().into()),
            ("entry", format!("{entry:?}").into()),
            ("block_hash", place.block_hash.to_string().into()),
        ]),
        Err(why) => unreadable_row(place, why),
    }
}

fn compare<R: Logged>(
    one: impl Iterator<Item = Result<log::Page<R>, Failure>>,
    other: impl Iterator<Item = Result<log::Page<R>, Failure>>,
    as_row: &dyn Fn(usize, &ReadRow<R>) -> Row,
) -> Result<Vec<Row>, Failure> {
    let (mut one, mut other) = (Lines::new(one), Lines::new(other));
    let mut differences = Vec::new();
    loop {
        let here = one.next()?.map(|read| as_row(0, &read));
        let there = other.next()?.map(|read| as_row(1, &read));
        match (here, there) {
            (None, None) => return Ok(differences),
            (Some(here), Some(there)) => differences.extend(between(&here, &there)),
            (here, there) => differences.push(only_one(here.as_ref(), there.as_ref())),
        }
    }
}

fn between(here: &Row, there: &Row) -> Vec<Row> {
    let seq = here.get("seq").cloned().unwrap_or_default();
    let added = there.keys().filter(|key| !here.contains_key(*key));
    let keys = here.keys().chain(added).filter(|key| here.get(*key) != there.get(*key));
    let value = |row: &Row, key: &str| row.get(key).cloned().unwrap_or(Value::Null);
    keys.map(|key| {
        row([
            ("seq", seq.clone()),
            ("key", key.as_str().into()),
            ("here", value(here, key)),
            ("there", value(there, key)),
        ])
    })
    .collect()
}

fn only_one(here: Option<&Row>, there: Option<&Row>) -> Row {
    let seq = here.or(there).and_then(|row| row.get("seq")).cloned().unwrap_or_default();
    let kind =
        |row: Option<&Row>| row.map_or(Value::Null, |row| row.get("kind").cloned().unwrap_or("there".into()));
    row([("seq", seq), ("key", "row".into()), ("here", kind(here)), ("there", kind(there))])
}

/// Pages as single rows.
struct Lines<I, R> {
    pages: I,
    waiting: std::vec::IntoIter<ReadRow<R>>,
}

impl<R, I: Iterator<Item = Result<log::Page<R>, Failure>>> Lines<I, R> {
    fn new(pages: I) -> Lines<I, R> {
        Lines { pages, waiting: Vec::new().into_iter() }
    }

    fn next(&mut self) -> Result<Option<ReadRow<R>>, Failure> {
        loop {
            if let Some(read) = self.waiting.next() {
                return Ok(Some(read));
            }
            match self.pages.next() {
                Some(page) => self.waiting = page?.into_rows().into_iter(),
                None => return Ok(None),
            }
        }
    }
}
