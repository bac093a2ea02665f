//! From the command line to a listening socket, in the foreground or the background.
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::{getpid, set_child_subreaper, setsid, umask};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::cgroups::Cgroups;
use crate::crun::Crun;
use crate::failure::{Code, Context, Failure, Result};
use crate::namespaces::{self, Private};
use crate::options::{HELP, Options, UsageError};
use crate::reaper::Reaper;
use crate::supervisor::{Machine, Supervisor};
use crate::{journal, recovery, server};

/// What the background process says on standard output once it listens.
const READY: &str = "ready";
/// The log of an earlier life is put aside when it is larger than this.
const LOG_MAX: u64 = 8 * 1024 * 1024;

/// Exit codes as the command line's: 0 done, 1 failed, 2 wrong usage, 7 another one runs.
pub fn run(args: &[String]) -> i32 {
    let options = match Options::parse(args) {
        Ok(options) => options,
        Err(UsageError::Help) => {
            let _ = io::stdout().write_all(HELP.as_bytes());
            return 0;
        }
        Err(error) => {
            complain(&format!(
                "{error}\nhint: cloudwright-native supervisor --help"
            ));
            return 2;
        }
    };
    let outcome = if options.detach {
        detach(&options, args)
    } else {
        foreground(options)
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            complain(&failure.message);
            if failure.code == Code::Exists { 7 } else { 1 }
        }
    }
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "error: {text}");
}

/// Starts this program again in the background and returns once that listens.
fn detach(options: &Options, args: &[String]) -> Result<i32> {
    make_run_dir(&options.run_dir)?;
    let log = options
        .log_file
        .clone()
        .unwrap_or_else(|| options.run_dir.join("supervisor.log"));
    let what = || format!("cannot open {}", log.display());
    if fs::metadata(&log).is_ok_and(|found| found.len() > LOG_MAX) {
        fs::rename(&log, log.with_extension("log.1")).context(what)?;
    }
    let stderr = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&log)
        .context(what)?;
    let program = std::env::current_exe().context(|| "cannot find this program".to_owned())?;
    let mut child = Command::new(program)
        .arg("supervisor")
        .args(args.iter().filter(|word| *word != "--detach"))
        .arg("--announce")
        // The multi-call binary's allocator asks for huge pages: 4 MiB that a process of this size never uses. The
        // setting is inherited, so whatever we start is given them back.
        .env("MIMALLOC_ALLOW_THP", "0")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .context(|| "cannot start in the background".to_owned())?;
    let mut said = String::new();
    if let Some(output) = child.stdout.take() {
        io::BufReader::new(output)
            .read_line(&mut said)
            .context(what)?;
    }
    if said.trim() == READY {
        return Ok(0);
    }
    let status = child
        .wait()
        .context(|| "cannot wait for the supervisor".to_owned())?;
    let code = if status.code() == Some(7) {
        Code::Exists
    } else {
        Code::Failed
    };
    let reason = last_error(&log);
    Err(Failure::new(
        code,
        reason.unwrap_or_else(|| format!("the supervisor ended ({status})")),
    ))
}

/// The error at the end of the log, with its hint.
fn last_error(log: &Path) -> Option<String> {
    let text = fs::read_to_string(log).ok()?;
    let start = text.rfind("error: ")?;
    text.get(start..)
        .map(|found| found.trim_start_matches("error: ").trim_end().to_owned())
}

fn foreground(options: Options) -> Result<i32> {
    if options.announce {
        // A child of the one who asked, so never a group's leader: this cannot fail for that reason.
        setsid().context(|| "cannot start a session".to_owned())?;
    }
    // The runtime makes mount points inside containers, which every user there must be able to pass.
    umask(Mode::from_raw_mode(0o022));
    make_run_dir(&options.run_dir)?;
    let lock = lock(&options)?;
    let crun_version = crun_version(&options.crun)?;
    let Private {
        host_mounts,
        stand_in,
    } = namespaces::enter_private()?;
    set_child_subreaper(Some(getpid())).context(|| "cannot become a subreaper".to_owned())?;
    let cgroups = Cgroups::find(stand_in).context(|| "cannot find the cgroups".to_owned())?;
    let reaper = Rc::new(Reaper::default());
    let limit = Duration::from_millis(options.create_timeout_ms);
    let crun = Crun::new(
        options.crun.clone(),
        &options.run_dir,
        limit,
        Rc::clone(&reaper),
    );
    let machine = Machine {
        cgroups,
        crun,
        crun_version,
        reaper,
        host_mounts,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context(|| "cannot start the event loop".to_owned())?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, serve(options, machine))?;
    drop(lock);
    Ok(0)
}

async fn serve(options: Options, machine: Machine) -> Result<()> {
    let what = || "cannot handle signals".to_owned();
    let mut ended = signal(SignalKind::child()).context(what)?;
    let mut terminate = signal(SignalKind::terminate()).context(what)?;
    let mut interrupt = signal(SignalKind::interrupt()).context(what)?;
    let mut hangup = signal(SignalKind::hangup()).context(what)?;
    let reaper = Rc::clone(&machine.reaper);
    tokio::task::spawn_local(async move {
        while ended.recv().await.is_some() {
            reaper.reap();
        }
    });
    tokio::task::spawn_local(async move { while hangup.recv().await.is_some() {} });
    recovery::recover(&options, &machine.cgroups, &machine.crun).await?;
    machine.crun.prepare()?;
    let socket = options.run_dir.join("supervisor.sock");
    let listener = listen(&socket)?;
    let announce = options.announce;
    let supervisor = Rc::new(Supervisor::new(options, machine));
    let done = Rc::new(Notify::new());
    let stopping = Rc::clone(&supervisor);
    let stopped = Rc::clone(&done);
    tokio::task::spawn_local(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.end_all(2000).await;
        stopped.notify_one();
    });
    journal::info!("listening", "socket": socket, "pid": std::process::id());
    if announce {
        say_ready()?;
    }
    server::serve(supervisor, listener, done).await;
    let _ = fs::remove_file(&socket);
    journal::info!("ended");
    Ok(())
}

fn listen(socket: &Path) -> Result<UnixListener> {
    let what = || format!("cannot listen on {}", socket.display());
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).context(what),
        _ => {} // the lock says that nobody listens on an old one
    }
    let usual = umask(Mode::from_raw_mode(0o177));
    let listener = UnixListener::bind(socket).context(what);
    umask(usual);
    listener
}

/// Tells the waiting parent, then lets go of its pipe.
fn say_ready() -> Result<()> {
    let what = || "cannot say that the socket listens".to_owned();
    let mut output = io::stdout();
    output
        .write_all(format!("{READY}\n").as_bytes())
        .context(what)?;
    output.flush().context(what)?;
    let null = OpenOptions::new()
        .write(true)
        .open("/dev/null")
        .context(what)?;
    rustix::stdio::dup2_stdout(&null).context(what)
}

/// Others may pass through (the proxies have directories of their own below), but not look around.
fn make_run_dir(directory: &Path) -> Result<()> {
    let what = || format!("cannot make {}", directory.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o711)
        .create(directory)
        .context(what)
}

/// One supervisor per run directory; the lock goes with the process.
fn lock(options: &Options) -> Result<File> {
    let path = options.run_dir.join("supervisor.lock");
    let what = || format!("cannot lock {}", path.display());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .context(what)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let message = format!("another supervisor runs for {}", options.run_dir.display());
            Err(Failure::new(Code::Exists, message))
        }
        Err(error) => Err(error).context(what),
    }
}

/// The first line of `crun --version`, which also proves that it is there.
fn crun_version(program: &Path) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .map_err(|error| {
            let hint = "hint: install the package crun, or pass --crun PATH";
            Failure::failed(format!("cannot run {}: {error}\n{hint}", program.display()))
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default();
    Ok(line
        .strip_prefix("crun version ")
        .unwrap_or(line)
        .to_owned())
}
