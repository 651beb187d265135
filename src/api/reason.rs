//! Why a condition is as it is: one enum a kind, each word stable.

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every reason, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word that stands in conditions and Events.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// The reason whose word is `word`.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons! {
    /// Why an `OutboundDestination`'s conditions are as they are.
    DestinationReason {
        /// The proof of access succeeded.
        Verified,
        /// The first proof of this generation is under way.
        Verifying,
        /// `spec.suspend` is set.
        Suspended,
        /// The Secret isn't there.
        SecretNotFound,
        /// The Secret lacks a key that it must have.
        SecretKeyMissing,
        /// A value in the Secret has a shape that no credential has.
        SecretInvalid,
        /// The store doesn't know the access key id.
        InvalidAccessKeyId,
        /// The secret access key isn't the one of the access key id.
        SignatureDoesNotMatch,
        /// A right is missing.
        AccessDenied,
        /// There is no such bucket.
        BucketNotFound,
        /// The bucket belongs to another account than `spec.bucketOwner`.
        BucketOwnerMismatch,
        /// The bucket is in another region than `spec.region`.
        RegionMismatch,
        /// The bucket's KMS key refuses us.
        KmsAccessDenied,
        /// The customer's role can't be assumed by us.
        RoleNotAssumable,
        /// The customer's role lets us in without the external ID.
        TrustTooOpen,
        /// The bucket refuses the ACL that is sent.
        AclNotAllowed,
        /// Our clock or the store's is wrong.
        ClockSkew,
        /// The operator's configuration doesn't list the endpoint.
        EndpointNotAllowed,
        /// The operator's configuration doesn't give this namespace the bucket, owner and prefix.
        BucketNotAllowed,
        /// The operator's configuration doesn't give this namespace the role.
        RoleNotAllowed,
        /// The store refuses the checksum that we send.
        ChecksumUnsupported,
        /// No connection to the store.
        EndpointUnreachable,
        /// The store's certificate can't be trusted.
        TlsFailure,
        /// The store asks for fewer requests, or answers with its own errors.
        Throttled,
    }
}

reasons! {
    /// Why an `OutboundDelivery`'s conditions are as they are.
    DeliveryReason {
        /// Everything was uploaded and verified, and the receipt written.
        Delivered,
        /// Everything was there already, with our token.
        AlreadyDelivered,
        /// The source is being read for where to cut.
        Planning,
        /// Objects are being sent.
        Uploading,
        /// `spec.suspend` is set.
        Suspended,
        /// The destination is missing, not verified, or suspended.
        DestinationNotReady,
        /// The destination now names another place than the one this delivery was planned for.
        DestinationChanged,
        /// The source isn't complete yet.
        WaitingForSource,
        /// The file or folder isn't there.
        SourceNotFound,
        /// Nothing matches the path.
        SourceEmpty,
        /// A file changed between planning and its last read.
        SourceChanged,
        /// A file can't be read.
        SourceUnreadable,
        /// The operator's configuration gives this namespace no such source.
        SourceNotAllowed,
        /// The path leaves the namespace's folder.
        PathNotAllowed,
        /// No record ends within `maxRecordSize` before a cut.
        RecordTooLong,
        /// Two objects would have one key.
        KeyCollision,
        /// A key breaks S3's rules or ours.
        KeyInvalid,
        /// More objects than a delivery may have.
        TooManyObjects,
        /// An object that isn't ours has the key.
        ObjectExists,
        /// The store's checksum of an object isn't ours.
        ChecksumMismatch,
        /// It can't be known whether an object was completed.
        CompletionUnconfirmed,
        /// The destination refuses what it allowed before.
        AccessLost,
        /// Too many attempts in a row confirmed nothing.
        BackoffLimitExceeded,
        /// The delivery took longer than it may.
        DeadlineExceeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_find_their_reason_again() {
        for reason in DestinationReason::ALL {
            assert_eq!(DestinationReason::from_word(reason.as_str()), Some(*reason));
        }
        for reason in DeliveryReason::ALL {
            assert_eq!(DeliveryReason::from_word(reason.as_str()), Some(*reason));
        }
        assert_eq!(DeliveryReason::from_word("Verified"), None);
    }
}
