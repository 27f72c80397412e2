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
    assert_eq!(it.lines(), ["recorded: s602 hello, roster"]);
    it.up(4, 2);
    it.end();
    let told = ["s401 roster", "s402 roster", "s501 roster, sessions 3", "s601 roster", "s602 roster"];
    let told = ["s402 hello, roster"].into_iter().chain(told).chain(["happens: roster"]);
    assert_eq!(it.lines(), told.map(|line| format!("recorded: {line}")).collect::<Vec<_>>());
    it.end();
    assert!(it.lines().is_empty(), "nothing is told twice");
}

#[test]
fn a_ledger_behind_what_a_peer_has_seen_serves_nobody() {
    let mut it = paired();
    it.turn = Turn::new(Numbers::default(), Box::new(UpTo(Seq(7))));
    let seen = |seq| Hello { ledger: (Seq(seq), Hash::default()), ..hello(4, 2) };
    assert!(it.come(seen(7), 2));
    it.lines();
    it.come(seen(8), 3);
    let what = "peer 4 has seen ledger record 8, which this store, an older copy, lacks";
    assert_eq!(it.lines(), [format!("now: exit 7: {what}")]);
    it.come(Hello { generation: Generation::of_test(1), ..seen(7) }, 4);
    let what = "peer 4 has seen generation 1 (0000000000000007) of the ledger, and this store is of generation 0: it is an older copy of the warehouse's";
    let Some((_, Effect::Exit(exit))) = it.effects.last() else { panic!() };
    assert!(exit.hint.ends_with(": restore w --above 1"), "{}", exit.hint);
    assert_eq!(it.lines(), [format!("now: exit 7: {what}")]);
    let stranger = Hello { token: Some(token(9)), ..seen(8) };
    assert!(!it.come(stranger, 5), "a stranger's word is not believed");
    assert_eq!(it.lines(), ["before: hang up s405"]);
}

#[test]
fn an_exit_need_not_wait() {
    let mut it = paired();
    it.come(Hello { generation: Generation::of_test(1), ..hello(4, 2) }, 2);
    let exit = it.effects.pop();
    assert!(matches!(exit, Some((When::Now(Because::TellsNothing), Effect::Exit(_)))), "{exit:?}");
}

#[test]
fn what_does_not_belong_on_a_stream_ends_it() {
    let mut it = paired();
    it.step(Input::Opened(ConnId(1), Stream::Link));
    it.settler(2, 6, 1);
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
        Warehouse::complete(&mut effect, durable);
        match effect {
            Effect::Send(_, Message::SettleAnswer(answer)) => {
                shown.extend([answer.ledger, answer.hello.unwrap().ledger]);
            }
            Effect::Send(_, Message::ControlDown(down)) => shown.push(down.hello.unwrap().ledger),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shown, [durable; 3]);
}

#[test]
fn people_are_answered() {
    let mut it = paired();
    let refused = |it: &mut Driven, ask| it.ask(ask).unwrap_err().to_string();
    assert!(refused(&mut it, Ask::Place("fish".to_owned(), Quantity(1), BUY)).contains("ask a peer"));
    assert!(refused(&mut it, Ask::Leave).contains("never leaves"));
    assert!(refused(&mut it, Ask::HandOver(Box::new(hello(4, 1)), Vec::new())).contains("ask a trader"));
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
