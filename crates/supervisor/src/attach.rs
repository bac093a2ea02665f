//! Clients at the streams of a container's first process: output from now on, input where the container has one.
use std::rc::Rc;

use serde_json::json;
use tokio::sync::mpsc;

use crate::container::{self, Container};
use crate::failure::{Failure, Result};
use crate::frames::{self, send_frame};
use crate::logs::Stream;
use crate::protocol::{Attach, Channel, answer};
use crate::server::{Reader, Writer};
use crate::supervisor::Supervisor;
use crate::taps::Piece;

/// Answers, then carries frames until the container ends or the client goes away, which does not end the container.
pub async fn serve(
    supervisor: &Rc<Supervisor>,
    id: u64,
    spec: Attach,
    mut reader: Reader,
    writer: Writer,
) {
    let container = match running(supervisor, &spec.container) {
        Ok(container) => container,
        Err(failure) => {
            writer.send(answer(id, &Err(failure)).as_bytes()).await;
            return;
        }
    };
    let pieces = container.taps.open();
    let reply = answer(id, &Ok(json!({"tty": container.is_terminal()})));
    if writer.send(reply.as_bytes()).await {
        tokio::select! {
            () = send(&container, pieces, &writer) => {}
            () = receive(&container, &mut reader, spec.stdin) => {}
        }
    }
    if spec.stdin {
        container.left();
    }
    writer.close().await;
}

fn running(supervisor: &Supervisor, id: &str) -> Result<Rc<Container>> {
    let container = container::find(supervisor, id)?;
    if container.is_running() {
        return Ok(container);
    }
    Err(Failure::invalid(format!("container {id} does not run")))
}

/// Output as it comes and then the container's end; a client that was too slow gets no end.
async fn send(container: &Container, mut pieces: mpsc::Receiver<Piece>, writer: &Writer) {
    while let Some((stream, data)) = pieces.recv().await {
        let channel = match stream {
            Stream::Stdout => Channel::Stdout,
            Stream::Stderr => Channel::Stderr,
        };
        if !send_frame(writer, channel, &data).await {
            return;
        }
    }
    if container.taps.is_closed() {
        container.wait().await;
        let payload = json!({"exit_code": container.exit_code()}).to_string();
        send_frame(writer, Channel::Exit, payload.as_bytes()).await;
    }
}

/// Takes frames until the client is gone or breaks the protocol.
async fn receive(container: &Container, reader: &mut Reader, stdin: bool) {
    let mut payload = Vec::new();
    while let Some(channel) = frames::next(reader, &mut payload).await {
        match channel {
            // The end of a client's input is the end of the container's only where it is to have one client.
            Channel::Stdin if payload.is_empty() && stdin => container.input_ended(),
            Channel::Stdin if stdin => {
                if let Some(input) = container.input()
                    && !frames::write(reader, &input, &payload).await
                {
                    if frames::client_is_gone(reader) {
                        return;
                    }
                    container.close_input(); // the process does not read any more
                }
            }
            Channel::Stdin => {}
            Channel::Resize => frames::resize(container.terminal().as_deref(), &payload),
            _ => return,
        }
    }
}
