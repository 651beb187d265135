//! Where a destination is and how it is addressed: validated values that the client is made from.

use std::fmt;

use super::endpoint::Endpoint;
use super::names::{AccountId, BucketName, Region};
use super::settings::ObjectSettings;
use crate::plan::KeyPrefix;

/// How a bucket stands in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://bucket.host/key`
    VirtualHosted,
    /// `https://host/bucket/key`
    Path,
}

impl Addressing {
    /// What applies where nobody chose: `Path` for an endpoint (few stores have a wildcard name) or
    /// for a dotted bucket (whose name no wildcard certificate covers), else `VirtualHosted`.
    #[must_use]
    pub fn default_for(endpoint: Option<&Endpoint>, bucket: &BucketName) -> Self {
        if endpoint.is_some() || bucket.as_str().contains('.') {
            Self::Path
        } else {
            Self::VirtualHosted
        }
    }
}

/// The canned ACL that is sent with each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acl {
    /// `bucket-owner-full-control`: the customer owns what we upload where ACLs are enabled.
    BucketOwnerFullControl,
    /// No ACL header.
    None,
}

/// Whether we may look at what we delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// Nothing but writing is asked of the customer.
    WriteOnly,
    /// The grant adds `s3:GetObject` under our prefix.
    Granted,
}

/// A bucket and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The bucket.
    pub bucket: BucketName,
    /// The prefix under which everything goes.
    pub prefix: KeyPrefix,
    /// The bucket's region.
    pub region: Region,
    /// The account that must own the bucket, sent as `x-amz-expected-bucket-owner`.
    pub bucket_owner: Option<AccountId>,
    /// The destination's own store, where it is another than AWS's. The operator's override of
    /// AWS's own S3 isn't here: the client factory holds that one.
    pub endpoint: Option<Endpoint>,
    /// How the bucket stands in the URL.
    pub addressing: Addressing,
    /// The ACL sent with each object.
    pub acl: Acl,
    /// What else each object is stored with.
    pub settings: ObjectSettings,
}

/// A target on AWS's own S3: the only kind that our own identity ever signs for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsTarget(Target);

/// A target that names a store other than AWS's, where only AWS is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("our own identity signs only for Amazon S3, and the destination names the endpoint {0}")]
pub struct NotOnAws(Endpoint);

impl TryFrom<Target> for AwsTarget {
    type Error = NotOnAws;

    fn try_from(target: Target) -> Result<Self, Self::Error> {
        match target.endpoint {
            Some(endpoint) => Err(NotOnAws(endpoint)),
            None => Ok(Self(target)),
        }
    }
}

impl AwsTarget {
    pub(super) fn into_inner(self) -> Target {
        self.0
    }
}

impl fmt::Display for Target {
    /// `s3://bucket/prefix`, escaped, for a message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "s3://{}/{}",
            self.bucket,
            self.prefix.as_str().escape_debug()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::endpoint::PlainHttp;

    fn target(endpoint: Option<Endpoint>) -> Target {
        Target {
            bucket: "acme-inbound".parse().unwrap(),
            prefix: KeyPrefix::new("audience/").unwrap(),
            region: "eu-west-1".parse().unwrap(),
            bucket_owner: None,
            endpoint,
            addressing: Addressing::Path,
            acl: Acl::None,
            settings: ObjectSettings::default(),
        }
    }

    #[test]
    fn addressing_follows_endpoint_and_dots() {
        let endpoint = Endpoint::parse("https://minio.internal:9000", PlainHttp::Refused).unwrap();
        let (plain, dotted) = ("acme".parse().unwrap(), "acme.inbound".parse().unwrap());
        assert_eq!(
            Addressing::default_for(None, &plain),
            Addressing::VirtualHosted
        );
        assert_eq!(Addressing::default_for(None, &dotted), Addressing::Path);
        assert_eq!(
            Addressing::default_for(Some(&endpoint), &plain),
            Addressing::Path
        );
    }

    #[test]
    fn our_identity_has_no_target_off_aws() {
        let endpoint = Endpoint::parse("https://minio.internal:9000", PlainHttp::Refused).unwrap();
        assert_eq!(
            AwsTarget::try_from(target(None)).unwrap().into_inner(),
            target(None)
        );
        let refused = AwsTarget::try_from(target(Some(endpoint))).unwrap_err();
        assert!(
            refused.to_string().ends_with("https://minio.internal:9000"),
            "{refused}"
        );
    }
}
