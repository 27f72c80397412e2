//! The pure core: state machines that know no thread, socket, disk, clock or chance. Time and seeds are passed in.
pub mod catalogue;
pub mod clock;
pub mod election;
pub mod entry;
pub mod fold;
pub mod hello;
pub mod market;
pub mod membership;
pub mod offices;
pub mod passed_over;
pub mod peer;
pub mod queue;
pub mod row;
pub mod session;
pub mod shopper;
pub mod trader;
pub mod warehouse;
