//! Which namespace may reach what: the configuration's rules as an ordered chain of pure checks.

use crate::api::{DestinationReason, OutboundDestinationSpec, PermissionMode};
use crate::config::{BucketRule, Config, SourceRule, TenancyRule};
use crate::plan::KeyPrefix;
use crate::source::wildcard;
use crate::store::{Endpoint, Partition, RoleArn};

/// Why a destination may not be reached from its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) reason: DestinationReason,
    pub(crate) message: String,
}

type Check = fn(&Config, &str, &OutboundDestinationSpec) -> Result<(), Denied>;

/// The chain; the first refusal counts.
const CHECKS: [Check; 4] = [
    // A store of the tenant's choosing would see signed requests and could be anything inside the network.
    endpoint_is_listed,
    // Our identity is who customers trust: without one there is nothing to sign with.
    identity_is_configured,
    // Whoever may create a destination spends that trust, so the bucket must be given to the namespace.
    bucket_is_given,
    // A role bounds what we reach by itself, so its bucket isn't asked for; but whose role it is must be given.
    role_is_given,
];

/// Whether destinations in `namespace` may reach what `spec` names.
///
/// # Errors
/// The first check that refuses.
pub(crate) fn check(
    config: &Config,
    namespace: &str,
    spec: &OutboundDestinationSpec,
) -> Result<(), Denied> {
    CHECKS
        .iter()
        .try_for_each(|check| check(config, namespace, spec))
}

/// Whether deliveries in `namespace` may read `bucket` below `prefix` as our own identity.
///
/// # Errors
/// What the user reads.
pub(crate) fn check_source(
    config: &Config,
    namespace: &str,
    bucket: &str,
    prefix: &str,
) -> Result<(), String> {
    let gives = |rule: &SourceRule| {
        let prefixes = &rule.prefixes;
        rule.bucket.as_str() == bucket && prefixes.iter().any(|given| prefix_covers(given, prefix))
    };
    if rules_for(config, namespace)
        .flat_map(|rule| &rule.sources)
        .any(gives)
    {
        return Ok(());
    }
    Err(format!(
        "namespace {namespace} may not read bucket {bucket}, prefix {prefix:?}; the operator's administrator must add \
         them under tenancy[].sources"
    ))
}

fn endpoint_is_listed(
    config: &Config,
    _: &str,
    spec: &OutboundDestinationSpec,
) -> Result<(), Denied> {
    let Some(endpoint) = &spec.endpoint else {
        return Ok(());
    };
    let deny = |why: &str| {
        let message = format!(
            "endpoint {endpoint:?} {why}; the operator's administrator must list it under endpoints.allow, \
             with exactly this scheme, host and port"
        );
        Err(Denied {
            reason: DestinationReason::EndpointNotAllowed,
            message,
        })
    };
    let wanted = match Endpoint::parse(endpoint, config.endpoints.plain_http) {
        Ok(wanted) => wanted,
        Err(error) => return deny(&format!("is refused: {error}")),
    };
    if config.endpoints.allow.contains(&wanted) {
        Ok(())
    } else {
        deny("is not on the operator's allow-list")
    }
}

fn identity_is_configured(
    config: &Config,
    _: &str,
    spec: &OutboundDestinationSpec,
) -> Result<(), Denied> {
    let (mode, reason) = match spec.permission_mode {
        PermissionMode::AccessKey => return Ok(()),
        PermissionMode::CrossAccount => ("CrossAccount", DestinationReason::BucketNotAllowed),
        PermissionMode::AssumeRole => ("AssumeRole", DestinationReason::RoleNotAllowed),
    };
    if config.identity.is_some() {
        return Ok(());
    }
    let message = format!(
        "the operator has no identity of its own, which {mode} signs with; its administrator must set identity in \
         the configuration"
    );
    Err(Denied { reason, message })
}

fn role_is_given(
    config: &Config,
    namespace: &str,
    spec: &OutboundDestinationSpec,
) -> Result<(), Denied> {
    let Some(role) = &spec.assume_role else {
        return Ok(());
    };
    let arn = &role.role_arn;
    let deny = |message: String| {
        Err(Denied {
            reason: DestinationReason::RoleNotAllowed,
            message,
        })
    };
    // A glob says nothing of what no role's ARN can be.
    let role: RoleArn = match arn.parse() {
        Ok(role) => role,
        Err(error) => return deny(format!("assumeRole.roleArn {arn:?}: {error}")),
    };
    let mut rules = rules_for(config, namespace).flat_map(|rule| &rule.roles);
    if !rules.any(|glob| wildcard(glob, role.as_str())) {
        return deny(format!(
            "namespace {namespace} may not assume {role}; the operator's administrator must add it under \
             tenancy[].roles"
        ));
    }
    let ours = config
        .identity
        .as_ref()
        .and_then(|identity| Partition::of_arn(&identity.principal_arn));
    if ours != Some(role.partition()) {
        return deny(format!(
            "{role} is in partition {}, and our own identity is not: no role can be assumed across partitions; the \
             customer must make a role, and the operator have an identity, in one partition",
            role.partition()
        ));
    }
    Ok(())
}

/// The rules for destinations in `namespace`.
fn rules_for<'a>(config: &'a Config, namespace: &'a str) -> impl Iterator<Item = &'a TenancyRule> {
    config
        .tenancy
        .iter()
        .filter(move |rule| rule.namespaces.iter().any(|glob| wildcard(glob, namespace)))
}

fn bucket_is_given(
    config: &Config,
    namespace: &str,
    spec: &OutboundDestinationSpec,
) -> Result<(), Denied> {
    if spec.permission_mode != PermissionMode::CrossAccount {
        return Ok(());
    }
    if rules_for(config, namespace)
        .flat_map(|rule| &rule.cross_account_buckets)
        .any(|rule| gives(rule, spec))
    {
        return Ok(());
    }
    let message = format!(
        "namespace {namespace} may not write as our account to bucket {}, owner {}, prefix {:?}; the operator's \
         administrator must add them under tenancy[].crossAccountBuckets",
        spec.bucket,
        spec.bucket_owner.as_deref().unwrap_or("none"),
        spec.prefix.as_deref().unwrap_or(""),
    );
    Err(Denied {
        reason: DestinationReason::BucketNotAllowed,
        message,
    })
}

fn gives(rule: &BucketRule, spec: &OutboundDestinationSpec) -> bool {
    let prefix = spec.prefix.as_deref().unwrap_or("");
    wildcard(&rule.bucket, &spec.bucket)
        && spec
            .bucket_owner
            .as_ref()
            .is_some_and(|owner| rule.owners.iter().any(|given| given.as_str() == owner))
        && rule
            .prefixes
            .iter()
            .any(|allowed| prefix_covers(allowed, prefix))
}

/// A rule's prefix is empty or ends in `/`, so it covers itself and what is below it.
fn prefix_covers(allowed: &KeyPrefix, prefix: &str) -> bool {
    prefix.starts_with(allowed.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn config() -> Config {
        yaml::read(
            r#"
            clusterId: test
            identity: {accountId: "222222222222", principalArn: "arn:aws:iam::222222222222:root", region: us-east-1}
            tenancy:
              - namespaces: [marketing, "team-*"]
                crossAccountBuckets: [{bucket: acme-inbound, owners: ["111111111111"], prefixes: ["audience/"]}]
                sources: [{bucket: our-exports, prefixes: ["marketing/"]}, {bucket: none}]
                roles: ["arn:aws:iam::111122223333:role/feeds/*", "arn:aws-cn:iam::111122223333:role/drop"]
            endpoints: {allow: ["https://s3.example:9000"]}
            "#,
        )
        .unwrap()
    }

    fn cross_account(bucket: &str, owner: &str, prefix: &str) -> OutboundDestinationSpec {
        yaml::read(&format!(
            "{{bucket: {bucket}, bucketOwner: '{owner}', prefix: '{prefix}', permissionMode: CrossAccount}}"
        ))
        .unwrap()
    }

    fn access_key(endpoint: &str) -> OutboundDestinationSpec {
        yaml::read(&format!(
            "{{bucket: b-1, endpoint: '{endpoint}', permissionMode: AccessKey, accessKey: {{secretRef: {{name: s}}}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn a_namespace_reaches_only_what_it_was_given() {
        let given = cross_account("acme-inbound", "111111111111", "audience/");
        let below = cross_account("acme-inbound", "111111111111", "audience/eu/");
        for namespace in ["marketing", "team-a"] {
            assert_eq!(check(&config(), namespace, &given), Ok(()));
            assert_eq!(check(&config(), namespace, &below), Ok(()));
        }
        for (namespace, spec) in [
            ("finance", given),
            (
                "marketing",
                cross_account("acme-other", "111111111111", "audience/"),
            ),
            (
                "marketing",
                cross_account("acme-inbound", "333333333333", "audience/"),
            ),
            (
                "marketing",
                cross_account("acme-inbound", "111111111111", ""),
            ),
            (
                "marketing",
                cross_account("acme-inbound", "111111111111", "audiences/"),
            ),
        ] {
            let denied = check(&config(), namespace, &spec).unwrap_err();
            assert_eq!(
                denied.reason,
                DestinationReason::BucketNotAllowed,
                "{namespace} {spec:?}"
            );
        }
    }

    #[test]
    fn a_namespace_reads_only_what_it_was_given() {
        let config = config();
        for prefix in ["marketing/", "marketing/2026/"] {
            assert_eq!(
                check_source(&config, "marketing", "our-exports", prefix),
                Ok(())
            );
        }
        for (namespace, bucket, prefix) in [
            ("finance", "our-exports", "marketing/"),
            ("marketing", "our-exports", ""),
            ("marketing", "our-exports", "finance/"),
            ("marketing", "our-exports", "marketing-secret/"),
            ("marketing", "our-exports2", "marketing/"),
            ("marketing", "none", ""),
        ] {
            let denied = check_source(&config, namespace, bucket, prefix).unwrap_err();
            assert!(denied.contains("tenancy[].sources"), "{denied}");
        }
    }

    #[test]
    fn a_rule_without_prefixes_gives_none() {
        let mut config = config();
        config.tenancy[0].cross_account_buckets[0].prefixes.clear();
        let spec = cross_account("acme-inbound", "111111111111", "");
        assert!(check(&config, "marketing", &spec).is_err());
    }

    fn assume_role(arn: &str) -> OutboundDestinationSpec {
        yaml::read(&format!(
            "{{bucket: b-1, permissionMode: AssumeRole, assumeRole: {{roleArn: '{arn}'}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn a_namespace_assumes_only_roles_that_it_was_given() {
        let given = assume_role("arn:aws:iam::111122223333:role/feeds/eu/drop");
        assert_eq!(check(&config(), "marketing", &given), Ok(()));
        assert_eq!(check(&config(), "team-a", &given), Ok(()));
        let nobody = Config {
            identity: None,
            ..config()
        };
        for (config, namespace, spec, word) in [
            (config(), "finance", &given, "tenancy[].roles"),
            (nobody, "marketing", &given, "no identity of its own"),
            (
                config(),
                "marketing",
                &assume_role("arn:aws:iam::111122223333:role/drop"),
                "tenancy[].roles",
            ),
            (
                config(),
                "marketing",
                &assume_role("arn:aws:iam::999922223333:role/feeds/drop"),
                "tenancy[].roles",
            ),
            (
                config(),
                "marketing",
                &assume_role("arn:aws:iam::111122223333:role/feeds/*"),
                "roleArn",
            ),
            (
                config(),
                "marketing",
                &assume_role("arn:aws-cn:iam::111122223333:role/drop"),
                "partition aws-cn",
            ),
        ] {
            let denied = check(&config, namespace, spec).unwrap_err();
            assert_eq!(denied.reason, DestinationReason::RoleNotAllowed, "{spec:?}");
            assert!(denied.message.contains(word), "{}", denied.message);
        }
    }

    #[test]
    fn an_endpoint_is_allowed_exactly_or_not_at_all() {
        assert_eq!(
            check(&config(), "any", &access_key("https://s3.example:9000")),
            Ok(())
        );
        for endpoint in [
            "https://s3.example",
            "https://s3.example:9001",
            "http://s3.example:9000",
            "https://s3.example.org:9000",
        ] {
            let denied = check(&config(), "any", &access_key(endpoint)).unwrap_err();
            assert_eq!(
                denied.reason,
                DestinationReason::EndpointNotAllowed,
                "{endpoint}"
            );
        }
    }
}
