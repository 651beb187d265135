//! What is known of an object's bytes once they were read: checksums and counts.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// A CRC64NVME as S3 reports it: big-endian, base64.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Crc64(u64);

/// A text that isn't the checksum it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a checksum of the expected form")]
pub struct ChecksumInvalid(String);

impl Crc64 {
    /// The checksum whose value is `value`.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The value.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.to_be_bytes()))
    }
}

impl fmt::Debug for Crc64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crc64({self})")
    }
}

impl FromStr for Crc64 {
    type Err = ChecksumInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        bytes
            .map(|b| Self(u64::from_be_bytes(b)))
            .ok_or_else(|| ChecksumInvalid(text.to_owned()))
    }
}

impl From<Crc64> for String {
    fn from(crc: Crc64) -> Self {
        crc.to_string()
    }
}

/// A CRC32C (Castagnoli) as S3 reports it: big-endian, base64.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Crc32c(u32);

impl Crc32c {
    /// The checksum whose value is `value`.
    #[must_use]
    pub const fn new(value: u32) -> Self {
        Self(value)
    }
}

impl fmt::Display for Crc32c {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.to_be_bytes()))
    }
}

impl fmt::Debug for Crc32c {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crc32c({self})")
    }
}

impl FromStr for Crc32c {
    type Err = ChecksumInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        bytes
            .map(|b| Self(u32::from_be_bytes(b)))
            .ok_or_else(|| ChecksumInvalid(text.to_owned()))
    }
}

/// An MD5 as `md5sum` prints it: 32 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Md5Digest(String);

impl Md5Digest {
    /// The digest whose bytes are `bytes`.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(bytes)))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As the header `Content-MD5` has it (RFC 1864): base64 over the 16 bytes.
    #[must_use]
    pub fn to_base64(&self) -> String {
        // Every way to make one leaves 32 hexadecimal digits in it.
        let value = u128::from_str_radix(&self.0, 16).unwrap_or_default();
        STANDARD.encode(value.to_be_bytes())
    }
}

impl TryFrom<String> for Md5Digest {
    type Error = ChecksumInvalid;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() == 32 && hex {
            Ok(Self(text))
        } else {
            Err(ChecksumInvalid(text))
        }
    }
}

impl From<Md5Digest> for String {
    fn from(md5: Md5Digest) -> Self {
        md5.0
    }
}

/// What was counted and computed over an object's bytes: those that are delivered, but for the counts, which are
/// of those before compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectDigest {
    /// Bytes in the object.
    pub bytes: u64,
    /// Newlines in the object before compression, as `wc -l` counts.
    pub lines: u64,
    /// Records in the object before compression: delimiters, and one more where the last record has none.
    pub records: u64,
    /// CRC64NVME over the whole object.
    pub crc64: Crc64,
    /// MD5 over the whole object, where the receipt asks for it.
    pub md5: Option<Md5Digest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crc_reads_what_it_writes() {
        // "123456789" by the algorithm's published check value.
        let crc = Crc64::new(0xae8b_1486_0a79_9888);
        assert_eq!(crc.to_string(), "rosUhgp5mIg=");
        assert_eq!("rosUhgp5mIg=".parse(), Ok(crc));
        assert_eq!(serde_json::to_string(&crc).unwrap(), "\"rosUhgp5mIg=\"");
        for wrong in ["", "rosUhgp5mIg", "AAAA", "rosUhgp5mIg=-1"] {
            assert!(wrong.parse::<Crc64>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_crc32c_reads_what_it_writes() {
        // "123456789" by the algorithm's published check value.
        let crc = Crc32c::new(0xe306_9283);
        assert_eq!(crc.to_string(), "4waSgw==");
        assert_eq!("4waSgw==".parse(), Ok(crc));
        for wrong in ["", "4waSgw", "rosUhgp5mIg=", "4waSgw==-2"] {
            assert!(wrong.parse::<Crc32c>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_md5_is_32_lower_case_digits() {
        let mut bytes = [0; 16];
        bytes[15] = 0xab;
        let md5 = Md5Digest::new(bytes);
        assert_eq!(md5.as_str(), "000000000000000000000000000000ab");
        assert_eq!(md5.to_base64(), "AAAAAAAAAAAAAAAAAAAAqw==");
        assert_eq!(Md5Digest::try_from(md5.as_str().to_owned()), Ok(md5));
        for wrong in ["", "AB", &"A".repeat(32), &"a".repeat(33)] {
            assert!(Md5Digest::try_from(wrong.to_string()).is_err(), "{wrong:?}");
        }
    }
}
