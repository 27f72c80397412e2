//! `bazaar buy` and `bazaar sell`: one order from the shell, done exactly once however often it is asked for.
//!
//! In: what is wanted, and where the market is. Out: the outcome on stdout, as a line or one JSON object, and an exit
//! code: 0, 4 a definite no, 3 nothing was sent, 6 it may have been done, 2 and 7 as everywhere. An order is numbered
//! and on disk before it is sent; one that an earlier command left open is asked for again before a new one is placed.

mod ask;
mod client;
mod words;

use self::ask::{Answer, Asker, Limits};
use self::client::{Client, Past};
use self::words::{Done, Wanted};
use super::market::{self, ClusterJson};
use super::output::{Failure, exit, json_line, nearest, note, print_line};
use super::progress::{Part, Progress};
use super::retry::Backoff;
use super::runtime::runtime;
use crate::cli::{BuyArgs, Global, OrderFlags, Pieces, SellArgs};
use crate::limits::BACKOFF_MAX;
use crate::model::call::{CallError, Catalogue, Cause};
use crate::model::market::NotTaken;
use crate::model::peer::entry::Placed;
use crate::types::{Money, Number, Order, OrderKind, PeerId, ProductId};
use crate::wire::client::Node;

/// Buys.
///
/// # Errors
/// Says why there is no outcome; see the module's text for the codes.
pub fn buy(args: &BuyArgs, global: &Global) -> Result<u8, Failure> {
    order(&args.pieces, OrderKind::Buy { partial: args.partial }, &args.order, global)
}

/// Deposits goods for sale.
///
/// # Errors
/// Says why there is no outcome; see the module's text for the codes.
pub fn sell(args: &SellArgs, global: &Global) -> Result<u8, Failure> {
    order(&args.pieces, OrderKind::Sell, &args.order, global)
}

fn order(pieces: &Pieces, kind: OrderKind, flags: &OrderFlags, global: &Global) -> Result<u8, Failure> {
    let wanted = Wanted { kind, good: pieces.good.clone(), quantity: pieces.quantity };
    let limits = Limits::new(flags.deadline, global.timeout);
    let part = Progress::new(global).part("waiting for a trader, and for the outcome", "", None);
    let errand = Errand { wanted, flags, global, limits, part };
    let done = runtime()?.block_on(async {
        match flags.orderer {
            Some(peer) => errand.part.wait(Box::pin(errand.by_peer(peer)), flags.deadline).await,
            None => errand.part.wait(Box::pin(errand.by_client()), flags.deadline).await,
        }
    });
    errand.part.gives_way();
    let done = done?;
    let text = if global.json { json_line(done.json().into()) } else { done.line() };
    Ok(said(print_line(&text), &text, done.exit()))
}

/// The order is done, whether or not that can be printed: scripts are to see what became of it, and people read it where
/// errors are.
fn said(printed: Result<(), Failure>, text: &str, code: u8) -> u8 {
    if let Err(failure) = printed
        && !failure.what.is_empty()
    {
        note(format_args!("{failure}\n{text}"));
    }
    code
}

/// What this command is to do.
struct Errand<'a> {
    wanted: Wanted,
    flags: &'a OrderFlags,
    global: &'a Global,
    limits: Limits,
    part: Part,
}

/// Which order it is about.
#[derive(Debug)]
enum Which {
    New,
    Again(Placed),
    Done(Past),
}

impl Errand<'_> {
    // ---- with an identity of its own

    async fn by_client(&self) -> Result<Done, Failure> {
        let addr = market::warehouse_addr(&self.flags.market, self.limits.call()).await?;
        let found = async {
            let warehouse = Node::connect(&addr, self.limits.call()).await?;
            let catalogue = warehouse.catalogue().await?;
            Ok((warehouse, catalogue))
        };
        let (warehouse, catalogue) = match found.await {
            Ok(found) => found,
            Err(error) => {
                return Err(
                    market::warehouse_away(&self.flags.market, &addr, &error, self.limits.call()).await
                );
            }
        };
        let product = product(&catalogue.goods, &self.wanted.good)?;
        let market = &self.flags.market.data_dir;
        let of_market = ClusterJson::find(market).map(|json| json.cluster);
        let dir = client::place(market, of_market.as_deref(), &catalogue.cluster)?;
        let mut client = Client::open(&dir, &catalogue)?;
        let roster = client.open_session(&warehouse).await.map_err(refused)?;
        let mut asker = Asker::new(&addr, self.limits, roster);
        if let Some(trader) = self.flags.via {
            asker.first(self.addr_of_trader(trader, &asker)?);
        }
        let done = self.trade(&mut client, &mut asker, &catalogue, product).await;
        client.close()?;
        done
    }

    /// Where the trader of `--via` listens.
    fn addr_of_trader(&self, trader: PeerId, asker: &Asker) -> Result<String, Failure> {
        // The question shows the token: it goes where the warehouse says that a trader listens, not to whoever has the
        // port that a file of the last start names.
        asker.addr_of(trader).ok_or_else(|| {
            Failure::new(exit::USAGE, format!("--via {trader}: peer {trader} holds no office"))
                .hint("leave --via out, or see who holds office with bazaar status")
        })
    }

    async fn trade(
        &self,
        client: &mut Client,
        asker: &mut Asker,
        catalogue: &Catalogue,
        product: ProductId,
    ) -> Result<Done, Failure> {
        let open = match self.which(client, product, catalogue)? {
            Which::New => None,
            Which::Again(placed) => Some(placed),
            Which::Done(Past { placed, told, via, time }) => {
                client.asked_again(placed.number).await;
                return Ok(Done::remembered(self.wanted.clone(), client.me(), told, via, time));
            }
        };
        let up_to = self.flags.number.unwrap_or(Number(u64::MAX));
        for earlier in client.open_orders().into_iter().filter(|placed| placed.number < up_to) {
            self.finish_earlier(client, asker, catalogue, earlier).await?;
        }
        if let Some(placed) = open {
            client.asked_again(placed.number).await;
            return self.settle(client, asker, placed, None).await;
        }
        // Nothing is journaled before a trader is reached: an order that was not sent now must not be done later.
        let trader = asker.reach(client).await.map_err(nothing_sent)?;
        let placed = client.place(self.wanted.kind, product, self.wanted.quantity).await?;
        self.settle(client, asker, placed, Some(trader)).await
    }

    /// Looks `--number` up in this client's journal.
    fn which(&self, client: &Client, product: ProductId, catalogue: &Catalogue) -> Result<Which, Failure> {
        let Some(number) = self.flags.number else { return Ok(Which::New) };
        // Without a next number it is an earlier order that is asked for.
        if let Ok(next) = client.next_number() {
            if number == next {
                return Ok(Which::New);
            }
            if number > next {
                let what = format!("--number {number} is above the next number, which is {next}");
                return Err(Failure::new(exit::USAGE, what).hint("leave --number out for a new order"));
            }
        }
        let open = client.open_orders().into_iter().find(|placed| placed.number == number).map(Which::Again);
        let which = match open {
            Some(open) => Some(open),
            None => client.past(number)?.map(Which::Done),
        };
        let which = which.ok_or_else(|| forgotten(client.id(number)))?;
        let (Which::Again(placed) | Which::Done(Past { placed, .. })) = &which else { return Ok(which) };
        let same = (placed.kind, placed.product, placed.quantity)
            == (self.wanted.kind, product, self.wanted.quantity);
        if same { Ok(which) } else { Err(self.other_content(client, catalogue, placed)) }
    }

    fn other_content(&self, client: &Client, catalogue: &Catalogue, placed: &Placed) -> Failure {
        let (id, was) = (client.id(placed.number), wanted_by(placed, catalogue));
        let what = format!(
            "--number {}: order {id} was to {}, not to {}",
            id.number,
            was.phrase(),
            self.wanted.phrase()
        );
        Failure::new(exit::USAGE, what).hint(was.again(id, self.flags))
    }

    /// An order that an earlier command left open: it is asked for again, before anything new.
    async fn finish_earlier(
        &self,
        client: &mut Client,
        asker: &mut Asker,
        catalogue: &Catalogue,
        placed: Placed,
    ) -> Result<(), Failure> {
        let (id, order) = (client.id(placed.number), client.order(&placed));
        client.asked_again(placed.number).await;
        let wanted = wanted_by(&placed, catalogue);
        match asker.ask(client, &order, None).await {
            Answer::Decided(outcome) => {
                client.answered(&outcome).await;
                let repeated = outcome.repeated;
                self.note(&format!("earlier order: {}", Done::told(wanted, outcome, repeated).line()));
            }
            Answer::Never(NotTaken::Stale | NotTaken::OtherContent) => {
                client.forget(id.number).await;
                self.note(&format!("earlier order: {}", forgotten(id).what));
            }
            Answer::Never(why) => {
                self.note(&format!("earlier order {id}: {why}; it is given up"));
                self.give_up(client, asker, &order).await;
            }
            Answer::Open { why, .. } => {
                let what =
                    format!("nothing was ordered, since the earlier order {id} has no outcome yet: {why}");
                return Err(Failure::new(exit::UNREACHABLE, what).hint(wanted.again(id, self.flags)));
            }
        }
        Ok(())
    }

    /// Asks for the order of this command until it is decided.
    async fn settle(
        &self,
        client: &mut Client,
        asker: &mut Asker,
        placed: Placed,
        first: Option<Node>,
    ) -> Result<Done, Failure> {
        let (new, id, order) = (first.is_some(), client.id(placed.number), client.order(&placed));
        match asker.ask(client, &order, first).await {
            Answer::Decided(outcome) => {
                client.answered(&outcome).await;
                // A new order that had to be sent twice was still done once, by this command.
                let repeated = outcome.repeated && !new;
                Ok(Done::told(self.wanted.clone(), outcome, repeated))
            }
            Answer::Never(NotTaken::Stale | NotTaken::OtherContent) => {
                client.forget(id.number).await;
                Err(forgotten(id))
            }
            Answer::Never(why) => {
                self.give_up(client, asker, &order).await;
                Err(Failure::new(exit::NO, format!("order {id} was refused: {why}")))
            }
            Answer::Open { sent, why } => Err(self.open(id, sent, &why)),
        }
    }

    fn open(&self, id: crate::types::OrderId, sent: bool, why: &str) -> Failure {
        let again = self.wanted.again(id, self.flags);
        if !sent {
            let what = format!("order {id} was not taken by any trader yet: {why}");
            return Failure::new(exit::UNREACHABLE, what)
                .hint(format!("it is sent by the next order, or by {again}"));
        }
        self.note(why);
        Failure::new(exit::UNDETERMINED, format!("outcome unknown of {id}; asking again is safe: {again}"))
    }

    /// An order that no trader will ever take must not stand in the way of later ones: its number is voided.
    async fn give_up(&self, client: &mut Client, asker: &mut Asker, order: &Order) {
        let void = Order { kind: OrderKind::Void, ..*order };
        if let Answer::Decided(outcome) = asker.ask(client, &void, None).await {
            client.answered(&outcome).await;
        }
    }

    /// For people, beside the result.
    fn note(&self, text: &str) {
        if !self.global.quiet {
            self.part.gives_way();
            note(text);
        }
    }

    // ---- as a running peer

    async fn by_peer(&self, peer: PeerId) -> Result<Done, Failure> {
        let given = [("--number", self.flags.number.is_some()), ("--via", self.flags.via.is_some())];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            let what = format!("{flag} is for orders of one's own: with --as, peer {peer} numbers and sends");
            return Err(Failure::new(exit::USAGE, what).hint(format!("leave {flag} or --as out")));
        }
        let reports = market::everybody(&self.flags.market, self.limits.call()).await?;
        let report = reports.of(peer).map_err(|reports| no_peer(peer, &reports))?;
        product(&report.goods, &self.wanted.good)?;
        let mut backoff = Backoff::up_to(BACKOFF_MAX / 4);
        loop {
            // The peer goes on asking on its own, so this call alone may take as long as the whole order.
            let node = Node::connect(&report.addr, self.limits.left()).await;
            let node = node.map_err(|error| market::unreachable(&report.addr, &error))?;
            match node.place(&self.wanted.good, self.wanted.quantity, self.wanted.kind).await {
                Ok(outcome) => return Ok(Done::told(self.wanted.clone(), outcome, false)),
                Err(CallError::Refused { cause: Cause::Unavailable, .. }) if !self.limits.over() => {
                    backoff.pause(self.limits.left() / 4).await;
                }
                Err(error) => return Err(not_placed(peer, &report.addr, &error)),
            }
        }
    }
}

/// An order of this client's journal, in words.
fn wanted_by(placed: &Placed, catalogue: &Catalogue) -> Wanted {
    let good = catalogue.goods.get(usize::from(placed.product.0));
    let good = good.map_or_else(|| format!("#{}", placed.product), |(name, _)| name.clone());
    Wanted { kind: placed.kind, good, quantity: placed.quantity }
}

/// The good's place in the catalogue, which is read before anything is sent.
fn product(goods: &[(String, Money)], typed: &str) -> Result<ProductId, Failure> {
    if let Some(at) = goods.iter().position(|(name, _)| name == typed) {
        return Ok(ProductId(at as u16));
    }
    let names = || goods.iter().map(|(name, _)| name.as_str());
    let failure = Failure::new(exit::USAGE, format!("no such good: {typed}"));
    Err(match nearest(typed, names()) {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint(format!("there are {}", names().collect::<Vec<_>>().join(", "))),
    })
}

fn forgotten(id: crate::types::OrderId) -> Failure {
    let what = format!(
        "order {id} is forgotten: it was decided long ago, and only the journal that was told knows how"
    );
    Failure::new(exit::UNDETERMINED, what).hint(format!("bazaar dump ledger --order {id}"))
}

fn nothing_sent(why: String) -> Failure {
    Failure::new(exit::UNREACHABLE, format!("nothing was sent: {why}"))
        .hint("see who holds office with bazaar status")
}

/// The warehouse's answer to opening a session.
fn refused(error: CallError) -> Failure {
    match error {
        CallError::Refused { cause: Cause::OlderCopy, text } => Failure::new(exit::UNREACHABLE, text)
            .hint("the warehouse's log says how to mend it; nothing was sent"),
        CallError::Refused { text, .. } => Failure::new(exit::NO, text),
        error => market::unreachable("the warehouse", &error),
    }
}

fn no_peer(peer: PeerId, reports: &market::Reports) -> Failure {
    let failure = match reports.silent.get(&peer).or(reports.nobody.first()) {
        Some(why) => {
            Failure::new(exit::UNREACHABLE, format!("--as {peer}: peer {peer} does not answer: {why}"))
        }
        None => Failure::new(exit::USAGE, format!("--as {peer}: there is no peer {peer} in this market")),
    };
    let running: Vec<String> =
        reports.answered.keys().filter(|it| **it != PeerId::WAREHOUSE).map(PeerId::to_string).collect();
    let hint = if running.is_empty() {
        "leave --as out".to_owned()
    } else {
        format!("running: {}", running.join(", "))
    };
    failure.hint(hint)
}

fn not_placed(peer: PeerId, addr: &str, error: &CallError) -> Failure {
    match error {
        CallError::Unknown(why) => {
            let what =
                format!("outcome unknown: peer {peer} has placed the order and goes on asking ({why})");
            Failure::new(exit::UNDETERMINED, what)
                .hint(format!("bazaar dump orders --connect {addr} --reverse"))
        }
        CallError::Unreachable { .. } => market::unreachable(addr, error),
        CallError::Refused { cause: Cause::Unavailable, text } => {
            Failure::new(exit::UNREACHABLE, text.clone())
        }
        CallError::Refused { .. } | CallError::NotTaken { .. } => Failure::new(exit::NO, error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::OrderId;

    fn goods() -> Vec<(String, Money)> {
        ["boar", "fish", "salt"].map(|name| (name.to_owned(), Money(100))).to_vec()
    }

    #[test]
    fn an_unknown_good_is_refused_with_the_nearest_name() {
        assert_eq!(product(&goods(), "salt"), Ok(ProductId(2)));
        let near = product(&goods(), "fsh").unwrap_err();
        assert_eq!((near.exit, near.hint.as_deref()), (exit::USAGE, Some("did you mean fish?")));
        assert_eq!(
            product(&goods(), "xylophone").unwrap_err().hint.as_deref(),
            Some("there are boar, fish, salt")
        );
    }

    #[test]
    fn what_went_wrong_has_its_code() {
        let id = OrderId { peer: PeerId(1001), number: Number(7) };
        assert_eq!(forgotten(id).exit, exit::UNDETERMINED);
        assert_eq!(nothing_sent("no trader is in office".into()).exit, exit::UNREACHABLE);
        let unknown = CallError::Unknown("no answer within 5s".into());
        assert_eq!(not_placed(PeerId(3), ":7703", &unknown).exit, exit::UNDETERMINED);
        let invalid = CallError::Refused { cause: Cause::Invalid, text: "no such good: x".into() };
        assert_eq!(not_placed(PeerId(3), ":7703", &invalid).exit, exit::NO);
        assert_eq!(refused(invalid).exit, exit::NO);
        assert_eq!(no_peer(PeerId(9), &market::Reports::default()).exit, exit::USAGE);
    }
}
