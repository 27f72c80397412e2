//! What flows over the links: membership, and the words of peers.
//!
//! The warehouse tells who is present; links stay the way when it is away. A peer says of itself what its process is, where
//! it listens, and that it leaves; what it says of others is a hint. Otherwise one member leads all the others to an
//! address of its choice. A link begins with all that either side knows; then news flows, once per link, and what comes in
//! quick succession in one message.

use std::collections::BTreeMap;

use super::facts::{Cx, Facts};
use super::links::say_on;
use super::rooms::Rooms;
use crate::limits::GOSSIP_EVERY_MS;
use crate::model::election::Message as Bully;
use crate::model::hello::Hello;
use crate::model::membership::Member;
use crate::model::message::{Introduction, Message, PeerMessage, PeerWord};
use crate::model::step::{ConnId, Effect};
use crate::types::{Now, PeerId};

/// News of the membership that waits for its time.
#[derive(Default)]
pub(super) struct Gossip {
    /// The members that the news is about, each with the peer that told it.
    news: BTreeMap<PeerId, PeerId>,
    /// News goes out again from here on.
    not_before: Now,
}

impl Gossip {
    pub(super) fn due(&self) -> Option<Now> {
        (!self.news.is_empty()).then_some(self.not_before)
    }

    pub(super) fn add(&mut self, about: PeerId, from: PeerId) {
        self.news.insert(about, from);
    }
}

impl Rooms {
    /// A proven hello on a stream of another peer. If it shows a newer process of a known peer, the older one is dead.
    pub(super) fn met(&mut self, cx: &mut Cx<'_>, conn: ConnId, hello: Hello) {
        if self.links.is_abandoned(&hello) {
            return cx.hang_up(conn);
        }
        self.met_back(cx, hello.peer, hello.clone());
        self.links.met(cx, conn, &hello);
    }

    /// A peer's proven hello, on whosever stream.
    pub(super) fn met_back(&mut self, cx: &mut Cx<'_>, peer: PeerId, hello: Hello) {
        cx.hear_peer(peer, hello.clock);
        cx.hinted_by(&hello);
        let member = Member { id: peer, addr: hello.addr, process: hello.process, left: false };
        self.learn(cx, peer, vec![member]);
    }

    /// The warehouse tells of peers.
    pub(super) fn introduced(&mut self, cx: &mut Cx<'_>, introduced: Vec<Introduction>) {
        let mut members = Vec::new();
        for Introduction { member, key } in introduced {
            if member.id == cx.me.id {
                self.introduced_self(cx, member);
            } else if member.id <= PeerId::PEER_MAX && member.id != PeerId::WAREHOUSE {
                cx.keep_link_key(member.id, key);
                self.links.note_joined(member.id, &member.addr);
                members.push(member);
            }
        }
        let now = cx.now();
        let news = cx.membership.told(now, members);
        self.follow_members(cx, &news);
    }

    /// The warehouse tells where it sees this peer: a peer that listens everywhere does not know that itself.
    fn introduced_self(&mut self, cx: &mut Cx<'_>, member: Member) {
        if member.process != cx.me.process {
            return;
        }
        if member.left {
            self.leave.is_announced();
        }
        if member.addr != cx.me.addr {
            cx.me.addr.clone_from(&member.addr);
            cx.membership.set_own_addr(member.addr);
        }
    }

    /// A word on a stream of another peer.
    pub(super) fn heard_on(&mut self, cx: &mut Cx<'_>, conn: ConnId, from: PeerId, message: PeerMessage) {
        match message.word {
            PeerWord::Heartbeat(number) => {
                cx.hear_peer(from, message.clock);
                self.partner.sign_of_life(cx.now(), from);
                // The answer is held like any effect, so that a peer with a stuck disk falls silent.
                let word = PeerWord::HeartbeatAnswer(number);
                let answer = PeerMessage { clock: cx.clock.tick(), word };
                cx.turn.hold(Effect::Send(conn, Message::Peer(answer)));
            }
            // The stream was opened with one: a second hello would make it speak for somebody else.
            PeerWord::Hello(_) => {
                self.links.ended_incoming(conn);
                cx.hang_up(conn);
            }
            PeerWord::Members(members) => {
                let word = PeerWord::Members(members.clone());
                self.heard_peer(cx, from, PeerMessage { clock: message.clock, word });
                self.answer_members(cx, conn, &members);
            }
            word => self.heard_peer(cx, from, PeerMessage { clock: message.clock, word }),
        }
    }

    /// The first time that a peer tells what it knows it is told the rest, on the same stream; from then on it is told
    /// news.
    fn answer_members(&mut self, cx: &mut Cx<'_>, conn: ConnId, told: &[Member]) {
        let told: BTreeMap<PeerId, &Member> = told.iter().map(|member| (member.id, member)).collect();
        let unknown = |member: &&Member| told.get(&member.id) != Some(member);
        let unknown: Vec<Member> = cx.membership.all().filter(unknown).cloned().collect();
        if self.links.begins_to_gossip(conn) && !unknown.is_empty() {
            say_on(cx, conn, PeerWord::Members(unknown));
        }
    }

    pub(super) fn heard_peer(&mut self, cx: &mut Cx<'_>, from: PeerId, message: PeerMessage) {
        cx.hear_peer(from, message.clock);
        self.partner.sign_of_life(cx.now(), from);
        match message.word {
            PeerWord::Members(members) => self.learn(cx, from, members),
            PeerWord::Roster(roster) => cx.hinted_roster(&roster),
            PeerWord::Election(office) => self.offices.heard(cx, from, office, Bully::Election),
            PeerWord::Ok(office) => self.offices.heard(cx, from, office, Bully::Ok),
            PeerWord::Coordinator(office) => self.offices.heard(cx, from, office, Bully::Coordinator),
            PeerWord::Preempt => self.preempted_by(cx, from),
            PeerWord::TookOver(dead) => tracing::info!(%from, %dead, "a trader has taken over"),
            PeerWord::HeartbeatAnswer(number) => self.leave.knows_of_farewell(from, number),
            PeerWord::Lookup(lookup) => self.asked_for(cx, from, *lookup),
            PeerWord::LookupAnswer(answer) => self.found(cx, from, *answer),
            PeerWord::Hello(_) | PeerWord::Heartbeat(_) => {}
        }
    }

    fn preempted_by(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        if cx.is_primary() && peer > cx.me.id && peer <= PeerId::PEER_MAX {
            tracing::info!(%peer, "a higher id takes the primary office over");
            self.give_up_office(cx, peer);
        }
    }

    // ---- membership

    /// What a peer says of itself is news that goes on to all links but the one it came by.
    fn learn(&mut self, cx: &mut Cx<'_>, from: PeerId, told: Vec<Member>) {
        let (own, hints): (Vec<_>, Vec<_>) = told.into_iter().partition(|member| member.id == from);
        for hint in hints.into_iter().filter(|hint| cx.membership.is_news(hint)).collect::<Vec<_>>() {
            self.hinted_member(cx, hint);
        }
        let now = cx.now();
        let news = cx.membership.merge(now, own);
        news.iter().for_each(|member| self.gossip.add(member.id, from));
        self.follow_members(cx, &news);
        self.spread_news(cx);
    }

    /// Others say that a peer has a newer process, or left. The warehouse tells it if it is true; if that is away, the
    /// peer is asked where it is said to listen.
    fn hinted_member(&mut self, cx: &mut Cx<'_>, hint: Member) {
        self.check_partner_process(cx, &hint);
        if !cx.present && !hint.left {
            self.links.try_at(cx, hint.id, hint.addr);
        }
    }

    fn follow_members(&mut self, cx: &mut Cx<'_>, news: &[Member]) {
        if news.is_empty() {
            return;
        }
        for member in news {
            self.check_partner_process(cx, member);
            self.links.follow(cx, member.id, &member.addr, member.left);
            if member.left {
                self.offices.unreachable(cx, member.id);
            }
        }
        self.links.keep_up(cx);
        cx.news.offices = true;
    }

    /// The first news goes at once; what comes right behind it waits a little and goes together: when many come at once,
    /// each link carries a few long messages instead of one per peer.
    pub(super) fn spread_news(&mut self, cx: &mut Cx<'_>) {
        if self.gossip.news.is_empty() || cx.now() < self.gossip.not_before {
            return;
        }
        self.gossip.not_before = cx.now().after_ms(GOSSIP_EVERY_MS);
        let news = std::mem::take(&mut self.gossip.news);
        let linked: Vec<PeerId> =
            self.links.kept().iter().copied().filter(|peer| self.links.has(*peer)).collect();
        for peer in &linked {
            if let Some(word) = news_for(cx, *peer, &news) {
                self.links.tell(cx, *peer, word);
            }
        }
        for (peer, conn) in self.links.listeners() {
            if !linked.contains(&peer)
                && let Some(word) = news_for(cx, peer, &news)
            {
                say_on(cx, conn, word);
            }
        }
    }
}

/// A peer is not told what it told itself.
fn news_for(facts: &Facts, peer: PeerId, news: &BTreeMap<PeerId, PeerId>) -> Option<PeerWord> {
    let news = news.iter().filter(|(_, from)| **from != peer);
    let members: Vec<Member> = news.filter_map(|(id, _)| facts.membership.get(*id)).cloned().collect();
    (!members.is_empty()).then_some(PeerWord::Members(members))
}

#[cfg(test)]
mod tests;
