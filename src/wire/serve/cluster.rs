//! `Cluster`: words between peers, and orders of an ended term.

use tonic::{Request, Response, Status, Streaming};

use super::inbox::{Answers, Inbox};
use super::places::Caller;
use crate::limits::BATCH_ORDERS_MAX;
use crate::model::call::Refusal;
use crate::model::message::Stream;
use crate::wire::proto::{self, ClusterMessage, HandOverReply, HandOverRequest};

pub(super) struct Cluster(pub(super) Inbox);

#[tonic::async_trait]
impl proto::cluster_server::Cluster for Cluster {
    type ControlStream = Answers<ClusterMessage>;

    async fn control(
        &self,
        said: Request<Streaming<ClusterMessage>>,
    ) -> Result<Response<Answers<ClusterMessage>>, Status> {
        let caller = Caller::of(said.extensions());
        self.0.open(Stream::Link, caller, said.into_inner()).await
    }

    async fn hand_over(&self, request: Request<HandOverRequest>) -> Result<Response<HandOverReply>, Status> {
        if request.get_ref().orders.len() > BATCH_ORDERS_MAX {
            let text = format!("at most {BATCH_ORDERS_MAX} orders in one hand-over");
            return Err(Refusal::Invalid(text).into());
        }
        self.0.call(request).await
    }
}
