//! What a restore lost, and what its exemption must not hide.

use super::*;

/// Row of the restore in [`Market::restored`].
fn restored_row(market: &Market) -> Seq {
    let (step, _) = find(market, 0, |record| record.kind() == "restored");
    Seq(market.ledger[..step].iter().map(Vec::len).sum::<usize>() as u64 + 1)
}

#[test]
fn what_a_restore_lost_is_counted_apart() {
    let market = Market::restored();
    let row = restored_row(&market);
    let found = audit(&mut market.sources(), 5).unwrap();
    for check in Check::ALL {
        let tally = found.of(check);
        assert_eq!(tally.failed, 0, "{}: {:?}", check.id(), tally.examples);
    }
    let lost = |check| found.of(check).lost.get(&row).copied();
    assert_eq!(
        lost(Check::ToldIsDone),
        Some(2),
        "one that is nowhere, one that was voided when it was asked again"
    );
    assert_eq!(
        lost(Check::Durable),
        Some(1 + 6),
        "that one, and what the six journals saw of the lost ledger"
    );
    assert_eq!(lost(Check::ExactlyOnce), Some(1), "accepted, decided in the lost part, and nowhere now");
}

/// Alters the `nth` record of a kind, counted from the last.
fn restored_with(kind: &'static str, nth: usize, alter: impl Fn(&mut Record)) -> Market {
    let mut market = Market::restored();
    let of_kind = flat(&market).iter().filter(|record| record.kind() == kind).count();
    let (step, row) = find(&market, of_kind - 1 - nth, |record| record.kind() == kind);
    alter(&mut market.ledger[step][row]);
    market
}

fn restored_entry(peer: u32, alter: impl Fn(&mut Entry) -> bool) -> Market {
    let mut market = Market::restored();
    let entries = market.journals.get_mut(&PeerId(peer)).unwrap().iter_mut().flatten();
    assert!(entries.filter_map(|entry| alter(entry).then_some(())).next().is_some());
    market
}

#[test]
fn the_exemption_of_a_restore_hides_nothing_else() {
    let row = restored_row(&Market::restored());
    let mut newer = Market::restored();
    newer.ledger.pop();
    let told = |alter: fn(&mut crate::model::peer::entry::Told), lost: bool| {
        restored_entry(4, move |entry| match entry {
            Entry::Answered { told, .. }
                if (told[0].seq >= row && told[0].number.epoch() == Epoch(0)) == lost =>
            {
                alter(&mut told[0]);
                true
            }
            _ => false,
        })
    };
    let mut unknown = Market::restored();
    let (step, _) = find(&unknown, 0, |record| record.kind() == "restored");
    unknown.ledger[step] = vec![];
    unknown.ledger.retain(|rows| !rows.is_empty());
    let cases: Vec<Case> = vec![
        ("an answer of the new epoch is missing", Check::ToldIsDone, newer.clone()),
        ("a mark of the new generation is missing", Check::Durable, newer),
        ("a kept answer differs", Check::ToldIsDone, told(|told| told.filled.0 += 1, false)),
        ("a missing answer of a kept row", Check::ToldIsDone, told(|told| told.seq = Seq(10), true)),
        (
            "a kept row was seen otherwise",
            Check::Durable,
            restored_entry(4, move |entry| match entry {
                Entry::LedgerSeen { generation: Generation { count: 0, .. }, seq, .. } if *seq > row => {
                    seq.0 = row.0 - 1;
                    true
                }
                _ => false,
            }),
        ),
        ("the restore has no row", Check::ExactlyOnce, unknown),
    ];
    for (what, check, market) in cases.into_iter().chain(altered_rows()) {
        let found = failed(&market);
        assert!(found.contains(&check), "{what}: {found:?} instead of {check:?}");
    }
}

/// Rows of the ledger since the restore that are not as they were.
fn altered_rows() -> Vec<Case> {
    vec![
        (
            "a generation that is none",
            Check::Fencing,
            restored_with("restored", 0, |record| {
                if let Record::Restored { generation, .. } = record {
                    *generation = Generation::default()
                }
            }),
        ),
        (
            "a term of the lost part granted again",
            Check::Fencing,
            restored_with("office", 1, |record| {
                if let Record::Office { term, .. } = record {
                    *term = Term(5)
                }
            }),
        ),
        (
            "a write under a term from before the restore",
            Check::Fencing,
            restored_with("sale", 0, |record| {
                (decision(record).trader, decision(record).term) = (PeerId(5), Term(3))
            }),
        ),
        (
            "an epoch that the lost part may have used",
            Check::ExactlyOnce,
            restored_with("session", 5, |record| {
                if let Record::Session { epoch, .. } = record {
                    *epoch = Epoch(1)
                }
            }),
        ),
        (
            "a sale to an order of a lost epoch",
            Check::ExactlyOnce,
            restored_with("sale", 0, |record| decision(record).order.id.number = Number(40)),
        ),
    ]
}
