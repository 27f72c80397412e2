//! What a process takes: memory, descriptors, threads, processor time and disk, from `/proc` and the file system.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// One process at one time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    /// Bytes of memory.
    pub rss: f64,
    /// Open file descriptors.
    pub fds: f64,
    /// Threads.
    pub threads: f64,
    /// Seconds of processor time, its own and the system's for it.
    pub cpu_s: f64,
}

/// None: it is gone.
pub(crate) fn taken(pid: u32) -> Option<Taken> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as f64;
    Some(Taken { rss: field("VmRSS:")? * 1_024.0, fds, threads: field("Threads:")?, cpu_s: cpu_s(pid)? })
}

fn cpu_s(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; user and system time are the 12th and 13th word behind it.
    let (_, behind) = stat.rsplit_once(')')?;
    let ticks: u64 = behind.split_whitespace().skip(11).take(2).map_while(|it| it.parse::<u64>().ok()).sum();
    Some(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Bytes that a directory takes on its disk. What goes while it is looked at is left out.
pub(crate) fn disk_of(dir: &Path) -> f64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0.0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_of(&entry.path()),
        Ok(meta) => meta.blocks() as f64 * 512.0,
        Err(_) => 0.0,
    };
    entries.flatten().map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something_and_one_that_is_gone_nothing() {
        let Taken { rss, fds, threads, cpu_s } = taken(std::process::id()).unwrap();
        assert!(rss > 100_000.0 && fds >= 3.0 && threads >= 1.0 && cpu_s >= 0.0);
        assert!(taken(u32::MAX).is_none());
    }
}
