//! One record of every kind, and as format 1 wrote them: for the tests that pin the bytes and for the golden stores.

use crate::model::evidence::{Licence, Seen};
use crate::model::peer::entry::{Entry, Placed, Proof, Told};
use crate::model::row::{Decision, OutcomeKind, Reason, Record, Slice, initial_lot};
use crate::model::tentative::{Draw, Tentative, Undrawn};
use crate::types::{
    Batch, Consistency, Epoch, Generation, Hash, Money, Number, Office, Order, OrderId, OrderKind, PeerId,
    ProcessId, ProductId, PublicKey, Quantity, Seq, Signature, Stamp, Term,
};

fn order(kind: OrderKind) -> Order {
    let id = OrderId { peer: PeerId(4), number: Number::new(Epoch(4), 3) };
    Order { id, stamp: Stamp(17), kind, product: ProductId(2), quantity: Quantity(300) }
}

fn decision(kind: OrderKind) -> Decision {
    let (order, clock, stock_after) = (order(kind), Stamp(44), Quantity(1_000_000));
    Decision { order, clock, stock_after, trader: PeerId(6), term: Term(1), batch: Batch(2) }
}

fn slices() -> Vec<Slice> {
    let lot = OrderId { peer: PeerId(1001), number: Number(9) };
    vec![Slice { lot: initial_lot(), quantity: Quantity(1) }, Slice { lot, quantity: Quantity(299) }]
}

/// All kinds of [`Record`], in the order of their numbers.
pub(crate) fn records() -> Vec<Record> {
    let buy = decision(OrderKind::Buy { partial: true });
    let (trader, term, clock) = (PeerId(6), Term(3), Stamp(70_000));
    let (partner, partner_term, by) = (PeerId(5), Term(4), PeerId(5));
    let process = ProcessId { epoch: Epoch(4), starts: 2, random: u64::MAX };
    let (unit_price, commission_percent, key) = (Money(133), 5, Some(PublicKey([6; 32])));
    vec![
        Record::Stocked {
            name: "fish".into(),
            quantity: Quantity(43),
            unit_price: Money(100),
            clock: Stamp(1),
        },
        Record::Deposit(decision(OrderKind::Sell)),
        Record::Sale { decision: buy, unit_price, commission_percent, slices: slices() },
        Record::Refusal { decision: buy, reason: Some(Reason::TooManyLots) },
        Record::Reversal(buy),
        Record::Void { decision: decision(OrderKind::Void), reason: Reason::GivenUp },
        Record::Session { peer: PeerId(4), epoch: Epoch(4), store: Hash([7; 32]), key, clock },
        Record::Office { office: Office::Primary, trader, process, term, clock },
        Record::Fence { office: Office::Secondary, trader, term, by, clock },
        Record::Paired { trader, term, partner, partner_term, clock },
        Record::Restored { generation: Generation { count: 1, random: u64::MAX }, clock },
        Record::Allotment { trader, term, product: ProductId(2), slices: slices(), clock },
        Record::Adopt { decision: buy, of: term, unit_price, commission_percent, slices: slices() },
        Record::Complete { trader, term: Term(5), of: term, clock },
        Record::Conflict(buy),
        Record::Mode { mode: Consistency::Escrow, clock },
        Record::Returned { trader, term, product: ProductId(2), slices: slices(), clock },
        Record::Released { trader, term, clock },
    ]
}

/// All kinds of [`Entry`], in the order of their numbers.
pub(crate) fn entries() -> Vec<Entry> {
    let (number, kind) = (Number::new(Epoch(4), 3), OrderKind::Buy { partial: false });
    let placed = Placed { number, stamp: Stamp(17), kind, product: ProductId(2), quantity: Quantity(300) };
    let told = Told {
        number,
        kind: OutcomeKind::Voided,
        reason: Some(Reason::Closed),
        filled: Quantity(0),
        amount: Money(-1),
        seq: Seq(812),
    };
    let (peer, first, last) = (PeerId(4), Number(1), Number(9));
    let early = Undrawn { id: OrderId { peer, number }, filled: Quantity(2) };
    let drawn = Tentative { draw: Some(Draw { term: Term(3), nth: 70_000 }), ..early.into() };
    let (generation, seq, hash) = (Generation { count: 1, random: u64::MAX }, Seq(812), Hash([9; 32]));
    let proof = Some(Proof { clock: Stamp(44), signature: Signature([[4; 32], [5; 32]]) });
    let seen = Some(Seen { generation, seq, hash, proof });
    vec![
        Entry::Placed(placed),
        Entry::Answered { via: PeerId(6), told: vec![told], seen: seen.map(Box::new) },
        Entry::Opened { peer, epoch: Epoch(4) },
        Entry::Known { peer, epoch: Epoch(0), store: Hash([8; 32]) },
        Entry::Granted { office: Office::Secondary, term: Term(2) },
        Entry::Ended { term: Term(2) },
        Entry::Accepted { term: Term(1), order: order(kind) },
        Entry::Settled { peer, first, last },
        Entry::HandedOver { peer, first, last },
        Entry::LedgerSeen { generation, seq, hash, proof: proof.map(Box::new) },
        Entry::Mirrored { trader: PeerId(5), term: Term(4), chunk: Seq(7), orders: vec![1, 2, 3] },
        Entry::Adopted { trader: PeerId(5), from: Term(4) },
        Entry::Trimmed { trader: PeerId(5), term: Term(4), below: Seq(8) },
        Entry::Forgotten { number },
        Entry::AskedAgain { first, last },
        Entry::Licensed(Licence { term: Term(2), signature: Signature([[6; 32], [7; 32]]) }),
        Entry::TentativeUndrawn(vec![early]),
        Entry::ToldEarlyUndrawn { via: PeerId(6), told: vec![early] },
        Entry::Tentative(vec![drawn]),
        Entry::ToldEarly { via: PeerId(6), told: vec![drawn] },
    ]
}

/// The kinds that format 1 had, without what it had no place for.
pub(crate) fn records_of_format_1() -> Vec<Record> {
    let mut records = records();
    records.truncate(15);
    for record in &mut records {
        match record {
            Record::Session { key, .. } => *key = None,
            Record::Restored { generation, .. } => generation.random = 0,
            _ => {}
        }
    }
    records
}

/// The kinds that there were when the golden stores of format 1 were written, without what it had no place for.
pub(crate) fn entries_of_format_1() -> Vec<Entry> {
    let mut entries = entries();
    entries.truncate(13);
    for entry in &mut entries {
        match entry {
            Entry::Answered { seen, .. } => *seen = None,
            Entry::LedgerSeen { generation, proof, .. } => (generation.random, *proof) = (0, None),
            _ => {}
        }
    }
    entries
}

/// The kinds that there were when the golden stores of formats 2 and 3 were written.
pub(crate) fn entries_of_format_2() -> Vec<Entry> {
    let mut entries = entries();
    entries.truncate(16);
    entries
}
