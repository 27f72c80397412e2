//! What a node tells of itself.

pub use crate::model::report::{Report, Shopping};
