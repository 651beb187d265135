//! The mark that tells an object of ours from anybody else's.

use std::fmt;

use crate::hash;
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
        Self(hash::of_texts(parts.iter().copied()))
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
        // Objects of older versions carry it.
        assert_eq!(
            token.as_str(),
            "2d0a4a1d6055edd513c52978f6dca8f391645512aa847415f46bdf73a1fbcb8c"
        );
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
