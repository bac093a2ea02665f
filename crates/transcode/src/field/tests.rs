use std::sync::LazyLock;

use proptest::prelude::*;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, ReflectMessage};

use super::*;

fn book() -> MessageDescriptor {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
        DescriptorPool::decode(&include_bytes!("../../tests/data/library.pb")[..]).unwrap()
    });
    POOL.get_message_by_name("test.library.Book").unwrap()
}

const PATHS: [&str; 25] = [
    "name",
    "title",
    "genre",
    "author.name",
    "author.born",
    "author.teacher.name",
    "author.teacher.teacher.born",
    "pages",
    "published.seconds",
    "published.nanos",
    "cover",
    "shelf",
    "lent_to.name",
    "lentTo.teacher.name",
    "box",
    "floor",
    "price",
    "weight",
    "code",
    "offset",
    "old",
    "edition",
    "depth",
    "wide",
    "narrow",
];

fn get<'a>(text: &str, message: &'a [u8]) -> Result<Option<Scalar<'a>>, Malformed> {
    FieldPath::resolve(&book(), text).unwrap().get(message)
}

/// What decoding everything says.
fn decoded(message: &DynamicMessage, text: &str) -> Option<prost_reflect::Value> {
    let (name, rest) = text
        .split_once('.')
        .map_or((text, None), |(a, b)| (a, Some(b)));
    let field = path::field_named(&message.descriptor(), name).unwrap();
    match rest {
        None => Some(message.get_field(&field).into_owned()),
        Some(rest) if message.has_field(&field) => {
            decoded(message.get_field(&field).as_message().unwrap(), rest)
        }
        Some(rest) => decoded(
            &DynamicMessage::new(field.kind().as_message().unwrap().clone()),
            rest,
        ),
    }
}

fn compare(bytes: &[u8]) {
    let Ok(message) = DynamicMessage::decode(book(), bytes) else {
        for path in PATHS {
            let _harmless = get(path, bytes);
        }
        return;
    };
    for path in PATHS {
        let whole = decoded(&message, path).unwrap();
        let expected = Scalar::of(&whole).unwrap();
        let default = match expected {
            Scalar::Bool(_) => Scalar::Bool(false),
            Scalar::Int(_) => Scalar::Int(0),
            Scalar::Uint(_) => Scalar::Uint(0),
            Scalar::Float(_) => Scalar::Float(0.0),
            Scalar::Str(_) => Scalar::Str(""),
            Scalar::Bytes(_) => Scalar::Bytes(b""),
        };
        let got = get(path, bytes).unwrap().unwrap_or(default);
        // By text, so that NaN is itself.
        assert_eq!(
            format!("{got:?}"),
            format!("{expected:?}"),
            "{path} of {bytes:?}"
        );
    }
}

#[test]
fn reads_the_last_and_merges_messages() {
    // author {name: "a", teacher {name: "t"}}, author {born: 5}, name "x", name "y"
    let bytes = [
        &[0x22, 8, 0x0A, 1, b'a', 0x1A, 3, 0x0A, 1, b't'][..],
        &[0x22, 2, 0x10, 5],
        &[0x0A, 1, b'x', 0x0A, 1, b'y'],
    ]
    .concat();
    assert_eq!(get("name", &bytes), Ok(Some(Scalar::Str("y"))));
    assert_eq!(
        get("author.teacher.name", &bytes),
        Ok(Some(Scalar::Str("t")))
    );
    assert_eq!(get("author.born", &bytes), Ok(Some(Scalar::Int(5))));
    assert_eq!(get("pages", &bytes), Ok(None));
    compare(&bytes);
}

#[test]
fn a_later_member_of_a_oneof_unsets_the_earlier() {
    // shelf "s", box 3
    let bytes = [0x4A, 1, b's', 0x58, 3];
    assert_eq!(get("shelf", &bytes), Ok(None));
    assert_eq!(get("box", &bytes), Ok(Some(Scalar::Uint(3))));
}

#[test]
fn bad_bytes_have_a_reason() {
    for (bytes, error) in [
        (&[0x0A, 5, b'x'][..], Malformed::Truncated),
        (&[0x0A], Malformed::Truncated),
        (&[0x08, 1], Malformed::Type),
        (&[0x0A, 1, 0xFF], Malformed::Utf8),
        (&[0x00, 1], Malformed::Tag),
        (&[0x0F, 1], Malformed::Tag),
        (&[0x0C], Malformed::Group),
        (&[0x0B, 0x14], Malformed::Group),
        (&[0xFF; 11], Malformed::Varint),
    ] {
        assert_eq!(get("name", bytes), Err(error), "{bytes:?}");
    }
    let deep = [0x0B; 200];
    assert_eq!(get("title", &deep), Err(Malformed::Group));
}

#[test]
fn paths_that_name_no_value_are_refused() {
    let wrong = |text: &str| FieldPath::resolve(&book(), text).unwrap_err().to_string();
    assert_eq!(wrong("nam"), "test.library.Book has no field \"nam\"");
    assert_eq!(wrong(""), "test.library.Book has no field \"\"");
    assert_eq!(
        wrong("author"),
        "\"author\" is a message: name one of its fields"
    );
    assert_eq!(wrong("tags"), "\"tags\" is a list or a map");
    assert_eq!(wrong("labels"), "\"labels\" is a list or a map");
    assert_eq!(
        wrong("name.x"),
        "\"name\" is not a message and has no fields"
    );
    let long = format!("author{}.name", ".teacher".repeat(40));
    assert!(wrong(&long).contains("more than 32"));
}

#[test]
fn texts_to_compare_with() {
    for (scalar, text) in [
        (Scalar::Bool(true), "true"),
        (Scalar::Int(-5), "-5"),
        (Scalar::Bytes(&[0xAB, 1]), "ab01"),
        (Scalar::Str("x"), "x"),
    ] {
        assert_eq!(scalar.to_string(), text);
    }
}

/// Records that are likely to mean something to `Book`.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let number = 1u32..26;
    let inner = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        Just(vec![0x0A, 1, b'n']),
        Just(vec![0x10, 9]),
        Just(vec![0x1A, 3, 0x0A, 1, b't', 0x10, 7]),
        "[a-zé]{0,5}".prop_map(String::into_bytes),
    ];
    (number, 0u8..6, any::<u64>(), inner).prop_map(|(number, wire, value, inner)| {
        let mut out = Vec::new();
        prost::encoding::encode_varint(u64::from(number << 3 | u32::from(wire)), &mut out);
        match wire {
            0 => prost::encoding::encode_varint(value, &mut out),
            1 => out.extend(value.to_le_bytes()),
            2 => {
                prost::encoding::encode_varint(inner.len() as u64, &mut out);
                out.extend(inner);
            }
            5 => out.extend((value as u32).to_le_bytes()),
            3 => {
                out.extend([0x08, 1]);
                prost::encoding::encode_varint(u64::from(number << 3 | 4), &mut out);
            }
            _ => {}
        }
        out
    })
}

/// Records with the wire type their field has, so that most messages decode.
fn fitting() -> impl Strategy<Value = Vec<u8>> {
    const WIRES: [(u32, u8); 23] = [
        (1, 2),
        (2, 2),
        (3, 0),
        (4, 2),
        (5, 2),
        (6, 0),
        (7, 2),
        (8, 2),
        (9, 2),
        (10, 2),
        (11, 0),
        (12, 0),
        (13, 1),
        (14, 5),
        (15, 5),
        (16, 1),
        (17, 0),
        (18, 0),
        (20, 0),
        (21, 0),
        (22, 1),
        (23, 5),
        (40, 0),
    ];
    let author = prop_oneof![
        Just(vec![0x0A, 1, b'n']),
        Just(vec![0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F]),
        Just(vec![0x1A, 5, 0x0A, 1, b't', 0x10, 7]),
        Just(vec![]),
    ];
    (0usize..WIRES.len(), any::<u64>(), author, "[a-zé]{0,5}").prop_map(
        |(index, value, author, text)| {
            let (number, wire) = WIRES[index];
            let mut out = Vec::new();
            prost::encoding::encode_varint(u64::from(number << 3 | u32::from(wire)), &mut out);
            match (wire, number) {
                (0, _) => prost::encoding::encode_varint(value, &mut out),
                (1, _) => out.extend(value.to_le_bytes()),
                (5, _) => out.extend((value as u32).to_le_bytes()),
                (_, 4 | 10) => {
                    prost::encoding::encode_varint(author.len() as u64, &mut out);
                    out.extend(author);
                }
                (_, 7) => out.extend([2, 0x08, 3]),
                _ => {
                    prost::encoding::encode_varint(text.len() as u64, &mut out);
                    out.extend(text.into_bytes());
                }
            }
            out
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn says_what_decoding_says(records in prop::collection::vec(fitting(), 0..12)) {
        let bytes = records.concat();
        prop_assert!(DynamicMessage::decode(book(), &bytes[..]).is_ok());
        compare(&bytes);
    }

    #[test]
    fn odd_records_do_no_harm(records in prop::collection::vec(record(), 0..8)) {
        compare(&records.concat());
    }

    #[test]
    fn any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        compare(&bytes);
        let _count = Records::new(&bytes).count();
    }

    #[test]
    fn a_whole_message_is_read_back(pages: i64, name in ".{0,20}", floor: i32, born: i32) {
        let mut message = DynamicMessage::new(book());
        let mut author = DynamicMessage::new(
            book().get_field_by_name("author").unwrap().kind().as_message().unwrap().clone(),
        );
        author.set_field_by_name("born", prost_reflect::Value::I32(born));
        message.set_field_by_name("author", prost_reflect::Value::Message(author));
        message.set_field_by_name("pages", prost_reflect::Value::I64(pages));
        message.set_field_by_name("name", prost_reflect::Value::String(name));
        message.set_field_by_name("floor", prost_reflect::Value::I32(floor));
        compare(&message.encode_to_vec());
    }
}
