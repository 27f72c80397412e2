//! Logs as they are read: a long one by a thread of its own, a bounded number of batches ahead.

use std::sync::mpsc::sync_channel;
use std::thread::Scope;

use super::chain::Chain;
use super::pages::Page;
use super::{Alarms, Check, Example, SourceError, SourceMeta};
use crate::limits::{VERIFY_BATCH, VERIFY_BATCHES_AHEAD, VERIFY_THREAD_ROWS};
use crate::model::row::Record;
use crate::types::Stamp;

/// The batches of a log.
pub(super) type Batches<'a, T> = Box<dyn Iterator<Item = Result<T, SourceError>> + Send + 'a>;

/// Whether a log is worth a thread.
pub(super) fn is_long(meta: &SourceMeta) -> bool {
    meta.live || meta.mark.is_some_and(|(last, _)| last.0 >= VERIFY_THREAD_ROWS)
}

/// The same batches, made ahead by another thread if the log is long.
pub(super) fn ahead<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    long: bool,
    batches: Batches<'scope, T>,
) -> Batches<'scope, T> {
    if !long {
        return batches;
    }
    let (sender, receiver) = sync_channel(VERIFY_BATCHES_AHEAD);
    scope.spawn(move || {
        // Who does not take them any more has found an error.
        batches.map(|batch| sender.send(batch)).take_while(Result::is_ok).for_each(drop);
    });
    Box::new(receiver.into_iter())
}

/// A ledger's pages from a row on, in batches; its chain is checked.
pub(super) struct LedgerReading<'a> {
    pub pages: Batches<'a, Page<Record>>,
    pub chain: &'a mut Chain,
    pub alarms: &'a mut Alarms,
}

impl Iterator for LedgerReading<'_> {
    type Item = Result<Vec<Page<Record>>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (mut batch, mut rows) = (Vec::new(), 0);
        while rows < VERIFY_BATCH {
            match self.pages.next() {
                Some(Ok(page)) => {
                    self.chain.page(&page, self.alarms);
                    rows += if let Page::Sealed { rows, .. } = &page { rows.len() } else { 1 };
                    batch.push(page);
                }
                // Nothing comes after an error, and what came before it does not matter any more.
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }
}

/// No clock value above the reserve was used.
pub(super) fn reserved(name: &str, reserve: Option<Stamp>, clock: Stamp, alarms: &mut Alarms) {
    if let Some(reserve) = reserve {
        alarms.check(Check::Clock, reserve >= clock, || {
            Example::node(name, format!("clock {clock} was used, {reserve} was reserved"))
        });
    }
}
