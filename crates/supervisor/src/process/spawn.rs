//! From fork to exec: namespaces, cgroup, identity and privileges of a native process.
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::rc::Rc;

use rustix::process::{Gid, Uid, setsid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, LinkNameSpaceType, clear_ambient_capability_set,
    disable_transparent_huge_pages, move_into_link_name_space, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid,
};

use super::Process;
use crate::descriptors;
use crate::failure::{Context, Result};
use crate::logs::{Stream, pump};
use crate::reaper::Ending;
use crate::supervisor::Supervisor;

/// What the child needs between fork and exec; all opened before, as it may not allocate there.
struct Preparation {
    cgroups: Vec<File>,
    host_mounts: File,
    network: Option<File>,
    uid: u32,
    gid: u32,
}

/// Starts the process and the pumps of its output.
pub fn spawn(supervisor: &Supervisor, process: &Process) -> Result<(i32, Ending)> {
    let spec = &process.spec;
    let network = match &spec.netns {
        Some(path) => {
            let what = || format!("cannot open network namespace {}", path.display());
            Some(File::open(path).context(what)?)
        }
        None => None,
    };
    let what = || "cannot duplicate a descriptor".to_owned();
    let preparation = Preparation {
        cgroups: supervisor.cgroups.enter(&process.group, &spec.limits)?,
        host_mounts: supervisor.host_mounts.try_clone().context(what)?,
        network,
        uid: spec.uid,
        gid: spec.gid,
    };
    let program = spec.argv.first().map(String::as_str).unwrap_or_default();
    let mut command = Command::new(program);
    command
        .args(spec.argv.iter().skip(1))
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(&spec.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut sources = Vec::new();
    if process.sink.is_some() {
        let what = || "cannot make a pipe".to_owned();
        let (out, child_out) = descriptors::output_pipe().context(what)?;
        let (err, child_err) = descriptors::output_pipe().context(what)?;
        command.stdout(child_out).stderr(child_err);
        sources = vec![(out, Stream::Stdout), (err, Stream::Stderr)];
    }
    become_unprivileged(&mut command, preparation);
    let child = command
        .spawn()
        .context(|| format!("cannot start {program}"))?;
    let pid = child.id().cast_signed();
    let ending = supervisor.reaper.watch(pid);
    for (source, stream) in sources {
        let sink = process.sink.as_ref().map(Rc::clone);
        tokio::task::spawn_local(pump(Rc::new(source), stream, sink, None));
    }
    Ok((pid, ending))
}

#[allow(unsafe_code)]
fn become_unprivileged(command: &mut Command, preparation: Preparation) {
    // SAFETY: between fork and exec only plain system calls are made; nothing allocates or takes a lock.
    unsafe {
        command.pre_exec(move || preparation.apply());
    }
}

// === impl Preparation ===

impl Preparation {
    fn apply(&self) -> io::Result<()> {
        setsid()?;
        disable_transparent_huge_pages(false)?; // our own setting, not theirs
        for entry in &self.cgroups {
            rustix::io::write(entry, b"0")?;
        }
        move_into_link_name_space(self.host_mounts.as_fd(), Some(LinkNameSpaceType::Mount))?;
        if let Some(network) = &self.network {
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        }
        // The bounding set shrinks while we may still do that; the rest goes with the uid.
        for capability in CapabilitySet::all().iter() {
            match remove_capability_from_bounding_set(capability) {
                // Beyond the last capability that this kernel knows.
                Ok(()) | Err(rustix::io::Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&[])?;
        set_thread_gid(gid)?;
        set_thread_uid(uid)?;
        let none = CapabilitySet::empty();
        let sets = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        set_capabilities(None, sets)?;
        clear_ambient_capability_set()?;
        set_no_new_privs(true)?;
        Ok(())
    }
}
