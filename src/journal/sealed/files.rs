//! Whole files beside a store's trees: written once, read by any thread, removed. In a directory or in memory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::super::dir::{OWNER_FILE, make_private, sync_dir};
use super::super::look;
use super::super::sled_store::LEFTOVER;
use super::super::store::StoreError;

/// See the module's text.
pub trait Files: Send + Sync {
    /// The names of all that are whole, in their order.
    fn names(&self) -> Result<Vec<String>, StoreError>;
    /// How long one is.
    fn length(&self, name: &str) -> Result<u64, StoreError>;
    /// Bytes of one; an error if it is shorter.
    fn read(&self, name: &str, at: u64, length: usize) -> Result<Vec<u8>, StoreError>;
    /// Writes one that survives anything once this has returned `Ok`, and is whole or absent until then.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError>;
    /// Removes one, if it is there.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
}

/// The files of a directory, which is made with the first of them.
pub(crate) struct DirFiles(PathBuf);

impl DirFiles {
    pub(crate) fn new(dir: &Path) -> DirFiles {
        DirFiles(dir.to_owned())
    }

    /// In the words of the file rather than of the store.
    fn failed(&self, name: &str) -> impl FnOnce(io::Error) -> StoreError + use<> {
        let path = self.0.join(name);
        move |error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => {
                StoreError::Damaged(format!("{} is not there, or not whole", path.display()))
            }
            _ => error.into(),
        }
    }

    fn write(&self, temporary: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(OWNER_FILE).open(temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(temporary, self.0.join(name))?;
        sync_dir(&self.0)
    }
}

impl Files for DirFiles {
    fn names(&self) -> Result<Vec<String>, StoreError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            match look::kind(&self.0.join(&name))? {
                look::Kind::File if !name.ends_with(LEFTOVER) => names.push(name),
                _ => {}
            }
        }
        names.sort();
        Ok(names)
    }

    fn length(&self, name: &str) -> Result<u64, StoreError> {
        fs::metadata(self.0.join(name)).map(|found| found.len()).map_err(self.failed(name))
    }

    fn read(&self, name: &str, at: u64, length: usize) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; length];
        let read = File::open(self.0.join(name)).and_then(|file| file.read_exact_at(&mut bytes, at));
        read.map(|()| bytes).map_err(self.failed(name))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        if !self.0.is_dir() {
            make_private(&self.0)?;
            self.0.parent().map_or(Ok(()), sync_dir)?;
        }
        let temporary = self.0.join(format!("{name}{LEFTOVER}"));
        let written = self.write(&temporary, name, bytes);
        if written.is_err() {
            // What is left of it is removed at the next start, too.
            let _ = fs::remove_file(&temporary);
        }
        Ok(written?)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}
