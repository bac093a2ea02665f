//! Containers: create, start, signal, list, remove.
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::cgroups::Limits;
use crate::console::Console;
use crate::crun::Standard;
use crate::descriptors::Async;
use crate::failure::{Code, Context, Failure, Result};
use crate::logs::{LogFile, Sink, Stream, pump};
use crate::protocol::{ContainerCreate, check_id};
use crate::reaper::{Ending, Exit};
use crate::sandbox::{self, Shared};
use crate::supervisor::Supervisor;
use crate::taps::Taps;
use crate::{descriptors, document, journal, overlay, timestamp, usage};

/// How long a killed container may take to be gone (its processes may hang in the kernel).
const KILL_LIMIT: Duration = Duration::from_secs(10);
/// How long output may still arrive after the last process ended.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Where output comes from.
type Sources = Vec<(Rc<Async>, Stream)>;

pub struct Container {
    pub id: String,
    pub sandbox: String,
    pub bundle: PathBuf,
    pub group: String,
    pub taps: Rc<Taps>,
    sink: Sink,
    streams: Streams,
    /// Held by the one request that changes the container's state.
    lock: Mutex<()>,
    life: RefCell<Life>,
    ended: watch::Sender<bool>,
}

/// What clients may write to, as long as the first process lives.
#[derive(Default)]
struct Streams {
    input: RefCell<Option<Rc<Async>>>,
    terminal: RefCell<Option<Rc<Async>>>,
    /// Input ends with the first client that had it.
    once: bool,
}

#[derive(Default)]
struct Life {
    pid: Option<i32>,
    created_at: Option<SystemTime>,
    started_at: Option<SystemTime>,
    finished_at: Option<SystemTime>,
    exit: Option<Exit>,
    oom_killed: bool,
}

// === impl Container ===

impl Container {
    /// Created or running.
    pub fn is_live(&self) -> bool {
        let life = self.life.borrow();
        life.pid.is_some() && life.exit.is_none()
    }

    pub fn is_running(&self) -> bool {
        self.is_live() && self.life.borrow().started_at.is_some()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }

    /// Returns once the container's first process has ended and its output is written.
    pub async fn wait(&self) {
        let mut ended = self.ended.subscribe();
        let _ = ended.wait_for(|ended| *ended).await; // the sender lives as long as we do
    }

    pub fn is_terminal(&self) -> bool {
        self.streams.terminal.borrow().is_some()
    }

    /// Standard input, if it has one that is still open.
    pub fn input(&self) -> Option<Rc<Async>> {
        self.streams.input.borrow().clone()
    }

    pub fn terminal(&self) -> Option<Rc<Async>> {
        self.streams.terminal.borrow().clone()
    }

    pub fn close_input(&self) {
        self.streams.input.take();
    }

    /// A client has no more input. A terminal stays open: its user may still look.
    pub fn input_ended(&self) {
        if self.streams.once && !self.is_terminal() {
            self.close_input();
        }
    }

    /// A client that could write is gone.
    pub fn left(&self) {
        if self.streams.once {
            self.close_input();
        }
    }

    /// The first process, as long as it lives.
    pub fn pid(&self) -> Option<i32> {
        self.life.borrow().pid.filter(|_| self.is_live())
    }

    pub fn exit_code(&self) -> i32 {
        self.life.borrow().exit.map_or(-1, Exit::code)
    }

    fn describe(&self) -> Value {
        let life = self.life.borrow();
        let state = match (&life.exit, life.started_at) {
            (Some(_), _) => "exited",
            (None, Some(_)) => "running",
            (None, None) => "created",
        };
        let time = |moment: Option<SystemTime>| moment.map(timestamp::rfc3339);
        json!({
            "container": self.id,
            "sandbox": self.sandbox,
            "state": state,
            "pid": if life.exit.is_none() { life.pid } else { None },
            "created_at": time(life.created_at),
            "started_at": time(life.started_at),
            "finished_at": time(life.finished_at),
            "exit_code": life.exit.map(Exit::code),
            "signal": life.exit.and_then(Exit::signal),
            "oom_killed": life.oom_killed,
            "log_dropped": self.sink.as_ref().map_or(0, |log| log.borrow().dropped()),
        })
    }
}

/// Makes a container whose first process waits for `start`. Nothing is left when it fails.
pub async fn create(supervisor: &Rc<Supervisor>, spec: ContainerCreate) -> Result<Value> {
    check_id("container", &spec.container)?;
    check_id("sandbox", &spec.sandbox)?;
    let shared = sandbox::shared(supervisor, &spec.sandbox)?;
    if supervisor.containers.borrow().contains_key(&spec.container) {
        let message = format!("container {} exists already", spec.container);
        return Err(Failure::new(Code::Exists, message));
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
    let container = Rc::new(Container {
        id: spec.container.clone(),
        sandbox: spec.sandbox.clone(),
        bundle: spec.bundle.clone(),
        group: format!(
            "{}/{}",
            sandbox::group(supervisor, &spec.sandbox),
            spec.container
        ),
        taps: Rc::default(),
        sink,
        streams: Streams {
            once: spec.stdin_once,
            ..Streams::default()
        },
        lock: Mutex::new(()),
        life: RefCell::default(),
        ended: watch::Sender::new(false),
    });
    let _guard = container.lock.lock().await;
    supervisor
        .containers
        .borrow_mut()
        .insert(container.id.clone(), Rc::clone(&container));
    match build(supervisor, &container, &spec, &shared).await {
        Ok(pid) => Ok(json!({ "pid": pid })),
        Err(failure) => {
            tear_down(supervisor, &container).await;
            supervisor.containers.borrow_mut().remove(&container.id);
            Err(failure)
        }
    }
}

async fn build(
    supervisor: &Rc<Supervisor>,
    container: &Rc<Container>,
    spec: &ContainerCreate,
    shared: &Shared,
) -> Result<i32> {
    let seen = match &spec.target {
        Some(target) => Some(document::processes_of(supervisor, container, target)?),
        None => None,
    };
    let profile = document::complete(supervisor, container, shared, seen.as_deref())?;
    if !spec.layers.is_empty() {
        let (Some(upper), Some(work)) = (&spec.upper, &spec.work) else {
            return Err(Failure::invalid("layers need upper and work"));
        };
        overlay::mount_at(&container.rootfs(), &spec.layers, upper, work)?;
    }
    let (standard, mut sources) = pipes(container, spec)?;
    let console = match spec.tty {
        true => Some(Console::listen(&supervisor.options.run_dir)?),
        false => None,
    };
    let pid_file = container.bundle.join("pid");
    let (bundle, pid_path) = (
        document::utf8(&container.bundle)?,
        document::utf8(&pid_file)?,
    );
    let socket = console
        .as_ref()
        .map(|console| console.path().to_string_lossy().into_owned());
    let mut args = vec!["--bundle", bundle, "--pid-file", pid_path];
    if let Some(socket) = &socket {
        args.extend(["--console-socket", socket]);
    }
    args.push(&container.id);
    let expectation = supervisor.reaper.expect();
    supervisor
        .crun
        .run("create", &args, &container.id, standard)
        .await?;
    if let Some(console) = &console {
        let master = Rc::new(console.receive()?);
        container.streams.terminal.replace(Some(Rc::clone(&master)));
        if spec.stdin {
            container.streams.input.replace(Some(Rc::clone(&master)));
        }
        sources.push((master, Stream::Stdout));
    }
    if let Some(profile) = profile {
        supervisor
            .filters
            .learn(profile, &supervisor.crun.root().join(&container.id));
    }
    let pid = document::read_pid(&pid_file)?;
    let ending = expectation.claim(pid);
    {
        let mut life = container.life.borrow_mut();
        life.pid = Some(pid);
        life.created_at = Some(SystemTime::now());
    }
    let pumps = sources.into_iter().map(|(source, stream)| {
        let (sink, taps) = (container.sink.clone(), Some(Rc::clone(&container.taps)));
        tokio::task::spawn_local(pump(source, stream, sink, taps))
    });
    let pumps = pumps.collect();
    tokio::task::spawn_local(follow(
        Rc::clone(supervisor),
        Rc::clone(container),
        ending,
        pumps,
    ));
    Ok(pid)
}

/// What the first process inherits without a terminal, and our ends of it.
fn pipes(container: &Container, spec: &ContainerCreate) -> Result<(Standard, Sources)> {
    let what = || "cannot make a pipe".to_owned();
    let (mut standard, mut sources) = (Standard::null(), Sources::new());
    if spec.tty {
        return Ok((standard, sources));
    }
    if spec.stdin {
        let (input, child_in) = descriptors::input_pipe().context(what)?;
        standard.input = child_in;
        container.streams.input.replace(Some(Rc::new(input)));
    }
    if container.sink.is_some() {
        let (out, child_out) = descriptors::output_pipe().context(what)?;
        let (err, child_err) = descriptors::output_pipe().context(what)?;
        standard.output = child_out;
        standard.error = child_err;
        sources.push((Rc::new(out), Stream::Stdout));
        sources.push((Rc::new(err), Stream::Stderr));
    }
    Ok((standard, sources))
}

/// Waits for the end of the first process, then records and tells it.
async fn follow(
    supervisor: Rc<Supervisor>,
    container: Rc<Container>,
    ending: Ending,
    pumps: Vec<JoinHandle<()>>,
) {
    let exit = ending.await.unwrap_or(Exit::Signal(Signal::KILL.as_raw()));
    let finished_at = SystemTime::now();
    let oom_kills = usage::oom_kills(&supervisor.cgroups, &container.group);
    let taps = Rc::clone(&container.taps);
    let mut drained = tokio::task::spawn_local(async move {
        for pump in pumps {
            let _ = pump.await;
        }
        taps.close();
    });
    // Output that a slow client holds up goes on to come in after the end was told.
    let _ = tokio::time::timeout(DRAIN_LIMIT, &mut drained).await;
    container.close_input();
    container.streams.terminal.take();
    let oom_killed = oom_kills > 0 && exit != Exit::Code(0);
    {
        let mut life = container.life.borrow_mut();
        life.finished_at = Some(finished_at);
        life.exit = Some(exit);
        life.oom_killed = oom_killed;
    }
    container.ended.send_replace(true);
    supervisor.emit(&json!({
        "event": "container.exit",
        "id": container.id,
        "exit_code": exit.code(),
        "signal": exit.signal(),
        "oom_killed": oom_killed,
    }));
}

/// Starts a created container; one that runs already is fine.
pub async fn start(supervisor: &Rc<Supervisor>, id: &str) -> Result<Value> {
    let container = find(supervisor, id)?;
    let _guard = container.lock.lock().await;
    if container.is_running() {
        return Ok(json!({}));
    }
    if !container.is_live() {
        return Err(Failure::invalid(format!(
            "container {id} has ended already"
        )));
    }
    container.life.borrow_mut().started_at = Some(SystemTime::now());
    let started = supervisor
        .crun
        .run("start", &[id], id, Standard::null())
        .await;
    if let Err(failure) = started {
        if container.is_live() {
            container.life.borrow_mut().started_at = None;
        }
        return Err(failure);
    }
    Ok(json!({}))
}

/// Sends a signal to the first process. SIGKILL ends all, as that process is the init of its PID namespace.
pub fn signal(supervisor: &Rc<Supervisor>, id: &str, number: i32) -> Result<Value> {
    let container = find(supervisor, id)?;
    let Some(signal) = Signal::from_named_raw(number) else {
        return Err(Failure::invalid(format!("{number} is not a signal")));
    };
    let pid = container.life.borrow().pid;
    let sent = pid.is_some_and(|pid| supervisor.reaper.kill(pid, signal));
    if sent {
        Ok(json!({}))
    } else {
        Err(Failure::new(
            Code::NotFound,
            format!("container {id} does not run"),
        ))
    }
}

/// Sets the limits of a container that exists already.
pub fn update(supervisor: &Supervisor, id: &str, limits: &Limits) -> Result<Value> {
    let container = find(supervisor, id)?;
    if !container.is_live() {
        return Err(Failure::invalid(format!("container {id} does not run")));
    }
    supervisor.cgroups.update(&container.group, limits)?;
    Ok(json!({}))
}

/// Kills, unmounts and forgets a container; a missing one is fine.
pub async fn remove(supervisor: &Rc<Supervisor>, id: &str) -> Result<Value> {
    check_id("container", id)?;
    let Ok(container) = find(supervisor, id) else {
        return Ok(json!({}));
    };
    let _guard = container.lock.lock().await;
    if !tear_down(supervisor, &container).await {
        let message = format!("container {id} was killed but does not end (stuck in the kernel?)");
        return Err(Failure::new(Code::Timeout, message));
    }
    let mut containers = supervisor.containers.borrow_mut();
    if containers
        .get(id)
        .is_some_and(|found| Rc::ptr_eq(found, &container))
    {
        containers.remove(id);
    }
    Ok(json!({}))
}

/// Leaves nothing of a container behind, however far it came. False when a process will not die.
async fn tear_down(supervisor: &Rc<Supervisor>, container: &Rc<Container>) -> bool {
    let pid = container.life.borrow().pid;
    if let Some(pid) = pid {
        supervisor.reaper.kill(pid, Signal::KILL);
        if tokio::time::timeout(KILL_LIMIT, container.wait())
            .await
            .is_err()
        {
            return false;
        }
    }
    if !supervisor.cgroups.kill(&container.group).await {
        return false;
    }
    let state = supervisor.crun.root().join(&container.id);
    if state.exists() {
        let args = ["--force", container.id.as_str()];
        let deleted = supervisor
            .crun
            .run("delete", &args, &container.id, Standard::null())
            .await;
        if let Err(failure) = deleted {
            journal::warning!("crun cannot delete a container", "container": container.id, "error": failure.message);
            let _ = fs::remove_dir_all(&state);
        }
    }
    overlay::unmount_at(&container.rootfs());
    if !supervisor.cgroups.remove(&container.group).await {
        journal::warning!("a cgroup is left", "cgroup": container.group);
    }
    let _ = fs::remove_file(container.bundle.join("pid"));
    true
}

pub fn list(supervisor: &Supervisor) -> Value {
    let containers = supervisor.containers.borrow();
    // One that is still being created is not there yet for others.
    let told: Vec<Value> = containers
        .values()
        .filter(|container| container.life.borrow().pid.is_some())
        .map(|container| container.describe())
        .collect();
    json!({ "containers": told })
}

/// Ends all containers: SIGTERM, SIGKILL after the grace, then remove.
pub async fn end_all(supervisor: &Rc<Supervisor>, grace_ms: u64) {
    let all: Vec<Rc<Container>> = supervisor.containers.borrow().values().cloned().collect();
    if grace_ms > 0 {
        for container in all.iter().filter(|container| container.is_running()) {
            let _ = signal(supervisor, &container.id, Signal::TERM.as_raw());
        }
        let ended = async {
            for container in all.iter().filter(|container| container.is_running()) {
                container.wait().await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(grace_ms), ended).await;
    }
    let mut removals = tokio::task::JoinSet::new();
    for container in all {
        let supervisor = Rc::clone(supervisor);
        removals.spawn_local(async move { remove(&supervisor, &container.id).await });
    }
    while let Some(removed) = removals.join_next().await {
        if let Ok(Err(failure)) = removed {
            journal::warning!("cannot remove a container", "error": failure.message);
        }
    }
}

pub fn find(supervisor: &Supervisor, id: &str) -> Result<Rc<Container>> {
    let containers = supervisor.containers.borrow();
    containers
        .get(id)
        .cloned()
        .ok_or_else(|| Failure::not_found("container", id))
}
