//! A store in memory that forgets like a disk: for tests and for simulation.
//!
//! Writes are kept in order until a sync makes them stay. [`MemoryDisk::power_cut`] decides by a seed which of the
//! unsynced ones survive, and may tear the value of one. Same seed, same outcome. [`MemoryDisk::kill`] ends the process
//! alone: what it had written is there and still unsynced. A disk that records can be cut at any earlier moment too, so
//! that a test walks through all of them. The disk keeps a mark, too, which stays as soon as it is written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::mark::MarkKeeper;
use super::sealed;
use super::store::{Pair, Store, StoreError, StoreRead, check_size};
use crate::model::fold::Tree;
use crate::types::{Hash, Seq};

type Cells = BTreeMap<(Tree, Vec<u8>), Vec<u8>>;
type Files = BTreeMap<String, Arc<[u8]>>;

#[derive(Clone, Debug)]
struct Write {
    tree: Tree,
    key: Vec<u8>,
    /// `None`: removed.
    value: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Event {
    Write(Write),
    Sync,
    Mark(Seq, Hash),
    /// A file was written, or removed.
    File(String, Option<Arc<[u8]>>),
}

/// What happened to a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskEvent {
    /// A value was written or removed in this tree.
    Write(Tree),
    /// Everything before was made to stay.
    Sync,
    /// The mark was set to this sequence, and stays.
    Mark(Seq),
    /// A file was written or removed, and that stays.
    File,
}

/// What happened since a disk began to record, and what it held then.
struct History {
    cells: Cells,
    files: Files,
    mark: Option<(Seq, Hash)>,
    events: Vec<Event>,
}

#[derive(Default)]
struct Disk {
    history: Option<History>,
    mark: Option<(Seq, Hash)>,
    synced: Cells,
    /// Those are there or not, and stay.
    files: Files,
    current: Cells,
    unsynced: Vec<Write>,
    /// What a failed sync was to write: it can be read until its pages are dropped, and a power cut takes it.
    unwritten: Vec<Write>,
    /// The next sync fails; this says how much of it is written all the same.
    sync_fails: Option<u64>,
    free_bytes: Option<u64>,
    fails: Option<StoreError>,
}

impl Disk {
    fn note(&mut self, event: impl FnOnce() -> Event) {
        if let Some(history) = &mut self.history {
            history.events.push(event());
        }
    }

    fn work(&self) -> Result<(), StoreError> {
        self.fails.clone().map_or(Ok(()), Err)
    }

    fn fail_to_sync(&mut self, seed: u64) -> StoreError {
        let written = seed as usize % (self.unsynced.len() + 1);
        for write in self.unsynced.drain(..written) {
            apply(&mut self.synced, write);
        }
        self.unwritten.append(&mut self.unsynced);
        StoreError::Failed("fdatasync: Input/output error".to_owned())
    }
}

/// What a power cut leaves of the unsynced writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survive {
    /// Nothing.
    None,
    /// The first so many, as of a log.
    First(usize),
    /// Any, by this seed; one value may be cut short or altered.
    Some(u64),
}

/// The disk, which outlives the stores that are opened on it.
#[derive(Clone, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// Keeps all that happens from now on, for [`MemoryDisk::power_cut_at`].
    pub fn record(&self) {
        let mut disk = self.lock();
        let (cells, files, mark) = (disk.current.clone(), disk.files.clone(), disk.mark);
        disk.history = Some(History { cells, files, mark, events: Vec::new() });
    }

    /// What happened since [`MemoryDisk::record`].
    pub fn events(&self) -> Vec<DiskEvent> {
        let event = |event: &Event| match event {
            Event::Write(write) => DiskEvent::Write(write.tree),
            Event::Sync => DiskEvent::Sync,
            Event::Mark(seq, _) => DiskEvent::Mark(*seq),
            Event::File(..) => DiskEvent::File,
        };
        self.lock().history.iter().flat_map(|history| history.events.iter().map(event)).collect()
    }

    /// A copy of the disk as a power cut after the first `events` events would have left it.
    pub fn power_cut_at(&self, events: usize, survive: Survive) -> MemoryDisk {
        let disk = self.lock();
        let Some(history) = &disk.history else { return MemoryDisk::new() };
        let (mut cells, mut mark, mut open) = (history.cells.clone(), history.mark, Vec::new());
        let mut files = history.files.clone();
        for event in history.events.iter().take(events) {
            match event {
                Event::Write(write) => open.push(write.clone()),
                Event::Sync => open.drain(..).for_each(|write| apply(&mut cells, write)),
                Event::Mark(seq, hash) => mark = Some((*seq, *hash)),
                Event::File(name, bytes) => put_file(&mut files, name, bytes.clone()),
            }
        }
        let writes = surviving(&cells, &open, survive);
        writes.into_iter().for_each(|write| apply(&mut cells, write));
        let free_bytes = disk.free_bytes;
        MemoryDisk::holding(Disk { synced: cells, files, mark, free_bytes, ..Disk::default() })
    }

    /// The disk with what was not written, then what is not synced, on top of what is synced.
    fn holding(mut disk: Disk) -> MemoryDisk {
        disk.current = disk.synced.clone();
        disk.unwritten.iter().chain(&disk.unsynced).for_each(|write| apply(&mut disk.current, write.clone()));
        MemoryDisk(Arc::new(Mutex::new(disk)))
    }

    /// Opens the store on it. A store opened before is to be dropped first.
    pub fn open(&self) -> Box<dyn Store> {
        Box::new(MemoryStore(self.clone()))
    }

    /// The mark that is kept beside the store.
    pub(crate) fn mark(&self) -> Box<dyn MarkKeeper> {
        Box::new(MemoryMark(self.clone()))
    }

    /// A copy of the disk as a power cut now would leave it.
    pub fn power_cut(&self, survive: Survive) -> MemoryDisk {
        let disk = self.lock();
        let (mut synced, mark, free_bytes) = (disk.synced.clone(), disk.mark, disk.free_bytes);
        let files = disk.files.clone();
        let writes = surviving(&synced, &disk.unsynced, survive);
        writes.into_iter().for_each(|write| apply(&mut synced, write));
        MemoryDisk::holding(Disk { synced, files, mark, free_bytes, ..Disk::default() })
    }

    /// A copy of the disk as kill -9 of the process now would leave it. The first `writes` of the unsynced ones had
    /// reached the operating system: they can be read, and a power cut may still lose them.
    pub fn kill(&self, writes: usize) -> MemoryDisk {
        let disk = self.lock();
        let (synced, mark, free_bytes) = (disk.synced.clone(), disk.mark, disk.free_bytes);
        let unsynced = surviving(&synced, &disk.unsynced, Survive::First(writes));
        let (unwritten, files) = (disk.unwritten.clone(), disk.files.clone());
        MemoryDisk::holding(Disk { synced, files, unsynced, unwritten, mark, free_bytes, ..Disk::default() })
    }

    /// A copy of all that can be read on it, as if it had been synced.
    pub fn copy(&self) -> MemoryDisk {
        let disk = self.lock();
        let (synced, mark, free_bytes) = (disk.current.clone(), disk.mark, disk.free_bytes);
        let files = disk.files.clone();
        MemoryDisk::holding(Disk { synced, files, mark, free_bytes, ..Disk::default() })
    }

    /// The next sync fails, as on Linux: the first of what it was to write may be there, the rest is not, and can still be
    /// read, since the kernel takes its pages for written.
    pub fn fail_sync(&self, seed: u64) {
        self.lock().sync_fails = Some(seed);
    }

    /// Syncs do not fail any more.
    pub fn heal(&self) {
        self.lock().sync_fails = None;
    }

    /// From now on only that is read which the disk has, or is still to be told to write. Gives how many writes are gone
    /// with that.
    pub fn drop_pages(&self) -> usize {
        let mut disk = self.lock();
        let gone = std::mem::take(&mut disk.unwritten).len();
        if gone > 0 {
            let mut current = disk.synced.clone();
            disk.unsynced.iter().for_each(|write| apply(&mut current, write.clone()));
            disk.current = current;
        }
        gone
    }

    /// How many writes a power cut now could lose.
    pub fn unsynced(&self) -> usize {
        self.lock().unsynced.len()
    }

    /// From now on says that so much space is left.
    pub fn set_free_bytes(&self, bytes: u64) {
        self.lock().free_bytes = Some(bytes);
    }

    /// From now on every write and sync fails like this, the mark's too.
    pub fn fail(&self, error: StoreError) {
        self.lock().fails = Some(error);
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn apply(cells: &mut Cells, write: Write) {
    match write.value {
        Some(value) => drop(cells.insert((write.tree, write.key), value)),
        None => drop(cells.remove(&(write.tree, write.key))),
    }
}

fn put_file(files: &mut Files, name: &str, bytes: Option<Arc<[u8]>>) {
    match bytes {
        Some(bytes) => drop(files.insert(name.to_owned(), bytes)),
        None => drop(files.remove(name)),
    }
}

fn surviving(synced: &Cells, writes: &[Write], survive: Survive) -> Vec<Write> {
    match survive {
        Survive::None => Vec::new(),
        Survive::First(count) => writes[..count.min(writes.len())].to_vec(),
        Survive::Some(seed) => {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut kept: Vec<Write> = writes.iter().filter(|_| random.bool()).cloned().collect();
            if let (Some(write), true) = (random.choice(&mut kept), random.bool()) {
                // A torn overwrite leaves the value before it, since stores check what they read back; a fact of `meta`
                // fits a sector, so it is there or not.
                if write.tree != Tree::Meta && !synced.contains_key(&(write.tree, write.key.clone())) {
                    tear(write, &mut random);
                }
            }
            kept
        }
    }
}

fn tear(write: &mut Write, random: &mut fastrand::Rng) {
    if let Some(value) = write.value.as_mut().filter(|value| !value.is_empty()) {
        let at = random.usize(..value.len());
        match random.bool() {
            true => value.truncate(at),
            false => value[at] ^= 1 << random.u8(..8),
        }
    }
}

struct MemoryStore(MemoryDisk);

impl MemoryStore {
    fn write(&self, write: Write) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        disk.work()?;
        apply(&mut disk.current, write.clone());
        disk.note(|| Event::Write(write.clone()));
        disk.unsynced.push(write);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_size(value)?;
        self.write(Write { tree, key: key.to_vec(), value: Some(value.to_vec()) })
    }

    fn remove(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        self.write(Write { tree, key: key.to_vec(), value: None })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        disk.work()?;
        if let Some(seed) = disk.sync_fails.take() {
            return Err(disk.fail_to_sync(seed));
        }
        disk.note(|| Event::Sync);
        for write in std::mem::take(&mut disk.unsynced) {
            apply(&mut disk.synced, write);
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn StoreRead> {
        Arc::new(MemoryRead(self.0.clone()))
    }
}

struct MemoryMark(MemoryDisk);

impl MarkKeeper for MemoryMark {
    fn newest(&self) -> Option<(Seq, Hash)> {
        self.0.lock().mark
    }

    fn write(&mut self, seq: Seq, hash: Hash) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        disk.work()?;
        disk.note(|| Event::Mark(seq, hash));
        disk.mark = Some((seq, hash));
        Ok(())
    }
}

struct MemoryRead(MemoryDisk);

impl StoreRead for MemoryRead {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().current.get(&(tree, key.to_vec())).cloned())
    }

    fn floor(&self, tree: Tree, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        let disk = self.0.lock();
        let pair = disk.current.range((tree, Vec::new())..=(tree, key.to_vec())).next_back();
        Ok(pair.map(|((_, key), value)| (key.clone(), value.clone())))
    }

    fn scan(&self, tree: Tree, from: &[u8], bytes_max: usize) -> Result<Vec<Pair>, StoreError> {
        let disk = self.0.lock();
        let (mut pairs, mut bytes) = (Vec::new(), 0);
        for ((found, key), value) in disk.current.range((tree, from.to_vec())..) {
            bytes += value.len();
            if *found != tree || (bytes > bytes_max && !pairs.is_empty()) {
                break;
            }
            pairs.push((key.clone(), value.clone()));
        }
        Ok(pairs)
    }

    fn files(&self) -> Arc<dyn sealed::Files> {
        Arc::new(MemoryFiles(self.0.clone()))
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.0.lock().free_bytes.unwrap_or(u64::MAX))
    }
}

struct MemoryFiles(MemoryDisk);

impl MemoryFiles {
    fn change(&self, name: &str, bytes: Option<Arc<[u8]>>) -> Result<(), StoreError> {
        let mut disk = self.0.lock();
        disk.work()?;
        put_file(&mut disk.files, name, bytes.clone());
        disk.note(|| Event::File(name.to_owned(), bytes));
        Ok(())
    }

    fn file(&self, name: &str) -> Result<Arc<[u8]>, StoreError> {
        let file = self.0.lock().files.get(name).cloned();
        file.ok_or_else(|| StoreError::Damaged(format!("{name} is not there")))
    }
}

impl sealed::Files for MemoryFiles {
    fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.0.lock().files.keys().cloned().collect())
    }

    fn length(&self, name: &str) -> Result<u64, StoreError> {
        Ok(self.file(name)?.len() as u64)
    }

    fn read(&self, name: &str, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let (file, at) = (self.file(name)?, at as usize);
        let found = at.checked_add(length).and_then(|end| file.get(at..end)).map(<[u8]>::to_vec);
        found.ok_or_else(|| StoreError::Damaged(format!("{name} is too short")))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.change(name, Some(bytes.into()))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.change(name, None)
    }
}
