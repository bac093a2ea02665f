//! A JSON value that is cheap to share: every container and string is counted, never copied.
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value. Whole numbers that fit 64 bits are kept exactly.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    List(Arc<Vec<Json>>),
    Object(Arc<Fields>),
}

/// The members of an object, sorted by name; of equal names the last one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(Vec<(Arc<str>, Json)>);

impl Fields {
    /// Members in any order.
    #[must_use]
    pub fn new(mut members: Vec<(Arc<str>, Json)>) -> Self {
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            // Of equal names the later one is kept: `dedup` keeps the first of a run.
            members.reverse();
            members.dedup_by(|a, b| a.0 == b.0);
            members.reverse();
        }
        Fields(members)
    }

    /// The member of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.0
            .binary_search_by(|one| (*one.0).cmp(name))
            .ok()
            .map(|at| &self.0[at].1)
    }

    /// The member of that name, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        self.0
            .binary_search_by(|one| (*one.0).cmp(name))
            .ok()
            .map(|at| &mut self.0[at].1)
    }

    /// Add or replace a member.
    pub fn insert(&mut self, name: Arc<str>, value: Json) {
        match self.0.binary_search_by(|one| one.0.cmp(&name)) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Keep only the members that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Json) -> bool) {
        self.0.retain_mut(|(name, value)| keep(name, value));
    }

    /// The members, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Json)> {
        self.0.iter().map(|(name, value)| (name, value))
    }

    /// The members, to be changed.
    pub fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&Arc<str>, &mut Json)> {
        self.0.iter_mut().map(|(name, value)| (&*name, value))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Json {
    /// The value that JSON text stands for.
    pub fn parse(text: &[u8]) -> Result<Json, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The member of an object; `None` for other values.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(fields) => fields.get(name),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    #[must_use]
    pub fn as_list(&self) -> Option<&[Json]> {
        match self {
            Json::List(items) => Some(items),
            _ => None,
        }
    }

    /// A number as a whole one, when it is whole.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Json::Int(value) => Some(*value),
            Json::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e18 => {
                Some(*value as i64)
            }
            _ => None,
        }
    }

    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Int(value) => Some(*value as f64),
            Json::Uint(value) => Some(*value as f64),
            Json::Double(value) => Some(*value),
            _ => None,
        }
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::String(Arc::from(text))
    }
}

/// As compact JSON.
impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => out.write_str("null"),
            Json::Bool(value) => write!(out, "{value}"),
            Json::Int(value) => write!(out, "{value}"),
            Json::Uint(value) => write!(out, "{value}"),
            Json::Double(value) => write!(out, "{}", double(*value)),
            Json::String(text) => out.write_str(&quoted(text)),
            Json::List(items) => {
                out.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    write!(out, "{}{item}", if at > 0 { "," } else { "" })?;
                }
                out.write_str("]")
            }
            Json::Object(fields) => {
                out.write_str("{")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    write!(
                        out,
                        "{}{}:{value}",
                        if at > 0 { "," } else { "" },
                        quoted(name)
                    )?;
                }
                out.write_str("}")
            }
        }
    }
}

/// A number as JSON writes it.
#[must_use]
pub fn double(value: f64) -> String {
    serde_json::Number::from_f64(value).map_or_else(|| "null".into(), |number| number.to_string())
}

/// A text as JSON writes it.
#[must_use]
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Json;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(i64::try_from(value).map_or(Json::Uint(value), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Double(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(Arc::from(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut items = Vec::with_capacity(access.size_hint().unwrap_or(0).min(1024));
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Json::List(Arc::new(items)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::with_capacity(access.size_hint().unwrap_or(0).min(1024));
        while let Some((name, value)) = access.next_entry::<std::borrow::Cow<'_, str>, Json>()? {
            members.push((Arc::from(name.as_ref()), value));
        }
        Ok(Json::Object(Arc::new(Fields::new(members))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_equal_names_counts() {
        let value = Json::parse(br#"{"b":1,"a":2,"b":3}"#).unwrap();
        assert_eq!(value.get("b"), Some(&Json::Int(3)));
        assert_eq!(value.to_string(), r#"{"a":2,"b":3}"#);
    }

    #[test]
    fn whole_numbers_stay_whole() {
        let value = Json::parse(b"[1,1.0,18446744073709551615,-3]").unwrap();
        assert_eq!(value.to_string(), "[1,1.0,18446744073709551615,-3]");
    }
}
