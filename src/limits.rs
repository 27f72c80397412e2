//! Every bound of the program, by name, with the relations between them asserted at compile time.
//!
//! Sizes are bytes, times milliseconds unless the name says otherwise. A queue without a name here does not exist.

mod seen;

use std::time::Duration;

pub(crate) use self::seen::*;

/// Largest gRPC message that a node takes (tonic's own default for decoding).
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Orders in one message of a stream: keeps one batch's latency below one sync.
pub(crate) const BATCH_ORDERS_MAX: usize = 4_096;
/// Records' bytes that one sync may cover.
pub(crate) const GROUP_BYTES_MAX: usize = 1 << 20;
/// Bytes of one block, and of any value in any tree.
pub const BLOCK_BYTES_MAX: usize = 16 << 10;
/// Upper estimate of one record that is not a sale from many lots.
pub(crate) const RECORD_BYTES_TYPICAL_MAX: usize = 128;
/// Lots that one sale may fill from; beyond it a partial fill, or a refusal.
pub(crate) const SALE_LOTS_MAX: usize = 128;
/// Peers and clients of whom a trader knows what they asked for last; those beyond are not answered early.
pub(crate) const ASKERS_KNOWN_MAX: usize = 1 << 16;
/// A trader's allotment of a good that somebody asks for has at least so many pieces, if they are there.
pub(crate) const ALLOTMENT_PIECES_MIN: u64 = 64;
/// And at most so many.
pub(crate) const ALLOTMENT_PIECES_MAX: u64 = 10_000_000;
/// What was asked for counts half after this time, in milliseconds.
pub(crate) const ALLOTMENT_HALVES_MS: u64 = 8_000;
/// An allotment lasts for so long at the pace at which the good is asked for, in milliseconds.
pub(crate) const ALLOTMENT_LASTS_MS: u64 = 45_000;
/// A pace is taken as seen for at least so long, in milliseconds: the first few orders are no pace.
pub(crate) const DEMAND_SEEN_MS_MIN: u64 = 1_000;
/// Deposits that a trader tells before the warehouse has said again that there is room.
pub(crate) const ALLOTMENT_DEPOSITS_MAX: usize = 4_096;
/// Orders in one part of a report of what an ended term had sold.
pub(crate) const SALES_REPORT_ORDERS_MAX: usize = 2_048;
/// A trader that has not given back what was recalled for so many times `suspect-after` loses its office.
pub(crate) const RECALL_PATIENCE: u64 = 4;
/// Orders that wait at the warehouse until goods are back from traders.
pub(crate) const ORDERS_WAITING_MAX: usize = 1 << 17;
/// Lots that a trader's allotment of one good may be enlarged to.
pub(crate) const ALLOTMENT_LOTS_MAX: usize = 1_024;
/// Upper bound of one lot slice in a record (peer, number, quantity as varints).
pub(crate) const LOT_SLICE_BYTES_MAX: usize = 5 + 9 + 9;
/// sled's segment; fixed for a store's life.
pub(crate) const SEGMENT_BYTES: usize = 4 << 20;
/// sled keeps up to about this many values in one page.
pub(crate) const VALUES_PER_PAGE: usize = 20;
/// sled's page cache (its default is 1 GiB).
pub(crate) const STORE_CACHE_BYTES: u64 = 64 << 20;
/// The same of a copy that is read once, from end to end.
pub(crate) const COPY_CACHE_BYTES: u64 = 4 << 20;
/// Records staged and not yet durable before a loop stops taking input.
pub const STAGED_RECORDS_MAX: usize = 65_536;
/// A peer's journal learns what the ledger held with the first entries after this time.
pub(crate) const LEDGER_SEEN_EVERY_MS: u64 = 1_000;
/// Checkpoint after this many bytes of blocks, or [`CHECKPOINT_STATE_SHARE`] times the state's size, if that is more,
pub(crate) const CHECKPOINT_BYTES_MIN: u64 = 16 << 20;
/// but not after more than this,
pub(crate) const CHECKPOINT_BYTES: u64 = 32 << 20;
/// or after this much time with writes, once there are as many bytes of blocks as the state has: a large state that is
/// written anew for every few rows makes the store's file grow, and saves no time at the next start.
pub(crate) const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);
/// See [`CHECKPOINT_BYTES_MIN`].
pub(crate) const CHECKPOINT_STATE_SHARE: u64 = 3;
/// Checkpoint chunks written with one group, so that a checkpoint delays no acknowledgement by much.
pub(crate) const CHECKPOINT_CHUNKS_PER_GROUP: usize = 16;
/// Chunks of the checkpoint before that are removed with one group: the next one waits until they are gone.
pub(crate) const CHECKPOINT_REMOVED_PER_GROUP: usize = 128;
/// Bytes of a journal's segments that are kept whole, unless another bound is given.
pub(crate) const KEEP_BYTES: u64 = 2 << 30;
/// Blocks of so many bytes behind the checkpoint are moved into a segment.
pub(crate) const SEAL_BYTES: u64 = 4 << 20;
/// A segment ends with the block that makes it this large, though more could be moved.
pub(crate) const SEALED_BYTES_MAX: u64 = 32 << 20;
/// A frame of a segment ends with the block that makes it this large: what is unpacked to read one row.
pub(crate) const FRAME_BYTES: usize = 256 << 10;
/// A frame of more peers' orders does not list them.
pub(crate) const FRAME_PEERS_MAX: usize = 512;
/// The state goes into a segment if it is at most this part of the blocks.
pub(crate) const SEGMENT_STATE_SHARE: u64 = 4;
/// States within segments are so many bytes of blocks apart, or [`SEGMENT_STATE_SHARE`] times their own size, if that is
/// more: what is folded to answer a question about an earlier row.
pub(crate) const STATE_APART_MIN: u64 = 4 << 20;
/// After a start the state at the end of the sealed part is folded from one that is so many bytes of blocks away at most.
pub(crate) const CARRIED_BYTES_MAX: u64 = 2 * SEALED_BYTES_MAX;
/// Blocks that a segment has by now, removed from the store with one group.
pub(crate) const SEALED_REMOVED_PER_GROUP: usize = 256;
/// A store that holds more than this outside of segments when its node is closed is read as sled has it.
pub(crate) const CLOSED_BYTES_MAX: u64 = 96 << 20;
/// Bytes that are copied from file to file at a time.
pub(crate) const COPY_BYTES: usize = 1 << 20;
/// Indexes and unpacked frames that a reader keeps at hand.
pub(crate) const SEGMENT_INDEXES_KEPT: usize = 16;
/// See [`SEGMENT_INDEXES_KEPT`].
pub(crate) const SEGMENT_FRAMES_KEPT: usize = 4;
/// Stores that a command opens at the same time.
pub(crate) const OPEN_THREADS: usize = 4;
/// Rows that `verify` takes apart at once,
pub(crate) const VERIFY_BATCH: usize = 4_096;
/// and batches of them that wait between two of its threads.
pub(crate) const VERIFY_BATCHES_AHEAD: usize = 4;
/// Own orders of a peer that follow each other and are kept in a row.
pub(crate) const VERIFY_STRETCH_MAX: usize = 1 << 16;
/// A log of so many rows is read by a thread of its own.
pub(crate) const VERIFY_THREAD_ROWS: u64 = 10_000;
/// Lazily written records (answered, settled) wait at most this long for a group to ride on.
pub const LAZY_MAX: Duration = Duration::from_millis(100);
/// The mark is renewed about this often while there are writes.
pub(crate) const MARK_EVERY: Duration = Duration::from_secs(1);
/// A flush or sync that takes longer means a hung disk: the process says so and ends.
pub(crate) const FLUSH_STALL_MAX: Duration = Duration::from_secs(10);
/// Address space that a node reserves at most: threads' stacks and the allocator's arenas, most of it never used. It is
/// measured: with less it ends where a thread or an allocation does not get its part.
pub(crate) const ADDRESS_SPACE_MIN: u64 = 512 << 20;
/// The part of it that is a node's own, and may be written.
pub(crate) const DATA_MIN: u64 = 256 << 20;
/// Memory that a node uses with its caches full.
pub(crate) const MEMORY_MIN: u64 = 128 << 20;
/// Bytes of one file of a node's log, unless `--log-size` says otherwise,
pub(crate) const LOG_SIZE: u64 = 64 << 20;
/// and its bounds: a smaller file is rotated while its end is read,
pub(crate) const LOG_SIZE_MIN: u64 = 64 << 10;
/// a larger one is read by nobody.
pub(crate) const LOG_SIZE_MAX: u64 = 64 << 30;
/// Files of a node's log, the one that is written included, unless `--log-files` says otherwise,
pub(crate) const LOG_FILES: u32 = 4;
/// and their bounds: with one alone nothing would be left after a rotation,
pub(crate) const LOG_FILES_MIN: u32 = 2;
/// and a directory knows its own by so many names.
pub(crate) const LOG_FILES_MAX: u32 = 10;
/// Lines equal to the one before are held, and counted, for this long at most.
pub(crate) const LOG_REPEATS_HELD_MAX: Duration = Duration::from_secs(5);
/// A log that could not be rotated is rotated with the first line after this time.
pub(crate) const LOG_ROTATE_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// What is read of a log's end, to say what a node that ended said last.
pub(crate) const LOG_TAIL_BYTES: u64 = 64 << 10;
/// Opening a store after an unclean stop may take this long.
pub(crate) const OPEN_STALL_MAX: Duration = Duration::from_secs(120);
/// Pages of a store that do not leave memory when they are told to are told again, so often in all,
pub(crate) const PAGES_DROP_TRIES_MAX: u32 = 5;
/// with this in between; then a copy takes the file's place.
pub(crate) const PAGES_DROP_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// An owner looks this often, at least, whether its directory is still its own.
pub(crate) const OWNER_LOOK_EVERY: Duration = Duration::from_secs(1);
/// A new owner that the lock did not keep out waits at most this long for the one before it to see that.
pub(crate) const OWNER_GONE_MAX: Duration = Duration::from_secs(3);
/// A starting node retries the lock of its directory this long.
pub(crate) const LOCK_RETRY_MAX: Duration = Duration::from_secs(5);
/// A reader tries again this long to read a store whose owner does not answer: it is about to serve, or was killed and
/// still waits for its last sync.
pub(crate) const OWNER_RETRY_MAX: Duration = Duration::from_secs(2);
/// Space that is given up when the disk is full, so that the store can be opened.
pub(crate) const BALLAST_BYTES: u64 = 16 << 20;
/// Space that one checkpoint may need.
pub(crate) const CHECKPOINT_ROOM_BYTES: u64 = 16 << 20;
/// Free space below which one node on a disk takes no orders.
pub(crate) const LOW_WATER_BYTES: u64 = BALLAST_BYTES + 2 * GROUP_BYTES_MAX as u64 + CHECKPOINT_ROOM_BYTES;

/// Numbers of one peer that may be open; outcomes kept per peer.
pub const SESSION_WINDOW: u32 = 4_096;
/// Sessions of a peer, the present one included, of which the warehouse keeps outcomes: those of a store, of the one that
/// took its place, and of the first one when it comes back.
pub(crate) const STORES_REMEMBERED: usize = 3;
/// Outcomes of clients that the warehouse keeps: of those that have been quiet for longest the rest is forgotten,
pub(crate) const CLIENT_OUTCOMES_MAX: usize = 65_536;
/// unless they ordered something in this time before the last client's row. An answer that was lost on the way is asked
/// for again within seconds.
pub(crate) const CLIENT_IDLE_MS: u64 = 600_000;
/// Lots in the warehouse, shared alike by all goods. A deposit above that is refused.
pub(crate) const LOTS_MAX: usize = 1 << 19;
/// Sessions that a peer's store keeps: of all peers, and of the clients that it heard of last. Those of others are asked
/// for when they come.
pub(crate) const KNOWN_MAX: usize = PEERS_MAX as usize + 4_096;
/// Orders that a trader holds for the warehouse.
pub const TRADER_QUEUE_ORDERS_MAX: usize = 1_000_000;
/// Orders in one replicated chunk: it is stored as one entry of the partner's journal.
pub(crate) const REPLICA_CHUNK_ORDERS_MAX: usize = 192;
/// Parts of a snapshot that may be unacknowledged.
pub(crate) const REPLICA_PARTS_IN_FLIGHT_MAX: u64 = 64;
/// Upper bound of one encoded order.
pub(crate) const ORDER_BYTES_MAX: usize = 72;
/// Settle batches of one trader that may be unanswered.
pub(crate) const SETTLE_BATCHES_IN_FLIGHT_MAX: usize = 16;
/// Bytes waiting in one stream's outbox; beyond it the stream is cut.
pub(crate) const OUTBOX_BYTES_MAX: usize = 8 << 20;
/// Messages waiting in one stream's outbox.
pub(crate) const OUTBOX_MESSAGES_MAX: usize = 8_192;
/// Inputs waiting at a node's loop.
pub(crate) const INBOX_MAX: usize = 1_024;
/// Inputs that a loop takes in one step.
pub const STEP_INPUTS_MAX: usize = 256;
/// Orders that a loop takes in one step; the first input is always taken.
pub(crate) const STEP_ORDERS_MAX: usize = 16_384;
/// Lines that wait for someone who watches a node; older ones are dropped.
pub(crate) const EVENTS_MAX: usize = 4_096;
/// Streams that a peer keeps to other peers.
pub(crate) const LINKS_MAX: usize = 1_024;
/// Callers that wait for one order of a peer.
pub(crate) const ASKERS_MAX: usize = 64;
/// Outcomes of orders placed by hand that a peer remembers, to tell them again.
pub(crate) const BY_HAND_MAX: usize = 1_024;
/// Neighbours that a peer keeps a link to; more may keep one to it.
pub(crate) const NEIGHBOUR_LINKS_MAX: usize = 4;
/// One run of an experiment ends within this, or has failed.
pub(crate) const EXPERIMENT_RUN_MAX: Duration = Duration::from_secs(600);
/// Own sales of one good that a trader counts one by one until a push of the stock shows them.
pub(crate) const CACHE_BEHIND_MAX: usize = 4_096;
/// Links that a lookup may go over.
pub(crate) const HOPS_MAX: u32 = 64;
/// Lookups that a peer passes on at once, and that it remembers.
pub(crate) const LOOKUPS_MAX: usize = 256;
/// Ways and peers in the answer to a lookup.
pub(crate) const FOUND_MAX: usize = 1_000;
/// A lookup that may go so many hops further waits so many times this for its answers.
pub(crate) const LOOKUP_HOP_MS: u64 = 200;
/// News of the membership that comes within this of the last goes on together, at its end.
pub(crate) const GOSSIP_EVERY_MS: u64 = 20;
/// Streams of one HTTP/2 connection.
pub(crate) const CONNECTION_STREAMS_MAX: u32 = 256;

/// Connections that come in to one node: a trader of a full market has a line and a link of each peer.
pub(crate) const CONNECTIONS_MAX: usize = 2_048;
/// Connections of one address, where it is not of this machine: a dozen peers of a machine have five each.
pub(crate) const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// Connections that were told to make room for others, and are not closed yet.
pub(crate) const CONNECTIONS_LEAVING_MAX: usize = 16;
/// Descriptors that no connection takes, whoever dialed it: a store needs some for its next checkpoint.
pub(crate) const DESCRIPTORS_KEPT_BACK: u64 = 32;
/// Descriptors of a node beside those: its files, its runtime, and what it dials.
pub(crate) const DESCRIPTORS_OWN: u64 = 48;
/// With fewer descriptors no node starts.
pub(crate) const DESCRIPTORS_MIN: u64 = 128;

/// Pieces in one order.
pub const QUANTITY_MAX: u64 = 1_000_000;
/// Pieces of one product in the warehouse.
pub(crate) const STOCK_MAX: u64 = 1_000_000_000_000;
/// A unit price in minor units.
pub(crate) const UNIT_PRICE_MAX: i64 = 1_000_000;
/// Goods in the catalogue.
pub const PRODUCTS_MAX: usize = 1_000;
/// Bytes of an address that a peer may say it listens at: a name of 253 bytes, a port, and brackets.
pub(crate) const ADDR_BYTES_MAX: usize = 272;
/// Bytes of one peer as the warehouse introduces it: its address, its key, and numbers.
pub(crate) const INTRODUCTION_BYTES_MAX: usize = ADDR_BYTES_MAX + 128;
/// Bytes in a good's name.
pub(crate) const PRODUCT_NAME_MAX: usize = 64;
/// Peers that may stand for office.
pub(crate) const PEERS_MAX: u32 = 1_000;
/// Clients that may have an identity.
pub(crate) const CLIENTS_MAX: u32 = 1_000_000;
/// The clock of a term's holder may be ahead of what the warehouse last said by at most this, and the warehouse's ahead of
/// a node's.
pub const CLOCK_LEAP_MAX: u64 = 1 << 32;
/// The clock of any other peer, or of a client, may be ahead of what the warehouse last said by at most this: more than a
/// trader falls behind the warehouse between two heartbeats, and so little that nobody drags the market's clock to its end.
pub const CLOCK_LEAD_MAX: u64 = 1 << 26;
/// Clock values reserved on disk ahead of use.
pub(crate) const CLOCK_RESERVE: u64 = 1 << 20;

/// Bound of one unary call, unless `--timeout` says otherwise.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(5);
/// Connecting to a node.
pub const CONNECT_MAX: Duration = Duration::from_secs(1);
/// A connection on which nothing was understood by then is closed; so is a stream without its first word.
pub(crate) const FIRST_WORD_MAX: Duration = Duration::from_secs(5);
/// A unary request that comes in is whole, and answered, within this.
pub(crate) const REQUEST_MAX: Duration = Duration::from_secs(10);
/// Asking a suspect whether it lives.
pub(crate) const PROBE_MAX: Duration = Duration::from_millis(200);
/// Who watches a node's health hears of a change within this.
pub(crate) const HEALTH_LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same of own orders, in microseconds.
pub(crate) const LATENCY_US_MIN: u64 = 128;
/// Buckets of own orders' latencies: up to 67 s.
pub(crate) const LATENCY_BUCKETS: usize = 20;
/// HTTP/2 keepalive: interval, and the wait for its answer.
pub(crate) const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// See [`KEEPALIVE_EVERY`].
pub(crate) const KEEPALIVE_ANSWER_MAX: Duration = Duration::from_secs(10);
/// A node whose answers are suspected sooner is suspected when it is well: an answer waits for the disk, and what is
/// written lazily for [`LAZY_MAX`] before that.
pub(crate) const SUSPECT_AFTER_MIN: Duration = Duration::from_millis(200);
/// Heartbeats more often than this cost more than they tell.
pub(crate) const HEARTBEAT_MIN: Duration = Duration::from_millis(50);
/// The longest heartbeat, and the longest patience.
pub(crate) const TIMER_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A supervisor hears of a node that gets on at least this often.
pub(crate) const NOTIFY_EVERY: Duration = Duration::from_secs(5);
/// Reconnect back-off: first wait, doubled up to
pub const BACKOFF_MIN: Duration = Duration::from_millis(10);
/// this.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);
/// So long after its start the warehouse waits for the peers that it knows: each that runs has dialed again by then.
pub(crate) const WITNESSES_MAX_MS: u64 = 2 * BACKOFF_MAX.as_millis() as u64;
/// Messages and calls that it keeps meanwhile.
pub(crate) const WITNESS_INPUTS_MAX: usize = 4_096;
/// Bully: how long OKs are waited for,
pub(crate) const ELECTION_OK_MS: u64 = 200;
/// and the winner's announcement after an OK.
pub(crate) const ELECTION_COORDINATOR_MS: u64 = 1_000;
/// Nobody stands for office until its membership has been unchanged this long.
pub(crate) const MEMBERSHIP_QUIET_MS: u64 = 300;
/// A peer that was just started waits for its membership to be unchanged at most this long.
pub(crate) const STANDING_WAIT_MAX_MS: u64 = 1_000;
/// Words of a peer that is not known yet that are kept until its session has come.
pub(crate) const EARLY_WORDS_MAX: usize = 64;
/// Bytes of them: a stranger has more to say only when it was heard.
pub(crate) const EARLY_BYTES_MAX: usize = 512 << 10;
/// A link waits at the door at most this long until the warehouse has told of its peer.
pub(crate) const DOOR_WAIT_MAX: Duration = Duration::from_secs(2);
/// Who could not be brought up to date, or resigned by hand, holds no office for this long.
pub(crate) const PASS_OVER_MS: u64 = 60_000;
/// A higher id takes the primary office over after this long without a membership change.
pub(crate) const PREEMPT_QUIET_MS: u64 = 10_000;
/// A turn that is late by more than one part in so many of suspect-after comes after a pause of this process.
pub(crate) const PAUSES_IN_SUSPICION: u64 = 4;
/// How often a process is woken within suspect-after at least, so that it sees its own pauses.
pub(crate) const WAKES_IN_SUSPICION: u64 = 8;
/// A stopping node hands over and drains for at most this long.
pub(crate) const DRAIN_MAX: Duration = Duration::from_secs(10);
/// A stopping trader that the warehouse does not see waits at most this long for it to come back.
pub(crate) const STOP_ALONE_MAX: Duration = Duration::from_secs(1);
/// A stopping trader whose desk was not empty in its time hands over what is left for at most this long.
pub(crate) const HAND_OVER_MAX: Duration = Duration::from_secs(1);
/// A leaving peer waits at most this long for others to confirm that they know.
pub(crate) const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// A peer has left within this: own orders, desk, office, what the desk had left, farewell.
pub(crate) const LEAVE_MAX: Duration = Duration::from_secs(
    2 * DRAIN_MAX.as_secs() + CALL_DEADLINE.as_secs() + HAND_OVER_MAX.as_secs() + FAREWELL_MAX.as_secs() + 1,
);
/// A stopping server waits for its streams at most this long.
pub(crate) const CLOSE_MAX: Duration = Duration::from_millis(50);
/// A command that takes longer shows how far it is, where somebody looks,
pub(crate) const PROGRESS_AFTER: Duration = Duration::from_secs(1);
/// and again after this.
pub(crate) const PROGRESS_EVERY: Duration = Duration::from_millis(100);
/// `up` says that nobody can trade once that has been so for this long, then after twice the time, up to
pub(crate) const MISSING_SAY_FIRST: Duration = Duration::from_secs(3);
/// this.
pub(crate) const MISSING_SAY_EVERY_MAX: Duration = Duration::from_secs(60);
/// A node says that it still opens its store after this long, and again after twice the time, up to
pub(crate) const OPENING_SAY_FIRST: Duration = Duration::from_secs(2);
/// this.
pub(crate) const OPENING_SAY_EVERY_MAX: Duration = Duration::from_secs(30);
/// A shell that completes a word waits for a command that is asked for it at most this long,
pub(crate) const COMPLETION_MAX: Duration = Duration::from_secs(1);
/// and that command for a node.
pub(crate) const COMPLETION_CALL_MAX: Duration = Duration::from_millis(300);
/// A call of a client command that would have less time than this is not begun: it would say nothing but that.
pub(crate) const CALL_MIN: Duration = Duration::from_millis(20);
/// `up` and `buy`: no progress for this long is exit 6.
pub(crate) const PROGRESS_MAX: Duration = Duration::from_secs(30);
/// A node whose parent is gone stops cleanly within this, or at once after it.
pub(crate) const ORPHAN_MAX: Duration = Duration::from_millis(800);
/// Time in which all nodes of `up` must be serving.
pub(crate) const START_MAX: Duration = Duration::from_secs(30);

/// Reasons that a soak keeps for its verdict.
pub(crate) const SOAK_REASONS_MAX: usize = 1_000;
/// A soak's proxy that could not have its address for this long is said to have lost it.
pub(crate) const SOAK_LISTEN_MAX: Duration = Duration::from_secs(10);
/// Fewest peers of a soak: one may be away while two hold the offices and another stands for one.
pub(crate) const SOAK_NODES_MIN: u32 = 3;
/// Orders per second that a soak's clients place at most: beyond it they are what is measured.
pub(crate) const SOAK_RATE_MAX: u32 = 20_000;
/// Clients of a soak: at least so many,
pub(crate) const SOAK_CLIENTS_MIN: u32 = 8;
/// one for so many orders per second,
pub(crate) const SOAK_ORDERS_PER_CLIENT: u32 = 50;
/// and at most so many.
pub(crate) const SOAK_CLIENTS_MAX: u32 = 64;
/// All stores of a soak are checked this often, or six times in a short run,
pub(crate) const SOAK_CHECK_EVERY: Duration = Duration::from_secs(300);
/// but not more often than this.
pub(crate) const SOAK_CHECK_EVERY_MIN: Duration = Duration::from_secs(10);
/// A check that cannot read a node, since it is away, is begun again for this long.
pub(crate) const SOAK_CHECK_RETRY_MAX: Duration = Duration::from_secs(30);
/// Trade goes on within this after a fault has ended, or the run has failed.
pub(crate) const SOAK_RECOVERY_MAX: Duration = Duration::from_secs(30);
/// What was placed has its outcome within this after the load has ended.
pub(crate) const SOAK_DRAIN_MAX: Duration = Duration::from_secs(60);
/// How long no sample counts for a slope, or a third of a shorter run: caches fill, files take their first size.
pub(crate) const SOAK_WARM_UP_MAX: Duration = Duration::from_secs(1_200);
/// Size of the disk that a soak fills.
pub(crate) const SOAK_DISK_MIB: u64 = 512;
/// Examples of one kind of failure that a verdict names.
pub(crate) const SOAK_EXAMPLES_MAX: usize = 20;

const _: () = {
    assert!(GOSSIP_EVERY_MS < MEMBERSHIP_QUIET_MS / 4, "who waits for quiet has heard the news of others");
    assert!(
        BLOCK_BYTES_MAX * VALUES_PER_PAGE <= SEGMENT_BYTES / 4,
        "a page above a quarter segment is never synced"
    );
    assert!(
        SALE_LOTS_MAX * LOT_SLICE_BYTES_MAX + RECORD_BYTES_TYPICAL_MAX + 256 <= BLOCK_BYTES_MAX,
        "a record fits a block"
    );
    assert!(BLOCK_BYTES_MAX <= GROUP_BYTES_MAX);
    assert!(LOG_SIZE_MIN <= LOG_SIZE && LOG_SIZE <= LOG_SIZE_MAX);
    assert!(LOG_FILES_MIN <= LOG_FILES && LOG_FILES <= LOG_FILES_MAX);
    assert!(LOG_TAIL_BYTES <= LOG_SIZE_MIN, "the last words are in the file that is written");
    assert!(STORE_CACHE_BYTES < MEMORY_MIN && MEMORY_MIN < DATA_MIN && DATA_MIN < ADDRESS_SPACE_MIN);
    assert!(2 * OWNER_LOOK_EVERY.as_millis() < OWNER_GONE_MAX.as_millis(), "an owner has looked by then");
    assert!(GROUP_BYTES_MAX < MESSAGE_BYTES_MAX, "a replicated group is one message");
    assert!(MESSAGE_BYTES_MAX < OUTBOX_BYTES_MAX, "an outbox takes any single message");
    assert!(PEERS_MAX as usize * INTRODUCTION_BYTES_MAX < MESSAGE_BYTES_MAX / 2, "all peers fit one message");
    assert!(LOTS_MAX / PRODUCTS_MAX >= SALE_LOTS_MAX, "a sale may fill from as many lots as it can name");
    assert!(LOTS_MAX as u64 * 16 <= CHECKPOINT_ROOM_BYTES, "all lots fit a checkpoint's room");
    assert!(CLIENT_OUTCOMES_MAX >= SESSION_WINDOW as usize);
    assert!(BATCH_ORDERS_MAX <= STEP_ORDERS_MAX);
    assert!(BATCH_ORDERS_MAX * 64 < MESSAGE_BYTES_MAX, "a full batch fits a message");
    assert!(SESSION_WINDOW as usize * (PEERS_MAX as usize) < 1 << 32);
    assert!(STOCK_MAX as u128 * UNIT_PRICE_MAX as u128 <= i64::MAX as u128, "totals stay in an i64");
    assert!(QUANTITY_MAX <= STOCK_MAX);
    assert!(REPLICA_CHUNK_ORDERS_MAX * ORDER_BYTES_MAX + RECORD_BYTES_TYPICAL_MAX + 256 <= BLOCK_BYTES_MAX);
    assert!(
        2 * PAUSES_IN_SUSPICION <= WAKES_IN_SUSPICION,
        "a pause is seen before much of a silence is counted"
    );
    assert!(SESSION_WINDOW as usize * ORDER_BYTES_MAX < EARLY_BYTES_MAX, "a peer's open orders may wait");
    assert!(CLOCK_LEAD_MAX * 2 < CLOCK_LEAP_MAX);
    assert!(2 * PEERS_MAX as usize + 48 <= CONNECTIONS_MAX, "a full market, and people who ask");
    assert!(
        DESCRIPTORS_KEPT_BACK + DESCRIPTORS_OWN + CONNECTIONS_LEAVING_MAX as u64 + 32 <= DESCRIPTORS_MIN,
        "a small market runs with the fewest descriptors"
    );
    assert!(FIRST_WORD_MAX.as_secs() + CALL_DEADLINE.as_secs() <= REQUEST_MAX.as_secs());
    assert!(2 * LAZY_MAX.as_millis() <= SUSPECT_AFTER_MIN.as_millis());
    assert!(PROBE_MAX.as_millis() <= SUSPECT_AFTER_MIN.as_millis(), "a probe says more than a silence");
    assert!(PROBE_MAX.as_millis() < CALL_DEADLINE.as_millis());
    assert!(BATCH_ORDERS_MAX * SETTLE_BATCHES_IN_FLIGHT_MAX <= TRADER_QUEUE_ORDERS_MAX);
};
