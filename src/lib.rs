//! bazaar
pub mod journal;
pub mod limits;
pub mod model;
pub mod types;
