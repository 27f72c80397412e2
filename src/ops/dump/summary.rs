//! `dump` and `dump meta`: per node, what its log adds up to and what its store says of itself.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Dump, row};
use crate::audit::{BlockSource, Fact, Folded, Logged, Page, Source, SourceMeta, pages};
use crate::journal::{self, Tip};
use crate::model::market::Market;
use crate::model::peer::PeerState;
use crate::model::peer::entry::Entry;
use crate::model::row::{Place, Record};
use crate::model::totals::Totals;
use crate::ops::generation;
use crate::ops::output::{Column, Failure, Row, Shape, Show, grouped};
use crate::ops::rows::generation_id;
use crate::types::{Money, Seq, WallMicros};

const COLUMNS: [Column; 3] = [
    Column { key: "node", show: Show::Text },
    Column { key: "what", show: Show::Text },
    Column { key: "value", show: Show::Text },
];

pub(super) fn run(dump: &mut Dump<'_>, sources: &mut [Source]) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for source in sources.iter_mut() {
        let summary = Summary::read(source.as_mut(), dump.args.scan)?;
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

/// Facts that say how many.
const COUNTS: [&str; 7] =
    ["records", "orders", "answered", "sold_pieces", "deposited_pieces", "blocks", "unreadable"];

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
    let shown = |value: &Value| match value.as_u64().filter(|_| for_people) {
        Some(count) => grouped(count).into(),
        None => value.clone(),
    };
    let mut lines = Vec::new();
    for (key, value) in facts.iter().filter(|(key, _)| *key != "node") {
        match value {
            Value::Object(counts) => {
                lines.extend(counts.iter().map(|(name, count)| line(format!("{key} {name}"), &shown(count))))
            }
            value if COUNTS.contains(&key.as_str()) => lines.push(line(key.clone(), &shown(value))),
            value if key == "money" && for_people => {
                let amount = Money(value.as_i64().unwrap_or_default());
                lines.push(line(key.clone(), &amount.to_string().into()));
            }
            value => lines.push(line(key.clone(), value)),
        }
    }
    lines
}

/// What a log adds up to.
#[derive(Default)]
struct Summary {
    records: u64,
    blocks: u64,
    unreadable: u64,
    kinds: BTreeMap<&'static str, u64>,
    counts: Counts,
    head: Tip,
    times: Option<(WallMicros, WallMicros)>,
}

/// What is counted of one kind of log.
enum Counts {
    Ledger { orders: u64, sold: u64, deposited: u64, money: i64 },
    Journal { placed: u64, answered: u64 },
}

impl Default for Counts {
    fn default() -> Counts {
        Counts::Journal { placed: 0, answered: 0 }
    }
}

impl Summary {
    /// From the node's own state if that is at hand and nobody wants all rows looked at.
    fn read(source: &mut dyn BlockSource, scan: bool) -> Result<Row, Failure> {
        let folded = if scan { None } else { source.folded(Seq(u64::MAX))? };
        let summary = match folded {
            Some(Folded::Ledger(folded)) => Summary::of_ledger(&folded),
            Some(Folded::Journal(folded)) => Summary::of_journal(&folded),
            None if source.meta().is_ledger() => Summary::scan::<Record>(source)?,
            None => Summary::scan::<Entry>(source)?,
        };
        Ok(summary.row(source.meta()))
    }

    fn of_ledger(folded: &journal::Folded<Market>) -> Summary {
        let Market { shelves, totals, .. } = &folded.state;
        let counts = Counts::Ledger {
            orders: totals.outcomes,
            sold: shelves.iter().map(|shelf| shelf.sold.0).sum(),
            deposited: shelves.iter().map(|shelf| shelf.deposited.0).sum(),
            money: totals.amount.0,
        };
        Summary::of(totals, &Record::KINDS, counts, (folded.tip, folded.time))
    }

    fn of_journal(folded: &journal::Folded<PeerState>) -> Summary {
        let totals = &folded.state.totals;
        let placed = totals.kinds.first().copied().unwrap_or_default();
        let counts = Counts::Journal { placed, answered: totals.outcomes };
        Summary::of(totals, &Entry::KINDS, counts, (folded.tip, folded.time))
    }

    fn of(
        totals: &Totals,
        names: &[&'static str],
        counts: Counts,
        (head, last): (Tip, WallMicros),
    ) -> Summary {
        let kinds = totals.by_name(names);
        let times = totals.first.map(|first| (first, last));
        Summary { records: totals.records(), blocks: head.block, unreadable: 0, kinds, counts, head, times }
    }

    /// Looks at every row.
    fn scan<R: Counted>(source: &mut dyn BlockSource) -> Result<Summary, Failure> {
        let mut summary = Summary { counts: R::counts(), ..Summary::default() };
        for page in pages::<R>(source, Seq(1)) {
            summary.page(page?);
        }
        Ok(summary)
    }

    fn page<R: Counted>(&mut self, page: Page<R>) {
        self.blocks += 1;
        if let Page::Sealed { header, seal, .. } = &page {
            self.head = Tip::after(header, seal);
            let first = self.times.map_or(header.time, |(first, _)| first);
            self.times = Some((first, header.time));
        }
        for (place, record) in page.into_rows() {
            match record {
                Ok(record) => {
                    self.records += 1;
                    *self.kinds.entry(record.count(&place, &mut self.counts)).or_default() += 1;
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
        summary.extend(row([
            ("blocks", self.blocks.into()),
            ("head_seq", self.head.seq.0.into()),
            ("head_block", self.head.block.into()),
            ("head_hash", self.head.hash.to_string().into()),
            ("unreadable", self.unreadable.into()),
        ]));
        summary
    }
}

impl Counts {
    fn facts(&self) -> Row {
        match self {
            Counts::Ledger { orders, sold, deposited, money } => row([
                ("orders", (*orders).into()),
                ("sold_pieces", (*sold).into()),
                ("deposited_pieces", (*deposited).into()),
                ("money", (*money).into()),
            ]),
            Counts::Journal { placed, answered } => {
                row([("orders", (*placed).into()), ("answered", (*answered).into())])
            }
        }
    }
}

/// A record that is counted when every row is looked at.
trait Counted: Logged {
    /// Nothing counted yet.
    fn counts() -> Counts;
    /// Takes it in. Gives the name of its kind.
    fn count(&self, place: &Place, counts: &mut Counts) -> &'static str;
}

impl Counted for Record {
    fn counts() -> Counts {
        Counts::Ledger { orders: 0, sold: 0, deposited: 0, money: 0 }
    }

    fn count(&self, place: &Place, counts: &mut Counts) -> &'static str {
        if let (Counts::Ledger { orders, sold, deposited, money }, Some(outcome)) =
            (counts, self.outcome(place.seq, place.time))
        {
            *orders += 1;
            *money += outcome.amount.0;
            match self {
                Record::Deposit(_) => *deposited += outcome.filled.0,
                _ => *sold += outcome.filled.0,
            }
        }
        self.kind()
    }
}

impl Counted for Entry {
    fn counts() -> Counts {
        Counts::default()
    }

    fn count(&self, _: &Place, counts: &mut Counts) -> &'static str {
        if let Counts::Journal { placed, answered } = counts {
            match self {
                Entry::Placed(_) => *placed += 1,
                Entry::Answered { told, .. } => *answered += told.len() as u64,
                _ => {}
            }
        }
        Entry::KINDS[self.kind_number()]
    }
}
