//! The cluster and what is in it.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::count::Requests;
use crate::support::eventually;
use crate::support::process::Scratch;
use crate::support::proxy::Proxy;
use crate::support::wait::PATIENCE;
use crate::support::world::WRITE_ACTIONS;
use crate::support::{Bucket, ControlPlane, Credentials, Operator, OperatorConfig, S3Server};

/// Requests of ours at once.
const AT_ONCE: usize = 32;

/// Files in each finished delivery: its status lists as many objects.
const FILES: usize = 10;

/// How old the last proof is made to look: over an hour, and not so old that it is overdue.
const AGE: SignedDuration = SignedDuration::from_mins(90);

/// Where the deliveries go that really run.
const WIRED: &str = "wired";

/// How many objects, and for how long they are watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Size {
    pub(crate) destinations: usize,
    /// Finished ones.
    pub(crate) deliveries: usize,
    pub(crate) namespaces: usize,
    /// Deliveries that really run, beside the finished ones.
    pub(crate) run: usize,
    pub(crate) idle: Duration,
}

impl Size {
    /// `SCALE` says how many of each kind.
    pub(crate) fn from_environment() -> Size {
        let number = |name: &str, default: u64| {
            let value = std::env::var(name);
            value.map_or(default, |value| value.parse().expect("a number"))
        };
        let objects = usize::try_from(number("SCALE", 10_000)).unwrap();
        Size {
            destinations: objects,
            deliveries: objects,
            namespaces: objects.div_ceil(50),
            run: objects.div_ceil(100),
            idle: Duration::from_secs(number("SCALE_IDLE", crate::IDLE)),
        }
    }
}

/// Dropped in this order: the operator first.
pub(crate) struct Cluster {
    pub(crate) operator: Operator,
    pub(crate) client: Client,
    /// Before the store, on the way of the deliveries that really run.
    pub(crate) wire: Proxy,
    store: S3Server,
    writer: Credentials,
    wired: Bucket,
    buckets: Vec<Bucket>,
    folder: Scratch,
}

impl Cluster {
    /// An empty one. The operator has been there, and has finished one delivery.
    pub(crate) async fn start(size: &Size) -> Cluster {
        let control_plane = ControlPlane::shared();
        let client = control_plane.client().await;
        let store = S3Server::start();
        let wire = Proxy::before(store.url()).await;
        let writer = store.user("writer");
        let folder = Scratch::new("scale");
        let owner = store.customer();
        let grant = async |bucket: &Bucket| bucket.grant(&writer, "", &WRITE_ACTIONS).await;
        let wired = store.bucket(&owner).await;
        grant(&wired).await;
        let mut buckets = Vec::new();
        for _ in 0..size.namespaces {
            let bucket = store.bucket(&owner).await;
            grant(&bucket).await;
            buckets.push(bucket);
        }
        let config = OperatorConfig::at("", folder.path(), store.url())
            .with("watch.namespaces", json!([]))
            .with("endpoints.allow", json!([store.url(), wire.url()]))
            .with("http", json!({"listen": "127.0.0.1:0"}))
            .with(
                "leaderElection",
                json!({"enabled": true, "leaseName": "scale", "namespace": "default"}),
            )
            .environment("RUST_LOG", "info")
            .identity(&store.us());
        let cluster = Cluster {
            operator: Operator::start(config),
            client,
            wire,
            store,
            writer,
            wired,
            buckets,
            folder,
        };
        cluster
            .create(
                "Namespace",
                None,
                vec![json!({"metadata": {"name": WIRED}})],
            )
            .await;
        let endpoint = cluster.wire.url();
        cluster
            .destination(WIRED, WIRED, cluster.wired.name(), &endpoint, "")
            .await;
        for file in 0..FILES {
            cluster.file(&format!("template/table-{file:02}.csv"));
        }
        cluster.delivery("template", "template/*.csv").await;
        cluster
    }

    /// Everything but what runs later; the operator is away meanwhile.
    pub(crate) async fn seed(&mut self, size: &Size) {
        let deliveries = api(&self.client, "OutboundDelivery", Some(WIRED));
        let finished = eventually(PATIENCE, "the first delivery is complete", async || {
            let delivery = deliveries.get("template").await.unwrap();
            let status = &delivery.data["status"];
            if status["phase"] == "Complete" && delivery.metadata.finalizers.is_none() {
                Ok(delivery)
            } else {
                Err(format!("{status:#}\n{}", self.operator.log_tail()))
            }
        })
        .await;
        self.operator.terminate();
        let names: Vec<String> = (0..size.namespaces)
            .map(|n| format!("team-{n:03}"))
            .collect();
        let namespaces = names.iter().map(|name| json!({"metadata": {"name": name}}));
        self.create("Namespace", None, namespaces.collect()).await;
        let of = |number: usize| (number % size.namespaces, format!("customer-{number:05}"));
        let all = stream::iter(0..size.destinations).map(|number| {
            let ((at, name), cluster) = (of(number), &*self);
            let namespace = &names[at];
            let bucket = cluster.buckets[at].name();
            async move {
                let prefix = format!("{name}/");
                let url = cluster.store.url();
                cluster
                    .destination(namespace, &name, bucket, url, &prefix)
                    .await;
            }
        });
        all.buffer_unordered(AT_ONCE).collect::<()>().await;
        let all = stream::iter(0..size.deliveries).map(|number| {
            let (at, name) = of(number);
            let api = api(&self.client, "OutboundDelivery", Some(&names[at]));
            let finished = &finished;
            async move {
                let mut delivery = finished.clone();
                delivery.metadata = Default::default();
                delivery.metadata.name = Some(name.clone());
                delivery.data["spec"]["destinationRef"]["name"] = json!(name);
                let status = json!({"status": delivery.data["status"].take()});
                delivery.data.as_object_mut().unwrap().remove("status");
                api.create(&PostParams::default(), &delivery)
                    .await
                    .expect("a delivery");
                let merge = (PatchParams::default(), Patch::Merge(status));
                api.patch_status(&name, &merge.0, &merge.1)
                    .await
                    .expect("its end");
            }
        });
        all.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Applies a delivery of a small file; returns when it was sent to the apiserver.
    pub(crate) async fn deliver(&self, name: &str) -> Instant {
        let path = format!("{name}.csv");
        self.file(&path);
        let sent = Instant::now();
        self.delivery(name, &path).await;
        sent
    }

    /// Makes each destination's last proof look as if it was some time ago.
    pub(crate) async fn age(&self, size: &Size) {
        let destinations = api(&self.client, "OutboundDestination", None);
        let mut all = Vec::with_capacity(size.destinations);
        let mut page = ListParams::default().limit(500);
        loop {
            let list = destinations.list_metadata(&page).await.unwrap();
            all.extend(list.items.into_iter().map(|found| {
                (
                    found.metadata.namespace.unwrap(),
                    found.metadata.name.unwrap(),
                )
            }));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
        let time = Timestamp::now() - AGE;
        let time = time.round(jiff::Unit::Second).unwrap().to_string();
        let patch = Patch::Merge(json!({"status": {"lastVerifiedTime": time}}));
        let all = stream::iter(all).map(|(namespace, name)| {
            let (api, patch) = (
                api(&self.client, "OutboundDestination", Some(&namespace)),
                &patch,
            );
            async move {
                let parameters = PatchParams::default();
                api.patch_status(&name, &parameters, patch)
                    .await
                    .expect("an older proof");
            }
        });
        all.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    pub(crate) fn store_requests(&self) -> Requests {
        Requests::of(&std::fs::read_to_string(self.store.access_log()).unwrap_or_default())
    }

    fn file(&self, path: &str) {
        let path = self.folder.path().join(WIRED).join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"0123456789,abcdef\n".repeat(64)).unwrap();
    }

    async fn delivery(&self, name: &str, path: &str) {
        let delivery = json!({
            "metadata": {"name": name},
            "spec": {"destinationRef": {"name": WIRED}, "source": {"volume": {"path": path}}},
        });
        self.create("OutboundDelivery", Some(WIRED), vec![delivery])
            .await;
    }

    /// A destination with an access key of its own.
    async fn destination(
        &self,
        namespace: &str,
        name: &str,
        bucket: &str,
        url: &str,
        prefix: &str,
    ) {
        let secret = json!({
            "metadata": {"name": name},
            "stringData": {"accessKeyId": self.writer.access_key, "secretAccessKey": self.writer.secret_key},
        });
        self.create("Secret", Some(namespace), vec![secret]).await;
        let destination = json!({
            "metadata": {"name": name},
            "spec": {
                "bucket": bucket, "prefix": prefix, "endpoint": url, "permissionMode": "AccessKey",
                "accessKey": {"secretRef": {"name": name}},
            },
        });
        self.create("OutboundDestination", Some(namespace), vec![destination])
            .await;
    }

    async fn create(&self, kind: &str, namespace: Option<&str>, objects: Vec<Value>) {
        let api = api(&self.client, kind, namespace);
        let all = stream::iter(objects).map(|mut object| {
            let api = &api;
            let resource = resource(kind);
            object["apiVersion"] = json!(resource.api_version);
            object["kind"] = json!(kind);
            async move {
                let object: DynamicObject = serde_json::from_value(object).unwrap();
                api.create(&PostParams::default(), &object)
                    .await
                    .expect("an object");
            }
        });
        all.buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}

fn resource(kind: &str) -> ApiResource {
    let kind = match kind {
        "Namespace" | "Secret" => GroupVersionKind::gvk("", "v1", kind),
        _ => GroupVersionKind::gvk("outbound.dev", "v1alpha1", kind),
    };
    ApiResource::from_gvk(&kind)
}

fn api(client: &Client, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
    match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource(kind)),
        None => Api::all_with(client.clone(), &resource(kind)),
    }
}
