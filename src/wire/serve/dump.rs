//! The blocks of a node's log, for `Admin.Dump`: read from the store, past the node's loop.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::Status;

use crate::limits::MESSAGE_BYTES_MAX;
use crate::types::{Hash, PeerId, Seq};
use crate::wire::{convert, proto};

/// Bytes of blocks in one message, about.
const DUMP_BYTES: usize = MESSAGE_BYTES_MAX / 4;

/// Reads the durable blocks of a node's log; what `Admin.Dump` serves. Implemented over the journal's reader.
pub(crate) trait BlockReader: Send + Sync + 'static {
    /// Durable blocks from the one that contains `from`, up to about `max_bytes`; empty at the end.
    ///
    /// # Errors
    /// The store cannot be read; says why.
    fn blocks(&self, from: Seq, max_bytes: usize) -> Result<Vec<Vec<u8>>, String>;
    /// The sequence after the last record of a block.
    fn after(&self, block: &[u8]) -> Option<Seq>;
    /// Resolves when more is durable than at the last call.
    fn changed(&self, seen: Seq) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Identity and mark, for the first message.
    fn head(&self) -> DumpHead;
}

/// What a dump starts with.
#[derive(Clone, Debug, Default)]
pub(crate) struct DumpHead {
    /// 0: the warehouse.
    pub peer: PeerId,
    /// The market's id.
    pub cluster: String,
    /// The mark: durable sequence and block hash.
    pub mark: (Seq, Hash),
}

/// Sends blocks from `from_seq` to `to_seq`, and with `follow` whatever becomes durable later.
pub(in crate::wire) async fn dump(
    blocks: Arc<dyn BlockReader>,
    request: proto::DumpRequest,
    sender: mpsc::Sender<Result<proto::DumpReply, Status>>,
) {
    let head = blocks.head();
    let mut first = proto::DumpReply {
        blocks: Vec::new(),
        peer: head.peer.0,
        cluster: head.cluster,
        mark_seq: head.mark.0.0,
        mark_hash: convert::hash_out(head.mark.1),
    };
    let mut next = Seq(request.from_seq.max(1));
    let end = if request.to_seq == 0 { Seq(u64::MAX) } else { Seq(request.to_seq) };
    loop {
        let got = match read(&blocks, next).await {
            Ok(got) => got,
            Err(status) => return drop(sender.send(Err(status)).await),
        };
        let after = got.last().and_then(|block| blocks.after(block));
        let reply = proto::DumpReply { blocks: got, ..std::mem::take(&mut first) };
        if sender.send(Ok(reply)).await.is_err() {
            return;
        }
        next = after.unwrap_or(next);
        if next > end || (after.is_none() && !request.follow) {
            return;
        }
        if after.is_none() {
            tokio::select! {
                () = blocks.changed(Seq(next.0.saturating_sub(1))) => {}
                () = sender.closed() => return,
            }
        }
    }
}

/// Reading waits for the disk: it has a thread of its own.
async fn read(blocks: &Arc<dyn BlockReader>, next: Seq) -> Result<Vec<Vec<u8>>, Status> {
    let blocks = Arc::clone(blocks);
    match tokio::task::spawn_blocking(move || blocks.blocks(next, DUMP_BYTES)).await {
        Ok(got) => got.map_err(Status::data_loss),
        Err(failed) => Err(Status::internal(failed.to_string())),
    }
}

#[cfg(test)]
pub(in crate::wire) mod tests {
    use tokio::sync::watch;

    use super::*;

    /// A log of ten blocks, each of one byte that is its record's sequence; of them so many are durable.
    struct Log(watch::Sender<u64>);

    impl BlockReader for Log {
        fn blocks(&self, from: Seq, _: usize) -> Result<Vec<Vec<u8>>, String> {
            // Two at a time.
            let durable = *self.0.borrow();
            Ok((from.0..=durable.min(from.0 + 1)).map(|seq| vec![seq as u8]).collect())
        }

        fn after(&self, block: &[u8]) -> Option<Seq> {
            Some(Seq(u64::from(block[0]) + 1))
        }

        fn changed(&self, seen: Seq) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
            let mut durable = self.0.subscribe();
            Box::pin(async move { drop(durable.wait_for(|durable| *durable > seen.0).await) })
        }

        fn head(&self) -> DumpHead {
            let mark = (Seq(*self.0.borrow()), Hash([9; 32]));
            DumpHead { peer: PeerId(4), cluster: "3f2a".to_owned(), mark }
        }
    }

    fn dumped(
        from_seq: u64,
        to_seq: u64,
        follow: bool,
    ) -> (Arc<Log>, mpsc::Receiver<Result<proto::DumpReply, Status>>) {
        let (log, (sender, replies)) = (Arc::new(Log(watch::Sender::new(10))), mpsc::channel(1));
        tokio::spawn(dump(Arc::clone(&log) as _, proto::DumpRequest { from_seq, to_seq, follow }, sender));
        (log, replies)
    }

    async fn blocks(from_seq: u64, to_seq: u64) -> Vec<u8> {
        let (_, mut replies) = dumped(from_seq, to_seq, false);
        let mut all = Vec::new();
        while let Some(reply) = replies.recv().await {
            all.extend(reply.unwrap().blocks.concat());
        }
        all
    }

    #[tokio::test]
    pub(in crate::wire) async fn a_dump_has_the_range_that_was_asked_for() {
        assert_eq!(blocks(0, 0).await, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(blocks(4, 0).await, [4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(blocks(4, 5).await, [4, 5]);
    }

    #[tokio::test]
    pub(in crate::wire) async fn a_dump_that_follows_goes_on() {
        let (log, mut replies) = dumped(9, 0, true);
        let mut next = async || replies.recv().await.unwrap().unwrap().blocks.concat();
        assert_eq!(next().await, [9, 10]);
        assert_eq!(next().await, [0; 0]);
        log.0.send_replace(11);
        assert_eq!(next().await, [11]);
    }

    #[tokio::test]
    pub(in crate::wire) async fn a_dump_says_first_whose_it_is() {
        let (_log, mut replies) = dumped(1, 0, false);
        let first = replies.recv().await.unwrap().unwrap();
        let mark = (first.mark_seq, first.mark_hash);
        assert_eq!((first.peer, first.cluster.as_str(), mark), (4, "3f2a", (10, vec![9; 32])));
        let second = replies.recv().await.unwrap().unwrap();
        assert_eq!((second.peer, second.cluster.as_str(), second.mark_seq), (0, "", 0));
    }
}
