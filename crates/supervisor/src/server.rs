//! The socket: connections, requests, subscriptions.
use std::cell::Cell;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, Notify, Semaphore};

use crate::failure::Failure;
use crate::protocol::{MAX_REQUEST, Op, answer, parse};
use crate::supervisor::Supervisor;
use crate::{attach, exec, journal};

/// More connections than this wait in the listener's backlog.
const CONNECTIONS: usize = 256;
/// More requests of one connection than this wait on the connection.
const REQUESTS: usize = 32;

pub type Reader = BufReader<OwnedReadHalf>;

/// The sending half, shared by the answers of one connection.
#[derive(Clone)]
pub struct Writer(Rc<Mutex<OwnedWriteHalf>>);

// === impl Writer ===

impl Writer {
    /// Sends all of `data`; false when the client is gone.
    pub async fn send(&self, data: &[u8]) -> bool {
        self.0.lock().await.write_all(data).await.is_ok()
    }

    pub async fn close(&self) {
        let _ = self.0.lock().await.shutdown().await; // the client may be gone
    }
}

/// Accepts until `shutdown` was asked for and is done.
pub async fn serve(supervisor: Rc<Supervisor>, listener: UnixListener, done: Rc<Notify>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors: one is free again when a connection or a process ends.
                    journal::warning!("cannot accept", "error": error.to_string());
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = done.notified() => return,
        };
        if !is_allowed(&stream) {
            continue;
        }
        let (supervisor, done) = (Rc::clone(&supervisor), Rc::clone(&done));
        tokio::task::spawn_local(async move {
            connection(supervisor, stream, done).await;
            drop(slot);
        });
    }
}

/// The socket is 0600; this holds also when somebody changed that.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = geteuid();
    match socket_peercred(stream.as_fd()) {
        Ok(peer) if peer.uid == own || peer.uid.is_root() => true,
        Ok(peer) => {
            journal::warning!("refused a connection", "uid": peer.uid.as_raw());
            false
        }
        Err(error) => {
            journal::warning!("refused a connection", "error": error.to_string());
            false
        }
    }
}

async fn connection(supervisor: Rc<Supervisor>, stream: UnixStream, done: Rc<Notify>) {
    let (read, write) = stream.into_split();
    let mut reader = BufReader::with_capacity(4096, read);
    let writer = Writer(Rc::new(Mutex::new(write)));
    let slots = Arc::new(Semaphore::new(REQUESTS));
    let busy = Rc::new(Cell::new(0_usize));
    let mut subscription: Option<tokio::task::AbortHandle> = None;
    while let Some(line) = next_line(&mut reader, &writer).await {
        let (id, op) = parse(&line);
        match op {
            Err(failure) => {
                writer.send(answer(id, &Err(failure)).as_bytes()).await;
            }
            Ok(Op::Exec(spec)) => {
                if busy.get() > 0 || subscription.is_some() {
                    let failure = Failure::invalid("exec needs a connection of its own");
                    writer.send(answer(id, &Err(failure)).as_bytes()).await;
                    continue;
                }
                return exec::serve(supervisor, id, spec, reader, writer).await;
            }
            Ok(Op::Attach(spec)) => {
                if busy.get() > 0 || subscription.is_some() {
                    let failure = Failure::invalid("attach needs a connection of its own");
                    writer.send(answer(id, &Err(failure)).as_bytes()).await;
                    continue;
                }
                return attach::serve(&supervisor, id, spec, reader, writer).await;
            }
            Ok(Op::Subscribe) => {
                let task =
                    tokio::task::spawn_local(subscribe(Rc::clone(&supervisor), id, writer.clone()));
                if let Some(earlier) = subscription.replace(task.abort_handle()) {
                    earlier.abort();
                }
            }
            Ok(op) => {
                let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                    break;
                };
                busy.set(busy.get() + 1);
                let (supervisor, writer) = (Rc::clone(&supervisor), writer.clone());
                let (busy, done) = (Rc::clone(&busy), Rc::clone(&done));
                // Not bound to the connection: what was asked is done whole, also when the client goes away.
                tokio::task::spawn_local(async move {
                    respond(&supervisor, id, op, &writer, &done).await;
                    busy.set(busy.get() - 1);
                    drop(slot);
                });
            }
        }
    }
    if let Some(task) = subscription {
        task.abort();
    }
}

async fn respond(supervisor: &Rc<Supervisor>, id: u64, op: Op, writer: &Writer, done: &Notify) {
    if let Op::Shutdown { grace_ms } = op {
        supervisor.end_all(grace_ms).await;
        writer.send(answer(id, &Ok(json!({}))).as_bytes()).await;
        done.notify_one();
        return;
    }
    let outcome = supervisor.answer(op).await;
    writer.send(answer(id, &outcome).as_bytes()).await;
}

/// The next request line, without its newline; none at the end, or after one that is too long.
async fn next_line(reader: &mut Reader, writer: &Writer) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let limit = MAX_REQUEST as u64 + 1;
    let mut limited = reader.take(limit);
    if limited.read_until(b'\n', &mut line).await.is_err() {
        return None;
    }
    if line.pop() == Some(b'\n') {
        return Some(line);
    }
    if line.len() >= MAX_REQUEST {
        let failure = Failure::invalid(format!("a request is longer than {MAX_REQUEST} bytes"));
        writer.send(answer(0, &Err(failure)).as_bytes()).await;
    }
    None
}

async fn subscribe(supervisor: Rc<Supervisor>, id: u64, writer: Writer) {
    let mut events = supervisor.events.subscribe();
    if !writer.send(answer(id, &Ok(json!({}))).as_bytes()).await {
        return;
    }
    loop {
        let line = match events.recv().await {
            Ok(line) => line,
            Err(RecvError::Lagged(_)) => "{\"event\":\"lost\",\"id\":\"\"}\n".into(),
            Err(RecvError::Closed) => return,
        };
        if !writer.send(line.as_bytes()).await {
            return;
        }
    }
}
