//! The store for real: sled 0.34.7, used in the one way that was measured to survive power cuts.
//!
//! - sled's `flush` alone does not survive a power cut (it ends in `sync_file_range`): `flush`, then `sync_data` on an
//!   own handle of `<store>/db`. Its periodic flusher is off: it logs a failed fsync away.
//! - A page above a quarter segment goes to a file under `blobs/` that is never synced: values are small, segments
//!   large, and a store with anything in `blobs/` is refused.
//! - A kill during sled's own recovery leaves `snap.*.generating`, which it would take for its newest snapshot and then
//!   never open again: removed before opening, under the lock.
//! - No transactions and no batches: after a failed write inside one `flush` may hang for ever.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::closed;
use super::owner::Owner;
use super::sealed::{DirFiles, Files};
use super::space::{free_bytes, nodes_beside};
use super::store::{Image, Pair, Store, StoreError, StoreRead, check_size};
use crate::limits::{COPY_CACHE_BYTES, LOW_WATER_BYTES, SEGMENT_BYTES, STORE_CACHE_BYTES};
use crate::model::fold::Tree;
use crate::types::{Hash, Seq};

/// In one line for people: what sled prints has its own places, bytes and traces in it. Those go to the log of those who
/// ask for it.
impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> StoreError {
        let of_system = if let sled::Error::Io(io) = &error { system_error(io) } else { None };
        of_system.map_or_else(
            || {
                tracing::debug!("sled: {error}");
                StoreError::Damaged("what is stored there is not what was written".into())
            },
            StoreError::from,
        )
    }
}

/// What the system said, if it was the system. Of the first failure sled gives copies later, in which the kind is left and
/// a text for programmers.
fn system_error(io: &io::Error) -> Option<io::Error> {
    use io::ErrorKind::{FileTooLarge, InvalidData, Other, QuotaExceeded, StorageFull, UnexpectedEof};
    use rustix::io::Errno;
    let errno = match io.kind() {
        StorageFull => Some(Errno::NOSPC),
        QuotaExceeded => Some(Errno::DQUOT),
        FileTooLarge => Some(Errno::FBIG),
        _ => io.raw_os_error().map(Errno::from_raw_os_error),
    };
    match (errno, io.kind()) {
        (Some(errno), _) => Some(errno.into()),
        (None, InvalidData | Other | UnexpectedEof) => None,
        (None, kind) => Some(kind.into()),
    }
}

/// An open sled store. Dropping it flushes once more, which is harmless after a sync that went well.
pub(crate) struct SledStore {
    shared: Arc<SledRead>,
    file: File,
    /// Of a node's own store; a copy has none.
    owner: Option<Owner>,
}

struct SledRead {
    db: sled::Db,
    trees: Vec<(Tree, sled::Tree)>,
    path: PathBuf,
    files: Arc<DirFiles>,
    nodes_on_disk: u64,
    /// The directory's lock, held until the last handle of the store is gone.
    _lock: Option<File>,
}

impl SledStore {
    /// Opens the store at `path`, or makes it there; the caller has seen to [`remove_leftovers`]. Takes the lock if that
    /// goes well.
    pub(crate) fn open(
        path: &Path,
        trees: &[Tree],
        lock: &mut Option<File>,
    ) -> Result<SledStore, StoreError> {
        SledStore::with_cache(path, &path.join(SEALED), trees, STORE_CACHE_BYTES, lock)
    }

    /// Opens a copy of the trees of `store`, which nobody else has, to read it; files are read where they are.
    pub(crate) fn open_copy(path: &Path, store: &Path, trees: &[Tree]) -> Result<SledStore, StoreError> {
        SledStore::with_cache(path, &store.join(SEALED), trees, COPY_CACHE_BYTES, &mut None)
    }

    fn with_cache(
        path: &Path,
        files: &Path,
        trees: &[Tree],
        cache_bytes: u64,
        lock: &mut Option<File>,
    ) -> Result<SledStore, StoreError> {
        refuse_blobs(path)?;
        let db = sled::Config::new()
            .path(path)
            .segment_size(SEGMENT_BYTES)
            .cache_capacity(cache_bytes)
            .use_compression(false)
            .flush_every_ms(None)
            .open()
            .map_err(not_opened)?;
        let trees = trees
            .iter()
            .map(|tree| Ok((*tree, db.open_tree(tree.name())?)))
            .collect::<Result<Vec<_>, sled::Error>>()?;
        let file = OpenOptions::new().read(true).write(true).open(path.join("db"))?;
        let nodes_on_disk = path.parent().map_or(1, nodes_beside);
        let files = Arc::new(DirFiles::new(files));
        let shared = SledRead { db, trees, path: path.to_owned(), files, nodes_on_disk, _lock: lock.take() };
        Ok(SledStore { shared: Arc::new(shared), file, owner: None })
    }

    /// Looks around each sync whether this process still owns the directory.
    pub(super) fn owned_by(self, owner: Owner) -> SledStore {
        SledStore { owner: Some(owner), ..self }
    }

    /// Whether sled's trees hang together: each shows the same keys forwards and backwards. Where sled has lost the
    /// newest state of a page it shows an older one, of which the next page may not be a neighbour yet: whoever reads on
    /// from there finds an end, and whoever asks for a key behind it finds that.
    ///
    /// # Errors
    /// They do not.
    pub(super) fn hangs_together(&self) -> Result<(), StoreError> {
        for (name, tree) in &self.shared.trees {
            let forwards = tree.iter().keys().collect::<Result<Vec<_>, _>>()?;
            // A broken tree may go round in circles.
            let backwards = tree.iter().keys().rev().take(forwards.len() + 1);
            if !backwards.collect::<Result<Vec<_>, _>>()?.iter().rev().eq(&forwards) {
                let why = format!("pages of the tree {} are older than others", name.name());
                return Err(StoreError::Damaged(why));
            }
        }
        Ok(())
    }

    fn look(&self) -> Result<(), StoreError> {
        self.owner.as_ref().map_or(Ok(()), Owner::look)
    }
}

/// sled 0.34.7 tells a lock that another holds by its text alone.
fn not_opened(error: sled::Error) -> StoreError {
    match &error {
        sled::Error::Io(io) if io.to_string().contains("could not acquire lock") => StoreError::Locked,
        _ => error.into(),
    }
}

/// The directory of a store's files.
pub(crate) const SEALED: &str = "sealed";

/// How the name of a file ends that was being made.
pub(crate) const LEFTOVER: &str = ".generating";

/// A half-written snapshot of a recovery that was killed, or a half-made copy.
pub(crate) fn is_leftover(entry: &fs::DirEntry) -> bool {
    entry.file_name().to_string_lossy().ends_with(LEFTOVER)
}

/// Removes half-made files. One that comes back with a power cut is removed at the next start.
pub(crate) fn remove_leftovers(path: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if is_leftover(&entry) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn refuse_blobs(path: &Path) -> Result<(), StoreError> {
    let mut blobs = match fs::read_dir(path.join("blobs")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        blobs => blobs?,
    };
    match blobs.next() {
        Some(_) => {
            Err(StoreError::Damaged("blobs/ is not empty: a page was stored where it is never synced".into()))
        }
        None => Ok(()),
    }
}

impl SledRead {
    fn tree(&self, tree: Tree) -> Result<&sled::Tree, StoreError> {
        let found = self.trees.iter().find(|(name, _)| *name == tree);
        found.map(|(_, tree)| tree).ok_or_else(|| StoreError::Failed(format!("no tree {} here", tree.name())))
    }
}

impl StoreRead for SledRead {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.tree(tree)?.get(key)?.map(|value| value.to_vec()))
    }

    fn floor(&self, tree: Tree, key: &[u8]) -> Result<Option<Pair>, StoreError> {
        let pair = self.tree(tree)?.range(..=key).next_back().transpose()?;
        Ok(pair.map(|(key, value)| (key.to_vec(), value.to_vec())))
    }

    fn scan(&self, tree: Tree, from: &[u8], bytes_max: usize) -> Result<Vec<Pair>, StoreError> {
        let (mut pairs, mut bytes) = (Vec::new(), 0);
        for pair in self.tree(tree)?.range(from..) {
            let (key, value) = pair?;
            bytes += value.len();
            if bytes > bytes_max && !pairs.is_empty() {
                break;
            }
            pairs.push((key.to_vec(), value.to_vec()));
        }
        Ok(pairs)
    }

    fn files(&self) -> Arc<dyn Files> {
        self.files.clone()
    }

    fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(free_bytes(&self.path)?)
    }

    fn low_water_bytes(&self) -> u64 {
        LOW_WATER_BYTES * self.nodes_on_disk
    }
}

impl Store for SledStore {
    fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        check_size(value)?;
        self.shared.tree(tree)?.insert(key, value)?;
        Ok(())
    }

    fn remove(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        self.shared.tree(tree)?.remove(key)?;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.look()?;
        self.shared.db.flush()?;
        self.file.sync_data()?;
        self.look()
    }

    fn inspect(&self) -> Result<(), StoreError> {
        self.look()?;
        refuse_blobs(&self.shared.path)
    }

    fn keep_closed(&self, mark: (Seq, Hash), image: &Image<'_>) -> Result<bool, StoreError> {
        self.look()?;
        let Some(image) = image()? else { return Ok(false) };
        // Whoever reads sled's trees completes splits and merges that were begun: what that wrote must be in the file
        // before its time is taken, and not come there when the store is dropped.
        self.shared.db.flush()?;
        self.file.sync_data()?;
        closed::write(&self.shared.path, mark, &image)?;
        Ok(true)
    }

    fn reader(&self) -> Arc<dyn StoreRead> {
        self.shared.clone()
    }
}
