//! Signs of life of a command that takes long: one line on stderr, rewritten in place and removed at the end.
//!
//! In: how far the work is. Out: nothing in the first seconds, nothing where nobody looks (stderr is no terminal, or
//! `--json` or `--quiet` is given), and never anything on stdout. No crate is used for it: indicatif draws from threads
//! and by a clock of its own, which a test cannot move, and brings five crates for one line of text.

use std::future::Future;
use std::io::{IsTerminal as _, Write, stderr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::audit::{BlockSource, Blocks, Folded, Refold, Source, SourceError, SourceMeta, StockCache};
use crate::cli::Global;
use crate::journal::{BlockHeader, State, Tip};
use crate::limits::{PROGRESS_AFTER, PROGRESS_EVERY};
use crate::ops::output::grouped;
use crate::types::{OrderId, SecretKey, Seq};

/// Columns of a terminal that does not tell.
const WIDTH: usize = 80;
/// To the line's begin, and everything away that stands there.
const CLEAR: &str = "\r\x1b[K";

/// The one line of a command; a clone is the same line.
#[derive(Clone)]
pub(crate) struct Progress(Option<Arc<Mutex<Shown>>>);

/// A line that somebody can see.
struct Shown {
    terminal: Box<dyn Write + Send>,
    width: usize,
    /// Since the command began.
    clock: Box<dyn Fn() -> Duration + Send>,
    drawn_at: Option<Duration>,
}

impl Shown {
    fn is_due(&self, now: Duration) -> bool {
        match self.drawn_at {
            None => now >= PROGRESS_AFTER,
            Some(drawn) => now >= drawn + PROGRESS_EVERY,
        }
    }

    fn draw(&mut self, now: Duration, text: &str) {
        // A line that fills the terminal would go on in the next one, which is not removed.
        let fits: String = text.chars().take(self.width - 1).collect();
        self.write(&format!("{CLEAR}{fits}"));
        self.drawn_at = Some(now);
    }

    fn remove(&mut self) {
        if self.drawn_at.is_some() {
            self.write(CLEAR);
        }
    }

    /// A terminal that is gone sees no signs of life.
    fn write(&mut self, text: &str) {
        let _ = self.terminal.write_all(text.as_bytes()).and_then(|()| self.terminal.flush());
    }
}

impl Progress {
    /// The line of this command, where somebody looks.
    pub(crate) fn new(global: &Global) -> Progress {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        if global.json || global.quiet || dumb || !stderr().is_terminal() {
            return Progress::hidden();
        }
        let columns = rustix::termios::tcgetwinsize(stderr()).map_or(0, |size| usize::from(size.ws_col));
        let began = Instant::now();
        Progress::on(Box::new(stderr()), columns, Box::new(move || began.elapsed()))
    }

    /// No line.
    pub(crate) fn hidden() -> Progress {
        Progress(None)
    }

    fn on(
        terminal: Box<dyn Write + Send>,
        columns: usize,
        clock: Box<dyn Fn() -> Duration + Send>,
    ) -> Progress {
        let width = if columns > 1 { columns } else { WIDTH };
        Progress(Some(Arc::new(Mutex::new(Shown { terminal, width, clock, drawn_at: None }))))
    }

    /// A part of the work; `total` where its end is known.
    pub(crate) fn part(&self, name: impl Into<String>, unit: &'static str, total: Option<u64>) -> Part {
        let shown = self.0.clone();
        let began = shown.as_ref().map_or(Duration::ZERO, |shown| (locked(shown).clock)());
        Part { shown, name: name.into(), unit, total, began }
    }

    /// The same source, whose blocks are counted as they are read.
    pub(crate) fn watch(&self, source: Source) -> Source {
        match self.0 {
            Some(_) => Box::new(Watched { source, progress: self.clone() }),
            None => source,
        }
    }
}

/// Nothing that holds the lock can leave the line half-way.
fn locked(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is being done; dropped, its line is removed.
pub(crate) struct Part {
    shown: Option<Arc<Mutex<Shown>>>,
    name: String,
    unit: &'static str,
    total: Option<u64>,
    began: Duration,
}

impl Part {
    /// So much of it is done. Asked for only where a line is due: counting may cost something, too.
    pub(crate) fn done(&self, count: impl FnOnce() -> Option<u64>) {
        self.draw(|took| Some(self.text(count()?, took)));
    }

    /// How it goes, in words. Asked for only where a line is due.
    pub(crate) fn says(&self, text: impl FnOnce() -> String) {
        self.draw(|_| Some(text()));
    }

    /// Waits for work that takes about so long, or at most so long.
    pub(crate) async fn wait<T>(&self, work: impl Future<Output = T>, about: Duration) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(PROGRESS_EVERY) => self.lasts(about),
            }
        }
    }

    fn lasts(&self, about: Duration) {
        self.draw(|took| {
            let percent = 100 * took.as_millis().min(about.as_millis()) / about.as_millis().max(1);
            Some(format!("{}: {} s of {} s ({percent} %)", self.name, took.as_secs(), about.as_secs()))
        });
    }

    /// It cannot be counted: its name stands there until it is over.
    pub(crate) fn begins(&self) {
        self.draw(|_| Some(self.name.clone()));
    }

    /// Its line is removed: another one is to stand there.
    pub(crate) fn gives_way(&self) {
        if let Some(shown) = &self.shown {
            locked(shown).remove();
        }
    }

    /// Draws where a line is due; the text is made of the time that this part took until now.
    fn draw(&self, text: impl FnOnce(Duration) -> Option<String>) {
        let Some(shown) = &self.shown else { return };
        let mut shown = locked(shown);
        let now = (shown.clock)();
        if shown.is_due(now)
            && let Some(text) = text(now.saturating_sub(self.began))
        {
            shown.draw(now, &text);
        }
    }

    fn text(&self, count: u64, took: Duration) -> String {
        let Part { name, unit, .. } = self;
        let rate = count as f64 / took.as_secs_f64().max(1e-3);
        let share = self.total.filter(|total| *total > 0).map_or(String::new(), |total| {
            let percent = 100 * u128::from(count.min(total)) / u128::from(total);
            format!(" of {} ({percent} %)", grouped(total))
        });
        let done = format!("{name}: {}{share} {unit}", grouped(count));
        if rate < 1.0 { done } else { format!("{done}, {} {unit}/s", grouped(rate as u64)) }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.gives_way();
    }
}

/// A source whose blocks are counted.
struct Watched {
    source: Source,
    progress: Progress,
}

impl Watched {
    /// The rows from one to the end, as far as that is known.
    fn rows(&self, from: Seq) -> Part {
        let meta = self.source.meta();
        let total = meta.mark.map(|(last, _)| (last.0 + 1).saturating_sub(from.0));
        self.progress.part(meta.name(), "rows", total)
    }

    fn whole(&self, what: &str) -> Part {
        let part = self.progress.part(format!("{}: {what}", self.source.meta().name()), "", None);
        part.begins();
        part
    }
}

/// The place of a block's last row; none of a block that cannot be read.
fn last_of(block: &Result<Vec<u8>, SourceError>) -> Option<Seq> {
    Some(BlockHeader::peek(block.as_ref().ok()?).ok()?.last())
}

impl BlockSource for Watched {
    fn meta(&self) -> &SourceMeta {
        self.source.meta()
    }

    fn blocks(&mut self, from: Seq) -> Blocks<'_> {
        let part = self.rows(from);
        let count = move |block: &_| part.done(|| Some((last_of(block)?.0 + 1).saturating_sub(from.0)));
        Box::new(self.source.blocks(from).inspect(count))
    }

    fn blocks_back(&mut self, until: Seq) -> Option<Blocks<'_>> {
        let part = self.rows(Seq(1));
        let end = self.meta().mark.map_or(until, |(last, _)| last.min(until));
        let count = move |block: &_| part.done(|| Some((end.0 + 1).saturating_sub(last_of(block)?.0)));
        Some(Box::new(self.source.blocks_back(until)?.inspect(count)))
    }

    fn folded(&mut self, until: Seq) -> Result<Option<Folded>, SourceError> {
        let _part = self.whole("reading its state");
        self.source.folded(until)
    }

    fn spans_of(&mut self, order: OrderId) -> Result<Option<Vec<(Seq, Seq)>>, SourceError> {
        self.source.spans_of(order)
    }

    fn pruned_to(&self) -> Seq {
        self.source.pruned_to()
    }

    fn archived_to(&self) -> Seq {
        self.source.archived_to()
    }

    fn base(&self) -> Result<Option<(Tip, State)>, SourceError> {
        self.source.base()
    }

    fn key(&self) -> Option<SecretKey> {
        self.source.key()
    }

    fn cache(&mut self) -> Option<StockCache> {
        self.source.cache()
    }

    fn refold(&mut self) -> Result<Option<Refold>, String> {
        let _part = self.whole("reading its checkpoint");
        self.source.refold()
    }
}

#[cfg(test)]
mod tests;
