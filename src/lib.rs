//! bazaar
pub mod limits;
pub mod model;
pub mod types;
pub mod wire;
