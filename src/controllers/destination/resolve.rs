//! A destination's spec, with what applies where it is silent: pure.

use sha2::{Digest as _, Sha256};

use super::settings;
use crate::api::{
    AclPolicy, AddressingStyle, Effective, OutboundDestination, OutboundDestinationSpec,
    PermissionMode, ReadBack as ReadBackField,
};
use crate::config::Config;
use crate::plan::{KeyPrefix, SplitSize};
use crate::store::{
    AccountId, Acl, Addressing, BucketName, Endpoint, PlainHttp, ReadBack, Region, RegionSource,
    RoleArn, Target,
};

/// A destination as it will be addressed.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) target: Target,
    pub(crate) region: RegionSource,
    pub(crate) split_size: SplitSize,
    pub(crate) read_back: ReadBack,
}

/// A field that the schema should have refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("spec.{field}: {why}; whoever owns the destination must correct it")]
pub(crate) struct Unresolvable {
    field: &'static str,
    why: String,
}

pub(super) fn refused<E: std::fmt::Display>(field: &'static str) -> impl Fn(E) -> Unresolvable {
    move |error| Unresolvable {
        field,
        why: error.to_string(),
    }
}

/// Resolves `spec`; `learned` is the region that an earlier proof found.
///
/// # Errors
/// When a field holds what the schema refuses.
pub(crate) fn resolve(
    config: &Config,
    spec: &OutboundDestinationSpec,
    learned: Option<&str>,
) -> Result<Resolved, Unresolvable> {
    let bucket: BucketName = spec.bucket.parse().map_err(refused("bucket"))?;
    // Whether plain http may be named is tenancy's to say, and its message is the better one.
    let endpoint = match &spec.endpoint {
        Some(endpoint) => {
            Some(Endpoint::parse(endpoint, PlainHttp::Allowed).map_err(refused("endpoint"))?)
        }
        None => None,
    };
    let (region, region_source) = region(config, spec, learned)?;
    let addressing = match spec.addressing {
        Some(AddressingStyle::Path) => Addressing::Path,
        Some(AddressingStyle::VirtualHosted) => Addressing::VirtualHosted,
        None => Addressing::default_for(endpoint.as_ref(), &bucket),
    };
    let split_size = match &spec.split_size {
        Some(size) => SplitSize::new(size.bytes().map_err(refused("splitSize"))?)
            .map_err(refused("splitSize"))?,
        None => SplitSize::DEFAULT,
    };
    Ok(Resolved {
        target: Target {
            bucket,
            prefix: KeyPrefix::new(spec.prefix.clone().unwrap_or_default())
                .map_err(refused("prefix"))?,
            region,
            bucket_owner: owner(spec)?,
            endpoint,
            addressing,
            acl: acl(spec),
            settings: settings::of(spec)?,
        },
        region: region_source,
        split_size,
        read_back: match spec.read_back {
            Some(ReadBackField::Granted) => ReadBack::Granted,
            Some(ReadBackField::WriteOnly) | None => ReadBack::WriteOnly,
        },
    })
}

/// The named owner; else, with a role, its account.
fn owner(spec: &OutboundDestinationSpec) -> Result<Option<AccountId>, Unresolvable> {
    if let Some(named) = &spec.bucket_owner {
        return Ok(Some(named.parse().map_err(refused("bucketOwner"))?));
    }
    let Some(role) = &spec.assume_role else {
        return Ok(None);
    };
    let role: RoleArn = role
        .role_arn
        .parse()
        .map_err(refused("assumeRole.roleArn"))?;
    Ok(Some(role.account().clone()))
}

const fn acl(spec: &OutboundDestinationSpec) -> Acl {
    match (spec.acl, spec.permission_mode) {
        (Some(AclPolicy::BucketOwnerFullControl), _) | (None, PermissionMode::CrossAccount) => {
            Acl::BucketOwnerFullControl
        }
        (Some(AclPolicy::None), _)
        | (None, PermissionMode::AccessKey | PermissionMode::AssumeRole) => Acl::None,
    }
}

/// The named region; us-east-1 with an endpoint; else what was learned, or our own region as a first guess.
fn region(
    config: &Config,
    spec: &OutboundDestinationSpec,
    learned: Option<&str>,
) -> Result<(Region, RegionSource), Unresolvable> {
    if let Some(named) = &spec.region {
        return Ok((
            named.parse().map_err(refused("region"))?,
            RegionSource::Named,
        ));
    }
    if spec.endpoint.is_some() {
        return Ok((Region::us_east_1(), RegionSource::Named));
    }
    let guess = learned.or_else(|| {
        config
            .identity
            .as_ref()
            .map(|identity| identity.region.as_str())
    });
    let guess = guess.and_then(|text| text.parse().ok());
    Ok((
        guess.unwrap_or_else(Region::us_east_1),
        RegionSource::Guessed,
    ))
}

impl Resolved {
    /// What the status publishes; a region that is still a guess is left out.
    pub(crate) fn effective(&self, region: Option<&str>) -> Effective {
        Effective {
            region: region.map(str::to_owned),
            split_size: i64::try_from(self.split_size.bytes()).unwrap_or(i64::MAX),
            acl: acl_policy(self.target.acl),
            addressing: addressing_style(self.target.addressing),
            bucket_owner: self
                .target
                .bucket_owner
                .as_ref()
                .map(|owner| owner.as_str().to_owned()),
        }
    }

    /// A hash over what decides where objects go and how they are kept: SHA-256, hexadecimal.
    pub(crate) fn identity_hash(&self) -> String {
        let target = &self.target;
        let endpoint = target
            .endpoint
            .as_ref()
            .map(Endpoint::as_str)
            .unwrap_or_default();
        let owner = target
            .bucket_owner
            .as_ref()
            .map(|owner| owner.as_str())
            .unwrap_or_default();
        let acl = match target.acl {
            Acl::BucketOwnerFullControl => "bucket-owner-full-control",
            Acl::None => "",
        };
        let mut hash = Sha256::new();
        let mut fields = vec![
            target.bucket.as_str(),
            target.prefix.as_str(),
            target.region.as_str(),
            endpoint,
            owner,
            acl,
        ];
        let settings = settings::identity(&target.settings);
        fields.extend(settings.iter().map(String::as_str));
        for field in fields {
            // The length in front keeps ("ab", "c") and ("a", "bc") apart.
            hash.update((field.len() as u64).to_be_bytes());
            hash.update(field);
        }
        hash.finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The region that an earlier proof found.
pub(crate) fn learned_region(destination: &OutboundDestination) -> Option<&str> {
    destination
        .status
        .as_ref()?
        .effective
        .as_ref()?
        .region
        .as_deref()
}

/// The ACL as the API names it.
pub(crate) const fn acl_policy(acl: Acl) -> AclPolicy {
    match acl {
        Acl::BucketOwnerFullControl => AclPolicy::BucketOwnerFullControl,
        Acl::None => AclPolicy::None,
    }
}

/// The addressing as the API names it.
pub(crate) const fn addressing_style(addressing: Addressing) -> AddressingStyle {
    match addressing {
        Addressing::VirtualHosted => AddressingStyle::VirtualHosted,
        Addressing::Path => AddressingStyle::Path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    fn resolved(spec: &str) -> Resolved {
        let config: Config = yaml::read(
            "{clusterId: t, endpoints: {allowPlainHttp: true}, \
             identity: {accountId: '222222222222', principalArn: 'arn:aws:iam::222222222222:root', region: eu-west-1}}",
        )
        .unwrap();
        resolve(&config, &yaml::read(spec).unwrap(), None).unwrap()
    }

    const KEY: &str = "permissionMode: AccessKey, accessKey: {secretRef: {name: s}}";
    const ROLE: &str =
        "permissionMode: AssumeRole, assumeRole: {roleArn: 'arn:aws:iam::111122223333:role/drop'}";
    const CROSS: &str = "permissionMode: CrossAccount, bucketOwner: '111111111111'";

    #[test]
    fn what_applies_follows_from_the_mode_and_the_endpoint() {
        let key = resolved(&format!("{{bucket: acme, {KEY}}}"));
        assert_eq!(
            (key.target.acl, key.target.addressing),
            (Acl::None, Addressing::VirtualHosted)
        );
        assert_eq!(key.target.region.as_str(), "eu-west-1");
        assert_eq!(key.region, RegionSource::Guessed);
        assert_eq!(key.split_size, SplitSize::DEFAULT);
        let cross = resolved(&format!("{{bucket: acme.dotted, {CROSS}}}"));
        assert_eq!(
            (cross.target.acl, cross.target.addressing),
            (Acl::BucketOwnerFullControl, Addressing::Path)
        );
        let role = resolved(&format!("{{bucket: acme, {ROLE}}}"));
        assert_eq!(role.target.acl, Acl::None);
        let owner = role.effective(None).bucket_owner;
        assert_eq!(owner.as_deref(), Some("111122223333"));
        let named = resolved(&format!(
            "{{bucket: acme, bucketOwner: '999922223333', {ROLE}}}"
        ));
        let owner = named.effective(None).bucket_owner;
        assert_eq!(owner.as_deref(), Some("999922223333"));
        let store = resolved(&format!(
            "{{bucket: acme, endpoint: 'http://127.0.0.1:9', {KEY}}}"
        ));
        assert_eq!(
            (store.target.region.as_str(), store.target.addressing),
            ("us-east-1", Addressing::Path)
        );
    }

    #[test]
    fn the_hash_moves_with_each_identity_field_and_with_nothing_else() {
        let base = resolved(&format!("{{bucket: acme, {CROSS}}}")).identity_hash();
        for other in [
            format!("{{bucket: acme2, {CROSS}}}"),
            format!("{{bucket: acme, prefix: a/, {CROSS}}}"),
            format!("{{bucket: acme, region: eu-west-2, {CROSS}}}"),
            format!("{{bucket: acme, acl: None, {CROSS}}}"),
            format!("{{bucket: acme, encryption: {{type: SSE-S3}}, {CROSS}}}"),
            format!("{{bucket: acme, objectTags: [{{key: a, value: b}}], {CROSS}}}"),
            "{bucket: acme, permissionMode: CrossAccount, bucketOwner: '111111111112'}".to_owned(),
        ] {
            assert_ne!(resolved(&other).identity_hash(), base, "{other}");
        }
        let same = format!(
            "{{bucket: acme, region: eu-west-1, splitSize: 5M, suspend: true, storageClass: STANDARD_IA, {CROSS}}}"
        );
        assert_eq!(resolved(&same).identity_hash(), base);
        // Another role of the same account is another credential, and not another place.
        let role = resolved(&format!("{{bucket: acme, {ROLE}}}")).identity_hash();
        let other = ROLE.replace("role/drop", "role/other");
        assert_eq!(
            resolved(&format!("{{bucket: acme, {other}}}")).identity_hash(),
            role
        );
        let elsewhere = ROLE.replace("111122223333", "444455556666");
        assert_ne!(
            resolved(&format!("{{bucket: acme, {elsewhere}}}")).identity_hash(),
            role
        );
    }
}
