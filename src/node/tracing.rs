//! The last messages that a node sent and got, and what befell it, for a space-time diagram: `--trace-events`.
//!
//! In: what the port hears, says and is told. Out: events, when somebody asks. They are in this process's memory alone: what
//! a killed node had sent is known from those that got it. A node that keeps none spends nothing on them.
//!
//! Holds: at most as many events as was said, each of bounded size; the other end of a stream is known as long as one of its
//! events is.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::wall_now;
use crate::limits::{TRACE_RANGES_MAX, TRACE_TEXT_MAX};
use crate::model::call::Ask;
use crate::model::happening::What;
use crate::model::hello::Hello;
use crate::model::message::Message;
use crate::model::offices::Roster;
use crate::model::step::Input;
use crate::model::traced::{Deed, Traced, Wanted};
use crate::types::{OrderId, PeerId};
use crate::wire::serve::trace::TraceReader;

/// See the module's text. Clones are of one memory.
#[derive(Clone, Debug)]
pub(crate) struct Tracing(Arc<Mutex<Ring>>);

#[derive(Debug)]
struct Ring {
    me: PeerId,
    events_max: usize,
    /// The number of the last event.
    last: u64,
    events: VecDeque<Event>,
    /// Who is at the other end of a stream or call.
    others: BTreeMap<u64, PeerId>,
    /// Streams that ended, and the number of the event that says so, oldest first.
    ended: VecDeque<(u64, u64)>,
    roster: Roster,
}

#[derive(Debug)]
struct Event {
    time: u64,
    deed: Deed,
    line: u64,
    text: Box<str>,
    orders: Box<[Range]>,
}

/// Numbers of one peer, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    peer: PeerId,
    from: u64,
    to: u64,
}

/// No order is the warehouse's: a range of its numbers stands for all orders.
const ANYBODY: PeerId = PeerId::WAREHOUSE;

/// Collects the orders of a message. More than [`TRACE_RANGES_MAX`] ranges are drawn together: they have the orders, and
/// perhaps others.
#[derive(Debug, Default)]
struct Ranges(Vec<Range>);

impl Ranges {
    fn see(&mut self, OrderId { peer, number }: OrderId) {
        let of_peer = |range: &&mut Range| range.peer == peer;
        if let Some(range) =
            self.0.iter_mut().filter(of_peer).find(|it| Some(it.to) == number.0.checked_sub(1))
        {
            range.to = number.0;
        } else if self.0.len() < TRACE_RANGES_MAX {
            self.0.push(Range { peer, from: number.0, to: number.0 });
        } else if let Some(range) = self.0.iter_mut().find(of_peer) {
            (range.from, range.to) = (range.from.min(number.0), range.to.max(number.0));
        } else {
            self.0[0] = Range { peer: ANYBODY, from: 0, to: u64::MAX };
        }
    }
}

impl Tracing {
    /// Remembers this many events of node `me`, whose process begins.
    pub(crate) fn new(me: PeerId, events_max: usize) -> Tracing {
        let ring = Ring {
            me,
            events_max,
            last: 0,
            events: VecDeque::new(),
            others: BTreeMap::new(),
            ended: VecDeque::new(),
            roster: Roster::default(),
        };
        let tracing = Tracing(Arc::new(Mutex::new(ring)));
        tracing.ring().add(Deed::Started, 0, &format_args!("pid {}", std::process::id()), Ranges::default());
        tracing
    }

    /// A panic while it was held leaves whole events.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message leaves on a stream.
    pub(crate) fn sends(&self, line: u64, message: &Message) {
        let mut ring = self.ring();
        if matches!(message, Message::SettleAsk(_) | Message::ControlUp(_) | Message::Watch) {
            ring.others.insert(line, PeerId::WAREHOUSE);
        }
        ring.message(Deed::Sent, line, message);
    }

    /// An input arrives. What is no message of another node is none here, either.
    pub(crate) fn gets(&self, input: &Input) {
        let mut ring = self.ring();
        match input {
            Input::Said(conn, message) => {
                if matches!(message, Message::Stock(_)) {
                    ring.others.insert(conn.0, PeerId::WAREHOUSE);
                }
                ring.learn(conn.0, message.hello());
                ring.message(Deed::Came, conn.0, message);
            }
            Input::Ended(conn, lost) => ring.end(conn.0, &format_args!("{}", lost.why)),
            Input::Asked(reply, ask) if caller(ask).is_some() => {
                ring.learn(reply.0, caller(ask));
                ring.add(Deed::Came, reply.0, &input.said(), Ranges::default());
            }
            Input::Came(call, _) if ring.others.contains_key(&call.0) => {
                ring.add(Deed::Came, call.0, &input.said(), Ranges::default());
                ring.forget_later(call.0);
            }
            _ => {}
        }
    }

    /// A call to another node goes out.
    pub(crate) fn calls(&self, call: u64, ask: &Ask) {
        // Of the calls that have one only this goes to a peer, and which it is its answer does not say.
        if caller(ask).is_some() && !matches!(ask, Ask::HandOver(..)) {
            let mut ring = self.ring();
            ring.others.insert(call, PeerId::WAREHOUSE);
            ring.add(Deed::Sent, call, &format_args!("call {ask}"), Ranges::default());
        }
    }

    /// A call is answered, if it was another node's.
    pub(crate) fn answers(&self, reply: u64, said: impl Display) {
        let mut ring = self.ring();
        if ring.others.contains_key(&reply) {
            ring.add(Deed::Sent, reply, &format_args!("call {said}"), Ranges::default());
            ring.forget_later(reply);
        }
    }

    /// This node hung a stream up.
    pub(crate) fn hangs_up(&self, line: u64) {
        self.ring().end(line, &"hung up");
    }

    /// What was written until now is durable.
    pub(crate) fn synced(&self, seq: impl Display) {
        self.ring().add(Deed::Synced, 0, &seq, Ranges::default());
    }

    /// Something that people are told of.
    pub(crate) fn happens(&self, what: &What) {
        let mut ring = self.ring();
        match what {
            What::Told(order, _) | What::ToldEarly(order, _) => {
                let mut orders = Ranges::default();
                orders.see(order.id);
                ring.add(Deed::Told, 0, what, orders);
            }
            What::Roster(roster) if ring.me == PeerId::WAREHOUSE => ring.offices(roster, what),
            What::Suspected(_) | What::TookOver(_) | What::Replayed(..) => {
                ring.add(Deed::Office, 0, what, Ranges::default());
            }
            _ => {}
        }
    }
}

impl TraceReader for Tracing {
    fn kept(&self) -> u64 {
        self.ring().events_max as u64
    }

    fn events(&self, wanted: &Wanted, max: usize) -> Vec<Traced> {
        let ring = self.ring();
        let first = ring.last + 1 - ring.events.len() as u64;
        let skipped = (wanted.after + 1).saturating_sub(first) as usize;
        let numbered = (first..).zip(&ring.events).skip(skipped);
        let wanted = numbered.filter(|(_, event)| event.is_wanted(wanted));
        let traced = wanted.map(|(number, event)| Traced {
            number,
            time: event.time,
            deed: event.deed,
            other: ring.others.get(&event.line).copied(),
            line: event.line,
            text: event.text.to_string(),
        });
        traced.take(max).collect()
    }
}

impl Event {
    fn is_wanted(&self, wanted: &Wanted) -> bool {
        let in_time = (wanted.from..=wanted.to).contains(&self.time);
        // What ended a stream tells a message that was lost from the one that was sent in its place.
        in_time && wanted.order.is_none_or(|order| self.deed.ends_streams() || self.has(order))
    }

    fn has(&self, OrderId { peer, number }: OrderId) -> bool {
        let of_peer = |range: &&Range| range.peer == peer || range.peer == ANYBODY;
        self.orders.iter().filter(of_peer).any(|range| (range.from..=range.to).contains(&number.0))
    }
}

impl Ring {
    fn learn(&mut self, line: u64, hello: Option<&Hello>) {
        if let Some(hello) = hello {
            self.others.insert(line, hello.peer);
        }
    }

    fn message(&mut self, deed: Deed, line: u64, message: &Message) {
        let mut orders = Ranges::default();
        message.each_order(&mut |id| orders.see(id));
        self.add(deed, line, message, orders);
    }

    fn end(&mut self, line: u64, why: &dyn Display) {
        self.add(Deed::Broke, line, why, Ranges::default());
        self.forget_later(line);
    }

    /// The other end of a stream or call that is over is known until its last event goes.
    fn forget_later(&mut self, line: u64) {
        self.ended.push_back((self.last, line));
    }

    fn offices(&mut self, roster: &Roster, what: &What) {
        let held = |term| roster.seats().any(|seat| seat.term == term);
        let over: Vec<_> = self.roster.seats().filter(|seat| !held(seat.term)).cloned().collect();
        for seat in over {
            let text = format!("term {} of peer {} is over", seat.term, seat.peer);
            self.add(Deed::Fence, 0, &text, Ranges::default());
        }
        self.roster = roster.clone();
        self.add(Deed::Office, 0, what, Ranges::default());
    }

    fn add(&mut self, deed: Deed, line: u64, text: &dyn Display, orders: Ranges) {
        let text = text.to_string();
        let end = (0..=TRACE_TEXT_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
        let (text, orders) = (text[..end.unwrap_or_default()].into(), orders.0.into_boxed_slice());
        self.events.push_back(Event { time: wall_now().0, deed, line, text, orders });
        self.last += 1;
        if self.events.len() > self.events_max {
            self.events.pop_front();
        }
        let first = self.last + 1 - self.events.len() as u64;
        while let Some((_, line)) = self.ended.front().copied().filter(|(at, _)| *at < first) {
            self.ended.pop_front();
            self.others.remove(&line);
        }
    }
}

/// Who calls, if another node does.
fn caller(ask: &Ask) -> Option<&Hello> {
    match ask {
        Ask::Claim(hello, _)
        | Ask::Fence(hello, _)
        | Ask::Pair(hello, ..)
        | Ask::Resign(hello, _)
        | Ask::HandOver(hello, ..)
        | Ask::Complete(hello, _) => Some(hello),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::TradeAsk;
    use crate::model::step::{ConnId, Lost};
    use crate::types::{Number, Order, Stamp};

    fn asks(from: u32, numbers: &[u64]) -> Message {
        let hello = Some(Box::new(Hello { peer: PeerId(from), ..Hello::default() }));
        let order = |number: &u64| Order {
            id: OrderId { peer: PeerId(from), number: Number(*number) },
            stamp: Stamp(1),
            product: Default::default(),
            quantity: Default::default(),
            kind: crate::types::OrderKind::Sell,
        };
        Message::TradeAsk(TradeAsk {
            hello,
            orders: numbers.iter().map(order).collect(),
            ..TradeAsk::default()
        })
    }

    fn texts(tracing: &Tracing, wanted: Wanted) -> Vec<(Deed, Option<u32>, String)> {
        let events = tracing.events(&wanted, 100).into_iter();
        events.map(|it| (it.deed, it.other.map(|peer| peer.0), it.text)).collect()
    }

    #[test]
    fn the_other_end_is_known_of_what_was_said_before_its_hello() {
        let tracing = Tracing::new(PeerId(6), 10);
        tracing.sends(3, &asks(6, &[1]));
        assert_eq!(texts(&tracing, Wanted::default())[1].1, None);
        tracing.gets(&Input::Said(ConnId(3), asks(4, &[2])));
        tracing.gets(&Input::Ended(ConnId(3), Lost { refused: false, why: "reset".into() }));
        let seen = texts(&tracing, Wanted { after: 1, ..Wanted::default() });
        assert_eq!(seen[0], (Deed::Sent, Some(4), "trade hello of 6 6-1".into()));
        assert_eq!(seen[1], (Deed::Came, Some(4), "trade hello of 4 4-2".into()));
        assert_eq!(seen[2], (Deed::Broke, Some(4), "reset".into()));
    }

    #[test]
    fn an_order_is_found_in_a_batch_that_does_not_name_it() {
        let tracing = Tracing::new(PeerId(6), 10);
        tracing.gets(&Input::Said(ConnId(1), asks(4, &[1, 2, 3, 4, 5, 6, 7, 9])));
        let with = |number| {
            let order = Some(OrderId { peer: PeerId(4), number: Number(number) });
            let found = texts(&tracing, Wanted { order, ..Wanted::default() });
            assert_eq!(found[0].0, Deed::Started);
            found.len() - 1
        };
        assert_eq!([with(5), with(9), with(8), with(10)], [1, 1, 0, 0]);
    }

    #[test]
    fn ranges_are_bounded_and_lose_nothing() {
        let mut ranges = Ranges::default();
        (0..100).for_each(|k| ranges.see(OrderId { peer: PeerId(4), number: Number(3 * k) }));
        assert_eq!(ranges.0.len(), TRACE_RANGES_MAX);
        assert!(ranges.0.iter().any(|range| (range.from..=range.to).contains(&297)));
        ranges.see(OrderId { peer: PeerId(5), number: Number(u64::MAX) });
        assert!(ranges.0.iter().any(|range| range.peer == ANYBODY));
    }

    #[test]
    fn the_oldest_events_go_and_with_them_what_is_known_of_ended_streams() {
        let tracing = Tracing::new(PeerId(6), 4);
        tracing.gets(&Input::Said(ConnId(1), asks(4, &[1])));
        tracing.hangs_up(1);
        for line in 2..10 {
            tracing.sends(line, &Message::Watch);
        }
        let ring = tracing.ring();
        assert_eq!((ring.events.len(), ring.last, ring.others.contains_key(&1)), (4, 11, false));
        drop(ring);
        let left = tracing.events(&Wanted::default(), 100);
        assert_eq!(left.iter().map(|it| it.number).collect::<Vec<_>>(), [8, 9, 10, 11]);
        assert_eq!(left[0].other, Some(PeerId::WAREHOUSE));
    }
}
