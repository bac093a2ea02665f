//! Frames of a command's or a container's streams on the connection that asked for them.
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{Winsize, tcsetwinsize};
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use crate::descriptors::Async;
use crate::protocol::{Channel, frame_header, parse_header};
use crate::server::{Reader, Writer};

/// While input waits for a process that does not read, look this often whether the client is still there.
const GONE_CHECK: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Size {
    columns: u16,
    rows: u16,
}

/// Sends one frame; false when the client is gone.
pub async fn send_frame(writer: &Writer, channel: Channel, payload: &[u8]) -> bool {
    let mut frame = Vec::with_capacity(5 + payload.len());
    frame.extend_from_slice(&frame_header(channel, payload.len()));
    frame.extend_from_slice(payload);
    writer.send(&frame).await
}

/// The next frame's channel, its payload left in `payload`. None when the client is gone or breaks the protocol.
pub async fn next(reader: &mut Reader, payload: &mut Vec<u8>) -> Option<Channel> {
    let mut header = [0; 5];
    reader.read_exact(&mut header).await.ok()?;
    let (channel, length) = parse_header(header).ok()?;
    payload.resize(length, 0);
    reader.read_exact(payload).await.ok()?;
    Some(channel)
}

/// Writes all. False when the process closed its input or the client went away meanwhile.
pub async fn write(reader: &Reader, target: &Async, mut data: &[u8]) -> bool {
    while !data.is_empty() {
        let mut guard = match tokio::time::timeout(GONE_CHECK, target.writable()).await {
            Ok(Ok(guard)) => guard,
            Ok(Err(_)) => return false,
            Err(_) if client_is_gone(reader) => return false,
            Err(_) => continue,
        };
        match rustix::io::write(target.get_ref(), data) {
            Ok(count) => data = &data[count..],
            Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

pub fn client_is_gone(reader: &Reader) -> bool {
    let stream: &tokio::net::UnixStream = reader.get_ref().as_ref();
    let mut descriptors = [PollFd::new(stream, PollFlags::RDHUP)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut descriptors, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// A payload that is no size is ignored.
pub fn resize(terminal: Option<&Async>, payload: &[u8]) {
    if let (Some(terminal), Ok(size)) = (terminal, serde_json::from_slice::<Size>(payload)) {
        let size = Winsize {
            ws_col: size.columns,
            ws_row: size.rows,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let _ = tcsetwinsize(terminal.get_ref(), size); // a terminal that has just ended
    }
}
