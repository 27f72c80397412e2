//! The warehouse's loop: drain what is ready, decide in stamp order, one group, one sync, answer, push.

use std::collections::BTreeMap;

use tokio::sync::{broadcast, mpsc, watch};

use self::machine::{Done, Job, Warehouse};
use super::held::Held;
use super::life::{Settings, Stop};
use super::{Stopwatch, wall_now};
use crate::journal::{Durable, Journal, Step, Ticket, Urgency};
use crate::limits::{
    BATCH_ORDERS_MAX, MESSAGE_BYTES_MAX, STAGED_RECORDS_MAX, STEP_INPUTS_MAX, STEP_ORDERS_MAX,
};
use crate::model::clock::Clock;
use crate::model::fold::Fold as _;
use crate::model::hello::Hello;
use crate::model::market::{Market, NotTaken};
use crate::model::offices::Roster;
use crate::model::row::Outcome;
use crate::model::warehouse::{Denied, Rules};
use crate::types::{Hash, Money, Now, PeerId, ProcessId, ProductId, Quantity, Seq, WallMicros};
use crate::wire::convert::outcome_weight;
use crate::wire::messages::*;
use crate::wire::outbox::Outbox;
use crate::wire::report::Report;
use crate::wire::server::{Happening, What};

mod machine;

/// Everything that reaches the loop.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // moved once from a bounded inbox; a box would cost every batch an allocation
pub enum Input {
    /// From peers.
    Warehouse(WarehouseCall),
    /// From people.
    Admin(AdminCall),
}

impl From<WarehouseCall> for Input {
    fn from(call: WarehouseCall) -> Self {
        Input::Warehouse(call)
    }
}

impl From<AdminCall> for Input {
    fn from(call: AdminCall) -> Self {
        Input::Admin(call)
    }
}

/// What leaves the process, once it may.
enum Out {
    Settled(Outbox<SettleAnswer>, SettleAnswer),
    Control(Outbox<ControlDown>, ControlDown),
    Push(Outbox<StockPush>, StockPush),
    Reply(Box<dyn FnOnce() + Send>),
}

struct ControlStream {
    outbox: Outbox<ControlDown>,
    peer: Option<PeerId>,
}

/// What the loop is made of.
pub struct Parts {
    /// The recovered state.
    pub market: Market,
    /// Its clock.
    pub clock: Clock,
    /// The log.
    pub journal: Journal<Market>,
    /// Terms of trade.
    pub rules: Rules,
    /// The market's id.
    pub cluster: String,
    /// This life.
    pub process: ProcessId,
    /// Timers and the like.
    pub settings: Settings,
    /// Where it listens.
    pub addr: String,
    /// Lines for watchers.
    pub happenings: broadcast::Sender<Happening>,
}

/// See the module's text.
pub struct Loop {
    machine: Warehouse,
    journal: Journal<Market>,
    durable: watch::Receiver<Durable>,
    held: Held<Out>,
    ticket: Ticket,
    controls: BTreeMap<u64, ControlStream>,
    settles: BTreeMap<u64, Outbox<SettleAnswer>>,
    watchers: Vec<Outbox<StockPush>>,
    pushed: Seq,
    told: Roster,
    heartbeat: (u64, Now),
    /// When the loop meant to wake.
    planned: Now,
    stopwatch: Stopwatch,
    parts: Identity,
    duplicates: u64,
    sent: u64,
}

struct Identity {
    cluster: String,
    process: ProcessId,
    settings: Settings,
    addr: String,
    happenings: broadcast::Sender<Happening>,
}

impl Loop {
    /// A loop over a recovered state.
    pub fn new(parts: Parts) -> Loop {
        let stopwatch = Stopwatch::default();
        let machine = Warehouse::new(parts.market, parts.clock, parts.rules, stopwatch.now());
        let pushed = machine.market.seq;
        let Parts { cluster, process, settings, addr, happenings, .. } = parts;
        Loop {
            machine,
            durable: parts.journal.durable(),
            journal: parts.journal,
            held: Held::default(),
            ticket: Ticket(0),
            controls: BTreeMap::new(),
            settles: BTreeMap::new(),
            watchers: Vec::new(),
            pushed,
            told: Roster::default(),
            heartbeat: (0, stopwatch.now().after_ms(settings.heartbeat_ms)),
            planned: stopwatch.now(),
            stopwatch,
            parts: Identity { cluster, process, settings, addr, happenings },
            duplicates: 0,
            sent: 0,
        }
    }

    /// Puts the initial goods into a new ledger.
    pub fn stock_if_new(&mut self, goods: &[(String, Quantity, Money)]) {
        if self.machine.market.seq == Seq(0) {
            self.machine.stock(wall_now(), goods);
            self.finish(self.stopwatch.now(), wall_now());
        }
    }

    /// Runs until `stop`; what was staged is durable and said when it returns.
    ///
    /// # Errors
    /// Closing the journal failed.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Input>, stop: Stop) -> Result<(), String> {
        let stopped = stop.stopped();
        tokio::pin!(stopped);
        loop {
            let room = self.journal.staged_records() < STAGED_RECORDS_MAX;
            self.planned = self.next_timer();
            let wake = self.stopwatch.instant(self.planned);
            tokio::select! {
                biased;
                () = &mut stopped => break,
                _ = self.durable.changed() => {}
                input = inbox.recv(), if room => match input {
                    Some(input) => self.step(input, &mut inbox),
                    None => break,
                },
                () = tokio::time::sleep_until(wake) => self.timers(),
            }
            self.release();
        }
        self.close()
    }

    fn close(mut self) -> Result<(), String> {
        let (journal, mut held) = (self.journal, std::mem::take(&mut self.held));
        let durable = journal.close().map_err(|error| error.to_string())?;
        while let Some(out) = held.release(durable.ticket) {
            deliver(out, durable);
        }
        Ok(())
    }

    // ---- one step

    /// Takes what is ready, bounded by count and orders, the first always.
    fn step(&mut self, first: Input, inbox: &mut mpsc::Receiver<Input>) {
        self.notice_absence();
        let (now, time) = (self.stopwatch.now(), wall_now());
        let mut jobs = Vec::new();
        let mut orders = 0;
        let mut next = Some(first);
        for _ in 0..STEP_INPUTS_MAX {
            let Some(input) = next.take() else { break };
            if let Some(job) = self.take(now, time, input) {
                orders += job.orders.len();
                jobs.push(job);
            }
            if orders >= STEP_ORDERS_MAX {
                break;
            }
            next = inbox.try_recv().ok();
        }
        if let Some(input) = next.take()
            && let Some(job) = self.take(now, time, input)
        {
            jobs.push(job);
        }
        if !jobs.is_empty() {
            self.settle(time, jobs);
        }
        self.finish(now, time);
    }

    /// Stages what the step recorded, and tells who must know.
    fn finish(&mut self, now: Now, time: WallMicros) {
        self.tell_roster(now);
        let records = self.machine.take_fresh();
        let wrote = !records.is_empty();
        let clock = self.machine.clock.now();
        self.ticket = self.journal.stage(Step { records, time, clock, urgency: Urgency::Now });
        debug_assert_eq!(self.journal.next_seq(), self.machine.market.seq.next());
        if wrote {
            self.push_stock();
        }
        if self.journal.checkpoint_due() {
            let parts = self.machine.market.parts();
            self.journal.checkpoint(parts);
        }
    }

    fn release(&mut self) {
        let durable = *self.durable.borrow_and_update();
        while let Some(out) = self.held.release(durable.ticket) {
            self.sent += 1;
            deliver(out, durable);
        }
    }

    /// An effect of this step: it waits for the ticket that the step is about to get.
    fn out(&mut self, out: Out) {
        self.held.until(Ticket(self.ticket.0 + 1), out);
    }

    fn reply<T: Send + 'static>(&mut self, reply: Reply<T>, answer: Result<T, Refusal>) {
        // An asker that has gone needs no answer.
        self.out(Out::Reply(Box::new(move || drop(reply.send(answer)))));
    }

    // ---- inputs

    fn take(&mut self, now: Now, time: WallMicros, input: Input) -> Option<Job> {
        match input {
            Input::Warehouse(WarehouseCall::Settle(conn, ask)) => return self.job(conn, ask),
            Input::Warehouse(call) => self.call(now, time, call),
            Input::Admin(AdminCall::Status(reply)) => {
                let report = Box::new(self.report(now));
                self.reply(reply, Ok(report));
            }
            Input::Admin(AdminCall::Place(_, _, _, reply)) => {
                self.reply(
                    reply,
                    Err(Refusal::Invalid("the warehouse places no orders; ask a peer".to_owned())),
                );
            }
            Input::Admin(AdminCall::Quiesce(reply)) => self.reply(reply, Ok(0)),
            Input::Admin(AdminCall::Leave(reply)) => {
                self.reply(reply, Err(Refusal::Invalid("the warehouse never leaves its market".to_owned())));
            }
            Input::Admin(AdminCall::Resign(_, reply)) => self.reply(reply, Ok(None)),
        }
        None
    }

    fn call(&mut self, now: Now, time: WallMicros, call: WarehouseCall) {
        match call {
            WarehouseCall::Catalogue(reply) => {
                let catalogue = self.catalogue();
                self.reply(reply, Ok(catalogue));
            }
            WarehouseCall::Open(opening, reply) => self.open(now, time, opening, reply),
            WarehouseCall::Session(peer, reply) => {
                let answer = (self.machine.clock.now(), self.session(peer));
                self.reply(reply, Ok(answer));
            }
            WarehouseCall::Claim(hello, office, reply) => {
                let done = self.machine.claim(now, time, &hello, office);
                self.offices_reply(now, done, reply);
            }
            WarehouseCall::Fence(hello, term, reply) => {
                let done = self.machine.fence(now, time, &hello, term);
                self.offices_reply(now, done, reply);
            }
            WarehouseCall::Pair(hello, term, partner, reply) => {
                let done = self.machine.pair(time, &hello, term, partner);
                self.offices_reply(now, done, reply);
            }
            WarehouseCall::Resign(hello, given_up, reply) => {
                let done = self.machine.resign(now, time, &hello, given_up);
                self.offices_reply(now, done, reply);
            }
            WarehouseCall::ControlOpened(conn, outbox) => {
                self.controls.insert(conn, ControlStream { outbox, peer: None });
            }
            WarehouseCall::ControlSaid(conn, up) => self.control(now, time, conn, up),
            WarehouseCall::ControlClosed(conn) => {
                self.controls.remove(&conn);
                self.machine.control_closed(conn);
            }
            WarehouseCall::SettleOpened(conn, outbox) => {
                self.settles.insert(conn, outbox);
            }
            WarehouseCall::SettleClosed(conn) => {
                self.settles.remove(&conn);
                self.machine.stream_closed(conn);
            }
            WarehouseCall::Watch(outbox) => self.watch(outbox),
            WarehouseCall::Settle(..) => unreachable!("taken as a job before"),
        }
    }

    fn open(&mut self, now: Now, time: WallMicros, opening: Opening, reply: Reply<OpenAnswer>) {
        let Opening { peer, store, cluster, generation } = opening;
        if !cluster.is_empty() && cluster != self.parts.cluster {
            let denied = Denied::OtherCluster { store: cluster, own: self.parts.cluster.clone() };
            return self.reply(reply, Err(denied.into()));
        }
        let answer = self.machine.open(time, peer, store, generation).map(|opened| OpenAnswer {
            opened,
            clock: self.machine.clock.now(),
            roster: self.machine.roster(now),
            generation: self.machine.market.generation,
        });
        if let Ok(answer) = &answer
            && answer.opened.new
        {
            self.tell_session(answer.opened.peer);
        }
        self.reply(reply, answer.map_err(Refusal::from));
    }

    fn offices_reply(
        &mut self,
        now: Now,
        done: Result<(), Denied>,
        reply: Reply<(crate::types::Stamp, Roster)>,
    ) {
        let answer = done.map(|()| (self.machine.clock.now(), self.machine.roster(now)));
        self.reply(reply, answer.map_err(Refusal::from));
    }

    fn control(&mut self, now: Now, time: WallMicros, conn: u64, up: ControlUp) {
        if let Some(hello) = &up.hello {
            // First of all: an older copy may not even know the peer's session.
            self.check_ledger(hello);
            if let Err(denied) = self.machine.control_up(time, hello, conn) {
                return self.cut(conn, &denied.to_string());
            }
        }
        // Only who is known moves the clock.
        let known =
            up.hello.is_some() || self.controls.get(&conn).is_some_and(|stream| stream.peer.is_some());
        if !known || self.machine.hear(up.clock).is_err() {
            return self.cut(conn, "no hello, or its clock is too far ahead");
        }
        let Some(hello) = up.hello else { return self.machine.alive(conn) };
        let Some(stream) = self.controls.get_mut(&conn) else { return };
        stream.peer = Some(hello.peer);
        let outbox = stream.outbox.clone();
        let roster = Some(self.machine.roster(now));
        let sessions = self.sessions_for(hello.peer);
        let down = ControlDown {
            hello: Some(Box::new(self.hello())),
            roster: roster.map(Box::new),
            sessions,
            ..self.down()
        };
        self.out(Out::Control(outbox, down));
    }

    /// A peer that was told of more than this ledger holds proves that the store is an older copy: serve nobody.
    fn check_ledger(&self, hello: &Hello) {
        let (generation, own) = (hello.generation, self.machine.market.generation);
        // Anybody may become a client; those are no witnesses.
        if generation < own || hello.peer.is_client() || !self.machine.knows(hello) {
            return;
        }
        let (seq, hash) = hello.ledger;
        match generation > own {
            true => older_copy(hello.peer, &format!("generation {generation} of the ledger")),
            false if self.holds(seq, hash) => {}
            false => older_copy(hello.peer, &format!("ledger record {seq}")),
        }
    }

    /// Whether the ledger durably has a block with that hash that ends there.
    fn holds(&self, seq: Seq, hash: Hash) -> bool {
        let reader = self.journal.reader();
        match reader.hash_at(seq) {
            _ if seq == Seq(0) => true,
            Ok(own) => reader.durable().seq >= seq && own.is_none_or(|own| own == hash),
            Err(error) => {
                tracing::error!(%error, "the ledger cannot be compared with what a peer has seen");
                true
            }
        }
    }

    fn cut(&mut self, conn: u64, why: &str) {
        tracing::warn!(conn, why, "control stream refused");
        self.controls.remove(&conn);
    }

    fn watch(&mut self, outbox: Outbox<StockPush>) {
        let shelves = self.machine.market.shelves.iter().enumerate();
        let levels = shelves.map(|(at, shelf)| (ProductId(at as u16), shelf.on_hand)).collect();
        let push = StockPush { clock: self.machine.clock.now(), seq: self.machine.market.seq, levels };
        self.out(Out::Push(outbox.clone(), push));
        self.watchers.retain(Outbox::is_open);
        self.watchers.push(outbox);
    }

    // ---- settling

    fn job(&mut self, conn: u64, ask: SettleAsk) -> Option<Job> {
        if let Some(hello) = &ask.hello {
            self.machine.stream_up(conn, hello);
            let answer = SettleAnswer { hello: Some(Box::new(self.hello())), ..SettleAnswer::default() };
            self.answer(conn, answer);
        }
        // Only the holder of a term moves the clock; what anybody else sends is refused with its term.
        let leap = self.machine.holds(conn, ask.term) && self.machine.hear(ask.clock).is_err();
        if ask.orders.is_empty() {
            return None;
        }
        if leap || ask.orders.len() > BATCH_ORDERS_MAX {
            let why = if leap { NotTaken::Clock } else { NotTaken::Busy };
            let answer = SettleAnswer { batch: ask.batch, refused: Some(why), ..SettleAnswer::default() };
            self.answer(conn, answer);
            self.settles.remove(&conn);
            return None;
        }
        Some(Job { stream: conn, batch: ask.batch, term: ask.term, orders: ask.orders })
    }

    fn settle(&mut self, time: WallMicros, jobs: Vec<Job>) {
        let disk_low = self.journal.disk_low();
        for done in self.machine.settle(time, jobs, disk_low) {
            self.duplicates += done.outcomes.iter().filter(|outcome| outcome.repeated).count() as u64;
            let roster = done.refused.map(|_| self.told.clone());
            let Done { stream, batch, mut outcomes, not_taken, refused } = done;
            // Sales from many sellers are long: one batch may take several messages.
            while let Some(rest) = split_off_heavy(&mut outcomes) {
                let outcomes = std::mem::replace(&mut outcomes, rest);
                self.answer(stream, SettleAnswer { batch, outcomes, ..SettleAnswer::default() });
            }
            let answer = SettleAnswer {
                batch,
                outcomes,
                not_taken,
                refused,
                roster: roster.map(Box::new),
                ..SettleAnswer::default()
            };
            self.answer(stream, answer);
        }
    }

    fn answer(&mut self, conn: u64, answer: SettleAnswer) {
        let clock = self.machine.clock.tick();
        if let Some(outbox) = self.settles.get(&conn).cloned() {
            self.out(Out::Settled(outbox, SettleAnswer { clock, ..answer }));
        }
    }

    // ---- telling

    fn down(&mut self) -> ControlDown {
        ControlDown { clock: self.machine.clock.tick(), ..ControlDown::default() }
    }

    fn hello(&mut self) -> Hello {
        let durable = *self.durable.borrow();
        Hello {
            process: self.parts.process,
            clock: self.machine.clock.now(),
            generation: self.machine.market.generation,
            ledger: (durable.seq, durable.hash),
            cluster: self.parts.cluster.clone(),
            addr: self.parts.addr.clone(),
            ..Hello::default()
        }
    }

    fn tell_roster(&mut self, now: Now) {
        let roster = self.machine.roster(now);
        if roster.version == self.told.version {
            return;
        }
        self.told = roster.clone();
        for conn in self.connected() {
            let sessions = self.controls.get(&conn).and_then(|stream| stream.peer);
            let sessions = sessions.map(|peer| self.sessions_for(peer)).unwrap_or_default();
            let down = ControlDown { roster: Some(Box::new(roster.clone())), sessions, ..self.down() };
            self.say(conn, down);
        }
        let happening = Happening { time: wall_now().0, peer: PeerId::WAREHOUSE, what: What::Roster(roster) };
        let happenings = self.parts.happenings.clone();
        self.out(Out::Reply(Box::new(move || drop(happenings.send(happening)))));
    }

    fn connected(&self) -> Vec<u64> {
        self.controls.iter().filter(|(_, stream)| stream.peer.is_some()).map(|(conn, _)| *conn).collect()
    }

    fn say(&mut self, conn: u64, down: ControlDown) {
        if let Some(stream) = self.controls.get(&conn) {
            let outbox = stream.outbox.clone();
            self.out(Out::Control(outbox, down));
        }
    }

    fn session(&self, peer: PeerId) -> Option<SessionInfo> {
        let session = self.machine.market.sessions.get(&peer).filter(|_| self.machine.is_open(peer))?;
        Some(SessionInfo { peer, epoch: session.epoch, store: session.store })
    }

    /// Traders are told the peers' sessions when they take office, and each new one (clients', who may be many, they fetch): they check who orders in whose name.
    fn sessions_for(&self, peer: PeerId) -> Vec<SessionInfo> {
        if self.machine.market.offices.held_by(peer).is_none() {
            return Vec::new();
        }
        let peers = self.machine.market.sessions.range(..=PeerId::PEER_MAX);
        peers.filter_map(|(peer, _)| self.session(*peer)).collect()
    }

    fn tell_session(&mut self, peer: PeerId) {
        let Some(session) = self.session(peer) else { return };
        let offices = &self.machine.market.offices;
        let traders: Vec<u64> = self
            .controls
            .iter()
            .filter(|(_, stream)| stream.peer.is_some_and(|peer| offices.held_by(peer).is_some()))
            .map(|(conn, _)| *conn)
            .collect();
        for conn in traders {
            let down = ControlDown { sessions: vec![session], ..self.down() };
            self.say(conn, down);
        }
    }

    /// One push per step and watcher, with the products that changed: coalesced, since only levels matter.
    fn push_stock(&mut self) {
        let since = std::mem::replace(&mut self.pushed, self.machine.market.seq);
        let shelves =
            self.machine.market.shelves.iter().enumerate().filter(|(_, shelf)| shelf.changed > since);
        let levels: Vec<_> = shelves.map(|(at, shelf)| (ProductId(at as u16), shelf.on_hand)).collect();
        if levels.is_empty() || self.watchers.is_empty() {
            return;
        }
        let push = StockPush { clock: self.machine.clock.now(), seq: self.machine.market.seq, levels };
        self.watchers.retain(Outbox::is_open);
        for outbox in self.watchers.clone() {
            // The step has its ticket already.
            self.held.until(self.ticket, Out::Push(outbox, push.clone()));
        }
    }

    // ---- timers

    /// Woken long after the time that was planned: this process was stopped, and not those whose answers wait unread.
    fn notice_absence(&mut self) {
        let now = self.stopwatch.now();
        if now.ms_since(self.planned) > self.parts.settings.suspect_after_ms / 2 {
            self.machine.was_away(now);
        }
    }

    fn next_timer(&self) -> Now {
        let change = self.machine.next_change(self.stopwatch.now());
        change.map_or(self.heartbeat.1, |change| change.min(self.heartbeat.1))
    }

    fn timers(&mut self) {
        self.notice_absence();
        let (now, time) = (self.stopwatch.now(), wall_now());
        if now >= self.heartbeat.1 {
            self.heartbeat = (self.heartbeat.0 + 1, now.after_ms(self.parts.settings.heartbeat_ms));
            self.machine.heartbeat(now);
            for conn in self.connected() {
                let down = ControlDown { heartbeat: self.heartbeat.0, ..self.down() };
                self.say(conn, down);
            }
        }
        self.finish(now, time);
    }

    // ---- people

    fn catalogue(&self) -> Catalogue {
        let goods = self.machine.market.goods().map(|(name, price)| (name.to_owned(), price)).collect();
        Catalogue {
            clock: self.machine.clock.now(),
            cluster: self.parts.cluster.clone(),
            consistency: "cacheless".to_owned(),
            goods,
            generation: self.machine.market.generation,
        }
    }

    fn report(&mut self, now: Now) -> Report {
        let durable = *self.durable.borrow();
        let stats = self.journal.stats();
        let catalogue = self.catalogue();
        let disk_low = self.journal.disk_low();
        Report {
            clock: self.machine.clock.now(),
            peer: PeerId::WAREHOUSE,
            role: "warehouse".to_owned(),
            cluster: catalogue.cluster,
            pid: std::process::id(),
            addr: self.parts.addr.clone(),
            process: self.parts.process,
            roster: self.machine.roster(now),
            log: (durable.seq, durable.hash),
            ledger: (durable.seq, durable.hash),
            disk_free: stats.disk_free,
            disk_low,
            goods: catalogue.goods,
            stock: self.machine.market.shelves.iter().map(|shelf| shelf.on_hand).collect::<Vec<Quantity>>(),
            stock_seq: self.machine.market.seq,
            duplicates: self.duplicates,
            health: if disk_low {
                "disk almost full: orders are refused".to_owned()
            } else {
                "ok".to_owned()
            },
            consistency: catalogue.consistency,
            syncs: stats.syncs,
            bytes_written: stats.bytes_written,
            messages_sent: self.sent,
            members: self.machine.members(),
            warehouse: self.parts.addr.clone(),
            generation: self.machine.market.generation,
            ..Report::default()
        }
    }
}

/// Says so, and ends the process: whoever is served by an older copy is told what never was.
fn older_copy(peer: PeerId, seen: &str) -> ! {
    tracing::error!(%peer, seen, "this store is an older copy of the warehouse's");
    eprintln!(
        "error: peer {peer} has seen {seen}, which this store lacks: it is an older copy of the warehouse's\n  \
         hint: put the newest copy of the warehouse's directory back; if there is none, move this one away and \
         mend with: bazaar restore --from BACKUP --accept-loss"
    );
    std::process::exit(7);
}

/// Cuts outcomes where they would fill half a message; what is cut off, if anything.
fn split_off_heavy(outcomes: &mut Vec<Outcome>) -> Option<Vec<Outcome>> {
    let mut weight = 0;
    let cut = outcomes.iter().skip(1).position(|outcome| {
        weight += outcome_weight(outcome);
        weight > MESSAGE_BYTES_MAX / 2
    })?;
    Some(outcomes.split_off(cut + 1))
}

fn deliver(out: Out, durable: Durable) {
    // A stream that was cut or is gone has nobody to tell: its other end asks again.
    match out {
        Out::Settled(outbox, answer) => {
            outbox.send(SettleAnswer { ledger: (durable.seq, durable.hash), ..answer });
        }
        Out::Control(outbox, down) => {
            outbox.send(down);
        }
        Out::Push(outbox, push) => {
            outbox.send(push);
        }
        Out::Reply(reply) => reply(),
    }
}
