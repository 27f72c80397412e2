//! Connecting to a node, and one question to it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Response, Status};

use crate::limits::{CONNECT_MAX, KEEPALIVE_ANSWER_MAX, KEEPALIVE_EVERY, MESSAGE_BYTES_MAX};
use crate::model::call::{CallError, Cause};
use crate::wire::convert::Odd;
use crate::wire::descriptors;

fn endpoint(addr: &str) -> Result<Endpoint, CallError> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|error| {
        CallError::Unreachable { addr: addr.to_owned(), why: error.to_string(), refused: false }
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .initial_stream_window_size(MESSAGE_BYTES_MAX as u32)
        .initial_connection_window_size(2 * MESSAGE_BYTES_MAX as u32)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER_MAX))
}

/// Connects, or says that nothing was sent.
pub(super) async fn connect(addr: &str, within: Duration) -> Result<Channel, CallError> {
    let unreachable = |why, refused| CallError::Unreachable { addr: addr.to_owned(), why, refused };
    let (at, share) = (addr.to_owned(), within.min(CONNECT_MAX));
    let reach = tower::service_fn(move |_: Uri| reach(at.clone(), share));
    match tokio::time::timeout(within, endpoint(addr)?.connect_with_connector(reach)).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => {
            let cause = root_cause(&error);
            let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            Err(unreachable(cause.to_string(), io == Some(io::ErrorKind::ConnectionRefused)))
        }
        Err(_) => Err(unreachable(format!("no connection within {within:?}"), false)),
    }
}

/// Connects to the address as it is now: a name is looked up each time, so that a node which has moved is found again.
async fn reach(addr: String, within: Duration) -> io::Result<TokioIo<TcpStream>> {
    let found: Vec<SocketAddr> = lookup_host(&addr).await?.collect();
    reach_any(&found, within).await.map(TokioIo::new)
}

/// Of several addresses each has its share of the time. Only if all refuse it is nobody there.
async fn reach_any(found: &[SocketAddr], within: Duration) -> io::Result<TcpStream> {
    let mut failed: Option<io::Error> = None;
    for at in found {
        let error = match timeout(within / found.len() as u32, reach_one(*at)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(late) => late.into(),
        };
        if failed.as_ref().is_none_or(|it| it.kind() == io::ErrorKind::ConnectionRefused) {
            failed = Some(error);
        }
    }
    Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

async fn reach_one(at: SocketAddr) -> io::Result<TcpStream> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if !descriptors::may_keep(&socket) {
        return Err(io::Error::other("the last descriptors are the store's: raise the limit (ulimit -n)"));
    }
    socket.set_nodelay(true)?;
    socket.connect(at).await
}

fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// What comes of a call within the deadline.
pub(super) async fn within<T>(
    deadline: Duration,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(deadline, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(CallError::from_status(&status)),
        Err(_) => Err(CallError::Unknown(format!("no answer within {deadline:?}"))),
    }
}

/// An answer that is not understood. One of another version is a refusal of this side.
pub(super) fn odd(odd: Odd) -> CallError {
    match odd {
        Odd::Field(_) => CallError::Unknown(odd.to_string()),
        Odd::Version(_) => CallError::Refused { cause: Cause::OtherVersion, text: odd.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A name may have several addresses, and a node listens at one of them.
    #[tokio::test]
    async fn all_addresses_of_a_name_are_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        // A listener whose queue is full answers nobody.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let silent = socket.listen(0).unwrap();
        let silent = (silent.local_addr().unwrap(), silent);
        let _queue: Vec<_> =
            [(); 4].map(|()| std::net::TcpStream::connect_timeout(&silent.0, CONNECT_MAX / 20)).into();
        let within = CONNECT_MAX / 4;
        assert_eq!(reach_any(&[gone, open], within).await.unwrap().peer_addr().unwrap(), open);
        assert_eq!(reach_any(&[silent.0, open], within).await.unwrap().peer_addr().unwrap(), open);
        let kind = async |found: &[SocketAddr]| reach_any(found, within).await.unwrap_err().kind();
        assert_eq!(kind(&[gone, gone]).await, io::ErrorKind::ConnectionRefused);
        for found in [[gone, silent.0], [silent.0, gone]] {
            assert_eq!(kind(&found).await, io::ErrorKind::TimedOut, "somebody may be there");
        }
        assert_eq!(kind(&[]).await, io::ErrorKind::NotFound);
    }
}
