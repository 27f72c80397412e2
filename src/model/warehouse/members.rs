//! Who is there, as the warehouse sees it, told to everybody who is present.
//!
//! Holds: only changes are told, once a turn; a newcomer is told of all that are present. Ids are bounded, and so are
//! addresses ([`ADDR_BYTES_MAX`](crate::limits::ADDR_BYTES_MAX)), so what all of them come to fits a message.

use super::Warehouse;
use crate::model::message::{ControlDown, Introduction};
use crate::model::row::Record;
use crate::model::step::Turn;
use crate::types::PeerId;

impl Warehouse {
    /// All that everybody was told of already, for a newcomer; the rest comes at the end of the turn.
    pub(super) fn introductions(&self, to: PeerId) -> Vec<Introduction> {
        self.told.members.keys().filter_map(|peer| self.presence.introduction(*peer, to)).collect()
    }

    /// Tells all that are present who came, moved or left. Who is gone is forgotten, to be told anew when it is back.
    pub(super) fn introduce(&mut self, turn: &mut Turn<Record>) {
        let before = std::mem::take(&mut self.told.members);
        let members = self.presence.members();
        let is_news = |id: &PeerId| self.presence.member(*id).as_ref() != before.get(id);
        let news: Vec<PeerId> = members.iter().map(|member| member.id).filter(is_news).collect();
        self.told.members = members.into_iter().map(|member| (member.id, member)).collect();
        if news.is_empty() {
            return;
        }
        for (conn, to) in self.greeted() {
            let introduced = news.iter().filter_map(|peer| self.presence.introduction(*peer, to)).collect();
            self.tell(conn, ControlDown { introduced, ..ControlDown::default() }, turn);
        }
    }
}
