//! The calling side: unary calls with a deadline, and streams that report to the node's inbox.
//!
//! Each stream has a connection of its own: HTTP/2's windows are shared within a connection, and one unread stream
//! would starve the others.

mod connect;
pub mod dial;
mod flow;
mod node;

pub(crate) use flow::Dumped;
pub use node::Node;
pub(crate) use node::call;

pub use crate::model::call::CallError;
