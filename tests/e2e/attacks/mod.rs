//! Forty ways to reach what isn't one's own, by somebody who may create objects of our kinds and write files
//! into one namespace's folder. Each is refused with its own reason, and together they touch nothing.
//!
//! Attacks that need a story of their own are in [`live`].

mod evil;
mod live;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use evil::Evil;
use serde_json::{Value, json};

use crate::support::control_plane::Namespace;
use crate::support::wait::{PATIENCE, eventually};
use crate::support::world::{PREFIX, WRITE_ACTIONS, find_condition};
use crate::support::{Bucket, ControlPlane, S3Server, World};

/// What is in the victim's file, and must never arrive anywhere.
const VICTIMS: &str = "the victim's own line\n";

/// How an attack ends.
enum End {
    /// The apiserver refuses the manifest, with these words.
    Refused(&'static str),
    /// The destination is stalled for that reason, with these words.
    Destination(&'static str, &'static str),
    /// The delivery fails for that reason, with these words.
    Delivery(&'static str, &'static str),
}
use End::{Delivery, Destination, Refused};

/// The attack's name, which is the object's too; how it ends; and what is applied.
type Attack = (&'static str, End, fn(&Ground, &str) -> String);

/// Two tenants of one operator. The attacker's is [`World`]'s.
struct Ground {
    world: World,
    victim: Namespace<'static>,
    victims_bucket: Bucket,
    evil: Evil,
}

impl Ground {
    async fn new() -> Ground {
        let s3 = S3Server::shared();
        let (victim, evil) = (
            ControlPlane::shared().namespace("victim"),
            Evil::start().await,
        );
        let victims_bucket = s3.bucket(&s3.customer()).await;
        // The victim's customer trusts us: what keeps the attacker out is the operator alone.
        let actions = [&WRITE_ACTIONS[..], &["s3:PutObjectAcl"]].concat();
        victims_bucket.grant(&s3.us(), "", &actions).await;
        let owner = s3.customer().access_key;
        let world = World::start_with("attacks", &s3, |config| {
            config
                .allow_bucket(victim.name(), victims_bucket.name(), &owner, &["secret/"])
                .with("endpoints.allow", json!([s3.url(), evil.url()]))
        })
        .await;
        let folder = world.folder().parent().unwrap().join(victim.name());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("secret.csv"), VICTIMS).unwrap();
        world.access_key_destination("acme", "").await;
        world.file("ours.csv", "1\n");
        Ground {
            world,
            victim,
            victims_bucket,
            evil,
        }
    }

    /// A file of the attacker's that is the victim's by a link.
    fn link(&self, name: &str, to: &str) {
        symlink(to, self.world.folder().join(name)).unwrap();
    }
}

fn destination(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\nmetadata: {{name: {name}}}\nspec: {{{spec}}}\n"
    )
}

/// By our own identity, into a bucket of somebody's.
fn cross(name: &str, bucket: &str, owner: &str, prefix: &str) -> String {
    destination(
        name,
        &format!(
            "permissionMode: CrossAccount, bucket: {bucket:?}, bucketOwner: {owner:?}, prefix: {prefix:?}, region: us-east-1"
        ),
    )
}

/// With a key of the attacker's, at an endpoint, with more fields.
fn keyed(name: &str, bucket: &str, endpoint: &str, more: &str) -> String {
    let endpoint = if endpoint.is_empty() {
        String::new()
    } else {
        format!("endpoint: {endpoint:?}, ")
    };
    destination(
        name,
        &format!(
            "{endpoint}permissionMode: AccessKey, accessKey: {{secretRef: {{name: acme}}}}, bucket: {bucket:?}{more}"
        ),
    )
}

/// With a Secret of its own, whose values are JSON texts.
fn with_secret(ground: &Ground, name: &str, data: &str) -> String {
    let secret = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}, stringData: {data}}}\n---\n"
    );
    let (bucket, url) = (ground.world.bucket.name(), ground.world.s3.url());
    let spec = format!(
        "endpoint: {url:?}, permissionMode: AccessKey, accessKey: {{secretRef: {{name: {name}}}}}, bucket: {bucket}, prefix: {PREFIX}"
    );
    secret + &destination(name, &spec)
}

fn delivery(name: &str, path: &str, more: &str) -> String {
    // JSON's escapes are YAML's: Rust's own would not be.
    let path = serde_json::to_string(path).unwrap();
    format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\nmetadata: {{name: {name}}}\n\
         spec:\n  destinationRef: {{name: acme}}\n  source: {{volume: {{path: {path}}}}}\n{more}"
    )
}

/// A store that means harm, in the way that the attack is named.
fn evil(ground: &Ground, name: &str) -> String {
    keyed(name, name, ground.evil.url(), ", prefix: audience/")
}

const LEAVES: &str = "leave the namespace's folder";

const ATTACKS: &[Attack] = &[
    // Other tenants' places, with the identity that all tenants share.
    (
        "bucket-of-another",
        Destination("BucketNotAllowed", "crossAccountBuckets"),
        |ground, name| {
            cross(
                name,
                ground.victims_bucket.name(),
                &ground.world.s3.customer().access_key,
                "secret/",
            )
        },
    ),
    (
        "owner-of-another",
        Destination("BucketNotAllowed", "owner"),
        |ground, name| cross(name, ground.world.bucket.name(), "333333333333", PREFIX),
    ),
    (
        "prefix-of-another",
        Destination("BucketNotAllowed", "prefix"),
        |ground, name| {
            cross(
                name,
                ground.world.bucket.name(),
                &ground.world.s3.customer().access_key,
                "secret/",
            )
        },
    ),
    (
        "prefix-that-only-begins-alike",
        Destination("BucketNotAllowed", "prefix"),
        |ground, name| {
            cross(
                name,
                ground.world.bucket.name(),
                &ground.world.s3.customer().access_key,
                "audience-b/",
            )
        },
    ),
    (
        "prefix-of-all",
        Destination("BucketNotAllowed", "prefix"),
        |ground, name| {
            cross(
                name,
                ground.world.bucket.name(),
                &ground.world.s3.customer().access_key,
                "",
            )
        },
    ),
    (
        "role-of-another",
        Destination("RoleNotAllowed", "tenancy[].roles"),
        |_, name| {
            destination(
                name,
                "permissionMode: AssumeRole, bucket: acme, region: us-east-1, \
                 assumeRole: {roleArn: \"arn:aws:iam::444455556666:role/drop\"}",
            )
        },
    ),
    (
        "external-id-of-another",
        Refused("externalId"),
        |_, name| {
            destination(
                name,
                "permissionMode: AssumeRole, bucket: acme, \
                 assumeRole: {roleArn: \"arn:aws:iam::444455556666:role/drop\", externalId: copied}",
            )
        },
    ),
    ("secret-of-another", Refused("secretRef.name"), |_, name| {
        destination(
            name,
            "permissionMode: AccessKey, accessKey: {secretRef: {name: victim/acme}}, bucket: acme",
        )
    }),
    (
        "destination-of-another",
        Refused("destinationRef.name"),
        |_, name| delivery(name, "ours.csv", "").replace("{name: acme}", "{name: victim/acme}"),
    ),
    // Places that nobody gave.
    (
        "endpoint-with-our-identity",
        Refused("our own identity signs for AWS alone"),
        |ground, name| {
            destination(
                name,
                &format!(
                    "permissionMode: CrossAccount, bucket: acme, bucketOwner: \"111111111111\", endpoint: {:?}",
                    ground.evil.url()
                ),
            )
        },
    ),
    (
        "endpoint-not-on-the-list",
        Destination("EndpointNotAllowed", "endpoints.allow"),
        |ground, name| keyed(name, "acme", ground.evil.canary(), ""),
    ),
    (
        "endpoint-of-instance-metadata",
        Destination("EndpointNotAllowed", "endpoints.allow"),
        |_, name| keyed(name, "latest", "http://169.254.169.254", ""),
    ),
    (
        "endpoint-that-only-begins-alike",
        Destination("EndpointNotAllowed", "endpoints.allow"),
        |ground, name| {
            keyed(
                name,
                "acme",
                &ground
                    .evil
                    .url()
                    .replace("127.0.0.1", "127.0.0.1.evil.example"),
                "",
            )
        },
    ),
    (
        "endpoint-with-credentials",
        Refused("an endpoint is scheme, host and port"),
        |_, name| keyed(name, "acme", "https://127.0.0.1:9000@evil.example", ""),
    ),
    (
        "endpoint-with-a-path",
        Refused("an endpoint is scheme, host and port"),
        |ground, name| keyed(name, "acme", &format!("{}/latest", ground.evil.url()), ""),
    ),
    (
        "endpoint-of-another-scheme",
        Refused("an endpoint is scheme, host and port"),
        |_, name| keyed(name, "acme", "file:///etc", ""),
    ),
    (
        "bucket-that-is-a-host",
        Refused("letters, digits, dots and hyphens only"),
        |_, name| keyed(name, "evil.example:443", "", ""),
    ),
    (
        "bucket-that-climbs",
        Refused("letters, digits, dots and hyphens only"),
        |_, name| keyed(name, "acme/../victim", "", ""),
    ),
    ("prefix-that-climbs", Refused("segment"), |_, name| {
        keyed(name, "acme", "", ", prefix: audience/../secret/")
    }),
    (
        "prefix-that-rings",
        Refused("control characters are not allowed"),
        |_, name| keyed(name, "acme", "", ", prefix: \"audience/\\u0007/\""),
    ),
    ("owner-that-is-a-policy", Refused("12 digits"), |_, name| {
        cross(name, "acme", "*", "")
    }),
    // Secrets that are more than a key.
    (
        "secret-with-a-newline",
        Destination("SecretInvalid", "newline"),
        |ground, name| {
            with_secret(
                ground,
                name,
                r#"{"accessKeyId": "AKIDX", "secretAccessKey": "canary-never-shown\n"}"#,
            )
        },
    ),
    (
        "secret-with-a-header",
        Destination("SecretInvalid", "accessKeyId"),
        |ground, name| {
            with_secret(
                ground,
                name,
                r#"{"accessKeyId": "AKIDX\r\nX-Injected: 1", "secretAccessKey": "canary-never-shown"}"#,
            )
        },
    ),
    (
        "secret-without-a-key",
        Destination("SecretKeyMissing", "secretAccessKey"),
        |ground, name| with_secret(ground, name, r#"{"accessKeyId": "AKIDX"}"#),
    ),
    // Paths, in seven spellings.
    ("path-up", Refused(LEAVES), |ground, name| {
        delivery(name, &format!("../{}/secret.csv", ground.victim.name()), "")
    }),
    ("path-up-from-within", Refused(LEAVES), |ground, name| {
        delivery(
            name,
            &format!("a/../../{}/secret.csv", ground.victim.name()),
            "",
        )
    }),
    ("path-up-behind-a-star", Refused(LEAVES), |ground, name| {
        delivery(name, &format!("**/../{}/*", ground.victim.name()), "")
    }),
    (
        "path-from-the-root",
        Refused("relative to the namespace's folder"),
        |_, name| delivery(name, "/etc/passwd", ""),
    ),
    (
        "path-with-percents",
        Delivery("SourceNotFound", "%2e%2e"),
        |ground, name| {
            delivery(
                name,
                &format!("%2e%2e/{}/secret.csv", ground.victim.name()),
                "",
            )
        },
    ),
    (
        "path-with-backslashes",
        Delivery("SourceNotFound", "secret.csv"),
        |ground, name| {
            delivery(
                name,
                &format!("..\\{}\\secret.csv", ground.victim.name()),
                "",
            )
        },
    ),
    (
        "path-with-wide-dots",
        Delivery("SourceNotFound", "secret.csv"),
        |ground, name| {
            delivery(
                name,
                &format!("\u{ff0e}\u{ff0e}/{}/secret.csv", ground.victim.name()),
                "",
            )
        },
    ),
    // Files that aren't.
    (
        "link-up",
        Delivery("PathNotAllowed", "link-up.csv"),
        |ground, name| {
            ground.link(
                "link-up.csv",
                &format!("../{}/secret.csv", ground.victim.name()),
            );
            delivery(name, "link-up.csv", "")
        },
    ),
    (
        "link-from-the-root",
        Delivery("PathNotAllowed", "link-root.csv"),
        |ground, name| {
            ground.link("link-root.csv", "/etc/passwd");
            delivery(name, "link-root.csv", "")
        },
    ),
    (
        "link-of-a-folder",
        Delivery("PathNotAllowed", "link-folder"),
        |ground, name| {
            ground.link("link-folder", &format!("../{}", ground.victim.name()));
            delivery(name, "link-folder/*.csv", "")
        },
    ),
    (
        "link-through-proc",
        Delivery("PathNotAllowed", "link-proc"),
        |ground, name| {
            ground.link("link-proc", "/proc/self/environ");
            delivery(name, "link-proc", "")
        },
    ),
    (
        "fifo-that-hangs",
        Delivery("SourceUnreadable", "FIFO"),
        |ground, name| {
            let fifo = ground.world.folder().join("fifo.csv");
            assert!(
                std::process::Command::new("mkfifo")
                    .arg(fifo)
                    .status()
                    .unwrap()
                    .success()
            );
            delivery(name, "fifo.csv", "")
        },
    ),
    (
        "socket-for-a-file",
        Delivery("SourceUnreadable", "socket"),
        |ground, name| {
            // The path of a socket is short, and the folder's isn't: bound by a link from elsewhere.
            let short = std::env::temp_dir().join(crate::support::process::unique("s"));
            drop(UnixListener::bind(&short).unwrap());
            std::fs::rename(&short, ground.world.folder().join("socket.csv"))
                .or_else(|_| std::fs::remove_file(&short))
                .unwrap();
            delivery(name, "socket.csv", "")
        },
    ),
    (
        "name-that-is-no-text",
        Delivery("SourceUnreadable", "UTF-8"),
        |ground, name| {
            let file = OsStr::from_bytes(b"bytes-\xff\xfe.csv");
            std::fs::write(ground.world.folder().join(file), "1\n").unwrap();
            delivery(name, "bytes-*", "")
        },
    ),
    (
        "name-that-forges-a-line",
        Delivery("KeyInvalid", "control character"),
        |ground, name| {
            ground.world.file("line\nforged line\u{1b}[2J.csv", "1\n");
            delivery(name, "line*", "")
        },
    ),
    // Keys.
    ("key-that-climbs", Refused("segment"), |_, name| {
        delivery(name, "ours.csv", "  key: \"../{name}\"\n")
    }),
    (
        "key-from-the-root",
        Refused("no leading or closing"),
        |_, name| delivery(name, "ours.csv", "  key: \"/{name}\"\n"),
    ),
    (
        "key-of-a-file-that-climbs",
        Delivery("KeyInvalid", "segment"),
        |ground, name| {
            // "{stem}" of this name is "..".
            ground.world.file("climb/...csv", "1\n");
            delivery(name, "climb/...csv", "  key: \"{stem}/x\"\n")
        },
    ),
    (
        "key-of-the-receipt",
        Delivery("KeyCollision", "receipt"),
        |ground, name| {
            ground.world.file("same.csv", "1\n");
            delivery(name, "same.csv", "  key: same\n  receipt: {key: same}\n")
        },
    ),
    // Stores that mean harm.
    (
        "redirect-for-now",
        Destination("EndpointUnreachable", ""),
        evil,
    ),
    ("redirect-for-good", Destination("RegionMismatch", ""), evil),
    (
        "redirect-to-metadata",
        Destination("EndpointUnreachable", ""),
        evil,
    ),
    (
        "answer-without-end",
        Destination("EndpointUnreachable", ""),
        evil,
    ),
    (
        "message-of-megabytes",
        Destination("AccessDenied", ""),
        evil,
    ),
    ("entities-that-grow", Destination("AccessDenied", ""), evil),
    ("words-that-forge", Destination("AccessDenied", ""), evil),
    ("code-that-forges", Destination("AccessDenied", ""), evil),
    ("id-that-injects", Destination("AccessDenied", ""), evil),
    ("not-an-s3", Destination("EndpointUnreachable", ""), evil),
    ("not-http", Destination("EndpointUnreachable", ""), evil),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_refused_with_its_own_reason() {
    let ground = Ground::new().await;
    assert!(ATTACKS.len() >= 40, "{}", ATTACKS.len());
    let mut wrong = Vec::new();
    for (name, end, mount) in ATTACKS {
        let output = ground.world.namespace.apply(&mount(&ground, name));
        match end {
            Refused(_) if output.success => wrong.push(format!("{name}: was taken")),
            Refused(words) if !output.stderr.contains(words) => {
                wrong.push(format!(
                    "{name}: refused without {words:?}: {}",
                    output.stderr
                ));
            }
            Destination(..) | Delivery(..) if !output.success => {
                wrong.push(format!("{name}: was refused: {}", output.stderr));
            }
            _ => {}
        }
    }
    for (name, end, _) in ATTACKS {
        let (kind, reason, words) = match end {
            Refused(_) => continue,
            Destination(reason, words) => ("obdest", *reason, *words),
            Delivery(reason, words) => ("obdel", *reason, *words),
        };
        if let Err(seen) = ends(&ground, kind, name, reason, words).await {
            wrong.push(seen);
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{}",
        wrong.join("\n"),
        ground.world.operator.log_tail()
    );
    nothing_was_reached(&ground).await;
}

/// Waits until the object is stalled, and compares why.
async fn ends(
    ground: &Ground,
    kind: &str,
    name: &str,
    reason: &str,
    words: &str,
) -> Result<(), String> {
    let what = format!("{kind} {name} is stalled");
    let stalled = eventually(PATIENCE * 5, &what, async || {
        let object = ground.world.namespace.get(kind, name).unwrap_or_default();
        let stalled = find_condition(&object, "Stalled").filter(|it| it["status"] == "True");
        stalled
            .cloned()
            .ok_or_else(|| format!("{:#}", object["status"]))
    })
    .await;
    let (why, message) = (
        stalled["reason"].as_str(),
        stalled["message"].as_str().unwrap_or_default(),
    );
    if message.chars().any(|c| c.is_control() || c == '\u{202e}') {
        return Err(format!(
            "{name}: its message isn't fit to print: {message:?}"
        ));
    }
    if message.len() > 4096 {
        return Err(format!("{name}: its message has {} bytes", message.len()));
    }
    if why == Some(reason) && message.contains(words) {
        Ok(())
    } else {
        Err(format!(
            "{name}: not {reason} with {words:?}, but {why:?}: {message}"
        ))
    }
}

async fn nothing_was_reached(ground: &Ground) {
    let Ground {
        world,
        victims_bucket,
        evil,
        ..
    } = ground;
    // The victim's bucket and file.
    assert_eq!(
        victims_bucket
            .requests()
            .iter()
            .filter(|it| it.requester != "111111111111")
            .count(),
        0
    );
    assert!(victims_bucket.keys().is_empty());
    // Nothing of an attack has arrived in the attacker's own bucket either.
    assert!(world.bucket.keys().is_empty(), "{:?}", world.bucket.keys());
    // The stores that mean harm.
    assert_eq!(evil.caught(), 0, "a redirect was followed");
    let injected = evil.heads("id-that-injects");
    assert!(injected.len() >= 2, "the id came back: {injected:?}");
    for head in injected {
        let first = head.lines().next().unwrap();
        assert!(
            first.ends_with(" HTTP/1.1") && first.matches(' ').count() == 2,
            "{head}"
        );
        assert!(!head.contains("\nX-Injected"), "{head}");
        assert!(first.contains(" /id-that-injects/audience/"), "{head}");
    }
    // Each answer without end was cut off. Some more than the limit is on its way in the kernel's buffers.
    let asked = evil.heads("answer-without-end").len();
    assert!(
        evil.taken() <= asked * (64 << 20),
        "{} bytes in {asked} answers",
        evil.taken()
    );
    // What attackers wrote is nowhere as they wrote it, and no secret is anywhere.
    let log = world.operator.log();
    for line in log.lines() {
        // Each line is one of the log's own, which says when and where from.
        let own = serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}"));
        assert!(
            own["timestamp"].is_string() && own["target"].is_string(),
            "{line}"
        );
        assert_ne!(own["message"], "forged line", "{line}");
    }
    assert!(!log.contains('\u{1b}') && !log.contains('\u{202e}'));
    assert!(!log.contains("canary-never-shown") && !log.contains("panicked"));
    // And the operator serves its tenants.
    world.apply(&delivery("good", "ours.csv", ""));
    world.condition("obdel", "good", "Complete", "True").await;
    assert_eq!(world.bucket.files()["audience/ours.csv"], b"1\n");
}

/// Policy: a hard link is the file itself, and no one can tell which name was first. Who can make one in the
/// namespace's folder can reach the file already; folders of different tenants belong on different mounts, across
/// which the kernel makes no hard link.
#[tokio::test]
async fn a_hard_link_is_a_file_of_the_folder() {
    let world = World::start("attack-hard-link").await;
    world.access_key_destination("acme", "").await;
    let file = world.file("a.csv", "1\n");
    std::fs::hard_link(file, world.folder().join("b.csv")).unwrap();
    world.apply(&delivery("linked", "b.csv", ""));
    world.condition("obdel", "linked", "Complete", "True").await;
    assert_eq!(world.bucket.files()["audience/b.csv"], b"1\n");
}

#[tokio::test]
async fn a_device_is_no_source() {
    let world = World::start("attack-device").await;
    world.access_key_destination("acme", "").await;
    std::fs::create_dir_all(world.folder()).unwrap();
    let device = world.folder().join("zero.csv");
    let mut made = std::process::Command::new("mknod");
    made.arg(&device).args(["c", "1", "5"]);
    if !made.status().unwrap().success() {
        // Only root makes devices; for others a FIFO is refused by the same rule.
        let mut fifo = std::process::Command::new("mkfifo");
        assert!(fifo.arg(&device).status().unwrap().success());
    }
    world.apply(&delivery("endless", "zero.csv", ""));
    let failed = world.condition("obdel", "endless", "Failed", "True").await;
    assert_eq!(failed["reason"], "SourceUnreadable", "{failed:#}");
}
