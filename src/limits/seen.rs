//! Bounds of what shows a node while it runs: metrics, events, the page.

use std::time::Duration;

/// HTTP connections to a node's metrics at once; others wait in the system's queue.
pub(crate) const HTTP_CONNECTIONS_MAX: usize = 16;
/// A request's head comes within this, also the next one's on the same connection.
pub(crate) const HTTP_HEAD_MAX: Duration = Duration::from_secs(30);
/// An HTTP connection is over after this.
pub(crate) const HTTP_CONNECTION_MAX: Duration = Duration::from_secs(300);
/// After an accept that failed.
pub(crate) const ACCEPT_REST: Duration = Duration::from_millis(100);
/// An order that is followed for the sake of its latencies is given up after this.
pub(crate) const FOLLOWED_MAX: Duration = Duration::from_secs(60);
/// Upper bound of the first bucket of a stage's latencies, in seconds; each further one is twice as wide.
pub(crate) const STAGE_SECONDS_MIN: f64 = 0.000_064;
/// Buckets of a stage's latencies: up to 67 s.
pub(crate) const STAGE_BUCKETS: usize = 21;
/// Events that a node may be told to remember.
pub(crate) const TRACE_EVENTS_MAX: u64 = 10_000_000;
/// Events that the nodes of `up` remember.
pub(crate) const TRACE_EVENTS_UP: u64 = 100_000;
/// Events that the nodes of a soak with a page remember: what they hold soon stops growing.
pub(crate) const TRACE_EVENTS_SOAK: u64 = 10_000;
/// Bytes of what one event says.
pub(crate) const TRACE_TEXT_MAX: usize = 200;
/// Ranges of orders that an event names.
pub(crate) const TRACE_RANGES_MAX: usize = 16;
/// Events in one message.
pub(crate) const TRACE_EVENTS_PER_MESSAGE: usize = 1_000;
/// `bazaar trace` draws so much of the past, unless it is told another.
pub(crate) const TRACE_LOOK_BACK: Duration = Duration::from_secs(10);
/// Orders of a queue that a report names.
pub(crate) const REPORT_QUEUE_MAX: usize = 32;
/// A look at the page is over after this, and begins anew.
pub(crate) const PAGE_CONNECTION_MAX: Duration = Duration::from_secs(12 * 3_600);
/// Connections to the page at once; others wait in the system's queue.
pub(crate) const PAGE_CONNECTIONS_MAX: usize = 64;
/// Who may look at the page at once: the rest of the connections is for what they ask.
pub(crate) const PAGE_VIEWERS_MAX: usize = 32;
/// How often who looks at the page is told how the market is,
pub(crate) const PAGE_LOOK_EVERY: Duration = Duration::from_millis(500);
/// and what was sent in it.
pub(crate) const PAGE_MESSAGES_EVERY: Duration = Duration::from_millis(250);
/// Messages of which it is told at once: a sample of more.
pub(crate) const PAGE_MESSAGES_MAX: usize = 60;
/// A message that does not come within this is not awaited by the page any longer.
pub(crate) const PAGE_UNDER_WAY_MAX: Duration = Duration::from_secs(10);
/// A node that does not answer the page within this is silent.
pub(crate) const PAGE_ASK_MAX: Duration = Duration::from_millis(400);
/// How often rates, memory and disk are recorded, also while nobody looks.
pub(crate) const PAGE_RECORD_EVERY: Duration = Duration::from_secs(5);
/// How often all stores are checked while somebody looks.
pub(crate) const PAGE_CHECK_EVERY: Duration = Duration::from_secs(20);
/// News that a slow reader of the page may be behind.
pub(crate) const PAGE_NEWS_MAX: usize = 64;
/// Bytes of what is asked for on the page.
pub(crate) const PAGE_BODY_MAX: usize = 4_096;
/// What is asked for on the page is done within this, or it is not known what became of it.
pub(crate) const PAGE_ACT_MAX: Duration = Duration::from_secs(60);
/// Failovers that the page lists: the last of more.
pub(crate) const PAGE_FAILOVERS_MAX: usize = 50;
/// Intervals in the page's table of rates.
pub(crate) const PAGE_ROWS: usize = 12;
/// Marks on the page's time line: the last of more.
pub(crate) const PAGE_MARKS_MAX: usize = 2_000;
/// The longest time that the page draws at once.
pub(crate) const PAGE_DRAWN_MAX: Duration = Duration::from_secs(60);
/// Processes that read the past for the page, at once.
pub(crate) const PAGE_DUMPS_MAX: usize = 4;
/// How long is waited for the ledger's first row before the page is told without it.
pub(crate) const PAGE_BEGAN_MAX: Duration = Duration::from_secs(2);
/// A check of all stores that takes longer is given up.
pub(crate) const PAGE_CHECK_MAX: Duration = Duration::from_secs(600);
/// Points that are kept of each figure of a run, for its charts.
pub(crate) const RECORD_POINTS_MAX: usize = 2_880;
