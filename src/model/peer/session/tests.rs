use crate::model::call::{Answer, CallError, Cause, OpenAnswer};
use crate::model::evidence::{Licence, Seen, Signer};
use crate::model::hello::Hello;
use crate::model::message::{ControlDown, TradeAnswer};
use crate::model::offices::Roster;
use crate::model::peer::entry::Entry;
use crate::model::peer::testing::*;
use crate::model::step::Input;
use crate::model::warehouse::Opened;
use crate::types::{Epoch, Generation, Hash, Number, PeerId, SecretKey, Seq, Signature, Stamp, Term, Token};

fn open_answer(epoch: u64, highest: u32, generation: u64) -> Answer {
    let generation = Generation::of_test(generation);
    let opened = Opened {
        peer: PeerId(ME),
        epoch: Epoch(epoch),
        floor: Number::new(Epoch(epoch), 1),
        highest: Number::new(Epoch(epoch), highest),
        new: false,
    };
    let roster = Roster { generation, ..offices(2, Some((6, 1)), None) };
    Answer::Opened(Box::new(OpenAnswer { seen: None, opened, clock: Stamp(70), roster, generation }))
}

fn seen(generation: u64, seq: u64, hash: Hash) -> Entry {
    Entry::LedgerSeen { generation: Generation::of_test(generation), seq: Seq(seq), hash, proof: None }
}

fn refused(cause: Cause) -> CallError {
    CallError::Refused { cause, text: "no".into() }
}

fn heartbeat(number: u64) -> crate::model::message::Message {
    down(ControlDown { heartbeat: number, ..ControlDown::default() })
}

#[test]
fn the_session_comes_first_then_what_rests_on_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.idle(), ["call warehouse open 4 generation 0"]);
    let lines = bench.came("open", Ok(open_answer(0, 0, 0)));
    assert_eq!(
        lines,
        ["dial control warehouse control hello of 4", "dial home peer-6 trade hello of 4"],
        "the roster says who the home is"
    );
    assert_eq!(bench.recorded(), [Entry::Opened { peer: PeerId(ME), epoch: Epoch(0) }]);
    assert!(bench.clock() > crate::types::Stamp(70), "the first clock of a process has no bound");
}

#[test]
fn the_session_is_asked_for_again_after_ever_longer_waits() {
    let mut bench = Bench::new();
    bench.idle();
    for wait_ms in [10, 20, 40] {
        assert_eq!(bench.came("open", Err(no_answer())), [""; 0]);
        assert_eq!(bench.after(wait_ms - 1), [""; 0]);
        assert_eq!(bench.after(1), ["call warehouse open 4 generation 0"]);
    }
}

/// Another ledger may be in the warehouse's place by then.
#[test]
fn a_broken_control_stream_opens_the_session_anew() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), None));
    assert_eq!(bench.broken("control"), [""; 0]);
    assert_eq!(bench.after(10), ["call warehouse open 4 generation 0"]);
    let lines = bench.came("open", Ok(open_answer(0, 0, 0)));
    assert_eq!(lines, ["dial control warehouse control hello of 4"], "the line home stays");
    assert_eq!(bench.recorded(), [], "the same session is no news");
}

/// Without it a stuck disk goes on answering, and nobody takes its office over.
#[test]
fn a_heartbeat_is_answered_when_what_was_recorded_is_durable() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), None));
    assert_eq!(bench.say("control", heartbeat(7)), ["send control control answer 7 (before)"]);
    let sessions = vec![crate::model::call::SessionInfo { epoch: Epoch(1), ..session(9) }];
    let news = down(ControlDown { sessions, heartbeat: 8, ..ControlDown::default() });
    assert_eq!(bench.say("control", news), ["send control control answer 8 (this turn)"]);
}

#[test]
fn what_was_seen_of_the_ledger_is_journaled_with_a_heartbeat_and_shown() {
    let mut bench = Bench::new();
    bench.idle();
    bench.came("open", Ok(open_answer(0, 0, 0)));
    let mut theirs = hello(0);
    theirs.ledger = (Seq(30), Hash::of(&[3]));
    bench.say("control", down(ControlDown { hello: Some(theirs), ..ControlDown::default() }));
    bench.recorded();
    bench.say("control", heartbeat(1));
    assert_eq!(bench.recorded(), [seen(0, 30, Hash::of(&[3]))]);
    // A warehouse that ends before it is an older copy: nothing is heard of it.
    bench.broken("control");
    bench.after(10);
    bench.came("open", Ok(open_answer(0, 0, 0)));
    let roster = Some(Box::new(offices(9, Some((4, 9)), None)));
    let older = down(ControlDown { hello: Some(hello(0)), roster, ..ControlDown::default() });
    assert_eq!(bench.say("control", older), ["hang up control"]);
    assert_eq!(bench.peer.roster().seq, Seq(2));
    assert_eq!(bench.after(20), ["call warehouse open 4 generation 0"], "and it is asked again");
}

/// With its numbers a second store of this peer would name two orders alike.
#[test]
fn an_old_copy_of_a_store_takes_a_new_token() {
    let mut bench = Bench::new();
    bench.idle();
    assert_eq!(bench.came("open", Ok(open_answer(0, 17, 0))), ["renew token"]);
    assert_eq!(bench.after(5_000), [""; 0], "nothing before the token is on disk");
    let fresh = Token([99; 32]);
    assert_eq!(bench.turn([Input::Token(fresh)]), ["call warehouse open 4 generation 0"]);
    let lines = bench.came("open", Ok(open_answer(1, 0, 0)));
    assert!(lines.contains(&"dial control warehouse control hello of 4".to_owned()), "{lines:?}");
    assert_eq!(bench.recorded(), [Entry::Opened { peer: PeerId(ME), epoch: Epoch(1) }]);
    assert_eq!(bench.peer.facts.me.secret.store_id(), fresh.store_id());
    assert_eq!(
        bench.peer.facts.me.process.epoch,
        Epoch(1),
        "in the process id, too: it outranks the lost store"
    );
}

/// A copy of this store has taken numbers meanwhile. While the control stream is up the warehouse takes no other store for
/// this peer's, and this one would not ask.
#[test]
fn a_store_found_to_be_an_old_copy_hangs_up_before_it_asks_with_its_new_token() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), Some((8, 9))));
    let roster = Some(Box::new(offices(3, Some((6, 1)), Some((8, 9)))));
    assert_eq!(bench.say("home", told(TradeAnswer { roster, ..TradeAnswer::default() })), [ASKED]);
    assert_eq!(bench.came("open", Ok(open_answer(0, 17, 0))), ["hang up control", "renew token"]);
    assert_eq!(bench.after(5_000), [""; 0], "nothing before the token is on disk");
    asks_with_new_token(&mut bench);
}

const ASKED: &str = "call warehouse open 4 generation 0";

/// A peer whose numbers are spent, as they were before its session was open.
fn spent() -> Bench {
    let mut bench = Bench::with(|parts| parts.state.last = Number::new(Epoch(0), Number::K_MAX));
    bench.idle();
    bench
}

/// The new token comes, and it is the one that the next question shows.
fn asks_with_new_token(bench: &mut Bench) {
    let fresh = Token([99; 32]);
    assert_eq!(bench.turn([Input::Token(fresh)]), [ASKED]);
    assert_eq!(bench.opened_with.as_ref().map(|opening| opening.store), Some(fresh.store_id()));
}

/// Otherwise the answer is of the store that this one is no more, and brings it into a session without a number.
#[test]
fn a_store_whose_numbers_are_spent_asks_for_no_session_before_its_new_token_is_there() {
    let mut bench = spent();
    let lines = bench.came("open", Ok(open_answer(0, 0, 0)));
    assert!(lines.ends_with(&["hang up control".to_owned(), "renew token".to_owned()]), "{lines:?}");
    assert_eq!(bench.after(5_000), [""; 0], "the disk may be slow");
    // Another node tells meanwhile that there are newer offices.
    let roster = Some(Box::new(offices(3, Some((6, 1)), None)));
    assert_eq!(bench.say("home", told(TradeAnswer { roster, ..TradeAnswer::default() })), [""; 0]);
    assert_eq!(bench.after(5_000), [""; 0]);
    asks_with_new_token(&mut bench);
}

/// What is under way was asked with the old token.
#[test]
fn a_store_whose_numbers_are_spent_waits_for_the_answer_to_what_it_has_asked() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), Some((8, 9))));
    let roster = Some(Box::new(offices(3, Some((6, 1)), Some((8, 9)))));
    let lines = bench.say("home", told(TradeAnswer { roster, ..TradeAnswer::default() }));
    assert_eq!(lines, [ASKED]);
    bench.peer.facts.state.last = Number::new(Epoch(0), Number::K_MAX);
    bench.journal.last = bench.peer.facts.state.last;
    assert_eq!(bench.after(1_000), [""; 0]);
    let lines = bench.came("open", Ok(opened(0, offices(3, Some((6, 1)), Some((8, 9))))));
    assert!(lines.ends_with(&["hang up control".to_owned(), "renew token".to_owned()]), "{lines:?}");
    asks_with_new_token(&mut bench);
}

#[test]
fn after_a_restore_the_line_home_is_dialed_anew_and_the_generation_is_journaled() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), None));
    assert!(bench.has("home"));
    bench.broken("control");
    bench.after(10);
    let lines = bench.came("open", Ok(open_answer(0, 0, 5)));
    assert_eq!(
        lines,
        ["dial control warehouse control hello of 4", "hang up home", "dial home peer-6 trade hello of 4"]
    );
    assert_eq!(bench.recorded(), [seen(5, 0, Hash::default())]);
}

#[test]
fn another_markets_warehouse_ends_the_process() {
    let mut bench = Bench::new();
    bench.idle();
    assert_eq!(bench.came("open", Err(refused(Cause::OtherCluster))), ["exit 7: no"]);
}

/// The older copy may not believe a word of this peer before it has seen its token.
#[test]
fn an_older_copy_of_the_warehouse_is_shown_what_this_peer_has_seen() {
    let mut bench = Bench::new();
    bench.idle();
    assert_eq!(
        bench.came("open", Err(refused(Cause::OlderCopy))),
        ["dial control warehouse control hello of 4"]
    );
    assert!(!bench.peer.facts.session_open);
}

#[test]
fn only_the_last_token_opens_and_only_once() {
    let mut bench = Bench::new();
    bench.idle();
    assert_eq!(bench.after(60_000), [""; 0], "one call at a time, however long it takes");
    assert_eq!(bench.calls("open"), 1);
}

/// What the warehouse was shown of the ledger when it was last asked for the session.
fn shown_of_ledger(bench: &Bench) -> Option<Seen> {
    bench.opened_with.as_ref().and_then(|opening| opening.seen.as_deref().copied())
}

/// A hello of peer 10, with proof that it has seen so much of the ledger.
fn witness(seq: u64) -> Box<Hello> {
    let end = (Seq(seq), Hash::of(&[3]));
    let mut theirs = hello(10);
    theirs.show(Signer::new(SecretKey([7; 32])).sign(Generation::default(), end, Stamp(40)));
    theirs
}

/// Otherwise a new trader settles orders for an older copy of the warehouse while its peers, whose control streams still
/// look alive, show it in every hello what that copy lacks.
#[test]
fn a_trader_shows_the_warehouse_what_a_peer_has_seen_of_the_ledger() {
    let asked = "call warehouse open 4 generation 0".to_owned();
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    let bare = Box::new(Hello { ledger: (Seq(90), Hash::of(&[4])), ..*hello(12) });
    assert!(!bench.greeted("bare", trade(Some(bare), &[])).contains(&asked), "without proof it is nothing");
    assert!(bench.greeted("witness", trade(Some(witness(9)), &[])).contains(&asked));
    let shown = shown_of_ledger(&bench).unwrap();
    assert_eq!((shown.seq, shown.proof.is_some()), (Seq(9), true));
    bench.came("open", Ok(opened(0, offices(2, Some((ME, 3)), None))));
    bench.broken("control");
    assert!(bench.after(10).contains(&asked));
    assert_eq!(shown_of_ledger(&bench), None, "once: of itself this peer has seen nothing");
}

/// Otherwise an older copy comes in its place while nobody hears the warehouse, a trader that knows no better tells of rows
/// of that copy, and what shows it to be one is forgotten.
#[test]
fn what_was_seen_before_the_warehouse_went_away_is_shown_when_it_is_back() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), None));
    bench.say("home", told(TradeAnswer { hello: Some(hello(6)), ..TradeAnswer::default() }));
    let told_of = |seq| {
        let seen = Some(Box::new(Seen { seq: Seq(seq), hash: Hash::of(&[seq as u8]), ..Seen::default() }));
        told(TradeAnswer { seen, ..TradeAnswer::default() })
    };
    bench.say("home", told_of(9));
    bench.broken("control");
    bench.say("home", told_of(12));
    assert!(bench.after(10).contains(&"call warehouse open 4 generation 0".to_owned()));
    assert_eq!(shown_of_ledger(&bench).map(|seen| seen.seq), Some(Seq(9)));
    bench.came("open", Err(no_answer()));
    bench.after(20);
    assert_eq!(shown_of_ledger(&bench).map(|seen| seen.seq), Some(Seq(9)), "until it was heard");
    bench.came("open", Ok(opened(0, offices(2, Some((6, 1)), None))));
    bench.broken("control");
    bench.after(100);
    assert_eq!(shown_of_ledger(&bench).map(|seen| seen.seq), Some(Seq(12)));
}

/// Of another restore it tells nothing of this ledger, however much that one held.
#[test]
fn what_a_peer_has_seen_of_another_ledger_is_no_reason_to_ask() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    let mut theirs = hello(10);
    let end = (Seq(900), Hash::of(&[3]));
    theirs.show(Signer::new(SecretKey([7; 32])).sign(Generation::of_test(7), end, Stamp(40)));
    bench.greeted("witness", trade(Some(theirs), &[]));
    assert_eq!(bench.calls("open"), 0);
    bench.broken("control");
    bench.after(10);
    assert_eq!((bench.calls("open"), shown_of_ledger(&bench)), (1, None));
}

/// A peer out of office shows it with the question that a newer roster is a reason for.
#[test]
fn what_others_have_seen_of_the_ledger_goes_with_the_next_question() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), None));
    let asked = "call warehouse open 4 generation 0".to_owned();
    assert!(!bench.greeted("witness", trade(Some(witness(9)), &[])).contains(&asked));
    let newer = Box::new(Hello { roster: offices(3, None, Some((6, 1))), ..*hello(12) });
    assert!(bench.greeted("newer", trade(Some(newer), &[])).contains(&asked));
    assert_eq!(shown_of_ledger(&bench).map(|shown| shown.seq), Some(Seq(9)));
}

/// Two restores of one backup: what the other one was told is not in this ledger, though it may be as long.
#[test]
fn a_rival_ledger_is_not_believed_and_asked_again_at_the_usual_pace() {
    let rival = |it: &mut Answer| {
        if let Answer::Opened(answer) = it {
            (answer.generation.random, answer.roster.generation.random) = (9, 9);
        }
    };
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), None));
    bench.broken("control");
    bench.after(10);
    bench.came("open", Ok(open_answer(1, 0, 1)));
    bench.recorded();
    bench.broken("control");
    let asked = ["call warehouse open 4 generation 1 (0000000000000007)"];
    assert_eq!(bench.after(20), asked);
    let mut answer = open_answer(1, 0, 1);
    rival(&mut answer);
    assert_eq!(bench.came("open", Ok(answer)), [""; 0]);
    assert_eq!((bench.recorded(), bench.after(40)), (vec![], asked.map(String::from).to_vec()));
    // A roster of it that comes by another way is no news either, however new it is.
    let mut roster = offices(900, Some((5, 9)), None);
    roster.generation = Generation { count: 1, random: 9 };
    bench.peer.facts.told_roster(roster);
    assert_eq!(bench.peer.roster().seq, Seq(2));
}

/// A restore may lose the grant, and not what was accepted under it.
#[test]
fn what_shows_an_office_is_kept_and_shown_with_the_next_opening() {
    let mut bench = Bench::in_market(offices(2, None, None));
    let licence = Licence { term: Term(3), signature: Signature([[1; 32]; 2]) };
    let mut roster = offices(3, Some((ME, 3)), None);
    roster.primary.as_mut().unwrap().licence = Some(Box::new(licence));
    bench.hear(roster);
    assert_eq!(bench.journal.licence, Some(licence));
    bench.broken("control");
    assert_eq!(bench.after(10), ["call warehouse open 4 generation 0, held term 3"]);
}

#[test]
fn a_hint_that_comes_while_the_warehouse_is_asked_is_followed_afterwards() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), Some((5, 2))));
    let hint = |peer, seq| {
        let roster = offices(seq, Some((6, 1)), Some((5, 2)));
        trade(Some(Box::new(Hello { roster, ..*hello(peer) })), &[])
    };
    let asked = "call warehouse open 4 generation 0".to_owned();
    assert!(bench.greeted("one", hint(10, 3)).contains(&asked));
    assert!(!bench.greeted("other", hint(11, 4)).contains(&asked));
    assert_eq!(bench.after(1_000), [""; 0], "it is being asked");
    assert_eq!(bench.came("open", Ok(opened(0, offices(2, Some((6, 1)), Some((5, 2)))))), [asked]);
}

/// Otherwise the generation is a bare claim where this peer meets a rival of it.
#[test]
fn a_restored_ledger_is_entered_with_what_proves_it() {
    let shown = |generation: u64| {
        let end = (Seq(9), Hash::of(&[3]));
        Signer::new(SecretKey([7; 32])).sign(Generation::of_test(generation), end, Stamp(40))
    };
    let generation = Generation::of_test(1);
    for (seen, kept) in [(shown(1), shown(1)), (shown(2), Seen { generation, ..Seen::default() })] {
        let mut bench = Bench::in_market(offices(2, Some((6, 1)), None));
        bench.broken("control");
        bench.after(10);
        let mut answer = open_answer(1, 0, 1);
        if let Answer::Opened(answer) = &mut answer {
            answer.seen = Some(Box::new(seen));
        }
        bench.came("open", Ok(answer));
        assert_eq!((bench.peer.facts.ledger_seen, bench.journal.ledger_seen), (kept, kept));
    }
}

/// Otherwise who was misled for a while hears of the next failover a second late.
#[test]
fn offices_that_the_warehouse_tells_make_the_next_hint_the_first_one_again() {
    let mut bench = Bench::in_market(offices(2, Some((6, 1)), Some((5, 2))));
    let asks = |lines: Vec<String>| lines.iter().filter(|line| line.contains("warehouse open")).count();
    let hint = |bench: &mut Bench| {
        let roster = Some(Box::new(offices(90, Some((6, 1)), Some((5, 2)))));
        asks(bench.say("home", told(TradeAnswer { roster, ..TradeAnswer::default() })))
    };
    let answer = || Ok(opened(0, offices(2, Some((6, 1)), Some((5, 2)))));
    assert_eq!(hint(&mut bench), 1);
    for wait_ms in [10, 20, 40, 80] {
        bench.came("open", answer());
        assert_eq!((hint(&mut bench), asks(bench.after(wait_ms - 1)), asks(bench.after(1))), (0, 0, 1));
    }
    bench.came("open", answer());
    hint(&mut bench);
    bench.hear(offices(3, Some((5, 7)), None));
    assert_eq!(asks(bench.after(1_000)), 0, "what the hint was about may be told");
    assert_eq!(hint(&mut bench), 1);
    bench.came("open", answer());
    assert_eq!((hint(&mut bench), asks(bench.after(10))), (0, 1));
}
