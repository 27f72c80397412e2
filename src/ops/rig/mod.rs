//! A market of real processes to try things on: nodes behind proxies, and a load that does not wait for answers.

pub(in crate::ops) mod client;
pub(in crate::ops) mod cluster;
pub(in crate::ops) mod count;
pub(in crate::ops) mod delay;
pub(in crate::ops) mod disk;
pub(in crate::ops) mod links;
pub(in crate::ops) mod load;
pub(super) mod ports;
