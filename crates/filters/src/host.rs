//! The host's process: started with one end of a socket as its standard input, watched, started
//! again with growing pauses when it ends or is stuck.

use std::ffi::OsString;
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};

use crate::client::Client;
use crate::event::{Event, Report};
use crate::io::Io;
use crate::link::{Link, Shared};
use crate::table::Table;

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_AT_MOST: Duration = Duration::from_secs(10);
/// A host that lived this long is started again at once.
const STEADY: Duration = Duration::from_secs(10);
/// The only variables of the proxy's environment that the host is given.
const VARIABLES: [&str; 6] = ["PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR"];

/// How the host is started.
#[derive(Clone)]
pub struct Options {
    /// The interpreter, as `/opt/venv/bin/python`.
    pub python: PathBuf,
    /// The folder of filters.
    pub folder: PathBuf,
    /// How long it may take until it has announced its filters. Default: 10 s.
    pub start: Duration,
    /// How long it may owe an answer, after a call was late, before it is killed. Default: 1 s.
    pub stall: Duration,
    /// How long it may take to end by itself, before it is killed. Default: 2 s.
    pub leave: Duration,
    /// Takes what an operator wants to read.
    pub report: Report,
}

impl Options {
    /// With the usual limits.
    #[must_use]
    pub fn new(python: PathBuf, folder: PathBuf, report: Report) -> Self {
        let start = Duration::from_secs(10);
        let (stall, leave) = (Duration::from_secs(1), Duration::from_secs(2));
        Self {
            python,
            folder,
            start,
            stall,
            leave,
            report,
        }
    }
}

/// Why one life of the host ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("cannot be started: {0}")]
    Start(io::Error),
    #[error("announced nothing within {0:?}")]
    Silent(Duration),
    #[error("was stuck in a filter for {0:?} and was killed")]
    Stuck(Duration),
    #[error("ended: {0}")]
    Exited(String),
}

/// The supervisor of the host's process.
pub struct Host {
    shared: Arc<Shared>,
}

impl Host {
    /// The proxy's handle and the supervisor, which does nothing until it is run.
    #[must_use]
    pub fn new(options: Options) -> (Client, Self) {
        let shared = Arc::new(Shared {
            table: ArcSwap::from_pointee(Table::default()),
            link: Mutex::new(Link::default()),
            options,
            late: Notify::new(),
            loaded: watch::channel(0).0,
        });
        (
            Client {
                shared: Arc::clone(&shared),
            },
            Self { shared },
        )
    }

    /// Keep a host alive until `shutdown` is over; then let it end by itself, within
    /// `Options::leave`.
    /// Let the last requests end before: afterwards they are treated as without a host.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let mut pause = PAUSE_FIRST;
        loop {
            let started = Instant::now();
            let ended = self.live(shutdown.as_mut()).await;
            self.shared.link().down();
            let Some(ended) = ended else { return };
            pause = match started.elapsed() > STEADY {
                true => PAUSE_FIRST,
                false => (2 * pause).min(PAUSE_AT_MOST),
            };
            let retry_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            self.shared.report()(Event::HostEnded {
                message: ended.to_string(),
                retry_ms,
            });
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut shutdown => return,
            }
        }
    }

    /// One life of the host; `None` when it ended because of `shutdown`.
    async fn live(&self, shutdown: Pin<&mut impl Future<Output = ()>>) -> Option<Ended> {
        let (mut child, stream) = match self.start() {
            Ok(started) => started,
            Err(error) => return Some(Ended::Start(error)),
        };
        // Its socket is closed when this is over, so that the host ends by itself.
        let io = Io::new(Arc::clone(&self.shared), stream).run();
        let ended = tokio::select! {
            error = io => Some(Ended::Exited(error.to_string())),
            ended = self.silent() => Some(ended),
            ended = self.stuck() => Some(ended),
            () = shutdown => None,
        };
        if matches!(ended, None | Some(Ended::Exited(_)))
            && let Ok(Ok(status)) =
                tokio::time::timeout(self.shared.options.leave, child.wait()).await
        {
            return match ended {
                Some(_) if !status.success() => Some(Ended::Exited(status.to_string())),
                ended => ended,
            };
        }
        // Dropping the child would kill it as well; waiting reaps it now.
        match child.kill().await {
            Ok(()) => ended,
            Err(error) => Some(Ended::Exited(format!("it cannot be killed: {error}"))),
        }
    }

    fn start(&self) -> io::Result<(Child, UnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let options = &self.shared.options;
        let variables = VARIABLES
            .iter()
            .filter_map(|name| std::env::var_os(name).map(|value| (OsString::from(name), value)));
        let child = Command::new(&options.python)
            .args(["-I", "-m", "cloudwright.proxy.host"])
            .arg(&options.folder)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let process = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        self.shared.link().process = process.map(Arc::new);
        Ok((child, UnixStream::from_std(ours)?))
    }

    /// Ends when the host has not announced its filters in time.
    async fn silent(&self) -> Ended {
        let patience = self.shared.options.start;
        tokio::time::sleep(patience).await;
        if self.shared.link().up {
            std::future::pending::<()>().await;
        }
        Ended::Silent(patience)
    }

    /// Ends when the host owes an answer for too long after a call was late.
    async fn stuck(&self) -> Ended {
        let stall = self.shared.options.stall;
        loop {
            self.shared.late.notified().await;
            loop {
                let owing = self.shared.link().owing;
                let Some(left) = owing.map(|since| stall.saturating_sub(since.elapsed())) else {
                    break;
                };
                if left.is_zero() {
                    self.blame();
                    return Ended::Stuck(stall);
                }
                tokio::time::sleep(left).await;
            }
        }
    }

    /// The filters of the call that never came back are not asked again for a while.
    fn blame(&self) {
        use std::sync::atomic::Ordering::Relaxed;

        let Some(filters) = self.shared.link().overdue.take() else {
            return;
        };
        let table = self.shared.table.load();
        for state in filters.iter().filter_map(|id| table.state(*id)) {
            state.timeouts.fetch_add(1, Relaxed);
            self.shared.failed(state, true, || {
                "did not return, its host was killed".to_owned()
            });
        }
    }
}
