//! A peer-to-peer marketplace whose nodes can be killed at any instruction and lose nothing.
//!
//! A *warehouse* process keeps the goods, the money and the ledger. *Peers* buy, sell, or wait; two of them, elected
//! with the Bully algorithm and granted their office by the warehouse, are the *traders* that take everyone's orders and
//! settle them. Each node is one process: a pure machine that decides, a driver that runs it, one journal with one writer
//! thread. This page is the way in for a reader of the code; the README says how to use the program, docs/protocol.md
//! what nodes say to each other, CONTRIBUTING.md how to change the code.
//!
//! # One order's way
//!
//! Peer 4 wants three fish. Trader 6 is its *home*: the one trader that decides for it today.
//!
//! ```text
//!   peer 4, a buyer                  trader 6                         warehouse
//!   model::shopper                   model::trader, model::queue      model::warehouse, model::market
//!   model::peer: shop                model::peer: desk, replica
//!
//!   wish: 3 fish
//!   number 3, stamp 17
//!   Placed --> journal
//!      |
//!      #  held until synced
//!      |
//!   order 4-3 ------- Trade -------> its home? its store's token?
//!                                    room in the queue?
//!                                    Accepted --> journal (*)
//!                                       \------- Replicate -------> partner 5: Mirrored --> journal, as bytes
//!                                    queue: stamp, peer, number
//!                                    batch --------- Settle --------> all batches that are ready,
//!                                                                     terms checked, then decided
//!                                                                     by (stamp, peer, number)
//!                                                                     Sale --> ledger
//!                                                                        |
//!                                                                        #  held until synced
//!                                                                        |
//!                                    outcome <------ Settle --------- answer, stock pushes
//!                                    Settled ..> journal
//!   told, printed <--- Trade ------- outcome
//!   Answered ..> journal
//!      |
//!      #  synced: the number counts as acknowledged
//!
//!   -->  with the next group, a sync that somebody waits for     ..>  lazily, with a later group
//!   (*)  journaled, replicated and forwarded at once: if trader 6 dies, the warehouse has the outcome, or its partner
//!        adopts the order, or peer 4 asks again
//! ```
//!
//! **Decide, persist, then speak.** Everything that decides is a machine ([`model::step`]): plain data with one door. It
//! applies an input to its state at once, and puts records and effects into its turn. [`node::driver`] gives the records
//! of a turn to the journal as one step, and holds each effect (an answer, a refusal that reveals state, a status, a
//! heartbeat's answer) until the records that stand before it are durable; a machine says why, where an effect need not
//! wait. The writer thread packs everything staged meanwhile into blocks, writes, syncs once, and publishes what is
//! durable; that releases what was held. No batch waits for a timer: a group is whatever gathered during the sync before
//! it. The same machines, driver and journal run in [`sim`], where time, network and disks are drawn from a seed.
//!
//! **Only a row of the ledger is an outcome.** Everything else that an asker may hear (busy, not your home, disk full)
//! means *not taken by me*, and leaves the number open. So asking again is always safe: the warehouse decides an order
//! id once and repeats the recorded outcome ever after. Failover rests on that. When trader 6 is killed, trader 5 has its
//! term *fenced*, so that nothing is written under it any more, and takes what it mirrored of that term into its own
//! queue; peer 4 sees the new roster and asks its new home. Two copies of an order, or ten, come to one row. In the modes
//! `cached` and `escrow` a trader tells before there is a row ([`model::tentative`]); the row then says the same, or, of an
//! answer from a cache, takes it back.
//!
//! # Modules
//!
//! Imports go one way: `types`, `limits`, `codec` <- `model` <- `journal`, `wire` <- `node` <- `sim`, `ops`, `config`,
//! `cli` <- `main`; and `journal` <- `audit` <- `sim`, `ops`, so that the auditor knows nothing of the nodes.
//!
//! | module | job |
//! | --- | --- |
//! | [`types`] | ids, numbers, stamps, money, orders: a newtype for each, so that none is taken for another |
//! | [`limits`] | every bound by name, with the relations between them asserted at compile time |
//! | [`codec`] | values to bytes and back, for stores and for copies between traders; alone knows bincode |
//! | [`model`] | pure machines: no thread, socket, disk, clock or chance; time and seeds are passed in |
//! | [`model::step`] | what a machine is: turns, inputs, effects, and what an effect waits for |
//! | [`model::message`], [`model::call`] | what streams carry; what unary calls ask and answer |
//! | [`model::market`] | goods, lots, money and sessions as the fold of the ledger: `decide`, then `apply` |
//! | [`model::warehouse`] | the warehouse's machine: batches, sessions and offices around that market; who is present |
//! | [`model::peer`] | the peer's machine, in rooms, over the fold of its journal; [`model::peer::entry`] has its records |
//! | [`model::row`], [`model::fold`] | the ledger's records; what a journal must know of a state |
//! | [`model::format_1`] | records and pieces of state as the first format wrote them, read as today's types |
//! | [`model::catalogue`] | names and prices of the goods, by product index, and as a peer's store keeps them |
//! | [`model::session`] | which numbers of a peer are decided, and the outcomes that may be asked again |
//! | [`model::trader`], [`model::queue`] | a trader's desk: admission, Lamport order, batches in flight |
//! | [`model::election`], [`model::membership`], [`model::offices`] | Bully; who is there; grants, terms, fences, pairs |
//! | [`model::passed_over`] | who is not to be elected for a while |
//! | [`model::shopper`], [`model::clock`] | what a peer wants for itself; Lamport time that survives a restart |
//! | [`journal`] | blocks, group commit, sync, checkpoints, recovery; alone knows sled |
//! | [`wire`] | gRPC: protos to the model's types and back, outboxes that are never waited for; alone knows tonic and prost |
//! | [`node`] | [`node::driver`] runs a machine with its journal, [`node::grpc`] is its real port, [`node::boot`] starts both |
//! | `node::meter`, `node::http` | what a node counts, and who may read it: metrics and health |
//! | [`audit`] | the auditor: its own folds of ledger and journals, and the checks on them; over stores on disk, in memory, live |
//! | [`sim`] | whole markets from a seed: the same machines, driver and journal over simulated time, network and disks |
//! | [`config`] | the three JSON files, read whole and checked before anything starts |
//! | [`cli`] | what was typed, as options that need no further check |
//! | [`ops`] | the commands: `up`, `dump`, `verify`, `bench` and the others |
//!
//! # Invariants
//!
//! `bazaar verify` checks them by these names, from the records alone: [`audit`] shares only the records and their
//! decoding with the nodes that it audits.
//!
//! | | name | what holds |
//! | --- | --- | --- |
//! | V01 | goods | per product, stocked + deposited = sold + on hand, at every prefix of the ledger |
//! | V02 | never negative | no stock and no lot is below zero at any prefix |
//! | V03 | exactly once | an order id has at most one outcome row; an accepted order has one, or is pending in a store |
//! | V04 | told = done | what a peer's store says it was told is what the ledger says was done |
//! | V05 | chain | sequences without gap, every block's hash right and linked to the one before, the mark on the chain |
//! | V06 | order | in a block, what was decided of a product is by (stamp, peer, number); a peer's rows are by number |
//! | V07 | clock | no stored clock is below a stamp that it has seen |
//! | V08 | money | every sale balances to the minor unit; all accounts sum to zero |
//! | V09 | fencing | every write's term is the present grant at its place; one holder per office |
//! | V10 | caches | when quiet, the traders' caches equal the warehouse |
//! | V11 | readable | every row decodes; a checkpoint is the fold of the ledger up to it |
//! | V12 | durable | every answer, and every (sequence, block hash) that any node holds, is in the ledger |
//!
//! What the restore of a backup lost is no violation: V03, V04 and V12 count it apart.

pub mod audit;
pub mod cli;
pub mod codec;
pub mod config;
pub mod diagram;
pub mod journal;
pub mod limits;
pub mod model;
pub mod node;
pub mod ops;
pub mod sim;
pub mod types;
pub mod wire;
