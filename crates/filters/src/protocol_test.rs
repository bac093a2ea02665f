use http::Request;
use proptest::prelude::*;

use super::*;

const CALL: CallHead<'static> = CallHead {
    exchange: 7,
    deadline: 9,
    flags: KEEP,
    filters: &[3, 4],
};

#[test]
fn a_request_is_flat_and_its_headers_are_one_text() {
    let parts = Request::get("/a?b=1")
        .header("Host", "shop.example")
        .header("X-A", "1")
        .header("X-A", "2")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let origin = Origin {
        client: Some([10, 0, 0, 1].into()),
        https: true,
        route: "shop",
        identity: "spiffe://a/b",
    };
    let mut out = b"before".to_vec();
    assert!(request(&mut out, CALL, &parts, &origin));
    let frame = &out[6..];
    assert_eq!(
        u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize,
        frame.len() - 4
    );
    // length, kind, exchange, deadline, flags, count, two filters
    let head = &frame[4 + 1 + 8 + 8 + 1 + 1 + 8..];
    let texts = b"GETshop.example/a?b=110.0.0.1\nshop\nspiffe://a/b";
    assert_eq!(head[..11], [11, 1, 3, 12, 0, 6, 0, 0, 0, 26, 0]);
    assert_eq!(&head[11..11 + texts.len()], texts);
    assert_eq!(
        &head[11 + texts.len()..],
        b"\nhost:shop.example\nx-a:1\nx-a:2\n"
    );
}

#[test]
fn what_is_too_large_is_not_queued() {
    let mut out = b"before".to_vec();
    assert!(!body(&mut out, CALL, &vec![0; CALL_AT_MOST]));
    let long = "m".repeat(256);
    let parts = Request::builder()
        .method(long.as_str())
        .body(())
        .unwrap()
        .into_parts()
        .0;
    assert!(!request(&mut out, CALL, &parts, &Origin::default()));
    assert_eq!(out, b"before");
}

fn outcome(result: u8, message: &[u8]) -> Vec<u8> {
    let mut bytes = [
        3_u32.to_le_bytes().as_slice(),
        &[result],
        &1500_u32.to_le_bytes(),
    ]
    .concat();
    if result == 1 || result == 2 {
        bytes.extend_from_slice(&u16::try_from(message.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(message);
    }
    bytes
}

fn frame(kind: u8, outcomes: &[Vec<u8>], rest: &[u8]) -> Vec<u8> {
    let count = u8::try_from(outcomes.len()).unwrap();
    let mut bytes = [&[kind][..], &7_u64.to_le_bytes(), &[1, count]].concat();
    bytes.extend(outcomes.concat());
    bytes.extend_from_slice(rest);
    [
        &u32::try_from(bytes.len()).unwrap().to_le_bytes()[..],
        &bytes,
    ]
    .concat()
}

#[test]
fn answers_carry_how_each_filter_fared() {
    let bytes = frame(
        CONTINUE,
        &[outcome(0, b""), outcome(1, b"a.py:3: boom")],
        b"ops",
    );
    let (parsed, length) = parse(&bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    let Frame::Answer {
        exchange: 7,
        answering: true,
        outcomes,
        reply,
    } = parsed
    else {
        panic!("{parsed:?}");
    };
    assert_eq!(reply, Reply::Continue(b"ops"));
    let results: Vec<_> = outcomes
        .map(|one| (one.filter, one.result, one.message))
        .collect();
    assert_eq!(
        results,
        [
            (3, FilterResult::Done, &b""[..]),
            (3, FilterResult::Failed, b"a.py:3: boom")
        ]
    );
}

#[test]
fn a_frame_that_is_not_whole_yet_is_waited_for() {
    let bytes = frame(CHUNK, &[outcome(2, b"late")], b"data");
    for length in 0..bytes.len() {
        assert_eq!(parse(&bytes[..length]), Ok(None), "{length}");
    }
}

#[test]
fn what_is_no_frame_is_an_error() {
    assert_eq!(parse(&[0, 0, 0, 0]), Err(FrameError::Length(0)));
    assert_eq!(parse(&[0, 0, 0, 255]), Err(FrameError::Length(0xFF00_0000)));
    assert_eq!(parse(&[1, 0, 0, 0, 1]), Err(FrameError::Kind(1)));
    let mut more = frame(CONTINUE, &[outcome(0, b"")], b"");
    more[14] = 9; // nine outcomes, and bytes for one
    assert_eq!(parse(&more), Err(FrameError::CutOff));
}

proptest! {
    #[test]
    fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut framed = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
        framed.extend_from_slice(&bytes);
        for input in [&bytes, &framed] {
            if let Ok(Some((Frame::Answer { outcomes, .. }, length))) = parse(input) {
                prop_assert!(length <= input.len());
                prop_assert!(outcomes.count() <= 255);
            }
        }
    }
}
