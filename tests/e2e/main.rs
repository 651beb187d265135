//! Whole-system tests: a real apiserver, a real S3 server, the built operator. One crate with a module
//! for each topic, so that it links once and its tests share the servers.
#![allow(clippy::too_many_lines, reason = "tables of cases")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "the way a test fails"
)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod canary;
mod chart;
mod commands;
mod deliveries;
mod demo;
mod destinations;
mod environment;
mod gitops;
mod modes;
mod observe;
mod pages;
mod rbac;
mod roles;
mod scale;
mod schema;
