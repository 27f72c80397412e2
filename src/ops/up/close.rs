//! The end of a run: outcomes for what is open, figures, and the nodes' end in order.

use super::summary::{Summary, Times};
use super::{End, Up, count};
use crate::limits::PROGRESS_MAX;
use crate::ops::children;
use crate::ops::output::{Failure, exit, json_line, print, print_line};
use crate::ops::progress::Progress;
use crate::types::{Office, PeerId};

impl Up<'_> {
    /// Ends the nodes in order, however the run ended, and says what it came to.
    pub(super) async fn close(mut self, end: Result<End, Failure>) -> Result<u8, Failure> {
        let (timeout, elapsed) = (self.global.timeout, self.started.elapsed());
        // On the clock of the closing alone.
        let progress = Progress::new(self.global);
        self.fleet.resume();
        self.fleet.quiesce(timeout, &progress).await;
        let times = Times { started_at: self.started_at, elapsed };
        let summary =
            Summary::gather(&self.fleet, &self.roster, self.failovers.clone(), times, timeout).await;
        self.fleet.stop_peers(&self.traders(), &progress);
        let told = self.last_words();
        let counted = count::count(&self.fleet, self.first_seq).await;
        self.fleet.stop_warehouse(&progress);
        let end = end?;
        if end == End::Refused {
            return Err(children::said_last(self.fleet.warehouse(), "ended", exit::DIRECTORY));
        }
        let printed = told.and(self.print(&summary.counted(counted?)));
        match end {
            End::Stuck => Err(stuck()),
            _ => printed.map(|()| exit::DONE),
        }
    }

    /// In the order in which they end: the secondary first, so that when the primary goes no secondary can take its
    /// office over.
    fn traders(&self) -> Vec<PeerId> {
        let seats = [Office::Secondary, Office::Primary].into_iter().filter_map(|it| self.roster.get(it));
        seats.map(|seat| seat.peer).collect()
    }

    fn print(&self, summary: &Summary) -> Result<(), Failure> {
        match self.global.json {
            true => print_line(json_line(summary.json())),
            false => print(summary.table()),
        }
    }
}

fn stuck() -> Failure {
    let text = format!("no progress for {} s: some orders have no outcome yet", PROGRESS_MAX.as_secs());
    Failure::new(exit::UNDETERMINED, text)
        .hint("bazaar up on the same directory goes on with them; the nodes' logs say more")
}
