//! Peers' journals that say other than the ledger.

use super::*;

fn with_entry(peer: u32, nth: usize, alter: impl Fn(&mut Entry) -> bool) -> Market {
    let mut market = Market::lived();
    let entries = market.journals.get_mut(&PeerId(peer)).unwrap().iter_mut().flatten();
    assert!(entries.filter_map(|entry| alter(entry).then_some(())).nth(nth).is_some());
    market
}

#[test]
fn changed_journals_are_caught_by_name() {
    let told = |alter: fn(&mut crate::model::peer::entry::Told)| {
        with_entry(4, 0, move |entry| match entry {
            Entry::Answered { told, .. } if told[0].number == Number(1) => {
                alter(&mut told[0]);
                true
            }
            _ => false,
        })
    };
    let mut lost = Market::lived();
    lost.ledger.truncate(lost.ledger.len() - 1);
    let mut dropped = Market::lived();
    dropped.ledger.pop();
    for steps in dropped.journals.values_mut() {
        steps.retain(|step| !matches!(step[0], Entry::Answered { .. }));
    }
    let cases: Vec<Case> = vec![
        ("told a larger fill", Check::ToldIsDone, told(|told| told.filled.0 += 1)),
        ("told another price", Check::ToldIsDone, told(|told| told.amount.0 += 1)),
        ("told sold out", Check::ToldIsDone, told(|told| told.kind = OutcomeKind::SoldOut)),
        ("told a reason", Check::ToldIsDone, told(|told| told.reason = Some(Reason::Closed))),
        ("told another row", Check::ToldIsDone, told(|told| told.seq.0 += 1)),
        ("told of an order never placed", Check::ToldIsDone, told(|told| told.number = Number(50))),
        (
            "placed other content",
            Check::ToldIsDone,
            with_entry(4, 0, |entry| match entry {
                Entry::Placed(placed) if placed.number == Number(2) => {
                    placed.quantity.0 += 1;
                    true
                }
                _ => false,
            }),
        ),
        (
            "placed with an old stamp",
            Check::Clock,
            with_entry(4, 0, |entry| match entry {
                Entry::Placed(placed) if placed.number == Number(2) => {
                    placed.stamp.0 = 1;
                    true
                }
                _ => false,
            }),
        ),
        ("answers that the ledger lost", Check::Durable, lost),
        ("accepted, settled and nowhere", Check::ExactlyOnce, dropped),
    ];
    for (what, check, market) in cases {
        let found = failed(&market);
        assert!(found.contains(&check), "{what}: {found:?} instead of {check:?}");
    }
}

#[test]
fn an_accepted_order_may_wait_in_any_store() {
    let mut market = Market::lived();
    market.ledger.pop();
    for steps in market.journals.values_mut() {
        let last = |entry: &Entry| match entry {
            Entry::Answered { told, .. } => told[0].seq > Seq(flat_len(&Market::lived()) - 4),
            Entry::Settled { peer: PeerId(1), last, .. } => last.0 > 7,
            Entry::Settled { peer: PeerId(2), last, .. } => last.0 > 3,
            _ => false,
        };
        steps.retain(|step| !last(&step[0]));
    }
    assert_eq!(failed(&market), []);
}

fn flat_len(market: &Market) -> u64 {
    flat(market).len() as u64
}

/// Peer 4 gave its number 2 up, having placed so many pieces more than were settled under it.
fn given_up(more: u64) -> Market {
    let mut market = Market::lived();
    let steps = market.journals.get_mut(&PeerId(4)).unwrap();
    for entry in steps.iter_mut().flatten() {
        match entry {
            Entry::Placed(placed) if placed.number == Number(2) => placed.quantity.0 += more,
            Entry::Answered { told, .. } if told[0].number == Number(2) => {
                *entry = Entry::Forgotten { number: Number(2) };
            }
            _ => {}
        }
    }
    market
}

#[test]
fn a_number_that_its_store_gave_up_is_no_alarm() {
    assert_eq!(failed(&given_up(0)), []);
}

/// Whoever orders in a peer's name makes it give its own number up.
#[test]
fn other_content_under_a_number_that_was_given_up_is_an_alarm() {
    assert_eq!(failed(&given_up(1)), [Check::ToldIsDone]);
}

#[test]
fn a_number_that_was_given_up_without_an_outcome_anywhere_is_lost() {
    let mut market = Market::lived();
    let steps = market.journals.get_mut(&PeerId(4)).unwrap();
    let placed = steps.iter().flatten().rev().find_map(|entry| match entry {
        Entry::Placed(placed) => Some(*placed),
        _ => None,
    });
    let mut placed = placed.unwrap();
    (placed.number, placed.stamp.0) = (Number(placed.number.0 + 90), placed.stamp.0 + 1_000);
    steps.push(vec![Entry::Placed(placed), Entry::Forgotten { number: placed.number }]);
    assert!(failed(&market).contains(&Check::ExactlyOnce));
}
