//! The network: streams that keep their order and nothing else, and who listens where.
//!
//! In: what processes dial, say and hang up. Out: [`Delivery`]s at the time at which they arrive. A message takes a time
//! of its own within its stream's order, so that streams overtake each other. Connecting takes a round trip; where nobody
//! listens it is refused. When a process hangs up, or is killed, the other end hears of it later; what the gone process
//! had said last may be lost. Messages are really encoded and decoded on their way.

use std::collections::BTreeMap;

use super::calls::{self, Back, Calls};
use super::lag::Lag;
use super::queue::{Moment, Queue};
use super::world;
use crate::model::call::Ask;
use crate::model::message::Stream;
use crate::model::step::{CallId, ConnId, Input, Lost, Numbers, ReplyId};
use crate::types::PeerId;
use crate::wire::convert::frame;

/// A life of a node: it is started on its disk, and killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Process {
    /// The node.
    pub node: PeerId,
    /// Counts its lives.
    pub life: u32,
}

/// What arrives at a process.
pub(super) struct Delivery {
    /// Where.
    pub to: Process,
    /// As its machine sees it.
    pub input: Input,
    /// As it went over the wire; empty for what is no message.
    pub bytes: Vec<u8>,
}

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Dialer,
    Listener,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Dialer => Side::Listener,
            Side::Listener => Side::Dialer,
        }
    }
}

/// Something on its way.
pub(super) enum Event {
    /// The first packet of a stream is where it was sent to.
    Connect(u64),
    /// The stream comes up at its listener.
    Open(u64),
    /// A message is at this end.
    Say(u64, Side, Vec<u8>),
    /// This end hears that the other one is gone.
    End(u64, Side, Lost),
    /// Of a unary call.
    Call(calls::Event),
}

/// What goes to one end of a stream.
#[derive(Default)]
struct Way {
    /// When the last message arrives.
    last: Moment,
    /// What would arrive later than this is lost.
    cut: Option<Moment>,
}

struct Line {
    kind: Stream,
    addr: String,
    dialer: (Process, ConnId),
    /// Once it is connected.
    listener: Option<(Process, ConnId)>,
    /// Said before it was connected.
    waiting: Vec<Vec<u8>>,
    to_dialer: Way,
    to_listener: Way,
}

impl Line {
    fn way(&mut self, to: Side) -> &mut Way {
        match to {
            Side::Dialer => &mut self.to_dialer,
            Side::Listener => &mut self.to_listener,
        }
    }

    fn end(&self, side: Side) -> Option<(Process, ConnId)> {
        match side {
            Side::Dialer => Some(self.dialer),
            Side::Listener => self.listener,
        }
    }
}

/// See the module's text.
pub(super) struct Network {
    lag: Lag,
    listening: BTreeMap<String, (Process, Numbers)>,
    lines: BTreeMap<u64, Line>,
    ends: BTreeMap<(Process, ConnId), (u64, Side)>,
    calls: Calls,
    lines_made: u64,
    refused: u64,
}

type Events = Queue<world::Event>;

impl Network {
    /// A network in which nobody listens yet.
    pub(crate) fn new(seed: u64) -> Network {
        Network {
            lag: Lag::of(seed),
            listening: BTreeMap::new(),
            lines: BTreeMap::new(),
            ends: BTreeMap::new(),
            calls: Calls::default(),
            lines_made: 0,
            refused: 0,
        }
    }

    /// How often nobody listened where a process wanted to connect.
    pub(crate) fn refused(&self) -> u64 {
        self.refused + self.calls.refused()
    }

    /// A process listens; streams that it accepts get these numbers.
    pub(crate) fn listen(&mut self, addr: &str, process: Process, numbers: Numbers) {
        self.listening.insert(addr.to_owned(), (process, numbers));
    }

    /// A process opens a stream and says this first on it.
    pub(crate) fn dial(
        &mut self,
        from: Process,
        conn: ConnId,
        addr: String,
        first: (Stream, Vec<u8>),
        queue: &mut Events,
    ) {
        self.lines_made += 1;
        let (id, (kind, first)) = (self.lines_made, first);
        let (to_dialer, to_listener) = (Way::default(), Way::default());
        let line = Line {
            kind,
            addr,
            dialer: (from, conn),
            listener: None,
            waiting: vec![first],
            to_dialer,
            to_listener,
        };
        self.lines.insert(id, line);
        self.ends.insert((from, conn), (id, Side::Dialer));
        put(queue, self.lag.draw(), Event::Connect(id));
    }

    /// A process says something on a stream. If that is gone, nobody hears it.
    pub(crate) fn send(&mut self, from: Process, conn: ConnId, message: Vec<u8>, queue: &mut Events) {
        let Some((id, side)) = self.ends.get(&(from, conn)) else { return };
        let Some(line) = self.lines.get_mut(id) else { return };
        match line.listener {
            None => line.waiting.push(message),
            Some(_) => say(*id, line, side.other(), message, &mut self.lag, queue),
        }
    }

    /// A process ends a stream. If the process had dialed it, what it said last may be lost.
    pub(crate) fn hang_up(&mut self, from: Process, conn: ConnId, queue: &mut Events) {
        if let Some((id, side)) = self.ends.remove(&(from, conn)) {
            self.part(id, side, side == Side::Dialer, "ended by the other side", queue);
        }
    }

    /// A process is killed: its streams and calls end.
    pub(crate) fn kill(&mut self, process: Process, queue: &mut Events) {
        self.listening.retain(|_, (listener, _)| *listener != process);
        let of_process = (process, ConnId(0))..=(process, ConnId(u64::MAX));
        let ends: Vec<_> = self.ends.range(of_process).map(|(end, line)| (*end, *line)).collect();
        for (end, (id, side)) in ends {
            self.ends.remove(&end);
            self.part(id, side, true, "the connection broke", queue);
        }
        self.calls.kill(process, &mut self.lag, queue);
    }

    /// One end is gone. The other end hears of it after all that is still on its way there; with `may_lose` the last of
    /// that may be lost.
    fn part(&mut self, id: u64, gone: Side, may_lose: bool, why: &str, queue: &mut Events) {
        let (now, lag) = (queue.now(), &mut self.lag);
        let Some(line) = self.lines.get_mut(&id) else { return };
        if line.listener.is_none() {
            self.lines.remove(&id);
            return;
        }
        let left = gone.other();
        let way = line.way(left);
        if may_lose && way.last > now && lag.loses() {
            way.cut = Some(lag.cut(now, way.last));
        }
        let heard = now.after(lag.draw()).max(way.cut.unwrap_or(way.last).after(1));
        let lost = Lost { refused: false, why: why.to_owned() };
        queue.put(heard, world::Event::Net(Event::End(id, left, lost)));
    }

    /// A process calls a node.
    pub(crate) fn call(&mut self, from: Process, call: CallId, addr: String, ask: &Ask, queue: &mut Events) {
        self.calls.call(from, call, addr, ask, &mut self.lag, queue);
    }

    /// A process answers a call.
    pub(crate) fn reply(&mut self, from: Process, reply: ReplyId, answer: Back, queue: &mut Events) {
        self.calls.reply(from, reply, answer, &mut self.lag, queue);
    }

    /// A step on the way of a stream or call. Gives what arrives at a process by it.
    pub(crate) fn handle(&mut self, event: Event, queue: &mut Events) -> Option<Delivery> {
        match event {
            Event::Connect(id) => {
                self.connect(id, queue);
                None
            }
            Event::Open(id) => self.opened(id, queue.now()),
            Event::Say(id, to, message) => self.said(id, to, message, queue.now()),
            Event::End(id, to, lost) => self.ended(id, to, lost),
            Event::Call(event) => self.calls.handle(event, &self.listening, &mut self.lag, queue),
        }
    }

    /// The dialer's first words leave when it has heard that it is connected.
    fn connect(&mut self, id: u64, queue: &mut Events) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let Some((process, numbers)) = self.listening.get(&line.addr) else {
            self.refused += 1;
            let lost = Lost { refused: true, why: format!("{} refuses connections", line.addr) };
            put(queue, self.lag.draw(), Event::End(id, Side::Dialer, lost));
            return;
        };
        let listener = (*process, ConnId(numbers.next()));
        line.listener = Some(listener);
        self.ends.insert(listener, (id, Side::Listener));
        let open = queue.now().after(self.lag.draw()).after(self.lag.draw());
        (line.to_listener.last, line.to_dialer.last) = (open, open);
        queue.put(open, world::Event::Net(Event::Open(id)));
        for message in std::mem::take(&mut line.waiting) {
            say(id, line, Side::Listener, message, &mut self.lag, queue);
        }
    }

    fn opened(&mut self, id: u64, now: Moment) -> Option<Delivery> {
        let (to, conn) = self.arrives(id, Side::Listener, now)?;
        let kind = self.lines.get(&id)?.kind;
        Some(Delivery { to, input: Input::Opened(conn, kind), bytes: Vec::new() })
    }

    fn said(&mut self, id: u64, side: Side, message: Vec<u8>, now: Moment) -> Option<Delivery> {
        let (to, conn) = self.arrives(id, side, now)?;
        let said = calls::decoded(frame::decode(&message));
        Some(Delivery { to, input: Input::Said(conn, said), bytes: message })
    }

    /// The process at this end with its number for the stream; none if what arrives there now is lost.
    fn arrives(&mut self, id: u64, side: Side, now: Moment) -> Option<(Process, ConnId)> {
        let line = self.lines.get_mut(&id)?;
        let lost = line.way(side).cut.is_some_and(|cut| now > cut);
        if lost { None } else { line.end(side) }
    }

    fn ended(&mut self, id: u64, side: Side, lost: Lost) -> Option<Delivery> {
        let end = self.lines.remove(&id)?.end(side)?;
        self.ends.remove(&end);
        let (to, conn) = end;
        Some(Delivery { to, input: Input::Ended(conn, lost), bytes: Vec::new() })
    }
}

fn say(id: u64, line: &mut Line, to: Side, message: Vec<u8>, lag: &mut Lag, queue: &mut Events) {
    let way = line.way(to);
    way.last = queue.now().after(lag.draw()).max(way.last.after(1));
    queue.put(way.last, world::Event::Net(Event::Say(id, to, message)));
}

/// So many microseconds from now.
pub(super) fn put(queue: &mut Events, after: u64, event: Event) {
    queue.put(queue.now().after(after), world::Event::Net(event));
}
