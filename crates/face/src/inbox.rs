//! What waits for the program: one eventfd tells of any number of notices.
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Method};
use rustix::event::{EventfdFlags, eventfd};

use crate::tls::Peer;

/// A request for the program. It must be answered, whatever happens.
#[derive(Debug)]
pub struct Arrival {
    pub id: u64,
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Who showed a certificate, and the number that stands for it in this process.
    pub peer: Option<(u64, Arc<Peer>)>,
    /// The answer may be kept as a permission: see `Server::answer`.
    pub askable: bool,
}

/// News for the program.
#[derive(Debug)]
pub enum Notice {
    Request(Box<Arrival>),
    /// The client of this request or stream is gone, or its watch ended.
    Gone(u64),
    /// A stream that was full can take more.
    Room(u64),
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notices in the order they came.
#[derive(Debug)]
pub(crate) struct Inbox {
    notices: Mutex<Vec<Notice>>,
    bell: OwnedFd,
}

impl Inbox {
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            notices: Mutex::default(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    pub fn push(&self, notice: Notice) {
        let mut notices = locked(&self.notices);
        notices.push(notice);
        if notices.len() == 1 {
            // Cannot fail: the counter is far from full.
            let _ = rustix::io::write(&self.bell, &1u64.to_ne_bytes());
        }
    }

    /// Everything that waits; the eventfd is silent again.
    pub fn take(&self) -> Vec<Notice> {
        let mut notices = locked(&self.notices);
        let mut count = [0u8; 8];
        let _ = rustix::io::read(&self.bell, &mut count);
        std::mem::take(&mut *notices)
    }

    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}
