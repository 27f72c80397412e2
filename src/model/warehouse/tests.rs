use super::*;
use crate::model::market::tests::order;
use crate::types::{OrderKind, Token};

const T: WallMicros = WallMicros(1);
const NOW: Now = Now(5);

fn token(peer: u32) -> Token {
    Token([peer as u8; 32])
}

fn hello(peer: u32, starts: u64) -> Hello {
    let process = ProcessId { starts, ..ProcessId::default() };
    let addr = format!("127.0.0.1:{}", 7700 + peer);
    Hello { peer: PeerId(peer), token: Some(token(peer)), process, addr, ..Hello::default() }
}

/// A warehouse with sessions of peers 4, 5 and 6, whose grace is over at 1000.
fn warehouse() -> Warehouse {
    let rules = Rules { commission_percent: 5, suspect_after_ms: 1000, starts: 1 };
    let mut it = Warehouse::new(Market::default(), Clock::starting_at(Stamp(0)), rules, Now(0));
    it.stock(T, &[("fish".into(), Quantity(10), Money(100))]);
    for peer in 4..=6 {
        it.open(T, PeerId(peer), token(peer).store_id(), 0).unwrap();
    }
    it
}

fn up(it: &mut Warehouse, peer: u32, starts: u64) {
    it.control_up(T, &hello(peer, starts), u64::from(peer) * 100 + starts).unwrap();
}

fn claim(it: &mut Warehouse, now: u64, peer: u32, office: Office) -> Result<(), Denied> {
    it.claim(Now(now), T, &hello(peer, 1), office)
}

fn kinds(it: &mut Warehouse) -> Vec<&'static str> {
    it.take_fresh().iter().map(Record::kind).collect()
}

/// Peers 6 and 5 in office and paired.
fn paired() -> Warehouse {
    let mut it = warehouse();
    [6, 5, 4].into_iter().for_each(|peer| up(&mut it, peer, 1));
    claim(&mut it, 10, 6, Office::Primary).unwrap();
    claim(&mut it, 11, 5, Office::Secondary).unwrap();
    it.pair(T, &hello(6, 1), Term(1), Term(2)).unwrap();
    it.take_fresh();
    it
}

#[test]
fn only_the_primary_pairs_and_only_present_terms() {
    let mut it = warehouse();
    [6, 5].into_iter().for_each(|peer| up(&mut it, peer, 1));
    it.take_fresh();
    claim(&mut it, 10, 6, Office::Primary).unwrap();
    claim(&mut it, 11, 5, Office::Secondary).unwrap();
    assert_eq!(
        it.roster(Now(12)).home(PeerId(5)).unwrap().peer,
        PeerId(6),
        "a secondary in sync serves nobody yet"
    );
    let denied = Denied::NotPartner(Term(2));
    assert_eq!(it.pair(T, &hello(5, 1), Term(1), Term(2)), Err(denied.clone()));
    assert_eq!(it.pair(T, &hello(6, 2), Term(1), Term(2)), Err(denied));
    it.pair(T, &hello(6, 1), Term(1), Term(2)).unwrap();
    it.pair(T, &hello(6, 1), Term(1), Term(2)).unwrap();
    assert_eq!(kinds(&mut it), ["office", "office", "paired"]);
    assert_eq!(it.roster(Now(12)).home(PeerId(5)).unwrap().peer, PeerId(5));
}

#[test]
fn a_claim_is_idempotent_per_process() {
    let mut it = paired();
    claim(&mut it, 20, 6, Office::Primary).unwrap();
    assert_eq!(kinds(&mut it), Vec::<&str>::new());
}

#[test]
fn a_living_holder_is_not_deposed_by_a_claim() {
    let mut it = paired();
    let held = Denied::Held { office: Office::Primary, holder: PeerId(6) };
    assert_eq!(claim(&mut it, 20, 4, Office::Primary), Err(held));
}

#[test]
fn nobody_holds_an_office_without_a_control_stream() {
    let mut it = warehouse();
    assert_eq!(claim(&mut it, 20, 4, Office::Primary), Err(Denied::NotPresent(PeerId(4))));
}

#[test]
fn a_closed_control_stream_makes_the_office_claimable_at_once() {
    let mut it = paired();
    it.control_closed(601);
    assert!(it.roster(Now(20)).claimable(Office::Primary));
    claim(&mut it, 21, 4, Office::Primary).unwrap();
    assert_eq!(kinds(&mut it), ["fence", "office"]);
}

#[test]
fn an_unanswered_heartbeat_makes_the_office_claimable_after_suspect_after() {
    let mut it = paired();
    it.heartbeat(Now(100));
    it.alive(501);
    assert_eq!(it.next_change(Now(150)), Some(Now(1000)));
    assert!(!it.roster(Now(1099)).claimable(Office::Primary));
    assert!(it.roster(Now(1100)).claimable(Office::Primary));
    assert!(!it.roster(Now(1100)).claimable(Office::Secondary));
}

#[test]
fn after_a_start_holders_count_as_present_for_a_while() {
    let before = paired();
    let rules = Rules { commission_percent: 5, suspect_after_ms: 1000, starts: 2 };
    let mut it = Warehouse::new(before.market, Clock::starting_at(Stamp(99)), rules, Now(0));
    up(&mut it, 4, 1);
    assert!(matches!(claim(&mut it, 999, 4, Office::Primary), Err(Denied::Held { .. })));
    claim(&mut it, 1000, 4, Office::Primary).unwrap();
}

#[test]
fn a_newer_process_of_the_holder_ends_its_term() {
    let mut it = paired();
    up(&mut it, 6, 2);
    assert_eq!(kinds(&mut it), ["fence"]);
    assert!(it.roster(Now(20)).claimable(Office::Primary));
}

#[test]
fn an_older_process_of_a_connected_peer_is_refused() {
    let mut it = paired();
    up(&mut it, 4, 3);
    assert_eq!(it.control_up(T, &hello(4, 2), 9), Err(Denied::StoreAlive(PeerId(4))));
}

#[test]
fn only_the_paired_partner_or_the_own_peer_may_fence() {
    let mut it = paired();
    assert_eq!(it.fence(NOW, T, &hello(4, 1), Term(1)), Err(Denied::NotPartner(Term(1))));
    it.fence(NOW, T, &hello(5, 1), Term(1)).unwrap();
    it.fence(NOW, T, &hello(5, 1), Term(2)).unwrap();
    assert_eq!(kinds(&mut it), ["fence", "fence"]);
}

#[test]
fn a_fenced_trader_may_not_fence() {
    let mut it = paired();
    it.fence(NOW, T, &hello(5, 1), Term(1)).unwrap();
    assert_eq!(it.fence(NOW, T, &hello(6, 1), Term(2)), Err(Denied::NotPartner(Term(2))));
}

#[test]
fn an_unpaired_secondary_may_not_fence() {
    let mut it = paired();
    it.control_closed(501);
    claim(&mut it, 20, 4, Office::Secondary).unwrap();
    it.market.offices.paired = false;
    assert_eq!(it.fence(NOW, T, &hello(4, 1), Term(1)), Err(Denied::NotPartner(Term(1))));
}

#[test]
fn resigning_in_favour_of_someone_is_one_step() {
    let mut it = paired();
    it.resign(NOW, T, &hello(6, 1), GivenUp { term: Term(1), to: PeerId(4), pass_over: false }).unwrap();
    assert_eq!(kinds(&mut it), ["fence", "office"]);
    assert_eq!(it.roster(Now(20)).primary.unwrap().peer, PeerId(4));
}

#[test]
fn another_store_of_a_connected_peer_waits() {
    let mut it = paired();
    let store = Hash::of(b"another");
    assert_eq!(it.open(T, PeerId(6), store, 0), Err(Denied::StoreAlive(PeerId(6))));
    it.control_closed(601);
    let opened = it.open(T, PeerId(6), store, 0).unwrap();
    assert_eq!(opened.epoch, Epoch(1));
    assert!(!opened.is_ahead_of(Number(0)), "a store that replaces a lost one is no old copy");
    let copy = Opened { highest: Number::new(Epoch(1), 7), ..opened };
    assert!(copy.is_ahead_of(Number::new(Epoch(1), 6)) && !copy.is_ahead_of(copy.highest));
    assert_eq!(kinds(&mut it), ["fence", "session"]);
}

#[test]
fn opening_again_gives_the_same_session() {
    let mut it = warehouse();
    let client = it.open(T, PeerId(0), Hash::of(b"client"), 0).unwrap();
    assert_eq!(client.peer, PeerId(1001));
    let again = it.open(T, PeerId(0), Hash::of(b"client"), 0).unwrap();
    assert_eq!((again.peer, again.epoch, again.new), (client.peer, client.epoch, false));
    assert_eq!(it.open(T, PeerId(0), Hash::of(b"other"), 0).unwrap().peer, PeerId(1002));
}

fn job(stream: u64, batch: u64, term: u64, orders: Vec<Order>) -> Job {
    Job { stream, batch: Batch(batch), term: Term(term), orders }
}

#[test]
fn a_write_needs_the_present_term_of_the_streams_process() {
    let mut it = paired();
    it.stream_up(1, &hello(6, 1));
    it.stream_up(2, &hello(6, 2));
    it.stream_up(3, &hello(4, 1));
    let buy = || vec![order(4, 1, OrderKind::Buy { partial: false }, 0, 1)];
    let refused: Vec<_> = [job(2, 1, 1, buy()), job(3, 1, 1, buy()), job(1, 1, 2, buy())]
        .into_iter()
        .map(|job| it.settle(T, vec![job], false)[0].refused)
        .collect();
    assert_eq!(refused, [Some(NotTaken::Fenced); 3]);
    it.stream_up(4, &hello(6, 1));
    assert_eq!(it.settle(T, vec![job(4, 1, 1, buy())], false)[0].outcomes.len(), 1);
}

#[test]
fn after_a_batch_not_taken_no_later_one_of_that_stream_is() {
    let mut it = paired();
    it.stream_up(1, &hello(6, 1));
    let buy = |k| vec![order(4, k, OrderKind::Buy { partial: false }, 0, 1)];
    assert_eq!(it.settle(T, vec![job(1, 1, 1, buy(1))], true)[0].refused, Some(NotTaken::DiskFull));
    assert_eq!(it.settle(T, vec![job(1, 2, 1, buy(2))], false)[0].refused, Some(NotTaken::DiskFull));
    it.stream_up(2, &hello(6, 1));
    assert_eq!(it.settle(T, vec![job(2, 1, 1, buy(1))], false)[0].outcomes.len(), 1);
}

#[test]
fn above_a_number_that_was_not_taken_nothing_of_that_peer_is() {
    let mut it = paired();
    it.stream_up(1, &hello(6, 1));
    let kind = OrderKind::Buy { partial: false };
    let orders = vec![order(4, 1, kind, 9, 1), order(4, 2, kind, 0, 1), order(5, 1, kind, 0, 1)];
    let done = it.settle(T, vec![job(1, 1, 1, orders)], false);
    let why: Vec<_> = done[0].not_taken.iter().map(|(id, why)| (id.number.k(), *why)).collect();
    assert_eq!(why, [(1, NotTaken::UnknownProduct), (2, NotTaken::Window)]);
    assert_eq!(done[0].outcomes.len(), 1);
    let again = vec![order(4, 1, OrderKind::Void, 0, 0), order(4, 1, kind, 0, 1), order(4, 2, kind, 0, 1)];
    assert_eq!(it.settle(T, vec![job(1, 2, 1, again)], false)[0].outcomes.len(), 3);
}

#[test]
fn what_is_ready_is_decided_in_stamp_order_over_all_batches() {
    let mut it = paired();
    it.stream_up(1, &hello(6, 1));
    it.stream_up(2, &hello(5, 1));
    let kind = OrderKind::Buy { partial: false };
    let jobs = vec![
        job(1, 1, 1, vec![order(4, 2, kind, 0, 6), order(4, 9, kind, 0, 1)]),
        job(2, 1, 2, vec![order(5, 1, kind, 0, 6)]),
    ];
    let done = it.settle(T, jobs, false);
    assert_eq!(done[1].outcomes[0].kind, crate::model::row::OutcomeKind::Bought);
    assert_eq!(done[0].outcomes[0].kind, crate::model::row::OutcomeKind::SoldOut);
    let stamps: Vec<_> = it.take_fresh().iter().filter_map(|it| Some(it.decision()?.order.stamp.0)).collect();
    assert_eq!(stamps, [1, 2, 9]);
}

#[test]
fn a_secondary_that_could_not_be_brought_up_to_date_is_passed_over_for_a_while() {
    let mut it = warehouse();
    [4, 5, 6].into_iter().for_each(|peer| up(&mut it, peer, 1));
    claim(&mut it, 1, 6, Office::Primary).unwrap();
    claim(&mut it, 1, 5, Office::Secondary).unwrap();
    let before = it.roster(NOW);
    it.fence(NOW, T, &hello(6, 1), Term(2)).unwrap();
    let after = it.roster(NOW);
    assert!(after.newer_than(&before) && after.passed_over == [PeerId(5)]);
    assert_eq!(claim(&mut it, 6, 5, Office::Secondary), Err(Denied::PassedOver(PeerId(5))));
    claim(&mut it, 6, 4, Office::Secondary).unwrap();
    let over = NOW.after_ms(crate::limits::PASS_OVER_MS);
    assert_eq!(it.next_change(Now(2_000)), Some(over));
    assert!(it.roster(over).newer_than(&after) && it.roster(over).passed_over.is_empty());
}

/// Otherwise a market whose only other trader is stopped or cut off has none until its connection is given up.
#[test]
fn nobody_is_passed_over_for_the_sake_of_one_who_is_silent() {
    let mut it = warehouse();
    [5, 6].into_iter().for_each(|peer| up(&mut it, peer, 1));
    claim(&mut it, 1, 6, Office::Primary).unwrap();
    claim(&mut it, 1, 5, Office::Secondary).unwrap();
    it.fence(NOW, T, &hello(6, 1), Term(2)).unwrap();
    it.heartbeat(Now(100));
    it.alive(501);
    assert_eq!(it.roster(Now(1_099)).passed_over, [PeerId(5)]);
    let silent = it.roster(Now(1_100));
    assert!(silent.claimable(Office::Primary) && silent.passed_over.is_empty(), "{silent:?}");
    claim(&mut it, 1_101, 5, Office::Primary).unwrap();
}

#[test]
fn who_resigns_by_hand_is_passed_over_and_a_handover_is_not() {
    for pass_over in [true, false] {
        let mut it = warehouse();
        [5, 6].into_iter().for_each(|peer| up(&mut it, peer, 1));
        claim(&mut it, 1, 6, Office::Primary).unwrap();
        it.resign(NOW, T, &hello(6, 1), GivenUp { term: Term(1), to: PeerId(0), pass_over }).unwrap();
        assert_eq!(claim(&mut it, 6, 6, Office::Primary).is_err(), pass_over);
        assert_eq!(claim(&mut it, 6, 5, Office::Primary).is_ok(), pass_over);
    }
}

/// The market of `paired`, restored from a backup as generation 900, in a process of its own.
fn restored() -> Warehouse {
    let mut before = paired();
    before.open(T, PeerId(0), Hash::of(b"a"), 0).unwrap();
    let mut market = before.market;
    let restored = Record::Restored { generation: 900, clock: Stamp(50) };
    market.apply_outcome(market.seq.next(), T, &restored);
    let rules = Rules { commission_percent: 5, suspect_after_ms: 1000, starts: 2 };
    Warehouse::new(market, Clock::starting_at(Stamp(50)), rules, Now(0))
}

#[test]
fn a_restore_closes_all_sessions_and_vacates_the_offices() {
    let mut it = restored();
    let roster = it.roster(Now(1));
    assert_eq!(
        (roster.generation, roster.seq, roster.primary, roster.secondary),
        (900, it.market.seq, None, None)
    );
    assert_eq!(it.control_up(T, &hello(6, 1), 1), Err(Denied::NotMember(PeerId(6))));
    assert!(it.knows(&hello(6, 1)), "its word on the ledger is believed all the same");
    assert_eq!(claim(&mut it, 1, 6, Office::Primary), Err(Denied::NotMember(PeerId(6))));

    let opened = it.open(T, PeerId(6), token(6).store_id(), 0).unwrap();
    assert_eq!((opened.epoch, opened.highest, opened.new), (Epoch(900), Number::new(Epoch(900), 0), true));
    let again = it.open(T, PeerId(6), token(6).store_id(), 900).unwrap();
    assert_eq!((again.epoch, again.new), (Epoch(900), false));
    let hello = Hello { epoch: Epoch(900), ..hello(6, 1) };
    it.control_up(T, &hello, 601).unwrap();
    it.claim(Now(2), T, &hello, Office::Primary).unwrap();
    assert_eq!(
        it.market.offices.primary.unwrap().term,
        Term(901),
        "no term of the lost part is granted again"
    );
    assert_eq!(kinds(&mut it), ["session", "office"]);
}

#[test]
fn a_peer_that_the_backup_does_not_know_uses_no_number_again() {
    let mut it = restored();
    assert_eq!(it.open(T, PeerId(7), Hash::of(b"seven"), 0).unwrap().epoch, Epoch(900));
    assert_eq!(
        it.open(T, PeerId(8), Hash::of(b"eight"), 900).unwrap().epoch,
        Epoch(900),
        "new in the market"
    );
}

#[test]
fn a_client_of_the_lost_part_takes_nobodys_number() {
    let mut it = restored();
    let open = |it: &mut Warehouse, peer: u32, store: &[u8], generation| {
        let opened = it.open(T, PeerId(peer), Hash::of(store), generation).unwrap();
        (opened.peer.0, opened.epoch.0)
    };
    assert_eq!(open(&mut it, 0, b"b", 0), (1002, 900), "a new client gets the number that a lost one had");
    assert_eq!(open(&mut it, 1002, b"c", 0), (1003, 900), "the lost one gets another");
    assert_eq!(open(&mut it, 1002, b"c", 0), (1003, 900), "asked again before it has noted its number");
    assert_eq!(open(&mut it, 1003, b"c", 900), (1003, 900));
    assert_eq!(open(&mut it, 1002, b"b", 900), (1002, 900));
    assert_eq!(open(&mut it, 1001, b"a", 0), (1001, 900), "the backup knows this one by its store");
}

#[test]
fn a_store_that_has_seen_a_later_generation_opens_nothing() {
    let mut it = restored();
    let denied = Denied::OlderCopy { seen: 901, own: 900 };
    assert_eq!(it.open(T, PeerId(7), Hash::of(b"seven"), 901), Err(denied));
    assert_eq!(kinds(&mut it), Vec::<&str>::new());
}

#[test]
fn who_was_away_itself_takes_nobody_for_silent() {
    let mut it = warehouse();
    up(&mut it, 6, 1);
    claim(&mut it, 1, 6, Office::Primary).unwrap();
    let seen = |it: &mut Warehouse, now| it.roster(Now(now)).primary.is_some_and(|seat| seat.present);
    it.heartbeat(Now(2_000));
    assert!(!seen(&mut it, 3_000), "silent for as long as suspicion takes");
    it.was_away(Now(3_000));
    assert!(seen(&mut it, 3_999) && !seen(&mut it, 4_000));
}
