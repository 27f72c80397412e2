//! The peer and the warehouse: its session and its control stream.
//!
//! The session is opened first, and again after each break of the control stream, since the warehouse may have been
//! restored from a backup meanwhile. Nothing else is asked of the warehouse before.

use super::facts::{Cx, Purpose};
use super::line::Line;
use crate::model::backoff::Backoff;
use crate::model::call::{Answer, Ask, CallError, Cause, OpenAnswer, Opening};
use crate::model::evidence::Seen;
use crate::model::message::{ControlDown, ControlUp, Message};
use crate::model::peer::entry::Entry;
use crate::model::step::{Because, ConnId, Effect, Exit};
use crate::types::{Epoch, Generation, Now, Seq};

/// See the module's text.
pub(super) struct Session {
    /// This process has begun.
    begun: bool,
    /// The session is being asked for.
    opening: bool,
    /// A new token is being stored. Until it is there nothing is asked: the answer would be of the store as it was.
    renewing: bool,
    backoff: Backoff,
    /// When it is to be asked for.
    open_at: Option<Now>,
    control: Line,
    /// The warehouse is asked again because of what others show: from when it may be, and whether it is to be then.
    hints: Backoff,
    hint_not_before: Now,
    hinted: bool,
    /// What was seen of the ledger when the warehouse was last heard, until its session is open again. If an older copy
    /// came in its place meanwhile, what traders tell of that goes further; this is what it lacks.
    away: Option<Seen>,
    /// Sequence of the ledger that was shown on the control stream: a warehouse that ends before it is an older copy.
    shown: Seq,
}

impl Session {
    pub(super) fn new(now: Now) -> Session {
        let (backoff, control) = (Backoff::default(), Line::default());
        let (hints, hint_not_before, hinted) = (Backoff::default(), now, false);
        Session {
            begun: false,
            opening: false,
            renewing: false,
            backoff,
            open_at: Some(now),
            control,
            hints,
            hint_not_before,
            hinted,
            away: None,
            shown: Seq(0),
        }
    }

    pub(super) fn due(&self) -> Option<Now> {
        let hint = (self.hinted && !self.is_asking()).then_some(self.hint_not_before);
        self.open_at.into_iter().chain(self.control.due()).chain(hint).min()
    }

    pub(super) fn wake(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now();
        if !std::mem::replace(&mut self.begun, true) {
            end_inherited_term(cx);
        }
        if self.open_at.take_if(|at| *at <= now).is_some() | self.control.is_due(now) {
            self.open(cx);
        }
        self.follow_hint(cx);
    }

    /// Another node shows newer offices: the warehouse is asked at once, and again after ever longer waits as long as
    /// what others show is not what it says. So nobody makes this peer ask without end.
    pub(super) fn hint(&mut self, cx: &mut Cx<'_>) {
        self.hinted = cx.state.opened.is_some();
        self.follow_hint(cx);
    }

    fn follow_hint(&mut self, cx: &mut Cx<'_>) {
        // One that comes while the warehouse is being asked may tell of something that it was not shown.
        if self.hinted && !self.is_asking() && cx.now() >= self.hint_not_before {
            self.hinted = false;
            self.hint_not_before = cx.now().after_ms(self.hints.next_ms());
            self.ask(cx);
        }
    }

    fn is_asking(&self) -> bool {
        self.opening || self.renewing
    }

    /// The warehouse has said newer offices: the next hint is the first one again.
    pub(super) fn offices_told(&mut self) {
        (self.hinted, self.hints) = (false, Backoff::default());
    }

    /// Tells the warehouse that this peer goes for good; false if it cannot be told.
    pub(super) fn say_leaving(&mut self, cx: &mut Cx<'_>) -> bool {
        let up = ControlUp { clock: cx.clock.tick(), leaving: true, ..ControlUp::default() };
        self.control.send(cx, Because::TellsNothing, Message::ControlUp(up));
        cx.present
    }

    /// Opens the session, or hears that it is open.
    fn open(&mut self, cx: &mut Cx<'_>) {
        if !self.control.is_dialed() {
            self.ask(cx);
        }
    }

    /// Asks for the session, whether or not it is open: the answer has the offices, too.
    fn ask(&mut self, cx: &mut Cx<'_>) {
        if self.renewing || std::mem::replace(&mut self.opening, true) {
            return;
        }
        let (peer, store) = (cx.me.id, cx.me.secret.store_id());
        let (cluster, generation) = (cx.me.cluster.clone(), cx.ledger_seen.generation);
        // What others have shown goes once: a forged proof would stand before all others for ever.
        let own = cx.ledger_seen;
        let others = || cx.others_seen.take().filter(|seen| seen.tells_more_than(&own));
        let away = self.away.filter(|away| away.generation == own.generation);
        let seen = away.or_else(others).unwrap_or(own);
        let seen = Some(Box::new(seen)).filter(|seen| seen.seq > Seq(0));
        let licence = cx.state.licence.map(Box::new);
        let opening = Opening { peer, store, cluster, generation, seen, licence };
        cx.call_warehouse(Purpose::Open, Ask::Open(opening));
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
                    Err(why) => tracing::info!(%why, "the session could not be opened yet"),
                    Ok(_) => tracing::warn!("the warehouse answers another question than was asked"),
                }
                self.open_at = Some(cx.now().after_ms(self.backoff.next_ms()));
            }
        }
    }

    fn enter(&mut self, cx: &mut Cx<'_>, answer: OpenAnswer) {
        let (theirs, seen) = (answer.generation, cx.ledger_seen.generation);
        if theirs.rivals(seen) {
            tracing::error!("the warehouse is not believed: {}", theirs.rival(seen));
            self.open_at = Some(cx.now().after_ms(self.backoff.next_ms()));
            return;
        }
        self.backoff.reset();
        self.away = None;
        cx.adopt_clock(answer.clock);
        let (peer, epoch) = (answer.opened.peer, answer.opened.epoch);
        if answer.opened.is_ahead_of(cx.state.last) {
            let highest = answer.opened.highest;
            tracing::error!(%highest, last = %cx.state.last, "this store is an old copy: it takes a new session");
            return self.renew(cx);
        }
        live_in(cx, epoch);
        if cx.state.opened != Some((peer, epoch)) {
            cx.record(Entry::Opened { peer, epoch });
        }
        if answer.generation != cx.ledger_seen.generation && self.control.is_dialed() {
            // It leads to the warehouse as it was before.
            cx.present = false;
            self.control.close(cx);
        }
        enter_generation(cx, answer.generation, answer.seen);
        (cx.session_open, cx.news.session) = (true, true);
        cx.told_roster(answer.roster);
        self.dial_control(cx);
    }

    /// A new token makes this a new store, whose numbers count from 1 in a later epoch, so that none is used twice. The
    /// control stream goes first: while it is up the warehouse takes no other store for this peer's.
    fn renew(&mut self, cx: &mut Cx<'_>) {
        (cx.session_open, cx.present) = (false, false);
        self.control.close(cx);
        self.renewing = true;
        cx.turn.at_once(Because::TellsNothing, Effect::RenewToken);
    }

    /// Once a turn. The numbers of the epoch are spent and none of them is open. In office it waits: a new session would
    /// end the term, and a trader places nothing.
    pub(super) fn renew_when_spent(&mut self, cx: &mut Cx<'_>) {
        let spent = cx.state.numbers_left(cx.me.epoch) == 0 && cx.state.open.is_empty();
        // An answer that is under way is of the store as it was.
        if !spent || self.opening || !cx.session_open || cx.state.grant.is_some() || cx.is_going() {
            return;
        }
        tracing::warn!(last = %cx.state.last, "the numbers of this epoch are spent: this store takes a new session");
        self.renew(cx);
    }

    /// The store has another token: as a new store it asks for a session of its own.
    pub(super) fn token_came(&mut self, cx: &mut Cx<'_>) {
        self.renewing = false;
        self.open_at = Some(cx.now());
    }

    // ---- the control stream

    fn dial_control(&mut self, cx: &mut Cx<'_>) {
        if self.control.is_dialed() {
            return;
        }
        self.shown = cx.ledger_seen.seq;
        let warehouse = cx.at_warehouse();
        self.control.dial_proven(cx, &warehouse, |cx, hello| {
            let (clock, hello) = (cx.clock.tick(), Some(hello));
            Message::ControlUp(ControlUp { clock, hello, ..ControlUp::default() })
        });
    }

    pub(super) fn is(&self, conn: ConnId) -> bool {
        self.control.is(conn)
    }

    pub(super) fn ended(&mut self, cx: &mut Cx<'_>, why: &str) {
        tracing::info!(why, "the control stream to the warehouse broke");
        cx.present = false;
        self.away = self.away.or(Some(cx.ledger_seen).filter(|seen| seen.seq > Seq(0)));
        self.control.ended(cx.now());
    }

    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, down: ControlDown) {
        if down.hello.as_ref().is_some_and(|hello| !cx.trusts(hello, self.shown)) {
            cx.present = false;
            return self.control.cut(cx);
        }
        cx.hear_warehouse(down.clock);
        if let Some(hello) = down.hello {
            if !self.control.came_up() {
                cx.present = false;
                return self.control.cut(cx);
            }
            self.control.works();
            cx.present = true;
            cx.saw_ledger(hello.seen());
            cx.news.offices = true;
        }
        cx.news.introduced.extend(down.introduced);
        for session in down.sessions {
            cx.know(session);
        }
        // Otherwise a peer that was told of offices, and of nothing else, waits for ever for a roster beyond one that an
        // older copy of the ledger lacks, and cannot show what is missing.
        if let Some(seen) = down.seen {
            cx.saw_ledger(*seen);
        }
        if let Some(roster) = down.roster {
            cx.told_roster(*roster);
        }
        if down.heartbeat != 0 {
            self.answer_heartbeat(cx, down.heartbeat);
        }
    }

    /// The answer is held like any effect, so that a peer with a stuck disk falls silent.
    fn answer_heartbeat(&mut self, cx: &mut Cx<'_>, heartbeat: u64) {
        cx.keep_ledger_seen();
        let up = ControlUp { clock: cx.clock.tick(), heartbeat_answer: heartbeat, ..ControlUp::default() };
        if let Some(conn) = self.control.conn() {
            cx.turn.hold(Effect::Send(conn, Message::ControlUp(up)));
        }
    }

    #[cfg(test)]
    pub(super) fn conns(&self) -> impl Iterator<Item = ConnId> {
        self.control.conn().into_iter()
    }
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
fn enter_generation(cx: &mut Cx<'_>, generation: Generation, seen: Option<Box<Seen>>) {
    if generation == cx.ledger_seen.generation {
        return;
    }
    let epoch = cx.me.epoch;
    match cx.ledger_seen.seq {
        Seq(0) => tracing::info!(%generation, "this market's warehouse was restored, before this peer came"),
        _ => {
            tracing::warn!(%generation, %epoch, "the warehouse was restored; this peer goes on with a new session")
        }
    }
    // With a proof, so that the generation is no bare claim where this peer meets a rival of it.
    let shown = seen.filter(|seen| seen.generation == generation);
    cx.ledger_seen = shown.map_or(Seen { generation, ..Seen::default() }, |seen| *seen);
    cx.keep_ledger_seen();
    cx.news.generation = true;
}

#[cfg(test)]
mod tests;
