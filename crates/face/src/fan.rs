//! Watch events to many watchers: the program hands an event over once for each form of it.
//!
//! Commands are carried out in the order they were given, by one task of the server's thread.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::{sync::Notify, time::Instant};

use crate::{config::Config, counts::Counts, inbox::locked, status, stream::Stream};

/// What a bookmark is around its revision.
#[derive(Debug, Clone)]
pub struct Bookmark {
    pub before: Bytes,
    pub after: Bytes,
}

impl Bookmark {
    pub fn line(&self, revision: u64) -> Bytes {
        let number = revision.to_string();
        let mut line = BytesMut::with_capacity(self.before.len() + number.len() + self.after.len());
        line.put_slice(&self.before);
        line.put_slice(number.as_bytes());
        line.put_slice(&self.after);
        line.freeze()
    }
}

#[derive(Debug)]
struct Watcher {
    stream: Arc<Stream>,
    /// Only later events are for it.
    after: u64,
    bookmark: Option<Bookmark>,
    /// When to look at it next: for a bookmark, or to end it.
    due: Instant,
    end: Instant,
}

#[derive(Debug)]
pub(crate) enum Command {
    Watch {
        topic: u64,
        stream: Arc<Stream>,
        after: u64,
        bookmark: Option<Bookmark>,
        seconds: f64,
    },
    Event {
        topic: u64,
        revision: u64,
        line: Bytes,
    },
    /// Every event up to this revision was given.
    Progress(u64),
    Forget {
        topic: u64,
        id: u64,
    },
    /// Every watcher of the topic lists again.
    Close {
        topic: u64,
    },
    /// Every watcher lists again: events were missed.
    CloseAll,
    Stop,
}

/// The door to the task.
#[derive(Debug, Default)]
pub(crate) struct Fan {
    commands: Mutex<Vec<Command>>,
    bell: Notify,
}

impl Fan {
    pub fn give(&self, command: Command) {
        let mut commands = locked(&self.commands);
        commands.push(command);
        let first = commands.len() == 1;
        drop(commands);
        if first {
            self.bell.notify_one();
        }
    }

    /// Carries out commands until told to stop; then every watch ends in good order.
    pub async fn run(&self, config: &Config, counts: &Counts) {
        let mut table = Table {
            topics: HashMap::new(),
            timers: BTreeMap::new(),
            progress: 0,
            config,
            counts,
        };
        loop {
            let next = table.timers.keys().next().map(|(due, _)| *due);
            let timer = async {
                match next {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! { () = self.bell.notified() => {}, () = timer => {} }
            let commands = std::mem::take(&mut *locked(&self.commands));
            for command in commands {
                if matches!(command, Command::Stop) {
                    table.stop();
                    return;
                }
                table.carry_out(command);
            }
            table.look(Instant::now());
        }
    }
}

struct Table<'a> {
    topics: HashMap<u64, HashMap<u64, Watcher>>,
    /// `(due, id)` to topic.
    timers: BTreeMap<(Instant, u64), u64>,
    progress: u64,
    config: &'a Config,
    counts: &'a Counts,
}

impl Table<'_> {
    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Watch {
                topic,
                stream,
                after,
                bookmark,
                seconds,
            } => {
                let now = Instant::now();
                let end = now + Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0));
                let due = match bookmark {
                    Some(_) => end.min(now + self.config.bookmark),
                    None => end,
                };
                let id = stream.id;
                let watcher = Watcher {
                    stream,
                    after,
                    bookmark,
                    due,
                    end,
                };
                self.timers.insert((due, id), topic);
                self.topics.entry(topic).or_default().insert(id, watcher);
            }
            Command::Event {
                topic,
                revision,
                line,
            } => self.tell(topic, revision, &line),
            Command::Progress(revision) => self.progress = revision,
            Command::Forget { topic, id } => self.forget(topic, id),
            Command::Close { topic } => self.close(topic),
            Command::CloseAll => {
                let all: Vec<_> = self.topics.keys().copied().collect();
                all.into_iter().for_each(|topic| self.close(topic));
            }
            Command::Stop => {}
        }
    }

    fn tell(&mut self, topic: u64, revision: u64, line: &Bytes) {
        let (pieces, bytes) = (self.config.watch_events_max, self.config.watch_bytes_max);
        let mut slow = Vec::new();
        for watcher in self
            .topics
            .get(&topic)
            .into_iter()
            .flat_map(HashMap::values)
        {
            let told =
                watcher.after >= revision || watcher.stream.offer(line.clone(), pieces, bytes);
            if !told {
                slow.push(watcher.stream.id);
                watcher.stream.end(Some(status::slow_watcher()), true);
                self.counts.slow_watchers.fetch_add(1, Ordering::Relaxed);
            }
        }
        for id in slow {
            self.forget(topic, id);
        }
    }

    fn forget(&mut self, topic: u64, id: u64) {
        let Some(watchers) = self.topics.get_mut(&topic) else {
            return;
        };
        if let Some(gone) = watchers.remove(&id) {
            self.timers.remove(&(gone.due, id));
        }
        if watchers.is_empty() {
            self.topics.remove(&topic);
        }
    }

    fn close(&mut self, topic: u64) {
        for (id, watcher) in self.topics.remove(&topic).unwrap_or_default() {
            self.timers.remove(&(watcher.due, id));
            watcher.stream.end(Some(status::slow_watcher()), true);
        }
    }

    /// Sends the bookmarks that are due, and ends what has had its time.
    fn look(&mut self, now: Instant) {
        while let Some(entry) = self.timers.first_entry() {
            let (due, id) = *entry.key();
            if due > now {
                return;
            }
            let topic = entry.remove();
            let watchers = self.topics.get_mut(&topic);
            let Some(watcher) = watchers.and_then(|all| all.get_mut(&id)) else {
                continue;
            };
            let line = watcher
                .bookmark
                .as_ref()
                .map(|b| b.line(self.progress.max(watcher.after)));
            if watcher.end <= now {
                watcher.stream.end(line, false);
                self.forget(topic, id);
                continue;
            }
            if let Some(line) = line {
                let (pieces, bytes) = (self.config.watch_events_max, self.config.watch_bytes_max);
                // One that is full has events to read before a bookmark is of use.
                watcher.stream.offer(line, pieces, bytes);
            }
            watcher.due = watcher.end.min(now + self.config.bookmark);
            self.timers.insert((watcher.due, id), topic);
        }
    }

    fn stop(&mut self) {
        for watcher in self.topics.values().flat_map(HashMap::values) {
            watcher.stream.end(None, false);
        }
        self.topics.clear();
        self.timers.clear();
    }
}
