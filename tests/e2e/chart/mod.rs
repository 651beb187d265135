//! The chart: what it renders, what it refuses, and that a real apiserver takes it. `hack/lint chart` holds the
//! snapshots; here is why they are right.

mod cluster;
mod image;
mod refusals;
mod rendered;
mod upgrade;
