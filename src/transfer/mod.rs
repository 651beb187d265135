//! A plan becomes uploaded, verified objects and a receipt.
//!
//! [`run`] delivers one [`Job`]. What must outlive the process goes through a [`Ledger`], bytes come from a
//! [`Source`], both the caller's: nothing here knows of Kubernetes or of folders. All deliveries of a process
//! share their [`Resources`].
//!
//! | file | what it holds |
//! |---|---|
//! | `engine` | a delivery: objects side by side, the sources looked at again, the receipt last |
//! | `object`, `adopt`, `parts`, `complete`, `put` | one object's state machine, and its steps |
//! | `content`, `reader`, `blocking`, `pieces`, `body`, `memory`, `checksum`, `combined` | bytes: read once, hashed once, within the budget |
//! | `md5` | the MD5s of receipts, computed behind the bytes, several objects' at once |
//! | `encode`, `share` | compression, and the memory that it takes |
//! | `resources`, `gate`, `limits`, `bandwidth`, `body_slot` | what all deliveries share, in turn by destination; what a destination bears and may have |
//! | `ledger`, `retry`, `tally`, `progress`, `error`, `learned` | what is kept, tried again, counted, shown, told and found out |
//! | `abort`, `orphans` | what a deletion gives up, and what a crash left |

mod abort;
mod adopt;
mod answering;
mod bandwidth;
mod blocking;
mod body;
mod body_slot;
mod checksum;
mod combined;
mod complete;
mod content;
mod context;
mod encode;
mod engine;
mod error;
mod gate;
mod learned;
mod ledger;
mod limits;
mod md5;
mod memory;
mod object;
mod orphans;
mod parts;
mod pieces;
mod probe;
mod progress;
mod put;
mod reader;
mod receipt;
mod resources;
mod retry;
mod serving;
mod share;
mod source;
mod tally;
mod token;

#[cfg(test)]
mod testkit;
#[cfg(test)]
mod testledger;
#[cfg(test)]
mod tests;

pub use abort::{LeftOpen, abort_open, abort_uploads, warn_of_left};
pub use adopt::IfExists;
pub use bandwidth::{Bandwidth, BandwidthInvalid};
pub use checksum::Md5Wanted;
pub use encode::{compress, encoder_version};
pub use engine::{Delivered, DeliveredObject, Job, run};
pub use error::TransferError;
pub use ledger::{Ledger, LedgerError, ObjectState, Slot};
pub use limits::Limits;
pub use memory::{MemoryPool, OverBudget};
pub use object::Landing;
pub use orphans::{Orphans, find_orphans};
pub use progress::{Notice, Notices, Progress, TransferPhase};
pub use receipt::{ReceiptFacts, render as render_receipt};
pub use resources::Resources;
pub use retry::RetryPolicy;
pub use source::{Readable, Source, SourceFault};
pub use tally::{RetryReason, Tally};
pub use token::{DeliveryToken, TokenParts};
