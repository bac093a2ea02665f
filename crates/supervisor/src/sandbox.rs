//! A pod's shared IPC and UTS namespaces; its network namespace is made by others and given by path.
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::container;
use crate::failure::{Code, Failure, Result};
use crate::namespaces;
use crate::protocol::{SandboxCreate, check_id};
use crate::supervisor::Supervisor;

pub struct Sandbox {
    spec: SandboxCreate,
    /// Being removed: no container may join any more.
    closing: bool,
}

/// What a container of the pod joins, by path.
pub struct Shared {
    pub shm: PathBuf,
    pub ipc: PathBuf,
    pub uts: PathBuf,
    pub network: PathBuf,
}

/// Makes the namespaces; the same request again is fine.
pub fn create(supervisor: &Rc<Supervisor>, spec: SandboxCreate) -> Result<Value> {
    check_id("sandbox", &spec.sandbox)?;
    if spec.hostname.is_empty() || spec.hostname.len() > 63 {
        return Err(Failure::invalid("hostname must have 1 to 63 bytes"));
    }
    if !spec.netns.is_absolute() || !spec.netns.exists() {
        let message = format!("there is no network namespace {}", spec.netns.display());
        return Err(Failure::invalid(message));
    }
    let mut sandboxes = supervisor.sandboxes.borrow_mut();
    if let Some(existing) = sandboxes.get(&spec.sandbox) {
        if existing.spec == spec && !existing.closing {
            return Ok(json!({}));
        }
        let message = format!("sandbox {} exists already, made otherwise", spec.sandbox);
        return Err(Failure::new(Code::Exists, message));
    }
    namespaces::pin(&directory(supervisor, &spec.sandbox), &spec.hostname)?;
    sandboxes.insert(
        spec.sandbox.clone(),
        Sandbox {
            spec,
            closing: false,
        },
    );
    Ok(json!({}))
}

/// Removes the containers of a sandbox and its namespaces.
pub async fn remove(supervisor: &Rc<Supervisor>, id: &str) -> Result<Value> {
    check_id("sandbox", id)?;
    match supervisor.sandboxes.borrow_mut().get_mut(id) {
        Some(sandbox) => sandbox.closing = true,
        None => return Ok(json!({})),
    }
    let members: Vec<String> = supervisor
        .containers
        .borrow()
        .values()
        .filter(|container| container.sandbox == id)
        .map(|container| container.id.clone())
        .collect();
    for container in members {
        container::remove(supervisor, &container).await?;
    }
    namespaces::unpin(&directory(supervisor, id));
    supervisor.cgroups.remove_if_empty(&group(supervisor, id));
    supervisor.sandboxes.borrow_mut().remove(id);
    Ok(json!({}))
}

pub fn list(supervisor: &Supervisor) -> Value {
    let sandboxes: Vec<Value> = supervisor
        .sandboxes
        .borrow()
        .values()
        .map(|Sandbox { spec, .. }| {
            json!({"sandbox": spec.sandbox, "hostname": spec.hostname, "netns": spec.netns})
        })
        .collect();
    json!({ "sandboxes": sandboxes })
}

/// The namespaces that a new container joins.
pub fn shared(supervisor: &Supervisor, id: &str) -> Result<Shared> {
    let sandboxes = supervisor.sandboxes.borrow();
    match sandboxes.get(id) {
        Some(sandbox) if !sandbox.closing => {
            let pins = directory(supervisor, id);
            Ok(Shared {
                shm: pins.join("shm"),
                ipc: pins.join("ipc"),
                uts: pins.join("uts"),
                network: sandbox.spec.netns.clone(),
            })
        }
        _ => Err(Failure::not_found("sandbox", id)),
    }
}

/// The cgroup above all of the pod's.
pub fn group(supervisor: &Supervisor, id: &str) -> String {
    format!("{}/pod{id}", supervisor.options.cgroup_root)
}

fn directory(supervisor: &Supervisor, id: &str) -> PathBuf {
    supervisor.options.run_dir.join("ns").join(id)
}
