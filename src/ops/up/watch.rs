//! One task per node that passes on what the node tells.

use tokio::sync::mpsc;

use crate::limits::{BACKOFF_MAX, CALL_DEADLINE};
use crate::model::happening::Happening;
use crate::model::report::Report;
use crate::types::PeerId;
use crate::wire::client::Node;

/// What a node told, or that it tells nothing any more.
pub(crate) enum News {
    /// Something happened.
    Happened(Happening),
    /// What had happened before it was watched.
    Report(PeerId, Box<Report>),
    /// Its stream ended; it was watched at this address.
    Gone(PeerId, String),
}

/// Watches a node until its stream ends.
pub(crate) fn node(peer: PeerId, addr: String, news: mpsc::Sender<News>) {
    tokio::spawn(async move {
        if let Ok(node) = Node::connect(&addr, CALL_DEADLINE).await
            && let Ok(mut happenings) = node.events().await
        {
            if let Ok(report) = node.status().await {
                // An error means that `up` is ending.
                let _ = news.send(News::Report(peer, Box::new(report))).await;
            }
            while let Some(happening) = happenings.next().await {
                if news.send(News::Happened(happening)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(BACKOFF_MAX).await;
        let _ = news.send(News::Gone(peer, addr)).await;
    });
}
