//! What a configuration may say: checked at start, so that a mistake is told by its key and not found at work.

use super::{Config, ConfigError, IdentityConfig};
use crate::api::is_dns_label;
use crate::plan::{KeyPrefix, MAX_PART_SIZE, MIN_PART_SIZE};
use crate::store::{AccountId, BucketName, Endpoint, Region};

fn refused(key: &'static str, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::Invalid {
        key,
        why: why.to_string(),
    }
}

/// Checks every value that no type holds.
///
/// # Errors
/// The first key whose value can't be.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    cluster_id(&config.cluster_id)?;
    transfer(config)?;
    endpoints(config)?;
    if let Some(identity) = &config.identity {
        check_identity(identity)?;
    }
    tenancy(config)?;
    if !config.volume.root.is_absolute() {
        return Err(refused("volume.root", "it is an absolute path"));
    }
    if !config
        .watch
        .namespaces
        .iter()
        .all(|name| is_dns_label(name))
    {
        return Err(refused(
            "watch.namespaces",
            "it lists namespaces by name: lower-case letters, digits and \"-\"",
        ));
    }
    Ok(())
}

fn cluster_id(id: &str) -> Result<(), ConfigError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if id.is_empty() || id.len() > 128 || !id.bytes().all(plain) {
        return Err(refused(
            "clusterId",
            "it has 1 to 128 letters, digits, \"-\", \"_\" and \".\"",
        ));
    }
    Ok(())
}

fn transfer(config: &Config) -> Result<(), ConfigError> {
    if config.transfer.max_concurrent_parts == 0 {
        return Err(refused("transfer.maxConcurrentParts", "it is at least 1"));
    }
    if !(MIN_PART_SIZE..=MAX_PART_SIZE).contains(&config.part_size()?) {
        return Err(refused("transfer.partSize", "S3 takes parts of 5Mi to 5Gi"));
    }
    if config.memory()? < 1 << 20 {
        return Err(refused("transfer.memory", "it is at least 1Mi"));
    }
    Ok(())
}

fn endpoints(config: &Config) -> Result<(), ConfigError> {
    let endpoints = &config.endpoints;
    let plain = endpoints.plain_http();
    let parse = |key, url: &str| {
        let parsed = Endpoint::parse(url, plain);
        parsed
            .map(drop)
            .map_err(|error| refused(key, format!("{url:?}: {error}")))
    };
    endpoints
        .allow
        .iter()
        .try_for_each(|url| parse("endpoints.allow", url))?;
    endpoints
        .s3
        .iter()
        .try_for_each(|url| parse("endpoints.s3", url))?;
    endpoints
        .sts
        .iter()
        .try_for_each(|url| parse("endpoints.sts", url))
}

fn check_identity(identity: &IdentityConfig) -> Result<(), ConfigError> {
    let account = identity.account_id.parse::<AccountId>();
    account.map_err(|error| refused("identity.accountId", error))?;
    let region = identity.region.parse::<Region>();
    region.map_err(|error| refused("identity.region", error))?;
    let arn = &identity.principal_arn;
    if !arn.starts_with("arn:") || arn.split(':').count() < 6 {
        return Err(refused(
            "identity.principalArn",
            "it is an ARN such as arn:aws:iam::999988887777:role/outbound",
        ));
    }
    Ok(())
}

fn tenancy(config: &Config) -> Result<(), ConfigError> {
    for role in config.tenancy.iter().flat_map(|rule| &rule.roles) {
        if !role.starts_with("arn:") || !role.contains(":role/") {
            return Err(refused(
                "tenancy[].roles",
                format!("{role:?}: it lists roles such as arn:aws:iam::111122223333:role/*"),
            ));
        }
    }
    let buckets = config
        .tenancy
        .iter()
        .flat_map(|rule| &rule.cross_account_buckets);
    for rule in buckets {
        for owner in &rule.owners {
            let key = "tenancy[].crossAccountBuckets[].owners";
            owner
                .parse::<AccountId>()
                .map_err(|error| refused(key, format!("{owner:?}: {error}")))?;
        }
        for prefix in &rule.prefixes {
            let key = "tenancy[].crossAccountBuckets[].prefixes";
            KeyPrefix::new(prefix.as_str()).map_err(|error| refused(key, error))?;
        }
    }
    for rule in config.tenancy.iter().flat_map(|rule| &rule.sources) {
        let key = "tenancy[].sources[].bucket";
        let bucket = rule.bucket.parse::<BucketName>();
        bucket.map_err(|error| refused(key, format!("{:?}: {error}", rule.bucket)))?;
        for prefix in &rule.prefixes {
            let key = "tenancy[].sources[].prefixes";
            KeyPrefix::new(prefix.as_str()).map_err(|error| refused(key, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn what_can_not_be_is_refused_with_its_key() {
        let identity = |account, arn, region| {
            format!("identity: {{accountId: '{account}', principalArn: '{arn}', region: {region}}}")
        };
        let rule = |rule| {
            format!("tenancy: [{{namespaces: [n], crossAccountBuckets: [{{bucket: b, {rule}}}]}}]")
        };
        for (text, key) in [
            ("transfer: {partSize: 1Mi}".to_owned(), "transfer.partSize"),
            (
                "transfer: {maxConcurrentParts: 0}".to_owned(),
                "transfer.maxConcurrentParts",
            ),
            ("transfer: {memory: 1k}".to_owned(), "transfer.memory"),
            (
                identity("1", "arn:aws:iam::1:root", "eu-west-1"),
                "identity.accountId",
            ),
            (
                identity("111111111111", "x", "eu-west-1"),
                "identity.principalArn",
            ),
            (
                identity("111111111111", "arn:aws:iam::111111111111:root", "EU"),
                "identity.region",
            ),
            (
                "endpoints: {allow: ['https://s3.example/path']}".to_owned(),
                "endpoints.allow",
            ),
            (
                "endpoints: {allow: ['http://s3.example']}".to_owned(),
                "endpoints.allow",
            ),
            ("endpoints: {s3: 's3.example'}".to_owned(), "endpoints.s3"),
            (rule("owners: ['1']"), "owners"),
            (rule("owners: [], prefixes: [a]"), "prefixes"),
            (
                "tenancy: [{namespaces: [n], roles: ['*']}]".to_owned(),
                "tenancy[].roles",
            ),
            (
                "tenancy: [{namespaces: [n], sources: [{bucket: 'exports-*'}]}]".to_owned(),
                "tenancy[].sources[].bucket",
            ),
            (
                "tenancy: [{namespaces: [n], sources: [{bucket: exports, prefixes: [a]}]}]"
                    .to_owned(),
                "tenancy[].sources[].prefixes",
            ),
            ("volume: {root: exports}".to_owned(), "volume.root"),
            (
                "watch: {namespaces: [Bad/Name]}".to_owned(),
                "watch.namespaces",
            ),
        ] {
            let error = check(&yaml::read(&format!("clusterId: a\n{text}")).unwrap()).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
        let error = check(&yaml::read("clusterId: 'a b'").unwrap()).unwrap_err();
        assert!(error.to_string().contains("clusterId"), "{error}");
    }
}
