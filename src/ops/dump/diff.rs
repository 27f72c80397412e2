//! `dump --diff DIR`: keys in which the logs of two stores of the same node differ, row by row.

use serde_json::Value;

use super::filter::Selection;
use super::{Dump, ledger, row};
use crate::audit::{BlockSource, Logged, ReadRow, Source, SourceError, rows};
use crate::model::catalogue::Catalogue;
use crate::model::peer::entry::Entry;
use crate::model::row::Record;
use crate::ops::output::{Column, Failure, Row, Show, exit};
use crate::ops::rows::unreadable_row;
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
        false => compare(rows(one.as_mut(), Seq(1)), rows(other.as_mut(), Seq(1)), &entry_row)?,
    };
    dump.findings.differ = !differences.is_empty();
    dump.print(&Selection::new(&dump.args.filter, &COLUMNS)?, &COLUMNS, differences)
}

fn ledgers(one: &mut dyn BlockSource, other: &mut dyn BlockSource) -> Result<Vec<Row>, Failure> {
    let goods: [Catalogue; 2] = [ledger::catalogue(one)?, ledger::catalogue(other)?];
    let as_row = |side: usize, read: &ReadRow<Record>| ledger::as_row(read, &goods[side]);
    compare(rows(one, Seq(1)), rows(other, Seq(1)), &as_row)
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
    mut one: impl Iterator<Item = Result<ReadRow<R>, SourceError>>,
    mut other: impl Iterator<Item = Result<ReadRow<R>, SourceError>>,
    as_row: &dyn Fn(usize, &ReadRow<R>) -> Row,
) -> Result<Vec<Row>, Failure> {
    let mut differences = Vec::new();
    loop {
        let here = one.next().transpose()?.map(|read| as_row(0, &read));
        let there = other.next().transpose()?.map(|read| as_row(1, &read));
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
