//! What flows over the links: membership, without the warehouse, and the words of peers.
//!
//! A link begins with all that either side knows; then news flows, once per link, and what comes in quick succession in
//! one message.

use std::collections::BTreeMap;

use super::facts::{Cx, Facts};
use super::links::say_on;
use super::rooms::Rooms;
use crate::limits::GOSSIP_EVERY_MS;
use crate::model::election::Message as Bully;
use crate::model::hello::Hello;
use crate::model::membership::Member;
use crate::model::message::{Message, PeerMessage, PeerWord};
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
        let (peer, dialed) = (hello.peer, hello.dialed());
        cx.hear(hello.clock);
        let member = Member { id: peer, addr: hello.addr, process: hello.process, left: false };
        self.learn(cx, peer, vec![member]);
        cx.hear_roster(hello.roster);
        self.links.met(cx, conn, peer, dialed);
    }

    /// A word on a stream of another peer.
    pub(super) fn heard_on(&mut self, cx: &mut Cx<'_>, conn: ConnId, from: PeerId, message: PeerMessage) {
        match message.word {
            PeerWord::Heartbeat(number) => {
                cx.hear(message.clock);
                self.partner.sign_of_life(cx.now(), from);
                // The answer is held like any effect, so that a peer with a stuck disk falls silent.
                let word = PeerWord::HeartbeatAnswer(number);
                let answer = PeerMessage { clock: cx.clock.tick(), word };
                cx.turn.hold(Effect::Send(conn, Message::Peer(answer)));
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
        cx.hear(message.clock);
        self.partner.sign_of_life(cx.now(), from);
        match message.word {
            PeerWord::Hello(hello) => cx.hear_roster(hello.roster),
            PeerWord::Members(members) => self.learn(cx, from, members),
            PeerWord::Roster(roster) => cx.hear_roster(*roster),
            PeerWord::Election(office) => self.offices.heard(cx, from, office, Bully::Election),
            PeerWord::Ok(office) => self.offices.heard(cx, from, office, Bully::Ok),
            PeerWord::Coordinator(office) => self.offices.heard(cx, from, office, Bully::Coordinator),
            PeerWord::Preempt => self.preempted_by(cx, from),
            PeerWord::TookOver(dead) => tracing::info!(%from, %dead, "a trader has taken over"),
            PeerWord::HeartbeatAnswer(number) => self.leave.knows_of_farewell(from, number),
            PeerWord::Heartbeat(_) => {}
        }
    }

    fn preempted_by(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        if cx.is_primary() && peer > cx.me.id && peer <= PeerId::PEER_MAX {
            tracing::info!(%peer, "a higher id takes the primary office over");
            self.give_up_office(cx, peer);
        }
    }

    // ---- membership

    /// News of the membership goes on to all links but the one it came by.
    fn learn(&mut self, cx: &mut Cx<'_>, from: PeerId, members: Vec<Member>) {
        let now = cx.now();
        let news = cx.membership.merge(now, members);
        if news.is_empty() {
            return;
        }
        for member in &news {
            self.check_partner_process(cx, member);
            self.links.follow(cx, member.id, &member.addr, member.left);
            if member.left {
                self.offices.unreachable(cx, member.id);
            }
            self.gossip.add(member.id, from);
        }
        self.links.keep_up(cx);
        self.spread_news(cx);
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
