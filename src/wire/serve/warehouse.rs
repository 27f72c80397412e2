//! `Warehouse`: sessions, offices, settlement and stock.

use std::net::SocketAddr;

use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::inbox::{Answers, Inbox};
use super::places::Caller;
use crate::model::message::Stream;
use crate::wire::proto;

pub(super) struct Warehouse {
    inbox: Inbox,
    /// The host by which others find this machine, if that is known.
    here: Option<String>,
}

impl Warehouse {
    /// A warehouse that others find at this address.
    pub(super) fn new(inbox: Inbox, addr: &str) -> Warehouse {
        Warehouse { inbox, here: host(addr).map(str::to_owned) }
    }
}

/// A peer that listens on all addresses does not know by which others find it: by the one that its connection comes from.
/// One of this machine, seen by loopback, is where the warehouse is: others cannot dial a loopback address.
fn seen_from(from: Option<SocketAddr>, here: Option<&str>, mut up: proto::ControlUp) -> proto::ControlUp {
    if let (Some(from), Some(hello)) = (from, &mut up.hello)
        && let Ok(listens) = hello.addr.parse::<SocketAddr>()
        && listens.ip().is_unspecified()
    {
        let from = from.ip().to_canonical();
        hello.addr = match here.filter(|_| from.is_loopback()) {
            Some(host) => format!("{host}:{}", listens.port()),
            None => SocketAddr::new(from, listens.port()).to_string(),
        };
    }
    up
}

/// The host of an address, if others can dial it.
fn host(addr: &str) -> Option<&str> {
    let (host, _) = addr.rsplit_once(':')?;
    let everywhere = addr.parse::<SocketAddr>().is_ok_and(|it| it.ip().is_unspecified());
    (!everywhere).then_some(host)
}

#[tonic::async_trait]
impl proto::warehouse_server::Warehouse for Warehouse {
    type ControlStream = Answers<proto::ControlDown>;
    type SettleStream = Answers<proto::SettleReply>;
    type WatchStream = Answers<proto::StockPush>;

    async fn catalogue(
        &self,
        request: Request<proto::CatalogueRequest>,
    ) -> Result<Response<proto::CatalogueReply>, Status> {
        self.inbox.call(request).await
    }

    async fn open(&self, request: Request<proto::OpenRequest>) -> Result<Response<proto::OpenReply>, Status> {
        self.inbox.call(request).await
    }

    async fn session(
        &self,
        request: Request<proto::SessionRequest>,
    ) -> Result<Response<proto::SessionReply>, Status> {
        self.inbox.call(request).await
    }

    async fn claim(
        &self,
        request: Request<proto::ClaimRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.inbox.call(request).await
    }

    async fn fence(
        &self,
        request: Request<proto::FenceRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.inbox.call(request).await
    }

    async fn pair(
        &self,
        request: Request<proto::PairRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.inbox.call(request).await
    }

    async fn resign(
        &self,
        request: Request<proto::ResignRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.inbox.call(request).await
    }

    async fn complete(
        &self,
        request: Request<proto::CompleteRequest>,
    ) -> Result<Response<proto::RosterReply>, Status> {
        self.inbox.call(request).await
    }

    async fn control(
        &self,
        said: Request<Streaming<proto::ControlUp>>,
    ) -> Result<Response<Answers<proto::ControlDown>>, Status> {
        let caller = Caller::of(said.extensions());
        let (from, here) = (caller.addr(), self.here.clone());
        let said = said.into_inner();
        let said = said.map(move |up| up.map(|up| seen_from(from, here.as_deref(), up)));
        self.inbox.open(Stream::Control, caller, said).await
    }

    async fn settle(
        &self,
        said: Request<Streaming<proto::SettleRequest>>,
    ) -> Result<Response<Answers<proto::SettleReply>>, Status> {
        let caller = Caller::of(said.extensions());
        self.inbox.open(Stream::Settle, caller, said.into_inner()).await
    }

    async fn watch(
        &self,
        request: Request<proto::WatchRequest>,
    ) -> Result<Response<Answers<proto::StockPush>>, Status> {
        let caller = Caller::of(request.extensions());
        // A watcher says its request and nothing after it: only the end of the stream tells that it has gone.
        let said = tokio_stream::once(Ok(request.into_inner())).chain(tokio_stream::pending());
        self.inbox.open(Stream::Watch, caller, said).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_listens_everywhere_is_where_its_connection_comes_from() {
        let from: Option<SocketAddr> = Some("10.0.0.7:41000".parse().unwrap());
        let seen = |addr: &str, from| {
            let hello = proto::Hello { addr: addr.to_owned(), ..proto::Hello::default() };
            seen_from(
                from,
                Some("10.0.0.5"),
                proto::ControlUp { hello: Some(hello), ..proto::ControlUp::default() },
            )
            .hello
            .unwrap()
            .addr
        };
        assert_eq!(seen("0.0.0.0:7704", from), "10.0.0.7:7704");
        assert_eq!(seen("[::]:7704", from), "10.0.0.7:7704");
        assert_eq!(seen("[::]:7704", Some("[::ffff:10.0.0.7]:41000".parse().unwrap())), "10.0.0.7:7704");
        assert_eq!(seen("[::]:7704", Some("[fd00::7]:41000".parse().unwrap())), "[fd00::7]:7704");
        assert_eq!(seen("10.0.0.9:7704", from), "10.0.0.9:7704", "what it says otherwise counts");
        assert_eq!(seen("peer-4.market:7704", from), "peer-4.market:7704");
        let here = Some("127.0.0.1:41000".parse().unwrap());
        assert_eq!(
            seen("0.0.0.0:7704", here),
            "10.0.0.5:7704",
            "peers of other machines are to find it, too"
        );
        assert_eq!([host("0.0.0.0:7700"), host("[::]:7700")], [None; 2]);
        assert_eq!(host("[fd00::5]:7700"), Some("[fd00::5]"));
        assert_eq!(host("warehouse.market:7700"), Some("warehouse.market"));
    }
}
