//! What a machine is: plain data with one door.
//!
//! A driver gives a machine its inputs with the time, a *turn* at a time: what is durable now, then up to
//! [`STEP_INPUTS_MAX`](crate::limits::STEP_INPUTS_MAX) inputs that are ready, then the end of the turn. The machine
//! applies what it decides to its own state at once, and puts records and effects into the [`Turn`]. All records of a
//! turn are one step of the journal. An effect waits until the records that stand before it in its turn are durable,
//! unless the machine says why it need not ([`Because`]). Connections, calls and replies have numbers, never handles: so a
//! machine can be tried, replayed and simulated without any of them.
//!
//! Holds: an effect that tells of a record never leaves before that record is durable; each connection ends once, by
//! [`Input::Ended`] or by [`Effect::HangUp`]; each question is answered once, by [`Effect::Reply`]; each call comes back
//! once, by [`Input::Came`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::call::{Answer, Ask, CallError, Refusal};
use super::fold::Fold;
use super::happening::What;
use super::message::{Message, Stream};
use crate::types::{Hash, Now, Seq, Stamp, Token, WallMicros};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $letter:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(pub u64);
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $letter, self.0)
            }
        }
    };
}

id!(
    /// A stream to or from another node.
    ConnId,
    's'
);
id!(
    /// A unary call of this node.
    CallId,
    'c'
);
id!(
    /// The caller that waits for the answer to a unary call to this node.
    ReplyId,
    'r'
);

/// Gives each number once. A process has one: the driver holds it, and the port a copy, for the streams that it
/// accepts.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<AtomicU64>);

impl Numbers {
    /// The next number, from 1.
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// When a step is taken, and what the machine may know of its surroundings.
#[derive(Clone, Copy, Debug, Default)]
pub struct At {
    /// Monotonic, in milliseconds since the process started.
    pub now: Now,
    /// The same in microseconds, for latencies.
    pub micros: u64,
    /// Wall clock: nothing is ordered by it.
    pub time: WallMicros,
    /// The disk is nearly full: no orders are taken.
    pub disk_low: bool,
    /// Somebody is told what happens here.
    pub watched: bool,
}

/// Everything that reaches a machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// All records up to this one are durable. Comes before the other inputs of its turn.
    Durable(Seq),
    /// A stream of another node to this one began.
    Opened(ConnId, Stream),
    /// A message on a stream, whoever dialed it.
    Said(ConnId, Message),
    /// A stream ended, or never came up. Not said of streams that this machine hung up.
    Ended(ConnId, Lost),
    /// A unary call to this node.
    Asked(ReplyId, Ask),
    /// A call of this node came back.
    Came(CallId, Result<Answer, CallError>),
    /// The store has another token now, durably: see [`Effect::RenewToken`].
    Token(Token),
    /// The process is told to end: what is due to others is done first.
    Stop,
}

impl Input {
    /// Orders in it, for the bound of one turn.
    pub(crate) fn orders(&self) -> usize {
        match self {
            Input::Said(_, message) => message.orders(),
            _ => 0,
        }
    }
}

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Nobody listens at the address: the process is dead.
    pub refused: bool,
    /// For the log.
    pub why: String,
}

/// What a machine wants done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Open a stream to a node, and say this first on it.
    Dial {
        /// The stream's number.
        conn: ConnId,
        /// Where the node listens.
        addr: String,
        /// What is said first; it tells which stream it is.
        first: Message,
    },
    /// Say something on a stream, whoever dialed it. Nobody hears what is said on a stream that is gone.
    Send(ConnId, Message),
    /// End a stream.
    HangUp(ConnId),
    /// Answer a unary call.
    Reply(ReplyId, Result<Answer, Refusal>),
    /// Call a node.
    Call {
        /// The call's number.
        call: CallId,
        /// Where the node listens.
        addr: String,
        /// What is asked.
        ask: Ask,
    },
    /// Tell whoever watches.
    Happen(What),
    /// Draw a new token, store it, and say so by [`Input::Token`].
    RenewToken,
    /// End the process at once: going on would do harm.
    Exit(Exit),
}

/// Why a process ends at once: printed, with a mend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// What and why.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// Why an effect may leave before the records of its turn are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// It tells what the warehouse has journaled.
    Journaled,
    /// It passes an order on: if this process dies, the warehouse has the outcome or the peer asks again.
    OnItsWay,
    /// What it tells is durable here and at the other trader, as its room knows.
    Mirrored,
    /// It tells nothing of this journal: a greeting, a question, a refusal without state, news of others.
    TellsNothing,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Because::Journaled => "journaled by the warehouse",
            Because::OnItsWay => "on its way",
            Because::Mirrored => "durable at both traders",
            Because::TellsNothing => "tells nothing",
        })
    }
}

/// What an effect waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Nothing.
    Now(Because),
    /// What was recorded in earlier turns.
    Before,
    /// What was recorded in this turn, too.
    ThisTurn,
}

/// Looks up what this node's own log durably holds.
pub trait Past: Send {
    /// Whether a block with that hash ends at that record; true where the log cannot tell, since it is pruned.
    ///
    /// # Errors
    /// The store cannot be read; says why.
    fn holds(&self, seq: Seq, hash: Hash) -> Result<bool, String>;
}

/// What one turn gives: records, one step of the journal, and effects.
pub struct Turn<R> {
    records: Vec<R>,
    urgent: bool,
    effects: Vec<(When, Effect)>,
    numbers: Numbers,
    past: Box<dyn Past>,
}

impl<R> Turn<R> {
    /// An empty turn, to be used again and again.
    pub fn new(numbers: Numbers, past: Box<dyn Past>) -> Turn<R> {
        Turn { records: Vec::new(), urgent: false, effects: Vec::new(), numbers, past }
    }

    /// Somebody waits for this record.
    pub(crate) fn record(&mut self, record: R) {
        self.urgent = true;
        self.records.push(record);
    }

    /// This record rides on the next group, at the latest after [`LAZY_MAX`](crate::limits::LAZY_MAX).
    pub(crate) fn record_lazily(&mut self, record: R) {
        self.records.push(record);
    }

    /// The lazy records of this turn are wanted soon.
    pub(crate) fn hurry(&mut self) {
        self.urgent = true;
    }

    /// Nothing was recorded in this turn yet.
    pub(crate) fn is_quiet(&self) -> bool {
        self.records.is_empty()
    }

    /// An effect that leaves when what was recorded before it is durable.
    pub(crate) fn hold(&mut self, effect: Effect) {
        let when = if self.records.is_empty() { When::Before } else { When::ThisTurn };
        self.effects.push((when, effect));
    }

    /// An effect that need not wait.
    pub(crate) fn at_once(&mut self, because: Because, effect: Effect) {
        self.effects.push((When::Now(because), effect));
    }

    /// A number for a stream that is to be dialed.
    pub(crate) fn conn(&self) -> ConnId {
        ConnId(self.numbers.next())
    }

    /// A number for a call.
    pub(crate) fn call(&self) -> CallId {
        CallId(self.numbers.next())
    }

    /// What the node's own log holds.
    pub(crate) fn past(&self) -> &dyn Past {
        &*self.past
    }

    /// Takes the records, and whether somebody waits for them.
    pub fn take_records(&mut self) -> (Vec<R>, bool) {
        (std::mem::take(&mut self.records), std::mem::take(&mut self.urgent))
    }

    /// Takes the effects in their order.
    pub fn take_effects(&mut self) -> Vec<(When, Effect)> {
        std::mem::take(&mut self.effects)
    }

    /// Gives the emptied vector back, to be filled again.
    pub(crate) fn give_room(&mut self, effects: Vec<(When, Effect)>) {
        debug_assert!(effects.is_empty() && self.effects.is_empty());
        self.effects = effects;
    }
}

/// A state machine that a driver runs. Nothing in it waits, and nothing in it knows a clock, a socket or a disk.
pub trait Machine {
    /// The fold of its journal.
    type State: Fold;

    /// Takes one input in.
    fn step(&mut self, at: At, input: Input, turn: &mut Turn<<Self::State as Fold>::Record>);

    /// All inputs of the turn are in: what is done once a turn, and what is due by now.
    fn end_turn(&mut self, at: At, turn: &mut Turn<<Self::State as Fold>::Record>);

    /// When it wants a turn even if nothing comes in.
    fn due(&self) -> Option<Now>;

    /// Its Lamport clock: a reserve on disk covers it before it is shown.
    fn clock(&self) -> Stamp;

    /// What the journal's records come to, those of this turn included.
    fn state(&self) -> &Self::State;

    /// There is nothing left to do: the process ends when all is durable and said.
    fn has_ended(&self) -> bool;

    /// What holds between two turns. Nothing depends on it being asked for: a simulator does.
    ///
    /// # Errors
    /// Says what does not hold, which is a fault of the machine.
    fn invariants(&self) -> Result<(), String> {
        Ok(())
    }

    /// Completes an effect that leaves now, with what the log durably holds at this moment.
    fn complete(&mut self, _effect: &mut Effect, _durable: (Seq, Hash)) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a hello 0 means that nothing is counted.
    #[test]
    fn numbers_count_from_1() {
        let numbers = Numbers::default();
        assert_eq!([numbers.next(), numbers.clone().next(), numbers.next()], [1, 2, 3]);
    }
}
