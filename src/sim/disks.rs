//! The nodes' disks: how long a sync takes, and what of the unsynced writes is there after a kill.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::chance::Chance;
use super::queue::{MS, Moment};
use crate::journal::{
    Birth, Keep, MemoryDisk, OpenError, Pump, Recovered, Sealing, Setup, StoreRead, Survive, Time,
    start_by_hand, whole,
};
use crate::limits::{FLUSH_STALL_MAX, LOW_WATER_BYTES};
use crate::model::fold::{Fold, Tree};
use crate::types::{Hash, Seq, node_name};

/// The longest that a slow sync takes.
const SLOW: u64 = 300 * MS;

/// One node's disk. It outlives the processes that run on it.
pub(super) struct Disk {
    memory: MemoryDisk,
    chance: Chance,
    least: u64,
    most: u64,
    /// One sync in so many takes long; 0: none.
    slow_one_in: u64,
    /// Until then a sync takes up to so many microseconds.
    slow: Option<(Moment, u64)>,
    /// The next sync takes so many microseconds.
    hangs: Option<u64>,
    /// It is almost full.
    full: bool,
    /// When the log's older part moves into segments, and what of a journal stays in them.
    sealing: Sealing,
}

impl Disk {
    /// An empty disk; its pace is the seed's, its draws are the `node`'s.
    pub(crate) fn new(seed: u64, node: u32) -> Disk {
        let mut pace = Chance::of(seed, "pace of disks");
        let scale = pace.pick(&[200, 2 * MS, 15 * MS]);
        let slow_one_in = pace.pick(&[0, 500, 30]);
        let bytes = pace.pick(&[1 << 10, 8 << 10, u64::MAX]);
        let keep = [None, Some(Keep { age: Duration::from_millis(500), bytes: 4 << 10 })];
        let keep = pace.pick(&keep).filter(|_| node > 0);
        let chance = Chance::of(seed, &format!("disk {node}"));
        Disk {
            memory: MemoryDisk::new(),
            chance,
            least: scale / 2,
            most: scale * 2,
            slow_one_in,
            slow: None,
            hangs: None,
            full: false,
            sealing: Sealing { bytes, keep },
        }
    }

    /// Recovers the journal on it, which is made from `birth` if there is none.
    pub(crate) fn open<F: Fold>(
        &self,
        birth: Birth,
        time: Arc<dyn Time>,
    ) -> Result<(Recovered<F>, Pump<F>), OpenError> {
        let setup = Setup {
            dir: PathBuf::from(node_name(birth.node)),
            expect_cluster: Some(birth.cluster.clone()),
            birth: Some(birth),
            key: None,
            mark: Some(self.memory.mark()),
            sealing: self.sealing,
            time,
            // The pump's methods give its failures.
            fatal: Arc::new(|_| ()),
        };
        start_by_hand(self.memory.open(), setup)
    }

    /// Microseconds from the begin of the next sync to its end; and whether it never ends, so that these are those that
    /// the node's watchdog waits.
    pub(crate) fn draw_sync(&mut self, now: Moment) -> (u64, bool) {
        if let Some(hangs) = self.hangs.take() {
            let most = FLUSH_STALL_MAX.as_micros() as u64;
            return (hangs.min(most), hangs >= most);
        }
        let slow = self.slow.filter(|(until, _)| *until > now).map(|(_, most)| most);
        let most = if self.chance.one_in(self.slow_one_in) { SLOW } else { self.most };
        (self.chance.between(self.least, slow.unwrap_or_default().max(most)), false)
    }

    /// Microseconds that the syncs of a start take.
    pub(crate) fn draw_start(&mut self) -> u64 {
        2 * self.chance.between(self.least, self.most)
    }

    /// Until then syncs take up to so many microseconds.
    pub(crate) fn slow_down(&mut self, until: Moment, most: u64) {
        self.slow = Some((until, most));
    }

    /// The next sync takes so many microseconds.
    pub(crate) fn hang(&mut self, micros: u64) {
        self.hangs = Some(micros);
    }

    /// The next sync fails.
    pub(crate) fn fail_sync(&mut self) {
        self.memory.fail_sync(self.chance.between(0, u64::MAX));
    }

    /// Whether it is full from now on.
    pub(crate) fn set_full(&mut self, full: bool) {
        self.full = full;
        self.memory.set_free_bytes(if full { LOW_WATER_BYTES - 1 } else { u64::MAX });
    }

    /// It works again, and has room.
    pub(crate) fn heal(&mut self) {
        (self.slow, self.hangs) = (None, None);
        self.memory.heal();
        self.set_full(false);
    }

    /// Whoever opens the store sees to it that nothing is read which the disk does not have.
    pub(crate) fn drop_pages(&self) -> u64 {
        self.memory.drop_pages() as u64
    }

    /// Power went: of the unsynced writes some are there.
    pub(crate) fn cut_power(&mut self) {
        self.memory = self.memory.power_cut(Survive::Some(self.chance.between(0, u64::MAX)));
    }

    /// All that is on it is gone.
    pub(crate) fn wipe(&mut self) {
        self.memory = MemoryDisk::new();
    }

    /// A copy of what is on it.
    pub(crate) fn copy(&self) -> MemoryDisk {
        self.memory.copy()
    }

    /// A copy of its files is put in their place. How much room there is, is the disk's: a copy that was made while the disk
    /// was full would fill it for ever.
    pub(crate) fn put_back(&mut self, copy: &MemoryDisk) {
        self.memory = copy.copy();
        self.set_full(self.full);
    }

    /// The process that wrote to it is killed. Of the writes that it had not synced the first ones are there, as many
    /// as are drawn. Gives how many those are, and how many are lost.
    pub(crate) fn kill(&mut self) -> (u64, u64) {
        let unsynced = self.memory.unsynced() as u64;
        let kept = self.chance.between(0, unsynced);
        self.memory = self.memory.kill(kept as usize);
        (kept, unsynced - kept)
    }

    /// What is on it, for whoever looks from outside, and its mark.
    pub(crate) fn look(&self) -> (Arc<dyn StoreRead>, Option<(Seq, Hash)>) {
        let store = self.memory.open().reader();
        // A store that lacks what it names is shown as it stands: the auditor says so.
        let store = whole(store.clone()).map_or(store, |whole| whole);
        (store, self.memory.mark().newest())
    }

    /// The store on it.
    #[cfg(test)]
    pub(crate) fn store(&self) -> Box<dyn crate::journal::Store> {
        self.memory.open()
    }

    /// Whether a part of the log is in segments, and one of these is pruned.
    pub(crate) fn sealed(&self) -> (bool, bool) {
        let part = whole(self.memory.open().reader()).map(|store| store.sealed());
        part.map_or((false, false), |part| (part.last() > Seq(0), part.whole_from() > Seq(1)))
    }

    /// It names a checkpoint.
    pub(crate) fn has_checkpoint(&self) -> bool {
        matches!(self.look().0.get(Tree::Meta, b"checkpoint.2"), Ok(Some(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_brings_no_fullness_along() {
        let mut disk = Disk::new(1, 0);
        let free = |disk: &Disk| disk.look().0.free_bytes().unwrap();
        disk.set_full(true);
        let copy = disk.copy();
        disk.set_full(false);
        disk.put_back(&copy);
        assert_eq!(free(&disk), u64::MAX, "it had room again");
        let copy = disk.copy();
        disk.set_full(true);
        disk.put_back(&copy);
        assert!(free(&disk) < LOW_WATER_BYTES, "it is still full");
    }
}
