//! The supervisor's private mount namespace, and the namespaces that a pod's containers share.
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};

use crate::failure::{Context, Failure, Result};
use crate::private;

const NETNS: &str = "/run/netns";
const HYBRID: &str = "/sys/fs/cgroup/unified";

/// What stays of the namespace that we came from.
pub struct Private {
    /// The machine's mount namespace, for native processes.
    pub host_mounts: File,
    /// Where the hybrid cgroup mount was.
    pub stand_in: Option<PathBuf>,
}

/// Moves this process into a mount namespace of its own. Must run before any thread exists.
pub fn enter_private() -> Result<Private> {
    share_netns().context(|| format!("cannot make {NETNS} a shared mount"))?;
    let host_mounts =
        File::open("/proc/self/ns/mnt").context(|| "cannot open /proc/self/ns/mnt".to_owned())?;
    unshare(UnshareFlags::NEWNS).context(|| "cannot make a mount namespace".to_owned())?;
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", slave).context(|| "cannot make / a slave mount".to_owned())?;
    let stand_in = hide_hybrid().context(|| format!("cannot hide {HYBRID}"))?;
    Ok(Private {
        host_mounts,
        stand_in,
    })
}

/// As iproute2 does: network namespaces that are made later must appear in our private namespace too.
fn share_netns() -> io::Result<()> {
    fs::create_dir_all(NETNS)?;
    let shared = MountPropagationFlags::SHARED | MountPropagationFlags::REC;
    match mount_change(NETNS, shared) {
        Err(Errno::INVAL) => {
            mount_bind(NETNS, NETNS)?;
            Ok(mount_change(NETNS, shared)?)
        }
        other => Ok(other?),
    }
}

/// crun 1.8 refuses a machine with version 1 controllers and a version 2 mount beside them. Without the mount it
/// writes plain files where it was; a small private file system takes them.
fn hide_hybrid() -> io::Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    if !mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some(HYBRID))
    {
        return Ok(None);
    }
    unmount(HYBRID, UnmountFlags::DETACH)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("cloudwright", HYBRID, "tmpfs", flags, c"size=4m,mode=0700")?;
    Ok(Some(HYBRID.into()))
}

#[allow(unsafe_code)]
fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: unsafe only for CLONE_FILES, which no caller passes.
    unsafe { unshare_unsafe(flags) }
}

/// Makes IPC and UTS namespaces and pins them as `directory/ipc` and `directory/uts`; beside them `directory/shm`,
/// the POSIX shared memory that goes with the IPC namespace.
pub fn pin(directory: &Path, hostname: &str) -> Result<()> {
    let shm = directory.join("shm");
    private::make_directory(&shm).context(|| format!("cannot make {}", shm.display()))?;
    for name in ["ipc", "uts"] {
        let file = directory.join(name);
        File::create(&file).context(|| format!("cannot make {}", file.display()))?;
    }
    // A thread of its own leaves its namespaces behind when it ends; only the pins keep them.
    let made = std::thread::scope(|scope| {
        let thread = scope.spawn(|| -> io::Result<()> {
            unshare(UnshareFlags::NEWIPC | UnshareFlags::NEWUTS)?;
            rustix::system::sethostname(hostname.as_bytes())?;
            let task = gettid().as_raw_nonzero();
            for name in ["ipc", "uts"] {
                let source = format!("/proc/self/task/{task}/ns/{name}");
                mount_bind(source.as_str(), directory.join(name))?;
            }
            Ok(())
        });
        thread.join()
    });
    let made = made.map(|made| made.and_then(|()| mount_shared_memory(&shm)));
    match made {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => {
            unpin(directory);
            Err(Failure::failed(format!(
                "cannot make the pod's namespaces: {error}"
            )))
        }
        Err(_) => Err(Failure::failed("the thread that makes namespaces panicked")),
    }
}

fn mount_shared_memory(target: &Path) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("shm", target, "tmpfs", flags, c"size=64m,mode=1777")?)
}

/// Undoes `pin`; what is missing is fine.
pub fn unpin(directory: &Path) {
    for name in ["ipc", "uts", "shm"] {
        let _ = unmount(directory.join(name), UnmountFlags::DETACH);
    }
    let _ = fs::remove_dir_all(directory);
}
