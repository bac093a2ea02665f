//! What holds for every object: of sets, of ownership, of apply.
#![allow(clippy::unwrap_used)]

use cloudwright_merge::{MergeError, Request, Schema, Set, Value, Versions, apply, update};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

struct OneVersion;

impl<'s> Versions<'s> for OneVersion {
    fn schema(&self, _: &str) -> Option<&'s Schema> {
        None
    }

    fn convert(&self, _: &Value<'_>, _: &str) -> Result<Value<'static>, MergeError> {
        Err(MergeError::Typed("one version only".to_owned()))
    }
}

/// `spec` of a kind with every sort of field.
fn schema() -> Schema {
    let item = json!({"type": "object", "properties": {
        "name": {"type": "string"}, "port": {"type": "integer"}, "value": {"type": "string"}}});
    let spec = json!({"type": "object", "properties": {
        "text": {"type": "string"},
        "set": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "keyed": {"type": "array", "items": item, "x-kubernetes-list-type": "map",
                  "x-kubernetes-list-map-keys": ["name", "port"]},
        "atomic": {"type": "array", "items": {"type": "integer"}},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "whole": {"type": "object", "additionalProperties": {"type": "string"},
                  "x-kubernetes-map-type": "atomic"},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}});
    let root = json!({"type": "object", "properties": {"spec": spec}});
    let meta = json!({"meta": {"type": "object", "properties": {"name": {"type": "string"}}}});
    Schema::from_structural(&root, &meta, "meta", false).unwrap()
}

fn words() -> impl Strategy<Value = Json> {
    prop::sample::select(vec!["a", "b", "c<&>\u{2028}\""]).prop_map(|word| json!(word))
}

fn map() -> impl Strategy<Value = Json> {
    prop::collection::btree_map("[a-c]", words(), 0..3).prop_map(|map| json!(map))
}

fn keyed() -> impl Strategy<Value = Json> {
    let item = (words(), prop::option::of(0..3), prop::option::of(words()));
    prop::collection::vec(item, 0..4).prop_map(|items| {
        let mut seen = Vec::new();
        let mut out = Vec::new();
        for (name, port, value) in items {
            let mut item = json!({"name": name});
            if let Some(port) = port {
                item["port"] = json!(port);
            }
            if seen.contains(&item) {
                continue;
            }
            seen.push(item.clone());
            if let Some(value) = value {
                item["value"] = value;
            }
            out.push(item);
        }
        json!(out)
    })
}

prop_compose! {
    fn object()(
        text in prop::option::of(words()),
        set in prop::option::of(prop::collection::btree_set("[a-d]", 0..4)),
        keyed in prop::option::of(keyed()),
        atomic in prop::option::of(prop::collection::vec(0..3, 0..3)),
        map_ in prop::option::of(map()),
        whole in prop::option::of(map()),
        free in prop::option::of(map()),
    ) -> Json {
        let mut spec = json!({});
        let fields = [("text", text), ("set", set.map(|set| json!(set))), ("keyed", keyed),
            ("atomic", atomic.map(|list| json!(list))), ("map", map_), ("whole", whole), ("free", free)];
        for (name, value) in fields {
            if let Some(value) = value {
                spec[name] = value;
            }
        }
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "o"}, "spec": spec})
    }
}

struct World {
    schema: Schema,
    live: Option<Json>,
}

impl World {
    fn apply(&mut self, manager: &str, patch: &Json, force: bool) -> Result<(), MergeError> {
        let (schema, nothing) = (&self.schema, Set::default());
        let request = Request {
            schema,
            api_version: "g/v1",
            manager,
            subresource: "",
            now: "2026-01-01T00:00:00Z",
            ignored: &nothing,
            versions: &OneVersion,
        };
        let (live, patch) = (self.live.as_ref().map(Json::to_string), patch.to_string());
        let live = live
            .as_ref()
            .map(|text| Value::parse(text.as_bytes()).unwrap());
        let patch = Value::parse(patch.as_bytes()).unwrap();
        let applied = apply(&request, live, &patch, None, force)?;
        let mut out = Vec::new();
        applied.object.write(&mut out);
        let obj = serde_json::from_slice(&out).unwrap();
        self.keep(obj, applied.managed.fields);
        Ok(())
    }

    fn update(&mut self, manager: &str, new: &Json) {
        let (schema, nothing) = (&self.schema, Set::default());
        let request = Request {
            schema,
            api_version: "g/v1",
            manager,
            subresource: "",
            now: "2026-01-01T00:00:00Z",
            ignored: &nothing,
            versions: &OneVersion,
        };
        let (live, text) = (self.live.as_ref().map(Json::to_string), new.to_string());
        let live = live
            .as_ref()
            .map(|text| Value::parse(text.as_bytes()).unwrap());
        let managed = update(&request, live, Value::parse(text.as_bytes()).unwrap()).unwrap();
        self.keep(new.clone(), managed.fields);
    }

    fn keep(&mut self, mut obj: Json, fields: Option<Vec<u8>>) {
        let metadata = obj["metadata"].as_object_mut().unwrap();
        metadata.remove("managedFields");
        if let Some(fields) = fields {
            let owners = serde_json::from_slice(&fields).unwrap();
            metadata.insert("managedFields".to_owned(), owners);
        }
        self.live = Some(obj);
    }

    fn spec(&self) -> Json {
        self.live.as_ref().unwrap()["spec"].clone()
    }

    /// The union of all owners' fields.
    fn owned(&self) -> Set<'static> {
        let live = self.live.as_ref().unwrap();
        let owners = live["metadata"]["managedFields"].as_array();
        owners
            .into_iter()
            .flatten()
            .fold(Set::default(), |all, owner| {
                let text = owner["fieldsV1"].to_string();
                let value = Value::parse(text.as_bytes()).unwrap().into_owned();
                all.union(&Set::from_value(&value).unwrap())
            })
    }
}

fn world() -> World {
    World {
        schema: schema(),
        live: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_set_survives_the_wire(obj in object()) {
        let schema = schema();
        let text = obj.to_string();
        let value = Value::parse(text.as_bytes()).unwrap();
        let set = schema.field_set(&value).unwrap();
        let mut wire = Vec::new();
        set.write(&mut wire);
        let again = Value::parse(&wire).unwrap().into_owned();
        prop_assert_eq!(Set::from_value(&again).unwrap(), set);
    }

    #[test]
    fn union_intersection_and_difference_agree(one in object(), two in object()) {
        let schema = schema();
        let (one, two) = (one.to_string(), two.to_string());
        let left = schema.field_set(&Value::parse(one.as_bytes()).unwrap()).unwrap();
        let right = schema.field_set(&Value::parse(two.as_bytes()).unwrap()).unwrap();
        let both = left.intersection(&right);
        let only = left.difference(&right);
        prop_assert_eq!(both.union(&only), left.clone());
        prop_assert!(only.intersection(&right).is_empty());
        prop_assert_eq!(left.union(&right), right.union(&left));
    }

    #[test]
    fn applying_again_changes_nothing(one in object(), two in object()) {
        let mut world = world();
        world.update("maker", &one);
        world.apply("me", &two, true).unwrap();
        let before = world.live.clone();
        world.apply("me", &two, true).unwrap();
        prop_assert_eq!(before, world.live);
    }

    #[test]
    fn what_only_i_applied_goes_when_i_apply_nothing(one in object(), two in object()) {
        let mut world = world();
        world.apply("you", &one, true).unwrap();
        let before = world.spec();
        world.apply("me", &two, true).unwrap();
        let mut empty = two.clone();
        empty.as_object_mut().unwrap().remove("spec");
        world.apply("me", &empty, true).unwrap();
        let owners = world.live.as_ref().unwrap()["metadata"]["managedFields"].to_string();
        prop_assert!(!owners.contains("\"me\""));
        // What I took from you by force is yours no more; all else is as it was.
        if one["spec"] == two["spec"] || two["spec"] == json!({}) {
            prop_assert_eq!(before, world.spec());
        }
    }

    #[test]
    fn nobody_owns_what_is_not_there(steps in prop::collection::vec((0..3u8, object()), 1..5)) {
        let mut world = world();
        for (who, obj) in &steps {
            let manager = format!("m{who}");
            if who % 2 == 0 {
                world.apply(&manager, obj, true).unwrap();
            } else {
                world.update(&manager, obj);
            }
        }
        let mut obj = world.live.clone().unwrap();
        obj["metadata"].as_object_mut().unwrap().remove("managedFields");
        let text = obj.to_string();
        let value = Value::parse(text.as_bytes()).unwrap();
        let there = world.schema.field_set(&value).unwrap();
        let there = there.with_named_fields(&world.schema, Some(world.schema.root()));
        let owned = world.owned().with_named_fields(&world.schema, Some(world.schema.root()));
        let ghosts = owned.difference(&there);
        // Maps and lists that have become empty are owned without being fields themselves.
        for path in ghosts.paths() {
            let shown: String = path.iter().map(ToString::to_string).collect();
            prop_assert!(path.len() <= 2 || !shown.contains("keyed["), "{} in {}", shown, text);
        }
    }
}
