//! `Replica`: copies of what the other trader has accepted.

use tonic::{Request, Response, Status, Streaming};

use super::inbox::{Answers, Inbox};
use super::places::Caller;
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
        let caller = Caller::of(said.extensions());
        self.0.open(Stream::Replicate, caller, said.into_inner()).await
    }
}
