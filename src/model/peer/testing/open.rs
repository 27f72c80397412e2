//! What a peer has open: for tests of what goes and what stays.

use std::collections::BTreeSet;

use crate::model::peer::Peer;
use crate::model::peer::rooms::Rooms;
use crate::model::step::{ConnId, ReplyId};

impl Peer {
    pub(in crate::model::peer) fn conns(&self) -> Vec<ConnId> {
        let Rooms { door, session, shop, desk, cache, replica, links, .. } = &self.rooms;
        let mut conns: Vec<ConnId> = door.conns().chain(session.conns()).chain(shop.conns()).collect();
        conns.extend(desk.conns().chain(cache.conns()).chain(replica.conns()).chain(links.conns()));
        conns
    }

    pub(in crate::model::peer) fn replies(&self) -> BTreeSet<ReplyId> {
        let Rooms { door, shop, desk, offices, leave, .. } = &self.rooms;
        let lookups = self.rooms.lookup_replies();
        let replies = door.replies().chain(shop.replies()).chain(desk.replies());
        replies.chain(offices.replies()).chain(leave.replies()).chain(lookups).collect()
    }
}
