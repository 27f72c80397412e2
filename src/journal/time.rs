//! Time as the journal knows it: passed in, so that a simulation decides how late it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::types::WallMicros;

/// The wall clock, for the time in blocks and lines and for people: nothing is ordered by it.
#[allow(clippy::disallowed_methods)] // machines are given what it says
pub fn wall_now() -> WallMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallMicros(since.as_micros() as u64)
}

/// A clock that never goes back.
pub trait Time: Send + Sync {
    /// How long ago this clock was started.
    fn now(&self) -> Duration;
}

/// The system's monotonic clock, started when this value was made.
pub struct RealTime(Instant);

impl Default for RealTime {
    fn default() -> RealTime {
        RealTime(Instant::now())
    }
}

impl Time for RealTime {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A clock that stands still until it is set. It is for journals without a thread: a writer thread could not sleep by
/// it.
#[derive(Default)]
pub(crate) struct HandTime {
    nanos: AtomicU64,
}

impl HandTime {
    /// Sets the clock; a time before the present one changes nothing.
    pub(crate) fn set(&self, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_max(nanos, Ordering::Relaxed);
    }
}

impl Time for HandTime {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}
