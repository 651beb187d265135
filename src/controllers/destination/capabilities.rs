//! What a destination's store can do: between the store's words and the API's, and what stays known from
//! proof to proof. Pure.

use super::permissions;
use crate::api::{
    Capabilities as Published, ChecksumKind, ConditionalWrite as PublishedCondition,
    OutboundDestination, Verification,
};
use crate::store::{Capabilities, ConditionalWrite, Dialect, ReadBack};

/// What the status publishes.
pub(super) const fn published(capabilities: Capabilities) -> Published {
    let (checksum, verification) = match capabilities.dialect {
        Dialect::Crc64Nvme => (ChecksumKind::Crc64Nvme, Verification::WholeObject),
        Dialect::Crc32c => (ChecksumKind::Crc32c, Verification::PerPart),
        Dialect::ContentMd5 => (ChecksumKind::ContentMd5, Verification::PerPart),
    };
    Published {
        checksum,
        verification,
        conditional_write: match capabilities.conditional_write {
            ConditionalWrite::Honoured => PublishedCondition::Honoured,
            ConditionalWrite::Ignored => PublishedCondition::Ignored,
            ConditionalWrite::Unknown => PublishedCondition::Unknown,
        },
    }
}

/// What the status says at the destination's own generation: a changed spec is another store, perhaps.
pub(crate) fn known(destination: &OutboundDestination) -> Option<Capabilities> {
    let status = destination.status.as_ref()?;
    let current = Some(status.observed_generation) == destination.metadata.generation;
    let published = status.capabilities.filter(|_| current)?;
    Some(Capabilities {
        dialect: match published.checksum {
            ChecksumKind::Crc64Nvme => Dialect::Crc64Nvme,
            ChecksumKind::Crc32c => Dialect::Crc32c,
            ChecksumKind::ContentMd5 => Dialect::ContentMd5,
        },
        conditional_write: match published.conditional_write {
            PublishedCondition::Honoured => ConditionalWrite::Honoured,
            PublishedCondition::Ignored => ConditionalWrite::Ignored,
            PublishedCondition::Unknown => ConditionalWrite::Unknown,
        },
        met: permissions::met(&status.permissions),
    })
}

/// Whether a proof was asked for, so that it may take back what a delivery found out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// By a new value of the annotation.
    Anew,
    /// It is the usual one.
    Periodically,
}

/// What is known after a proof that found `dialect`. A delivery may have found out that the dialect which a
/// proof gets by with doesn't hold for whole objects: that stays until the spec changes or somebody asks.
pub(super) fn after_proof(
    known: Option<Capabilities>,
    before: Capabilities,
    dialect: Dialect,
    asked: Asked,
) -> Capabilities {
    match (known, asked) {
        (Some(known), Asked::Periodically) => Capabilities {
            dialect: known.dialect.lesser(dialect),
            conditional_write: match known.conditional_write {
                ConditionalWrite::Unknown => before.conditional_write,
                told => told,
            },
            met: before.met.and(known.met),
        },
        (Some(_), Asked::Anew) | (None, _) => Capabilities { dialect, ..before },
    }
}

/// What a customer must know of a store that overwrites, for the message of Ready.
pub(super) const fn warning(
    capabilities: Published,
    read_back: Option<ReadBack>,
) -> Option<&'static str> {
    match (capabilities.conditional_write, read_back) {
        (PublishedCondition::Honoured | PublishedCondition::Unknown, _) => None,
        (PublishedCondition::Ignored, Some(ReadBack::Granted)) => Some(
            "the store ignores If-None-Match, so each key is looked at before it is written; what somebody \
             writes under it in that moment would be overwritten",
        ),
        (PublishedCondition::Ignored, _) => Some(
            "the store ignores If-None-Match and we may not look (readBack: WriteOnly): an object that is \
             already under a delivery's key is overwritten; readBack: Granted avoids that",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    const CONDITIONS: [ConditionalWrite; 3] = [
        ConditionalWrite::Honoured,
        ConditionalWrite::Ignored,
        ConditionalWrite::Unknown,
    ];

    fn destination(generation: i64, published: Option<Published>) -> OutboundDestination {
        let text = "{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {name: a}, \
                    spec: {bucket: acme, permissionMode: AccessKey}, status: {observedGeneration: 2}}";
        let mut destination: OutboundDestination = yaml::read(text).unwrap();
        destination.metadata.generation = Some(generation);
        if let Some(status) = &mut destination.status {
            status.capabilities = published;
        }
        destination
    }

    #[test]
    fn what_is_published_comes_back_at_the_same_generation() {
        for dialect in Dialect::ALL {
            for conditional_write in CONDITIONS {
                let capabilities = Capabilities {
                    dialect,
                    conditional_write,
                    ..Capabilities::default()
                };
                let told = Some(published(capabilities));
                assert_eq!(known(&destination(2, told)), Some(capabilities));
                assert_eq!(known(&destination(3, told)), None);
            }
        }
        assert_eq!(known(&destination(2, None)), None);
    }

    #[test]
    fn a_periodic_proof_takes_nothing_back() {
        let told = Capabilities {
            dialect: Dialect::Crc32c,
            conditional_write: ConditionalWrite::Ignored,
            ..Capabilities::default()
        };
        let before = Capabilities::default();
        let proof = |known, dialect, asked| after_proof(known, before, dialect, asked);
        let periodic = Asked::Periodically;
        assert_eq!(proof(Some(told), Dialect::Crc64Nvme, periodic), told);
        let lower = proof(Some(told), Dialect::ContentMd5, periodic);
        assert_eq!(lower.dialect, Dialect::ContentMd5);
        assert_eq!(proof(Some(told), Dialect::Crc64Nvme, Asked::Anew), before);
        assert_eq!(
            proof(None, Dialect::Crc32c, periodic).dialect,
            Dialect::Crc32c
        );
    }

    #[test]
    fn only_a_store_that_overwrites_is_warned_of() {
        for conditional_write in CONDITIONS {
            let capabilities = published(Capabilities {
                conditional_write,
                ..Capabilities::default()
            });
            let warned = |read_back| warning(capabilities, Some(read_back));
            let ignores = conditional_write == ConditionalWrite::Ignored;
            assert_eq!(warned(ReadBack::Granted).is_some(), ignores);
            let write_only = warned(ReadBack::WriteOnly);
            assert_eq!(
                write_only.is_some_and(|text| text.contains("is overwritten")),
                ignores
            );
        }
    }
}
