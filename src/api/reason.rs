//! Why a condition is as it is, and why an Event was published: one enum a kind and one for what Events alone say,
//! each word stable. What a user is told of each stands beside it here; `docs/reasons.md` is written from it.

use std::fmt::Write as _;

macro_rules! reasons {
    (
        $(#[$meta:meta])*
        $name:ident { $($(#[doc = $cause:literal])+ $variant:ident => $actor:literal, $remedy:literal;)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[doc = $cause])+ $variant,)+ }

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

            /// What is the case.
            #[must_use]
            pub fn cause(self) -> &'static str {
                match self { $(Self::$variant => concat!($($cause),+).trim_start(),)+ }
            }

            /// Who acts: "you" is whoever owns the object.
            #[must_use]
            pub const fn actor(self) -> &'static str {
                match self { $(Self::$variant => $actor,)+ }
            }

            /// What they do; empty where nothing is to be done.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)+ }
            }

            fn table() -> String {
                let mut table = String::from("| reason | cause | who acts | what to do |\n|---|---|---|---|\n");
                for reason in Self::ALL {
                    let (cause, actor, remedy) = (reason.cause(), reason.actor(), reason.remedy());
                    // Writing to a String can't fail.
                    let _ = writeln!(table, "| `{reason}` | {cause} | {actor} | {remedy} |");
                }
                table
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
        Verified => "nobody", "";
        /// The first proof of this generation is under way, or of one that was suspended.
        Verifying => "nobody", "";
        /// `spec.suspend` is set.
        Suspended => "you", "Unset it.";
        /// There is no such Secret in the namespace, or it can't be read.
        SecretNotFound => "you; the operator's administrator", "Create it, or let the operator read it.";
        /// The Secret lacks `accessKeyId` or `secretAccessKey`.
        SecretKeyMissing => "you", "Add the key.";
        /// A value in the Secret has a shape that no credential has, often a trailing newline. The value is never
        /// shown.
        SecretInvalid => "you", "Write it again, without the newline.";
        /// The store doesn't know the access key's id, or the session is over.
        InvalidAccessKeyId => "the customer", "Is the key still active? A new one goes into the Secret.";
        /// The secret access key isn't the one of the access key's id.
        SignatureDoesNotMatch => "you and the customer", "Compare, and copy both again.";
        /// A right is missing; the message and `status.permissions` name it where that can be known.
        AccessDenied => "the customer; for our own role the operator's administrator", "Paste the policy of `status.grant` that the message names.";
        /// There is no such bucket.
        BucketNotFound => "you; the customer", "Correct the name, or have the bucket created.";
        /// The bucket belongs to another account than `spec.bucketOwner`.
        BucketOwnerMismatch => "you", "Ask the customer for bucket and account. Nothing was sent to it.";
        /// The bucket is in another region than `spec.region`. Or none is named where it can't be learned: the operator's
        /// own region is outside the `aws` partition.
        RegionMismatch => "you", "Correct the region, or remove it; outside the `aws` partition name it.";
        /// The KMS key of the destination's `encryption`, or of the bucket's default, refuses us, is disabled, or isn't
        /// there. `kms:GenerateDataKey` is asked for when an object is begun, `kms:Decrypt` for each part.
        KmsAccessDenied => "the customer; for our own role the operator's administrator", "Add `status.grant.keyPolicy` to the key's policy, enable the key, or name another. The next proof notices.";
        /// STS refuses us a session of the role. It doesn't tell a missing role from one that refuses.
        RoleNotAssumable => "the customer; the operator's administrator", "The customer: the role's ARN and its trust policy, `status.grant.trustPolicy`. We: our own role's `status.grant.identityPolicy`.";
        /// The role lets us in without the external ID. Stands on `TrustVerified`; Ready stays True.
        TrustTooOpen => "the customer", "Add the condition on `sts:ExternalId` to the role's trust policy, as `status.grant.trustPolicy` has it.";
        /// The bucket refuses the ACL that is sent: its ACLs are off, or `s3:PutObjectAcl` is missing.
        AclNotAllowed => "you; the customer", "Set `acl: None`, or have it allowed.";
        /// Our clock or the store's is wrong, by more than 15 minutes.
        ClockSkew => "the operator's administrator", "Set the clock of the operator's node.";
        /// A field holds what the schema refuses: the object is from before that schema.
        SpecInvalid => "you", "Correct the field that the message names.";
        /// The operator's configuration doesn't list the endpoint.
        EndpointNotAllowed => "the operator's administrator", "List it under `endpoints.allow`.";
        /// The operator's configuration doesn't give this namespace the bucket, owner and prefix, or the operator has
        /// no identity of its own.
        BucketNotAllowed => "the operator's administrator", "Add them under `tenancy[].crossAccountBuckets`, or give the operator credentials.";
        /// The operator's configuration doesn't give this namespace the role, the role is of another partition than our
        /// identity, or the operator has no identity of its own.
        RoleNotAllowed => "the operator's administrator", "Add it under `tenancy[].roles`, or give the operator credentials.";
        /// The store verifies none of CRC64NVME, CRC32C and Content-MD5.
        ChecksumUnsupported => "whoever runs the store", "Nothing can be delivered to it verified: another store, or a newer version.";
        /// No connection to the store, no answer in time, or no S3 there.
        EndpointUnreachable => "whoever runs the store or the network", "Look at name, port, firewall and proxy; the proof is repeated.";
        /// The store's certificate can't be trusted, or there is no TLS.
        TlsFailure => "whoever runs the store; for a `caBundleRef`, whoever keeps the ConfigMap", "A certificate for its name, by an authority that the operator trusts, or that the ConfigMap's `ca.crt` holds.";
        /// The store asks for fewer requests.
        Throttled => "nobody at first", "The proof is repeated.";
    }
}

reasons! {
    /// Why an `OutboundDelivery`'s conditions are as they are.
    DeliveryReason {
        /// Everything was sent and verified, and the receipt written.
        Delivered => "nobody", "";
        /// Everything was there already, with this delivery's token.
        AlreadyDelivered => "nobody", "";
        /// The source is being read for where to cut.
        Planning => "nobody", "";
        /// Objects are being sent, or the receipt.
        Uploading => "nobody", "";
        /// `spec.suspend` is set.
        Suspended => "you", "Unset it.";
        /// The destination is missing, not verified, suspended, or being deleted; the delivery waits. Or `ifExists:
        /// Skip` meets `readBack: WriteOnly`: we may not look at what is there.
        DestinationNotReady => "you", "See the destination.";
        /// The destination now names another place than was planned for, another encryption, ACL or tags.
        DestinationChanged => "you", "Change it back, or delete this delivery and create another.";
        /// A field holds what the schema refuses: the delivery is from before that schema. Nothing was read.
        SpecInvalid => "you", "Another delivery, with the field that the message names as it can be.";
        /// The marker of `waitFor` isn't there yet, or a file is younger than `minAge`.
        WaitingForSource => "nobody; for a marker whoever produces the files", "It looks again.";
        /// The file, the folder or our bucket isn't there.
        SourceNotFound => "whoever produces it; you", "Produce it, or correct the path.";
        /// Nothing matches the path or the patterns.
        SourceEmpty => "whoever produces the files; you", "Produce them, or correct the path. Where that is no failure: `onEmpty: Complete`.";
        /// A file or an object changed while it was delivered.
        SourceChanged => "you", "Create another delivery once it is still.";
        /// A file can't be read, isn't a regular file (a FIFO, say), or isn't the CSV that it is said to be: a quote
        /// is opened and never closed. Or S3 refuses to let our own identity list the prefix or read an object, or has it in an archive.
        SourceUnreadable => "whoever provides the volume or keeps the bucket; whoever produces the file; the operator's administrator", "Make it readable.";
        /// The configuration gives this namespace no such bucket and prefix of ours, or the operator has no identity of
        /// its own. Not met by `volume`.
        SourceNotAllowed => "the operator's administrator", "Add it under `tenancy[].sources`, or give the operator credentials; then ask for a retry.";
        /// The path, or a link on it, leaves the namespace's folder.
        PathNotAllowed => "you", "Correct it.";
        /// No record ends within `maxRecordSize` before a cut, or the first, which `header: Repeat` puts in front of
        /// every split, leaves no room in one. Nothing was sent.
        RecordTooLong => "you", "Another delivery with a larger `maxRecordSize` (and `size`), with the format that the file has, or `boundary: Byte`.";
        /// Two objects would have one key.
        KeyCollision => "you", "A `key` that tells them apart.";
        /// A key would be over 1,024 bytes, or break another rule. Or an object of `source.s3` has a key that is no path.
        KeyInvalid => "you; whoever wrote the object", "Another `key`; another key for the object, or another prefix.";
        /// Over 10,000 objects or 100,000 entries.
        TooManyObjects => "you", "Larger splits, or several deliveries.";
        /// An object takes more memory while it is compressed than one may have: three quarters of `transfer.memory`.
        /// It is told before anything is sent.
        TooLargeToCompress => "the operator's administrator; you", "A larger `transfer.memory`, then ask for a retry; or another delivery with a smaller `split.size`.";
        /// An object that isn't known to be ours (nor, with `ifExists: Skip`, to have the same content) has the key.
        /// Nothing was overwritten.
        ObjectExists => "the customer; you", "Have it moved, or take another key.";
        /// The store's checksum of an object isn't ours.
        ChecksumMismatch => "whoever runs the store", "Find out what changes bytes there.";
        /// An answer was lost, and it can't be found out whether the object is there.
        CompletionUnconfirmed => "you", "Look; `readBack: Granted` settles it.";
        /// The destination refuses what it allowed before. The delivery waits for a new proof.
        AccessLost => "you", "See the destination.";
        /// Too many attempts in a row confirmed nothing.
        BackoffLimitExceeded => "you", "See `lastError`; then ask for a retry.";
        /// It worked longer than `activeDeadlineSeconds`; its uploads were aborted.
        DeadlineExceeded => "you", "Allow more, then ask for a retry, whose time starts anew.";
    }
}

reasons! {
    /// Why an Event was published that no condition's reason tells of.
    EventReason {
        /// On a delivery: uploads that its deletion or its failure could not abort, or that a crash left, by key and id. Where
        /// the namespace is going and takes no Event any more it is told on the operator's own Deployment.
        UploadsLeft => "the customer", "A lifecycle rule for incomplete uploads removes them; or abort them by hand.";
        /// On a delivery: an object is sent again from its beginning, because its upload vanished (a lifecycle rule, or
        /// another hand) or the store refused it.
        ObjectRestarted => "nobody; where it is told often, the customer", "Is there a lifecycle rule that takes uploads within a day?";
        /// On a delivery: after a restart an object in flight is sent again from its beginning, because the store refuses
        /// ListParts.
        PartsNotListed => "the customer", "Grant `s3:ListMultipartUploadParts`, as `status.grant` has it.";
        /// On a destination: its role, which let us in without the external ID, refuses us without it now.
        TrustVerified => "nobody", "";
    }
}

/// `docs/reasons.md`: all reasons of both kinds, and of Events.
#[must_use]
pub fn reasons_page() -> String {
    format!(
        "<!-- Generated by `outbound-operator reasons`; do not edit. -->\n\
         # Reasons\n\n\
         Each condition has one of these words as its reason, and so has each Event: its object's condition's, or one of\n\
         those that [Events alone](#events-alone) have. The words are stable. The condition's message says what was tried,\n\
         what came back and who must do what. \"You\" is whoever owns the object.\n\n\
         ## OutboundDestination\n\n{}\n\
         ## OutboundDelivery\n\n{}\n\
         ## Events alone\n\n{}",
        DestinationReason::table(),
        DeliveryReason::table(),
        EventReason::table()
    )
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
        for reason in EventReason::ALL {
            assert_eq!(EventReason::from_word(reason.as_str()), Some(*reason));
            // Of a condition's word an Event says that the condition changed.
            assert_eq!(DestinationReason::from_word(reason.as_str()), None);
            assert_eq!(DeliveryReason::from_word(reason.as_str()), None);
        }
        assert_eq!(DeliveryReason::from_word("Verified"), None);
    }

    #[test]
    fn each_reason_says_what_is_the_case_and_who_acts() {
        for reason in DestinationReason::ALL {
            assert!(reason.cause().ends_with('.') && !reason.cause().contains("  "));
            assert!(!reason.actor().is_empty());
            let waits = reason.actor() == "nobody";
            assert!(waits || reason.remedy().ends_with('.'), "{reason}");
        }
        for reason in DeliveryReason::ALL {
            assert!(reason.cause().ends_with('.') && !reason.cause().contains("  "));
            let waits = reason.actor() == "nobody";
            assert!(waits || reason.remedy().ends_with('.'), "{reason}");
        }
        for reason in EventReason::ALL {
            assert!(reason.cause().ends_with('.') && !reason.cause().contains("  "));
            let waits = reason.actor() == "nobody";
            let said = reason.remedy().ends_with(['.', '?']);
            assert!(waits || said, "{reason}");
        }
    }
}
