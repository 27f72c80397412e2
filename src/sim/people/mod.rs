//! Who is in the world beside the nodes: clients with an order, people at a peer, and strangers who mean no good.
//!
//! In: what arrives at them, and the time at which they asked to be woken. Out: [`Hands`], what they want done and what
//! they saw. They keep nothing on a disk: one that goes away never comes back. All that they do is drawn from the fault
//! that brought them.

mod caller;
mod client;
mod stranger;

pub(super) use caller::Caller;
pub(super) use client::{Client, Plan};
pub(super) use stranger::{Known, Stranger};

use super::check::{Failure, Told};
use super::marks::Mark;
use super::network::Process;
use super::queue::Moment;
use crate::model::call::Ask;
use crate::model::message::Message;
use crate::model::step::{CallId, ConnId, Effect, Input, Numbers};
use crate::types::{Order, PeerId};

/// Above every id of a node or client: where in the world somebody is who is no node.
const FIRST: u32 = 1 << 24;

/// The place of the `nth` person.
pub(super) fn place(nth: u32) -> PeerId {
    PeerId(FIRST + nth)
}

/// Whether somebody is there who is no node.
pub(super) fn is_person(place: PeerId) -> bool {
    place.0 >= FIRST
}

/// Somebody who is no node.
pub(super) trait Person {
    /// Hears something, or wakes up, and goes on.
    fn act(&mut self, now: Moment, input: Option<Input>, hands: &mut Hands);

    /// Who it is, for the trace.
    fn describe(&self) -> String;

    /// What it still has to be told, if it waits for something that must come.
    fn waits_for(&self) -> Option<String>;

    /// It stays when everything heals.
    fn is_welcome(&self) -> bool;
}

/// A person with its place in the world.
pub(super) struct Somebody {
    pub process: Process,
    pub person: Box<dyn Person>,
    /// Numbers its streams and calls.
    pub numbers: Numbers,
    pub wakes_at: Option<Moment>,
}

/// What somebody does at once, and what came of it.
pub(super) struct Hands {
    numbers: Numbers,
    pub effects: Vec<Effect>,
    /// Outcomes that it was told.
    pub told: Vec<Told>,
    /// Orders that it placed in its own name.
    pub placed: Vec<Order>,
    pub marks: Vec<Mark>,
    pub wakes_at: Option<Moment>,
    /// It goes away, and does not say so.
    pub goes: bool,
    /// What it was told cannot be.
    pub wrong: Option<Failure>,
}

impl Hands {
    /// Hands that have done nothing yet.
    pub(crate) fn of(numbers: Numbers) -> Hands {
        Hands {
            numbers,
            effects: Vec::new(),
            told: Vec::new(),
            placed: Vec::new(),
            marks: Vec::new(),
            wakes_at: None,
            goes: false,
            wrong: None,
        }
    }

    fn call(&mut self, addr: &str, ask: Ask) -> CallId {
        let (call, addr) = (CallId(self.numbers.next()), addr.to_owned());
        self.effects.push(Effect::Call { call, addr, ask });
        call
    }

    fn dial(&mut self, addr: &str, first: Message) -> ConnId {
        let (conn, addr) = (ConnId(self.numbers.next()), addr.to_owned());
        self.effects.push(Effect::Dial { conn, addr, first });
        conn
    }

    fn send(&mut self, conn: ConnId, message: Message) {
        self.effects.push(Effect::Send(conn, message));
    }

    fn wrong(&mut self, why: String) {
        self.wrong.get_or_insert(Failure::new("told", why));
    }
}
