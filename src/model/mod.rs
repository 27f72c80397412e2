//! The pure core: state machines that know no thread, socket, disk, clock or chance. Time and seeds are passed in.
pub mod entry;
pub mod fold;
pub mod hello;
pub mod market;
pub mod offices;
pub mod row;
pub mod session;
