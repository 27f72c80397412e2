//! Connecting to a node, and one question to it.

use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status};

use crate::limits::{CONNECT_MAX, KEEPALIVE_ANSWER_MAX, KEEPALIVE_EVERY, MESSAGE_BYTES_MAX};
use crate::model::call::{CallError, Cause};
use crate::wire::convert::Odd;

fn endpoint(addr: &str) -> Result<Endpoint, CallError> {
    let endpoint = Endpoint::from_shared(format!("http://{addr}")).map_err(|error| {
        CallError::Unreachable { addr: addr.to_owned(), why: error.to_string(), refused: false }
    })?;
    Ok(endpoint
        .connect_timeout(CONNECT_MAX)
        .tcp_nodelay(true)
        .initial_stream_window_size(MESSAGE_BYTES_MAX as u32)
        .initial_connection_window_size(2 * MESSAGE_BYTES_MAX as u32)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_ANSWER_MAX))
}

/// Connects, or says that nothing was sent.
pub(super) async fn connect(addr: &str, within: Duration) -> Result<Channel, CallError> {
    let unreachable = |why, refused| CallError::Unreachable { addr: addr.to_owned(), why, refused };
    match tokio::time::timeout(within, endpoint(addr)?.connect()).await {
        Ok(Ok(channel)) => Ok(channel),
        Ok(Err(error)) => {
            let cause = root_cause(&error);
            let io = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            Err(unreachable(cause.to_string(), io == Some(std::io::ErrorKind::ConnectionRefused)))
        }
        Err(_) => Err(unreachable(format!("no connection within {within:?}"), false)),
    }
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
