//! Watch events to many watchers: the program hands an event over once for each form of it.
//!
//! A few threads, *lanes*, have the watchers between them. A watch of HTTP/1.1 has its connection
//! there, so that an event is one write of shared bytes; one of HTTP/2 is reached through the HTTP
//! server, which has its connection for other streams too. Commands to a watcher are carried out
//! in the order they were given.
use std::{
    io,
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use bytes::Bytes;

mod bookmark;
mod framed;
mod lane;
mod link;
#[cfg(test)]
mod link_tests;
mod relay;
mod table;

pub use bookmark::Bookmark;
pub(crate) use framed::{Event, Framed};
pub(crate) use link::{Carrier, Handed};
pub(crate) use relay::Relay;

use crate::{
    config::Config,
    counts::Counts,
    inbox::{Inbox, locked},
    stream::Stream,
};
use lane::Lane;

/// What a watcher is to get.
#[derive(Debug)]
pub(crate) struct Watch {
    pub topic: u64,
    /// Only later events are for it.
    pub after: u64,
    pub bookmark: Option<Bookmark>,
    /// The last line when it must list again.
    pub overrun: Bytes,
    pub seconds: f64,
}

#[derive(Debug)]
pub(crate) enum Command {
    Watch(Arc<Stream>, Watch),
    /// The connection of a watch.
    Adopt(Box<Handed>),
    Event(Event),
    /// Every event up to this revision was given.
    Progress(u64),
    Forget(u64),
    /// Every watcher of the topic lists again.
    Close(u64),
    /// Every watcher lists again: events were missed.
    CloseAll,
    Stop,
}

/// The door to the lanes.
#[derive(Debug)]
pub(crate) struct Fan {
    lanes: Vec<Arc<Lane>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// To be run by the HTTP server's thread.
    pub relay: Arc<Relay>,
}

impl Fan {
    /// Starts the threads.
    pub fn start(config: &Config, counts: &Arc<Counts>, inbox: &Arc<Inbox>) -> io::Result<Self> {
        let mut fan = Self {
            lanes: Vec::new(),
            threads: Mutex::default(),
            relay: Arc::default(),
        };
        for number in 0..config.fan_threads.max(1) {
            let lane = Arc::new(Lane::new(Arc::clone(inbox), Arc::clone(&fan.relay))?);
            fan.lanes.push(Arc::clone(&lane));
            let (config, counts) = (config.clone(), Arc::clone(counts));
            let thread = std::thread::Builder::new()
                .name(format!("fan-{number}"))
                .spawn(move || lane.run(&config, &counts))?;
            locked(&fan.threads).push(thread);
        }
        Ok(fan)
    }

    fn lane(&self, id: u64) -> Option<&Arc<Lane>> {
        // Numbers follow each other in patterns; lanes should not.
        let mixed = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        self.lanes.get(mixed as usize % self.lanes.len().max(1))
    }

    pub fn watch(&self, stream: Arc<Stream>, watch: Watch) {
        if let Some(lane) = self.lane(stream.id) {
            lane.give(Command::Watch(Arc::clone(&stream), watch));
        }
        // Only now: the lane must know the watch before it gets the connection.
        stream.hand_over();
    }

    pub fn adopt(&self, handed: Handed) {
        if let Some(lane) = self.lane(handed.stream.id) {
            lane.give(Command::Adopt(Box::new(handed)));
        }
    }

    /// Events in revision order; there are no others up to `progress`.
    pub fn events(&self, events: &[Event], progress: u64) {
        for lane in &self.lanes {
            lane.events(events, progress);
        }
    }

    pub fn forget(&self, id: u64) {
        if let Some(lane) = self.lane(id) {
            lane.give(Command::Forget(id));
        }
    }

    pub fn close(&self, topic: u64) {
        for lane in &self.lanes {
            lane.give(Command::Close(topic));
        }
    }

    pub fn close_all(&self) {
        for lane in &self.lanes {
            lane.give(Command::CloseAll);
        }
    }

    /// Every watch ends in good order; what waits is sent as long as nobody calls `quit`.
    pub fn stop(&self) {
        for lane in &self.lanes {
            lane.give(Command::Stop);
        }
    }

    /// Ends the threads. Blocks.
    pub fn quit(&self) {
        for lane in &self.lanes {
            lane.quit();
        }
        for thread in std::mem::take(&mut *locked(&self.threads)) {
            // A panic of the thread was reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Event {
    pub fn new(topic: u64, revision: u64, line: &[u8]) -> Self {
        Self {
            topic,
            revision,
            framed: Framed::one(line),
        }
    }
}

/// What a stream still has to send when it is handed over.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    pub initial: Option<Box<crate::initial::Initial>>,
    pub queue: std::collections::VecDeque<Bytes>,
    pub ended: bool,
}
