//! Segments of a ledger in one file, which is read beside the store that they were taken from.
//!
//! ```text
//! magic [8] | segment ... | manifest | length of the manifest u32 | BLAKE3 of the manifest [32] | magic [8]
//! ```
//!
//! The manifest says whose log it is, which part of it, and where each segment lies. A segment has checks of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::block::Tip;
use super::super::dir::{OWNER_FILE, sync_dir};
use super::super::sled_store::LEFTOVER;
use super::super::store::StoreError;
use super::super::{OpenError, codec, look};
use super::segment::Index;
use super::{Files, SealedPart};
use crate::limits::COPY_BYTES;
use crate::types::Hash;

const MAGIC: [u8; 8] = *b"bazarc\x001";
const TAIL_BYTES: usize = 4 + 32 + MAGIC.len();

/// Whose log it is, and how many segments there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    cluster: String,
    part: SealedPart,
    segments: u32,
}

/// Where a segment lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    name: String,
    at: u64,
    length: u64,
}

/// An archive, open for reading.
pub(crate) struct Archive {
    path: PathBuf,
    file: File,
    head: Head,
    entries: Vec<Entry>,
}

impl Archive {
    /// Opens one.
    ///
    /// # Errors
    /// It cannot be read, or is no archive.
    pub(crate) fn open(path: &Path) -> Result<Arc<Archive>, OpenError> {
        let at = OpenError::io(path);
        match look::kind(path) {
            Ok(look::Kind::File) => {}
            Ok(look::Kind::Absent) => return Err(at(io::ErrorKind::NotFound.into())),
            Ok(_) => return Err(no_archive(path)),
            Err(error) => return Err(at(error)),
        }
        let file = File::open(path).map_err(at)?;
        let (head, entries) =
            manifest(&file).map_err(OpenError::io(path))?.ok_or_else(|| no_archive(path))?;
        Ok(Arc::new(Archive { path: path.to_owned(), file, head, entries }))
    }

    /// Which part of the log it has.
    pub(crate) fn part(&self) -> SealedPart {
        self.head.part
    }

    /// Where the log stood before its first row.
    ///
    /// # Errors
    /// Its first segment cannot be read.
    pub(crate) fn before(&self) -> Result<Tip, StoreError> {
        match self.entries.first() {
            Some(entry) => Ok(Index::read(self, &entry.name)?.before),
            None => Err(self.lacks("its first segment")),
        }
    }

    /// The market that the log is of.
    pub(crate) fn cluster(&self) -> &str {
        &self.head.cluster
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn no_archive(path: &Path) -> OpenError {
    OpenError::Archive { path: path.to_owned(), why: "it is no archive, or not a whole one".to_owned() }
}

/// None if it is not as it was written.
fn manifest(file: &File) -> io::Result<Option<(Head, Vec<Entry>)>> {
    let Some(end) = file.metadata()?.len().checked_sub(TAIL_BYTES as u64) else { return Ok(None) };
    let mut tail = [0; TAIL_BYTES];
    file.read_exact_at(&mut tail, end)?;
    let (length, rest) = tail.split_at(4);
    let length = length.try_into().map_or(0, u32::from_le_bytes);
    let Some(at) = end.checked_sub(length.into()).filter(|_| rest.ends_with(&MAGIC)) else { return Ok(None) };
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, at)?;
    if Hash::of(&bytes).0 != rest[..32] {
        return Ok(None);
    }
    let mut bytes = &bytes[..];
    let Ok(head) = codec::decode_first::<Head>(&mut bytes) else { return Ok(None) };
    let entries = (0..head.segments).map(|_| codec::decode_first(&mut bytes)).collect::<Result<_, _>>();
    Ok(entries.ok().map(|entries| (head, entries)))
}

/// Writes the segments of `names`, which make up `part`, to a new file that is whole and synced, or absent. Gives its size.
pub(crate) fn write(
    path: &Path,
    files: &dyn Files,
    names: &[String],
    (cluster, part): (&str, SealedPart),
) -> Result<u64, StoreError> {
    let temporary = PathBuf::from(format!("{}{LEFTOVER}", path.display()));
    let written = fill(&temporary, files, names, (cluster, part));
    let done = written.and_then(|bytes| {
        // Not over a file that has come to stand there meanwhile.
        fs::hard_link(&temporary, path)?;
        Ok(bytes)
    });
    // What is left of it is no archive.
    let _ = fs::remove_file(&temporary);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))?;
    done
}

fn fill(
    temporary: &Path,
    files: &dyn Files,
    names: &[String],
    (cluster, part): (&str, SealedPart),
) -> Result<u64, StoreError> {
    let mut out =
        OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_FILE).open(temporary)?;
    out.write_all(&MAGIC)?;
    let head = Head { cluster: cluster.to_owned(), part, segments: names.len() as u32 };
    let (mut at, mut manifest) = (MAGIC.len() as u64, codec::encode(&head)?);
    for name in names {
        let length = files.length(name)?;
        copy(files, name, length, &mut out)?;
        codec::encode_into(&Entry { name: name.clone(), at, length }, &mut manifest)?;
        at += length;
    }
    out.write_all(&manifest)?;
    out.write_all(&(manifest.len() as u32).to_le_bytes())?;
    out.write_all(&Hash::of(&manifest).0)?;
    out.write_all(&MAGIC)?;
    out.sync_all()?;
    Ok(at + (manifest.len() + TAIL_BYTES) as u64)
}

fn copy(files: &dyn Files, name: &str, length: u64, out: &mut File) -> Result<(), StoreError> {
    let mut at = 0;
    while at < length {
        let bytes = files.read(name, at, COPY_BYTES.min((length - at) as usize))?;
        out.write_all(&bytes)?;
        at += bytes.len() as u64;
    }
    Ok(())
}

impl Files for Archive {
    fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.entries.iter().map(|entry| entry.name.clone()).collect())
    }

    fn length(&self, name: &str) -> Result<u64, StoreError> {
        self.entry(name).map(|entry| entry.length).ok_or_else(|| self.lacks(name))
    }

    fn read(&self, name: &str, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let entry = self.entry(name).filter(|entry| at + length as u64 <= entry.length);
        let entry = entry.ok_or_else(|| self.lacks(name))?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, entry.at + at)?;
        Ok(bytes)
    }

    fn put(&self, name: &str, _: &[u8]) -> Result<(), StoreError> {
        Err(self.lacks(name))
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        Err(self.lacks(name))
    }
}

impl Archive {
    fn lacks(&self, name: &str) -> StoreError {
        StoreError::Damaged(format!("{} does not hold all of {name}", self.path.display()))
    }
}

/// The files of a store and the segments of archives.
pub(super) struct Joined {
    pub(super) archives: Vec<Arc<Archive>>,
    pub(super) rest: Arc<dyn Files>,
}

impl Joined {
    fn holder(&self, name: &str) -> &dyn Files {
        let archive = self.archives.iter().find(|archive| archive.entry(name).is_some());
        archive.map_or(&*self.rest, |archive| &**archive as &dyn Files)
    }
}

impl Files for Joined {
    fn names(&self) -> Result<Vec<String>, StoreError> {
        let mut names = self.rest.names()?;
        for archive in &self.archives {
            names.extend(archive.names()?);
        }
        names.sort();
        Ok(names)
    }

    fn length(&self, name: &str) -> Result<u64, StoreError> {
        self.holder(name).length(name)
    }

    fn read(&self, name: &str, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        self.holder(name).read(name, at, length)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.rest.put(name, bytes)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.rest.remove(name)
    }
}
