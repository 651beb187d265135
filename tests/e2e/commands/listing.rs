//! Buckets of ours with more objects than are looked at: `plan` reads their listings page by page.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Laptop;
use crate::support::proxy::parameter;

/// Objects on a page, as S3 gives them.
const PAGE: usize = 1000;

/// An S3 that has nothing but a listing, of keys as long as they may be.
struct Listing {
    url: String,
    /// How often a page was asked for.
    pages: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Listing {
    async fn of(objects: usize) -> Listing {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let pages = Arc::new(AtomicUsize::new(0));
        let asked = pages.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let asked = asked.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let query = request.uri().query().unwrap_or_default();
                    let from = parameter(query, "continuation-token");
                    let from = from.map_or(0, |token| token.parse().unwrap());
                    let page = Full::new(Bytes::from(page(from, objects)));
                    async move { Ok::<_, Infallible>(Response::new(page)) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Listing { url, pages, task }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn page(from: usize, objects: usize) -> String {
    let end = (from + PAGE).min(objects);
    let mut text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
                    <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
        .to_owned();
    text += "<EncodingType>url</EncodingType>";
    if end < objects {
        write!(
            text,
            "<IsTruncated>true</IsTruncated><NextContinuationToken>{end}</NextContinuationToken>"
        )
        .unwrap();
    }
    let folders = vec!["f".repeat(240); 4].join("/");
    for number in from..end {
        write!(
            text,
            "<Contents><Key>marketing/{folders}/{number:07}.csv</Key><Size>1</Size>\
             <ETag>&quot;{number:032x}&quot;</ETag><StorageClass>STANDARD</StorageClass></Contents>"
        )
        .unwrap();
    }
    text + "</ListBucketResult>"
}

/// How a plan ended, and what it took.
struct Planned {
    document: Value,
    pages: usize,
    /// Bytes of memory at most.
    peak: u64,
}

/// Plans a delivery of what matches `include`, out of so many objects.
async fn planned(objects: usize, include: &str) -> Planned {
    let listing = Listing::of(objects).await;
    let laptop = Laptop::new();
    laptop.write(
        "operator.yaml",
        json!({
            "clusterId": "laptop",
            "identity": {
                "accountId": "222222222222", "principalArn": "arn:aws:iam::222222222222:role/us", "region": "us-east-1",
            },
            "tenancy": [{"namespaces": ["marketing"], "sources": [{"bucket": "our-exports", "prefixes": ["marketing/"]}]}],
            "endpoints": {"allow": ["https://s3.acme.example"], "allowPlainHttp": true, "s3": listing.url},
        })
        .to_string(),
    );
    let spec = format!(
        "source: {{s3: {{bucket: our-exports, prefix: marketing/, include: [\"{include}\"]}}}}"
    );
    let delivery = super::plan::delivery("many", &spec);
    laptop.write(
        "plan.yaml",
        format!("{}{delivery}", super::plan::DESTINATION),
    );
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKIDOURS"),
        ("AWS_SECRET_ACCESS_KEY", "ours"),
    ];
    let plan = laptop.command("plan -f plan.yaml --config operator.yaml -o json", &keys);
    let measured = tokio::task::spawn_blocking(move || measured(&plan)).await;
    let (document, peak) = measured.unwrap();
    Planned {
        document: document["deliveries"][0].clone(),
        pages: listing.pages.load(Ordering::SeqCst),
        peak,
    }
}

/// Runs the command; what it printed, and the most memory that it had.
fn measured(command: &Command) -> (Value, u64) {
    let program = "import resource, subprocess, sys\n\
                   subprocess.run(sys.argv[1:])\n\
                   print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)";
    let mut python = Command::new("python3");
    python
        .args(["-c", program])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    let output = python.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let kib: u64 = text.lines().last().unwrap().parse().expect(&text);
    (
        serde_json::from_slice(&output.stdout).expect(&text),
        kib * 1024,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_objects_a_listing_finds_those_that_match() {
    let planned = planned(12_345, "**/*999.csv").await;
    let plan = &planned.document["plan"];
    assert_eq!(plan["files"], 12, "{:#}", planned.document);
    let last = plan["objects"][11]["source"]["path"].as_str().unwrap();
    assert!(last.ends_with("/0011999.csv"), "{last}");
    assert_eq!(planned.pages, 13);
}

/// However many there are: 110 MB of keys would be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_a_hundred_thousand_objects_are_not_looked_at_and_few_are_kept() {
    let few = planned(PAGE, "**/*999.csv").await;
    assert_eq!(few.document["plan"]["files"], 1, "{:#}", few.document);

    let entries = planned(1_000_000, "**/*999.csv").await;
    let refused = &entries.document["refused"];
    assert_eq!(refused["reason"], "TooManyObjects", "{refused:#}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("more than 100000 entries"), "{message}");
    assert_eq!(entries.pages, 101);

    let matches = planned(1_000_000, "**").await;
    let refused = &matches.document["refused"];
    assert_eq!(refused["reason"], "TooManyObjects", "{refused:#}");
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("more than 10000 objects match"),
        "{message}"
    );
    // It ends at the first that is too many.
    assert_eq!(matches.pages, 11);

    for (what, peak) in [("looked at", entries.peak), ("kept", matches.peak)] {
        let more = peak.saturating_sub(few.peak);
        assert!(more < 48 << 20, "{more} bytes more for what is {what}");
    }
}
