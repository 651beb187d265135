//! The process: logs, signals, the Lease.

mod lease;
mod signals;
mod telemetry;

pub use lease::{Lease, LeaseError, LeaseSettings};
pub use signals::on_termination;
pub use telemetry::start_logging;
