//! The writer of a journal that has no thread: a simulation says when the disk gets on.
//!
//! It asks [`Pump::due`] when the writer wants to work, calls [`Pump::begin_sync`] then, and [`Pump::finish_sync`] as much
//! later as the simulated disk needs for a sync. Between the two nothing of the group is published, and a power cut may
//! leave any part of it.

use std::sync::mpsc;
use std::time::Duration;

use super::writer::Writer;
use super::{Durable, StoreError};
use crate::model::fold::Fold;

/// See the module's text. Dropped without [`Pump::close`] it is as if the node had been killed.
pub struct Pump<F: Fold> {
    pub(super) writer: Writer<F>,
    pub(super) done: mpsc::Sender<Durable>,
}

impl<F: Fold> Pump<F> {
    /// When the writer wants to work, by the journal's [`Time`](super::Time): now if something urgent is staged or a
    /// checkpoint is being written, else when the first lazy step, the mark, a checkpoint or a look at a full disk is
    /// due. A time that has passed means now. `None` while a group is open, after a failure, and with nothing to wait
    /// for.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.writer.due()
    }

    /// Does what a writer thread would do now, up to the sync: takes what is staged, if anything is due, and writes a
    /// group of it to the store. Gives false if there is nothing to finish. While a group is open it takes nothing and
    /// gives true.
    ///
    /// # Errors
    /// A write failed. It is not tried again: each later call gives the same error.
    pub fn begin_sync(&mut self) -> Result<bool, StoreError> {
        self.writer.gather(false);
        self.writer.begin_sync()
    }

    /// Syncs the open group, publishes it, and does what is due after it; does nothing if no group is open.
    ///
    /// # Errors
    /// The sync failed, and nothing of the group is published. It is not tried again: each later call gives the same
    /// error.
    pub fn finish_sync(&mut self) -> Result<(), StoreError> {
        self.writer.finish_sync()
    }

    /// Writes, syncs and publishes one group of what is staged, lazy steps included; false if there was nothing.
    ///
    /// # Errors
    /// See [`Pump::begin_sync`] and [`Pump::finish_sync`].
    pub fn write_group(&mut self) -> Result<bool, StoreError> {
        self.writer.gather(true);
        self.writer.turn()
    }

    /// Makes everything staged durable, completes a checkpoint in progress, and writes the mark: what
    /// [`Journal::close`](super::Journal::close) does with a thread, and gives after this.
    ///
    /// # Errors
    /// See [`Pump::begin_sync`] and [`Pump::finish_sync`].
    pub fn close(mut self) -> Result<Durable, StoreError> {
        self.writer.finish_sync()?;
        self.writer.gather(true);
        let durable = self.writer.finish()?;
        self.writer.keep_closed();
        // An error means that the handle is gone already.
        let _ = self.done.send(durable);
        Ok(durable)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::journal::testing::{Count, Counts, add, birth, never, step};
    use crate::journal::{
        CloseError, HandTime, Journal, MemoryDisk, Recovered, Sealing, Setup, Step, Survive, Ticket, Urgency,
        start_by_hand,
    };
    use crate::limits::{CHECKPOINT_EVERY, LAZY_MAX, LOW_WATER_BYTES, MARK_EVERY};
    use crate::types::Seq;

    /// A node over a simulated disk.
    struct Node {
        disk: MemoryDisk,
        time: Arc<HandTime>,
        journal: Journal<Counts>,
        pump: Pump<Counts>,
        live: Counts,
        all: Vec<(u64, Count)>,
    }

    fn reopen(disk: &MemoryDisk, time: &Arc<HandTime>) -> (Recovered<Counts>, Pump<Counts>) {
        let (dir, birth, mark) = ("memory".into(), Some(birth()), Some(disk.mark()));
        let setup = Setup {
            dir,
            birth,
            key: None,
            expect_cluster: None,
            mark,
            sealing: Sealing { bytes: 4 << 10, keep: None },
            time: time.clone(),
            fatal: never(),
        };
        start_by_hand(disk.open(), setup).unwrap()
    }

    fn node() -> Node {
        let (disk, time) = (MemoryDisk::new(), Arc::<HandTime>::default());
        let (recovered, pump) = reopen(&disk, &time);
        let Recovered { journal, state: live, .. } = recovered;
        Node { disk, time, journal, pump, live, all: Vec::new() }
    }

    impl Node {
        fn stage(&mut self, count: u16, urgency: Urgency) -> Ticket {
            let at = self.all.len() as u64;
            let records: Vec<Count> = (0..count).map(|k| add(k, at)).collect();
            self.live.take(at, &records);
            self.all.extend(records.iter().map(|record| (at, record.clone())));
            self.journal.stage(Step { urgency, ..step(records, at) })
        }

        fn durable(&self) -> Durable {
            self.journal.reader().durable()
        }

        fn later(&self, by: Duration) -> Duration {
            use crate::journal::Time as _;
            self.time.set(self.time.now() + by);
            self.time.now()
        }

        fn group(&mut self) {
            assert!(self.pump.begin_sync().unwrap());
            self.pump.finish_sync().unwrap();
        }

        /// What comes back is a prefix that holds all that was published, and it stays.
        fn comes_back(&self, disk: &MemoryDisk) {
            let first = self.recover(disk, self.durable().seq);
            assert_eq!(disk.unsynced(), 0, "what recovery goes by is synced");
            self.recover(&disk.power_cut(Survive::None), first);
        }

        fn recover(&self, disk: &MemoryDisk, published: Seq) -> Seq {
            let (recovered, _pump) = reopen(disk, &self.time);
            let last = recovered.recovery.last;
            assert!(last >= published, "{published} was published and {last} is there");
            let mut expected = Counts::default();
            for (time, record) in &self.all[..last.0 as usize] {
                expected.take(*time, std::slice::from_ref(record));
            }
            assert_eq!(recovered.state, expected);
            last
        }
    }

    #[derive(Clone, Debug)]
    enum Act {
        Stage(u16, Urgency),
        Checkpoint,
        Begin,
        Finish,
        Wait(u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            4 => (0..2_000_u16).prop_map(|count| Act::Stage(count, Urgency::Now)),
            2 => (1..20_u16).prop_map(|count| Act::Stage(count, Urgency::Lazy)),
            1 => Just(Act::Checkpoint),
            5 => Just(Act::Begin),
            4 => Just(Act::Finish),
            3 => (1..900_u64).prop_map(Act::Wait),
        ]
    }

    fn perform(node: &mut Node, act: &Act) {
        match *act {
            Act::Stage(count, urgency) => drop(node.stage(count, urgency)),
            Act::Checkpoint => node.journal.checkpoint(node.live.parts()),
            Act::Finish => node.pump.finish_sync().unwrap(),
            Act::Wait(ms) => drop(node.later(Duration::from_millis(ms))),
            Act::Begin => {
                let before = node.durable();
                node.pump.begin_sync().unwrap();
                assert_eq!(node.durable(), before, "nothing is published before the sync");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        #[test]
        fn a_cut_or_a_kill_between_the_halves_loses_nothing_published(
            acts in prop::collection::vec((act(), any::<u64>()), 1..40),
        ) {
            let mut node = node();
            for (act, seed) in &acts {
                perform(&mut node, act);
                node.comes_back(&node.disk.power_cut(Survive::Some(*seed)));
                let some = *seed as usize % (node.disk.unsynced() + 1);
                node.comes_back(&node.disk.kill(some));
                node.comes_back(&node.disk.kill(some).power_cut(Survive::Some(!seed)));
            }
        }

        /// The mark of a disk at an earlier moment is the one of that moment, and is never ahead of the store.
        #[test]
        fn a_mark_is_never_ahead_of_what_a_cut_leaves(
            acts in prop::collection::vec(act(), 1..60),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 12),
        ) {
            let mut node = node();
            node.disk.record();
            acts.iter().for_each(|act| perform(&mut node, act));
            node.stage(1, Urgency::Lazy);
            let Node { disk, time, pump, live, all, journal } = node;
            let closed = pump.close().unwrap();
            prop_assert_eq!(disk.mark().newest(), Some((closed.seq, closed.hash)));
            let node = Node { pump: reopen(&MemoryDisk::new(), &time).1, disk, time, live, all, journal };
            let events = node.disk.events().len();
            for (at, seed) in cuts {
                let cut = node.disk.power_cut_at(at.index(events) + 1, Survive::Some(seed));
                let marked = cut.mark().newest().map_or(Seq(0), |(seq, _)| seq);
                node.recover(&cut, marked);
            }
        }
    }

    #[test]
    fn a_power_cut_before_the_sync_takes_the_group_and_no_more() {
        let mut node = node();
        node.stage(2, Urgency::Now);
        node.group();
        node.stage(3, Urgency::Now);
        assert!(node.pump.begin_sync().unwrap());
        assert_eq!(node.durable().seq, Seq(2));
        assert_eq!(node.recover(&node.disk.power_cut(Survive::None), Seq(2)), Seq(2));
        assert_eq!(node.recover(&node.disk.kill(node.disk.unsynced()), Seq(2)), Seq(5));
        node.pump.finish_sync().unwrap();
        assert_eq!(node.durable().seq, Seq(5));
        assert_eq!(node.recover(&node.disk.power_cut(Survive::None), Seq(5)), Seq(5));
    }

    #[test]
    fn a_lazy_step_is_due_after_its_time() {
        let mut node = node();
        assert_eq!(node.pump.due(), None);
        let now = node.later(Duration::from_millis(7));
        let ticket = node.stage(1, Urgency::Lazy);
        node.later(Duration::from_millis(10));
        node.stage(1, Urgency::Lazy);
        assert_eq!(node.pump.due(), Some(now + LAZY_MAX), "the first one's time counts");
        assert!(!node.pump.begin_sync().unwrap());
        node.later(LAZY_MAX - Duration::from_millis(11));
        assert!(!node.pump.begin_sync().unwrap());
        assert_eq!((node.durable().ticket, node.disk.unsynced()), (Ticket(0), 0));
        node.later(Duration::from_millis(1));
        node.group();
        assert!(node.durable().ticket > ticket, "both ride on it");
    }

    #[test]
    fn an_urgent_step_is_due_at_once_but_not_beside_an_open_group() {
        let mut node = node();
        let now = node.later(Duration::from_secs(5));
        let lazy = node.stage(1, Urgency::Lazy);
        node.stage(1, Urgency::Now);
        assert_eq!(node.pump.due(), Some(now));
        assert!(node.pump.begin_sync().unwrap());
        let next = node.stage(1, Urgency::Now);
        assert_eq!(node.pump.due(), None, "the disk is at work");
        assert!(node.pump.begin_sync().unwrap());
        node.pump.finish_sync().unwrap();
        assert!(node.durable().ticket > lazy && node.durable().ticket < next);
        assert_eq!(node.pump.due(), Some(now));
        node.group();
        assert_eq!(node.durable().ticket, next);
    }

    #[test]
    fn mark_and_checkpoint_are_due_after_a_group() {
        let mut node = node();
        node.stage(1, Urgency::Now);
        assert!(node.pump.begin_sync().unwrap());
        let synced = node.later(Duration::from_millis(30));
        node.pump.finish_sync().unwrap();
        assert_eq!((node.journal.stats().syncs, node.journal.stats().sync_us_last), (1, 30_000));
        assert_eq!((node.pump.due(), node.disk.mark().newest()), (Some(synced + MARK_EVERY), None));
        node.later(MARK_EVERY);
        assert!(!node.pump.begin_sync().unwrap());
        let Durable { seq, hash, .. } = node.durable();
        assert_eq!(node.disk.mark().newest(), Some((seq, hash)));
        assert_eq!(node.pump.due(), Some(synced + CHECKPOINT_EVERY));
        let now = node.later(CHECKPOINT_EVERY);
        assert!(!node.pump.begin_sync().unwrap());
        assert!(node.journal.checkpoint_due());
        assert_eq!(node.pump.due(), None, "the loop is asked");
        node.journal.checkpoint(node.live.parts());
        while node.journal.stats().checkpoints == 0 {
            assert_eq!(node.pump.due(), Some(now));
            node.group();
        }
        assert_eq!(node.pump.due(), None);
    }

    #[test]
    fn a_full_disk_is_looked_at_again() {
        let mut node = node();
        node.disk.set_free_bytes(LOW_WATER_BYTES - 1);
        let now = node.later(Duration::from_secs(1));
        node.stage(0, Urgency::Now);
        node.group();
        assert!(node.journal.disk_low());
        let again = node.pump.due().unwrap();
        assert!(again > now && again < now + Duration::from_secs(1));
        node.disk.set_free_bytes(LOW_WATER_BYTES);
        node.later(again - now);
        assert!(!node.pump.begin_sync().unwrap());
        assert_eq!((node.journal.disk_low(), node.pump.due()), (false, None));
    }

    /// A disk that stays full through a restart is known before the first order.
    #[test]
    fn a_full_disk_is_known_from_the_start() {
        let node = node();
        node.disk.set_free_bytes(LOW_WATER_BYTES - 1);
        let (recovered, pump) = reopen(&node.disk.power_cut(Survive::None), &node.time);
        assert!(recovered.journal.disk_low() && pump.due().is_some());
    }

    #[test]
    fn a_close_without_a_thread_keeps_what_a_close_promises() {
        let mut node = node();
        node.stage(2_000, Urgency::Now);
        assert!(node.pump.begin_sync().unwrap());
        node.stage(1, Urgency::Lazy);
        node.journal.checkpoint(node.live.parts());
        let durable = node.pump.close().unwrap();
        assert_eq!(durable.seq, Seq(2_001));
        assert_eq!(node.disk.mark().newest(), Some((durable.seq, durable.hash)));
        assert_eq!(node.journal.stats().checkpoints, 1);
        assert_eq!(node.journal.close(), Ok(durable));
        let (recovered, _) = reopen(&node.disk.power_cut(Survive::None), &node.time);
        assert_eq!((recovered.state, recovered.recovery.replayed), (node.live, 0));
    }

    #[test]
    fn a_journal_whose_pump_is_not_closed_does_not_wait_for_it() {
        let mut node = node();
        node.stage(1, Urgency::Now);
        assert_eq!(node.journal.close(), Err(CloseError));
    }

    #[test]
    fn a_failed_write_or_sync_is_not_tried_again() {
        let (first, other) = (StoreError::Full("first".into()), StoreError::Full("other".into()));
        for begun in [false, true] {
            let mut node = node();
            node.stage(1, Urgency::Now);
            if begun {
                assert!(node.pump.begin_sync().unwrap());
            }
            node.disk.fail(first.clone());
            match begun {
                false => assert_eq!(node.pump.begin_sync(), Err(first.clone())),
                true => assert_eq!(node.pump.finish_sync(), Err(first.clone())),
            }
            node.disk.fail(other.clone());
            assert_eq!(node.pump.finish_sync(), Err(first.clone()));
            assert_eq!(node.pump.begin_sync(), Err(first.clone()));
            assert_eq!((node.pump.due(), node.durable().seq), (None, Seq(0)));
            assert_eq!(node.pump.close(), Err(first.clone()));
            assert_eq!(node.journal.close(), Err(CloseError));
        }
    }
}
