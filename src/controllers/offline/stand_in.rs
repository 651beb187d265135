//! The apiserver's words for [`Objects`]: a client of kube's that reaches no cluster.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::channel::mpsc::UnboundedSender;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::objects::{Denied, Key, Objects, Part};

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Something that the controllers tell people about an object: what is an Event in a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The object's kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether somebody should look.
    pub urgency: Urgency,
    /// One word.
    pub reason: String,
    /// A line.
    pub note: String,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Work goes its way.
    Normal,
    /// Somebody should look.
    Warning,
}

/// A client whose apiserver is `objects`; what would be an Event goes to `told`.
pub(super) fn client(objects: Arc<Objects>, told: UnboundedSender<Told>) -> Client {
    let answer = move |request: Request<Body>| {
        let (objects, told) = (Arc::clone(&objects), told.clone());
        async move { Ok::<_, Infallible>(answer(&objects, &told, request).await) }
    };
    Client::new(tower::service_fn(answer), "default")
}

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    plural: String,
    namespace: Option<String>,
    name: Option<String>,
    part: Part,
}

impl Place {
    /// Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`; `None` for a path of neither form.
    fn of(path: &str) -> Option<Self> {
        let mut words = path.trim_matches('/').split('/');
        let version = if words.next()? == "api" { 1 } else { 2 };
        let mut words = words.skip(version).peekable();
        let namespace = match words.next_if_eq(&"namespaces") {
            Some(_) => Some(words.next()?.to_owned()),
            None => None,
        };
        let plural = words.next()?.to_owned();
        let name = words.next().map(str::to_owned);
        let part = match words.next() {
            Some("status") => Part::Status,
            _ => Part::Metadata,
        };
        Some(Self {
            plural,
            namespace,
            name,
            part,
        })
    }

    fn key(&self, name: &str) -> Key {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        Key::new(&self.plural, namespace, name)
    }
}

async fn answer(objects: &Objects, told: &UnboundedSender<Told>, request: Request<Body>) -> Answer {
    let (head, body) = request.into_parts();
    let Some(place) = Place::of(head.uri.path()) else {
        return failure(StatusCode::NOT_FOUND, "NotFound", "no such path");
    };
    let body = match body.collect_bytes().await {
        Ok(bytes) if bytes.is_empty() => Value::Null,
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(error) => {
                return failure(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string());
            }
        },
        Err(error) => return failure(StatusCode::BAD_REQUEST, "BadRequest", &error.to_string()),
    };
    if place.plural == "events" {
        // Nobody listens any more when the command ends.
        let _ = told.unbounded_send(heard(&body));
        return success(&body);
    }
    let Some(name) = place.name.as_deref() else {
        return collection(objects, &place, &head, body).await;
    };
    let key = place.key(name);
    let done = match head.method {
        Method::GET => objects.get(&key).await.ok_or(Denied::NotFound(key)),
        Method::PUT => objects.replace(&key, body).await,
        Method::PATCH => objects.patch(&key, place.part, &body).await,
        Method::DELETE => objects.delete(&key, &body["preconditions"]).await,
        _ => {
            return failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "no such verb",
            );
        }
    };
    done.map_or_else(|denied| refusal(&denied), |object| success(&object))
}

/// A request about the objects of a kind: to list or watch them, or to make one more.
async fn collection(
    objects: &Objects,
    place: &Place,
    head: &http::request::Parts,
    body: Value,
) -> Answer {
    let namespace = place.namespace.as_deref();
    if head.method == Method::POST {
        let name = body["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let done = objects.create(&place.key(&name), body).await;
        return done.map_or_else(|denied| refusal(&denied), |object| success(&object));
    }
    let query = head.uri.query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    };
    if parameter("watch") == Some("true") {
        let since = parameter("resourceVersion").and_then(|version| version.parse().ok());
        let events = objects
            .watch(&place.plural, namespace, since.unwrap_or_default())
            .await;
        let lines = events.map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
        return Response::new(StreamBody::new(lines).boxed_unsync());
    }
    let (version, items) = objects.list(&place.plural, namespace).await;
    success(&json!({
        "apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": version.to_string()}, "items": items,
    }))
}

/// What an Event says.
fn heard(event: &Value) -> Told {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let about = &event["regarding"];
    Told {
        kind: word(&about["kind"]),
        namespace: word(&about["namespace"]),
        name: word(&about["name"]),
        urgency: match event["type"].as_str() {
            Some("Warning") => Urgency::Warning,
            _ => Urgency::Normal,
        },
        reason: word(&event["reason"]),
        note: word(&event["note"]),
    }
}

fn success(object: &Value) -> Answer {
    let bytes = Bytes::from(object.to_string());
    Response::new(Full::new(bytes).boxed_unsync())
}

fn refusal(denied: &Denied) -> Answer {
    let (code, reason) = match denied {
        Denied::NotFound(_) => (StatusCode::NOT_FOUND, "NotFound"),
        Denied::Exists(_) => (StatusCode::CONFLICT, "AlreadyExists"),
        Denied::Conflict(_) => (StatusCode::CONFLICT, "Conflict"),
        Denied::State(_) => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    };
    failure(code, reason, &denied.to_string())
}

fn failure(code: StatusCode, reason: &str, message: &str) -> Answer {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "reason": reason, "message": message, "code": code.as_u16(),
    });
    let mut answer = success(&status);
    *answer.status_mut() = code;
    answer
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::Api;

    use super::*;

    #[test]
    fn paths_name_places() {
        let place =
            Place::of("/apis/outbound.dev/v1alpha1/namespaces/n/outboundledgers/a.b.0").unwrap();
        assert_eq!(
            place.key(place.name.as_deref().unwrap()),
            Key::new("outboundledgers", "n", "a.b.0")
        );
        let place = Place::of("/api/v1/namespaces/n/secrets/s").unwrap();
        assert_eq!(
            (place.plural.as_str(), place.name.as_deref()),
            ("secrets", Some("s"))
        );
        let place = Place::of("/apis/outbound.dev/v1alpha1/outbounddeliveries?limit=500").unwrap();
        assert_eq!((place.namespace, place.name), (None, None));
        assert!(Place::of("/").is_none());
    }

    #[tokio::test]
    async fn kube_reads_what_is_there_and_what_is_not() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}});
        let objects = Objects::new([(Key::new("secrets", "n", "s"), secret)]);
        let (told, _) = futures::channel::mpsc::unbounded();
        let client = client(Arc::new(objects), told);
        let api: Api<Secret> = Api::namespaced(client, "n");
        assert!(api.get_opt("s").await.unwrap().is_some());
        assert!(api.get_opt("t").await.unwrap().is_none());
    }
}
