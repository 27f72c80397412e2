//! A disk of a known size for one node, so that it can be filled: a tmpfs in a mount namespace of its own.
//!
//! It needs `unshare` and root. The namespace lives as long as a child of this process, through whose `/proc` entry the
//! disk is reached, so that nothing is left mounted however this process ends.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;

use crate::limits::SOAK_DISK_MIB;

/// How much is left when it is full: less than a node wants to see.
const LEFT_BYTES: u64 = 2 << 20;

/// See the module's text.
pub(in crate::ops) struct SmallDisk {
    holder: Child,
    _place: TempDir,
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts one.
    ///
    /// # Errors
    /// Says what is missing.
    pub(in crate::ops) fn new() -> Result<SmallDisk, String> {
        let place = TempDir::with_prefix("bazaar-disk-").map_err(|error| error.to_string())?;
        let mount =
            format!("mount -t tmpfs -o size={SOAK_DISK_MIB}m tmpfs \"$0\" && echo mounted && exec cat");
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &mount]).arg(place.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut holder = command.spawn().map_err(|error| format!("unshare cannot be started: {error}"))?;
        let mut line = String::new();
        let said = holder.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let path = PathBuf::from(format!("/proc/{}/root{}", holder.id(), place.path().display()));
        let disk = SmallDisk { holder, _place: place, path };
        match said {
            Some(Ok(_)) if line.trim() == "mounted" => Ok(disk),
            _ => Err("a disk of its own cannot be mounted without root".to_owned()),
        }
    }

    /// Makes `dir` a directory on it.
    pub(in crate::ops) fn lead_to(&self, dir: &Path) -> io::Result<()> {
        let there = self.path.join("node");
        fs::create_dir(&there)?;
        std::os::unix::fs::symlink(there, dir)
    }

    /// Puts what is on it in place of what leads to it: it is gone with this process.
    pub(in crate::ops) fn keep(&self, dir: &Path) -> io::Result<()> {
        fs::remove_file(dir)?;
        copy_all(&self.path.join("node"), dir)
    }

    fn free(&self) -> u64 {
        rustix::fs::statvfs(&self.path).map_or(0, |disk| disk.f_bavail * disk.f_frsize)
    }

    /// Fills it.
    pub(in crate::ops) fn fill(&self) {
        let file = File::options().append(true).create(true).open(self.path.join("filler"));
        let bytes = self.free().saturating_sub(LEFT_BYTES);
        // A disk that is full already cannot be filled further.
        let _ = file.map(|filler| fallocate(filler, FallocateFlags::empty(), 0, bytes));
    }

    /// Frees it again.
    pub(in crate::ops) fn clear(&self) {
        // It was not filled: there is nothing to free.
        let _ = fs::remove_file(self.path.join("filler"));
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if entry.is_dir() { copy_all(&entry, &to)? } else { fs::copy(&entry, &to).map(drop)? }
    }
    Ok(())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // It ends when its input does, too, however this process ends.
        let _ = (self.holder.kill(), self.holder.wait());
    }
}
