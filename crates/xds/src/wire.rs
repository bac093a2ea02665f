//! Protocol buffers as bytes: fields are read in place, one after the other, and written.
//!
//! Nothing is copied and no message is built: what a translation needs it takes from the field it is
//! shown. Encoding: <https://protobuf.dev/programming-guides/encoding/>.
use std::time::Duration;

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the message ends in the middle of a field")]
    Truncated,
    #[error("a number has more than ten bytes")]
    Varint,
    #[error("field number or wire type is not allowed")]
    Tag,
    #[error("has another wire type than the field")]
    Type,
    #[error("is not UTF-8")]
    Utf8,
    #[error("is out of range")]
    Range,
}

/// What stands in a field, borrowed from the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

/// The fields of one message in the order of the wire.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Begins at the first field.
    #[must_use]
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for index in 0..10_u32 {
            let (&byte, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Varint)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(length).map_err(|_| WireError::Truncated)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), WireError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| WireError::Tag)?;
        if number == 0 || number > 0x1fff_ffff {
            return Err(WireError::Tag);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            _ => return Err(WireError::Tag),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let found = self.field();
        if found.is_err() {
            self.rest = &[];
        }
        Some(found)
    }
}

/// The field `number` of a small message such as a wrapper; the last one counts.
fn only<'a>(message: &'a [u8], number: u32) -> Result<Option<Value<'a>>, WireError> {
    let mut found = None;
    for field in Fields::new(message) {
        let (other, value) = field?;
        if other == number {
            found = Some(value);
        }
    }
    Ok(found)
}

impl<'a> Value<'a> {
    /// A length-delimited field: a message, bytes, or packed numbers.
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError::Type),
        }
    }

    /// Text.
    pub fn text(self) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::Utf8)
    }

    /// An unsigned number, an enumerator or a sign-extended one.
    pub fn u64(self) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(WireError::Type),
        }
    }

    /// An unsigned number of 32 bits.
    pub fn u32(self) -> Result<u32, WireError> {
        u32::try_from(self.u64()?).map_err(|_| WireError::Range)
    }

    /// A number of 64 bits with sign.
    pub fn i64(self) -> Result<i64, WireError> {
        self.u64().map(u64::cast_signed)
    }

    /// A truth value.
    pub fn bool(self) -> Result<bool, WireError> {
        self.u64().map(|value| value != 0)
    }

    /// A number of double precision.
    pub fn double(self) -> Result<f64, WireError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(WireError::Type),
        }
    }

    /// `google.protobuf.UInt32Value`.
    pub fn wrapped_u32(self) -> Result<u32, WireError> {
        only(self.bytes()?, 1)?.map_or(Ok(0), Value::u32)
    }

    /// `google.protobuf.UInt64Value`.
    pub fn wrapped_u64(self) -> Result<u64, WireError> {
        only(self.bytes()?, 1)?.map_or(Ok(0), Value::u64)
    }

    /// `google.protobuf.BoolValue`.
    pub fn wrapped_bool(self) -> Result<bool, WireError> {
        only(self.bytes()?, 1)?.map_or(Ok(false), Value::bool)
    }

    /// `google.protobuf.Duration`, which must not be negative.
    pub fn duration(self) -> Result<Duration, WireError> {
        let bytes = self.bytes()?;
        let seconds = only(bytes, 1)?.map_or(Ok(0), Value::i64)?;
        let nanos = only(bytes, 2)?.map_or(Ok(0), Value::i64)?;
        let seconds = u64::try_from(seconds).map_err(|_| WireError::Range)?;
        let nanos = u32::try_from(nanos).map_err(|_| WireError::Range)?;
        if nanos >= 1_000_000_000 || seconds > 315_576_000_000 {
            return Err(WireError::Range);
        }
        Ok(Duration::new(seconds, nanos))
    }

    /// A repeated number, packed or one by one: every value is given to `each`.
    pub fn numbers(self, mut each: impl FnMut(u64)) -> Result<(), WireError> {
        match self {
            Self::Varint(value) => each(value),
            Self::Bytes(bytes) => {
                let mut packed = Fields::new(bytes);
                while !packed.rest.is_empty() {
                    each(packed.varint()?);
                }
            }
            _ => return Err(WireError::Type),
        }
        Ok(())
    }

    /// An entry of a map from text: key and value.
    pub fn entry(self) -> Result<(&'a str, Option<Value<'a>>), WireError> {
        let bytes = self.bytes()?;
        let key = only(bytes, 1)?.map_or(Ok(""), Value::text)?;
        Ok((key, only(bytes, 2)?))
    }

    /// `google.protobuf.Any`: the type's full name (what follows the last `/`) and the message.
    pub fn any(self) -> Result<(&'a str, &'a [u8]), WireError> {
        let bytes = self.bytes()?;
        let url = only(bytes, 1)?.map_or(Ok(""), Value::text)?;
        let message = only(bytes, 2)?.map_or(Ok(&[][..]), Value::bytes)?;
        Ok((url.rsplit('/').next().unwrap_or(url), message))
    }
}

/// Writes a message; default values are left out, as proto3 does.
#[derive(Debug, Default, Clone)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The message.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn tag(&mut self, number: u32, kind: u64) {
        self.varint(u64::from(number) << 3 | kind);
    }

    /// A number, truth value or enumerator.
    pub fn number(&mut self, number: u32, value: u64) -> &mut Self {
        if value != 0 {
            self.tag(number, 0);
            self.varint(value);
        }
        self
    }

    /// A number that is written when 0, too: it is one of several choices.
    pub fn choice(&mut self, number: u32, value: u64) -> &mut Self {
        self.tag(number, 0);
        self.varint(value);
        self
    }

    /// Text; left out when empty.
    pub fn text(&mut self, number: u32, value: &str) -> &mut Self {
        if value.is_empty() {
            return self;
        }
        self.bytes(number, value.as_bytes())
    }

    /// Bytes, a message or an element of repeated text; written when empty, too.
    pub fn bytes(&mut self, number: u32, value: &[u8]) -> &mut Self {
        self.tag(number, 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
        self
    }

    /// A number of double precision.
    pub fn double(&mut self, number: u32, value: f64) -> &mut Self {
        self.tag(number, 1);
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        self
    }

    /// A message within the message.
    pub fn message(&mut self, number: u32, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::new();
        fill(&mut inner);
        self.bytes(number, &inner.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_as_written() {
        let mut out = Writer::new();
        out.number(1, 300).text(2, "é").double(3, 1.5);
        out.message(4, |inner| {
            inner.number(1, 7).number(2, 5);
        });
        let bytes = out.finish();
        let all: Vec<_> = Fields::new(&bytes).map(Result::unwrap).collect();
        assert_eq!(all[0], (1, Value::Varint(300)));
        assert_eq!(all[1].1.text(), Ok("é"));
        assert_eq!(all[2].1.double(), Ok(1.5));
        assert_eq!(all[3].1.duration(), Ok(Duration::new(7, 5)));
        assert_eq!(all[0].1.text(), Err(WireError::Type));
    }

    #[test]
    fn packed_and_single_numbers_are_the_same() {
        let mut seen = Vec::new();
        Value::Bytes(&[1, 0x80, 2])
            .numbers(|one| seen.push(one))
            .unwrap();
        Value::Varint(9).numbers(|one| seen.push(one)).unwrap();
        assert_eq!(seen, [1, 256, 9]);
        assert!(Value::Bytes(&[0x80]).numbers(|_| ()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut left = bytes.len();
            for field in Fields::new(&bytes) {
                left = left.checked_sub(1).expect("every field takes bytes");
                if let Ok((_, value)) = field {
                    let _ = (value.duration(), value.any(), value.entry(), value.numbers(|_| ()));
                }
            }
        }

        #[test]
        fn numbers_come_back(number in 1_u32..0x1fff_ffff, value in 1_u64..) {
            let mut out = Writer::new();
            out.number(number, value);
            let bytes = out.finish();
            let found: Vec<_> = Fields::new(&bytes).collect();
            prop_assert_eq!(found, vec![Ok((number, Value::Varint(value)))]);
        }
    }
}
