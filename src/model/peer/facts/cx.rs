//! One step's view of a peer: recording, and what leaves.

use std::ops::{Deref, DerefMut};

use super::{Facts, Purpose};
use crate::model::call::{Answer, Ask, Refusal, SessionInfo};
use crate::model::evidence::Seen;
use crate::model::fold::Fold as _;
use crate::model::happening::What;
use crate::model::message::Message;
use crate::model::peer::entry::Entry;
use crate::model::step::{Because, ConnId, Effect, ReplyId, Turn};

/// One step's view: the facts, and where records and effects go.
pub(in crate::model::peer) struct Cx<'a> {
    pub(in crate::model::peer) facts: &'a mut Facts,
    pub(in crate::model::peer) turn: &'a mut Turn<Entry>,
}

impl Deref for Cx<'_> {
    type Target = Facts;
    fn deref(&self) -> &Facts {
        self.facts
    }
}

impl DerefMut for Cx<'_> {
    fn deref_mut(&mut self) -> &mut Facts {
        self.facts
    }
}

impl Cx<'_> {
    /// Applies an entry now; it becomes durable with this turn, or later if nobody waits for it.
    pub(in crate::model::peer) fn record(&mut self, entry: Entry) {
        let (seq, time) = (self.state.seq.next(), self.at.time);
        self.facts.state.apply(seq, time, &entry);
        self.facts.tells_early |= matches!(entry, Entry::Tentative(_));
        match entry {
            Entry::Answered { .. }
            | Entry::Settled { .. }
            | Entry::HandedOver { .. }
            | Entry::LedgerSeen { .. }
            | Entry::Trimmed { .. }
            | Entry::AskedAgain { .. } => self.turn.record_lazily(entry),
            entry => self.turn.record(entry),
        }
    }

    /// A session as the warehouse told it. It is journaled, so that a restarted trader knows the peers that it serves;
    /// who held an office is asked again when it matters.
    pub(in crate::model::peer) fn know(&mut self, session: SessionInfo) {
        let SessionInfo { peer, epoch, store, held_office } = session;
        if held_office {
            self.holders.insert(peer);
        }
        if self.state.known.get(&peer) != Some(&(epoch, store)) {
            self.record(Entry::Known { peer, epoch, store });
        }
    }

    /// The journal learns what the ledger held. The state changes with the journal, never before it: a checkpoint is
    /// the fold of what was journaled.
    pub(in crate::model::peer) fn keep_ledger_seen(&mut self) {
        self.ledger_kept = self.now();
        if self.ledger_seen != self.state.ledger_seen {
            let Seen { generation, seq, hash, proof } = self.ledger_seen;
            self.record(Entry::LedgerSeen { generation, seq, hash, proof: proof.map(Box::new) });
        }
    }

    // ---- effects

    /// Dials with a first message that shows no token.
    pub(in crate::model::peer) fn dial(&mut self, addr: &str, first: Message) -> ConnId {
        let conn = self.turn.conn();
        let addr = addr.to_owned();
        self.turn.at_once(Because::TellsNothing, Effect::Dial { conn, addr, first });
        conn
    }

    pub(in crate::model::peer) fn send(&mut self, because: Because, conn: ConnId, message: Message) {
        self.turn.at_once(because, Effect::Send(conn, message));
    }

    pub(in crate::model::peer) fn hang_up(&mut self, conn: ConnId) {
        self.turn.at_once(Because::TellsNothing, Effect::HangUp(conn));
    }

    /// Calls the warehouse; `purpose` says which room gets the answer.
    pub(in crate::model::peer) fn call_warehouse(&mut self, purpose: Purpose, ask: Ask) {
        let addr = self.warehouse.clone();
        self.call(purpose, addr, ask);
    }

    pub(in crate::model::peer) fn call(&mut self, purpose: Purpose, addr: String, ask: Ask) {
        let call = self.turn.call();
        self.calls.insert(call, purpose);
        self.turn.at_once(Because::TellsNothing, Effect::Call { call, addr, ask });
    }

    /// Answers when what was recorded before is durable.
    pub(in crate::model::peer) fn reply(&mut self, reply: ReplyId, answer: Result<Answer, Refusal>) {
        self.turn.hold(Effect::Reply(reply, answer));
    }

    /// Tells what the warehouse has journaled.
    pub(in crate::model::peer) fn reply_at_once(&mut self, reply: ReplyId, answer: Result<Answer, Refusal>) {
        self.turn.at_once(Because::Journaled, Effect::Reply(reply, answer));
    }

    pub(in crate::model::peer) fn happen(&mut self, what: What) {
        self.turn.at_once(Because::TellsNothing, Effect::Happen(what));
    }

    pub(in crate::model::peer) fn say(&mut self, line: String) {
        tracing::info!("{line}");
        self.happen(What::Line(line));
    }
}
