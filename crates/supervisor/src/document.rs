//! What the supervisor adds to a container's `config.json`.
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::container::{self, Container};
use crate::failure::{Context, Failure, Result};
use crate::sandbox::Shared;
use crate::supervisor::Supervisor;

/// Writes into the bundle's `config.json` what only we know. Returns the seccomp profile when its compiled form is
/// worth keeping.
pub fn complete(
    supervisor: &Supervisor,
    container: &Container,
    shared: &Shared,
    pid: Option<&Path>,
) -> Result<Option<String>> {
    let config = container.bundle.join("config.json");
    let what = || format!("cannot use {}", config.display());
    let text = fs::read(&config).context(what)?;
    let mut document: Value = serde_json::from_slice(&text).context(what)?;
    join_pod(&mut document, &container.group, shared, pid)
        .ok_or_else(|| Failure::invalid(format!("{} has no linux section", config.display())))?;
    let profile = supervisor.filters.apply(&mut document);
    let text = serde_json::to_vec(&document).context(what)?;
    fs::write(&config, text).context(what)?;
    Ok(profile)
}

/// The PID namespace of another container of the same sandbox.
pub fn processes_of(
    supervisor: &Supervisor,
    container: &Container,
    target: &str,
) -> Result<PathBuf> {
    let other = container::find(supervisor, target)?;
    let pid = other.pid();
    match pid {
        Some(pid) if other.sandbox == container.sandbox => {
            Ok(PathBuf::from(format!("/proc/{pid}/ns/pid")))
        }
        Some(_) => Err(Failure::invalid(format!(
            "container {target} is of another sandbox"
        ))),
        None => Err(Failure::invalid(format!("container {target} does not run"))),
    }
}

/// The pod's namespaces and shared memory by path, and the cgroup. None when the document has no `linux`.
fn join_pod(document: &mut Value, group: &str, shared: &Shared, pid: Option<&Path>) -> Option<()> {
    let linux = document.get_mut("linux").and_then(Value::as_object_mut)?;
    linux.insert("cgroupsPath".into(), group.into());
    linux.insert(
        "namespaces".into(),
        json!([
            pid.map_or_else(|| json!({"type": "pid"}), |path| json!({"type": "pid", "path": path})),
            {"type": "mount"},
            {"type": "cgroup"},
            {"type": "ipc", "path": shared.ipc},
            {"type": "uts", "path": shared.uts},
            {"type": "network", "path": shared.network},
        ]),
    );
    if let Some(top) = document.as_object_mut() {
        top.remove("hostname"); // the shared UTS namespace has it
    }
    let mounts = document.get_mut("mounts").and_then(Value::as_array_mut);
    for mount in mounts
        .into_iter()
        .flatten()
        .filter(|mount| mount["destination"] == "/dev/shm")
    {
        mount["type"] = "bind".into();
        mount["source"] = json!(shared.shm);
        mount["options"] = json!(["bind", "rprivate", "nosuid", "noexec", "nodev"]);
    }
    Some(())
}

/// What the runtime left in its pid file.
pub fn read_pid(file: &Path) -> Result<i32> {
    let what = || format!("crun create left no pid in {}", file.display());
    fs::read_to_string(file)
        .context(what)?
        .trim()
        .parse()
        .context(what)
}

pub fn utf8(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| Failure::invalid(format!("{} is not UTF-8", path.display())))
}
