//! `bazaar release`: the goods of a trader's term that ended are free again, and what it had sold of them may be lost.
//!
//! For the day that both stores are lost which have what the term had told: its trader's, and that of its partner. As long
//! as one of them may come back nothing needs to be released: it reports by itself when it is started. What its peers were
//! told and ask for again is booked as told if that is there, and else taken back.
//!
//! In: the term, as `status` names it. Out: a line or an object with the pieces that are free. Exit codes: 0; 2 the term is
//! in office, or has no frozen goods, or the loss is not accepted; 3 the warehouse cannot be reached; 6 it is not known
//! whether it was done.

use std::io::Write as _;

use serde_json::{Value, json};

use super::market;
use super::output::{Failure, exit, json_line};
use super::runtime::runtime;
use crate::cli::{Global, ReleaseArgs};
use crate::types::Term;
use crate::wire::client::{CallError, Node};
use crate::wire::status::Cause;

/// Pieces by the names of their goods.
type Freed = Vec<(String, u64)>;

/// Releases the goods of a term.
///
/// # Errors
/// See the module's text.
pub fn run(args: &ReleaseArgs, global: &Global) -> Result<u8, Failure> {
    let term = Term(args.term);
    if !args.accept_loss {
        let text =
            format!("what term {term} had sold and nobody has reported is lost when its goods are released");
        return Err(Failure::new(exit::USAGE, text).hint(
            "start its trader or its partner, which report it; if both stores are gone, add --accept-loss",
        ));
    }
    let freed = runtime()?.block_on(release(args, term, global))?;
    let text = match global.json {
        true => json_line(json!({ "term": term.0, "freed": object(&freed) })),
        false => line(term, &freed),
    };
    writeln!(std::io::stdout(), "{text}").map_err(Failure::writing)?;
    Ok(exit::DONE)
}

async fn release(args: &ReleaseArgs, term: Term, global: &Global) -> Result<Freed, Failure> {
    let addr = market::warehouse_addr(&args.market, global.timeout).await?;
    let node = match Node::connect(&addr, global.timeout).await {
        Ok(node) => node,
        Err(error) => return Err(market::warehouse_away(&args.market, &addr, &error, global.timeout).await),
    };
    let catalogue = node.catalogue().await.map_err(|error| market::unreachable(&addr, &error))?;
    let freed = node.release(term).await.map_err(|error| refused(&addr, error))?;
    let name =
        |product: usize| catalogue.goods.get(product).map_or_else(String::new, |(name, _)| name.clone());
    Ok(freed.into_iter().map(|(product, pieces)| (name(usize::from(product.0)), pieces.0)).collect())
}

fn refused(addr: &str, error: CallError) -> Failure {
    match error {
        CallError::Refused { cause: Cause::Invalid, text } => {
            Failure::new(exit::USAGE, text).hint("see which terms have frozen goods with bazaar status")
        }
        CallError::Unknown(_) => {
            let text = format!("it is not known whether the goods were released: {error}");
            Failure::new(exit::UNDETERMINED, text).hint("see with bazaar status; asking again is safe")
        }
        error => market::unreachable(addr, &error),
    }
}

fn object(freed: &Freed) -> Value {
    freed
        .iter()
        .map(|(good, pieces)| (good.clone(), Value::from(*pieces)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn line(term: Term, freed: &Freed) -> String {
    let goods: Vec<String> = freed.iter().map(|(good, pieces)| format!("{good} {pieces}")).collect();
    format!("the goods of term {term} are free again: {}", goods.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_again_is_said() {
        let freed = vec![("fish".to_owned(), 12), ("salt".to_owned(), 0)];
        assert_eq!(line(Term(7), &freed), "the goods of term 7 are free again: fish 12, salt 0");
        assert_eq!(object(&freed), json!({"fish": 12, "salt": 0}));
    }
}
