//! The real port: streams and calls over gRPC.
//!
//! Machines know streams, calls and askers by number; the tables here say which outbox and which waiting asker a number
//! stands for. Both belong to the thread of the node's loop. Nothing here waits: tasks on the wire's runtime dial, call
//! and encode, and wait for room in the inbox.
//!
//! Holds: a stream is in the table from the moment the machine knows of it until it ends or the machine hangs it up; what
//! arrives of a stream that is not in the table is dropped.

use std::collections::BTreeMap;
use std::io::Write as _;

use tokio::sync::{broadcast, oneshot};

use super::meter::Meter;
use super::port::Port;
use super::tracing::Tracing;
use super::{log, wall_now};
use crate::model::call::{Answer, Ask, Refusal};
use crate::model::fold::Stored;
use crate::model::happening::Happening;
use crate::model::message::Message;
use crate::model::step::{CallId, ConnId, Effect, Exit, Input, Numbers, ReplyId};
use crate::types::{PeerId, Seq, Token};
use crate::wire::arrival::Arrival;
use crate::wire::client;
use crate::wire::client::dial::{Dialed, Dialer};
use crate::wire::outbox::Outbox;

/// A stream that the machine knows of.
#[derive(Debug)]
struct Conn {
    outbox: Outbox<Message>,
    /// Its task, if this node dialed it: dropping it ends the stream.
    _dialed: Option<Dialed>,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Grpc {
    me: PeerId,
    dialer: Dialer,
    numbers: Numbers,
    happenings: broadcast::Sender<Happening>,
    conns: BTreeMap<ConnId, Conn>,
    replies: BTreeMap<ReplyId, oneshot::Sender<Result<Answer, Refusal>>>,
    /// None: nobody may scrape.
    meter: Option<Meter>,
    /// None: nothing is remembered of messages.
    tracing: Option<Tracing>,
}

impl Grpc {
    /// The port of node `me`. `numbers` is a copy of the driver's; watchers subscribe to `happenings`.
    pub(crate) fn new(
        me: PeerId,
        dialer: Dialer,
        numbers: Numbers,
        happenings: broadcast::Sender<Happening>,
    ) -> Grpc {
        let (conns, replies) = (BTreeMap::new(), BTreeMap::new());
        Grpc { me, dialer, numbers, happenings, conns, replies, meter: None, tracing: None }
    }

    /// The same, and what passes is counted.
    pub(crate) fn metered(self, meter: Option<Meter>) -> Grpc {
        Grpc { meter, ..self }
    }

    /// The same, and what passes is remembered.
    pub(crate) fn traced(self, tracing: Option<Tracing>) -> Grpc {
        Grpc { tracing, ..self }
    }

    /// How many streams are open, and how many callers wait: the machine's own counts must be the same.
    #[cfg(test)]
    pub(crate) fn open(&self) -> (usize, usize) {
        (self.conns.len(), self.replies.len())
    }

    /// What has arrived as an input.
    fn input(&mut self, arrival: Arrival) -> Option<Input> {
        match arrival {
            Arrival::Opened(conn, stream, outbox) => {
                self.conns.insert(conn, Conn { outbox, _dialed: None });
                Some(Input::Opened(conn, stream))
            }
            Arrival::Said(conn, message) => {
                let known = self.conns.contains_key(&conn);
                if let Some(meter) = self.meter.as_mut().filter(|_| known) {
                    meter.heard(&message);
                }
                known.then_some(Input::Said(conn, message))
            }
            Arrival::Ended(conn, lost) => self.conns.remove(&conn).map(|_| Input::Ended(conn, lost)),
            Arrival::Asked(ask, asker) => {
                let reply = ReplyId(self.numbers.next());
                self.replies.insert(reply, asker);
                Some(Input::Asked(reply, ask))
            }
            Arrival::Came(call, came) => Some(Input::Came(call, came)),
        }
    }

    fn dial(&mut self, conn: ConnId, addr: String, first: Message) {
        self.note_said(conn, &first);
        let (outbox, dialed) = self.dialer.dial(conn, addr, first);
        self.conns.insert(conn, Conn { outbox, _dialed: Some(dialed) });
    }

    fn note_said(&mut self, conn: ConnId, message: &Message) {
        if let Some(meter) = &mut self.meter {
            meter.said(message);
        }
        if let Some(tracing) = &self.tracing {
            tracing.sends(conn.0, message);
        }
    }

    fn send(&mut self, conn: ConnId, message: Message) {
        // Nobody hears what is said on a stream that was cut or is gone: its other end asks again.
        if self.conns.contains_key(&conn) {
            self.note_said(conn, &message);
        }
        if let Some(conn) = self.conns.get(&conn) {
            conn.outbox.send(message);
        }
    }

    fn reply(&mut self, reply: ReplyId, answer: Result<Answer, Refusal>) {
        if let (Some(meter), Err(refusal)) = (&self.meter, &answer) {
            meter.refused(refusal);
        }
        if let Some(tracing) = &self.tracing {
            match &answer {
                Ok(answer) => tracing.answers(reply.0, answer),
                Err(refusal) => tracing.answers(reply.0, format_args!("refused: {refusal}")),
            }
        }
        if let Some(asker) = self.replies.remove(&reply) {
            // An asker that has gone needs no answer.
            let _ = asker.send(answer);
        }
    }

    fn call(&self, call: CallId, addr: String, ask: Ask) {
        self.tracing.iter().for_each(|tracing| tracing.calls(call.0, &ask));
        let (inbox, deadline) = (self.dialer.inbox.clone(), self.dialer.deadline);
        self.dialer.wire.spawn(async move {
            let came = client::call(&addr, deadline, ask).await;
            // The node is stopping if nobody takes it.
            let _ = inbox.send(Arrival::Came(call, came)).await;
        });
    }
}

fn exit(Exit { code, what, hint }: Exit) -> ! {
    tracing::error!(hint, "{what}");
    log::finish();
    // A log that cannot be written is no reason to stay: eprintln would panic.
    let _ = writeln!(std::io::stderr(), "error: {what}\n  hint: {hint}");
    std::process::exit(code)
}

impl Port for Grpc {
    type Arrival = Arrival;

    fn arrive(&mut self, arrival: Arrival) -> Option<Input> {
        let input = self.input(arrival)?;
        self.tracing.iter().for_each(|tracing| tracing.gets(&input));
        Some(input)
    }
    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Dial { conn, addr, first } => self.dial(conn, addr, first),
            Effect::Send(conn, message) => self.send(conn, message),
            Effect::HangUp(conn) => {
                self.tracing.iter().for_each(|tracing| tracing.hangs_up(conn.0));
                drop(self.conns.remove(&conn));
            }
            Effect::Reply(reply, answer) => self.reply(reply, answer),
            Effect::Call { call, addr, ask } => self.call(call, addr, ask),
            Effect::Happen(what) => {
                self.meter.iter().for_each(|meter| meter.happens(&what));
                self.tracing.iter().for_each(|tracing| tracing.happens(&what));
                // Nobody watches: nobody is told.
                let _ = self.happenings.send(Happening { time: wall_now().0, peer: self.me, what });
            }
            Effect::RenewToken => unreachable!("the driver stores a new token; no port sees this"),
            Effect::Exit(why) => exit(why),
        }
    }

    fn staged(&mut self, record: &impl Stored) {
        self.meter.iter().for_each(|meter| meter.staged(record));
    }

    fn synced(&mut self, seq: Seq) {
        self.tracing.iter().for_each(|tracing| tracing.synced(seq));
    }

    fn draw_token(&mut self) -> Result<Token, String> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
        Ok(Token(bytes))
    }

    fn is_watched(&self) -> bool {
        self.happenings.receiver_count() > 0
    }
}

#[cfg(test)]
mod tests;
