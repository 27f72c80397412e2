//! The peer's token: where it may be shown, and the only way to show it.
//!
//! Holds, by the types: a token leaves this file only in a hello that goes to a [`Named`] address, and such an address is
//! made here alone, from the configured address of the warehouse and from the roster that the warehouse has said. Whoever
//! is shown a token can order in this peer's name and hold its place; gossip could lead the peer to anybody.

use super::facts::{Cx, Facts, Purpose};
use crate::model::call::Ask;
use crate::model::hello::Hello;
use crate::model::link::LinkKey;
use crate::model::message::Message;
use crate::model::step::ConnId;
use crate::types::{Hash, PeerId, Token};

/// See the module's text.
#[derive(Clone, Debug)]
pub(crate) struct Secret(Token);

/// Where the token may be shown.
pub(super) struct Named(String);

impl Secret {
    /// Keeps a store's token.
    pub(crate) fn new(token: Token) -> Secret {
        Secret(token)
    }

    /// What others may know of it.
    pub(super) fn store_id(&self) -> Hash {
        self.0.store_id()
    }

    /// What proves this peer to that one on a link.
    pub(super) fn link_key(&self, to: PeerId) -> LinkKey {
        LinkKey::new(&self.0, to)
    }
}

impl Facts {
    /// The warehouse, as this peer was told at its start.
    pub(super) fn at_warehouse(&self) -> Named {
        Named(self.warehouse.clone())
    }

    /// A trader, where the warehouse says that it listens.
    pub(super) fn at_trader(&self, peer: PeerId) -> Option<Named> {
        let (_, seat) = self.roster.held_by(peer)?;
        (!seat.addr.is_empty()).then(|| Named(seat.addr.clone()))
    }

    fn with_token(&self, hello: Hello) -> Box<Hello> {
        Box::new(Hello { token: Some(self.me.secret.0), ..hello })
    }
}

impl Cx<'_> {
    /// Dials with a first message that shows the token.
    pub(super) fn dial_proven(
        &mut self,
        to: &Named,
        first: impl FnOnce(&mut Self, Box<Hello>) -> Message,
    ) -> ConnId {
        let hello = self.first_hello();
        let hello = self.with_token(hello);
        let first = first(self, hello);
        self.dial(&to.0, first)
    }

    /// Calls with a question that shows the token.
    pub(super) fn call_proven(&mut self, purpose: Purpose, to: Named, ask: impl FnOnce(Box<Hello>) -> Ask) {
        let hello = self.with_token(self.hello());
        self.call(purpose, to.0, ask(hello));
    }

    /// Asks the warehouse in this peer's name.
    pub(super) fn demand(&mut self, purpose: Purpose, ask: impl FnOnce(Box<Hello>) -> Ask) {
        let warehouse = self.at_warehouse();
        self.call_proven(purpose, warehouse, ask);
    }
}
