//! The configuration file as it is written: what its schema is made of. [`super::check()`] makes a [`super::Config`] of it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{HttpConfig, LeaderElectionConfig, LogConfig, SecretsMode, VolumeConfig, WatchConfig};
use crate::api::Quantity;

/// The whole file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Config {
    /// Part of tokens and external IDs; never changed.
    pub(super) cluster_id: String,
    /// Who we are to customers; needed by CrossAccount and AssumeRole destinations.
    #[serde(default)]
    pub(super) identity: Option<IdentityConfig>,
    /// Where `source.volume` reads.
    #[serde(default)]
    pub(super) volume: VolumeConfig,
    /// What each namespace may reach.
    #[serde(default)]
    pub(super) tenancy: Vec<TenancyRule>,
    /// Which stores there are beside AWS's own.
    #[serde(default)]
    pub(super) endpoints: EndpointsConfig,
    /// Bounds of the transfer engine.
    #[serde(default)]
    pub(super) transfer: TransferConfig,
    /// One operator of several works at a time.
    #[serde(default)]
    pub(super) leader_election: LeaderElectionConfig,
    /// Which namespaces are watched.
    #[serde(default)]
    pub(super) watch: WatchConfig,
    /// How a changed Secret is noticed.
    #[serde(default)]
    pub(super) secrets: SecretsMode,
    /// Where health and metrics are served; absent: nowhere.
    #[serde(default)]
    pub(super) http: Option<HttpConfig>,
    /// How the log is written.
    #[serde(default)]
    pub(super) log: LogConfig,
}

/// Who we are to customers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct IdentityConfig {
    /// Our 12-digit account.
    pub(super) account_id: String,
    /// Our principal, word for word as the grant names it.
    pub(super) principal_arn: String,
    /// The region of our own endpoints, and the first guess for a bucket's.
    pub(super) region: String,
}

/// What some namespaces may reach.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TenancyRule {
    /// Names or globs (`*` and `?`).
    pub(super) namespaces: Vec<String>,
    /// Buckets that CrossAccount destinations may name.
    #[serde(default)]
    pub(super) cross_account_buckets: Vec<BucketRule>,
    /// Roles that AssumeRole destinations may name (ARNs or globs).
    #[serde(default)]
    pub(super) roles: Vec<String>,
    /// Our own buckets that deliveries may read.
    #[serde(default)]
    pub(super) sources: Vec<SourceRule>,
}

/// A bucket that a namespace may write to as our own account.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BucketRule {
    /// The bucket's name, or a glob.
    pub(super) bucket: String,
    /// The accounts that may own it: bucket names are global, so the owner is part of the rule.
    pub(super) owners: Vec<String>,
    /// The prefixes under which it may write; none listed means none.
    #[serde(default)]
    pub(super) prefixes: Vec<String>,
}

/// A bucket of ours that a namespace may read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct SourceRule {
    /// The bucket's name; it must be of our own account.
    pub(super) bucket: String,
    /// The prefixes under which it may read; none listed means none.
    #[serde(default)]
    pub(super) prefixes: Vec<String>,
}

/// Which stores there are beside AWS's own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct EndpointsConfig {
    /// Endpoints that destinations may name: exact scheme, host and port.
    pub(super) allow: Vec<String>,
    /// Whether `http://` may be named at all.
    pub(super) allow_plain_http: bool,
    /// Use AWS's FIPS endpoints.
    pub(super) use_fips: bool,
    /// Use AWS's dual-stack endpoints.
    pub(super) use_dual_stack: bool,
    /// Overrides AWS's own S3 for our own identity.
    pub(super) s3: Option<String>,
    /// Overrides AWS's own STS for our own identity.
    pub(super) sts: Option<String>,
}

/// Bounds of the transfer engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct TransferConfig {
    /// Bytes of part buffers over all deliveries.
    pub(super) memory: Quantity,
    /// Bytes in a part.
    pub(super) part_size: Quantity,
    /// Parts in flight over all deliveries.
    pub(super) max_concurrent_parts: u16,
}

impl Default for TransferConfig {
    fn default() -> Self {
        let super::TransferConfig {
            memory,
            part_size,
            max_concurrent_parts,
        } = super::TransferConfig::default();
        let mebibytes = |bytes: u64| Quantity::Text(format!("{}Mi", bytes >> 20));
        Self {
            memory: mebibytes(memory),
            part_size: mebibytes(part_size),
            max_concurrent_parts,
        }
    }
}
