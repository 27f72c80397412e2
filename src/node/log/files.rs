//! The files of a log: `log`, which is written, and `log.1`, `log.2` ..., each older than the one before it.
//!
//! Full, a file is renamed, and an empty one that was made beforehand takes its name: at every moment each line is in
//! exactly one file. Killed in between, a process leaves a number without a file at most, which the next rotation fills
//! before any file is removed, or `log.tmp`, which the next one makes anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::limits::{LOG_FILES_MAX, LOG_ROTATE_AGAIN_AFTER};

/// How much of a log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of one file.
    pub size: u64,
    /// Files in all.
    pub files: u32,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Files {
    path: PathBuf,
    bounds: Bounds,
    file: File,
    /// Whether it is stderr, too: then stderr goes along to the next file, since panics are written there.
    is_stderr: bool,
    /// Why a rotation failed, and when the next one is tried.
    failed: Option<(String, Instant)>,
}

impl Files {
    /// The files of the log at this path, if stderr is that log: `up` starts its nodes so, and so may others.
    pub(super) fn of_stderr(path: &Path, bounds: Bounds) -> Option<Files> {
        let stderr = rustix::fs::fstat(io::stderr()).ok()?;
        let log = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        if (stderr.st_dev, stderr.st_ino) != (log.dev(), log.ino()) {
            return None;
        }
        let files = Files { is_stderr: true, ..Files::open(path, bounds).ok()? };
        // A shell's `2>` does not append: what goes to stderr on its own would be written over lines.
        rustix::stdio::dup2_stderr(&files.file).ok()?;
        Some(files)
    }

    /// Opens the log at this path. Files beyond the bound, of a time with another one, go.
    pub(super) fn open(path: &Path, bounds: Bounds) -> io::Result<Files> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let files = Files { path: path.to_owned(), bounds, file, is_stderr: false, failed: None };
        for number in bounds.files..LOG_FILES_MAX {
            // Absent, nearly always.
            let _ = fs::remove_file(files.older(number));
        }
        Ok(files)
    }

    /// Appends whole lines, to the next file if they do not fit this one any more.
    ///
    /// # Errors
    /// They were not written, or in part. While no rotation works a file grows to twice its bound and no further.
    pub(super) fn append(&mut self, text: &str, now: Instant) -> io::Result<()> {
        let size = self.bounds.size;
        let grown = self.file.metadata()?.len().saturating_add(text.len() as u64);
        if grown > size && grown > text.len() as u64 {
            self.rotate_at(now).or_else(|error| if grown > 2 * size { Err(error) } else { Ok(()) })?;
        }
        self.file.write_all(text.as_bytes())
    }

    fn rotate_at(&mut self, now: Instant) -> io::Result<()> {
        if let Some((why, again_at)) = &self.failed
            && now < *again_at
        {
            return Err(io::Error::other(why.clone()));
        }
        let rotated = self.rotate();
        let why = rotated.as_ref().err().map(|error| format!("no other file can take its place: {error}"));
        self.failed = why.map(|why| (why, now + LOG_ROTATE_AGAIN_AFTER));
        rotated
    }

    fn rotate(&mut self) -> io::Result<()> {
        let next = self.next()?;
        for (from, to) in self.renames() {
            fs::rename(from, to)?;
        }
        if self.is_stderr {
            rustix::stdio::dup2_stderr(&next)?;
        }
        self.file = next;
        Ok(())
    }

    /// What a rotation does with the names, in this order.
    pub(super) fn renames(&self) -> Vec<(PathBuf, PathBuf)> {
        // A number without a file takes what is before it; without one the oldest file goes.
        let oldest = self.bounds.files.saturating_sub(1).max(1);
        let free = (1..oldest).find(|number| !self.older(*number).exists());
        let shifted = (1..free.unwrap_or(oldest)).rev();
        let mut renames: Vec<_> =
            shifted.map(|number| (self.older(number), self.older(number + 1))).collect();
        // Else somebody moved it away, or a rotation was cut off behind this step.
        if self.path.exists() {
            renames.push((self.path.clone(), self.older(1)));
        }
        renames.push((self.named(".tmp"), self.path.clone()));
        renames
    }

    /// The file that will be written next, made before anything is renamed: there may be no descriptor, or no room.
    pub(super) fn next(&self) -> io::Result<File> {
        let path = self.named(".tmp");
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => OpenOptions::new().append(true).create_new(true).open(path),
        }
    }

    fn older(&self, number: u32) -> PathBuf {
        self.named(&format!(".{number}"))
    }

    fn named(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}
