//! `plan`: what would be written, and what would be refused, from manifests and a folder.

use serde_json::{Value, json};

use super::Laptop;

pub(super) const DESTINATION: &str = "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDestination\n\
    metadata: {name: acme, namespace: marketing}\n\
    spec: {bucket: acme-inbound, prefix: audience/, endpoint: \"https://s3.acme.example\", permissionMode: AccessKey, \
    accessKey: {secretRef: {name: s}}}\n---\n";

pub(super) fn delivery(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: outbound.dev/v1alpha1\nkind: OutboundDelivery\n\
         metadata: {{name: {name}, namespace: marketing}}\nspec: {{destinationRef: {{name: acme}}, {spec}}}\n---\n"
    )
}

/// Plans these deliveries; returns the exit code and what is printed as JSON.
fn planned(laptop: &Laptop, deliveries: &str) -> (i32, Value) {
    laptop.write("plan.yaml", format!("{DESTINATION}{deliveries}"));
    let ran = laptop.run("plan -f plan.yaml --volume-root exports -o json");
    assert!(ran.code != 2, "{}", ran.stderr);
    let printed = serde_json::from_str(&ran.stdout).unwrap();
    let yaml = laptop.run("plan -f plan.yaml --volume-root exports -o yaml");
    assert_eq!(
        outbound_operator::yaml::read::<Value>(&yaml.stdout).unwrap(),
        printed
    );
    (ran.code, printed)
}

#[test]
fn a_plan_names_every_split_with_its_bytes_and_parts() {
    let laptop = Laptop::new();
    laptop.export("a/1.csv", "12345\n".repeat(10));
    laptop.export("a/2.csv", "x".repeat(20 << 20));
    laptop.export("a/empty.csv", "");
    let spec = "source: {volume: {path: a/*.csv}}, split: {size: 45}, key: \"{date}/{stem}{split}{ext}\", \
                logicalTime: \"2026-11-24T00:00:00Z\"";
    let large = "source: {volume: {path: a/2.csv}}, receipt: {key: large.info}";
    let (code, printed) = planned(
        &laptop,
        &format!(
            "{}{}",
            delivery(
                "cut",
                &spec.replace("a/*.csv", "a/[1e]*.csv").replace("[1e]*", "1")
            ),
            delivery("large", large)
        ),
    );
    assert_eq!(code, 0, "{printed:#}");
    assert_eq!(printed["version"], 1);
    assert_eq!(printed["collisions"], json!([]));
    let cut = &printed["deliveries"][0];
    assert_eq!(
        (&cut["namespace"], &cut["name"], &cut["destination"]),
        (&json!("marketing"), &json!("cut"), &json!("acme"))
    );
    let plan = &cut["plan"];
    // 45 bytes hold seven lines of six bytes.
    assert_eq!(
        plan["objects"],
        json!([
            {"sequence": 1, "key": "audience/2026-11-24/1-001.csv", "bytes": 42, "header": 0, "parts": 1, "partSize": 42,
             "source": {"path": "a/1.csv", "offset": 0}},
            {"sequence": 2, "key": "audience/2026-11-24/1-002.csv", "bytes": 18, "header": 0, "parts": 1, "partSize": 18,
             "source": {"path": "a/1.csv", "offset": 42}},
        ])
    );
    assert_eq!(plan["receipt"]["key"], "audience/cut.info");
    let total = |field: &str| plan[field].as_u64().unwrap();
    assert_eq!((total("files"), total("bytes"), total("parts")), (1, 60, 2));
    assert_eq!(plan["bucket"], "acme-inbound");
    let large = &printed["deliveries"][1]["plan"];
    assert_eq!(large["objects"][0]["parts"], 3);
    assert_eq!(large["objects"][0]["partSize"], 8 << 20);
    // Three buffers of a part each, and no more than there are parts.
    assert_eq!(large["memory"], 24 << 20);
    let table = laptop.run("plan -f plan.yaml --volume-root exports cut");
    for words in [
        "marketing/cut to acme",
        "audience/2026-11-24/1-002.csv",
        "60 (60 B)",
        "audience/cut.info",
    ] {
        assert!(table.stdout.contains(words), "{}", table.stdout);
    }
    assert!(!table.stdout.contains("marketing/large"));
}

#[test]
fn what_would_be_refused_has_the_reason_that_the_operator_gives() {
    let laptop = Laptop::new();
    laptop.export("a/1.csv", "x".repeat(100));
    laptop.export("b/1.csv", "y\n");
    let volume = |path: &str| format!("source: {{volume: {{path: \"{path}\"}}}}");
    let cases = [
        ("missing", volume("none.csv"), "SourceNotFound", "Fails"),
        ("empty", volume("none/*.csv"), "SourceEmpty", "Fails"),
        (
            "young",
            "source: {volume: {path: a/1.csv, minAge: 24h}}".to_owned(),
            "WaitingForSource",
            "Waits",
        ),
        (
            "long",
            format!("{}, split: {{size: 50}}", volume("a/1.csv")),
            "RecordTooLong",
            "Fails",
        ),
        ("twice", volume("**/1.csv"), "KeyCollision", "Fails"),
        (
            "many",
            format!("{}, split: {{size: 1M, boundary: Byte}}", volume("sparse")),
            "TooManyObjects",
            "Fails",
        ),
        (
            "blind",
            format!("{}, ifExists: Skip", volume("a/1.csv")),
            "DestinationNotReady",
            "Stalls",
        ),
    ];
    let sparse =
        std::fs::File::create(laptop.folder.path().join("exports/marketing/sparse")).unwrap();
    sparse.set_len(1_000_000_000_000).unwrap();
    let all: String = cases
        .iter()
        .map(|(name, spec, ..)| delivery(name, spec))
        .collect();
    let elsewhere =
        delivery("elsewhere", &volume("a/1.csv")).replace("name: acme}", "name: globex}");
    let (code, printed) = planned(&laptop, &(all + &elsewhere));
    assert_eq!(code, 1);
    for (at, (name, _, reason, then)) in cases.iter().enumerate() {
        let found = &printed["deliveries"][at];
        assert_eq!(found["name"], *name);
        assert_eq!(found["refused"]["reason"], *reason, "{found:#}");
        assert_eq!(found["refused"]["then"], *then, "{found:#}");
        assert!(found["plan"].is_null());
        assert!(!found["refused"]["message"].as_str().unwrap().is_empty());
    }
    let refused = &printed["deliveries"][cases.len()]["refused"];
    assert_eq!(refused["reason"], "DestinationNotReady");
    let table = laptop.run("plan -f plan.yaml --volume-root exports missing");
    assert_eq!(table.code, 1);
    assert!(table.stdout.contains("SourceNotFound"), "{}", table.stdout);
}

/// By the engine's own rule: the largest object, in parts that it would need if nothing of it shrank.
#[test]
fn what_compressing_takes_is_known_before() {
    let laptop = Laptop::new();
    laptop.export("small.csv", "a\n".repeat(1000));
    let sparse = laptop.folder.path().join("exports/marketing/sparse");
    let sparse = std::fs::File::create(sparse).unwrap();
    sparse.set_len(1_000_000_000_000).unwrap();
    let of = |path: &str, split: &str| {
        format!(
            "source: {{volume: {{path: {path}}}}}, compression: Gzip, split: {{boundary: Byte{split}}}"
        )
    };
    let all = [
        delivery("whole", &of("sparse", "")),
        delivery("cut", &of("sparse", ", size: 50G")),
        delivery("small", &of("small.csv", "")),
    ];
    let (code, printed) = planned(&laptop, &all.concat());
    assert_eq!(code, 1, "{printed:#}");
    let [whole, cut, small] = [0, 1, 2].map(|at| &printed["deliveries"][at]);
    let refused = &whole["refused"];
    assert_eq!(refused["reason"], "TooLargeToCompress", "{whole:#}");
    assert_eq!(refused["then"], "Fails");
    let message = refused["message"].as_str().unwrap();
    for words in [
        "audience/sparse.gz",
        "1000000000000 bytes",
        "three quarters of transfer.memory",
        "split.size",
    ] {
        assert!(message.contains(words), "{message}");
    }
    // Two parts of 8 MiB each, and the encoder, for those that have their turn: at most half of 64 MiB.
    let memory = |of: &Value| of["plan"]["memory"].as_u64().unwrap();
    assert!((16 << 20..=32 << 20).contains(&memory(cut)), "{cut:#}");
    assert!((1 << 10..=16 << 20).contains(&memory(small)), "{small:#}");

    // The least that it names is enough, and two MiB less isn't.
    let least = message.split("must be ").nth(1).unwrap();
    let least: u64 = least.split("Mi").next().unwrap().parse().unwrap();
    assert!(least > 100, "{message}");
    for (memory, fits) in [(least, true), (least - 2, false)] {
        let root = laptop.folder.path().join("exports");
        laptop.write(
            "operator.yaml",
            format!(
                "clusterId: a\nvolume: {{root: {root:?}}}\nendpoints: {{allow: [\"https://s3.acme.example\"]}}\n\
                 transfer: {{memory: {memory}Mi}}\n"
            ),
        );
        let ran = laptop.run("plan -f plan.yaml --config operator.yaml whole");
        assert_eq!(
            ran.code == 0,
            fits,
            "{memory}Mi: {}{}",
            ran.stdout,
            ran.stderr
        );
    }
}

#[test]
fn our_buckets_need_the_configuration_and_no_volume() {
    let laptop = Laptop::new();
    let spec = "source: {s3: {bucket: our-exports, prefix: marketing/}}";
    laptop.write(
        "plan.yaml",
        format!("{DESTINATION}{}", delivery("ours", spec)),
    );
    for command in ["plan", "deliver"] {
        let ran = laptop.run(&format!("{command} -f plan.yaml"));
        assert_eq!(ran.code, 2, "{command}: {}{}", ran.stdout, ran.stderr);
        let told = &ran.stderr;
        assert!(
            told.contains("marketing/ours: source.s3 needs --config") && !told.contains("volume"),
            "{command}: {told}"
        );
    }
}

#[test]
fn two_deliveries_that_want_one_key_are_told() {
    let laptop = Laptop::new();
    laptop.export("1.csv", "a\n");
    let same = "source: {volume: {path: 1.csv}}";
    let (code, printed) = planned(&laptop, &(delivery("one", same) + &delivery("two", same)));
    assert_eq!(code, 1);
    assert_eq!(
        printed["collisions"],
        json!([{"bucket": "acme-inbound", "key": "audience/1.csv", "deliveries": ["marketing/one", "marketing/two"]}])
    );
}

#[test]
fn a_configuration_brings_its_rules_and_its_volume() {
    let laptop = Laptop::new();
    laptop.export("1.csv", "a\n");
    laptop.write(
        "plan.yaml",
        format!(
            "{DESTINATION}{}",
            delivery("one", "source: {volume: {path: 1.csv}}")
        ),
    );
    let root = laptop.folder.path().join("exports");
    let config = |allow: &str| {
        format!("clusterId: a\nvolume: {{root: {root:?}}}\nendpoints: {{allow: [{allow}]}}\n")
    };
    laptop.write("open.yaml", config("\"https://s3.acme.example\""));
    laptop.write("closed.yaml", config(""));
    assert_eq!(laptop.run("plan -f plan.yaml --config open.yaml").code, 0);
    let closed = laptop.run("plan -f plan.yaml --config closed.yaml");
    assert_eq!(closed.code, 1);
    assert!(
        closed.stdout.contains("EndpointNotAllowed"),
        "{}",
        closed.stdout
    );
    let nowhere = laptop.run("plan -f plan.yaml");
    assert_eq!(nowhere.code, 2);
    assert!(
        nowhere.stderr.contains("--volume-root"),
        "{}",
        nowhere.stderr
    );
}
