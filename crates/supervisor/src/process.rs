//! Native processes (sidecars, the gateway): started in a pod's network namespace, without privileges, kept running.
mod spawn;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use crate::failure::{Context, Failure, Result};
use crate::journal;
use crate::logs::{LogFile, Sink};
use crate::protocol::{ProcessStart, check_id};
use crate::reaper::{Ending, Exit};
use crate::supervisor::Supervisor;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_LAST: Duration = Duration::from_secs(10);
/// One that ran this long was healthy: its next restart is quick again.
const HEALTHY: Duration = Duration::from_secs(10);
/// What a process that is replaced gets to end by itself.
const REPLACE_GRACE_MS: u64 = 5000;
/// How long a killed process may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(10);

pub struct Process {
    spec: ProcessStart,
    pub group: String,
    sink: Sink,
    /// How a stop asks the keeper to end: the grace in milliseconds.
    stop: watch::Sender<Option<u64>>,
    gone: watch::Sender<bool>,
    lock: Mutex<()>,
    life: RefCell<Life>,
}

#[derive(Default)]
struct Life {
    pid: Option<i32>,
    restarts: u64,
    exit: Option<Exit>,
}

// === impl Process ===

impl Process {
    pub fn id(&self) -> &str {
        &self.spec.process
    }

    pub fn pid(&self) -> Option<i32> {
        self.life.borrow().pid
    }

    /// The same program in the same place: worth more than a restart for a new log or variable.
    fn serves(&self, spec: &ProcessStart) -> bool {
        self.spec.argv == spec.argv && self.spec.netns == spec.netns
    }

    /// Ended for good, or about to.
    fn is_over(&self) -> bool {
        *self.gone.borrow() || self.stop.borrow().is_some()
    }

    fn describe(&self) -> Value {
        let life = self.life.borrow();
        json!({
            "process": self.spec.process,
            "running": life.pid.is_some(),
            "pid": life.pid,
            "restarts": life.restarts,
            "exit_code": life.exit.map(Exit::code),
            "log_dropped": self.sink.as_ref().map_or(0, |log| log.borrow().dropped()),
        })
    }
}

/// Starts a process. The same one again is left alone; another under the same id is replaced.
pub async fn start(supervisor: &Rc<Supervisor>, spec: ProcessStart) -> Result<Value> {
    check(&spec)?;
    let id = spec.process.clone();
    loop {
        let existing = supervisor.processes.borrow().get(&id).cloned();
        match existing {
            None => break,
            Some(existing) if existing.serves(&spec) && !existing.is_over() => {
                return Ok(json!({"pid": existing.pid()}));
            }
            // While it ends, another request may have started one: look again.
            Some(_) => stop(supervisor, &id, REPLACE_GRACE_MS).await?,
        };
    }
    let sink = match &spec.log {
        Some(target) => {
            let what = || format!("cannot open the log {}", target.path.display());
            Some(Rc::new(RefCell::new(
                LogFile::open(target.clone()).context(what)?,
            )))
        }
        None => None,
    };
    let below = if spec.cgroup.is_empty() {
        format!("native/{id}")
    } else {
        spec.cgroup.clone()
    };
    let process = Rc::new(Process {
        group: format!("{}/{below}", supervisor.options.cgroup_root),
        spec,
        sink,
        stop: watch::Sender::new(None),
        gone: watch::Sender::new(false),
        lock: Mutex::new(()),
        life: RefCell::default(),
    });
    let (pid, ending) = match spawn::spawn(supervisor, &process) {
        Ok(spawned) => spawned,
        Err(failure) => {
            clean(supervisor, &process.group).await;
            return Err(failure);
        }
    };
    process.life.borrow_mut().pid = Some(pid);
    supervisor
        .processes
        .borrow_mut()
        .insert(id, Rc::clone(&process));
    tokio::task::spawn_local(keep(Rc::clone(supervisor), process, ending));
    Ok(json!({ "pid": pid }))
}

/// Runs beside one process: records its ends, restarts it, and ends it when asked.
async fn keep(supervisor: Rc<Supervisor>, process: Rc<Process>, first: Ending) {
    let mut stop = process.stop.subscribe();
    let mut ending = Some(first);
    let mut backoff = BACKOFF_FIRST;
    loop {
        let since = Instant::now();
        if let Some(mut ending) = ending.take() {
            let asked = tokio::select! {
                exit = &mut ending => { record(&supervisor, &process, exit.ok()); None }
                grace = asked(&mut stop) => Some(grace),
            };
            if let Some(grace) = asked {
                end(&supervisor, &process, ending, grace).await;
                break;
            }
        }
        if !process.spec.restart {
            break;
        }
        if since.elapsed() >= HEALTHY {
            backoff = BACKOFF_FIRST;
        }
        tokio::select! {
            () = tokio::time::sleep(backoff) => {}
            _ = asked(&mut stop) => break,
        }
        backoff = (backoff * 2).min(BACKOFF_LAST);
        process.life.borrow_mut().restarts += 1;
        match spawn::spawn(&supervisor, &process) {
            Ok((pid, next)) => {
                process.life.borrow_mut().pid = Some(pid);
                ending = Some(next);
            }
            Err(failure) => {
                journal::warning!("cannot restart a process", "process": process.id(), "error": failure.message);
            }
        }
    }
    supervisor.cgroups.kill(&process.group).await;
    process.gone.send_replace(true);
}

/// Resolves when a stop is asked for.
async fn asked(stop: &mut watch::Receiver<Option<u64>>) -> u64 {
    match stop.wait_for(Option::is_some).await {
        Ok(grace) => grace.unwrap_or(0),
        Err(_) => 0,
    }
}

async fn end(supervisor: &Supervisor, process: &Process, mut ending: Ending, grace_ms: u64) {
    let Some(pid) = process.pid() else { return };
    if grace_ms > 0 {
        supervisor.reaper.kill(pid, Signal::TERM);
        let grace = Duration::from_millis(grace_ms);
        if let Ok(exit) = tokio::time::timeout(grace, &mut ending).await {
            record(supervisor, process, exit.ok());
            return;
        }
    }
    supervisor.reaper.kill_group(pid, Signal::KILL);
    let exit = tokio::time::timeout(KILL_LIMIT, ending).await;
    record(
        supervisor,
        process,
        exit.ok().and_then(std::result::Result::ok),
    );
}

fn record(supervisor: &Supervisor, process: &Process, exit: Option<Exit>) {
    {
        let mut life = process.life.borrow_mut();
        life.pid = None;
        life.exit = exit;
    }
    supervisor.emit(&json!({
        "event": "process.exit",
        "id": process.id(),
        "exit_code": exit.map(Exit::code),
    }));
}

/// SIGTERM, SIGKILL after the grace, forget; a missing one is fine.
pub async fn stop(supervisor: &Rc<Supervisor>, id: &str, grace_ms: u64) -> Result<Value> {
    check_id("process", id)?;
    let Some(process) = supervisor.processes.borrow().get(id).cloned() else {
        return Ok(json!({}));
    };
    let _guard = process.lock.lock().await;
    process.stop.send_replace(Some(grace_ms));
    let _ = process.gone.subscribe().wait_for(|gone| *gone).await;
    supervisor.cgroups.remove(&process.group).await;
    let parent = process
        .group
        .rsplit_once('/')
        .map_or("", |(parent, _)| parent);
    if parent.len() > supervisor.options.cgroup_root.len() {
        supervisor.cgroups.remove_if_empty(parent);
    }
    let mut processes = supervisor.processes.borrow_mut();
    if processes
        .get(id)
        .is_some_and(|found| Rc::ptr_eq(found, &process))
    {
        processes.remove(id);
    }
    Ok(json!({}))
}

/// Removes a process's cgroup, and its pod's when nothing else is in it.
async fn clean(supervisor: &Supervisor, group: &str) {
    supervisor.cgroups.remove(group).await;
    let parent = group.rsplit_once('/').map_or("", |(parent, _)| parent);
    if parent.len() > supervisor.options.cgroup_root.len() {
        supervisor.cgroups.remove_if_empty(parent);
    }
}

pub fn list(supervisor: &Supervisor) -> Value {
    let processes = supervisor.processes.borrow();
    let told: Vec<Value> = processes
        .values()
        .map(|process| process.describe())
        .collect();
    json!({ "processes": told })
}

/// Ends all processes, all at once.
pub async fn end_all(supervisor: &Rc<Supervisor>, grace_ms: u64) {
    let ids: Vec<String> = supervisor.processes.borrow().keys().cloned().collect();
    let mut stops = tokio::task::JoinSet::new();
    for id in ids {
        let supervisor = Rc::clone(supervisor);
        stops.spawn_local(async move { stop(&supervisor, &id, grace_ms).await });
    }
    while let Some(stopped) = stops.join_next().await {
        if let Ok(Err(failure)) = stopped {
            journal::warning!("cannot stop a process", "error": failure.message);
        }
    }
}

fn check(spec: &ProcessStart) -> Result<()> {
    check_id("process", &spec.process)?;
    if !spec
        .argv
        .first()
        .is_some_and(|program| program.starts_with('/'))
    {
        return Err(Failure::invalid("argv must begin with an absolute path"));
    }
    if spec.uid == 0 {
        return Err(Failure::invalid(
            "native processes do not run as root: uid must not be 0",
        ));
    }
    for part in spec.cgroup.split('/').filter(|_| !spec.cgroup.is_empty()) {
        check_id("cgroup", part)?;
    }
    Ok(())
}
