//! The frames of one running command, both ways.
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::sync::watch;

use super::Started;
use crate::descriptors::{Async, Chunk, read_now};
use crate::frames::{self, send_frame};
use crate::protocol::Channel;
use crate::reaper::{Exit, Reaper};
use crate::server::{Reader, Writer};

const READ: usize = 32 * 1024;
/// A terminal is read to its end; if somebody else in the container keeps it open, for this long.
const TERMINAL_DRAIN: Duration = Duration::from_millis(500);

type Ended = watch::Receiver<Option<Exit>>;

/// Carries frames until the command has ended and its output is sent, or the client is gone (which ends the command).
pub async fn run(
    reaper: &Reaper,
    started: Started,
    reader: Reader,
    writer: Writer,
    listening: bool,
) {
    let Started {
        pid,
        ending,
        input,
        outputs,
        terminal,
    } = started;
    if !listening {
        reaper.kill_group(pid, Signal::KILL);
        return;
    }
    let (tell, ended) = watch::channel(None);
    let told = async move {
        let exit = ending.await.unwrap_or(Exit::Signal(Signal::KILL.as_raw()));
        tell.send_replace(Some(exit));
        std::future::pending::<()>().await;
    };
    let output = async {
        let sent = send_all(&outputs, &writer, &ended, terminal.is_some()).await;
        let mut ended = ended.clone();
        let exit = match ended.wait_for(Option::is_some).await {
            Ok(exit) => exit.map_or(-1, Exit::code),
            Err(_) => -1,
        };
        if sent {
            let payload = json!({"exit_code": exit}).to_string();
            send_frame(&writer, Channel::Exit, payload.as_bytes()).await;
        }
    };
    tokio::select! {
        () = output => {}
        () = told => {}
        () = receive(reader, input, terminal.clone()) => {}
    }
    reaper.kill_group(pid, Signal::KILL);
    writer.close().await;
}

/// Sends both outputs to their ends. False when the client takes no more.
async fn send_all(
    outputs: &[(Channel, Rc<Async>)],
    writer: &Writer,
    ended: &Ended,
    terminal: bool,
) -> bool {
    match outputs {
        [(one, first), (two, second)] => {
            let (one, two) = tokio::join!(
                send_output(*one, first, writer, ended.clone(), terminal),
                send_output(*two, second, writer, ended.clone(), terminal),
            );
            one && two
        }
        [(one, first)] => send_output(*one, first, writer, ended.clone(), terminal).await,
        _ => true,
    }
}

async fn send_output(
    channel: Channel,
    source: &Async,
    writer: &Writer,
    mut ended: Ended,
    terminal: bool,
) -> bool {
    let mut buffer = vec![0; READ];
    loop {
        let mut guard = tokio::select! {
            biased;
            guard = source.readable() => match guard {
                Ok(guard) => guard,
                Err(_) => return true,
            },
            _ = ended.wait_for(Option::is_some) => break,
        };
        match read_now(source, &mut buffer) {
            Chunk::Empty => guard.clear_ready(),
            Chunk::End => return true,
            Chunk::Data(count) => {
                drop(guard);
                if !send_frame(writer, channel, &buffer[..count]).await {
                    return false;
                }
            }
        }
    }
    drain(channel, source, writer, &mut buffer, terminal).await
}

/// After the command's end: a pipe has all that it wrote; a terminal passes it on in its own time and then ends.
async fn drain(
    channel: Channel,
    source: &Async,
    writer: &Writer,
    buffer: &mut [u8],
    terminal: bool,
) -> bool {
    let deadline = tokio::time::Instant::now() + TERMINAL_DRAIN;
    loop {
        match read_now(source, buffer) {
            Chunk::End => return true,
            Chunk::Data(count) => {
                if !send_frame(writer, channel, &buffer[..count]).await {
                    return false;
                }
            }
            Chunk::Empty if !terminal => return true,
            Chunk::Empty => {
                let Ok(ready) = tokio::time::timeout_at(deadline, source.readable()).await else {
                    return true;
                };
                let Ok(mut guard) = ready else { return true };
                guard.clear_ready();
                if let Chunk::Data(count) = read_now(source, buffer)
                    && !send_frame(writer, channel, &buffer[..count]).await
                {
                    return false;
                }
            }
        }
    }
}

/// Takes frames until the client is gone or breaks the protocol.
async fn receive(mut reader: Reader, mut input: Option<Rc<Async>>, terminal: Option<Rc<Async>>) {
    let mut payload = Vec::new();
    loop {
        let Some(channel) = frames::next(&mut reader, &mut payload).await else {
            return;
        };
        match channel {
            Channel::Stdin if payload.is_empty() => {
                if let (Some(target), true) = (&input, terminal.is_some()) {
                    // A terminal ends its input by the end-of-file character.
                    frames::write(&reader, target, &[4]).await;
                }
                input = None;
            }
            Channel::Stdin => {
                if let Some(target) = &input
                    && !frames::write(&reader, target, &payload).await
                {
                    if frames::client_is_gone(&reader) {
                        return;
                    }
                    input = None; // the command does not read any more
                }
            }
            Channel::Resize => frames::resize(terminal.as_deref(), &payload),
            _ => return,
        }
    }
}
