//! Streams to other peers: membership, words of elections, heartbeats.
//!
//! Who has something to say dials. Membership spreads without the warehouse, along links that are kept up and used both
//! ways. Each peer keeps those to the next few of its neighbours (the topology's, and the nodes that it joined at), and
//! one to the next peer in the ring of all ids, past those that do not answer: so the links join all living peers to one
//! another, whoever dies or leaves, and each peer keeps few of them, however many there are. A link begins with all that
//! either side knows; then news flows, once per link, and what comes in quick succession in one message.

use super::*;
use crate::limits::{
    BACKOFF_MAX, EARLY_WORDS_MAX, GOSSIP_EVERY_MS, LINKS_MAX, NEIGHBOUR_LINKS_MAX, PEERS_MAX,
};
use crate::model::election::Message;
use crate::model::membership::next_in_ring;

struct Link {
    line: Dialed<PeerMessage>,
    addr: String,
    /// Something was said on it since the last sweep.
    used: bool,
}

/// A stream of another peer to this one. What it says counts once its token is known to be its store's.
struct Incoming {
    outbox: Outbox<PeerMessage>,
    hello: Option<Hello>,
    verified: bool,
    early: Vec<PeerMessage>,
    /// It told its members: it is told news on this stream.
    gossips: bool,
}

impl Incoming {
    /// Whose stream it is, if that is proven.
    fn peer(&self) -> Option<PeerId> {
        self.hello.as_ref().filter(|_| self.verified).map(|hello| hello.peer)
    }
}

/// A node to join at, of which only the address is known.
struct Join {
    addr: String,
    line: Option<Dialed<PeerMessage>>,
}

/// See the module's text.
pub(super) struct Links {
    /// Neighbours of the topology and peers joined at, by what they were first known as.
    neighbours: BTreeMap<PeerId, String>,
    join: Vec<Join>,
    /// Outgoing, by peer.
    out: BTreeMap<PeerId, Link>,
    /// Who did not answer when last dialed.
    backoff: BTreeMap<PeerId, u64>,
    /// To whom links are kept up.
    pub(super) gossip: BTreeSet<PeerId>,
    /// News that waits for its time, with whom it came from.
    pub(super) news: BTreeMap<PeerId, PeerId>,
    news_at: Now,
    incoming: BTreeMap<u64, Incoming>,
    /// The partner: who, since when it owes an answer, when it was last heard.
    pub(super) partner: Option<PeerId>,
    pub(super) asked: Option<Now>,
    pub(super) heard: Now,
    pub(super) beat: u64,
    /// A timer for the oldest unanswered word is set.
    pub(super) overdue_armed: bool,
}

impl Links {
    pub(super) fn new(neighbours: Vec<(PeerId, String)>, join: Vec<String>) -> Links {
        Links {
            neighbours: neighbours.into_iter().collect(),
            join: join.into_iter().map(|addr| Join { addr, line: None }).collect(),
            gossip: BTreeSet::new(),
            news: BTreeMap::new(),
            news_at: Now(0),
            out: BTreeMap::new(),
            backoff: BTreeMap::new(),
            incoming: BTreeMap::new(),
            partner: None,
            asked: None,
            heard: Now(0),
            beat: 0,
            overdue_armed: false,
        }
    }

    /// What the partner owes an answer to counts from now.
    pub(super) fn restart_waiting(&mut self, now: Now) {
        self.asked = self.asked.map(|_| now);
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
    pub(super) fn addr_of(&self, peer: PeerId) -> Option<String> {
        let member = self.membership.get(peer).filter(|member| !member.addr.is_empty());
        member.map(|member| member.addr.clone()).or_else(|| self.links.neighbours.get(&peer).cloned())
    }

    /// Says a word to a peer, over the link that is there or a new one.
    pub(super) fn tell_peer(&mut self, to: PeerId, word: PeerWord) {
        if !self.links.out.contains_key(&to) && !self.dial_peer(to) {
            return self.unreachable_in_elections(to);
        }
        let message = self.message(word);
        if let Some(link) = self.links.out.get_mut(&to) {
            link.used = true;
            link.line.outbox.send(message);
        }
    }

    fn dial_peer(&mut self, peer: PeerId) -> bool {
        let free = self.links.out.len() < LINKS_MAX && !self.membership.has_left(peer);
        let Some(addr) = self.addr_of(peer).filter(|_| free) else {
            return false;
        };
        let hello = PeerWord::Hello(Box::new(self.hello(true)));
        let first = self.message(hello);
        let line = self.dialer.link(&addr, first);
        if self.links.gossip.contains(&peer) {
            let members = self.everybody();
            line.outbox.send(members);
        }
        self.links.out.insert(peer, Link { line, addr, used: true });
        true
    }

    fn everybody(&mut self) -> PeerMessage {
        let members = self.membership.all().cloned().collect();
        self.message(PeerWord::Members(members))
    }

    /// Dials whom it was told of at its start.
    pub(super) fn dial_neighbours(&mut self) {
        // Without a session nobody could vouch for us; it is dialed again when there is one.
        if self.state.opened.is_none() {
            return;
        }
        self.keep_links();
        for peer in self.links.gossip.clone() {
            self.redial(peer);
        }
        for at in 0..self.links.join.len() {
            if self.links.join[at].line.is_none() {
                let hello = PeerWord::Hello(Box::new(self.hello(true)));
                let (first, members) = (self.message(hello), self.everybody());
                let line = self.dialer.link(&self.links.join[at].addr, first);
                line.outbox.send(members);
                self.links.join[at].line = Some(line);
            }
        }
    }

    // ---- which links are kept up

    /// Follows what is known of the others: dials whom a link is to be kept up to now.
    pub(super) fn keep_links(&mut self) {
        if self.state.opened.is_none() || self.leaving.is_some() {
            return;
        }
        let (me, answers) = (self.me.id, |peer| !self.links.backoff.contains_key(&peer));
        let neighbours = self.links.neighbours.keys().copied();
        let neighbours = neighbours.filter(|peer| *peer != me && !self.membership.has_left(*peer)).collect();
        let mut kept = next_in_ring(me, &neighbours, answers, NEIGHBOUR_LINKS_MAX);
        kept.extend(next_in_ring(me, &self.membership.others(), answers, 1));
        let before = std::mem::replace(&mut self.links.gossip, kept);
        for peer in self.links.gossip.clone().difference(&before) {
            if self.links.out.contains_key(peer) {
                let members = PeerWord::Members(self.membership.all().cloned().collect());
                self.tell_peer(*peer, members);
            } else {
                self.redial(*peer);
            }
        }
    }

    /// Ends links over which nothing was said lately and that need not be kept up: an election leaves one to everybody.
    pub(super) fn sweep_links(&mut self) {
        let Links { out, gossip, partner, .. } = &mut self.links;
        out.retain(|peer, link| {
            let used = std::mem::replace(&mut link.used, false);
            used || gossip.contains(peer) || *partner == Some(*peer)
        });
    }

    /// Links over which membership spreads are kept up; others are dialed when there is something to say.
    pub(super) fn redial(&mut self, peer: PeerId) {
        if self.links.gossip.contains(&peer) && !self.links.out.contains_key(&peer) {
            self.dial_peer(peer);
        }
    }

    pub(super) fn link_event(&mut self, event: StreamEvent<PeerMessage>) {
        match event {
            StreamEvent::Up(_) => {}
            StreamEvent::Message(conn, message) => match self.linked(conn) {
                Some(peer) => {
                    // Coming up alone proves nothing: who does not know us cuts the stream right away.
                    if self.links.backoff.remove(&peer).is_some() {
                        self.keep_links();
                    }
                    self.heard_peer(peer, message);
                }
                None => self.heard_joined(conn, message),
            },
            StreamEvent::Lost { conn, refused, why } => match self.linked(conn) {
                Some(peer) => self.lost_link(peer, refused, &why),
                None => self.lost_join(conn, &why),
            },
        }
    }

    fn linked(&self, conn: u64) -> Option<PeerId> {
        self.links.out.iter().find(|(_, link)| link.line.conn == conn).map(|(peer, _)| *peer)
    }

    fn joined(&self, conn: u64) -> Option<usize> {
        self.links.join.iter().position(|join| join.line.as_ref().is_some_and(|line| line.conn == conn))
    }

    fn lost_join(&mut self, conn: u64, why: &str) {
        let Some(at) = self.joined(conn) else { return };
        tracing::info!(why, addr = self.links.join[at].addr, "the node to join at does not answer");
        self.links.join[at].line = None;
        self.timer(BACKOFF_MAX.as_millis() as u64, Timer::Join);
    }

    /// A node that we only knew the address of says who it is: from now on it is a neighbour, and this its link.
    fn heard_joined(&mut self, conn: u64, message: PeerMessage) {
        let PeerWord::Hello(hello) = message.word else { return };
        let Some(at) = self.joined(conn) else { return };
        let is_peer = (1..=PEERS_MAX).contains(&hello.peer.0);
        if hello.cluster != self.me.cluster || !is_peer {
            return;
        }
        let Join { addr, line } = self.links.join.swap_remove(at);
        let Some(line) = line.filter(|_| hello.peer != self.me.id) else { return };
        self.hear(message.clock);
        self.links.neighbours.insert(hello.peer, addr.clone());
        self.links.backoff.remove(&hello.peer);
        // What it has still to say comes on this very stream.
        let addr = if hello.addr.is_empty() { addr } else { hello.addr.clone() };
        self.links.gossip.insert(hello.peer);
        self.links.out.insert(hello.peer, Link { line, addr, used: true });
        self.adopt_roster(hello.roster);
        self.keep_links();
    }

    fn lost_link(&mut self, peer: PeerId, refused: bool, why: &str) {
        tracing::debug!(%peer, why, "link lost");
        let lost = self.links.out.remove(&peer);
        self.unreachable_in_elections(peer);
        self.cannot_be_told(peer);
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
        self.keep_links();
    }

    // ---- what peers say

    pub(super) fn cluster(&mut self, call: ClusterCall) {
        match call {
            ClusterCall::Opened(conn, outbox) => {
                let incoming =
                    Incoming { outbox, hello: None, verified: false, early: Vec::new(), gossips: false };
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
                self.heard_on(conn, from, &outbox, PeerMessage { clock: message.clock, word });
            }
            (Some(_), word) if incoming.early.len() < EARLY_WORDS_MAX => {
                incoming.early.push(PeerMessage { clock: message.clock, word });
            }
            // Anybody may become a client, and none has a say among peers.
            (None, PeerWord::Hello(hello)) if hello.cluster == self.me.cluster && !hello.peer.is_client() => {
                let peer = hello.peer;
                incoming.hello = Some(*hello);
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
        let hello = PeerWord::Hello(Box::new(self.hello(false)));
        let answer = self.message(hello);
        outbox.send(answer);
        for message in early {
            self.heard_on(conn, peer, &outbox, message);
        }
    }

    fn heard_on(&mut self, conn: u64, from: PeerId, outbox: &Outbox<PeerMessage>, message: PeerMessage) {
        match message.word {
            PeerWord::Heartbeat(number) => {
                self.hear(message.clock);
                self.sign_of_life(from);
                // Held like any effect, so that a stuck disk falls silent.
                let answer = self.message(PeerWord::HeartbeatAnswer(number));
                self.hold(Out::Word(outbox.clone(), answer));
            }
            PeerWord::Members(members) => {
                let word = PeerWord::Members(members.clone());
                self.heard_peer(from, PeerMessage { clock: message.clock, word });
                self.answer_members(conn, &members);
            }
            word => self.heard_peer(from, PeerMessage { clock: message.clock, word }),
        }
    }

    /// Who first tells what it knows is told what it does not know, on the same stream; from then on, news.
    fn answer_members(&mut self, conn: u64, told: &[Member]) {
        let told: BTreeMap<PeerId, &Member> = told.iter().map(|member| (member.id, member)).collect();
        let unknown = |member: &&Member| told.get(&member.id) != Some(member);
        let unknown: Vec<Member> = self.membership.all().filter(unknown).cloned().collect();
        let Some(incoming) = self.links.incoming.get_mut(&conn) else { return };
        if std::mem::replace(&mut incoming.gossips, true) || unknown.is_empty() {
            return;
        }
        let outbox = incoming.outbox.clone();
        let answer = self.message(PeerWord::Members(unknown));
        outbox.send(answer);
    }

    fn heard_peer(&mut self, from: PeerId, message: PeerMessage) {
        self.hear(message.clock);
        self.sign_of_life(from);
        match message.word {
            PeerWord::Hello(hello) => self.adopt_roster(hello.roster),
            PeerWord::Members(members) => self.learn(from, members),
            PeerWord::Roster(roster) => self.adopt_roster(*roster),
            PeerWord::Election(office) => self.election_word(from, office, Message::Election),
            PeerWord::Ok(office) => self.election_word(from, office, Message::Ok),
            PeerWord::Coordinator(office) => self.election_word(from, office, Message::Coordinator),
            PeerWord::Preempt => self.preempted_by(from),
            PeerWord::TookOver(dead) => tracing::info!(%from, %dead, "a trader has taken over"),
            PeerWord::HeartbeatAnswer(number) => self.knows_of_farewell(from, number),
            PeerWord::Heartbeat(_) => {}
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
            self.follow(member);
            self.links.news.insert(member.id, from);
        }
        self.keep_links();
        self.spread_news();
        self.timer(0, Timer::Offices);
    }

    /// A newer process may listen elsewhere, and has not failed to answer yet. Who left is asked and told nothing.
    fn follow(&mut self, member: &Member) {
        let moved = self.links.out.get(&member.id).is_some_and(|link| link.addr != member.addr);
        self.links.backoff.remove(&member.id);
        if moved || member.left {
            self.links.out.remove(&member.id);
        }
        if member.left {
            self.links.gossip.remove(&member.id);
            self.unreachable_in_elections(member.id);
        } else {
            self.redial(member.id);
        }
    }

    /// The first news goes at once; what comes right behind it waits a little and goes together: when many come at once,
    /// each link carries a few long messages instead of one per peer.
    pub(super) fn spread_news(&mut self) {
        if self.links.news.is_empty() {
            return;
        }
        if self.now < self.links.news_at {
            self.timers.insert((self.links.news_at, Timer::News));
            return;
        }
        self.links.news_at = self.now.after_ms(GOSSIP_EVERY_MS);
        let news = std::mem::take(&mut self.links.news);
        for peer in self.links.gossip.clone() {
            if self.links.out.contains_key(&peer)
                && let Some(word) = self.news_for(peer, &news)
            {
                self.tell_peer(peer, word);
            }
        }
        let told = |peer: &PeerId| self.links.gossip.contains(peer) && self.links.out.contains_key(peer);
        let listening = self.links.incoming.values().filter(|incoming| incoming.gossips);
        let listening = listening.filter_map(|it| Some((it.peer()?, it.outbox.clone())));
        for (peer, outbox) in listening.filter(|(peer, _)| !told(peer)).collect::<BTreeMap<_, _>>() {
            if let Some(word) = self.news_for(peer, &news) {
                let message = self.message(word);
                outbox.send(message);
            }
        }
    }

    /// Nobody is told what it told us.
    fn news_for(&self, peer: PeerId, news: &BTreeMap<PeerId, PeerId>) -> Option<PeerWord> {
        let news = news.iter().filter(|(_, from)| **from != peer);
        let members: Vec<Member> = news.filter_map(|(id, _)| self.membership.get(*id)).cloned().collect();
        (!members.is_empty()).then_some(PeerWord::Members(members))
    }
}
