//! What fields and turning cost: `cargo run --release -p cloudwright-transcode --example costs`.
//! One thread, the best of 200 short rounds: some are
//! not interrupted on a busy machine either.
#![allow(clippy::print_stdout, clippy::unwrap_used)]
use std::convert::Infallible;
use std::hint::black_box;
use std::task::{Context, Waker};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use cloudwright_transcode::field::FieldPath;
use cloudwright_transcode::{Options, Transcoder, frame};
use http::{Request, Response};
use http_body_util::Full;
use prost::Message;
use prost_reflect::DynamicMessage;
use serde_json::json;

fn measure(name: &str, times: u32, mut one: impl FnMut()) {
    let mut best = f64::MAX;
    for _ in 0..200 {
        let start = Instant::now();
        (0..times).for_each(|_| one());
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(times));
    }
    println!("{name:<48} {best:>9.1} ns");
}

/// A future over bodies that are there already never waits.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

fn main() {
    let set = include_bytes!("../tests/data/library.pb");
    let library = Transcoder::new(set, Options::default()).unwrap();
    let book = library
        .pool()
        .get_message_by_name("test.library.Book")
        .unwrap();
    let json = json!({
        "name": "shelves/1/books/2", "title": "T".repeat(100), "genre": "CRIME",
        "author": {"name": "A. Author", "born": 1900, "teacher": {"name": "B"}},
        "tags": ["a", "b", "c"], "pages": "400", "cover": "AAAA".repeat(100), "shelf": "s",
    });
    let encoded: Bytes = DynamicMessage::deserialize(book.clone(), &json)
        .unwrap()
        .encode_to_vec()
        .into();
    println!("a message of {} bytes", encoded.len());
    for path in ["name", "author.teacher.name", "shelf"] {
        let field = FieldPath::resolve(&book, path).unwrap();
        measure(&format!("field {path}"), 10_000, || {
            black_box(field.get(black_box(&encoded)).unwrap());
        });
    }
    measure("the same by decoding everything", 200, || {
        black_box(DynamicMessage::decode(book.clone(), encoded.clone()).unwrap());
    });
    let get = Request::get("/v1/shelves/1/books/2")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    measure("find: GET", 2_000, || {
        black_box(library.find(&get).unwrap().unwrap());
    });
    let post = Request::post("/v1/shelves/1/books")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    let body = Bytes::from(json.to_string());
    let call = library.find(&post).unwrap().unwrap();
    measure("JSON request to gRPC", 200, || {
        let body: Full<Bytes> = Full::new(body.clone());
        black_box(now(call.request(post.clone(), body)).unwrap());
    });
    let mut framed = BytesMut::new();
    frame::put(&mut framed, 0, &encoded);
    let framed = framed.freeze();
    let call = library.find(&get).unwrap().unwrap();
    measure("gRPC response to JSON", 200, || {
        let trailers = [("grpc-status".parse().unwrap(), "0".parse().unwrap())];
        let body = http_body_util::BodyExt::with_trailers(
            Full::new(framed.clone()),
            std::future::ready(Some(Ok::<_, Infallible>(trailers.into_iter().collect()))),
        );
        let response = Response::builder().header("content-type", "application/grpc");
        black_box(now(call.response(response.body(body).unwrap())));
    });
}
