//! Types compiled from OpenAPI: what is a list by key, a set, a map, atomic, or anything.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::MergeError;
use crate::value::Value;

/// Index of a type in its schema.
pub type TypeId = u32;

/// What a scalar may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scalar {
    /// An integer or a float.
    Numeric,
    /// Text.
    String,
    /// True or false.
    Boolean,
    /// Any scalar.
    Untyped,
}

/// A list type. Lists that are not atomic are sets (no keys) or keyed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListType {
    /// Owned and replaced as a whole.
    pub atomic: bool,
    /// The fields that tell an item.
    pub keys: Vec<Box<str>>,
    /// The items' type.
    pub element: TypeId,
}

/// A field of a struct.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its type.
    pub id: TypeId,
    /// What stands for it where it is missing from a list's key.
    pub default: Option<Value<'static>>,
    /// How Go writes it when it is empty.
    pub shape: Shape,
}

/// How an empty field of a Go struct looks in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shape {
    /// Unknown: it stays as it is.
    #[default]
    Free,
    /// Absent when null.
    Pointer,
    /// Absent when null or empty (lists, maps).
    Collection,
    /// Absent when it is the zero of its type.
    Scalar,
    /// A struct: always there, `{}` when empty.
    Struct,
    /// Always there, `""` when empty.
    Text,
    /// Always there, `0` when empty.
    Number,
    /// Always there, `"0"` when empty.
    Quantity,
    /// Always there, `"0s"` when empty.
    Duration,
    /// Always there, `false` when empty.
    Flag,
    /// Always there, `null` when empty.
    Null,
}

/// A struct, a map, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapType {
    /// Owned and replaced as a whole.
    pub atomic: bool,
    /// Declared fields, sorted by name.
    pub fields: Vec<(Box<str>, Field)>,
    /// The type of all other fields; `None`: there are none.
    pub element: Option<TypeId>,
}

impl MapType {
    /// A declared field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields
            .binary_search_by(|(found, _)| found.as_ref().cmp(name))
            .ok()
            .map(|at| &self.fields[at].1)
    }
}

/// What a value of a type may be: usually exactly one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Atom {
    /// It may be a scalar.
    pub scalar: Option<Scalar>,
    /// It may be a list.
    pub list: Option<ListType>,
    /// It may be a map.
    pub map: Option<MapType>,
}

/// The types of one kind.
#[derive(Debug)]
pub struct Schema {
    atoms: Vec<Atom>,
    root: TypeId,
    deduced: TypeId,
    /// A new object of the kind, before anything is set.
    zero: Value<'static>,
    /// Whether that fits the schema.
    zero_fits: bool,
}

const UNTYPED: TypeId = 0;
const DEDUCED: TypeId = 1;

impl Schema {
    /// The type of objects that no schema describes: maps merge, lists are replaced.
    #[must_use]
    pub fn untyped() -> Schema {
        Compiler::new(&Json::Null, &Json::Null).finish(DEDUCED, false)
    }

    /// The type of a built-in kind: definition `name` of `definitions`, whose references it
    /// follows. `shapes` has for each definition how Go writes empty fields.
    ///
    /// # Errors
    /// `MergeError::Schema`: a definition is missing or not understood.
    pub fn from_definitions(
        definitions: &Json,
        shapes: &Json,
        name: &str,
    ) -> Result<Schema, MergeError> {
        let mut compiler = Compiler::new(definitions, shapes);
        let root = compiler.named(name, None)?;
        Ok(compiler.finish(root, true))
    }

    /// The type of a custom kind from the schema of its definition; `definitions` has
    /// `ObjectMeta` under `meta`. `preserve`: unknown fields are kept everywhere.
    ///
    /// # Errors
    /// `MergeError::Schema`: the schema is not understood.
    pub fn from_structural(
        schema: &Json,
        definitions: &Json,
        meta: &str,
        preserve: bool,
    ) -> Result<Schema, MergeError> {
        let mut compiler = Compiler::new(definitions, &Json::Null);
        compiler.meta = Some(meta.to_owned());
        let mut root = schema.clone();
        embed(&mut root, meta);
        let atom = compiler.atom(&root, preserve, None)?;
        let root = compiler.push(atom);
        Ok(compiler.finish(root, false))
    }

    /// A type.
    #[must_use]
    pub fn atom(&self, id: TypeId) -> &Atom {
        &self.atoms[id as usize]
    }

    /// The type of a whole object.
    #[must_use]
    pub fn root(&self) -> TypeId {
        self.root
    }

    /// A new object of the kind, before anything is set.
    #[must_use]
    pub fn zero(&self) -> &Value<'static> {
        &self.zero
    }

    /// Whether that fits the schema.
    pub(crate) fn zero_fits(&self) -> bool {
        self.zero_fits
    }

    /// Whether `id` is the type of values that no schema describes.
    #[must_use]
    pub fn is_deduced(&self, id: TypeId) -> bool {
        id == self.deduced
    }
}

/// Give an embedded object the fields that each has.
fn embed(schema: &mut Json, meta: &str) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    let properties = schema
        .entry("properties")
        .or_insert_with(|| Json::Object(serde_json::Map::new()));
    if let Some(properties) = properties.as_object_mut() {
        for name in ["apiVersion", "kind"] {
            properties.insert(name.to_owned(), serde_json::json!({"type": "string"}));
        }
        let reference = format!("#/definitions/{meta}");
        properties.insert(
            "metadata".to_owned(),
            serde_json::json!({"$ref": reference}),
        );
    }
}

struct Compiler<'s> {
    definitions: &'s Json,
    shapes: &'s Json,
    meta: Option<String>,
    atoms: Vec<Atom>,
    known: HashMap<(String, Option<bool>), TypeId>,
}

impl<'s> Compiler<'s> {
    fn new(definitions: &'s Json, shapes: &'s Json) -> Self {
        let anything = |map: TypeId, atomic: bool| Atom {
            scalar: Some(Scalar::Untyped),
            list: Some(ListType {
                atomic: true,
                keys: Vec::new(),
                element: UNTYPED,
            }),
            map: Some(MapType {
                atomic,
                fields: Vec::new(),
                element: Some(map),
            }),
        };
        Compiler {
            definitions,
            shapes,
            meta: None,
            atoms: vec![anything(UNTYPED, true), anything(DEDUCED, false)],
            known: HashMap::new(),
        }
    }

    fn finish(self, root: TypeId, typed: bool) -> Schema {
        let mut schema = Schema {
            atoms: self.atoms,
            root,
            deduced: DEDUCED,
            zero: Value::Map(Vec::new()),
            zero_fits: true,
        };
        if typed {
            let mut zero = Value::Map(Vec::new());
            schema.shape(root, &mut zero);
            schema.zero = zero;
        }
        schema.zero_fits = schema.fits(&schema.zero);
        schema
    }

    fn push(&mut self, atom: Atom) -> TypeId {
        self.atoms.push(atom);
        TypeId::try_from(self.atoms.len() - 1).unwrap_or(UNTYPED)
    }

    /// The type of a definition; `atomic` is what the reference says of the map.
    fn named(&mut self, name: &str, atomic: Option<bool>) -> Result<TypeId, MergeError> {
        if name.ends_with(".runtime.RawExtension") {
            return Ok(UNTYPED);
        }
        let key = (name.to_owned(), atomic);
        if let Some(id) = self.known.get(&key) {
            return Ok(*id);
        }
        let id = self.push(Atom::default());
        self.known.insert(key, id);
        let definitions = self.definitions;
        let spec = definitions
            .get(name)
            .ok_or_else(|| MergeError::Schema(format!("no definition of {name}")))?;
        let mut atom = if name.ends_with(".resource.Quantity") {
            Atom {
                scalar: Some(Scalar::Untyped),
                ..Atom::default()
            }
        } else {
            self.atom(spec, false, Some(name))?
        };
        if let (Some(atomic), Some(map)) = (atomic, &mut atom.map) {
            map.atomic = atomic;
        }
        self.atoms[id as usize] = atom;
        Ok(id)
    }

    fn reference(&mut self, spec: &Json, preserve: bool) -> Result<TypeId, MergeError> {
        let single =
            spec.get("allOf")
                .and_then(Json::as_array)
                .and_then(|all| match all.as_slice() {
                    [one] => one.get("$ref"),
                    _ => None,
                });
        let target = spec.get("$ref").or(single).and_then(Json::as_str);
        if let Some(target) = target {
            let name = target.rsplit('/').next().unwrap_or(target);
            return self.named(name, map_atomic(spec));
        }
        let atom = self.atom(spec, preserve, None)?;
        Ok(self.push(atom))
    }

    fn atom(
        &mut self,
        spec: &Json,
        preserve: bool,
        name: Option<&str>,
    ) -> Result<Atom, MergeError> {
        let preserve = preserve || flag(spec, "x-kubernetes-preserve-unknown-fields");
        if flag(spec, "x-kubernetes-embedded-resource")
            && let Some(meta) = self.meta.clone()
        {
            let mut spec = spec.clone();
            if let Some(members) = spec.as_object_mut() {
                members.remove("x-kubernetes-embedded-resource");
            }
            embed(&mut spec, &meta);
            return self.atom(&spec, preserve, name);
        }
        let scalar = |kind| {
            Ok(Atom {
                scalar: Some(kind),
                ..Atom::default()
            })
        };
        match spec.get("type").and_then(Json::as_str).unwrap_or("") {
            "" => Ok(Atom {
                scalar: Some(Scalar::Untyped),
                list: Some(self.list(spec, preserve)?),
                map: Some(self.map(spec, preserve, name)?),
            }),
            "object" => Ok(Atom {
                map: Some(self.map(spec, preserve, name)?),
                ..Atom::default()
            }),
            "array" => Ok(Atom {
                list: Some(self.list(spec, preserve)?),
                ..Atom::default()
            }),
            "integer" | "number" => scalar(Scalar::Numeric),
            "boolean" => scalar(Scalar::Boolean),
            "string" => match spec.get("format").and_then(Json::as_str).unwrap_or("") {
                "" | "byte" => scalar(Scalar::String),
                _ => scalar(Scalar::Untyped),
            },
            other => Err(MergeError::Schema(format!("unrecognized type: '{other}'"))),
        }
    }

    fn map(
        &mut self,
        spec: &Json,
        preserve: bool,
        name: Option<&str>,
    ) -> Result<MapType, MergeError> {
        let mut fields = Vec::new();
        let members = spec.get("properties").and_then(Json::as_object);
        let shapes = name.and_then(|name| self.shapes.get(name));
        for (field, member) in members.into_iter().flatten() {
            let id = self.reference(member, preserve)?;
            let shape = shapes.and_then(|shapes| shapes.get(field)).map(shape_of);
            let default = member.get("default").map(owned);
            let shape = shape.unwrap_or_default();
            let default = default.or_else(|| zero_of(shape));
            fields.push((field.as_str().into(), Field { id, default, shape }));
        }
        fields.sort_by(|(one, _): &(Box<str>, Field), (two, _)| one.cmp(two));
        let element = match spec.get("additionalProperties") {
            None if preserve || fields.is_empty() => Some(DEDUCED),
            None | Some(Json::Bool(false)) => None,
            Some(Json::Bool(true)) => Some(DEDUCED),
            Some(more) => Some(self.reference(more, preserve)?),
        };
        Ok(MapType {
            atomic: map_atomic(spec).unwrap_or(false),
            fields,
            element,
        })
    }

    fn list(&mut self, spec: &Json, preserve: bool) -> Result<ListType, MergeError> {
        let element = match spec.get("items") {
            Some(items) => self.reference(items, preserve)?,
            None => UNTYPED,
        };
        let text = |name: &str| spec.get(name).and_then(Json::as_str);
        let keys = match (
            text("x-kubernetes-list-type"),
            text("x-kubernetes-patch-strategy"),
        ) {
            (Some("atomic"), _) => None,
            (Some("set"), _) => Some(Vec::new()),
            (Some("map"), _) => Some(
                spec.get("x-kubernetes-list-map-keys")
                    .and_then(Json::as_array)
                    .ok_or_else(|| MergeError::Schema("missing map keys".to_owned()))?
                    .iter()
                    .filter_map(|key| key.as_str().map(Into::into))
                    .collect(),
            ),
            (Some(other), _) => {
                return Err(MergeError::Schema(format!("unknown list type {other}")));
            }
            (None, Some("merge" | "merge,retainKeys")) => Some(
                text("x-kubernetes-patch-merge-key")
                    .map(Into::into)
                    .into_iter()
                    .collect(),
            ),
            (None, _) => None,
        };
        Ok(ListType {
            atomic: keys.is_none(),
            keys: keys.unwrap_or_default(),
            element,
        })
    }
}

fn flag(spec: &Json, name: &str) -> bool {
    spec.get(name) == Some(&Json::Bool(true))
}

fn map_atomic(spec: &Json) -> Option<bool> {
    match spec.get("x-kubernetes-map-type").and_then(Json::as_str) {
        Some("atomic") => Some(true),
        Some("granular") => Some(false),
        _ => None,
    }
}

fn shape_of(code: &Json) -> Shape {
    match code.as_str().unwrap_or("") {
        "p" => Shape::Pointer,
        "c" => Shape::Collection,
        "z" => Shape::Scalar,
        "s" => Shape::Struct,
        "t" => Shape::Text,
        "i" => Shape::Number,
        "b" => Shape::Flag,
        "q" => Shape::Quantity,
        "d" => Shape::Duration,
        "n" => Shape::Null,
        _ => Shape::Free,
    }
}

/// What a scalar that Go always writes is when nobody sets it.
pub(crate) fn zero_of(shape: Shape) -> Option<Value<'static>> {
    match shape {
        Shape::Text => Some(Value::Str("".into())),
        Shape::Number => Some(Value::Int(0)),
        Shape::Quantity => Some(Value::Str("0".into())),
        Shape::Duration => Some(Value::Str("0s".into())),
        Shape::Flag => Some(Value::Bool(false)),
        _ => None,
    }
}

fn owned(json: &Json) -> Value<'static> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(one) => Value::Bool(*one),
        Json::Number(one) => one
            .as_i64()
            .map_or_else(|| Value::Float(one.as_f64().unwrap_or(0.0)), Value::Int),
        Json::String(text) => Value::Str(text.clone().into()),
        Json::Array(items) => Value::List(items.iter().map(owned).collect()),
        Json::Object(members) => {
            let mut found: Vec<_> = members
                .iter()
                .map(|(key, one)| (key.clone().into(), owned(one)))
                .collect();
            found.sort_by(|(one, _): &(std::borrow::Cow<'_, str>, _), (two, _)| one.cmp(two));
            Value::Map(found)
        }
    }
}
