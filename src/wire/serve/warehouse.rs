//! `Warehouse`: sessions, offices, settlement and stock.

use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::inbox::{Answers, Inbox};
use crate::model::message::Stream;
use crate::wire::proto;

pub(super) struct Warehouse(pub(super) Inbox);

#[tonic::async_trait]
impl proto::warehouse_server::Warehouse for Warehouse {
    type ControlStream = Answers<proto::ControlDown>;
    type SettleStream = Answers<proto::SettleReply>;
    type WatchStream = Answers<proto::StockPush>;

    async fn catalogue(
        &self,
        request: Request<proto::CatalogueRequest>,
    ) -> Result<Response<proto::CatalogueReply>, Status> {
        self.0.call(request).await
    }

    async fn open(&self, request: Request<proto::OpenRequest>) -> Result<Response<proto::OpenReply>, Status> {
        self.0.call(request).await
    }

    async fn session(
        &self,
        request: Request<proto::SessionRequest>,
    ) -> Result<Response<proto::SessionReply>, Status> {
        self.0.call(request).await
    }

    async fn claim(
        &self,
        request: Request<proto::ClaimRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.0.call(request).await
    }

    async fn fence(
        &self,
        request: Request<proto::FenceRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.0.call(request).await
    }

    async fn pair(
        &self,
        request: Request<proto::PairRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.0.call(request).await
    }

    async fn resign(
        &self,
        request: Request<proto::ResignRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.0.call(request).await
    }

    async fn control(
        &self,
        said: Request<Streaming<proto::ControlUp>>,
    ) -> Result<Response<Answers<proto::ControlDown>>, Status> {
        self.0.open(Stream::Control, said.into_inner()).await
    }

    async fn settle(
        &self,
        said: Request<Streaming<proto::SettleRequest>>,
    ) -> Result<Response<Answers<proto::SettleReply>>, Status> {
        self.0.open(Stream::Settle, said.into_inner()).await
    }

    async fn watch(
        &self,
        request: Request<proto::WatchRequest>,
    ) -> Result<Response<Answers<proto::StockPush>>, Status> {
        // A watcher says its request and nothing after it: only the end of the stream tells that it has gone.
        let said = tokio_stream::once(Ok(request.into_inner())).chain(tokio_stream::pending());
        self.0.open(Stream::Watch, said).await
    }
}
