use crate::limits::{CLOCK_LEAD_MAX, LEDGER_SEEN_EVERY_MS};
use crate::model::call::Ask;
use crate::model::evidence::Seen;
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::message::{ControlDown, Message, ReplicaAsk, SettleAnswer, Stream, TradeAsk};
use crate::model::offices::Roster;
use crate::model::peer::entry::{Entry, Proof};
use crate::model::peer::testing::*;
use crate::types::{Batch, Generation, Hash, Order, OrderKind, PeerId, Seq, Signature, Stamp, Term};

const HELLO: &str = "trade hello of 4 roster 0.2.0 4(3) -";

/// The only trader, whose settle stream is up.
fn in_office() -> Bench {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.settle_up();
    bench.forget_what_happened();
    bench
}

/// The same with a stream of peer 10.
fn trading() -> Bench {
    let mut bench = in_office();
    assert_eq!(bench.greeted("from-10", trade(Some(hello(10)), &[])), [format!("send from-10 {HELLO}")]);
    bench
}

/// Otherwise: the peer gives its number up, power fails here, and neither of the two orders is anywhere.
#[test]
fn other_content_is_refused_only_when_what_it_tells_of_is_durable() {
    let mut bench = trading();
    bench.disk_works = false;
    let one = order(10, 1);
    bench.say("from-10", trade(None, &[one]));
    let other = Order { stamp: Stamp(one.stamp.0 + 1), ..one };
    let lines = bench.say("from-10", trade(None, &[other]));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("send from-10") && lines[0].ends_with("(before)"), "{lines:?}");
}

/// Otherwise: the dead stream is taken for the peer's newest, answers go there, and the peer waits for ever.
#[test]
fn a_stream_that_was_given_up_and_arrives_late_is_cut_and_the_living_one_stays() {
    let mut bench = in_office();
    let counted = |stream| Some(Box::new(Hello { stream, ..*hello(10) }));
    bench.greeted("from-10", trade(counted(2), &[]));
    assert_eq!(bench.greeted("late-10", trade(counted(1), &[])), ["hang up late-10"]);
    assert!(
        bench
            .say("from-10", trade(None, &[order(10, 1)]))
            .contains(&"send settle settle term 3 batch 1 10-1".to_owned())
    );
}

fn submit(peer: u32, order: Order) -> Ask {
    Ask::Submit(Box::new(Hello { clock: Stamp(50), ..*hello(peer) }), order)
}

#[test]
fn a_grant_opens_the_desk() {
    let mut bench = Bench::in_market(Roster::default());
    assert_eq!(
        bench.hear(offices(2, Some((ME, 3)), None)),
        [
            "dial settle warehouse settle term 3 hello of 4",
            "dial watch warehouse watch",
            "dial home peer-4 trade hello of 4"
        ]
    );
    assert_eq!(
        bench.happened,
        [
            "line Dear buyers and sellers, my ID is 4 and I am the primary trader (term 3)",
            "offices roster 0.2.0 4(3) -"
        ]
    );
    let office = crate::types::Office::Primary;
    assert_eq!(bench.recorded(), [Entry::Granted { office, term: Term(3) }]);
}

#[test]
fn an_order_goes_on_its_way_at_once_and_is_answered_when_it_is_decided() {
    let mut bench = trading();
    let one = order(10, 1);
    let lines = bench.say("from-10", trade(None, &[one]));
    assert_eq!(lines, ["send settle settle term 3 batch 1 10-1"]);
    assert_eq!(bench.recorded(), [Entry::Accepted { term: Term(3), order: one }]);
    assert_eq!(bench.decided(1, &[one]), ["send from-10 trade 10-1 deposited"]);
    let (peer, first) = (PeerId(10), one.id.number);
    assert_eq!(bench.recorded(), [Entry::Settled { peer, first, last: first }]);
    assert_eq!(bench.decided(1, &[one]), [""; 0], "once");
}

#[test]
fn an_order_asked_again_is_not_queued_again_and_answered_on_the_newest_stream() {
    let mut bench = trading();
    let one = order(10, 1);
    bench.say("from-10", trade(None, &[one]));
    bench.greeted("again-10", trade(Some(hello(10)), &[]));
    assert_eq!(bench.say("again-10", trade(None, &[one])), [""; 0]);
    assert_eq!(bench.peer.rooms.desk.duplicates, 1);
    assert_eq!(bench.decided(1, &[one]), ["send again-10 trade 10-1 deposited"]);
    bench.broken("again-10");
    assert!(!bench.peer.rooms.desk.trades_with(PeerId(10)), "the older stream is not its way back");
}

/// Otherwise a later number is decided first, and the order of the peer's own orders is lost.
#[test]
fn after_a_number_that_is_not_taken_no_later_one_is_before_it_comes_again() {
    let mut bench = trading();
    let odd = Order { product: crate::types::ProductId(9), ..order(10, 2) };
    let lines = bench.say("from-10", trade(None, &[order(10, 1), odd, order(10, 3)]));
    assert_eq!(
        lines,
        [
            "send from-10 trade 10-2 not taken (UnknownProduct) 10-3 not taken (Window) roster 0.2.0 4(3) -",
            "send settle settle term 3 batch 1 10-1"
        ]
    );
    let lines = bench.say("from-10", trade(None, &[order(10, 4)]));
    assert_eq!(lines, ["send from-10 trade 10-4 not taken (Window) roster 0.2.0 4(3) -"]);
    let lines = bench.say("from-10", trade(None, &[order(10, 2), order(10, 3)]));
    assert_eq!(lines, ["send settle settle term 3 batch 2 10-2 10-3"]);
}

#[test]
fn nobody_orders_in_anothers_name() {
    let mut bench = trading();
    let lines = bench.say("from-10", trade(None, &[order(11, 1)]));
    assert_eq!(lines, ["send from-10 trade 11-1 not taken (NoSession) roster 0.2.0 4(3) -"]);
    let lines = bench.ask(1, submit(10, order(11, 1)));
    assert!(lines[0].starts_with("reply r1 refused"), "{lines:?}");
    let forged = Order { stamp: Stamp(51), ..order(10, 1) };
    let lines = bench.ask(2, submit(10, forged));
    assert!(lines[0].starts_with("reply r2 refused"), "a stamp above its own clock: {lines:?}");
}

#[test]
fn a_second_hello_cuts_the_stream() {
    let mut bench = trading();
    assert_eq!(bench.say("from-10", trade(Some(hello(11)), &[])), ["hang up from-10"]);
}

/// What its other side had sent before it knew must not end another room's stream, nor this one twice.
#[test]
fn what_comes_on_a_stream_that_was_cut_is_nobodys() {
    let mut bench = trading();
    let inputs = [
        bench.said("from-10", trade(Some(hello(10)), &[])),
        bench.said("from-10", trade(None, &[order(10, 1)])),
        bench.said("settle", trade(None, &[order(10, 2)])),
        bench.said("control", Message::ReplicaAsk(ReplicaAsk::default())),
    ];
    assert_eq!(bench.turn(inputs), ["hang up from-10"]);
    assert!(bench.has("settle") && bench.has("control"));
}

#[test]
fn a_batch_that_was_not_taken_ends_the_stream_and_all_goes_again_in_order() {
    let mut bench = trading();
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.say("from-10", trade(None, &[order(10, 2)]));
    let refused = Some(NotTaken::NotHome);
    let answer = SettleAnswer { batch: Batch(1), refused, ..SettleAnswer::default() };
    assert_eq!(bench.say("settle", settled(answer)), ["hang up settle"]);
    assert_eq!(bench.say("from-10", trade(None, &[order(10, 3)])), [""; 0], "it waits");
    assert_eq!(bench.after(10), ["dial settle warehouse settle term 3 hello of 4"]);
    assert_eq!(bench.settle_up(), ["send settle settle term 3 batch 3 10-1 10-2 10-3"]);
}

#[test]
fn a_settle_stream_that_breaks_is_dialed_again_with_back_off_until_a_batch_comes_back() {
    let mut bench = trading();
    for wait_ms in [10, 20, 40] {
        assert_eq!(bench.broken("settle"), [""; 0]);
        assert_eq!(bench.after(wait_ms - 1), [""; 0]);
        assert_eq!(bench.after(1), ["dial settle warehouse settle term 3 hello of 4"]);
        bench.settle_up();
    }
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.decided(1, &[order(10, 1)]);
    bench.broken("settle");
    assert_eq!(bench.after(10), ["dial settle warehouse settle term 3 hello of 4"]);
}

/// What another ledger decides would be undone when that is found out.
#[test]
fn a_settle_stream_to_another_ledger_is_cut() {
    let mut bench = trading();
    bench.broken("settle");
    bench.after(10);
    let theirs = Box::new(Hello { generation: Generation::of_test(7), ..*hello(0) });
    let answer = SettleAnswer { hello: Some(theirs), ..SettleAnswer::default() };
    assert_eq!(bench.say("settle", settled(answer)), ["hang up settle"]);
}

/// Peers that wait ask at the new home; what was accepted stays in the journal, for its hand-over.
#[test]
fn the_end_of_a_term_closes_the_desk_and_refers_all_to_the_new_home() {
    let mut bench = trading();
    bench.say("from-10", trade(None, &[order(10, 1)]));
    bench.ask(1, submit(12, order(12, 1)));
    let lines = bench.hear(offices(3, Some((6, 5)), None));
    assert_eq!(
        lines,
        [
            "hang up settle",
            "send from-10 trade roster 0.3.0 6(5) -",
            "reply r1 refused: not this peer's home (this turn)",
            "hang up watch",
            "hang up home",
            "dial home peer-6 trade hello of 4",
            "call peer-6 hand over of 4 10-1 12-1"
        ]
    );
    let lines = bench.say("from-10", trade(None, &[order(10, 2)]));
    assert_eq!(lines, ["send from-10 trade 10-2 not taken (NotHome) roster 0.3.0 6(5) -"]);
}

#[test]
fn a_unary_order_is_answered_once_it_is_decided() {
    let mut bench = in_office();
    let one = order(12, 1);
    assert_eq!(bench.ask(1, submit(12, one)), ["send settle settle term 3 batch 1 12-1"]);
    let again = bench.ask(2, submit(12, one));
    assert_eq!(again, ["reply r1 refused: the same order was asked for again (before)"]);
    assert_eq!(bench.decided(1, &[one]), ["reply r2 outcome 12-1 deposited"]);
    bench.ask(3, submit(12, order(12, 2)));
    let not_taken = vec![(order(12, 2).id, NotTaken::Stale)];
    let answer = SettleAnswer { batch: Batch(2), not_taken, ..SettleAnswer::default() };
    let text = "decided long ago; only the peer's own journal has the outcome";
    assert_eq!(bench.say("settle", settled(answer)), [format!("reply r3 refused: {text}")]);
}

#[test]
fn a_full_disk_takes_no_orders_and_says_so() {
    let mut bench = trading();
    bench.at.disk_low = true;
    let lines = bench.say("from-10", trade(None, &[order(10, 1)]));
    assert_eq!(lines, ["send from-10 trade 10-1 not taken (DiskFull) roster 0.2.0 4(3) -"]);
    let lines = bench.ask(1, Ask::Status);
    assert_eq!(lines, ["reply r1 status of 4: disk almost full: orders are refused (before)"]);
}

#[test]
fn a_void_takes_the_place_of_its_order() {
    let mut bench = trading();
    bench.say("from-10", trade(None, &[order(10, 1)]));
    let void = Order { kind: OrderKind::Void, ..order(10, 1) };
    assert_eq!(bench.say("from-10", trade(None, &[void])), ["send settle settle term 3 batch 2 10-1 (void)"]);
    assert_eq!(bench.journal.accepted[&void.id].order, void);
}

/// Anybody may become a client: a token proves no more than that it is the same one as before.
#[test]
fn no_client_ends_a_term_with_a_roster_of_its_own() {
    let mut bench = in_office();
    let forged = Roster {
        generation: Generation { count: u64::MAX, random: 1 },
        seq: Seq(u64::MAX),
        ..Roster::default()
    };
    let client = Box::new(Hello { roster: forged, ..*hello(CLIENT) });
    let lines = bench.greeted("trade", trade(Some(client.clone()), &[]));
    assert_eq!(lines, [format!("send trade {HELLO}")], "it may trade");
    let copies = ReplicaAsk { hello: Some(client.clone()), ..ReplicaAsk::default() };
    assert_eq!(bench.greeted("copies", Message::ReplicaAsk(copies)), ["hang up copies"]);
    let link = word(crate::model::message::PeerWord::Hello(client));
    assert_eq!(bench.greeted("link", link), ["hang up link"]);
    assert_eq!(bench.peer.roster().seq, Seq(2));
}

#[test]
fn no_client_puts_a_traders_clock_out_of_reach() {
    let mut bench = in_office();
    let start = bench.clock().0;
    let trade = |clock: u64| Message::TradeAsk(TradeAsk { clock: Stamp(clock), ..TradeAsk::default() });
    let client = Box::new(Hello { clock: Stamp(2), ..*hello(CLIENT) });
    bench.greeted("client", Message::TradeAsk(TradeAsk { hello: Some(client), ..TradeAsk::default() }));
    let near = bench.clock().0 + CLOCK_LEAD_MAX / 2;
    assert_eq!(bench.say("client", trade(near)), [""; 0], "it may have heard more than this trader");
    let far = near + CLOCK_LEAD_MAX;
    assert_eq!(
        bench.say("client", trade(far)),
        ["hang up client"],
        "what clients said is no ground to go further"
    );
    assert!(bench.clock().0 <= start + CLOCK_LEAD_MAX);
    bench.greeted("peer", Message::TradeAsk(TradeAsk { hello: Some(hello(10)), ..TradeAsk::default() }));
    assert_eq!(bench.say("peer", trade(far)), ["hang up peer"], "nor is what peers say");
    assert!(bench.clock().0 <= start + CLOCK_LEAD_MAX);
}

#[test]
fn a_backlog_goes_in_batches_and_smallest_stamps_first() {
    let mut bench = Bench::in_market(offices(2, Some((ME, 3)), None));
    bench.greeted("from-10", trade(Some(hello(10)), &[]));
    bench.greeted("from-11", trade(Some(hello(11)), &[]));
    let (late, early) = (order(10, 7), order(11, 2));
    bench.say("from-10", trade(None, &[late]));
    bench.say("from-11", trade(None, &[early]));
    assert_eq!(bench.settle_up(), ["send settle settle term 3 batch 1 11-2 10-7"]);
}

#[test]
fn a_stream_for_the_warehouse_is_turned_away() {
    for stream in [Stream::Settle, Stream::Control, Stream::Watch] {
        let mut bench = in_office();
        let opened = bench.opened("lost", stream);
        bench.turn([opened]);
        let first = match stream {
            Stream::Watch => Message::Watch,
            _ => trade(Some(hello(10)), &[]),
        };
        assert_eq!(bench.say("lost", first), ["hang up lost"]);
    }
}

fn unknown_good(k: u32) -> Order {
    Order { product: crate::types::ProductId(9), ..order(10, k) }
}

fn void(k: u32) -> Order {
    Order { kind: OrderKind::Void, ..order(10, k) }
}

/// Otherwise nothing more of that peer is taken on the stream: the number that it waits for never comes.
#[test]
fn a_void_of_the_number_that_a_stream_waits_for_lifts_the_wait() {
    let mut bench = trading();
    bench.say("from-10", trade(None, &[unknown_good(1), order(10, 2)]));
    let lines = bench.say("from-10", trade(None, &[void(1), order(10, 2)]));
    assert_eq!(lines, ["send settle settle term 3 batch 1 10-1 (void) 10-2"], "on the stream");
    let mut bench = trading();
    bench.say("from-10", trade(None, &[unknown_good(1), order(10, 2)]));
    bench.ask(1, submit(10, void(1)));
    let lines = bench.say("from-10", trade(None, &[order(10, 2)]));
    assert_eq!(lines, ["send settle settle term 3 batch 2 10-2"], "by a call");
}

/// A client has no other way to learn it, and may be the only one left that was told the outcome.
#[test]
fn a_caller_is_answered_with_what_proves_it() {
    let mut bench = in_office();
    bench.ask(1, submit(10, order(10, 1)));
    let (ledger, signature) = ((Seq(9), Hash([1; 32])), Signature([[2; 32]; 2]));
    let proof = Proof { clock: Stamp(60), signature };
    let outcomes = vec![deposited(&order(10, 1))];
    let answer = SettleAnswer { outcomes, ledger, proof: Some(Box::new(proof)), ..SettleAnswer::default() };
    let answer = SettleAnswer { batch: Batch(1), ..answer };
    assert_eq!(bench.say("settle", settled(answer)), ["reply r1 outcome 10-1 deposited"]);
    let seen = bench.answered_with.unwrap();
    assert_eq!((seen.ledger(), seen.proof), (ledger, Some(proof)));
}

/// A void passes the queues, those of its own peer included, and says nothing of other numbers.
#[test]
fn a_void_is_taken_while_a_stream_waits_for_another_number() {
    let mut bench = trading();
    let waits = "send from-10 trade 10-3 not taken (Window) roster 0.2.0 4(3) -";
    bench.say("from-10", trade(None, &[unknown_good(2)]));
    let lines = bench.say("from-10", trade(None, &[void(4), void(1), order(10, 3)]));
    assert_eq!(lines, [waits, "send settle settle term 3 batch 1 10-1 (void) 10-4 (void)"]);
}

#[test]
fn a_queue_that_moves_has_waited_since_it_last_did() {
    let mut bench = trading();
    let waited = |bench: &Bench| bench.peer.rooms.desk.waiting_ms(bench.at.now);
    bench.say("from-10", trade(None, &[order(10, 1), order(10, 2)]));
    bench.after(200);
    let (batch, repeated) =
        (Batch(1), crate::model::row::Outcome { repeated: true, ..deposited(&order(10, 1)) });
    bench.say("settle", settled(SettleAnswer { batch, outcomes: vec![repeated], ..SettleAnswer::default() }));
    bench.after(300);
    assert_eq!((waited(&bench), bench.peer.rooms.desk.duplicates), (300, 1));
    bench.decided(1, &[order(10, 2)]);
    bench.after(100);
    assert_eq!((waited(&bench), bench.peer.rooms.desk.duplicates), (0, 1));
}

/// So that a market which was killed finds out an older copy of the ledger, and nothing is written for that alone.
#[test]
fn what_was_seen_of_the_ledger_is_kept_with_what_is_written_anyway() {
    let mut bench = trading();
    let sees = |bench: &mut Bench, seq| {
        let seen = Seen { seq: Seq(seq), ..Seen::default() };
        bench.say("control", down(ControlDown { seen: Some(Box::new(seen)), ..ControlDown::default() }));
    };
    let kept = |bench: &mut Bench| {
        let seen = bench.recorded().into_iter().filter_map(|entry| match entry {
            Entry::LedgerSeen { seq, .. } => Some(seq.0),
            _ => None,
        });
        seen.collect::<Vec<_>>()
    };
    sees(&mut bench, 70);
    bench.after(LEDGER_SEEN_EVERY_MS);
    assert_eq!(kept(&mut bench), [0_u64; 0]);
    bench.say("from-10", trade(None, &[order(10, 1)]));
    assert_eq!(kept(&mut bench), [70]);
    sees(&mut bench, 71);
    bench.after(LEDGER_SEEN_EVERY_MS - 1);
    bench.say("from-10", trade(None, &[order(10, 2)]));
    assert_eq!(kept(&mut bench), [0_u64; 0], "not with every record");
    bench.after(1);
    bench.say("from-10", trade(None, &[order(10, 3)]));
    assert_eq!(kept(&mut bench), [71]);
}

/// Otherwise a warehouse that is put back to before an outcome hears nothing of it from whom it was told.
#[test]
fn outcomes_on_a_stream_come_with_what_proves_them_and_a_refusal_does_not() {
    let mut bench = trading();
    let [one, two, three] = [1, 2, 3].map(|k| order(10, k));
    bench.say("from-10", trade(None, &[one, two, three]));
    bench.decided(1, &[one]);
    assert_eq!(bench.answered_with, None, "nothing was seen of the ledger yet");
    let ledger = (Seq(9), Hash([1; 32]));
    let answer = SettleAnswer { batch: Batch(1), ledger, ..SettleAnswer::default() };
    bench.say("settle", settled(SettleAnswer { outcomes: vec![deposited(&two)], ..answer.clone() }));
    assert_eq!(bench.answered_with.map(|seen| seen.ledger()), Some(ledger));
    bench.say("settle", settled(SettleAnswer { not_taken: vec![(three.id, NotTaken::Stale)], ..answer }));
    assert_eq!(bench.answered_with, None);
}
