//! Asking traders until one has decided: the home first, with back-off until the deadline.
//!
//! Asking again under the same number is always safe, so whatever is not an outcome or a final refusal is asked again. Each
//! question shows the store's token. So a trader is asked only where the warehouse says that it listens; a referral of
//! another node is a reason to ask the warehouse.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use crate::limits::CALL_MIN;
use crate::model::market::NotTaken;
use crate::model::offices::Roster;
use crate::model::row::Outcome;
use crate::ops::retry::Backoff;
use crate::types::{Order, PeerId};
use crate::wire::client::{CallError, Node};

/// Until when, and how long one call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    end: Instant,
    timeout: Duration,
}

impl Limits {
    pub(super) fn new(deadline: Duration, timeout: Duration) -> Limits {
        Limits { end: Instant::now() + deadline, timeout }
    }

    pub(super) fn left(&self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }

    /// No time is left to ask anybody.
    pub(super) fn over(&self) -> bool {
        self.left() < CALL_MIN
    }

    /// Bound of a call that begins now, in whole milliseconds.
    pub(super) fn call(&self) -> Duration {
        Duration::from_millis(self.timeout.min(self.left()).as_millis() as u64)
    }
}

/// What asking came to.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is decided.
    Decided(Outcome),
    /// No trader will ever take this order.
    Never(NotTaken),
    /// Time is up. `sent`: a trader may have it.
    Open { sent: bool, why: String },
}

/// Decides which trader to ask next.
pub(super) struct Asker {
    warehouse: String,
    limits: Limits,
    roster: Roster,
    /// The roster may be out of date: something went wrong since it came.
    outdated: bool,
    /// A trader to ask before the home: the one that a person named.
    first: Option<String>,
    /// A trader has said that it is not the home, and the warehouse was asked for that since the last pause.
    referred: bool,
    backoff: Backoff,
}

impl Asker {
    pub(super) fn new(warehouse: &str, limits: Limits, roster: Roster) -> Asker {
        let (warehouse, backoff) = (warehouse.to_owned(), Backoff::default());
        Asker { warehouse, limits, roster, outdated: false, first: None, referred: false, backoff }
    }

    /// Asks this trader first, once.
    pub(super) fn first(&mut self, addr: String) {
        self.first = Some(addr);
    }

    /// Where a trader listens, as the warehouse says.
    pub(super) fn addr_of(&self, trader: PeerId) -> Option<String> {
        let (_, seat) = self.roster.held_by(trader)?;
        Some(seat.addr.clone()).filter(|addr| !addr.is_empty())
    }

    /// Waits until the trader to ask can be reached: nothing is placed before. Nothing is sent.
    pub(super) async fn reach(&mut self, client: &mut Client) -> Result<Node, String> {
        loop {
            match self.next(client).await {
                Ok(node) => return Ok(node),
                Err(why) => {
                    // What was said before counts, not that the last call had no time.
                    self.pause().await;
                    if self.limits.over() {
                        return Err(why);
                    }
                }
            }
        }
    }

    /// Asks for an order until it is decided; `first` is asked before all others.
    pub(super) async fn ask(
        &mut self,
        client: &mut Client,
        order: &Order,
        mut first: Option<Node>,
    ) -> Answer {
        let mut sent = false;
        loop {
            let next = match first.take() {
                Some(node) => Ok(node),
                None => self.next(client).await,
            };
            let why = match next {
                Err(why) => why,
                Ok(node) => match node.submit(&client.hello(&self.roster), order).await {
                    Ok((outcome, seen)) => {
                        client.saw(seen.as_deref());
                        return Answer::Decided(outcome);
                    }
                    Err(CallError::NotTaken { why: NotTaken::NotHome, .. }) if self.refer() => continue,
                    Err(CallError::NotTaken { why, .. }) if is_final(why) => return Answer::Never(why),
                    Err(error) => {
                        sent |= matches!(error, CallError::Unknown(_));
                        error.to_string()
                    }
                },
            };
            self.pause().await;
            if self.limits.over() {
                return Answer::Open { sent, why };
            }
        }
    }

    /// The trader was not the home: the warehouse is asked who is, at once; false if it was just asked.
    fn refer(&mut self) -> bool {
        self.outdated = true;
        !std::mem::replace(&mut self.referred, true)
    }

    /// Connects to the trader that is to be asked next.
    async fn next(&mut self, client: &mut Client) -> Result<Node, String> {
        let addr = match self.first.take() {
            Some(addr) => addr,
            None => self.home(client).await?,
        };
        Node::connect(&addr, self.limits.call()).await.map_err(|error| error.to_string())
    }

    /// The home's address by the newest roster.
    async fn home(&mut self, client: &mut Client) -> Result<String, String> {
        if self.outdated {
            let warehouse = Node::connect(&self.warehouse, self.limits.call()).await;
            let warehouse = warehouse.map_err(|error| error.to_string())?;
            self.roster = client.open_session(&warehouse).await.map_err(|error| error.to_string())?;
            self.outdated = false;
        }
        let home = self.roster.home(client.me()).filter(|seat| !seat.addr.is_empty());
        home.map(|seat| seat.addr.clone()).ok_or_else(|| "no trader is in office".to_owned())
    }

    /// Waits after a failure, but not beyond the time that is left. Then all traders may be asked again, by a new roster.
    async fn pause(&mut self) {
        self.backoff.pause(self.limits.left()).await;
        (self.outdated, self.referred) = (true, false);
        self.first = None;
    }
}

/// Asking again would get the same refusal for ever.
fn is_final(why: NotTaken) -> bool {
    match why {
        NotTaken::Stale | NotTaken::OtherContent | NotTaken::UnknownProduct | NotTaken::Quantity => true,
        NotTaken::Busy
        | NotTaken::NotHome
        | NotTaken::Window
        | NotTaken::Fenced
        | NotTaken::NoSession
        | NotTaken::DiskFull
        | NotTaken::Clock => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Stamp;

    #[test]
    fn a_referral_is_a_reason_to_ask_the_warehouse_once_a_round() {
        let limits = Limits::new(Duration::from_secs(1), Duration::from_secs(1));
        let mut asker = Asker::new("127.0.0.1:1", limits, Roster::default());
        assert!(asker.refer() && asker.outdated);
        assert!(!asker.refer(), "two nodes would send us to and fro");
    }

    /// The last call had no time, and said that no answer came within 0 ns.
    #[test]
    fn what_is_said_in_the_end_is_what_was_found() {
        let dir = tempfile::tempdir().unwrap();
        let cluster = "3f2a".to_owned();
        let catalogue = crate::model::call::Catalogue {
            clock: Stamp(1),
            cluster,
            consistency: String::new(),
            generation: crate::types::Generation::default(),
            goods: Vec::new(),
        };
        let limits = Limits::new(Duration::from_millis(300), Duration::from_secs(5));
        // Port 1 is nobody's here.
        let mut asker = Asker::new("127.0.0.1:1", limits, Roster::default());
        let why = crate::ops::runtime::runtime().unwrap().block_on(async {
            let mut client = Client::open(dir.path(), &catalogue).unwrap();
            asker.reach(&mut client).await.map(drop).unwrap_err()
        });
        assert!(!why.contains("within") && !why.is_empty(), "{why}");
        assert!(limits.over());
    }

    #[test]
    fn one_call_never_outlasts_the_order() {
        let limits = Limits::new(Duration::from_millis(50), Duration::from_secs(5));
        assert!(limits.call() <= Duration::from_millis(50));
        let limits = Limits::new(Duration::from_secs(50), Duration::from_secs(5));
        assert_eq!(limits.call(), Duration::from_secs(5));
    }
}
