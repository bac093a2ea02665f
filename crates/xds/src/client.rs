//! The client: streams one after the other, for as long as the proxy lives.
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::{task::JoinHandle, time::sleep};

use crate::{
    backoff::Backoff,
    engine::{Engine, Sink, Status},
    options::Control,
    session::Session,
};

/// Takes configuration from a control plane.
#[derive(Debug)]
pub struct Client {
    options: Control,
    engine: Engine,
    status: Handle,
}

/// Sees the state of a client; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Handle(Arc<Mutex<Status>>);

impl Handle {
    /// The state after the last event.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// A client that runs as a task; it ends when this is dropped.
#[derive(Debug)]
pub struct Running {
    pub handle: Handle,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    /// A client that is not connected yet.
    #[must_use]
    pub fn new(options: Control) -> Self {
        let engine = Engine::new(&options.settings());
        let status = Handle::default();
        status.set(|now| now.server = options.server.to_string());
        Self {
            options,
            engine,
            status,
        }
    }

    /// What shows the client's state.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.status.clone()
    }

    /// Runs a client as a task of the current runtime. `sink` gets every update, in order and never
    /// two at once; it must not wait.
    pub fn spawn(options: Control, sink: impl Sink + Send + 'static) -> Running {
        let client = Self::new(options);
        let handle = client.handle();
        let task = tokio::spawn(client.run(sink));
        Running { handle, task }
    }

    /// Keeps a stream open for ever; what came by an earlier one stays in force meanwhile.
    pub async fn run(mut self, mut sink: impl Sink + Send) {
        let mut backoff = Backoff::new(self.options.backoff, self.options.max_backoff);
        loop {
            let why = match Session::open(&self.options).await {
                Ok(session) => {
                    self.status.set(|now| now.streams += 1);
                    let status = &self.status;
                    let backoff = &mut backoff;
                    let mut progress = |engine: &Engine, answered: bool| {
                        if answered {
                            backoff.reset();
                        }
                        publish(status, engine);
                    };
                    let Err(why) = session
                        .run(&self.options, &mut self.engine, &mut sink, &mut progress)
                        .await;
                    why
                }
                Err(why) => why,
            };
            self.engine.disconnected();
            publish(&self.status, &self.engine);
            self.status
                .set(|now| now.last_error = Some(why.to_string()));
            self.pause(&mut sink, backoff.next()).await;
        }
    }

    /// Waits; what is due by time happens without a stream, too.
    async fn pause(&mut self, sink: &mut (impl Sink + Send), pause: std::time::Duration) {
        let end = Instant::now() + pause;
        loop {
            let now = Instant::now();
            let due = self.engine.deadline(now).filter(|due| *due < end);
            sleep(due.unwrap_or(end).saturating_duration_since(now)).await;
            if due.is_none() {
                return;
            }
            self.engine.tick(Instant::now(), sink);
            publish(&self.status, &self.engine);
        }
    }
}

fn publish(handle: &Handle, engine: &Engine) {
    let next = engine.status();
    handle.set(|now| {
        *now = Status {
            server: std::mem::take(&mut now.server),
            streams: now.streams,
            last_error: now.last_error.take(),
            ..next
        };
    });
}
