//! The process: logs, signals, the client of the cluster, the Lease, and the server of health and metrics.

mod cluster;
mod http;
mod lease;
mod signals;
mod telemetry;
mod watchdog;

pub use cluster::cluster;
pub use http::HttpServer;
pub use lease::{Lease, LeaseError, LeaseSettings};
pub use signals::on_termination;
pub use telemetry::start_logging;
pub use watchdog::{ask_apiserver, beat};
