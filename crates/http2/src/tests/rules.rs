//! The rules for messages and windows, each with the code that the RFC gives it.

use super::{Wire, literals, reader, verdict};
use crate::Reason;
use crate::config::Config;
use crate::frame::{self, kind};

/// Whether stream 1 of these octets is reset with `reason`, and the connection goes on.
fn resets(octets: &[u8], reason: Reason) -> bool {
    let mut conn = reader(Config::default());
    assert_eq!(conn.feed(octets), Ok(()));
    let mut wanted = Vec::new();
    frame::reset(&mut wanted, 1, reason);
    let state = conn.shared.lock();
    state
        .out
        .frames
        .windows(wanted.len())
        .any(|part| part == wanted)
}

fn request_with(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut wire = Wire::client();
    wire.request(1, true, fields);
    wire.octets
}

#[test]
fn forbidden_fields_are_protocol_errors_of_the_stream() {
    let cases = [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("Upper", "case"),
        ("with space", "x"),
        ("", "empty"),
        ("x-line", "a\r\nb: c"),
        ("x-zero", "a\0b"),
        ("x-edge", " a"),
        ("x-edge", "a\t"),
        (":path", "/again"),
        (":status", "200"),
        (":unknown", "x"),
        ("host", "other.example"),
        ("content-length", "+1"),
        ("content-length", "1, 1"),
        ("content-length", "5"),
    ];
    for (name, value) in cases {
        let octets = request_with(&[(name, value)]);
        assert!(
            resets(&octets, Reason::PROTOCOL_ERROR),
            "{name:?}: {value:?}"
        );
    }
    let two = request_with(&[("content-length", "0"), ("content-length", "1")]);
    assert!(resets(&two, Reason::PROTOCOL_ERROR));
}

#[test]
fn allowed_fields_arrive() {
    let mut conn = reader(Config::default());
    let octets = request_with(&[
        ("te", "trailers"),
        ("cookie", "a=b"),
        ("host", "EXAMPLE.com"),
        ("cookie", "c=d"),
    ]);
    assert_eq!(conn.feed(&octets), Ok(()));
    let (_, request) = conn.shared.lock().accept().unwrap();
    assert_eq!(request.uri(), "http://example.com/path");
    assert_eq!(request.headers()["cookie"], "a=b; c=d");
    assert_eq!(request.headers()["te"], "trailers");
}

#[test]
fn a_target_must_be_whole() {
    let cases: [&[(&str, &str)]; 9] = [
        &[(":method", "GET"), (":scheme", "http")],
        &[(":method", "GET"), (":path", "/")],
        &[(":scheme", "http"), (":path", "/")],
        &[(":method", "GET"), (":scheme", "http"), (":path", "")],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "no-slash"),
        ],
        &[(":method", "GET"), (":scheme", "http"), (":path", "*")],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "u@h"),
        ],
        &[
            (":method", "CONNECT"),
            (":authority", "h:1"),
            (":path", "/"),
        ],
        // Extended CONNECT, which this server does not allow.
        &[
            (":method", "CONNECT"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "h"),
            (":protocol", "websocket"),
        ],
    ];
    for fields in cases {
        let mut block = Vec::new();
        literals(&mut block, fields);
        let mut wire = Wire::client();
        wire.frame(kind::HEADERS, 5, 1, &block);
        assert!(resets(&wire.octets, Reason::PROTOCOL_ERROR), "{fields:?}");
    }
}

#[test]
fn extended_connect_arrives_where_it_is_allowed() {
    let config = Config {
        connect_protocol: true,
        ..Config::default()
    };
    let mut block = Vec::new();
    let fields = [
        (":method", "CONNECT"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "h"),
        (":protocol", "websocket"),
    ];
    literals(&mut block, &fields);
    let mut wire = Wire::client();
    wire.frame(kind::HEADERS, 4, 1, &block);
    let mut conn = reader(config);
    assert_eq!(conn.feed(&wire.octets), Ok(()));
    let (_, request) = conn.shared.lock().accept().unwrap();
    let protocol = request.extensions().get::<crate::Protocol>().unwrap();
    assert_eq!(protocol.as_str(), "websocket");
}

#[test]
fn bodies_must_be_as_long_as_declared() {
    for (length, body, fine) in [
        ("4", "abcd", true),
        ("4", "abc", false),
        ("4", "abcde", false),
    ] {
        let mut wire = Wire::client();
        wire.request(1, false, &[("content-length", length)]);
        wire.frame(kind::DATA, 1, 1, body.as_bytes());
        assert_eq!(
            resets(&wire.octets, Reason::PROTOCOL_ERROR),
            !fine,
            "{body}"
        );
    }
}

#[test]
fn trailers_have_no_pseudo_fields_and_end_the_stream() {
    let mut block = Vec::new();
    literals(&mut block, &[(":path", "/")]);
    let mut wire = Wire::client();
    wire.request(1, false, &[])
        .frame(kind::HEADERS, 5, 1, &block);
    assert!(resets(&wire.octets, Reason::PROTOCOL_ERROR));
    let mut block = Vec::new();
    literals(&mut block, &[("x-sum", "1")]);
    let mut wire = Wire::client();
    wire.request(1, false, &[])
        .frame(kind::HEADERS, 4, 1, &block);
    assert!(resets(&wire.octets, Reason::PROTOCOL_ERROR));
}

#[test]
fn windows_hold() {
    let mut wire = Wire::client();
    wire.request(1, false, &[]);
    for _ in 0..5 {
        wire.frame(kind::DATA, 0, 1, &[0; 16_384]);
    }
    assert_eq!(
        verdict(Config::default(), &wire.octets),
        "connection_window"
    );
    let roomy = Config {
        connection_window: 1 << 20,
        ..Config::default()
    };
    let mut conn = reader(roomy);
    assert_eq!(conn.feed(&wire.octets), Ok(()));
    let mut wanted = Vec::new();
    frame::reset(&mut wanted, 1, Reason::FLOW_CONTROL_ERROR);
    let state = conn.shared.lock();
    assert!(
        state
            .out
            .frames
            .windows(wanted.len())
            .any(|part| part == wanted)
    );
}

#[test]
fn frames_of_connections_have_their_sizes_and_places() {
    let cases: [(u8, u8, u32, &[u8], &str); 12] = [
        (kind::PING, 0, 1, &[0; 8], "ping_on_stream"),
        (kind::PING, 0, 0, &[0; 7], "ping_size"),
        (kind::SETTINGS, 0, 1, &[], "settings_on_stream"),
        (kind::SETTINGS, 1, 0, &[0; 6], "settings_ack_size"),
        (kind::SETTINGS, 0, 0, &[0; 5], "settings_size"),
        (
            kind::SETTINGS,
            0,
            0,
            &[0, 2, 0, 0, 0, 2],
            "settings_enable_push",
        ),
        (
            kind::SETTINGS,
            0,
            0,
            &[0, 5, 0, 0, 0, 1],
            "settings_max_frame",
        ),
        (
            kind::SETTINGS,
            0,
            0,
            &[0, 4, 0x80, 0, 0, 0],
            "settings_window",
        ),
        (kind::WINDOW_UPDATE, 0, 0, &[0; 4], "window_update_0"),
        (kind::PUSH_PROMISE, 4, 1, &[0, 0, 0, 2], "push_promise"),
        (kind::GOAWAY, 0, 1, &[0; 8], "go_away_on_stream"),
        (kind::DATA, 0, 3, &[0; 8], "idle_stream"),
    ];
    for (kind, flags, stream, payload, cause) in cases {
        let mut wire = Wire::client();
        wire.frame(kind, flags, stream, payload);
        assert_eq!(verdict(Config::default(), &wire.octets), cause);
    }
    assert_eq!(verdict(Config::default(), b"GET / HTTP/1.1\r\n"), "preface");
}
