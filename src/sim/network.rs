//! The network: streams that keep their order and nothing else, and who listens where.
//!
//! In: what processes dial, say and hang up. Out: [`Delivery`]s at the time at which they arrive. A message takes a time
//! of its own within its stream's order, so that streams overtake each other. Connecting takes a round trip; where nobody
//! listens it is refused. Each end of a stream is gone for itself: when a process hangs up, is killed, or gives a silent
//! connection up, the other end hears of it later, after what had been said; of that the last may be lost. Messages are
//! really encoded and decoded on their way. What goes wrong on purpose is [`Weather`], and what [`Network::break_between`]
//! does.

use std::collections::BTreeMap;

use super::calls::{self, Back, Calls};
use super::lag::Lag;
use super::line::{Damage, End, Line, Side, Way};
use super::node::node_at;
use super::queue::{MS, Moment, Queue};
use super::weather::{GIVE_UP, Passage, Spell, Weather};
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
    /// From which node and when, for what another process had sent.
    pub sent: Option<(PeerId, Moment)>,
}

/// Something on its way.
pub(super) enum Event {
    /// The first packet of a stream is where it was sent to.
    Connect(u64),
    /// The stream comes up at its listener.
    Open(u64),
    /// A message is at this end.
    Say(u64, Side, Vec<u8>, Moment),
    /// This end hears, or notices, that the other one is gone.
    End(u64, Side, Lost),
    /// A message that was held back for its successor waits no longer.
    Held(u64),
    /// Of a unary call.
    Call(calls::Event),
}

/// An end that only hears notices a silent connection later than one that asks for answers.
const PATIENCE: u64 = 4 * GIVE_UP;
/// How long a message is held back for the one that is to overtake it.
const SWAP_MAX: u64 = 200 * MS;

/// See the module's text.
pub(super) struct Network {
    lag: Lag,
    /// What is wrong between nodes.
    weather: Weather,
    listening: BTreeMap<String, (Process, Numbers)>,
    lines: BTreeMap<u64, Line>,
    ends: BTreeMap<End, (u64, Side)>,
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
            weather: Weather::fair(seed),
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

    /// Something goes wrong between nodes for a while.
    pub(crate) fn begin(&mut self, spell: Spell, now: Moment) {
        self.weather.begin(spell, now);
    }

    /// Nothing is wrong any more. An end whose other one is gone asks for a sign of life, and is told now; a stream that
    /// is held back for long breaks.
    pub(crate) fn heal(&mut self, queue: &mut Events) {
        self.weather.clear();
        for (id, line) in &mut self.lines {
            (line.to_dialer.snaps, line.to_listener.snaps) = (false, false);
            line.mend();
            if !line.connected {
                continue;
            }
            let late = queue.now().after(GIVE_UP / 4);
            if line.to_dialer.last.max(line.to_listener.last) > late {
                for side in [Side::Dialer, Side::Listener] {
                    line.way(side).cut = Some(queue.now());
                    put(queue, self.lag.draw(), Event::End(*id, side, broken()));
                }
                continue;
            }
            let left = match (line.dialer.is_some(), line.listener.is_some()) {
                (true, false) => Side::Dialer,
                (false, true) => Side::Listener,
                _ => continue,
            };
            put(queue, GIVE_UP / 4 + self.lag.draw(), Event::End(*id, left, broken()));
        }
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
        let nodes = (from.node, node_at(&addr).unwrap_or(from.node));
        let line = Line {
            kind,
            addr,
            nodes,
            dialer: Some((from, conn)),
            listener: None,
            connected: false,
            given_up: false,
            waiting: vec![first],
            damage: None,
            to_dialer: Way::default(),
            to_listener: Way::default(),
        };
        self.lines.insert(id, line);
        self.ends.insert((from, conn), (id, Side::Dialer));
        match self.weather.passage(nodes.0, nodes.1, queue.now()) {
            Passage::After(more) if more < GIVE_UP => put(queue, self.lag.draw() + more, Event::Connect(id)),
            // It connects, and what is said on it comes late: its hello behind that of its successor, too.
            Passage::After(_) => put(queue, self.lag.draw(), Event::Connect(id)),
            Passage::Never => put(queue, GIVE_UP, Event::End(id, Side::Dialer, silent())),
        }
    }

    /// A process says something on a stream. If that is gone, nobody hears it.
    pub(crate) fn send(&mut self, from: Process, conn: ConnId, message: Vec<u8>, queue: &mut Events) {
        let Some((id, side)) = self.ends.get(&(from, conn)).copied() else { return };
        let Some(line) = self.lines.get_mut(&id) else { return };
        match line.connected {
            false => line.waiting.push(message),
            true if side == Side::Dialer && line.damage.is_some() => self.say_damaged(id, message, queue),
            true => self.say(id, side.other(), message, queue),
        }
    }

    /// What these nodes say next on their lines to traders arrives twice, or swapped with what they say then, so many
    /// times. Gives how many lines they are.
    pub(crate) fn repeat(&mut self, from: PeerId, swaps: bool, times: u32) -> u64 {
        let lines = self.lines.values_mut().filter(|line| line.connected && line.kind == Stream::Trade);
        let lines = lines.filter(|line| line.nodes.0 == from && !line.holds());
        lines.map(|line| line.damage = Some(Damage::new(swaps, times))).count() as u64
    }

    fn say_damaged(&mut self, id: u64, message: Vec<u8>, queue: &mut Events) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let said = line.damage(message);
        if line.holds() {
            put(queue, SWAP_MAX, Event::Held(id));
        }
        said.into_iter().for_each(|message| self.say(id, Side::Listener, message, queue));
    }

    /// Nothing followed what is held back.
    fn release(&mut self, id: u64, queue: &mut Events) {
        if let Some(message) = self.lines.get_mut(&id).and_then(Line::release) {
            self.say(id, Side::Listener, message, queue);
        }
    }

    /// A message sets out to one end of a stream.
    fn say(&mut self, id: u64, to: Side, message: Vec<u8>, queue: &mut Events) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let ((from, at), now) = (line.path(to), queue.now());
        if std::mem::take(&mut line.way(to).snaps) {
            line.way(to).cut = Some(now);
            return self.snap(id, queue);
        }
        match self.weather.passage(from, at, now) {
            Passage::After(more) => {
                let way = line.way(to);
                way.last = now.after(self.lag.draw() + more).max(way.last.after(1));
                let (last, late) = (way.last, way.last.since(now) > GIVE_UP);
                queue.put(last, world::Event::Net(Event::Say(id, to, message, now)));
                if late {
                    self.give_up(id, to.other(), queue);
                }
            }
            Passage::Never => {
                let way = line.way(to);
                way.cut = Some(way.cut.map_or(now, |cut| cut.min(now)));
                self.give_up(id, to.other(), queue);
            }
        }
    }

    /// One end has heard nothing for too long, gives the stream up, and tells nobody. What it had said may still arrive;
    /// then, or when it has waited long enough itself, the other end notices.
    fn give_up(&mut self, id: u64, side: Side, queue: &mut Events) {
        let Some(line) = self.lines.get_mut(&id).filter(|line| !line.given_up) else { return };
        line.given_up = true;
        let last = line.way(side.other()).last;
        put(queue, GIVE_UP, Event::End(id, side, silent()));
        let now = queue.now();
        let heard = now.after(GIVE_UP + 1).max(last.after(1)).min(now.after(PATIENCE));
        queue.put(heard, world::Event::Net(Event::End(id, side.other(), silent())));
    }

    /// The stream ends in the middle of a message.
    fn snap(&mut self, id: u64, queue: &mut Events) {
        for side in [Side::Dialer, Side::Listener] {
            put(queue, self.lag.draw(), Event::End(id, side, broken()));
        }
    }

    /// Streams between these nodes, in whichever direction they were dialed, break: of what is on its way the last may
    /// be lost. With `snap` they break in the middle of their next message. Gives how many they are.
    pub(crate) fn break_between(
        &mut self,
        one: PeerId,
        other: Option<PeerId>,
        snap: bool,
        queue: &mut Events,
    ) -> u64 {
        let (lag, mut hit) = (&mut self.lag, 0);
        let concerns = |(from, to): (PeerId, PeerId)| {
            let far = if from == one { to } else { from };
            (from == one || to == one) && other.is_none_or(|other| other == far)
        };
        for (id, line) in self.lines.iter_mut().filter(|(_, line)| line.connected && concerns(line.nodes)) {
            hit += 1;
            for side in [Side::Dialer, Side::Listener] {
                let way = line.way(side);
                way.snaps = snap;
                if !snap {
                    let now = queue.now();
                    way.cut = (way.last > now).then(|| lag.cut(now, way.last)).or(way.cut);
                    put(queue, lag.draw(), Event::End(*id, side, broken()));
                }
            }
        }
        hit
    }

    /// A process stands still: whoever speaks with it gives up if that lasts.
    pub(crate) fn stand_still(&mut self, process: Process, lasts: u64, queue: &mut Events) {
        if lasts <= GIVE_UP {
            return;
        }
        let ends: Vec<_> = self.ends_of(process).map(|(_, line)| *line).collect();
        for (id, side) in ends {
            let notices = GIVE_UP + self.lag.draw();
            put(queue, notices, Event::End(id, side.other(), silent()));
            // The process hears of it when it goes on.
            put(queue, notices + self.lag.draw(), Event::End(id, side, broken()));
        }
    }

    /// A process ends a stream. If the process had dialed it, what it said last may be lost.
    pub(crate) fn hang_up(&mut self, from: Process, conn: ConnId, queue: &mut Events) {
        if let Some((id, side)) = self.ends.remove(&(from, conn)) {
            self.part(id, side, side == Side::Dialer, "ended by the other side", queue);
        }
    }

    fn ends_of(&self, process: Process) -> impl Iterator<Item = (&End, &(u64, Side))> {
        self.ends.range((process, ConnId(0))..=(process, ConnId(u64::MAX)))
    }

    /// A process is killed: its streams and calls end.
    pub(crate) fn kill(&mut self, process: Process, queue: &mut Events) {
        self.listening.retain(|_, (listener, _)| *listener != process);
        let ends: Vec<_> = self.ends_of(process).map(|(end, line)| (*end, *line)).collect();
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
        *line.end(gone) = None;
        if !line.connected || line.end(gone.other()).is_none() {
            self.lines.remove(&id);
            return;
        }
        let ((from, to), left) = (line.path(gone.other()), gone.other());
        let way = line.way(left);
        if may_lose && way.last > now && lag.loses() {
            way.cut = Some(lag.cut(now, way.last));
        }
        // In silence an end is not heard of either; the one that is left notices by itself.
        let more = match self.weather.passage(from, to, now) {
            Passage::After(more) => more,
            Passage::Never => GIVE_UP,
        };
        let heard = now.after(lag.draw() + more).max(way.cut.unwrap_or(way.last).after(1));
        let lost = Lost { refused: false, why: why.to_owned() };
        queue.put(heard, world::Event::Net(Event::End(id, left, lost)));
    }

    /// A process calls a node.
    pub(crate) fn call(&mut self, from: Process, call: CallId, addr: String, ask: &Ask, queue: &mut Events) {
        self.calls.call(from, call, addr, ask, (&mut self.lag, &mut self.weather), queue);
    }

    /// A process answers a call.
    pub(crate) fn reply(&mut self, from: Process, reply: ReplyId, answer: Back, queue: &mut Events) {
        self.calls.reply(from, reply, answer, (&mut self.lag, &mut self.weather), queue);
    }

    /// A step on the way of a stream or call. Gives what arrives at a process by it.
    pub(crate) fn handle(&mut self, event: Event, queue: &mut Events) -> Option<Delivery> {
        match event {
            Event::Connect(id) => {
                self.connect(id, queue);
                None
            }
            Event::Open(id) => self.opened(id, queue.now()),
            Event::Say(id, to, message, sent) => {
                let mut delivery = self.said(id, to, message, queue.now())?;
                delivery.sent = self.lines.get(&id).map(|line| (line.path(to).0, sent));
                Some(delivery)
            }
            Event::End(id, to, lost) => self.ended(id, to, lost),
            Event::Held(id) => {
                self.release(id, queue);
                None
            }
            Event::Call(event) => {
                let sky = (&mut self.lag, &mut self.weather);
                self.calls.handle(event, &self.listening, sky, queue)
            }
        }
    }

    /// The dialer's first words leave when it has heard that it is connected.
    fn connect(&mut self, id: u64, queue: &mut Events) {
        let Some(line) = self.lines.get_mut(&id) else { return };
        let listening = match self.weather.refuses(line.nodes.0, line.nodes.1, queue.now()) {
            true => None,
            false => self.listening.get(&line.addr),
        };
        let Some((process, numbers)) = listening else {
            self.refused += 1;
            let lost = Lost { refused: true, why: format!("{} refuses connections", line.addr) };
            put(queue, self.lag.draw(), Event::End(id, Side::Dialer, lost));
            return;
        };
        let listener = (*process, ConnId(numbers.next()));
        (line.listener, line.connected) = (Some(listener), true);
        self.ends.insert(listener, (id, Side::Listener));
        let open = queue.now().after(self.lag.draw()).after(self.lag.draw());
        (line.to_listener.last, line.to_dialer.last) = (open, open);
        queue.put(open, world::Event::Net(Event::Open(id)));
        for message in std::mem::take(&mut line.waiting) {
            self.say(id, Side::Listener, message, queue);
        }
    }

    fn opened(&mut self, id: u64, now: Moment) -> Option<Delivery> {
        let (to, conn) = self.arrives(id, Side::Listener, now)?;
        let kind = self.lines.get(&id)?.kind;
        Some(Delivery { to, input: Input::Opened(conn, kind), bytes: Vec::new(), sent: None })
    }

    fn said(&mut self, id: u64, side: Side, message: Vec<u8>, now: Moment) -> Option<Delivery> {
        let (to, conn) = self.arrives(id, side, now)?;
        let said = calls::decoded(frame::decode(&message));
        Some(Delivery { to, input: Input::Said(conn, said), bytes: message, sent: None })
    }

    /// The process at this end with its number for the stream; none if what arrives there now is lost.
    fn arrives(&mut self, id: u64, side: Side, now: Moment) -> Option<End> {
        let line = self.lines.get_mut(&id)?;
        let lost = line.way(side).cut.is_some_and(|cut| now > cut);
        if lost { None } else { *line.end(side) }
    }

    fn ended(&mut self, id: u64, side: Side, lost: Lost) -> Option<Delivery> {
        let line = self.lines.get_mut(&id)?;
        let end = line.end(side).take()?;
        if line.end(side.other()).is_none() {
            self.lines.remove(&id);
        }
        self.ends.remove(&end);
        let (to, conn) = end;
        Some(Delivery { to, input: Input::Ended(conn, lost), bytes: Vec::new(), sent: None })
    }
}

fn silent() -> Lost {
    Lost { refused: false, why: "nothing came for too long".to_owned() }
}

fn broken() -> Lost {
    Lost { refused: false, why: "the connection broke".to_owned() }
}

/// So many microseconds from now.
pub(super) fn put(queue: &mut Events, after: u64, event: Event) {
    queue.put(queue.now().after(after), world::Event::Net(event));
}
