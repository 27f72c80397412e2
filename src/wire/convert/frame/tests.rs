use std::collections::BTreeSet;
use std::fmt::Debug;

use fastrand::Rng;

use super::any::{Any, WHYS};
use super::*;
use crate::model::call::Cause;
use crate::model::offices::{Roster, Seat};
use crate::model::warehouse::Denied;
use crate::types::{Generation, PeerId, ProcessId, Term};
use crate::wire::WIRE_VERSION;

/// Values of each of `kinds` decode to the same, and encode to the same bytes again: bytes are compared, too, since
/// `Debug` does not show a token.
#[track_caller]
fn come_back<T: Debug>(
    kinds: u8,
    make: fn(&mut Any, u8) -> T,
    encode: fn(&T) -> Vec<u8>,
    decode: fn(&[u8]) -> Result<T, Odd>,
) {
    let mut tags = BTreeSet::new();
    for seed in 0..300 {
        let mut any = Any(Rng::with_seed(seed));
        for kind in 0..kinds {
            let it = make(&mut any, kind);
            let bytes = encode(&it);
            let back = decode(&bytes).unwrap_or_else(|odd| panic!("seed {seed}: {odd}: {it:?}"));
            assert_eq!(format!("{back:?}"), format!("{it:?}"), "seed {seed}");
            assert_eq!(encode(&back), bytes, "seed {seed}: {it:?}");
            tags.insert(bytes[0]);
        }
    }
    assert_eq!(tags.len(), usize::from(kinds), "each has a tag of its own");
}

#[test]
fn every_message_comes_back() {
    come_back(11, Any::message, encode, decode);
}

#[test]
fn every_ask_comes_back() {
    come_back(17, Any::ask, encode_ask, decode_ask);
}

#[test]
fn every_answer_comes_back() {
    come_back(13, Any::answer, encode_answer, decode_answer);
}

#[test]
fn nonsense_is_odd_or_something_but_never_a_panic() {
    for seed in 0..20_000 {
        let mut any = Any(Rng::with_seed(seed));
        let mut bytes = [vec![any.0.u8(..20)], any.bytes().to_vec()].concat();
        // Half of them are true for a while.
        if any.0.bool() {
            let kind = any.0.u8(..11);
            bytes = encode(&any.message(kind));
            let at = any.0.usize(..bytes.len());
            bytes[at] ^= any.0.u8(1..);
        }
        let _ = (decode(&bytes).is_ok(), decode_ask(&bytes).is_ok(), decode_answer(&bytes).is_ok());
        let _ = decode_refusal(&bytes).is_ok();
    }
}

#[test]
fn no_frame_is_odd() {
    assert_eq!(decode(&[]).unwrap_err(), Odd::Field("tag"));
    assert_eq!(decode_ask(&[99]).unwrap_err(), Odd::Field("tag"));
    assert_eq!(decode_answer(&[1, 0xff]).unwrap_err(), Odd::Field("bytes"));
    assert_eq!(decode_ask(&[4]).unwrap_err(), Odd::Field("hello"));
}

#[test]
fn a_refusal_comes_to_the_caller_as_over_the_wire() {
    let heard = |refusal: Refusal| decode_refusal(&encode_refusal(&refusal)).unwrap();
    let seat = Seat {
        peer: PeerId(6),
        process: ProcessId::default(),
        term: Term(1),
        present: true,
        addr: "127.0.0.1:7706".into(),
        licence: None,
    };
    let roster = Box::new(Roster { primary: Some(seat), ..Roster::default() });
    for expected in WHYS {
        let CallError::NotTaken { why, traders } = heard(Refusal::NotTaken(expected, roster.clone())) else {
            panic!("{expected:?}")
        };
        assert_eq!((why, traders), (expected, vec!["127.0.0.1:7706".to_owned()]));
    }
    let cause = |refusal| match heard(refusal) {
        CallError::Refused { cause, text } => (cause, text),
        other => panic!("{other:?}"),
    };
    let denied = Denied::StoreAlive(PeerId(4));
    assert_eq!(cause(denied.clone().into()), (Cause::Other, denied.to_string()));
    let older = Denied::OlderCopy { seen: Generation::of_test(2), own: Generation::of_test(1) };
    assert_eq!(cause(older.clone().into()), (Cause::OlderCopy, older.to_string()));
    assert_eq!(cause(Refusal::Invalid("no".into())), (Cause::Invalid, "no".into()));
    assert_eq!(cause(Refusal::Unavailable("later".into())), (Cause::Unavailable, "later".into()));
}

/// A hello, an opening or its answer from a build of version 1, which had no number for it, and from one to come.
#[test]
fn another_version_of_the_protocol_is_refused_by_name_and_with_a_mend() {
    let message = |tag, it: &dyn Fn(u8) -> Vec<u8>| decode(&it(tag)).map(drop);
    let ask = |tag, it: &dyn Fn(u8) -> Vec<u8>| decode_ask(&it(tag)).map(drop);
    let answer = |tag, it: &dyn Fn(u8) -> Vec<u8>| decode_answer(&it(tag)).map(drop);
    for (wire_version, named) in [(0, 1), (1, 1), (WIRE_VERSION + 1, WIRE_VERSION + 1)] {
        let hello = Some(proto::Hello { wire_version, ..proto::Hello::default() });
        let store = vec![0; 32];
        let refused = [
            message(1, &|tag| {
                tagged(tag, &proto::TradeRequest { hello: hello.clone(), ..Default::default() })
            }),
            message(2, &|tag| tagged(tag, &proto::TradeReply { hello: hello.clone(), ..Default::default() })),
            message(3, &|tag| {
                tagged(tag, &proto::SettleRequest { hello: hello.clone(), ..Default::default() })
            }),
            message(4, &|tag| {
                tagged(tag, &proto::SettleReply { hello: hello.clone(), ..Default::default() })
            }),
            message(5, &|tag| tagged(tag, &proto::ControlUp { hello: hello.clone(), ..Default::default() })),
            message(6, &|tag| {
                tagged(tag, &proto::ControlDown { hello: hello.clone(), ..Default::default() })
            }),
            message(9, &|tag| {
                tagged(tag, &proto::ReplicateRequest { hello: hello.clone(), ..Default::default() })
            }),
            message(10, &|tag| {
                tagged(tag, &proto::ReplicateReply { hello: hello.clone(), ..Default::default() })
            }),
            ask(4, &|tag| tagged(tag, &proto::ClaimRequest { hello: hello.clone(), office: 1 })),
            ask(2, &|tag| {
                tagged(tag, &proto::OpenRequest { store: store.clone(), wire_version, ..Default::default() })
            }),
            answer(2, &|tag| tagged(tag, &proto::OpenReply { wire_version, ..Default::default() })),
            answer(1, &|tag| tagged(tag, &proto::CatalogueReply { wire_version, ..Default::default() })),
        ];
        for read in refused {
            assert_eq!(read, Err(Odd::Version(named)));
        }
        let text = Odd::Version(named).to_string();
        assert!(text.contains(&format!("version {named}")) && text.contains("run the same build"), "{text}");
    }
    let status = Status::from(Odd::Version(1));
    let heard = CallError::from_status(&status);
    assert!(matches!(heard, CallError::Refused { cause: Cause::OtherVersion, .. }), "{heard:?}");
}
