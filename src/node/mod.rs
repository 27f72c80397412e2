//! What runs a machine: [`driver`] gives it its turns, [`port`] says where its effects go, [`grpc`] is the real port.
//!
//! A node's driver runs on a thread of its own, the journal's writer on another, tokio with two workers carries the wire.
//! The driver's loop awaits only its inbox, its machine's next turn and the durable sequence, never a send.

use std::time::Instant;

pub use crate::journal::wall_now;
use crate::types::Now;

pub(crate) mod birth;
pub mod boot;
pub mod driver;
pub mod grpc;
pub(crate) mod held;
pub(crate) mod http;
pub(crate) mod life;
pub(crate) mod log;
pub(crate) mod meter;
pub(crate) mod notify;
mod opening;
pub mod port;
pub(crate) mod process;
pub(crate) mod tracing;

/// The monotonic clock of a process, in milliseconds since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Default for Stopwatch {
    fn default() -> Self {
        Stopwatch(Instant::now())
    }
}

impl Stopwatch {
    /// The time that machines are given.
    pub(crate) fn now(&self) -> Now {
        Now(self.0.elapsed().as_millis() as u64)
    }

    /// Microseconds, for latencies.
    pub(crate) fn micros(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }

    /// When `at` is, as tokio waits for it.
    pub(crate) fn instant(&self, at: Now) -> tokio::time::Instant {
        (self.0 + std::time::Duration::from_millis(at.0)).into()
    }
}
