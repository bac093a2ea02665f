//! The records of an encoded message (protobuf's wire format), one after the other.

/// Groups within groups deeper than this are refused.
const MAX_GROUPS: u32 = 100;

/// Bytes that are no message, or not the one that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It ends within a record.
    #[error("the message is cut off")]
    Truncated,
    /// A varint of more than ten bytes, or above 64 bits.
    #[error("a number has too many bytes")]
    Varint,
    /// A tag with field number 0, one above 2^29 - 1, or a wire type that does not exist.
    #[error("a field has an impossible tag")]
    Tag,
    /// A group that ends without having begun, as another, or too deep.
    #[error("a group does not end where it should")]
    Group,
    /// The field has another wire type than its declaration says.
    #[error("a field is not encoded as its type is")]
    Type,
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    Utf8,
}

/// The value of a record as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2: strings, bytes, messages, packed lists.
    Len(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
    /// Wire types 3 and 4: skipped as a whole.
    Group,
}

/// A field number and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The number of the field.
    pub number: u32,
    /// Its value.
    pub value: Wire<'a>,
}

/// Iterates over the records of a message; ends after the first error.
#[derive(Debug, Clone)]
pub struct Records<'a> {
    rest: &'a [u8],
}

impl<'a> Records<'a> {
    /// The records of `message`.
    pub const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        // Most are one byte: tags of the first 15 fields, lengths of short strings.
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(*first));
        }
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            let part = u64::from(byte & 0x7F);
            if index == 9 && part > 1 {
                return Err(Malformed::Varint);
            }
            value |= part << (7 * index);
            if *byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 {
            Malformed::Truncated
        } else {
            Malformed::Varint
        })
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Truncated)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(Malformed::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A tag: number and wire type.
    fn tag(&mut self) -> Result<(u32, u8), Malformed> {
        let tag = u32::try_from(self.varint()?).map_err(|_| Malformed::Tag)?;
        match tag >> 3 {
            0 => Err(Malformed::Tag),
            number => Ok((number, (tag & 7) as u8)),
        }
    }

    fn record(&mut self) -> Result<Record<'a>, Malformed> {
        let (number, wire) = self.tag()?;
        let value = match wire {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = self.varint()?;
                Wire::Len(self.take(length)?)
            }
            3 => {
                self.skip_group(number)?;
                Wire::Group
            }
            4 => return Err(Malformed::Group),
            5 => Wire::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Malformed::Tag),
        };
        Ok(Record { number, value })
    }

    /// Skips to the end of a group that has begun. Only the depth is kept, not the numbers of
    /// the outer groups: an inner end with another number is found when the outer one ends.
    fn skip_group(&mut self, number: u32) -> Result<(), Malformed> {
        self.skip_within(number, MAX_GROUPS)
    }

    fn skip_within(&mut self, open: u32, depth: u32) -> Result<(), Malformed> {
        if depth == 0 {
            return Err(Malformed::Group);
        }
        loop {
            let (number, wire) = self.tag()?;
            match wire {
                0 => drop(self.varint()?),
                1 => drop(self.fixed::<8>()?),
                2 => {
                    let length = self.varint()?;
                    self.take(length)?;
                }
                3 => self.skip_within(number, depth - 1)?,
                4 if number == open => return Ok(()),
                4 => return Err(Malformed::Group),
                5 => drop(self.fixed::<4>()?),
                _ => return Err(Malformed::Tag),
            }
        }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_err() {
            self.rest = &[];
        }
        Some(record)
    }
}
