//! Whether an object fits its type, in upstream's words.

use std::fmt;

use crate::schema::{Atom, ListType, MapType, Scalar, Schema, TypeId};
use crate::typed::{Kind, kind_of};
use crate::value::Value;

/// What does not fit: `(path, message)`, outermost first.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<(String, String)>);

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |(path, message): &(String, String)| {
            if path.is_empty() {
                message.clone()
            } else {
                format!("{path}: {message}")
            }
        };
        match self.0.as_slice() {
            [only] => write!(out, "{}", one(only)),
            all => {
                write!(out, "errors:")?;
                all.iter()
                    .try_for_each(|each| write!(out, "\n  {}", one(each)))
            }
        }
    }
}

impl Schema {
    /// Whether `value` fits the schema; items of sets and keyed lists may repeat.
    #[must_use]
    pub fn fits(&self, value: &Value<'_>) -> bool {
        self.fits_as(self.root(), value)
    }

    fn fits_as(&self, id: TypeId, value: &Value<'_>) -> bool {
        let atom = self.atom(id);
        match (
            kind_of(atom, Some(value)),
            &atom.map,
            &atom.list,
            atom.scalar,
        ) {
            (Some(Kind::Map), Some(map), _, _) => match value {
                Value::Null => true,
                Value::Map(members) => members.iter().all(|(key, inner)| {
                    let id = map.field(key).map(|field| field.id).or(map.element);
                    id.is_some_and(|id| self.fits_as(id, inner))
                }),
                _ => false,
            },
            (Some(Kind::List), _, Some(list), _) => match value {
                Value::Null => true,
                Value::List(items) => items.iter().all(|item| {
                    (list.atomic || self.item_element(list, item).is_ok())
                        && self.fits_as(list.element, item)
                }),
                _ => false,
            },
            (Some(Kind::Scalar), _, _, Some(kind)) => scalar_fits(kind, value),
            _ => false,
        }
    }

    /// What does not fit the schema. `duplicates`: items of sets and keyed lists may repeat.
    #[must_use]
    pub fn problems(&self, value: &Value<'_>, duplicates: bool) -> Problems {
        let mut walk = Walk {
            schema: self,
            duplicates,
            path: String::new(),
            found: Problems::default(),
        };
        walk.value(self.root(), value);
        walk.found
    }
}

struct Walk<'s> {
    schema: &'s Schema,
    duplicates: bool,
    path: String,
    found: Problems,
}

impl Walk<'_> {
    fn report(&mut self, message: impl Into<String>) {
        self.found.0.push((self.path.clone(), message.into()));
    }

    fn value(&mut self, id: TypeId, value: &Value<'_>) {
        let atom: &Atom = self.schema.atom(id);
        match (
            kind_of(atom, Some(value)),
            &atom.map,
            &atom.list,
            atom.scalar,
        ) {
            (Some(Kind::Map), Some(map), _, _) => self.map(map, value),
            (Some(Kind::List), _, Some(list), _) => self.list(list, value),
            (Some(Kind::Scalar), _, _, Some(kind)) => self.scalar(kind, value),
            _ => self.report("schema error: invalid atom: inlined"),
        }
    }

    fn scalar(&mut self, kind: Scalar, value: &Value<'_>) {
        if !scalar_fits(kind, value) {
            let wanted = match kind {
                Scalar::Numeric => "numeric (int or float)",
                Scalar::String => "string",
                Scalar::Boolean => "boolean",
                Scalar::Untyped => "any scalar",
            };
            let got = match (kind, value) {
                (Scalar::Numeric, Value::Str(_)) => "string".to_owned(),
                (Scalar::Numeric, Value::Bool(_)) => "bool".to_owned(),
                (Scalar::Numeric, Value::List(_)) => "[]interface {}".to_owned(),
                (Scalar::Numeric, _) => "map[string]interface {}".to_owned(),
                (Scalar::String, value) => go_syntax(value),
                (_, value) => shown(value),
            };
            self.report(format!("expected {wanted}, got {got}"));
        }
    }

    fn map(&mut self, map: &MapType, value: &Value<'_>) {
        let members = match value {
            Value::Null => return,
            Value::Map(members) => members,
            other => {
                self.report(format!("expected map, got {}", shown(other)));
                return;
            }
        };
        for (key, inner) in members {
            let at = self.path.len();
            self.path.push('.');
            self.path.push_str(key);
            match map.field(key).map(|field| field.id).or(map.element) {
                Some(id) => self.value(id, inner),
                None => {
                    self.report("field not declared in schema");
                    self.path.truncate(at);
                    return;
                }
            }
            self.path.truncate(at);
        }
    }

    fn list(&mut self, list: &ListType, value: &Value<'_>) {
        let items = match value {
            Value::Null => return,
            Value::List(items) => items,
            other => {
                self.report(format!("expected list, got {}", shown(other)));
                return;
            }
        };
        let mut seen = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = self.path.len();
            if list.atomic {
                self.path.push_str(&format!("[{index}]"));
            } else {
                match self.schema.item_element(list, item) {
                    Err(message) => {
                        self.report(format!("element {index}: {message}"));
                        return;
                    }
                    Ok(element) => {
                        let repeated = !self.duplicates && seen.contains(&element);
                        let text = element.to_string();
                        if repeated {
                            self.report(format!("duplicate entries for key {text}"));
                        }
                        if !self.duplicates {
                            seen.push(element);
                        }
                        self.path.push_str(&text);
                    }
                }
            }
            self.value(list.element, item);
            self.path.truncate(at);
        }
    }
}

fn scalar_fits(kind: Scalar, value: &Value<'_>) -> bool {
    match (kind, value) {
        (_, Value::Null)
        | (Scalar::Numeric, Value::Int(_) | Value::Float(_))
        | (Scalar::String, Value::Str(_))
        | (Scalar::Boolean, Value::Bool(_)) => true,
        (Scalar::Untyped, value) => value.is_scalar(),
        _ => false,
    }
}

/// A value as Go's `%v` shows an unstructured value in these messages.
fn shown(value: &Value<'_>) -> String {
    format!("&{{{}}}", plain(value))
}

fn plain(value: &Value<'_>) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Str(text) => text.clone().into_owned(),
        Value::List(items) => {
            let inner: Vec<String> = items.iter().map(plain).collect();
            format!("[{}]", inner.join(" "))
        }
        Value::Map(members) => {
            let inner: Vec<String> = members
                .iter()
                .map(|(key, one)| format!("{key}:{}", plain(one)))
                .collect();
            format!("map[{}]", inner.join(" "))
        }
        other => other.to_string(),
    }
}

/// The same as `%#v`.
fn go_syntax(value: &Value<'_>) -> String {
    let inner = match value {
        Value::Map(_) | Value::List(_) => plain(value),
        other => other.to_string(),
    };
    format!("&value.valueUnstructured{{Value:{inner}}}")
}
