//! AWS's names: buckets, regions, partitions and accounts, each checked once.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A bucket's name by S3's published naming rules (user guide, "General purpose bucket naming
/// rules"), and no alias of an access point or of another kind of bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketName(String);

/// Why a bucket's name is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketNameInvalid {
    /// Fewer than 3 or more than 63 bytes.
    #[error("a bucket name has 3 to 63 characters")]
    Length,
    /// A character that no bucket has.
    #[error("a bucket name holds lower-case letters, digits, dots and hyphens only")]
    Character,
    /// A dot or hyphen at an end.
    #[error("a bucket name begins and ends with a letter or digit")]
    Ends,
    /// Two dots in a row.
    #[error("a bucket name holds no two dots in a row")]
    AdjacentDots,
    /// Like an IPv4 address.
    #[error("a bucket name is not formed like an IP address")]
    IpAddress,
    /// A beginning that S3 keeps to itself.
    #[error("bucket names that begin with {0:?} are reserved")]
    ReservedPrefix(&'static str),
    /// An ending that names something other than a general purpose bucket.
    #[error(
        "names that end with {0:?} are aliases or other kinds of bucket; name the bucket itself"
    )]
    ReservedSuffix(&'static str),
}

const RESERVED_PREFIXES: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const RESERVED_SUFFIXES: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

impl BucketName {
    /// The name, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BucketName {
    type Err = BucketNameInvalid;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        if !(3..=63).contains(&name.len()) {
            return Err(BucketNameInvalid::Length);
        }
        if !name
            .bytes()
            .all(|b| alphanumeric(b) || b == b'.' || b == b'-')
        {
            return Err(BucketNameInvalid::Character);
        }
        if !(name.bytes().next().is_some_and(alphanumeric)
            && name.bytes().last().is_some_and(alphanumeric))
        {
            return Err(BucketNameInvalid::Ends);
        }
        if name.contains("..") {
            return Err(BucketNameInvalid::AdjacentDots);
        }
        if looks_like_ipv4(name) {
            return Err(BucketNameInvalid::IpAddress);
        }
        if let Some(prefix) = RESERVED_PREFIXES
            .into_iter()
            .find(|prefix| name.starts_with(prefix))
        {
            return Err(BucketNameInvalid::ReservedPrefix(prefix));
        }
        if let Some(suffix) = RESERVED_SUFFIXES
            .into_iter()
            .find(|suffix| name.ends_with(suffix))
        {
            return Err(BucketNameInvalid::ReservedSuffix(suffix));
        }
        Ok(Self(name.to_owned()))
    }
}

/// Four numbers between dots, also such as "1.2.3.400" or "01.2.3.4" that are no address.
fn looks_like_ipv4(name: &str) -> bool {
    let numeric = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
    name.parse::<Ipv4Addr>().is_ok()
        || (name.split('.').count() == 4 && name.split('.').all(numeric))
}

impl fmt::Display for BucketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A region's name. It becomes part of a host name, so it holds nothing that could leave its label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Region(String);

/// A text that is no region's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a region holds 1 to 32 lower-case letters, digits and hyphens, as in \"eu-west-1\"")]
pub struct RegionInvalid;

impl Region {
    /// `us-east-1`: what a store that isn't AWS's is signed for, and where learning a region begins.
    #[must_use]
    pub fn us_east_1() -> Self {
        Self("us-east-1".to_owned())
    }

    /// The name, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that it belongs to.
    #[must_use]
    pub fn partition(&self) -> Partition {
        match self.0.as_str() {
            name if name.starts_with("cn-") => Partition::China,
            name if name.starts_with("us-gov-") => Partition::UsGov,
            _ => Partition::Aws,
        }
    }
}

impl FromStr for Region {
    type Err = RegionInvalid;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let inner = name
            .bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let ends = !name.starts_with('-') && !name.ends_with('-');
        if inner && ends && (1..=32).contains(&name.len()) {
            Ok(Self(name.to_owned()))
        } else {
            Err(RegionInvalid)
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group of regions with ARNs, accounts and hosts of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partition {
    /// `aws`: everywhere but below.
    Aws,
    /// `aws-cn`
    China,
    /// `aws-us-gov`
    UsGov,
}

impl Partition {
    /// The partition as it stands in an ARN.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::China => "aws-cn",
            Self::UsGov => "aws-us-gov",
        }
    }

    /// The partition that an ARN names; `None` for no ARN, or for a partition that we don't know.
    #[must_use]
    pub fn of_arn(arn: &str) -> Option<Self> {
        let mut fields = arn.split(':');
        let is_arn = fields.next() == Some("arn");
        let named = fields.next().filter(|_| is_arn)?;
        [Self::Aws, Self::China, Self::UsGov]
            .into_iter()
            .find(|partition| partition.as_str() == named)
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An AWS account: 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(String);

/// A text that isn't an account's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an account id has exactly 12 digits (quote it in YAML, or a leading zero is lost)")]
pub struct AccountIdInvalid;

impl AccountId {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountId {
    type Err = AccountIdInvalid;

    fn from_str(id: &str) -> Result<Self, Self::Err> {
        if id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()) {
            Ok(Self(id.to_owned()))
        } else {
            Err(AccountIdInvalid)
        }
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_bucket_rules() {
        use BucketNameInvalid as Why;
        for good in [
            "abc",
            "acme-inbound",
            "1.acme.2",
            "a--b",
            "4cme",
            &"a".repeat(63),
            "1.2.3.4.5",
        ] {
            assert_eq!(
                good.parse::<BucketName>().map(|b| b.to_string()),
                Ok(good.to_owned())
            );
        }
        for (bad, why) in [
            ("ab", Why::Length),
            (&"a".repeat(64), Why::Length),
            ("Acme", Why::Character),
            ("/acme", Why::Character),
            ("acme_x", Why::Character),
            ("äcme", Why::Character),
            ("-acme", Why::Ends),
            ("acme.", Why::Ends),
            ("ac..me", Why::AdjacentDots),
            ("192.168.5.4", Why::IpAddress),
            ("999.168.5.04", Why::IpAddress),
            ("xn--acme", Why::ReservedPrefix("xn--")),
            ("sthree-acme", Why::ReservedPrefix("sthree-")),
            ("amzn-s3-demo-acme", Why::ReservedPrefix("amzn-s3-demo-")),
            ("acme-s3alias", Why::ReservedSuffix("-s3alias")),
            ("acme--ol-s3", Why::ReservedSuffix("--ol-s3")),
            ("acme.mrap", Why::ReservedSuffix(".mrap")),
            ("acme--use1-az4--x-s3", Why::ReservedSuffix("--x-s3")),
            ("acme--table-s3", Why::ReservedSuffix("--table-s3")),
        ] {
            assert_eq!(bad.parse::<BucketName>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn regions_stay_within_a_host_label() {
        for (name, partition) in [
            ("eu-west-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("garage", "aws"),
        ] {
            assert_eq!(
                name.parse::<Region>().unwrap().partition().as_str(),
                partition
            );
        }
        for bad in [
            "",
            "-a",
            "a-",
            "EU-WEST-1",
            "eu.west",
            "x/y",
            "a@b",
            &"a".repeat(33),
        ] {
            assert_eq!(bad.parse::<Region>(), Err(RegionInvalid), "{bad}");
        }
    }

    #[test]
    fn accounts_have_twelve_digits() {
        assert_eq!(
            "012345678901".parse::<AccountId>().unwrap().as_str(),
            "012345678901"
        );
        for bad in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901x",
            "1234-5678-901",
        ] {
            assert_eq!(bad.parse::<AccountId>(), Err(AccountIdInvalid), "{bad}");
        }
    }
}
