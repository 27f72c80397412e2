//! The identity of one-shot orders: a store like a peer's, numbered by the warehouse, opened for one command at a time.
//!
//! Holds: an order is durable here before it is sent, and under its number nothing else is ever sent. The lock of the
//! directory is held until the process ends, so that two commands never number at once.

use std::path::{Path, PathBuf};

use crate::journal::{
    self, Block, Journal, OpenError, Reader, Recovered, Step, Ticket, Urgency, exit_on_failure,
};
use crate::model::call::{CallError, Catalogue, Cause, OpenAnswer, Opening};
use crate::model::clock::Clock;
use crate::model::evidence::Seen;
use crate::model::fold::Fold as _;
use crate::model::hello::Hello;
use crate::model::offices::Roster;
use crate::model::peer::PeerState;
use crate::model::peer::entry::{Entry, Placed, Told};
use crate::model::row::Outcome;
use crate::node::birth;
use crate::node::boot::{self, TOKEN};
use crate::node::wall_now;
use crate::ops::output::{Failure, exit};
use crate::types::{
    Epoch, Generation, Number, Order, OrderId, OrderKind, PeerId, ProcessId, ProductId, Quantity, Seq, Token,
    WallMicros,
};
use crate::wire::client::Node;

/// What a client's store says that it was made as.
const ROLE: &str = "client";
/// Records that a command replays before it leaves a checkpoint for the next one.
const REPLAY_MAX: u64 = 2_000;

/// An order with the outcome that this journal has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) placed: Placed,
    pub(super) told: Told,
    pub(super) via: PeerId,
    pub(super) time: WallMicros,
}

/// See the module's text.
pub(super) struct Client {
    journal: Journal<PeerState>,
    state: PeerState,
    clock: Clock,
    token: Token,
    process: ProcessId,
    cluster: String,
    me: PeerId,
    epoch: Epoch,
    /// What the ledger was seen to hold: the warehouse is shown it. A client may be the only one that was told an
    /// outcome: the traders' stores are lost, and the warehouse's directory is put back to before it, or replaced by
    /// another restore of its backup. That ledger would decide the client's numbers once more, and otherwise.
    seen: Seen,
    replayed: u64,
}

/// Where the identity is kept: with the market, or without one in the user's state directory.
pub(super) fn place(
    market: &Path,
    cluster_of_market: Option<&str>,
    cluster: &str,
) -> Result<PathBuf, Failure> {
    if cluster_of_market == Some(cluster) {
        return Ok(market.join("client"));
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")));
    let state = state.ok_or_else(|| {
        Failure::new(exit::USAGE, "there is no place to keep the order's number")
            .hint("set XDG_STATE_HOME, or name the market's directory with --data-dir")
    })?;
    Ok(state.join("bazaar").join(cluster).join("client"))
}

impl Client {
    /// Opens the store, or makes it. Waits for another command that has it, a while.
    pub(super) fn open(dir: &Path, catalogue: &Catalogue) -> Result<Client, Failure> {
        let token = boot::new_token().map_err(|error| Failure::new(exit::FAILURE, error.to_string()))?;
        let birth = birth::birth_in(catalogue, PeerId(0), ROLE, token);
        let cluster = Some(catalogue.cluster.as_str());
        let opened = journal::open::<PeerState>(dir, Some(birth), cluster, "", exit_on_failure());
        let Recovered { journal, state, recovery, .. } = opened.map_err(|error| refused(&error))?;
        let meta = journal.meta();
        let token = boot::replaced_token(&meta.extra).unwrap_or(meta.token);
        let ((me, epoch), seen) = (state.opened.unwrap_or_default(), state.ledger_seen);
        let process = ProcessId { epoch, starts: meta.starts, random: u64::from(std::process::id()) };
        let cluster = meta.cluster.clone();
        // The clock starts from the stamps of this journal and from the catalogue's clock, not from the reserve on
        // disk: this store is opened for one order at a time, and each order would leap by a whole reserve.
        let mut clock = Clock::starting_at(state.stamp);
        clock.adopt(catalogue.clock);
        let replayed = recovery.replayed;
        Ok(Client { journal, state, clock, token, process, cluster, me, epoch, seen, replayed })
    }

    /// Opens the session at the warehouse, and learns the traders. A store that is an old copy, or whose numbers are
    /// spent, gets a new session.
    pub(super) async fn open_session(&mut self, warehouse: &Node) -> Result<Roster, CallError> {
        let mut answer = self.ask_session(warehouse).await?;
        let copy = answer.opened.epoch == self.epoch && answer.opened.is_ahead_of(self.state.last);
        let spent = self.state.numbers_left(answer.opened.epoch) == 0 && self.state.open.is_empty();
        if copy || spent {
            self.be_reborn().await?;
            answer = self.ask_session(warehouse).await?;
        }
        let (peer, epoch) = (answer.opened.peer, answer.opened.epoch);
        (self.me, self.epoch, self.process.epoch) = (peer, epoch, epoch);
        if self.state.opened != Some((peer, epoch)) {
            self.record(Entry::Opened { peer, epoch }).await;
        }
        // The session's generation is journaled after this client's number. Otherwise, with the later generation alone,
        // another client's number would be taken for its own.
        self.enter(answer.generation, answer.seen.as_deref()).await;
        Ok(answer.roster)
    }

    /// The session is of that generation, and the ledger was shown as `seen`.
    async fn enter(&mut self, generation: Generation, seen: Option<&Seen>) {
        if self.state.ledger_seen.generation == generation {
            return self.saw(seen);
        }
        let shown = seen.copied().filter(|seen| seen.generation == generation);
        self.seen = shown.unwrap_or(Seen { generation, ..Seen::default() });
        let Seen { generation, seq, hash, proof } = self.seen;
        self.record(Entry::LedgerSeen { generation, seq, hash, proof: proof.map(Box::new) }).await;
    }

    /// Takes in what the ledger was shown to hold. It is journaled with the next answer.
    pub(super) fn saw(&mut self, seen: Option<&Seen>) {
        seen.into_iter().for_each(|seen| self.seen.learn(seen));
    }

    async fn ask_session(&mut self, warehouse: &Node) -> Result<OpenAnswer, CallError> {
        let answer = warehouse.open_with(self.opening()).await?;
        self.clock.adopt(answer.clock);
        Ok(answer)
    }

    fn opening(&self) -> Opening {
        let (peer, store, cluster) = (self.me, self.token.store_id(), self.cluster.clone());
        let seen = Some(Box::new(self.seen)).filter(|seen| seen.seq > Seq(0));
        Opening { peer, store, cluster, generation: self.state.ledger_seen.generation, seen, licence: None }
    }

    /// The warehouse has decided numbers that this store never gave: a new token, hence a new epoch, so that no number
    /// is used twice.
    async fn be_reborn(&mut self) -> Result<(), CallError> {
        let token = boot::new_token().map_err(|error| CallError::Refused {
            cause: Cause::Other,
            text: format!("no randomness for a new token: {error}"),
        })?;
        self.token = token;
        let ticket = self.journal.put_meta(TOKEN, token.0.to_vec());
        self.durable(ticket).await;
        Ok(())
    }

    /// Who it is, once the session is open.
    pub(super) fn me(&self) -> PeerId {
        self.me
    }

    /// The name of an order of its own.
    pub(super) fn id(&self, number: Number) -> OrderId {
        OrderId { peer: self.me, number }
    }

    /// The number of the next order.
    ///
    /// # Errors
    /// The numbers are spent, and an order was open when the session was opened: else it would be another session.
    pub(super) fn next_number(&self) -> Result<Number, Failure> {
        self.state.next_number(self.epoch).ok_or_else(|| {
            let what = format!("nothing was ordered: the numbers of client {} are spent", self.me);
            let hint = "give the same command again: its orders have their outcomes by now, so it begins with new numbers";
            Failure::new(exit::UNREACHABLE, what).hint(hint)
        })
    }

    /// Orders without an outcome, the lowest number first.
    pub(super) fn open_orders(&self) -> Vec<Placed> {
        self.state.open.values().copied().collect()
    }

    /// The order that an entry of this journal placed.
    pub(super) fn order(&self, placed: &Placed) -> Order {
        self.state.order(self.me, placed)
    }

    /// What this client says first on every call.
    pub(super) fn hello(&mut self, roster: &Roster) -> Hello {
        Hello {
            peer: self.me,
            epoch: self.epoch,
            token: Some(self.token),
            process: self.process,
            clock: self.clock.tick(),
            roster: roster.clone(),
            generation: self.state.ledger_seen.generation,
            cluster: self.cluster.clone(),
            ..Hello::default()
        }
    }

    /// Numbers and stamps an order. It may be sent when this returns: it is durable.
    pub(super) async fn place(
        &mut self,
        kind: OrderKind,
        product: ProductId,
        quantity: Quantity,
    ) -> Result<Placed, Failure> {
        let number = self.next_number()?;
        let placed = Placed { number, stamp: self.clock.tick(), kind, product, quantity };
        self.record(Entry::Placed(placed)).await;
        Ok(placed)
    }

    /// Records what became of an order.
    pub(super) async fn answered(&mut self, outcome: &Outcome) {
        let Outcome { id, kind, reason, filled, amount, seq, trader, .. } = *outcome;
        let told = Told { number: id.number, kind, reason, filled, amount, seq };
        let seen = Some(self.seen).filter(|seen| *seen != self.state.ledger_seen);
        self.record(Entry::Answered { via: trader, told: vec![told], seen: seen.map(Box::new) }).await;
    }

    /// Records that an order was asked for again.
    pub(super) async fn asked_again(&mut self, number: Number) {
        self.record(Entry::AskedAgain { first: number, last: number }).await;
    }

    /// Gives a number up whose outcome only another copy of this store holds.
    pub(super) async fn forget(&mut self, number: Number) {
        self.record(Entry::Forgotten { number }).await;
    }

    async fn record(&mut self, entry: Entry) {
        let (seq, time) = (self.journal.next_seq(), wall_now());
        self.state.apply(seq, time, &entry);
        let step = Step { records: vec![entry], time, clock: self.clock.now(), urgency: Urgency::Now };
        let ticket = self.journal.stage(step);
        self.durable(ticket).await;
    }

    /// Waits until the step is on disk; a disk that fails or hangs ends the process.
    async fn durable(&self, ticket: Ticket) {
        // An error means that the writer is gone, after it has ended the process.
        let _ = self.journal.durable().wait_for(|durable| durable.ticket >= ticket).await;
    }

    /// Looks an answered order up in this journal.
    pub(super) fn past(&self, number: Number) -> Result<Option<Past>, Failure> {
        let damaged =
            |why: String| Failure::new(exit::UNDETERMINED, format!("the own journal cannot be read: {why}"));
        let (mut placed, mut past) = (None, None);
        let mut entries = Entries { reader: self.journal.reader(), from: Seq(1) };
        while let Some(block) = entries.next().map_err(damaged)? {
            for entry in &block.records {
                match entry {
                    Entry::Placed(it) if it.number == number => placed = Some(*it),
                    Entry::Answered { via, told, .. } => {
                        let told = told.iter().find(|told| told.number == number);
                        past = told.map(|told| (*told, *via, block.header.time)).or(past);
                    }
                    _ => {}
                }
            }
        }
        let both = placed.zip(past);
        Ok(both.map(|(placed, (told, via, time))| Past { placed, told, via, time }))
    }

    /// Leaves the journal whole, with a checkpoint now and then, so that the next command need not replay it all.
    pub(super) fn close(mut self) -> Result<(), Failure> {
        if self.replayed > REPLAY_MAX {
            let parts = self.state.parts();
            self.journal.checkpoint(parts);
        }
        let closed = self.journal.close();
        closed.map(|_| ()).map_err(|error| Failure::new(exit::FAILURE, error.to_string()))
    }
}

fn refused(error: &OpenError) -> Failure {
    match error {
        OpenError::InUse { dir, .. } => {
            let what = format!("another order is under way with the identity in {}", dir.display());
            Failure::new(error.exit_code(), what).hint("let it end, or order as a running peer: --as PEER")
        }
        _ => error.into(),
    }
}

/// The blocks of this journal, one after the other.
struct Entries {
    reader: Reader,
    from: Seq,
}

impl Entries {
    fn next(&mut self) -> Result<Option<Block<Entry>>, String> {
        let blocks = self.reader.blocks(self.from, 1).map_err(|error| error.to_string())?;
        let Some(bytes) = blocks.first() else { return Ok(None) };
        let block = Block::<Entry>::decode(bytes).map_err(|error| error.to_string())?;
        self.from = block.header.last().next();
        Ok(Some(block))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::peer::entry::Proof;
    use crate::model::row::OutcomeKind;
    use crate::ops::runtime::runtime;
    use crate::types::{Hash, Money, Signature, Stamp};

    fn catalogue() -> Catalogue {
        Catalogue {
            clock: Stamp(40),
            cluster: "3f2a".into(),
            consistency: "cacheless".into(),
            goods: vec![("fish".into(), Money(100))],
            generation: Generation::default(),
        }
    }

    fn outcome(id: OrderId) -> Outcome {
        Outcome {
            id,
            kind: OutcomeKind::Bought,
            reason: None,
            filled: Quantity(3),
            amount: Money(300),
            shares: vec![],
            stock_after: Quantity(1),
            seq: Seq(9),
            time: WallMicros(1),
            trader: PeerId(6),
            repeated: false,
        }
    }

    fn fish(client: &mut Client) -> Placed {
        let placing = client.place(OrderKind::Buy { partial: false }, ProductId(0), Quantity(3));
        runtime().unwrap().block_on(placing).unwrap()
    }

    #[test]
    fn orders_are_numbered_once_and_remembered_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("client");
        let mut client = Client::open(&at, &catalogue()).unwrap();
        let (first, second) = (fish(&mut client), fish(&mut client));
        assert_eq!((first.number, second.number), (Number(1), Number(2)));
        assert!(first.stamp > Stamp(40), "later than the catalogue was read");
        let id = client.id(Number(1));
        runtime().unwrap().block_on(client.answered(&outcome(id)));
        assert_eq!(client.past(Number(1)).unwrap().unwrap().via, PeerId(6));
        client.close().unwrap();

        let again = Client::open(&at, &catalogue()).unwrap();
        assert_eq!((again.open_orders(), again.next_number()), (vec![second], Ok(Number(3))));
        let past = again.past(Number(1)).unwrap().unwrap();
        assert_eq!((past.placed, past.told.filled), (first, Quantity(3)));
        assert_eq!(again.past(Number(2)).unwrap(), None, "it has no outcome yet");
    }

    /// Otherwise: the warehouse's directory is put back to before the answer, no peer's store has it any more, and the
    /// same number is decided once more.
    #[test]
    fn what_proves_an_answer_is_kept_with_it_and_shown_at_the_next_opening() {
        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::open(dir.path(), &catalogue()).unwrap();
        assert_eq!(client.opening().seen, None, "it has seen nothing");
        let generation = Generation { count: 2, random: 7 };
        let proof = Some(Proof { clock: Stamp(41), signature: Signature([[3; 32]; 2]) });
        let seen = |seq| Seen { generation, seq: Seq(seq), hash: Hash([1; 32]), proof };
        runtime().unwrap().block_on(client.enter(generation, Some(&seen(4))));
        let placed = fish(&mut client);
        client.saw(Some(&seen(9)));
        client.saw(Some(&seen(7)));
        client.saw(Some(&Seen { generation: Generation::default(), ..seen(12) }));
        let id = client.id(placed.number);
        runtime().unwrap().block_on(client.answered(&outcome(id)));
        client.close().unwrap();

        let again = Client::open(dir.path(), &catalogue()).unwrap();
        assert_eq!(again.opening().seen.as_deref(), Some(&seen(9)), "the furthest of its generation");
        assert_eq!(again.opening().generation, generation);
    }

    #[test]
    fn a_forgotten_order_is_neither_open_nor_done() {
        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::open(dir.path(), &catalogue()).unwrap();
        let placed = fish(&mut client);
        runtime().unwrap().block_on(client.forget(placed.number));
        assert_eq!((client.open_orders(), client.past(placed.number).unwrap()), (vec![], None));
        assert_eq!(client.next_number(), Ok(Number(2)), "and its number is not given again");
    }

    /// Without the check the next number would be one of the next epoch, which may be another store's.
    #[test]
    fn spent_numbers_are_not_gone_beyond() {
        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::open(dir.path(), &catalogue()).unwrap();
        client.state.last = Number(u64::from(Number::K_MAX) - 1);
        assert_eq!(fish(&mut client).number, Number(u64::from(Number::K_MAX)));
        let spent = client.next_number().unwrap_err();
        assert_eq!(spent.exit, exit::UNREACHABLE, "{spent:?}");
        client.epoch = crate::types::Epoch(1);
        assert_eq!(client.next_number(), Ok(Number::new(client.epoch, 1)), "in a new session it goes on");
    }

    #[test]
    fn another_cluster_is_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        Client::open(dir.path(), &catalogue()).unwrap().close().unwrap();
        let other = Catalogue { cluster: "9999".into(), ..catalogue() };
        let failure = Client::open(dir.path(), &other).map(|_| ()).unwrap_err();
        assert_eq!(failure.exit, exit::DIRECTORY, "{failure:?}");
    }

    #[test]
    fn the_identity_is_kept_with_its_own_market_only() {
        let market = Path::new("bazaar-data");
        assert_eq!(place(market, Some("3f2a"), "3f2a").unwrap(), market.join("client"));
        let elsewhere = place(market, Some("3f2a"), "9999").unwrap();
        assert!(elsewhere.ends_with("bazaar/9999/client"), "{elsewhere:?}");
    }
}
