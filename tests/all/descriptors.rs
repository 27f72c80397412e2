//! Strangers who connect and say nothing, or begin and do not go on. Each costs a node a descriptor, and a node that has
//! none left cannot write its next checkpoint. Looked at are the open files of the nodes, not only that they live.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bazaar::model::happening::What;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::by_hand::{ByHand, QUICK, WAREHOUSE, name};
use super::market::{Market, Running, SOON, bazaar, block_on, limited, open_files, until};

/// A node may have so many open files.
const OPEN_FILES: u32 = 256;
/// A node keeps so many of them back.
const KEPT_BACK: usize = 32;
/// A connection on which nothing was understood is closed after 5 s.
const GIVEN_UP: Duration = Duration::from_secs(5);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn market_with(open_files: u32) -> ByHand {
    let mut hands = ByHand::empty(&QUICK);
    hands.open_files_max = Some(open_files);
    hands.start_in_order();
    hands
}

/// Reads until the other side ends it.
fn is_closed(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(GIVEN_UP * 2)).unwrap();
    let mut bytes = [0; 256];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

#[test]
fn silent_connections_cost_no_node_its_life_and_keep_nobody_out() {
    let hands = market_with(OPEN_FILES);
    let nodes = [WAREHOUSE, 6, 5];
    let before = nodes.map(|id| open_files(hands.pid(id)));
    let began = Instant::now();
    // A third says nothing, a third begins to begin, a third speaks HTTP/2 and asks nothing.
    let begin: [&[u8]; 3] = [b"", &PREFACE[..10], &[PREFACE, SETTINGS].concat()];
    let mut silent = Vec::new();
    for at in 0..3 * 400 {
        let mut stream = TcpStream::connect(hands.addr(nodes[at % 3])).unwrap();
        // It may have made room for a later one by now.
        let _ = stream.write_all(begin[at / 3 % 3]);
        silent.push(stream);
        let open = open_files(hands.pid(nodes[at % 3]));
        assert!(open <= OPEN_FILES as usize - KEPT_BACK, "{} has {open}", name(nodes[at % 3]));
    }
    for id in nodes {
        hands.status(id).unwrap_or_else(|| panic!("{} answers nobody", name(id)));
    }
    let took = hands.trade_goes_on("400 silent connections at three nodes", began);
    assert!(silent.iter_mut().all(is_closed), "a silent connection is still up");
    assert!(began.elapsed() < GIVEN_UP + SOON, "{:?}", began.elapsed());
    for (id, before) in nodes.into_iter().zip(before) {
        // A sister's call may be under way.
        until(&format!("{} has its descriptors back", name(id)), SOON, || {
            (open_files(hands.pid(id)) <= before + 8).then_some(())
        });
        assert!(!hands.log(id).contains("Too many open files"), "{}", hands.log(id));
    }
    assert_eq!(hands.wait_for_pair(), (6, 5));
    hands.ends_well("400 silent connections at three nodes", took);
}

/// What begins a request and never ends it: the first word of a stream, or the body of a call.
async fn begins_and_stops(addr: &str, method: &'static str) -> tonic::Status {
    let channel = Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
    let mut stranger = tonic::client::Grpc::new(channel);
    stranger.ready().await.unwrap();
    let says_nothing = Request::new(tokio_stream::pending::<()>());
    let codec = ProstCodec::<(), ()>::default();
    let asked = stranger.streaming(says_nothing, method.parse().unwrap(), codec).await;
    match asked {
        Ok(answers) => answers.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    }
}

#[test]
fn a_stream_that_says_no_hello_ends_and_so_does_its_connection() {
    let hands = market_with(OPEN_FILES);
    let at = [
        (WAREHOUSE, "/bazaar.v1.Warehouse/Control"),
        (WAREHOUSE, "/bazaar.v1.Warehouse/Settle"),
        (WAREHOUSE, "/bazaar.v1.Admin/Status"),
        (6, "/bazaar.v1.Market/Trade"),
        (6, "/bazaar.v1.Cluster/Control"),
        (6, "/bazaar.v1.Replica/Replicate"),
        (6, "/bazaar.v1.Market/Submit"),
    ];
    let before = [WAREHOUSE, 6].map(|id| open_files(hands.pid(id)));
    let began = Instant::now();
    block_on(async {
        let mut asked = tokio::task::JoinSet::new();
        for (id, method) in at {
            let addr = hands.addr(id);
            let ends = async move { tokio::time::timeout(SOON, begins_and_stops(&addr, method)).await };
            asked.spawn(async move { (method, ends.await.expect("it ends")) });
        }
        while let Some(ended) = asked.join_next().await {
            let (method, status) = ended.unwrap();
            // The stream is told why, or its connection is closed under it.
            let ended = matches!(status.code(), Code::DeadlineExceeded | Code::Unknown | Code::Unavailable);
            assert!(ended && began.elapsed() < GIVEN_UP * 2, "{method}: {status:?}");
            assert!(began.elapsed() >= GIVEN_UP - Duration::from_secs(1), "{method}: {status:?}");
        }
    });
    for (id, before) in [WAREHOUSE, 6].into_iter().zip(before) {
        until(&format!("{} has its descriptors back", name(id)), SOON, || {
            (open_files(hands.pid(id)) <= before + 8).then_some(())
        });
    }
    let took = hands.trade_goes_on("streams without a hello", began);
    hands.ends_well("streams without a hello", took);
}

/// A stream of the market may be quiet for long, and people look at a node for long: only silence from the beginning
/// counts.
#[test]
fn who_has_spoken_may_be_quiet() {
    let mut hands = ByHand::empty(&["--heartbeat", "30s", "--suspect-after", "30s"]);
    hands.start(&[WAREHOUSE, 6, 5]);
    hands.wait_for_pair();
    let before = hands.roster().unwrap();
    let watch = hands.on_events(5, |what| matches!(what, What::Roster(_)).then_some(()));
    // It comes after all of them and is closed when its time is up, so theirs was up, too.
    let mut silent = TcpStream::connect(hands.addr(6)).unwrap();
    assert!(is_closed(&mut silent));
    assert_eq!(hands.roster().unwrap(), before, "a quiet stream was cut");
    assert!(!watch.is_finished(), "who watches was cut off");
    hands.kill(&[6]);
    watch.join().unwrap();
}

#[test]
fn a_node_with_too_few_open_files_says_so_and_starts_not() {
    let market = Market::new();
    let mut command = bazaar(market.cwd());
    command.args(["warehouse", "--listen", "127.0.0.1:0"]);
    let ended = Running::start(limited(&command, "-n 64")).wait(SOON).refused(1, "64 open files");
    assert!(ended.stderr.contains("ulimit -n"), "{}", ended.stderr);
    assert!(!market.dir().exists(), "nothing was created");
}

#[test]
fn a_limit_that_may_be_raised_is_raised() {
    let market = Market::new();
    let mut command = bazaar(market.cwd());
    command.args(["warehouse", "--listen", "127.0.0.1:0"]);
    let node = Running::start(limited(&command, "-Sn 64"));
    until("it serves", SOON, || node.stdout().contains("recovered").then_some(()));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.pid())).unwrap();
    let limit = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let numbers: Vec<&str> = limit.split_whitespace().take(2).collect();
    assert!(numbers[0] == numbers[1] && numbers[0] != "64", "{limit}");
}
