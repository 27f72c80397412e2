//! A node's directory: what it is before anything is opened, and how it is born.
//!
//! Names in it: `node.json` (who; pid and address are hints), `mark`, `ballast`, `log` (what the node prints; `log.1` and on: what it printed before), `key` (of a
//! warehouse: a copy of what its store has, for a backup while it runs; its owner alone may read it), `store/` (made as `store.tmp`, synced, renamed). Birth in order: `node.json`, `store.tmp` whole and synced, `mark` synced,
//! rename, directory synced. So a directory with only our names and neither store nor a mark above 0 was never born and is
//! started over, and a store without a mark, or a mark without its store, is damage.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::look::{self, read_file};
use super::mark::{self, Mark};
use super::{OpenError, Seq};
use crate::types::{Hash, PeerId, SecretKey, node_name};

const NAMES: [&str; 20] = [
    "node.json",
    "node.json.tmp",
    "mark",
    "mark.generating",
    "ballast",
    "log",
    "log.tmp",
    "log.1",
    "log.2",
    "log.3",
    "log.4",
    "log.5",
    "log.6",
    "log.7",
    "log.8",
    "log.9",
    "key",
    "key.tmp",
    "store",
    "store.tmp",
];

/// What only its owner may read and write.
pub(super) const OWNER_FILE: u32 = 0o600;
const OWNER_DIR: u32 = 0o700;

/// Paths of a node's directory.
#[derive(Clone, Debug)]
pub(crate) struct NodeDir {
    dir: PathBuf,
}

/// `node.json`: for people and for error messages. Identity counts from the store's meta alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeJson {
    /// The market's name.
    pub cluster: String,
    /// The node; 0 is the warehouse.
    pub node: PeerId,
    /// What it was made as.
    pub role: String,
    /// Where it listened at its last start.
    pub addr: String,
    /// Its process then.
    pub pid: u32,
    /// When that was (RFC 3339).
    pub started: String,
    /// Its store: what others may know of its token. Older versions did not write it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub store: String,
    /// `backup` made it: no node starts on it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backup: bool,
    /// Drawn by the process: two owners of one directory are told apart by it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub nonce: String,
    /// A checksum of the rest: what is damaged says nothing, and is written anew.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub check: String,
}

impl NodeJson {
    fn sum(&self) -> String {
        let NodeJson { cluster, node, role, addr, pid, started, store, nonce, backup, .. } = self;
        let text = format!("{cluster} {node} {role} {addr} {pid} {started} {store} {nonce} {backup}");
        format!("{:016x}", Hash::of(text.as_bytes()).first_u64())
    }

    fn is_whole(&self) -> bool {
        self.check.is_empty() || self.check == self.sum()
    }
}

/// What a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Not there, empty, or a birth that was cut off.
    Unborn,
    /// Store and mark are there.
    Born(Mark),
}

impl NodeDir {
    /// The directory at this path, whatever is there.
    pub(crate) fn new(dir: &Path) -> NodeDir {
        NodeDir { dir: dir.to_owned() }
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.dir
    }

    /// Who it is.
    pub(crate) fn node_json(&self) -> PathBuf {
        self.dir.join("node.json")
    }

    /// The last durable (sequence, hash).
    pub(crate) fn mark(&self) -> PathBuf {
        self.dir.join("mark")
    }

    /// Space set aside.
    pub(crate) fn ballast(&self) -> PathBuf {
        self.dir.join("ballast")
    }

    /// What the node prints.
    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// A copy of the warehouse's key.
    pub(crate) fn key(&self) -> PathBuf {
        self.dir.join("key")
    }

    /// Reads that copy; `None` if there is none, or it is not whole.
    pub(crate) fn read_key(&self) -> Option<SecretKey> {
        read_file(&self.key()).ok()?.try_into().ok().map(SecretKey)
    }

    /// Puts the copy there, by rename. Nobody else may read it at any time.
    pub(crate) fn write_key(&self, key: SecretKey) -> io::Result<()> {
        let temporary = self.dir.join("key.tmp");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_FILE).open(&temporary)?;
        file.write_all(&key.0)?;
        file.sync_all()?;
        fs::rename(&temporary, self.key())?;
        sync_dir(&self.dir)
    }

    /// The sled store.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// The store while it is made.
    pub(super) fn store_tmp(&self) -> PathBuf {
        self.dir.join("store.tmp")
    }

    /// The file of the store that holds its data, and its lock.
    pub(super) fn db(&self) -> PathBuf {
        self.dir.join("store").join("db")
    }

    /// A process has the store open.
    pub(crate) fn is_in_use(&self) -> bool {
        let db = self.db();
        db.is_file() && File::open(db).is_ok_and(|file| file.try_lock().is_err())
    }

    /// Reads `node.json`; `None` if it is not there or not whole.
    pub(crate) fn read_node_json(&self) -> Option<NodeJson> {
        serde_json::from_slice(&read_file(&self.node_json()).ok()?).ok().filter(NodeJson::is_whole)
    }

    /// Writes `node.json` by rename, so that it is whole at any time.
    pub(crate) fn write_node_json(&self, json: &NodeJson) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(&NodeJson { check: json.sum(), ..json.clone() })?;
        bytes.push(b'\n');
        let temporary = self.dir.join("node.json.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, self.node_json())?;
        sync_dir(&self.dir)
    }

    /// The process that had it open last, for "in use by".
    pub(super) fn owner(&self) -> String {
        match self.read_node_json() {
            Some(json) => {
                // A client has no id before the warehouse gave it one.
                let name = match json.node {
                    PeerId(0) => json.role,
                    node => node_name(node),
                };
                // A client listens nowhere.
                let at = if json.addr.is_empty() { String::new() } else { format!(" {},", json.addr) };
                format!("{name} (pid {},{at} since {})", json.pid, json.started)
            }
            None => "another process".to_owned(),
        }
    }

    /// Looks at the names and the mark; changes nothing.
    pub(super) fn life(&self) -> Result<Life, OpenError> {
        match fs::metadata(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Life::Unborn),
            Err(source) => return Err(OpenError::Io { path: self.dir.clone(), source }),
            Ok(found) if !found.is_dir() => return Err(OpenError::NotADirectory(self.dir.clone())),
            Ok(_) => {}
        }
        look::at_names(self)?;
        let mark = mark::read(&self.mark()).map_err(OpenError::io(&self.mark()))?;
        let marked = mark.map_or(Seq(0), |mark| mark.seq);
        match (self.store().exists(), mark) {
            (true, Some(mark)) => Ok(Life::Born(mark)),
            (true, None) => Err(OpenError::StoreWithoutMark(self.dir.clone())),
            (false, _) => match self.foreign().map_err(OpenError::io(&self.dir))? {
                Some(found) => Err(OpenError::NotOurs { dir: self.dir.clone(), found }),
                None if marked > Seq(0) => {
                    Err(OpenError::MarkWithoutStore { dir: self.dir.clone(), seq: marked })
                }
                None => Ok(Life::Unborn),
            },
        }
    }

    /// A name that is not one of ours.
    pub(super) fn foreign(&self) -> io::Result<Option<String>> {
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if !NAMES.contains(&name.as_str()) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// Whether there is a node's directory; false if it is absent, empty or was never born, so that a birth is needed.
pub(crate) fn exists(dir: &Path) -> Result<bool, OpenError> {
    Ok(matches!(NodeDir::new(dir).life()?, Life::Born(_)))
}

/// Whether all names in a directory are of a node's, and there is one at least: one that was never born, too.
pub(crate) fn is_nodes(dir: &Path) -> bool {
    let any = fs::read_dir(dir).is_ok_and(|mut names| names.next().is_some());
    any && NodeDir::new(dir).foreign().is_ok_and(|found| found.is_none())
}

/// Makes a directory for what only its owner may read.
pub(super) fn make_private(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(OWNER_DIR).create(dir)
}

/// Leaves all files in it to their owner alone.
pub(super) fn close_to_others(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => close_to_others(&entry.path())?,
            false => fs::set_permissions(entry.path(), Permissions::from_mode(OWNER_FILE))?,
        }
    }
    fs::set_permissions(dir, Permissions::from_mode(OWNER_DIR))
}

/// Makes the names in a directory survive a power cut.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes a whole tree of files survive a power cut: files first, then the directories that name them.
pub(super) fn sync_tree(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => sync_tree(&entry.path())?,
            false => File::open(entry.path())?.sync_all()?,
        }
    }
    sync_dir(dir)
}
