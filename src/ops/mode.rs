//! `bazaar mode`: a running market's traders answer otherwise from now on.
//!
//! In: the mode. Out: one line or one object, once the change is a row of the ledger. Both terms end with it, so that
//! what was answered in one mode is settled as that mode says; the peers elect again. Exit codes: 0, also if the market is
//! in that mode already; 3 the warehouse cannot be reached; 6 it is not known whether the mode was changed.

use std::io::Write as _;

use serde_json::json;

use super::market;
use super::output::{Failure, exit, json_line};
use super::runtime::runtime;
use crate::cli::{Global, ModeArgs};
use crate::types::{Consistency, Seq};
use crate::wire::client::{CallError, Node};

/// Changes the mode.
///
/// # Errors
/// See the module's text.
pub fn run(args: &ModeArgs, global: &Global) -> Result<u8, Failure> {
    let (before, row) = runtime()?.block_on(change(args, global))?;
    let text = match global.json {
        true => json_line(
            json!({ "mode": args.mode.name(), "before": before.name(), "seq": row.map(|row| row.0) }),
        ),
        false => line(args.mode, before, row),
    };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::writing)?;
    Ok(exit::DONE)
}

async fn change(args: &ModeArgs, global: &Global) -> Result<(Consistency, Option<Seq>), Failure> {
    let addr = market::warehouse_addr(&args.market, global.timeout).await?;
    let node = match Node::connect(&addr, global.timeout).await {
        Ok(node) => node,
        Err(error) => return Err(market::warehouse_away(&args.market, &addr, &error, global.timeout).await),
    };
    node.mode(args.mode).await.map_err(|error| match error {
        CallError::Unknown(_) => {
            Failure::new(exit::UNDETERMINED, format!("it is not known whether the mode was changed: {error}"))
                .hint("see with bazaar status; asking again is safe")
        }
        error => market::unreachable(&addr, &error),
    })
}

fn line(now: Consistency, before: Consistency, row: Option<Seq>) -> String {
    let (now, before) = (now.name(), before.name());
    match row {
        Some(row) => format!(
            "the market is {now} from row {row} on, {before} until then; its traders are elected anew"
        ),
        None => format!("the market is {now} already"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_said() {
        let (cached, cacheless) = (Consistency::Cached, Consistency::Cacheless);
        let changed =
            "the market is cached from row 9 on, cacheless until then; its traders are elected anew";
        assert_eq!(line(cached, cacheless, Some(Seq(9))), changed);
        assert_eq!(line(cached, cached, None), "the market is cached already");
    }
}
