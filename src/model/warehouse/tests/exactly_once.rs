//! Whatever comes in: each stream ends once, each question is answered once, and nothing is said on a stream that ended.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// What happens next; the numbers pick a stream, a peer and the like.
#[derive(Clone, Debug)]
enum Event {
    Opened(u8),
    Said(u8, u8, u8, u8),
    Ended(u8),
    Asked(u8, u8),
    EndOfTurn(u16),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => (0u8..7).prop_map(Event::Opened),
        8 => (any::<u8>(), 0u8..10, 4u8..8, 0u8..5).prop_map(|(conn, what, peer, k)| Event::Said(conn, what, peer, k)),
        1 => any::<u8>().prop_map(Event::Ended),
        3 => (0u8..9, 3u8..8).prop_map(|(what, peer)| Event::Asked(what, peer)),
        2 => (0u16..700).prop_map(Event::EndOfTurn),
    ]
}

fn stream(number: u8) -> Stream {
    match number {
        0 => Stream::Watch,
        1 => Stream::Link,
        2 | 3 => Stream::Control,
        _ => Stream::Settle,
    }
}

fn message(what: u8, peer: u8, k: u8) -> Message {
    let hello = Some(Box::new(hello(peer.into(), 1)));
    let orders = || vec![order(peer.into(), k.into(), BUY, 0, 1)];
    let (term, batch) = (Term(u64::from(k) % 3), Batch(k.into()));
    let clock = Stamp(if k == 4 { u64::MAX } else { 0 });
    match what {
        0 => Message::Watch,
        1 | 2 => Message::ControlUp(ControlUp { clock, hello, ..ControlUp::default() }),
        3 => Message::ControlUp(ControlUp { clock, ..ControlUp::default() }),
        4..=6 => Message::SettleAsk(SettleAsk { term, hello, ..SettleAsk::default() }),
        7 => Message::SettleAsk(SettleAsk {
            clock,
            hello,
            term,
            batch,
            orders: orders(),
            ..SettleAsk::default()
        }),
        _ => Message::SettleAsk(SettleAsk { clock, term, batch, orders: orders(), ..SettleAsk::default() }),
    }
}

fn question(what: u8, peer: u8) -> Ask {
    let hello = Box::new(hello(peer.into(), 1));
    let given_up = GivenUp { term: Term(1), to: PeerId(5), pass_over: false };
    match what {
        0 => Ask::Status,
        1 => Ask::Catalogue,
        2 => Ask::Session(PeerId(peer.into())),
        3 | 4 => Ask::Claim(hello, if what == 3 { Office::Primary } else { Office::Secondary }),
        5 => Ask::Fence(hello, Term(1)),
        6 => Ask::Pair(hello, Term(1), Term(2)),
        7 => Ask::Resign(hello, given_up),
        _ => Ask::Leave,
    }
}

/// How often each stream ended and each question was answered.
#[derive(Default)]
struct Ends {
    conns: BTreeMap<ConnId, u32>,
    replies: BTreeMap<ReplyId, u32>,
}

impl Ends {
    fn take(&mut self, it: &mut Driven) {
        for (when, effect) in std::mem::take(&mut it.effects) {
            assert!(!matches!(when, When::Now(_)), "all that it says tells of its journal: {effect:?}");
            match effect {
                Effect::Send(conn, _) => assert_eq!(self.conns.get(&conn), Some(&0), "nobody is told"),
                Effect::HangUp(conn) => *self.conns.get_mut(&conn).unwrap() += 1,
                Effect::Reply(reply, _) => *self.replies.get_mut(&reply).unwrap() += 1,
                Effect::Happen(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn pick(&self, number: u8) -> Option<ConnId> {
        let at = usize::from(number).checked_rem(self.conns.len())?;
        self.conns.keys().nth(at).copied()
    }

    fn is_open(&self, conn: ConnId) -> bool {
        self.conns.get(&conn) == Some(&0)
    }

    fn happen(&mut self, it: &mut Driven, number: u64, event: Event) {
        match event {
            Event::Opened(kind) => {
                self.conns.insert(ConnId(number), 0);
                it.step(Input::Opened(ConnId(number), stream(kind)));
            }
            Event::Said(conn, what, peer, k) => {
                // Also on streams that were hung up: what was under way comes in all the same.
                let Some(conn) = self.pick(conn) else { return };
                it.step(Input::Said(conn, message(what, peer, k)));
            }
            Event::Ended(conn) => {
                let Some(conn) = self.pick(conn).filter(|conn| self.is_open(*conn)) else { return };
                self.end(it, conn);
            }
            Event::Asked(what, peer) => {
                self.replies.insert(ReplyId(number), 0);
                it.step(Input::Asked(ReplyId(number), question(what, peer)));
            }
            Event::EndOfTurn(ms) => {
                it.at.now = it.at.now.after_ms(ms.into());
                it.end();
                assert_eq!(it.it.invariants(), Ok(()));
            }
        }
        self.take(it);
    }

    fn end(&mut self, it: &mut Driven, conn: ConnId) {
        *self.conns.entry(conn).or_default() += 1;
        it.gone(conn);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn each_stream_ends_once_and_each_question_is_answered_once(
        events in proptest::collection::vec(event(), 1..120),
    ) {
        let mut it = paired();
        let mut ends = Ends::default();
        ends.conns.extend([4, 5, 6].map(|peer| (control(peer, 1), 0)));
        for (number, event) in events.into_iter().enumerate() {
            ends.happen(&mut it, 10_000 + number as u64, event);
        }
        it.end();
        ends.take(&mut it);
        let open: BTreeSet<ConnId> = ends.conns.keys().copied().filter(|conn| ends.is_open(*conn)).collect();
        prop_assert_eq!(&it.it.conns.keys().copied().collect::<BTreeSet<_>>(), &open, "it forgets what ended");
        open.into_iter().for_each(|conn| ends.end(&mut it, conn));
        it.end();
        ends.take(&mut it);
        prop_assert!(ends.conns.values().chain(ends.replies.values()).all(|times| *times == 1));
    }
}
