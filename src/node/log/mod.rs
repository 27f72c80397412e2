//! A node's log: lines on stderr, or in files that are rotated where stderr is a file in the node's directory.
//!
//! In: what the modules say with `tracing`. Out: lines with their time; a line that is equal to the one before is held
//! and counted ([`lines`]); files of a bounded size and number ([`files`]). A log that cannot be written ends no node and
//! is no error of the caller's: its lines are lost, and the first one that can be written again says how many, and why.
//!
//! No crate does this. tracing-appender rotates by time alone. file-rotate opens its own file, so that panics and what
//! the operating system's libraries write would go to a file that is renamed and removed under them; it cuts lines, and
//! drops them without a word when the next file cannot be opened.

mod files;
mod lines;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub(crate) use files::Bounds;
use files::Files;
use lines::Repeats;
pub(crate) use lines::Style;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::wall_now;
use crate::limits::LOG_REPEATS_HELD_MAX;

/// The log of this process, for its last words.
static LOG: OnceLock<Log> = OnceLock::new();
/// The thread that writes what is held needs little.
const STACK_BYTES: usize = 256 << 10;

/// Where lines go.
#[derive(Debug)]
enum Out {
    Stderr,
    Files(Files),
}

impl Out {
    fn append(&mut self, text: &str, now: Instant) -> io::Result<()> {
        match self {
            Out::Stderr => io::stderr().write_all(text.as_bytes()),
            Out::Files(files) => files.append(text, now),
        }
    }
}

/// Everything behind the lock.
#[derive(Debug)]
struct Lines {
    style: Style,
    out: Out,
    repeats: Repeats,
    /// Lines that could not be written since one could.
    lost: u64,
    /// Why the first of them could not.
    why: String,
}

impl Lines {
    fn new(style: Style, out: Out, held_max: Duration) -> Lines {
        Lines { style, out, repeats: Repeats::new(held_max), lost: 0, why: String::new() }
    }

    fn say(&mut self, line: &str, now: Instant) {
        let time = time();
        if let Some(text) = self.repeats.take(self.style, &time, line, now) {
            self.write(&time, &text, now);
        }
    }

    fn release(&mut self, now: Instant) {
        let time = time();
        if let Some(text) = self.repeats.release(self.style, &time) {
            self.write(&time, &text, now);
        }
    }

    fn write(&mut self, time: &str, text: &str, now: Instant) {
        let written = match self.lost {
            0 => self.out.append(text, now),
            // The last one may have been written in part.
            lost => self.out.append(&format!("\n{}{text}", self.style.lost(time, lost, &self.why)), now),
        };
        match written {
            Ok(()) => self.lost = 0,
            Err(error) => {
                if self.lost == 0 {
                    self.why = error.to_string();
                }
                self.lost += text.lines().count() as u64;
            }
        }
    }
}

fn time() -> String {
    wall_now().to_string()
}

/// A handle of the log.
#[derive(Clone, Debug)]
struct Log(Arc<(Mutex<Lines>, Condvar)>);

impl Log {
    fn new(lines: Lines) -> Log {
        Log(Arc::new((Mutex::new(lines), Condvar::new())))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        // A panic of another thread, while it wrote, is no reason to be silent about it.
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, line: &str) {
        let mut lines = self.lock();
        let was_due = lines.repeats.due();
        lines.say(line.strip_suffix('\n').unwrap_or(line), Instant::now());
        if was_due.is_none() && lines.repeats.due().is_some() {
            self.0.1.notify_one();
        }
    }

    /// Writes what is held in time, for as long as the process lives.
    fn release_when_due(&self) {
        let mut lines = self.lock();
        loop {
            let now = Instant::now();
            let wait = |lines| self.0.1.wait(lines).unwrap_or_else(PoisonError::into_inner);
            lines = match lines.repeats.due() {
                None => wait(lines),
                Some(due) if now < due => {
                    let waited = self.0.1.wait_timeout(lines, due - now);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                Some(_) => {
                    lines.release(now);
                    lines
                }
            };
        }
    }
}

/// One event's line. `tracing` writes it whole.
impl io::Write for &Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.say(&String::from_utf8_lossy(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = &'a Log;

    fn make_writer(&'a self) -> &'a Log {
        self
    }
}

/// Begins the log of this process: to files, if stderr is the file at `path`, else to stderr.
pub(crate) fn begin(path: &Path, bounds: Bounds, style: Style, filter: EnvFilter) {
    let out = Files::of_stderr(path, bounds).map_or(Out::Stderr, Out::Files);
    let log = LOG.get_or_init(|| Log::new(Lines::new(style, out, LOG_REPEATS_HELD_MAX)));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(log.clone());
    // Lines that cannot be written are counted, and no caller hears of them.
    let builder = builder.log_internal_errors(false);
    let begun = match style {
        Style::Json => builder.json().try_init(),
        Style::Pretty => builder.with_ansi(false).with_target(false).try_init(),
    };
    // A process has one log; a second one is the first.
    let Ok(()) = begun else { return };
    let held = log.clone();
    let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(STACK_BYTES);
    // Without it what is held is written when another line comes.
    let _ = thread.spawn(move || held.release_when_due());
}

/// Writes what is held: the process is about to end.
pub(crate) fn finish() {
    if let Some(log) = LOG.get() {
        log.lock().release(Instant::now());
    }
}

#[cfg(test)]
mod tests;
