//! Which segments a store has, and their blocks by row.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::block::{BlockHeader, Tip};
use super::super::store::{Pair, StoreError};
use super::archive::Archive;
use super::segment::{self, Frame, Index, State};
use super::{Files, Keep, SealedPart};
use crate::limits::{SEGMENT_FRAMES_KEPT, SEGMENT_INDEXES_KEPT};
use crate::types::{Hash, Number, PeerId, Seq};

/// The segments of the sealed part, oldest first.
pub(crate) struct Directory {
    files: Arc<dyn Files>,
    part: SealedPart,
    segments: Vec<Named>,
    /// Name of the file with the state before the first row, if the rows before it are gone.
    base: Option<String>,
    kept: Mutex<Kept>,
}

/// A segment by its file's name, which says what rows it has.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: String,
    first: Seq,
    last: Seq,
    /// Only what stays is left of it.
    pruned: bool,
}

/// A segment's first row, and which of its frames.
type FrameAt = (Seq, usize);

/// What was read last.
#[derive(Clone, Default)]
struct Kept {
    indexes: VecDeque<(Seq, Arc<Index>)>,
    frames: VecDeque<(FrameAt, Arc<Vec<u8>>)>,
}

/// How the name of a segment ends of which only what stays is left.
const PRUNED: &str = "-pruned";

/// The name of the segment that holds these rows. Names are in the order of rows.
pub(super) fn name_of(first: Seq, last: Seq, pruned: bool) -> String {
    format!("{:020}-{:020}{}", first.0, last.0, if pruned { PRUNED } else { "" })
}

/// The name of the file with the state before the row `first`.
pub(crate) fn base_name(first: Seq) -> String {
    format!("base-{:020}", first.0)
}

fn named(name: String) -> Option<Named> {
    let (range, pruned) = name.strip_suffix(PRUNED).map_or((&name[..], false), |range| (range, true));
    let (first, last) = range.split_once('-')?;
    let (first, last) = (Seq(first.parse().ok()?), Seq(last.parse().ok()?));
    (name_of(first, last, pruned) == name).then_some(Named { name, first, last, pruned })
}

impl Directory {
    /// The segments that make up `part`.
    ///
    /// # Errors
    /// One of them is missing.
    pub(crate) fn open(files: Arc<dyn Files>, part: SealedPart) -> Result<Directory, StoreError> {
        let names = if part.end.seq == Seq(0) { Vec::new() } else { files.names()? };
        let base = names.iter().find(|name| part.first > Seq(1) && **name == base_name(part.first)).cloned();
        let mut segments: Vec<Named> = names.into_iter().filter_map(named).collect();
        segments.retain(|segment| segment.first >= part.first && segment.last <= part.end.seq);
        // A node that ended while it pruned may have left both; the pruned one comes first by this.
        segments.sort_by_key(|segment| (segment.first, !segment.pruned));
        segments.dedup_by_key(|segment| segment.first);
        let mut next = part.first;
        for Named { first, last, .. } in &segments {
            if *first != next {
                break;
            }
            next = last.next();
        }
        if part.end.seq > Seq(0) && next != part.end.seq.next() {
            let why = format!(
                "the segment that begins with row {next} is gone, and rows up to {} with it",
                part.end.seq
            );
            return Err(StoreError::Damaged(why));
        }
        if part.first > Seq(1) && base.is_none() {
            let why =
                format!("the state before row {} is gone, and the rows before it are archived", part.first);
            return Err(StoreError::Damaged(why));
        }
        Ok(Directory { files, part, segments, base, kept: Mutex::default() })
    }

    /// These segments and the next one, with which `part` is sealed. No other is looked at: the work is the same however
    /// many there are.
    ///
    /// # Errors
    /// The next one is missing.
    pub(super) fn with_next(&self, part: SealedPart) -> Result<Directory, StoreError> {
        let (first, last) = (self.part.end.seq.next(), part.end.seq);
        let name = name_of(first, last, false);
        self.files.length(&name)?;
        let mut segments = self.segments.clone();
        segments.push(Named { name, first, last, pruned: false });
        let (files, base, kept) = (self.files.clone(), self.base.clone(), Mutex::new(self.kept().clone()));
        Ok(Directory { files, part, segments, base, kept })
    }

    /// The segments of an archive on its own.
    pub(crate) fn of_archive(archive: Arc<Archive>) -> Result<Directory, StoreError> {
        let part = archive.part();
        let segments: Vec<Named> = archive.names()?.into_iter().filter_map(named).collect();
        Ok(Directory { files: archive, part, segments, base: None, kept: Mutex::default() })
    }

    /// The one segment there is, which must end with this row and hash.
    pub(crate) fn of_one(
        files: Arc<dyn Files>,
        name: &str,
        end: (Seq, Hash),
    ) -> Result<Directory, StoreError> {
        let index = Index::read(&*files, name)?;
        if (index.end.seq, index.end.hash) != end {
            return Err(StoreError::Damaged(format!("the segment {name} ends with another row")));
        }
        let part = SealedPart { first: index.before.seq.next(), end: index.end };
        let segment = Named { name: name.to_owned(), first: part.first, last: index.end.seq, pruned: false };
        Ok(Directory { files, part, segments: vec![segment], base: None, kept: Mutex::default() })
    }

    /// Reads and unpacks everything once.
    pub(crate) fn read_all(&self) -> Result<(), StoreError> {
        for segment in &self.segments {
            let index = Index::read(&*self.files, &segment.name)?;
            for piece in index.pieces() {
                segment::unpack(&*self.files, &segment.name, piece)?;
            }
        }
        Ok(())
    }

    /// Removes files that are no segment of the sealed part: one that was not named before the node ended.
    pub(crate) fn sweep(&self) -> Result<(), StoreError> {
        for name in self.files.names()? {
            if self.base.as_ref() != Some(&name) && !self.segments.iter().any(|segment| segment.name == name)
            {
                self.files.remove(&name)?;
            }
        }
        Ok(())
    }

    /// Which part of the log this is.
    pub(crate) fn part(&self) -> SealedPart {
        self.part
    }

    /// The last row that is in a segment; 0 if none is.
    pub(crate) fn last(&self) -> Seq {
        self.part.end.seq
    }

    /// The first row from which on all is there: what is before it is pruned.
    pub(crate) fn whole_from(&self) -> Seq {
        let pruned = self.segments.iter().rfind(|segment| segment.pruned);
        pruned.map_or(self.part.first, |segment| segment.last.next())
    }

    /// The oldest segment that is not pruned, if it is older, by the time of the newest, or the segments are larger than
    /// they are to be.
    pub(super) fn prunable(&self, keep: Keep) -> Result<Option<(String, String, Arc<Index>)>, StoreError> {
        let whole: Vec<&Named> = self.segments.iter().filter(|segment| !segment.pruned).collect();
        let (Some(oldest), Some(newest)) = (whole.first(), whole.last()) else { return Ok(None) };
        let mut bytes = 0;
        for segment in &whole {
            bytes += self.files.length(&segment.name)?;
        }
        let (index, now) = (self.index(oldest)?, self.index(newest)?.latest());
        let old = now.0.saturating_sub(index.latest().0) > keep.age.as_micros() as u64;
        let to = name_of(oldest.first, oldest.last, true);
        Ok((old || bytes > keep.bytes).then(|| (oldest.name.clone(), to, index)))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that holds the lock can panic half-way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self, segment: &Named) -> Result<Arc<Index>, StoreError> {
        if let Some((_, index)) = self.kept().indexes.iter().find(|(first, _)| *first == segment.first) {
            return Ok(index.clone());
        }
        let index = Arc::new(Index::read(&*self.files, &segment.name)?);
        keep(&mut self.kept().indexes, (segment.first, index.clone()), SEGMENT_INDEXES_KEPT);
        Ok(index)
    }

    fn frame(&self, segment: &Named, index: &Index, nth: usize) -> Result<Arc<Vec<u8>>, StoreError> {
        let key = (segment.first, nth);
        if let Some((_, raw)) = self.kept().frames.iter().find(|(found, _)| *found == key) {
            return Ok(raw.clone());
        }
        let raw = Arc::new(segment::unpack(&*self.files, &segment.name, &index.frames[nth].piece)?);
        keep(&mut self.kept().frames, (key, raw.clone()), SEGMENT_FRAMES_KEPT);
        Ok(raw)
    }

    fn segment_at(&self, seq: Seq) -> usize {
        self.segments.partition_point(|segment| segment.last < seq)
    }

    /// Blocks whose first row is at least `from`, in their order, until they make up `bytes_max`; the first always.
    pub(crate) fn scan(&self, from: Seq, bytes_max: usize) -> Result<Vec<Pair>, StoreError> {
        let (mut pairs, mut bytes) = (Vec::new(), 0);
        for segment in &self.segments[self.segment_at(from)..] {
            let index = self.index(segment)?;
            for nth in index.frame_at(from)..index.frames.len() {
                let raw = self.frame(segment, &index, nth)?;
                for block in segment::parts(&raw) {
                    let first = first_of(block)?;
                    if first < from {
                        continue;
                    }
                    bytes += block.len();
                    if bytes > bytes_max && !pairs.is_empty() {
                        return Ok(pairs);
                    }
                    pairs.push((first.0.to_be_bytes().to_vec(), block.to_vec()));
                }
            }
        }
        Ok(pairs)
    }

    /// The last block whose first row is at most `seq`.
    pub(crate) fn floor(&self, seq: Seq) -> Result<Option<Pair>, StoreError> {
        let (seq, mut found) = (seq.min(self.last()), None);
        let Some(segment) = self.segments.get(self.segment_at(seq)) else { return Ok(None) };
        let index = self.index(segment)?;
        let nth = index.frame_at(seq);
        if nth < index.frames.len() {
            let raw = self.frame(segment, &index, nth)?;
            for block in segment::parts(&raw) {
                let first = first_of(block)?;
                if first <= seq {
                    found = Some((first.0.to_be_bytes().to_vec(), block.to_vec()));
                }
            }
        }
        Ok(found)
    }

    /// The newest state at or before `seq`, and where the log stood then.
    pub(crate) fn state_before(&self, seq: Seq) -> Result<Option<(Tip, State)>, StoreError> {
        let until = self.segments.partition_point(|segment| segment.first <= seq);
        for segment in self.segments[..until].iter().rev() {
            let index = self.index(segment)?;
            if let Some((tip, piece)) = index.state_before(seq) {
                let raw = segment::unpack(&*self.files, &segment.name, piece)?;
                return Ok(Some((tip, segment::state(&raw)?)));
            }
        }
        Ok(self.base()?.filter(|(tip, _)| tip.seq <= seq))
    }

    /// The state before the first row, and where the log stood then; none if the log is there from its first row.
    pub(crate) fn base(&self) -> Result<Option<(Tip, State)>, StoreError> {
        let Some(name) = &self.base else { return Ok(None) };
        let index = Index::read(&*self.files, name)?;
        let state = match &index.state {
            Some(piece) => segment::state(&segment::unpack(&*self.files, name, piece)?)?,
            None => State::new(),
        };
        Ok(Some((index.end, state)))
    }

    /// The names of the segments whose rows are all before `before`, oldest first, and of the state before them; and the
    /// end of the last one.
    pub(crate) fn before(&self, before: Seq) -> Result<Option<(Vec<String>, Tip)>, StoreError> {
        let old = &self.segments[..self.segments.partition_point(|segment| segment.last < before)];
        let Some(last) = old.last() else { return Ok(None) };
        let end = self.index(last)?.end;
        let names = old.iter().map(|segment| segment.name.clone()).chain(self.base.clone());
        Ok(Some((names.collect(), end)))
    }

    /// The row behind the first segment; none if there is no segment.
    pub(crate) fn behind_first(&self) -> Option<Seq> {
        self.segments.first().map(|segment| segment.last.next())
    }

    /// Runs of rows, as first and last, among which one of these orders may show.
    pub(crate) fn spans_of(&self, orders: &[(PeerId, Number)]) -> Result<Vec<(Seq, Seq)>, StoreError> {
        let mut spans: Vec<(Seq, Seq)> = Vec::new();
        for segment in &self.segments {
            let index = Index::read(&*self.files, &segment.name)?;
            let shows = |frame: &&Frame| orders.iter().any(|(peer, number)| frame.may_show(*peer, *number));
            for frame in index.frames.iter().filter(shows) {
                match spans.last_mut().filter(|(_, last)| last.next() == frame.first) {
                    Some((_, last)) => *last = frame.last,
                    None => spans.push((frame.first, frame.last)),
                }
            }
        }
        Ok(spans)
    }
}

fn keep<T>(kept: &mut VecDeque<T>, new: T, most: usize) {
    if kept.len() == most {
        kept.pop_front();
    }
    kept.push_back(new);
}

fn first_of(block: &[u8]) -> Result<Seq, StoreError> {
    let header = BlockHeader::peek(block);
    header.map(|header| header.first).map_err(|error| StoreError::Damaged(format!("a segment: {error}")))
}
