//! The peer and the warehouse: its session, the control stream, and what of the ledger it has seen.
//!
//! The session is opened first, and again after each break of the control stream, since the warehouse may have been
//! restored from a backup meanwhile. Nothing else is asked of the warehouse before.

use super::*;
use crate::limits::{BACKOFF_MAX, LEDGER_SEEN_EVERY_MS};
use crate::wire::client::Node;
use crate::wire::status::{OLDER_COPY, OTHER_CLUSTER};

impl Loop {
    /// Opens the own session, or hears that it is open: the first thing that is asked of the warehouse, and again when
    /// the control stream broke, since another ledger may be in its place by then.
    pub(super) fn open_session(&mut self) {
        if self.control.dialed.is_some() || std::mem::replace(&mut self.opening, true) {
            return;
        }
        let (addr, deadline) = (self.warehouse.clone(), self.dialer.deadline);
        let (store, cluster) = (self.me.token.store_id(), self.me.cluster.clone());
        let (peer, generation) = (self.me.id, self.ledger_seen.0);
        let open = async move {
            Node::connect(&addr, deadline).await?.open(peer, store, &cluster, generation).await
        };
        self.call(open, Came::Opened);
    }

    pub(super) fn session_opened(&mut self, result: Result<OpenAnswer, CallError>) {
        self.opening = false;
        let answer = match result {
            Ok(answer) => answer,
            Err(CallError::Refused { reason, text }) if reason == OTHER_CLUSTER => {
                tracing::error!(text, "the warehouse is another market's");
                eprintln!(
                    "error: {text}\n  hint: name this market's warehouse with --warehouse, or another --data-dir"
                );
                std::process::exit(7);
            }
            Err(CallError::Refused { reason, text }) if reason == OLDER_COPY => {
                tracing::error!(text, "the warehouse is an older copy; this peer waits for the right one");
                // It may not believe a word of ours before it has seen our token.
                return self.dial_control();
            }
            Err(error) => {
                self.open_backoff_ms = next_backoff(self.open_backoff_ms);
                tracing::info!(%error, "the session could not be opened yet");
                return self.timer(self.open_backoff_ms, Timer::Open);
            }
        };
        self.open_backoff_ms = 0;
        self.clock.adopt(answer.clock);
        self.trusted_clock = self.clock.now();
        let (peer, epoch) = (answer.opened.peer, answer.opened.epoch);
        if answer.opened.is_ahead_of(self.state.last) {
            return self.be_reborn(answer.opened.highest);
        }
        self.me.epoch = epoch;
        self.live_in(epoch);
        if self.state.opened != Some((peer, epoch)) {
            self.record(Entry::Opened { peer, epoch });
        }
        self.enter_generation(answer.generation);
        if !std::mem::replace(&mut self.session_open, true) {
            self.dial_neighbours();
        }
        self.adopt_roster(answer.roster);
        // The roster may have come from another peer before: then it is no news, and the way home was not open yet.
        self.go_home();
        self.timer(0, Timer::HandOver);
        self.dial_control();
    }

    /// A store that replaced a lost one learns its epoch late. Without it in the process id this first start would rank
    /// below the lost store's later ones, and everybody would go on asking for the dead process at its address.
    fn live_in(&mut self, epoch: Epoch) {
        if self.me.process.epoch == epoch {
            return;
        }
        self.me.process.epoch = epoch;
        self.membership.set_own_process(self.now, self.me.process);
        self.links.news.insert(self.me.id, self.me.id);
        self.spread_news();
    }

    /// The warehouse was restored from a backup: what this peer has seen of the ledger may be gone, and its session is
    /// another. Its open orders are asked again; those of terms that ended with it go to their present homes.
    fn enter_generation(&mut self, generation: u64) {
        if generation == self.ledger_seen.0 {
            return;
        }
        tracing::warn!(generation, epoch = %self.me.epoch, "the warehouse was restored; this peer goes on with a new session");
        self.ledger_seen = (generation, Seq(0), Hash::default());
        self.keep_ledger_seen();
        self.cache.iter_mut().for_each(|(_, seq)| *seq = Seq(0));
        self.leave_home();
    }

    /// The warehouse has decided numbers that this store never placed: it is an old copy. A new token makes it a new
    /// store, hence a new epoch, so that no number is used twice.
    fn be_reborn(&mut self, highest: Number) {
        tracing::error!(%highest, last = %self.state.last, "this store is an old copy: it takes a new session");
        match super::super::boot::new_token() {
            Ok(token) => {
                self.me.token = token;
                self.put_meta(super::super::boot::TOKEN, token.0.to_vec());
                self.timer(0, Timer::Open);
            }
            Err(error) => {
                tracing::error!(%error, "no randomness for a token");
                self.timer(BACKOFF_MAX.as_millis() as u64, Timer::Open);
            }
        }
    }

    fn dial_control(&mut self) {
        if self.control.dialed.is_some() {
            return;
        }
        self.shown = self.ledger_seen.1;
        let up = ControlUp {
            clock: self.clock.tick(),
            hello: Some(Box::new(self.hello(true))),
            heartbeat_answer: 0,
        };
        let addr = self.warehouse.clone();
        self.control.set(self.dialer.control(&addr, up));
    }

    pub(super) fn control_event(&mut self, event: StreamEvent<ControlDown>) {
        match event {
            StreamEvent::Up(_) => {}
            StreamEvent::Message(conn, down) if self.control.is(conn) => self.heard_warehouse(down),
            StreamEvent::Lost { conn, why, .. } if self.control.is(conn) => {
                tracing::info!(why, "the control stream to the warehouse broke");
                self.lost_control();
            }
            StreamEvent::Message(..) | StreamEvent::Lost { .. } => {}
        }
    }

    fn lost_control(&mut self) {
        let wait = self.control.lost();
        self.timer(wait, Timer::Open);
    }

    /// Whether the ledger is the one that this peer had seen up to `shown` when it dialed, or goes on from there; if not,
    /// nothing is said or heard on that stream.
    pub(super) fn trusts(&self, hello: &Hello, shown: Seq) -> bool {
        let own = (self.ledger_seen.0, shown);
        let trusts = hello.generation == own.0 && hello.ledger.0 >= own.1;
        if (hello.generation, hello.ledger.0) < own {
            tracing::error!(
                generation = hello.generation, seq = %hello.ledger.0, seen = ?own,
                "the warehouse's ledger lacks what this peer has seen of it: an older copy"
            );
        }
        trusts
    }

    fn heard_warehouse(&mut self, down: ControlDown) {
        if down.hello.as_ref().is_some_and(|hello| !self.trusts(hello, self.shown)) {
            return self.lost_control();
        }
        self.hear(down.clock);
        if let Some(hello) = down.hello {
            self.control.came_up();
            self.control.works();
            self.saw_ledger(hello.ledger);
            self.timer(0, Timer::Offices);
        }
        for session in down.sessions {
            self.know(session);
        }
        if let Some(roster) = down.roster {
            self.adopt_roster(*roster);
        }
        if down.heartbeat != 0
            && let Some(outbox) = self.control.outbox().cloned()
        {
            self.keep_ledger_seen();
            let clock = self.clock.tick();
            self.hold(Out::Control(
                outbox,
                ControlUp { clock, hello: None, heartbeat_answer: down.heartbeat },
            ));
        }
    }

    /// Remembers what the ledger durably holds: shown in hellos, so that an older copy of it is found out. Kept in the
    /// journal about once a heartbeat, not per batch.
    pub(super) fn saw_ledger(&mut self, ledger: (Seq, Hash)) {
        if ledger.0 > self.ledger_seen.1 {
            (self.ledger_seen.1, self.ledger_seen.2) = ledger;
        }
    }

    /// With entries that are written anyway, so that an older copy of the ledger is found out even by a market that was
    /// killed and started again.
    pub(super) fn keep_ledger_seen_now_and_then(&mut self) {
        if !self.entries.is_empty() && self.now.ms_since(self.ledger_kept) >= LEDGER_SEEN_EVERY_MS {
            self.keep_ledger_seen();
        }
    }

    /// The state changes with the journal, never before it: a checkpoint is the fold of what was journaled.
    pub(super) fn keep_ledger_seen(&mut self) {
        self.ledger_kept = self.now;
        if self.ledger_seen != self.state.ledger_seen {
            let (generation, seq, hash) = self.ledger_seen;
            self.record(Entry::LedgerSeen { generation, seq, hash });
        }
    }
}
