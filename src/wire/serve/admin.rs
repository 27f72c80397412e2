//! `Admin`: for people and scripts, served by every node. The log and what happens are served past the node's loop.

use std::sync::Arc;

use tokio::sync::{broadcast, mpsc};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{BroadcastStream, ReceiverStream};
use tonic::{Request, Response, Status};

use super::dump::{BlockReader, dump};
use super::inbox::{Answers, Inbox};
use super::places::Caller;
use super::trace::{TraceReader, trace};
use crate::model::happening::Happening;
use crate::wire::proto;

pub(super) struct Admin {
    pub(super) inbox: Inbox,
    pub(super) blocks: Arc<dyn BlockReader>,
    pub(super) happenings: broadcast::Sender<Happening>,
    pub(super) trace: Option<Arc<dyn TraceReader>>,
}

#[tonic::async_trait]
impl proto::admin_server::Admin for Admin {
    type DumpStream = Answers<proto::DumpReply>;
    type EventsStream = Answers<proto::Event>;
    type TraceStream = Answers<proto::TraceReply>;

    async fn status(
        &self,
        request: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusReply>, Status> {
        self.inbox.call(request).await
    }

    async fn place(
        &self,
        request: Request<proto::PlaceRequest>,
    ) -> Result<Response<proto::PlaceReply>, Status> {
        self.inbox.call(request).await
    }

    async fn quiesce(
        &self,
        request: Request<proto::QuiesceRequest>,
    ) -> Result<Response<proto::QuiesceReply>, Status> {
        self.inbox.call(request).await
    }

    async fn leave(
        &self,
        request: Request<proto::LeaveRequest>,
    ) -> Result<Response<proto::LeaveReply>, Status> {
        self.inbox.call(request).await
    }

    async fn resign(
        &self,
        request: Request<proto::ResignByHandRequest>,
    ) -> Result<Response<proto::ResignByHandReply>, Status> {
        self.inbox.call(request).await
    }

    async fn find(&self, request: Request<proto::FindRequest>) -> Result<Response<proto::FindReply>, Status> {
        self.inbox.call(request).await
    }

    async fn mode(&self, request: Request<proto::ModeRequest>) -> Result<Response<proto::ModeReply>, Status> {
        self.inbox.call(request).await
    }

    async fn release(
        &self,
        request: Request<proto::ReleaseRequest>,
    ) -> Result<Response<proto::ReleaseReply>, Status> {
        self.inbox.call(request).await
    }

    async fn dump(
        &self,
        request: Request<proto::DumpRequest>,
    ) -> Result<Response<Answers<proto::DumpReply>>, Status> {
        Caller::of(request.extensions()).spoke();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(dump(Arc::clone(&self.blocks), request.into_inner(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn trace(
        &self,
        request: Request<proto::TraceRequest>,
    ) -> Result<Response<Answers<proto::TraceReply>>, Status> {
        Caller::of(request.extensions()).spoke();
        let (sender, receiver) = mpsc::channel(4);
        tokio::spawn(trace(self.trace.clone(), request.into_inner().into(), sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn events(
        &self,
        request: Request<proto::EventsRequest>,
    ) -> Result<Response<Answers<proto::Event>>, Status> {
        Caller::of(request.extensions()).spoke();
        let happenings = BroadcastStream::new(self.happenings.subscribe());
        let events = happenings.map(|happening| {
            Ok(match happening {
                Ok(happening) => happening.into(),
                Err(missed) => proto::Event { line: missed.to_string(), ..proto::Event::default() },
            })
        });
        Ok(Response::new(Box::pin(events)))
    }
}
