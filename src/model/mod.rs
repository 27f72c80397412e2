//! The pure core: state machines that know no thread, socket, disk, clock or chance. Time and seeds are passed in.
pub mod entry;
pub mod fold;
pub mod row;
