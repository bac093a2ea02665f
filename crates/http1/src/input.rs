//! Reading: one block per thread takes the bytes, so that a waiting connection holds none.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// Bytes asked for in one read.
const BLOCK: usize = 64 * 1024;
/// A block with less room than this is replaced.
const ROOM: usize = 32 * 1024;
/// Reads up to this size are copied out, so that a slow stream does not hold a block.
const COPY: usize = 4 * 1024;

thread_local! {
    static BLOCKS: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// Append what the peer sent to `input`; the number of bytes, 0 at its end.
///
/// One read system call at most: a short read leaves the socket known as empty.
pub(crate) fn poll_input<I: AsyncRead + Unpin>(
    io: &mut I,
    cx: &mut Context<'_>,
    input: &mut Bytes,
) -> Poll<io::Result<usize>> {
    BLOCKS.with(|cell| {
        let mut block = cell.take();
        if block.capacity() < ROOM {
            block.reserve(BLOCK);
        }
        let read = poll_read_buf(Pin::new(io), cx, &mut block);
        if let Poll::Ready(Ok(count)) = read {
            keep(&mut block, count, input);
        }
        block.clear();
        cell.set(block);
        Poll::Ready(ready!(read))
    })
}

fn keep(block: &mut BytesMut, count: usize, input: &mut Bytes) {
    if !input.is_empty() {
        let mut grown = std::mem::take(input)
            .try_into_mut()
            .unwrap_or_else(|shared| {
                let mut copy = BytesMut::with_capacity(shared.len() + count);
                copy.extend_from_slice(&shared);
                copy
            });
        grown.extend_from_slice(block);
        *input = grown.freeze();
    } else if count <= COPY {
        *input = Bytes::copy_from_slice(block);
    } else {
        *input = block.split_to(count).freeze();
    }
}

/// Whether a connection that should be silent is: open and with nothing to read.
pub(crate) fn is_silent<I: AsyncRead + Unpin>(io: &mut I, cx: &mut Context<'_>) -> bool {
    let mut probe = [0_u8; 1];
    let mut buffer = tokio::io::ReadBuf::new(&mut probe);
    Pin::new(io).poll_read(cx, &mut buffer).is_pending()
}
