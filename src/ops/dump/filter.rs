//! Which rows are shown: each criterion looks at one key, and is refused where rows do not have that key.

use serde_json::Value;

use crate::audit::ReadRow;
use crate::cli::Filter;
use crate::journal::{BlockHeader, Summary};
use crate::model::catalogue::Catalogue;
use crate::model::fold::Stored as _;
use crate::model::row::Record;
use crate::ops::output::{Column, Failure, Row, exit, nearest};
use crate::types::{ProductId, Seq, WallMicros};

/// Criteria that all must hold.
pub(super) struct Selection<'a> {
    filter: &'a Filter,
}

impl<'a> Selection<'a> {
    /// Checks that rows with these columns can be judged.
    pub(super) fn new(filter: &'a Filter, columns: &[Column]) -> Result<Selection<'a>, Failure> {
        let key = |flag: &'static str| match flag {
            "--from" | "--to" => "seq",
            "--since" | "--until" => "time",
            "--order" => "number",
            flag => flag.trim_start_matches('-'),
        };
        let lacks = |key: &str| !columns.iter().any(|column| column.key == key);
        match filter.given().iter().find(|(flag, given)| *given && lacks(key(flag))) {
            Some((flag, _)) => {
                let key = key(flag);
                let what = format!("{flag} does not apply here: these rows have no {key}");
                Err(Failure::new(exit::USAGE, what).hint(format!("leave {flag} out")))
            }
            None => Ok(Selection { filter }),
        }
    }

    /// Refuses the name of a good or kind that no row can have.
    pub(super) fn known(&self, goods: &[String], kinds: &[&str]) -> Result<(), Failure> {
        let goods: Vec<&str> = goods.iter().map(String::as_str).collect();
        if let Some(product) = &self.filter.product {
            one_of("good", product, &goods)?;
        }
        self.filter.kind.iter().try_for_each(|kind| one_of("kind", kind, kinds))
    }

    /// Whether a row is wanted; rows that cannot be read are, wherever they might be.
    pub(super) fn takes(&self, row: &Row) -> bool {
        let is = |key: &str, wanted: Option<u64>| {
            wanted.is_none_or(|wanted| row.get(key).and_then(Value::as_u64) == Some(wanted))
        };
        let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
        let filter = self.filter;
        let order = filter.order;
        let readable = text("kind") != "unreadable";
        let matches = is("peer", filter.peer.map(|peer| peer.0.into()))
            && is("peer", order.filter(|_| row.contains_key("peer")).map(|order| order.peer.0.into()))
            && is("number", order.map(|order| order.number.0))
            && is("trader", filter.trader.map(|trader| trader.0.into()))
            && is("term", filter.term.map(|term| term.0))
            && filter.product.as_ref().is_none_or(|product| text("product") == product)
            && (filter.kind.is_empty() || filter.kind.iter().any(|kind| text("kind") == kind));
        // Times are of one width, so that they stand as their texts do.
        let in_time = filter.since.is_none_or(|since| *text("time") >= *since.to_string())
            && filter.until.is_none_or(|until| *text("time") <= *until.to_string());
        self.in_range(row) && (!readable || matches && in_time)
    }

    fn in_range(&self, row: &Row) -> bool {
        let (from, to) = (self.filter.from.unwrap_or_default(), self.filter.to.unwrap_or(Seq(u64::MAX)));
        row.get("seq").and_then(Value::as_u64).is_none_or(|seq| (from.0..=to.0).contains(&seq))
    }
}

/// Which rows of a ledger are wanted. It looks at records, so that no row is made of one that is not.
pub(super) struct Wanted {
    filter: Filter,
    /// By index; none if all are wanted.
    product: Option<ProductId>,
    /// A bit for each kind that is wanted.
    kinds: u32,
    goods: Catalogue,
}

impl Wanted {
    /// What [`Selection::takes`] takes of the rows of this ledger.
    pub(super) fn new(filter: &Filter, goods: &Catalogue) -> Wanted {
        let number = |kind: &String| Record::KINDS.iter().position(|name| name == kind);
        let bits = filter.kind.iter().filter_map(number).map(|number| Summary::bit(number as u8));
        let kinds = if filter.kind.is_empty() { u32::MAX } else { bits.fold(0, |kinds, bit| kinds | bit) };
        let product = filter.product.as_deref().and_then(|name| goods.product(name));
        Wanted { filter: filter.clone(), product, kinds, goods: goods.clone() }
    }

    /// The first and the last row that may be wanted.
    pub(super) fn range(&self) -> (Seq, Seq) {
        (self.filter.from.unwrap_or(Seq(1)), self.filter.to.unwrap_or(Seq(u64::MAX)))
    }

    /// Whether a block may hold such a row.
    pub(super) fn may_be_in(&self, block: &BlockHeader) -> bool {
        let Filter { peer, order, .. } = &self.filter;
        let (from, to) = self.range();
        let in_range = block.last() >= from && block.first <= to && self.in_time(block.time);
        let peers = [*peer, order.map(|order| order.peer)];
        let about = |summary: Summary| {
            summary.may_hold(self.kinds) && peers.iter().flatten().all(|peer| summary.may_be_about(*peer))
        };
        in_range && block.summary.is_none_or(about)
    }

    /// Whether a row is wanted; rows that cannot be read are, wherever they might be.
    pub(super) fn takes(&self, (place, record): &ReadRow<Record>) -> bool {
        let (from, to) = self.range();
        let chosen = |record: &Record| self.in_time(place.time) && self.takes_record(record);
        (from..=to).contains(&place.seq) && record.as_ref().map_or(true, chosen)
    }

    fn in_time(&self, time: WallMicros) -> bool {
        let Filter { since, until, .. } = self.filter;
        since.is_none_or(|since| time >= since) && until.is_none_or(|until| time <= until)
    }

    fn takes_record(&self, record: &Record) -> bool {
        let Filter { peer, order, trader, term, product, .. } = &self.filter;
        let (held, id) = (record.holder(), record.order());
        self.kinds & Summary::bit(record.kind_number() as u8) != 0
            && peer.is_none_or(|peer| record.peer() == Some(peer))
            && order.is_none_or(|order| id == Some(order))
            && trader.is_none_or(|trader| held.is_some_and(|(holder, _)| holder == trader))
            && term.is_none_or(|term| held.is_some_and(|(_, of)| of == term))
            && (product.is_none() || self.is_of_product(record))
    }

    fn is_of_product(&self, record: &Record) -> bool {
        match record {
            Record::Stocked { name, .. } => self.goods.product(name) == self.product,
            _ => self.product.is_some() && record.product() == self.product,
        }
    }
}

fn one_of(what: &str, name: &str, known: &[&str]) -> Result<(), Failure> {
    if known.is_empty() || known.contains(&name) {
        return Ok(());
    }
    let failure = Failure::new(exit::USAGE, format!("there is no {what} '{name}'"));
    let hint = match nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None => format!("there are {}", known.join(", ")),
    };
    Err(failure.hint(hint))
}
