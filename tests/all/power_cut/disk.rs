//! A disk as a power cut sees it: what was synced stays, of the rest any part may.
//!
//! Data: 4 KiB blocks of unsynced writes survive or not, each for itself, and one may be torn at a sector. Names
//! (creations, renames, removals) survive in their order, as journaling file systems keep them, up to any point behind
//! the last sync of the directory; a file's own sync does not save its name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::trace::Event;

const BLOCK: usize = 4096;
const SECTOR: usize = 512;

/// Paths and contents; `None` is a directory.
pub type Files = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Survive {
    Nothing,
    Everything,
    /// Everything but the end of each file's last write.
    Torn,
    /// Any part, by this seed.
    Some(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, Node),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    unsynced: Vec<(u64, Change)>,
    /// Where the next plain write goes.
    position: u64,
}

/// The disk, fed with events.
#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    names: BTreeMap<PathBuf, Node>,
    synced_names: BTreeMap<PathBuf, Node>,
    unsynced_names: Vec<(u64, NameChange)>,
    /// Syncs that have begun: what they are of, and how far they reach.
    syncs: BTreeMap<usize, (PathBuf, Node, u64)>,
    clock: u64,
}

impl Disk {
    /// Nothing could be lost now.
    pub fn is_settled(&self) -> bool {
        self.unsynced_names.is_empty() && self.files.iter().all(|file| file.unsynced.is_empty())
    }

    pub fn take(&mut self, event: &Event) {
        self.clock += 1;
        match event {
            Event::Create { path, truncate } => self.create(path, *truncate),
            Event::Mkdir(path) => self.name(NameChange::Add(path.clone(), Node::Dir)),
            Event::Write { path, offset, bytes } => self.write(path, *offset, bytes),
            Event::Truncate { path, length } => self.change(path, Change::Truncate(*length as usize)),
            Event::Rename { from, to } => self.name(NameChange::Rename(from.clone(), to.clone())),
            Event::Unlink(path) => self.name(NameChange::Remove(path.clone())),
            Event::SyncBegun { path, sync } => {
                if let Some(node) = self.names.get(path) {
                    self.syncs.insert(*sync, (path.clone(), *node, self.clock));
                }
            }
            Event::SyncDone { sync } => self.sync(*sync),
            Event::Acknowledged(_) => {}
        }
    }

    fn create(&mut self, path: &Path, truncate: bool) {
        match self.names.get(path) {
            Some(Node::File(file)) => {
                self.files[*file].position = 0;
                if truncate {
                    self.change(path, Change::Truncate(0));
                }
            }
            Some(Node::Dir) => panic!("{} is a directory", path.display()),
            None => {
                self.files.push(File::default());
                self.name(NameChange::Add(path.to_owned(), Node::File(self.files.len() - 1)));
            }
        }
    }

    fn file(&mut self, path: &Path) -> &mut File {
        match self.names.get(path) {
            Some(Node::File(file)) => &mut self.files[*file],
            found => panic!("{}: {found:?} is written", path.display()),
        }
    }

    fn write(&mut self, path: &Path, offset: Option<u64>, bytes: &[u8]) {
        let file = self.file(path);
        let at = offset.unwrap_or(file.position);
        if offset.is_none() {
            file.position += bytes.len() as u64;
        }
        self.change(path, Change::Write { offset: at as usize, bytes: bytes.to_vec() });
    }

    fn change(&mut self, path: &Path, change: Change) {
        let clock = self.clock;
        self.file(path).unsynced.push((clock, change));
    }

    fn name(&mut self, change: NameChange) {
        rename(&mut self.names, &change);
        self.unsynced_names.push((self.clock, change));
    }

    fn sync(&mut self, sync: usize) {
        let Some((path, node, reach)) = self.syncs.remove(&sync) else { return };
        match node {
            Node::File(file) => {
                let File { synced, unsynced, .. } = &mut self.files[file];
                let covered = unsynced.partition_point(|(clock, _)| *clock < reach);
                unsynced
                    .drain(..covered)
                    .for_each(|(_, change)| apply(synced, &change, usize::MAX / 2, |_| true));
            }
            Node::Dir => {
                let names = &mut self.unsynced_names;
                let inside = |(clock, change): &(u64, NameChange)| *clock < reach && change.concerns(&path);
                let covered = names.iter().rposition(inside).map_or(0, |last| last + 1);
                names.drain(..covered).for_each(|(_, change)| rename(&mut self.synced_names, &change));
            }
        }
    }

    /// What a power cut now may leave.
    pub fn after_power_cut(&self, survive: Survive) -> Files {
        let mut random = fastrand::Rng::with_seed(if let Survive::Some(seed) = survive { seed } else { 0 });
        let mut names = self.synced_names.clone();
        let kept = match survive {
            Survive::Nothing => 0,
            Survive::Everything | Survive::Torn => self.unsynced_names.len(),
            Survive::Some(_) => random.usize(..=self.unsynced_names.len()),
        };
        self.unsynced_names[..kept].iter().for_each(|(_, change)| rename(&mut names, change));
        let mut content = |node| match node {
            Node::Dir => None,
            Node::File(file) => Some(self.files[file].after_power_cut(survive, &mut random)),
        };
        names.into_iter().map(|(path, node)| (path, content(node))).collect()
    }
}

impl NameChange {
    /// It changes an entry of this directory.
    fn concerns(&self, dir: &Path) -> bool {
        match self {
            NameChange::Add(path, _) | NameChange::Remove(path) => path.parent() == Some(dir),
            NameChange::Rename(from, to) => [from, to].iter().any(|path| path.parent() == Some(dir)),
        }
    }
}

fn rename(names: &mut BTreeMap<PathBuf, Node>, change: &NameChange) {
    match change {
        NameChange::Add(path, node) => drop(names.insert(path.clone(), *node)),
        NameChange::Remove(path) => drop(names.remove(path)),
        NameChange::Rename(from, to) => {
            let moved: Vec<PathBuf> = names.keys().filter(|path| path.starts_with(from)).cloned().collect();
            for path in moved {
                let inside = path.strip_prefix(from).expect("it starts with it");
                let target = if inside.as_os_str().is_empty() { to.clone() } else { to.join(inside) };
                let node = names.remove(&path).expect("it is there");
                names.insert(target, node);
            }
        }
    }
}

impl File {
    fn after_power_cut(&self, survive: Survive, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut content = self.synced.clone();
        let last = self.unsynced.len().saturating_sub(1);
        for (index, (_, change)) in self.unsynced.iter().enumerate() {
            let torn_from = match change {
                Change::Write { offset, bytes } => (offset + bytes.len() / 2) / SECTOR * SECTOR,
                Change::Truncate(_) => 0,
            };
            let unit = if survive == Survive::Torn { SECTOR } else { BLOCK };
            apply(&mut content, change, unit, |at| match survive {
                Survive::Nothing => false,
                Survive::Everything => true,
                Survive::Torn => index < last || at < torn_from,
                Survive::Some(_) => random.bool(),
            });
        }
        content
    }
}

/// Applies a change; of a write those aligned units that `survives` lets through, named by where they begin.
fn apply(content: &mut Vec<u8>, change: &Change, unit: usize, mut survives: impl FnMut(usize) -> bool) {
    match change {
        Change::Truncate(length) if survives(0) => content.resize(*length, 0),
        Change::Truncate(_) => {}
        Change::Write { offset, bytes } => {
            let (mut at, end) = (*offset, offset + bytes.len());
            while at < end {
                let next = ((at / unit + 1) * unit).min(end);
                if survives(at) {
                    if content.len() < next {
                        content.resize(next, 0);
                    }
                    content[at..next].copy_from_slice(&bytes[at - offset..next - offset]);
                }
                at = next;
            }
        }
    }
}
