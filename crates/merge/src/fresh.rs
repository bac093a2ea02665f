//! The short way for new objects: nobody owned anything before, so the writer gets what differs
//! from the kind's zero, told in one walk.

use crate::element::Element;
use crate::schema::{ListType, MapType, Schema, TypeId};
use crate::set::Set;
use crate::typed::{Kind, items, kinds_of, members};
use crate::value::Value;

/// What nobody gets to own: whole trees, and fields whose children may be owned.
#[derive(Clone, Copy)]
pub(crate) struct Skip<'x> {
    pub trees: Option<&'x Set<'x>>,
    pub fields: Option<&'x Set<'x>>,
}

impl<'x> Skip<'x> {
    fn tree(self, element: &Element<'_>) -> bool {
        self.trees.is_some_and(|set| set.has_member(element))
    }

    fn field(self, element: &Element<'_>) -> bool {
        self.fields.is_some_and(|set| set.has_member(element))
    }

    fn below(self, element: &Element<'_>) -> Skip<'x> {
        Skip {
            trees: self.trees.and_then(|set| set.child(element)),
            fields: self.fields.and_then(|set| set.child(element)),
        }
    }
}

/// Whether a field itself is the writer's, and which below it are.
type Taken<'a> = (bool, Set<'a>);

impl Schema {
    /// The fields of `new`, which fits its schema, that the kind's zero does not have, or has with
    /// other values: what [`Schema::compare`] tells as added or modified, without `skip`. `None`:
    /// let it tell.
    pub(crate) fn fresh<'a>(&'a self, new: &Value<'a>, skip: Skip<'_>) -> Option<Set<'a>> {
        let (_, set) = self.taken(self.root(), Some(self.zero()), new, skip)?;
        Some(set)
    }

    fn taken<'a>(
        &'a self,
        id: TypeId,
        zero: Option<&Value<'a>>,
        new: &Value<'a>,
        skip: Skip<'_>,
    ) -> Option<Taken<'a>> {
        let atom = self.atom(id);
        let (kind, None) = kinds_of(atom, zero, Some(new)) else {
            return None;
        };
        match (kind?, &atom.map, &atom.list) {
            (Kind::Map, Some(map), _) if !map.atomic => {
                let (one, two) = (members(zero), members(Some(new)).unwrap_or_default());
                if !two.is_empty() || !one.unwrap_or_default().is_empty() {
                    return Some((zero.is_none(), self.taken_members(map, zero, two, skip)?));
                }
            }
            (Kind::List, _, Some(list)) if !list.atomic => {
                if !items(zero).unwrap_or_default().is_empty() {
                    return None;
                }
                let found = items(Some(new)).unwrap_or_default();
                if !found.is_empty() {
                    return Some((zero.is_none(), self.taken_items(list, found, skip)?));
                }
            }
            _ => {}
        }
        Some((zero.is_none_or(|zero| zero != new), Set::default()))
    }

    fn taken_members<'a>(
        &'a self,
        map: &MapType,
        zero: Option<&Value<'a>>,
        new: &[(std::borrow::Cow<'a, str>, Value<'a>)],
        skip: Skip<'_>,
    ) -> Option<Set<'a>> {
        let mut set = Set::default();
        for (key, value) in new {
            let id = map.field(key).map(|field| field.id).or(map.element)?;
            let element = Element::Field(key.clone());
            if skip.tree(&element) {
                continue;
            }
            let before = zero.and_then(|zero| zero.get(key));
            let taken = self.taken(id, before, value, skip.below(&element))?;
            attach(&mut set, element, taken, skip);
        }
        Some(set)
    }

    fn taken_items<'a>(
        &'a self,
        list: &'a ListType,
        new: &[Value<'a>],
        skip: Skip<'_>,
    ) -> Option<Set<'a>> {
        let mut set = Set::default();
        let mut found = self.indexed(list, new).ok()?;
        found.sort_by(|(one, _), (two, _)| one.cmp(two));
        for group in found.chunk_by(|(one, _), (two, _)| one == two) {
            let (element, at) = group.first()?;
            if skip.tree(element) {
                continue;
            }
            let taken = match group {
                [_] => self.taken(list.element, None, new.get(*at)?, skip.below(element))?,
                _ => (true, Set::default()), // repeated ones are compared as if they were atomic
            };
            attach(&mut set, element.clone(), taken, skip);
        }
        Some(set)
    }
}

fn attach<'a>(set: &mut Set<'a>, element: Element<'a>, (own, below): Taken<'a>, skip: Skip<'_>) {
    let own = own && !skip.field(&element);
    if !below.is_empty() {
        if own {
            set.members.push(element.clone());
        }
        set.children.push((element, below));
    } else if own {
        set.members.push(element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MergeError;
    use crate::engine::{Managed, NEVER_TRACKED, Request, Versions, encode, update, updated};
    use crate::managers::Managers;
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    struct NoVersion;

    impl<'s> Versions<'s> for NoVersion {
        fn schema(&self, _: &str) -> Option<&'s Schema> {
            None
        }

        fn convert(&self, _: &Value<'_>, _: &str) -> Result<Value<'static>, MergeError> {
            Err(MergeError::Typed("one version only".to_owned()))
        }
    }

    /// A kind whose zero has members.
    fn schema() -> Schema {
        let text = json!({"type": "string"});
        let keyed = json!({"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name", "port"], "items": {"type": "object", "properties":
                {"name": text, "port": {"type": "integer", "default": 80}, "value": text}}});
        let definitions = json!({
            "Kind": {"type": "object", "properties": {
                "apiVersion": text, "kind": text,
                "metadata": {"$ref": "#/definitions/Meta"}, "spec": {"$ref": "#/definitions/Spec"}}},
            "Meta": {"type": "object", "properties": {
                "name": text, "uid": text, "creationTimestamp": {"type": "string", "format": "date-time"},
                "labels": {"type": "object", "additionalProperties": text}}},
            "Spec": {"type": "object", "properties": {
                "text": text, "count": {"type": "integer"}, "flag": {"type": "boolean"},
                "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
                "keyed": keyed, "atomic": {"type": "array", "items": text},
                "whole": {"type": "object", "additionalProperties": text,
                    "x-kubernetes-map-type": "atomic"},
                "free": {}, "inner": {"$ref": "#/definitions/Spec"}}}});
        let shapes = json!({
            "Kind": {"metadata": "s", "spec": "s"}, "Meta": {"creationTimestamp": "n"},
            "Spec": {"text": "t", "count": "i", "flag": "b"}});
        Schema::from_definitions(&definitions, &shapes, "Kind").unwrap()
    }

    fn value() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(|one| json!(one)),
            (0..3).prop_map(|one| json!(one)),
            "[ab\"é]{0,2}".prop_map(|one| json!(one)),
        ];
        let names = prop::sample::select(vec![
            "name",
            "port",
            "value",
            "text",
            "count",
            "flag",
            "set",
            "keyed",
            "atomic",
            "whole",
            "free",
            "a",
            "labels",
            "uid",
            "creationTimestamp",
        ]);
        leaf.prop_recursive(4, 40, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|list| json!(list)),
                prop::collection::btree_map(names.clone(), inner, 0..5).prop_map(|map| json!(map)),
            ]
        })
    }

    /// Mostly well typed, so that the schema is met at all.
    fn spec() -> impl Strategy<Value = Json> {
        let word = || prop::sample::select(vec!["", "a", "b"]);
        let item = (
            prop::option::of(word()),
            prop::option::of(79..82),
            prop::option::of(word()),
        );
        let item = item.prop_map(|(name, port, value)| {
            let fields = [
                ("name", json!(name)),
                ("port", json!(port)),
                ("value", json!(value)),
            ];
            let given = fields.into_iter().filter(|(_, value)| !value.is_null());
            Json::Object(
                given
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        });
        let fields = (
            prop::option::of(word()),
            prop::option::of(0..2),
            prop::option::of(any::<bool>()),
            prop::option::of(prop::collection::vec(word(), 0..4)),
            prop::option::of(prop::collection::vec(item, 0..4)),
            prop::option::of(prop::collection::vec(word(), 0..3)),
            prop::option::of(prop::collection::btree_map("[ab]", word(), 0..3)),
            prop::option::of(value()),
        );
        fields.prop_map(|(text, count, flag, set, keyed, atomic, whole, free)| {
            let fields = json!({"text": text, "count": count, "flag": flag, "set": set,
                "keyed": keyed, "atomic": atomic, "whole": whole, "free": free});
            let fields = fields.as_object().cloned().unwrap_or_default();
            Json::Object(
                fields
                    .into_iter()
                    .filter(|(_, one)| !one.is_null())
                    .collect(),
            )
        })
    }

    fn long_way<'s>(request: &Request<'s, '_>, new: &Value<'s>) -> Managed {
        let zero = request.schema.zero();
        let found = updated(request, zero, new, Managers::default(), request.manager);
        found.map_or_else(|_| Managed::default(), |found| encode(found, None))
    }

    proptest! {
        #[test]
        fn the_short_way_ends_where_the_long_one_does(
            mut spec in spec(),
            inner in prop::option::of(spec()),
            odd in prop::option::of(value()),
            labels in prop::option::of(prop::collection::btree_map("[ab]", "[ab]", 0..3)),
            ignore in any::<bool>(),
        ) {
            if let Some(inner) = inner {
                spec["inner"] = inner;
            }
            let mut obj = json!({"apiVersion": "v1", "kind": "Kind", "spec": spec, "metadata": {
                "name": "n", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}});
            if let Some(labels) = labels {
                obj["metadata"]["labels"] = json!(labels);
            }
            if let Some(odd) = odd {
                obj["spec"]["keyed"] = odd;
            }
            let text = obj.to_string();
            let schema = schema();
            let mut ignored = Set::default();
            if ignore {
                let field = |name: &'static str| Element::Field(name.into());
                ignored.insert(&[field("spec"), field("keyed")]);
                ignored.insert(&[field("spec"), field("inner"), field("text")]);
            }
            let request = Request {
                schema: &schema, api_version: "v1", manager: "m", subresource: "",
                now: "2026-01-01T00:00:00Z", ignored: &ignored, versions: &NoVersion,
            };
            let new = Value::parse(text.as_bytes()).unwrap();
            let wanted = long_way(&request, &new);
            prop_assert_eq!(update(&request, None, new.clone()).unwrap(), wanted);
            prop_assert_eq!(schema.fits(&new), schema.problems(&new, true).0.is_empty());
        }
    }

    #[test]
    fn it_is_the_usual_way() {
        let text = r#"{"apiVersion":"v1","kind":"Kind","metadata":{"name":"n","labels":{"a":"b"}},
            "spec":{"text":"","keyed":[{"name":"x","value":"1"}],"inner":{"count":3}}}"#;
        let (schema, new) = (schema(), Value::parse(text.as_bytes()).unwrap());
        let skip = Skip {
            trees: None,
            fields: Some(&NEVER_TRACKED),
        };
        let mut out = Vec::new();
        schema.fresh(&new, skip).unwrap().write(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"f:metadata":{"f:labels":{".":{},"f:a":{}}},"f:spec":{"f:inner":{".":{},"f:count":{}},"f:keyed":{".":{},"k:{\"name\":\"x\",\"port\":80}":{".":{},"f:name":{},"f:value":{}}}}}"#
        );
    }
}
