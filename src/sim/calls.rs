//! Unary calls in the simulated network: a connection, a question, an answer, within a deadline.

use std::collections::BTreeMap;

use super::lag::Lag;
use super::network::{self, Delivery, Process, put};
use super::node::node_at;
use super::queue::{Moment, Queue};
use super::weather::{Passage, Weather};
use super::world;
use crate::limits::{CALL_DEADLINE, PROBE_MAX};
use crate::model::call::{Answer, Ask, CallError, Refusal};
use crate::model::step::{CallId, Input, Numbers, ReplyId};
use crate::types::PeerId;
use crate::wire::convert::frame;

/// What comes back of a call, as it goes over the wire.
pub(super) enum Back {
    Answer(Vec<u8>),
    Refusal(Vec<u8>),
    /// There will be no answer.
    Failure(CallError),
}

impl Back {
    /// An answer on its way.
    pub(crate) fn of(answer: &Result<Answer, Refusal>) -> Back {
        match answer {
            Ok(answer) => Back::Answer(frame::encode_answer(answer)),
            Err(refusal) => Back::Refusal(frame::encode_refusal(refusal)),
        }
    }

    /// As it goes over the wire; empty for what does not, and for refusals: a map in them is encoded in any order.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Back::Answer(bytes) => bytes,
            Back::Refusal(_) | Back::Failure(_) => &[],
        }
    }

    /// What the caller hears.
    fn heard(&self) -> Result<Answer, CallError> {
        match self {
            Back::Answer(bytes) => Ok(decoded(frame::decode_answer(bytes))),
            Back::Refusal(bytes) => Err(decoded(frame::decode_refusal(bytes))),
            Back::Failure(error) => Err(error.clone()),
        }
    }
}

/// What this process has encoded.
pub(super) fn decoded<T, E: std::fmt::Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|odd| unreachable!("it was encoded here: {odd}"))
}

/// Something on its way.
pub(super) enum Event {
    /// The first packet of a call is where it was sent to.
    Connect(u64),
    /// The question is there.
    Ask(u64),
    /// The answer, or word that there will be none, is back.
    Come(u64, Back),
    /// Time is up.
    Late(u64),
}

struct Call {
    from: Process,
    call: CallId,
    addr: String,
    /// The node at that address.
    node: PeerId,
    /// The question, until it is delivered.
    ask: Option<Vec<u8>>,
    /// When it was made.
    made: Moment,
    /// The process that answers, once the call is connected.
    to: Option<(Process, ReplyId)>,
}

/// The calls that are underway.
#[derive(Default)]
pub(super) struct Calls {
    calls: BTreeMap<u64, Call>,
    replies: BTreeMap<(Process, ReplyId), u64>,
    made: u64,
    refused: u64,
}

type Events = Queue<world::Event>;

/// What decides how long things take.
pub(super) type Sky<'a> = (&'a mut Lag, &'a mut Weather);

/// A step of a call sets out, and may never arrive.
fn set_out(from: PeerId, to: PeerId, legs: u64, event: Event, sky: Sky<'_>, queue: &mut Events) {
    let (lag, weather) = sky;
    if let Passage::After(more) = weather.passage(from, to, queue.now()) {
        let took: u64 = (0..legs).map(|_| lag.draw()).sum();
        put(queue, took + more, network::Event::Call(event));
    }
}

impl Calls {
    /// How often nobody listened where a call went.
    pub(crate) fn refused(&self) -> u64 {
        self.refused
    }

    /// A process calls a node.
    pub(crate) fn call(
        &mut self,
        from: Process,
        call: CallId,
        addr: String,
        ask: &Ask,
        sky: Sky<'_>,
        queue: &mut Events,
    ) {
        self.made += 1;
        let deadline = if matches!(ask, Ask::Probe) { PROBE_MAX } else { CALL_DEADLINE };
        let (node, ask) = (node_at(&addr).unwrap_or(from.node), Some(frame::encode_ask(ask)));
        self.calls.insert(self.made, Call { from, call, addr, node, ask, made: queue.now(), to: None });
        set_out(from.node, node, 1, Event::Connect(self.made), sky, queue);
        put(queue, deadline.as_micros() as u64, network::Event::Call(Event::Late(self.made)));
    }

    /// A process answers a call. If the caller is gone, or waits no more, nobody hears it.
    pub(crate) fn reply(
        &mut self,
        from: Process,
        reply: ReplyId,
        answer: Back,
        sky: Sky<'_>,
        queue: &mut Events,
    ) {
        let Some(id) = self.replies.remove(&(from, reply)) else { return };
        let Some(call) = self.calls.get(&id) else { return };
        if !sky.1.loses_answers(from.node, call.from.node, queue.now()) {
            set_out(from.node, call.from.node, 1, Event::Come(id, answer), sky, queue);
        }
    }

    /// A process is killed: its calls are forgotten, and callers that wait for its answers hear that the connection
    /// broke.
    pub(crate) fn kill(&mut self, process: Process, lag: &mut Lag, queue: &mut Events) {
        let to = |call: &Call| call.to.is_some_and(|(to, _)| to == process);
        let waiting: Vec<u64> = self.calls.iter().filter(|(_, call)| to(call)).map(|(id, _)| *id).collect();
        self.replies.retain(|(to, _), _| *to != process);
        for id in waiting {
            let broke = Back::Failure(CallError::Unknown("the connection broke".to_owned()));
            put(queue, lag.draw(), network::Event::Call(Event::Come(id, broke)));
        }
        self.calls.retain(|_, call| call.from != process);
    }

    /// A step on a call's way. Gives what arrives at a process by it.
    pub(crate) fn handle(
        &mut self,
        event: Event,
        listening: &BTreeMap<String, (Process, Numbers)>,
        sky: Sky<'_>,
        queue: &mut Events,
    ) -> Option<Delivery> {
        match event {
            Event::Connect(id) => {
                self.connect(id, listening, sky, queue);
                None
            }
            Event::Ask(id) => {
                let call = self.calls.get_mut(&id)?;
                let ((to, reply), ask) = (call.to?, call.ask.take()?);
                let asked = decoded(frame::decode_ask(&ask));
                Some(Delivery {
                    to,
                    input: Input::Asked(reply, asked),
                    bytes: ask,
                    sent: Some((call.from.node, call.made)),
                })
            }
            Event::Come(id, answer) => self.come(id, answer.heard(), answer.bytes().to_vec()),
            Event::Late(id) => {
                let call = self.calls.get(&id)?;
                let late = match call.to {
                    Some(_) => CallError::Unknown("no answer in time".to_owned()),
                    None => unreachable(&call.addr, "no connection in time", false),
                };
                self.come(id, Err(late), Vec::new())
            }
        }
    }

    fn connect(
        &mut self,
        id: u64,
        listening: &BTreeMap<String, (Process, Numbers)>,
        sky: Sky<'_>,
        queue: &mut Events,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (from, node) = (call.from.node, call.node);
        let refuses = sky.1.refuses(from, node, queue.now());
        let Some((process, numbers)) = listening.get(&call.addr).filter(|_| !refuses) else {
            self.refused += 1;
            let back = Back::Failure(refused(&call.addr));
            return put(queue, sky.0.draw(), network::Event::Call(Event::Come(id, back)));
        };
        let to = (*process, ReplyId(numbers.next()));
        call.to = Some(to);
        self.replies.insert(to, id);
        set_out(from, node, 2, Event::Ask(id), sky, queue);
    }

    fn come(&mut self, id: u64, came: Result<Answer, CallError>, bytes: Vec<u8>) -> Option<Delivery> {
        let Call { from, call, to, .. } = self.calls.remove(&id)?;
        if let Some(to) = to {
            self.replies.remove(&to);
        }
        Some(Delivery { to: from, input: Input::Came(call, came), bytes, sent: None })
    }
}

fn refused(addr: &str) -> CallError {
    unreachable(addr, "connection refused", true)
}

fn unreachable(addr: &str, why: &str, refused: bool) -> CallError {
    CallError::Unreachable { addr: addr.to_owned(), why: why.to_owned(), refused }
}
