use super::*;
use crate::model::offices::Roster;
use crate::model::step::{Effect, Numbers};
use crate::types::{Seq, Stamp, Term};
use crate::wire::convert::frame;

fn stranger(seed: u64) -> Stranger {
    let known = Known {
        cluster: "market".to_owned(),
        warehouse: "warehouse".to_owned(),
        own: "here".to_owned(),
        members: vec![(PeerId(1), Epoch(0)), (PeerId(2), Epoch(1))],
        roster: Roster::default(),
        last_term: Term(3),
        seq: Seq(100),
        clock: Stamp(70),
        goods: 3,
    };
    let targets = vec![(PeerId(0), "warehouse".to_owned()), (PeerId(2), "peer".to_owned())];
    Stranger::new(known, targets, 1_000_000, Moment(0), Chance::of(seed, "stranger"))
}

/// All that it does, if nobody ever answers.
fn life(seed: u64) -> Vec<Effect> {
    let (mut stranger, numbers, mut now) = (stranger(seed), Numbers::default(), Moment(0));
    stranger.standing = Standing::Outside;
    let mut effects = Vec::new();
    loop {
        let mut hands = Hands::of(numbers.clone());
        stranger.act(now, None, &mut hands);
        effects.append(&mut hands.effects);
        if hands.goes {
            return effects;
        }
        now = hands.wakes_at.unwrap_or(now).max(now.after(1));
    }
}

/// What does not decode would never have left a real process.
#[test]
fn all_that_it_says_goes_over_the_wire() {
    for effect in (0..500).flat_map(life) {
        match &effect {
            Effect::Dial { first: message, .. } | Effect::Send(_, message) => {
                assert!(frame::decode(&frame::encode(message)).is_ok(), "{effect:?}");
            }
            Effect::Call { ask, .. } => {
                assert!(frame::decode_ask(&frame::encode_ask(ask)).is_ok(), "{effect:?}")
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn it_tries_every_stream_and_call() {
    let all: String = (0..500).flat_map(life).map(|effect| format!("{effect}\n")).collect();
    for word in [
        "trade", "settle", "control", "watch", "replica", "hello", "claim", "fence", "pair", "resign",
        "hand", "submit", "open", "session", "probe",
    ] {
        assert!(all.contains(word), "no {word}");
    }
}

#[test]
fn it_keeps_to_what_was_drawn() {
    assert_eq!(format!("{:?}", life(7)), format!("{:?}", life(7)));
    assert_ne!(format!("{:?}", life(7)), format!("{:?}", life(8)));
}

#[test]
fn a_cut_stream_counts_unless_nobody_was_there() {
    let lost = |refused| crate::model::step::Lost { refused, why: String::new() };
    for (twice, refused, marks) in [
        (false, false, &[Mark::StrangerRefused][..]),
        (true, false, &[Mark::SecondHelloCut]),
        (true, true, &[]),
    ] {
        let (mut stranger, mut hands) = (stranger(1), Hands::of(Numbers::default()));
        stranger.dialed.insert(ConnId(1), twice);
        stranger.hear(Input::Ended(ConnId(1), lost(refused)), &mut hands);
        assert_eq!(hands.marks, marks);
    }
}
