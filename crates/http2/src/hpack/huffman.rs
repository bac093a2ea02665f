//! The Huffman code of RFC 7541 appendix B, which is canonical: its lengths say everything.

use bytes::{BufMut, BytesMut};

use super::HpackError;

/// Bits of the code of each byte, and of the end-of-string symbol (256).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
    30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11,
    8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20,
    22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
    22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23,
    22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26,
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27,
    26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const END: u16 = 256;
const SHORT_BITS: u32 = 10;

/// Codes of at most ten bits by their first ten bits: `symbol << 4 | length`; 0: a longer code.
static SHORT: [u16; 1 << SHORT_BITS] = short_table();
/// Longer codes: by length, and the symbols in the code's order.
static LONG: Long = long_table();

struct Long {
    /// Left-aligned 32-bit code just above the last one of this length.
    limit: [u64; 31],
    /// First code of this length.
    first: [u32; 31],
    /// Where this length begins in `symbols`.
    offset: [u16; 31],
    symbols: [u16; 257],
}

const fn short_table() -> [u16; 1 << SHORT_BITS] {
    let mut table = [0u16; 1 << SHORT_BITS];
    let mut code = 0usize;
    let mut length = 1u32;
    while length <= SHORT_BITS {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as u32 == length {
                let shift = SHORT_BITS - length;
                let mut fill = 0;
                while fill < (1usize << shift) {
                    table[(code << shift) | fill] = ((symbol as u16) << 4) | length as u16;
                    fill += 1;
                }
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    table
}

const fn long_table() -> Long {
    let mut table = Long {
        limit: [0; 31],
        first: [0; 31],
        offset: [0; 31],
        symbols: [0; 257],
    };
    let mut code = 0u32;
    let mut count = 0usize;
    let mut length = 1usize;
    while length <= 30 {
        table.first[length] = code;
        table.offset[length] = count as u16;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                table.symbols[count] = symbol as u16;
                count += 1;
                code += 1;
            }
            symbol += 1;
        }
        table.limit[length] = (code as u64) << (32 - length);
        code <<= 1;
        length += 1;
    }
    table
}

/// Decode `input` to the end of `out`.
///
/// # Errors
/// The end-of-string symbol, or padding that is longer than seven bits or not all ones.
pub(crate) fn decode(input: &[u8], out: &mut BytesMut) -> Result<(), HpackError> {
    // The shortest code has five bits.
    out.reserve(input.len() * 8 / 5 + 1);
    let mut bits = 0u64; // left-aligned
    let mut have = 0u32;
    let mut rest = input;
    loop {
        while have <= 56 {
            let Some((byte, tail)) = rest.split_first() else {
                break;
            };
            bits |= u64::from(*byte) << (56 - have);
            have += 8;
            rest = tail;
        }
        if have == 0 {
            return Ok(());
        }
        let (symbol, length) = next(bits);
        if length > have || symbol == END {
            // Too few bits for a code: what is left must be padding.
            let padding = have < 8 && bits == u64::MAX << (64 - have);
            return if padding {
                Ok(())
            } else {
                Err(HpackError::Huffman)
            };
        }
        out.put_u8(symbol as u8);
        bits <<= length;
        have -= length;
    }
}

/// The symbol at the head of `bits` and its length; (END, 30) where no code fits.
#[inline]
fn next(bits: u64) -> (u16, u32) {
    let short = SHORT[(bits >> (64 - SHORT_BITS)) as usize];
    if short != 0 {
        return (short >> 4, u32::from(short & 15));
    }
    let window = bits >> 32;
    let mut length = SHORT_BITS as usize + 1;
    while length < 30 && window >= LONG.limit[length] {
        length += 1;
    }
    let code = (window >> (32 - length)) as u32;
    let place = u32::from(LONG.offset[length]) + (code - LONG.first[length]);
    let symbol = LONG.symbols.get(place as usize).copied().unwrap_or(END);
    (symbol, length as u32)
}

#[cfg(test)]
pub(crate) fn encode(input: &[u8]) -> Vec<u8> {
    let mut codes = [0u32; 257];
    let mut code = 0;
    for length in 1..=30u8 {
        for symbol in 0..257 {
            if LENGTHS[symbol] == length {
                codes[symbol] = code;
                code += 1;
            }
        }
        code <<= 1;
    }
    let (mut out, mut bits, mut have) = (Vec::new(), 0u64, 0u32);
    for &byte in input {
        bits = (bits << LENGTHS[byte as usize]) | u64::from(codes[byte as usize]);
        have += u32::from(LENGTHS[byte as usize]);
        while have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
        }
    }
    if have > 0 {
        out.push(((bits << (8 - have)) as u8) | (0xff >> have));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = BytesMut::new();
        decode(input, &mut out).map(|()| out.to_vec())
    }

    #[test]
    fn words_of_appendix_c_decode() {
        let word = [
            0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
        ];
        assert_eq!(decoded(&word).unwrap(), b"www.example.com");
        assert_eq!(
            decoded(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).unwrap(),
            b"no-cache"
        );
    }

    #[test]
    fn wrong_padding_is_refused() {
        assert!(decoded(&[0xff, 0xff, 0xff, 0xff]).is_err(), "end of string");
        assert!(
            decoded(&[0b0001_1111, 0xff]).is_err(),
            "padding of more than seven bits"
        );
        assert!(decoded(&[0b0001_1000]).is_err(), "padding that is not ones");
    }

    proptest! {
        #[test]
        fn every_string_comes_back(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(decoded(&encode(&input)).unwrap(), input);
        }

        #[test]
        fn arbitrary_bytes_are_no_trouble(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decoded(&input);
        }
    }
}
