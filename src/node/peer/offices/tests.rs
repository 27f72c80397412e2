use super::super::testing::bench;
use super::*;

/// Otherwise a node that is stopped does not wait for the warehouse to take its office back, since an earlier try failed.
#[test]
fn an_office_that_could_not_be_given_up_once_is_given_up_when_the_node_stops() {
    let mut bench = bench();
    let roster = bench.roster();
    bench.node.adopt_roster(roster);
    let term = bench.node.term().unwrap();
    bench.node.leave_office(PeerId(0));
    bench.step(0);
    bench.node.resigned(term, Err(CallError::Unknown("no answer".into())));
    assert!(!bench.node.office.is_leaving());
    bench.node.begin_stop();
    assert!(!bench.node.may_end(), "the warehouse has not answered");
    bench.node.resigned(term, Err(CallError::Unknown("no answer".into())));
    assert!(bench.node.may_end(), "it does not answer");
}
