//! The state of a connection behind its one lock, without any I/O.
//!
//! Frames go in through [`State::frame`] and come out in [`State::out`]; handles of streams work
//! on the same state. `recv` and `control` take frames, `open` the messages that open streams,
//! `send` and `window` what the application sends and gives back, `close` every end.

mod close;
mod control;
mod floods;
mod handles;
mod open;
mod recv;
mod send;
mod stream;
mod window;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use http::Request;

pub use floods::Allowances;
pub(crate) use handles::Handle;
pub(crate) use recv::Payload;
use stream::Key;
pub(crate) use stream::remember;

use crate::config::Config;
use crate::error::Error;
use crate::frame::{self, FIRST_WINDOW};
use crate::hpack::{Decoder, Encoder};
use crate::out::Out;
use crate::settings::{Peer, id};
use close::Closed;
use floods::Floods;
use recv::Partial;
use stream::Streams;

/// A connection's state as its handles share it.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<State>);

impl Shared {
    pub(crate) fn new(state: State) -> Arc<Self> {
        Arc::new(Self(Mutex::new(state)))
    }

    /// The state. A panic elsewhere leaves it usable: each step keeps its invariants.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which end this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}

/// How far the connection is.
#[derive(Debug)]
pub(crate) enum Phase {
    Open,
    /// No new streams; those that are open may end.
    Draining,
    /// All streams are ended; what is in the write buffer goes out, then this is reported.
    Failed(Error),
    /// As `Failed`, without an error.
    Finished,
}

/// Everything about a connection but its transport.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) role: Role,
    pub(crate) config: Config,
    pub(crate) peer: Peer,
    pub(crate) phase: Phase,
    pub(crate) out: Out,
    pub(crate) accepts: VecDeque<(Key, Request<()>)>,
    /// Open streams that count against the limits.
    pub(crate) active: u32,
    /// Handles that can still open streams (client).
    pub(crate) openers: u32,
    /// The connection's task.
    pub(crate) task: Option<Waker>,
    pub(crate) notified: bool,
    /// Whether the payload of our keepalive ping came back.
    pub(crate) pong: bool,
    decoder: Decoder,
    encoder: Encoder,
    streams: Streams,
    floods: Floods,
    partial: Option<Partial>,
    closed: Closed,
    send_window: i64,
    recv_window: i64,
    /// Octets given back and not announced to the peer yet.
    released: u32,
    /// Octets that wait in streams.
    buffered: usize,
    /// Streams with something to send and room in their windows.
    round: VecDeque<Key>,
    /// Streams whose application waits for capacity.
    queue: VecDeque<Key>,
    /// Tasks that wait for a free stream, by their tickets, which ascend (client).
    waiting: VecDeque<(u64, Option<Waker>)>,
    /// The last ticket.
    tickets: u64,
    /// The largest identifier that the peer opened.
    last_peer: u32,
    /// Above this, the peer's streams are not processed any more.
    accept_until: u32,
    /// The next identifier that we open.
    next_id: u32,
    go_away: close::GoAway,
}

impl State {
    /// A connection that has queued what it says first.
    pub(crate) fn new(role: Role, config: Config) -> Self {
        let mut state = Self {
            role,
            peer: Peer::new(config.first_max_streams),
            phase: Phase::Open,
            out: Out::default(),
            accepts: VecDeque::new(),
            active: 0,
            openers: 0,
            task: None,
            notified: false,
            pong: false,
            decoder: Decoder::new(config.header_table as usize),
            encoder: Encoder::new(),
            streams: Streams::default(),
            floods: Floods::new(allowances(&config)),
            partial: None,
            closed: Closed::default(),
            send_window: i64::from(FIRST_WINDOW),
            recv_window: i64::from(config.connection_window),
            released: 0,
            buffered: 0,
            round: VecDeque::new(),
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            tickets: 0,
            last_peer: 0,
            accept_until: frame::MAX_WINDOW,
            next_id: 1,
            go_away: close::GoAway::default(),
            config,
        };
        state.greet();
        state
    }

    fn greet(&mut self) {
        let config = &self.config;
        let mut parameters = Vec::with_capacity(8);
        if self.role == Role::Client {
            self.out.frames.extend_from_slice(frame::PREFACE);
            parameters.push((id::ENABLE_PUSH, 0));
        } else {
            if let Some(most) = config.max_streams {
                parameters.push((id::MAX_CONCURRENT_STREAMS, most));
            }
            if config.connect_protocol {
                parameters.push((id::ENABLE_CONNECT_PROTOCOL, 1));
            }
        }
        if config.header_table != 4096 {
            parameters.push((id::HEADER_TABLE_SIZE, config.header_table));
        }
        if config.window != FIRST_WINDOW {
            parameters.push((id::INITIAL_WINDOW_SIZE, config.window));
        }
        if config.max_frame != frame::MIN_MAX_FRAME {
            parameters.push((id::MAX_FRAME_SIZE, config.max_frame));
        }
        parameters.push((id::MAX_HEADER_LIST_SIZE, config.max_header_list));
        frame::settings(&mut self.out.frames, &parameters);
        let more = config.connection_window - FIRST_WINDOW;
        if more > 0 {
            frame::window_update(&mut self.out.frames, 0, more);
        }
    }

    /// Wake the connection's task, once until it runs.
    #[inline]
    pub(crate) fn notify(&mut self) {
        if !self.notified {
            self.notified = true;
            if let Some(task) = &self.task {
                task.wake_by_ref();
            }
        }
    }

    /// Whether more bodies can move into the write buffer.
    pub(crate) fn pumpable(&self) -> bool {
        self.send_window > 0 && !self.round.is_empty()
    }

    /// Whether the connection ends for a reason that the peer gave.
    pub(crate) fn has_reason(&self) -> bool {
        matches!(&self.phase, Phase::Failed(error) if error.is_go_away())
    }

    /// Streams that exist, with those that are closed and still referred to.
    pub(crate) fn existing(&self) -> usize {
        self.streams.len()
    }

    /// Give back what a burst needed; all of it where no stream is open.
    pub(crate) fn shrink(&mut self) {
        let idle = self.active == 0;
        self.out.shrink(idle);
        if idle {
            self.decoder.rest();
            for queue in [&mut self.round, &mut self.queue] {
                if queue.is_empty() {
                    *queue = VecDeque::new();
                }
            }
        }
        if self.accepts.is_empty() && (idle || self.accepts.capacity() > 64) {
            self.accepts = VecDeque::new();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }
}

#[cfg(test)]
#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<State>() <= 1024, "{}", size_of::<State>());
}

#[cfg(test)]
impl State {
    /// All that a peer can bring about, as text.
    pub(crate) fn describe(&mut self) -> String {
        let requests = format!("{:?}", self.accepts);
        let mut text = format!("{:?} {requests} {:?}", self.phase, self.out);
        for key in self.streams.keys() {
            let Some(stream) = self.streams.get(key) else {
                continue;
            };
            let mut data = Vec::new();
            while let Some(event) = stream.events.pop() {
                match event {
                    stream::Event::Data(part) => data.extend_from_slice(&part),
                    other => text.push_str(&format!("{other:?}")),
                }
            }
            text.push_str(&format!("{stream:?} {data:?}\n"));
        }
        text
    }
}

/// All open streams may be cancelled at once without being called an attack.
fn allowances(config: &Config) -> Allowances {
    let mut allowed = config.allowances;
    let streams = config.max_streams.unwrap_or(0);
    allowed.resets = allowed.resets.max(streams);
    allowed.empty = allowed.empty.max(streams);
    allowed
}
