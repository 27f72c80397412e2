//! Texts into values: each parser either gives a value that needs no further check or says what it wants instead.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, UNIX_EPOCH};

use crate::journal::wall_now;
use crate::limits::{
    ADDR_BYTES_MAX, HEARTBEAT_MIN, PEERS_MAX, QUANTITY_MAX, SUSPECT_AFTER_MIN, TIMER_MAX,
    TRADER_QUEUE_ORDERS_MAX,
};
use crate::types::{Consistency, Number, OrderId, PeerId, Quantity, WallMicros};

/// Why a value is refused, and how to write a right one. clap names the flag and the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub(crate) struct ValueError {
    /// What is wrong with it.
    pub why: String,
    /// How to write it.
    pub mend: String,
}

pub(super) fn refuse<T>(why: impl Into<String>, mend: impl Into<String>) -> Result<T, ValueError> {
    Err(ValueError { why: why.into(), mend: mend.into() })
}

/// From and to, both included; never upside down, never with 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The smallest.
    pub min: Quantity,
    /// The largest.
    pub max: Quantity,
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// `1-3`, or `2` for `2-2`.
pub(crate) fn range(text: &str) -> Result<Range, ValueError> {
    let (min, max) = match text.split_once('-') {
        Some((min, max)) if !min.is_empty() => (quantity(min)?, quantity(max)?),
        _ => (quantity(text)?, quantity(text)?),
    };
    match min <= max {
        true => Ok(Range { min, max }),
        false => refuse("the range is upside down", format!("write {max}-{min}")),
    }
}

/// Pieces of one order.
pub(crate) fn quantity(text: &str) -> Result<Quantity, ValueError> {
    match text.parse::<u64>() {
        Ok(pieces) if (1..=QUANTITY_MAX).contains(&pieces) => Ok(Quantity(pieces)),
        Ok(0) => refuse("an order has at least 1 piece", format!("use 1 to {QUANTITY_MAX} pieces")),
        Ok(_) => refuse(format!("above the limit of {QUANTITY_MAX} pieces"), "split it into several orders"),
        Err(_) => refuse("not a number of pieces", format!("use 1 to {QUANTITY_MAX} pieces")),
    }
}

/// A good and a number of pieces, as `buy` and `sell` take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces {
    /// The good's name; whether there is such a good only the catalogue knows.
    pub good: String,
    /// How many.
    pub quantity: Quantity,
}

/// `GOOD` or `GOOD=N`.
pub(crate) fn wanted(text: &str) -> Result<Pieces, ValueError> {
    let (good, pieces) = text.split_once('=').unwrap_or((text, "1"));
    if good.is_empty() {
        return refuse("the good has no name", "write it like fish=3");
    }
    Ok(Pieces { good: good.to_string(), quantity: quantity(pieces)? })
}

/// `GOOD=N`.
pub(crate) fn offered(text: &str) -> Result<Pieces, ValueError> {
    match text.contains('=') {
        true => wanted(text),
        false => refuse("the number of pieces is missing", format!("write it like {text}=10")),
    }
}

/// A time as people write it: `200ms`, `5s`, `1m 30s`.
pub(crate) fn duration(text: &str) -> Result<Duration, ValueError> {
    match humantime::parse_duration(text) {
        Ok(duration) => Ok(duration),
        Err(error) => refuse(error.to_string(), "write it like 200ms, 5s or 10m"),
    }
}

/// A moment: `1h` for that long ago, or `2026-11-25T10:00Z`, in UTC; seconds and their parts may be left out.
pub(crate) fn moment(text: &str) -> Result<WallMicros, ValueError> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(WallMicros(wall_now().0.saturating_sub(micros(ago))));
    }
    let minutes = text.trim_end_matches('Z');
    let whole =
        if minutes.matches(':').count() == 1 { format!("{minutes}:00Z") } else { format!("{minutes}Z") };
    match humantime::parse_rfc3339(&whole).ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
        Some(since) => Ok(WallMicros(micros(since))),
        None => refuse("neither a time ago nor a moment", "write it like 1h or 2026-11-25T10:00Z"),
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

/// A time above 0.
pub(crate) fn period(text: &str) -> Result<Duration, ValueError> {
    match duration(text)? {
        Duration::ZERO => refuse("must be above 0", "write it like 200ms, 5s or 10m"),
        period => Ok(period),
    }
}

/// How often something is sent between traders.
pub(crate) fn heartbeat(text: &str) -> Result<Duration, ValueError> {
    between(period(text)?, HEARTBEAT_MIN)
}

/// How long an answer is waited for before its node is suspected.
pub(crate) fn suspect_after(text: &str) -> Result<Duration, ValueError> {
    between(period(text)?, SUSPECT_AFTER_MIN)
}

fn between(time: Duration, min: Duration) -> Result<Duration, ValueError> {
    let mend = || format!("use {min:?} to {}h", TIMER_MAX.as_secs() / 3_600);
    match time {
        time if time < min => refuse("too short: nodes that are well would be suspected", mend()),
        time if time > TIMER_MAX => refuse("too long: nothing would ever be found out", mend()),
        time => Ok(time),
    }
}

/// 0 to 100.
pub(crate) fn percent(text: &str) -> Result<u8, ValueError> {
    match text.parse() {
        Ok(percent @ 0..=100) => Ok(percent),
        _ => refuse("not a percentage", "use a whole number from 0 to 100"),
    }
}

/// Orders that a trader queues.
pub(crate) fn queue(text: &str) -> Result<usize, ValueError> {
    match text.parse() {
        Ok(orders @ 1..=TRADER_QUEUE_ORDERS_MAX) => Ok(orders),
        _ => refuse("not a length of a queue", format!("use 1 to {TRADER_QUEUE_ORDERS_MAX}")),
    }
}

/// The warehouse's port, with room for those of all peers above it; 0 takes any free ones.
pub(crate) fn base_port(text: &str) -> Result<u16, ValueError> {
    let highest = u16::MAX - PEERS_MAX as u16;
    match text.parse::<u16>() {
        Ok(port) if port <= highest => Ok(port),
        Ok(_) => refuse(
            "leaves no room for the peers' ports above it",
            format!("use 1 to {highest}, or 0 for any"),
        ),
        Err(_) => refuse("not a port", format!("use 1 to {highest}, or 0 for any")),
    }
}

/// Where another node is asked. A name stays a name: it is resolved whenever the node is dialed, so that a node which
/// moves is found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddr(String);

impl NodeAddr {
    /// A port of this machine.
    pub(crate) fn here(port: u16) -> NodeAddr {
        NodeAddr(SocketAddr::from((Ipv4Addr::LOCALHOST, port)).to_string())
    }
}

impl std::fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// `127.0.0.1:7700`, `:7700` or `7700` for this machine, `host:7700`.
pub(crate) fn addr(text: &str) -> Result<NodeAddr, ValueError> {
    if let Some(port) = port_here(text) {
        return Ok(NodeAddr::here(port));
    }
    let name = |host: &str| {
        let fits = |it: char| it.is_ascii_alphanumeric() || matches!(it, '.' | '-' | '_');
        !host.is_empty() && host.len() < ADDR_BYTES_MAX - "[]:65535".len() && host.chars().all(fits)
    };
    let is_named =
        text.rsplit_once(':').is_some_and(|(host, port)| name(host) && port.parse::<u16>().is_ok());
    if is_named || text.parse::<SocketAddr>().is_ok() {
        return Ok(NodeAddr(text.to_owned()));
    }
    refuse("not an address", "write it like 127.0.0.1:7700 or :7700")
}

fn port_here(text: &str) -> Option<u16> {
    text.trim_start_matches(':').parse().ok()
}

/// Where others find this node: something that they can dial.
pub(crate) fn advertised(text: &str) -> Result<NodeAddr, ValueError> {
    let found = addr(text)?;
    let everywhere = found.0.parse::<SocketAddr>().is_ok_and(|it| it.ip().to_canonical().is_unspecified());
    match everywhere || found.0.ends_with(":0") {
        true => refuse("nobody can dial it", "name this machine as others see it, like 10.0.0.7:7707"),
        false => Ok(found),
    }
}

/// The same for an address of this machine's own to listen on.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, ValueError> {
    if let Some(port) = port_here(text) {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let resolved = text.to_socket_addrs().ok().and_then(|addrs| {
        let addrs: Vec<SocketAddr> = addrs.collect();
        let found = addrs.iter().find(|addr| addr.is_ipv4()).or(addrs.first()).copied()?;
        Some(SocketAddr::new(found.ip().to_canonical(), found.port()))
    });
    resolved.map_or_else(|| refuse("not an address", "write it like 127.0.0.1:7700 or :7700"), Ok)
}

/// An id that may stand for office.
pub(crate) fn peer(text: &str) -> Result<PeerId, ValueError> {
    match text.parse() {
        Ok(id @ 1..=PEERS_MAX) => Ok(PeerId(id)),
        _ => refuse("not a peer's id", format!("peers are 1 to {PEERS_MAX}")),
    }
}

/// A peer's or client's id.
pub(crate) fn orderer(text: &str) -> Result<PeerId, ValueError> {
    match text.parse() {
        Ok(id @ 1..) => Ok(PeerId(id)),
        _ => refuse(
            "not a peer's or client's id",
            format!("peers are 1 to {PEERS_MAX}, clients begin at 1001"),
        ),
    }
}

/// An order's number at its peer.
pub(crate) fn number(text: &str) -> Result<Number, ValueError> {
    match text.parse() {
        Ok(number @ 1..) => Ok(Number(number)),
        _ => refuse("not an order's number", "numbers count from 1"),
    }
}

/// `4-3`: order 3 of peer 4.
pub(crate) fn order_id(text: &str) -> Result<OrderId, ValueError> {
    let (peer, order) = match text.split_once('-') {
        Some(halves) => halves,
        None => return refuse("not an order", "write it like 4-3: peer 4, number 3"),
    };
    Ok(OrderId { peer: orderer(peer)?, number: number(order)? })
}

/// `2=127.0.0.1:7702`: a neighbour and where it listens; `2`, if that is not known yet.
pub(crate) fn neighbour(text: &str) -> Result<(PeerId, Option<NodeAddr>), ValueError> {
    match text.split_once('=') {
        Some((id, at)) => Ok((peer(id)?, Some(addr(at)?))),
        None => Ok((peer(text)?, None)),
    }
}

/// The name of a consistency mode.
pub(crate) fn consistency(text: &str) -> Result<Consistency, ValueError> {
    match Consistency::ALL.into_iter().find(|mode| mode.name() == text) {
        Some(mode) => Ok(mode),
        None => refuse("not a consistency mode", "there are cacheless, cached and escrow"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_upright_and_within_the_limit() {
        assert_eq!(range("1-3"), Ok(Range { min: Quantity(1), max: Quantity(3) }));
        assert_eq!(range("2"), Ok(Range { min: Quantity(2), max: Quantity(2) }));
        assert_eq!(range("3-1").unwrap_err().mend, "write 1-3");
        for bad in ["0-3", "1-1000001", "-3", "-1-3", "a-b", "", "1-", "1-2-3"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_of_a_good() {
        assert_eq!(wanted("salt"), Ok(Pieces { good: "salt".into(), quantity: Quantity(1) }));
        assert_eq!(wanted("salt=3"), offered("salt=3"));
        assert_eq!(offered("salt").unwrap_err().mend, "write it like salt=10");
        for bad in ["salt=0", "salt=-1", "salt=1000001", "salt=", "=3", "salt=2.5"] {
            assert!(wanted(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_are_above_nothing() {
        assert_eq!(period("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(period("0s").unwrap_err().why, "must be above 0");
        assert!(period("5 parsecs").is_err());
    }

    #[test]
    fn addresses_may_leave_this_machine_out() {
        let expected: SocketAddr = "127.0.0.1:7700".parse().unwrap();
        for text in ["127.0.0.1:7700", ":7700", "7700"] {
            assert_eq!(listen(text), Ok(expected), "{text}");
            assert_eq!(addr(text).map(|addr| addr.to_string()), Ok("127.0.0.1:7700".to_owned()), "{text}");
        }
        assert!(addr("70000").is_err() && listen("70000").is_err());
    }

    #[test]
    fn nobody_is_told_an_address_that_cannot_be_dialed() {
        for bad in ["0.0.0.0:7700", "[::]:7700", "[::ffff:0.0.0.0]:7700", "10.0.0.7:0", "warehouse"] {
            assert!(advertised(bad).is_err(), "{bad}");
        }
        for text in ["10.0.0.7:7700", "peer-7.market:7707", "[fd00::7]:7707"] {
            assert_eq!(advertised(text).map(|addr| addr.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(listen("[::ffff:0.0.0.0]:7700"), Ok("0.0.0.0:7700".parse().unwrap()));
    }

    /// With 10 ms a quiet market fenced its traders ten times a second.
    #[test]
    fn timers_that_cannot_work_are_refused_with_what_would_do() {
        for (text, mend) in [("10ms", "200ms"), ("199ms", "200ms"), ("100us", "200ms"), ("2days", "24h")] {
            assert!(suspect_after(text).unwrap_err().mend.contains(mend), "{text}");
        }
        for text in ["49ms", "100us", "1000000years"] {
            assert!(heartbeat(text).unwrap_err().mend.contains("50ms"), "{text}");
        }
        assert!(suspect_after("200ms").is_ok() && heartbeat("50ms").is_ok() && heartbeat("1day").is_ok());
    }

    /// Otherwise a peer goes on dialing where the warehouse was when the peer was started.
    #[test]
    fn a_name_stays_a_name() {
        for text in ["warehouse.market.invalid:7700", "a-b_c:1", "[::1]:7700", "10.0.0.7:7700"] {
            assert_eq!(addr(text).map(|addr| addr.to_string()), Ok(text.to_owned()));
        }
        for bad in ["warehouse", "warehouse:", ":x", "ware house:7700", "a:70000", "::1:7700", "a/b:1", ""] {
            assert!(addr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ids_and_percentages_have_bounds() {
        assert!(peer("1000").is_ok() && peer("1001").is_err() && peer("0").is_err());
        assert!(orderer("1001").is_ok() && orderer("0").is_err());
        assert_eq!(order_id("4-3").unwrap().to_string(), "4-3");
        assert!(order_id("4").is_err() && order_id("4-0").is_err());
        assert!(percent("100").is_ok() && percent("101").is_err());
        assert!(base_port("64535").is_ok() && base_port("64536").is_err() && base_port("0").is_ok());
        assert!(Consistency::ALL.into_iter().all(|mode| consistency(mode.name()) == Ok(mode)));
        assert!(consistency("eventual").unwrap_err().mend.contains("escrow"));
    }
}
