//! The kinds of faults.

/// A kind of fault: something that goes wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// kill -9 of a process or of several at once; they are started again later.
    Kill,
    /// The same processes are killed again and again, while they recover, too.
    Storm,
    /// SIGTERM: a process does what is due to others and ends; it is started again later.
    Stop,
    /// A process stands still for a while, then goes on as if nothing had happened.
    Pause,
    /// Wall clocks go apart by up to a minute.
    Skew,
    /// A wall clock jumps by an hour or by ten years, forward or back.
    Jump,
    /// A peer's disk is lost, and it starts with an empty one.
    LoseStore,
    /// A peer's disk is put back to what it was a while ago.
    OldStore,
    /// Messages between nodes take longer.
    Delay,
    /// Messages between nodes take times that differ widely: connections overtake each other.
    Scatter,
    /// Messages are held back so long that their connection is given up; they arrive after its successor's.
    Late,
    /// Nothing gets from some nodes to others, in one direction or both, and nobody is told.
    Silence,
    /// Connections to a node are refused.
    Refuse,
    /// Connections between nodes break.
    Reset,
    /// Connections end in the middle of a message.
    CutOff,
    /// Calls are done and their answers are lost.
    LoseAnswers,
    /// A disk's syncs take long.
    SlowDisk,
    /// A sync hangs: longer than the node's watchdog waits, its process ends.
    HungSync,
    /// A sync fails. What it was to write can still be read after a restart, until power goes.
    FailedSync,
    /// Power goes: of what was not synced some writes are kept, some are lost, and one may be torn.
    PowerCut,
    /// A disk is full for a while.
    FullDisk,
    /// A peer that was not there at first joins.
    Join,
    /// A peer leaves for good, and comes back later.
    Leave,
    /// A trader resigns.
    Resign,
    /// The warehouse's disk is put back to what it was then, when all else has healed.
    OldLedger,
    /// The same, and the traders' disks are lost with it.
    OldLedgerAlone,
    /// A backup of the warehouse is taken; later its disk is lost and the backup restored, perhaps for the second time.
    Restore,
    /// Clients come, order, ask again, and go; some die meanwhile.
    Client,
    /// People order at a peer, twice, and a client asks for an old number.
    AskAgain,
    /// A stranger dials nodes and calls them, and says what is not so.
    Stranger,
    /// What a peer says to its trader arrives twice, or out of order.
    Repeat,
    /// The market's consistency mode is changed.
    Mode,
    /// Both traders are killed at once, and the disk of one of them, or of both, is lost.
    LosePair,
}

impl Kind {
    /// All there are.
    pub(crate) const ALL: [Kind; 33] = [
        Kind::Kill,
        Kind::Storm,
        Kind::Stop,
        Kind::Pause,
        Kind::Skew,
        Kind::Jump,
        Kind::LoseStore,
        Kind::OldStore,
        Kind::Delay,
        Kind::Scatter,
        Kind::Late,
        Kind::Silence,
        Kind::Refuse,
        Kind::Reset,
        Kind::CutOff,
        Kind::LoseAnswers,
        Kind::SlowDisk,
        Kind::HungSync,
        Kind::FailedSync,
        Kind::PowerCut,
        Kind::FullDisk,
        Kind::Join,
        Kind::Leave,
        Kind::Resign,
        Kind::OldLedger,
        Kind::OldLedgerAlone,
        Kind::Restore,
        Kind::Client,
        Kind::AskAgain,
        Kind::Stranger,
        Kind::Repeat,
        Kind::Mode,
        Kind::LosePair,
    ];

    /// As typed and printed.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Kill => "kill",
            Kind::Storm => "storm",
            Kind::Stop => "stop",
            Kind::Pause => "pause",
            Kind::Skew => "skew",
            Kind::Jump => "jump",
            Kind::LoseStore => "lose-store",
            Kind::OldStore => "old-store",
            Kind::Delay => "delay",
            Kind::Scatter => "scatter",
            Kind::Late => "late",
            Kind::Silence => "silence",
            Kind::Refuse => "refuse",
            Kind::Reset => "reset",
            Kind::CutOff => "cut-off",
            Kind::LoseAnswers => "lose-answers",
            Kind::SlowDisk => "slow-disk",
            Kind::HungSync => "hung-sync",
            Kind::FailedSync => "failed-sync",
            Kind::PowerCut => "power-cut",
            Kind::FullDisk => "full-disk",
            Kind::Join => "join",
            Kind::Leave => "leave",
            Kind::Resign => "resign",
            Kind::OldLedger => "old-ledger",
            Kind::OldLedgerAlone => "old-ledger-alone",
            Kind::Restore => "restore",
            Kind::Client => "client",
            Kind::AskAgain => "ask-again",
            Kind::Stranger => "stranger",
            Kind::Repeat => "repeat",
            Kind::Mode => "mode",
            Kind::LosePair => "lose-pair",
        }
    }

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_names() {
        assert!(Kind::ALL.into_iter().all(|kind| Kind::named(kind.name()) == Some(kind)));
        assert_eq!(Kind::named("flood"), None);
    }
}
