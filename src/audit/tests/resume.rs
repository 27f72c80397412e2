//! An audit that goes on from where an earlier one ended finds what one of all rows finds.

use super::*;

/// The market when its ledger had so many steps; of each journal what was written by then, less the last `behind` steps.
fn earlier(market: &Market, steps: usize, behind: usize) -> Market {
    let mut then = market.clone();
    then.ledger.truncate(steps);
    let rows = flat(&then);
    let last = Seq(rows.len() as u64);
    let decided = |peer: PeerId, number: Number| {
        let mut decisions = rows.iter().filter_map(Record::decision);
        decisions.any(|decision| decision.order.id == OrderId { peer, number })
    };
    for journal in then.journals.values_mut() {
        let heard = |entry: &Entry| match entry {
            Entry::Answered { told, .. } => told.iter().any(|told| told.seq > last),
            Entry::LedgerSeen { seq, .. } => *seq > last,
            Entry::Settled { peer, first, .. } => !decided(*peer, *first),
            _ => false,
        };
        let written = journal.iter().position(|step| step.iter().any(heard)).unwrap_or(journal.len());
        journal.truncate(written.saturating_sub(behind));
    }
    then
}

/// What the market of then left, as bytes; none if it was not sound in itself, as one half-way need not be.
fn verified(then: &Market) -> Option<Vec<u8>> {
    let found = audit_from(None, true, &mut then.stores(), 5).unwrap();
    found.verified().map(|verified| verified.encode().unwrap())
}

fn go_on(bytes: &[u8], market: &Market) -> Audit {
    let (verified, mut sources) = (Verified::decode(bytes).unwrap(), market.stores());
    assert_eq!(verified.fits(&mut sources).unwrap(), Ok(()));
    audit_from(Some(verified), true, &mut sources, 5).unwrap()
}

#[test]
fn an_audit_goes_on_from_any_row() {
    for (market, least) in [(Market::lived(), 30), (Market::restored(), 40)] {
        let mut sound = 0;
        for steps in 1..=market.ledger.len() {
            for behind in 0..4 {
                let Some(bytes) = verified(&earlier(&market, steps, behind)) else { continue };
                sound += 1;
                let found = go_on(&bytes, &market);
                assert_eq!(found.failures(), [], "after {steps} steps, journals {behind} behind");
                assert!(found.of(Check::ToldIsDone).checked > 0 && found.verified().is_some());
            }
        }
        assert!(sound >= least, "only {sound} of them were sound in themselves");
    }
}

#[test]
fn what_a_restore_lost_is_counted_once() {
    let market = Market::restored();
    let whole = audit(&mut market.stores(), 5).unwrap();
    let bytes = verified(&market).unwrap();
    let again = go_on(&bytes, &market);
    for check in Check::ALL {
        assert_eq!(again.of(check).lost, whole.of(check).lost, "{}", check.id());
    }
}

/// Each is found by an audit of all rows, and so it must be by one of the rows since.
#[test]
fn what_is_wrong_since_is_found() {
    let market = Market::lived();
    let then = earlier(&market, market.ledger.len() - 2, 0);
    let bytes = verified(&then).unwrap();
    let last_sale = |alter: fn(&mut Record)| {
        let mut market = market.clone();
        let step = market.ledger.last_mut().unwrap();
        alter(step.iter_mut().rfind(|record| record.kind() == "sale").unwrap());
        market
    };
    let mut told = market.clone();
    let answers = told.journals.get_mut(&PeerId(1)).unwrap().iter_mut().flatten();
    let last =
        answers.filter_map(|entry| if let Entry::Answered { told, .. } = entry { Some(told) } else { None });
    last.last().unwrap()[0].amount.0 += 1;
    let mut gone = market.clone();
    gone.ledger.pop();
    let mut twice = market.clone();
    let decides = |step: &&Vec<Record>| step[0].decision().is_some();
    let again = twice.ledger.iter().find(decides).unwrap().clone();
    twice.ledger.push(again);
    let cases: Vec<Case> = vec![
        ("a term that is not held", Check::Fencing, last_sale(|sale| decision(sale).term.0 += 9)),
        ("stock that is not there", Check::Goods, last_sale(|sale| decision(sale).stock_after.0 += 1)),
        ("told another amount", Check::ToldIsDone, told),
        ("answers that the ledger lost", Check::Durable, gone),
        ("decided before, and once more", Check::ExactlyOnce, twice),
    ];
    for (what, check, market) in cases {
        let found = go_on(&bytes, &market);
        assert!(found.failed().contains(&check), "{what}: {:?}", found.failures());
        assert!(found.verified().is_none(), "{what}: nobody goes on from here");
    }
}

#[test]
fn logs_that_are_not_those_do_not_fit() {
    let market = Market::lived();
    let bytes = verified(&market).unwrap();
    let fits = |mut sources: Vec<Source>| Verified::decode(&bytes).unwrap().fits(&mut sources).unwrap();
    assert_eq!(fits(market.stores()), Ok(()));
    let fewer = market.stores().into_iter().skip(2).collect();
    assert!(fits(fewer).unwrap_err().contains("other stores"));
    let mut other = market.clone();
    other.ledger[3].pop();
    other.ledger.retain(|step| !step.is_empty());
    assert!(fits(other.stores()).unwrap_err().contains("does not go on from row"));
    let mut shorter = market.clone();
    shorter.journals.get_mut(&PeerId(4)).unwrap().pop();
    assert!(fits(shorter.stores()).unwrap_err().contains("peer-4"));
}

#[test]
fn bytes_that_are_not_as_they_were_written_are_not_believed() {
    let bytes = verified(&Market::lived()).unwrap();
    assert!(Verified::decode(&bytes).is_ok());
    for at in (0..bytes.len()).step_by(7) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let expected = match at {
            0..7 => VerifiedError::Foreign,
            7 => VerifiedError::OtherVersion,
            _ => VerifiedError::Damaged,
        };
        assert_eq!(Verified::decode(&flipped).err(), Some(expected), "byte {at}");
        assert!(Verified::decode(&bytes[..at]).is_err());
    }
}
