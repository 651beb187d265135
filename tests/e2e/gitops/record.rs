//! The states' records: objects as the operator left them, which are the inputs of Argo CD's tests of our health scripts.
//! With `OUTBOUND_RECORD=1` the tests write them (one of destinations is in `roles`); else they hold them against the live objects.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::{Kind, look, rows, text};
use crate::support::World;

pub(super) const AGAIN: &str =
    "run the test that shows it with OUTBOUND_RECORD=1 to record it again";

/// Argo CD's `resource_customizations`.
pub(super) fn customizations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples/gitops/argocd/health/resource_customizations")
}

/// Where the kind's health script is, with its tests.
pub(super) fn folder(kind: &Kind) -> PathBuf {
    customizations().join("outbound.dev").join(kind.name)
}

/// The record of a state.
pub(super) fn file(kind: &Kind, state: &str) -> PathBuf {
    let words = state.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    folder(kind)
        .join("testdata")
        .join(format!("{}.yaml", words.join("-")))
}

/// What makes a state: everything that a tool decides by.
pub(super) fn shape(object: &Value) -> Value {
    let (metadata, status) = (&object["metadata"], &object["status"]);
    let conditions: Vec<Value> = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|it| json!([it["type"], it["status"], it["reason"]]))
        .collect();
    json!({
        "conditions": conditions,
        "phase": status["phase"],
        "seen": status["observedGeneration"] == metadata["generation"],
        "deleted": !metadata["deletionTimestamp"].is_null(),
        "suspended": object["spec"]["suspend"] == true,
    })
}

/// The record of the state is what the object is, or becomes it.
#[track_caller]
pub(super) fn check(kind: &Kind, state: &str, object: &Value, world: &World) {
    if std::env::var_os("OUTBOUND_RECORD").is_some() {
        record(kind, state, object, world);
    }
    let file = file(kind, state);
    let recorded = std::fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: {AGAIN}", file.display()));
    let recorded: Value = outbound_operator::yaml::read(&recorded).unwrap();
    assert_eq!(
        shape(object),
        shape(&recorded),
        "{}: {AGAIN}",
        file.display()
    );
}

fn record(kind: &Kind, state: &str, object: &Value, world: &World) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap();
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("managedFields");
    metadata.remove("annotations");
    metadata.insert("resourceVersion".to_owned(), json!("1"));
    depersonalise(&mut object, world);
    let text = outbound_operator::yaml::write(&object).unwrap();
    std::fs::write(file(kind, state), text).unwrap();
    write_suite(kind);
}

/// Takes out what is another in each run: names of the test, addresses, times, uids.
fn depersonalise(value: &mut Value, world: &World) {
    match value {
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| depersonalise(member, world)),
        Value::Array(members) => members
            .iter_mut()
            .for_each(|member| depersonalise(member, world)),
        Value::String(text) => {
            *text = text
                .replace(world.namespace.name(), "marketing")
                .replace(world.bucket.name(), "acme-inbound")
                .replace(
                    &world.s3.us().access_key,
                    "arn:aws:iam::999988887777:role/outbound",
                )
                .replace("222222222222", "999988887777")
                .replace("111111111111", "111122223333")
                .replace(world.s3.url(), "https://s3.acme.example");
            *text = without_ports(text);
            if text.parse::<jiff::Timestamp>().is_ok() {
                "2026-11-24T12:00:00Z".clone_into(text);
            }
            let dashes = text.match_indices('-').map(|(at, _)| at);
            if text.len() == 36 && dashes.eq([8, 13, 18, 23]) {
                "00000000-0000-4000-8000-000000000000".clone_into(text);
            }
        }
        _ => {}
    }
}

/// The proxy's address as a store's.
fn without_ports(text: &str) -> String {
    let mut parts = text.split("http://127.0.0.1:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |whole, part| {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        whole + "https://s3.acme.example" + rest
    })
}

/// `health_test.yaml`: the statuses of the docs, the messages of the script.
fn write_suite(kind: &Kind) {
    let recorded = rows(kind)
        .into_iter()
        .filter(|row| file(kind, &row.state).is_file());
    let tests: Vec<Value> = recorded
        .map(|row| {
            let path = file(kind, &row.state);
            let read = std::fs::read_to_string(&path).unwrap();
            let mut object: Value = outbound_operator::yaml::read(&read).unwrap();
            // Argo CD's tests ask the script also of what is being deleted; Argo CD itself doesn't.
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("deletionTimestamp");
            let name = path.file_name().unwrap().to_str().unwrap();
            json!({
                "healthStatus": {"status": row.argocd, "message": text(&look(kind, &object)["argocd"]["message"])},
                "inputPath": format!("testdata/{name}"),
            })
        })
        .collect();
    let suite = outbound_operator::yaml::write(&json!({"tests": tests})).unwrap();
    std::fs::write(folder(kind).join("health_test.yaml"), suite).unwrap();
}
