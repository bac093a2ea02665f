//! The examples of RFC 7541 appendix C, round trips, and hostile blocks.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::{Decoder, Encoder, Field, HpackError, Pseudo, Sink};

#[derive(Default)]
struct Fields(Vec<(String, String)>, usize);

impl Sink for Fields {
    fn field(&mut self, field: Field, size: usize) {
        self.1 += size;
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        self.0.push(match field {
            Field::Method(value) => text(":method", value.as_str()),
            Field::Scheme(value) => text(":scheme", value.as_str()),
            Field::Authority(value) => text(":authority", value.as_str()),
            Field::Path(value) => text(":path", value.as_str()),
            Field::Status(value) => text(":status", value.as_str()),
            Field::Protocol(value) => text(":protocol", value.as_str()),
            Field::Header(name, value) => (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ),
            Field::Malformed(name) => (format!("{name:?}"), "malformed".to_owned()),
        });
    }
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, HpackError> {
    let mut fields = Fields::default();
    decoder.decode(block, &mut fields)?;
    let sum: usize = fields
        .0
        .iter()
        .map(|(name, value)| name.len() + value.len() + 32)
        .sum();
    assert_eq!(fields.1, sum, "sizes are those of the fields");
    Ok(fields.0)
}

fn lines(text: &str) -> Vec<(String, String)> {
    let pair = |line: &str| {
        let (name, value) = line.trim().split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    };
    text.trim().lines().map(pair).collect()
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\n\
     custom-key: custom-value",
];

const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
     location: https://www.example.com",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\n\
     location: https://www.example.com",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\n\
     location: https://www.example.com\ncontent-encoding: gzip\n\
     set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
];

fn check(table: usize, blocks: &[&str], wanted: &[&str]) {
    let mut decoder = Decoder::new(table);
    for (block, wanted) in blocks.iter().zip(wanted) {
        assert_eq!(
            decoded(&mut decoder, &octets(block)).unwrap(),
            lines(wanted)
        );
    }
}

#[test]
fn requests_of_appendix_c3_and_c4() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    check(4096, &plain, &REQUESTS);
    check(4096, &huffman, &REQUESTS);
}

#[test]
fn responses_of_appendix_c5_and_c6_evict() {
    let plain = [
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 \
         303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 \
         5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 \
         5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let huffman = [
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b \
         ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad \
         94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 \
         65c0 03ed 4ee5 b106 3d50 07",
    ];
    check(256, &plain, &RESPONSES);
    check(256, &huffman, &RESPONSES);
}

#[test]
fn size_updates_stand_first_and_below_the_limit() {
    let mut decoder = Decoder::new(4096);
    assert!(decoded(&mut decoder, &[0x20, 0x3f, 0xe1, 0x1f, 0x82]).is_ok());
    assert_eq!(
        decoded(&mut decoder, &[0x82, 0x20]),
        Err(HpackError::SizeUpdate)
    );
    assert_eq!(
        decoded(&mut decoder, &[0x3f, 0xe2, 0x1f]),
        Err(HpackError::SizeUpdate)
    );
}

#[test]
fn a_forbidden_name_is_kept_in_the_table_and_malformed_each_time() {
    let mut decoder = Decoder::new(4096);
    let block = [0x40, 1, b'A', 1, b'b'];
    let mut fields = Fields::default();
    decoder.decode(&block, &mut fields).unwrap();
    decoder.decode(&[0xbe], &mut fields).unwrap();
    assert!(fields.0.iter().all(|(_, value)| value == "malformed"));
    assert_eq!(fields.0.len(), 2);
}

#[test]
fn what_repeats_costs_one_octet_and_what_does_not_stays_out() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4096);
    let mut lengths = Vec::new();
    for number in 0..200 {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        encoder.pseudo(&mut out, Pseudo::Path, b"/test.Echo/Unary");
        let name = HeaderName::from_static("x-request-id");
        let value = HeaderValue::from_str(&format!("{number:08}")).unwrap();
        encoder.header(&mut out, &name, &value);
        let fields = decoded(&mut decoder, &out).unwrap();
        assert_eq!(
            fields[0],
            (":path".to_owned(), "/test.Echo/Unary".to_owned())
        );
        assert_eq!(fields[1].1, format!("{number:08}"));
        lengths.push(out.len());
    }
    assert!(
        lengths[2..]
            .iter()
            .all(|length| *length == 1 + 1 + 1 + 12 + 1 + 8),
        "{lengths:?}"
    );
}

#[test]
fn secrets_are_never_indexed() {
    let mut encoder = Encoder::new();
    for _ in 0..3 {
        let mut out = Vec::new();
        encoder.begin(&mut out);
        let value = HeaderValue::from_static("Bearer abcdefghijklmnopqrstuvwxyz");
        encoder.header(&mut out, &http::header::AUTHORIZATION, &value);
        assert_eq!(out[0] & 0xf0, 0x10);
    }
}

fn any_fields() -> impl Strategy<Value = Vec<(usize, String)>> {
    let value = (0usize..300, any::<char>()).prop_map(|(length, letter)| {
        // Short values repeat.
        let letter = char::from(b'a' + (letter as u32 % 26) as u8);
        if length < 150 {
            "same".repeat(length / 50)
        } else {
            letter.to_string().repeat(length)
        }
    });
    proptest::collection::vec((0usize..12, value), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn blocks_come_back_in_any_order_of_tables(
        blocks in proptest::collection::vec((any_fields(), proptest::option::of(0usize..6000)), 1..30)
    ) {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new(6000);
        for (fields, limit) in blocks {
            if let Some(limit) = limit {
                encoder.set_limit(limit);
            }
            let mut out = Vec::new();
            encoder.begin(&mut out);
            let mut wanted = Vec::new();
            encoder.pseudo(&mut out, Pseudo::Path, b"/a");
            wanted.push((":path".to_owned(), "/a".to_owned()));
            for (name, value) in fields {
                let name = match name {
                    0 => http::header::ACCEPT,
                    1 => http::header::COOKIE,
                    2 => http::header::AUTHORIZATION,
                    other => HeaderName::from_bytes(format!("x-{other}").as_bytes()).unwrap(),
                };
                encoder.header(&mut out, &name, &HeaderValue::from_str(&value).unwrap());
                wanted.push((name.to_string(), value));
            }
            prop_assert_eq!(decoded(&mut decoder, &out).unwrap(), wanted);
        }
    }

    #[test]
    fn arbitrary_blocks_are_refused_or_read(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..8)
    ) {
        let mut decoder = Decoder::new(4096);
        for block in blocks {
            let mut fields = Fields::default();
            let _ = decoder.decode(&block, &mut fields);
            prop_assert!(fields.0.len() <= block.len());
        }
    }
}
