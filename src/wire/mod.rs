//! gRPC: the only place that knows tonic and prost. Proto types never pass its edge.
pub mod arrival;
pub mod client;
pub(crate) mod convert;
pub mod descriptors;
pub(crate) mod outbox;
pub(crate) mod serve;
pub(crate) mod status;

/// Version of what nodes say to each other. It stands in hellos and in the opening of a session; absent it is 1. Nodes of
/// two versions do not talk, and say so: a market is taken to another build node by node, and a node that meets the other
/// version meanwhile asks again at its usual pace.
pub(crate) const WIRE_VERSION: u32 = 4;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod proto {
    tonic::include_proto!("bazaar.v1");
    pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bazaar.descriptors"));
}
