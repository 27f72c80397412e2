//! Connections that come in: accepted by a loop of our own, since tonic's asks again at once when there is no descriptor
//! left, and keeps a connection that says nothing for ever.
//!
//! In: a listener, and the places of the node. Out: a stream of connections for tonic. Each is closed if nothing was
//! understood on it within [`FIRST_WORD_MAX`] ([`Caller::spoke`]), whatever it lacks: bytes, a request, the rest of a request, the
//! first word of a stream. Later silence is no reason: a stream of the market may be quiet for hours.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

use super::places::{Caller, Place, Places, from};
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, FIRST_WORD_MAX};
use crate::wire::descriptors;

/// Where connections come from; a test has its own.
trait Source {
    fn next(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Source for TcpListener {
    fn next(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        self.accept()
    }
}

/// The connections of a listener, until the stream is dropped.
pub(super) fn connections(
    listener: TcpListener,
    places: Places,
) -> impl Stream<Item = io::Result<Connection>> {
    let (sender, connections) = mpsc::channel(1);
    tokio::spawn(accept(listener, places, sender));
    ReceiverStream::new(connections)
}

async fn accept(source: impl Source, places: Places, connections: mpsc::Sender<io::Result<Connection>>) {
    let mut wait = BACKOFF_MIN;
    loop {
        let accepted = tokio::select! {
            accepted = source.next() => accepted,
            () = connections.closed() => return,
        };
        match accepted {
            Ok((stream, theirs)) => {
                wait = BACKOFF_MIN;
                // A handshake of TLS has its place here, in a task of its own for each connection.
                if let Some(connection) = Connection::new(stream, theirs, &places)
                    && connections.send(Ok(connection)).await.is_err()
                {
                    return;
                }
            }
            // No descriptor or no memory: the newcomer stays in the kernel's queue, and the next try ends as this one.
            Err(error) => {
                tracing::warn!(%error, ?wait, "no connection can be accepted");
                sleep(wait).await;
                wait = (wait * 2).min(BACKOFF_MAX);
            }
        }
    }
}

/// A connection with its place.
pub(super) struct Connection {
    stream: TcpStream,
    place: Place,
    /// Resolves when nothing more is waited for; none once something was understood.
    patience: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Connection {
    /// None: there is no place for it, and it is closed.
    fn new(stream: TcpStream, theirs: SocketAddr, places: &Places) -> Option<Connection> {
        if !descriptors::may_keep(&stream) {
            tracing::warn!(%theirs, "a connection is closed: the last descriptors are the store's");
            return None;
        }
        let ours = stream.local_addr().ok().map(|ours| ours.ip());
        let Some(place) = places.take(from(theirs.ip(), ours), Caller::at(theirs)) else {
            tracing::warn!(%theirs, "a connection is closed: there are too many");
            return None;
        };
        // Without it answers are late, and nothing else.
        let _ = stream.set_nodelay(true);
        let caller = place.caller.clone();
        let patience = async move {
            tokio::select! { () = sleep(FIRST_WORD_MAX) => {}, () = caller.told_to_leave() => {} }
        };
        Some(Connection { stream, place, patience: Some(Box::pin(patience)) })
    }

    /// Whether nothing was understood in time.
    fn is_given_up(&mut self, context: &mut Context<'_>) -> bool {
        let over = self.patience.as_mut().is_some_and(|it| it.as_mut().poll(context).is_ready());
        if over {
            self.patience = None;
        }
        over && !self.place.stays()
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.place.caller.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_given_up(context) {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "it says nothing")));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::{Duration, Instant};

    use tokio::io::AsyncReadExt as _;
    use tokio_stream::StreamExt as _;

    use super::*;

    /// A listener that fails so often before it gives its connections.
    struct Failing(TcpListener, AtomicU32);

    impl Source for Failing {
        async fn next(&self) -> io::Result<(TcpStream, SocketAddr)> {
            if self.1.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                return Err(rustix::io::Errno::MFILE.into());
            }
            self.0.accept().await
        }
    }

    async fn listener() -> (TcpListener, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener, stream)
    }

    /// It tried 40,000 times in two seconds when there was no descriptor.
    #[tokio::test]
    async fn an_accept_that_fails_is_tried_again_later_and_later() {
        let (listener, _stream) = listener().await;
        let (sender, mut connections) = mpsc::channel(1);
        let began = Instant::now();
        tokio::spawn(accept(Failing(listener, AtomicU32::new(4)), Places::new(8), sender));
        connections.recv().await.unwrap().unwrap();
        let waited = BACKOFF_MIN * (1 + 2 + 4 + 8);
        assert!(began.elapsed() >= waited, "{:?}", began.elapsed());
        assert!(began.elapsed() < waited + Duration::from_secs(5), "it goes on");
    }

    #[tokio::test]
    async fn a_connection_that_makes_room_is_closed_and_one_that_spoke_is_not() {
        let (listener, mut silent) = listener().await;
        let addr = listener.local_addr().unwrap();
        let mut accepted = Box::pin(connections(listener, Places::new(2)));
        let mut first = accepted.next().await.unwrap().unwrap();
        let _second = TcpStream::connect(addr).await.unwrap();
        let mut spoke = accepted.next().await.unwrap().unwrap();
        spoke.place.caller.spoke();
        let _third = TcpStream::connect(addr).await.unwrap();
        let _newcomer = accepted.next().await.unwrap().unwrap();
        let mut byte = [0];
        let ended = first.read(&mut byte).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        drop(first);
        assert_eq!(silent.read(&mut byte).await.unwrap(), 0, "the other side sees the end");
        let more = tokio::time::timeout(Duration::from_millis(50), spoke.read(&mut byte)).await;
        assert!(more.is_err(), "it is waited for: {more:?}");
    }
}
