//! The watchers of one lane: who gets what, when, and until when.
use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::{
    Command, Watch,
    bookmark::Bookmark,
    framed::{Batch, Event, Framed},
    lane::Lane,
    link::{Handed, Link, Sent},
    relay::Woken,
};
use crate::{config::Config, counts::Counts, inbox::Notice, stream::Stream};

/// What a watcher gets that ended may still take, when it does not read.
const LINGER: Duration = Duration::from_secs(60);

/// How a watcher is reached.
#[derive(Debug)]
enum Way {
    /// Through the HTTP server.
    Stream(Arc<Stream>),
    Link(Box<Link>),
}

#[derive(Debug)]
struct Watcher {
    way: Way,
    /// Only later events are for it.
    after: u64,
    bookmark: Option<Bookmark>,
    overrun: Bytes,
    /// When to look at it next: for a bookmark, or to end it.
    due: Instant,
    end: Instant,
}

impl Watcher {
    fn offer(&mut self, framed: &Framed, config: &Config, woken: &mut Woken) -> io::Result<Sent> {
        let (pieces, bytes) = (config.watch_events_max, config.watch_bytes_max);
        match &mut self.way {
            Way::Link(link) => link.send(&framed.chunk, pieces, bytes),
            Way::Stream(stream) => match stream.offer(framed.line.clone(), pieces, bytes) {
                Some(waker) => {
                    woken.extend(waker);
                    Ok(Sent::Waits)
                }
                None => Ok(Sent::Full),
            },
        }
    }
}

/// How a watch ends.
enum Last {
    Nothing,
    /// After what waits.
    Line(Bytes),
    /// Instead of what waits: it lists again.
    Overrun,
}

/// Everything of one lane.
pub(super) struct Table<'a> {
    topics: HashMap<u64, HashMap<u64, Watcher>>,
    topic_of: HashMap<u64, u64>,
    /// Watches that ended and still have something to send.
    leaving: HashMap<u64, (Link, Instant)>,
    /// When to look at which watcher.
    timers: BTreeSet<(Instant, u64)>,
    progress: u64,
    stopped: bool,
    config: &'a Config,
    counts: &'a Counts,
    lane: &'a Lane,
}

/// Whoever is still here when the lane ends, in order or not, must not wait for ever.
impl Drop for Table<'_> {
    fn drop(&mut self) {
        for (topic, watchers) in self.topics.drain() {
            for (id, watcher) in watchers {
                self.lane.left(topic);
                self.lane.tell(Notice::Gone(id));
                if let Way::Stream(stream) = watcher.way {
                    stream.abort();
                }
            }
        }
    }
}

impl<'a> Table<'a> {
    pub fn new(config: &'a Config, counts: &'a Counts, lane: &'a Lane) -> Self {
        Self {
            topics: HashMap::new(),
            topic_of: HashMap::new(),
            leaving: HashMap::new(),
            timers: BTreeSet::new(),
            progress: 0,
            stopped: false,
            config,
            counts,
            lane,
        }
    }

    /// When something is to be done even if nothing happens.
    pub fn next_due(&self) -> Option<Instant> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// Carries out commands in their order; events that come together go out together.
    pub fn carry_out(&mut self, commands: Vec<Command>) {
        let mut events = Vec::new();
        for command in commands {
            match command {
                Command::Event(event) => events.push(event),
                Command::Progress(revision) => self.progress = self.progress.max(revision),
                other => {
                    self.tell(&mut events);
                    self.one(other);
                }
            }
        }
        self.tell(&mut events);
    }

    fn one(&mut self, command: Command) {
        match command {
            Command::Watch(stream, watch) => self.watch(stream, watch),
            Command::Adopt(handed) => self.adopt(*handed),
            Command::Forget(id) => drop(self.take(id)),
            Command::Close(topic) => self.close(topic),
            Command::CloseAll => {
                let all: Vec<_> = self.topics.keys().copied().collect();
                all.into_iter().for_each(|topic| self.close(topic));
            }
            Command::Stop => {
                self.stopped = true;
                let all: Vec<_> = self.topic_of.keys().copied().collect();
                all.into_iter()
                    .for_each(|id| self.finish(id, Last::Nothing));
            }
            Command::Event(_) | Command::Progress(_) => {}
        }
    }

    fn watch(&mut self, stream: Arc<Stream>, watch: Watch) {
        let (id, now) = (stream.id, Instant::now());
        let seconds = watch.seconds.clamp(0.0, 86_400.0);
        let end = now + Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let due = match watch.bookmark {
            Some(_) => end.min(now + self.config.bookmark),
            None => end,
        };
        let watcher = Watcher {
            way: Way::Stream(stream),
            after: watch.after,
            bookmark: watch.bookmark,
            overrun: watch.overrun,
            due,
            end,
        };
        self.timers.insert((due, id));
        self.topic_of.insert(id, watch.topic);
        let watchers = self.topics.entry(watch.topic).or_default();
        watchers.insert(id, watcher);
        if self.stopped {
            self.finish(id, Last::Nothing);
        }
    }

    /// The HTTP server has sent the head of a watch's answer, and gives the connection.
    fn adopt(&mut self, handed: Handed) {
        let id = handed.stream.id;
        let mut link = Link::new(handed);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(id);
        let added = epoll::add(self.lane.poll(), link.socket(), data, flags);
        let flushed = added.map_err(io::Error::from).and_then(|()| link.flush());
        let topic = self.topic_of.get(&id);
        let watcher = topic.and_then(|topic| self.topics.get_mut(topic)?.get_mut(&id));
        match (flushed, watcher) {
            (Err(_), _) => self.gone(id),
            (Ok(_), Some(watcher)) => watcher.way = Way::Link(Box::new(link)),
            // It ended while it was on its way here.
            (Ok(_), None) => self.see_off(id, link, None, false),
        }
    }

    /// Gives the events to the watchers of their topics.
    fn tell(&mut self, events: &mut Vec<Event>) {
        // Stable: a topic's events stay in their order.
        events.sort_by_key(|event| event.topic);
        for events in events.chunk_by(|one, other| one.topic == other.topic) {
            let Some(topic) = events.first().map(|event| event.topic) else {
                continue;
            };
            let batches = Batch::of(events);
            let (mut slow, mut gone, mut woken) = (Vec::new(), Vec::new(), Woken::new());
            for (id, watcher) in self.topics.get_mut(&topic).into_iter().flatten() {
                let after = watcher.after;
                for framed in batches.iter().flat_map(|batch| batch.later_than(after)) {
                    match watcher.offer(framed, self.config, &mut woken) {
                        Ok(Sent::All | Sent::Waits) => continue,
                        Ok(Sent::Full) => slow.push(*id),
                        Err(_) => gone.push(*id),
                    }
                    break;
                }
            }
            self.lane.relay.wake(woken);
            for id in slow {
                self.counts.slow_watchers.fetch_add(1, Ordering::Relaxed);
                self.finish(id, Last::Overrun);
            }
            gone.into_iter().for_each(|id| self.gone(id));
        }
        events.clear();
    }

    /// Something happened on a watch's connection.
    pub fn ready(&mut self, id: u64, flags: EventFlags) {
        let readable = EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        let look = |link: &mut Link| {
            if flags.intersects(readable) {
                link.receive()?;
            }
            link.flush()
        };
        if let Some((link, _)) = self.leaving.get_mut(&id) {
            let looked = look(link);
            if (looked.is_err() || link.done())
                && let Some((link, due)) = self.leaving.remove(&id)
            {
                self.timers.remove(&(due, id));
                if looked.is_ok() {
                    self.return_to_server(link);
                }
            }
            return;
        }
        let topic = self.topic_of.get(&id);
        let watcher = topic.and_then(|topic| self.topics.get_mut(topic)?.get_mut(&id));
        if let Some(Watcher {
            way: Way::Link(link),
            ..
        }) = watcher
            && look(link).is_err()
        {
            self.gone(id);
        }
    }

    fn take(&mut self, id: u64) -> Option<Watcher> {
        let topic = self.topic_of.remove(&id)?;
        let watchers = self.topics.get_mut(&topic)?;
        let watcher = watchers.remove(&id)?;
        if watchers.is_empty() {
            self.topics.remove(&topic);
        }
        self.timers.remove(&(watcher.due, id));
        self.lane.left(topic);
        Some(watcher)
    }

    /// The client left.
    fn gone(&mut self, id: u64) {
        if let Some(Watcher {
            way: Way::Link(_), ..
        }) = self.take(id)
        {
            self.lane.tell(Notice::Gone(id));
        }
    }

    /// Ends a watch in good order.
    fn finish(&mut self, id: u64, last: Last) {
        let Some(watcher) = self.take(id) else {
            return;
        };
        let (last, drop_waiting) = match last {
            Last::Nothing => (None, false),
            Last::Line(line) => (Some(line), false),
            Last::Overrun => (Some(watcher.overrun), true),
        };
        match watcher.way {
            Way::Stream(stream) => stream.end(last, drop_waiting),
            Way::Link(link) => {
                let last = last.as_deref().map(Framed::one);
                self.see_off(id, *link, last.as_ref(), drop_waiting);
            }
        }
    }

    fn see_off(&mut self, id: u64, mut link: Link, last: Option<&Framed>, drop_waiting: bool) {
        self.lane.tell(Notice::Gone(id));
        match link.end(last, drop_waiting) {
            Ok(_) if link.done() => self.return_to_server(link),
            Ok(_) => {
                let due = Instant::now() + LINGER;
                self.timers.insert((due, id));
                self.leaving.insert(id, (link, due));
            }
            Err(_) => {}
        }
    }

    fn return_to_server(&mut self, link: Link) {
        // It is in the set as long as its socket is open; an error would mean that it is not.
        if epoll::delete(self.lane.poll(), link.socket()).is_ok() {
            link.give_back();
        }
    }

    /// The topic's watchers list again.
    fn close(&mut self, topic: u64) {
        let all = self.topics.get(&topic).into_iter().flat_map(HashMap::keys);
        let all: Vec<_> = all.copied().collect();
        for id in all {
            self.finish(id, Last::Overrun);
        }
    }

    /// Sends the bookmarks that are due, and ends what has had its time.
    pub fn look(&mut self, now: Instant) {
        while let Some((due, id)) = self.timers.first().copied() {
            if due > now {
                return;
            }
            self.timers.pop_first();
            self.leaving.remove(&id);
            let topic = self.topic_of.get(&id);
            let watcher = topic.and_then(|topic| self.topics.get_mut(topic)?.get_mut(&id));
            let Some(watcher) = watcher else {
                continue;
            };
            let revision = self.progress.max(watcher.after);
            let line = watcher.bookmark.as_ref().map(|b| b.line(revision));
            if watcher.end <= now {
                self.finish(id, line.map_or(Last::Nothing, Last::Line));
                continue;
            }
            watcher.due = watcher.end.min(now + self.config.bookmark);
            self.timers.insert((watcher.due, id));
            let Some(line) = line else { continue };
            let mut woken = Woken::new();
            // One that is full has events to read before a bookmark is of use.
            let offered = watcher.offer(&Framed::one(&line), self.config, &mut woken);
            self.lane.relay.wake(woken);
            if offered.is_err() {
                self.gone(id);
            }
        }
    }
}
