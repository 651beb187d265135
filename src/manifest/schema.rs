//! One of our kinds' schema, as the apiserver holds an object against it: form first, then the CEL rules.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::OnceLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::LocationSegment;
use jsonschema::{Draft, ValidationError, Validator};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Map, Value, json};

use super::rules::Rules;
use super::stream::join;
use crate::api::{GROUP, delivery_crd, destination_crd};

/// Characters of a value that a message repeats.
const MAX_ECHO: usize = 80;

/// A kind's schema, ready to be held against objects.
pub(super) struct CustomSchema {
    kind: String,
    version: String,
    schema: Value,
    /// Of the status nothing is taken, but that its fields are known.
    status: Value,
    form: Result<Validator, String>,
    rules: Rules,
}

impl CustomSchema {
    /// The schema of a kind whose manifests people write.
    pub(super) fn of(kind: &str) -> Option<&'static Self> {
        Self::all().iter().find(|schema| schema.kind == kind)
    }

    /// Of every kind whose manifests people write: the ledger is ours. Compiling them is most of what a command does
    /// before it begins, so each has a thread.
    pub(super) fn all() -> &'static [Self] {
        static ALL: OnceLock<Vec<CustomSchema>> = OnceLock::new();
        ALL.get_or_init(|| {
            std::thread::scope(|scope| {
                let delivery = scope.spawn(|| Self::new(&delivery_crd()));
                let destination = Self::new(&destination_crd());
                let delivery = delivery.join().unwrap_or_else(|panic| resume_unwind(panic));
                destination.into_iter().chain(delivery).collect()
            })
        })
    }

    fn new(crd: &CustomResourceDefinition) -> Option<Self> {
        let kind = crd.spec.names.kind.clone();
        let crd = serde_json::to_value(crd).ok()?;
        let version = crd["spec"]["versions"].get(0)?;
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        let properties = schema["properties"].as_object_mut()?;
        // The status is the operator's: the apiserver takes none from a manifest.
        let status = properties.remove("status").unwrap_or_default();
        for field in ["apiVersion", "kind"] {
            properties.insert(field.to_owned(), json!({"type": "string"}));
        }
        // `metadata` has checks of its own.
        let metadata = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        properties.insert("metadata".to_owned(), metadata);
        let form = jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .build(&for_validator(schema.clone()))
            .map_err(|error| error.to_string());
        Some(Self {
            kind,
            version: format!("{GROUP}/{}", version["name"].as_str()?),
            rules: Rules::of(&schema),
            schema,
            status,
            form,
        })
    }

    /// Tells of everything in a change from `old` to `new` that isn't allowed.
    pub(super) fn check_change(
        &self,
        old: &Value,
        new: &Value,
        refuse: &mut dyn FnMut(&str, String),
    ) {
        self.rules.check_change(old, new, refuse);
    }

    /// The kind.
    #[cfg(test)]
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// The CEL rules.
    #[cfg(test)]
    pub(super) fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The schema.
    #[cfg(test)]
    pub(super) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Tells everything that is wrong with the object, and leaves it as the apiserver would keep it.
    pub(super) fn check(
        &self,
        object: &mut Value,
        version: &str,
        refuse: &mut dyn FnMut(&str, String),
    ) {
        if version != self.version {
            let message = format!("{version:?} is not served; {:?} is", self.version);
            refuse("apiVersion", message);
        }
        if let Some(members) = object.as_object_mut() {
            let status = members.remove("status").unwrap_or_default();
            unknown_fields(&status, &self.status, "status", refuse);
        }
        without_nulls(object, &self.schema);
        unknown_fields(object, &self.schema, "", refuse);
        let mut broken = BTreeSet::new();
        match &self.form {
            Err(error) => refuse("", format!("the schema can't be used: {error}")),
            Ok(form) => {
                for error in form.iter_errors(object) {
                    let path = path(&error);
                    refuse(&path, form_message(&error));
                    if keeps_rules_away(error.kind()) {
                        broken.insert(path);
                    }
                }
            }
        }
        duplicates(object, &self.schema, "", refuse);
        self.rules.check(object, &broken, refuse);
    }
}

/// What a JSON-schema validator must be told in its own words.
fn for_validator(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            if members.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                members.insert("type".to_owned(), json!(["integer", "string"]));
            }
            for (_, member) in members {
                *member = for_validator(member.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = for_validator(item.take());
            }
        }
        _ => {}
    }
    schema
}

/// The apiserver drops a null where a field takes none (CRDs, "defaulting and nullable").
fn without_nulls(value: &mut Value, schema: &Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, member| {
                let known =
                    member_schema(schema, name).is_some_and(|schema| schema["nullable"] != true);
                !(member.is_null() && known)
            });
            for (name, member) in members {
                if let Some(schema) = member_schema(schema, name) {
                    without_nulls(member, schema);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                without_nulls(item, &schema["items"]);
            }
        }
        _ => {}
    }
}

fn member_schema<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema["properties"].get(name);
    named.or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
}

/// Fields that the schema doesn't have, as strict `kubectl apply` refuses them.
fn unknown_fields(value: &Value, schema: &Value, path: &str, refuse: &mut dyn FnMut(&str, String)) {
    if schema["x-kubernetes-preserve-unknown-fields"] == true {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let path = join(path, name);
                match member_schema(schema, name) {
                    Some(schema) => unknown_fields(member, schema, &path, refuse),
                    // Of what isn't an object the form says what is wrong.
                    None if schema["type"] == "object" => {
                        refuse(&path, format!("unknown field {path:?}"));
                    }
                    None => {}
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                unknown_fields(item, &schema["items"], &format!("{path}[{index}]"), refuse);
            }
        }
        _ => {}
    }
}

/// Items of a list-map with one key, and equal items of a list-set.
fn duplicates(value: &Value, schema: &Value, path: &str, refuse: &mut dyn FnMut(&str, String)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let Some(schema) = member_schema(schema, name) {
                    duplicates(member, schema, &join(path, name), refuse);
                }
            }
        }
        Value::Array(items) => {
            let mut seen = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                if let Some(identity) = identity(item, schema) {
                    if seen.contains(&identity) {
                        refuse(&path, format!("Duplicate value: {}", echo(&identity)));
                    }
                    seen.push(identity);
                }
                duplicates(item, &schema["items"], &path, refuse);
            }
        }
        _ => {}
    }
}

/// What tells an item of a list from the others, where the list says so.
fn identity(item: &Value, list: &Value) -> Option<Value> {
    match list["x-kubernetes-list-type"].as_str()? {
        "set" => Some(item.clone()),
        "map" => {
            let keys = list["x-kubernetes-list-map-keys"].as_array()?;
            let keys = keys.iter().filter_map(Value::as_str);
            let key = keys.map(|key| (key.to_owned(), item[key].clone()));
            Some(Value::Object(key.collect::<Map<_, _>>()))
        }
        _ => None,
    }
}

/// The field that an error is about: of a missing one, itself.
fn path(error: &ValidationError<'_>) -> String {
    let mut path = String::new();
    for segment in error.instance_path().segments() {
        path = match segment {
            LocationSegment::Property(name) => join(&path, &name),
            LocationSegment::Index(index) => format!("{path}[{index}]"),
        };
    }
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            join(&path, property.as_str().unwrap_or_default())
        }
        _ => path,
    }
}

/// Whether a rule over the value would say nothing, or nothing true: the apiserver asks its rules of what is only too
/// short, too small or not of the pattern.
fn keeps_rules_away(kind: &ValidationErrorKind) -> bool {
    use ValidationErrorKind as Kind;
    !matches!(
        kind,
        Kind::Pattern { .. }
            | Kind::MinLength { .. }
            | Kind::Minimum { .. }
            | Kind::Maximum { .. }
            | Kind::Format { .. }
    )
}

/// What is wrong, in the apiserver's words.
fn form_message(error: &ValidationError<'_>) -> String {
    use ValidationErrorKind as Kind;
    use jsonschema::error::TypeKind;
    let value = error.instance();
    match error.kind() {
        Kind::Required { .. } => "Required value".to_owned(),
        Kind::Type { kind } => {
            let types = match kind {
                TypeKind::Single(one) => one.to_string(),
                TypeKind::Multiple(several) => {
                    let several: Vec<String> = several.iter().map(|one| one.to_string()).collect();
                    several.join(" or ")
                }
            };
            format!("{} must be of type {types}", echo(value))
        }
        Kind::Enum { options } => {
            let options: Vec<String> = options
                .as_array()
                .map(|options| options.iter().map(Value::to_string).collect())
                .unwrap_or_default();
            format!(
                "Unsupported value: {}: supported values: {}",
                echo(value),
                options.join(", ")
            )
        }
        Kind::MinLength { limit } => {
            format!("{} should be at least {limit} chars long", echo(value))
        }
        Kind::MaxLength { limit } => format!("Too long: may not be more than {limit} characters"),
        Kind::Pattern { pattern } => format!("{} should match {pattern:?}", echo(value)),
        Kind::Minimum { limit } => {
            format!("{} should be greater than or equal to {limit}", echo(value))
        }
        Kind::Maximum { limit } => {
            format!("{} should be less than or equal to {limit}", echo(value))
        }
        Kind::MinItems { limit } => format!("should have at least {limit} items"),
        Kind::MaxItems { limit } => format!("Too many: must have at most {limit} items"),
        Kind::Format { format } => format!("{} must be of type {format}", echo(value)),
        _ => cut(&error.to_string()),
    }
}

/// A value for a message: JSON, and so without a control character, and not long.
fn echo(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut kept: String = chars.by_ref().take(MAX_ECHO).collect();
    if chars.next().is_some() {
        kept.push('…');
    }
    kept
}
