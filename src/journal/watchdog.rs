//! Sees a write or sync that does not come back: a hung disk, or sled's `flush` after a failed write.
//!
//! It counts its own rounds instead of comparing times: a process that was stopped and continued has lost time, not its
//! disk. One atomic per round while nothing is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::store::StoreError;
use super::{Fatal, Fault};

/// Even: idle; odd: a group is being written. Bumped at both ends.
#[derive(Default)]
pub(super) struct Pulse {
    beat: AtomicU64,
    ended: AtomicBool,
}

impl Pulse {
    /// A group begins or ends.
    pub(crate) fn beat(&self) {
        self.beat.fetch_add(1, Ordering::Relaxed);
    }

    /// The writer is gone.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// A look at what must hold all the time.
pub(super) type Look = Box<dyn Fn() -> Result<(), StoreError> + Send>;

/// Starts the thread: `fatal` is called when one group takes `stall_max`, or when `look` finds something; both are looked
/// at every `every`.
pub(super) fn watch(
    pulse: Arc<Pulse>,
    stall_max: Duration,
    every: Duration,
    look: Look,
    fatal: Fatal,
) -> std::io::Result<()> {
    let rounds_max = (stall_max.as_nanos() / every.as_nanos().max(1)).max(1);
    let run = move || {
        let (mut last, mut rounds) = (0, 0);
        while !pulse.ended.load(Ordering::Relaxed) {
            thread::sleep(every);
            let beat = pulse.beat.load(Ordering::Relaxed);
            rounds = if beat % 2 == 1 && beat == last { rounds + 1 } else { 0 };
            last = beat;
            if rounds >= rounds_max {
                let why = format!("the disk does not answer: a write or sync takes over {stall_max:?}");
                return fatal(Fault::Failed(why));
            }
            // Who has closed the journal may have given the directory to another owner.
            if let (false, Err(error)) = (pulse.ended.load(Ordering::Relaxed), look()) {
                return fatal(Fault::of("journal", &error));
            }
        }
    };
    thread::Builder::new().name("journal-watchdog".into()).spawn(run).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::testing::{caught, until};

    fn never_looks() -> Look {
        Box::new(|| Ok(()))
    }

    #[test]
    fn a_directory_that_is_anothers_is_told_while_nothing_is_written() {
        let (pulse, (fatal, said)) = (Arc::new(Pulse::default()), caught());
        let taken: Look = Box::new(|| Err(StoreError::Taken("peer-4".to_owned())));
        watch(pulse, Duration::from_secs(9), Duration::from_millis(2), taken, fatal).unwrap();
        until("it is told", || !said.lock().unwrap().is_empty());
        assert!(said.lock().unwrap()[0].contains("peer-4 has taken the directory"));
    }

    #[test]
    fn a_group_that_does_not_end_is_told_once() {
        let (pulse, (fatal, said)) = (Arc::new(Pulse::default()), caught());
        watch(pulse.clone(), Duration::from_millis(300), Duration::from_millis(10), never_looks(), fatal)
            .unwrap();
        for _ in 0..30 {
            pulse.beat();
            thread::sleep(Duration::from_millis(1));
        }
        assert!(said.lock().unwrap().is_empty(), "groups that end are no stall");
        pulse.beat();
        until("the stall is told", || !said.lock().unwrap().is_empty());
        assert!(said.lock().unwrap()[0].contains("the disk does not answer"));
    }

    #[test]
    fn an_idle_writer_is_no_stall() {
        let (pulse, (fatal, said)) = (Arc::new(Pulse::default()), caught());
        watch(pulse.clone(), Duration::from_millis(10), Duration::from_millis(2), never_looks(), fatal)
            .unwrap();
        thread::sleep(Duration::from_millis(30));
        pulse.end();
        assert!(said.lock().unwrap().is_empty());
    }
}
