//! A stream that is dialed again when it breaks, after ever longer waits.

use super::facts::Cx;
use super::secret::Named;
use crate::model::backoff::Backoff;
use crate::model::hello::Hello;
use crate::model::message::Message;
use crate::model::step::{Because, ConnId};
use crate::types::Now;

/// See the module's text.
#[derive(Default)]
pub(super) struct Line {
    conn: Option<ConnId>,
    up: bool,
    backoff: Backoff,
    /// When it is to be dialed again.
    retry_at: Option<Now>,
}

impl Line {
    pub(super) fn is(&self, conn: ConnId) -> bool {
        self.conn == Some(conn)
    }

    pub(super) fn conn(&self) -> Option<ConnId> {
        self.conn
    }

    pub(super) fn is_dialed(&self) -> bool {
        self.conn.is_some()
    }

    /// The other side has said hello.
    pub(super) fn is_up(&self) -> bool {
        self.up
    }

    /// Dials in place of what was there, and shows no token.
    pub(super) fn dial(&mut self, cx: &mut Cx<'_>, addr: &str, first: Message) {
        self.make_room(cx);
        self.conn = Some(cx.dial(addr, first));
    }

    /// Dials in place of what was there, with a first message that shows the token.
    pub(super) fn dial_proven<'a>(
        &mut self,
        cx: &mut Cx<'a>,
        to: &Named,
        first: impl FnOnce(&mut Cx<'a>, Box<Hello>) -> Message,
    ) {
        self.make_room(cx);
        self.conn = Some(cx.dial_proven(to, first));
    }

    fn make_room(&mut self, cx: &mut Cx<'_>) {
        if let Some(before) = self.conn.take() {
            cx.hang_up(before);
        }
        (self.up, self.retry_at) = (false, None);
    }

    /// The other side says hello. False if it has said it before: a second one ends every stream.
    pub(super) fn came_up(&mut self) -> bool {
        !std::mem::replace(&mut self.up, true)
    }

    /// The line does what it is for: its next break is the first one again. That it came up proves nothing: a trader
    /// that is busy would be dialed without end.
    pub(super) fn works(&mut self) {
        self.backoff.reset();
    }

    /// The stream ended: when it is to be dialed again.
    pub(super) fn ended(&mut self, now: Now) {
        (self.conn, self.up) = (None, false);
        self.retry_at = Some(self.put_off(now));
    }

    /// Hangs up, to dial again later.
    pub(super) fn cut(&mut self, cx: &mut Cx<'_>) {
        if let Some(conn) = self.conn {
            cx.hang_up(conn);
        }
        self.ended(cx.now());
    }

    /// When the next try may be, with the line as it is.
    pub(super) fn put_off(&mut self, now: Now) -> Now {
        now.after_ms(self.backoff.next_ms())
    }

    /// Hangs up and forgets all of it: nothing is dialed again.
    pub(super) fn close(&mut self, cx: &mut Cx<'_>) {
        if let Some(conn) = self.conn {
            cx.hang_up(conn);
        }
        *self = Line::default();
    }

    pub(super) fn send(&self, cx: &mut Cx<'_>, because: Because, message: Message) {
        if let Some(conn) = self.conn {
            cx.send(because, conn, message);
        }
    }

    pub(super) fn due(&self) -> Option<Now> {
        self.retry_at
    }

    /// It is time to dial again.
    pub(super) fn is_due(&mut self, now: Now) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }
}
