//! `OutboundDestination`: its rules, each with the words that the user reads.

use serde_json::Value;

use super::{accepts, refused, refuses};
use crate::support::ControlPlane;
use crate::support::manifest::manifest;

const KIND: &str = "OutboundDestination";

const ACCESS_KEY: &str = "\
bucket: acme-inbound
prefix: audience/
endpoint: https://s3.example.com:9000
permissionMode: AccessKey
accessKey: {secretRef: {name: acme}}";

const CROSS_ACCOUNT: &str = "\
bucket: acme-inbound
prefix: audience/
region: eu-west-1
bucketOwner: \"111122223333\"
permissionMode: CrossAccount";

const ASSUME_ROLE: &str = "\
bucket: acme-inbound
prefix: audience/
permissionMode: AssumeRole
assumeRole: {roleArn: \"arn:aws:iam::111122223333:role/drop\"}";

#[test]
fn a_permission_mode_has_exactly_its_own_block() {
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            (
                "!accessKey",
                "permissionMode AccessKey needs the block accessKey: {secretRef: {name: ...}}",
            ),
            ("!permissionMode", "spec.permissionMode: Required value"),
            (
                "!permissionMode\n!accessKey",
                "spec.permissionMode: Required value",
            ),
            (
                "permissionMode: AssumeRole\n!accessKey\n!endpoint",
                "permissionMode AssumeRole needs the block assumeRole: {roleArn: ...}, the role that the customer made for us",
            ),
            (
                "assumeRole: {roleArn: \"arn:aws:iam::111122223333:role/drop\"}",
                "the block assumeRole goes with permissionMode AssumeRole only",
            ),
            (
                "permissionMode: accessKey",
                r#"supported values: "AccessKey", "CrossAccount", "AssumeRole""#,
            ),
            ("accessKey: {}", "spec.accessKey.secretRef: Required value"),
            (
                "accessKey: {secretRef: {}}",
                "spec.accessKey.secretRef.name: Required value",
            ),
            (
                "accessKey: {secretRef: {name: \"\"}}",
                "spec.accessKey.secretRef.name",
            ),
            (
                "accessKey: {secretRef: {name: A_B}}",
                "spec.accessKey.secretRef.name",
            ),
        ],
    );
    refuses(
        KIND,
        CROSS_ACCOUNT,
        &[
            (
                "accessKey: {secretRef: {name: acme}}",
                "CrossAccount has no block, because no secret is shared",
            ),
            (
                "endpoint: https://s3.example.com",
                "endpoint goes with permissionMode AccessKey only",
            ),
            (
                "!bucketOwner",
                "CrossAccount needs bucketOwner, the customer's 12-digit account id",
            ),
        ],
    );
}

#[test]
fn a_role_is_named_by_its_arn_and_nothing_else_is_asked() {
    const ARN: &str = "roleArn is the ARN of an IAM role in partition aws, aws-cn or aws-us-gov";
    const NAME: &str = "behind role/ stand path and name of the role";
    let role = |arn: &str| format!("assumeRole: {{roleArn: {arn:?}}}");
    let (in_aws, deep) = ("arn:aws:iam::111122223333:role/", "a/".repeat(1100));
    let refused_arns = [
        ("", "should be at least 1 chars long"),
        ("drop", ARN),
        ("arn:aws:iam::111122223333:user/drop", ARN),
        ("arn:aws:iam::11112222333:role/drop", ARN),
        ("arn:aws:iam:eu-west-1:111122223333:role/drop", ARN),
        ("arn:aws:sts::111122223333:assumed-role/drop/x", ARN),
        ("arn:aws-iso:iam::111122223333:role/drop", ARN),
        ("arn:aws:iam::111122223333:role/", NAME),
        ("arn:aws:iam::111122223333:role/feeds/", NAME),
        ("arn:aws:iam::111122223333:role//drop", NAME),
        ("arn:aws:iam::111122223333:role/*", NAME),
        ("arn:aws:iam::111122223333:role/dr op", NAME),
        ("arn:aws:iam::111122223333:role/drop\n", NAME),
        ("arn:aws:iam::111122223333:role/a:role/b", NAME),
        (&format!("{in_aws}{}", "a".repeat(65)), NAME),
        (&format!("{in_aws}{deep}drop"), "may not be more than 2048"),
    ];
    let cases = refused_arns.map(|(arn, says)| (role(arn), says));
    let cases = cases
        .each_ref()
        .map(|(change, says)| (change.as_str(), *says));
    refuses(KIND, ASSUME_ROLE, &cases);
    refuses(
        KIND,
        ASSUME_ROLE,
        &[
            (
                "!assumeRole",
                "permissionMode AssumeRole needs the block assumeRole: {roleArn: ...}",
            ),
            ("assumeRole: {}", "spec.assumeRole.roleArn: Required value"),
            (
                "accessKey: {secretRef: {name: acme}}",
                "the block accessKey goes with permissionMode AccessKey only",
            ),
            (
                "endpoint: https://s3.example.com",
                "endpoint goes with permissionMode AccessKey only",
            ),
            (
                "permissionMode: CrossAccount\nbucketOwner: \"111122223333\"",
                "the block assumeRole goes with permissionMode AssumeRole only",
            ),
        ],
    );
    let long = format!("{in_aws}feeds/eu/{}", "a".repeat(64));
    let taken = [
        "arn:aws-cn:iam::111122223333:role/drop",
        "arn:aws-us-gov:iam::111122223333:role/a/b/c+=,.@_-",
        &long,
    ]
    .map(role);
    let with_others =
        "bucketOwner: \"999922223333\"\nacl: BucketOwnerFullControl\nregion: eu-west-1";
    let [china, gov, long] = &taken;
    accepts(KIND, ASSUME_ROLE, &[china, gov, long, with_others]);
}

#[test]
fn a_bucket_is_named_by_the_published_rules() {
    const CHARACTERS: &str = "lower-case letters, digits, dots and hyphens only";
    const ENDS: &str = "begins and ends with a letter or a digit";
    const RESERVED: &str =
        "S3 reserves bucket names that begin with xn--, sthree- or amzn-s3-demo-";
    const ALIAS: &str = "access point aliases (-s3alias, --ol-s3, .mrap) are not supported";
    const DIRECTORY: &str = "directory and table buckets (--x-s3, --table-s3) are not supported";
    let long = format!("bucket: {}", "a".repeat(64));
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            ("!bucket", "spec.bucket: Required value"),
            ("bucket: ab", "should be at least 3 chars long"),
            (&long, "may not be more than 63"),
            ("bucket: Acme-inbound", CHARACTERS),
            ("bucket: acme_inbound", CHARACTERS),
            ("bucket: /acme", CHARACTERS),
            ("bucket: acme/audience", CHARACTERS),
            ("bucket: \"acme\\n\"", CHARACTERS),
            ("bucket: \"arn:aws:s3:::acme\"", CHARACTERS),
            ("bucket: -acme", ENDS),
            ("bucket: acme-", ENDS),
            ("bucket: .acme", ENDS),
            ("bucket: acme.", ENDS),
            ("bucket: acme..inbound", "no two dots in a row"),
            ("bucket: 192.168.5.4", "not formatted as an IP address"),
            ("bucket: xn--acme", RESERVED),
            ("bucket: sthree-acme", RESERVED),
            ("bucket: amzn-s3-demo-acme", RESERVED),
            ("bucket: acme-s3alias", ALIAS),
            ("bucket: acme--ol-s3", ALIAS),
            ("bucket: acme.mrap", ALIAS),
            ("bucket: acme--use1-az4--x-s3", DIRECTORY),
            ("bucket: acme--table-s3", DIRECTORY),
        ],
    );
    let longest = format!("bucket: {}", "a".repeat(63));
    accepts(
        KIND,
        ACCESS_KEY,
        &[
            &longest,
            "bucket: a.b",
            "bucket: 0-0",
            "bucket: acme.example.com",
            "bucket: 1.2.3.4.5",
        ],
    );
}

#[test]
fn a_bucket_owner_is_twelve_digits_in_quotes() {
    const DIGITS: &str = "bucketOwner is an AWS account id: 12 digits, quoted";
    refuses(
        KIND,
        CROSS_ACCOUNT,
        &[
            ("bucketOwner: \"11112222333\"", DIGITS),
            ("bucketOwner: \"\"", DIGITS),
            ("bucketOwner: \"11112222333x\"", DIGITS),
            ("bucketOwner: \"1111-2222-3333\"", "may not be more than 12"),
            ("bucketOwner: 111122223333", "must be of type string"),
        ],
    );
    accepts(KIND, ACCESS_KEY, &["bucketOwner: \"000000000001\""]);
}

#[test]
fn a_prefix_is_empty_or_a_folder_below_the_bucket() {
    const DOTS: &str = r#"a prefix has no "." or ".." segment"#;
    const CONTROL: &str = "control characters are not allowed";
    // 257 characters, 513 bytes.
    let bytes = format!("prefix: {}/", "ü".repeat(256));
    let characters = format!("prefix: {}/", "a".repeat(512));
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            ("prefix: audience", r#"a prefix ends with "/""#),
            ("prefix: /audience/", r#"a prefix has no leading "/""#),
            ("prefix: /", r#"a prefix has no leading "/""#),
            ("prefix: audience//daily/", r#"a prefix has no "//""#),
            ("prefix: audience//", r#"a prefix has no "//""#),
            ("prefix: ../audience/", DOTS),
            ("prefix: ./", DOTS),
            ("prefix: audience/../", DOTS),
            ("prefix: audience/./daily/", DOTS),
            ("prefix: \"audience\\n/\"", CONTROL),
            ("prefix: \"audience\\0/\"", CONTROL),
            ("prefix: \"audience\\u009f/\"", CONTROL),
            (&bytes, "a prefix is at most 512 bytes"),
            (&characters, "may not be more than 512"),
        ],
    );
    let longest = format!("prefix: {}/", "a".repeat(511));
    accepts(
        KIND,
        ACCESS_KEY,
        &[
            "!prefix",
            "prefix: \"\"",
            "prefix: a b/ü/",
            "prefix: .hidden/..a/b../",
            "prefix: day=1/",
            &longest,
        ],
    );
}

/// What holds for every size, by its field's path in the spec: `{}` stands for the size.
pub(super) fn sizes_are_bounded(kind: &str, base: &str, field: &str) {
    const POSITIVE: &str = "a size must be more than 0 bytes";
    const WHOLE: &str = "a size must be whole bytes";
    const LIMIT: &str = "1 TB = 10^12 bytes is the limit";
    const FORM: &str = "a size is a number of bytes or a quantity such as 500M, 64Mi or 1T";
    const NOT_A_SIZE: &str = "must be of type";
    let refusals = [
        ("0", POSITIVE),
        ("\"0\"", POSITIVE),
        ("0G", POSITIVE),
        ("-1", POSITIVE),
        ("\"-1\"", POSITIVE),
        ("-5M", POSITIVE),
        ("\"1.5\"", WHOLE),
        ("1500m", WHOLE),
        ("2000m", WHOLE),
        ("\"0.5\"", WHOLE),
        ("1n", WHOLE),
        ("0.0001k", WHOLE),
        ("\"0.9999999999\"", WHOLE),
        ("999.9999999m", WHOLE),
        ("999999.9999u", WHOLE),
        ("\"9999999999e-10\"", WHOLE),
        ("1Ti", "1Ti is more than that"),
        ("1.1T", LIMIT),
        ("2P", LIMIT),
        ("1e13", LIMIT),
        ("1000000000001", LIMIT),
        ("\"1000000000001\"", LIMIT),
        ("8E", LIMIT),
        ("99E", LIMIT),
        ("500MB", FORM),
        ("1K", FORM),
        ("\"\"", FORM),
        ("large", FORM),
        ("1 G", FORM),
        ("1e1.5", FORM),
        ("1.5", NOT_A_SIZE),
        ("true", NOT_A_SIZE),
        ("[]", NOT_A_SIZE),
    ];
    let at = |size: &str| field.replace("{}", size);
    let refusals: Vec<(String, &str)> = refusals
        .iter()
        .map(|(size, words)| (at(size), *words))
        .collect();
    let refusals: Vec<(&str, &str)> = refusals
        .iter()
        .map(|(change, words)| (change.as_str(), *words))
        .collect();
    refuses(kind, base, &refusals);

    let taken = [
        "1",
        "\"1\"",
        "500k",
        "64Mi",
        "1T",
        "1000000000000",
        "1000G",
        "931Gi",
        "0.5G",
        "\"+5M\"",
        ".5k",
        "1.2345678G",
        "\"1e6\"",
        "1e6",
        "null",
    ];
    let taken: Vec<String> = taken.iter().map(|size| at(size)).collect();
    accepts(
        kind,
        base,
        &taken.iter().map(String::as_str).collect::<Vec<_>>(),
    );
}

#[test]
fn a_split_size_is_whole_bytes_up_to_one_terabyte() {
    sizes_are_bounded(KIND, ACCESS_KEY, "splitSize: {}");
}

#[test]
fn limits_name_something_within_bounds() {
    const FORM: &str =
        "a bandwidth is a whole number of bytes a second, or a quantity such as 500k, 20M or 64Mi";
    const BOUNDS: &str =
        "a bandwidth is 128k to 1T bytes a second; to send nothing at all, set suspend";
    const PARTS: &str = "spec.limits.maxConcurrentParts";
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            (
                "limits: {}",
                "limits names maxConcurrentParts, bandwidth or both; without a limit leave the block out",
            ),
            ("limits: {maxConcurrentParts: 0}", PARTS),
            ("limits: {maxConcurrentParts: -1}", PARTS),
            ("limits: {maxConcurrentParts: 1001}", PARTS),
            ("limits: {maxConcurrentParts: \"8\"}", PARTS),
            ("limits: {maxConcurrentParts: 1.5}", PARTS),
            ("limits: {bandwidth: 0}", BOUNDS),
            ("limits: {bandwidth: -1}", BOUNDS),
            ("limits: {bandwidth: 127999}", BOUNDS),
            ("limits: {bandwidth: \"127999\"}", BOUNDS),
            ("limits: {bandwidth: 124Ki}", BOUNDS),
            ("limits: {bandwidth: 1Ti}", BOUNDS),
            ("limits: {bandwidth: 1000000000001}", BOUNDS),
            ("limits: {bandwidth: 99E}", BOUNDS),
            ("limits: {bandwidth: 200000.5}", "spec.limits.bandwidth"),
            ("limits: {bandwidth: \"200000.5\"}", FORM),
            ("limits: {bandwidth: 200000000m}", FORM),
            ("limits: {bandwidth: 200k/s}", FORM),
            ("limits: {bandwidth: 1MB}", FORM),
            ("limits: {bandwidth: \"\"}", FORM),
            ("limits: {bandwidth: true}", "spec.limits.bandwidth"),
        ],
    );
    accepts(
        KIND,
        ACCESS_KEY,
        &[
            "limits: {maxConcurrentParts: 1}",
            "limits: {maxConcurrentParts: 1000, bandwidth: 200M}",
            "limits: {bandwidth: 128k}",
            "limits: {bandwidth: 128000}",
            "limits: {bandwidth: 0.5G}",
            "limits: {bandwidth: 1T}",
            "limits: {bandwidth: 125Ki}",
        ],
    );
}

#[test]
fn an_endpoint_is_scheme_host_and_port() {
    const FORM: &str = "an endpoint is scheme, host and port, for example https://s3.example.com:9000, without a path";
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            ("endpoint: s3.example.com", FORM),
            ("endpoint: https://s3.example.com/", FORM),
            ("endpoint: https://s3.example.com/path", FORM),
            ("endpoint: https://user:secret@s3.example.com", FORM),
            ("endpoint: https://s3.example.com?x=1", FORM),
            ("endpoint: ftp://s3.example.com", FORM),
            ("endpoint: \"https://s3.example.com:\"", FORM),
            ("endpoint: \"https://\"", FORM),
            ("endpoint: \"\"", FORM),
        ],
    );
    accepts(
        KIND,
        ACCESS_KEY,
        &[
            "endpoint: http://127.0.0.1:7070",
            "endpoint: \"https://[fd00::1]:9000\"",
            "endpoint: https://s3",
            "!endpoint",
        ],
    );
}

#[test]
fn a_bundle_of_authorities_goes_with_an_https_endpoint() {
    const BUNDLE: &str = "caBundleRef: {name: acme-ca}";
    let with = |change: &str| format!("{BUNDLE}\n{change}");
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            (&with("!endpoint"), "caBundleRef goes with endpoint only"),
            (
                &with("endpoint: http://s3.example.com"),
                "caBundleRef goes with an endpoint that begins with https:// only",
            ),
            ("caBundleRef: {}", "spec.caBundleRef.name: Required value"),
            ("caBundleRef: {name: A_B}", "spec.caBundleRef.name"),
        ],
    );
    refuses(
        KIND,
        CROSS_ACCOUNT,
        &[(BUNDLE, "caBundleRef goes with endpoint only")],
    );
    accepts(KIND, ACCESS_KEY, &[BUNDLE]);
}

#[test]
fn the_other_fields_take_what_they_say() {
    const INTERVAL: &str = "a duration here is 1m to 8760h, such as 90s or 1h30m";
    const REGION: &str = "a region is written like eu-west-1";
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            ("region: EU-WEST-1", REGION),
            ("region: eu west 1", REGION),
            ("region: eu-west-", REGION),
            ("region: \"\"", REGION),
            (
                "addressing: path",
                r#"supported values: "VirtualHosted", "Path""#,
            ),
            (
                "acl: public-read",
                r#"supported values: "BucketOwnerFullControl", "None""#,
            ),
            ("readBack: true", "must be of type string"),
            ("readBack: Yes", "must be of type string"),
            (
                "readBack: Full",
                r#"supported values: "WriteOnly", "Granted""#,
            ),
            ("suspend: \"yes\"", "must be of type boolean"),
            ("bucket: null", "spec.bucket: Required value"),
            (
                "accessKey: null",
                "permissionMode AccessKey needs the block accessKey",
            ),
            ("verification: {interval: 59s}", INTERVAL),
            ("verification: {interval: 1ms}", INTERVAL),
            ("verification: {interval: 8760h1s}", INTERVAL),
            ("verification: {interval: 1d}", "spec.verification.interval"),
            (
                "verification: {interval: \"-5m\"}",
                "spec.verification.interval",
            ),
            (
                "verification: {interval: \"5\"}",
                "spec.verification.interval",
            ),
            ("verification: {interval: 5}", "must be of type string"),
            ("verification: {interval: 99999999999h}", INTERVAL),
            (
                "verification: {interval: 99999h99999h99999h99999h}",
                INTERVAL,
            ),
            (
                "verification: {interval: 9999999m9999999m9999999m}",
                INTERVAL,
            ),
        ],
    );
    accepts(
        KIND,
        ACCESS_KEY,
        &[
            "region: us-gov-west-1\naddressing: VirtualHosted\nacl: None\nreadBack: Granted\nsuspend: true",
            "region: garage\naddressing: Path\nacl: BucketOwnerFullControl\nreadBack: WriteOnly\nsuspend: false",
            "verification: {}",
            "region: null\nsuspend: null\nverification: null\nacl: null",
            "verification: {interval: 1m}",
            "verification: {interval: 1h30m}",
            "verification: {interval: 8760h}",
            "verification: {interval: 1.5h}",
        ],
    );
}

#[test]
fn an_encryption_has_a_key_only_where_kms_keeps_it_and_a_whole_arn_across_accounts() {
    const ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const ALIAS: &str = "kmsKeyId names the key itself: an alias can be pointed at another key";
    const FULL: &str = "across accounts encryption SSE-KMS needs kmsKeyId as a full ARN";
    let kms = |key: &str| format!("encryption: {{type: SSE-KMS, kmsKeyId: \"{key}\"}}");
    let refused_key = |key: &str, words: &'static str| (kms(key), words);
    let everywhere = [
        refused_key("alias/drop", ALIAS),
        refused_key("arn:aws:kms:eu-west-1:111122223333:alias/drop", ALIAS),
        refused_key("", "should be at least 1 chars long"),
        refused_key(&"k".repeat(257), "may not be more than 256"),
        refused_key("a key", "kmsKeyId is a key's ARN"),
        refused_key("a\\nb", "kmsKeyId is a key's ARN"),
        refused_key(
            "arn:aws:s3:::acme",
            "a key's ARN is written arn:aws:kms:REGION:ACCOUNT:key/ID",
        ),
        refused_key("arn:aws:kms:eu-west-1:1:key/a", "a key's ARN is written"),
        (
            "encryption: {}".to_owned(),
            "spec.encryption.type: Required value",
        ),
        (
            "encryption: {type: AES256}".to_owned(),
            r#"supported values: "SSE-S3", "SSE-KMS""#,
        ),
        (
            "encryption: {type: SSE-S3, kmsKeyId: a}".to_owned(),
            "kmsKeyId and bucketKey go with encryption type SSE-KMS only",
        ),
        (
            "encryption: {type: SSE-S3, bucketKey: true}".to_owned(),
            "kmsKeyId and bucketKey go with encryption type SSE-KMS only",
        ),
    ];
    let table: Vec<(&str, &str)> = everywhere.iter().map(|(a, b)| (a.as_str(), *b)).collect();
    refuses(KIND, ACCESS_KEY, &table);
    refuses(KIND, CROSS_ACCOUNT, &table);
    let id = kms("1234abcd-12ab-34cd-56ef-1234567890ab");
    refuses(
        KIND,
        CROSS_ACCOUNT,
        &[(id.as_str(), FULL), ("encryption: {type: SSE-KMS}", FULL)],
    );
    let both = [
        "encryption: {type: SSE-S3}".to_owned(),
        kms(ARN),
        kms(&ARN.replace("arn:aws:", "arn:aws-cn:")),
        kms(&ARN.replace("arn:aws:", "arn:aws-us-gov:")),
        format!("encryption: {{type: SSE-KMS, kmsKeyId: \"{ARN}\", bucketKey: true}}"),
    ];
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    accepts(KIND, CROSS_ACCOUNT, &both);
    accepts(KIND, ACCESS_KEY, &both);
    accepts(
        KIND,
        ACCESS_KEY,
        &[
            id.as_str(),
            "encryption: {type: SSE-KMS}",
            "encryption: {type: SSE-KMS, bucketKey: false}",
        ],
    );
}

#[test]
fn tags_and_storage_classes_are_those_that_s3_takes() {
    const CHARACTERS: &str = "has letters, digits, blanks and + - = . _ : / @ only";
    let tags = |count: usize| {
        let all: Vec<String> = (0..count)
            .map(|n| format!("{{key: k{n}, value: v}}"))
            .collect();
        format!("objectTags: [{}]", all.join(", "))
    };
    let (ten, eleven) = (tags(10), tags(11));
    let key = |length| format!("objectTags: [{{key: {}, value: v}}]", "k".repeat(length));
    let value = |length| {
        format!(
            "objectTags: [{{key: k, value: \"{}\"}}]",
            "v".repeat(length)
        )
    };
    let (long_key, long_value) = (key(129), value(257));
    refuses(
        KIND,
        ACCESS_KEY,
        &[
            (&eleven, "must have at most 10 items"),
            (
                "objectTags: [{key: a, value: b}, {key: a, value: c}]",
                "Duplicate value",
            ),
            (
                "objectTags: [{value: b}]",
                "spec.objectTags[0].key: Required value",
            ),
            (
                "objectTags: [{key: a}]",
                "spec.objectTags[0].value: Required value",
            ),
            (
                "objectTags: [{key: \"\", value: b}]",
                "should be at least 1 chars long",
            ),
            (&long_key, "may not be more than 128"),
            (&long_value, "may not be more than 256"),
            (
                "objectTags: [{key: \"aws:a\", value: b}]",
                "AWS keeps tags that begin with aws: to itself",
            ),
            (
                "objectTags: [{key: \"AWS:a\", value: b}]",
                "AWS keeps tags that begin with aws: to itself",
            ),
            ("objectTags: [{key: \"a&b\", value: c}]", CHARACTERS),
            ("objectTags: [{key: a, value: \"b\\nc\"}]", CHARACTERS),
            (
                "storageClass: standard",
                r#"supported values: "STANDARD", "INTELLIGENT_TIERING""#,
            ),
            ("storageClass: EXPRESS_ONEZONE", "supported values"),
            ("storageClass: OUTPOSTS", "supported values"),
        ],
    );
    let (long_key, long_value) = (key(128), value(256));
    accepts(
        KIND,
        CROSS_ACCOUNT,
        &[
            &ten,
            &long_key,
            &long_value,
            "objectTags: [{key: \"Größe a/b:c=d+e-f._@\", value: \"\"}]",
            "objectTags: []",
            "storageClass: STANDARD",
            "storageClass: DEEP_ARCHIVE",
            "storageClass: REDUCED_REDUNDANCY",
        ],
    );
}

#[test]
fn a_field_that_does_not_work_yet_or_never_is_unknown() {
    for field in ["crossAccount: {}", "splitsize: 1G"] {
        let name = field.split(':').next().unwrap();
        let refusal = refused(&manifest(KIND, "acme", ACCESS_KEY, field));
        assert!(
            refusal.contains(&format!("unknown field \"spec.{name}\"")),
            "{refusal}"
        );
    }
    let chosen = refused(&manifest(
        KIND,
        "acme",
        ASSUME_ROLE,
        "assumeRole: {roleArn: \"arn:aws:iam::111122223333:role/drop\", externalId: mine}",
    ));
    assert!(
        chosen.contains("unknown field \"spec.assumeRole.externalId\""),
        "{chosen}"
    );
    let nested = refused(&manifest(
        KIND,
        "acme",
        ACCESS_KEY,
        "accessKey: {secretRef: {name: acme, namespace: other}}",
    ));
    assert!(
        nested.contains("unknown field \"spec.accessKey.secretRef.namespace\""),
        "{nested}"
    );
}

#[test]
fn every_field_of_a_destination_can_be_changed() {
    let namespace = ControlPlane::shared().namespace("schema");
    namespace
        .apply(&manifest(KIND, "acme", ACCESS_KEY, ""))
        .ok();
    namespace
        .apply(&manifest(KIND, "acme", CROSS_ACCOUNT, "bucket: acme-other"))
        .ok();
    let spec = namespace.get("obdest", "acme").unwrap()["spec"].clone();
    assert_eq!(spec["permissionMode"], "CrossAccount");
    assert_eq!(spec["bucket"], "acme-other");
    assert_eq!(spec["accessKey"], Value::Null);
    namespace
        .apply(&manifest(KIND, "acme", ACCESS_KEY, ""))
        .ok();
}
