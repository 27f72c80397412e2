//! What a new peer's store is born with: its market and goods, which the warehouse tells.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::boot::{BootError, new_token};
use crate::journal::Birth;
use crate::limits::{BACKOFF_MAX, BACKOFF_MIN, CALL_DEADLINE, NOTIFY_EVERY, START_MAX};
use crate::model::call::Catalogue;
use crate::model::catalogue;
use crate::types::{Money, PeerId, Role, Token};
use crate::wire::client::{CallError, Node};

/// What a new peer's store is made with: the market and the goods of the warehouse. Waits until the warehouse tells
/// them.
pub(super) fn peer_birth(wire: &Runtime, addr: &str, node: PeerId, role: Role) -> Result<Birth, BootError> {
    let catalogue = wire
        .block_on(catalogue_within(addr, START_MAX))
        .map_err(|why| BootError::Warehouse { addr: addr.to_owned(), why })?;
    let token = new_token().map_err(std::io::Error::other)?;
    Ok(birth_in(&catalogue, node, role.name(), token))
}

/// A new store in the market of this catalogue, which it keeps.
pub(crate) fn birth_in(catalogue: &Catalogue, node: PeerId, role: &str, token: Token) -> Birth {
    let goods = catalogue::Catalogue::from_iter(catalogue.goods.iter().cloned());
    let extra = BTreeMap::from([(catalogue::GOODS.to_owned(), goods.to_json())]);
    Birth { extra, ..Birth::new(&catalogue.cluster, node, role, token) }
}

/// Asks for the catalogue until the warehouse answers or time is up.
async fn catalogue_within(addr: &str, limit: Duration) -> Result<Catalogue, CallError> {
    let began = tokio::time::Instant::now();
    let (mut wait, mut said_at) = (BACKOFF_MIN, None);
    loop {
        let asked = async { Node::connect(addr, CALL_DEADLINE).await?.catalogue().await };
        match asked.await {
            Ok(catalogue) => {
                if said_at.is_some() {
                    tracing::info!("the warehouse serves at {addr}");
                }
                return Ok(catalogue);
            }
            Err(error) if began.elapsed() > limit => return Err(error),
            Err(error) => {
                if said_at.is_none_or(|at| began.elapsed() >= at + NOTIFY_EVERY) {
                    said_at = Some(began.elapsed());
                    let left = limit.saturating_sub(began.elapsed()).as_secs();
                    tracing::warn!("waiting for the warehouse at {addr}, {left} s more: {error}");
                }
                tokio::time::sleep(wait).await;
            }
        }
        wait = (wait * 2).min(BACKOFF_MAX);
    }
}

/// The goods as a peer's store keeps them.
pub(super) fn goods_in(extra: &BTreeMap<String, Vec<u8>>) -> Vec<(String, Money)> {
    let json = extra.get(catalogue::GOODS).map(Vec::as_slice).unwrap_or_default();
    catalogue::Catalogue::from_json(json).0.into_iter().map(|good| (good.name, good.unit_price)).collect()
}
