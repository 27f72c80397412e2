use super::*;

fn pair(it: &mut Driven, peer: u32, starts: u64) -> Result<(), Denied> {
    it.demand(Ask::Pair(Box::new(hello(peer, starts)), Term(1), Term(2)))
}

fn resign(it: &mut Driven, peer: u32, to: u32, pass_over: bool) {
    let given_up = GivenUp { term: Term(1), to: PeerId(to), pass_over };
    it.demand(Ask::Resign(Box::new(hello(peer, 1)), given_up)).unwrap();
}

#[test]
fn only_the_primary_pairs_and_only_present_terms() {
    let mut it = warehouse();
    assert!(it.up(6, 1) && it.up(5, 1));
    it.kinds();
    it.claim(6, Office::Primary).unwrap();
    it.claim(5, Office::Secondary).unwrap();
    let home = it.roster(12).home(PeerId(5)).unwrap().peer;
    assert_eq!(home, PeerId(6), "a secondary in sync serves nobody yet");
    let denied = Denied::NotPartner(Term(2));
    assert_eq!(pair(&mut it, 5, 1), Err(denied.clone()));
    assert_eq!(pair(&mut it, 6, 2), Err(denied));
    pair(&mut it, 6, 1).unwrap();
    pair(&mut it, 6, 1).unwrap();
    assert_eq!(it.kinds(), ["office", "office", "paired"]);
    assert_eq!(it.roster(12).home(PeerId(5)).unwrap().peer, PeerId(5));
}

#[test]
fn a_claim_is_idempotent_per_process() {
    let mut it = paired();
    it.claim(6, Office::Primary).unwrap();
    assert!(it.kinds().is_empty());
}

#[test]
fn a_living_holder_is_not_deposed_by_a_claim() {
    let mut it = paired();
    let held = Denied::Held { office: Office::Primary, holder: PeerId(6) };
    assert_eq!(it.claim(4, Office::Primary), Err(held));
}

#[test]
fn nobody_holds_an_office_without_a_control_stream() {
    let mut it = warehouse();
    assert_eq!(it.claim(4, Office::Primary), Err(Denied::NotPresent(PeerId(4))));
}

#[test]
fn only_the_paired_partner_or_the_holders_peer_may_fence() {
    let mut it = paired();
    assert_eq!(it.fence(4, 1), Err(Denied::NotPartner(Term(1))));
    it.fence(5, 1).unwrap();
    it.fence(5, 2).unwrap();
    assert_eq!(it.kinds(), ["fence", "fence"]);
}

#[test]
fn a_fenced_trader_may_not_fence() {
    let mut it = paired();
    it.fence(5, 1).unwrap();
    assert_eq!(it.fence(6, 2), Err(Denied::NotPartner(Term(2))));
}

#[test]
fn an_unpaired_secondary_may_not_fence() {
    let mut it = paired();
    it.gone(control(5, 1));
    it.claim(4, Office::Secondary).unwrap();
    it.it.market.offices.paired = false;
    assert_eq!(it.fence(4, 1), Err(Denied::NotPartner(Term(1))));
}

#[test]
fn resigning_in_favour_of_someone_is_one_step() {
    let mut it = paired();
    resign(&mut it, 6, 4, false);
    assert_eq!(it.kinds(), ["fence", "office"]);
    assert_eq!(it.roster(20).primary.unwrap().peer, PeerId(4));
}

#[test]
fn a_secondary_that_could_not_be_brought_up_to_date_is_passed_over_for_a_while() {
    let mut it = warehouse();
    assert!([4, 5, 6].into_iter().all(|peer| it.up(peer, 1)));
    it.claim(6, Office::Primary).unwrap();
    it.claim(5, Office::Secondary).unwrap();
    it.pass(5);
    let before = it.roster(5);
    it.fence(6, 2).unwrap();
    let after = it.roster(5);
    assert!(after.newer_than(&before) && after.passed_over == [PeerId(5)]);
    assert_eq!(it.claim(5, Office::Secondary), Err(Denied::PassedOver(PeerId(5))));
    it.claim(4, Office::Secondary).unwrap();
    let over = Now(5).after_ms(crate::limits::PASS_OVER_MS);
    assert_eq!(it.it.presence.next_change(Now(2_000), &it.it.market.offices), Some(over));
    let later = it.roster(over.0);
    assert!(later.newer_than(&after) && later.passed_over.is_empty());
}

/// Otherwise a market whose only other trader is stopped or cut off has none until its connection is given up.
#[test]
fn nobody_is_passed_over_for_the_sake_of_one_who_is_silent() {
    let mut it = warehouse();
    assert!(it.up(5, 1) && it.up(6, 1));
    it.claim(6, Office::Primary).unwrap();
    it.claim(5, Office::Secondary).unwrap();
    it.fence(6, 2).unwrap();
    it.silent = vec![6];
    it.pass(1_099);
    assert_eq!(it.roster(1_099).passed_over, [PeerId(5)]);
    it.pass(1_100);
    let silent = it.roster(1_100);
    assert!(silent.claimable(Office::Primary) && silent.passed_over.is_empty(), "{silent:?}");
    it.claim(5, Office::Primary).unwrap();
}

#[test]
fn who_resigns_by_hand_is_passed_over_and_a_handover_is_not() {
    for pass_over in [true, false] {
        let mut it = warehouse();
        assert!(it.up(5, 1) && it.up(6, 1));
        it.claim(6, Office::Primary).unwrap();
        resign(&mut it, 6, 0, pass_over);
        assert_eq!(it.claim(6, Office::Primary).is_err(), pass_over);
        assert_eq!(it.claim(5, Office::Primary).is_ok(), pass_over);
    }
}

#[test]
fn offices_are_for_peers() {
    let mut it = warehouse();
    it.open(1_000, token(1_000).store_id(), 0).unwrap();
    it.open(0, token(1_001).store_id(), 0).unwrap();
    assert!(it.up(1_000, 1));
    assert_eq!(it.claim(1_001, Office::Primary), Err(Denied::NotEligible(PeerId(1_001))));
    assert_eq!(it.claim(1_000, Office::Primary), Ok(()), "the highest id of a peer");
}

/// Otherwise the office of a dead trader's partner is kept from it when it comes back.
#[test]
fn a_fence_of_a_pair_passes_nobody_over() {
    let mut it = paired();
    it.fence(5, 1).unwrap();
    assert_eq!(it.roster(20).passed_over, []);
    let mut alone = warehouse();
    assert!(alone.up(6, 1));
    alone.claim(6, Office::Primary).unwrap();
    alone.fence(6, 1).unwrap();
    assert_eq!(alone.roster(20).passed_over, [], "nor the holder that ends its own term");
}

#[test]
fn a_roster_shows_where_its_traders_listen_and_each_change_is_newer() {
    let mut it = paired();
    let before = it.roster(20);
    assert_eq!(
        before.seats().map(|seat| seat.addr.as_str()).collect::<Vec<_>>(),
        ["127.0.0.1:7706", "127.0.0.1:7705"]
    );
    it.gone(control(5, 1));
    let after = it.roster(20);
    assert_eq!((after.seq, after.version), (before.seq, before.version + 1));
    assert!(after.newer_than(&before) && after.secondary.is_some_and(|seat| seat.addr.is_empty()));
}

/// What was decided in a term is settled as the term's mode says, so no term outlives its mode.
#[test]
fn a_change_of_the_mode_ends_both_terms_before_its_row() {
    let mut it = paired();
    assert!(matches!(
        it.ask(Ask::Mode(Consistency::Cacheless)),
        Ok(Answer::Mode(Consistency::Cacheless, None))
    ));
    assert!(it.kinds().is_empty(), "it was in that mode");
    let before = it.roster(20).clone();
    let answer = it.ask(Ask::Mode(Consistency::Cached));
    let row = Some(it.it.market.seq);
    assert!(matches!(answer, Ok(Answer::Mode(Consistency::Cacheless, of)) if of == row));
    assert_eq!(it.kinds(), ["fence", "fence", "mode"]);
    let now = it.roster(20);
    assert!(now.newer_than(&before) && now.mode == Consistency::Cached && !now.paired);
    assert_eq!(now.seats().count(), 0);
    it.claim(6, Office::Primary).unwrap();
    assert_eq!(it.roster(20).mode, Consistency::Cached);
}

#[test]
fn a_new_ledger_has_its_mode_behind_its_goods() {
    let cached = Parts { mode: Consistency::Cached, ..parts(Market::default(), 1) };
    let mut it = Driven::with(cached);
    it.end();
    assert_eq!(it.kinds(), ["stocked", "mode"]);
    let mut again = Driven::with(parts(it.it.market, 2));
    again.end();
    assert!(again.kinds().is_empty() && again.it.market.mode == Consistency::Cached, "it keeps it");
}
