//! Declares, in Kubernetes, which data files a customer's S3 bucket is owed, and hands them over.
//!
//! | module | what it knows | what it may import |
//! |---|---|---|
//! | `hash` | SHA-256 over fields, as text | nothing of ours |
//! | `text` | what somebody else wrote, fit for one line | nothing of ours |
//! | [`api`] | the kinds, their validation, reasons and conditions | nothing of ours |
//! | [`yaml`] | YAML in and out | nothing of ours |
//! | [`config`] | the operator's configuration file | `api` (quantities, names), `plan` (limits), `store` (names), `yaml` |
//! | [`manifest`] | manifests from files, taken and refused as the apiserver would | `api`, `yaml` |
//! | [`plan`] | pure: files and boundaries become objects, keys and parts | `hash` |
//! | [`source`] | where bytes come from: folders opened without leaving them, our own buckets | `plan`, `store` |
//! | [`store`] | S3: client, proof of access, grants, reads, errors | `hash`, `plan` |
//! | [`transfer`] | a plan becomes verified objects and a receipt | `hash`, `plan`, `source`, `store` |
//! | [`health`] | what the process says of itself: alive, ready | nothing of ours |
//! | [`metrics`] | what is counted, and its names | `api` (reasons), `transfer` (tallies) |
//! | [`controllers`] | the reconcilers; nothing of bytes | all of the above |
//! | [`runtime`] | logs, signals, the cluster's client, the Lease, health and metrics over HTTP | `config`, `health`, `metrics`, `text` |
//! | [`cli`] | the commands | all |
//!
//! `tests/architecture.rs` holds this table against the code.

pub mod api;
pub mod cli;
pub mod config;
pub mod controllers;
mod hash;
pub mod health;
pub mod manifest;
pub mod metrics;
pub mod plan;
pub mod runtime;
pub mod source;
pub mod store;
mod text;
pub mod transfer;
pub mod yaml;

#[cfg(test)]
#[path = "../tests/support/dialects.rs"]
#[allow(
    unreachable_pub,
    missing_docs,
    dead_code,
    reason = "shared with the tests outside of the crate"
)]
pub(crate) mod dialects;
