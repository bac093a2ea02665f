//! The corpus of requests that have made servers disagree: each has the outcome the file says.
#![allow(clippy::unwrap_used)]

mod common;

use cloudwright_http1::Limits;
use common::{run, talk};

const CORPUS: &str = include_str!("data/smuggling.txt");

/// The bytes of a cell of the corpus.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("unknown escape {}", other as char),
        });
    }
    bytes
}

/// What a server makes of these bytes, in the words of the corpus.
fn outcome(pieces: &[&[u8]]) -> String {
    let (seen, answer) = run(talk(pieces, Limits::default()));
    match seen.refused.as_slice() {
        [] => format!("ok {}", seen.requests.join(";")),
        [reason] => {
            let refusal = answer.rfind("HTTP/1.1 ").unwrap();
            assert!(
                answer[refusal..].contains("\r\nconnection: close\r\n"),
                "{answer}"
            );
            format!("{} {reason}", &answer[refusal + 9..refusal + 12])
        }
        more => panic!("refused more than once: {more:?}"),
    }
}

#[test]
fn every_request_of_the_corpus_has_its_outcome() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in CORPUS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let cells: Vec<&str> = line.splitn(3, " | ").collect();
        let [name, expected, raw] = cells.as_slice() else {
            panic!("{line}")
        };
        let raw = unescape(raw);
        let expected = String::from_utf8(unescape(expected)).unwrap();
        count += 1;
        // In one piece, byte by byte, and with another request behind it.
        let bytes: Vec<&[u8]> = raw.chunks(1).collect();
        let behind = [&raw[..], b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        for (how, pieces) in [("whole", vec![&raw[..]]), ("bytes", bytes)] {
            let outcome = outcome(&pieces);
            if outcome != expected {
                wrong.push(format!("{name} ({how}): {outcome}, expected {expected}"));
            }
        }
        let (seen, _) = run(talk(&[&behind], Limits::default()));
        let passed = seen.requests.iter().any(|line| line.contains("/behind"));
        if passed != expected.starts_with("ok ") {
            wrong.push(format!("{name}: the request behind it was taken: {passed}"));
        }
        assert!(
            seen.requests.iter().all(|line| !line.contains("/smuggled")),
            "{name}"
        );
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(count > 150, "{count} requests in the corpus");
}
