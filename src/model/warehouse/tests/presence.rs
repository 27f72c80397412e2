use super::*;
use crate::limits::{WITNESS_INPUTS_MAX, WITNESSES_MAX_MS};

#[test]
fn a_closed_control_stream_makes_the_office_claimable_at_once() {
    let mut it = paired();
    it.gone(control(6, 1));
    assert!(it.roster(20).claimable(Office::Primary));
    it.claim(4, Office::Primary).unwrap();
    assert_eq!(it.kinds(), ["fence", "office"]);
}

#[test]
fn a_heartbeat_unanswered_makes_the_holder_absent() {
    let mut it = paired();
    it.silent = vec![6];
    it.pass(1_099);
    assert!(!it.roster(1_099).claimable(Office::Primary));
    assert_eq!(it.it.due(), Some(Now(1_100)));
    it.lines();
    it.at.now = Now(1_100);
    it.end();
    let asked = [4, 5, 6].map(|peer| format!("before: s{peer}01 heartbeat 11"));
    let told = ["s401 roster", "s501 roster, sessions 3", "s601 roster, sessions 3", "happens: roster"];
    assert_eq!(it.lines(), [&asked[..], &told.map(|line| format!("before: {line}"))].concat());
    let roster = it.roster(1_100);
    assert!(roster.claimable(Office::Primary) && !roster.claimable(Office::Secondary));
}

#[test]
fn after_a_start_holders_count_as_present_for_a_while() {
    let before = paired();
    let mut it = Driven::new(before.it.market, 2);
    assert!(it.up(4, 1));
    it.pass(999);
    assert!(matches!(it.claim(4, Office::Primary), Err(Denied::Held { .. })));
    it.pass(1_000);
    it.claim(4, Office::Primary).unwrap();
}

#[test]
fn a_newer_process_of_the_holder_ends_its_term() {
    let mut it = paired();
    assert!(it.up(6, 2));
    assert_eq!(it.kinds(), ["fence"]);
    assert!(it.roster(20).claimable(Office::Primary));
}

#[test]
fn an_older_process_of_a_connected_peer_is_hung_up() {
    let mut it = paired();
    assert!(it.up(4, 3));
    it.lines();
    assert!(!it.up(4, 2));
    assert_eq!(it.lines(), ["before: hang up s402"]);
}

/// Nothing but the warehouse ends the earlier stream: its peer has given it up, and heartbeats on it would be answered by
/// nobody.
#[test]
fn a_peer_is_seen_by_the_stream_that_it_dialed_last_and_by_no_other() {
    let mut it = paired();
    let dials = |stream| Hello { stream, ..hello(6, 1) };
    assert!(it.come(dials(8), 8));
    assert!(it.lines().contains(&"before: hang up s601".to_owned()));
    assert!(!it.come(dials(7), 7), "what it said on an abandoned connection arrives late");
    assert_eq!(it.lines(), ["before: hang up s607"]);
    it.gone(control(6, 1));
    it.gone(control(6, 7));
    assert!(!it.roster(20).claimable(Office::Primary));
    it.gone(control(6, 8));
    assert!(it.roster(20).claimable(Office::Primary));
}

#[test]
fn a_warehouse_that_was_stopped_takes_nobody_for_silent() {
    let mut it = warehouse();
    assert!(it.up(6, 1));
    it.claim(6, Office::Primary).unwrap();
    it.silent = vec![6];
    it.pass(2_000);
    let seen = |it: &mut Driven, now| it.roster(now).primary.is_some_and(|seat| seat.present);
    assert!(!seen(&mut it, 2_000), "silent for as long as suspicion takes");
    // The next turn was due within 100 ms.
    it.at.now = Now(3_000);
    it.end();
    assert!(seen(&mut it, 3_999) && !seen(&mut it, 4_000));
}

#[test]
fn a_little_late_is_not_away() {
    let mut it = warehouse();
    assert!(it.up(6, 1));
    it.claim(6, Office::Primary).unwrap();
    it.silent = vec![6];
    it.pass(1_099);
    it.at.now = Now(1_200);
    it.end();
    assert!(it.roster(1_200).claimable(Office::Primary));
}

/// Otherwise: started, stopped in its grace, gone on: anybody deposes holders that could not come back meanwhile.
#[test]
fn a_pause_in_the_grace_is_not_the_silence_of_holders() {
    let before = paired();
    let mut it = Driven::new(before.it.market, 2);
    assert!(it.up(4, 1));
    it.pass(500);
    it.wakes_at(60_000);
    assert!(matches!(it.claim(4, Office::Primary), Err(Denied::Held { .. })));
    it.pass(60_999);
    assert!(matches!(it.claim(4, Office::Primary), Err(Denied::Held { .. })));
    it.pass(61_000);
    it.claim(4, Office::Primary).unwrap();
}

/// The others gave their streams up while this process was stopped; their end is heard before their return.
#[test]
fn streams_that_end_behind_a_pause_are_not_the_death_of_holders() {
    let mut it = paired();
    it.pass(500);
    it.at.now = Now(60_000);
    it.gone(control(6, 1));
    assert!(matches!(it.claim(4, Office::Primary), Err(Denied::Held { .. })), "it may come back");
    assert!(it.up(6, 1));
    it.gone(control(6, 1));
    it.claim(4, Office::Primary).unwrap();
    it.gone(control(5, 1));
    assert!(matches!(it.claim(6, Office::Secondary), Err(Denied::NotPresent(_))));
    it.pass(61_000);
    assert!(it.roster(61_000).claimable(Office::Secondary), "it did not come back");
}

/// Each of them is below half of suspect-after.
#[test]
fn many_short_pauses_add_up_to_no_silence() {
    let mut it = paired();
    it.silent = vec![6];
    it.pass(150);
    for _ in 0..8 {
        let now = it.at.now.0;
        it.wakes_at(now + 450);
        it.pass(now + 460);
    }
    let now = it.at.now.0;
    assert!(!it.roster(now).claimable(Office::Primary));
    it.pass(now + 1_000);
    assert!(it.roster(now + 1_000).claimable(Office::Primary), "it is silent, though");
}

/// What each control stream was introduced to since the last look.
fn introduced(it: &mut Driven) -> Vec<String> {
    let lines = it.lines().into_iter();
    lines
        .filter(|line| line.contains("introduced"))
        .map(|line| line.split_once(": ").unwrap().1.to_owned())
        .collect()
}

#[test]
fn everybody_is_told_who_comes_and_a_newcomer_who_is_there() {
    let mut it = warehouse();
    it.up(4, 1);
    it.end();
    assert_eq!(introduced(&mut it), ["s401 introduced 4"], "it learns where it is seen itself");
    it.up(6, 1);
    it.end();
    assert_eq!(
        introduced(&mut it),
        ["s601 hello, roster, introduced 4", "s401 introduced 6", "s601 introduced 6"]
    );
    it.end();
    assert_eq!(introduced(&mut it), [""; 0], "only changes are told");
    it.gone(control(6, 1));
    it.end();
    assert_eq!(introduced(&mut it), [""; 0], "that a peer is absent is no news of where it is");
    it.up(5, 1);
    it.end();
    let told = introduced(&mut it);
    assert_eq!(told[0], "s501 hello, roster, introduced 4", "who is absent is not introduced");
    it.up(6, 1);
    it.end();
    assert!(
        introduced(&mut it).contains(&"s501 introduced 6".to_owned()),
        "who was not told before is told now"
    );
}

#[test]
fn a_leave_is_told_to_all() {
    let mut it = paired();
    let up = ControlUp { leaving: true, ..ControlUp::default() };
    it.step(Input::Said(control(4, 1), Message::ControlUp(up)));
    it.end();
    let left = |(_, effect): &(When, Effect)| match effect {
        Effect::Send(conn, Message::ControlDown(down)) => {
            down.introduced.iter().any(|it| it.member.left && it.member.id == PeerId(4)).then_some(conn.0)
        }
        _ => None,
    };
    assert_eq!(it.effects.iter().filter_map(left).collect::<Vec<_>>(), [401, 501, 601]);
}

/// What one peer is told opens no link to another one.
#[test]
fn each_peer_is_told_keys_of_its_own() {
    let mut it = paired();
    it.up(4, 2);
    it.end();
    let key = |(_, effect): &(When, Effect)| match effect {
        Effect::Send(conn, Message::ControlDown(down)) => {
            let found =
                down.introduced.iter().find(|it| it.member.id == PeerId(4) && it.member.process.starts == 2);
            found.map(|it| ((conn.0 / 100) as u32, it.key))
        }
        _ => None,
    };
    let keys: Vec<_> = it.effects.iter().filter_map(key).collect();
    assert!(keys.len() >= 3);
    assert!(keys.iter().all(|(to, key)| *key == crate::model::link::LinkKey::new(&token(4), PeerId(*to))));
}

#[test]
fn an_address_has_a_bound() {
    let mut it = warehouse();
    let addr = "x".repeat(crate::limits::ADDR_BYTES_MAX + 1);
    assert!(!it.come(Hello { addr, ..hello(4, 1) }, 1));
    assert!(it.up(4, 2));
}

/// A warehouse that was just started, with a ledger of peers 4, 5 and 6, of which nobody has come yet.
fn waits_for_witnesses() -> Driven {
    Driven::just_started(parts(paired().it.market, 2))
}

#[test]
fn what_comes_before_the_witnesses_waits_for_them_unless_its_stream_ends() {
    let mut it = waits_for_witnesses();
    for conn in [1, 2] {
        it.step(Input::Opened(ConnId(conn), Stream::Watch));
    }
    it.gone(ConnId(1));
    it.pass(WITNESSES_MAX_MS - 1);
    assert!(it.it.conns.is_empty());
    it.pass(WITNESSES_MAX_MS);
    assert_eq!(it.it.conns.keys().collect::<Vec<_>>(), [&ConnId(2)]);
}

#[test]
fn only_so_much_is_kept_until_the_witnesses_are_heard() {
    let mut it = waits_for_witnesses();
    let mut fence = |reply| it.step(Input::Asked(ReplyId(reply), Ask::Fence(Box::new(hello(5, 1)), Term(9))));
    (1..=WITNESS_INPUTS_MAX as u64).for_each(&mut fence);
    assert!(it.effects.is_empty());
    it.step(Input::Asked(ReplyId(0), Ask::Fence(Box::new(hello(5, 1)), Term(9))));
    it.step(Input::Opened(ConnId(1), Stream::Settle));
    it.step(Input::Said(ConnId(1), Message::SettleAsk(SettleAsk::default())));
    it.step(Input::Opened(ConnId(2), Stream::Watch));
    let why = "now: r0 the warehouse has just started and hears its peers first; ask again";
    assert_eq!(it.lines(), [why, "before: hang up s1", "before: hang up s2"]);
}

/// Its holders could not come back before it served.
#[test]
fn a_holder_has_its_time_from_when_the_witnesses_were_heard() {
    for one_comes in [true, false] {
        let mut it = waits_for_witnesses();
        if one_comes {
            it.up(4, 1);
        }
        it.pass(WITNESSES_MAX_MS + 999);
        assert!(!it.roster(WITNESSES_MAX_MS + 999).claimable(Office::Primary));
        it.pass(WITNESSES_MAX_MS + 1_000);
        assert!(it.roster(WITNESSES_MAX_MS + 1_000).claimable(Office::Primary));
    }
}
