//! What is known of a JSON value in advance: the CEL view of a structural OpenAPI v3 schema.
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::escape::escape;
use crate::json::Json;

const MAX_REQUEST_BYTES: u64 = 3 * 1024 * 1024;

/// How the items of a list relate to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    Atomic,
    Set,
    Map(Vec<Arc<str>>),
}

/// One property of an object.
#[derive(Clone, Debug)]
pub struct Property {
    pub name: Arc<str>,
    /// `None`: its values cannot be seen by expressions.
    pub schema: Option<Arc<Schema>>,
}

/// The shape of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    /// Anything: typed by the value itself.
    Dyn,
    IntOrString,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Date,
    Timestamp,
    Duration,
    List(Arc<Schema>, ListKind),
    Map(Arc<Schema>),
    /// By escaped name.
    Object(HashMap<Arc<str>, Property>),
}

/// A schema. Two of them are the same type when they are the same allocation.
#[derive(Clone, Debug)]
pub struct Schema {
    pub shape: Shape,
    pub nullable: bool,
    /// The most bytes, items or members that a value can have.
    pub max_elements: u64,
    /// The fewest bytes that a value takes as JSON.
    pub min_size: u64,
    /// How error messages call an object type.
    pub name: Arc<str>,
}

static DYN: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    Arc::new(Schema {
        nullable: true,
        ..Schema::plain(Shape::Dyn, u64::MAX, 1)
    })
});

impl Schema {
    fn plain(shape: Shape, max_elements: u64, min_size: u64) -> Schema {
        Schema {
            shape,
            nullable: false,
            max_elements,
            min_size,
            name: Arc::from("object"),
        }
    }

    /// The schema that says nothing.
    #[must_use]
    pub fn dynamic() -> &'static Arc<Schema> {
        &DYN
    }

    /// The schema of a list's items.
    #[must_use]
    pub fn item(&self) -> &Arc<Schema> {
        match &self.shape {
            Shape::List(items, _) => items,
            _ => &DYN,
        }
    }

    /// The schema of a map's values.
    #[must_use]
    pub fn value(&self) -> &Arc<Schema> {
        match &self.shape {
            Shape::Map(values) => values,
            _ => &DYN,
        }
    }

    #[must_use]
    pub fn list_kind(&self) -> &ListKind {
        match &self.shape {
            Shape::List(_, kind) => kind,
            _ => &ListKind::Atomic,
        }
    }

    /// The property that an identifier names in an object.
    #[must_use]
    pub fn property(&self, identifier: &str) -> Option<&Property> {
        match &self.shape {
            Shape::Object(properties) => properties.get(identifier),
            _ => None,
        }
    }

    /// The CEL view of an OpenAPI schema; `None` where expressions see nothing.
    ///
    /// `resource`: the root of an object, which always has `apiVersion`, `kind` and
    /// `metadata.{name,generateName}`. `name` is what messages call it.
    #[must_use]
    pub fn of(schema: &Json, resource: bool, name: &str) -> Option<Arc<Schema>> {
        let flag = |key: &str| schema.get(key).and_then(Json::as_bool).unwrap_or(false);
        let resource = resource || flag("x-kubernetes-embedded-resource");
        let mut found = if flag("x-kubernetes-dyn") {
            Schema::plain(Shape::Dyn, MAX_REQUEST_BYTES, 1)
        } else if flag("x-kubernetes-int-or-string") {
            Schema::plain(Shape::IntOrString, text_max(schema), 1)
        } else {
            match schema.get("type").and_then(Json::as_str)? {
                "boolean" => Schema::plain(Shape::Bool, 1, 4),
                "integer" => Schema::plain(Shape::Int, 1, 1),
                "number" => Schema::plain(Shape::Double, 1, 1),
                "string" => text(schema),
                "array" => list(schema, name)?,
                "object" => object(schema, resource, name)?,
                _ => return None,
            }
        };
        found.nullable = flag("nullable");
        found.name = Arc::from(name);
        Some(Arc::new(found))
    }
}

fn whole(schema: &Json, key: &str) -> Option<u64> {
    schema
        .get(key)
        .and_then(Json::as_i64)
        .map(|value| u64::try_from(value).unwrap_or(0))
}

fn text_max(schema: &Json) -> u64 {
    // A character takes up to four bytes.
    whole(schema, "maxLength").map_or(MAX_REQUEST_BYTES - 2, |length| length.saturating_mul(4))
}

fn text(schema: &Json) -> Schema {
    match schema.get("format").and_then(Json::as_str).unwrap_or("") {
        "byte" => Schema::plain(
            Shape::Bytes,
            whole(schema, "maxLength").unwrap_or(MAX_REQUEST_BYTES - 2),
            2,
        ),
        "duration" => Schema::plain(Shape::Duration, 32, 3),
        "date" => Schema::plain(Shape::Date, 12, 12),
        "date-time" => Schema::plain(Shape::Timestamp, 32, 21),
        _ => {
            let enumerated = || {
                let choices = schema.get("enum")?.as_list()?;
                choices
                    .iter()
                    .filter_map(Json::as_str)
                    .map(|one| one.len() as u64)
                    .max()
            };
            let bound = match whole(schema, "maxLength") {
                Some(_) => text_max(schema),
                None => enumerated().unwrap_or(MAX_REQUEST_BYTES - 2),
            };
            Schema::plain(Shape::String, bound, 2)
        }
    }
}

fn list(schema: &Json, name: &str) -> Option<Schema> {
    let items = Schema::of(schema.get("items")?, false, &format!("{name}.@idx"))?;
    let kind = match schema.get("x-kubernetes-list-type").and_then(Json::as_str) {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(
            schema
                .get("x-kubernetes-list-map-keys")
                .and_then(Json::as_list)
                .unwrap_or_default()
                .iter()
                .filter_map(Json::as_str)
                .map(Arc::from)
                .collect(),
        ),
        _ => ListKind::Atomic,
    };
    let bound = whole(schema, "maxItems").unwrap_or((MAX_REQUEST_BYTES - 2) / (items.min_size + 1));
    Some(Schema::plain(Shape::List(items, kind), bound, 2))
}

fn object(schema: &Json, resource: bool, name: &str) -> Option<Schema> {
    if let Some(values @ Json::Object(_)) = schema.get("additionalProperties") {
        let values = Schema::of(values, false, &format!("{name}.@elem"))?;
        let bound = whole(schema, "maxProperties")
            .unwrap_or((MAX_REQUEST_BYTES - 2) / (values.min_size + 6));
        return Some(Schema::plain(Shape::Map(values), bound, 2));
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Json::as_list)
        .unwrap_or_default()
        .iter()
        .filter_map(Json::as_str)
        .collect();
    let plain = schema
        .get("x-plain-names")
        .and_then(Json::as_bool)
        .unwrap_or(false);
    let mut properties = HashMap::new();
    let mut min_size = 2;
    if let Some(Json::Object(given)) = schema.get("properties") {
        for (property, inner) in given.iter() {
            if resource && matches!(&**property, "apiVersion" | "kind" | "metadata") {
                if required.contains(&&**property) {
                    min_size += property.len() as u64 + 6;
                }
                continue;
            }
            let found = Schema::of(inner, false, &format!("{name}.{property}"));
            if let Some(found) = &found
                && required.contains(&&**property)
                && inner.get("default").is_none()
            {
                min_size += property.len() as u64 + found.min_size + 4;
            }
            // Kubernetes' own types are declared by their plain names (`request.namespace`).
            let identifier = if plain {
                Some(property.to_string())
            } else {
                escape(property)
            };
            if let Some(identifier) = identifier {
                let entry = Property {
                    name: property.clone(),
                    schema: found,
                };
                properties.insert(Arc::from(identifier), entry);
            }
        }
    }
    if resource {
        root(&mut properties, name);
    }
    Some(Schema::plain(
        Shape::Object(properties),
        MAX_REQUEST_BYTES,
        min_size,
    ))
}

fn root(properties: &mut HashMap<Arc<str>, Property>, name: &str) {
    let text = Arc::new(Schema::plain(Shape::String, MAX_REQUEST_BYTES - 2, 2));
    let property = |key: &str, schema: Arc<Schema>| {
        (
            Arc::from(key),
            Property {
                name: Arc::from(key),
                schema: Some(schema),
            },
        )
    };
    let metadata: HashMap<Arc<str>, Property> = ["name", "generateName"]
        .map(|key| property(key, text.clone()))
        .into_iter()
        .collect();
    let mut inner = Schema::plain(Shape::Object(metadata), MAX_REQUEST_BYTES, 2);
    inner.name = Arc::from(format!("{name}.metadata"));
    properties.extend([
        property("apiVersion", text.clone()),
        property("kind", text),
        property("metadata", Arc::new(inner)),
    ]);
}
