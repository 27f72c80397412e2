//! The commands: what a user asks for, done with nodes, stores and the wire. Each ends in an exit code.
pub mod output;
pub mod nodes;
pub mod children;
