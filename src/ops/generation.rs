//! Which generations of a ledger the stores at hand have seen.

use std::path::Path;

use super::live::Asking;
use super::output::Failure;
use super::source::dirs_at_hand;
use crate::audit::{BlockSource, Fact, Folded, Logged};
use crate::cli::Global;
use crate::journal::{Block, BlockHeader, Summary};
use crate::model::peer::entry::Entry;
use crate::model::row::Record;
use crate::types::{Generation, Seq};

/// Numbers of the kinds that tell of a generation.
const RESTORED: u8 = 10;
const LEDGER_SEEN: u8 = 9;

/// Of the ledger: in a warehouse's store by its last `restored` row, in a peer's by what its session was opened in.
///
/// # Errors
/// The source cannot be read. What is damaged in it tells nothing.
pub(crate) fn of(source: &mut dyn BlockSource) -> Result<Generation, Failure> {
    match source.folded(Seq(u64::MAX))? {
        Some(Folded::Ledger(folded)) => return Ok(folded.state.generation),
        Some(Folded::Journal(folded)) => return Ok(folded.state.ledger_seen.generation),
        None => {}
    }
    if source.meta().is_ledger() {
        return last(source, RESTORED, |record: &Record| match record {
            Record::Restored { generation, .. } => Some(*generation),
            _ => None,
        });
    }
    last(source, LEDGER_SEEN, |entry: &Entry| match entry {
        Entry::LedgerSeen { generation, .. } => Some(*generation),
        _ => None,
    })
}

/// The last of one kind. Blocks that say that they hold none are not decoded.
fn last<R: Logged>(
    source: &mut dyn BlockSource,
    kind: u8,
    of: impl Fn(&R) -> Option<Generation>,
) -> Result<Generation, Failure> {
    let mut last = Generation::default();
    for bytes in source.blocks(Seq(1)) {
        let bytes = bytes?;
        let header = BlockHeader::peek(&bytes).ok();
        let summary = header.and_then(|header| header.summary);
        if summary.is_some_and(|summary| !summary.may_hold(Summary::bit(kind))) {
            continue;
        }
        if let Ok(block) = Block::<R>::decode(&bytes) {
            last = block.records.iter().filter_map(&of).next_back().unwrap_or(last);
        }
    }
    Ok(last)
}

/// The highest count that a node of the market in `dir` knows; 0 if there is none. A running node is asked. One that
/// cannot be read is named: perhaps it knows more.
///
/// # Errors
/// There is no runtime to ask running nodes with.
pub(crate) fn seen_in(dir: &Path, global: &Global) -> Result<u64, Failure> {
    let (asking, mut seen) = (Asking::new(global, false)?, 0);
    for node in dirs_at_hand(dir) {
        let found = asking.stores(std::slice::from_ref(&node), &[]).and_then(|sources| {
            sources.into_iter().try_fold(0, |seen, mut source| Ok(count(source.as_mut())?.max(seen)))
        });
        match found {
            Ok(found) => seen = seen.max(found),
            Err(why) => asking.note(&format!(
                "{} was not asked which generation it has seen ({}); if it was one above, restore again with --above",
                node.display(),
                why.what
            )),
        }
    }
    Ok(seen)
}

fn count(source: &mut dyn BlockSource) -> Result<u64, Failure> {
    let told = source.meta().facts.iter().find(|(key, _)| *key == "generation");
    match told {
        Some((_, Fact::Number(count))) => Ok(*count),
        _ => Ok(of(source)?.count),
    }
}
