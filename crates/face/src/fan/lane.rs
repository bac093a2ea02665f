//! One thread of the fan-out and the door to it.
use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{
        EventfdFlags, Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
        eventfd,
    },
};

use super::{Command, framed::Event, relay::Relay, table::Table};
use crate::{
    config::Config,
    counts::Counts,
    inbox::{Inbox, Notice, locked},
};

const BELL: u64 = u64::MAX;
const EVENTS: usize = 256;

#[derive(Debug, Default)]
struct Waiting {
    commands: Vec<Command>,
    rung: bool,
    quit: bool,
    /// How many watchers of a topic are or will be here.
    topics: HashMap<u64, usize>,
}

/// The door; commands are carried out in the order they were given.
#[derive(Debug)]
pub(super) struct Lane {
    waiting: Mutex<Waiting>,
    bell: OwnedFd,
    poll: OwnedFd,
    inbox: Arc<Inbox>,
    pub(super) relay: Arc<Relay>,
}

impl Lane {
    pub fn new(inbox: Arc<Inbox>, relay: Arc<Relay>) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let poll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &bell, EventData::new_u64(BELL), EventFlags::IN)?;
        Ok(Self {
            waiting: Mutex::default(),
            bell,
            poll,
            inbox,
            relay,
        })
    }

    pub fn give(&self, command: Command) {
        let mut waiting = locked(&self.waiting);
        if let Command::Watch(_, watch) = &command {
            *waiting.topics.entry(watch.topic).or_default() += 1;
        }
        waiting.commands.push(command);
        self.ring(&mut waiting);
    }

    /// Gives those of the events that somebody here watches, and how far they go.
    pub fn events(&self, events: &[Event], progress: u64) {
        let mut waiting = locked(&self.waiting);
        let topics = &waiting.topics;
        let mine = events.iter().filter(|e| topics.contains_key(&e.topic));
        let mut mine: Vec<_> = mine.cloned().map(Command::Event).collect();
        let urgent = !mine.is_empty();
        waiting.commands.append(&mut mine);
        match waiting.commands.last_mut() {
            Some(Command::Progress(last)) => *last = progress,
            _ => waiting.commands.push(Command::Progress(progress)),
        }
        // The progress alone is only looked at when a bookmark is due.
        if urgent {
            self.ring(&mut waiting);
        }
    }

    fn ring(&self, waiting: &mut Waiting) {
        if !waiting.rung {
            waiting.rung = true;
            // Cannot fail: the counter is far from full.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Ends the thread, whatever is not sent yet.
    pub fn quit(&self) {
        let mut waiting = locked(&self.waiting);
        waiting.quit = true;
        self.ring(&mut waiting);
    }

    pub(super) fn poll(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }

    pub(super) fn tell(&self, notice: Notice) {
        self.inbox.push(notice);
    }

    /// A watcher of the topic is here no more.
    pub(super) fn left(&self, topic: u64) {
        let mut waiting = locked(&self.waiting);
        if let Some(count) = waiting.topics.get_mut(&topic) {
            *count -= 1;
            if *count == 0 {
                waiting.topics.remove(&topic);
            }
        }
    }

    /// What waits; `None`: quit.
    fn take(&self) -> Option<Vec<Command>> {
        let mut waiting = locked(&self.waiting);
        if std::mem::take(&mut waiting.rung) {
            let mut count = [0u8; 8];
            let _ = rustix::io::read(&self.bell, &mut count);
        }
        (!waiting.quit).then(|| std::mem::take(&mut waiting.commands))
    }

    /// Works until told to quit. What breaks it ends the watches that it had, which are begun
    /// again by their clients, and nothing else.
    pub fn run(&self, config: &Config, counts: &Counts) {
        loop {
            let works = AssertUnwindSafe(|| self.work(config, counts));
            match catch_unwind(works) {
                Ok(Ok(())) => return,
                Ok(Err(error)) => eprintln!("a thread of the watch fan-out begins anew: {error}"),
                Err(_) => {} // the panic was reported where it happened
            }
        }
    }

    fn work(&self, config: &Config, counts: &Counts) -> io::Result<()> {
        let mut table = Table::new(config, counts, self);
        let mut happened = Vec::with_capacity(EVENTS);
        loop {
            let pause = table.next_due().map(|due| timespec(due - Instant::now()));
            happened.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut happened), pause.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            // First what is to go out: who waits for it is many.
            let Some(commands) = self.take() else {
                return Ok(());
            };
            table.carry_out(commands);
            for event in &happened {
                let (id, flags) = (event.data.u64(), event.flags);
                if id != BELL {
                    table.ready(id, flags);
                }
            }
            table.look(Instant::now());
        }
    }
}

/// Rounded up: a wait must not end before its time.
fn timespec(pause: Duration) -> Timespec {
    let pause = pause + Duration::from_micros(999);
    Timespec {
        tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(pause.subsec_nanos()),
    }
}
