//! The process: logs, signals, the client of the cluster, the Lease.

mod cluster;
mod lease;
mod signals;
mod telemetry;

pub use cluster::cluster;
pub use lease::{Lease, LeaseError, LeaseSettings};
pub use signals::on_termination;
pub use telemetry::start_logging;
