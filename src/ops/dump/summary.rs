//! `dump` and `dump meta`: per node, what its log adds up to and what its store says of itself.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Dump, row};
use crate::audit::{BlockSource, Fact, Logged, Page, Source, SourceMeta, pages};
use crate::model::peer::entry::Entry;
use crate::model::row::{Place, Record};
use crate::ops::generation;
use crate::ops::output::{Column, Failure, Row, Shape, Show};
use crate::ops::rows::generation_id;
use crate::types::{Hash, Money, Seq, WallMicros};

const COLUMNS: [Column; 3] = [
    Column { key: "node", show: Show::Text },
    Column { key: "what", show: Show::Text },
    Column { key: "value", show: Show::Text },
];

pub(super) fn run(dump: &mut Dump<'_>, sources: &mut [Source]) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for source in sources.iter_mut() {
        let summary = match source.meta().is_ledger() {
            true => Summary::<LedgerCounts>::read(source.as_mut())?,
            false => Summary::<JournalCounts>::read(source.as_mut())?,
        };
        dump.findings.unreadable += summary.get("unreadable").and_then(Value::as_u64).unwrap_or(0);
        let head = summary.get("head_seq").and_then(Value::as_u64).unwrap_or(0);
        dump.findings.ended(source.meta(), Seq(head));
        rows.push(summary);
    }
    print(dump, rows)
}

pub(super) fn meta(dump: &mut Dump<'_>, sources: &mut [Source]) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for source in sources {
        let mut row = facts(source.meta());
        if !row.contains_key("generation") {
            let generation = generation::of(source.as_mut())?;
            row.insert("generation".into(), generation.count.into());
            if generation.random != 0 {
                row.insert("generation_id".into(), generation_id(generation).into());
            }
        }
        rows.push(row);
    }
    print(dump, rows)
}

fn facts(meta: &SourceMeta) -> Row {
    let mut row = row([
        ("node", meta.name().into()),
        ("role", meta.role.clone().into()),
        ("cluster", meta.cluster.clone().into()),
        ("origin", meta.origin.clone().into()),
    ]);
    if let Some((seq, hash)) = meta.mark {
        row.insert("mark_seq".into(), seq.0.into());
        row.insert("mark_hash".into(), hash.to_string().into());
    }
    if let Some(clock) = meta.clock_reserve {
        row.insert("clock_reserve".into(), clock.0.into());
    }
    let value = |fact: &Fact| match fact {
        Fact::Number(number) => Value::from(*number),
        Fact::Text(text) => text.as_str().into(),
    };
    row.extend(meta.facts.iter().map(|(name, fact)| (name.to_string(), value(fact))));
    row
}

/// One object per node in JSON; for people and CSV a line per fact.
fn print(dump: &mut Dump<'_>, rows: Vec<Row>) -> Result<(), Failure> {
    let for_people = matches!(dump.shape, Shape::Table { .. });
    let flat = for_people || dump.shape == Shape::Csv;
    let rows = if flat { rows.iter().flat_map(|facts| lines(facts, for_people)).collect() } else { rows };
    dump.emit(&COLUMNS, &rows)
}

fn lines(facts: &Row, for_people: bool) -> Vec<Row> {
    let node = facts.get("node").cloned().unwrap_or_default();
    let line = |what: String, value: &Value| {
        row([("node", node.clone()), ("what", what.into()), ("value", value.clone())])
    };
    let mut lines = Vec::new();
    for (key, value) in facts.iter().filter(|(key, _)| *key != "node") {
        match value {
            Value::Object(counts) => {
                lines.extend(counts.iter().map(|(name, count)| line(format!("{key} {name}"), count)))
            }
            value if key == "money" && for_people => {
                let amount = Money(value.as_i64().unwrap_or_default());
                lines.push(line(key.clone(), &amount.to_string().into()));
            }
            value => lines.push(line(key.clone(), value)),
        }
    }
    lines
}

/// What is counted over a log.
struct Summary<C> {
    records: u64,
    blocks: u64,
    unreadable: u64,
    kinds: BTreeMap<&'static str, u64>,
    counts: C,
    head: (Seq, u64, Hash),
    times: Option<(WallMicros, WallMicros)>,
}

/// What is counted of one kind of log.
trait Counts: Default {
    type Record: Logged;
    fn count(&mut self, place: &Place, record: &Self::Record) -> &'static str;
    fn facts(&self) -> Row;
}

impl<C: Counts> Summary<C> {
    fn read(source: &mut dyn BlockSource) -> Result<Row, Failure> {
        let (counts, kinds) = (C::default(), BTreeMap::new());
        let head = (Seq(0), 0, Hash::default());
        let mut summary = Summary { records: 0, blocks: 0, unreadable: 0, kinds, counts, head, times: None };
        for page in pages(source, Seq(1)) {
            summary.page(page?);
        }
        Ok(summary.row(source.meta()))
    }

    fn page(&mut self, page: Page<C::Record>) {
        self.blocks += 1;
        if let Page::Sealed { header, seal, .. } = &page {
            self.head = (header.last(), header.number, seal.hash);
            let first = self.times.map_or(header.time, |(first, _)| first);
            self.times = Some((first, header.time));
        }
        for (place, record) in page.into_rows() {
            match record {
                Ok(record) => {
                    self.records += 1;
                    *self.kinds.entry(self.counts.count(&place, &record)).or_default() += 1;
                }
                Err(_) => self.unreadable += 1,
            }
        }
    }

    fn row(&self, meta: &SourceMeta) -> Row {
        let kinds = self.kinds.iter().map(|(kind, count)| (kind.to_string(), (*count).into())).collect();
        let mut summary = row([
            ("node", meta.name().into()),
            ("role", meta.role.clone().into()),
            ("cluster", meta.cluster.clone().into()),
            ("records", self.records.into()),
            ("kinds", Value::Object(kinds)),
        ]);
        summary.extend(self.counts.facts());
        if let Some((first, last)) = self.times {
            summary.extend(row([
                ("first_time", first.to_string().into()),
                ("last_time", last.to_string().into()),
            ]));
        }
        let (seq, block, hash) = self.head;
        summary.extend(row([
            ("blocks", self.blocks.into()),
            ("head_seq", seq.0.into()),
            ("head_block", block.into()),
            ("head_hash", hash.to_string().into()),
            ("unreadable", self.unreadable.into()),
        ]));
        summary
    }
}

#[derive(Default)]
struct LedgerCounts {
    orders: u64,
    sold_pieces: u64,
    deposited_pieces: u64,
    money: i64,
}

impl Counts for LedgerCounts {
    type Record = Record;

    fn count(&mut self, place: &Place, record: &Record) -> &'static str {
        if let Some(outcome) = record.outcome(place.seq, place.time) {
            self.orders += 1;
            self.money += outcome.amount.0;
            match record {
                Record::Deposit(_) => self.deposited_pieces += outcome.filled.0,
                _ => self.sold_pieces += outcome.filled.0,
            }
        }
        record.kind()
    }

    fn facts(&self) -> Row {
        row([
            ("orders", self.orders.into()),
            ("sold_pieces", self.sold_pieces.into()),
            ("deposited_pieces", self.deposited_pieces.into()),
            ("money", self.money.into()),
        ])
    }
}

#[derive(Default)]
struct JournalCounts {
    placed: u64,
    answered: u64,
}

impl Counts for JournalCounts {
    type Record = Entry;

    fn count(&mut self, _: &Place, entry: &Entry) -> &'static str {
        match entry {
            Entry::Placed(_) => self.placed += 1,
            Entry::Answered { told, .. } => self.answered += told.len() as u64,
            _ => {}
        }
        kind(entry)
    }

    fn facts(&self) -> Row {
        row([("orders", self.placed.into()), ("answered", self.answered.into())])
    }
}

fn kind(entry: &Entry) -> &'static str {
    match entry {
        Entry::Placed(_) => "placed",
        Entry::Answered { .. } => "answered",
        Entry::Opened { .. } => "opened",
        Entry::Known { .. } => "known",
        Entry::Granted { .. } => "granted",
        Entry::Ended { .. } => "ended",
        Entry::Accepted { .. } => "accepted",
        Entry::Settled { .. } => "settled",
        Entry::HandedOver { .. } => "handed_over",
        Entry::LedgerSeen { .. } => "ledger_seen",
        Entry::Mirrored { .. } => "mirrored",
        Entry::Adopted { .. } => "adopted",
        Entry::Trimmed { .. } => "trimmed",
        Entry::Forgotten { .. } => "forgotten",
        Entry::AskedAgain { .. } => "asked again",
        Entry::Licensed(_) => "licensed",
    }
}
