//! Takes what does not stay out of an old segment.

use std::sync::Arc;

use super::super::block::{Block, Extractor, Tip};
use super::super::store::{StoreError, StoreRead as _};
use super::segment::{self, Builder, Index, State};
use super::{Files, Keep, TieredRead};
use crate::model::fold::Stored;

/// Prunes the oldest whole segment, if it is time. False if it is not.
pub(super) fn prune<R: Stored>(read: &TieredRead, keep: Keep) -> Result<bool, StoreError> {
    let Some((from, to, index)) = read.sealed().prunable(keep)? else { return Ok(false) };
    let files = read.files();
    files.put(&to, &pruned::<R>(&*files, &from, &index)?)?;
    files.remove(&from)?;
    Ok(true)
}

fn pruned<R: Stored>(files: &dyn Files, name: &str, index: &Arc<Index>) -> Result<Vec<u8>, StoreError> {
    let mut builder = Builder::new(index.before);
    let mut extractor = Extractor::new(index.before, index.end);
    let mut tip = index.before;
    for frame in &index.frames {
        let raw = segment::unpack(files, name, &frame.piece)?;
        for bytes in segment::parts(&raw) {
            let block = Block::<R>::decode(bytes).map_err(|error| damaged(name, &error.to_string()))?;
            if !tip.links(&block.header, &block.seal) {
                return Err(damaged(name, "a block does not follow the one before"));
            }
            tip = Tip::after(&block.header, &block.seal);
            let extract = extractor.add(block)?;
            extract.map_or(Ok(()), |extract| builder.add::<R>(&extract).map(drop))?;
        }
    }
    let rest = extractor.finish::<R>()?;
    rest.map_or(Ok(()), |extract| builder.add::<R>(&extract).map(drop))?;
    let state = match &index.state {
        Some(piece) => segment::state(&segment::unpack(files, name, piece)?)?,
        None => State::new(),
    };
    builder.finish(&state)
}

fn damaged(name: &str, why: &str) -> StoreError {
    StoreError::Damaged(format!("the segment {name}: {why}"))
}
