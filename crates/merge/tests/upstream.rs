//! Whole histories of objects, with what upstream's library made of them.
//!
//! `upstream.json` has generated cases: a structural schema (or none), and a list of updates and
//! applies by several managers. The results are those of apimachinery's `managedfields` 0.36.3.
#![allow(clippy::unwrap_used)]

use cloudwright_merge::{
    Element, MergeError, Request, Schema, Set, Value, Versions, apply, last_applied_of, update,
};
use serde_json::{Value as Json, json};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const API_VERSION: &str = "g.io/v1";

struct OneVersion;

impl<'s> Versions<'s> for OneVersion {
    fn schema(&self, _: &str) -> Option<&'s Schema> {
        None
    }

    fn convert(&self, _: &Value<'_>, _: &str) -> Result<Value<'static>, MergeError> {
        Err(MergeError::Typed("one version only".to_owned()))
    }
}

fn text<'j>(value: &'j Json, name: &str) -> &'j str {
    value[name].as_str().unwrap_or("")
}

fn written(value: &Value<'_>) -> Json {
    let mut out = Vec::new();
    value.write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

/// `obj` with its owners, sorted and without times, as the table has them.
fn shown(mut obj: Json, fields: Option<&[u8]>) -> Json {
    let metadata = obj.as_object_mut().unwrap();
    let metadata = metadata.entry("metadata").or_insert_with(|| json!({}));
    let metadata = metadata.as_object_mut().unwrap();
    metadata.remove("managedFields");
    if let Some(fields) = fields {
        let owners: Json = serde_json::from_slice(fields).unwrap();
        metadata.insert("managedFields".to_owned(), owners);
    }
    metadata.insert("uid".to_owned(), json!("u"));
    obj
}

fn without_times(mut obj: Json) -> Json {
    if let Some(owners) = obj["metadata"].get_mut("managedFields") {
        let owners = owners.as_array_mut().unwrap();
        for owner in owners.iter_mut() {
            owner.as_object_mut().unwrap().remove("time");
        }
        owners.sort_by_key(ToString::to_string);
    }
    obj
}

fn conflicts(found: &MergeError) -> Vec<(String, String)> {
    let MergeError::Conflicts(found) = found else {
        return Vec::new();
    };
    let mut pairs: Vec<(String, String)> = found
        .iter()
        .map(|one| (format!("conflict with {}", one.manager), one.field.clone()))
        .collect();
    pairs.sort();
    pairs
}

fn run(case: &Json, schema: &Schema) {
    let mut ignored = Set::default();
    for path in case["ignored"].as_array().into_iter().flatten() {
        let steps = path.as_array().unwrap().iter();
        let steps: Vec<Element<'_>> = steps
            .map(|step| Element::Field(step.as_str().unwrap().to_owned().into()))
            .collect();
        ignored.insert(&steps);
    }
    let mut live: Option<Json> = None;
    let steps = case["steps"].as_array().unwrap();
    for (step, wanted) in steps.iter().zip(case["results"].as_array().unwrap()) {
        let request = Request {
            schema,
            api_version: API_VERSION,
            manager: text(step, "manager"),
            subresource: text(step, "subresource"),
            now: "2026-01-01T00:00:00Z",
            ignored: &ignored,
            versions: &OneVersion,
        };
        let given = step["object"].to_string();
        let given = Value::parse(given.as_bytes()).unwrap();
        let before = live.as_ref().map(ToString::to_string);
        let before = before
            .as_ref()
            .map(|text| Value::parse(text.as_bytes()).unwrap());
        let outcome = if text(step, "verb") == "apply" {
            let last = before.as_ref().and_then(last_applied_of).map(str::to_owned);
            let last = last
                .as_ref()
                .and_then(|text| Value::parse(text.as_bytes()).ok());
            let force = step["force"].as_bool().unwrap();
            apply(&request, before, &given, last.as_ref(), force)
                .map(|found| (written(&found.object), found.managed.fields))
        } else {
            let new = step["object"].clone();
            update(&request, before, given).map(|found| (new, found.fields))
        };
        match outcome {
            Ok((obj, fields)) => {
                let found = shown(obj, fields.as_deref());
                assert_eq!(
                    without_times(found.clone()),
                    without_times(wanted["object"].clone()),
                    "{case}"
                );
                live = Some(found);
            }
            Err(error) if wanted["causes"].is_array() => {
                let mut pairs: Vec<(String, String)> =
                    serde_json::from_value(wanted["causes"].clone()).unwrap();
                pairs.sort();
                assert_eq!(conflicts(&error), pairs, "{case}");
            }
            Err(error) => {
                let problem = text(wanted, "error");
                assert!(
                    problem.ends_with(&error.to_string()),
                    "{error}\n{problem}\n{case}"
                );
            }
        }
    }
}

#[test]
fn histories_end_as_upstream_ends_them() {
    let table: Json = serde_json::from_str(include_str!("upstream.json")).unwrap();
    for case in table["cases"].as_array().unwrap() {
        let schema = if case["untyped"] == json!(true) {
            Schema::untyped()
        } else {
            Schema::from_structural(&case["schema"], &table["definitions"], META, false).unwrap()
        };
        run(case, &schema);
    }
}
