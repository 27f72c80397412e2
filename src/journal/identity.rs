//! Whose a directory is: its name, `node.json` and the store say so, each on its own, and must agree.
//!
//! The store's `meta` alone counts for what a node is. But a store that was copied into another node's place would be
//! served, or read, under the name of that place: two processes would be one peer, and none the other.

use super::OpenError;
use super::dir::{NodeDir, NodeJson};
use super::meta::Meta;
use crate::types::{PeerId, node_name, node_named};

/// What the directory and the role of a client are called: it has no number before the warehouse gives it one.
const CLIENT: &str = "client";

fn called(role: &str, node: PeerId) -> String {
    if role == CLIENT { CLIENT.to_owned() } else { node_name(node) }
}

/// The name of the directory, if it is a node's.
fn by_name(node: &NodeDir) -> Option<String> {
    let path = node.path();
    let whole = if path.file_name().is_none() { path.canonicalize().ok()? } else { path.to_owned() };
    let name = whole.file_name()?.to_str()?.to_owned();
    (name == CLIENT || node_named(&name).is_some()).then_some(name)
}

/// Whose the directory is to be, or says to be, against its name.
///
/// # Errors
/// The name is another node's.
pub(super) fn suits_name(node: &NodeDir, role: &str, id: PeerId) -> Result<(), OpenError> {
    let (found, by) = (called(role, id), "the directory's name");
    match by_name(node).filter(|expected| *expected != found) {
        Some(expected) => Err(OpenError::OtherNode { dir: node.path().to_owned(), found, expected, by }),
        None => Ok(()),
    }
}

/// The store in the directory against its name and `node.json`. What is not known is no witness: older versions wrote
/// less.
///
/// # Errors
/// It is another's.
pub(super) fn agrees(node: &NodeDir, json: Option<&NodeJson>, meta: &Meta) -> Result<(), OpenError> {
    suits_name(node, &meta.role, meta.node)?;
    let Some(json) = json else { return Ok(()) };
    let (found, named) = (called(&meta.role, meta.node), called(&json.role, json.node));
    let (own, said) = (store_id(meta), json.store.as_str());
    let stores = || (format!("store {own} of {found}"), format!("store {said}"));
    let (found, expected) = match () {
        () if found != named => (found, named),
        () if !said.is_empty() && said != own => stores(),
        () => return Ok(()),
    };
    Err(OpenError::OtherNode { dir: node.path().to_owned(), found, expected, by: "node.json" })
}

/// What others may know of a store's token.
pub(super) fn store_id(meta: &Meta) -> String {
    meta.token.store_id().to_string()
}
