use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// A node that gives these accounts of its health, one after the other, and then is gone.
async fn served(accounts: &'static [&'static str]) -> SocketAddr {
    let (node, mut inbox) = mpsc::channel(1);
    tokio::spawn(async move {
        for health in accounts {
            if let Some(Arrival::Asked(Ask::Status, reply)) = inbox.recv().await {
                let report = Report { health: (*health).to_owned(), ..Report::default() };
                let _ = reply.send(Ok(Answer::Status(Box::new(report))));
            }
        }
    });
    let source = Source {
        node,
        counts: Counts::new().unwrap(),
        stats: Box::new(Stats::default),
        dir: PathBuf::from("none"),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router(source), Room::NODE, std::future::pending()));
    addr
}

async fn get_at(addr: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let ask = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_node_is_ready_when_it_is_well_and_healthy_while_it_answers() {
    let addr = served(&["ok", "no secondary in office", "no secondary in office"]).await;
    assert!(get_at(addr, "/readyz").await.starts_with("HTTP/1.1 200"));
    let unready = get_at(addr, "/readyz").await;
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("no secondary in office"), "{unready}");
    assert!(get_at(addr, "/healthz").await.starts_with("HTTP/1.1 200"));
    for path in ["/readyz", "/healthz", "/metrics"] {
        let gone = get_at(addr, path).await;
        assert!(gone.starts_with("HTTP/1.1 503") && gone.contains("stopping"), "{gone}");
    }
}

#[tokio::test]
async fn metrics_are_text_and_other_paths_are_named() {
    let addr = served(&["ok"]).await;
    let metrics = get_at(addr, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains(TEXT_FORMAT), "{metrics}");
    assert!(metrics.contains("\nbazaar_healthy 1\n"), "{metrics}");
    let elsewhere = get_at(addr, "/").await;
    assert!(elsewhere.starts_with("HTTP/1.1 404") && elsewhere.contains("/metrics"), "{elsewhere}");
}

/// More than these are not served at once, and nobody is turned away for good.
#[tokio::test]
async fn who_comes_when_all_places_are_taken_waits_for_one() {
    let addr = served(&["ok"]).await;
    let mut silent = Vec::new();
    for _ in 0..HTTP_CONNECTIONS_MAX {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let asked = get_at(addr, "/healthz");
    tokio::pin!(asked);
    let waits = tokio::time::timeout(Duration::from_millis(200), &mut asked).await;
    assert!(waits.is_err(), "{waits:?}");
    silent.pop();
    assert!(asked.await.starts_with("HTTP/1.1 200"));
}
