//! The one loop: gives a machine its turns, its records to the journal, and its effects to a port when they may leave.
//!
//! A turn is what became durable, up to [`STEP_INPUTS_MAX`] inputs that are ready, and the end of the turn; its records
//! are one step of the journal. An effect waits for the ticket of the last step that has a record which stands before
//! it. Without that: a number is decided in a staged group, asked again through another path, answered from the session,
//! power fails, and somebody was told what never was. [`Driver`] itself knows no thread and no runtime: [`run`] waits for
//! it, and so does a simulator.

use tokio::sync::{mpsc, watch};

use super::held::Held;
use super::life::Stop;
use super::port::Port;
use super::{Stopwatch, wall_now};
use crate::journal::{Durable, Journal, Reader, Step, Ticket, Urgency};
use crate::limits::{CLOCK_RESERVE, STAGED_RECORDS_MAX, STEP_INPUTS_MAX, STEP_ORDERS_MAX};
use crate::model::call::Answer;
use crate::model::fold::Fold;
use crate::model::report::Report;
use crate::model::step::{At, Effect, Exit, Input, Machine, Numbers, Past, Turn, When};
use crate::types::{Hash, Now, Seq, Stamp, Token};

/// Name in `meta` of a token that replaced the store's first one.
pub(crate) const TOKEN: &str = "token";

type Record<M> = <<M as Machine>::State as Fold>::Record;

/// See the module's text.
pub struct Driver<M: Machine, P: Port> {
    machine: M,
    port: P,
    journal: Journal<M::State>,
    durable: watch::Receiver<Durable>,
    turn: Turn<Record<M>>,
    held: Held<Effect>,
    /// The ticket of the last step that was staged.
    ticket: Ticket,
    /// The machine's clock at that step: a leap since then is reserved on disk before it is shown.
    staged_clock: Stamp,
    /// Until this ticket is durable nothing leaves: a leap of the clock waits for it, or something that must not
    /// overtake the leap.
    leap: Ticket,
    /// What waited for this ticket, or an earlier one, has left.
    released: Ticket,
    /// What the machine was last told.
    told: Seq,
    /// A new token, which counts when its ticket is durable.
    renewing: Option<(Ticket, Token)>,
    sent: u64,
}

impl<M: Machine, P: Port> Driver<M, P> {
    /// A driver over a recovered machine. The port numbers the streams that it accepts with a copy of `numbers`.
    pub(crate) fn new(machine: M, journal: Journal<M::State>, port: P, numbers: Numbers) -> Driver<M, P> {
        Driver {
            durable: journal.durable(),
            turn: Turn::new(numbers, Box::new(Log(journal.reader()))),
            held: Held::default(),
            ticket: Ticket(0),
            leap: Ticket(0),
            released: Ticket(0),
            staged_clock: machine.clock(),
            told: journal.reader().durable().seq,
            renewing: None,
            sent: 0,
            machine,
            port,
            journal,
        }
    }

    /// The machine, to look at.
    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    /// One turn: `first`, then whatever `more` gives, within the bounds of a turn.
    pub(crate) fn turn(
        &mut self,
        at: At,
        first: Option<Input>,
        mut more: impl FnMut() -> Option<P::Arrival>,
    ) {
        let at = At { disk_low: self.journal.disk_low(), watched: self.port.is_watched(), ..at };
        self.tell_durable(at);
        let (mut next, mut orders) = (first, 0);
        for _ in 0..STEP_INPUTS_MAX {
            if let Some(input) = next.take() {
                orders += input.orders();
                self.machine.step(at, input, &mut self.turn);
            }
            if orders >= STEP_ORDERS_MAX {
                break;
            }
            let Some(arrival) = more() else { break };
            next = self.port.arrive(arrival);
        }
        if let Some(input) = next {
            self.machine.step(at, input, &mut self.turn);
        }
        self.machine.end_turn(at, &mut self.turn);
        self.finish(at);
        self.release();
    }

    /// What is durable comes first: the other inputs of the turn may rest on it.
    fn tell_durable(&mut self, at: At) {
        let durable = *self.durable.borrow_and_update();
        if durable.seq > self.told {
            self.told = durable.seq;
            self.port.synced(durable.seq);
            self.machine.step(at, Input::Durable(durable.seq), &mut self.turn);
        }
        if let Some((_, token)) = self.renewing.take_if(|(ticket, _)| *ticket <= durable.ticket) {
            self.machine.step(at, Input::Token(token), &mut self.turn);
        }
    }

    /// Stages the turn's records, and lets go of what need not wait for them.
    fn finish(&mut self, at: At) {
        let before = self.ticket;
        let (records, urgent) = self.turn.take_records();
        records.iter().for_each(|record| self.port.staged(record));
        let clock = self.machine.clock();
        let leaps = clock.0 - self.staged_clock.0 > CLOCK_RESERVE / 4;
        if leaps || !records.is_empty() {
            let urgency = if urgent || leaps { Urgency::Now } else { Urgency::Lazy };
            self.ticket = self.journal.stage(Step { records, time: at.time, clock, urgency });
            self.staged_clock = clock;
        }
        self.release();
        if leaps || self.leap > self.released {
            self.leap = self.ticket;
        }
        let mut effects = self.turn.take_effects();
        for (when, effect) in effects.drain(..) {
            match when {
                // A clock that leapt has no reserve on disk yet, so no effect that may show it leaves; and what is said
                // later must not overtake what was said before.
                _ if self.leap > self.released => self.held.until(self.ticket, effect),
                When::Now(_) => self.leave(effect),
                When::Before => self.held.until(before, effect),
                When::ThisTurn => self.held.until(self.ticket, effect),
            }
        }
        self.turn.give_room(effects);
        if self.journal.checkpoint_due() {
            self.journal.checkpoint(self.machine.state().parts());
        }
    }

    fn release(&mut self) {
        self.released = self.durable.borrow().ticket;
        while let Some(effect) = self.held.release(self.released) {
            self.leave(effect);
        }
    }

    fn leave(&mut self, mut effect: Effect) {
        match &mut effect {
            Effect::Send(..) | Effect::Dial { .. } => self.sent += 1,
            Effect::Reply(_, Ok(Answer::Status(report))) => self.complete(report),
            Effect::RenewToken => return self.renew_token(),
            _ => {}
        }
        let durable = *self.durable.borrow();
        self.machine.complete(&mut effect, (durable.seq, durable.hash));
        self.port.perform(effect);
    }

    /// What the journal knows of a status.
    fn complete(&self, report: &mut Report) {
        let (durable, stats) = (*self.durable.borrow(), self.journal.stats());
        report.log = (durable.seq, durable.hash);
        (report.disk_free, report.syncs) = (stats.disk_free, stats.syncs);
        (report.bytes_written, report.messages_sent) = (stats.bytes_written, self.sent);
    }

    fn renew_token(&mut self) {
        match self.port.draw_token() {
            Ok(token) => {
                self.ticket = self.journal.put_meta(TOKEN, token.0.to_vec());
                self.renewing = Some((self.ticket, token));
            }
            Err(why) => self.port.perform(Effect::Exit(Exit {
                code: 1,
                what: format!("no randomness for a token: {why}"),
                hint: "start the node again when the system's random source works".to_owned(),
            })),
        }
    }

    /// When the machine wants its next turn.
    pub(crate) fn due(&self) -> Option<Now> {
        self.machine.due()
    }

    /// More may be taken in: not too much waits for the disk.
    pub(crate) fn has_room(&self) -> bool {
        self.journal.staged_records() < STAGED_RECORDS_MAX
    }

    /// The machine is done: close it.
    pub(crate) fn has_ended(&self) -> bool {
        self.machine.has_ended()
    }

    /// Makes everything durable, and performs the effects that waited for that.
    ///
    /// # Errors
    /// The journal failed before.
    pub(crate) fn close(self) -> Result<(), String> {
        let Driver { mut machine, journal, mut held, mut port, .. } = self;
        let closed = journal.close().map_err(|error| error.to_string())?;
        while let Some(mut effect) = held.release(closed.ticket) {
            machine.complete(&mut effect, (closed.seq, closed.hash));
            port.perform(effect);
        }
        Ok(())
    }
}

/// The node's own log as its machine may ask about it.
struct Log(Reader);

impl Past for Log {
    fn holds(&self, seq: Seq, hash: Hash) -> Result<bool, String> {
        if seq == Seq(0) {
            return Ok(true);
        }
        let known = self.0.has_end(seq, hash).map_err(|error| error.to_string())?;
        Ok(known.unwrap_or(true))
    }
}

/// Runs a driver until its machine is done. `stop` only tells the machine to end: it first does what is due to others.
///
/// # Errors
/// Closing the journal failed.
pub async fn run<M: Machine, P: Port>(
    mut driver: Driver<M, P>,
    mut inbox: mpsc::Receiver<P::Arrival>,
    stop: Stop,
    stopwatch: Stopwatch,
) -> Result<(), String> {
    let (stopped, mut stopping, mut durable) = (stop.stopped(), false, driver.durable.clone());
    tokio::pin!(stopped);
    while !driver.has_ended() {
        let (room, wake) = (driver.has_room(), driver.due().map(|due| stopwatch.instant(due)));
        let (mut input, mut arrived) = (None, None);
        tokio::select! {
            biased;
            () = &mut stopped, if !stopping => {
                stopping = true;
                input = Some(Input::Stop);
            }
            _ = durable.changed() => {}
            arrival = inbox.recv(), if room => match arrival {
                Some(arrival) => arrived = Some(arrival),
                None => break,
            },
            () = sleep_until(wake) => {}
        }
        let at = At { now: stopwatch.now(), micros: stopwatch.micros(), time: wall_now(), ..At::default() };
        let more = arrived.is_some();
        driver.turn(at, input, || arrived.take().or_else(|| if more { inbox.try_recv().ok() } else { None }));
    }
    driver.close()
}

async fn sleep_until(wake: Option<tokio::time::Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
