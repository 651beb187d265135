//! The commands that need no cluster, as a person at a laptop runs them.

mod deliver;
mod listing;
mod plan;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::process::Scratch;
use crate::support::world::{PREFIX, WRITE_ACTIONS};
use crate::support::{Credentials, S3Server, World};

const DOCS: &str = include_str!("../../docs/commands.md");

/// A folder to be in, and the environment of somebody without AWS settings, but for those of `identity`.
pub(crate) struct Laptop {
    folder: Scratch,
    identity: Option<Credentials>,
}

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Laptop {
    pub(crate) fn new() -> Laptop {
        Laptop {
            folder: Scratch::new("laptop"),
            identity: None,
        }
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<str>) {
        std::fs::write(self.folder.path().join(name), text.as_ref()).unwrap();
    }

    /// Runs `outbound-operator` with the arguments in `line`.
    fn run(&self, line: &str) -> Ran {
        self.run_with(line, &[])
    }

    pub(crate) fn run_with(&self, line: &str, environment: &[(&str, &str)]) -> Ran {
        let output: Output = self.command(line, environment).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    fn command(&self, line: &str, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_outbound-operator"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("AWS_") {
                command.env_remove(name);
            }
        }
        let nowhere = Path::new("no-aws-files");
        command
            .env("AWS_CONFIG_FILE", nowhere)
            .env("AWS_SHARED_CREDENTIALS_FILE", nowhere)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env_remove("KUBECONFIG")
            .env_remove("RUST_LOG");
        if let Some(identity) = &self.identity {
            command
                .env("AWS_ACCESS_KEY_ID", &identity.access_key)
                .env("AWS_SECRET_ACCESS_KEY", &identity.secret_key);
        }
        // Where a command without --state keeps its own.
        command.env("XDG_STATE_HOME", self.folder.path().join("home"));
        command.envs(environment.iter().copied());
        command
    }

    /// Writes a source file of the namespace `marketing`.
    fn export(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.folder.path().join("exports/marketing").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

/// The blocks of that language in a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn the_page_of_the_commands_shows_what_they_print() {
    let s3 = S3Server::shared();
    let bucket = s3.bucket(&s3.customer()).await;
    let user = s3.user("writer");
    bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    let laptop = Laptop::new();
    laptop.export("2026-11-24/airports.csv", "icao,name\nEDDF,Frankfurt\n");
    laptop.export("2026-11-24/planes.csv", "tail\n".repeat(400));
    for file in blocks(DOCS, "yaml") {
        let (name, text) = file.split_once('\n').unwrap();
        let text = text
            .replace("acme-inbound", bucket.name())
            .replace("https://s3.acme.example", s3.url())
            .replace("SECRET-ACCESS-KEY", &user.secret_key)
            .replace("ACCESS-KEY-ID", &user.access_key);
        laptop.write(name.strip_prefix("# ").unwrap(), text);
    }
    let mut shown = String::new();
    let mut ran = String::new();
    for block in blocks(DOCS, "console") {
        let mut last = 0;
        shown.push_str(&block);
        for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            ran.push_str(&format!("$ {line}\n"));
            if line == "echo $?" {
                ran.push_str(&format!("{last}\n"));
                continue;
            }
            let result = laptop.run(line.strip_prefix("outbound-operator ").unwrap());
            last = result.code;
            let is_bad_input = result.code == 2;
            let text = if is_bad_input {
                result.stderr
            } else {
                result.stdout
            };
            ran.push_str(&text.replace(bucket.name(), "acme-inbound"));
        }
    }
    assert_eq!(ran, shown, "docs/commands.md shows something else");
}

/// A status without what differs between any two operators, or two proofs.
fn comparable(object: &Value) -> Value {
    let mut status = object["status"].clone();
    let members = status.as_object_mut().unwrap();
    for field in ["lastVerifiedTime", "secretVersion", "observedGeneration"] {
        members.remove(field);
    }
    for condition in status["conditions"].as_array_mut().unwrap() {
        let condition = condition.as_object_mut().unwrap();
        condition.remove("lastTransitionTime");
        condition.remove("observedGeneration");
    }
    status
}

#[tokio::test]
async fn verify_says_what_the_operator_says() {
    let world = World::start("verify").await;
    world.access_key_destination("acme", "").await;
    // The bucket's policy doesn't name us.
    let (bucket, owner) = (world.bucket.name(), world.s3.customer().access_key);
    world.apply(&format!(
        "{{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {{name: globex}}, \
         spec: {{bucket: {bucket}, prefix: {PREFIX}, region: us-east-1, bucketOwner: \"{owner}\", permissionMode: CrossAccount}}}}"
    ));
    world.condition("obdest", "acme", "Ready", "True").await;
    world.condition("obdest", "globex", "Ready", "False").await;
    let laptop = Laptop {
        identity: Some(world.s3.us()),
        ..Laptop::new()
    };
    // As `kubectl get -o json` gives them: with status, uid and all.
    let mut items: Vec<Value> = ["acme", "globex"]
        .map(|name| world.get("obdest", name))
        .into();
    items.push(world.get("secret", "acme"));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    laptop.write("all.json", list.to_string());
    laptop.write("operator.yaml", world.operator.config().render());
    let ran = laptop.run("verify -f all.json --config operator.yaml -o json");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    for (printed, name) in printed["items"]
        .as_array()
        .unwrap()
        .iter()
        .zip(["acme", "globex"])
    {
        assert_eq!(printed["metadata"]["name"], name);
        assert_eq!(printed["spec"], world.get("obdest", name)["spec"]);
        let theirs = comparable(&world.get("obdest", name));
        assert_eq!(comparable(printed), theirs, "{name}");
    }
    let yaml = laptop.run("verify -f all.json --config operator.yaml -o yaml acme");
    assert_eq!(yaml.code, 0, "{}", yaml.stderr);
    let printed: Value = outbound_operator::yaml::read(&yaml.stdout).unwrap();
    assert_eq!(printed["status"]["conditions"][0]["status"], "True");
    assert!(world.bucket.keys().is_empty() && world.bucket.uploads().await.is_empty());
}

const ACME: &str = "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\n\
    metadata: {name: acme, namespace: marketing}\n\
    spec: {bucket: BUCKET, prefix: audience/, endpoint: \"URL\", permissionMode: AccessKey, accessKey: {secretRef: {name: s}}}\n";

#[tokio::test]
async fn what_is_wrong_with_a_destination_is_told_and_no_secret_is() {
    let s3 = S3Server::shared();
    let bucket = s3.bucket(&s3.customer()).await;
    let user = s3.user("writer");
    bucket.grant(&user, PREFIX, &WRITE_ACTIONS).await;
    let acme = ACME
        .replace("BUCKET", bucket.name())
        .replace("URL", s3.url());
    let secret = |namespace: &str, data: &str| {
        format!(
            "---\n{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: {namespace}}}, stringData: {{{data}}}}}\n"
        )
    };
    let right = format!(
        "accessKeyId: {:?}, secretAccessKey: {:?}",
        user.access_key, user.secret_key
    );
    let wrong = format!(
        "accessKeyId: {:?}, secretAccessKey: hunter2-hunter2",
        user.access_key
    );
    for (case, manifests, code, reason) in [
        ("right", secret("marketing", &right), 0, "True (Verified)"),
        (
            "wrong",
            secret("marketing", &wrong),
            1,
            "False (SignatureDoesNotMatch)",
        ),
        ("missing", String::new(), 1, "False (SecretNotFound)"),
        (
            "another namespace's",
            secret("sales", &right),
            1,
            "False (SecretNotFound)",
        ),
        (
            "without a key",
            secret("marketing", "accessKeyId: hunter2"),
            1,
            "False (SecretKeyMissing)",
        ),
        (
            "with a newline",
            secret(
                "marketing",
                "accessKeyId: a, secretAccessKey: \"hunter2\\n\"",
            ),
            1,
            "False (SecretInvalid)",
        ),
    ] {
        let laptop = Laptop::new();
        laptop.write("a.yaml", format!("{acme}{manifests}"));
        for output in ["table", "json", "yaml"] {
            let line = format!("verify -f a.yaml -o {output}");
            let ran = laptop.run_with(&line, &[("RUST_LOG", "trace")]);
            assert_eq!(ran.code, code, "{case}: {}", ran.stderr);
            let all = format!("{}{}", ran.stdout, ran.stderr);
            assert!(
                !all.contains("hunter2") && !all.contains(&user.secret_key),
                "{case}"
            );
            if output == "table" {
                assert!(ran.stdout.contains(reason), "{case}: {}", ran.stdout);
            }
        }
    }
}

#[test]
fn bad_input_is_told_before_anything_is_contacted() {
    let laptop = Laptop::new();
    let cross = "{apiVersion: outbound.dev/v1alpha1, kind: OutboundDestination, metadata: {name: globex}, \
                 spec: {bucket: globex, bucketOwner: \"111122223333\", permissionMode: CrossAccount}}";
    laptop.write("cross.yaml", cross);
    laptop.write(
        "secret.yaml",
        "{apiVersion: v1, kind: Secret, metadata: {name: s}}",
    );
    laptop.write("broken.yaml", "a: [");
    laptop.write("twice.yaml", format!("{cross}\n---\n{cross}"));
    laptop.write("operator.yaml", "clusterId: a");
    laptop.write("wrong.yaml", "clusterId: a\ncolour: red");
    for (line, words) in [
        ("verify", "--filename <PATH>"),
        ("verify -f none.yaml", "none.yaml: No such file"),
        ("verify -f broken.yaml", "broken.yaml, document 1: "),
        (
            "verify -f secret.yaml",
            "the manifests hold no OutboundDestination",
        ),
        (
            "verify -f cross.yaml acme",
            "the manifests hold no OutboundDestination \"acme\"",
        ),
        (
            "verify -f cross.yaml",
            "default/globex: permissionMode CrossAccount needs --config",
        ),
        (
            "verify -f twice.yaml",
            "document 2, metadata.name: OutboundDestination globex is there twice",
        ),
        ("verify -f cross.yaml --config none.yaml", "none.yaml"),
        ("verify -f cross.yaml --config wrong.yaml", "colour"),
        ("verify -f cross.yaml -o xml", "table, json, yaml"),
        ("grant -f cross.yaml", "needs --config"),
        (
            "grant -f cross.yaml --config operator.yaml",
            "the configuration has no identity",
        ),
        (
            "grant -f cross.yaml -f broken.yaml",
            "broken.yaml, document 1: ",
        ),
    ] {
        let ran = laptop.run(line);
        assert_eq!(ran.code, 2, "{line}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stderr.contains(words), "{line}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{line}");
    }
}

#[test]
fn a_grant_is_what_the_status_would_hold() {
    let laptop = Laptop::new();
    laptop.write(
        "a.yaml",
        ACME.replace("BUCKET", "acme")
            .replace("URL", "https://s3.example"),
    );
    let json = laptop.run("grant -f a.yaml -o json");
    assert_eq!(json.code, 0, "{}", json.stderr);
    let printed: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&printed[0]["namespace"], &printed[0]["name"]),
        (&json!("marketing"), &json!("acme"))
    );
    let policy = printed[0]["grant"]["identityPolicy"].as_str().unwrap();
    let policy: Value = serde_json::from_str(policy).unwrap();
    assert_eq!(
        policy["Statement"][0]["Resource"],
        "arn:aws:s3:::acme/audience/*"
    );
    let yaml = laptop.run("grant -f a.yaml -o yaml");
    assert_eq!(
        outbound_operator::yaml::read::<Value>(&yaml.stdout).unwrap(),
        printed
    );
}
