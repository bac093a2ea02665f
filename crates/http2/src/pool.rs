//! Read buffers of the thread: a connection has one only while it reads or holds part of a frame.

use std::cell::RefCell;

use bytes::BytesMut;

/// Octets that one read may bring.
const SIZE: usize = 32 * 1024;
const KEEP: usize = 4;
/// A part of a frame up to this size waits in a buffer of its own.
const SMALL: usize = 4096;

thread_local! {
    static POOL: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Make sure that `buffer` can take a large read.
pub(crate) fn fill(buffer: &mut BytesMut, more: usize) {
    if buffer.capacity() < SIZE
        && buffer.len() <= SMALL
        && let Some(mut pooled) = POOL.with_borrow_mut(Vec::pop)
    {
        pooled.extend_from_slice(buffer);
        *buffer = pooled;
    }
    if buffer.capacity() - buffer.len() < more.max(SIZE / 2) {
        buffer.reserve(more.max(SIZE));
    }
}

/// Give the room of `buffer` back; what it holds stays.
pub(crate) fn rest(buffer: &mut BytesMut) {
    if buffer.len() > SMALL || buffer.capacity() <= SMALL {
        return;
    }
    let mut whole = if buffer.is_empty() {
        std::mem::take(buffer)
    } else {
        let part = BytesMut::from(&buffer[..]);
        std::mem::replace(buffer, part)
    };
    whole.clear();
    POOL.with_borrow_mut(|pool| {
        // What a large frame made larger, or cut pieces from, is not worth keeping.
        if pool.len() < KEEP && whole.try_reclaim(SIZE) && whole.capacity() <= 2 * SIZE {
            pool.push(whole);
        }
    });
}
