//! A disk whose device really fails: an ext4 without a journal, on a loop device, over a file in a small memory file
//! system. While that is full the device cannot write what it has no room for yet, though the ext4 has room enough: a
//! process's own writes go well, and the sync after them does not. What is in the file is what a power cut leaves.
//!
//! All of it is mounted in a mount namespace of its own and goes with the process that holds that, the loop device too.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// Room of the memory file system, and size of the disk in it.
const MEMORY: &str = "48m";
const DISK: &str = "64M";

/// They may be where only root looks.
const TOOLS: &str = "PATH=$PATH:/usr/sbin:/sbin && for tool in mount findmnt mkfs.ext4 e2fsck strace; do \
                     command -v $tool >/dev/null || { echo $tool is missing >&2; exit 1; }; done";
/// Makes the disk at `$0/memory/image`. Its own tables are given their room at once, all of them at its start: it is files
/// that the device will have no room for.
const MAKE: &str = "truncate -s \"$DISK\" \"$0/memory/image\" && \
                    mkfs.ext4 -q -b 4096 -O ^has_journal -E lazy_itable_init=0 \"$0/memory/image\" && \
                    dd if=\"$0/memory/image\" of=\"$0/memory/image\" conv=notrunc bs=1M count=6 status=none";
/// The loop device calls a write done of which it could do the beginning alone. So each page is a write of its own.
const MOUNT: &str = "mount -o loop \"$0/memory/image\" \"$0/disk\" && loop=$(findmnt -n -o SOURCE \"$0/disk\") && \
                     echo 4 >\"/sys/block/${loop##*/}/queue/max_sectors_kb\"";
/// Puts one there that was copied, and mends it as a start of the machine would: 1 means that there was something to mend.
const TAKE: &str = "cp --sparse=always \"$IMAGE\" \"$0/memory/image\" && \
                    { e2fsck -fy \"$0/memory/image\" >\"$0/fsck\" 2>&1 || [ $? -le 1 ]; }";

pub struct Device {
    holder: Child,
    _place: TempDir,
    /// The place as the mount namespace has it.
    root: PathBuf,
}

impl Device {
    /// An empty disk, or why there is none.
    pub fn new() -> Result<Device, String> {
        Device::mounted(MAKE, Path::new(""))
    }

    /// What a power cut left.
    pub fn after_power_cut(image: &Path) -> Result<Device, String> {
        Device::mounted(TAKE, image)
    }

    fn mounted(make: &str, image: &Path) -> Result<Device, String> {
        let place = tempfile::tempdir().unwrap();
        let script = format!(
            "{TOOLS} && mkdir \"$0/memory\" \"$0/disk\" && mount -t tmpfs -o size=\"$MEMORY\" tmpfs \"$0/memory\" && {make} && \
             {MOUNT} && echo mounted && exec cat"
        );
        let mut holder = Command::new("unshare")
            .args(["-m", "sh", "-c", &script])
            .arg(place.path())
            .envs([("MEMORY", MEMORY), ("DISK", DISK)])
            .env("IMAGE", image)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("unshare: {error}"))?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let root = PathBuf::from(format!("/proc/{}/root{}", holder.id(), place.path().display()));
        if line.trim() == "mounted" {
            return Ok(Device { holder, _place: place, root });
        }
        let said = holder.wait_with_output().unwrap();
        Err(String::from_utf8_lossy(&said.stderr).trim().to_owned())
    }

    /// Where the disk is mounted.
    pub fn path(&self) -> PathBuf {
        self.root.join("disk")
    }

    fn filler(&self) -> PathBuf {
        self.root.join("memory/filler")
    }

    /// From now on the device has no room for what it does not hold yet.
    pub fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [1 << 20, 4096] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    /// A process may write to the disk: the file system has room.
    pub fn has_room(&self) -> bool {
        rustix::fs::statvfs(self.path()).unwrap().f_bavail > 1000
    }

    /// The device works again.
    pub fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// Copies what a power cut would leave now.
    pub fn cut(&self, to: &Path) {
        let image = self.root.join("memory/image");
        let copied = Command::new("cp").arg("--sparse=always").args([image.as_path(), to]).status().unwrap();
        assert!(copied.success(), "the disk's image can be copied: {copied}");
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // It ends when its input does, too, however this process ends.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
