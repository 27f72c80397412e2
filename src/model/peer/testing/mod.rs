//! A peer on a bench: its inputs are given by hand, turn by turn, and so are time and disk. What it wants done comes as
//! one line each.
//!
//! After each turn the bench holds three things of the machine against its own books: the streams that are open, the
//! questions that are unanswered, the calls that are under way. And the fold of all records must be the machine's state.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::model::call::{Answer, Ask, CallError, Opening};
use crate::model::evidence::Seen;
use crate::model::fold::Fold as _;
use crate::model::hello::Dialed;
use crate::model::message::*;
use crate::model::offices::Roster;
use crate::model::step::{CallId, ConnId, Effect, Input, Lost, Numbers, Past, ReplyId, When};
use crate::types::{Epoch, Hash, Order, Role, Seq, WallMicros};

mod open;
mod shown;
mod words;

use shown::{hello_of, shows_token_at};
pub(super) use words::*;

/// A log that was pruned: it cannot tell, so it says yes.
struct Pruned;

impl Past for Pruned {
    fn holds(&self, _: Seq, _: Hash) -> Result<bool, String> {
        Ok(true)
    }
}

pub(super) struct Bench {
    pub(super) peer: Peer,
    pub(super) at: At,
    turn: Turn<Entry>,
    /// All records so far come to this.
    pub(super) journal: PeerState,
    records: Vec<Entry>,
    /// True: what is recorded is durable at the next turn. False: when a test says so.
    pub(super) disk_works: bool,
    durable: Seq,
    conns: BTreeMap<ConnId, String>,
    /// Of streams that others open.
    names: BTreeMap<ConnId, String>,
    replies: BTreeSet<ReplyId>,
    calls: BTreeMap<CallId, String>,
    numbers: Numbers,
    pub(super) happened: Vec<String>,
    /// Where the token was shown.
    pub(super) shown: BTreeSet<String>,
    /// How the warehouse was last asked for the session.
    pub(super) opened_with: Option<Opening>,
    /// What of the ledger went with the last answer, by a call or on a stream.
    pub(super) answered_with: Option<Seen>,
    /// Links that the peer dialed, until they are answered.
    unanswered: BTreeMap<ConnId, Dialed>,
}

impl Bench {
    /// A peer that was just started, of which nobody has heard.
    pub(super) fn new() -> Bench {
        Bench::with(|_| {})
    }

    pub(super) fn with(change: impl FnOnce(&mut Parts)) -> Bench {
        let me = Me {
            id: PeerId(ME),
            cluster: "market".into(),
            epoch: Epoch(0),
            secret: Secret::new(token(ME)),
            process: process(ME),
            addr: addr(ME),
            role: Role::Idle,
            pid: 1,
            heartbeat_ms: 5_000,
            suspect_after_ms: 5_000,
        };
        let mut parts = Parts {
            state: PeerState::default(),
            clock: Clock::starting_at(Stamp(0)),
            me,
            habits: habits(Role::Idle),
            goods: vec![("fish".into(), Money(100)), ("salt".into(), Money(50))],
            warehouse: "warehouse".into(),
            neighbours: Vec::new(),
            join: Vec::new(),
            no_preempt: true,
            queue_max: 1_000_000,
        };
        change(&mut parts);
        let (journal, numbers) = (parts.state.clone(), Numbers::default());
        let at = At { now: Now(100_000), micros: 1, time: WallMicros(1), ..At::default() };
        Bench {
            durable: journal.seq,
            peer: Peer::new(parts, at.now),
            at,
            turn: Turn::new(numbers.clone(), Box::new(Pruned)),
            journal,
            records: Vec::new(),
            disk_works: true,
            conns: BTreeMap::new(),
            names: BTreeMap::new(),
            replies: BTreeSet::new(),
            calls: BTreeMap::new(),
            numbers,
            happened: Vec::new(),
            shown: BTreeSet::new(),
            opened_with: None,
            answered_with: None,
            unanswered: BTreeMap::new(),
        }
    }

    /// A peer with its session and its control stream, which knows the sessions of peers 1 to 12 and of a client.
    pub(super) fn in_market(offices: Roster) -> Bench {
        Bench::new().enter(offices)
    }

    pub(super) fn enter(mut self, offices: Roster) -> Bench {
        self.idle();
        self.came("open", Ok(opened(0, Roster::default())));
        let sessions = (1..=12).chain([CLIENT]).map(session).collect();
        let hello = Some(hello(0));
        let roster = Some(Box::new(offices));
        self.say("control", down(ControlDown { hello, sessions, roster, ..ControlDown::default() }));
        self.settle();
        self.forget_what_happened();
        self
    }

    /// Tests begin here: what led to this is not looked at.
    pub(super) fn forget_what_happened(&mut self) {
        self.happened.clear();
        self.records.clear();
    }

    // ---- turns

    pub(super) fn turn(&mut self, inputs: impl IntoIterator<Item = Input>) -> Vec<String> {
        let mut lines = Vec::new();
        if self.disk_works && self.durable < self.journal.seq {
            self.durable = self.journal.seq;
            self.step(Input::Durable(self.durable), &mut lines);
        }
        for input in inputs {
            self.step(input, &mut lines);
        }
        self.peer.end_turn(self.at, &mut self.turn);
        self.gather(&mut lines);
        let (records, _) = self.turn.take_records();
        for record in records {
            self.journal.apply(self.journal.seq.next(), self.at.time, &record);
            self.records.push(record);
        }
        assert_eq!(&self.journal, self.peer.state(), "the fold of the records is the state");
        lines
    }

    fn step(&mut self, input: Input, lines: &mut Vec<String>) {
        match &input {
            Input::Opened(conn, _) => drop(self.conns.insert(*conn, self.names[conn].clone())),
            Input::Ended(conn, _) => drop(self.conns.remove(conn)),
            Input::Asked(reply, _) => assert!(self.replies.insert(*reply), "{reply} asks again"),
            Input::Came(call, _) => drop(self.calls.remove(call)),
            _ => {}
        }
        self.peer.step(self.at, input, &mut self.turn);
        self.gather(lines);
    }

    fn gather(&mut self, lines: &mut Vec<String>) {
        for (when, effect) in self.turn.take_effects() {
            let line = self.line(when, &effect);
            assert!(shown::shows_clock(&effect, self.peer.clock()), "without the clock: {line}");
            if let Some(addr) = shows_token_at(&effect) {
                self.shown.insert(addr.to_owned());
            }
            if let Some(seen) = shown::seen_with_answer(&effect) {
                self.answered_with = seen;
            }
            match effect {
                Effect::Dial { conn, first, .. } => {
                    assert!(self.conns.contains_key(&conn));
                    if let Some(hello) = hello_of(&first).filter(|_| first.stream() == Stream::Link) {
                        self.unanswered.insert(conn, hello.dialed());
                    }
                }
                Effect::HangUp(conn) => assert!(self.conns.remove(&conn).is_some(), "ended twice: {line}"),
                Effect::Send(conn, _) => assert!(self.conns.contains_key(&conn), "nobody hears: {line}"),
                Effect::Reply(reply, _) => assert!(self.replies.remove(&reply), "answered twice: {line}"),
                Effect::Call { call, ask, .. } => {
                    if let Ask::Open(opening) = &ask {
                        self.opened_with = Some(opening.clone());
                    }
                    self.calls.insert(call, ask.to_string());
                }
                Effect::Happen(what) => {
                    self.happened.push(what.to_string());
                    continue;
                }
                Effect::RenewToken | Effect::Exit(_) => {}
            }
            lines.push(line);
        }
        self.check_books();
    }

    fn check_books(&self) {
        let mut conns = self.peer.conns();
        conns.sort_unstable();
        assert_eq!(conns, self.conns.keys().copied().collect::<Vec<_>>(), "streams: {:?}", self.conns);
        let replies: Vec<ReplyId> = self.peer.replies().into_iter().collect();
        assert_eq!(replies, self.replies.iter().copied().collect::<Vec<_>>(), "questions");
        let calls: Vec<CallId> = self.peer.facts.open_calls().collect();
        assert_eq!(calls, self.calls.keys().copied().collect::<Vec<_>>(), "calls: {:?}", self.calls);
    }

    /// As it is printed in traces, with streams by what they are, calls without numbers, and what it waits for.
    fn line(&mut self, when: When, effect: &Effect) -> String {
        if let Effect::Dial { conn, addr, first } = effect {
            let name = match first.stream() {
                Stream::Trade => "home".to_owned(),
                Stream::Link => addr.replace("peer", "to"),
                other => format!("{other:?}").to_lowercase(),
            };
            assert!(self.conns.insert(*conn, name).is_none(), "dialed twice: {effect}");
        }
        let mut line = effect.to_string();
        match effect {
            Effect::Dial { conn, .. } | Effect::Send(conn, _) | Effect::HangUp(conn) => {
                let name = self.conns.get(conn).map_or("nobody", String::as_str);
                line = line.replacen(&conn.to_string(), name, 1);
            }
            Effect::Call { call, .. } => line = line.replacen(&format!("{call} "), "", 1),
            _ => {}
        }
        match when {
            When::Now(_) => line,
            When::Before => format!("{line} (before)"),
            When::ThisTurn => format!("{line} (this turn)"),
        }
    }

    // ---- time and disk

    pub(super) fn idle(&mut self) -> Vec<String> {
        self.turn([])
    }

    /// Turns without time, until nothing is due and all is durable.
    pub(super) fn settle(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..20 {
            lines.extend(self.idle());
            let due = self.peer.due().is_some_and(|due| due <= self.at.now);
            if !due && (!self.disk_works || self.durable == self.journal.seq) {
                return lines;
            }
        }
        panic!("it is due again and again: {lines:?}");
    }

    /// So much time passes, in which the peer is woken when it wants to be.
    pub(super) fn after(&mut self, ms: u64) -> Vec<String> {
        let (until, mut lines) = (self.at.now.after_ms(ms), self.settle());
        while let Some(due) = self.peer.due().filter(|due| *due <= until) {
            self.pass_to(due);
            lines.extend(self.settle());
        }
        self.pass_to(until);
        assert_eq!(self.settle(), [""; 0], "nothing is done unless it was due");
        lines
    }

    fn pass_to(&mut self, now: Now) {
        self.at.micros += now.ms_since(self.at.now) * 1_000;
        self.at.now = self.at.now.max(now);
    }

    /// The process is stopped (SIGSTOP) for so long.
    pub(super) fn stopped_for(&mut self, ms: u64) {
        self.pass_to(self.at.now.after_ms(ms));
    }

    /// All that was recorded is durable now, though the disk is slow.
    pub(super) fn written(&mut self) -> Vec<String> {
        self.durable = self.journal.seq;
        self.turn([Input::Durable(self.durable)])
    }

    pub(super) fn clock(&self) -> Stamp {
        self.peer.clock()
    }

    /// What was recorded since the last look.
    pub(super) fn recorded(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.records)
    }

    // ---- streams

    /// The newest stream of this name.
    pub(super) fn conn(&self, name: &str) -> ConnId {
        let found = self.conns.iter().rev().find(|(_, it)| *it == name);
        found.map(|(conn, _)| *conn).unwrap_or_else(|| panic!("no {name} among {:?}", self.conns))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.conns.values().any(|it| it == name)
    }

    pub(super) fn said(&self, name: &str, message: Message) -> Input {
        Input::Said(self.conn(name), message)
    }

    /// The other side of a link says its hello before anything else.
    pub(super) fn say(&mut self, name: &str, message: Message) -> Vec<String> {
        if name.starts_with("to-") && self.unanswered.contains_key(&self.conn(name)) {
            self.answers(name);
        }
        let said = self.said(name, message);
        self.turn([said])
    }

    /// The other side of a link, a present peer, answers with its hello.
    pub(super) fn answers(&mut self, name: &str) -> Vec<String> {
        let peer = name.strip_prefix("to-").unwrap().parse().unwrap();
        self.introduce(&[peer]);
        let dialed = self.unanswered.remove(&self.conn(name)).unwrap();
        let said = self.said(name, link_answer(peer, dialed));
        self.turn([said])
    }

    /// The warehouse tells of these peers.
    pub(super) fn introduce(&mut self, peers: &[u32]) -> Vec<String> {
        let introduced = peers.iter().map(|peer| introduction(*peer)).collect();
        self.say("control", down(ControlDown { introduced, ..ControlDown::default() }))
    }

    /// The warehouse tells everybody that the peer on the bench leaves.
    pub(super) fn announced(&mut self) -> Vec<String> {
        let mut gone = introduction(ME);
        gone.member.left = true;
        self.say("control", down(ControlDown { introduced: vec![gone], ..ControlDown::default() }))
    }

    /// Another node opens a stream.
    pub(super) fn opened(&mut self, name: &str, stream: Stream) -> Input {
        let conn = ConnId(self.numbers.next());
        self.names.insert(conn, name.to_owned());
        Input::Opened(conn, stream)
    }

    /// Another node opens a stream and says this on it.
    pub(super) fn greeted(&mut self, name: &str, first: Message) -> Vec<String> {
        let opened = self.opened(name, first.stream());
        self.turn([opened]);
        self.say(name, first)
    }

    pub(super) fn broken(&mut self, name: &str) -> Vec<String> {
        self.ended(name, false)
    }

    /// Nobody listens there.
    pub(super) fn refused(&mut self, name: &str) -> Vec<String> {
        self.ended(name, true)
    }

    fn ended(&mut self, name: &str, refused: bool) -> Vec<String> {
        let lost = Lost { refused, why: "test".into() };
        let conn = self.conn(name);
        self.turn([Input::Ended(conn, lost)])
    }

    /// A link of another peer to this one, over which it tells whom it knows; the warehouse has told of all of them.
    pub(super) fn met(&mut self, peer: u32, knows: &[u32]) {
        let name = format!("from-{peer}");
        self.introduce(&[&[peer], knows].concat());
        self.greeted(&name, greeting(peer));
        let members = [peer].iter().chain(knows).map(|id| member(*id)).collect();
        self.say(&name, word(PeerWord::Members(members)));
    }

    /// All streams that are open.
    pub(super) fn open_conns(&self) -> Vec<(ConnId, String)> {
        self.conns.iter().map(|(conn, name)| (*conn, name.clone())).collect()
    }

    // ---- calls

    /// All calls that are under way, with what they ask.
    pub(super) fn open_calls(&self) -> Vec<(CallId, String)> {
        self.calls.iter().map(|(call, ask)| (*call, ask.clone())).collect()
    }

    /// Questions that have no answer yet.
    pub(super) fn waiting(&self) -> usize {
        self.replies.len()
    }

    pub(super) fn ask(&mut self, reply: u64, ask: Ask) -> Vec<String> {
        self.turn([Input::Asked(ReplyId(reply), ask)])
    }

    pub(super) fn calls(&self, what: &str) -> usize {
        self.calls.values().filter(|ask| ask.starts_with(what)).count()
    }

    /// The only call that begins so.
    pub(super) fn call(&self, what: &str) -> CallId {
        assert_eq!(self.calls(what), 1, "{what} among {:?}", self.calls);
        let found = self.calls.iter().find(|(_, ask)| ask.starts_with(what));
        found.map(|(call, _)| *call).unwrap()
    }

    pub(super) fn came(&mut self, what: &str, result: Result<Answer, CallError>) -> Vec<String> {
        let call = self.call(what);
        self.turn([Input::Came(call, result)])
    }

    /// The warehouse grants what was asked, and these are the offices now.
    pub(super) fn granted(&mut self, what: &str, offices: Roster) -> Vec<String> {
        self.came(what, Ok(Answer::Roster(Stamp(1), Box::new(offices))))
    }

    /// The warehouse tells the offices on the control stream.
    pub(super) fn hear(&mut self, offices: Roster) -> Vec<String> {
        let roster = Some(Box::new(offices));
        self.say("control", down(ControlDown { roster, ..ControlDown::default() }))
    }

    // ---- the desk

    /// The settle stream is up: what waits goes out.
    pub(super) fn settle_up(&mut self) -> Vec<String> {
        self.say("settle", settled(SettleAnswer { hello: Some(hello(0)), ..SettleAnswer::default() }))
    }

    /// A batch comes back, all of it sold.
    pub(super) fn decided(&mut self, batch: u64, orders: &[Order]) -> Vec<String> {
        let (batch, outcomes) = (crate::types::Batch(batch), orders.iter().map(deposited).collect());
        self.say("settle", settled(SettleAnswer { batch, outcomes, ..SettleAnswer::default() }))
    }
}
