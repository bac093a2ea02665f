//! The short way into a Go type: bodies that nothing is to be said about, written as they are read.
//!
//! What is odd (a wrong value, an unknown field) is not told here: `canonical` finds it again. So
//! are values that have a spelling of their own, such as amounts and times.

use crate::DEPTH_MAX;
use crate::canonical::one;
use crate::errors::WireError;
use crate::given::{Given, Members};
use crate::types::{Field, Kind, Struct, Types};
use std::borrow::Cow;

/// The JSON object `json` as Go's type `name` gives it back, unless there is anything to be told of
/// it: a wrong value, an unknown field, a member that stands twice.
///
/// # Errors
///
/// There is no such type.
pub fn plain(types: &Types, name: &str, json: &[u8]) -> Result<Option<Vec<u8>>, WireError> {
    let of = types.get(name)?;
    let Some(Given::Object(members)) = Given::parse(json) else {
        return Ok(None);
    };
    let mut writer = Writer {
        types,
        out: Vec::with_capacity(json.len() + 64),
    };
    let done = writer.object(&of, members, 0);
    Ok(done.map(|()| writer.out))
}

struct Writer<'t> {
    types: &'t Types,
    out: Vec<u8>,
}

/// `None`: let `canonical` look at it.
type Done = Option<()>;

impl Writer<'_> {
    /// The members that an object of type `of` has, in the order of their names.
    fn object(&mut self, of: &Struct, members: Members<'_>, depth: usize) -> Done {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut members = members.into_iter().peekable();
        self.out.push(b'{');
        let start = self.out.len();
        for (of, at) in of.sorted(self.types)? {
            let (of, field) = (&**of, of.fields.get(*at)?);
            let given = members.next_if(|(name, _)| **name == *field.name);
            let before = self.out.len();
            if before > start {
                self.out.push(b',');
            }
            self.out.push(b'"');
            self.out.extend_from_slice(field.name.as_bytes());
            self.out.extend_from_slice(b"\":");
            let written = match given {
                None | Some((_, Given::Null)) => self.unset(field, depth)?,
                Some((_, given)) => self.field(of, field, given, depth)?,
            };
            if !written {
                self.out.truncate(before);
            }
        }
        self.out.push(b'}');
        // Whatever is left has an unknown name.
        members.next().is_none().then_some(())
    }

    /// A field that was given. False: Go leaves it out.
    fn field(
        &mut self,
        of: &Struct,
        field: &Field,
        given: Given<'_>,
        depth: usize,
    ) -> Option<bool> {
        if !is_simple(field) {
            let found = one(self.types, of, field, given.into_value(), depth)?;
            let Some(found) = found else {
                return Some(false);
            };
            serde_json::to_writer(&mut self.out, &found).ok()?;
            return Some(true);
        }
        let omit = field.omit_empty && !field.pointer;
        match (&field.kind, given) {
            (kind, Given::List(items)) if field.list => {
                if omit && items.is_empty() {
                    return Some(false);
                }
                self.out.push(b'[');
                for (at, item) in items.into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.value(kind, item, depth)?;
                }
                self.out.push(b']');
            }
            (Kind::Map(inner), Given::Object(members)) if !field.list => {
                if omit && members.is_empty() {
                    return Some(false);
                }
                self.out.push(b'{');
                for (at, (name, value)) in members.into_iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    text_of(&name, &mut self.out)?;
                    self.out.push(b':');
                    self.value(inner, value, depth)?;
                }
                self.out.push(b'}');
            }
            (Kind::Map(_), _) => return None,
            (kind, given) if !field.list => {
                let empty = match &given {
                    Given::Bool(one) => !one,
                    Given::Number(one) => one.as_f64() == Some(0.0),
                    Given::Str(text) => text.is_empty(),
                    _ => false,
                };
                if matches!(kind, Kind::Int) {
                    whole(field, &given)?;
                }
                if omit && empty {
                    return fits(kind, &given).then_some(false);
                }
                self.value(kind, given, depth)?;
            }
            _ => return None,
        }
        Some(true)
    }

    /// What Go writes for a field that was not given: nothing (false), or a zero value.
    fn unset(&mut self, field: &Field, depth: usize) -> Option<bool> {
        if field.pointer || field.list || field.omit_zero {
            return Some(false);
        }
        let zero: &[u8] = match &field.kind {
            Kind::Struct(link) => {
                let of = self.types.follow(link).ok()?;
                self.object(of, Vec::new(), depth + 1)?;
                return Some(true);
            }
            Kind::IntStr => b"0",
            Kind::Quantity => b"\"0\"",
            _ if field.omit_empty => return Some(false),
            Kind::Str => b"\"\"",
            Kind::Bool => b"false",
            Kind::Int | Kind::Double => b"0",
            _ => return Some(false),
        };
        self.out.extend_from_slice(zero);
        Some(true)
    }

    fn value(&mut self, kind: &Kind, given: Given<'_>, depth: usize) -> Done {
        match (kind, given) {
            (Kind::Struct(link), Given::Object(members)) => {
                let of = self.types.follow(link).ok()?;
                self.object(of, members, depth + 1)?;
            }
            (Kind::Struct(link), Given::Null) => {
                let of = self.types.follow(link).ok()?;
                self.object(of, Vec::new(), depth + 1)?;
            }
            (Kind::Str, Given::Str(given)) => text_of(&given, &mut self.out)?,
            (Kind::Str, Given::Null) => self.out.extend_from_slice(b"\"\""),
            (Kind::Bool, Given::Bool(true)) => self.out.extend_from_slice(b"true"),
            (Kind::Bool, Given::Bool(false) | Given::Null) => self.out.extend_from_slice(b"false"),
            (Kind::Int, Given::Number(one)) => serde_json::to_writer(&mut self.out, &one).ok()?,
            _ => return None,
        }
        Some(())
    }
}

/// Whether a field's values are written here.
fn is_simple(field: &Field) -> bool {
    match &field.kind {
        Kind::Struct(_) | Kind::Str | Kind::Bool => true,
        // How large it may be depends on the field.
        Kind::Int => !field.list,
        Kind::Map(inner) => matches!(**inner, Kind::Struct(_) | Kind::Str | Kind::Bool),
        _ => false,
    }
}

fn fits(kind: &Kind, given: &Given<'_>) -> bool {
    matches!(
        (kind, given),
        (Kind::Str, Given::Str(_)) | (Kind::Bool, Given::Bool(_)) | (Kind::Int, Given::Number(_))
    )
}

/// Whether it is a number that the field can hold.
fn whole(field: &Field, given: &Given<'_>) -> Done {
    let Given::Number(number) = given else {
        return None;
    };
    let value = number.as_i64()?;
    (&*field.go != "int32" || i32::try_from(value).is_ok()).then_some(())
}

/// Appends what was given: nothing in it is escaped if nothing was.
#[allow(clippy::ptr_arg)] // which of the two it is says whether there were escapes
fn text_of(given: &Cow<'_, str>, out: &mut Vec<u8>) -> Done {
    match given {
        Cow::Borrowed(plain) => {
            out.push(b'"');
            out.extend_from_slice(plain.as_bytes());
            out.push(b'"');
            Some(())
        }
        Cow::Owned(other) => serde_json::to_writer(out, other).ok(),
    }
}
