//! The way out of a loop: a bounded queue per stream that is never waited for.
//!
//! A consumer that does not keep up has its stream cut once [`OUTBOX_BYTES_MAX`] or [`OUTBOX_MESSAGES_MAX`] is reached:
//! it reconnects and asks again. A loop that waited for it would stop serving everyone else.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use tokio_stream::Stream;

use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_MESSAGES_MAX};

/// A message that knows about how many bytes it will be on the wire.
pub trait Weigh {
    /// Upper estimate in bytes.
    fn weigh(&self) -> usize;
}

#[derive(Debug, Default)]
struct Load {
    bytes: AtomicUsize,
    cut: AtomicBool,
}

/// The loop's end of a stream.
#[derive(Debug)]
pub struct Outbox<T> {
    sender: mpsc::Sender<T>,
    load: Arc<Load>,
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        Outbox { sender: self.sender.clone(), load: Arc::clone(&self.load) }
    }
}

impl<T: Weigh> Outbox<T> {
    /// Queues a message. False if the stream is gone or was cut, now or before.
    pub fn send(&self, message: T) -> bool {
        let weight = message.weigh();
        let full = self.load.bytes.fetch_add(weight, Ordering::Relaxed) + weight > OUTBOX_BYTES_MAX;
        if full {
            self.load.cut.store(true, Ordering::Relaxed);
        }
        // The message is sent although the stream is cut: it wakes the stream, which then finds that it is cut.
        if self.sender.try_send(message).is_err() {
            self.load.cut.store(true, Ordering::Relaxed);
        }
        !self.load.cut.load(Ordering::Relaxed)
    }
}

/// The wire's end: a stream of messages that ends when the loop drops its outbox, or when it was cut.
#[derive(Debug)]
pub(crate) struct Outgoing<T> {
    receiver: mpsc::Receiver<T>,
    load: Arc<Load>,
}

/// A new pair of ends.
pub(crate) fn outbox<T>() -> (Outbox<T>, Outgoing<T>) {
    let (sender, receiver) = mpsc::channel(OUTBOX_MESSAGES_MAX);
    let load = Arc::new(Load::default());
    (Outbox { sender, load: Arc::clone(&load) }, Outgoing { receiver, load })
}

impl<T: Weigh> Stream for Outgoing<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        if self.load.cut.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        let next = self.receiver.poll_recv(context);
        if let Poll::Ready(Some(message)) = &next {
            self.load.bytes.fetch_sub(message.weigh(), Ordering::Relaxed);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Heavy(usize);
    impl Weigh for Heavy {
        fn weigh(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn a_consumer_that_does_not_keep_up_is_cut() {
        let (outbox, _outgoing) = outbox::<Heavy>();
        assert!(outbox.send(Heavy(OUTBOX_BYTES_MAX)));
        assert!(!outbox.send(Heavy(1)));
        assert!(!outbox.send(Heavy(0)), "once cut, a gap must not be papered over");
    }

    #[test]
    fn a_message_count_is_bounded_too() {
        let (outbox, _outgoing) = outbox::<Heavy>();
        assert!((0..OUTBOX_MESSAGES_MAX).all(|_| outbox.send(Heavy(1))));
        assert!(!outbox.send(Heavy(1)));
    }
}
