//! What an earlier life left on the machine is ended and removed before anything new starts.
use std::fs;

use crate::cgroups::Cgroups;
use crate::crun::{Crun, Standard};
use crate::failure::{Failure, Result};
use crate::journal;
use crate::options::Options;

/// Kills the containers and processes of an earlier supervisor of this run directory. Their mounts vanished with its
/// mount namespace as soon as the last of them is dead.
pub async fn recover(options: &Options, cgroups: &Cgroups, crun: &Crun) -> Result<()> {
    let root = &options.cgroup_root;
    let orphans = cgroups.members(root).len();
    if !cgroups.kill(root).await {
        let left = cgroups.members(root);
        return Err(Failure::failed(format!(
            "processes of an earlier life do not end: {left:?}"
        )));
    }
    let states: Vec<String> = fs::read_dir(crun.root())
        .map(|entries| {
            entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()
        })
        .unwrap_or_default();
    for container in states.iter().filter(|name| !name.starts_with('.')) {
        let args = ["--force", container.as_str()];
        if let Err(failure) = crun.run("delete", &args, container, Standard::null()).await {
            journal::warning!("crun cannot delete a container of an earlier life", "container": container, "error": failure.message);
            let _ = fs::remove_dir_all(crun.root().join(container));
        }
    }
    if !cgroups.remove(root).await {
        journal::warning!("cgroups of an earlier life are left", "cgroup": root);
    }
    for name in ["ns", "exec", "crun-logs"] {
        let _ = fs::remove_dir_all(options.run_dir.join(name));
    }
    if orphans > 0 || !states.is_empty() {
        journal::info!("cleaned up after an earlier life", "processes": orphans, "containers": states.len());
    }
    Ok(())
}
