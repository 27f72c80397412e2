//! The driver's port in the simulator: which numbers are in use, and a list of what is to be done.
//!
//! Holds, like the real one: nothing comes in on a stream that the machine hung up, a call comes back once, a question is
//! answered once, and what is said on a stream that is gone goes nowhere.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::chance::Chance;
use crate::model::step::{CallId, ConnId, Effect, Input, ReplyId};
use crate::node::port::Port;
use crate::types::Token;

/// What a node's machine wants done; the world takes it after each turn.
pub(super) type Outbox = Rc<RefCell<Vec<Effect>>>;

/// See the module's text.
pub(super) struct SimPort {
    outbox: Outbox,
    conns: BTreeSet<ConnId>,
    calls: BTreeSet<CallId>,
    replies: BTreeSet<ReplyId>,
    secrets: Chance,
}

impl SimPort {
    /// A port of a new process, which draws its tokens from `secrets`.
    pub(crate) fn new(outbox: Outbox, secrets: Chance) -> SimPort {
        let (conns, calls, replies) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        SimPort { outbox, conns, calls, replies, secrets }
    }

    /// Whether the effect goes anywhere.
    fn goes_out(&mut self, effect: &Effect) -> bool {
        match effect {
            Effect::Dial { conn, .. } => self.conns.insert(*conn),
            Effect::Send(conn, _) => self.conns.contains(conn),
            Effect::HangUp(conn) => self.conns.remove(conn),
            Effect::Reply(reply, _) => self.replies.remove(reply),
            Effect::Call { call, .. } => self.calls.insert(*call),
            Effect::Happen(_) | Effect::RenewToken | Effect::Exit(_) => true,
        }
    }
}

impl Port for SimPort {
    type Arrival = Input;

    fn arrive(&mut self, input: Input) -> Option<Input> {
        let wanted = match &input {
            Input::Opened(conn, _) => self.conns.insert(*conn),
            Input::Said(conn, _) => self.conns.contains(conn),
            Input::Ended(conn, _) => self.conns.remove(conn),
            Input::Asked(reply, _) => self.replies.insert(*reply),
            Input::Came(call, _) => self.calls.remove(call),
            Input::Durable(_) | Input::Token(_) | Input::Stop => true,
        };
        wanted.then_some(input)
    }

    fn perform(&mut self, effect: Effect) {
        if self.goes_out(&effect) {
            self.outbox.borrow_mut().push(effect);
        }
    }

    fn draw_token(&mut self) -> Result<Token, String> {
        Ok(Token(self.secrets.bytes()))
    }

    fn is_watched(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::{ControlUp, Message, Stream};
    use crate::model::step::Lost;

    fn port() -> SimPort {
        SimPort::new(Outbox::default(), Chance::of(1, "test"))
    }

    fn said(conn: u64) -> Input {
        Input::Said(ConnId(conn), Message::ControlUp(ControlUp::default()))
    }

    #[test]
    fn nothing_comes_in_on_a_stream_that_was_hung_up() {
        let mut port = port();
        assert!(port.arrive(Input::Opened(ConnId(1), Stream::Control)).is_some());
        assert!(port.arrive(said(1)).is_some());
        port.perform(Effect::HangUp(ConnId(1)));
        assert!(port.arrive(said(1)).is_none());
        let lost = Lost { refused: false, why: String::new() };
        assert!(port.arrive(Input::Ended(ConnId(1), lost)).is_none());
        assert_eq!(port.outbox.borrow().len(), 1);
    }

    #[test]
    fn what_is_said_on_no_stream_goes_nowhere() {
        let mut port = port();
        port.perform(Effect::Send(ConnId(7), Message::Watch));
        port.perform(Effect::HangUp(ConnId(7)));
        assert!(port.outbox.borrow().is_empty());
    }
}
