//! Commands inside a running container; their streams travel as frames on the connection that asked.
mod session;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::console::Console;
use crate::container::{self, Container};
use crate::crun::Standard;
use crate::descriptors::{self, Async};
use crate::failure::{Context, Failure, Result};
use crate::private;
use crate::protocol::{Channel, Exec, answer};
use crate::reaper::Ending;
use crate::server::{Reader, Writer};
use crate::supervisor::Supervisor;

static NUMBER: AtomicU64 = AtomicU64::new(1);

/// A started command.
struct Started {
    pid: i32,
    ending: Ending,
    input: Option<Rc<Async>>,
    outputs: Vec<(Channel, Rc<Async>)>,
    /// The terminal's master when there is one; it is then also input and output.
    terminal: Option<Rc<Async>>,
}

/// Starts the command, answers, and carries frames until it ends or the client goes away.
pub async fn serve(
    supervisor: Rc<Supervisor>,
    id: u64,
    spec: Exec,
    reader: Reader,
    writer: Writer,
) {
    match start(&supervisor, &spec).await {
        Err(failure) => {
            writer.send(answer(id, &Err(failure)).as_bytes()).await;
        }
        Ok(started) => {
            let reply = answer(id, &Ok(json!({"pid": started.pid})));
            let listening = writer.send(reply.as_bytes()).await;
            session::run(&supervisor.reaper, started, reader, writer, listening).await;
        }
    }
}

async fn start(supervisor: &Rc<Supervisor>, spec: &Exec) -> Result<Started> {
    if spec.argv.is_empty() {
        return Err(Failure::invalid("argv must not be empty"));
    }
    let container = container::find(supervisor, &spec.container)?;
    if !container.is_running() {
        return Err(Failure::invalid(format!(
            "container {} does not run",
            spec.container
        )));
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let files = Files::make(&supervisor.options.run_dir, number)?;
    let process = process_document(&container, spec)?;
    fs::write(&files.process, process.to_string())
        .context(|| format!("cannot write {}", files.process.display()))?;
    if spec.tty {
        start_terminal(supervisor, &container, &files, number).await
    } else {
        start_piped(supervisor, &container, &files, spec.stdin, number).await
    }
}

async fn start_piped(
    supervisor: &Rc<Supervisor>,
    container: &Container,
    files: &Files,
    stdin: bool,
    number: u64,
) -> Result<Started> {
    let what = || "cannot make a pipe".to_owned();
    let (out, child_out) = descriptors::output_pipe().context(what)?;
    let (err, child_err) = descriptors::output_pipe().context(what)?;
    let (input, child_in) = if stdin {
        let (input, child_in) = descriptors::input_pipe().context(what)?;
        (Some(Rc::new(input)), child_in)
    } else {
        (None, Stdio::null())
    };
    let standard = Standard {
        input: child_in,
        output: child_out,
        error: child_err,
    };
    let (pid, ending) = launch(supervisor, container, files, standard, None, number).await?;
    let outputs = vec![
        (Channel::Stdout, Rc::new(out)),
        (Channel::Stderr, Rc::new(err)),
    ];
    Ok(Started {
        pid,
        ending,
        input,
        outputs,
        terminal: None,
    })
}

async fn start_terminal(
    supervisor: &Rc<Supervisor>,
    container: &Container,
    files: &Files,
    number: u64,
) -> Result<Started> {
    let console = Console::listen(&supervisor.options.run_dir)?;
    let standard = Standard::null();
    let launched = launch(
        supervisor,
        container,
        files,
        standard,
        Some(&console),
        number,
    );
    let (pid, ending) = launched.await?;
    let master = match console.receive() {
        Ok(master) => master,
        Err(failure) => {
            supervisor
                .reaper
                .kill_group(pid, rustix::process::Signal::KILL);
            return Err(failure);
        }
    };
    let master = Rc::new(master);
    Ok(Started {
        pid,
        ending,
        input: Some(Rc::clone(&master)),
        outputs: vec![(Channel::Stdout, Rc::clone(&master))],
        terminal: Some(master),
    })
}

async fn launch(
    supervisor: &Rc<Supervisor>,
    container: &Container,
    files: &Files,
    standard: Standard,
    console: Option<&Console>,
    number: u64,
) -> Result<(i32, Ending)> {
    let process = files.process.to_string_lossy();
    let pid_file = files.pid.to_string_lossy();
    let mut args = vec!["--detach", "--process", &process, "--pid-file", &pid_file];
    let console = console.map(|console| console.path().to_string_lossy().into_owned());
    if let Some(console) = &console {
        args.extend(["--tty", "--console-socket", console]);
    }
    args.push(&container.id);
    let expectation = supervisor.reaper.expect();
    let log = format!("{}.{number}", container.id);
    supervisor.crun.run("exec", &args, &log, standard).await?;
    let what = || "crun exec left no pid".to_owned();
    let pid: i32 = fs::read_to_string(&files.pid)
        .context(what)?
        .trim()
        .parse()
        .context(what)?;
    Ok((pid, expectation.claim(pid)))
}

/// The container's own process with another command: same user, capabilities and limits.
fn process_document(container: &Container, spec: &Exec) -> Result<Value> {
    let config = container.bundle.join("config.json");
    let what = || format!("cannot use {}", config.display());
    let text = fs::read(&config).context(what)?;
    let mut config: Value = serde_json::from_slice(&text).context(what)?;
    let mut process = config["process"].take();
    process["args"] = json!(spec.argv);
    process["terminal"] = json!(spec.tty);
    if let Some(cwd) = &spec.cwd {
        process["cwd"] = json!(cwd);
    }
    if let Some(user) = spec.user {
        process["user"]["uid"] = json!(user.uid);
        process["user"]["gid"] = json!(user.gid);
    }
    let mut env: Vec<String> = process["env"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|pair| {
            !spec
                .env
                .contains_key(pair.split('=').next().unwrap_or_default())
        })
        .map(str::to_owned)
        .collect();
    env.extend(
        spec.env
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    if spec.tty && !env.iter().any(|pair| pair.starts_with("TERM=")) {
        env.push("TERM=xterm".to_owned());
    }
    process["env"] = json!(env);
    Ok(process)
}

/// The files of one exec, removed with it.
struct Files {
    process: PathBuf,
    pid: PathBuf,
}

// === impl Files ===

impl Files {
    fn make(run_dir: &Path, number: u64) -> Result<Self> {
        let path = run_dir.join("exec");
        private::make_directory(&path).context(|| format!("cannot use {}", path.display()))?;
        Ok(Self {
            process: path.join(format!("{number}.json")),
            pid: path.join(format!("{number}.pid")),
        })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for file in [&self.process, &self.pid] {
            let _ = fs::remove_file(file);
        }
    }
}
