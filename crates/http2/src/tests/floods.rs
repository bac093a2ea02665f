//! Peers that cost more than they should are told so, by name.

use super::{Wire, reader, verdict};
use crate::config::Config;
use crate::frame::kind;

fn server(streams: u32) -> Config {
    Config {
        max_streams: Some(streams),
        ..Config::default()
    }
}

#[test]
fn rapid_resets_end_the_connection_and_reach_nobody() {
    let mut wire = Wire::client();
    for number in 0..2000 {
        let id = number * 2 + 1;
        wire.request(id, true, &[]).reset(id);
    }
    let mut conn = reader(server(100));
    assert_eq!(conn.feed(&wire.octets).unwrap_err().cause, "rapid_reset");
    let mut state = conn.shared.lock();
    assert!(state.accept().is_none(), "no request is handed out");
    assert_eq!(state.existing(), 0);
}

#[test]
fn all_open_streams_may_be_cancelled_at_once() {
    let mut wire = Wire::client();
    for number in 0..5000 {
        wire.request(number * 2 + 1, true, &[]);
    }
    for number in 0..5000 {
        wire.reset(number * 2 + 1);
    }
    assert_eq!(verdict(server(5000), &wire.octets), "");
}

#[test]
fn resets_that_we_are_made_to_send_count_too() {
    let mut wire = Wire::client();
    for number in 0..2000 {
        let id = number * 2 + 1;
        wire.request(id, false, &[]);
        wire.frame(kind::WINDOW_UPDATE, 0, id, &[0; 4]);
    }
    assert_eq!(verdict(server(100), &wire.octets), "rapid_reset");
}

#[test]
fn streams_above_the_limit_are_refused_and_then_resented() {
    let mut wire = Wire::client();
    for number in 0..150 {
        wire.request(number * 2 + 1, false, &[]);
    }
    let mut conn = reader(server(100));
    assert_eq!(conn.feed(&wire.octets), Ok(()));
    assert_eq!(conn.shared.lock().active, 100);
    for number in 150..1000 {
        wire.request(number * 2 + 1, false, &[]);
    }
    assert_eq!(verdict(server(100), &wire.octets), "rapid_reset");
}

#[test]
fn continuations_without_end() {
    let mut wire = Wire::client();
    wire.frame(kind::HEADERS, 0, 1, &[0x82]);
    for _ in 0..100 {
        wire.frame(kind::CONTINUATION, 0, 1, &[]);
    }
    assert_eq!(verdict(server(100), &wire.octets), "continuation_flood");

    let mut wire = Wire::client();
    wire.frame(kind::HEADERS, 0, 1, &[0x82]);
    for _ in 0..10 {
        wire.frame(kind::CONTINUATION, 0, 1, &[0x82; 16_000]);
    }
    assert_eq!(verdict(server(100), &wire.octets), "continuation_flood");
}

#[test]
fn cheap_frames_without_end() {
    let cases: [(u8, u32, &[u8], &str); 5] = [
        (kind::PING, 0, &[0; 8], "ping_flood"),
        (kind::SETTINGS, 0, &[], "settings_flood"),
        (kind::DATA, 1, &[], "empty_frame_flood"),
        (kind::PRIORITY, 1, &[0; 5], "empty_frame_flood"),
        (0x55, 0, &[], "empty_frame_flood"),
    ];
    for (kind, stream, payload, cause) in cases {
        let mut wire = Wire::client();
        wire.request(1, false, &[]);
        for _ in 0..5000 {
            wire.frame(kind, 0, stream, payload);
        }
        assert_eq!(verdict(server(100), &wire.octets), cause, "kind {kind}");
    }
    let mut wire = Wire::client();
    for _ in 0..10_000 {
        wire.frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
    }
    assert_eq!(verdict(server(100), &wire.octets), "window_update_flood");
}

#[test]
fn a_large_table_entry_named_often_is_cut_at_the_limit() {
    let mut wire = Wire::client();
    let mut block = wire.block("GET", &[]);
    // One entry of 3,000 octets, named 10,000 times: 30 MB for 13 KB.
    block.extend_from_slice(&[0x40, 1, b'a', 0x7f, 0xb9, 0x16]);
    block.extend_from_slice(&[b'x'; 3000 - 128 + 64]);
    block.truncate(block.len().min(3200));
    let mut conn = reader(server(100));
    block.extend(std::iter::repeat_n(0xbe, 10_000));
    wire.frame(kind::HEADERS, 5, 1, &block);
    assert_eq!(conn.feed(&wire.octets), Ok(()));
    let mut state = conn.shared.lock();
    assert!(state.accept().is_none(), "answered with 431 instead");
    let status = b"\x08\x03431";
    assert!(
        state
            .out
            .frames
            .windows(status.len())
            .any(|part| part == status)
    );
}
