//! The peer and the warehouse: its session and its control stream.
//!
//! The session is opened first, and again after each break of the control stream, since the warehouse may have been
//! restored from a backup meanwhile. Nothing else is asked of the warehouse before.

use super::facts::{Cx, Purpose};
use super::line::Line;
use crate::model::backoff::Backoff;
use crate::model::call::{Answer, Ask, CallError, Cause, OpenAnswer, Opening};
use crate::model::message::{ControlDown, ControlUp, Message};
use crate::model::peer::entry::Entry;
use crate::model::step::{Because, ConnId, Effect, Exit};
use crate::types::{Epoch, Generation, Hash, Now, Number, Seq};

/// See the module's text.
pub(super) struct Session {
    /// This process has begun.
    begun: bool,
    /// The session is being asked for.
    opening: bool,
    backoff: Backoff,
    /// When it is to be asked for.
    open_at: Option<Now>,
    control: Line,
    /// Sequence of the ledger that was shown on the control stream: a warehouse that ends before it is an older copy.
    shown: Seq,
}

impl Session {
    pub(super) fn new(now: Now) -> Session {
        let (backoff, control) = (Backoff::default(), Line::default());
        Session { begun: false, opening: false, backoff, open_at: Some(now), control, shown: Seq(0) }
    }

    pub(super) fn due(&self) -> Option<Now> {
        self.open_at.into_iter().chain(self.control.due()).min()
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        if !std::mem::replace(&mut self.begun, true) {
            end_inherited_term(cx);
        }
        if self.open_at.take_if(|at| *at <= now).is_some() | self.control.is_due(now) {
            self.open(cx);
        }
    }

    /// Opens the session, or hears that it is open.
    fn open(&mut self, cx: &mut Cx<'_>) {
        if self.control.is_dialed() || std::mem::replace(&mut self.opening, true) {
            return;
        }
        let (peer, store) = (cx.me.id, cx.me.token.store_id());
        let (cluster, generation) = (cx.me.cluster.clone(), cx.ledger_seen.0);
        cx.call_warehouse(Purpose::Open, Ask::Open(Opening { peer, store, cluster, generation }));
    }

    pub(super) fn opened(&mut self, cx: &mut Cx<'_>, result: Result<Answer, CallError>) {
        self.opening = false;
        match result {
            Ok(Answer::Opened(answer)) => self.enter(cx, *answer),
            Err(CallError::Refused { cause: Cause::OtherCluster, text }) => {
                let hint = "name this market's warehouse with --warehouse, or another --data-dir".to_owned();
                let exit = Exit { code: 7, what: text, hint };
                cx.turn.at_once(Because::TellsNothing, Effect::Exit(exit));
            }
            Err(CallError::Refused { cause: Cause::OlderCopy, text }) => {
                tracing::error!(text, "the warehouse is an older copy; this peer waits for the right one");
                // An older copy may not know this peer's session: only the token in a hello convinces it.
                self.dial_control(cx);
            }
            other => {
                match &other {
                    // It asks on: the warehouse may be mended, or taken to another build, under this peer.
                    Err(CallError::Refused { text, .. }) => {
                        tracing::warn!(text, "the warehouse opens no session for this store");
                    }
                    other => tracing::info!(?other, "the session could not be opened yet"),
                }
                self.open_at = Some(cx.now().after_ms(self.backoff.next_ms()));
            }
        }
    }

    fn enter(&mut self, cx: &mut Cx<'_>, answer: OpenAnswer) {
        let (theirs, seen) = (answer.generation, cx.ledger_seen.0);
        if theirs.rivals(seen) {
            tracing::error!("the warehouse is not believed: {}", theirs.rival(seen));
            self.open_at = Some(cx.now().after_ms(self.backoff.next_ms()));
            return;
        }
        self.backoff.reset();
        cx.adopt_clock(answer.clock);
        let (peer, epoch) = (answer.opened.peer, answer.opened.epoch);
        if answer.opened.is_ahead_of(cx.state.last) {
            return be_reborn(cx, answer.opened.highest);
        }
        live_in(cx, epoch);
        if cx.state.opened != Some((peer, epoch)) {
            cx.record(Entry::Opened { peer, epoch });
        }
        enter_generation(cx, answer.generation);
        (cx.session_open, cx.news.session) = (true, true);
        cx.hear_roster(answer.roster);
        self.dial_control(cx);
    }

    /// Once a turn. The numbers of the epoch are spent and none of them is open: a new token makes this a new store, whose
    /// numbers count from 1 in a later epoch. The control stream goes first: while it is up the warehouse takes no other
    /// store for this peer's. In office it waits: a new session would end the term, and a trader places nothing.
    pub(super) fn renew_when_spent(&mut self, cx: &mut Cx<'_>) {
        let spent = cx.state.numbers_left(cx.me.epoch) == 0 && cx.state.open.is_empty();
        if !spent || !cx.session_open || cx.state.grant.is_some() || cx.is_going() {
            return;
        }
        tracing::warn!(last = %cx.state.last, "the numbers of this epoch are spent: this store takes a new session");
        (cx.session_open, cx.present) = (false, false);
        self.control.cut(cx);
        cx.turn.at_once(Because::TellsNothing, Effect::RenewToken);
    }

    /// The store has another token: as a new store it asks for a session of its own.
    pub(super) fn token_came(&mut self, cx: &mut Cx<'_>) {
        self.open_at = Some(cx.now());
    }

    // ---- the control stream

    fn dial_control(&mut self, cx: &mut Cx<'_>) {
        if self.control.is_dialed() {
            return;
        }
        self.shown = cx.ledger_seen.1;
        let up = ControlUp { clock: cx.clock.tick(), hello: Some(cx.first_hello(true)), heartbeat_answer: 0 };
        let addr = cx.warehouse.clone();
        self.control.dial(cx, &addr, Message::ControlUp(up));
    }

    pub(super) fn is(&self, conn: ConnId) -> bool {
        self.control.is(conn)
    }

    pub(super) fn ended(&mut self, cx: &mut Cx<'_>, why: &str) {
        tracing::info!(why, "the control stream to the warehouse broke");
        cx.present = false;
        self.control.ended(cx.now());
    }

    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, down: ControlDown) {
        if down.hello.as_ref().is_some_and(|hello| !cx.trusts(hello, self.shown)) {
            cx.present = false;
            return self.control.cut(cx);
        }
        cx.hear(down.clock);
        if let Some(hello) = down.hello {
            self.control.came_up();
            self.control.works();
            cx.present = true;
            cx.saw_ledger(hello.ledger);
            cx.news.offices = true;
        }
        for session in down.sessions {
            cx.know(session);
        }
        if let Some(roster) = down.roster {
            cx.hear_roster(*roster);
        }
        if down.heartbeat != 0 {
            self.answer_heartbeat(cx, down.heartbeat);
        }
    }

    /// The answer is held like any effect, so that a peer with a stuck disk falls silent.
    fn answer_heartbeat(&mut self, cx: &mut Cx<'_>, heartbeat: u64) {
        cx.keep_ledger_seen();
        let up = ControlUp { clock: cx.clock.tick(), hello: None, heartbeat_answer: heartbeat };
        if let Some(conn) = self.control.conn() {
            cx.turn.hold(Effect::Send(conn, Message::ControlUp(up)));
        }
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.control.conn().into_iter()
    }
}

/// The warehouse has decided numbers that this store never placed: it is an old copy. A new token makes it a new store,
/// hence a new epoch, so that no number is used twice.
fn be_reborn(cx: &mut Cx<'_>, highest: Number) {
    tracing::error!(%highest, last = %cx.state.last, "this store is an old copy: it takes a new session");
    cx.turn.at_once(Because::TellsNothing, Effect::RenewToken);
}

/// A term lives in one process, so the one that an earlier process of this store held is over, whatever the warehouse
/// knows by now; it ends the term when it sees this process (the hello on Control). What was taken under it goes to its
/// home of today. Otherwise this process would count as a trader, without a desk, until it hears a roster.
fn end_inherited_term(cx: &mut Cx<'_>) {
    if let Some((_, term)) = cx.state.grant.filter(|grant| cx.granted() != Some(*grant)) {
        cx.record(Entry::Ended { term });
    }
}

/// A store that replaced a lost one learns its epoch late. Without it in the process id this first start would rank
/// below the lost store's later ones, and everybody would go on asking for the dead process at its address.
fn live_in(cx: &mut Cx<'_>, epoch: Epoch) {
    cx.me.epoch = epoch;
    if cx.me.process.epoch == epoch {
        return;
    }
    cx.me.process.epoch = epoch;
    let (now, process) = (cx.now(), cx.me.process);
    cx.membership.set_own_process(now, process);
    cx.news.process = true;
}

/// The warehouse was restored from a backup: what this peer has seen of the ledger may be gone, and its session is
/// another. Its open orders are asked again; those of terms that ended with it go to their present homes.
fn enter_generation(cx: &mut Cx<'_>, generation: Generation) {
    if generation == cx.ledger_seen.0 {
        return;
    }
    tracing::warn!(%generation, epoch = %cx.me.epoch, "the warehouse was restored; this peer goes on with a new session");
    cx.ledger_seen = (generation, Seq(0), Hash::default());
    cx.keep_ledger_seen();
    cx.news.generation = true;
}

#[cfg(test)]
mod tests;
