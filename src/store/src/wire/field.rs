//! Protobuf's fields, read and written one by one (protobuf.dev, "Encoding"). Start at [`fields`] for
//! reading and at the functions on `Vec<u8>` for writing. Lengths are computed before anything is
//! written, so that a message is written once and in one place.

/// The bytes are no protobuf message of the kind that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What a field holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes: no field of ours, passed over if unknown.
    Fixed,
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed),
        }
    }

    pub(crate) fn int64(self) -> Result<i64, Malformed> {
        match self {
            Value::Varint(value) => Ok(value as i64),
            _ => Err(Malformed),
        }
    }

    /// An enumeration's number; only the low 32 bits count.
    pub(crate) fn number(self) -> Result<i32, Malformed> {
        Ok(self.int64()? as i32)
    }

    pub(crate) fn bool(self) -> Result<bool, Malformed> {
        Ok(self.int64()? != 0)
    }
}

/// The fields of a message, in the order of their bytes.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

pub(crate) fn fields(message: &[u8]) -> Fields<'_> {
    Fields { rest: message }
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Result<u64, Malformed> {
        // Most are one byte: tags, lengths of short keys, flags.
        if let Some((&first, rest)) = self.rest.split_first() {
            if first < 0x80 {
                self.rest = rest;
                return Ok(first.into());
            }
        }
        let mut value = 0u64;
        for (place, &byte) in self.rest.iter().take(10).enumerate() {
            // The tenth byte holds the highest bit only.
            if place == 9 && byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                self.rest = &self.rest[place + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        if number == 0 {
            return Err(Malformed);
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups are gone since proto3.
            _ => return Err(Malformed),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// How many bytes a number takes.
pub(crate) fn varint_len(value: u64) -> usize {
    // Seven bits a byte; zero takes one, too.
    ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7)
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number field whose tag takes one byte; a zero is left out, as proto3 has it.
pub(crate) fn number_len(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_len(value) }
}

pub(crate) fn put_number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3);
        put_varint(out, value);
    }
}

/// A field of bytes whose tag takes one byte; nothing is left out if it is empty.
pub(crate) fn bytes_len(value: &[u8]) -> usize {
    if value.is_empty() { 0 } else { nested_len(value.len()) }
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    if !value.is_empty() {
        put_nested(out, field, value.len());
        out.extend_from_slice(value);
    }
}

/// A message field whose tag takes one byte; it is there even if it is empty.
pub(crate) fn nested_len(length: usize) -> usize {
    1 + varint_len(length as u64) + length
}

/// The tag and length of a message field; its `length` bytes must follow.
pub(crate) fn put_nested(out: &mut Vec<u8>, field: u8, length: usize) {
    out.push(field << 3 | 2);
    put_varint(out, length as u64);
}
