//! Ledger rows: each is a function of its record, its place and the names of the goods, and of nothing else.
//!
//! Keys, their order and their rules are a contract with scripts; a key is absent where it does not apply. Money is in
//! minor units.

use super::output::{Column, Members, Ranked, Row, Show};
use crate::model::catalogue::Catalogue;
use crate::model::row::{Decision, OutcomeKind, Place, Record, Slice, split};
use crate::types::{Generation, Money, OrderKind, PeerId, ProductId, Quantity, Stamp, Term};

const fn column(key: &'static str, show: Show) -> Column {
    Column { key, show }
}

/// All keys of a ledger row, in their order; `error` only in rows that cannot be read.
pub(crate) const LEDGER_COLUMNS: [Column; 34] = [
    column("seq", Show::Number),
    column("time", Show::Time),
    column("clock", Show::Number),
    column("kind", Show::Text),
    column("peer", Show::Number),
    column("number", Show::Number),
    column("order", Show::Text),
    column("stamp", Show::Number),
    column("product", Show::Text),
    column("asked", Show::Number),
    column("filled", Show::Number),
    column("unit_price", Show::Money),
    column("amount", Show::Money),
    column("commission", Show::Money),
    column("sellers", Show::Sellers),
    column("outcome", Show::Text),
    column("reason", Show::Text),
    column("stock_after", Show::Number),
    column("trader", Show::Number),
    column("term", Show::Number),
    column("office", Show::Text),
    column("partner", Show::Number),
    column("partner_term", Show::Number),
    column("by", Show::Number),
    column("mode", Show::Text),
    column("epoch", Show::Number),
    column("key", Show::Text),
    column("batch", Show::Number),
    column("decision", Show::Number),
    column("block", Show::Number),
    column("block_hash", Show::Text),
    column("generation", Show::Number),
    column("generation_id", Show::Text),
    column("error", Show::Text),
];

/// What of a row matters most to who reads it on a terminal, with the cells that it usually takes.
pub(crate) const LEDGER_RANKS: [Ranked; 16] = [
    ("seq", 7),
    ("kind", 8),
    ("order", 8),
    ("product", 8),
    ("time", 18),
    ("filled", 6),
    ("amount", 9),
    ("error", 20),
    ("reason", 6),
    ("outcome", 13),
    ("office", 9),
    ("trader", 6),
    ("peer", 5),
    ("asked", 5),
    ("stock_after", 11),
    ("sellers", 12),
];

/// The texts that all rows of a block share.
pub(crate) struct BlockTexts {
    time: String,
    hash: String,
}

impl BlockTexts {
    /// Those of the block that holds a row.
    pub(crate) fn of(place: &Place) -> BlockTexts {
        BlockTexts { time: place.time.to_string(), hash: place.block_hash.to_string() }
    }
}

/// The row of a record.
pub(crate) fn ledger_row(place: &Place, record: &Record, catalogue: &Catalogue) -> Row {
    let mut row = Row::new();
    write_row(place, &BlockTexts::of(place), record, catalogue, &mut row);
    row
}

/// The members of a record's row.
pub(crate) fn write_row(
    place: &Place,
    block: &BlockTexts,
    record: &Record,
    catalogue: &Catalogue,
    row: &mut impl Members,
) {
    row.number("seq", place.seq.0);
    row.text("time", &block.time);
    row.number("clock", record.clock().0);
    row.text("kind", record.kind());
    RowWriter { row, catalogue }.record(place, record);
    row.number("block", place.block);
    row.text("block_hash", &block.hash);
    if let Record::Restored { generation, .. } = record {
        row.number("generation", generation.count);
        if generation.random != 0 {
            row.text("generation_id", &generation_id(*generation));
        }
    }
}

/// The random part of a generation, as text: it is no number that a reader of JSON keeps whole.
pub(crate) fn generation_id(generation: Generation) -> String {
    format!("{:016x}", generation.random)
}

/// The members of the row of a record that cannot be read.
pub(crate) fn write_unreadable(place: &Place, why: &str, row: &mut impl Members) {
    row.number("seq", place.seq.0);
    row.text("kind", "unreadable");
    row.number("block", place.block);
    row.text("error", why);
}

/// The row of a record that cannot be read.
pub(crate) fn unreadable_row(place: &Place, why: &str) -> Row {
    let mut row = Row::new();
    write_unreadable(place, why, &mut row);
    row
}

struct RowWriter<'a, M> {
    row: &'a mut M,
    catalogue: &'a Catalogue,
}

impl<M: Members> RowWriter<'_, M> {
    fn record(&mut self, place: &Place, record: &Record) {
        match record {
            Record::Stocked { name, quantity, unit_price, .. } => self.stocked(name, *quantity, *unit_price),
            Record::Deposit(decision) => self.deposit(decision),
            Record::Sale { decision, unit_price, commission_percent, slices } => {
                self.sale(decision, *unit_price, *commission_percent, slices, None);
            }
            Record::Refusal { decision, reason } => {
                let outcome = if reason.is_some() { OutcomeKind::Refused } else { OutcomeKind::SoldOut };
                self.unfilled(decision, outcome, reason.map(|reason| reason.name()));
            }
            Record::Reversal(decision) => self.unfilled(decision, OutcomeKind::Reversed, None),
            Record::Void { decision, reason } => self.void(decision, reason.name()),
            Record::Session { peer, epoch, key, .. } => {
                self.row.number("peer", peer.0.into());
                self.row.number("epoch", place.epoch(*epoch));
                if let Some(key) = key {
                    self.row.text("key", &key.to_string());
                }
            }
            Record::Office { office, trader, term, .. } => {
                self.holder(*trader, *term);
                self.row.text("office", office.name());
            }
            Record::Fence { office, trader, term, by, .. } => {
                self.holder(*trader, *term);
                self.row.text("office", office.name());
                self.row.number("by", by.0.into());
            }
            Record::Paired { trader, term, partner, partner_term, .. } => {
                self.holder(*trader, *term);
                self.row.number("partner", partner.0.into());
                self.row.number("partner_term", partner_term.0);
            }
            Record::Restored { .. } => {}
            Record::Mode { mode, .. } => self.row.text("mode", mode.name()),
            Record::Released { trader, term, .. } => self.holder(*trader, *term),
            Record::Allotment { trader, term, product, slices, .. }
            | Record::Returned { trader, term, product, slices, .. } => {
                self.product(*product);
                self.row.number("filled", slices.iter().map(|slice| slice.quantity.0).sum());
                self.holder(*trader, *term);
            }
            Record::Adopt { decision, .. } if decision.order.kind == OrderKind::Sell => {
                self.deposit(decision)
            }
            Record::Adopt { decision, of, unit_price, commission_percent, slices } => {
                self.sale(decision, *unit_price, *commission_percent, slices, Some(*of));
            }
            Record::Complete { trader, term, of, .. } => {
                self.holder(*trader, *term);
                self.row.number("partner_term", of.0);
            }
            Record::Conflict(decision) => {
                self.order(decision);
                self.settled(decision, None);
            }
        }
    }

    fn stocked(&mut self, name: &str, quantity: Quantity, unit_price: Money) {
        self.row.text("product", name);
        self.row.number("asked", quantity.0);
        self.row.number("filled", quantity.0);
        self.row.money("unit_price", unit_price);
        self.row.number("stock_after", quantity.0);
    }

    fn deposit(&mut self, decision: &Decision) {
        self.order(decision);
        self.row.number("filled", decision.order.quantity.0);
        self.row.text("outcome", OutcomeKind::Deposited.name());
        self.settled(decision, None);
    }

    fn sale(&mut self, decision: &Decision, price: Money, percent: u8, slices: &[Slice], of: Option<Term>) {
        let filled: u64 = slices.iter().map(|slice| slice.quantity.0).sum();
        let split = split(price, percent, slices);
        let whole = filled == decision.order.quantity.0;
        self.order(decision);
        self.row.number("filled", filled);
        self.row.money("unit_price", price);
        self.row.money("amount", split.amount);
        self.row.money("commission", split.commission);
        self.row.sellers("sellers", &split.shares);
        let outcome = if whole { OutcomeKind::Bought } else { OutcomeKind::PartlyBought };
        self.row.text("outcome", outcome.name());
        self.settled(decision, of);
    }

    fn unfilled(&mut self, decision: &Decision, outcome: OutcomeKind, reason: Option<&str>) {
        self.order(decision);
        self.row.number("filled", 0);
        self.row.text("outcome", outcome.name());
        if let Some(reason) = reason {
            self.row.text("reason", reason);
        }
        self.settled(decision, None);
    }

    /// Where only the peer's `void` of an order is known there is neither stamp nor product.
    fn void(&mut self, decision: &Decision, reason: &str) {
        self.order(decision);
        self.row.text("outcome", OutcomeKind::Voided.name());
        self.row.text("reason", reason);
        self.settled(decision, None);
    }

    fn order(&mut self, decision: &Decision) {
        let order = &decision.order;
        self.row.number("peer", order.id.peer.0.into());
        self.row.number("number", order.id.number.0);
        self.row.text("order", &order.id.to_string());
        if order.kind == OrderKind::Void {
            return;
        }
        let Stamp(stamp) = order.stamp;
        self.row.number("stamp", stamp);
        self.product(order.product);
        self.row.number("asked", order.quantity.0);
    }

    fn settled(&mut self, decision: &Decision, of: Option<Term>) {
        if decision.order.kind != OrderKind::Void {
            self.row.number("stock_after", decision.stock_after.0);
        }
        if decision.term == Term(0) {
            return;
        }
        self.holder(decision.trader, decision.term);
        if let Some(Term(of)) = of {
            self.row.number("partner_term", of);
        }
        match decision.batch.decision() {
            Some(nth) => self.row.number("decision", nth),
            None => self.row.number("batch", decision.batch.0),
        }
    }

    fn holder(&mut self, trader: PeerId, term: Term) {
        self.row.number("trader", trader.0.into());
        self.row.number("term", term.0);
    }

    fn product(&mut self, product: ProductId) {
        match self.catalogue.0.get(usize::from(product.0)) {
            Some(good) => self.row.text("product", &good.name),
            None => self.row.text("product", &self.catalogue.name(product)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::catalogue::Good;
    use crate::model::row::{Reason, initial_lot};
    use crate::types::{Batch, Hash, Number, Office, Order, OrderId, ProcessId, Seq, WallMicros};

    fn text(record: &Record, seq: u64, micros: u64, block: u64) -> String {
        let time = WallMicros(1_795_341_600_000_000 + micros);
        let place = Place { seq: Seq(seq), block, time, block_hash: Hash::default(), version: 2 };
        let fish = Catalogue(vec![Good { name: "fish".into(), unit_price: Money(100) }]);
        serde_json::to_string(&ledger_row(&place, record, &fish)).unwrap().replace(&"00".repeat(32), "..")
    }

    fn decision(quantity: u64, kind: OrderKind, stock_after: u64) -> Decision {
        let id = OrderId { peer: PeerId(4), number: Number(3) };
        let order = Order { id, stamp: Stamp(17), kind, product: ProductId(0), quantity: Quantity(quantity) };
        let (trader, term, batch) = (PeerId(6), Term(1), Batch(2));
        Decision { order, clock: Stamp(44), stock_after: Quantity(stock_after), trader, term, batch }
    }

    #[test]
    fn the_documented_rows_are_printed_to_the_letter() {
        let (name, quantity, unit_price) = ("fish".into(), Quantity(43), Money(100));
        let stocked = Record::Stocked { name, quantity, unit_price, clock: Stamp(1) };
        let expected = r#"{"seq":1,"time":"2026-11-22T10:00:00.000000Z","clock":1,"kind":"stocked","product":"fish","asked":43,"filled":43,"unit_price":100,"stock_after":43,"block":1,"block_hash":".."}"#;
        assert_eq!(text(&stocked, 1, 0, 1), expected);

        let (trader, process) = (PeerId(6), ProcessId::default());
        let office =
            Record::Office { office: Office::Primary, trader, process, term: Term(1), clock: Stamp(19) };
        let expected = r#"{"seq":5,"time":"2026-11-22T10:00:00.412007Z","clock":19,"kind":"office","trader":6,"term":1,"office":"primary","block":4,"block_hash":".."}"#;
        assert_eq!(text(&office, 5, 412_007, 4), expected);

        let slices = vec![Slice { lot: initial_lot(), quantity: Quantity(3) }];
        let decision = decision(3, OrderKind::Buy { partial: false }, 40);
        let sale = Record::Sale { decision, unit_price: Money(100), commission_percent: 5, slices };
        let expected = r#"{"seq":9,"time":"2026-11-22T10:00:00.630114Z","clock":44,"kind":"sale","peer":4,"number":3,"order":"4-3","stamp":17,"product":"fish","asked":3,"filled":3,"unit_price":100,"amount":300,"commission":15,"sellers":[{"peer":0,"quantity":3,"amount":285}],"outcome":"bought","stock_after":40,"trader":6,"term":1,"batch":2,"block":6,"block_hash":".."}"#;
        assert_eq!(text(&sale, 9, 630_114, 6), expected);
    }

    #[test]
    fn what_is_unknown_is_absent() {
        let void = Record::Void { decision: decision(0, OrderKind::Void, 0), reason: Reason::GivenUp };
        let row: Value = serde_json::from_str(&text(&void, 2, 0, 2)).unwrap();
        assert_eq!(row["outcome"], json!("voided"));
        assert_eq!(row["reason"], json!("given up"));
        assert!(
            ["stamp", "product", "asked", "stock_after"].iter().all(|key| row.get(key).is_none()),
            "{row}"
        );
    }

    #[test]
    fn every_kind_keeps_the_order_of_keys() {
        let buy = decision(3, OrderKind::Buy { partial: true }, 40);
        let slices = vec![Slice { lot: initial_lot(), quantity: Quantity(2) }];
        let (unit_price, commission_percent, of) = (Money(100), 5, Term(1));
        let (trader, term, partner, partner_term) = (PeerId(6), Term(1), PeerId(5), Term(2));
        let (office, by, clock) = (Office::Primary, PeerId(5), Stamp(3));
        let records = [
            Record::Deposit(decision(3, OrderKind::Sell, 46)),
            Record::Refusal { decision: buy, reason: None },
            Record::Refusal { decision: buy, reason: Some(Reason::TooManyLots) },
            Record::Void { decision: buy, reason: Reason::Closed },
            Record::Fence { office, trader, term, by, clock },
            Record::Paired { trader, term, partner, partner_term, clock },
            Record::Adopt { decision: buy, of, unit_price, commission_percent, slices: slices.clone() },
            Record::Allotment { trader, term, product: ProductId(0), slices, clock },
            Record::Complete { trader, term, of, clock },
            Record::Restored { generation: Generation::of_test(1), clock },
        ];
        let place_of = |key: &String| LEDGER_COLUMNS.iter().position(|column| column.key == key).unwrap();
        for record in records {
            let row: Row = serde_json::from_str(&text(&record, 2, 0, 2)).unwrap();
            let places: Vec<usize> = row.keys().map(place_of).collect();
            assert!(places.is_sorted(), "{row:?}");
        }
    }
}
