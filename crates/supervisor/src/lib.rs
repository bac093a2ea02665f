//! Holds containers and native processes of one machine; survives the daemon.
//!
//! One single-threaded process. It owns every container's stdio, waits for every child, writes the logs, and answers
//! the requests of `docs/reference/internals.md` ("Supervisor socket") on a Unix socket. Overlay mounts and pinned
//! namespaces exist only in its private mount namespace, so that they vanish with it.
mod attach;
mod cgroups;
mod console;
mod container;
mod crun;
mod descriptors;
mod document;
mod exec;
mod failure;
mod filters;
mod frames;
mod journal;
mod logs;
mod namespaces;
mod options;
mod overlay;
mod private;
mod process;
mod protocol;
mod reaper;
mod recovery;
mod sandbox;
mod server;
mod start;
mod supervisor;
mod taps;
mod timestamp;
mod usage;

/// Runs the supervisor with the remaining command-line words; returns the process's exit code.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    start::run(args)
}
