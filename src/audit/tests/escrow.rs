//! Goods that are set aside for a trader's term, sold from by it, and reported when it has ended.

use super::*;
use crate::model::row::{Slice, initial_lot};

const FISH: ProductId = ProductId(0);
const SALT: ProductId = ProductId(1);

/// A ledger, row by row.
#[derive(Default)]
struct Rows {
    rows: Vec<Record>,
    clock: u64,
}

fn peers([a, b]: [u32; 2], [term, other]: [u64; 2]) -> ((PeerId, Term), (PeerId, Term)) {
    ((PeerId(a), Term(term)), (PeerId(b), Term(other)))
}

fn slices(pieces: u64) -> Vec<Slice> {
    vec![Slice { lot: initial_lot(), quantity: Quantity(pieces) }]
}

impl Rows {
    fn push(&mut self, row: impl FnOnce(Stamp) -> Record) {
        self.clock += 1;
        self.rows.push(row(Stamp(self.clock)));
    }

    fn open(&mut self) {
        for (name, quantity) in [("fish", 100), ("salt", 50)] {
            let (name, quantity, unit_price) = (name.into(), Quantity(quantity), Money(100));
            self.push(|clock| Record::Stocked { name, quantity, unit_price, clock });
        }
        for peer in 1..=6 {
            let (epoch, store) = (Epoch(0), Hash::of(&[peer as u8]));
            self.push(|clock| Record::Session { peer: PeerId(peer), epoch, store, key: None, clock });
        }
        self.push(|clock| Record::Mode { mode: Consistency::Escrow, clock });
    }

    fn pair(&mut self, of: [u32; 2], terms: [u64; 2]) {
        let ((trader, term), (partner, partner_term)) = peers(of, terms);
        for (office, trader, term) in
            [(Office::Primary, trader, term), (Office::Secondary, partner, partner_term)]
        {
            let process = ProcessId::default();
            self.push(|clock| Record::Office { office, trader, process, term, clock });
        }
        self.push(|clock| Record::Paired { trader, term, partner, partner_term, clock });
    }

    fn allot(&mut self, trader: u32, term: u64, product: ProductId, pieces: u64) {
        let (trader, term, slices) = (PeerId(trader), Term(term), slices(pieces));
        self.push(|clock| Record::Allotment { trader, term, product, slices, clock });
    }

    /// An order of fish or salt, decided in a batch, or by the trader with that number.
    fn decision(
        &mut self,
        by: (u32, u64, Batch),
        order: (u32, u32, OrderKind),
        goods: (ProductId, u64, u64),
    ) -> Decision {
        let ((trader, term, batch), (peer, k, kind), (product, pieces, stock_after)) = (by, order, goods);
        let (number, stamp) = (Number::new(Epoch(0), k), Stamp(self.clock));
        let id = OrderId { peer: PeerId(peer), number };
        let order = Order { id, stamp, kind, product, quantity: Quantity(pieces) };
        self.clock += 1;
        let (clock, stock_after) = (Stamp(self.clock), Quantity(stock_after));
        Decision { order, clock, stock_after, trader: PeerId(trader), term: Term(term), batch }
    }

    fn sale(&mut self, decision: Decision) {
        let (unit_price, slices) = (Money(100), slices(decision.order.quantity.0));
        self.rows.push(Record::Sale { decision, unit_price, commission_percent: 5, slices });
    }
}

/// A term sells from what was set aside, ends, and is reported by its partner. Then trade goes on.
fn lived() -> Market {
    let (nth, sell) = (Batch::of_decision, OrderKind::Sell);
    let mut rows = Rows::default();
    rows.open();
    rows.pair([6, 5], [1, 2]);
    rows.allot(6, 1, FISH, 20);
    let sold = rows.decision((6, 1, nth(1)), (4, 1, BUY), (FISH, 3, 97));
    rows.sale(sold);
    let put_in = rows.decision((6, 1, nth(2)), (3, 1, sell), (FISH, 9, 106));
    rows.rows.push(Record::Deposit(put_in));
    rows.allot(5, 2, SALT, 8);
    let (trader, term) = (PeerId(5), Term(2));
    rows.push(|clock| Record::Returned { trader, term, product: SALT, slices: slices(8), clock });
    let (office, trader, term, by) = (Office::Primary, PeerId(6), Term(1), PeerId(5));
    rows.push(|clock| Record::Fence { office, trader, term, by, clock });
    rows.pair([5, 4], [3, 4]);
    let sold = rows.decision((5, 3, Batch(1)), (1, 1, BUY), (SALT, 2, 48));
    rows.sale(sold);
    let decision = rows.decision((6, 1, nth(3)), (4, 2, BUY), (FISH, 4, 102));
    let (of, unit_price, commission_percent) = (Term(1), Money(100), 5);
    rows.rows.push(Record::Adopt { decision, of, unit_price, commission_percent, slices: slices(4) });
    let (trader, term) = (PeerId(5), Term(3));
    rows.push(|clock| Record::Complete { trader, term, of, clock });
    let put_in = rows.decision((5, 3, Batch(2)), (3, 2, sell), (FISH, 2, 104));
    rows.rows.push(Record::Deposit(put_in));
    let decision = rows.decision((5, 3, Batch(2)), (1, 2, OrderKind::Void), (FISH, 0, 0));
    rows.rows.push(Record::Void { decision, reason: Reason::GivenUp });
    rows.allot(5, 3, FISH, 10);
    let mut market = Market::default();
    market.ledger = rows.rows.into_iter().map(|row| vec![row]).collect();
    market
}

fn at(market: &Market, nth: usize, kind: &str) -> usize {
    find(market, nth, |row| row.kind() == kind).0
}

fn altered(nth: usize, kind: &str, alter: impl Fn(&mut Record)) -> Market {
    let mut market = lived();
    let step = at(&market, nth, kind);
    alter(&mut market.ledger[step][0]);
    market
}

/// The last row of a kind comes before the report is complete.
fn too_early(nth: usize, kind: &str) -> Market {
    let mut market = lived();
    let row = market.ledger.remove(at(&market, nth, kind));
    let complete = at(&market, 0, "complete");
    market.ledger.insert(complete, row);
    market
}

fn with(row: Record) -> Market {
    let mut market = lived();
    market.ledger.push(vec![row]);
    market
}

#[test]
fn a_clean_ledger_raises_no_alarm() {
    let market = lived();
    let found = audit(&mut market.sources()[..1], 5).unwrap();
    for check in Check::ALL {
        assert_eq!(found.of(check).failed, 0, "{}: {:?}", check.id(), found.of(check).examples);
    }
    assert!(found.of(Check::Goods).checked > 0);
}

#[test]
fn changed_rows_are_caught_by_name() {
    let complete = |of: u64| {
        let (trader, term, of, clock) = (PeerId(5), Term(3), Term(of), Stamp(1_000));
        with(Record::Complete { trader, term, of, clock })
    };
    let by = |peer: u32| {
        altered(0, "complete", move |row| {
            let Record::Complete { trader, .. } = row else { unreachable!("{row:?}") };
            *trader = PeerId(peer);
        })
    };
    let drawn = |nth: u64| {
        altered(0, "adopt", move |row| {
            let Record::Adopt { decision, .. } = row else { unreachable!("{row:?}") };
            decision.batch = Batch::of_decision(nth);
        })
    };
    let released = with(Record::Released { trader: PeerId(5), term: Term(3), clock: Stamp(1_000) });
    let cases = [
        ("put in while it is frozen", Check::Goods, too_early(1, "deposit")),
        ("given up while goods are frozen", Check::Goods, too_early(0, "void")),
        ("set aside while it is frozen", Check::Goods, too_early(2, "allotment")),
        (
            "taken in without an allotment",
            Check::Goods,
            altered(0, "deposit", |row| decision(row).order.product = SALT),
        ),
        (
            "sold without an allotment",
            Check::NeverNegative,
            altered(0, "sale", |row| decision(row).order.product = SALT),
        ),
        ("adopted out of order", Check::Order, drawn(1)),
        ("adopted twice by number", Check::Order, drawn(2)),
        ("reported by a stranger", Check::Fencing, by(1)),
        ("reported by a later secondary", Check::Fencing, by(4)),
        ("complete twice", Check::Fencing, complete(1)),
        ("complete without goods", Check::Fencing, complete(2)),
        ("complete in office", Check::Fencing, complete(3)),
        ("released in office", Check::Fencing, released),
    ];
    for (what, check, market) in cases {
        let found = failed_alone(&market);
        assert!(found.contains(&check), "{what}: {found:?} instead of {check:?}");
    }
}

/// The term's own trader, in a later life, may report, too.
#[test]
fn the_trader_reports_as_well_as_its_partner() {
    let own = altered(0, "complete", |row| {
        let Record::Complete { trader, .. } = row else { unreachable!("{row:?}") };
        *trader = PeerId(6);
    });
    assert_eq!(failed_alone(&own), []);
}
