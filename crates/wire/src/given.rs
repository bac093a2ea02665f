//! A body as it was given: values that borrow from its bytes.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::fmt;

/// Members of an object, sorted by name; none stands twice.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, Given<'a>)>;

/// Any JSON value.
#[derive(Debug)]
pub(crate) enum Given<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Str(Cow<'a, str>),
    List(Vec<Given<'a>>),
    Object(Members<'a>),
}

impl<'a> Given<'a> {
    /// The value in JSON text; `None`: it is no JSON, or has a member that stands twice.
    pub fn parse(json: &'a [u8]) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_slice(json);
        let found = Unique.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(found)
    }

    /// The same as an owned value.
    pub fn into_value(self) -> Value {
        match self {
            Given::Null => Value::Null,
            Given::Bool(one) => Value::Bool(one),
            Given::Number(one) => Value::Number(one),
            Given::Str(text) => Value::String(text.into_owned()),
            Given::List(items) => Value::Array(items.into_iter().map(Given::into_value).collect()),
            Given::Object(members) => {
                let mut map = Map::new();
                for (name, value) in members {
                    map.insert(name.into_owned(), value.into_value());
                }
                Value::Object(map)
            }
        }
    }
}

/// Reads a value whose objects have each member once.
struct Unique;

impl<'de> DeserializeSeed<'de> for Unique {
    type Value = Given<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Given<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Given<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Given<'de>, E> {
        Ok(Given::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Given<'de>, E> {
        Ok(Given::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Given<'de>, E> {
        Ok(Given::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Given<'de>, E> {
        Ok(Given::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Given<'de>, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("no number"))?;
        Ok(Given::Number(number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Given<'de>, E> {
        Ok(Given::Str(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Given<'de>, E> {
        Ok(Given::Str(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Given<'de>, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element_seed(Unique)? {
            found.push(item);
        }
        Ok(Given::List(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Given<'de>, A::Error> {
        let mut found: Members<'de> = Vec::new();
        while let Some(name) = members.next_key_seed(Name)? {
            found.push((name, members.next_value_seed(Unique)?));
        }
        found.sort_by(|(one, _), (two, _)| one.cmp(two));
        if found.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom("a member stands twice"));
        }
        Ok(Given::Object(found))
    }
}

/// A name that borrows where it can (serde's `Cow` always copies).
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}
