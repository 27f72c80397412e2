//! gRPC: the only place that knows tonic and prost. Proto types never pass its edge.
pub mod arrival;
pub mod client;
pub(crate) mod convert;
pub(crate) mod outbox;
pub(crate) mod serve;
pub(crate) mod status;

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod proto {
    tonic::include_proto!("bazaar.v1");
    pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bazaar.descriptors"));
}
