//! Prefixed integers (RFC 7541 section 5.1).

use super::HpackError;

/// Integers above this are refused: nothing that is legal here needs more.
const LIMIT: u32 = 1 << 28;

/// Read an integer with a prefix of `bits` bits at `input[*at]` and move `at` behind it.
#[inline]
pub(crate) fn read(input: &[u8], at: &mut usize, bits: u32) -> Result<u32, HpackError> {
    let mask = (1u8 << bits).wrapping_sub(1) | if bits == 8 { 0xff } else { 0 };
    let first = *input.get(*at).ok_or(HpackError::Truncated)? & mask;
    *at += 1;
    if first < mask {
        return Ok(u32::from(first));
    }
    let mut value = u32::from(first);
    let mut shift = 0;
    loop {
        let byte = *input.get(*at).ok_or(HpackError::Truncated)?;
        *at += 1;
        if shift > 21 {
            return Err(HpackError::Integer);
        }
        value += u32::from(byte & 0x7f) << shift;
        if value > LIMIT {
            return Err(HpackError::Integer);
        }
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
    }
}

/// Append `value` with a prefix of `bits` bits below the pattern `head`.
#[inline]
pub(crate) fn write(out: &mut Vec<u8>, head: u8, bits: u32, value: usize) {
    let mask = (1usize << bits) - 1;
    if value < mask {
        out.push(head | value as u8);
        return;
    }
    out.push(head | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_of_appendix_c1() {
        let mut out = Vec::new();
        write(&mut out, 0, 5, 10);
        write(&mut out, 0, 5, 1337);
        write(&mut out, 0, 7, 42);
        assert_eq!(out, [10, 0b1_1111, 0b1001_1010, 0b1010, 42]);
    }

    #[test]
    fn a_long_run_of_continuation_bytes_is_refused() {
        let mut input = vec![0xff];
        input.extend([0x80; 64]);
        assert_eq!(read(&input, &mut 0, 7), Err(HpackError::Integer));
        assert_eq!(read(&[0xff, 0xff], &mut 0, 7), Err(HpackError::Truncated));
    }

    proptest! {
        #[test]
        fn integers_come_back(value in 0u32..LIMIT, bits in 1u32..8) {
            let mut out = Vec::new();
            write(&mut out, 0, bits, value as usize);
            let mut at = 0;
            prop_assert_eq!(read(&out, &mut at, bits), Ok(value));
            prop_assert_eq!(at, out.len());
        }
    }
}
