//! The CRD's CEL rules, evaluated here by kube's evaluator. A rule that can't be evaluated refuses: none is skipped.

use std::collections::BTreeSet;
use std::sync::Mutex;

use kube::core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

/// The compiled rules of one schema.
pub(super) struct Rules {
    compiled: CompiledSchema,
    schema: Value,
    /// The evaluator may be moved between threads, not shared by them.
    evaluator: Mutex<Validator>,
}

/// The question that kube's evaluator can't answer: it has no `type`.
const IS_NUMBER: &str = "type(self) == int";

/// A schema for the evaluator: where a field takes a number or a text, each number is held against the rules as its
/// digits (see [`digits`]), so that [`IS_NUMBER`] is false there.
fn for_evaluator(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(members) => {
            if members.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                let rules = members.get_mut("x-kubernetes-validations");
                for rule in rules.and_then(Value::as_array_mut).into_iter().flatten() {
                    let told = rule["rule"].as_str().unwrap_or_default();
                    rule["rule"] = Value::String(told.replace(IS_NUMBER, "false"));
                }
            }
            for (_, member) in members {
                *member = for_evaluator(member.take());
            }
        }
        Value::Array(items) => {
            for item in items {
                *item = for_evaluator(item.take());
            }
        }
        _ => {}
    }
    schema
}

/// The object with digits for each number that a text may stand for: 5 and "5" are one quantity.
fn digits(value: &Value, schema: &Value) -> Value {
    match value {
        Value::Number(number) if schema["x-kubernetes-int-or-string"] == true => {
            Value::String(number.to_string())
        }
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                (name.clone(), digits(value, &schema["properties"][name]))
            };
            Value::Object(members.iter().map(member).collect())
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| digits(item, &schema["items"]));
            Value::Array(items.collect())
        }
        other => other.clone(),
    }
}

impl Rules {
    pub(super) fn of(schema: &Value) -> Self {
        Self {
            compiled: compile_schema(&for_evaluator(schema.clone())),
            schema: schema.clone(),
            evaluator: Mutex::new(Validator::new()),
        }
    }

    /// Tells of each rule that the object, as it would be created, breaks. Of a value in which something is `broken`
    /// by form no rule is asked: it would say nothing, or nothing true.
    pub(super) fn check(
        &self,
        object: &Value,
        broken: &BTreeSet<String>,
        refuse: &mut dyn FnMut(&str, String),
    ) {
        let evaluator = self.evaluator.lock();
        let evaluator = evaluator.unwrap_or_else(std::sync::PoisonError::into_inner);
        let object = digits(object, &self.schema);
        let Err(errors) = evaluator.validate_compiled(&self.compiled, &object, None) else {
            return;
        };
        for error in errors {
            if broken.iter().any(|path| is_within(path, &error.field_path)) {
                continue;
            }
            let message = match error.kind {
                ErrorKind::ValidationFailure => error.message,
                _ => format!(
                    "the rule {:?} can't be evaluated here ({}), so nothing is taken; kubectl apply --dry-run=server evaluates it",
                    error.rule, error.message
                ),
            };
            refuse(&error.field_path, message);
        }
    }

    /// Tells of each rule that a change from `old` to `new` breaks. Both are objects in which nothing is wrong.
    pub(super) fn check_change(
        &self,
        old: &Value,
        new: &Value,
        refuse: &mut dyn FnMut(&str, String),
    ) {
        let evaluator = self.evaluator.lock();
        let evaluator = evaluator.unwrap_or_else(std::sync::PoisonError::into_inner);
        let (old, new) = (digits(old, &self.schema), digits(new, &self.schema));
        let answer = evaluator.validate_compiled(&self.compiled, &new, Some(&old));
        for error in answer.err().into_iter().flatten() {
            refuse(&error.field_path, error.message);
        }
    }

    #[cfg(test)]
    pub(super) fn compiled(&self) -> &CompiledSchema {
        &self.compiled
    }
}

/// Whether the field at `path` is `of`, or within it.
fn is_within(path: &str, of: &str) -> bool {
    let Some(rest) = path.strip_prefix(of) else {
        return false;
    };
    of.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
}
