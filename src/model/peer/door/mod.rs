//! Strangers wait here: streams and orders of peers whose session is not known yet.
//!
//! In: every stream that others open to this peer, until its hello is proven; unary orders whose hello is not proven
//! yet. Out: the guests that may come in, with what they have said meanwhile, and those that are turned away. Streams of
//! orders show a token: the peer's session is asked of the warehouse, once at a time. Links show a proof: they wait until
//! the warehouse tells of their peer. Holds: nothing that a stranger says counts, not even its clock, before that; what
//! waits is bounded by stream, and in time.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Cx, Purpose};
use crate::limits::{BATCH_ORDERS_MAX, DOOR_WAIT_MAX, EARLY_BYTES_MAX, EARLY_WORDS_MAX, SESSION_WINDOW};
use crate::model::call::{Answer, Ask, CallError};
use crate::model::hello::Hello;
use crate::model::market::NotTaken;
use crate::model::message::{Message, PeerWord, Stream};
use crate::model::step::{ConnId, ReplyId};
use crate::types::{Now, Order, PeerId};

struct Stranger {
    stream: Stream,
    hello: Option<Box<Hello>>,
    early: Vec<Message>,
    /// A link waits no longer than this for the warehouse to tell of its peer.
    until: Option<Now>,
}

/// A stream that may come in.
pub(super) struct Guest {
    pub(super) conn: ConnId,
    pub(super) stream: Stream,
    pub(super) hello: Box<Hello>,
    /// What it has said since its hello.
    pub(super) early: Vec<Message>,
}

/// An order of a unary call, with the hello that came with it.
pub(super) type Caller = (Box<Hello>, Order, ReplyId);

/// What the warehouse's word on a peer's session decides.
#[derive(Default)]
pub(super) struct Opened {
    pub(super) guests: Vec<Guest>,
    /// Streams that are cut.
    pub(super) turned_away: Vec<Guest>,
    pub(super) callers: Vec<Caller>,
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Door {
    strangers: BTreeMap<ConnId, Stranger>,
    callers: Vec<Caller>,
    fetching: BTreeSet<PeerId>,
}

impl Door {
    pub(super) fn opened(&mut self, conn: ConnId, stream: Stream) {
        self.strangers.insert(conn, Stranger { stream, hello: None, early: Vec::new(), until: None });
    }

    pub(super) fn has(&self, conn: ConnId) -> bool {
        self.strangers.contains_key(&conn)
    }

    pub(super) fn ended(&mut self, conn: ConnId) -> bool {
        self.strangers.remove(&conn).is_some()
    }

    /// A stranger says something: its hello, or what waits behind it. Gives the guest that it becomes.
    pub(super) fn said(&mut self, cx: &mut Cx<'_>, conn: ConnId, message: Message) -> Option<Guest> {
        let stranger = self.strangers.get_mut(&conn)?;
        if stranger.hello.is_some() {
            if stranger.may_wait(&message) {
                stranger.early.push(message);
            } else {
                self.cut(cx, conn);
            }
            return None;
        }
        let first = Some(message).filter(|first| first.weight() <= EARLY_BYTES_MAX).and_then(split_hello);
        let Some((hello, rest)) = first.filter(|(hello, _)| may_enter(cx, stranger.stream, hello)) else {
            self.cut(cx, conn);
            return None;
        };
        stranger.early.extend(rest);
        let (peer, is_link) = (hello.peer, stranger.stream == Stream::Link);
        let known = if is_link { cx.is_dialed_by(&hello) } else { cx.vouches(&hello) };
        stranger.hello = Some(hello);
        if known {
            return self.take(conn);
        }
        if is_link {
            stranger.until = Some(cx.now().after_ms(DOOR_WAIT_MAX.as_millis() as u64));
        } else {
            self.fetch_session(cx, peer);
        }
        None
    }

    pub(super) fn due(&self) -> Option<Now> {
        self.strangers.values().filter_map(|stranger| stranger.until).min()
    }

    /// Links whose peer nobody has told of for too long are cut; who means well dials again.
    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        let late = |it: &Stranger| it.until.is_some_and(|until| until <= cx.now());
        let late: Vec<ConnId> =
            self.strangers.iter().filter(|(_, it)| late(it)).map(|(conn, _)| *conn).collect();
        late.into_iter().for_each(|conn| self.cut(cx, conn));
    }

    /// The warehouse has told of peers: their links come in.
    pub(super) fn introduced(&mut self, cx: &Cx<'_>) -> Vec<Guest> {
        let proven = |it: &Stranger| {
            it.stream == Stream::Link && it.hello.as_ref().is_some_and(|hello| cx.is_dialed_by(hello))
        };
        let proven: Vec<ConnId> =
            self.strangers.iter().filter(|(_, it)| proven(it)).map(|(conn, _)| *conn).collect();
        proven.into_iter().filter_map(|conn| self.take(conn)).collect()
    }

    fn take(&mut self, conn: ConnId) -> Option<Guest> {
        let Stranger { stream, hello, early, .. } = self.strangers.remove(&conn)?;
        Some(Guest { conn, stream, hello: hello?, early })
    }

    fn cut(&mut self, cx: &mut Cx<'_>, conn: ConnId) {
        self.strangers.remove(&conn);
        cx.hang_up(conn);
    }

    /// An order waits for its peer's session; false if too many orders wait already.
    pub(super) fn wait(&mut self, cx: &mut Cx<'_>, caller: Caller) -> bool {
        if self.callers.len() >= BATCH_ORDERS_MAX {
            return false;
        }
        let peer = caller.0.peer;
        self.callers.push(caller);
        self.fetch_session(cx, peer);
        true
    }

    /// Asks the warehouse for a peer's session, once at a time.
    pub(super) fn fetch_session(&mut self, cx: &mut Cx<'_>, peer: PeerId) {
        if self.fetching.insert(peer) {
            cx.call_warehouse(Purpose::Session(peer), Ask::Session(peer));
        }
    }

    /// The warehouse has told the peer's session, or failed to: every stream and order that waits for it comes in or
    /// goes.
    pub(super) fn session_came(
        &mut self,
        cx: &mut Cx<'_>,
        peer: PeerId,
        result: Result<Answer, CallError>,
    ) -> Opened {
        self.fetching.remove(&peer);
        match result {
            Ok(Answer::Session(_, Some(session))) => cx.know(session),
            Ok(_) => {}
            Err(error) => tracing::warn!(%peer, %error, "the session of a peer is not to be had"),
        }
        let waits = |stranger: &Stranger| {
            let hello = stranger.hello.as_ref().filter(|_| stranger.stream != Stream::Link);
            hello.is_some_and(|hello| hello.peer == peer)
        };
        let conns: Vec<ConnId> =
            self.strangers.iter().filter(|(_, it)| waits(it)).map(|(conn, _)| *conn).collect();
        let waiting: Vec<Guest> = conns.into_iter().filter_map(|conn| self.take(conn)).collect();
        let (guests, turned_away) = waiting.into_iter().partition(|guest| cx.vouches(&guest.hello));
        let of_peer = |caller: &mut Caller| caller.0.peer == peer;
        let callers = self.callers.extract_if(.., of_peer).collect();
        Opened { guests, turned_away, callers }
    }

    /// The process ends: gives the callers that still wait.
    pub(super) fn close(&mut self) -> Vec<Caller> {
        std::mem::take(&mut self.callers)
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.strangers.keys().copied()
    }

    #[cfg(test)]
    pub(super) fn replies(&self) -> impl Iterator<Item = ReplyId> {
        self.callers.iter().map(|(_, _, reply)| *reply)
    }
}

impl Stranger {
    /// Whether the message may wait: no more orders than a peer may have open, few messages, and few bytes.
    fn may_wait(&self, message: &Message) -> bool {
        let with = |of: fn(&Message) -> usize| self.early.iter().map(of).sum::<usize>() + of(message);
        self.early.len() < EARLY_WORDS_MAX
            && with(Message::orders) <= SESSION_WINDOW as usize
            && with(Message::weight) <= EARLY_BYTES_MAX
    }
}

/// Whether such a stream may come in from that peer. Anybody may become a client; a client is no trader and has no say
/// among peers.
fn may_enter(cx: &Cx<'_>, stream: Stream, hello: &Hello) -> bool {
    match stream {
        Stream::Trade => true,
        Stream::Replicate => !hello.peer.is_client(),
        Stream::Link => !hello.peer.is_client() && hello.cluster == cx.me.cluster,
        Stream::Settle | Stream::Control | Stream::Watch => false,
    }
}

/// The hello of a first message, and what else it says.
fn split_hello(message: Message) -> Option<(Box<Hello>, Option<Message>)> {
    match message {
        Message::TradeAsk(mut ask) => {
            let hello = ask.hello.take()?;
            Some((hello, (!ask.orders.is_empty()).then_some(Message::TradeAsk(ask))))
        }
        Message::ReplicaAsk(mut ask) => ask.hello.take().map(|hello| (hello, None)),
        Message::Peer(message) => match message.word {
            PeerWord::Hello(hello) => Some((hello, None)),
            _ => None,
        },
        _ => None,
    }
}

/// What a guest that is turned away is told: its orders are not taken.
pub(super) fn not_taken(guest: &Guest) -> Vec<(crate::types::OrderId, NotTaken)> {
    let orders = guest.early.iter().flat_map(|message| match message {
        Message::TradeAsk(ask) => ask.orders.as_slice(),
        _ => &[],
    });
    orders.map(|order| (order.id, NotTaken::NoSession)).collect()
}

#[cfg(test)]
mod tests;
