//! bazaar
pub mod cli;
pub mod config;
pub mod journal;
pub mod limits;
pub mod model;
pub mod node;
pub mod ops;
pub mod types;
pub mod wire;
