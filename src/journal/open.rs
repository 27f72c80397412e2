//! Opens a node's directory: lock, look, give birth if it is new, open the store under guard, recover, run.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::block::Tip;
use super::closed;
use super::derived;
use super::dir::{Life, NodeDir, NodeJson, make_private, sync_dir, sync_tree};
use super::guard::guarded;
use super::identity;
use super::lock::lock_until;
use super::look;
use super::mark::{Mark, MarkFile, MarkKeeper};
use super::meta::{self, BACKUP, Birth, FORMAT};
use super::owner::Owner;
use super::page_cache::agree_with_disk;
use super::recover::{Recovered, Setup, start_watched};
use super::sealed::Sealing;
use super::sled_store::{SEALED, SledStore, remove_leftovers};
use super::store::{Store as _, StoreError, trees_of};
use super::time::{RealTime, wall_now};
use super::{Fatal, OpenError, mark};
use crate::limits::{LOCK_RETRY_MAX, OPEN_STALL_MAX};
use crate::model::fold::{Fold, Tree};
use crate::types::{Hash, PeerId, SecretKey};

/// Opens the directory, or makes it if it does not exist yet and `birth` says as what. `addr` is a hint for `node.json`.
/// The lock is held until the process ends.
pub fn open<F: Fold>(
    dir: &Path,
    birth: Option<Birth>,
    expect_cluster: Option<&str>,
    addr: &str,
    fatal: Fatal,
) -> Result<Recovered<F>, OpenError> {
    open_sealing(dir, birth, expect_cluster, addr, Sealing::default(), fatal)
}

/// The same; `sealing` says when the log's older part moves into segments.
pub fn open_sealing<F: Fold>(
    dir: &Path,
    birth: Option<Birth>,
    expect_cluster: Option<&str>,
    addr: &str,
    sealing: Sealing,
    fatal: Fatal,
) -> Result<Recovered<F>, OpenError> {
    let node = NodeDir::new(dir);
    let deadline = Instant::now() + LOCK_RETRY_MAX;
    let life = node.life()?;
    if life == Life::Unborn && birth.is_none() {
        return Err(OpenError::Absent(dir.to_owned()));
    }
    make_dir(dir).map_err(OpenError::io(dir))?;
    let lock = lock_until(dir, false, deadline).map_err(OpenError::io(dir))?;
    let lock = lock.ok_or_else(|| in_use(&node))?;
    let key = birth.as_ref().and_then(|birth| birth.key);
    // Another process may have been at it before the lock was ours.
    let life = node.life()?;
    look::at_owners_names(&node)?;
    match (life, birth) {
        (Life::Born(mark), _) => refuse_unopened(&node, mark, expect_cluster)?,
        (Life::Unborn, Some(birth)) => give_birth(&node, &birth, F::LOG, addr)?,
        (Life::Unborn, None) => return Err(OpenError::Absent(dir.to_owned())),
    }
    // First of all: on a full disk nothing can be written before.
    super::space::give_up_ballast(dir, &node.ballast()).map_err(OpenError::io(&node.ballast()))?;
    let owner = Owner::new(&node)?;
    owner.claim()?;
    let began = Instant::now();
    let mut recovered =
        recover::<F>(&node, expect_cluster, key, sealing, (lock, owner.clone()), deadline, fatal)?;
    recovered.recovery.elapsed = began.elapsed();
    let meta = recovered.journal.meta();
    let store = identity::store_id(meta);
    let json = NodeJson { store, nonce: owner.nonce(), ..NodeJson::default() };
    say_who(&node, &meta.cluster, meta.node, &meta.role, addr, json)?;
    if let Some(key) = meta.key.filter(|key| node.read_key() != Some(*key)) {
        node.write_key(key).map_err(OpenError::io(&node.key()))?;
    }
    // Without ballast a node runs just as well.
    if let Err(error) = super::space::take_ballast(dir, &node.ballast()) {
        tracing::warn!("no ballast in {}: {error}", dir.display());
    }
    Ok(recovered)
}

pub(super) fn in_use(node: &NodeDir) -> OpenError {
    OpenError::InUse { dir: node.path().to_owned(), by: node.owner() }
}

pub(super) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// Refuses what can be refused from outside the store, before sled opens, hence changes, it.
pub(super) fn refuse_unopened(node: &NodeDir, mark: Mark, cluster: Option<&str>) -> Result<(), OpenError> {
    let dir = || node.path().to_owned();
    if mark.format > FORMAT {
        return Err(OpenError::Newer { dir: dir(), found: mark.format, known: FORMAT });
    }
    if let Some(json) = node.read_node_json() {
        identity::suits_name(node, &json.role, json.node)?;
    }
    match cluster {
        Some(expected) if mark.cluster != Hash::of(expected.as_bytes()) => {
            let found = node.read_node_json().map_or("another".into(), |json| json.cluster);
            Err(OpenError::OtherCluster { dir: dir(), found, expected: expected.into() })
        }
        _ => Ok(()),
    }
}

/// Makes the store beside its place, whole and synced, and puts it there last.
fn give_birth(node: &NodeDir, birth: &Birth, log: Tree, addr: &str) -> Result<(), OpenError> {
    identity::suits_name(node, &birth.role, birth.node)?;
    name_node(node, birth, addr)?;
    let temporary = node.store_tmp();
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(OpenError::io(&temporary))?;
    }
    let (path, birth, cluster) = (temporary.clone(), birth.clone(), birth.cluster.clone());
    guarded(&temporary, OPEN_STALL_MAX, move || {
        make_store(&path, &birth, log).map_err(OpenError::store(&path))
    })?;
    move_in(node, &cluster, Tip::default())
}

/// Writes down which node the directory is going to belong to.
pub(super) fn name_node(node: &NodeDir, birth: &Birth, addr: &str) -> Result<(), OpenError> {
    let Birth { cluster, node: id, role, token, extra, .. } = birth;
    let store = token.store_id().to_string();
    let json = NodeJson { store, backup: extra.contains_key(BACKUP), ..NodeJson::default() };
    say_who(node, cluster, *id, role, addr, json)
}

fn say_who(
    node: &NodeDir,
    cluster: &str,
    id: PeerId,
    role: &str,
    addr: &str,
    rest: NodeJson,
) -> Result<(), OpenError> {
    let (cluster, role, addr) = (cluster.to_owned(), role.to_owned(), addr.to_owned());
    let (pid, started) = (std::process::id(), wall_now().to_string());
    let json = NodeJson { cluster, node: id, role, addr, pid, started, ..rest };
    node.write_node_json(&json).map_err(OpenError::io(&node.node_json()))
}

/// Syncs the store that was made aside, writes the mark of its end, and puts it in its place.
pub(super) fn move_in(node: &NodeDir, cluster: &str, tip: Tip) -> Result<(), OpenError> {
    let (at, temporary) = (OpenError::io, node.store_tmp());
    sync_tree(&temporary).map_err(at(&temporary))?;
    // A mark may be there already: a birth that was cut off may have left one of another cluster, a lost store one of
    // another end.
    let mark = node.mark();
    let fresh = fs::remove_file(&mark).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    });
    let write = || MarkFile::open(&mark, FORMAT, cluster)?.write_slot(tip.seq, tip.hash);
    fresh.and_then(|()| write()).map_err(at(&mark))?;
    sync_dir(node.path()).map_err(at(node.path()))?;
    fs::rename(&temporary, node.store()).map_err(at(&node.store()))?;
    sync_dir(node.path()).map_err(at(node.path()))
}

fn make_store(path: &Path, birth: &Birth, log: Tree) -> Result<(), StoreError> {
    make_private(path)?;
    let mut store = SledStore::open(path, trees_of(log), &mut None)?;
    meta::create(&mut store, birth, log)
}

/// Opens the store and recovers it, on a thread that may panic or hang.
fn recover<F: Fold>(
    node: &NodeDir,
    expect_cluster: Option<&str>,
    key: Option<SecretKey>,
    sealing: Sealing,
    (lock, owner): (File, Owner),
    deadline: Instant,
    fatal: Fatal,
) -> Result<Recovered<F>, OpenError> {
    let (node, expect_cluster) = (node.clone(), expect_cluster.map(str::to_owned));
    guarded(&node.db(), OPEN_STALL_MAX, move || {
        let store = open_store::<F>(&node, lock, deadline)?.owned_by(owner.clone());
        let at = OpenError::io(&node.mark());
        let meta = meta::load(&*store.reader()).map_err(OpenError::store(&node.store()))?;
        if meta.extra.contains_key(BACKUP) {
            return Err(OpenError::Backup(node.path().to_owned()));
        }
        identity::agrees(&node, node.read_node_json().as_ref(), &meta)?;
        let mark = MarkFile::open(&node.mark(), FORMAT, &meta.cluster).map_err(at)?;
        let (dir, mark) = (node.path().to_owned(), Some(Box::new(mark) as Box<dyn MarkKeeper>));
        let time = Arc::<RealTime>::default();
        let setup = Setup { dir, birth: None, key, expect_cluster, mark, sealing, time, fatal };
        start_watched(Box::new(store), setup, Box::new(move || owner.look()))
    })
}

/// Removes left-over files, makes the page cache true, and what is derived and damaged anew; then opens, each under a lock.
/// Between the two a reader may take the lock; it gives it back soon, and leaves nothing in memory that is not on the
/// disk.
pub(super) fn open_store<F: Fold>(
    node: &NodeDir,
    lock: File,
    deadline: Instant,
) -> Result<SledStore, OpenError> {
    look::in_store(node)?;
    let db = node.db();
    let mut keep = Some(lock);
    loop {
        let alone = lock_until(&db, false, deadline).map_err(OpenError::io(&db))?;
        let alone = alone.ok_or_else(|| in_use(node))?;
        for path in [node.store(), node.store().join(SEALED)] {
            remove_leftovers(&path).map_err(OpenError::io(&path))?;
        }
        agree_with_disk(node)?;
        let mark = mark::read(&node.mark()).map_err(OpenError::io(&node.mark()))?;
        derived::rebuild::<F>(node, mark)?;
        // Only now: up to here the store is as it was, and may be refused.
        closed::remove(&node.store()).map_err(OpenError::io(&closed::path(&node.store())))?;
        drop(alone);
        match SledStore::open(&node.store(), trees_of(F::LOG), &mut keep) {
            Err(StoreError::Locked) if Instant::now() < deadline => {}
            Err(StoreError::Locked) => return Err(in_use(node)),
            Ok(opened) => {
                // sled does not sync the directory after it renamed its snapshot, whose successor may reuse segments.
                sync_dir(&node.store()).map_err(OpenError::io(&node.store()))?;
                return Ok(opened);
            }
            Err(error) => return Err(OpenError::store(&db)(error)),
        }
    }
}
