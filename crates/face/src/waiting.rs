//! Requests that the program has and has not answered.
use std::{collections::HashMap, sync::Mutex};

use hyper::upgrade::OnUpgrade;
use tokio::sync::oneshot;

use crate::{answer::Answer, inbox::locked, reads::Ticket};

/// One of them.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub sender: oneshot::Sender<Answer>,
    /// What an allowed answer would permit.
    pub ticket: Option<Box<Ticket>>,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub(crate) struct Room {
    all: Mutex<HashMap<u64, Waiting>>,
}

impl Room {
    pub fn add(&self, id: u64, waiting: Waiting) {
        locked(&self.all).insert(id, waiting);
    }

    pub fn remove(&self, id: u64) -> Option<Waiting> {
        locked(&self.all).remove(&id)
    }

    pub fn len(&self) -> usize {
        locked(&self.all).len()
    }
}

/// How to get the connection of a request that asks for an upgrade.
pub(crate) type Connection = Option<OnUpgrade>;
