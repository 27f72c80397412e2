//! `Replica`: copies of what the other trader has accepted.

use tonic::{Request, Response, Status, Streaming};

use super::inbox::{Answers, Inbox};
use crate::model::message::Stream;
use crate::wire::proto::{self, ReplicateReply, ReplicateRequest};

pub(super) struct Replica(pub(super) Inbox);

#[tonic::async_trait]
impl proto::replica_server::Replica for Replica {
    type ReplicateStream = Answers<ReplicateReply>;

    async fn replicate(
        &self,
        said: Request<Streaming<ReplicateRequest>>,
    ) -> Result<Response<Answers<ReplicateReply>>, Status> {
        self.0.open(Stream::Replicate, said.into_inner()).await
    }
}
