//! The commands: what a user asks for, done with nodes, stores and the wire. Each ends in an exit code.

pub mod backup;
pub mod bench;
pub mod children;
pub mod dump;
mod histogram;
pub mod join;
pub mod leave;
pub mod live;
pub mod manual;
pub mod market;
pub mod nodes;
pub mod order;
pub mod output;
pub mod resign;
mod retry;
pub mod rows;
mod runtime;
pub mod simulate;
pub mod source;
pub mod status;
pub mod up;
pub mod verify;
