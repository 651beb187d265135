//! SHA-256 over fields, as text. Statuses, ledgers and customers' policies keep what it gives: the same fields give the
//! same text for ever.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Fields one behind the other, none of which can be taken for a part of its neighbour.
pub(crate) struct FieldHash(Sha256);

impl FieldHash {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    /// The length in front keeps ("ab", "c") and ("a", "bc") apart.
    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_be_bytes());
    }

    /// 64 lower-case hexadecimal digits.
    pub(crate) fn finish(self) -> String {
        let digest: [u8; 32] = self.0.finalize().into();
        hex(&digest)
    }
}

/// The hash over `texts`: 64 lower-case hexadecimal digits.
pub(crate) fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = FieldHash::new();
    for text in texts {
        hash.text(text);
    }
    hash.finish()
}

/// Two lower-case hexadecimal digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String can't fail.
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digits_are_the_same_for_ever_and_move_with_the_borders() {
        let hash = of_texts(["ab", "c"]);
        assert_eq!(
            hash,
            "601d5476e2ccfe2c87a2bba7a322659734a05749d5b5aa781f513e4912db0d5f"
        );
        assert_ne!(hash, of_texts(["a", "bc"]));
        assert_ne!(hash, of_texts(["abc"]));
        let mut numbered = FieldHash::new();
        numbered.text("ab");
        numbered.number(1);
        numbered.0.update("c");
        assert_eq!(numbered.finish(), hash);
    }
}
