//! The encoding's own pieces: variable-length numbers, tags, length-delimited fields.

use crate::errors::WireError;

const CUT: WireError = WireError::Malformed("the message is cut short");

/// One field's value as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub fn bytes(self) -> Result<&'a [u8], WireError> {
        match self {
            Value::Bytes(data) => Ok(data),
            Value::Number(_) => Err(WireError::Malformed(
                "a field has another type than expected",
            )),
        }
    }

    pub fn number(self) -> Result<u64, WireError> {
        match self {
            Value::Number(value) => Ok(value),
            Value::Bytes(_) => Err(WireError::Malformed("a number is not encoded as one")),
        }
    }
}

/// Reads the fields of one message, in order.
pub(crate) struct Reader<'a> {
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Reader { data }
    }

    pub fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0u64;
        for (at, byte) in self.data.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * at).min(63);
            if *byte < 0x80 {
                self.data = &self.data[at + 1..];
                return Ok(value);
            }
        }
        Err(WireError::Malformed("a number is cut short or too long"))
    }

    pub fn done(&self) -> bool {
        self.data.is_empty()
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(length).map_err(|_| CUT)?;
        if length > self.data.len() {
            return Err(CUT);
        }
        let (taken, rest) = self.data.split_at(length);
        self.data = rest;
        Ok(taken)
    }

    /// The next field's number and value.
    pub fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, WireError> {
        if self.done() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3)
            .map_err(|_| WireError::Malformed("a field has no valid number"))?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return Err(WireError::Malformed("groups are not used by Kubernetes")),
        };
        if number == 0 {
            return Err(WireError::Malformed("a field has no valid number"));
        }
        Ok(Some((number, value)))
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_number(out: &mut Vec<u8>, number: u32, value: u64) {
    put_varint(out, u64::from(number) << 3);
    put_varint(out, value);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, value: &[u8]) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A nested message, written by `write` in place: its length is put in front afterwards.
pub(crate) fn put_nested<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_varint(out, u64::from(number) << 3 | 2);
    let start = out.len();
    write(out)?;
    let mut length = Vec::with_capacity(5);
    put_varint(&mut length, (out.len() - start) as u64);
    out.splice(start..start, length);
    Ok(())
}
