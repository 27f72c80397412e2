//! Messages, put together from what their senders and receivers remember of them.
//!
//! No message carries a number for this. A stream keeps the order of what is said on it, and a message reads the same at
//! both ends: so of those that one node sent to another, and that read the same, the first one sent is the first to come.
//! What was under way on a stream when its sender saw it end, or when its receiver began its life, has hardly come: what was
//! said later goes first.

use std::collections::{BTreeMap, VecDeque};

use super::End;
use crate::diagram::{Arrow, Diagram, Point};
use crate::model::traced::{Deed, Traced};
use crate::types::{PeerId, node_name};

/// A message that was sent, and of which nobody has said yet that it came.
struct UnderWay {
    sent: u64,
    line: u64,
    to: Option<PeerId>,
    /// Its stream has ended.
    broken: bool,
}

/// See the module's text. Events go in by time.
#[derive(Default)]
pub(crate) struct Pairing {
    under_way: BTreeMap<(PeerId, String), VecDeque<UnderWay>>,
}

impl Pairing {
    /// One more event at `node`. Gives the message that has come with it.
    pub(crate) fn event(&mut self, node: PeerId, event: &Traced) -> Option<Arrow> {
        match event.deed {
            Deed::Sent => {
                let message = UnderWay { sent: event.time, line: event.line, to: event.other, broken: false };
                self.under_way.entry((node, event.text.clone())).or_default().push_back(message);
                None
            }
            Deed::Came => event.other.map(|from| self.came(from, node, event)),
            Deed::Broke => {
                self.end(|from, message| from == node && message.line == event.line);
                None
            }
            Deed::Started => {
                self.end(|_, message| message.to == Some(node));
                None
            }
            _ => None,
        }
    }

    fn came(&mut self, from: PeerId, to: PeerId, event: &Traced) -> Arrow {
        let waiting = self.under_way.get_mut(&(from, event.text.clone()));
        let sent = waiting.and_then(|waiting| {
            let may_be = waiting.iter().enumerate().filter(|(_, it)| it.to.is_none_or(|it| it == to));
            let (at, _) = may_be.min_by_key(|(_, it)| (it.broken, it.to.is_none()))?;
            waiting.remove(at).map(|it| it.sent)
        });
        Arrow { from, to, sent, came: Some(event.time), text: event.text.clone() }
    }

    /// The streams of these messages are over.
    fn end(&mut self, is: impl Fn(PeerId, &UnderWay) -> bool) {
        for ((from, _), waiting) in &mut self.under_way {
            waiting.iter_mut().filter(|it| is(*from, it)).for_each(|it| it.broken = true);
        }
    }

    /// What is under way at the end.
    pub(crate) fn rest(self) -> impl Iterator<Item = Arrow> {
        let each = self.under_way.into_iter();
        each.flat_map(|((from, text), waiting)| {
            waiting.into_iter().filter_map(move |it| lost(from, &it, &text))
        })
    }

    /// Forgets what was sent before `time`, without a word: for who looks on for long.
    pub(crate) fn forget(&mut self, time: u64) {
        self.under_way.values_mut().for_each(|waiting| waiting.retain(|it| it.sent >= time));
        self.under_way.retain(|_, waiting| !waiting.is_empty());
    }
}

/// None if it is not known for whom it was.
fn lost(from: PeerId, message: &UnderWay, text: &str) -> Option<Arrow> {
    Some(Arrow { from, to: message.to?, sent: Some(message.sent), came: None, text: text.to_owned() })
}

/// What is no message, as a point.
fn point(event: &Traced) -> Option<Point> {
    match event.deed {
        Deed::Started => Some(Point::Started),
        Deed::Broke => Some(Point::Broke),
        Deed::Synced => Some(Point::Synced),
        Deed::Told => Some(Point::Told),
        Deed::Fence => Some(Point::Fence),
        Deed::Office => Some(Point::Office),
        Deed::Sent | Deed::Came => None,
    }
}

fn text(event: &Traced) -> String {
    match event.other {
        Some(other) => format!("{}: {}", node_name(other), event.text),
        None => event.text.clone(),
    }
}

/// Draws the events of several nodes, and the ends of some.
pub(crate) fn draw(by_node: BTreeMap<PeerId, Vec<Traced>>, ends: Vec<End>) -> Diagram {
    let each = by_node.into_iter().flat_map(|(node, events)| events.into_iter().map(move |it| (node, it)));
    let mut events: Vec<(PeerId, Traced)> = each.collect();
    events.sort_by_key(|(node, it)| (it.time, it.came(), *node, it.number));
    let (mut pairing, mut diagram) = (Pairing::default(), Diagram::default());
    for (node, event) in &events {
        if let Some(arrow) = pairing.event(*node, event) {
            diagram.arrow(|| arrow);
        }
        if let Some(kind) = point(event) {
            diagram.point(*node, event.time, kind, || text(event));
        }
    }
    for arrow in pairing.rest() {
        diagram.arrow(|| arrow);
    }
    for (node, at, kind, why) in ends {
        diagram.point(node, at, kind, || why);
    }
    diagram
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: u64, deed: Deed, other: Option<u32>, line: u64, text: &str) -> Traced {
        Traced { number: time, time, deed, other: other.map(PeerId), line, text: text.to_owned() }
    }

    /// When the message that comes now was sent.
    fn sent(pairing: &mut Pairing, to: u32, time: u64, text: &str) -> Option<u64> {
        pairing.event(PeerId(to), &event(time, Deed::Came, Some(1), 9, text)).unwrap().sent
    }

    #[test]
    fn the_first_sent_is_the_first_to_come() {
        let mut pairing = Pairing::default();
        for time in [1, 2] {
            assert!(pairing.event(PeerId(1), &event(time, Deed::Sent, Some(2), 7, "link x")).is_none());
        }
        let came = [3, 4, 5].map(|time| sent(&mut pairing, 2, time, "link x"));
        assert_eq!(came, [Some(1), Some(2), None]);
    }

    /// The same word goes to several peers; a stream's other end may not be known when it is sent.
    #[test]
    fn a_message_comes_to_whom_it_was_sent() {
        let mut pairing = Pairing::default();
        pairing.event(PeerId(1), &event(1, Deed::Sent, Some(3), 7, "link x"));
        pairing.event(PeerId(1), &event(2, Deed::Sent, None, 8, "link x"));
        assert_eq!([2, 3].map(|to| sent(&mut pairing, to, 5, "link x")), [Some(2), Some(1)]);
    }

    #[test]
    fn what_was_under_way_when_its_stream_ended_comes_last_if_at_all() {
        let mut pairing = Pairing::default();
        let one = PeerId(1);
        pairing.event(one, &event(1, Deed::Sent, Some(2), 7, "trade 1-1"));
        pairing.event(one, &event(2, Deed::Broke, Some(2), 7, "reset"));
        pairing.event(one, &event(3, Deed::Sent, Some(2), 8, "trade 1-1"));
        pairing.event(one, &event(4, Deed::Sent, Some(3), 9, "trade 1-2"));
        pairing.event(PeerId(3), &event(5, Deed::Started, None, 0, ""));
        assert_eq!(sent(&mut pairing, 2, 6, "trade 1-1"), Some(3));
        let rest: Vec<_> = pairing.rest().map(|it| (it.to.0, it.sent, it.came)).collect();
        assert_eq!(rest, [(2, Some(1), None), (3, Some(4), None)]);
    }

    #[test]
    fn arrows_and_points_of_several_nodes_are_drawn() {
        let sent = event(5, Deed::Sent, Some(0), 1, "settle batch 1");
        let came = event(5, Deed::Came, Some(6), 2, "settle batch 1");
        let by_node = BTreeMap::from([
            (PeerId(0), vec![came, event(8, Deed::Fence, None, 0, "term 1 of peer 6 is over")]),
            (PeerId(6), vec![sent]),
        ]);
        let diagram = draw(by_node, vec![(PeerId(6), 7, Point::Crashed, "killed".to_owned())]);
        assert_eq!(diagram.things(), (1, 2));
        assert!(diagram.svg("t", 0).contains("peer-6 crashed"));
    }
}
