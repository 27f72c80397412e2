//! `Market`: orders of peers and clients, served by every peer.

use tonic::{Request, Response, Status, Streaming};

use super::inbox::{Answers, Inbox};
use super::places::Caller;
use crate::model::message::Stream;
use crate::wire::proto::{self, SubmitReply, SubmitRequest, TradeReply, TradeRequest};

pub(super) struct Market(pub(super) Inbox);

#[tonic::async_trait]
impl proto::market_server::Market for Market {
    type TradeStream = Answers<TradeReply>;

    async fn trade(
        &self,
        said: Request<Streaming<TradeRequest>>,
    ) -> Result<Response<Answers<TradeReply>>, Status> {
        let caller = Caller::of(said.extensions());
        self.0.open(Stream::Trade, caller, said.into_inner()).await
    }

    async fn submit(&self, request: Request<SubmitRequest>) -> Result<Response<SubmitReply>, Status> {
        self.0.call(request).await
    }
}
