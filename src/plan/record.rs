//! What a record is, and whether the first one is repeated.

use std::str::FromStr;

/// What ends a record of plain lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delimiter {
    /// One byte.
    Byte(u8),
    /// A carriage return and a newline.
    Crlf,
}

impl Delimiter {
    /// `\n`: what applies when a delivery names none.
    pub const NEWLINE: Self = Self::Byte(b'\n');

    /// The delimiter's last byte, the one that a search looks for.
    #[must_use]
    pub const fn last_byte(self) -> u8 {
        match self {
            Self::Byte(byte) => byte,
            Self::Crlf => b'\n',
        }
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self::NEWLINE
    }
}

/// A text that is neither one byte nor CRLF.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the delimiter {0:?} is neither one byte nor \"\\r\\n\"")]
pub struct DelimiterInvalid(String);

impl FromStr for Delimiter {
    type Err = DelimiterInvalid;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.as_bytes() {
            b"\r\n" => Ok(Self::Crlf),
            [byte] => Ok(Self::Byte(*byte)),
            _ => Err(DelimiterInvalid(text.chars().take(16).collect())),
        }
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordFormat {
    /// Bytes up to a delimiter.
    Lines(Delimiter),
    /// RFC 4180: bytes up to a newline (which a carriage return may precede) that stands in no quotes. Whether one
    /// does is the parity of the quotes before it, counted from the file's first byte: a doubled quote counts
    /// twice, and so changes nothing.
    Csv,
}

impl Default for RecordFormat {
    fn default() -> Self {
        Self::Lines(Delimiter::NEWLINE)
    }
}

/// Whether a file's first record opens each of its objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Header {
    /// The first record is a record like the others.
    #[default]
    None,
    /// It is a header: it stands in front of each split, and counts in its size.
    Repeat,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_byte_or_crlf() {
        assert_eq!("\n".parse(), Ok(Delimiter::NEWLINE));
        assert_eq!("|".parse(), Ok(Delimiter::Byte(b'|')));
        assert_eq!("\u{1}".parse(), Ok(Delimiter::Byte(1)));
        assert_eq!("\r\n".parse(), Ok(Delimiter::Crlf));
        for wrong in ["", "ab", "\n\r", "é", "\r\n\n"] {
            let refused = wrong.parse::<Delimiter>();
            assert!(refused.is_err(), "{wrong:?}");
        }
        let message = DelimiterInvalid("\u{1b}[x".into()).to_string();
        assert!(message.contains("\\u{1b}"), "{message}");
    }
}
