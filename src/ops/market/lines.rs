//! Connections to nodes that are kept from one question to the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::wire::client::{CallError, Node};

/// One for each address that answered last. Clones are of the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<BTreeMap<String, Node>>>);

impl Lines {
    /// A panic while it was held leaves whole lines.
    fn kept(&self) -> MutexGuard<'_, BTreeMap<String, Node>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the node at an address: over the line to it, and where that fails, or there is none, over a new one.
    /// Connecting and each answer take at most `timeout`.
    ///
    /// # Errors
    /// Nobody answers there.
    pub(crate) async fn ask<T, F>(
        &self,
        addr: &str,
        timeout: Duration,
        ask: impl Fn(Node) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let kept = self.kept().remove(addr);
        if let Some(node) = kept.map(|node| node.with_deadline(timeout))
            && let Ok(answer) = ask(node.clone()).await
        {
            self.kept().insert(addr.to_owned(), node);
            return Ok(answer);
        }
        let node = Node::connect(addr, timeout).await?;
        let answer = ask(node.clone()).await?;
        self.kept().insert(addr.to_owned(), node);
        Ok(answer)
    }
}
