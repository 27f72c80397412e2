//! The node's own fold of a log against its checkpoint: the last part of V11.
//!
//! The auditor's fold is another one than the nodes'. This one shows that a node which starts from its checkpoint has the
//! state that its rows add up to. It trusts the rows, so it is given a ledger's only while nothing is wrong with them.

use super::{Alarms, Check, Example};
use crate::journal::{self, BlockHeader, CodecError, Offline};
use crate::model::fold::Fold;
use crate::model::market::Market;
use crate::model::peer::PeerState;
use crate::types::{Hash, Seq};

/// See the module's text.
pub enum Refold {
    /// Of a warehouse.
    Ledger(Folding<Market>),
    /// Of a peer.
    Journal(Folding<PeerState>),
}

/// The fold of a log so far, and what its checkpoint says.
pub struct Folding<F> {
    /// The first row that counts: those before it are in the state.
    from: Seq,
    state: F,
    /// The row that the checkpoint was made after, and a hash over its parts; none if there is none, or an earlier version
    /// made it.
    checkpoint: Option<(Seq, Hash)>,
    /// Whether the checkpoint was the fold, once that is known.
    equal: Option<bool>,
}

impl<F: Fold> Folding<F> {
    /// None if the state before the first row is gone.
    ///
    /// # Errors
    /// The checkpoint cannot be read; says why.
    pub(super) fn of(store: &Offline) -> Result<Option<Folding<F>>, String> {
        let Some((from, state)) = store.start::<F>().map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let checkpoint = match &store.checkpoint {
            Some(checkpoint) => checkpointed::<F>(store)?.map(|hash| (checkpoint.seq, hash)),
            None => None,
        };
        Ok(Some(Folding { from, state, checkpoint, equal: None }))
    }

    /// The rows up to `last` were folded before, and gave this state. An older checkpoint was compared then.
    pub(super) fn go_on_from(&mut self, last: Seq, state: Option<F>) {
        self.from = last.next();
        match state {
            Some(state) => self.state = state,
            None => self.checkpoint = None,
        }
        self.equal = self.checkpoint.filter(|(seq, _)| *seq < last).map(|_| true);
    }

    /// Takes the next rows of the log in.
    pub(super) fn take<'a>(&mut self, header: &BlockHeader, rows: impl Iterator<Item = (Seq, &'a F::Record)>)
    where
        F::Record: 'a,
    {
        let from = self.from;
        for (seq, record) in rows.filter(|(seq, _)| *seq >= from) {
            if self.equal.is_none() && self.checkpoint.is_some_and(|(at, _)| seq > at) {
                self.compare();
            }
            self.state.apply(seq, header.time, record);
        }
    }

    fn compare(&mut self) {
        if let (None, Some((_, expected))) = (self.equal, self.checkpoint) {
            self.equal = Some(hash_of(&self.state).is_ok_and(|hash| hash == expected));
        }
    }

    /// The rows end here. Says what the checkpoint is not, if there is one.
    pub(super) fn finish(&mut self) -> Option<Result<(), String>> {
        self.compare();
        let (seq, _) = self.checkpoint?;
        Some(if self.equal == Some(true) { Ok(()) } else { Err(format!("state after row {seq}")) })
    }

    /// What the rows add up to.
    pub(super) fn state(&self) -> &F {
        &self.state
    }
}

fn checkpointed<F: Fold>(store: &Offline) -> Result<Option<Hash>, String> {
    let mut restored = F::default();
    let parts = store.checkpoint_parts::<F>().map_err(|error| error.to_string())?;
    parts.unwrap_or_default().into_iter().for_each(|(_, part)| restored.restore(part));
    match restored.is_whole() {
        true => hash_of(&restored).map(Some).map_err(|error| error.to_string()),
        false => Ok(None),
    }
}

/// Raises the alarm for a checkpoint that is not the fold of its log.
pub(super) fn judge(name: &str, verdict: Option<Result<(), String>>, alarms: &mut Alarms) {
    if let Some(verdict) = verdict {
        alarms.check(Check::Readable, verdict.is_ok(), || {
            let what = verdict.err().unwrap_or_default();
            Example::node(name, format!("the checkpoint is not the fold of the log: {what}"))
        });
    }
}

/// Over all parts, in their order.
fn hash_of<F: Fold>(fold: &F) -> Result<Hash, CodecError> {
    let (mut hash, mut failed) = (Hash::default(), None);
    fold.each_part(&mut |_, part| match journal::encode(&part) {
        Ok(part) => hash = Hash::of(&[&hash.0[..], &part].concat()),
        Err(error) => failed = Some(error),
    });
    failed.map_or(Ok(hash), Err)
}
