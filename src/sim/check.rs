//! What must hold at the end of a run: the audit passes over all disks, and what shoppers were told is what was done.

use std::collections::{BTreeMap, BTreeSet};

use super::disks::Disk;
use super::losses::Losses;
use crate::audit::{self, Check, Example, Source, StoredSource};
use crate::journal::{Block, StoreRead};
use crate::model::fold::{Stored, Tree};
use crate::model::offices::Offices;
use crate::model::peer::entry::Entry;
use crate::model::row::{Outcome, Record};
use crate::types::{Generation, Office, Order, OrderId, PeerId, Seq, node_name};

/// Failed cases that are told of each check.
const EXAMPLES_MAX: usize = 2;
/// And of all checks.
const FAILURES_MAX: usize = 20;

/// Why a seed failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which check: `liveness`, `audit`, `told`, `fence`, `fork`, `name`, `token`, `invariant`, `boot`, `disk`, `exit`, `wire` or `panic`.
    pub check: &'static str,
    /// What is wrong.
    pub why: String,
}

impl Failure {
    pub(super) fn new(check: &'static str, why: impl Into<String>) -> Failure {
        Failure { check, why: why.into() }
    }
}

/// Something that a shopper was told.
pub(super) struct Told {
    pub peer: PeerId,
    pub order: Order,
    pub outcome: Outcome,
    /// Of the ledger, as the peer knew it then.
    pub generation: Generation,
}

/// The invariants that `verify` checks, over the disks as they are.
///
/// What went with peers' stores for good is no failure. Neither is it that somebody saw rows of an older copy of the ledger
/// that had gone on before it was found out.
pub(super) fn audited(disks: &[(PeerId, &Disk)], losses: &Losses, forked: bool) -> Result<(), Failure> {
    let failed = |why: String| Failure::new("audit", why);
    let mut sources: Vec<Source> = Vec::new();
    for (id, disk) in disks {
        let (store, mark) = disk.look();
        let source =
            StoredSource::open(store, mark, &node_name(*id)).map_err(|error| failed(error.to_string()))?;
        sources.extend(source.map(|source| Box::new(source) as Source));
    }
    let examples = if losses.is_empty() && !forked { EXAMPLES_MAX } else { usize::MAX };
    let audit = audit::audit(&mut sources, examples).map_err(|error| failed(error.to_string()))?;
    let tell =
        |(check, example): (Check, Example)| format!("{} {}: {}", check.id(), check.title(), example.what);
    let failures = audit
        .failures()
        .into_iter()
        .filter(|(_, example)| !losses.explain(example))
        .filter(|(_, example)| !(forked && is_of_a_fork(example)));
    let failures: Vec<String> = failures.take(FAILURES_MAX).map(tell).collect();
    if failures.is_empty() { Ok(()) } else { Err(failed(failures.join("; "))) }
}

/// It was seen in, or told by, a ledger that is gone.
fn is_of_a_fork(example: &Example) -> bool {
    ["saw another block", "the ledger has no outcome"].iter().any(|words| example.what.contains(words))
}

/// The ledger's rows, oldest first, each with the outcome that it is, if it is one.
pub(super) fn ledger(disk: &Disk) -> Result<Vec<(Record, Option<Outcome>)>, Failure> {
    let (store, _) = disk.look();
    let blocks = blocks::<Record>(&*store, Tree::Ledger)?;
    let rows = blocks.iter().flat_map(|block| {
        block.rows().map(|(seq, record)| (record.clone(), record.outcome(seq, block.header.time)))
    });
    Ok(rows.collect())
}

/// The entries of a peer's journal that are there, as far as they can be read.
pub(super) fn journal(disk: &Disk) -> Vec<Entry> {
    let (store, _) = disk.look();
    let blocks = blocks::<Entry>(&*store, Tree::Journal).unwrap_or_default();
    blocks.into_iter().flat_map(|block| block.records).collect()
}

fn blocks<R: Stored>(store: &dyn StoreRead, log: Tree) -> Result<Vec<Block<R>>, Failure> {
    let unreadable = |error: String| Failure::new("audit", format!("the {log:?} cannot be read: {error}"));
    let pairs = store.scan(log, &[], usize::MAX).map_err(|error| unreadable(error.to_string()))?;
    let decode =
        |(_, bytes): &(_, Vec<u8>)| Block::decode(bytes).map_err(|error| unreadable(error.to_string()));
    pairs.iter().map(decode).collect()
}

/// A term is ended by the word of its own peer, of the present holder of the other office, of a peer to whom the next row
/// that is no fence grants the office, or the first of the two, or of the warehouse before it changes the mode, or when goods
/// that were set aside for it do not come back.
pub(super) fn fenced_by_who_may(rows: &[(Record, Option<Outcome>)]) -> Result<(), Failure> {
    let (mut offices, mut allotted) = (Offices::default(), BTreeSet::new());
    for (nth, (record, _)) in (1..).zip(rows) {
        if let Record::Allotment { term, .. } = record {
            allotted.insert(*term);
        }
        let mut behind = rows[nth as usize..].iter().map(|(record, _)| record);
        let next = behind.find(|record| !matches!(record, Record::Fence { .. }));
        if let Record::Fence { office, trader, term, by, .. } = record {
            let is_partner = offices.held_by(*by).is_some_and(|own| own.office != *office);
            let takes = |to: &Office| to == office || *to == Office::Primary;
            let granted =
                matches!(next, Some(Record::Office { office: to, trader, .. }) if takes(to) && trader == by);
            let mode_follows = matches!(next, Some(Record::Mode { .. }));
            let by_warehouse = *by == PeerId::WAREHOUSE && (mode_follows || allotted.contains(term));
            if by != trader && !is_partner && !granted && !by_warehouse {
                let why =
                    format!("row {nth}: term {term} of {trader} was fenced by {by}, which held no office");
                return Err(Failure::new("fence", why));
            }
        }
        offices.apply(Seq(nth), record);
    }
    Ok(())
}

/// Whatever a shopper was told, however often and in whichever life, is what the ledger says was done.
/// What a restore lost is not there any more.
pub(super) fn told_is_done(
    told: &[Told],
    done: &BTreeMap<OrderId, Outcome>,
    is_lost: impl Fn(Generation, Seq) -> bool,
) -> Result<(), Failure> {
    for Told { peer, order, outcome, generation } in told {
        let wrong = |what: String| {
            Failure::new("told", format!("{} was told of order {}: {what}", node_name(*peer), order.id))
        };
        let lost = is_lost(*generation, outcome.seq);
        if lost && done.get(&order.id).is_none_or(|row| !same(outcome, row)) {
            continue;
        }
        let Some(row) = done.get(&order.id) else {
            return Err(wrong(format!("{}, and the ledger has no outcome", outcome.kind.name())));
        };
        if order.id.peer != *peer || !same(outcome, row) {
            return Err(wrong(format!("{outcome:?}, and the ledger has {row:?}")));
        }
    }
    Ok(())
}

/// Whether they are equal, apart from what is not part of the recorded fact.
fn same(told: &Outcome, done: &Outcome) -> bool {
    Outcome { repeated: done.repeated, ..told.clone() } == *done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::row::OutcomeKind;
    use crate::types::{
        Consistency, Money, Number, OrderKind, ProcessId, ProductId, Quantity, Stamp, Term, WallMicros,
    };

    fn outcome(filled: u64) -> Outcome {
        Outcome {
            id: OrderId { peer: PeerId(4), number: Number(3) },
            kind: OutcomeKind::Bought,
            reason: None,
            filled: Quantity(filled),
            amount: Money(300),
            shares: Vec::new(),
            stock_after: Quantity(7),
            seq: Seq(9),
            time: WallMicros(1),
            trader: PeerId(6),
            repeated: false,
        }
    }

    fn told(outcome: Outcome) -> Told {
        let (kind, product, quantity) = (OrderKind::Buy { partial: true }, ProductId(0), Quantity(3));
        let order = Order { id: outcome.id, stamp: Stamp(1), kind, product, quantity };
        Told { peer: PeerId(4), order, outcome, generation: Generation::default() }
    }

    #[test]
    fn told_twice_alike_is_right_and_differently_is_not() {
        let done = BTreeMap::from([(outcome(3).id, outcome(3))]);
        let again = Outcome { repeated: true, ..outcome(3) };
        assert_eq!(told_is_done(&[told(outcome(3)), told(again)], &done, |_, _| false), Ok(()));
        let failed = told_is_done(&[told(outcome(3)), told(outcome(2))], &done, |_, _| false).unwrap_err();
        assert_eq!(failed.check, "told");
        assert!(failed.why.contains("order 4-3"), "{}", failed.why);
    }

    #[test]
    fn only_a_partner_or_an_heir_ends_the_term_of_another() {
        let process = ProcessId::default();
        let grant = |office, trader, term| Record::Office {
            office,
            trader: PeerId(trader),
            process,
            term: Term(term),
            clock: Stamp(1),
        };
        let (office, trader, term) = (Office::Primary, PeerId(6), Term(1));
        let fence = |by| Record::Fence { office, trader, term, by: PeerId(by), clock: Stamp(1) };
        let check = |end: Vec<Record>| {
            let begin = vec![grant(Office::Primary, 6, 1), grant(Office::Secondary, 5, 2)];
            let rows: Vec<_> = begin.into_iter().chain(end).map(|record| (record, None)).collect();
            fenced_by_who_may(&rows).map_err(|failure| failure.check)
        };
        assert_eq!(check(vec![fence(6)]), Ok(()), "its own peer");
        assert_eq!(check(vec![fence(5)]), Ok(()), "the other trader");
        assert_eq!(check(vec![fence(4), grant(Office::Primary, 4, 3)]), Ok(()), "who takes the office");
        assert_eq!(check(vec![fence(4)]), Err("fence"));
        let mode = Record::Mode { mode: Consistency::Cached, clock: Stamp(1) };
        assert_eq!(check(vec![fence(0), mode]), Ok(()), "a change of the mode");
        assert_eq!(check(vec![fence(0)]), Err("fence"));
        assert_eq!(check(vec![fence(4), grant(Office::Secondary, 4, 3)]), Err("fence"));
        let ended = Record::Fence {
            office: Office::Secondary,
            trader: PeerId(5),
            term: Term(2),
            by: PeerId(6),
            clock: Stamp(1),
        };
        assert_eq!(check(vec![ended, fence(5)]), Err("fence"), "a trader whose own term is over");
    }

    #[test]
    fn told_and_never_done_is_seen() {
        let failed = told_is_done(&[told(outcome(3))], &BTreeMap::new(), |_, _| false).unwrap_err();
        assert!(failed.why.contains("no outcome"), "{}", failed.why);
    }
}
