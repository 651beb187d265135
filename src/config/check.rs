//! What a configuration may say: checked at start, so that a mistake is told by its key and not found at work.

use std::fmt::Display;
use std::str::FromStr;

use super::{
    BucketRule, Config, ConfigError, EndpointsConfig, IdentityConfig, SourceRule, TenancyRule,
    TransferConfig, VolumeConfig, WatchConfig, file,
};
use crate::api::{Quantity, is_dns_label};
use crate::plan::{KeyPrefix, MAX_PART_SIZE, MIN_PART_SIZE};
use crate::store::{AccountId, Endpoint, PlainHttp, Region};

fn refused(key: &'static str, why: impl Display) -> ConfigError {
    ConfigError::Invalid {
        key,
        why: why.to_string(),
    }
}

/// The configuration that the file says, each value as what it must be.
///
/// # Errors
/// The first key whose value can't be.
pub(super) fn check(file: file::Config) -> Result<Config, ConfigError> {
    cluster_id(&file.cluster_id)?;
    Ok(Config {
        cluster_id: file.cluster_id,
        transfer: transfer(&file.transfer)?,
        endpoints: endpoints(&file.endpoints)?,
        identity: file.identity.map(identity).transpose()?,
        tenancy: all(file.tenancy, tenancy)?,
        volume: volume(file.volume)?,
        watch: watch(file.watch)?,
        leader_election: file.leader_election,
        secrets: file.secrets,
        http: file.http,
        log: file.log,
    })
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

fn transfer(transfer: &file::TransferConfig) -> Result<TransferConfig, ConfigError> {
    if transfer.max_concurrent_parts == 0 {
        return Err(refused("transfer.maxConcurrentParts", "it is at least 1"));
    }
    let part_size = bytes("transfer.partSize", &transfer.part_size)?;
    if !(MIN_PART_SIZE..=MAX_PART_SIZE).contains(&part_size) {
        return Err(refused("transfer.partSize", "S3 takes parts of 5Mi to 5Gi"));
    }
    let memory = bytes("transfer.memory", &transfer.memory)?;
    if memory < 1 << 20 {
        return Err(refused("transfer.memory", "it is at least 1Mi"));
    }
    Ok(TransferConfig {
        memory,
        part_size,
        max_concurrent_parts: transfer.max_concurrent_parts,
    })
}

fn bytes(key: &'static str, quantity: &Quantity) -> Result<u64, ConfigError> {
    quantity.bytes().map_err(|error| refused(key, error))
}

fn endpoints(endpoints: &file::EndpointsConfig) -> Result<EndpointsConfig, ConfigError> {
    let plain_http = if endpoints.allow_plain_http {
        PlainHttp::Allowed
    } else {
        PlainHttp::Refused
    };
    let parse = |key, url: &String| {
        let parsed = Endpoint::parse(url, plain_http);
        parsed.map_err(|error| refused(key, format!("{url:?}: {error}")))
    };
    let our_own = |key, url: &Option<String>| url.as_ref().map(|url| parse(key, url)).transpose();
    Ok(EndpointsConfig {
        allow: all(&endpoints.allow, |url| parse("endpoints.allow", url))?,
        plain_http,
        use_fips: endpoints.use_fips,
        use_dual_stack: endpoints.use_dual_stack,
        s3: our_own("endpoints.s3", &endpoints.s3)?,
        sts: our_own("endpoints.sts", &endpoints.sts)?,
    })
}

fn identity(identity: file::IdentityConfig) -> Result<IdentityConfig, ConfigError> {
    let account = identity.account_id.parse::<AccountId>();
    let account_id = account.map_err(|error| refused("identity.accountId", error))?;
    let region = identity.region.parse::<Region>();
    let region = region.map_err(|error| refused("identity.region", error))?;
    let arn = identity.principal_arn;
    if !arn.starts_with("arn:") || arn.split(':').count() < 6 {
        return Err(refused(
            "identity.principalArn",
            "it is an ARN such as arn:aws:iam::999988887777:role/outbound",
        ));
    }
    Ok(IdentityConfig {
        account_id,
        principal_arn: arn,
        region,
    })
}

fn tenancy(rule: file::TenancyRule) -> Result<TenancyRule, ConfigError> {
    for role in &rule.roles {
        if !role.starts_with("arn:") || !role.contains(":role/") {
            return Err(refused(
                "tenancy[].roles",
                format!("{role:?}: it lists roles such as arn:aws:iam::111122223333:role/*"),
            ));
        }
    }
    Ok(TenancyRule {
        namespaces: rule.namespaces,
        cross_account_buckets: all(rule.cross_account_buckets, cross_account_bucket)?,
        roles: rule.roles,
        sources: all(rule.sources, source)?,
    })
}

fn cross_account_bucket(rule: file::BucketRule) -> Result<BucketRule, ConfigError> {
    Ok(BucketRule {
        bucket: rule.bucket,
        owners: all(rule.owners, |owner| {
            parse("tenancy[].crossAccountBuckets[].owners", &owner)
        })?,
        prefixes: prefixes("tenancy[].crossAccountBuckets[].prefixes", rule.prefixes)?,
    })
}

fn source(rule: file::SourceRule) -> Result<SourceRule, ConfigError> {
    Ok(SourceRule {
        bucket: parse("tenancy[].sources[].bucket", &rule.bucket)?,
        prefixes: prefixes("tenancy[].sources[].prefixes", rule.prefixes)?,
    })
}

/// A value of a list: the refusal says which.
fn parse<T>(key: &'static str, value: &str) -> Result<T, ConfigError>
where
    T: FromStr<Err: Display>,
{
    let parsed = value.parse();
    parsed.map_err(|error| refused(key, format!("{value:?}: {error}")))
}

fn prefixes(key: &'static str, prefixes: Vec<String>) -> Result<Vec<KeyPrefix>, ConfigError> {
    all(prefixes, |prefix| {
        KeyPrefix::new(prefix).map_err(|error| refused(key, error))
    })
}

fn volume(volume: VolumeConfig) -> Result<VolumeConfig, ConfigError> {
    if volume.root.is_absolute() {
        Ok(volume)
    } else {
        Err(refused("volume.root", "it is an absolute path"))
    }
}

fn watch(watch: WatchConfig) -> Result<WatchConfig, ConfigError> {
    if watch.namespaces.iter().all(|name| is_dns_label(name)) {
        return Ok(watch);
    }
    Err(refused(
        "watch.namespaces",
        "it lists namespaces by name: lower-case letters, digits and \"-\"",
    ))
}

/// Each of them as what it must be, or the first refusal.
fn all<T, U>(
    values: impl IntoIterator<Item = T>,
    checked: impl Fn(T) -> Result<U, ConfigError>,
) -> Result<Vec<U>, ConfigError> {
    values.into_iter().map(checked).collect()
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
            let error = check(yaml::read(&format!("clusterId: a\n{text}")).unwrap()).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
        let error = check(yaml::read("clusterId: 'a b'").unwrap()).unwrap_err();
        assert!(error.to_string().contains("clusterId"), "{error}");
    }
}
