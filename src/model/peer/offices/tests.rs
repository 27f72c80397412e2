use crate::limits::{DRAIN_MAX, MEMBERSHIP_QUIET_MS, PREEMPT_QUIET_MS, STANDING_WAIT_MAX_MS};
use crate::model::call::{Answer, Ask};
use crate::model::message::PeerWord;
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::model::peer::testing::*;
use crate::model::step::{Input, Machine as _};
use crate::types::{Office, PeerId, Stamp, Term};

const PRIMARY: Office = Office::Primary;

/// A peer of a market without traders, long enough after its start to stand.
fn vacant(knows: &[u32]) -> Bench {
    let mut bench = Bench::in_market(Roster::default());
    if let [first, others @ ..] = knows {
        bench.met(*first, others);
    }
    bench
}

/// The only trader with one order of peer 10 on its way.
fn busy() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.settle_up();
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.met(6, &[]);
    bench.forget_what_happened();
    bench
}

fn calls(lines: &[String]) -> Vec<&str> {
    lines.iter().filter_map(|line| line.strip_prefix("call warehouse ")).collect()
}

fn words(lines: &[String]) -> Vec<&str> {
    let known = ["election", "ok", "coordinator", "preempt", "took over"];
    let is_word = |line: &&str| known.iter().any(|word| line.contains(&format!("link {word}")));
    lines.iter().map(String::as_str).filter(is_word).collect()
}

#[test]
fn in_a_fresh_market_nobody_stands_before_its_membership_is_quiet() {
    let mut bench = vacant(&[2]);
    assert_eq!(calls(&bench.after(MEMBERSHIP_QUIET_MS - 1)), [""; 0]);
    assert_eq!(calls(&bench.after(1)), ["claim primary for 4"], "the highest id asks nobody");
}

#[test]
fn higher_ids_are_asked_and_not_waited_for_when_they_are_dead() {
    let mut bench = vacant(&[2, 6, 8]);
    let lines = bench.after(MEMBERSHIP_QUIET_MS);
    assert_eq!(words(&lines), ["send to-6 link election primary", "send to-8 link election primary"]);
    assert_eq!(calls(&bench.refused("to-6")), [""; 0]);
    assert_eq!(calls(&bench.refused("to-8")), ["claim primary for 4"]);
}

#[test]
fn higher_ids_that_do_not_answer_are_waited_for_200_ms() {
    let mut bench = vacant(&[6]);
    bench.after(MEMBERSHIP_QUIET_MS);
    assert_eq!(calls(&bench.after(199)), [""; 0]);
    assert_eq!(calls(&bench.after(1)), ["claim primary for 4"]);
}

#[test]
fn a_higher_id_that_takes_it_from_here_has_its_time() {
    let mut bench = vacant(&[6]);
    bench.after(MEMBERSHIP_QUIET_MS);
    bench.say("from-6", word(PeerWord::Ok(PRIMARY)));
    assert_eq!(words(&bench.after(999)), [""; 0]);
    assert_eq!(words(&bench.after(1)), ["send to-6 link election primary"], "it has not");
}

#[test]
fn a_lower_id_that_asks_is_answered_and_passed() {
    let mut bench = vacant(&[2]);
    let lines = bench.say("from-2", word(PeerWord::Election(PRIMARY)));
    assert_eq!(calls(&lines), ["claim primary for 4"]);
    assert_eq!(words(&lines), ["send to-2 link ok primary"]);
    assert_eq!(words(&bench.say("from-2", word(PeerWord::Election(PRIMARY)))), ["send to-2 link ok primary"]);
    assert_eq!(bench.calls("claim"), 1, "one claim at a time");
}

#[test]
fn a_granted_claim_begins_the_term_and_is_told_to_all() {
    let mut bench = vacant(&[2]);
    bench.after(MEMBERSHIP_QUIET_MS);
    let lines = bench.granted("claim", offices(2, Some((ME, 3)), None));
    assert_eq!(
        lines,
        [
            "dial settle warehouse settle term 3 hello of 4",
            "dial watch warehouse watch",
            "dial home peer-4 trade hello of 4",
            "send to-2 link coordinator primary",
        ]
    );
    assert!(bench.recorded().contains(&Entry::Granted { office: PRIMARY, term: Term(3) }));
}

#[test]
fn a_refused_claim_is_made_again_with_back_off_while_the_office_is_vacant() {
    let mut bench = vacant(&[2]);
    bench.after(MEMBERSHIP_QUIET_MS);
    for wait_ms in [10, 20] {
        bench.came("claim", Err(no_answer()));
        assert_eq!(calls(&bench.after(wait_ms - 1)), [""; 0]);
        assert_eq!(calls(&bench.after(1)), ["claim primary for 4"]);
    }
    bench.granted("claim", offices(2, Some((2, 3)), Some((3, 4))));
    assert_eq!(calls(&bench.after(4_000)), [""; 0], "another one has it");
}

#[test]
fn a_peer_without_control_stream_does_not_stand() {
    let mut bench = vacant(&[2]);
    bench.broken("control");
    assert_eq!(
        calls(&bench.after(MEMBERSHIP_QUIET_MS)),
        ["open 4 generation 0"],
        "nobody would notice its death"
    );
}

#[test]
fn a_peer_that_is_passed_over_or_going_does_not_stand() {
    let mut passed_over =
        Bench::in_market(Roster { passed_over: vec![PeerId(ME)], ..offices(2, None, None) });
    assert_eq!(calls(&passed_over.after(3_000)), [""; 0]);
    let mut leaving = Bench::in_market(offices(2, Some((6, 1)), Some((8, 2))));
    leaving.ask(1, Ask::Leave);
    leaving.announced();
    assert!(leaving.peer.has_ended());
}

/// The higher id has to be sure that those who come and go are through with it.
#[test]
fn the_highest_id_asks_for_the_primary_office_after_quiet() {
    let mut bench =
        Bench::with(|parts| parts.no_preempt = false).enter(offices(2, Some((2, 3)), Some((3, 4))));
    bench.met(2, &[3]);
    assert_eq!(words(&bench.after(PREEMPT_QUIET_MS - 1)), [""; 0]);
    assert_eq!(words(&bench.after(1)), ["send to-2 link preempt"]);
    assert_eq!(words(&bench.after(PREEMPT_QUIET_MS - 1)), [""; 0]);
    assert_eq!(words(&bench.after(1)), ["send to-2 link preempt"], "it may not have heard");
    bench.met(6, &[]);
    assert_eq!(words(&bench.after(3 * PREEMPT_QUIET_MS)), [""; 0], "there is a higher one");
}

#[test]
fn a_peer_that_does_not_preempt_never_asks() {
    let mut bench = Bench::in_market(offices(2, Some((2, 3)), Some((3, 4))));
    bench.met(2, &[3]);
    assert_eq!(words(&bench.after(4 * PREEMPT_QUIET_MS)), [""; 0]);
}

/// Otherwise what was accepted waits for a hand-over, and its peers with it.
#[test]
fn a_preempted_primary_takes_nothing_more_and_goes_when_its_desk_is_empty() {
    let mut bench = busy();
    assert_eq!(bench.say("from-6", word(PeerWord::Preempt)), [""; 0]);
    let lines = bench.say("from-10", trade(None, &[order(10, 2)]));
    assert_eq!(lines, ["send from-10 trade 10-2 not taken (Busy) roster 0.2.0 4(3) -"]);
    let lines = bench.decided(1, &[order(10, 1)]);
    assert_eq!(lines, ["send from-10 trade 10-1 deposited", "call warehouse resign term 3 to 6"]);
    assert_eq!(calls(&bench.after(4_000)), [""; 0], "once");
    let lines = bench.granted("resign", offices(4, Some((6, 5)), None));
    assert!(lines.contains(&"dial home peer-6 trade hello of 4".to_owned()), "{lines:?}");
    assert_eq!(bench.recorded().last(), Some(&Entry::Ended { term: Term(3) }));
}

#[test]
fn a_desk_that_does_not_empty_is_given_up_in_its_time() {
    let mut bench = busy();
    bench.say("from-6", word(PeerWord::Preempt));
    let drain_ms = DRAIN_MAX.as_millis() as u64;
    assert_eq!(calls(&bench.after(drain_ms - 1)), [""; 0]);
    assert_eq!(calls(&bench.after(1)), ["resign term 3 to 6"]);
}

#[test]
fn only_a_higher_peer_preempts_and_only_the_primary() {
    let mut bench = busy();
    bench.met(2, &[]);
    bench.say("from-2", word(PeerWord::Preempt));
    bench.decided(1, &[order(10, 1)]);
    assert_eq!(bench.calls("resign"), 0, "a lower id");
    let mut secondary = Bench::in_market(paired(2, (2, 3), (ME, 4)));
    secondary.met(6, &[]);
    secondary.say("from-6", word(PeerWord::Preempt));
    assert_eq!(secondary.calls("resign"), 0, "it is the primary's affair");
}

#[test]
fn a_trader_that_resigns_by_hand_says_so_when_the_term_has_ended() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    let lines = bench.ask(1, Ask::ResignByHand(PeerId(6)));
    assert_eq!(lines, ["call warehouse resign term 3 to 6 (passed over)"]);
    assert_eq!(bench.ask(2, Ask::ResignByHand(PeerId(0))), [""; 0], "under way");
    let lines = bench.granted("resign", offices(3, Some((6, 5)), None));
    let replies: Vec<&String> = lines.iter().filter(|line| line.starts_with("reply")).collect();
    assert_eq!(
        replies,
        ["reply r1 resigned primary term 3 (this turn)", "reply r2 resigned primary term 3 (this turn)"]
    );
    assert_eq!(bench.ask(3, Ask::ResignByHand(PeerId(0))), ["reply r3 not in office (before)"]);
}

#[test]
fn an_office_that_cannot_be_given_up_is_kept_and_said_so() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.settle_up();
    bench.ask(1, Ask::ResignByHand(PeerId(0)));
    let lines = bench.came("resign", Err(no_answer()));
    assert_eq!(lines, ["reply r1 refused: the warehouse did not take the office back: no answer (before)"]);
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    assert_eq!(
        bench.say("from-10", trade(None, &[order(10, 1)])),
        ["send settle settle term 3 batch 1 10-1"]
    );
}

/// Otherwise a node that is stopped does not wait for the warehouse to take its office back, since an earlier try failed.
#[test]
fn an_office_that_could_not_be_given_up_once_is_given_up_when_the_node_stops() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.ask(1, Ask::ResignByHand(PeerId(0)));
    bench.came("resign", Err(no_answer()));
    assert_eq!(calls(&bench.turn([Input::Stop])), ["resign term 3 to 0"]);
    bench.settle();
    assert!(!bench.peer.has_ended(), "the warehouse has not answered");
    bench.came("resign", Err(no_answer()));
    assert!(bench.peer.has_ended(), "it does not answer");
}

/// Otherwise nobody who asked is answered, and a stopping process goes on for ever.
#[test]
fn a_yes_after_which_the_office_is_held_as_before_is_a_no() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    for (reply, offices) in [(1, offices(1, None, None)), (2, offices(3, Some((ME, 3)), Some((6, 4))))] {
        bench.ask(reply, Ask::ResignByHand(PeerId(0)));
        let lines = bench.granted("resign", offices);
        assert!(lines[0].starts_with(&format!("reply r{reply} refused")), "{lines:?}");
    }
    bench.turn([Input::Stop]);
    bench.granted("resign", offices(1, None, None));
    assert!(bench.peer.has_ended());
}

#[test]
fn a_wish_to_resign_that_comes_too_late_is_answered() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), Some((6, 4))));
    bench.met(6, &[]);
    bench.ask(1, Ask::Leave);
    bench.came("resign", Err(no_answer()));
    assert!(!bench.peer.has_ended(), "it says farewell");
    bench.ask(2, Ask::ResignByHand(PeerId(0)));
    bench.announced();
    let lines = bench.refused("to-6");
    assert_eq!(lines[..1], ["reply r2 refused: the peer is stopping (before)"]);
    assert!(bench.peer.has_ended());
}

/// Otherwise it waits for ever: the second term was never given up.
#[test]
fn a_late_no_to_an_ended_term_does_not_keep_the_next_one() {
    let mut bench = Bench::in_market(paired(2, (6, 3), (ME, 4)));
    bench.turn([Input::Stop]);
    // A claim that was under way is granted, and the answer about the first term is lost.
    bench.hear(offices(3, Some((ME, 5)), None));
    let late = bench.call("resign term 4");
    bench.turn([Input::Came(late, Err(no_answer()))]);
    assert!(!bench.peer.has_ended());
    let roster = Box::new(offices(4, None, None));
    bench.came("resign term 5", Ok(Answer::Roster(Stamp(1), roster)));
    assert!(bench.peer.has_ended());
}

/// What the higher id has answered waits unread: it is not silent because this process was.
#[test]
fn a_process_that_was_stopped_gives_the_higher_ids_their_time_again() {
    let mut bench = vacant(&[6]);
    bench.after(MEMBERSHIP_QUIET_MS);
    bench.stopped_for(60_000);
    assert_eq!(calls(&bench.settle()), [""; 0]);
    assert_eq!(calls(&bench.after(199)), [""; 0]);
    assert_eq!(calls(&bench.after(1)), ["claim primary for 4"]);
}

/// Otherwise it asks, and claims, for an office that it may not hold.
#[test]
fn a_round_of_a_peer_that_may_not_stand_any_more_is_over() {
    let mut waits = vacant(&[6]);
    waits.after(MEMBERSHIP_QUIET_MS);
    waits.say("from-6", word(PeerWord::Ok(PRIMARY)));
    waits.broken("control");
    assert_eq!(words(&waits.after(3_000)), [""; 0], "it had been promised");
    let mut asks = vacant(&[6]);
    asks.after(MEMBERSHIP_QUIET_MS);
    asks.broken("control");
    assert_eq!(asks.after(3_000).iter().filter(|line| line.contains("claim")).count(), 0);
    let mut unreachable = vacant(&[6]);
    unreachable.after(MEMBERSHIP_QUIET_MS);
    unreachable.broken("control");
    assert_eq!(calls(&unreachable.refused("to-6")), [""; 0], "the last one that it had asked is dead");
    // It stands again when it may.
    unreachable.after(10);
    unreachable.came("open", Ok(opened(0, Roster::default())));
    let up = crate::model::message::ControlDown { hello: Some(hello(0)), ..Default::default() };
    assert_eq!(calls(&unreachable.say("control", down(up))), [""; 0]);
    assert_eq!(unreachable.after(1_000).iter().filter(|line| line.contains("claim")).count(), 1);
}

/// While a secondary lives, the primary's office is its to fill.
#[test]
fn a_round_ends_when_a_secondary_is_there() {
    let mut bench = vacant(&[6]);
    bench.after(MEMBERSHIP_QUIET_MS);
    bench.hear(offices(2, None, Some((6, 1))));
    assert_eq!(calls(&bench.after(3_000)), [""; 0]);
}

/// A term lives in one process. Otherwise this one says that it is in office before it has heard of anybody.
#[test]
fn the_term_of_an_earlier_process_is_over_at_the_start() {
    let state = busy().journal;
    assert!(state.grant.is_some());
    let mut bench = Bench::with(|parts| {
        parts.state = state;
        parts.me.process.starts = 2;
    });
    assert_eq!(bench.idle(), ["call warehouse open 4 generation 0"]);
    assert_eq!(bench.recorded(), [Entry::Ended { term: Term(3) }]);
    assert_eq!(bench.ask(1, Ask::ResignByHand(PeerId(0))), ["reply r1 not in office (before)"]);
    assert_eq!(bench.journal.accepted.len(), 1, "what it took under it goes to its home");
}

#[test]
fn the_primary_is_not_asked_to_be_the_secondary_too() {
    let mut bench = Bench::in_market(offices(2, Some((6, 3)), None));
    bench.met(6, &[8]);
    assert_eq!(words(&bench.after(MEMBERSHIP_QUIET_MS)), ["send to-8 link election secondary"]);
}

/// In a fresh market everybody is about to come. Later nobody waits for ever because others come and go.
#[test]
fn a_restless_membership_holds_up_the_first_election_only() {
    for (offices, stands) in [(Roster::default(), false), (offices(2, None, None), true)] {
        let mut bench = Bench::in_market(offices);
        for peer in 5..12 {
            bench.met(peer, &[]);
            bench.after(MEMBERSHIP_QUIET_MS - 50);
        }
        assert_eq!(bench.peer.rooms.offices.rounds() > 0, stands);
    }
}

/// Otherwise a trader whose claim was refused claims again without a pause, whenever anything is news.
#[test]
fn a_held_office_ends_no_round_of_the_other_one() {
    let mut bench = Bench::in_market(offices(2, Some((6, 3)), Some((ME, 4))));
    let mut absent = offices(3, Some((6, 3)), Some((ME, 4)));
    absent.primary.as_mut().unwrap().present = false;
    bench.hear(absent);
    bench.after(STANDING_WAIT_MAX_MS);
    assert_eq!(bench.calls("claim primary"), 1);
    bench.came("claim", Err(no_answer()));
    bench.met(8, &[]);
    bench.met(9, &[]);
    assert_eq!(bench.calls("claim"), 0);
    assert_eq!(calls(&bench.after(10)), ["claim primary for 4"]);
}

/// A new vacancy, a new round: the pause was that of the earlier one.
#[test]
fn the_pause_of_a_refused_claim_is_over_when_the_office_is_filled() {
    let mut bench = vacant(&[2]);
    bench.after(MEMBERSHIP_QUIET_MS);
    bench.came("claim", Err(no_answer()));
    bench.hear(offices(2, Some((2, 3)), Some((3, 4))));
    assert_eq!(calls(&bench.hear(offices(4, None, None))), ["claim primary for 4"]);
}
