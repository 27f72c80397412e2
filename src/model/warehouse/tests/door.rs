//! What comes out of the door, in exact lists.

use super::*;
use crate::model::step::Because;

#[test]
fn a_new_ledger_has_its_goods_before_anything_else() {
    let mut it = Driven::new(Market::default(), 1);
    assert_eq!(it.it.due(), Some(Now(0)), "it needs nobody to call it");
    it.open(4, token(4).store_id(), 0).unwrap();
    let Ok(Answer::Catalogue(catalogue)) = it.ask(Ask::Catalogue) else { panic!() };
    assert_eq!(catalogue.goods, [("fish".to_owned(), Money(100))]);
    it.end();
    assert_eq!(it.kinds(), ["stocked", "session"]);
    let mut again = Driven::new(it.it.market, 2);
    again.end();
    assert!(again.kinds().is_empty());
}

#[test]
fn a_greeting_waits_for_the_fence_that_it_tells_of() {
    let mut it = paired();
    it.up(6, 2);
    let greeted = ["hang up s601", "s602 hello, roster, introduced 4 5 6"];
    assert_eq!(it.lines(), greeted.map(|line| format!("recorded: {line}")));
    it.up(4, 2);
    it.end();
    let greeted = ["hang up s401", "s402 hello, roster, introduced 4 5 6"].into_iter();
    let told = greeted.chain(["s402 roster", "s501 roster, sessions 3", "s602 roster", "happens: roster"]);
    let news = ["s402", "s501", "s602"].map(|conn| format!("{conn} introduced 4 6"));
    let told = told.map(str::to_owned).chain(news);
    assert_eq!(it.lines(), told.map(|line| format!("recorded: {line}")).collect::<Vec<_>>());
    it.end();
    assert!(it.lines().is_empty(), "nothing is told twice");
}

/// A warehouse with a key, whose ledger holds seven records.
fn keyed() -> Driven {
    let mut it = Driven::with(Parts { key: Some(KEY), ..parts(paired().it.market, 2) });
    it.end();
    it.lines();
    it.turn = Turn::new(Numbers::default(), Box::new(UpTo(Seq(7))));
    it
}

#[test]
fn a_ledger_that_lacks_what_is_proven_serves_nobody() {
    let (mut it, own) = (keyed(), Generation::default());
    assert!(it.come(proving(own, 7, hello(4, 2)), 2));
    it.lines();
    it.come(proving(own, 8, hello(4, 3)), 3);
    let exit = "now: exit 7: peer 4 proves that the warehouse has shown";
    let or = "it is an older copy, or another ledger";
    assert_eq!(it.lines(), [format!("{exit} ledger record 8, which this store lacks: {or}")]);
    it.come(proving(Generation::of_test(1), 7, hello(4, 4)), 4);
    let generation = "generation 1 (0000000000000007) of the ledger, and this store is of 0";
    assert_eq!(it.lines(), [format!("{exit} {generation}: {or}")]);
    // Whoever shows it: its session may be in the part that this store lacks.
    let unknown = proving(own, 8, Hello { token: Some(token(9)), ..hello(77, 1) });
    it.come(unknown, 1);
    assert_eq!(it.lines().len(), 1);
    let seen = Some(Box::new(proving(own, 8, hello(77, 1)).seen()));
    let (store, cluster) = (Hash::of(b"any"), String::new());
    let opening = Opening { peer: PeerId(77), store, cluster, generation: own, seen, licence: None };
    it.step(Input::Asked(ReplyId(900), Ask::Open(opening)));
    assert!(it.lines()[0].starts_with("now: exit 7: peer 77 proves"));
    let shown = || Box::new(proving(own, 8, hello(5, 1)));
    for ask in [
        Ask::Claim(shown(), Office::Primary),
        Ask::Fence(shown(), Term(1)),
        Ask::Pair(shown(), Term(1), Term(2)),
        Ask::Resign(shown(), GivenUp { term: Term(1), to: PeerId(0), pass_over: false }),
    ] {
        it.step(Input::Asked(ReplyId(901), ask));
        assert!(it.lines()[0].starts_with("now: exit 7: peer 5 proves"));
    }
    it.step(Input::Opened(ConnId(9), Stream::Settle));
    let ask = SettleAsk { hello: Some(shown()), ..SettleAsk::default() };
    it.step(Input::Said(ConnId(9), Message::SettleAsk(ask)));
    assert!(it.lines()[0].starts_with("now: exit 7: peer 5 proves"));
}

#[test]
fn the_warehouse_says_in_its_hello_which_one_it_is() {
    let mut it = restored();
    let hello = it.it.hello();
    let expected = Hello {
        process: ProcessId { starts: 2, ..ProcessId::default() },
        clock: it.it.clock(),
        generation: Generation::of_test(2),
        cluster: "here".to_owned(),
        addr: "127.0.0.1:7700".to_owned(),
        ..Hello::default()
    };
    assert_eq!(format!("{hello:?}"), format!("{expected:?}"));
    it.up(4, 1);
}

/// Anybody could make one.
#[test]
fn a_claim_without_proof_ends_nothing_and_is_not_served() {
    let mut it = keyed();
    let bare = Hello { ledger: (Seq(8), Hash::default()), ..hello(4, 2) };
    let mut forged = proving(Generation::default(), 7, hello(4, 3));
    forged.ledger.0 = Seq(8);
    for (starts, claim) in [(2, bare), (3, forged)] {
        assert!(!it.come(claim, starts));
        assert_eq!(it.lines(), [format!("before: hang up s40{starts}")]);
    }
}

/// One backup was restored twice. Only one of the two ledgers can be the market's; the other one says how to become it.
#[test]
fn a_ledger_of_another_restore_than_is_proven_serves_nobody_and_names_the_mend() {
    let mut it = Driven::with(Parts { key: Some(KEY), ..parts(restored().it.market, 3) });
    let own = it.it.market.generation;
    let other = Generation { random: own.random + 1, ..own };
    it.come(proving(other, 7, hello(4, 1)), 1);
    let Some((when, Effect::Exit(exit))) = it.effects.pop() else { panic!() };
    assert_eq!((exit.code, when), (7, When::Now(Because::TellsNothing)), "it need not wait");
    assert!(exit.hint.ends_with(&format!(": restore w --above {}", own.count)), "{}", exit.hint);
}

/// Otherwise a restored warehouse, or one whose clock was lost, is behind its peers for ever.
#[test]
fn a_proof_lifts_the_clock_without_bound() {
    let (mut it, own) = (keyed(), Generation::default());
    let far = Stamp(1 << 50);
    let mut proven = hello(4, 2);
    proven.show(Signer::new(KEY).sign(own, (Seq(7), Hash::default()), far));
    assert!(it.come(proven, 2));
    assert!(it.it.clock.now() > far);
}

/// What waits for the disk leaves after the clock has leapt, and before the leap is reserved there.
#[test]
fn a_proof_shows_the_clock_of_its_message() {
    let mut it = keyed();
    it.up(4, 2);
    it.end();
    let far = Stamp(1 << 50);
    it.it.clock.adopt(far);
    let mut shown = 0;
    for (_, mut effect) in std::mem::take(&mut it.effects) {
        it.it.complete(&mut effect, (Seq(7), Hash::default()));
        if let Effect::Send(_, Message::ControlDown(ControlDown { hello: Some(hello), .. })) = effect {
            shown += 1;
            assert!(hello.ledger_proof.unwrap().clock < far);
        }
    }
    assert_eq!(shown, 1);
}

/// If it served at once, the first trader's orders would be settled before the others have shown what they were told.
#[test]
fn nothing_is_granted_settled_or_shown_before_the_peers_are_heard() {
    let market = paired().it.market;
    let mut it = Driven::just_started(parts(market.clone(), 2));
    it.settler(1, 6, 1);
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    it.step(Input::Asked(ReplyId(901), Ask::Session(PeerId(4))));
    it.step(Input::Asked(ReplyId(902), Ask::Probe));
    it.up(6, 1);
    it.up(5, 1);
    it.end();
    let lines = it.lines().join("; ");
    assert!(it.kinds().is_empty() && lines.contains("r902"), "{lines}");
    assert!(!lines.contains("bought") && !lines.contains("r901") && !lines.contains("hello"), "{lines}");
    it.up(4, 1);
    it.end();
    assert_eq!(it.kinds(), ["sale"], "with the last one all that came is taken in");
    let lines = it.lines().join("; ");
    assert!(lines.contains("4:1=bought") && lines.contains("r901"), "{lines}");

    let mut it = Driven::just_started(parts(market, 2));
    it.settler(1, 6, 1);
    it.batch(1, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    it.gone(ConnId(1));
    it.settler(2, 6, 1);
    it.batch(2, 1, 1, vec![order(4, 2, BUY, 0, 1)]);
    it.pass(crate::limits::WITNESSES_MAX_MS - 1);
    assert_eq!(it.kinds(), [""; 0]);
    it.pass(crate::limits::WITNESSES_MAX_MS);
    assert_eq!(
        it.kinds(),
        ["sale"],
        "those who do not come are not waited for for ever; a stream that ended is void"
    );
}

/// Otherwise a copy from before the first session has nobody to wait for: it takes the number that a client was told an
/// answer to, and decides it once more, before the first of the peers has dialed again.
#[test]
fn a_ledger_that_knows_no_peer_hears_those_that_it_may_lack_first() {
    let open = |it: &mut Driven| {
        let (store, generation) = (token(4).store_id(), Generation::default());
        let opening =
            Opening { peer: PeerId(4), store, cluster: String::new(), generation, seen: None, licence: None };
        it.step(Input::Asked(ReplyId(901), Ask::Open(opening)));
        it.end();
        (it.kinds().contains(&"session"), it.lines().iter().any(|line| line.contains("r901")))
    };
    let mut new = Driven::just_started(parts(Market::default(), 1));
    new.end();
    let stocked = new.it.market.clone();
    assert_eq!(open(&mut new), (true, true), "a new ledger lacks nothing");

    let mut it = Driven::just_started(parts(stocked, 2));
    assert_eq!(open(&mut it), (false, false));
    it.pass(crate::limits::WITNESSES_MAX_MS - 1);
    assert_eq!(it.kinds(), [""; 0]);
    it.pass(crate::limits::WITNESSES_MAX_MS);
    assert_eq!(it.kinds(), ["session"]);
    it.lines();
    it.pass(crate::limits::WITNESSES_MAX_MS + 1);
    assert!(it.it.due() > Some(Now(crate::limits::WITNESSES_MAX_MS + 1)), "it wakes for nothing");
}

#[test]
fn what_does_not_belong_on_a_stream_ends_it() {
    let mut it = paired();
    it.step(Input::Opened(ConnId(1), Stream::Link));
    it.settler(2, 5, 1);
    it.settler(3, 6, 1);
    it.lines();
    it.step(Input::Said(ConnId(2), Message::Watch));
    // A second hello.
    let again = SettleAsk { hello: Some(Box::new(hello(6, 1))), ..SettleAsk::default() };
    it.step(Input::Said(ConnId(3), Message::SettleAsk(again)));
    it.step(Input::Opened(ConnId(4), Stream::Settle));
    it.batch(4, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    let up = ControlUp { hello: Some(Box::new(hello(4, 1))), ..ControlUp::default() };
    it.step(Input::Said(control(4, 1), Message::ControlUp(up)));
    it.step(Input::Opened(ConnId(5), Stream::Control));
    it.step(Input::Said(ConnId(5), Message::ControlUp(ControlUp::default())));
    assert_eq!(it.lines(), ["s2", "s3", "s4", "s401", "s5"].map(|conn| format!("before: hang up {conn}")));
    // Unknown by now.
    it.batch(4, 1, 1, vec![order(4, 1, BUY, 0, 1)]);
    it.gone(ConnId(2));
    assert!(it.settle().is_empty());
}

#[test]
fn a_control_stream_that_is_hung_up_makes_its_peer_absent() {
    let mut it = paired();
    let up = ControlUp { clock: Stamp(u64::MAX), ..ControlUp::default() };
    it.step(Input::Said(control(6, 1), Message::ControlUp(up)));
    it.end();
    assert_eq!(
        it.lines(),
        ["hang up s601", "s401 roster", "s501 roster, sessions 3", "happens: roster"]
            .map(|line| format!("before: {line}"))
    );
    assert!(it.roster(1).claimable(Office::Primary));
}

#[test]
fn watchers_hear_all_levels_and_then_what_changes() {
    let mut it = paired();
    it.step(Input::Opened(ConnId(1), Stream::Watch));
    it.step(Input::Said(ConnId(1), Message::Watch));
    it.end();
    assert_eq!(it.lines(), ["before: s1 stock [(0, 10)]"]);
    it.settler(2, 6, 1);
    it.batch(2, 1, 1, (1..=3).map(|k| order(4, k, BUY, 0, 2)).collect());
    it.end();
    assert_eq!(it.lines().pop().unwrap(), "recorded: s1 stock [(0, 4)]");
    it.gone(ConnId(1));
    it.batch(2, 2, 1, vec![order(4, 4, BUY, 0, 2)]);
    it.end();
    assert_eq!(it.lines(), ["recorded: s2 batch 2 4:4=bought"]);
}

#[test]
fn messages_show_what_the_ledger_holds_when_they_leave() {
    let mut it = paired();
    it.settler(1, 6, 1);
    it.up(4, 2);
    let durable = (Seq(5), Hash::of(b"block"));
    let mut shown = Vec::new();
    for (_, mut effect) in std::mem::take(&mut it.effects) {
        it.it.complete(&mut effect, durable);
        match effect {
            Effect::Send(_, Message::SettleAnswer(answer)) => {
                shown.extend([answer.ledger, answer.hello.unwrap().ledger]);
            }
            Effect::Send(_, Message::ControlDown(down)) => shown.push(down.hello.unwrap().ledger),
            Effect::HangUp(conn) => assert_eq!(conn, control(4, 1)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shown, [durable; 3]);
}

#[test]
fn people_are_answered() {
    let mut it = paired();
    let refused = |it: &mut Driven, ask| it.ask(ask).unwrap_err().to_string();
    assert!(
        refused(&mut it, Ask::Place("fish".to_owned(), Quantity(1), BUY, Number(0))).contains("ask a peer")
    );
    assert!(refused(&mut it, Ask::Leave).contains("never leaves"));
    assert!(
        refused(&mut it, Ask::HandOver(Box::new(hello(4, 1)), Vec::new(), Vec::new()))
            .contains("ask a trader")
    );
    assert!(matches!(it.ask(Ask::Quiesce), Ok(Answer::Open(0))));
    assert!(matches!(it.ask(Ask::ResignByHand(PeerId(0))), Ok(Answer::Resigned(None))));
    assert!(matches!(it.ask(Ask::Probe), Ok(Answer::Alive(process)) if process.starts == 1));
    let Ok(Answer::Status(report)) = it.ask(Ask::Status) else { panic!() };
    assert_eq!((report.role.as_str(), report.pid, report.members.len()), ("warehouse", 7, 3));
    assert_eq!((report.stock, report.health.as_str()), (vec![Quantity(10)], "ok"));
}

#[test]
fn it_ends_when_it_is_told_to() {
    let mut it = paired();
    assert!(!it.it.has_ended());
    it.step(Input::Stop);
    assert!(it.it.has_ended());
}

#[test]
fn a_status_tells_what_the_warehouse_knows_of_itself_and_of_the_market() {
    let mut it = restored();
    it.up(4, 1);
    it.it.duplicates = 3;
    it.at.disk_low = true;
    let Ok(Answer::Status(report)) = it.ask(Ask::Status) else { panic!("a report") };
    let expected = crate::model::report::Report {
        clock: it.it.clock(),
        role: "warehouse".to_owned(),
        cluster: "here".to_owned(),
        pid: 7,
        addr: "127.0.0.1:7700".to_owned(),
        process: ProcessId { starts: 2, ..ProcessId::default() },
        roster: it.roster(0),
        disk_low: true,
        members: it.it.presence.members(),
        goods: vec![("fish".to_owned(), Money(100))],
        stock: vec![Quantity(10)],
        stock_seq: it.it.market.seq,
        duplicates: 3,
        sessions: 4,
        health: "disk almost full: orders are refused".to_owned(),
        consistency: "cacheless".to_owned(),
        warehouse: "127.0.0.1:7700".to_owned(),
        generation: Generation::of_test(2),
        ..Default::default()
    };
    assert_eq!(format!("{report:#?}"), format!("{expected:#?}"));
}

#[test]
fn a_trader_that_dials_again_is_told_the_sessions_once_more() {
    let mut it = paired();
    it.come(Hello { stream: 8, ..hello(6, 1) }, 8);
    assert!(it.lines().contains(&"before: s608 hello, roster, sessions 3, introduced 4 5 6".to_owned()));
}
