//! The real environment of the tests: what a test starts, and how it looks at the outcome.
//!
//! Everything here speaks to real servers through clients that are not the operator's own code, lives
//! on 127.0.0.1, and ends with the test process in whatever way that ends (see [`process`]).
#![allow(
    dead_code,
    unused_imports,
    reason = "each topic uses its own part of the environment"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a broken environment is a failed test"
)]

pub(crate) mod aws;
pub(crate) mod control_plane;
#[allow(unreachable_pub, reason = "shared with the unit tests of the crate")]
pub(crate) mod dialects;
pub(crate) mod helm;
pub(crate) mod hung;
pub(crate) mod manifest;
pub(crate) mod markdown;
pub(crate) mod operator;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod wait;
pub(crate) mod world;

pub(crate) use aws::{Account, Aws, AwsBucket, AwsKey};
pub(crate) use control_plane::ControlPlane;
pub(crate) use operator::{Operator, OperatorConfig};
pub(crate) use s3::{Bucket, Credentials, S3Server};
pub(crate) use wait::{eventually, until};
pub(crate) use world::World;
