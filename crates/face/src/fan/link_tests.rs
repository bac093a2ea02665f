//! Links over a loopback connection, with a client of rustls at the other end.
use std::{
    io::{ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, ServerName},
};
use tokio::sync::oneshot;

use super::{
    framed::Framed,
    link::{Carrier, Handed, Link, Sent},
};
use crate::{fan::Bookmark, inbox::Inbox, initial::Initial, state::State, stream::Stream};

type Client = StreamOwned<ClientConnection, TcpStream>;

const MANY: usize = 1000;
const LARGE: usize = 1 << 30;

/// A client, and the server's end of its connection after the handshake.
fn connected() -> (Client, Carrier) {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut client = StreamOwned::new(session, socket);
    let greeting = std::thread::spawn(move || {
        client.write_all(b"hello").unwrap();
        client.flush().unwrap();
        client
    });
    let (mut socket, _) = listener.accept().unwrap();
    let mut session = ServerConnection::new(Arc::new(server)).unwrap();
    let mut hello = [0; 5];
    rustls::Stream::new(&mut session, &mut socket)
        .read_exact(&mut hello)
        .unwrap();
    socket.set_nonblocking(true).unwrap();
    let carrier = Carrier {
        socket,
        session,
        ahead: BytesMut::new(),
    };
    (greeting.join().unwrap(), carrier)
}

fn stream() -> Arc<Stream> {
    Stream::new(1, Arc::new(Inbox::new().unwrap()))
}

fn linked(stream: Arc<Stream>) -> (Client, Link, oneshot::Receiver<Carrier>) {
    let (client, carrier) = connected();
    let (back, returned) = oneshot::channel();
    let handed = Handed {
        stream,
        carrier,
        open: None,
        back,
    };
    (client, Link::new(handed), returned)
}

/// Lets the link write until it is done, while the client reads to the end of the body.
fn body(client: Client, link: &mut Link) -> (Client, String) {
    let reading = std::thread::spawn(move || {
        let mut client = client;
        let mut all = Vec::new();
        while !all.ends_with(b"0\r\n\r\n") {
            let mut some = [0; 4096];
            let size = client.read(&mut some).unwrap();
            all.extend_from_slice(&some[..size]);
        }
        (client, whole(&all))
    });
    let deadline = Instant::now() + Duration::from_secs(60);
    while !link.done() {
        assert!(Instant::now() < deadline);
        link.flush().unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    reading.join().unwrap()
}

/// A body in chunks, put together.
fn whole(mut chunks: &[u8]) -> String {
    let mut all = Vec::new();
    loop {
        let end = chunks.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = std::str::from_utf8(&chunks[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let rest = &chunks[end + 2..];
        all.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        chunks = &rest[size + 2..];
        if size == 0 {
            assert!(chunks.is_empty());
            return String::from_utf8(all).unwrap();
        }
    }
}

fn line(text: &str) -> Framed {
    Framed::one(format!("{text}\n").as_bytes())
}

#[test]
fn what_the_stream_had_comes_first_then_what_is_sent() {
    let stream = stream();
    let state = State::new(LARGE);
    state.put("/core/pods/a/x", Some(Bytes::from_static(b"{}")), 7);
    state.ready(7);
    let end = Bookmark {
        forms: vec![(Bytes::from_static(b"<"), Bytes::from_static(b">\n"))],
    };
    let snapshot = state.snapshot().unwrap();
    stream.begin(Initial::new(snapshot, "/core/pods/", "v1", Some(end)));
    stream.write(Bytes::from_static(b"written\n"));
    let (client, mut link, _returned) = linked(stream);
    link.send(&line("sent").chunk, MANY, LARGE).unwrap();
    link.end(Some(&line("last")), false).unwrap();
    let (_, text) = body(client, &mut link);
    let lines: Vec<_> = text.lines().skip(1).collect();
    assert!(text.starts_with("{\"type\":\"ADDED\""));
    assert_eq!(lines, ["<7>", "written", "sent", "last"]);
}

#[test]
fn a_client_that_does_not_read_is_bounded_and_told() {
    let (client, mut link, _returned) = linked(stream());
    let large = line(&"x".repeat(100_000));
    let mut sent = 0;
    while link.send(&large.chunk, 3, LARGE).unwrap() != Sent::Full {
        sent += 1;
        assert!(sent < 10_000);
    }
    // Not all that waits is sent, but what was begun is sent to its end.
    link.end(Some(&line("too slow")), true).unwrap();
    let (_, text) = body(client, &mut link);
    let lines: Vec<_> = text.lines().collect();
    let (last, whole) = lines.split_last().unwrap();
    assert_eq!(*last, "too slow");
    assert!(whole.len() < sent);
    assert!(whole.iter().all(|line| line.len() == 100_000));
}

#[test]
fn the_bytes_that_wait_are_bounded_too() {
    let (_client, mut link, _returned) = linked(stream());
    let large = line(&"x".repeat(100_000)).chunk;
    while link.send(&large, MANY, LARGE).unwrap() != Sent::Waits {}
    while link.send(&large, MANY, 1_000_000).unwrap() == Sent::Waits {}
    assert_eq!(link.send(&large, MANY, 1_000_000).unwrap(), Sent::Full);
}

#[test]
fn the_next_request_stays_with_the_connection() {
    let (mut client, mut link, mut returned) = linked(stream());
    client.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    client.flush().unwrap();
    link.end(None, false).unwrap();
    let (_client, text) = body(client, &mut link);
    assert_eq!(text, "");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        link.receive().unwrap();
        if link.has_received() || Instant::now() > deadline {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    link.give_back();
    let carrier = returned.try_recv().unwrap();
    assert_eq!(carrier.ahead, &b"GET / HTTP/1.1\r\n"[..]);
}

#[test]
fn a_client_that_leaves_or_sends_too_much_is_an_error() {
    let received_until_error = |link: &mut Link| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Err(error) = link.receive() {
                return error.kind();
            }
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let (client, mut link, _returned) = linked(stream());
    drop(client);
    let kind = received_until_error(&mut link);
    assert!(matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
    ));
    let (mut client, mut link, _returned) = linked(stream());
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(
        received_until_error(&mut link),
        ErrorKind::ConnectionAborted
    );
    let (mut client, mut link, _returned) = linked(stream());
    client.write_all(&[b'x'; 70_000]).unwrap();
    client.flush().unwrap();
    assert_eq!(
        received_until_error(&mut link),
        ErrorKind::ConnectionAborted
    );
}
