//! A destination's spec, with what applies where it is silent: pure.

use super::{limits, settings};
use crate::api::{
    AclPolicy, AddressingStyle, DestinationReason, Effective, OutboundDestination,
    OutboundDestinationSpec, PermissionMode, ReadBack as ReadBackField,
};
use crate::config::Config;
use crate::hash;
use crate::plan::{KeyPrefix, SplitSize};
use crate::store::{
    AccountId, Acl, Addressing, BucketName, Endpoint, Partition, PlainHttp, ReadBack, Region,
    RegionSource, RoleArn, Target,
};
use crate::transfer::Limits;

/// A destination as it will be addressed.
#[derive(Clone, Debug)]
pub(crate) struct Resolved {
    pub(crate) target: Target,
    pub(crate) region: RegionSource,
    acl: AclSource,
    pub(crate) split_size: SplitSize,
    pub(crate) read_back: ReadBack,
    /// Of all deliveries to it together: live, and no part of its identity.
    pub(crate) limits: Limits,
}

/// What [`Resolved::identity_hash`] is made from, as people read it.
pub(crate) const IDENTITY_FIELDS: &str =
    "bucket, prefix, region, endpoint, owner, encryption, ACL or tags";

/// Where the ACL comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AclSource {
    /// It is the mode's own, named or not.
    Mode,
    /// It was named, against the mode's own.
    Named,
}

/// Why a spec can't be resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unresolvable {
    /// A field that the schema should have refused.
    #[error("spec.{field}: {why}; whoever owns the destination must correct it")]
    Field { field: &'static str, why: String },
    /// The region must be named.
    #[error(
        "spec.region: name the bucket's region: outside the aws partition (our own region is {0}) it can't be learned; \
         whoever owns the destination must correct it"
    )]
    RegionUnnamed(Region),
}

pub(super) fn refused<E: std::fmt::Display>(field: &'static str) -> impl Fn(E) -> Unresolvable {
    move |error| Unresolvable::Field {
        field,
        why: error.to_string(),
    }
}

impl Unresolvable {
    pub(crate) const fn reason(&self) -> DestinationReason {
        match self {
            Self::Field { .. } => DestinationReason::SpecInvalid,
            Self::RegionUnnamed(_) => DestinationReason::RegionMismatch,
        }
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
    let (acl, acl_source) = acl(spec);
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
            acl,
            settings: settings::of(spec)?,
        },
        region: region_source,
        acl: acl_source,
        split_size,
        read_back: match spec.read_back {
            Some(ReadBackField::Granted) => ReadBack::Granted,
            Some(ReadBackField::WriteOnly) | None => ReadBack::WriteOnly,
        },
        limits: limits::of(spec)?,
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

/// The named ACL; else the mode's own: an object that our account writes belongs to the customer only by it.
fn acl(spec: &OutboundDestinationSpec) -> (Acl, AclSource) {
    let own = match spec.permission_mode {
        PermissionMode::CrossAccount => Acl::BucketOwnerFullControl,
        PermissionMode::AccessKey | PermissionMode::AssumeRole => Acl::None,
    };
    let named = match spec.acl {
        Some(AclPolicy::BucketOwnerFullControl) => Acl::BucketOwnerFullControl,
        Some(AclPolicy::None) => Acl::None,
        None => own,
    };
    let source = if named == own {
        AclSource::Mode
    } else {
        AclSource::Named
    };
    (named, source)
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
    let learned = learned.and_then(|text| text.parse().ok());
    let identity = config.identity.as_ref();
    let guess = learned
        .or_else(|| identity.map(|identity| identity.region.clone()))
        .unwrap_or_else(Region::us_east_1);
    if guess.partition() == Partition::Aws {
        return Ok((guess, RegionSource::Guessed));
    }
    Err(Unresolvable::RegionUnnamed(guess))
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
        // The mode's own ACL goes with the mode, whose change is no change of the place.
        let acl = match (self.acl, target.acl) {
            (AclSource::Mode, _) => "",
            (AclSource::Named, Acl::BucketOwnerFullControl) => "bucket-owner-full-control",
            (AclSource::Named, Acl::None) => "none",
        };
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
        hash::of_texts(fields)
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
    fn outside_the_aws_partition_the_region_is_named() {
        let config = |region: &str| -> Config {
            let identity = format!(
                "{{accountId: '222222222222', principalArn: 'arn:aws-cn:iam::222222222222:root', region: {region}}}"
            );
            yaml::read(&format!("{{clusterId: t, identity: {identity}}}")).unwrap()
        };
        let at = |ours: &str, spec: &str| resolve(&config(ours), &yaml::read(spec).unwrap(), None);
        let unnamed = format!("{{bucket: acme, {CROSS}}}");
        for ours in ["cn-north-1", "us-gov-west-1"] {
            let refused = at(ours, &unnamed).unwrap_err();
            assert_eq!(refused.reason(), DestinationReason::RegionMismatch);
            assert!(
                refused
                    .to_string()
                    .contains(&format!("our own region is {ours}")),
                "{refused}"
            );
            let named = at(ours, &format!("{{bucket: acme, region: {ours}, {CROSS}}}")).unwrap();
            assert_eq!(named.region, RegionSource::Named);
            let store = at(
                ours,
                &format!("{{bucket: acme, endpoint: 'https://s3.example', {KEY}}}"),
            );
            assert_eq!(store.unwrap().target.region.as_str(), "us-east-1");
        }
        assert!(at("eu-west-1", &unnamed).is_ok());
    }

    #[test]
    fn what_the_schema_should_have_refused_has_its_own_reason() {
        let config: Config = yaml::read("clusterId: t").unwrap();
        for (field, spec) in [
            ("bucket", format!("{{bucket: A, {KEY}}}")),
            (
                "splitSize",
                format!("{{bucket: acme, splitSize: '1.5', {KEY}}}"),
            ),
            ("region", format!("{{bucket: acme, region: EU, {KEY}}}")),
        ] {
            let refused = resolve(&config, &yaml::read(&spec).unwrap(), None).unwrap_err();
            assert_eq!(refused.reason().as_str(), "SpecInvalid");
            let message = refused.to_string();
            assert!(message.starts_with(&format!("spec.{field}: ")), "{message}");
        }
    }

    #[test]
    fn the_page_names_the_identity_as_the_message_does() {
        let page = include_str!("../../../docs/destination.md");
        assert!(page.contains(&format!("another {IDENTITY_FIELDS} stall")));
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
            "{{bucket: acme, region: eu-west-1, splitSize: 5M, suspend: true, storageClass: STANDARD_IA, limits: {{bandwidth: 1M}}, {CROSS}}}"
        );
        assert_eq!(resolved(&same).identity_hash(), base);
        // The mode's own ACL goes with the mode, and may be named.
        let key = format!("bucket: acme, bucketOwner: '111111111111', {KEY}");
        let named = format!("{{bucket: acme, acl: BucketOwnerFullControl, {CROSS}}}");
        assert_eq!(resolved(&named).identity_hash(), base);
        assert_eq!(resolved(&format!("{{{key}}}")).identity_hash(), base);
        let with = format!("{{acl: BucketOwnerFullControl, {key}}}");
        assert_ne!(resolved(&with).identity_hash(), base);
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
