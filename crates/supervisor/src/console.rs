//! Where the OCI runtime hands over the master of a terminal that it made.
use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::descriptors::{self, Async};
use crate::failure::{Context, Failure, Result};
use crate::private;

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A listening socket for one terminal, removed with it.
pub struct Console {
    listener: UnixListener,
    directory: fs::File,
    socket: PathBuf,
    name: String,
}

// === impl Console ===

impl Console {
    pub fn listen(run_dir: &Path) -> Result<Self> {
        let path = run_dir.join("consoles");
        let what = || format!("cannot listen for a terminal in {}", path.display());
        private::make_directory(&path).context(what)?;
        let directory = fs::File::open(&path).context(what)?;
        let name = format!("{}.sock", NUMBER.fetch_add(1, Ordering::Relaxed));
        let socket = path.join(&name);
        let listener = UnixListener::bind(near(&directory, &name)).context(what)?;
        let console = Self {
            listener,
            directory,
            socket,
            name,
        };
        console.listener.set_nonblocking(true).context(what)?;
        Ok(console)
    }

    /// What `--console-socket` is told.
    pub fn path(&self) -> PathBuf {
        near(&self.directory, &self.name)
    }

    /// The master. The runtime has connected, sent it, and ended: all is in the socket's buffer.
    pub fn receive(&self) -> Result<Async> {
        let what = || "crun sent no terminal".to_owned();
        let master = self.taken().context(what)?;
        let master = master.ok_or_else(|| Failure::failed(what()))?;
        descriptors::watch(master).context(|| "cannot use the terminal".to_owned())
    }

    fn taken(&self) -> std::io::Result<Option<OwnedFd>> {
        let (stream, _) = self.listener.accept()?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut name = [0; 256];
        let mut parts = [IoSliceMut::new(&mut name)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        recvmsg(&stream, &mut parts, &mut control, flags)?;
        let mut rights = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        Ok(rights.next())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.socket);
    }
}

/// A socket's path has 107 bytes at most; through /proc any directory is near.
fn near(directory: &fs::File, name: &str) -> PathBuf {
    let (pid, descriptor) = (std::process::id(), directory.as_raw_fd());
    PathBuf::from(format!("/proc/{pid}/fd/{descriptor}/{name}"))
}
