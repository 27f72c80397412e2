//! Clients that are not ours, written from the protos alone: they find the services by reflection, and what they put into
//! a field counts.

use bazaar::types::Office;
use tonic::Request;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::{v1, v1alpha};

use super::market::{Market, SOON, block_on, turn, until};

async fn channel(addr: &str) -> Channel {
    Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap()
}

/// The services that a node lists, asked in the older and in the newer way.
async fn listed(addr: &str) -> [Vec<String>; 2] {
    let channel = channel(addr).await;
    let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(channel.clone());
    let request = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let answer = older.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap().message_response;
    let Some(v1alpha::server_reflection_response::MessageResponse::ListServicesResponse(found)) = answer
    else {
        panic!("{answer:?}")
    };
    let older_found = found.service.into_iter().map(|it| it.name).collect();

    let mut newer = v1::server_reflection_client::ServerReflectionClient::new(channel);
    let request = v1::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let answer = newer.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap().message_response;
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(found)) = answer else {
        panic!("{answer:?}")
    };
    [older_found, found.service.into_iter().map(|it| it.name).collect()]
}

/// `bazaar.v1.PlaceRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct Place {
    #[prost(string, tag = "1")]
    good: String,
    #[prost(uint64, tag = "2")]
    quantity: u64,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(uint64, tag = "4")]
    number: u64,
}

/// `bazaar.v1.PlaceReply`, as far as it matters here.
#[derive(Clone, PartialEq, prost::Message)]
struct Placed {
    #[prost(message, optional, tag = "1")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Outcome {
    #[prost(uint64, tag = "2")]
    number: u64,
    #[prost(uint64, tag = "5")]
    filled: u64,
    #[prost(uint64, tag = "9")]
    seq: u64,
    #[prost(bool, tag = "12")]
    repeated: bool,
}

async fn place(addr: &str, quantity: u64, number: u64) -> Result<Outcome, tonic::Status> {
    let mut client = tonic::client::Grpc::new(channel(addr).await);
    client.ready().await.unwrap();
    let request = Request::new(Place { good: "salt".to_owned(), quantity, kind: 3, number });
    let codec = ProstCodec::<Place, Placed>::default();
    let placed = client.unary(request, "/bazaar.v1.Admin/Place".parse().unwrap(), codec).await?;
    Ok(placed.into_inner().outcome.unwrap())
}

/// It bought three times.
#[test]
fn a_number_that_is_asked_for_three_times_is_done_once() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "0", "--sellers", "1", "--deposit-every", "1h"]);
    up.wait_for_pair();
    let addr = up.node("peer-1").addr;
    let first = until("the peer has placed its first order", SOON, || {
        up.status("peer-1").filter(|it| it.shopping.answered == 1).map(|it| it.shopping.answered + 1)
    });
    let rows = up.ledger_seq();
    let outcomes = [(); 3].map(|()| block_on(place(&addr, 5, first)).unwrap());
    assert_eq!(outcomes.each_ref().map(|it| it.repeated), [false, true, true]);
    assert!(outcomes.iter().all(|it| (it.number, it.filled, it.seq) == (first, 5, outcomes[0].seq)));
    assert_eq!(up.ledger_seq(), rows + 1, "one row for all three");
    let other = block_on(place(&addr, 6, first)).unwrap_err();
    assert!(other.message().contains("another order"), "{other}");
    let above = block_on(place(&addr, 5, first + 5)).unwrap_err();
    assert!(above.message().contains("above the next one"), "{above}");
    assert_eq!(block_on(place(&addr, 5, 0)).unwrap().number, first + 1);
    up.interrupt().expect(0);
    market.verify();
}

/// Python's client, among others, still asks in the older way.
#[test]
fn services_are_found_by_reflection_in_either_way() {
    let _turn = turn();
    let market = Market::new();
    let up = market.start(&["--buyers", "0", "--sellers", "0"]);
    up.wait_for_pair();
    let trader = up.holder(Office::Primary).unwrap();
    for (node, own) in [("warehouse", "bazaar.v1.Warehouse"), (trader.as_str(), "bazaar.v1.Market")] {
        for found in block_on(listed(&up.node(node).addr)) {
            for service in [own, "bazaar.v1.Admin", "grpc.health.v1.Health"] {
                assert!(found.iter().any(|it| it == service), "{node} lacks {service}: {found:?}");
            }
        }
    }
    up.interrupt().expect(0);
}
