//! The page's paths.
//!
//! | path | what it gives |
//! | --- | --- |
//! | `/` | the document |
//! | `/events` | how the market is and what was sent in it, as server-sent events |
//! | `/at?time=` | the market as the stores say that it was |
//! | `/marks` | what befell it, for the time line |
//! | `/charts?time=` | pictures of the run so far, with that moment marked |
//! | `/diagram.svg?from=&to=` or `?order=` | a space-time diagram |
//! | `/act` | POST, with the run's token: does something to a node |
//! | `/metrics`, `/healthz`, `/readyz` | of the process that serves the page |
//!
//! A request that names a host which is no address comes from a page elsewhere that took this address for its own name, and
//! is refused. Metrics and health are for probes, which may name any.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::BroadcastStream;

use super::{Hub, Mark, act, past};
use crate::cli::order_id;
use crate::diagram::Point;
use crate::limits::{PAGE_BODY_MAX, PAGE_DRAWN_MAX, PAGE_VIEWERS_MAX};
use crate::model::traced::Wanted;
use crate::node::meter::process_text;
use crate::node::wall_now;
use crate::ops::trace;
use crate::types::WallMicros;

const DOCUMENT: &str = include_str!("../../page/page.html");
const STYLE: &str = include_str!("../../page/page.css");
const SCRIPT: &str = include_str!("../../page/page.js");

type Shared = State<Arc<Hub>>;

/// All paths.
pub(super) fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/", get(document))
        .route("/events", get(events))
        .route("/at", get(at))
        .route("/marks", get(marks))
        .route("/charts", get(charts))
        .route("/diagram.svg", get(diagram))
        .route("/act", post(acted))
        .route_layer(middleware::from_fn(asked_by_address))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async || "ok\n"))
        .fallback(elsewhere)
        .layer(DefaultBodyLimit::max(PAGE_BODY_MAX))
        .with_state(hub)
}

/// Random letters that nobody can guess.
///
/// # Errors
/// There is no randomness to be had.
pub(super) fn secret() -> Result<String, String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

fn refused(status: StatusCode, what: impl Into<String>) -> Response {
    (status, what.into() + "\n").into_response()
}

async fn asked_by_address(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
    match is_address(host) {
        true => next.run(request).await,
        false => refused(StatusCode::FORBIDDEN, "this page is asked for by its address, not by a name"),
    }
}

/// `127.0.0.1:80`, `[::1]:80`, `localhost:80`.
fn is_address(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
}

async fn document() -> Response {
    let nonce = match secret() {
        Ok(nonce) => nonce,
        Err(why) => return refused(StatusCode::INTERNAL_SERVER_ERROR, why),
    };
    let page = DOCUMENT.replace("{{style}}", STYLE).replace("{{script}}", SCRIPT);
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8".to_owned()),
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store".to_owned()),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, page.replace("{{nonce}}", &nonce)).into_response()
}

async fn events(State(hub): Shared) -> Response {
    if hub.news.receiver_count() >= PAGE_VIEWERS_MAX {
        let what = format!("{PAGE_VIEWERS_MAX} look at this page already: close one");
        return refused(StatusCode::SERVICE_UNAVAILABLE, what);
    }
    let news = BroadcastStream::new(hub.news.subscribe());
    // Who does not keep up misses news, and gets the next.
    let events = news.filter_map(Result::ok).map(|news| {
        Ok::<_, std::convert::Infallible>(Event::default().event(news.name).data(news.data.as_ref()))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

#[derive(Deserialize)]
struct AtTime {
    time: u64,
}

async fn at(State(hub): Shared, Query(AtTime { time }): Query<AtTime>) -> Response {
    match past::state(&hub, WallMicros(time)).await {
        Ok(state) => json_text(state.to_string()),
        Err(why) => refused(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn marks(State(hub): Shared) -> Response {
    json_text(past::marks(&hub).await.to_string())
}

#[derive(Deserialize)]
struct ChartsAt {
    time: Option<u64>,
}

async fn charts(State(hub): Shared, Query(ChartsAt { time }): Query<ChartsAt>) -> Response {
    match hub.drawer.charts(time).await {
        Ok(charts) => json_text(charts.to_string()),
        Err(why) => refused(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

#[derive(Deserialize)]
struct Drawn {
    from: Option<u64>,
    to: Option<u64>,
    order: Option<String>,
}

async fn diagram(State(hub): Shared, Query(drawn): Query<Drawn>) -> Response {
    let order = match drawn.order.as_deref().map(order_id).transpose() {
        Ok(order) => order,
        Err(error) => return refused(StatusCode::BAD_REQUEST, format!("{}: {}", error.why, error.mend)),
    };
    let to = drawn.to.unwrap_or_else(|| wall_now().0);
    let longest = if order.is_some() { u64::MAX } else { PAGE_DRAWN_MAX.as_micros() as u64 };
    let from = drawn.from.unwrap_or_default().max(to.saturating_sub(longest));
    let ended =
        |mark: Mark| (mark.kind == "crashed").then_some((mark.node, mark.time, Point::Crashed, mark.text));
    let known = hub.shown.marks().into_iter().filter_map(ended).collect();
    let svg = trace::svg(hub.seeds(), Wanted { after: 0, from, to, order }, known, hub.timeout).await;
    match svg {
        Ok(svg) => ([(header::CONTENT_TYPE, "image/svg+xml")], svg).into_response(),
        Err(why) => refused(StatusCode::NOT_FOUND, why),
    }
}

async fn acted(State(hub): Shared, headers: HeaderMap, body: Bytes) -> Response {
    let shown = headers.get("x-bazaar-token").and_then(|it| it.to_str().ok()).unwrap_or_default();
    if hub.token.is_empty() || shown != hub.token {
        let what = "the token is missing or another run's";
        let error = json!({ "error": { "what": what, "why": null, "hint": "open the address that bazaar up printed" } });
        return (StatusCode::FORBIDDEN, json_text(error.to_string())).into_response();
    }
    match act::act(&hub, &body).await {
        Ok(did) => json_text(json!({ "did": did }).to_string()),
        Err(refused) => {
            let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::CONFLICT);
            (status, json_text(refused.json().to_string())).into_response()
        }
    }
}

async fn metrics(State(hub): Shared) -> Response {
    let lives = hub.shown.lives();
    let dead = lives.values().filter(|life| life.dead).count();
    let failovers = hub.shown.failovers().len();
    let gauges = [
        ("bazaar_page_nodes", "Nodes that were started.", lives.len() as f64),
        ("bazaar_page_dead_nodes", "Of them those that have ended.", dead as f64),
        ("bazaar_page_failovers", "Traders that ended or were suspected.", failovers as f64),
        ("bazaar_page_viewers", "Who looks at the page.", hub.news.receiver_count() as f64),
    ];
    match process_text(&gauges) {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
        }
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

async fn elsewhere() -> Response {
    refused(StatusCode::NOT_FOUND, "there are /, /metrics, /healthz and /readyz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_may_be_asked_for() {
        for host in ["127.0.0.1:80", "[::1]:8080", "localhost", "localhost:1", "10.0.0.7:9"] {
            assert!(is_address(host), "{host}");
        }
        for host in ["", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil:1"] {
            assert!(!is_address(host), "{host}");
        }
    }

    #[test]
    fn the_document_is_whole_and_small() {
        assert!(["{{style}}", "{{script}}", "{{nonce}}"].iter().all(|slot| DOCUMENT.contains(slot)));
        let bytes = DOCUMENT.len() + STYLE.len() + SCRIPT.len();
        assert!(bytes < 150_000, "{bytes}");
        for far in ["http://", "https://", "//cdn"] {
            let found = [DOCUMENT, STYLE, SCRIPT].map(|text| text.replace("http://www.w3.org/", ""));
            assert!(found.iter().all(|text| !text.contains(far)), "{far}");
        }
    }

    #[test]
    fn secrets_differ() {
        let [one, two] = [secret().unwrap(), secret().unwrap()];
        assert!(one.len() == 32 && one != two);
    }
}
