//! A stranger: it dials nodes and calls them, in its own name and in others', and says what is not so.
//!
//! It knows what anybody may find out ([`Known`]), and holds no secret of a node. It may open a session like any client,
//! or one under an id of a peer that nobody uses: then it has a token of its own, which it also shows in other names. It
//! listens at its address, and answers whoever was told to come there. Orders count as placed only in its own name.

mod answers;
mod forge;
mod moves;

pub(in crate::sim) use forge::Known;

use std::collections::{BTreeMap, BTreeSet};

use self::forge::Forger;
use super::{Hands, Person};
use crate::model::call::{Answer, Ask, CallError, Opening};
use crate::model::message::Stream;
use crate::model::step::{CallId, ConnId, Input};
use crate::sim::chance::Chance;
use crate::sim::marks::Mark;
use crate::sim::queue::{MS, Moment};
use crate::types::{Epoch, PeerId};

/// How it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Without a session.
    Outside,
    /// It asks for a session: 0 for a client's, or an id that no peer uses.
    Asks(PeerId),
    /// It has one.
    Session(PeerId, Epoch),
}

/// Times that it asks for a session in vain.
const TRIES_MAX: u32 = 5;

/// See the module's text.
pub(in crate::sim) struct Stranger {
    forger: Forger,
    /// Where it goes.
    targets: Vec<(PeerId, String)>,
    standing: Standing,
    tries: u32,
    opening: Option<CallId>,
    calls: BTreeSet<CallId>,
    /// Its streams; true for one on which it said a second hello.
    dialed: BTreeMap<ConnId, bool>,
    /// Streams of nodes that were told to come to it.
    came: BTreeMap<ConnId, Stream>,
    moves_left: u64,
    /// Time between two moves, at most.
    gap: u64,
    moves_at: Moment,
    goes_at: Moment,
}

impl Stranger {
    /// A stranger who is there for so many microseconds.
    pub(crate) fn new(
        known: Known,
        targets: Vec<(PeerId, String)>,
        lasts: u64,
        now: Moment,
        mut chance: Chance,
    ) -> Stranger {
        let unused = PeerId(500 + chance.between(0, 400) as u32);
        let standing = chance.pick(&[
            Standing::Outside,
            Standing::Asks(PeerId(0)),
            Standing::Asks(unused),
            Standing::Asks(unused),
        ]);
        let moves_left = chance.between(2, 8);
        let lasts = lasts + 100 * MS;
        Stranger {
            targets,
            standing,
            tries: 0,
            opening: None,
            calls: BTreeSet::new(),
            dialed: BTreeMap::new(),
            came: BTreeMap::new(),
            moves_left,
            gap: lasts / moves_left,
            moves_at: now,
            goes_at: now.after(lasts),
            forger: Forger::new(known, chance),
        }
    }

    /// The id under which it has a session.
    fn me(&self) -> Option<PeerId> {
        match self.standing {
            Standing::Session(peer, _) => Some(peer),
            _ => None,
        }
    }

    fn ask_for_session(&mut self, peer: PeerId, hands: &mut Hands) {
        let (store, cluster) = (self.forger.token.store_id(), String::new());
        let opening =
            Opening { peer, store, cluster, generation: Default::default(), seen: None, licence: None };
        self.tries += 1;
        let warehouse = self.forger.known.warehouse.clone();
        self.opening = Some(hands.call(&warehouse, Ask::Open(opening)));
    }

    fn opened(&mut self, result: Result<Answer, CallError>) {
        match result {
            Ok(Answer::Opened(answer)) => {
                let (peer, epoch) = (answer.opened.peer, answer.opened.epoch);
                self.standing = Standing::Session(peer, epoch);
                self.forger.enter(peer, epoch, *answer);
            }
            _ if self.tries == TRIES_MAX => self.standing = Standing::Outside,
            _ => {}
        }
    }

    fn hear(&mut self, input: Input, hands: &mut Hands) {
        match input {
            Input::Came(call, result) if self.opening == Some(call) => {
                self.opening = None;
                self.opened(result);
            }
            Input::Came(call, result) => {
                let refused = self.calls.remove(&call) && refuses(&result);
                hands.marks.extend(refused.then_some(Mark::StrangerRefused));
            }
            Input::Opened(conn, stream) => drop(self.came.insert(conn, stream)),
            Input::Said(conn, message) if self.came.contains_key(&conn) => self.answer(conn, message, hands),
            Input::Ended(conn, lost) => {
                if let Some(twice) = self.dialed.remove(&conn).filter(|_| !lost.refused) {
                    hands.marks.push(if twice { Mark::SecondHelloCut } else { Mark::StrangerRefused });
                }
                self.came.remove(&conn);
            }
            Input::Asked(reply, ask) => self.reply(reply, ask, hands),
            _ => {}
        }
    }
}

fn refuses(result: &Result<Answer, CallError>) -> bool {
    matches!(result, Err(CallError::NotTaken { .. } | CallError::Refused { .. }))
}

impl Person for Stranger {
    fn act(&mut self, now: Moment, input: Option<Input>, hands: &mut Hands) {
        if let Some(input) = input {
            self.hear(input, hands);
        }
        if now >= self.moves_at && self.opening.is_none() {
            self.moves_at = now.after(1 + self.forger.chance.between(0, self.gap));
            match self.standing {
                Standing::Asks(peer) => self.ask_for_session(peer, hands),
                _ if self.moves_left > 0 => {
                    self.moves_left -= 1;
                    self.make_a_move(hands);
                }
                _ => {}
            }
        }
        hands.goes = now >= self.goes_at;
        let moves = self.moves_left > 0 && self.opening.is_none();
        hands.wakes_at = Some(if moves { self.moves_at.min(self.goes_at) } else { self.goes_at });
    }

    fn waits_for(&self) -> Option<String> {
        None
    }

    fn describe(&self) -> String {
        format!("a stranger ({:?}) who lies about {:?}", self.standing, self.forger.lies)
    }

    fn is_welcome(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
