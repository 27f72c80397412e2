//! The checker is checked: a clean market raises no alarm, and every altered one does, under the right name.

mod escrow;
mod journals;
mod ledger;
mod restores;
mod resume;
mod stores;

use super::fixture::*;
use super::*;
use crate::model::peer::entry::Entry;
use crate::model::row::{Decision, OutcomeKind, Reason, Record};
use crate::types::*;

/// What was altered, the check that must see it, and the altered market.
type Case = (&'static str, Check, Market);

fn failed(market: &Market) -> Vec<Check> {
    audit(&mut market.sources(), 5).unwrap().failed()
}

/// Of the ledger alone, as if no journal were left.
fn failed_alone(market: &Market) -> Vec<Check> {
    let mut alone: Vec<Source> = market.sources().into_iter().take(1).collect();
    audit(&mut alone, 5).unwrap().failed()
}

fn flat(market: &Market) -> Vec<Record> {
    market.ledger.concat()
}

/// Where in the ledger the `nth` record that `wanted` takes is: step and place in it.
fn find(market: &Market, nth: usize, wanted: impl Fn(&Record) -> bool) -> (usize, usize) {
    let places = market.ledger.iter().enumerate();
    let mut found = places.flat_map(|(step, rows)| (0..rows.len()).map(move |row| (step, row)));
    found.by_ref().filter(|(step, row)| wanted(&market.ledger[*step][*row])).nth(nth).unwrap()
}

fn change(nth: usize, wanted: fn(&Record) -> bool, alter: impl Fn(&mut Record)) -> Market {
    let mut market = Market::lived();
    let (step, row) = find(&market, nth, wanted);
    alter(&mut market.ledger[step][row]);
    market
}

fn is(kind: &'static str) -> fn(&Record) -> bool {
    match kind {
        "stocked" => |record| record.kind() == "stocked",
        "deposit" => |record| record.kind() == "deposit",
        "sale" => |record| record.kind() == "sale",
        "refusal" => |record| record.kind() == "refusal",
        "void" => |record| record.kind() == "void",
        "session" => |record| record.kind() == "session",
        "office" => |record| record.kind() == "office",
        "fence" => |record| record.kind() == "fence",
        _ => |record| record.kind() == "paired",
    }
}

fn of_many_lots(record: &Record) -> bool {
    matches!(record, Record::Sale { slices, .. } if slices.len() > 1)
}

fn decision(record: &mut Record) -> &mut Decision {
    match record {
        Record::Deposit(decision)
        | Record::Sale { decision, .. }
        | Record::Refusal { decision, .. }
        | Record::Void { decision, .. } => decision,
        other => panic!("{other:?} is no decision"),
    }
}

fn decided(kind: &'static str, nth: usize, alter: impl Fn(&mut Decision)) -> Market {
    change(nth, is(kind), |record| alter(decision(record)))
}

#[test]
fn a_clean_market_raises_no_alarm() {
    let found = audit(&mut Market::lived().sources(), 5).unwrap();
    for check in Check::ALL {
        let tally = found.of(check);
        assert_eq!(tally.failed, 0, "{}: {:?}", check.id(), tally.examples);
        assert!(tally.checked > 0 || check == Check::Caches, "{} looked at nothing", check.id());
    }
    assert!(found.lacks(Check::ToldIsDone).is_empty());
    assert!(flat(&Market::lived()).len() > 30);
}

#[test]
fn a_ledger_alone_raises_no_alarm_and_names_what_it_lacks() {
    let mut alone: Vec<Source> = Market::lived().sources().into_iter().take(1).collect();
    let found = audit(&mut alone, 5).unwrap();
    assert!(found.failed().is_empty());
    assert!(found.unchecked(Check::ToldIsDone) && !found.unchecked(Check::ExactlyOnce));
    assert_eq!(found.lacks(Check::ToldIsDone)[0], "peer-1");
}
