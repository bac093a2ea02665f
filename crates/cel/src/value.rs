//! The values that expressions work with. Cheap to clone: everything large is counted.
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::convert;
use crate::equality::{lists_equal, maps_equal};
use crate::error::Fault;
use crate::functions::authz::Check;
use crate::functions::format::Format;
use crate::functions::quantity::Quantity;
use crate::functions::semver::Semver;
use crate::functions::url::Url;
use crate::json::{Fields, Json};
use crate::regexes::Pattern;
use crate::schema::{Schema, Shape};

pub type Outcome = Result<Value, Fault>;

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
    Timestamp(DateTime<Utc>),
    /// Nanoseconds.
    Duration(i64),
    List(List),
    Map(Map),
    /// `Object{…}` or `JSONPatch{…}`.
    Struct(Arc<Struct>),
    Type(Arc<str>),
    Optional(Option<Arc<Value>>),
    Url(Arc<Url>),
    Quantity(Quantity),
    Ip(IpAddr),
    Cidr(IpAddr, u8),
    Semver(Arc<Semver>),
    Format(&'static Format),
    Authorization(Arc<Check>),
    /// A constant pattern, compiled in advance.
    Pattern(Arc<Pattern>),
}

/// The items of a list.
#[derive(Clone, Debug)]
pub enum Items {
    Json(Arc<Vec<Json>>),
    Made(Arc<Vec<Value>>),
}

/// A list; its schema says how its items relate to each other.
#[derive(Clone, Debug)]
pub struct List {
    pub items: Items,
    pub schema: Arc<Schema>,
}

/// The entries of a map.
#[derive(Clone, Debug)]
pub enum Entries {
    Json(Arc<Fields>),
    Made(Arc<BTreeMap<Key, Value>>),
}

/// A map, or an object with declared fields.
#[derive(Clone, Debug)]
pub struct Map {
    pub entries: Entries,
    pub schema: Arc<Schema>,
}

/// An object that an expression made.
#[derive(Clone, Debug)]
pub struct Struct {
    pub name: Arc<str>,
    pub fields: Vec<(Arc<str>, Value)>,
}

/// The key of a map. Numbers are the same key when they are equal.
#[derive(Clone, Debug)]
pub enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    String(Arc<str>),
}

impl Key {
    fn rank(&self) -> u8 {
        match self {
            Key::Bool(_) => 0,
            Key::Int(_) | Key::Uint(_) => 1,
            Key::String(_) => 2,
        }
    }

    fn number(&self) -> i128 {
        match self {
            Key::Int(value) => i128::from(*value),
            Key::Uint(value) => i128::from(*value),
            Key::Bool(_) | Key::String(_) => 0,
        }
    }

    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Key::Bool(value) => Value::Bool(*value),
            Key::Int(value) => Value::Int(*value),
            Key::Uint(value) => Value::Uint(*value),
            Key::String(text) => Value::String(text.clone()),
        }
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Key::Bool(a), Key::Bool(b)) => a.cmp(b),
            (Key::String(a), Key::String(b)) => a.cmp(b),
            _ => self
                .rank()
                .cmp(&other.rank())
                .then_with(|| self.number().cmp(&other.number())),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Self {
        Value::List(List {
            items: Items::Made(Arc::new(items)),
            schema: Schema::dynamic().clone(),
        })
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(Arc::from(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(Arc::from(text))
    }
}

impl List {
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Json(items) => items.len(),
            Items::Made(items) => items.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at an index.
    pub fn get(&self, at: usize) -> Option<Outcome> {
        match &self.items {
            Items::Json(items) => items
                .get(at)
                .map(|item| convert::from_json(item, self.schema.item())),
            Items::Made(items) => items.get(at).cloned().map(Ok),
        }
    }

    /// Every item in order.
    pub fn iter(&self) -> impl Iterator<Item = Outcome> + '_ {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// Every item.
    pub fn values(&self) -> Result<Vec<Value>, Fault> {
        match &self.items {
            Items::Made(items) => Ok(items.as_ref().clone()),
            Items::Json(_) => self.iter().collect(),
        }
    }
}

impl Map {
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.entries {
            Entries::Json(fields) => fields.len(),
            Entries::Made(entries) => entries.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a field or of a text key.
    pub fn field(&self, name: &str) -> Option<Outcome> {
        match &self.entries {
            Entries::Made(entries) => entries.get(&Key::String(Arc::from(name))).cloned().map(Ok),
            Entries::Json(fields) => match &self.schema.shape {
                Shape::Object(_) => {
                    let property = self.schema.property(name)?;
                    let schema = property.schema.as_ref()?;
                    match fields.get(&property.name)? {
                        Json::Null => None,
                        found => Some(convert::from_json(found, schema)),
                    }
                }
                _ => fields
                    .get(name)
                    .map(|one| convert::from_json(one, self.schema.value())),
            },
        }
    }

    /// The value of a key.
    pub fn find(&self, key: &Value) -> Option<Outcome> {
        if let Value::String(name) = key {
            return self.field(name);
        }
        match &self.entries {
            Entries::Made(entries) => entries.get(&key_of(key).ok()?).cloned().map(Ok),
            Entries::Json(_) => None,
        }
    }

    /// Every key; of objects the escaped names of the fields that are there.
    #[must_use]
    pub fn keys(&self) -> Vec<Value> {
        match &self.entries {
            Entries::Made(entries) => entries.keys().map(Key::value).collect(),
            Entries::Json(fields) => match &self.schema.shape {
                Shape::Object(properties) => {
                    let mut names: Vec<&Arc<str>> = properties
                        .iter()
                        .filter(|(_, one)| one.schema.is_some())
                        .filter(|(_, one)| fields.get(&one.name).is_some_and(|v| *v != Json::Null))
                        .map(|(identifier, _)| identifier)
                        .collect();
                    names.sort();
                    names
                        .into_iter()
                        .map(|name| Value::String(name.clone()))
                        .collect()
                }
                _ => fields
                    .iter()
                    .map(|(name, _)| Value::String(name.clone()))
                    .collect(),
            },
        }
    }
}

/// A value as the key of a map.
pub fn key_of(value: &Value) -> Result<Key, Fault> {
    match value {
        Value::Bool(value) => Ok(Key::Bool(*value)),
        Value::Int(value) => Ok(Key::Int(*value)),
        Value::Uint(value) => Ok(Key::Uint(*value)),
        Value::Double(value) => {
            whole_key(*value).ok_or_else(|| Fault::new(format!("unsupported key type: {}", value)))
        }
        Value::String(text) => Ok(Key::String(text.clone())),
        other => Err(Fault::new(format!(
            "unsupported key type: {}",
            other.type_name()
        ))),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn whole_key(value: f64) -> Option<Key> {
    (value.fract() == 0.0 && value.abs() < 9.0e18).then_some(Key::Int(value as i64))
}

impl Value {
    /// The name of the value's type.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Value::Null => "null_type",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Uint(_) => "uint",
            Value::Double(_) => "double",
            Value::String(_) | Value::Pattern(_) => "string",
            Value::Bytes(_) => "bytes",
            Value::Timestamp(_) => "google.protobuf.Timestamp",
            Value::Duration(_) => "google.protobuf.Duration",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Struct(one) => &one.name,
            Value::Type(_) => "type",
            Value::Optional(_) => "optional_type",
            Value::Url(_) => "kubernetes.URL",
            Value::Quantity(_) => "kubernetes.Quantity",
            Value::Ip(_) => "net.IP",
            Value::Cidr(..) => "net.CIDR",
            Value::Semver(_) => "kubernetes.Semver",
            Value::Format(_) => "kubernetes.NamedFormat",
            Value::Authorization(check) => check.type_name(),
        }
    }

    /// Whether it is the zero value of its type (`optional.ofNonZeroValue`).
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) | Value::Duration(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Double(value) => *value == 0.0,
            Value::String(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.is_empty(),
            Value::List(list) => list.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::Struct(one) => one.fields.is_empty(),
            Value::Optional(inner) => inner.is_none(),
            _ => false,
        }
    }

    /// Whether two values are equal; values of different kinds are not.
    pub fn equals(&self, other: &Value) -> Result<bool, Fault> {
        Ok(match (self, other) {
            (Value::List(a), Value::List(b)) => return lists_equal(a, b),
            (Value::Map(a), Value::Map(b)) => return maps_equal(a, b),
            (Value::Optional(a), Value::Optional(b)) => match (a, b) {
                (Some(a), Some(b)) => return a.equals(b),
                (a, b) => a.is_none() && b.is_none(),
            },
            (Value::Struct(a), Value::Struct(b)) => {
                if a.name != b.name || a.fields.len() != b.fields.len() {
                    return Ok(false);
                }
                for ((name, one), (other_name, other)) in a.fields.iter().zip(&b.fields) {
                    if name != other_name || !one.equals(other)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Duration(a), Value::Duration(b)) => a == b,
            (Value::Type(a), Value::Type(b)) => a == b,
            (Value::Url(a), Value::Url(b)) => a == b,
            (Value::Quantity(a), Value::Quantity(b)) => a == b,
            (Value::Ip(a), Value::Ip(b)) => a == b,
            (Value::Cidr(a, x), Value::Cidr(b, y)) => a == b && x == y,
            (Value::Semver(a), Value::Semver(b)) => a.compare(b) == Ordering::Equal,
            (Value::Format(a), Value::Format(b)) => a.name == b.name,
            _ => numbers(self, other) == Some(Ordering::Equal),
        })
    }

    /// The order of two values, where there is one.
    #[must_use]
    pub fn compare(&self, other: &Value) -> Option<Ordering> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
            (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
            (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
            (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
            (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
            _ => numbers(self, other),
        }
    }
}

/// The order of two numbers of any kinds; `None` for others, and where one is not a number.
#[allow(clippy::cast_precision_loss)]
fn numbers(a: &Value, b: &Value) -> Option<Ordering> {
    let exact = |value: &Value| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    if let (Some(a), Some(b)) = (exact(a), exact(b)) {
        return Some(a.cmp(&b));
    }
    let rough = |value: &Value| match value {
        Value::Int(value) => Some(*value as f64),
        Value::Uint(value) => Some(*value as f64),
        Value::Double(value) => Some(*value),
        _ => None,
    };
    rough(a)?.partial_cmp(&rough(b)?)
}
