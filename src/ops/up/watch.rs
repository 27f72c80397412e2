//! One task per node that passes on what the node tells.

use tokio::sync::mpsc;

use crate::limits::CALL_DEADLINE;
use crate::types::PeerId;
use crate::wire::client::Node;
use crate::wire::report::Report;
use crate::wire::server::Happening;

/// What a node told, or that it tells no more.
pub enum News {
    /// Something happened.
    Happened(Happening),
    /// What had happened before it was watched.
    Report(PeerId, Box<Report>),
    /// Its stream ended; it was watched at this address.
    Gone(PeerId, String),
}

/// Watches a node until its stream ends.
pub fn node(peer: PeerId, addr: String, news: mpsc::Sender<News>) {
    tokio::spawn(async move {
        if let Ok(node) = Node::connect(&addr, CALL_DEADLINE).await
            && let Ok(mut happenings) = node.events().await
        {
            if let Ok(report) = node.status().await {
                // `up` is ending if nobody takes it.
                let _ = news.send(News::Report(peer, Box::new(report))).await;
            }
            while let Some(happening) = happenings.next().await {
                if news.send(News::Happened(happening)).await.is_err() {
                    return;
                }
            }
        }
        tokio::time::sleep(crate::limits::BACKOFF_MAX).await;
        let _ = news.send(News::Gone(peer, addr)).await;
    });
}
