//! What each object is stored with beside its bytes: encryption, storage class, tags. Validated values
//! that become headers of CreateMultipartUpload and PutObject; a part carries none of them.

use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

/// What each object is stored with. Empty: no header of them is sent, and the bucket's defaults apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectSettings {
    /// How it is encrypted at rest.
    pub encryption: Encryption,
    /// Its storage class, where one is named.
    pub storage_class: Option<StorageClass>,
    /// Its tags.
    pub tags: ObjectTags,
}

/// How an object is encrypted at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket's default says.
    #[default]
    BucketDefault,
    /// With keys that S3 keeps.
    SseS3,
    /// With a key in KMS.
    SseKms {
        /// The key; without one, `aws/s3` of the bucket's account.
        key: Option<KmsKeyId>,
        /// Whether S3 uses a key of the bucket's own for fewer calls to KMS; without, as the bucket says.
        bucket_key: Option<bool>,
    },
}

impl Encryption {
    /// The KMS key that is named.
    #[must_use]
    pub const fn key(&self) -> Option<&KmsKeyId> {
        match self {
            Self::SseKms { key, .. } => key.as_ref(),
            Self::BucketDefault | Self::SseS3 => None,
        }
    }

    /// Whether the header asks for KMS.
    #[must_use]
    pub const fn is_kms(&self) -> bool {
        matches!(self, Self::SseKms { .. })
    }
}

/// A KMS key by its ARN or its id; never an alias, which may be pointed elsewhere meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsKeyId(String);

/// A text that names no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a KMS key is named by its ARN, arn:aws:kms:REGION:ACCOUNT:key/ID, or its id, and not by an alias"
)]
pub struct KmsKeyIdInvalid;

/// Characters in a key's name: an ARN has about 90; the schema's bound.
const MAX_KEY_ID: usize = 256;

impl KmsKeyId {
    /// The text, verbatim.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a whole ARN.
    #[must_use]
    pub fn is_arn(&self) -> bool {
        self.0.starts_with("arn:")
    }
}

impl FromStr for KmsKeyId {
    type Err = KmsKeyIdInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:/-".contains(&b);
        let alias = text.starts_with("alias/") || text.contains(":alias/");
        if text.is_empty() || text.len() > MAX_KEY_ID || !text.bytes().all(plain) || alias {
            return Err(KmsKeyIdInvalid);
        }
        Ok(Self(text.to_owned()))
    }
}

/// The storage classes that an upload to a general purpose bucket may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageClass {
    /// `STANDARD`
    Standard,
    /// `INTELLIGENT_TIERING`
    IntelligentTiering,
    /// `STANDARD_IA`
    StandardIa,
    /// `ONEZONE_IA`
    OnezoneIa,
    /// `GLACIER_IR`
    GlacierIr,
    /// `GLACIER`
    Glacier,
    /// `DEEP_ARCHIVE`
    DeepArchive,
    /// `REDUCED_REDUNDANCY`
    ReducedRedundancy,
}

/// An object's tags: at most ten, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectTags(Vec<(String, String)>);

/// Tags that S3 refuses (user guide, "Categorizing your storage using tags").
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectTagsInvalid {
    /// Over ten.
    #[error("an object has at most 10 tags")]
    TooMany,
    /// Twice the same key.
    #[error("the tag {0:?} is there twice")]
    Twice(String),
    /// Longer than S3 takes, or empty.
    #[error("a tag's key has 1 to 128 characters and its value at most 256: {0:?}")]
    Length(String),
    /// A character that tags don't have.
    #[error("a tag has letters, digits, blanks and + - = . _ : / @ only: {0:?}")]
    Character(String),
    /// A key that AWS keeps to itself.
    #[error("AWS keeps tags that begin with aws: to itself: {0:?}")]
    Reserved(String),
}

impl ObjectTags {
    /// The tags in the order of their keys.
    ///
    /// # Errors
    /// When S3 would refuse them.
    pub fn new(
        tags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ObjectTagsInvalid> {
        let mut tags: Vec<_> = tags.into_iter().collect();
        tags.sort();
        if tags.len() > 10 {
            return Err(ObjectTagsInvalid::TooMany);
        }
        for pair in tags.windows(2) {
            if let [(first, _), (second, _)] = pair
                && first == second
            {
                return Err(ObjectTagsInvalid::Twice(first.clone()));
            }
        }
        for (key, value) in &tags {
            if !(1..=128).contains(&key.chars().count()) || value.chars().count() > 256 {
                return Err(ObjectTagsInvalid::Length(key.clone()));
            }
            if !key.chars().chain(value.chars()).all(may_be_in_a_tag) {
                return Err(ObjectTagsInvalid::Character(key.clone()));
            }
            if key.to_ascii_lowercase().starts_with("aws:") {
                return Err(ObjectTagsInvalid::Reserved(key.clone()));
            }
        }
        Ok(Self(tags))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of `x-amz-tagging`: URL query parameters, and nothing where there is no tag.
    #[must_use]
    pub fn header(&self) -> Option<String> {
        let pair = |(key, value): &(String, String)| format!("{}={}", encoded(key), encoded(value));
        let pairs: Vec<String> = self.0.iter().map(pair).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

fn may_be_in_a_tag(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "+-=._:/@".contains(c)
}

/// All but the unreserved characters of RFC 3986, so that no reader takes a `+` for a blank.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Result<ObjectTags, ObjectTagsInvalid> {
        ObjectTags::new(
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned())),
        )
    }

    #[test]
    fn tags_become_query_parameters_in_the_order_of_their_keys() {
        let header = |pairs| tags(pairs).unwrap().header();
        assert_eq!(header(&[]), None);
        assert_eq!(
            header(&[("team", "a b+c=d/é@x:1"), ("feed", "-._")]).as_deref(),
            Some("feed=-._&team=a%20b%2Bc%3Dd%2F%C3%A9%40x%3A1")
        );
    }

    #[test]
    fn tags_that_s3_refuses_are_refused() {
        let long = "k".repeat(129);
        for (pairs, refused) in [
            (
                vec![("a", "1"), ("a", "2")],
                ObjectTagsInvalid::Twice("a".into()),
            ),
            (vec![("", "1")], ObjectTagsInvalid::Length(String::new())),
            (
                vec![(long.as_str(), "1")],
                ObjectTagsInvalid::Length(long.clone()),
            ),
            (
                vec![("a", "1&b=2")],
                ObjectTagsInvalid::Character("a".into()),
            ),
            (
                vec![("a", "1\n2")],
                ObjectTagsInvalid::Character("a".into()),
            ),
            (
                vec![("AWS:a", "1")],
                ObjectTagsInvalid::Reserved("AWS:a".into()),
            ),
        ] {
            assert_eq!(tags(&pairs), Err(refused));
        }
        let keys: Vec<String> = (0..11).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
        assert_eq!(tags(&many), Err(ObjectTagsInvalid::TooMany));
        assert!(tags(&many[..10]).is_ok());
    }

    #[test]
    fn a_key_is_named_by_arn_or_id_and_never_by_alias() {
        for good in [
            "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "mrk-1234abcd12ab34cd56ef1234567890ab",
            "minio-key",
        ] {
            assert_eq!(good.parse::<KmsKeyId>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "alias/drop",
            "arn:aws:kms:eu-west-1:111122223333:alias/drop",
            "a\r\nx-amz-acl: public-read",
        ] {
            assert_eq!(bad.parse::<KmsKeyId>(), Err(KmsKeyIdInvalid), "{bad:?}");
        }
    }
}
