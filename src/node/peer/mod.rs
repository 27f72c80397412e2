//! A peer's loop: its own orders, the desk it keeps while in office, its links to other peers, and the elections.
//!
//! One `Loop` owns everything; its parts live in files by what they do: `shop` (own orders and the way home), `desk`
//! (orders of others while in office), `offices` (roster, grants, elections, fences, handing over), `links`
//! (membership, words between peers), `partner` (heartbeats, suspicion), `replica` (copies for the partner), `warehouse`
//! (session, control stream), `leave` (going for good). Each step: inputs are applied, entries staged, effects held until
//! what they depend on is durable. What may leave at once (outcomes that the warehouse has journaled, orders on their
//! way to it, words of elections) does, since it depends on nothing of this journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::sync::{broadcast, mpsc, watch};

use super::held::Held;
use super::life::{Settings, Stop};
use super::{Stopwatch, wall_now};
use crate::journal::{Durable, Journal, Step, Ticket, Urgency};
use crate::limits::{
    CLIENT_CLOCK_LEAD_MAX, CLOCK_RESERVE, SESSION_WINDOW, STAGED_RECORDS_MAX, STEP_INPUTS_MAX,
};
use crate::model::clock::Clock;
use crate::model::election::Election;
use crate::model::entry::Entry;
use crate::model::fold::Fold as _;
use crate::model::hello::Hello;
use crate::model::membership::{Member, Membership};
use crate::model::offices::Roster;
use crate::model::peer::PeerState;
use crate::model::row::Outcome;
use crate::model::shopper::{Habits, Shopper};
use crate::model::trader::Trader;
use crate::types::{
    Epoch, Hash, Money, Now, Number, Office, OrderId, PeerId, ProcessId, Quantity, Role, Seq, Stamp, Term,
    Token, WallMicros,
};
use crate::wire::client::{CallError, Dialed, Dialer, Probe};
use crate::wire::messages::*;
use crate::wire::outbox::Outbox;
use crate::wire::server::{Happening, Replayed, What};

mod desk;
mod leave;
mod links;
mod offices;
mod partner;
mod replica;
mod report;
mod shop;
#[cfg(test)]
mod testing;
mod warehouse;

/// Everything that reaches the loop.
#[derive(Debug)]
pub enum Input {
    /// From peers and clients that trade here.
    Market(MarketCall),
    /// From other peers.
    Cluster(ClusterCall),
    /// From the other trader.
    Replica(ReplicaCall),
    /// From people.
    Admin(AdminCall),
    /// The stream to the home trader.
    Home(StreamEvent<TradeAnswer>),
    /// The settle stream to the warehouse.
    Settle(StreamEvent<SettleAnswer>),
    /// The control stream to the warehouse.
    Control(StreamEvent<ControlDown>),
    /// Stock pushes.
    Stock(StreamEvent<StockPush>),
    /// The replicate stream to the other trader.
    Replicate(StreamEvent<ReplicaAnswer>),
    /// A stream to another peer.
    Link(StreamEvent<PeerMessage>),
    /// A call of this node came back.
    Came(Came),
}

/// Answers to the loop's own unary calls.
#[derive(Debug)]
pub enum Came {
    /// The own session.
    Opened(Result<OpenAnswer, CallError>),
    /// A claim of this office.
    Claimed(Office, Result<Roster, CallError>),
    /// The fence of a peer's term.
    Fenced(PeerId, Result<Roster, CallError>),
    /// The fence of a secondary that did not come up to date.
    SecondaryDropped(Result<Roster, CallError>),
    /// The own term given up.
    Resigned(Term, Result<Roster, CallError>),
    /// Another peer's session.
    Session(PeerId, Result<Option<SessionInfo>, CallError>),
    /// The pair was journaled.
    Paired(Result<Roster, CallError>),
    /// How many of the orders sent, from the first, are durable at their home.
    HandedOver(Vec<OrderId>, Result<u32, CallError>),
    /// Whether a suspect lives.
    Probed(PeerId, Probe),
}

macro_rules! inputs {
    ($($from:ty => $variant:ident),*) => {
        $(impl From<$from> for Input {
            fn from(it: $from) -> Self {
                Input::$variant(it)
            }
        })*
    };
}
inputs!(MarketCall => Market, ClusterCall => Cluster, ReplicaCall => Replica, AdminCall => Admin, StreamEvent<TradeAnswer> => Home,
    StreamEvent<SettleAnswer> => Settle, StreamEvent<ControlDown> => Control, StreamEvent<StockPush> => Stock,
    StreamEvent<PeerMessage> => Link, StreamEvent<ReplicaAnswer> => Replicate, Came => Came);

/// What waits for a ticket.
enum Out {
    Reply(Box<dyn FnOnce() + Send>),
    Word(Outbox<PeerMessage>, PeerMessage),
    Mirrored(Outbox<ReplicaAnswer>, ReplicaAnswer),
    Control(Outbox<ControlUp>, ControlUp),
}

/// What a timer is for. Several of a kind may be pending: handlers look at the state, not at the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Open,
    Home,
    Settle,
    Watch,
    Replica,
    Pair,
    Link(PeerId),
    Join,
    News,
    Heartbeat,
    Overdue,
    Election(Office, u64),
    Offices,
    HandOver,
    Drain,
    Leave,
}

/// What the loop is made of.
pub struct Parts {
    /// The recovered state.
    pub state: PeerState,
    /// Its clock.
    pub clock: Clock,
    /// The log.
    pub journal: Journal<PeerState>,
    /// Who this is.
    pub me: Me,
    /// What it does for itself.
    pub habits: Habits,
    /// Goods with prices, by product id.
    pub goods: Vec<(String, Money)>,
    /// Where the warehouse is.
    pub warehouse: String,
    /// Neighbours of the topology.
    pub neighbours: Vec<(PeerId, String)>,
    /// Addresses of nodes to join at, whoever they are.
    pub join: Vec<String>,
    /// A higher id does not take the primary office over.
    pub no_preempt: bool,
    /// Orders that it queues in office.
    pub queue_max: usize,
    /// Makes the outgoing streams.
    pub dialer: Dialer<Input>,
    /// Lines for watchers.
    pub happenings: broadcast::Sender<Happening>,
}

/// This node's identity.
#[derive(Clone, Debug)]
pub struct Me {
    /// Its id.
    pub id: PeerId,
    /// The market's.
    pub cluster: String,
    /// Epoch of its store, once its session is open.
    pub epoch: Epoch,
    /// The secret of its store.
    pub token: Token,
    /// This life.
    pub process: ProcessId,
    /// Where it listens.
    pub addr: String,
    /// What it does for itself.
    pub role: Role,
    /// Timers and the like.
    pub settings: Settings,
}

/// A stream that is dialed again when it breaks, with doubling back-off.
struct Line<T> {
    dialed: Option<Dialed<T>>,
    up: bool,
    backoff_ms: u64,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Line { dialed: None, up: false, backoff_ms: 0 }
    }
}

impl<T> Line<T> {
    fn is(&self, conn: u64) -> bool {
        self.dialed.as_ref().is_some_and(|dialed| dialed.conn == conn)
    }

    fn set(&mut self, dialed: Dialed<T>) {
        (self.dialed, self.up) = (Some(dialed), false);
    }

    fn came_up(&mut self) {
        self.up = true;
    }

    /// It does what it is for: the next break is a new one. Coming up alone proves nothing, or a busy trader would be
    /// dialed without end.
    fn works(&mut self) {
        self.backoff_ms = 0;
    }

    /// Forgets the stream; how long to wait before the next try.
    fn lost(&mut self) -> u64 {
        (self.dialed, self.up) = (None, false);
        self.put_off()
    }

    /// How long to wait before the next try.
    fn put_off(&mut self) -> u64 {
        self.backoff_ms = next_backoff(self.backoff_ms);
        self.backoff_ms
    }

    fn outbox(&self) -> Option<&Outbox<T>> {
        self.dialed.as_ref().map(|dialed| &dialed.outbox)
    }
}

fn next_backoff(before_ms: u64) -> u64 {
    let (min, max) = (crate::limits::BACKOFF_MIN, crate::limits::BACKOFF_MAX);
    (before_ms * 2).clamp(min.as_millis() as u64, max.as_millis() as u64)
}

/// See the module's text.
pub struct Loop {
    me: Me,
    state: PeerState,
    clock: Clock,
    stopwatch: Stopwatch,
    /// When the loop meant to wake.
    planned: Now,
    now: Now,
    time: WallMicros,
    journal: Journal<PeerState>,
    durable: watch::Receiver<Durable>,
    held: Held<Out>,
    ticket: Ticket,
    entries: Vec<Entry>,
    urgent: bool,
    /// The highest clock that nodes have said, not clients.
    trusted_clock: Stamp,
    /// Clock at the last staging: a leap since then must be reserved on disk before it is shown.
    staged_clock: Stamp,
    timers: BTreeSet<(Now, Timer)>,
    dialer: Dialer<Input>,
    happenings: broadcast::Sender<Happening>,
    goods: Vec<(String, Money)>,
    stopping: bool,
    leaving: Option<leave::Leaving>,
    started: Now,

    warehouse: String,
    session_open: bool,
    /// The session is being asked for.
    opening: bool,
    open_backoff_ms: u64,
    control: Line<ControlUp>,
    /// Sequence of the ledger that was shown on the control stream: a warehouse that ends before it is an older copy.
    shown: Seq,
    roster: Roster,
    cache: Vec<(Quantity, Seq)>,
    cache_at: Now,
    /// Generation, sequence and block hash of the ledger as last heard of; the journal learns it later. The generation
    /// is that of the own session.
    ledger_seen: (u64, Seq, Hash),
    /// When the journal last learned it.
    ledger_kept: Now,

    shopper: Shopper,
    home: shop::Home,
    placed: VecDeque<(Ticket, Number)>,
    sendable: Number,
    answered: VecDeque<(Ticket, Number)>,
    acknowledged: Number,
    asking: BTreeMap<Number, shop::Asking>,
    tally: shop::Tally,

    desk: desk::Desk,
    settle: Line<SettleAsk>,
    watching: Line<StockPush>,
    replica: replica::Replica,

    membership: Membership,
    links: links::Links,
    elections: [Election; 2],
    claiming: [bool; 2],
    office: offices::Conduct,
    sent: u64,
}

impl Loop {
    /// A loop over a recovered state.
    pub fn new(parts: Parts) -> Loop {
        let Parts { state, clock, journal, me, habits, goods, warehouse, neighbours, join, .. } = parts;
        let stopwatch = Stopwatch::default();
        let now = stopwatch.now();
        let products = goods.len() as u16;
        let member = Member { id: me.id, addr: me.addr.clone(), process: me.process, left: false };
        Loop {
            shopper: Shopper::new(habits, me.id, products, now),
            membership: Membership::new(member, now),
            links: links::Links::new(neighbours, join),
            elections: Office::BOTH.map(|office| Election::new(me.id, office)),
            claiming: [false; 2],
            office: offices::Conduct::new(parts.no_preempt),
            desk: desk::Desk::new(Trader::new(products, parts.queue_max)),
            cache: vec![(Quantity(0), Seq(0)); goods.len()],
            cache_at: now,
            ledger_seen: state.ledger_seen,
            ledger_kept: now,
            acknowledged: state.floor(),
            sendable: state.last,
            staged_clock: clock.now(),
            trusted_clock: clock.now(),
            durable: journal.durable(),
            held: Held::default(),
            ticket: Ticket(0),
            entries: Vec::new(),
            urgent: false,
            timers: BTreeSet::from([(now, Timer::Open), (now, Timer::Join), (now, Timer::Heartbeat)]),
            dialer: parts.dialer,
            happenings: parts.happenings,
            stopping: false,
            leaving: None,
            started: now,
            session_open: false,
            opening: false,
            open_backoff_ms: 0,
            control: Line::default(),
            shown: Seq(0),
            roster: Roster::default(),
            home: shop::Home::new(state.last),
            placed: VecDeque::new(),
            answered: VecDeque::new(),
            asking: BTreeMap::new(),
            tally: shop::Tally::default(),
            settle: Line::default(),
            watching: Line::default(),
            replica: replica::Replica::default(),
            time: wall_now(),
            sent: 0,
            me,
            state,
            clock,
            stopwatch,
            planned: now,
            now,
            journal,
            goods,
            warehouse,
        }
    }

    /// Runs until `stop`, then gives its office up, hands over what it holds, and returns with everything durable.
    ///
    /// # Errors
    /// Closing the journal failed.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Input>, stop: Stop) -> Result<(), String> {
        let stopped = stop.stopped();
        tokio::pin!(stopped);
        while !self.may_end() {
            let room = self.journal.staged_records() < STAGED_RECORDS_MAX;
            self.planned = self.next_wake();
            let wake = self.stopwatch.instant(self.planned);
            tokio::select! {
                biased;
                () = &mut stopped, if !self.stopping => self.begin_stop(),
                _ = self.durable.changed() => self.tick(),
                input = inbox.recv(), if room => match input {
                    Some(input) => self.take_ready(input, &mut inbox),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => self.tick(),
            }
            self.finish();
            self.release();
        }
        let farewell = self.farewell();
        self.journal.close().map_err(|error| error.to_string())?;
        // Said when all of it is durable.
        if let Some((reply, farewell)) = farewell {
            // An asker that has gone needs no answer.
            drop(reply.send(Ok(farewell)));
        }
        Ok(())
    }

    fn take_ready(&mut self, first: Input, inbox: &mut mpsc::Receiver<Input>) {
        self.tick();
        self.take(first);
        for _ in 1..STEP_INPUTS_MAX {
            let Ok(input) = inbox.try_recv() else { break };
            self.take(input);
        }
    }

    fn tick(&mut self) {
        (self.now, self.time) = (self.stopwatch.now(), wall_now());
        if self.now.ms_since(self.planned) > self.me.settings.suspect_after_ms / 2 {
            self.was_away();
        }
    }

    /// Woken long after the time that was planned: this process was stopped. What others have answered meanwhile waits
    /// unread, so nobody is silent because of that.
    fn was_away(&mut self) {
        self.links.restart_waiting(self.now);
        self.replica.restart_waiting(self.now);
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Market(call) => self.market(call),
            Input::Cluster(call) => self.cluster(call),
            Input::Replica(call) => self.replica_call(call),
            Input::Admin(call) => self.admin(call),
            Input::Home(event) => self.home_event(event),
            Input::Settle(event) => self.settle_event(event),
            Input::Control(event) => self.control_event(event),
            Input::Stock(event) => self.stock_event(event),
            Input::Replicate(event) => self.replica_event(event),
            Input::Link(event) => self.link_event(event),
            Input::Came(came) => self.came(came),
        }
    }

    // ---- one step

    /// Applies an entry now and stages it with this step. Lazy ones ride on the next group.
    fn record(&mut self, entry: Entry) {
        self.urgent |= !matches!(
            entry,
            Entry::Answered { .. }
                | Entry::Settled { .. }
                | Entry::HandedOver { .. }
                | Entry::LedgerSeen { .. }
                | Entry::Trimmed { .. }
                | Entry::AskedAgain { .. }
        );
        let seq = Seq(self.journal.next_seq().0 + self.entries.len() as u64);
        self.state.apply(seq, self.time, &entry);
        self.entries.push(entry);
    }

    /// The ticket that this step's entries are going to get.
    fn step_ticket(&self) -> Ticket {
        Ticket(self.ticket.0 + 1)
    }

    fn finish(&mut self) {
        self.fire_timers();
        self.go_shopping();
        self.drain_desk();
        self.resign_when_drained();
        self.stop_when_finished();
        self.send_replica();
        self.keep_ledger_seen_now_and_then();
        let leap = self.clock.now().0 - self.staged_clock.0 > CLOCK_RESERVE / 4;
        if self.entries.is_empty() && !leap && self.ticket_is_free() {
            return;
        }
        self.stage(leap);
        if self.journal.checkpoint_due() {
            self.journal.checkpoint(self.state.parts());
        }
    }

    fn stage(&mut self, leap: bool) {
        let records = std::mem::take(&mut self.entries);
        let urgency = if std::mem::take(&mut self.urgent) || leap || self.is_window_tight() {
            Urgency::Now
        } else {
            Urgency::Lazy
        };
        let clock = self.clock.now();
        self.ticket = self.journal.stage(Step { records, time: self.time, clock, urgency });
        self.staged_clock = clock;
    }

    /// A small fact of this store, in a step of its own: what this step has recorded keeps the ticket promised for it.
    fn put_meta(&mut self, key: &str, value: Vec<u8>) {
        self.stage(false);
        self.ticket = self.journal.put_meta(key, value);
    }

    /// Nothing was promised for this step's ticket.
    fn ticket_is_free(&self) -> bool {
        let mark = self.step_ticket();
        let promised =
            |queue: &VecDeque<(Ticket, Number)>| queue.back().is_some_and(|(ticket, _)| *ticket == mark);
        !promised(&self.placed) && !promised(&self.answered)
    }

    /// Most of the session window waits for acknowledgement: lazy entries would stall the shopper.
    fn is_window_tight(&self) -> bool {
        self.state.room(self.acknowledged) < SESSION_WINDOW / 2
    }

    fn release(&mut self) {
        let durable = *self.durable.borrow_and_update();
        while let Some(out) = self.held.release(durable.ticket) {
            self.sent += 1;
            deliver(out);
        }
        self.acknowledge(durable.ticket);
        self.send_home();
    }

    /// An effect that tells of this journal or depends on it: it leaves when what is staged now is durable.
    fn hold(&mut self, out: Out) {
        let ticket = if self.entries.is_empty() { self.ticket } else { self.step_ticket() };
        self.held.until(ticket, out);
    }

    fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, Refusal>) {
        // An asker that has gone needs no answer.
        self.hold(Out::Reply(Box::new(move || drop(reply.send(answer)))));
    }

    fn call<T, F>(&self, call: F, came: impl FnOnce(Result<T, CallError>) -> Came + Send + 'static)
    where
        T: Send + 'static,
        F: Future<Output = Result<T, CallError>> + Send + 'static,
    {
        let inbox = self.dialer.inbox.clone();
        self.dialer.wire.spawn(async move {
            // The loop is stopping if nobody takes it.
            let _ = inbox.send(Input::Came(came(call.await))).await;
        });
    }

    fn came(&mut self, came: Came) {
        match came {
            Came::Opened(result) => self.session_opened(result),
            Came::Claimed(office, result) => self.claimed(office, result),
            Came::Fenced(peer, result) => self.fenced(peer, result),
            Came::SecondaryDropped(result) => self.secondary_dropped(result),
            Came::Paired(result) => self.paired(result),
            Came::Resigned(term, result) => self.resigned(term, result),
            Came::Session(peer, result) => self.session_came(peer, result),
            Came::HandedOver(ids, result) => self.handed_over(&ids, result),
            Came::Probed(peer, probe) => self.probed(peer, probe),
        }
    }

    // ---- timers

    fn timer(&mut self, after_ms: u64, timer: Timer) {
        self.timers.insert((self.now.after_ms(after_ms), timer));
    }

    fn next_wake(&self) -> Now {
        let timer = self.timers.first().map_or(Now(u64::MAX / 2), |(at, _)| *at);
        let shopping = self.shopping_due().unwrap_or(Now(u64::MAX / 2));
        timer.min(shopping)
    }

    fn fire_timers(&mut self) {
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= self.now
        {
            self.timers.pop_first();
            self.fire(timer);
        }
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Open => self.open_session(),
            Timer::Home => self.go_home(),
            Timer::Settle => self.dial_settle(),
            Timer::Watch => self.dial_watch(),
            Timer::Replica => self.dial_replica(),
            Timer::Pair => self.pair_when_synced(),
            Timer::Link(peer) => self.redial(peer),
            Timer::Join => self.dial_neighbours(),
            Timer::News => self.spread_news(),
            Timer::Heartbeat => self.heartbeat(),
            Timer::Overdue => self.overdue(),
            Timer::Election(office, token) => self.election_timer(office, token),
            Timer::Offices => self.consider_offices(),
            Timer::HandOver => self.hand_over(),
            Timer::Drain => self.office.drain_overdue = true,
            // Only to wake: what is overdue is looked at after each step.
            Timer::Leave => {}
        }
    }

    // ---- telling

    fn hello(&self, prove: bool) -> Hello {
        Hello {
            peer: self.me.id,
            epoch: self.me.epoch,
            token: prove.then_some(self.me.token),
            process: self.me.process,
            clock: self.clock.now(),
            roster: self.roster.clone(),
            generation: self.ledger_seen.0,
            ledger: (self.ledger_seen.1, self.ledger_seen.2),
            cluster: self.me.cluster.clone(),
            addr: self.me.addr.clone(),
        }
    }

    fn happen(&self, what: What) {
        // Nobody watches: nobody is told.
        let _ = self.happenings.send(Happening { time: self.time.0, peer: self.me.id, what });
    }

    fn say(&self, line: String) {
        tracing::info!("{line}");
        self.happen(What::Line(line));
    }

    fn hear(&mut self, clock: Stamp) {
        match self.clock.receive(clock) {
            Ok(_) => self.trusted_clock = self.trusted_clock.max(clock),
            Err(leap) => tracing::warn!(%leap, "a clock was not believed"),
        }
    }

    /// The clock of whoever trades here. Anybody may become a client: such a clock counts only as far as it is near to
    /// what nodes have said, or a few hellos would put this one out of the warehouse's reach for ever.
    fn hear_orderer(&mut self, from: PeerId, clock: Stamp) -> bool {
        if from.is_client() {
            let near = clock.0 <= self.trusted_clock.0.saturating_add(CLIENT_CLOCK_LEAD_MAX);
            return near && self.clock.receive(clock).is_ok();
        }
        let believed = self.clock.receive(clock).is_ok();
        if believed {
            self.trusted_clock = self.trusted_clock.max(clock);
        }
        believed
    }

    fn term(&self) -> Option<Term> {
        self.state.grant.map(|(_, term)| term)
    }

    fn outcome_line(&self, outcome: &Outcome) {
        tracing::debug!(order = %outcome.id, outcome = outcome.kind.name(), seq = %outcome.seq, "told");
    }
}

fn deliver(out: Out) {
    // A stream that was cut or is gone has nobody to tell: its other end asks again.
    match out {
        Out::Reply(reply) => reply(),
        Out::Word(outbox, message) => {
            outbox.send(message);
        }
        Out::Mirrored(outbox, answer) => {
            outbox.send(answer);
        }
        Out::Control(outbox, up) => {
            outbox.send(up);
        }
    }
}
