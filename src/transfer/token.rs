//! The mark that tells an object of ours from anybody else's.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::plan::PlanHash;

/// What a delivery's token is made of: the same values give the same token, in any process.
#[derive(Clone, Copy, Debug)]
pub struct TokenParts<'a> {
    /// The operator's `clusterId`.
    pub cluster_id: &'a str,
    /// The delivery's namespace.
    pub namespace: &'a str,
    /// The delivery's name.
    pub name: &'a str,
    /// A hash of the destination's identity fields.
    pub destination: &'a str,
    /// The plan's hash, which covers the fingerprints of the sources.
    pub plan: &'a PlanHash,
}

/// A delivery's token: 64 lower-case hexadecimal digits, in the metadata of each of its objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryToken(String);

impl DeliveryToken {
    /// SHA-256 over the parts, each behind its length, so that no two lists of parts collide.
    #[must_use]
    pub fn new(parts: &TokenParts<'_>) -> Self {
        let TokenParts {
            cluster_id,
            namespace,
            name,
            destination,
            plan,
        } = *parts;
        Self::over(&[cluster_id, namespace, name, destination, plan.as_str()])
    }

    fn over(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digits = hash
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self(digits)
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DeliveryToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_with_every_part_and_with_the_borders_between_them() {
        let token = DeliveryToken::over(&["prod", "ns", "name", "dest", "plan"]);
        assert_eq!(
            token,
            DeliveryToken::over(&["prod", "ns", "name", "dest", "plan"])
        );
        assert_eq!(token.as_str().len(), 64);
        for other in [
            ["prod2", "ns", "name", "dest", "plan"],
            ["prod", "n", "sname", "dest", "plan"],
            ["prod", "ns", "named", "est", "plan"],
            ["prod", "ns", "name", "dest", "plan2"],
        ] {
            assert_ne!(token, DeliveryToken::over(&other), "{other:?}");
        }
    }
}
