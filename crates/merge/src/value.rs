//! JSON values that borrow from the bytes they were read from; maps are sorted by key.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::MergeError;

/// Deeper bodies are refused: the walkers here recurse.
const DEPTH_MAX: usize = 300;

/// Any JSON value. `Map` is sorted by key and has no key twice.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`, which is not the same as absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without a fraction that fits 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Str(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The value in JSON text; the last of repeated keys wins.
    ///
    /// # Errors
    /// `MergeError::Malformed`: it is no JSON, or nested too deeply.
    pub fn parse(text: &'a [u8]) -> Result<Self, MergeError> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        reader.disable_recursion_limit();
        let value = Seed { depth: 0 }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    /// The member `key` of a map.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        let Value::Map(members) = self else {
            return None;
        };
        find(members, key).ok().map(|at| &members[at].1)
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Take the member `key` out of a map.
    pub fn remove(&mut self, key: &str) -> Option<Value<'a>> {
        let Value::Map(members) = self else {
            return None;
        };
        find(members, key).ok().map(|at| members.remove(at).1)
    }

    /// The member `key` of a map, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value<'a>> {
        let Value::Map(members) = self else {
            return None;
        };
        match find(members, key) {
            Ok(at) => Some(&mut members[at].1),
            Err(_) => None,
        }
    }

    /// Set the member `key` of a map; nothing else is changed by it.
    pub fn set(&mut self, key: Cow<'a, str>, value: Value<'a>) {
        if let Value::Map(members) = self {
            match find(members, &key) {
                Ok(at) => members[at].1 = value,
                Err(at) => members.insert(at, (key, value)),
            }
        }
    }

    /// Whether it is a string, number or boolean.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        matches!(
            self,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Str(_)
        )
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(one) => Value::Bool(one),
            Value::Int(one) => Value::Int(one),
            Value::Float(one) => Value::Float(one),
            Value::Str(one) => Value::Str(Cow::Owned(one.into_owned())),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Map(members) => Value::Map(
                members
                    .into_iter()
                    .map(|(key, one)| (Cow::Owned(key.into_owned()), one.into_owned()))
                    .collect(),
            ),
        }
    }

    /// Append it as JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(one) => out.extend_from_slice(one.to_string().as_bytes()),
            Value::Float(one) => {
                out.extend_from_slice(serde_json::json!(one).to_string().as_bytes())
            }
            Value::Str(text) => write_str(text, out),
            Value::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Map(members) => {
                out.push(b'{');
                for (at, (key, one)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_str(key, out);
                    out.push(b':');
                    one.write(out);
                }
                out.push(b'}');
            }
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Int(_) | Value::Float(_) => 0,
            Value::Str(_) => 1,
            Value::Bool(_) => 2,
            Value::List(_) => 3,
            Value::Map(_) => 4,
            Value::Null => 5,
        }
    }
}

fn find(members: &[(Cow<'_, str>, Value<'_>)], key: &str) -> Result<usize, usize> {
    members.binary_search_by(|(found, _)| found.as_ref().cmp(key))
}

/// Append `text` as a JSON string.
pub(crate) fn write_str(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
    if text.as_bytes().iter().all(plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

#[allow(clippy::cast_precision_loss)]
fn number(value: &Value<'_>) -> f64 {
    match value {
        Value::Int(one) => *one as f64,
        Value::Float(one) => *one,
        _ => 0.0,
    }
}

impl PartialEq for Value<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value<'_> {}

impl PartialOrd for Value<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Value::Int(one), Value::Int(two)) => one.cmp(two),
            (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => {
                number(self).total_cmp(&number(other))
            }
            (Value::Str(one), Value::Str(two)) => one.cmp(two),
            (Value::Bool(one), Value::Bool(two)) => one.cmp(two),
            (Value::List(one), Value::List(two)) => one.cmp(two),
            (Value::Map(one), Value::Map(two)) => one.cmp(two),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl fmt::Display for Value<'_> {
    /// As conflict messages show it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => write!(out, "null"),
            Value::Bool(one) => write!(out, "{one}"),
            Value::Int(one) => write!(out, "{one}"),
            Value::Float(one) => write!(out, "{one}"),
            Value::Str(text) => write!(out, "{text:?}"),
            Value::List(items) => {
                write!(out, "[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if at > 0 { "," } else { "" })?;
                }
                write!(out, "]")
            }
            Value::Map(members) => members
                .iter()
                .try_for_each(|(key, one)| write!(out, "{key}={one}")),
        }
    }
}

struct Seed {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom("nested too deeply"));
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, one: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(one))
    }

    fn visit_i64<E>(self, one: i64) -> Result<Self::Value, E> {
        Ok(Value::Int(one))
    }

    #[allow(clippy::cast_precision_loss)]
    fn visit_u64<E>(self, one: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(one).map_or(Value::Float(one as f64), Value::Int))
    }

    fn visit_f64<E>(self, one: f64) -> Result<Self::Value, E> {
        Ok(Value::Float(one))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Str(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Str(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let depth = self.depth + 1;
        let mut items = Vec::new();
        while let Some(item) = from.next_element_seed(Seed { depth })? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let depth = self.depth + 1;
        let mut members: Vec<(Cow<'de, str>, Value<'de>)> = Vec::new();
        let mut sorted = true;
        while let Some(Key(key)) = from.next_key()? {
            let value = from.next_value_seed(Seed { depth })?;
            sorted = sorted && members.last().is_none_or(|(last, _)| *last < key);
            members.push((key, value));
        }
        if !sorted {
            members.reverse();
            members.sort_by(|(one, _), (two, _)| one.cmp(two));
            members.dedup_by(|(one, _), (two, _)| one == two);
        }
        Ok(Value::Map(members))
    }
}

/// A key that borrows where it can (serde's `Cow` always copies).
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(out, "a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        reader.deserialize_str(Text)
    }
}
