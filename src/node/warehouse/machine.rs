//! The machine of the loop beside it, from before the warehouse was a [`Machine`](crate::model::step::Machine): both go
//! away together.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::CLIENTS_MAX;
use crate::model::clock::{Clock, ClockLeap};
use crate::model::hello::Hello;
use crate::model::market::{Market, NotTaken, Settling, Verdict};
use crate::model::membership::Member;
use crate::model::offices::{Grant, Roster, Seat};
use crate::model::passed_over::PassedOver;
use crate::model::row::{Outcome, Record};
use crate::model::session::first_epoch;
use crate::model::warehouse::{Denied, GivenUp, Opened, Rules};
use crate::types::{
    Batch, Epoch, Hash, Money, Now, Number, Office, Order, OrderId, OrderKind, PeerId, ProcessId, Quantity,
    Stamp, Term, WallMicros,
};

#[derive(Clone, Debug)]
struct Presence {
    conn: u64,
    process: ProcessId,
    addr: String,
    /// When the oldest unanswered heartbeat was sent.
    asked: Option<Now>,
}

#[derive(Clone, Debug)]
struct Stream {
    peer: PeerId,
    process: ProcessId,
    /// After a batch that was not taken no later one is.
    refused: Option<NotTaken>,
    /// A peer whose number was not taken: nothing above it is taken before it comes.
    blocked: BTreeMap<PeerId, Number>,
}

/// A batch as it came in on a stream.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which stream.
    pub stream: u64,
    /// The trader's number for it.
    pub batch: Batch,
    /// The grant under which it is sent.
    pub term: Term,
    /// In queue order.
    pub orders: Vec<Order>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Which stream.
    pub stream: u64,
    /// The trader's number for it.
    pub batch: Batch,
    /// Decided now or before.
    pub outcomes: Vec<Outcome>,
    /// Left open.
    pub not_taken: Vec<(OrderId, NotTaken)>,
    /// The batch as a whole was not taken.
    pub refused: Option<NotTaken>,
}

/// The machine. See the module's text.
pub struct Warehouse {
    /// The fold of the ledger, this step's records included.
    pub market: Market,
    /// Lamport clock.
    pub clock: Clock,
    rules: Rules,
    started: Now,
    present: BTreeMap<PeerId, Presence>,
    /// Terms whose control stream was seen in this life and closed, or that were given up.
    lost: BTreeSet<Term>,
    streams: BTreeMap<u64, Stream>,
    passed_over: PassedOver,
    /// As everyone was last told.
    told: Roster,
    fresh: Vec<Record>,
}

impl Warehouse {
    /// A warehouse over a recovered market.
    pub fn new(market: Market, clock: Clock, rules: Rules, now: Now) -> Warehouse {
        Warehouse {
            market,
            clock,
            rules,
            started: now,
            present: BTreeMap::new(),
            lost: BTreeSet::new(),
            streams: BTreeMap::new(),
            passed_over: PassedOver::default(),
            told: Roster { version: rules.starts << 32, ..Roster::default() },
            fresh: Vec::new(),
        }
    }

    /// The records since the last call, in order: to be journaled before anything of this step is said.
    pub fn take_fresh(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.fresh)
    }

    /// Takes a received clock in.
    ///
    /// # Errors
    /// The clock is too far ahead to be believed; nothing changed.
    pub fn hear(&mut self, clock: Stamp) -> Result<(), ClockLeap> {
        self.clock.receive(clock).map(|_| ())
    }

    fn record(&mut self, time: WallMicros, record: Record) -> Option<Outcome> {
        let outcome = self.market.apply_outcome(self.market.seq.next(), time, &record);
        self.fresh.push(record);
        outcome
    }

    /// Puts the initial goods in: the first rows of a new ledger.
    pub fn stock(&mut self, time: WallMicros, goods: &[(String, Quantity, Money)]) {
        for (name, quantity, unit_price) in goods {
            let (name, quantity, unit_price, clock) =
                (name.clone(), *quantity, *unit_price, self.clock.tick());
            self.record(time, Record::Stocked { name, quantity, unit_price, clock });
        }
    }

    // ---- sessions

    /// Opens the session of a store; the same store gets the same answer until a restore. A new store of a known peer,
    /// and every store after a restore, gets a later epoch, and a term that the peer still holds is fenced with it.
    /// `generation` is the one that the store's session is of.
    ///
    /// # Errors
    /// Says why; nothing changed.
    pub fn open(
        &mut self,
        time: WallMicros,
        peer: PeerId,
        store: Hash,
        generation: u64,
    ) -> Result<Opened, Denied> {
        let own = self.market.generation;
        if generation > own {
            return Err(Denied::OlderCopy { seen: generation, own });
        }
        let owner = self.market.owner(store);
        // The id of a client that the backup does not know may be another's by now: it is a new client.
        let is_new =
            peer == PeerId::WAREHOUSE || (peer.is_client() && generation < own && owner != Some(peer));
        let owner = owner.filter(|owner| is_new || *owner == peer);
        if let Some(owner) = owner.filter(|owner| self.is_open(*owner)) {
            return Ok(self.opened(owner, false));
        }
        let peer = match owner {
            Some(owner) => owner,
            None if is_new => self.market.next_client(),
            None => peer,
        };
        let known = self.market.sessions.get(&peer).map(|session| session.epoch);
        if known.is_none() && peer.is_client() && peer != self.market.next_client() {
            return Err(Denied::UnknownPeer(peer));
        }
        if peer.0 > PeerId::PEER_MAX.0 + CLIENTS_MAX {
            return Err(Denied::TooManyClients);
        }
        if self.present.contains_key(&peer) {
            return Err(Denied::StoreAlive(peer));
        }
        if let Some(grant) = self.market.offices.held_by(peer).copied() {
            self.end(time, &grant, peer);
        }
        let next = Epoch(known.map_or(0, |epoch| epoch.0 + 1));
        let epoch = next.max(first_epoch(own));
        let clock = self.clock.tick();
        self.record(time, Record::Session { peer, epoch, store, clock });
        Ok(self.opened(peer, true))
    }

    fn opened(&self, peer: PeerId, new: bool) -> Opened {
        let (floor, highest) = self.market.numbers(peer);
        Opened { peer, epoch: floor.epoch(), floor, highest, new }
    }

    /// Whether the peer has a session of this generation.
    pub fn is_open(&self, peer: PeerId) -> bool {
        let session = self.market.sessions.get(&peer);
        session.is_some_and(|session| session.is_open(self.market.generation))
    }

    /// Whether the hello's token is that of the peer's last store, whatever became of its session: what it says of the
    /// ledger is believed.
    pub fn knows(&self, hello: &Hello) -> bool {
        let session = self.market.sessions.get(&hello.peer);
        let store = hello.token.map(|token| token.store_id());
        session.is_some_and(|session| Some(session.store) == store)
    }

    /// The peer that a hello proves to be.
    ///
    /// # Errors
    /// The token is missing or not that of the peer's present store.
    pub fn authenticate(&self, hello: &Hello) -> Result<PeerId, Denied> {
        let present = self.market.sessions.get(&hello.peer).is_some_and(|it| it.epoch == hello.epoch);
        let proven = present && self.is_open(hello.peer) && self.knows(hello);
        proven.then_some(hello.peer).ok_or(Denied::NotMember(hello.peer))
    }

    // ---- presence

    /// The peers whose control stream is up, by id: whom this warehouse sees.
    pub fn members(&self) -> Vec<Member> {
        let member = |(id, it): (&PeerId, &Presence)| Member {
            id: *id,
            addr: it.addr.clone(),
            process: it.process,
            left: false,
        };
        self.present.iter().map(member).collect()
    }

    /// A peer's control stream is up. A term that an earlier process of it held ends here: a term lives in one process.
    ///
    /// # Errors
    /// The hello proves nothing or is a client's, or an equal or newer process of the peer is connected.
    pub fn control_up(&mut self, time: WallMicros, hello: &Hello, conn: u64) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        if peer.is_client() {
            return Err(Denied::NotEligible(peer));
        }
        if self.present.get(&peer).is_some_and(|present| present.process > hello.process) {
            return Err(Denied::StoreAlive(peer));
        }
        if let Some(grant) = self.market.offices.held_by(peer).copied()
            && grant.process != hello.process
        {
            self.end(time, &grant, peer);
        }
        if let Some(grant) = self.market.offices.held_by(peer) {
            self.lost.remove(&grant.term);
        }
        let presence = Presence { conn, process: hello.process, addr: hello.addr.clone(), asked: None };
        self.present.insert(peer, presence);
        Ok(())
    }

    /// A control stream ended: an office that its peer holds can be claimed now.
    pub fn control_closed(&mut self, conn: u64) {
        let Some(peer) = self.peer_of(conn) else { return };
        self.present.remove(&peer);
        if let Some(grant) = self.market.offices.held_by(peer) {
            self.lost.insert(grant.term);
        }
    }

    fn peer_of(&self, conn: u64) -> Option<PeerId> {
        self.present.iter().find(|(_, presence)| presence.conn == conn).map(|(peer, _)| *peer)
    }

    /// A heartbeat goes out to everyone now: who has not answered the last one is being waited for since then.
    pub fn heartbeat(&mut self, now: Now) {
        for presence in self.present.values_mut() {
            presence.asked.get_or_insert(now);
        }
    }

    /// This process was stopped for a while: what is unanswered counts from now, or everybody would seem silent.
    pub fn was_away(&mut self, now: Now) {
        for presence in self.present.values_mut().filter(|presence| presence.asked.is_some()) {
            presence.asked = Some(now);
        }
    }

    /// When the roster changes by itself: a holder that stays silent can be replaced, or somebody may stand again.
    pub fn next_change(&self, now: Now) -> Option<Now> {
        let holders = self.market.offices.grants();
        let asked = holders.filter_map(|grant| self.present.get(&grant.peer)?.asked);
        let grace = (self.market.offices.grants().next().is_some()).then_some(self.started);
        let due = asked.chain(grace).map(|since| since.after_ms(self.rules.suspect_after_ms));
        let due = due.chain(self.passed_over.next_end(now));
        due.filter(|due| *due > now).min()
    }

    /// Any message is a sign of life.
    pub fn alive(&mut self, conn: u64) {
        if let Some(presence) = self.present.values_mut().find(|presence| presence.conn == conn) {
            presence.asked = None;
        }
    }

    fn is_present(&self, grant: &Grant, now: Now) -> bool {
        match self.present.get(&grant.peer).filter(|presence| presence.process == grant.process) {
            Some(presence) => self.answers(presence, now),
            None => {
                !self.lost.contains(&grant.term) && now.ms_since(self.started) < self.rules.suspect_after_ms
            }
        }
    }

    fn answers(&self, presence: &Presence, now: Now) -> bool {
        presence.asked.is_none_or(|at| now.ms_since(at) < self.rules.suspect_after_ms)
    }

    /// Who holds the offices, as of now. A higher version than last time means that there is something to tell.
    pub fn roster(&mut self, now: Now) -> Roster {
        let seat = |grant: &Grant| Seat {
            peer: grant.peer,
            process: grant.process,
            term: grant.term,
            present: self.is_present(grant, now),
            addr: self.present.get(&grant.peer).map_or(String::new(), |presence| presence.addr.clone()),
        };
        let offices = &self.market.offices;
        let roster = Roster {
            generation: self.market.generation,
            seq: offices.seq,
            version: self.told.version,
            primary: offices.primary.as_ref().map(seat),
            secondary: offices.secondary.as_ref().map(seat),
            paired: offices.paired,
            passed_over: self.passed_over(now),
        };
        if roster != self.told {
            self.told = Roster { version: self.told.version + 1, ..roster };
        }
        self.told.clone()
    }

    fn passed_over(&self, now: Now) -> Vec<PeerId> {
        let present = self.present.iter();
        let present = present.map(|(peer, it)| (*peer, it.process, self.answers(it, now)));
        self.passed_over.among(now, present)
    }

    // ---- offices

    /// A peer asks for an office. Idempotent per process.
    ///
    /// # Errors
    /// Says why; nothing changed.
    pub fn claim(&mut self, now: Now, time: WallMicros, hello: &Hello, office: Office) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        if peer > PeerId::PEER_MAX || peer == PeerId::WAREHOUSE {
            return Err(Denied::NotEligible(peer));
        }
        let connected = self.present.get(&peer).is_some_and(|presence| presence.process == hello.process);
        if !connected {
            return Err(Denied::NotPresent(peer));
        }
        if let Some(grant) = self.market.offices.get(office).copied() {
            if grant.peer == peer && grant.process == hello.process {
                return Ok(());
            }
            if self.is_present(&grant, now) {
                return Err(Denied::Held { office, holder: grant.peer });
            }
        }
        if self.passed_over(now).contains(&peer) {
            return Err(Denied::PassedOver(peer));
        }
        if let Some(grant) = self.market.offices.get(office).copied() {
            self.end(time, &grant, peer);
        }
        self.grant(time, office, peer, hello.process);
        Ok(())
    }

    /// Ends a term, on the word of its paired partner or of the holder's own peer. Ended already: nothing to do.
    ///
    /// # Errors
    /// Says why; nothing changed.
    pub fn fence(&mut self, now: Now, time: WallMicros, hello: &Hello, term: Term) -> Result<(), Denied> {
        let peer = self.authenticate(hello)?;
        let Some(grant) = self.market.offices.present(term).copied() else { return Ok(()) };
        // A secondary that could not be brought up to date has no partner's rights, but the primary may end it.
        let own = self.market.offices.held_by(peer).filter(|own| own.process == hello.process);
        let partner = own.is_some_and(|own| self.market.offices.paired || own.office == Office::Primary);
        if grant.peer != peer && !partner {
            return Err(Denied::NotPartner(term));
        }
        if grant.peer != peer && !self.market.offices.paired {
            self.passed_over.add(now, grant.peer, grant.process);
        }
        self.end(time, &grant, peer);
        Ok(())
    }

    /// The holder gives its office up, to the live process of a successor if it names one.
    ///
    /// # Errors
    /// Says why; nothing changed.
    pub fn resign(
        &mut self,
        now: Now,
        time: WallMicros,
        hello: &Hello,
        given_up: GivenUp,
    ) -> Result<(), Denied> {
        let GivenUp { term, to, pass_over } = given_up;
        let peer = self.authenticate(hello)?;
        let Some(grant) = self.market.offices.present(term).copied() else { return Ok(()) };
        if grant.peer != peer {
            return Err(Denied::NotPartner(term));
        }
        if pass_over {
            self.passed_over.add(now, grant.peer, grant.process);
        }
        self.end(time, &grant, peer);
        let successor = self.present.get(&to).map(|presence| presence.process);
        if let Some(process) = successor.filter(|_| to <= PeerId::PEER_MAX) {
            self.grant(time, grant.office, to, process);
        }
        Ok(())
    }

    fn end(&mut self, time: WallMicros, grant: &Grant, by: PeerId) {
        let Grant { office, peer: trader, term, .. } = *grant;
        let clock = self.clock.tick();
        self.record(time, Record::Fence { office, trader, term, by, clock });
    }

    fn grant(&mut self, time: WallMicros, office: Office, trader: PeerId, process: ProcessId) {
        let term = Term(self.market.offices.last_term.0 + 1);
        let clock = self.clock.tick();
        self.record(time, Record::Office { office, trader, process, term, clock });
    }

    /// The primary says that the secondary holds all that it has accepted: from now on they are partners, share the
    /// peers, and each may fence the other.
    ///
    /// # Errors
    /// One of the terms is not the present grant, or the word is not the primary's; nothing changed.
    pub fn pair(
        &mut self,
        time: WallMicros,
        hello: &Hello,
        term: Term,
        partner_term: Term,
    ) -> Result<(), Denied> {
        let trader = self.authenticate(hello)?;
        let offices = &self.market.offices;
        let primary =
            offices.primary.filter(|it| it.term == term && it.peer == trader && it.process == hello.process);
        let secondary = offices.secondary.filter(|it| it.term == partner_term);
        let (Some(_), Some(secondary)) = (primary, secondary) else {
            return Err(Denied::NotPartner(partner_term));
        };
        if !offices.paired {
            let (partner, clock) = (secondary.peer, self.clock.tick());
            self.record(time, Record::Paired { trader, term, partner, partner_term, clock });
        }
        Ok(())
    }

    // ---- settling

    /// A trader's settle stream begins.
    pub fn stream_up(&mut self, stream: u64, hello: &Hello) {
        let Hello { peer, process, .. } = *hello;
        self.streams.insert(stream, Stream { peer, process, refused: None, blocked: BTreeMap::new() });
    }

    /// A settle stream ended.
    pub fn stream_closed(&mut self, stream: u64) {
        self.streams.remove(&stream);
    }

    /// Decides all batches that are ready, in (stamp, peer, number) order over all of them.
    pub fn settle(&mut self, time: WallMicros, jobs: Vec<Job>, disk_low: bool) -> Vec<Done> {
        let mut done = Vec::with_capacity(jobs.len());
        let mut work = Vec::with_capacity(jobs.iter().map(|job| job.orders.len()).sum());
        for (at, job) in jobs.iter().enumerate() {
            let refused = self.refuse(job, disk_low);
            done.push(Done { stream: job.stream, batch: job.batch, refused, ..Done::default() });
            if refused.is_none() {
                work.extend(job.orders.iter().map(|order| (order.key(), at, order)));
            }
        }
        work.sort_unstable_by_key(|(key, at, _)| (*key, *at));
        for (_, at, order) in work {
            self.decide(time, &jobs[at], order, &mut done[at]);
        }
        done
    }

    /// Whether the term is the present grant of the stream's process.
    pub fn holds(&self, stream: u64, term: Term) -> bool {
        let grant = self.market.offices.present(term);
        let stream = self.streams.get(&stream);
        grant
            .zip(stream)
            .is_some_and(|(grant, stream)| (grant.peer, grant.process) == (stream.peer, stream.process))
    }

    /// Why a whole batch is not taken: its term is not the present grant of the stream's process, or no room is left.
    fn refuse(&mut self, job: &Job, disk_low: bool) -> Option<NotTaken> {
        let holds = self.holds(job.stream, job.term);
        let Some(stream) = self.streams.get_mut(&job.stream) else { return Some(NotTaken::NoSession) };
        if stream.refused.is_none() && !holds {
            stream.refused = Some(NotTaken::Fenced);
        }
        if stream.refused.is_none() && disk_low {
            stream.refused = Some(NotTaken::DiskFull);
        }
        stream.refused
    }

    fn decide(&mut self, time: WallMicros, job: &Job, order: &Order, done: &mut Done) {
        if self.is_blocked(job.stream, order) {
            done.not_taken.push((order.id, NotTaken::Window));
            return;
        }
        let by = Settling {
            trader: self.streams.get(&job.stream).map_or(PeerId::WAREHOUSE, |stream| stream.peer),
            term: job.term,
            batch: job.batch,
            clock: self.clock.tick(),
            commission_percent: self.rules.commission_percent,
        };
        match self.market.decide(order, &by) {
            Verdict::New(record) => done.outcomes.extend(self.record(time, record)),
            Verdict::Known(outcome) => done.outcomes.push(Outcome { repeated: true, ..outcome }),
            Verdict::NotTaken(why) => {
                if !matches!(why, NotTaken::Stale | NotTaken::OtherContent) {
                    self.block(job.stream, order.id);
                }
                done.not_taken.push((order.id, why));
            }
        }
    }

    fn block(&mut self, stream: u64, id: OrderId) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.blocked.insert(id.peer, id.number);
        }
    }

    /// A number above one that was not taken waits for it; the number itself, or one below, lifts the block.
    fn is_blocked(&mut self, stream: u64, order: &Order) -> bool {
        let Some(stream) = self.streams.get_mut(&stream) else { return true };
        if order.kind == OrderKind::Void {
            return false;
        }
        match stream.blocked.get(&order.id.peer) {
            Some(number) if order.id.number > *number => true,
            Some(_) => {
                stream.blocked.remove(&order.id.peer);
                false
            }
            None => false,
        }
    }
}
