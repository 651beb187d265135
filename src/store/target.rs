//! Where a destination is and how it is addressed: validated values that the client is made from.

use crate::plan::KeyPrefix;

/// How a bucket stands in a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// `https://bucket.host/key`
    VirtualHosted,
    /// `https://host/bucket/key`
    Path,
}

/// The canned ACL that is sent with each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acl {
    /// `bucket-owner-full-control`: the customer owns what we upload where ACLs are enabled.
    BucketOwnerFullControl,
    /// No ACL header.
    None,
}

/// A store's address: scheme, host and port, nothing behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(String);

/// A bucket and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The bucket's name, already checked against S3's rules.
    pub bucket: String,
    /// The prefix under which everything goes.
    pub prefix: KeyPrefix,
    /// The bucket's region.
    pub region: String,
    /// The account that must own the bucket, sent as `x-amz-expected-bucket-owner`.
    pub bucket_owner: Option<String>,
    /// A store other than AWS's own, or an override of AWS's own S3.
    pub endpoint: Option<Endpoint>,
    /// How the bucket stands in the URL.
    pub addressing: Addressing,
    /// The ACL sent with each object.
    pub acl: Acl,
}
