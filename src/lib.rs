//! bazaar
pub mod cli;
pub mod config;
pub mod limits;
pub mod model;
pub mod ops;
pub mod types;
pub mod wire;
