//! Streams to other peers and to the warehouse: membership, words of elections, heartbeats, presence.
//!
//! Each direction has its own stream: who has something to say dials. Membership spreads along the links of the
//! topology, undirected: whoever sends its members is sent ours. It needs no warehouse.

use super::*;
use crate::limits::{BACKOFF_MAX, EARLY_WORDS_MAX, LEDGER_SEEN_EVERY_MS, LINKS_MAX};
use crate::model::election::Message;
use crate::types::Hash;
use crate::wire::client::Node;
use crate::wire::status::{OLDER_COPY, OTHER_CLUSTER};

struct Link {
    line: Dialed<PeerMessage>,
    addr: String,
}

/// A stream of another peer to this one. What it says counts once its token is known to be its store's.
struct Incoming {
    outbox: Outbox<PeerMessage>,
    hello: Option<Hello>,
    verified: bool,
    early: Vec<PeerMessage>,
}

/// See the module's text.
pub(super) struct Links {
    /// Neighbours of the topology, by what they were first known as.
    neighbours: Vec<(PeerId, String)>,
    join: Vec<String>,
    /// Those whom the node that it joined at knew have been told where this process is.
    introduced: bool,
    joining: Vec<Dialed<PeerMessage>>,
    /// Outgoing, by peer.
    out: BTreeMap<PeerId, Link>,
    backoff: BTreeMap<PeerId, u64>,
    /// Who is told of membership news.
    gossip: BTreeSet<PeerId>,
    incoming: BTreeMap<u64, Incoming>,
    /// The partner: who, since when it owes an answer, when it was last heard.
    partner: Option<PeerId>,
    asked: Option<Now>,
    heard: Now,
    beat: u64,
}

impl Links {
    pub(super) fn new(neighbours: Vec<(PeerId, String)>, join: Vec<String>) -> Links {
        Links {
            gossip: neighbours.iter().map(|(peer, _)| *peer).collect(),
            neighbours,
            introduced: join.is_empty(),
            join,
            joining: Vec::new(),
            out: BTreeMap::new(),
            backoff: BTreeMap::new(),
            incoming: BTreeMap::new(),
            partner: None,
            asked: None,
            heard: Now(0),
            beat: 0,
        }
    }

    pub(super) fn heard_ms(&self, now: Now) -> u64 {
        self.partner.map_or(0, |_| now.ms_since(self.heard))
    }
}

impl Loop {
    // ---- outgoing links

    fn message(&mut self, word: PeerWord) -> PeerMessage {
        self.sent += 1;
        PeerMessage { clock: self.clock.tick(), word }
    }

    /// Where a peer listens: by the membership, else as the topology says.
    fn addr_of(&self, peer: PeerId) -> Option<String> {
        let member = self.membership.get(peer).filter(|member| !member.addr.is_empty());
        let known = || self.links.neighbours.iter().find(|(id, _)| *id == peer).map(|(_, addr)| addr.clone());
        member.map(|member| member.addr.clone()).or_else(known)
    }

    /// Says a word to a peer, over the link that is there or a new one.
    pub(super) fn tell_peer(&mut self, to: PeerId, word: PeerWord) {
        if !self.links.out.contains_key(&to) && !self.dial_peer(to) {
            return self.unreachable_in_elections(to);
        }
        let message = self.message(word);
        if let Some(link) = self.links.out.get(&to) {
            link.line.outbox.send(message);
        }
    }

    fn dial_peer(&mut self, peer: PeerId) -> bool {
        let Some(addr) = self.addr_of(peer).filter(|_| self.links.out.len() < LINKS_MAX) else {
            return false;
        };
        let hello = PeerWord::Hello(self.hello(true));
        let first = self.message(hello);
        let line = self.dialer.link(&addr, first);
        if self.links.gossip.contains(&peer) {
            let members = PeerWord::Members(self.membership.all().cloned().collect());
            let members = self.message(members);
            line.outbox.send(members);
        }
        self.links.out.insert(peer, Link { line, addr });
        true
    }

    pub(super) fn dial_neighbours(&mut self) {
        // Without a session nobody could vouch for us; it is dialed again when there is one.
        if self.state.opened.is_none() {
            return;
        }
        for peer in self.links.gossip.clone() {
            self.redial(peer);
        }
        self.links.joining.clear();
        for addr in self.links.join.clone() {
            let hello = PeerWord::Hello(self.hello(true));
            let members = PeerWord::Members(self.membership.all().cloned().collect());
            let (first, members) = (self.message(hello), self.message(members));
            let line = self.dialer.link(&addr, first);
            line.outbox.send(members);
            self.links.joining.push(line);
        }
    }

    /// Links over which membership spreads are kept up; others are dialed when there is something to say.
    pub(super) fn redial(&mut self, peer: PeerId) {
        if self.links.gossip.contains(&peer) && !self.links.out.contains_key(&peer) {
            self.dial_peer(peer);
        }
    }

    pub(super) fn link_event(&mut self, event: StreamEvent<PeerMessage>) {
        match event {
            StreamEvent::Up(conn) => {
                if let Some(peer) = self.linked(conn) {
                    self.links.backoff.remove(&peer);
                }
            }
            StreamEvent::Message(conn, message) => match self.linked(conn) {
                Some(peer) => self.heard_peer(peer, message),
                None => self.heard_joined(conn, message),
            },
            StreamEvent::Lost { conn, refused, why } => match self.linked(conn) {
                Some(peer) => self.lost_link(peer, refused, &why),
                None if self.links.joining.iter().any(|line| line.conn == conn) => {
                    tracing::info!(why, "the node to join at does not answer");
                    self.timer(BACKOFF_MAX.as_millis() as u64, Timer::Join);
                }
                None => {}
            },
        }
    }

    fn linked(&self, conn: u64) -> Option<PeerId> {
        self.links.out.iter().find(|(_, link)| link.line.conn == conn).map(|(peer, _)| *peer)
    }

    /// A node that we only knew the address of says who it is: from now on it is a neighbour.
    fn heard_joined(&mut self, conn: u64, message: PeerMessage) {
        let PeerWord::Hello(hello) = message.word else { return };
        if !self.links.joining.iter().any(|line| line.conn == conn) || hello.cluster != self.me.cluster {
            return;
        }
        self.hear(message.clock);
        self.links.join.retain(|addr| *addr != hello.addr);
        self.links.neighbours.push((hello.peer, hello.addr.clone()));
        self.links.gossip.insert(hello.peer);
        self.adopt_roster(hello.roster);
        self.redial(hello.peer);
    }

    fn lost_link(&mut self, peer: PeerId, refused: bool, why: &str) {
        tracing::debug!(%peer, why, "link lost");
        let lost = self.links.out.remove(&peer);
        self.unreachable_in_elections(peer);
        // The other process of a restarted peer listens elsewhere: what failed is only an address.
        let current = lost.is_some_and(|link| self.addr_of(peer).as_ref() == Some(&link.addr));
        if self.links.partner == Some(peer) && current {
            if refused { self.fence_partner(peer) } else { self.probe_partner(peer) }
        }
        if self.links.gossip.contains(&peer) || self.links.partner == Some(peer) {
            let wait = next_backoff(self.links.backoff.get(&peer).copied().unwrap_or(0));
            self.links.backoff.insert(peer, wait);
            self.timer(wait, Timer::Link(peer));
        }
    }

    // ---- what peers say

    pub(super) fn cluster(&mut self, call: ClusterCall) {
        match call {
            ClusterCall::Opened(conn, outbox) => {
                let incoming = Incoming { outbox, hello: None, verified: false, early: Vec::new() };
                self.links.incoming.insert(conn, incoming);
            }
            ClusterCall::Said(conn, message) => self.said(conn, message),
            ClusterCall::Closed(conn) => {
                self.links.incoming.remove(&conn);
            }
            ClusterCall::HandOver(hello, orders, reply) => self.take_over(hello, orders, reply),
        }
    }

    fn said(&mut self, conn: u64, message: PeerMessage) {
        let Some(incoming) = self.links.incoming.get_mut(&conn) else { return };
        match (&incoming.hello, message.word) {
            (Some(hello), word) if incoming.verified => {
                let (from, outbox) = (hello.peer, incoming.outbox.clone());
                self.heard_on(from, &outbox, PeerMessage { clock: message.clock, word });
            }
            (Some(_), word) if incoming.early.len() < EARLY_WORDS_MAX => {
                incoming.early.push(PeerMessage { clock: message.clock, word });
            }
            // Anybody may become a client, and none has a say among peers.
            (None, PeerWord::Hello(hello)) if hello.cluster == self.me.cluster && !hello.peer.is_client() => {
                let peer = hello.peer;
                incoming.hello = Some(hello);
                self.meet(peer);
                if self.links.incoming.get(&conn).is_some_and(|incoming| !incoming.verified) {
                    self.fetch_session(peer);
                }
            }
            _ => drop(self.links.incoming.remove(&conn)),
        }
    }

    /// Takes in what a peer's links have said, if its session is known by now and their tokens are its store's.
    fn meet(&mut self, peer: PeerId) {
        let waiting = |incoming: &Incoming| {
            !incoming.verified && incoming.hello.as_ref().is_some_and(|hello| hello.peer == peer)
        };
        let conns: Vec<u64> =
            self.links.incoming.iter().filter(|(_, it)| waiting(it)).map(|(conn, _)| *conn).collect();
        for conn in conns {
            let hello = self.links.incoming.get(&conn).and_then(|incoming| incoming.hello.clone());
            if let Some(hello) = hello.filter(|hello| self.vouch(hello)) {
                self.met(conn, hello);
            }
        }
    }

    /// The session of a peer has come, or is not to be had: links that it does not vouch for are cut, and dialed again.
    pub(super) fn meet_or_cut(&mut self, peer: PeerId) {
        self.meet(peer);
        self.links
            .incoming
            .retain(|_, it| it.verified || it.hello.as_ref().is_none_or(|hello| hello.peer != peer));
    }

    /// A proven hello on an incoming link. A peer that we know by name may show another process: the old one is dead.
    fn met(&mut self, conn: u64, hello: Hello) {
        let Some(incoming) = self.links.incoming.get_mut(&conn) else { return };
        incoming.verified = true;
        let (early, outbox) = (std::mem::take(&mut incoming.early), incoming.outbox.clone());
        let peer = hello.peer;
        self.hear(hello.clock);
        let member = Member { id: peer, addr: hello.addr.clone(), process: hello.process, left: false };
        self.learn(peer, vec![member]);
        self.adopt_roster(hello.roster);
        let hello = PeerWord::Hello(self.hello(false));
        let answer = self.message(hello);
        outbox.send(answer);
        for message in early {
            self.heard_on(peer, &outbox, message);
        }
    }

    fn heard_on(&mut self, from: PeerId, outbox: &Outbox<PeerMessage>, message: PeerMessage) {
        let PeerWord::Heartbeat(number) = message.word else { return self.heard_peer(from, message) };
        self.hear(message.clock);
        self.sign_of_life(from);
        // Held like any effect, so that a stuck disk falls silent.
        let answer = self.message(PeerWord::HeartbeatAnswer(number));
        self.hold(Out::Word(outbox.clone(), answer));
    }

    fn heard_peer(&mut self, from: PeerId, message: PeerMessage) {
        self.hear(message.clock);
        self.sign_of_life(from);
        match message.word {
            PeerWord::Hello(hello) => self.adopt_roster(hello.roster),
            PeerWord::Members(members) => {
                if self.links.gossip.insert(from) {
                    self.links.out.remove(&from);
                    self.redial(from);
                }
                self.learn(from, members);
                self.introduce();
            }
            PeerWord::Roster(roster) => self.adopt_roster(roster),
            PeerWord::Election(office) => self.election_word(from, office, Message::Election),
            PeerWord::Ok(office) => self.election_word(from, office, Message::Ok),
            PeerWord::Coordinator(office) => self.election_word(from, office, Message::Coordinator),
            PeerWord::Preempt => self.preempted_by(from),
            PeerWord::TookOver(dead) => tracing::info!(%from, %dead, "a trader has taken over"),
            PeerWord::Heartbeat(_) | PeerWord::HeartbeatAnswer(_) => {}
        }
    }

    /// Who joined at one node shows itself once to all that this node knows. They may be linked to each other by an
    /// earlier process of this peer alone, at an address where nobody is any more, and would never hear of the new one.
    fn introduce(&mut self) {
        if std::mem::replace(&mut self.links.introduced, true) {
            return;
        }
        for peer in self.membership.others() {
            if !self.links.out.contains_key(&peer) {
                self.dial_peer(peer);
            }
        }
    }

    /// News of the membership goes on to all links but the one it came by.
    fn learn(&mut self, from: PeerId, members: Vec<Member>) {
        let news = self.membership.merge(self.now, members);
        if news.is_empty() {
            return;
        }
        for member in &news {
            self.check_partner_process(member);
            let moved = self.links.out.get(&member.id).is_some_and(|link| link.addr != member.addr);
            if moved {
                self.links.out.remove(&member.id);
                self.redial(member.id);
            }
        }
        for peer in self.links.gossip.clone() {
            if peer != from && self.links.out.contains_key(&peer) {
                self.tell_peer(peer, PeerWord::Members(news.clone()));
            }
        }
        self.timer(0, Timer::Offices);
    }

    // ---- the partner

    /// Follows the roster: the other trader of the pair is watched, nobody else.
    pub(super) fn watch_partner(&mut self) {
        let office = self.state.grant.map(|(office, _)| office);
        let partner =
            office.filter(|_| self.roster.paired).and_then(|office| self.roster.get(office.other()));
        let partner = partner.map(|seat| seat.peer);
        if partner == self.links.partner {
            return;
        }
        self.links.partner = partner;
        (self.links.asked, self.links.heard) = (None, self.now);
        if partner.is_some() {
            self.beat();
        }
    }

    fn sign_of_life(&mut self, from: PeerId) {
        if self.links.partner == Some(from) {
            (self.links.asked, self.links.heard) = (None, self.now);
        }
    }

    /// Asks the partner for a sign of life.
    fn beat(&mut self) {
        let Some(peer) = self.links.partner else { return };
        self.links.beat += 1;
        self.links.asked.get_or_insert(self.now);
        let suspect_after = self.me.settings.suspect_after_ms;
        self.timer(suspect_after, Timer::Overdue);
        self.tell_peer(peer, PeerWord::Heartbeat(self.links.beat));
    }

    /// Every heartbeat: makes sure that something is sent.
    pub(super) fn heartbeat(&mut self) {
        self.check_overdue();
        let quiet = self.now.ms_since(self.links.heard) >= self.me.settings.heartbeat_ms;
        if self.links.asked.is_none() && quiet {
            self.beat();
        }
        self.timer(self.me.settings.heartbeat_ms, Timer::Heartbeat);
    }

    /// An answer that is overdue is death.
    pub(super) fn check_overdue(&mut self) {
        let suspect_after_ms = self.me.settings.suspect_after_ms;
        let overdue = self.links.asked.is_some_and(|at| self.now.ms_since(at) >= suspect_after_ms);
        if let Some(peer) = self.links.partner.filter(|_| overdue).or_else(|| self.silent_replica()) {
            self.fence_partner(peer);
        }
        if let Some((peer, term)) = self.stuck_secondary() {
            self.drop_secondary(peer, term);
        }
    }

    fn probe_partner(&mut self, peer: PeerId) {
        let Some(addr) = self.addr_of(peer) else { return };
        if std::mem::replace(&mut self.office.checking, true) {
            return;
        }
        let probe = async move { Ok(crate::wire::client::probe(&addr).await) };
        self.call(probe, move |result| Came::Probed(peer, result.unwrap_or(Probe::Silent)));
    }

    pub(super) fn probed(&mut self, peer: PeerId, probe: Probe) {
        self.office.checking = false;
        let process = self.roster.held_by(peer).map(|(_, seat)| seat.process);
        match probe {
            Probe::Dead => self.fence_partner(peer),
            Probe::Alive(found) if Some(found) != process => self.fence_partner(peer),
            // Alive after all, or silent: an unanswered heartbeat decides.
            Probe::Alive(_) | Probe::Silent => self.beat(),
        }
    }

    /// Another process of the partner is the death of the one that holds the term: hearsay, so it is asked.
    fn check_partner_process(&mut self, member: &Member) {
        let seat = self.roster.held_by(member.id).map(|(_, seat)| seat.process);
        if self.links.partner == Some(member.id) && seat.is_some_and(|process| process < member.process) {
            self.probe_partner(member.id);
        }
    }

    // ---- the warehouse

    /// Opens the own session, or hears that it is open: the first thing that is asked of the warehouse, and again when
    /// the control stream broke, since another ledger may be in its place by then.
    pub(super) fn open_session(&mut self) {
        if self.control.dialed.is_some() || std::mem::replace(&mut self.opening, true) {
            return;
        }
        let (addr, deadline) = (self.warehouse.clone(), self.dialer.deadline);
        let (store, cluster) = (self.me.token.store_id(), self.me.cluster.clone());
        let (peer, generation) = (self.me.id, self.ledger_seen.0);
        let open = async move {
            Node::connect(&addr, deadline).await?.open(peer, store, &cluster, generation).await
        };
        self.call(open, Came::Opened);
    }

    pub(super) fn session_opened(&mut self, result: Result<OpenAnswer, CallError>) {
        self.opening = false;
        let answer = match result {
            Ok(answer) => answer,
            Err(CallError::Refused { reason, text }) if reason == OTHER_CLUSTER => {
                tracing::error!(text, "the warehouse is another market's");
                eprintln!(
                    "error: {text}\n  hint: name this market's warehouse with --warehouse, or another --data-dir"
                );
                std::process::exit(7);
            }
            Err(CallError::Refused { reason, text }) if reason == OLDER_COPY => {
                tracing::error!(text, "the warehouse is an older copy; this peer waits for the right one");
                // It may not believe a word of ours before it has seen our token.
                return self.dial_control();
            }
            Err(error) => {
                self.open_backoff_ms = next_backoff(self.open_backoff_ms);
                tracing::info!(%error, "the session could not be opened yet");
                return self.timer(self.open_backoff_ms, Timer::Open);
            }
        };
        self.open_backoff_ms = 0;
        self.clock.adopt(answer.clock);
        let (peer, epoch) = (answer.opened.peer, answer.opened.epoch);
        if answer.opened.is_ahead_of(self.state.last) {
            return self.be_reborn(answer.opened.highest);
        }
        self.me.epoch = epoch;
        self.live_in(epoch);
        if self.state.opened != Some((peer, epoch)) {
            self.record(Entry::Opened { peer, epoch });
        }
        self.enter_generation(answer.generation);
        if !std::mem::replace(&mut self.session_open, true) {
            self.dial_neighbours();
        }
        self.adopt_roster(answer.roster);
        // The roster may have come from another peer before: then it is no news, and the way home was not open yet.
        self.go_home();
        self.timer(0, Timer::HandOver);
        self.dial_control();
    }

    /// A store that replaced a lost one learns its epoch late. Without it in the process id this first start would rank
    /// below the lost store's later ones, and everybody would go on asking for the dead process at its address.
    fn live_in(&mut self, epoch: Epoch) {
        if self.me.process.epoch == epoch {
            return;
        }
        self.me.process.epoch = epoch;
        let own = self.membership.set_own_process(self.now, self.me.process);
        for peer in self.links.gossip.clone() {
            if self.links.out.contains_key(&peer) {
                self.tell_peer(peer, PeerWord::Members(vec![own.clone()]));
            }
        }
    }

    /// The warehouse was restored from a backup: what this peer has seen of the ledger may be gone, and its session is
    /// another. Its open orders are asked again; those of terms that ended with it go to their present homes.
    fn enter_generation(&mut self, generation: u64) {
        if generation == self.ledger_seen.0 {
            return;
        }
        tracing::warn!(generation, epoch = %self.me.epoch, "the warehouse was restored; this peer goes on with a new session");
        self.ledger_seen = (generation, Seq(0), Hash::default());
        self.keep_ledger_seen();
        self.cache.iter_mut().for_each(|(_, seq)| *seq = Seq(0));
        self.leave_home();
    }

    /// The warehouse has decided numbers that this store never placed: it is an old copy. A new token makes it a new
    /// store, hence a new epoch, so that no number is used twice.
    fn be_reborn(&mut self, highest: Number) {
        tracing::error!(%highest, last = %self.state.last, "this store is an old copy: it takes a new session");
        match super::super::boot::new_token() {
            Ok(token) => {
                self.me.token = token;
                self.put_meta(super::super::boot::TOKEN, token.0.to_vec());
                self.timer(0, Timer::Open);
            }
            Err(error) => {
                tracing::error!(%error, "no randomness for a token");
                self.timer(BACKOFF_MAX.as_millis() as u64, Timer::Open);
            }
        }
    }

    fn dial_control(&mut self) {
        if self.control.dialed.is_some() {
            return;
        }
        self.shown = self.ledger_seen.1;
        let up = ControlUp { clock: self.clock.tick(), hello: Some(self.hello(true)), heartbeat_answer: 0 };
        let addr = self.warehouse.clone();
        self.control.set(self.dialer.control(&addr, up));
    }

    pub(super) fn control_event(&mut self, event: StreamEvent<ControlDown>) {
        match event {
            StreamEvent::Up(_) => {}
            StreamEvent::Message(conn, down) if self.control.is(conn) => self.heard_warehouse(down),
            StreamEvent::Lost { conn, why, .. } if self.control.is(conn) => {
                tracing::info!(why, "the control stream to the warehouse broke");
                self.lost_control();
            }
            StreamEvent::Message(..) | StreamEvent::Lost { .. } => {}
        }
    }

    fn lost_control(&mut self) {
        let wait = self.control.lost();
        self.timer(wait, Timer::Open);
    }

    /// Whether the ledger is the one that this peer had seen up to `shown` when it dialed, or goes on from there; if not,
    /// nothing is said or heard on that stream.
    pub(super) fn trusts(&self, hello: &Hello, shown: Seq) -> bool {
        let own = (self.ledger_seen.0, shown);
        let trusts = hello.generation == own.0 && hello.ledger.0 >= own.1;
        if (hello.generation, hello.ledger.0) < own {
            tracing::error!(
                generation = hello.generation, seq = %hello.ledger.0, seen = ?own,
                "the warehouse's ledger lacks what this peer has seen of it: an older copy"
            );
        }
        trusts
    }

    fn heard_warehouse(&mut self, down: ControlDown) {
        if down.hello.as_ref().is_some_and(|hello| !self.trusts(hello, self.shown)) {
            return self.lost_control();
        }
        self.hear(down.clock);
        if let Some(hello) = down.hello {
            self.control.came_up();
            self.control.works();
            self.saw_ledger(hello.ledger);
            self.timer(0, Timer::Offices);
        }
        for session in down.sessions {
            self.know(session);
        }
        if let Some(roster) = down.roster {
            self.adopt_roster(roster);
        }
        if down.heartbeat != 0
            && let Some(outbox) = self.control.outbox().cloned()
        {
            self.keep_ledger_seen();
            let clock = self.clock.tick();
            self.hold(Out::Control(
                outbox,
                ControlUp { clock, hello: None, heartbeat_answer: down.heartbeat },
            ));
        }
    }

    /// Remembers what the ledger durably holds: shown in hellos, so that an older copy of it is found out. Kept in the
    /// journal about once a heartbeat, not per batch.
    pub(super) fn saw_ledger(&mut self, ledger: (Seq, Hash)) {
        if ledger.0 > self.ledger_seen.1 {
            (self.ledger_seen.1, self.ledger_seen.2) = ledger;
        }
    }

    /// With entries that are written anyway, so that an older copy of the ledger is found out even by a market that was
    /// killed and started again.
    pub(super) fn keep_ledger_seen_now_and_then(&mut self) {
        if !self.entries.is_empty() && self.now.ms_since(self.ledger_kept) >= LEDGER_SEEN_EVERY_MS {
            self.keep_ledger_seen();
        }
    }

    /// The state changes with the journal, never before it: a checkpoint is the fold of what was journaled.
    pub(super) fn keep_ledger_seen(&mut self) {
        self.ledger_kept = self.now;
        if self.ledger_seen != self.state.ledger_seen {
            let (generation, seq, hash) = self.ledger_seen;
            self.record(Entry::LedgerSeen { generation, seq, hash });
        }
    }
}
