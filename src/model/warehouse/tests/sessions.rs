use super::*;
use crate::limits::{ADDR_BYTES_MAX, CLIENTS_MAX};

/// The first epoch of the generation of [`restored`].
const FIRST: Epoch = Epoch(2 << 16);

#[test]
fn another_store_of_a_connected_peer_waits() {
    let mut it = paired();
    let store = Hash::of(b"another");
    assert_eq!(it.open(6, store, 0), Err(Denied::StoreAlive(PeerId(6))));
    it.gone(control(6, 1));
    let opened = it.open(6, store, 0).unwrap();
    assert_eq!(opened.epoch, Epoch(1));
    assert!(!opened.is_ahead_of(Number(0)), "a store that replaces a lost one is no old copy");
    let copy = Opened { highest: Number::new(Epoch(1), 7), ..opened };
    assert!(copy.is_ahead_of(Number::new(Epoch(1), 6)) && !copy.is_ahead_of(copy.highest));
    assert_eq!(it.kinds(), ["fence", "session"]);
}

#[test]
fn opening_again_gives_the_same_session() {
    let mut it = warehouse();
    let client = it.open(0, Hash::of(b"client"), 0).unwrap();
    assert_eq!(client.peer, PeerId(1001));
    let again = it.open(0, Hash::of(b"client"), 0).unwrap();
    assert_eq!((again.peer, again.epoch, again.new), (client.peer, client.epoch, false));
    assert_eq!(it.open(0, Hash::of(b"other"), 0).unwrap().peer, PeerId(1002));
}

#[test]
fn a_store_of_another_market_opens_nothing() {
    let mut it = warehouse();
    it.kinds();
    let opening = Opening {
        seen: None,
        licence: None,
        peer: PeerId(7),
        store: Hash::of(b"seven"),
        cluster: "there".to_owned(),
        generation: Generation::default(),
    };
    let refused = it.ask(Ask::Open(opening)).unwrap_err();
    assert!(matches!(refused, Refusal::Denied(Denied::OtherCluster { .. })), "{refused}");
    assert!(it.kinds().is_empty());
}

#[test]
fn a_restore_closes_all_sessions_and_vacates_the_offices() {
    let mut it = restored();
    let roster = it.roster(1);
    assert_eq!((roster.generation, roster.primary, roster.secondary), (Generation::of_test(2), None, None));
    assert_eq!(roster.seq, it.it.market.seq);
    assert!(!it.up(6, 1));
    assert!(it.it.knows(&hello(6, 1)), "its word on the ledger is believed all the same");
    assert_eq!(it.claim(6, Office::Primary), Err(Denied::NotMember(PeerId(6))));

    let opened = it.open(6, token(6).store_id(), 0).unwrap();
    assert_eq!((opened.epoch, opened.highest, opened.new), (FIRST, Number::new(FIRST, 0), true));
    let again = it.open(6, token(6).store_id(), 2).unwrap();
    assert_eq!((again.epoch, again.new), (FIRST, false));
    let hello = Hello { epoch: FIRST, ..hello(6, 1) };
    assert!(it.come(hello.clone(), 2));
    it.demand(Ask::Claim(Box::new(hello), Office::Primary)).unwrap();
    let term = it.it.market.offices.primary.unwrap().term;
    assert_eq!(term, Term((2 << 46) + 1), "no term of the lost part is granted again");
    assert_eq!(it.kinds(), ["session", "office"]);
}

#[test]
fn a_peer_that_the_backup_does_not_know_uses_no_number_again() {
    let mut it = restored();
    assert_eq!(it.open(7, Hash::of(b"seven"), 0).unwrap().epoch, FIRST);
    assert_eq!(it.open(8, Hash::of(b"eight"), 2).unwrap().epoch, FIRST, "new in the market");
}

#[test]
fn a_client_of_the_lost_part_takes_nobodys_number() {
    let mut it = restored();
    let open = |it: &mut Driven, peer: u32, store: &[u8], generation| {
        let opened = it.open(peer, Hash::of(store), generation).unwrap();
        (opened.peer.0, opened.epoch.0)
    };
    assert_eq!(
        open(&mut it, 0, b"b", 0),
        (1002, FIRST.0),
        "a new client gets the number that a lost one had"
    );
    assert_eq!(open(&mut it, 1002, b"c", 0), (1003, FIRST.0), "the lost one gets another");
    assert_eq!(open(&mut it, 1002, b"c", 0), (1003, FIRST.0), "asked again before it has noted its number");
    assert_eq!(open(&mut it, 1003, b"c", 2), (1003, FIRST.0));
    assert_eq!(open(&mut it, 1002, b"b", 2), (1002, FIRST.0));
    assert_eq!(open(&mut it, 1001, b"a", 0), (1001, FIRST.0), "the backup knows this one by its store");
}

#[test]
fn a_store_that_has_seen_a_later_generation_opens_nothing() {
    let mut it = restored();
    let denied = Denied::OlderCopy { seen: Generation::of_test(3), own: Generation::of_test(2) };
    assert_eq!(it.open(7, Hash::of(b"seven"), 3), Err(denied));
    assert!(it.kinds().is_empty());
}

#[test]
fn traders_are_told_of_a_new_session_before_its_store_is() {
    let mut it = paired();
    it.open(0, Hash::of(b"client"), 0).unwrap();
    assert_eq!(it.lines(), ["recorded: s501 sessions 1", "recorded: s601 sessions 1"]);
}

#[test]
fn a_store_of_another_restore_with_the_same_count_is_refused_with_the_mend() {
    let mut it = restored();
    let rival = Generation { count: 2, random: 9 };
    let opening = Opening {
        peer: PeerId(7),
        store: Hash::of(b"seven"),
        cluster: String::new(),
        generation: rival,
        seen: None,
        licence: None,
    };
    let refused = it.ask(Ask::Open(opening)).unwrap_err().to_string();
    assert!(refused.contains("bazaar restore --from DIRECTORY --accept-loss --above 2"), "{refused}");
    // Not even with a session of this ledger. A bare claim ends nothing.
    it.open(6, token(6).store_id(), 0).unwrap();
    it.kinds();
    assert!(!it.come(Hello { epoch: FIRST, generation: rival, ..hello(6, 1) }, 2));
    assert!(it.lines().iter().all(|line| !line.contains("exit")) && it.kinds().is_empty());
}

/// Otherwise the next epoch would be one that a later generation begins with.
#[test]
fn a_peer_has_so_many_stores_in_one_generation_and_no_more() {
    let mut it = warehouse();
    let last = Epoch(FIRST.0 / 2 - 1);
    let record = |epoch, store: &[u8]| {
        let (peer, store, key, clock) = (PeerId(7), Hash::of(store), None, Stamp(9));
        Record::Session { peer, epoch, store, key, clock }
    };
    it.it.market.apply_outcome(Seq(900), TIME, &record(Epoch(last.0 - 1), b"last but one"));
    assert_eq!(it.open(7, Hash::of(b"last"), 0).unwrap().epoch, last);
    it.kinds();
    let denied = Denied::EpochsSpent(PeerId(7));
    assert!(denied.to_string().contains("bazaar restore --from DIRECTORY --accept-loss"));
    assert_eq!(it.open(7, Hash::of(b"one more"), 0), Err(denied));
    assert!(it.kinds().is_empty(), "nothing changed");
    it.it.market.apply_outcome(
        Seq(901),
        TIME,
        &Record::Restored { generation: Generation::of_test(1), clock: Stamp(9) },
    );
    assert_eq!(it.open(7, Hash::of(b"one more"), 0).unwrap().epoch, Epoch(FIRST.0 / 2), "the mend works");
}

/// What others check signatures with stands in the chain, once for each key.
#[test]
fn the_warehouse_shows_its_key_once_and_again_when_it_has_another() {
    let begun = |market: Market, key: u8| {
        let mut it = Driven::with(Parts { key: Some(SecretKey([key; 32])), ..parts(market, 1) });
        it.end();
        (it.kinds(), it.it.market)
    };
    let (kinds, market) = begun(Market::default(), 1);
    assert_eq!(kinds, ["stocked", "session"], "behind the initial goods");
    assert_eq!(market.key(), Some(SecretKey([1; 32]).public()));
    assert!(market.sessions.is_empty(), "it is nobody's session");
    let (kinds, market) = begun(market, 1);
    assert_eq!(kinds, [""; 0]);
    let (kinds, market) = begun(market, 2);
    assert_eq!(
        (kinds, market.keys.len(), market.key()),
        (vec!["session"], 2, Some(SecretKey([2; 32]).public()))
    );
}

/// Otherwise what a trader had accepted under a term that a restore lost stays with it for ever: only who held an office
/// has orders of others to hand over, and the ledger knows of no office of it.
#[test]
fn a_licence_shows_an_office_that_a_restore_lost() {
    let mut it = Driven::with(Parts { key: Some(KEY), ..parts(restored().it.market, 3) });
    it.end();
    let held = |it: &mut Driven, peer| match it.ask(Ask::Session(PeerId(peer))) {
        Ok(Answer::Session(_, Some(session))) => session.held_office,
        other => panic!("{other:?}"),
    };
    let licence = Signer::new(KEY).licence(PeerId(6), Term(9));
    for (peer, expected) in [(4, false), (6, true)] {
        let (peer, store) = (PeerId(peer), token(peer).store_id());
        let (cluster, generation, licence) = (String::new(), Generation::default(), Some(Box::new(licence)));
        let opening = Opening { peer, store, cluster, generation, seen: None, licence };
        assert!(it.ask(Ask::Open(opening)).is_ok());
        assert_eq!(held(&mut it, peer.0), expected, "{peer}: the licence is of peer 6");
    }
}

#[test]
fn who_was_granted_an_office_is_known_and_gets_a_licence() {
    let mut it = Driven::with(Parts { key: Some(KEY), ..parts(paired().it.market, 2) });
    it.end();
    let now = it.at.now;
    let seat = it.it.roster(now).primary.clone().unwrap();
    assert!(seat.licence.is_some_and(|licence| licence.proven_by(&it.it.market.keys, PeerId(6))));
    assert!(it.it.session(PeerId(6)).unwrap().held_office, "granted before this process began");
    assert!(!it.it.session(PeerId(4)).unwrap().held_office);
    let mut it = warehouse();
    it.up(4, 1);
    it.claim(4, Office::Primary).unwrap();
    assert!(it.it.session(PeerId(4)).unwrap().held_office, "granted by this process");
}

#[test]
fn a_client_that_lost_its_store_keeps_its_id() {
    let mut it = warehouse();
    assert_eq!(it.open(0, Hash::of(b"one"), 0).unwrap().peer, PeerId(1_001));
    let again = it.open(1_001, Hash::of(b"other"), 0).unwrap();
    assert_eq!((again.peer, again.epoch), (PeerId(1_001), Epoch(1)));
}

#[test]
fn there_are_only_so_many_clients() {
    let mut it = warehouse();
    let last = PeerId(PeerId::PEER_MAX.0 + CLIENTS_MAX);
    it.it.market.sessions.insert(PeerId(last.0 - 1), Default::default());
    assert_eq!(it.open(0, Hash::of(b"last"), 0).unwrap().peer, last);
    assert_eq!(it.open(0, Hash::of(b"one more"), 0), Err(Denied::TooManyClients));
}

#[test]
fn an_address_has_its_longest_length() {
    let mut it = warehouse();
    let at = |len| Hello { addr: "a".repeat(len), ..hello(4, 1) };
    assert!(!it.come(at(ADDR_BYTES_MAX + 1), 1));
    assert!(it.come(at(ADDR_BYTES_MAX), 1));
}
