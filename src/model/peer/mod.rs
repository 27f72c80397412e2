//! The peer: its own orders, the desk that it keeps while in office, its links to other peers, and the elections.

mod state;

pub use state::{Accepted, Chunks, Part, PeerState};
