//! Paths of fields: resolved by name once, walked by number for each message.
use std::fmt;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

use super::wire::{Malformed, Records, Wire};

/// Longer paths are refused: each step is one level of recursion.
const MAX_STEPS: usize = 32;

/// Why a path names no field that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is no such field.
    #[error("{message} has no field {name:?}")]
    Unknown {
        /// The message that was looked into.
        message: String,
        /// The name that was looked for.
        name: String,
    },
    /// Lists and maps have no single value.
    #[error("{0:?} is a list or a map")]
    Repeated(String),
    /// Only messages have fields.
    #[error("{0:?} is not a message and has no fields")]
    NotMessage(String),
    /// A message is no value to route by.
    #[error("{0:?} is a message: name one of its fields")]
    Message(String),
    /// Too long.
    #[error("the path has more than 32 names")]
    TooLong,
}

/// A field of a message or of a message within it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPath {
    text: Box<str>,
    steps: Box<[Step]>,
    leaf: Leaf,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    number: u32,
    /// The other members of its `oneof`: when one of them comes later, the field is unset.
    rivals: Box<[u32]>,
    group: bool,
}

/// How the value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    Bool,
    Uint,
    Uint32,
    Int,
    Int32,
    Sint,
    Sint32,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Float,
    Double,
    String,
    Bytes,
}

/// A value, borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// `bool`.
    Bool(bool),
    /// Signed integers and enum numbers.
    Int(i64),
    /// Unsigned integers.
    Uint(u64),
    /// `float` and `double`.
    Float(f64),
    /// `string`.
    Str(&'a str),
    /// `bytes`.
    Bytes(&'a [u8]),
}

impl fmt::Display for Scalar<'_> {
    /// The text a rule compares with: numbers in decimal, bytes in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Uint(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Str(value) => f.write_str(value),
            Self::Bytes(value) => value.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl Leaf {
    fn new(field: &FieldDescriptor) -> Result<Self, PathError> {
        Ok(match field.kind() {
            Kind::Bool => Self::Bool,
            Kind::Uint64 => Self::Uint,
            Kind::Uint32 => Self::Uint32,
            Kind::Int64 => Self::Int,
            Kind::Int32 | Kind::Enum(_) => Self::Int32,
            Kind::Sint64 => Self::Sint,
            Kind::Sint32 => Self::Sint32,
            Kind::Fixed32 => Self::Fixed32,
            Kind::Fixed64 => Self::Fixed64,
            Kind::Sfixed32 => Self::Sfixed32,
            Kind::Sfixed64 => Self::Sfixed64,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::String => Self::String,
            Kind::Bytes => Self::Bytes,
            Kind::Message(_) => return Err(PathError::Message(field.name().to_owned())),
        })
    }

    /// The value of a record, with protobuf's truncation of varints to 32 bits.
    fn read<'a>(self, wire: Wire<'a>) -> Result<Scalar<'a>, Malformed> {
        Ok(match (self, wire) {
            (Self::Bool, Wire::Varint(value)) => Scalar::Bool(value != 0),
            (Self::Uint, Wire::Varint(value)) | (Self::Fixed64, Wire::Fixed64(value)) => {
                Scalar::Uint(value)
            }
            (Self::Uint32, Wire::Varint(value)) => Scalar::Uint(u64::from(value as u32)),
            (Self::Int, Wire::Varint(value)) | (Self::Sfixed64, Wire::Fixed64(value)) => {
                Scalar::Int(value as i64)
            }
            (Self::Int32, Wire::Varint(value)) => Scalar::Int(i64::from(value as i32)),
            (Self::Sint, Wire::Varint(value)) => {
                Scalar::Int((value >> 1) as i64 ^ -((value & 1) as i64))
            }
            (Self::Sint32, Wire::Varint(value)) => {
                let value = value as u32;
                Scalar::Int(i64::from((value >> 1) as i32 ^ -((value & 1) as i32)))
            }
            (Self::Fixed32, Wire::Fixed32(value)) => Scalar::Uint(u64::from(value)),
            (Self::Sfixed32, Wire::Fixed32(value)) => Scalar::Int(i64::from(value as i32)),
            (Self::Float, Wire::Fixed32(bits)) => Scalar::Float(f64::from(f32::from_bits(bits))),
            (Self::Double, Wire::Fixed64(bits)) => Scalar::Float(f64::from_bits(bits)),
            (Self::Bytes, Wire::Len(bytes)) => Scalar::Bytes(bytes),
            (Self::String, Wire::Len(bytes)) => {
                Scalar::Str(str::from_utf8(bytes).map_err(|_| Malformed::Utf8)?)
            }
            _ => return Err(Malformed::Type),
        })
    }
}

impl FieldPath {
    /// Resolves `a.b.c` from `message`; names are those of the `.proto` or of its JSON.
    pub fn resolve(message: &MessageDescriptor, text: &str) -> Result<Self, PathError> {
        let mut steps = Vec::new();
        let mut within = message.clone();
        let mut names = text.split('.').peekable();
        while let Some(name) = names.next() {
            if steps.len() == MAX_STEPS {
                return Err(PathError::TooLong);
            }
            let field = field_named(&within, name).ok_or_else(|| PathError::Unknown {
                message: within.full_name().to_owned(),
                name: name.to_owned(),
            })?;
            if field.is_list() || field.is_map() {
                return Err(PathError::Repeated(name.to_owned()));
            }
            let rivals = field.containing_oneof().into_iter().flat_map(|oneof| {
                oneof
                    .fields()
                    .map(|other| other.number())
                    .collect::<Vec<_>>()
            });
            steps.push(Step {
                number: field.number(),
                rivals: rivals.filter(|number| *number != field.number()).collect(),
                group: field.is_group(),
            });
            if names.peek().is_none() {
                return Ok(Self {
                    text: text.into(),
                    steps: steps.into(),
                    leaf: Leaf::new(&field)?,
                });
            }
            within = match field.kind() {
                Kind::Message(inner) => inner,
                _ => return Err(PathError::NotMessage(name.to_owned())),
            };
        }
        Err(PathError::TooLong)
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The value in an encoded message: the last one, as protobuf has it; None if it is not
    /// there (then readers see the default of its type).
    ///
    /// # Errors
    /// Bytes that are no message. What is skipped is not looked into.
    pub fn get<'a>(&self, message: &'a [u8]) -> Result<Option<Scalar<'a>>, Malformed> {
        let mut found = None;
        walk(&self.steps, self.leaf, message, &mut found)?;
        Ok(found)
    }
}

/// A field by its name in the `.proto`, or in JSON.
pub(crate) fn field_named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message
        .get_field_by_name(name)
        .or_else(|| message.get_field_by_json_name(name))
}

/// Messages that come more than once are merged: what an earlier one says stays until a later
/// one says otherwise, so all of them are walked with the same `found`.
fn walk<'a>(
    steps: &[Step],
    leaf: Leaf,
    message: &'a [u8],
    found: &mut Option<Scalar<'a>>,
) -> Result<(), Malformed> {
    let Some((step, rest)) = steps.split_first() else {
        return Ok(());
    };
    for record in Records::new(message) {
        let record = record?;
        if record.number == step.number {
            match record.value {
                Wire::Len(inner) if !rest.is_empty() && !step.group => {
                    walk(rest, leaf, inner, found)?;
                }
                _ if !rest.is_empty() => return Err(Malformed::Type),
                value => *found = Some(leaf.read(value)?),
            }
        } else if step.rivals.contains(&record.number) {
            *found = None;
        }
    }
    Ok(())
}

impl<'a> Scalar<'a> {
    /// The scalar that a decoded value is; None for messages, lists and maps.
    pub fn of(value: &'a Value) -> Option<Self> {
        Some(match value {
            Value::Bool(value) => Scalar::Bool(*value),
            Value::I32(value) => Scalar::Int(i64::from(*value)),
            Value::EnumNumber(value) => Scalar::Int(i64::from(*value)),
            Value::I64(value) => Scalar::Int(*value),
            Value::U32(value) => Scalar::Uint(u64::from(*value)),
            Value::U64(value) => Scalar::Uint(*value),
            Value::F32(value) => Scalar::Float(f64::from(*value)),
            Value::F64(value) => Scalar::Float(*value),
            Value::String(value) => Scalar::Str(value),
            Value::Bytes(value) => Scalar::Bytes(value),
            Value::Message(_) | Value::List(_) | Value::Map(_) => return None,
        })
    }
}
