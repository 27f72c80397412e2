//! The disk's own speed, to hold a run against: plain appends to a file, each made durable, where the stores go.
//!
//! Taken just before the run, with nothing of it running. Low figures beside high ones of the run mean that others use
//! the processors: one thread that appends then waits for its turn more than the threads of several nodes do.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of a record, about what an order costs in a ledger.
const RECORD_BYTES: usize = 72;
/// How long each kind of append is tried.
const TRIED: Duration = Duration::from_secs(1);

/// Records per second, by how many of them share one sync.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    /// One.
    pub by_1: f64,
    /// 64.
    pub by_64: f64,
    /// 1024.
    pub by_1024: f64,
}

impl Raw {
    /// Appends and syncs for a few seconds in a file of its own, which it removes.
    pub(crate) fn measure(dir: &Path) -> io::Result<Raw> {
        Ok(Raw { by_1: rate(dir, 1)?, by_64: rate(dir, 64)?, by_1024: rate(dir, 1024)? })
    }
}

fn rate(dir: &Path, records: usize) -> io::Result<f64> {
    let path = dir.join("raw");
    let mut file = File::create(&path)?;
    let bytes = vec![0x5a; RECORD_BYTES * records];
    let (began, mut syncs) = (Instant::now(), 0_u32);
    while began.elapsed() < TRIED {
        file.write_all(&bytes)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = f64::from(syncs) * records as f64 / began.elapsed().as_secs_f64();
    std::fs::remove_file(path)?;
    Ok(rate)
}
