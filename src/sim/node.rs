//! One simulated node: its disk, and the process that runs on it while there is one.
//!
//! A process is what a real one is (machine, journal, driver) without threads and sockets: the world tells it when to
//! take a turn, when its disk begins a sync and when that ends. What it wants done piles up for the world to take.

use std::collections::VecDeque;
use std::sync::Arc;

use super::boot::{self, Booted};
use super::chance::Chance;
use super::disks::Disk;
use super::engine::{Engine, View};
use super::load::Load;
use super::network::{Delivery, Process};
use super::port::Outbox;
use super::queue::{Moment, Queue, SECOND};
use super::world::Event;
use crate::journal::{HandTime, OpenError, Recovery, StoreError};
use crate::model::call::Ask;
use crate::model::step::{At, Effect, Input, Numbers, ReplyId};
use crate::types::{Now, PeerId};

/// A process while it lives.
struct Life {
    engine: Box<dyn Engine>,
    numbers: Numbers,
    outbox: Outbox,
    began: Moment,
    /// Recovery is over: it listens and takes turns.
    serving: bool,
    inbox: VecDeque<Input>,
    /// The next turn.
    turn_at: Option<Moment>,
    /// The next time at which the disk begins or ends a sync.
    sync_at: Option<Moment>,
    /// A sync is underway.
    syncing: bool,
    /// That sync does not end: the watchdog ends the process.
    hangs: bool,
    /// The process stands still until then.
    still_until: Moment,
}

/// How a process comes to an end by itself.
pub(super) enum Ending {
    /// Its machine is done, and all is durable and said; these are its last effects.
    Done(Vec<Effect>),
    /// Its disk failed, or did not answer in time.
    Disk(StoreError),
}

/// What booting needs to know of the world.
pub(super) struct World<'a> {
    pub seed: u64,
    pub load: &'a Load,
    pub time: &'a Arc<HandTime>,
}

/// See the module's text.
pub(super) struct Node {
    /// 0: the warehouse.
    pub id: PeerId,
    /// Where it listens.
    pub addr: String,
    /// Its disk.
    pub disk: Disk,
    /// It was not there at first, and joins through this other node.
    pub joins: Option<PeerId>,
    lives: u32,
    life: Option<Life>,
    /// Microseconds by which its wall clock is ahead.
    ahead: i64,
    chance: Chance,
}

impl Node {
    /// A node that was never started.
    pub(crate) fn new(seed: u64, id: PeerId) -> Node {
        let (disk, chance) = (Disk::new(seed, id.0), Chance::of(seed, &format!("node {id}")));
        Node { id, addr: addr(id), disk, joins: None, lives: 0, life: None, ahead: 0, chance }
    }

    /// The process that runs, or the one that ran last.
    pub(crate) fn process(&self) -> Process {
        Process { node: self.id, life: self.lives }
    }

    /// A process runs, if only to recover its journal.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.is_some()
    }

    /// It has recovered and listens.
    pub(crate) fn is_serving(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.serving)
    }

    /// What its machine holds, if it runs.
    pub(crate) fn view(&self) -> Option<View<'_>> {
        self.life.as_ref().map(|life| life.engine.view())
    }

    /// # Errors
    /// What must hold of its machine between turns does not.
    pub(crate) fn invariants(&self) -> Result<(), String> {
        self.life.as_ref().map_or(Ok(()), |life| life.engine.invariants())
    }

    /// Starts a process on the disk, which recovers and then serves at [`Event::Serve`].
    pub(crate) fn start(
        &mut self,
        world: &World<'_>,
        queue: &mut Queue<Event>,
    ) -> Result<Recovery, OpenError> {
        self.lives += 1;
        let Booted { engine, numbers, outbox, recovery } = boot::boot(self, world)?;
        let (began, inbox) = (queue.now(), VecDeque::new());
        let (turn_at, sync_at) = (None, None);
        self.life = Some(Life {
            engine,
            numbers,
            outbox,
            began,
            serving: false,
            inbox,
            turn_at,
            sync_at,
            syncing: false,
            hangs: false,
            still_until: began,
        });
        let recovered = self.disk.draw_start() + self.chance.between(1_000, 20_000);
        queue.put(queue.now().after(recovered), Event::Serve(self.process()));
        Ok(recovery)
    }

    /// It serves from now on: gives the numbers for the streams that it accepts.
    pub(crate) fn serve(&mut self, queue: &mut Queue<Event>) -> Option<Numbers> {
        let life = self.life.as_mut()?;
        life.serving = true;
        let numbers = life.numbers.clone();
        self.wake(queue.now(), queue);
        Some(numbers)
    }

    /// kill -9. Gives how many unsynced writes are there all the same, and how many are lost.
    pub(crate) fn kill(&mut self) -> (u64, u64) {
        self.life = None;
        self.disk.kill()
    }

    /// It was started before.
    pub(crate) fn has_lived(&self) -> bool {
        self.lives > 0
    }

    /// The process stands still until then. False if there is none.
    pub(crate) fn stand_still(&mut self, until: Moment) -> bool {
        let life = self.life.as_mut().filter(|life| life.serving);
        life.map(|life| life.still_until = life.still_until.max(until)).is_some()
    }

    /// The process goes on, if it stood still.
    pub(crate) fn go_on(&mut self, now: Moment) {
        if let Some(life) = &mut self.life {
            life.still_until = life.still_until.min(now);
        }
    }

    /// Its disk does not answer, and will not for a while.
    pub(crate) fn is_stuck(&self, now: Moment) -> bool {
        let ends =
            |life: &Life| life.sync_at.filter(|_| life.syncing).is_some_and(|ends| ends > now.after(SECOND));
        self.life.as_ref().is_some_and(ends)
    }

    /// Its wall clock is set to be this far ahead, in microseconds.
    pub(crate) fn set_wall(&mut self, ahead: i64) {
        self.ahead = ahead;
    }

    /// SIGTERM. False if nobody is there to hear it.
    pub(crate) fn stop(&mut self, queue: &mut Queue<Event>) -> bool {
        let serves = self.is_serving();
        if serves {
            self.take_in(Input::Stop, queue);
        }
        serves
    }

    /// If its machine is done, the process ends.
    pub(crate) fn end(&mut self) -> Option<Ending> {
        let life = self.life.take_if(|life| life.engine.has_ended())?;
        match life.engine.close() {
            Ok(()) => Some(Ending::Done(std::mem::take(&mut *life.outbox.borrow_mut()))),
            Err(error) => Some(Ending::Disk(error)),
        }
    }

    /// Something arrives; a turn follows soon, with whatever arrives until then.
    pub(crate) fn deliver(&mut self, delivery: Delivery, queue: &mut Queue<Event>) {
        self.take_in(delivery.input, queue);
    }

    /// A person asks the node something, and does not wait for the answer.
    pub(crate) fn ask(&mut self, ask: Ask, queue: &mut Queue<Event>) {
        if let Some(life) = &self.life {
            let reply = ReplyId(life.numbers.next());
            self.take_in(Input::Asked(reply, ask), queue);
        }
    }

    fn take_in(&mut self, input: Input, queue: &mut Queue<Event>) {
        if let Some(life) = &mut self.life {
            life.inbox.push_back(input);
            self.wake_soon(queue);
        }
    }

    fn wake_soon(&mut self, queue: &mut Queue<Event>) {
        let soon = queue.now().after(self.chance.between(2, 40));
        self.wake(soon, queue);
    }

    /// Plans a turn for that moment, unless an earlier one is planned.
    fn wake(&mut self, at: Moment, queue: &mut Queue<Event>) {
        let process = self.process();
        if let Some(life) = self.life.as_mut().filter(|life| life.serving)
            && life.turn_at.is_none_or(|before| at < before)
        {
            life.turn_at = Some(at);
            queue.put(at, Event::Turn(process));
        }
    }

    /// Takes a turn if it is time for one. Gives what the machine wants done.
    pub(crate) fn turn(&mut self, queue: &mut Queue<Event>) -> Vec<Effect> {
        let now = queue.now();
        let Some(life) = self.life.as_mut().filter(|life| life.turn_at == Some(now)) else {
            return Vec::new();
        };
        if life.still_until > now {
            life.turn_at = Some(life.still_until);
            queue.put(life.still_until, Event::Turn(self.process()));
            return Vec::new();
        }
        life.turn_at = None;
        let micros = now.since(life.began);
        let at = At { now: Now(micros / 1_000), micros, time: now.wall(self.ahead), ..At::default() };
        life.engine.turn(at, &mut life.inbox);
        let effects = std::mem::take(&mut *life.outbox.borrow_mut());
        self.plan_turn(queue);
        self.plan_sync(queue);
        effects
    }

    /// The next turn: soon if more waits and may be taken in, else when the machine wants it.
    fn plan_turn(&mut self, queue: &mut Queue<Event>) {
        let Some(life) = &self.life else { return };
        if !life.inbox.is_empty() && life.engine.has_room() {
            return self.wake_soon(queue);
        }
        let due = life.engine.due().map(|due| life.began.after(due.0.saturating_mul(1_000)));
        match due {
            Some(due) if due <= queue.now() => self.wake_soon(queue),
            Some(due) => self.wake(due, queue),
            None => {}
        }
    }

    /// The disk's next step, unless a sync is underway.
    fn plan_sync(&mut self, queue: &mut Queue<Event>) {
        let process = self.process();
        let Some(life) = self.life.as_mut().filter(|life| !life.syncing) else { return };
        let Some(due) = life.engine.sync_due() else { return };
        let due = Moment::of(due).max(queue.now());
        if life.sync_at.is_none_or(|before| due < before) {
            life.sync_at = Some(due);
            queue.put(due, Event::Sync(process));
        }
    }

    /// Begins or ends a sync, if it is time for that; whether one has ended.
    ///
    /// # Errors
    /// A write or the sync failed.
    pub(crate) fn sync(&mut self, queue: &mut Queue<Event>) -> Result<bool, StoreError> {
        let process = self.process();
        let Some(life) = self.life.as_mut().filter(|life| life.sync_at == Some(queue.now())) else {
            return Ok(false);
        };
        if life.still_until > queue.now() {
            life.sync_at = Some(life.still_until);
            queue.put(life.still_until, Event::Sync(process));
            return Ok(false);
        }
        life.sync_at = None;
        let ends = std::mem::take(&mut life.syncing);
        if ends {
            if life.hangs {
                return Err(StoreError::Failed("a sync did not end".to_owned()));
            }
            life.engine.finish_sync()?;
            self.wake_soon(queue);
        } else if life.engine.begin_sync()? {
            let (takes, hangs) = self.disk.draw_sync(queue.now());
            let end = queue.now().after(takes);
            (life.syncing, life.hangs, life.sync_at) = (true, hangs, Some(end));
            queue.put(end, Event::Sync(process));
        } else {
            // The journal may have asked for a checkpoint.
            self.wake_soon(queue);
        }
        self.plan_sync(queue);
        Ok(ends)
    }
}

/// Where a node listens.
pub(super) fn addr(node: PeerId) -> String {
    format!("10.0.0.{node}:7700")
}

/// The node that listens there.
pub(super) fn node_at(addr: &str) -> Option<PeerId> {
    addr.strip_prefix("10.0.0.")?.strip_suffix(":7700")?.parse().ok().map(PeerId)
}
