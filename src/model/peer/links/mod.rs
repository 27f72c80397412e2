//! Streams to and from other peers: words of elections, heartbeats, and the membership.
//!
//! A peer that has something to say dials. Links over which membership spreads are kept up: each peer keeps those to
//! the next few of its neighbours (the topology's, and the nodes that it joined at), and one to the next peer in the
//! ring of all ids, past those that do not answer. So the links join all living peers to one another, whichever die or
//! leave, and each peer keeps few links, however many peers there are. What flows over them is in [`super::gossip`].
//!
//! Holds: no token is shown on a link. Both ends prove themselves to each other
//! ([`LinkKey`](crate::model::link::LinkKey)), and nothing counts that an end says which has not.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Cx, Facts};
use super::rooms::Rooms;
use crate::limits::{LINKS_MAX, NEIGHBOUR_LINKS_MAX};
use crate::model::backoff::Backoff;
use crate::model::hello::{Dialed, Hello};
use crate::model::membership::next_in_ring;
use crate::model::message::{Message, PeerMessage, PeerWord};
use crate::model::step::{Because, ConnId, Lost};
use crate::types::{Hash, Now, PeerId};

struct Link {
    conn: ConnId,
    addr: String,
    dialed: Dialed,
    /// The proof in the other side's hello, once that has come.
    answer: Option<Hash>,
    /// Something was said on it since the last sweep.
    used: bool,
}

/// A proven stream of another peer to this one.
struct Incoming {
    peer: PeerId,
    dialed: Dialed,
    /// It told its members: it is told news on this stream.
    gossips: bool,
}

/// A peer that did not answer when it was last dialed.
#[derive(Default)]
struct Silence {
    backoff: Backoff,
    /// When it is dialed again, if a link to it is to be kept up.
    redial_at: Option<Now>,
}

/// See the module's text.
pub(super) struct Links {
    /// Neighbours of the topology and peers joined at, each with the address that was first known.
    neighbours: BTreeMap<PeerId, String>,
    /// Where this peer joined, as long as the warehouse has not told which peer listens there.
    join: Vec<String>,
    /// Neighbours are dialed then.
    begin_at: Option<Now>,
    /// Streams of this peer, by the other one.
    out: BTreeMap<PeerId, Link>,
    silent: BTreeMap<PeerId, Silence>,
    /// To whom links are kept up.
    kept: BTreeSet<PeerId>,
    incoming: BTreeMap<ConnId, Incoming>,
}

/// A link that ended.
pub(super) struct LostLink {
    pub(super) peer: PeerId,
    /// It led to where the peer listens now: a restarted peer listens elsewhere, and what failed is only an address.
    pub(super) current: bool,
}

impl Links {
    pub(super) fn new(neighbours: Vec<(PeerId, String)>, join: Vec<String>, now: Now) -> Links {
        Links {
            neighbours: neighbours.into_iter().collect(),
            join,
            begin_at: Some(now),
            out: BTreeMap::new(),
            silent: BTreeMap::new(),
            kept: BTreeSet::new(),
            incoming: BTreeMap::new(),
        }
    }

    pub(super) fn due(&self) -> Option<Now> {
        self.silent.values().filter_map(|it| it.redial_at).chain(self.begin_at).min()
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        let mut due = Vec::new();
        for (peer, silence) in &mut self.silent {
            due.extend(silence.redial_at.take_if(|at| *at <= now).map(|_| *peer));
        }
        due.into_iter().for_each(|peer| self.redial(cx, peer));
        if self.begin_at.take_if(|at| *at <= now).is_some() {
            self.dial_neighbours(cx);
        }
    }

    /// Where a peer listens: by the membership, else as the topology says, else by its office.
    pub(super) fn addr_of(&self, facts: &Facts, peer: PeerId) -> Option<String> {
        let member = facts.membership.get(peer).map(|member| &member.addr).filter(|addr| !addr.is_empty());
        let seat = || facts.roster.held_by(peer).map(|(_, seat)| &seat.addr).filter(|addr| !addr.is_empty());
        let known = || self.neighbours.get(&peer).filter(|addr| !addr.is_empty());
        member.or_else(known).or_else(seat).cloned()
    }

    /// The topology's, and the peers joined at.
    pub(super) fn neighbours(&self) -> impl Iterator<Item = PeerId> {
        self.neighbours.keys().copied()
    }

    /// To whom links are kept up.
    pub(super) fn kept(&self) -> &BTreeSet<PeerId> {
        &self.kept
    }

    /// There is a link to that peer.
    pub(super) fn has(&self, peer: PeerId) -> bool {
        self.out.contains_key(&peer)
    }

    // ---- saying

    /// Says a word to a peer, over the link that is there or a new one; false if it cannot be reached.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>, to: PeerId, word: PeerWord) -> bool {
        if !self.out.contains_key(&to) && !self.dial(cx, to) {
            return false;
        }
        if let Some(link) = self.out.get_mut(&to) {
            link.used = true;
            say_on(cx, link.conn, word);
        }
        true
    }

    fn dial(&mut self, cx: &mut Cx<'_>, peer: PeerId) -> bool {
        let free = self.out.len() < LINKS_MAX && !cx.membership.has_left(peer);
        let Some(addr) = self.addr_of(cx, peer).filter(|_| free) else { return false };
        self.dial_at(cx, peer, addr);
        true
    }

    fn dial_at(&mut self, cx: &mut Cx<'_>, peer: PeerId, addr: String) {
        let hello = cx.link_hello(peer, &addr);
        let (dialed, word) = (hello.dialed(), PeerWord::Hello(hello));
        let first = PeerMessage { clock: cx.clock.tick(), word };
        let conn = cx.dial(&addr, Message::Peer(first));
        if self.kept.contains(&peer) {
            say_on(cx, conn, everybody(cx));
        }
        self.out.insert(peer, Link { conn, addr, dialed, answer: None, used: true });
    }

    /// Others say that a peer listens there. Without the warehouse it is asked there, once, and what it says itself
    /// counts if it proves who it is.
    pub(super) fn try_at(&mut self, cx: &mut Cx<'_>, peer: PeerId, addr: String) {
        let known = self.out.contains_key(&peer) || self.silent.contains_key(&peer);
        if !known && self.out.len() < LINKS_MAX && !addr.is_empty() {
            self.silent.insert(peer, Silence::default());
            self.dial_at(cx, peer, addr);
        }
    }

    /// Dials the peers that this one was told of at its start. Without a session nobody could vouch for it, so they are
    /// dialed when it has one.
    pub(super) fn dial_neighbours(&mut self, cx: &mut Cx<'_>) {
        if cx.state.opened.is_none() {
            return;
        }
        self.keep_up(cx);
        for peer in self.kept.clone() {
            self.redial(cx, peer);
        }
    }

    /// The warehouse tells where a peer listens: if this one joined there, it is a neighbour.
    pub(super) fn note_joined(&mut self, peer: PeerId, addr: &str) {
        if let Some(at) = self.join.iter().position(|joined| joined == addr) {
            let addr = self.join.swap_remove(at);
            self.neighbours.insert(peer, addr);
        }
    }

    // ---- which links are kept up

    /// Follows what is known of the others: dials the peers to which a link is to be kept up now.
    pub(super) fn keep_up(&mut self, cx: &mut Cx<'_>) {
        if cx.state.opened.is_none() || cx.leaving {
            return;
        }
        let (me, answers) = (cx.me.id, |peer| !self.silent.contains_key(&peer));
        let neighbours = self.neighbours.keys().copied();
        let neighbours = neighbours.filter(|peer| *peer != me && !cx.membership.has_left(*peer)).collect();
        let mut kept = next_in_ring(me, &neighbours, answers, NEIGHBOUR_LINKS_MAX);
        kept.extend(next_in_ring(me, &cx.membership.others(), answers, 1));
        let before = std::mem::replace(&mut self.kept, kept);
        let added: Vec<PeerId> = self.kept.difference(&before).copied().collect();
        for peer in added {
            if self.out.contains_key(&peer) {
                let members = everybody(cx);
                self.tell(cx, peer, members);
            } else {
                self.redial(cx, peer);
            }
        }
    }

    /// Ends links over which nothing was said lately and that need not be kept up: an election leaves one to everybody.
    pub(super) fn sweep(&mut self, cx: &mut Cx<'_>, partner: Option<PeerId>) {
        let kept = &self.kept;
        self.out.retain(|peer, link| {
            let used = std::mem::replace(&mut link.used, false);
            let stays = used || kept.contains(peer) || partner == Some(*peer);
            if !stays {
                cx.hang_up(link.conn);
            }
            stays
        });
    }

    /// Links over which membership spreads are kept up; others are dialed when there is something to say.
    pub(super) fn redial(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        if self.kept.contains(&peer) && !self.out.contains_key(&peer) {
            self.dial(cx, peer);
        }
    }

    /// A newer process of a peer may listen elsewhere, and has not failed to answer yet. A peer that left is told
    /// nothing.
    pub(super) fn follow(&mut self, cx: &mut Cx<'_>, peer: PeerId, addr: &str, left: bool) {
        self.silent.remove(&peer);
        let moved = self.out.get(&peer).is_some_and(|link| link.addr != addr);
        if moved || left {
            self.hang_up_on(cx, peer);
        }
        if left {
            self.kept.remove(&peer);
        } else {
            self.redial(cx, peer);
        }
    }

    fn hang_up_on(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        if let Some(link) = self.out.remove(&peer) {
            cx.hang_up(link.conn);
        }
    }

    // ---- whose stream it is

    pub(super) fn linked(&self, conn: ConnId) -> Option<PeerId> {
        self.out.iter().find(|(_, link)| link.conn == conn).map(|(peer, _)| *peer)
    }

    /// The other side of a link says hello. False if it has said it before.
    fn hears_hello(&mut self, peer: PeerId, proof: Hash) -> bool {
        self.out.get_mut(&peer).is_some_and(|link| link.answer.replace(proof).is_none())
    }

    /// The other side of this peer's link has proven that it is that peer.
    fn is_proven(&self, facts: &Facts, peer: PeerId) -> bool {
        let link = self.out.get(&peer);
        let answer = link.and_then(|link| Some((link.dialed, link.answer?)));
        answer.is_some_and(|(dialed, proof)| facts.is_answered_by(peer, dialed, proof))
    }

    /// The peer that dialed this stream.
    pub(super) fn incoming(&self, conn: ConnId) -> Option<PeerId> {
        self.incoming.get(&conn).map(|incoming| incoming.peer)
    }

    /// Whether a stream that the peer dialed later is here already.
    pub(super) fn is_abandoned(&self, hello: &Hello) -> bool {
        self.incoming.values().any(|it| it.peer == hello.peer && hello.was_dialed_before(it.dialed))
    }

    /// One of its streams ended.
    pub(super) fn ended_incoming(&mut self, conn: ConnId) -> bool {
        self.incoming.remove(&conn).is_some()
    }

    /// The streams on which others are told news: each peer's newest.
    pub(super) fn listeners(&self) -> BTreeMap<PeerId, ConnId> {
        let listening = self.incoming.iter().filter(|(_, incoming)| incoming.gossips);
        listening.map(|(conn, incoming)| (incoming.peer, *conn)).collect()
    }

    /// It tells its members: true the first time.
    pub(super) fn begins_to_gossip(&mut self, conn: ConnId) -> bool {
        let incoming = self.incoming.get_mut(&conn);
        incoming.is_some_and(|incoming| !std::mem::replace(&mut incoming.gossips, true))
    }

    /// A peer's proven hello on a stream of its own.
    pub(super) fn met(&mut self, cx: &mut Cx<'_>, conn: ConnId, theirs: &Hello) {
        let (peer, dialed) = (theirs.peer, theirs.dialed());
        self.incoming.insert(conn, Incoming { peer, dialed, gossips: false });
        let hello = PeerWord::Hello(cx.link_answer(theirs));
        say_on(cx, conn, hello);
    }

    /// A message came, so the peer answers again. That the stream came up proves nothing: a peer that does not know
    /// this one cuts it right away.
    pub(super) fn answers(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        if self.silent.remove(&peer).is_some() {
            self.keep_up(cx);
        }
    }

    // ---- ends

    pub(super) fn lost(&mut self, cx: &mut Cx<'_>, conn: ConnId, why: &str) -> Option<LostLink> {
        let peer = self.linked(conn)?;
        tracing::debug!(%peer, why, "link lost");
        let lost = self.out.remove(&peer)?;
        Some(LostLink { peer, current: self.addr_of(cx, peer).as_ref() == Some(&lost.addr) })
    }

    /// A link ended: it is dialed again later if it is to be kept up.
    pub(super) fn redial_later(&mut self, cx: &mut Cx<'_>, peer: PeerId, partner: Option<PeerId>) {
        if self.kept.contains(&peer) || partner == Some(peer) {
            let silence = self.silent.entry(peer).or_default();
            silence.redial_at = Some(cx.facts.at.now.after_ms(silence.backoff.next_ms()));
        }
        self.keep_up(cx);
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.out.values().map(|link| link.conn).chain(self.incoming.keys().copied())
    }
}

/// Says a word that tells nothing of this journal.
pub(super) fn say_on(cx: &mut Cx<'_>, conn: ConnId, word: PeerWord) {
    let message = PeerMessage { clock: cx.clock.tick(), word };
    cx.send(Because::TellsNothing, conn, Message::Peer(message));
}

/// All that is known of the membership.
pub(super) fn everybody(facts: &Facts) -> PeerWord {
    PeerWord::Members(facts.membership.all().cloned().collect())
}

impl Rooms {
    /// The words of this step go out; elections and farewells do not wait for those that cannot be told.
    pub(super) fn deliver_words(&mut self, cx: &mut Cx<'_>) {
        while let Some((to, word)) = cx.words.pop_front() {
            if !self.links.tell(cx, to, word) {
                self.offices.unreachable(cx, to);
                self.leave.cannot_be_told(to);
            }
        }
    }

    /// A message of a link, whoever dialed it.
    pub(super) fn heard_link(&mut self, cx: &mut Cx<'_>, conn: ConnId, message: PeerMessage) {
        if let Some(peer) = self.links.linked(conn) {
            self.heard_back(cx, conn, peer, message);
        } else if let Some(peer) = self.links.incoming(conn) {
            self.heard_on(cx, conn, peer, message);
        }
    }

    /// What comes back on a link that this peer dialed: first a hello.
    fn heard_back(&mut self, cx: &mut Cx<'_>, conn: ConnId, peer: PeerId, message: PeerMessage) {
        if let PeerWord::Hello(hello) = message.word {
            if !self.links.hears_hello(peer, hello.proof) {
                cx.hang_up(conn);
                self.link_ended(cx, conn, &Lost { refused: false, why: "it says a second hello".to_owned() });
            } else if self.links.is_proven(cx, peer) {
                self.links.answers(cx, peer);
                self.met_back(cx, peer, *hello);
            }
        } else if self.links.is_proven(cx, peer) {
            self.links.answers(cx, peer);
            self.heard_peer(cx, peer, message);
        }
    }

    pub(super) fn link_ended(&mut self, cx: &mut Cx<'_>, conn: ConnId, lost: &Lost) -> bool {
        let Some(LostLink { peer, current }) = self.links.lost(cx, conn, &lost.why) else {
            return self.links.ended_incoming(conn);
        };
        self.offices.unreachable(cx, peer);
        self.leave.cannot_be_told(peer);
        self.lookups.lost(peer);
        self.answer_lookups(cx);
        let partner = self.partner.who();
        if partner == Some(peer) && current {
            if lost.refused { self.takeover.fence_partner(cx, peer) } else { self.probe_partner(cx, peer) }
        }
        self.links.redial_later(cx, peer, partner);
        true
    }
}

#[cfg(test)]
mod tests;
