//! The commands: what a user asks for, done with nodes, stores and the wire. Each ends in an exit code.

pub mod archive;
pub mod backup;
pub mod bench;
pub(crate) mod children;
pub mod dump;
mod generation;
mod histogram;
pub mod join;
pub mod leave;
pub(crate) mod live;
pub mod manual;
pub(crate) mod market;
pub mod nodes;
pub mod order;
pub mod output;
pub(crate) mod progress;
pub mod resign;
mod retry;
pub mod room;
pub(crate) mod rows;
mod runtime;
pub mod simulate;
pub(crate) mod source;
pub mod status;
pub mod up;
pub mod verify;
