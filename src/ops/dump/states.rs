//! State as rows: what a ledger or a journal adds up to, now or at an earlier row.

use super::filter::Selection;
use super::{Dump, orders, row, with_node};
use crate::audit::{Alarms, BlockSource, Folded, JournalFold, Keep, LedgerFold, Logged, Queue, Source};
use crate::cli::{At, Filter, View};
use crate::journal::BlockHeader;
use crate::model::catalogue::Catalogue;
use crate::model::market::{Account, Market, Shelf};
use crate::model::row::Place;
use crate::model::session::Session;
use crate::ops::output::{Column, Failure, Row, Show, exit, note};
use crate::types::{Number, Office, PeerId, Seq, WallMicros};

const fn text(key: &'static str) -> Column {
    Column { key, show: Show::Text }
}

const fn number(key: &'static str) -> Column {
    Column { key, show: Show::Number }
}

const fn count(key: &'static str) -> Column {
    Column { key, show: Show::Count }
}

const fn money(key: &'static str) -> Column {
    Column { key, show: Show::Money }
}

/// The columns of a view.
fn columns(view: View) -> Vec<Column> {
    match view {
        View::Inventory => vec![
            text("product"),
            money("unit_price"),
            count("on_hand"),
            count("allotted"),
            count("lots"),
            count("stocked"),
            count("deposited"),
            count("sold"),
        ],
        View::Accounts => {
            vec![number("peer"), money("balance"), money("paid"), money("received"), money("commission")]
        }
        View::Sessions => vec![
            number("peer"),
            number("epoch"),
            text("store"),
            count("decided"),
            number("floor"),
            number("highest"),
        ],
        View::Offices => {
            vec![text("office"), number("trader"), number("term"), number("since"), text("paired")]
        }
        View::Queue => vec![
            number("rank"),
            number("peer"),
            number("number"),
            text("order"),
            number("stamp"),
            text("kind"),
            text("product"),
            number("asked"),
            number("term"),
        ],
        _ => vec![
            number("number"),
            text("order"),
            number("stamp"),
            text("kind"),
            text("product"),
            number("asked"),
            text("state"),
            text("outcome"),
            number("filled"),
            money("amount"),
            Column { key: "told_at", show: Show::Time },
            number("via"),
        ],
    }
}

pub(super) fn run(dump: &mut Dump<'_>, sources: &mut [Source], view: View) -> Result<(), Failure> {
    let of_ledger = matches!(view, View::Inventory | View::Accounts)
        || matches!(view, View::Sessions | View::Offices)
            && sources.iter().any(|source| source.meta().is_ledger());
    let peers_only = matches!(view, View::Queue | View::Orders);
    let mut chosen: Vec<&mut Source> =
        sources.iter_mut().filter(|s| s.meta().is_ledger() == of_ledger).collect();
    if let (View::Orders, Some(peer)) =
        (view, dump.args.filter.peer.or(dump.args.filter.order.map(|id| id.peer)))
    {
        chosen.retain(|source| source.meta().node == peer);
    }
    if chosen.is_empty() {
        return Err(nobody_has(view, peers_only));
    }
    if let (Some(At::Row(_)), true) = (dump.args.at, chosen.len() > 1) {
        let what = "--at is a sequence of one node's log, and several are named";
        return Err(
            Failure::new(exit::USAGE, what).hint("name one node's directory with --data-dir, or a time")
        );
    }
    if let (Some(At::Row(at)), [source]) = (dump.args.at, &mut chosen[..]) {
        reaches(source.as_mut(), at)?;
    }
    let several = chosen.len() > 1;
    let mut rows = Vec::new();
    let mut goods = Vec::new();
    if view == View::Orders {
        let known = chosen.iter().flat_map(|source| source.meta().catalogue.0.iter());
        goods.extend(known.map(|good| good.name.clone()));
        return print(dump, view, several, &goods, |dump, selection, columns| {
            orders::run(dump, chosen, selection, columns)
        });
    }
    for source in chosen {
        let node = source.meta().node;
        let (catalogue, state) = state(dump, source.as_mut(), view)?;
        goods.extend(catalogue.0.into_iter().map(|good| good.name));
        rows.extend(state.into_iter().map(|row| if several { with_node(node, row) } else { row }));
    }
    print(dump, view, several, &goods, |dump, selection, columns| dump.print(selection, columns, rows))
}

/// Refuses a row that there is not yet: what there is now would be shown as what there was then.
fn reaches(source: &mut dyn BlockSource, at: Seq) -> Result<(), Failure> {
    let block = source.blocks_back(Seq(u64::MAX)).and_then(|mut blocks| blocks.next()).transpose()?;
    let last = block.and_then(|block| BlockHeader::peek(&block).ok()).map(|header| header.last());
    let marked = source.meta().mark.map(|(seq, _)| seq);
    match last.max(marked) {
        Some(end) if at > end => {
            let what = format!("--at {at}: the log of {} ends with row {end}", source.meta().name());
            Err(Failure::new(exit::USAGE, what).hint(format!("use --at {end} or less, or leave it out")))
        }
        _ => Ok(()),
    }
}

fn nobody_has(view: View, peers_only: bool) -> Failure {
    let who = if peers_only { "a peer" } else { "the warehouse" };
    Failure::new(
        exit::USAGE,
        format!("{} is in the store of {who}, and none is among those named", view.name()),
    )
    .hint(format!("bazaar dump {} --data-dir bazaar-data", view.name()))
}

fn print(
    dump: &mut Dump<'_>,
    view: View,
    several: bool,
    goods: &[String],
    print: impl FnOnce(&mut Dump<'_>, &Selection<'_>, &[Column]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut columns = columns(view);
    // A peer's orders are all its own: it was chosen by its node, and the rows do not repeat it.
    let own = matches!(view, View::Orders);
    let filter = Filter { peer: dump.args.filter.peer.filter(|_| !own), ..dump.args.filter.clone() };
    let selection = Selection::new(&filter, &columns)?;
    selection.known(goods, &["buy", "sell", "void"])?;
    if several {
        columns.insert(0, text("node"));
    }
    print(dump, &selection, &columns)
}

fn state(
    dump: &mut Dump<'_>,
    source: &mut dyn BlockSource,
    view: View,
) -> Result<(Catalogue, Vec<Row>), Failure> {
    if source.meta().is_ledger() {
        if let Some(state) = at_hand(dump, source, view)? {
            return Ok(state);
        }
        let fold = fold_ledger(dump, source)?;
        let rows = match view {
            View::Inventory => inventory(&fold),
            View::Accounts => accounts(&fold),
            View::Sessions => sessions(&fold),
            _ => offices(&fold),
        };
        return Ok((fold.catalogue, rows));
    }
    let catalogue = source.meta().catalogue.clone();
    // Rows of a pruned journal do not show all that waits.
    if source.pruned_to() > Seq(0)
        && until_time(dump).is_none()
        && let (View::Queue, Some(Folded::Journal(folded))) = (view, source.folded(until(dump))?)
    {
        let mut waiting = Queue::default();
        folded.state.accepted.values().for_each(|it| waiting.accept(it.term, it.order));
        return Ok((catalogue.clone(), queue(&waiting, &catalogue)));
    }
    if until_time(dump).is_some() && source.pruned_to() > Seq(0) {
        let (name, pruned) = (source.meta().name(), source.pruned_to());
        note(format_args!(
            "{name} keeps its rows from {pruned} on: what it had accepted before is not shown"
        ));
    }
    let fold = fold_journal(dump, source)?;
    let rows = match view {
        View::Queue => queue(&fold.queue, &catalogue),
        View::Sessions => known_sessions(&fold),
        _ => own_offices(&fold),
    };
    Ok((catalogue, rows))
}

/// The node's own state, where that has all that the view shows and nobody wants another row's or all rows looked at.
fn at_hand(
    dump: &mut Dump<'_>,
    source: &mut dyn BlockSource,
    view: View,
) -> Result<Option<(Catalogue, Vec<Row>)>, Failure> {
    let rows: fn(&Market) -> Option<Vec<Row>> = match view {
        View::Inventory => |market| Some(market.shelves.iter().map(of_shelf).collect()),
        View::Accounts => |market| Some(market.accounts.iter().map(of_account).collect()),
        View::Sessions if began_in_format_2(source)? => {
            |market| market.sessions.iter().map(of_session).collect()
        }
        _ => return Ok(None),
    };
    if dump.args.scan || until_time(dump).is_some() {
        return Ok(None);
    }
    let until = until(dump);
    let Some(Folded::Ledger(folded)) = source.folded(until)? else { return Ok(None) };
    let Some(rows) = rows(&folded.state) else { return Ok(None) };
    // A log whose block ends with that very row may go on.
    if folded.tip.seq < until {
        dump.findings.ended(source.meta(), folded.tip.seq);
    }
    let goods = folded.state.goods().map(|(name, price)| (name.to_owned(), price)).collect();
    Ok(Some((goods, rows)))
}

/// The last row that may count.
pub(super) fn until(dump: &Dump<'_>) -> Seq {
    match dump.args.at {
        Some(At::Row(at)) => at,
        _ => Seq(u64::MAX),
    }
}

/// The time of the last row that may count, if it is wanted by its time.
pub(super) fn until_time(dump: &Dump<'_>) -> Option<WallMicros> {
    match dump.args.at {
        Some(At::Time(at)) => Some(at),
        _ => None,
    }
}

/// Format 1 showed epochs by numbers that the state does not keep.
fn began_in_format_2(source: &mut dyn BlockSource) -> Result<bool, Failure> {
    let first = source.blocks(Seq(1)).next().transpose()?;
    Ok(first.is_some_and(|block| BlockHeader::peek(&block).is_ok_and(|header| header.version > 1)))
}

/// None if the peer had several stores, or a restore lost outcomes of it: the state keeps what is to be decided yet.
fn of_session((peer, session): (&PeerId, &Session)) -> Option<Row> {
    let mut windows = session.windows.iter();
    let (Some((epoch, window)), None) = (windows.next(), windows.next()) else { return None };
    let whole = *epoch == session.epoch && window.is_whole();
    let number = |k: u32| Number::new(*epoch, k).0;
    whole.then(|| {
        row([
            ("peer", peer.0.into()),
            ("epoch", epoch.0.into()),
            ("store", session.store.to_string().into()),
            ("decided", window.decided().into()),
            ("floor", number(window.all_decided_to()).into()),
            ("highest", number(window.highest()).into()),
        ])
    })
}

fn of_shelf(shelf: &Shelf) -> Row {
    row([
        ("product", shelf.name.clone().into()),
        ("unit_price", shelf.unit_price.0.into()),
        ("on_hand", shelf.on_hand.0.into()),
        ("allotted", (shelf.on_hand.0 - shelf.free()).into()),
        ("lots", shelf.lot_count().into()),
        ("stocked", shelf.stocked.0.into()),
        ("deposited", shelf.deposited.0.into()),
        ("sold", shelf.sold.0.into()),
    ])
}

fn of_account((peer, account): (&PeerId, &Account)) -> Row {
    row([
        ("peer", peer.0.into()),
        ("balance", account.balance().0.into()),
        ("paid", account.paid.0.into()),
        ("received", account.received.0.into()),
        ("commission", account.commission.0.into()),
    ])
}

fn fold_ledger(dump: &mut Dump<'_>, source: &mut dyn BlockSource) -> Result<LedgerFold, Failure> {
    let mut fold = LedgerFold::default();
    fold_log(dump, source, |place, record, alarms| drop(fold.apply(place, &record, alarms)))?;
    Ok(fold)
}

fn fold_journal(dump: &mut Dump<'_>, source: &mut dyn BlockSource) -> Result<JournalFold, Failure> {
    let mut fold = JournalFold::new(source.meta().node, Keep::Unanswered);
    fold_log(dump, source, |place, entry, alarms| fold.apply(place, &entry, alarms))?;
    Ok(fold)
}

/// Folds up to `--at`.
fn fold_log<R: Logged>(
    dump: &mut Dump<'_>,
    source: &mut dyn BlockSource,
    mut apply: impl FnMut(&Place, R, &mut Alarms),
) -> Result<(), Failure> {
    let (until, until_time, mut alarms) = (until(dump), until_time(dump), Alarms::new(0));
    // Clocks may jump: with the first later row the past is over.
    let (mut over, mut first) = (false, None);
    let take = |place: &Place, record| {
        over |= until_time.is_some_and(|time| place.time > time);
        first.get_or_insert(place.seq);
        if !over {
            apply(place, record, &mut alarms);
        }
    };
    let last = dump.findings.readable(source, until, take)?;
    if let (true, Some(first)) = (source.meta().is_ledger(), first.filter(|first| *first > Seq(1))) {
        let what = format!("the ledger's rows before {first} are in archives, and this state needs them");
        return Err(Failure::new(exit::USAGE, what).hint("name them with --archive FILE"));
    }
    dump.findings.broken_by(&alarms);
    if last <= until {
        dump.findings.ended(source.meta(), last);
    }
    Ok(())
}

fn inventory(fold: &LedgerFold) -> Vec<Row> {
    let goods = fold.catalogue.0.iter().zip(&fold.goods.0);
    goods
        .map(|(good, product)| {
            row([
                ("product", good.name.clone().into()),
                ("unit_price", good.unit_price.0.into()),
                ("on_hand", product.on_hand().into()),
                ("allotted", product.allotted().into()),
                ("lots", product.lots().into()),
                ("stocked", product.stocked.into()),
                ("deposited", product.deposited.into()),
                ("sold", product.sold.into()),
            ])
        })
        .collect()
}

fn accounts(fold: &LedgerFold) -> Vec<Row> {
    let accounts = fold.accounts.0.iter();
    accounts
        .map(|(peer, account)| {
            row([
                ("peer", peer.0.into()),
                ("balance", account.balance().into()),
                ("paid", account.paid.into()),
                ("received", account.received.into()),
                ("commission", account.commission.into()),
            ])
        })
        .collect()
}

fn sessions(fold: &LedgerFold) -> Vec<Row> {
    let sessions = fold.sessions.stores.iter();
    sessions
        .map(|((peer, epoch), session)| {
            row([
                ("peer", peer.0.into()),
                ("epoch", session.shown_epoch.into()),
                ("store", session.store.to_string().into()),
                ("decided", session.decided.count().into()),
                ("floor", Number::new(*epoch, session.decided.floor()).0.into()),
                ("highest", Number::new(*epoch, session.decided.highest()).0.into()),
            ])
        })
        .collect()
}

fn known_sessions(fold: &JournalFold) -> Vec<Row> {
    let known = fold.known.iter();
    known
        .map(|((peer, _), (store, shown_epoch))| {
            let (epoch, store) = ((*shown_epoch).into(), store.to_string().into());
            row([("peer", peer.0.into()), ("epoch", epoch), ("store", store)])
        })
        .collect()
}

fn offices(fold: &LedgerFold) -> Vec<Row> {
    let held = Office::BOTH.into_iter().filter_map(|office| Some((office, fold.offices.holder(office)?)));
    held.map(|(office, holder)| {
        row([
            ("office", office.name().into()),
            ("trader", holder.trader.0.into()),
            ("term", holder.term.0.into()),
            ("since", holder.since.0.into()),
            ("paired", fold.offices.paired.into()),
        ])
    })
    .collect()
}

fn own_offices(fold: &JournalFold) -> Vec<Row> {
    let terms = fold.terms.iter();
    terms
        .map(|(term, (office, since))| {
            row([
                ("office", office.name().into()),
                ("trader", fold.node.0.into()),
                ("term", term.0.into()),
                ("since", since.0.into()),
            ])
        })
        .collect()
}

fn queue(queue: &Queue, catalogue: &Catalogue) -> Vec<Row> {
    let waiting = queue.waiting().into_iter().enumerate();
    waiting
        .map(|(index, waiting)| {
            let order = &waiting.order;
            row([
                ("rank", (index + 1).into()),
                ("peer", order.id.peer.0.into()),
                ("number", order.id.number.0.into()),
                ("order", order.id.to_string().into()),
                ("stamp", order.stamp.0.into()),
                ("kind", order.kind.name().into()),
                ("product", catalogue.name(order.product).into()),
                ("asked", order.quantity.0.into()),
                ("term", waiting.term.0.into()),
            ])
        })
        .collect()
}
