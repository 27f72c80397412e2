//! All rows as text: one thread reads blocks and prints, another one makes lines of them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::Show;
use crate::audit::{BlockSource, Pager};
use crate::ops::dump::Findings;
use crate::ops::output::{CsvLines, Failure, JsonLines, Lines, Printer, Shape};
use crate::ops::rows::{BlockTexts, write_row, write_unreadable};
use crate::types::Seq;

/// Bytes of blocks that are given to the other thread at once.
const CHUNK_BYTES: usize = 1 << 20;
/// How many chunks may be on their way.
const CHUNKS_AHEAD: usize = 4;

/// Blocks that follow each other.
type Chunk = Vec<Vec<u8>>;

/// What became of a chunk.
struct Made {
    lines: String,
    unreadable: u64,
    /// Its last row.
    end: Seq,
}

/// Prints all rows that are wanted as lines of JSON or CSV.
pub(super) fn run(
    show: &Show,
    source: &mut dyn BlockSource,
    shape: Shape,
    mut printer: Printer<'_>,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let to = show.wanted.range().1;
    let end = thread::scope(|scope| {
        let (give, chunks) = sync_channel(CHUNKS_AHEAD);
        let (back, made) = sync_channel(CHUNKS_AHEAD);
        scope.spawn(move || match shape {
            Shape::Csv => make(show, CsvLines::new(&show.columns), &chunks, &back),
            _ => make(show, JsonLines::default(), &chunks, &back),
        });
        print(show, source, (give, made), &mut printer, findings)
    })?;
    printer.finish().map_err(Failure::writing)?;
    if end < to {
        findings.ended(source.meta(), end);
    }
    Ok(())
}

/// Makes lines until there are no more chunks, or nobody wants the lines any more.
fn make(show: &Show, mut lines: impl Lines, chunks: &Receiver<Chunk>, back: &SyncSender<Made>) {
    let mut pager = Pager::from(show.wanted.range().0);
    for chunk in chunks {
        let (mut unreadable, mut end) = (0, Seq(0));
        for block in &chunk {
            let (here, last) = block_lines(show, &mut pager, block, &mut lines);
            unreadable += here;
            end = last;
        }
        if back.send(Made { lines: lines.take(), unreadable, end }).is_err() {
            return;
        }
    }
}

/// A block's rows as lines. Gives how many cannot be read, and its last row.
fn block_lines(show: &Show, pager: &mut Pager, block: &[u8], lines: &mut impl Lines) -> (u64, Seq) {
    let (rows, last) = show.rows(pager, block);
    let Some(texts) = rows.first().map(|(place, _)| BlockTexts::of(place)) else { return (0, last) };
    let mut unreadable = 0;
    for (place, record) in &rows {
        lines.begin();
        match record {
            Ok(record) => write_row(place, &texts, record, &show.catalogue, lines),
            Err(why) => write_unreadable(place, why, lines),
        }
        lines.end();
        unreadable += u64::from(record.is_err());
    }
    (unreadable, last)
}

/// Reads, and prints what comes back. Gives the last row.
fn print(
    show: &Show,
    source: &mut dyn BlockSource,
    (give, made): (SyncSender<Chunk>, Receiver<Made>),
    printer: &mut Printer<'_>,
    findings: &mut Findings,
) -> Result<Seq, Failure> {
    let (from, to) = show.wanted.range();
    let (mut blocks, mut ahead, mut end) = (source.blocks(from), 0, Seq(0));
    let mut take = |made: &Receiver<Made>| {
        // The other thread ends before this one only if it panicked, which the scope passes on.
        let Ok(Made { lines, unreadable, end }) = made.recv() else { return Ok(Seq(u64::MAX)) };
        findings.unreadable += unreadable;
        printer.lines(&lines).map_err(Failure::writing).map(|()| end)
    };
    while end < to {
        let chunk = chunk(&mut blocks)?;
        if chunk.is_empty() || give.send(chunk).is_err() {
            break;
        }
        ahead += 1;
        if ahead == CHUNKS_AHEAD {
            end = take(&made)?;
            ahead -= 1;
        }
    }
    drop(give);
    for _ in 0..ahead {
        end = take(&made)?;
    }
    Ok(end)
}

fn chunk(
    blocks: &mut dyn Iterator<Item = Result<Vec<u8>, crate::audit::SourceError>>,
) -> Result<Chunk, Failure> {
    let (mut chunk, mut bytes) = (Vec::new(), 0);
    while bytes < CHUNK_BYTES
        && let Some(block) = blocks.next().transpose()?
    {
        bytes += block.len();
        chunk.push(block);
    }
    Ok(chunk)
}
