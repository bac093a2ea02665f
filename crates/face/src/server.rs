//! The server as the embedding program sees it. Every method may be called from any thread.
use std::{
    collections::HashMap,
    io,
    net::TcpListener,
    os::{fd::AsRawFd, fd::RawFd, unix::net::UnixStream},
    sync::{Arc, Mutex, atomic::AtomicU64},
    thread::JoinHandle,
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use crate::{
    answer::{Answer, Head},
    bodies::Bodies,
    config::Config,
    counts::Counts,
    exchange::Shared,
    fan::{Bookmark, Event, Fan, Watch},
    inbox::{Inbox, Notice, locked},
    initial::Initial,
    kinds::{Kind, Kinds},
    outbox::Outbox,
    reads::Allowed,
    serve::{Peers, Phase, accept},
    state::State,
    stream::Stream,
    tls::{Material, TlsError},
    waiting::{Room, Waiting},
};

const DOORS_WAITING_MAX: usize = 8;

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the server cannot start: {0}")]
    Io(#[from] io::Error),
}

/// What a watcher is to get.
#[derive(Debug)]
pub struct WatchWish {
    pub topic: u64,
    /// Events after this revision; not used with `initial`.
    pub after: u64,
    /// Prefix and version of objects to be sent first, as they are now.
    pub initial: Option<(String, String)>,
    /// Sent after them.
    pub initial_end: Option<Bookmark>,
    /// Sent from time to time, and at the end.
    pub bookmark: Option<Bookmark>,
    /// The last line for a watcher that did not read, or must list again for another reason.
    pub overrun: Bytes,
    pub seconds: f64,
}

/// What writes changed, and what is to be seen of them.
#[derive(Debug, Default)]
pub struct Change {
    /// Keys, newest texts (`None`: removed) and revisions.
    objects: Vec<(String, Option<Bytes>, u64)>,
    events: Vec<Event>,
    /// Kept permissions are forgotten.
    invalidate: bool,
    /// There are no events up to this one but the ones given.
    revision: u64,
}

impl Change {
    #[must_use]
    pub fn new(revision: u64, invalidate: bool) -> Self {
        Self {
            revision,
            invalidate,
            ..Self::default()
        }
    }

    /// In revision order.
    pub fn object(&mut self, key: String, value: Option<Bytes>, revision: u64) {
        self.objects.push((key, value, revision));
    }

    /// A line for every watcher of `topic`.
    pub fn event(&mut self, topic: u64, revision: u64, line: &[u8]) {
        self.events.push(Event::new(topic, revision, line));
    }
}

#[derive(Debug, Default)]
struct Held {
    change: Option<Change>,
    /// Before it was there.
    released: bool,
}

/// A running server. It stops when it is told to, or dropped.
pub struct Server {
    shared: Arc<Shared>,
    streams: Mutex<HashMap<u64, Arc<Stream>>>,
    held: Mutex<Held>,
    phase: watch::Sender<Phase>,
    end: watch::Sender<Option<Duration>>,
    doors: mpsc::Sender<TcpListener>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Server {
    /// Serves on `listener` with PEM texts: chain, key, and the authority of client certificates.
    pub fn start(
        listener: TcpListener,
        (chain, key, authority): (&[u8], &[u8], &[u8]),
        config: Config,
    ) -> Result<Self, StartError> {
        let material = Material::new(chain, key, authority)?;
        let (inbox, counts) = (Arc::new(Inbox::new()?), Arc::default());
        let shared = Arc::new(Shared {
            material: ArcSwap::from_pointee(material),
            kinds: ArcSwap::from_pointee(Kinds::default()),
            fan: Fan::start(&config, &counts, &inbox)?,
            inbox,
            room: Room::default(),
            outbox: Outbox::default(),
            peers: Peers::default(),
            state: State::new(config.state_bytes_max),
            allowed: Allowed::new(config.allow),
            counts,
            bodies: Bodies::new(&config),
            ids: AtomicU64::new(0),
            config,
        });
        listener.set_nonblocking(true)?;
        let (phase, watching) = watch::channel(Phase::Serving);
        let (end, ending) = watch::channel(None);
        let (doors, opened) = mpsc::channel(DOORS_WAITING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()?;
        let inside = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("face".into())
            .spawn(move || {
                runtime.block_on(run(inside, listener, opened, watching, ending));
                runtime.shutdown_background();
            })?;
        Ok(Self {
            shared,
            streams: Mutex::default(),
            held: Mutex::default(),
            phase,
            end,
            doors,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Serves on a further listener too, until the server stops.
    pub fn listen(&self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.doors
            .try_send(listener)
            .map_err(|_| io::Error::other("the server is stopping"))
    }

    /// The eventfd that is readable when something waits to be taken.
    #[must_use]
    pub fn bell(&self) -> RawFd {
        self.shared.inbox.bell().as_raw_fd()
    }

    /// What came since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Notice> {
        let notices = self.shared.inbox.take();
        for notice in &notices {
            if let Notice::Gone(id) = notice {
                locked(&self.streams).remove(id);
            }
        }
        notices
    }

    /// Answers a request. `allow`: the caller may make every read like this one, until
    /// `invalidate` or for the configured time. False: the client is gone.
    pub fn answer(&self, id: u64, head: Head, body: Bytes, allow: bool) -> bool {
        let Some(Waiting { sender, ticket }) = self.shared.room.remove(id) else {
            return false;
        };
        if let (true, Some(ticket)) = (allow, ticket) {
            self.shared.allowed.keep(*ticket, &head);
        }
        self.shared.outbox.send(sender, Answer::Whole(head, body))
    }

    /// Begins a streamed answer. False: the client is gone.
    pub fn open(&self, id: u64, head: Head) -> bool {
        let Some(waiting) = self.shared.room.remove(id) else {
            return false;
        };
        let stream = Stream::new(id, Arc::clone(&self.shared.inbox));
        locked(&self.streams).insert(id, Arc::clone(&stream));
        self.shared
            .outbox
            .send(waiting.sender, Answer::Stream(head, stream))
    }

    /// Sends a piece of a stream. `Some(false)`: wait for room first; `None`: the client is gone.
    pub fn write(&self, id: u64, data: Bytes) -> Option<bool> {
        let stream = locked(&self.streams).get(&id).cloned();
        stream.and_then(|s| s.write(data))
    }

    /// Ends a stream in good order.
    pub fn end(&self, id: u64) {
        if let Some(stream) = locked(&self.streams).remove(&id) {
            stream.end(None, false);
        }
    }

    /// Breaks a stream off.
    pub fn abort(&self, id: u64) {
        if let Some(stream) = locked(&self.streams).remove(&id) {
            stream.abort();
        }
    }

    /// Answers 101 and gives the connection away as a socket; `None`: the client is gone.
    pub fn upgrade(&self, id: u64, head: Head) -> io::Result<Option<UnixStream>> {
        let Some(waiting) = self.shared.room.remove(id) else {
            return Ok(None);
        };
        let (ours, theirs) = UnixStream::pair()?;
        theirs.set_nonblocking(true)?;
        let answer = Answer::Upgrade(head, ours);
        let sent = self.shared.outbox.send(waiting.sender, answer);
        Ok(sent.then_some(theirs))
    }

    /// Uses other certificates for new connections.
    pub fn reload(&self, chain: &[u8], key: &[u8], authority: &[u8]) -> Result<(), TlsError> {
        let material = Material::new(chain, key, authority)?;
        self.shared.material.store(Arc::new(material));
        Ok(())
    }

    /// What is served from now on; every kept permission is forgotten.
    pub fn kinds(&self, all: Vec<Kind>) {
        self.shared.kinds.store(Arc::new(Kinds::new(all)));
        self.invalidate();
    }

    /// Forgets every kept permission: rights, credentials or kinds changed.
    pub fn invalidate(&self) {
        self.shared.allowed.invalidate();
    }

    /// Puts an object's newest text into the state, or removes it. In revision order, before the
    /// write is acknowledged; revision 0 while the state is filled at first.
    pub fn put(&self, key: &str, value: Option<Bytes>, revision: u64) {
        self.shared.state.put(key, value, revision);
    }

    /// The state is filled, as of `revision`.
    pub fn ready(&self, revision: u64) {
        self.shared.state.ready(revision);
    }

    /// Objects and bytes in the state.
    #[must_use]
    pub fn state_size(&self) -> (usize, usize) {
        self.shared.state.size()
    }

    /// Adds the open stream `id` to a topic. False: the client is gone, or the state cannot tell
    /// what is there initially.
    pub fn watch(&self, id: u64, wish: WatchWish) -> bool {
        let Some(stream) = locked(&self.streams).get(&id).cloned() else {
            return false;
        };
        let mut after = wish.after;
        if let Some((prefix, api_version)) = wish.initial {
            let Some(snapshot) = self.shared.state.snapshot() else {
                return false;
            };
            after = snapshot.revision;
            stream.begin(Initial::new(
                snapshot,
                &prefix,
                &api_version,
                wish.initial_end,
            ));
        }
        locked(&self.streams).remove(&id);
        let fan = &self.shared.fan;
        fan.watch(
            stream,
            Watch {
                topic: wish.topic,
                after,
                bookmark: wish.bookmark,
                overrun: wish.overrun,
                seconds: wish.seconds,
            },
        );
        true
    }

    /// What a group of writes changes, to be published by `release`: each is called once for a
    /// group, in either order.
    pub fn hold(&self, change: Change) {
        let mut held = locked(&self.held);
        if std::mem::take(&mut held.released) {
            self.publish(change);
        } else {
            held.change = Some(change);
        }
    }

    /// The group is durable: its changes are read, and its events are sent, from now on.
    pub fn release(&self) {
        let mut held = locked(&self.held);
        match held.change.take() {
            Some(change) => self.publish(change),
            None => held.released = true,
        }
    }

    /// The group was not written.
    pub fn discard(&self) {
        *locked(&self.held) = Held::default();
    }

    /// Puts what changed into the state, and sends what is to be seen of it.
    pub fn publish(&self, change: Change) {
        if change.invalidate {
            self.invalidate();
        }
        for (key, value, revision) in change.objects {
            self.shared.state.put(&key, value, revision);
        }
        self.shared.fan.events(&change.events, change.revision);
    }

    /// Every event up to `revision` was given.
    pub fn progress(&self, revision: u64) {
        self.shared.fan.events(&[], revision);
    }

    /// The watcher `id` is gone.
    pub fn forget(&self, id: u64) {
        self.shared.fan.forget(id);
    }

    /// The watchers of `topic` are told to list again.
    pub fn close_topic(&self, topic: u64) {
        self.shared.fan.close(topic);
    }

    /// Events were missed: every watcher lists again, and the state is read no more.
    pub fn reset(&self) {
        self.shared.state.reset();
        self.shared.fan.close_all();
    }

    /// The counters.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Takes no more connections or requests on old ones; watches end.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
        self.shared.fan.stop();
    }

    /// Drains, waits at most `grace` for running requests, and closes everything. Blocks.
    pub fn stop(&self, grace: Duration) {
        self.drain();
        self.end.send_replace(Some(grace));
        if let Some(thread) = locked(&self.thread).take() {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
        self.shared.fan.quit();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

async fn run(
    shared: Arc<Shared>,
    listener: TcpListener,
    mut opened: mpsc::Receiver<TcpListener>,
    phase: watch::Receiver<Phase>,
    mut end: watch::Receiver<Option<Duration>>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let further = async {
        while let Some(listener) = opened.recv().await {
            if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                tokio::spawn(accept(Arc::clone(&shared), listener, phase.clone()));
            }
        }
        std::future::pending::<()>().await;
    };
    let accepting = accept(Arc::clone(&shared), listener, phase.clone());
    let work = async {
        accepting.await;
        // Draining: connections close once they are idle.
        while shared
            .counts
            .connections
            .load(std::sync::atomic::Ordering::Relaxed)
            > 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let deadline = async {
        let grace = match end.wait_for(Option::is_some).await {
            Ok(grace) => grace.unwrap_or_default(),
            Err(_) => Duration::ZERO,
        };
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = work => {}
        () = deadline => {}
        () = shared.outbox.run() => {}
        () = shared.fan.relay.run() => {}
        () = further => {}
    }
}
