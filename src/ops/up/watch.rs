//! One task per node that passes on what the node tells.

use std::collections::BTreeMap;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::limits::{BACKOFF_MAX, CALL_DEADLINE};
use crate::model::happening::Happening;
use crate::model::report::Report;
use crate::types::PeerId;
use crate::wire::client::Node;

/// What a node told, or that it tells nothing any more.
pub(crate) enum News {
    /// Something happened.
    Happened(Box<Happening>),
    /// What had happened before it was watched.
    Report(PeerId, Box<Report>),
    /// The stream of this watch ended.
    Gone(PeerId, Watch),
}

/// Counts the watches of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Watch(u64);

/// The nodes that are watched. Of each only the last watch counts: with two of them every line would be printed twice.
pub(crate) struct Watches {
    news: mpsc::Sender<News>,
    last: Watch,
    of: BTreeMap<PeerId, (Watch, AbortHandle)>,
}

impl Watches {
    /// Nobody is watched; what nodes tell goes to `news`.
    pub(crate) fn new(news: mpsc::Sender<News>) -> Watches {
        Watches { news, last: Watch::default(), of: BTreeMap::new() }
    }

    /// Watches a node until its stream ends, and no longer in another way.
    pub(crate) fn begin(&mut self, node: PeerId, addr: &str) {
        self.last.0 += 1;
        let watch = self.last;
        let task = tokio::spawn(pass_on(node, addr.to_owned(), watch, self.news.clone()));
        if let Some((_, before)) = self.of.insert(node, (watch, task.abort_handle())) {
            before.abort();
        }
    }

    /// Whether this is the watch of that node that counts. What an earlier one had to say may still be on its way.
    pub(crate) fn is_present(&self, node: PeerId, watch: Watch) -> bool {
        self.of.get(&node).is_some_and(|(present, _)| *present == watch)
    }
}

async fn pass_on(peer: PeerId, addr: String, watch: Watch, news: mpsc::Sender<News>) {
    if let Ok(node) = Node::connect(&addr, CALL_DEADLINE).await
        && let Ok(mut happenings) = node.events().await
    {
        if let Ok(report) = node.status().await {
            // An error means that `up` is ending.
            let _ = news.send(News::Report(peer, Box::new(report))).await;
        }
        while let Some(happening) = happenings.next().await {
            if news.send(News::Happened(Box::new(happening))).await.is_err() {
                return;
            }
        }
    }
    tokio::time::sleep(BACKOFF_MAX).await;
    let _ = news.send(News::Gone(peer, watch)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::runtime::runtime;

    /// A restarted node was watched by the task of its first life, too, once that had waited.
    #[test]
    fn of_a_node_only_the_last_watch_counts() {
        runtime().unwrap().block_on(async {
            let (sender, _news) = mpsc::channel(1);
            let mut watches = Watches::new(sender);
            let (node, nobody) = (PeerId(4), "127.0.0.1:1");
            watches.begin(node, nobody);
            let (first, task) = watches.of[&node].clone();
            assert!(watches.is_present(node, first) && !watches.is_present(PeerId(5), first));
            watches.begin(node, nobody);
            assert!(!watches.is_present(node, first));
            while !task.is_finished() {
                tokio::task::yield_now().await;
            }
        });
    }
}
