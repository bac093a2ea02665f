//! Moves one output stream of a child into its log.
use std::cell::RefCell;
use std::rc::Rc;
use std::time::SystemTime;

use super::file::LogFile;
use super::lines::{Splitter, Stream};
use crate::descriptors::{Async, Chunk, read_now};
use crate::taps::Taps;
use crate::timestamp;

/// A log that the two streams of a child share; `None` throws the output away.
pub type Sink = Option<Rc<RefCell<LogFile>>>;

/// One turn reads at most this much, so that a chatty container does not starve the others.
const READ: usize = 32 * 1024;

thread_local! {
    // One pair of buffers for all streams: a turn never waits while it uses them.
    static BUFFERS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Reads until the stream ends. The child is never held up by anything but this loop's own turn.
/// Except by who follows it live in `taps`, for as long as their patience says.
pub async fn pump(source: Rc<Async>, stream: Stream, sink: Sink, taps: Option<Rc<Taps>>) {
    let mut splitter = Splitter::new(stream);
    loop {
        let Ok(mut guard) = source.readable().await else {
            break;
        };
        let follow = taps.as_deref().filter(|taps| !taps.is_empty());
        match turn(&source, &mut splitter, &sink, follow.is_some()) {
            (Chunk::Data(_), copy) => {
                drop(guard);
                if let (Some(taps), Some(copy)) = (follow, copy) {
                    taps.give(stream, copy).await;
                }
            }
            (Chunk::Empty, _) => guard.clear_ready(),
            (Chunk::End, _) => break,
        }
    }
    let stamp = timestamp::rfc3339(SystemTime::now());
    let mut rest = Vec::new();
    splitter.finish(&stamp, &mut rest);
    if let Some(log) = &sink {
        log.borrow_mut().write(&rest, &stamp);
    }
}

fn turn(
    source: &Async,
    splitter: &mut Splitter,
    sink: &Sink,
    copies: bool,
) -> (Chunk, Option<Rc<[u8]>>) {
    BUFFERS.with_borrow_mut(|(input, output)| {
        input.resize(READ, 0);
        output.clear();
        let chunk = read_now(source, input);
        let Chunk::Data(count) = &chunk else {
            return (chunk, None);
        };
        let data = &input[..*count];
        if let Some(log) = sink {
            let stamp = timestamp::rfc3339(SystemTime::now());
            splitter.feed(data, &stamp, output);
            log.borrow_mut().write(output, &stamp);
        }
        let copy = copies.then(|| Rc::from(data));
        (chunk, copy)
    })
}
