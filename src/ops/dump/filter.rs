//! Which rows are shown: each criterion looks at one key, and is refused where rows do not have that key.

use serde_json::Value;

use crate::cli::Filter;
use crate::ops::output::{Column, Failure, Row, exit, nearest};
use crate::types::Seq;

/// Criteria that all must hold.
pub(super) struct Selection<'a> {
    filter: &'a Filter,
}

impl<'a> Selection<'a> {
    /// Checks that rows with these columns can be judged.
    pub(super) fn new(filter: &'a Filter, columns: &[Column]) -> Result<Selection<'a>, Failure> {
        let given = [
            (filter.from.is_some(), "--from", "seq"),
            (filter.to.is_some(), "--to", "seq"),
            (filter.peer.is_some(), "--peer", "peer"),
            (filter.order.is_some(), "--order", "number"),
            (filter.trader.is_some(), "--trader", "trader"),
            (filter.product.is_some(), "--product", "product"),
            (filter.term.is_some(), "--term", "term"),
            (!filter.kind.is_empty(), "--kind", "kind"),
        ];
        let lacks = |key: &str| !columns.iter().any(|column| column.key == key);
        match given.iter().find(|(given, _, key)| *given && lacks(key)) {
            Some((_, flag, key)) => {
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
        self.in_range(row) && (!readable || matches)
    }

    fn in_range(&self, row: &Row) -> bool {
        let (from, to) = (self.filter.from.unwrap_or_default(), self.filter.to.unwrap_or(Seq(u64::MAX)));
        row.get("seq").and_then(Value::as_u64).is_none_or(|seq| (from.0..=to.0).contains(&seq))
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
