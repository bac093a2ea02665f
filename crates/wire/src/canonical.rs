//! JSON → the JSON that Go would give back after reading it into its types.

use crate::DEPTH_MAX;
use crate::errors::WireError;
use crate::quantity;
use crate::time;
use crate::types::{Field, Kind, Link, Struct, Types};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

type Object = Map<String, Value>;

/// What came of an object.
#[derive(Debug)]
pub struct Canonical {
    /// The object as JSON.
    pub json: Vec<u8>,
    /// The paths of fields that its type does not have (`spec.containers[0].imag`), dropped.
    pub unknown: Vec<String>,
}

/// The JSON object `json` in the form that Go's type `name` (`apps/v1.Deployment`) gives it.
///
/// Unknown fields are dropped and named; nulls, and zero values that Go leaves out, go; values that
/// Go always writes are filled in; quantities and times get their canonical spelling.
///
/// # Errors
///
/// It is no JSON object, there is no such type, or a value has a wrong type (in Go's words).
pub fn canonical(types: &Types, name: &str, json: &[u8]) -> Result<Canonical, WireError> {
    let of = types.get(name)?;
    let value: Value =
        serde_json::from_slice(json).map_err(|error| WireError::Json(error.to_string()))?;
    let Value::Object(object) = value else {
        let message = format!(
            "json: cannot unmarshal {} into Go value of type",
            word(&value)
        );
        return Err(WireError::Type(format!("{message} {}", dotted(&of))));
    };
    typed(types, &of, object)
}

/// The same of what was parsed before.
pub(crate) fn typed(types: &Types, of: &Struct, object: Object) -> Result<Canonical, WireError> {
    let mut reader = Canonizer {
        types,
        route: String::new(),
        path: String::new(),
        unknown: Vec::new(),
    };
    let found = reader.object(of, object, 0)?;
    let json = serde_json::to_vec(&found).map_err(|error| WireError::Json(error.to_string()))?;
    Ok(Canonical {
        json,
        unknown: reader.unknown,
    })
}

/// One field's value, given and not null; `Some(None)`: Go leaves it out, `None`: something is to
/// be said about it.
pub(crate) fn one(
    types: &Types,
    of: &Struct,
    field: &Field,
    given: Value,
    depth: usize,
) -> Option<Option<Value>> {
    let mut reader = Canonizer {
        types,
        route: String::new(),
        path: String::new(),
        unknown: Vec::new(),
    };
    let element = false;
    let found = reader
        .field(Place { of, field, element }, given, depth)
        .ok()?;
    reader.unknown.is_empty().then_some(found)
}

/// `v1.Deployment` of `apps/v1.Deployment`.
fn dotted(of: &Struct) -> &str {
    of.name.rsplit('/').next().unwrap_or(&of.name)
}

fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

struct Canonizer<'t> {
    types: &'t Types,
    /// Names of the fields that lead here, as Go's messages join them.
    route: String,
    /// The same with indexes and keys, as paths of unknown fields have them.
    path: String,
    unknown: Vec<String>,
}

/// Which field of which struct a value stands in.
#[derive(Clone, Copy)]
struct Place<'a> {
    of: &'a Struct,
    field: &'a Field,
    /// Inside the field's list or map.
    element: bool,
}

impl Place<'_> {
    /// What Go calls the type that a value here should have.
    fn go(&self) -> &str {
        let whole = &*self.field.go;
        if !self.element {
            return whole;
        }
        let inner = whole.strip_prefix("[]").unwrap_or(whole);
        inner.split_once(']').map_or(inner, |(_, value)| value)
    }
}

impl Canonizer<'_> {
    fn object(&mut self, of: &Struct, mut from: Object, depth: usize) -> Result<Object, WireError> {
        if depth > DEPTH_MAX {
            return Err(WireError::TooDeep);
        }
        let mut out = Object::new();
        self.fields(of, &mut from, &mut out, depth)?;
        for name in from.keys() {
            let dot = if self.path.is_empty() { "" } else { "." };
            self.unknown.push(format!("{}{dot}{name}", self.path));
        }
        Ok(out)
    }

    fn fields(
        &mut self,
        of: &Struct,
        from: &mut Object,
        out: &mut Object,
        depth: usize,
    ) -> Result<(), WireError> {
        for field in &of.fields {
            if field.inlined
                && let Kind::Struct(link) = &field.kind
            {
                let inner = self.types.follow(link)?.clone();
                self.fields(&inner, from, out, depth)?;
                continue;
            }
            let given = from.remove(&*field.name).unwrap_or(Value::Null);
            let at = self.path.len();
            if at > 0 {
                self.path.push('.');
            }
            self.path.push_str(&field.name);
            let found = self.field(
                Place {
                    of,
                    field,
                    element: false,
                },
                given,
                depth,
            );
            self.path.truncate(at);
            if let Some(value) = found? {
                out.insert(field.name.to_string(), value);
            }
        }
        Ok(())
    }

    fn field(
        &mut self,
        place: Place<'_>,
        given: Value,
        depth: usize,
    ) -> Result<Option<Value>, WireError> {
        let field = place.field;
        if given.is_null() {
            return self.unset(field, depth);
        }
        let found = match (&field.kind, field.list) {
            (_, true) => self.list(place, &field.kind, given, depth)?,
            (Kind::Map(inner), _) => self.map(place, inner, given, depth)?,
            (kind, _) => self.value(place, kind, given, depth)?,
        };
        Ok((!dropped(field, &found)).then_some(found))
    }

    /// What Go writes for a field that was not given: nothing, or a zero value.
    fn unset(&mut self, field: &Field, depth: usize) -> Result<Option<Value>, WireError> {
        if field.pointer || field.list || field.omit_zero {
            return Ok(None);
        }
        Ok(match &field.kind {
            Kind::Struct(link) => {
                let of = self.types.follow(link)?.clone();
                Some(Value::Object(self.object(&of, Object::new(), depth + 1)?))
            }
            Kind::IntStr => Some(Value::from(0)),
            Kind::Quantity => Some(Value::from("0")),
            _ if field.omit_empty => None,
            Kind::Str => Some(Value::from("")),
            Kind::Bool => Some(Value::from(false)),
            Kind::Int | Kind::Double => Some(Value::from(0)),
            _ => None,
        })
    }

    fn list(
        &mut self,
        place: Place<'_>,
        kind: &Kind,
        given: Value,
        depth: usize,
    ) -> Result<Value, WireError> {
        let Value::Array(items) = given else {
            return Err(self.wrong(place, &given));
        };
        let mut found = Vec::with_capacity(items.len());
        let place = Place {
            element: true,
            ..place
        };
        let at = self.path.len();
        for (index, item) in items.into_iter().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            let value = self.value(place, kind, item, depth);
            self.path.truncate(at);
            found.push(value?);
        }
        Ok(Value::Array(found))
    }

    fn map(
        &mut self,
        place: Place<'_>,
        inner: &Kind,
        given: Value,
        depth: usize,
    ) -> Result<Value, WireError> {
        let Value::Object(entries) = given else {
            return Err(self.wrong(place, &given));
        };
        let resources = &*place.field.go == "v1.ResourceList";
        let mut found = Object::new();
        let place = Place {
            element: true,
            ..place
        };
        let at = self.path.len();
        for (key, value) in entries {
            self.path.push_str(&format!(".{key}"));
            let value = match (inner, resources) {
                (Kind::Quantity, true) => amount(&value, true),
                _ => self.value(place, inner, value, depth),
            };
            self.path.truncate(at);
            found.insert(key, value?);
        }
        Ok(Value::Object(found))
    }

    fn value(
        &mut self,
        place: Place<'_>,
        kind: &Kind,
        given: Value,
        depth: usize,
    ) -> Result<Value, WireError> {
        match (kind, given) {
            (Kind::Struct(link), Value::Object(object)) => self.inner(link, place, object, depth),
            (Kind::Struct(link), Value::Null) => self.inner(link, place, Object::new(), depth),
            (Kind::Str, Value::Null) => Ok(Value::from("")),
            (Kind::Bool, Value::Null) => Ok(Value::from(false)),
            (Kind::Int | Kind::Double | Kind::IntStr, Value::Null) => Ok(Value::from(0)),
            (Kind::Quantity, Value::Null) => Ok(Value::from("0")),
            (_, Value::Null) => Ok(Value::Null),
            (Kind::Str, given @ Value::String(_)) => Ok(given),
            (Kind::Bool, given @ Value::Bool(_)) => Ok(given),
            (Kind::Double, given @ Value::Number(_)) => Ok(given),
            (Kind::Int, Value::Number(number)) => self.whole(place, number),
            (Kind::IntStr, Value::Number(number)) => self.int32(place, number),
            (Kind::IntStr, given @ Value::String(_)) => Ok(given),
            (Kind::Bytes, Value::String(text)) => bytes(text),
            (Kind::Time, Value::String(text)) => moment(&text, false),
            (Kind::MicroTime, Value::String(text)) => moment(&text, true),
            (Kind::Quantity, given) => amount(&given, false),
            (Kind::Raw | Kind::Json, given) => Ok(given),
            (Kind::Fields, given @ Value::Object(_)) => Ok(given),
            (Kind::Items(inner), given) => self.list(place, inner, given, depth),
            (Kind::OrBool(_), given @ Value::Bool(_)) => Ok(given),
            (Kind::OrBool(link), Value::Object(object))
            | (Kind::OrArray(link), Value::Object(object))
            | (Kind::OrStrings(link), Value::Object(object)) => {
                self.inner(link, place, object, depth)
            }
            (Kind::OrArray(link), Value::Array(items)) => {
                let mut found = Vec::with_capacity(items.len());
                for item in items {
                    let Value::Object(object) = item else {
                        return Err(self.wrong(place, &item));
                    };
                    found.push(self.inner(link, place, object, depth)?);
                }
                Ok(Value::Array(found))
            }
            (Kind::OrStrings(_), given @ Value::Array(_)) => Ok(given),
            (Kind::IntStr, given) => Err(self.mismatch(place, word(&given), "int32")),
            (_, given) => Err(self.wrong(place, &given)),
        }
    }

    fn inner(
        &mut self,
        link: &Link,
        place: Place<'_>,
        object: Object,
        depth: usize,
    ) -> Result<Value, WireError> {
        let of = self.types.follow(link)?.clone();
        let at = self.route.len();
        self.route.push_str(&place.field.name);
        self.route.push('.');
        let found = self.object(&of, object, depth + 1);
        self.route.truncate(at);
        found.map(Value::Object)
    }

    fn whole(&self, place: Place<'_>, number: Number) -> Result<Value, WireError> {
        let go = place.go();
        let whole = number.as_i64();
        let fits = match go {
            "int32" => whole.is_some_and(|value| i32::try_from(value).is_ok()),
            _ => whole.is_some(),
        };
        if fits {
            return Ok(Value::Number(number));
        }
        let shown = format!("number {number}");
        Err(self.mismatch(place, &shown, go))
    }

    /// The number of an `intstr.IntOrString`.
    fn int32(&self, place: Place<'_>, number: Number) -> Result<Value, WireError> {
        if number
            .as_i64()
            .is_some_and(|value| i32::try_from(value).is_ok())
        {
            return Ok(Value::Number(number));
        }
        Err(self.mismatch(place, &format!("number {number}"), "int32"))
    }

    fn wrong(&self, place: Place<'_>, given: &Value) -> WireError {
        self.mismatch(place, word(given), place.go())
    }

    fn mismatch(&self, place: Place<'_>, shown: &str, go: &str) -> WireError {
        let (short, route, name) = (place.of.short(), &self.route, &place.field.name);
        WireError::Type(format!(
            "json: cannot unmarshal {shown} into Go struct field {short}.{route}{name} of type {go}"
        ))
    }
}

fn amount(given: &Value, milli: bool) -> Result<Value, WireError> {
    let found = match given {
        Value::String(text) => quantity::canonical(text.trim(), milli),
        Value::Number(number) => quantity::canonical(&number.to_string(), milli),
        Value::Null => Some("0".to_owned()),
        _ => None,
    };
    found.map(Value::String).ok_or_else(|| {
        WireError::Type(
            "quantities must match the regular expression \
             '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                .to_owned(),
        )
    })
}

fn dropped(field: &Field, value: &Value) -> bool {
    if field.pointer || !field.omit_empty {
        return false;
    }
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(value) => !matches!(field.kind, Kind::IntStr) && value.as_f64() == Some(0.0),
        Value::String(value) => !matches!(field.kind, Kind::Quantity) && value.is_empty(),
        Value::Array(value) => value.is_empty(),
        Value::Object(value) => matches!(field.kind, Kind::Map(_)) && value.is_empty(),
    }
}

fn bytes(text: String) -> Result<Value, WireError> {
    match STANDARD.decode(&text) {
        Ok(_) => Ok(Value::String(text)),
        Err(error) => {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _)
                | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                // Go names the first byte of the group that is not whole.
                base64::DecodeError::InvalidLength(_) => text.len() - text.len() % 4,
                base64::DecodeError::InvalidPadding => text.len() - text.len() % 4,
            };
            Err(WireError::Type(format!(
                "illegal base64 data at input byte {at}"
            )))
        }
    }
}

fn moment(text: &str, micro: bool) -> Result<Value, WireError> {
    let found = time::parse(text).and_then(|moment| {
        if moment.is_zero() {
            return Some(Value::Null);
        }
        moment.text(micro).map(Value::String)
    });
    found.ok_or_else(|| {
        let layout = if micro { ".000000" } else { "" };
        WireError::Type(format!(
            "parsing time \"{text}\" as \"2006-01-02T15:04:05{layout}Z07:00\": \
             cannot parse \"{text}\" as \"2006\""
        ))
    })
}
