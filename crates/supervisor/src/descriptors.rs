//! Pipes and terminals without blocking.
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::unix::AsyncFd;

/// Our end of a pipe or a terminal.
pub type Async = AsyncFd<OwnedFd>;

/// Wraps a descriptor after making it non-blocking.
pub fn watch(descriptor: OwnedFd) -> io::Result<Async> {
    let flags = fcntl_getfl(&descriptor)?;
    fcntl_setfl(&descriptor, flags | OFlags::NONBLOCK)?;
    register(descriptor)
}

#[allow(unsafe_code)]
fn register(descriptor: OwnedFd) -> io::Result<Async> {
    // SAFETY: an OwnedFd names one open description until it is dropped, and nothing takes it out before.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}

/// A pipe whose reading end is ours and whose writing end becomes a child's output.
pub fn output_pipe() -> io::Result<(Async, Stdio)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((watch(read)?, Stdio::from(write)))
}

/// A pipe whose writing end is ours and whose reading end becomes a child's input.
pub fn input_pipe() -> io::Result<(Async, Stdio)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    Ok((watch(write)?, Stdio::from(read)))
}

/// What a read without waiting found.
pub enum Chunk {
    Data(usize),
    Empty,
    End,
}

/// Reads what is there. A terminal whose other side is closed answers EIO, which is its end.
pub fn read_now(descriptor: &Async, buffer: &mut [u8]) -> Chunk {
    loop {
        match rustix::io::read(descriptor.get_ref(), &mut *buffer) {
            Ok(0) => return Chunk::End,
            Ok(count) => return Chunk::Data(count),
            Err(rustix::io::Errno::AGAIN) => return Chunk::Empty,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Chunk::End,
        }
    }
}
