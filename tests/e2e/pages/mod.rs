//! The commands that the pages show, as they stand there, run by somebody who does what the pages say: our side on a
//! cluster of its own, the customers' at the test AWS.
//!
//! What can't run here is listed, with why. A page or a command that is in no list runs, or fails.

mod customer;
mod reader;

use std::collections::BTreeSet;
use std::path::Path;

use reader::Reader;
use serde_json::{Value, json};

use crate::support::ControlPlane;
use crate::support::markdown::{Block, blocks, pages};

/// Pages in the order in which somebody may read them; the last one removes everything.
const PAGES: [&str; 8] = [
    "README.md",
    "docs/modes/access-key.md",
    "docs/modes/cross-account.md",
    "docs/modes/assume-role.md",
    "docs/destination.md",
    "docs/delivery.md",
    "examples/quickstart/README.md",
    "docs/operations.md",
];

/// Pages whose commands are not run here.
const ELSEWHERE: [(&str, &str); 4] = [
    ("CONTRIBUTING.md", "the habits of a clone: CI's own steps"),
    ("docs/gitops.md", "e2e::gitops::repository runs them"),
    (
        "docs/performance.md",
        "measuring wants the machine for itself",
    ),
    (
        "examples/gitops/README.md",
        "e2e::gitops::repository runs them",
    ),
];

/// Commands that are not run, by how they begin.
const NOT_RUN: [(&str, &str); 5] = [
    (
        "make demo",
        "a control plane of its own; e2e::demo runs the script",
    ),
    ("make test", "this is a part of it"),
    (
        "make image",
        "a release build of minutes; e2e::chart::image makes the image of the tests' build",
    ),
    ("skopeo copy", "somebody's registry"),
    (
        "kubectl -n outbound-system rollout status",
        "no node runs pods here; tests/node waits for them",
    ),
];

fn page(path: impl AsRef<Path>) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join(path)).expect("a page")
}

fn is_run(command: &str) -> bool {
    !NOT_RUN.iter().any(|(begin, _)| command.starts_with(begin))
}

/// The commands of a page.
fn commands(page: &str) -> Vec<String> {
    let blocks = blocks(page);
    let shell = blocks.iter().filter(|block| block.language == "sh");
    shell.flat_map(Block::commands).collect()
}

#[test]
fn every_page_with_commands_is_in_a_list_and_every_exception_is_needed() {
    let found: BTreeSet<String> = pages()
        .iter()
        .filter(|path| !commands(&page(path)).is_empty())
        .map(|path| path.to_str().unwrap().to_owned())
        .collect();
    let elsewhere = ELSEWHERE.map(|(page, _)| page);
    let listed = PAGES
        .iter()
        .chain(&elsewhere)
        .map(|page| (*page).to_owned());
    assert_eq!(found, listed.collect());
    let all: Vec<String> = PAGES
        .iter()
        .flat_map(|path| commands(&page(path)))
        .collect();
    for (begin, why) in NOT_RUN {
        assert!(all.iter().any(|it| it.starts_with(begin)), "{begin}: {why}");
    }
}

#[test]
fn from_nothing_to_a_destination_that_is_proved_it_takes_five_commands() {
    let readme = blocks(&page("README.md"));
    let install = readme.iter().map(Block::commands);
    let install = install
        .into_iter()
        .find(|commands| commands.iter().any(|it| it.starts_with("helm install")))
        .expect("commands that install");
    assert!(install.len() <= 5, "{install:?}");
    assert!(install.last().unwrap().contains("--for=condition=Ready"));
}

#[tokio::test]
async fn the_commands_in_the_pages_do_what_the_pages_say() {
    let mut reader = Reader::new();
    for path in PAGES {
        if path.contains("quickstart") {
            reader.goes_to("quickstart");
            for manifests in ["1-namespace", "2-destinations", "3-deliveries"] {
                let file = format!("examples/quickstart/{manifests}.yaml");
                reader.run(&format!("kubectl apply -f {file}")).ok();
            }
        } else {
            reader.goes_to("marketing");
        }
        reader.reads(&page(path)).await;
        match path {
            "README.md" => {
                let wanted = ["audience/audience.csv", "audience/globex-2026-11-24.info"];
                assert_eq!(reader.arrived("globex-inbound").await, wanted);
            }
            "docs/modes/access-key.md" => reader.is_proved("globex").await,
            "docs/modes/cross-account.md" => reader.is_proved("acme").await,
            "docs/modes/assume-role.md" => {
                reader.is_proved("initech").await;
                let trusted = "kubectl wait --for=condition=TrustVerified obdest/initech";
                reader.run(trusted).ok();
            }
            "docs/delivery.md" => {
                let wanted = ["audience/acme-2026-11-24.info", "audience/audience.csv"];
                assert_eq!(reader.arrived("acme-inbound").await, wanted);
            }
            _ => {}
        }
    }
}

/// In dry run, on whichever page they are; those of [`PAGES`] are applied, too.
#[test]
fn every_manifest_in_the_pages_is_one_that_the_apiserver_takes() {
    let namespace = ControlPlane::shared().namespace("pages");
    let mut checked = 0;
    for path in pages().iter().filter(|path| !path.starts_with("tests")) {
        let blocks = blocks(&page(path));
        // The page of the commands shows what is said of `broken.yaml`.
        let manifests = blocks
            .iter()
            .filter(|it| it.language == "yaml" && it.file() != Some("broken.yaml"));
        for document in manifests.flat_map(|block| documents(&block.text)) {
            if document["apiVersion"] != "outbound.dev/v1alpha1" {
                continue;
            }
            let mut object = document;
            object["metadata"]["namespace"] = json!(namespace.name());
            let arguments = [
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                "-",
            ];
            ControlPlane::shared()
                .kubectl_with(&arguments, &object.to_string())
                .ok();
            checked += 1;
        }
    }
    assert!(checked >= 10, "{checked}");
}

/// The documents of a block of YAML.
fn documents(text: &str) -> Vec<Value> {
    let documents =
        outbound_operator::yaml::documents(text).map(|document| document.expect("YAML"));
    documents.filter(|document| !document.is_null()).collect()
}
