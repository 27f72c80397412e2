//! `dump --order P-N`: one order's life as far as the stores that were named tell it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Dump, ledger, row};
use crate::audit::{BlockSource, Folded, Queue, Source};
use crate::model::catalogue::Catalogue;
use crate::model::chunk;
use crate::model::fold::Stored as _;
use crate::model::peer::PeerState;
use crate::model::peer::entry::{Entry, Told};
use crate::model::row::{Place, Record};
use crate::model::tentative::Tentative;
use crate::ops::output::{Column, Failure, Row, Show, exit};
use crate::ops::rows::ledger_row;
use crate::types::{Money, Order, OrderId, PeerId, Seq, Term, WallMicros, node_name};

const COLUMNS: [Column; 5] = [
    Column { key: "time", show: Show::Text },
    Column { key: "node", show: Show::Text },
    Column { key: "event", show: Show::Text },
    Column { key: "seq", show: Show::Number },
    Column { key: "what", show: Show::Text },
];

/// Something that happened to the order; in this order where the times of two nodes' clocks are the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Placed,
    AskedAgain,
    Accepted,
    Tentative,
    Mirrored,
    Adopted,
    Requeued,
    Settled,
    Left,
    ToldEarly,
    Answered,
    Forgotten,
}

impl Event {
    fn name(self) -> &'static str {
        match self {
            Event::Placed => "placed",
            Event::AskedAgain => "asked again",
            Event::Accepted => "accepted",
            Event::Tentative => "answered early",
            Event::Mirrored => "mirrored",
            Event::Adopted => "adopted",
            Event::Requeued => "queued again",
            Event::Settled => "settled",
            Event::Left => "left the queue",
            Event::ToldEarly => "told early",
            Event::Answered => "answered",
            Event::Forgotten => "forgotten",
        }
    }
}

struct Step {
    time: WallMicros,
    event: Event,
    node: PeerId,
    seq: Seq,
    facts: Row,
}

pub(super) fn run(dump: &mut Dump<'_>, sources: &mut [Source], order: OrderId) -> Result<(), Failure> {
    let mut steps = Vec::new();
    for source in sources.iter_mut() {
        match source.meta().is_ledger() {
            true => in_ledger(dump, source.as_mut(), order, &mut steps)?,
            false => in_journal(dump, source.as_mut(), order, &mut steps)?,
        }
    }
    if steps.is_empty() {
        let what = format!("order {order} is in none of the stores that were read");
        return Err(
            Failure::new(exit::NO, what).hint("name the stores of its peer, the traders and the warehouse")
        );
    }
    steps.sort_by_key(|step| (step.time, rank_of(step.node), step.seq));
    let silent = |source: &&Source| {
        source.pruned_to() > Seq(0) && !steps.iter().any(|step| step.node == source.meta().node)
    };
    let pruned: Vec<Row> = sources.iter().filter(silent).map(|source| pruned(&**source)).collect();
    let rows: Vec<Row> = steps.into_iter().map(as_row).chain(pruned).collect();
    dump.emit(&COLUMNS, &rows)
}

/// A journal that shows nothing of the order may have shown it once.
fn pruned(source: &dyn BlockSource) -> Row {
    let mut row = row([
        ("time", "".into()),
        ("node", source.meta().name().into()),
        ("event", "pruned".into()),
        ("seq", source.pruned_to().0.into()),
        ("what", "what it noted of others' orders up to there is gone".into()),
    ]);
    row.insert("facts".into(), Value::Object(Row::new()));
    row
}

/// Within one microsecond a peer comes before the warehouse, which hears of it from a peer.
fn rank_of(node: PeerId) -> u32 {
    if node == PeerId::WAREHOUSE { u32::MAX } else { node.0 }
}

/// In JSON the facts are members of their own; for people and CSV they are one text.
fn as_row(step: Step) -> Row {
    let fact = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key} {text}"),
        value if key == "amount" => format!("{key} {}", Money(value.as_i64().unwrap_or_default())),
        value => format!("{key} {value}"),
    };
    let what = step.facts.iter().map(fact).collect::<Vec<_>>().join(", ");
    let mut row = row([
        ("time", step.time.to_string().into()),
        ("node", node_name(step.node).into()),
        ("event", step.event.name().into()),
        ("seq", step.seq.0.into()),
        ("what", what.into()),
    ]);
    row.insert("facts".into(), Value::Object(step.facts));
    row
}

fn in_ledger(
    dump: &mut Dump<'_>,
    source: &mut dyn BlockSource,
    wanted: OrderId,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    let catalogue = ledger::catalogue(source)?;
    for (first, last) in spans(dump, source, wanted)? {
        dump.findings.readable_from(source, first, last, |place, record: Record| {
            if record.decision().is_some_and(|decision| decision.order.id == wanted) {
                let facts = settled(place, &record, &catalogue);
                let (time, seq) = (place.time, place.seq);
                steps.push(Step { time, event: Event::Settled, node: PeerId::WAREHOUSE, seq, facts });
            }
        })?;
    }
    Ok(())
}

/// Where the order may show; all rows if the source cannot say, or all are to be looked at.
fn spans(dump: &Dump<'_>, source: &mut dyn BlockSource, wanted: OrderId) -> Result<Vec<(Seq, Seq)>, Failure> {
    let spans = if dump.args.scan { None } else { source.spans_of(wanted)? };
    Ok(spans.unwrap_or_else(|| vec![(Seq(1), Seq(u64::MAX))]))
}

fn settled(place: &Place, record: &Record, catalogue: &Catalogue) -> Row {
    const KEPT: [&str; 9] =
        ["outcome", "reason", "product", "asked", "filled", "amount", "trader", "term", "stock_after"];
    let mut row = ledger_row(place, record, catalogue);
    KEPT.iter().filter_map(|key| row.remove(*key).map(|value| (key.to_string(), value))).collect()
}

fn in_journal(
    dump: &mut Dump<'_>,
    source: &mut dyn BlockSource,
    wanted: OrderId,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    let unreadable = dump.findings.unreadable;
    let spans = if dump.args.scan { None } else { source.spans_of(wanted)? };
    let found = match spans {
        Some(spans) => in_spans(dump, source, wanted, &spans)?,
        None => None,
    };
    match found {
        Some(found) => steps.extend(found),
        None => {
            dump.findings.unreadable = unreadable;
            in_all_rows(dump, source, wanted, steps)?;
        }
    }
    Ok(())
}

fn in_all_rows(
    dump: &mut Dump<'_>,
    source: &mut dyn BlockSource,
    wanted: OrderId,
    steps: &mut Vec<Step>,
) -> Result<(), Failure> {
    let (node, catalogue) = (source.meta().node, source.meta().catalogue.clone());
    let mut held = Held::default();
    dump.findings.readable(source, Seq(u64::MAX), |place, entry: Entry| {
        held.see(&entry, wanted);
        steps.extend(steps_of(node, place, &entry, wanted, &held, &catalogue));
    })?;
    Ok(())
}

/// Reads the rows that may show the order alone. What else waited is asked for where the order came to wait, since its
/// rank depends on it. None if that is not at hand.
fn in_spans(
    dump: &mut Dump<'_>,
    source: &mut dyn BlockSource,
    wanted: OrderId,
    spans: &[(Seq, Seq)],
) -> Result<Option<Vec<Step>>, Failure> {
    let (node, catalogue) = (source.meta().node, source.meta().catalogue.clone());
    let mut shown = Vec::new();
    for (first, last) in spans {
        dump.findings.readable_from(source, *first, *last, |place, entry: Entry| {
            if shows(&entry, node, wanted) {
                shown.push((*place, entry));
            }
        })?;
    }
    let (mut held, mut steps) = (Held::default(), Vec::new());
    for (place, entry) in &shown {
        if let Entry::Accepted { .. } = entry {
            let before = source.folded(Seq(place.seq.0.saturating_sub(1)))?;
            let Some(Folded::Journal(before)) = before else { return Ok(None) };
            held.go_on_from(&before.state);
        }
        held.see(entry, wanted);
        steps.extend(steps_of(node, place, entry, wanted, &held, &catalogue));
    }
    Ok(Some(steps))
}

/// Whether the order is among those that the entry is about. A peer's own orders stand in its journal without its number.
fn shows(entry: &Entry, node: PeerId, wanted: OrderId) -> bool {
    let mut shows = false;
    entry.orders(&mut |peer, first, last| {
        let is_its = peer == wanted.peer || node == wanted.peer && peer == PeerId::default();
        shows |= is_its && (first..=last).contains(&wanted.number);
    });
    shows
}

fn steps_of(
    node: PeerId,
    place: &Place,
    entry: &Entry,
    wanted: OrderId,
    held: &Held,
    catalogue: &Catalogue,
) -> Vec<Step> {
    let (time, seq) = (place.time, place.seq);
    let events = events(node, entry, wanted, held, catalogue).into_iter();
    events.map(|(event, facts)| Step { time, event, node, seq, facts }).collect()
}

/// What a journal knows of the order before some entry.
#[derive(Default)]
struct Held {
    queue: Queue,
    /// Own grants that have not ended.
    terms: BTreeSet<Term>,
    /// It waits in the queue.
    waits: bool,
    /// Where an order that is being accepted will stand.
    rank: usize,
    /// The entry's term is a grant of this node.
    own_term: bool,
    /// The traders that had it when it was mirrored, by term.
    mirrored: BTreeMap<Term, PeerId>,
}

impl Held {
    /// Rows were passed over; this is what all before the next one add up to. What was mirrored of the order is known: rows
    /// that show it are not passed over.
    fn go_on_from(&mut self, state: &PeerState) {
        (self.queue, self.terms) = Default::default();
        self.terms.extend(state.grant.map(|(_, term)| term));
        state.accepted.values().for_each(|it| self.queue.accept(it.term, it.order));
    }

    /// Looks at the order before the entry, then takes the entry in.
    fn see(&mut self, entry: &Entry, wanted: OrderId) {
        self.waits = self.queue.waits(wanted);
        match entry {
            Entry::Granted { term, .. } => drop(self.terms.insert(*term)),
            Entry::Ended { term } => drop(self.terms.remove(term)),
            Entry::Accepted { term, order } => {
                if order.id == wanted {
                    (self.rank, self.own_term) = (self.queue.rank(order), self.terms.contains(term));
                }
                self.queue.accept(*term, *order);
            }
            Entry::Settled { peer, first, last } | Entry::HandedOver { peer, first, last } => {
                self.queue.left(*peer, *first, *last);
            }
            Entry::Mirrored { trader, term, orders, .. } if mirrors(orders, wanted) => {
                self.mirrored.insert(*term, *trader);
            }
            _ => {}
        }
    }
}

fn events(
    node: PeerId,
    entry: &Entry,
    wanted: OrderId,
    held: &Held,
    catalogue: &Catalogue,
) -> Vec<(Event, Row)> {
    let waited = held.waits;
    match entry {
        Entry::Placed(placed) if wanted == (OrderId { peer: node, number: placed.number }) => {
            vec![(
                Event::Placed,
                row([
                    ("kind", placed.kind.name().into()),
                    ("product", catalogue.name(placed.product).into()),
                    ("asked", placed.quantity.0.into()),
                    ("stamp", placed.stamp.0.into()),
                ]),
            )]
        }
        Entry::Answered { via, told, .. } if node == wanted.peer => {
            let told = told.iter().filter(|told| told.number == wanted.number);
            told.map(|told| (Event::Answered, answered(*via, told))).collect()
        }
        Entry::AskedAgain { first, last } if covers(wanted, node, first.0, last.0) => {
            vec![(Event::AskedAgain, Row::new())]
        }
        Entry::Forgotten { number } if wanted == (OrderId { peer: node, number: *number }) => {
            vec![(Event::Forgotten, Row::new())]
        }
        Entry::Accepted { term, order } if order.id == wanted => vec![accepted(*term, order, held)],
        Entry::Mirrored { trader, term, orders, .. } if mirrors(orders, wanted) => {
            vec![(Event::Mirrored, row([("of", trader.0.into()), ("term", term.0.into())]))]
        }
        Entry::TentativeUndrawn(told) => tentative(told.iter().map(|it| (*it).into()), wanted),
        Entry::Tentative(told) => tentative(told.iter().copied(), wanted),
        Entry::ToldEarlyUndrawn { via, told } if node == wanted.peer => {
            told_early(*via, told.iter().map(|it| (*it).into()), wanted)
        }
        Entry::ToldEarly { via, told } if node == wanted.peer => {
            told_early(*via, told.iter().copied(), wanted)
        }
        Entry::Settled { peer, first, last } if waited && covers(wanted, *peer, first.0, last.0) => {
            vec![(Event::Left, row([("because", "settled".into())]))]
        }
        Entry::HandedOver { peer, first, last } if waited && covers(wanted, *peer, first.0, last.0) => {
            vec![(Event::Left, row([("because", "handed over".into())]))]
        }
        _ => Vec::new(),
    }
}

fn tentative(told: impl Iterator<Item = Tentative>, wanted: OrderId) -> Vec<(Event, Row)> {
    told.filter(|it| it.id == wanted).map(|it| (Event::Tentative, answer(&it))).collect()
}

fn told_early(via: PeerId, told: impl Iterator<Item = Tentative>, wanted: OrderId) -> Vec<(Event, Row)> {
    let told = told.filter(|it| it.id.number == wanted.number);
    let facts = |it: Tentative| answer(&it).into_iter().chain(row([("via", via.0.into())])).collect();
    told.map(|it| (Event::ToldEarly, facts(it))).collect()
}

fn answer(told: &Tentative) -> Row {
    let filled = row([("filled", told.filled.0.into())]);
    let draw = told.draw.map(|it| row([("term", it.term.0.into()), ("decision", it.nth.into())]));
    filled.into_iter().chain(draw.unwrap_or_default()).collect()
}

/// Whether a mirrored chunk holds the order. One that does not decode holds nothing that could be shown.
fn mirrors(orders: &[u8], wanted: OrderId) -> bool {
    let (orders, _) = chunk::decode(orders).unwrap_or_default();
    orders.iter().any(|order| order.id == wanted)
}

fn covers(wanted: OrderId, peer: PeerId, first: u64, last: u64) -> bool {
    wanted.peer == peer && (first..=last).contains(&wanted.number.0)
}

/// Orders of a term that was never this node's come from the mirror of that term.
fn accepted(term: Term, order: &Order, held: &Held) -> (Event, Row) {
    if !held.own_term
        && let Some(trader) = held.mirrored.get(&term)
    {
        return (Event::Adopted, row([("of", trader.0.into()), ("term", term.0.into())]));
    }
    let facts = row([("term", term.0.into()), ("rank", held.rank.into()), ("stamp", order.stamp.0.into())]);
    (if held.waits { Event::Requeued } else { Event::Accepted }, facts)
}

fn answered(via: PeerId, told: &Told) -> Row {
    row([
        ("outcome", told.kind.name().into()),
        ("filled", told.filled.0.into()),
        ("amount", told.amount.0.into()),
        ("via", via.0.into()),
        ("ledger_seq", told.seq.0.into()),
    ])
}
