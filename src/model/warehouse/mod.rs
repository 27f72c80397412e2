//! The warehouse: decides batches, opens sessions, grants and fences offices, sees who is present, and tells of it.
//!
//! In: streams and calls of peers, by number, with the time. Out: records of the ledger, and effects that wait for them:
//! all that the warehouse says tells of its journal. Batches are decided at the end of a turn, all of the turn together.
//!
//! Only what is in the ledger survives (the [`Market`]). Presence is of this life: after a start every holder counts as
//! present for `suspect_after_ms`, or a restarted warehouse, which sees nothing but closed streams, would let anybody
//! depose healthy traders.

mod ahead;
mod allotments;
mod denied;
mod invariants;
mod members;
mod offices;
mod presence;
mod sessions;
mod settle;
mod tell;
mod witnesses;

use std::collections::{BTreeMap, BTreeSet};

pub(crate) use self::denied::Denied;
pub use self::offices::GivenUp;
pub(crate) use self::sessions::Opened;

use self::allotments::Allotments;
use self::presence::Presence;
use self::settle::{Job, Settler};
use self::tell::Told;
use self::witnesses::Witnesses;
use super::awake::Awake;
use super::call::{Answer, Ask, Refusal};
use super::clock::Clock;
use super::evidence::{Seen, Signer};
use super::market::Market;
use super::message::{Message, Stream};
use super::offices::Roster;
use super::row::{Outcome, Record};
use super::step::{At, Because, ConnId, Effect, Input, Machine, Turn};
use crate::types::{
    Consistency, Hash, Money, Now, PeerId, ProcessId, PublicKey, Quantity, SecretKey, Seq, Stamp, WallMicros,
};

/// What the warehouse is told when it starts.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The trader's share of a sale, in percent.
    pub commission_percent: u8,
    /// A holder that has not answered for this long can be deposed.
    pub suspect_after_ms: u64,
    /// Distinguishes roster versions of this life from earlier ones: the store's start count.
    pub starts: u64,
}

/// What a warehouse is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The recovered state.
    pub market: Market,
    /// The recovered clock.
    pub clock: Clock,
    /// Terms of trade.
    pub rules: Rules,
    /// The market's id.
    pub cluster: String,
    /// BLAKE3 of its store's token.
    pub store: Hash,
    /// The public half of what it signs with; none in a test that has no store.
    pub key: Option<SecretKey>,
    /// This life.
    pub process: ProcessId,
    /// Where it listens.
    pub addr: String,
    /// Of the operating system.
    pub pid: u32,
    /// The command that puts its ledger in its own place as a restored one: for a hint.
    pub restore: String,
    /// How often it asks whether peers live.
    pub heartbeat_ms: u64,
    /// Initial goods of a new ledger.
    pub goods: Vec<(String, Quantity, Money)>,
    /// Mode of a new ledger.
    pub mode: Consistency,
}

/// How the warehouse names itself.
struct Me {
    cluster: String,
    store: Hash,
    key: Option<PublicKey>,
    process: ProcessId,
    addr: String,
    pid: u32,
    restore: String,
}

/// A stream of a peer to the warehouse.
enum Conn {
    /// The peer, once it has proven who it is.
    Control(Option<PeerId>),
    /// The trader, once it has said who it is.
    Settle(Option<Settler>),
    /// The stock is told on it.
    Watch,
}

/// The machine. See the module's text.
pub struct Warehouse {
    /// The fold of the ledger, this turn's records included.
    pub(super) market: Market,
    clock: Clock,
    rules: Rules,
    me: Me,
    /// Goods that a new ledger still has to get, and its mode.
    goods: Vec<(String, Quantity, Money)>,
    born: Consistency,
    conns: BTreeMap<ConnId, Conn>,
    presence: Presence,
    witnesses: Witnesses,
    signer: Option<Signer>,
    /// Peers that held an office, as far as this process knows: by the grants that it had and gave, and by licences.
    holders: BTreeSet<PeerId>,
    /// Batches of this turn.
    jobs: Vec<Job>,
    allotments: Allotments,
    /// Orders that were asked again and answered from the ledger.
    duplicates: u64,
    /// The offices as they were last looked at.
    roster: Roster,
    told: Told,
    awake: Awake,
    stopped: bool,
}

impl Warehouse {
    /// A warehouse over a recovered market.
    pub fn new(parts: Parts, now: Now) -> Warehouse {
        let Parts {
            market,
            clock,
            rules,
            cluster,
            store,
            key,
            process,
            addr,
            pid,
            restore,
            heartbeat_ms,
            goods,
            mode,
        } = parts;
        let signer = key.map(Signer::new);
        Warehouse {
            clock,
            rules,
            me: Me { cluster, store, key: signer.as_ref().map(Signer::key), process, addr, pid, restore },
            goods: if market.seq == Seq(0) { goods } else { Vec::new() },
            born: mode,
            conns: BTreeMap::new(),
            presence: Presence::new(now, rules.suspect_after_ms),
            witnesses: Witnesses::new(&market, now),
            signer,
            holders: market.offices.grants().map(|grant| grant.peer).collect(),
            jobs: Vec::new(),
            allotments: Allotments::default(),
            duplicates: 0,
            roster: Roster { version: rules.starts << 32, ..Roster::default() },
            told: Told::new(market.seq, heartbeat_ms, now),
            awake: Awake::new(now, rules.suspect_after_ms),
            stopped: false,
            market,
        }
    }

    /// It has heard the peers that it knows.
    #[cfg(test)]
    pub(crate) fn has_heard_all(&mut self) {
        self.witnesses = Witnesses::none();
    }

    fn record(&mut self, time: WallMicros, record: Record, turn: &mut Turn<Record>) -> Option<Outcome> {
        let outcome = self.market.apply_outcome(self.market.seq.next(), time, &record);
        turn.record(record);
        outcome
    }

    /// What comes before anything else of a turn, whatever it begins with. Gives the time as this process counts it.
    fn begin(&mut self, at: At, turn: &mut Turn<Record>) -> At {
        let (at, was_paused) = self.awake.begin(at);
        if was_paused {
            self.presence.was_away(at.now);
        }
        if !self.goods.is_empty() {
            self.stock(at.time, turn);
        }
        let heard = self.witnesses.are_heard(at.now);
        if heard && self.me.key.is_some_and(|key| self.market.key() != Some(key)) {
            self.show_key(at.time, turn);
        }
        at
    }

    /// Puts the key into the chain, behind the initial goods. In a ledger that format 1 began it goes on from this row
    /// in format 2; in one that was restored without its key this is the key from here on.
    fn show_key(&mut self, time: WallMicros, turn: &mut Turn<Record>) {
        let (peer, store, key) = (PeerId::WAREHOUSE, self.me.store, self.me.key);
        let (epoch, clock) = (self.market.generation.first_epoch(), self.clock.tick());
        self.record(time, Record::Session { peer, epoch, store, key, clock }, turn);
    }

    /// Puts the initial goods in, before anything else is recorded or told. Otherwise a peer that is born in the first
    /// turn learns an empty catalogue. And if the first record were of another kind, the ledger would look as if it had
    /// its goods: a warehouse killed there would have none for ever.
    fn stock(&mut self, time: WallMicros, turn: &mut Turn<Record>) {
        for (name, quantity, unit_price) in std::mem::take(&mut self.goods) {
            let clock = self.clock.tick();
            self.record(time, Record::Stocked { name, quantity, unit_price, clock }, turn);
        }
        self.change_mode(time, self.born, turn);
    }

    fn opened(&mut self, conn: ConnId, stream: Stream, turn: &mut Turn<Record>) {
        let opened = match stream {
            Stream::Control => Conn::Control(None),
            Stream::Settle => Conn::Settle(None),
            Stream::Watch => {
                self.tell_all_stock(conn, turn);
                Conn::Watch
            }
            Stream::Trade | Stream::Replicate | Stream::Link => {
                return turn.hold(Effect::HangUp(conn));
            }
        };
        self.conns.insert(conn, opened);
    }

    fn said(&mut self, at: At, conn: ConnId, message: Message, turn: &mut Turn<Record>) {
        match (self.conns.get(&conn), message) {
            (Some(Conn::Settle(_)), Message::SettleAsk(ask)) => self.batch(conn, ask, turn),
            (Some(Conn::Control(_)), Message::ControlUp(up)) => self.control(at, conn, up, turn),
            // This is the request; it was answered when the stream was opened.
            (Some(Conn::Watch), Message::Watch) => {}
            (Some(_), _) => self.hang_up(conn, "its message belongs on another stream", turn),
            (None, _) => {}
        }
    }

    fn answer(&mut self, at: At, ask: Ask, turn: &mut Turn<Record>) -> Result<Answer, Refusal> {
        let no = |why: &str| Err(Refusal::Invalid(why.to_owned()));
        match ask {
            Ask::Catalogue => return Ok(Answer::Catalogue(Box::new(self.catalogue()))),
            Ask::Open(opening) => return self.open_session(at, opening, turn),
            Ask::Session(peer) => return Ok(Answer::Session(self.clock.now(), self.session(peer))),
            Ask::Claim(hello, office) => self.claim(at, &hello, office, turn)?,
            Ask::Fence(hello, term) => self.fence(at, &hello, term, turn)?,
            Ask::Pair(hello, term, partner_term) => self.pair(at, &hello, term, partner_term, turn)?,
            Ask::Resign(hello, given_up) => self.resign(at, &hello, given_up, turn)?,
            Ask::Probe => return Ok(Answer::Alive(self.me.process)),
            Ask::Status => return Ok(Answer::Status(Box::new(self.report(at)))),
            Ask::Place(..) => return no("the warehouse places no orders; ask a peer"),
            Ask::Submit(..) | Ask::HandOver(..) => return no("the warehouse takes no orders; ask a trader"),
            Ask::Find(..) => return no("the warehouse has no neighbours; ask a peer"),
            Ask::Leave => return no("the warehouse never leaves its market"),
            Ask::Quiesce => return Ok(Answer::Open(0)),
            Ask::ResignByHand(_) => return Ok(Answer::Resigned(None)),
            Ask::Complete(hello, report) => self.complete_term(at, &hello, *report, turn)?,
            Ask::Release(term) => {
                let freed = self.release(at.time, term, turn);
                return freed.map(Answer::Released).map_err(Refusal::Invalid);
            }
            Ask::Mode(mode) => return Ok(self.answer_in_mode(at, mode, turn)),
        }
        Ok(Answer::Roster(self.clock.now(), Box::new(self.roster(at.now).clone())))
    }

    /// Takes in what had to wait for the witnesses.
    fn catch_up(&mut self, at: At, turn: &mut Turn<Record>) {
        for input in self.after_witnesses(at.now) {
            self.take_in(at, input, turn);
        }
    }

    fn take_in(&mut self, at: At, input: Input, turn: &mut Turn<Record>) {
        match input {
            Input::Said(conn, message) => self.said(at, conn, message, turn),
            Input::Opened(conn, stream) => self.opened(conn, stream, turn),
            Input::Ended(conn, _) => drop(self.forget(conn)),
            Input::Asked(reply, ask) => {
                let answer = self.answer(at, ask, turn);
                turn.hold(Effect::Reply(reply, answer));
            }
            Input::Stop => self.stopped = true,
            // The warehouse calls nobody, keeps its token, and waits for no record: the driver holds what it says.
            Input::Came(..) | Input::Token(_) | Input::Durable(_) => {}
        }
    }

    /// The durable end of the ledger, signed if there is a key. The clock is that of the message which shows it: the
    /// present one may have leapt since, and a leap is reserved on disk before anything shows it.
    fn shows(&mut self, durable: (Seq, Hash), clock: Stamp) -> Seen {
        let (generation, (seq, hash)) = (self.market.generation, durable);
        match &mut self.signer {
            Some(signer) => signer.sign(generation, durable, clock),
            None => Seen { generation, seq, hash, proof: None },
        }
    }

    /// Ends a stream behind what was said on it before, so that its last answer still goes out.
    fn hang_up(&mut self, conn: ConnId, why: &str, turn: &mut Turn<Record>) {
        if self.forget(conn) {
            tracing::warn!(%conn, why, "a stream is hung up");
            turn.hold(Effect::HangUp(conn));
        }
    }

    /// A stream is over. Gives whether there was one.
    fn forget(&mut self, conn: ConnId) -> bool {
        let known = self.conns.remove(&conn);
        match &known {
            Some(Conn::Control(_)) => self.presence.closed(conn, &self.market.offices),
            Some(Conn::Settle(_)) => self.allotments.ended(conn),
            _ => {}
        }
        known.is_some()
    }
}

impl Machine for Warehouse {
    type State = Market;

    fn step(&mut self, at: At, input: Input, turn: &mut Turn<Record>) {
        if let Some(exit) = self.is_refuted(&input, turn.past()) {
            tracing::error!(exit.what, "this ledger is not the market's");
            return turn.at_once(Because::TellsNothing, Effect::Exit(exit));
        }
        let at = self.begin(at, turn);
        self.catch_up(at, turn);
        if let Some(input) = self.waits_for_witnesses(at, input, turn) {
            self.take_in(at, input, turn);
        }
    }

    fn end_turn(&mut self, at: At, turn: &mut Turn<Record>) {
        let at = self.begin(at, turn);
        self.catch_up(at, turn);
        self.settle(at, turn);
        self.heartbeat(at.now, turn);
        self.tell_roster(at.now, turn);
        self.introduce(turn);
        self.tell_changed_stock(turn);
        let change = self.presence.next_change(at.now, &self.market.offices);
        let recall = self.allotments.due(self.recall_patience_ms());
        let wakes = [Some(self.told.next_heartbeat), change, self.witnesses.due(), recall];
        self.awake.plan(wakes.into_iter().flatten().min());
    }

    fn due(&self) -> Option<Now> {
        Some(self.awake.due())
    }

    fn clock(&self) -> Stamp {
        self.clock.now()
    }

    fn state(&self) -> &Market {
        &self.market
    }

    fn has_ended(&self) -> bool {
        self.stopped
    }

    fn invariants(&self) -> Result<(), String> {
        self.sound()
    }

    /// Shows what the ledger durably holds when the message leaves. What is staged does not count: power fails, and a
    /// peer that was shown a record which never was would take the right ledger for an older copy.
    fn complete(&mut self, effect: &mut Effect, durable: (Seq, Hash)) {
        match effect {
            Effect::Send(_, Message::SettleAnswer(answer)) => {
                let seen = self.shows(durable, answer.clock);
                (answer.ledger, answer.proof) = (seen.ledger(), seen.proof.map(Box::new));
                if let Some(hello) = &mut answer.hello {
                    hello.show(seen);
                }
            }
            Effect::Send(_, Message::ControlDown(down)) => {
                if down.roster.is_some() {
                    down.seen = Some(Box::new(self.shows(durable, down.clock)));
                }
                if let Some(hello) = &mut down.hello {
                    hello.show(self.shows(durable, down.clock));
                }
            }
            Effect::Reply(_, Ok(Answer::Opened(opened))) => {
                opened.seen = Some(Box::new(self.shows(durable, opened.clock)))
            }
            Effect::Reply(_, Ok(Answer::Status(report))) => report.ledger = durable,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
