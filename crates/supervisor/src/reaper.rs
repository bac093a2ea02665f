//! Collects the end of every child, our own and those that fell to us as the child subreaper.
//!
//! One place reaps, so a pid that still has a waiter is certainly not reused: signals go through here.
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use rustix::process::{
    Pid, Signal, WaitOptions, getpgid, getpgrp, kill_process, kill_process_group, wait,
};
use tokio::sync::oneshot;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

pub type Ending = oneshot::Receiver<Exit>;

#[derive(Default)]
pub struct Reaper {
    inner: RefCell<Inner>,
}

#[derive(Default)]
struct Inner {
    waiters: HashMap<i32, oneshot::Sender<Exit>>,
    /// Ends of unknown children, kept only while somebody expects one that is not known by pid yet.
    unclaimed: HashMap<i32, Exit>,
    expecting: usize,
}

/// While this lives, the end of a child that nobody watches yet is kept for `claim`.
pub struct Expectation {
    reaper: Rc<Reaper>,
}

// === impl Exit ===

impl Exit {
    /// The code as a shell shows it: 128 + n for signal n.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Code(_) => None,
            Self::Signal(signal) => Some(signal),
        }
    }
}

// === impl Reaper ===

impl Reaper {
    /// Watches a child that was spawned in this very turn of the event loop (so it cannot have been reaped).
    pub fn watch(&self, pid: i32) -> Ending {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.borrow_mut();
        inner.unclaimed.remove(&pid);
        inner.waiters.insert(pid, sender);
        receiver
    }

    pub fn expect(self: &Rc<Self>) -> Expectation {
        self.inner.borrow_mut().expecting += 1;
        Expectation {
            reaper: Rc::clone(self),
        }
    }

    /// Sends a signal to a watched child; false when it has already ended.
    pub fn kill(&self, pid: i32, signal: Signal) -> bool {
        self.send(pid, signal, kill_process)
    }

    /// Sends a signal to the process group of a watched child (an exec'd command need not lead its own).
    pub fn kill_group(&self, pid: i32, signal: Signal) -> bool {
        self.send(pid, signal, |pid, signal| {
            let group = getpgid(Some(pid))?;
            if group == getpgrp() {
                return kill_process(pid, signal); // never our own group
            }
            kill_process_group(group, signal)
        })
    }

    fn send(
        &self,
        pid: i32,
        signal: Signal,
        how: impl Fn(Pid, Signal) -> rustix::io::Result<()>,
    ) -> bool {
        if !self.inner.borrow().waiters.contains_key(&pid) {
            return false;
        }
        Pid::from_raw(pid).is_some_and(|pid| how(pid, signal).is_ok())
    }

    /// Reaps all that has ended, in any process group; to be called after each SIGCHLD.
    pub fn reap(&self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let exit = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => continue,
            };
            self.ended(pid.as_raw_nonzero().get(), exit);
        }
    }

    fn ended(&self, pid: i32, exit: Exit) {
        let mut inner = self.inner.borrow_mut();
        if let Some(waiter) = inner.waiters.remove(&pid) {
            let _ = waiter.send(exit); // nobody waits any more: the end was awaited for its reaping only
        } else if inner.expecting > 0 {
            inner.unclaimed.insert(pid, exit);
        }
    }
}

// === impl Expectation ===

impl Expectation {
    /// Watches a child that the runtime left to us, also when it has ended since.
    pub fn claim(&self, pid: i32) -> Ending {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.reaper.inner.borrow_mut();
        if let Some(exit) = inner.unclaimed.remove(&pid) {
            let _ = sender.send(exit);
        } else {
            inner.waiters.insert(pid, sender);
        }
        receiver
    }
}

impl Drop for Expectation {
    fn drop(&mut self) {
        let mut inner = self.reaper.inner.borrow_mut();
        inner.expecting -= 1;
        if inner.expecting == 0 {
            inner.unclaimed.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_before_the_claim_is_kept_while_expected() {
        let reaper = Rc::new(Reaper::default());
        let expectation = reaper.expect();
        reaper.ended(41, Exit::Code(7));
        assert_eq!(expectation.claim(41).try_recv(), Ok(Exit::Code(7)));
        reaper.ended(42, Exit::Signal(9));
        drop(expectation);
        assert!(reaper.inner.borrow().unclaimed.is_empty());
    }

    #[test]
    fn an_unexpected_end_is_forgotten() {
        let reaper = Rc::new(Reaper::default());
        reaper.ended(43, Exit::Code(0));
        assert!(reaper.inner.borrow().unclaimed.is_empty());
        assert!(!reaper.kill(43, Signal::KILL));
    }

    #[test]
    fn a_watched_child_gets_its_own_end() {
        let reaper = Rc::new(Reaper::default());
        let mut ending = reaper.watch(44);
        reaper.ended(44, Exit::Signal(15));
        assert_eq!(ending.try_recv(), Ok(Exit::Signal(15)));
        assert_eq!(Exit::Signal(15).code(), 143);
    }
}
