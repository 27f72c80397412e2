//! gRPC: the only place that knows tonic and prost. Proto types never pass its edge.
pub mod arrival;
pub mod client;
pub mod convert;
pub mod messages;
pub mod outbox;
pub mod report;
pub mod serve;
pub mod server;
pub mod status;

#[allow(missing_docs, clippy::all, clippy::pedantic)]
mod proto {
    tonic::include_proto!("bazaar.v1");
    pub(super) const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bazaar.descriptors"));
}
