//! The operator's configuration file: read once at start, unknown keys refused.

mod check;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::api::Quantity;
use crate::store::PlainHttp;
use crate::yaml::{self, YamlError};

/// A configuration that can't be used; says which key and why.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error(
        "the configuration {path:?} can't be read: {source}; name a readable file with --config"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What came back.
        source: std::io::Error,
    },
    /// The file isn't YAML of the expected shape, or has an unknown key.
    #[error(
        "the configuration {path:?} is refused: {source}; docs/configuration.md lists the keys"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: YamlError,
    },
    /// A key's value can't be.
    #[error("the configuration's {key} is refused: {why}")]
    Invalid {
        /// The key, with dots between levels.
        key: &'static str,
        /// Why it can't be.
        why: String,
    },
}

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Part of tokens and external IDs; never changed.
    pub cluster_id: String,
    /// Who we are to customers; needed by CrossAccount and AssumeRole destinations.
    #[serde(default)]
    pub identity: Option<IdentityConfig>,
    /// Where `source.volume` reads.
    #[serde(default)]
    pub volume: VolumeConfig,
    /// What each namespace may reach.
    #[serde(default)]
    pub tenancy: Vec<TenancyRule>,
    /// Which stores there are beside AWS's own.
    #[serde(default)]
    pub endpoints: EndpointsConfig,
    /// Bounds of the transfer engine.
    #[serde(default)]
    pub transfer: TransferConfig,
    /// One operator of several works at a time.
    #[serde(default)]
    pub leader_election: LeaderElectionConfig,
    /// Which namespaces are watched.
    #[serde(default)]
    pub watch: WatchConfig,
    /// How a changed Secret is noticed.
    #[serde(default)]
    pub secrets: SecretsMode,
    /// Where health and metrics are served; absent: nowhere.
    #[serde(default)]
    pub http: Option<HttpConfig>,
    /// How the log is written.
    #[serde(default)]
    pub log: LogConfig,
}

/// Who we are to customers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityConfig {
    /// Our 12-digit account.
    pub account_id: String,
    /// Our principal, word for word as the grant names it.
    pub principal_arn: String,
    /// The region of our own endpoints, and the first guess for a bucket's.
    pub region: String,
}

/// Where `source.volume` reads.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct VolumeConfig {
    /// The folder that holds one folder a namespace.
    pub root: PathBuf,
}

impl Default for VolumeConfig {
    fn default() -> Self {
        Self {
            root: PathBuf::from("/exports"),
        }
    }
}

/// What some namespaces may reach.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TenancyRule {
    /// Names or globs (`*` and `?`).
    pub namespaces: Vec<String>,
    /// Buckets that CrossAccount destinations may name.
    #[serde(default)]
    pub cross_account_buckets: Vec<BucketRule>,
    /// Roles that AssumeRole destinations may name (ARNs or globs).
    #[serde(default)]
    pub roles: Vec<String>,
    /// Our own buckets that deliveries may read.
    #[serde(default)]
    pub sources: Vec<SourceRule>,
}

/// A bucket that a namespace may write to as our own account.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BucketRule {
    /// The bucket's name, or a glob.
    pub bucket: String,
    /// The accounts that may own it: bucket names are global, so the owner is part of the rule.
    pub owners: Vec<String>,
    /// The prefixes under which it may write; none listed means none.
    #[serde(default)]
    pub prefixes: Vec<String>,
}

/// A bucket of ours that a namespace may read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SourceRule {
    /// The bucket's name; it must be of our own account.
    pub bucket: String,
    /// The prefixes under which it may read; none listed means none.
    #[serde(default)]
    pub prefixes: Vec<String>,
}

/// Which stores there are beside AWS's own.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EndpointsConfig {
    /// Endpoints that destinations may name: exact scheme, host and port.
    pub allow: Vec<String>,
    /// Whether `http://` may be named at all.
    pub allow_plain_http: bool,
    /// Use AWS's FIPS endpoints.
    pub use_fips: bool,
    /// Use AWS's dual-stack endpoints.
    pub use_dual_stack: bool,
    /// Overrides AWS's own S3 for our own identity.
    pub s3: Option<String>,
    /// Overrides AWS's own STS for our own identity.
    pub sts: Option<String>,
}

impl EndpointsConfig {
    /// Whether `http://` may be named, for [`crate::store::Endpoint::parse`].
    pub(crate) const fn plain_http(&self) -> PlainHttp {
        if self.allow_plain_http {
            PlainHttp::Allowed
        } else {
            PlainHttp::Refused
        }
    }
}

/// Bounds of the transfer engine.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct TransferConfig {
    /// Bytes of part buffers over all deliveries.
    pub memory: Quantity,
    /// Bytes in a part.
    pub part_size: Quantity,
    /// Parts in flight over all deliveries.
    pub max_concurrent_parts: u16,
}

impl Default for TransferConfig {
    fn default() -> Self {
        Self {
            memory: Quantity::Text("64Mi".into()),
            part_size: Quantity::Text("8Mi".into()),
            max_concurrent_parts: 8,
        }
    }
}

/// One operator of several works at a time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LeaderElectionConfig {
    /// Whether to wait for the Lease before working.
    pub enabled: bool,
    /// The Lease's name.
    pub lease_name: String,
    /// The Lease's namespace.
    pub namespace: String,
}

impl Default for LeaderElectionConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            lease_name: "outbound-operator".into(),
            namespace: "outbound-system".into(),
        }
    }
}

/// Which namespaces are watched.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct WatchConfig {
    /// The namespaces; empty means all.
    pub namespaces: Vec<String>,
}

/// How a changed Secret is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum SecretsMode {
    /// By reading it at the next proof, on request, and when the store refuses the old key.
    #[default]
    Get,
    /// By watching, within seconds.
    Watch,
}

/// The server of `/livez`, `/readyz` and `/metrics`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpConfig {
    /// An IP address and a port; port 0 is a free one.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LogConfig {
    /// The lines' form; absent: text on a terminal, else JSON.
    pub format: Option<LogFormat>,
}

/// The form of the log's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// When the file can't be read, has an unknown key, or a value that can't be.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let config: Self = yaml::read(&text).map_err(|source| ConfigError::Malformed {
            path: path.to_owned(),
            source,
        })?;
        check::check(&config)?;
        Ok(config)
    }

    /// The file's JSON schema, for editors and for the chart. What needs two keys, or knowledge of a format, only
    /// [`Config::load`] checks.
    #[must_use]
    pub fn schema() -> schemars::Schema {
        // Draft 7: what Helm and most editors read.
        schemars::generate::SchemaSettings::draft07()
            .into_generator()
            .into_root_schema_for::<Self>()
    }

    /// What applies where a command has no file: no identity and no tenancy, and the stores at `endpoints`, with
    /// `http://` too, because whoever runs the command named them.
    pub fn without_a_file(endpoints: impl IntoIterator<Item = String>) -> Self {
        Self {
            cluster_id: "none".to_owned(),
            endpoints: EndpointsConfig {
                allow: endpoints.into_iter().collect(),
                allow_plain_http: true,
                ..EndpointsConfig::default()
            },
            ..Self::default()
        }
    }

    /// Keys that give what a later version's objects ask for: said at start, so that nobody takes them for at work.
    pub fn unused(&self) -> impl Iterator<Item = &'static str> {
        let sources = self.tenancy.iter().any(|rule| !rule.sources.is_empty());
        sources.then_some("tenancy[].sources").into_iter()
    }

    /// Bytes of part buffers over all deliveries.
    ///
    /// # Errors
    /// When the quantity isn't whole bytes.
    pub fn memory(&self) -> Result<u64, ConfigError> {
        bytes("transfer.memory", &self.transfer.memory)
    }

    /// Bytes in a part.
    ///
    /// # Errors
    /// When the quantity isn't whole bytes.
    pub fn part_size(&self) -> Result<u64, ConfigError> {
        bytes("transfer.partSize", &self.transfer.part_size)
    }
}

fn bytes(key: &'static str, quantity: &Quantity) -> Result<u64, ConfigError> {
    quantity.bytes().map_err(|error| ConfigError::Invalid {
        key,
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_keys_have_defaults() {
        let config: Config = yaml::read("clusterId: prod-eu").unwrap();
        assert!(check::check(&config).is_ok());
        assert_eq!(config.memory().unwrap(), 64 << 20);
        assert_eq!(config.part_size().unwrap(), 8 << 20);
        assert!(config.leader_election.enabled);
        assert_eq!(config.secrets, SecretsMode::Get);
    }

    #[test]
    fn what_nothing_can_use_yet_is_named() {
        let text = "{clusterId: a, tenancy: [{namespaces: [n], sources: [{bucket: b}]}]}";
        let config: Config = yaml::read(text).unwrap();
        assert_eq!(config.unused().collect::<Vec<_>>(), ["tenancy[].sources"]);
        assert_eq!(
            yaml::read::<Config>("clusterId: a")
                .unwrap()
                .unused()
                .count(),
            0
        );
    }

    #[test]
    fn what_is_no_address_or_form_is_refused_by_its_key() {
        for (text, key) in [
            ("http: {listen: localhost}", "http.listen"),
            ("http: {listen: '8080'}", "http.listen"),
            ("log: {format: Yaml}", "log.format"),
        ] {
            let error = yaml::read::<Config>(&format!("clusterId: a\n{text}")).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
        let config: Config = yaml::read("{clusterId: a, http: {listen: '[::]:8080'}}").unwrap();
        assert_eq!(config.http.map(|http| http.listen.port()), Some(8080));
        assert_eq!(config.log.format, None);
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = yaml::read::<Config>("clusterId: a\ntransfer: {memroy: 1Gi}").unwrap_err();
        assert!(error.to_string().contains("memroy"), "{error}");
    }
}
