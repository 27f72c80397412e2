use crate::codec::encode;
use crate::model::call::Answer;
use crate::model::message::{Message, PeerWord, ReplicaAnswer, ReplicaAsk};
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::model::peer::testing::*;
use crate::types::{Order, PeerId, Seq, Stamp, Term};

/// One half of a pair with trader 6, which has accepted these orders and copied them here.
fn half(offices: Roster, theirs: u64, copied: &[Order]) -> Bench {
    let mut bench = Bench::in_market(offices);
    bench.settle_up();
    bench.say("to-6", word(PeerWord::HeartbeatAnswer(1)));
    let answer = ReplicaAnswer { clock: Stamp(1), hello: Some(hello(6)), ..ReplicaAnswer::default() };
    bench.say("replicate", Message::ReplicaAnswer(answer.clone()));
    bench.say(
        "replicate",
        Message::ReplicaAnswer(ReplicaAnswer { hello: None, term: Term(theirs), ..answer }),
    );
    let first = ReplicaAsk { hello: Some(hello(6)), ..ReplicaAsk::default() };
    bench.greeted("from-6", Message::ReplicaAsk(first));
    if !copied.is_empty() {
        let (term, chunk, orders) = (Term(theirs), Seq(7), encode(&copied.to_vec()).unwrap());
        let copy = ReplicaAsk { clock: Stamp(1), term, chunk, orders, ..ReplicaAsk::default() };
        bench.say("from-6", Message::ReplicaAsk(copy));
    }
    bench.settle();
    bench.forget_what_happened();
    bench
}

fn primary(copied: &[Order]) -> Bench {
    half(paired(2, (ME, 3), (6, 4)), 4, copied)
}

fn secondary(copied: &[Order]) -> Bench {
    half(paired(2, (6, 4), (ME, 3)), 4, copied)
}

/// Nobody listens where it listened: the process is dead. What it had accepted is settled here, under this term.
#[test]
fn a_dead_partner_is_fenced_at_once_and_its_orders_are_settled_here() {
    let one = order(11, 1);
    let mut bench = primary(&[one]);
    assert_eq!(bench.refused("to-6"), ["call warehouse fence term 4 by 4"]);
    assert_eq!(bench.happened, ["suspected 6"]);
    bench.recorded();
    let lines = bench.granted("fence", offices(3, Some((ME, 3)), None));
    assert_eq!(
        lines,
        ["hang up replicate", "send settle settle term 3 batch 1 11-1"],
        "adopted, handed to itself, and on its way"
    );
    let accepted = |term| Entry::Accepted { term: Term(term), order: one };
    let adopted = Entry::Adopted { trader: PeerId(6), from: Term(4) };
    assert_eq!(bench.recorded(), [accepted(4), adopted, accepted(3)]);
    bench.forget_what_happened();
    bench.decided(1, &[one]);
    assert_eq!(bench.happened, ["took over from 6", "replayed 6: 1 settled, 0 twice, 0 lost"]);
    assert_eq!(bench.journal.accepted.len(), 0);
}

/// One office is given up by taking the other: the secondary settles first, and then under the primary's office.
#[test]
fn a_secondary_whose_primary_died_takes_its_place() {
    let one = order(10, 1);
    let mut bench = secondary(&[one]);
    bench.met(8, &[]);
    assert_eq!(bench.refused("to-6")[0], "call warehouse fence term 4 by 4");
    bench.forget_what_happened();
    let lines = bench.granted("fence", offices(3, None, Some((ME, 3))));
    assert!(lines.contains(&"send settle settle term 3 batch 1 10-1".to_owned()), "{lines:?}");
    bench.after(300);
    assert_eq!(bench.calls("claim primary for 4"), 1);
    assert!(!bench.happened.iter().any(|line| line.contains("taken over")), "not its office yet");
    let lines = bench.granted("claim", offices(4, Some((ME, 5)), None));
    assert_eq!(
        lines[..4],
        [
            "hang up settle",
            "hang up watch",
            "dial settle warehouse settle term 5 hello of 4",
            "dial watch warehouse watch"
        ]
    );
    assert!(lines.contains(&"send to-8 link took over from 6".to_owned()), "{lines:?}");
    let told: Vec<&String> = bench.happened.iter().filter(|line| line.starts_with("line")).collect();
    assert_eq!(
        told,
        [
            "line Dear buyers and sellers, my ID is 4 and I am the primary trader (term 5)",
            "line Dear buyers and sellers, my ID is 4 and I have taken over the duties of trader 6"
        ]
    );
    assert_eq!(bench.settle_up(), ["send settle settle term 5 batch 1 10-1"], "once more: it was on its way");
}

/// The stream may have been cut by anything: the process is asked whether it lives, and in which life.
#[test]
fn a_broken_link_is_a_reason_to_ask() {
    let mut bench = primary(&[]);
    assert_eq!(bench.broken("to-6"), ["call peer-6 probe"]);
    let lines = bench.came("probe", Ok(Answer::Alive(process(6))));
    assert_eq!(
        lines,
        ["dial to-6 peer-6 link hello of 4", "send to-6 link members 4 6", "send to-6 link heartbeat 2"],
        "it lives: a heartbeat decides"
    );
    bench.broken("to-6");
    let other = crate::types::ProcessId { starts: 2, ..process(6) };
    assert_eq!(
        bench.came("probe", Ok(Answer::Alive(other))),
        ["call warehouse fence term 4 by 4"],
        "in another life"
    );
}

#[test]
fn a_probe_that_is_refused_is_a_proof_and_one_without_answer_is_none() {
    let mut bench = primary(&[]);
    bench.broken("to-6");
    let lines = bench.came("probe", Err(no_answer()));
    assert_eq!(lines[0], "dial to-6 peer-6 link hello of 4");
    assert_eq!(lines.last().unwrap(), "send to-6 link heartbeat 2");
    bench.broken("to-6");
    assert_eq!(bench.came("probe", Err(nobody_there())), ["call warehouse fence term 4 by 4"]);
}

/// Hearsay is no proof.
#[test]
fn another_process_of_the_partner_in_the_news_is_asked() {
    let mut bench = primary(&[]);
    bench.met(8, &[]);
    let newer = crate::model::membership::Member {
        process: crate::types::ProcessId { starts: 2, ..process(6) },
        ..member(6)
    };
    let lines = bench.say("from-8", word(PeerWord::Members(vec![newer])));
    assert!(lines.contains(&"call peer-6 probe".to_owned()), "{lines:?}");
    assert_eq!(bench.calls("fence"), 0);
}

#[test]
fn a_fence_is_asked_for_once_at_a_time_and_again_after_a_no() {
    let mut bench = primary(&[]);
    bench.refused("to-6");
    bench.after(20_000);
    assert_eq!(bench.calls("fence"), 1);
    bench.came("fence", Err(no_answer()));
    bench.after(10_000);
    assert_eq!(bench.calls("fence"), 1, "its silence goes on");
}

/// Two traders that lose only their link would fence each other; an empty secondary would depose a healthy primary.
#[test]
fn only_a_paired_trader_fences_and_only_in_office() {
    let mut syncing = Bench::in_market(offices(2, Some((ME, 3)), Some((6, 4))));
    syncing.met(6, &[]);
    syncing.refused("to-6");
    assert_eq!(syncing.calls("fence"), 0);
    let mut bystander = Bench::in_market(paired(2, (8, 3), (6, 4)));
    bystander.met(6, &[]);
    bystander.refused("to-6");
    assert_eq!(bystander.calls("fence"), 0);
}

/// The warehouse may find a trader silent before its partner does.
#[test]
fn a_partner_whose_office_falls_vacant_is_replaced_without_a_fence() {
    let mut bench = secondary(&[]);
    let absent = |mut roster: Roster| {
        roster.primary.as_mut().unwrap().present = false;
        Roster { version: 1, ..roster }
    };
    bench.after(300);
    bench.hear(absent(paired(2, (6, 4), (ME, 3))));
    assert_eq!(bench.calls("claim primary for 4"), 1);
    bench.forget_what_happened();
    bench.granted("claim", offices(3, Some((ME, 5)), None));
    assert_eq!(bench.happened[0], "suspected 6");
    assert!(bench.happened.iter().any(|line| line.contains("taken over the duties of trader 6")));
}

#[test]
fn an_order_that_the_dead_trader_had_settled_is_counted_as_a_duplicate() {
    let (one, two) = (order(11, 1), order(11, 3));
    let mut bench = primary(&[one, two]);
    bench.refused("to-6");
    bench.granted("fence", offices(3, Some((ME, 3)), None));
    bench.forget_what_happened();
    let outcomes = vec![crate::model::row::Outcome { repeated: true, ..deposited(&one) }];
    let not_taken = vec![(two.id, crate::model::market::NotTaken::Busy)];
    let batch = crate::types::Batch(1);
    let answer = crate::model::message::SettleAnswer { batch, outcomes, not_taken, ..Default::default() };
    bench.say("settle", settled(answer));
    assert_eq!(bench.happened, ["took over from 6", "replayed 6: 1 settled, 1 twice, 1 lost"]);
}

/// Otherwise the failover is never over in its figures.
#[test]
fn what_was_adopted_and_has_another_home_is_not_waited_for() {
    let (one, two) = (order(10, 1), order(11, 1));
    let mut bench = primary(&[one, two]);
    bench.refused("to-6");
    bench.granted("fence", paired(3, (ME, 3), (9, 5)));
    bench.forget_what_happened();
    bench.decided(1, &[one]);
    assert_eq!(bench.happened, ["took over from 6"]);
    bench.came("hand over of 4 11-1", Ok(Answer::Taken(1)));
    assert_eq!(bench.happened, ["took over from 6", "replayed 6: 1 settled, 0 twice, 0 lost"]);
}

/// The trader falls silent, and both its partner and the warehouse find out.
#[test]
fn a_fence_and_a_claim_of_the_same_office_are_one_takeover() {
    let mut bench = secondary(&[]);
    let mut absent = Roster { version: 1, ..paired(2, (6, 4), (ME, 3)) };
    absent.primary.as_mut().unwrap().present = false;
    bench.after(300);
    bench.hear(absent);
    bench.refused("to-6");
    assert_eq!((bench.calls("claim primary for 4"), bench.calls("fence term 4 by 4")), (1, 1));
    bench.granted("fence", offices(3, None, Some((ME, 3))));
    bench.granted("claim", offices(4, Some((ME, 5)), None));
    assert_eq!(bench.happened.iter().filter(|line| *line == "suspected 6").count(), 1);
}

/// Otherwise it is told with the next office, of a time at which nothing of the kind happened.
#[test]
fn a_takeover_ends_with_the_office_of_the_trader_that_began_it() {
    let mut bench = secondary(&[]);
    bench.met(8, &[]);
    bench.refused("to-6");
    bench.granted("fence", offices(3, None, Some((ME, 3))));
    bench.hear(offices(4, None, None));
    bench.forget_what_happened();
    let lines = bench.hear(offices(5, Some((ME, 5)), None));
    assert!(!lines.iter().any(|line| line.contains("took over")), "{lines:?}");
    bench.settle_up();
    let lines = bench.greeted("trade", trade(Some(hello(8)), &[order(8, 1)]));
    assert_eq!(lines.last().unwrap(), "send settle settle term 5 batch 1 8-1");
    bench.decided(1, &[order(8, 1)]);
    assert!(!bench.happened.iter().any(|line| line.contains("took over")), "{:?}", bench.happened);
}

/// Who takes the dead trader's office tells of it.
#[test]
fn a_takeover_is_announced_by_who_has_the_office() {
    let mut bench = secondary(&[]);
    bench.met(8, &[]);
    bench.refused("to-6");
    bench.granted("fence", offices(3, None, Some((ME, 3))));
    bench.hear(offices(4, Some((9, 5)), Some((ME, 3))));
    bench.hear(offices(5, None, Some((ME, 3))));
    let lines = bench.hear(offices(6, Some((ME, 6)), None));
    assert!(!lines.iter().any(|line| line.contains("took over")), "{lines:?}");
}
