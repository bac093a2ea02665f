//! All that the supervisor holds, and the requests that only look at it.
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use serde_json::{Map, Value, json};
use tokio::sync::broadcast;

use crate::cgroups::Cgroups;
use crate::container::{self, Container};
use crate::crun::Crun;
use crate::failure::{Failure, Result};
use crate::filters::Filters;
use crate::journal;
use crate::options::Options;
use crate::process::{self, Process};
use crate::protocol::Op;
use crate::reaper::Reaper;
use crate::sandbox::{self, Sandbox};
use crate::{timestamp, usage};

/// A subscriber that is this far behind loses events and is told so.
const EVENTS: usize = 256;

pub struct Supervisor {
    pub options: Options,
    pub cgroups: Cgroups,
    pub crun: Crun,
    pub crun_version: String,
    pub filters: Filters,
    pub reaper: Rc<Reaper>,
    pub host_mounts: File,
    pub sandboxes: RefCell<BTreeMap<String, Sandbox>>,
    pub containers: RefCell<BTreeMap<String, Rc<Container>>>,
    pub processes: RefCell<BTreeMap<String, Rc<Process>>>,
    pub events: broadcast::Sender<Arc<str>>,
    pub stopping: Cell<bool>,
    started_at: SystemTime,
}

/// What `start` found out about the machine.
pub struct Machine {
    pub cgroups: Cgroups,
    pub crun: Crun,
    pub crun_version: String,
    pub reaper: Rc<Reaper>,
    pub host_mounts: File,
}

// === impl Supervisor ===

impl Supervisor {
    pub fn new(options: Options, machine: Machine) -> Self {
        Self {
            options,
            cgroups: machine.cgroups,
            crun: machine.crun,
            crun_version: machine.crun_version,
            filters: Filters::default(),
            reaper: machine.reaper,
            host_mounts: machine.host_mounts,
            sandboxes: RefCell::default(),
            containers: RefCell::default(),
            processes: RefCell::default(),
            events: broadcast::Sender::new(EVENTS),
            stopping: Cell::new(false),
            started_at: SystemTime::now(),
        }
    }

    /// Answers every request but those that take the connection over (`subscribe`, `exec`, `attach`, `shutdown`).
    pub async fn answer(self: &Rc<Self>, op: Op) -> Result<Value> {
        let creates = matches!(
            op,
            Op::SandboxCreate(_) | Op::ContainerCreate(_) | Op::ProcessStart(_)
        );
        if creates && self.stopping.get() {
            return Err(Failure::failed("the supervisor is shutting down"));
        }
        match op {
            Op::Hello => Ok(self.hello()),
            Op::SandboxCreate(spec) => sandbox::create(self, spec),
            Op::SandboxRemove { sandbox } => sandbox::remove(self, &sandbox).await,
            Op::SandboxList => Ok(sandbox::list(self)),
            Op::ContainerCreate(spec) => container::create(self, spec).await,
            Op::ContainerStart { container } => container::start(self, &container).await,
            Op::ContainerSignal { container, signal } => {
                container::signal(self, &container, signal)
            }
            Op::ContainerUpdate { container, limits } => {
                container::update(self, &container, &limits)
            }
            Op::ContainerRemove { container } => container::remove(self, &container).await,
            Op::ContainerList => Ok(container::list(self)),
            Op::ProcessStart(spec) => process::start(self, spec).await,
            Op::ProcessStop { process, grace_ms } => process::stop(self, &process, grace_ms).await,
            Op::ProcessList => Ok(process::list(self)),
            Op::Usage => Ok(self.usage()),
            Op::Subscribe | Op::Exec(_) | Op::Attach(_) | Op::Shutdown { .. } => {
                Err(Failure::failed("this request is not answered here"))
            }
        }
    }

    fn hello(&self) -> Value {
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "instance": self.options.instance,
            "started_at": timestamp::rfc3339(self.started_at),
            "crun": self.crun_version,
            "controllers": self.cgroups.names(),
        })
    }

    fn usage(&self) -> Value {
        let mut found = Map::new();
        for container in self
            .containers
            .borrow()
            .values()
            .filter(|one| one.is_live())
        {
            let usage = usage::of_group(&self.cgroups, &container.group);
            found.insert(container.id.clone(), json!(usage));
        }
        for process in self
            .processes
            .borrow()
            .values()
            .filter(|one| one.pid().is_some())
        {
            let usage = usage::of_group(&self.cgroups, &process.group);
            found.insert(process.id().to_owned(), json!(usage));
        }
        json!({ "usage": found })
    }

    /// Tells every subscriber; nobody listening is fine.
    pub fn emit(&self, event: &Value) {
        let mut line = event.to_string();
        line.push('\n');
        let _ = self.events.send(line.into());
    }

    /// Ends and removes everything. Returns once nothing of ours is left on the machine.
    pub async fn end_all(self: &Rc<Self>, grace_ms: u64) {
        self.stopping.set(true);
        container::end_all(self, grace_ms).await;
        process::end_all(self, grace_ms).await;
        let sandboxes: Vec<String> = self.sandboxes.borrow().keys().cloned().collect();
        for sandbox in sandboxes {
            if let Err(failure) = sandbox::remove(self, &sandbox).await {
                journal::warning!("cannot remove a sandbox", "sandbox": sandbox, "error": failure.message);
            }
        }
        let root = &self.options.cgroup_root;
        if !self.cgroups.kill(root).await || !self.cgroups.remove(root).await {
            journal::warning!("cgroups are left", "cgroup": root);
        }
    }
}
