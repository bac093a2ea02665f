//! Calls of the OCI runtime, with a time limit and its complaint in one line.
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::disable_transparent_huge_pages;
use serde::Deserialize;

use crate::failure::{Code, Context, Failure, Result};
use crate::private;
use crate::reaper::{Exit, Reaper};

/// The runtime and where it keeps its state.
pub struct Crun {
    program: PathBuf,
    root: PathBuf,
    logs: PathBuf,
    limit: Duration,
    reaper: Rc<Reaper>,
}

/// The three descriptors of a call; what the container's process inherits.
pub struct Standard {
    pub input: Stdio,
    pub output: Stdio,
    pub error: Stdio,
}

// === impl Standard ===

impl Standard {
    pub fn null() -> Self {
        Self {
            input: Stdio::null(),
            output: Stdio::null(),
            error: Stdio::null(),
        }
    }
}

// === impl Crun ===

impl Crun {
    pub fn new(program: PathBuf, run_dir: &Path, limit: Duration, reaper: Rc<Reaper>) -> Self {
        Self {
            program,
            root: run_dir.join("crun"),
            logs: run_dir.join("crun-logs"),
            limit,
            reaper,
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the directories that calls need.
    pub fn prepare(&self) -> Result<()> {
        for directory in [&self.root, &self.logs] {
            private::make_directory(directory)
                .context(|| format!("cannot make {}", directory.display()))?;
        }
        Ok(())
    }

    /// Runs one verb to its end. `log` names the file for the runtime's own complaints and must be unique to the call.
    pub async fn run(
        &self,
        verb: &str,
        args: &[&str],
        log: &str,
        standard: Standard,
    ) -> Result<()> {
        let log = self.logs.join(format!("{log}.{verb}"));
        let mut command = Command::new(&self.program);
        command
            .arg("--root")
            .arg(&self.root)
            .args(["--cgroup-manager=cgroupfs", "--log-format=json", "--log"])
            .arg(&log)
            .arg(verb)
            .args(args)
            .stdin(standard.input)
            .stdout(standard.output)
            .stderr(standard.error)
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .current_dir("/")
            .process_group(0);
        end_with_us(&mut command);
        let child = command
            .spawn()
            .context(|| format!("cannot run {}", self.program.display()))?;
        drop(command); // and with it our copies of the child's ends of the pipes
        let pid = child.id().cast_signed();
        let ending = self.reaper.watch(pid);
        let outcome = tokio::time::timeout(self.limit, ending).await;
        let complaint = complaint(&fs::read_to_string(&log).unwrap_or_default());
        let _ = fs::remove_file(&log);
        match outcome {
            Ok(Ok(Exit::Code(0))) => Ok(()),
            Ok(Ok(exit)) => Err(explain(verb, exit, complaint)),
            Ok(Err(_)) => Err(Failure::failed(format!(
                "crun {verb}: its end was not seen"
            ))),
            Err(_) => {
                self.reaper.kill_group(pid, Signal::KILL);
                let limit = self.limit.as_millis();
                let message = format!("crun {verb} did not end within {limit} ms and was killed");
                Err(Failure::new(Code::Timeout, message))
            }
        }
    }
}

/// A call that outlived a killed supervisor could finish a container behind the back of the next one.
#[allow(unsafe_code)]
fn end_with_us(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec only plain system calls are made; nothing allocates or takes a lock.
    unsafe {
        command.pre_exec(move || {
            disable_transparent_huge_pages(false)?; // our own setting, not the containers'
            set_parent_process_death_signal(Some(Signal::KILL))?;
            if getppid() == Some(parent) {
                Ok(())
            } else {
                Err(rustix::io::Errno::CHILD.into())
            }
        });
    }
}

#[derive(Deserialize)]
struct LogLine {
    #[serde(default)]
    level: String,
    msg: String,
}

/// The last error in the runtime's JSON log, else its last line.
fn complaint(log: &str) -> Option<String> {
    let mut lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<LogLine>(line).ok());
    let errors = lines.rfind(|line| line.level == "error" && !line.msg.trim().is_empty());
    let text = match errors {
        Some(line) => line.msg,
        None => log
            .lines()
            .rfind(|line| !line.trim().is_empty())?
            .to_owned(),
    };
    Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn explain(verb: &str, exit: Exit, complaint: Option<String>) -> Failure {
    let how = match exit {
        Exit::Code(code) => format!("ended with code {code}"),
        Exit::Signal(signal) => format!("was ended by signal {signal}"),
    };
    Failure::failed(match complaint {
        Some(text) => format!("crun {verb}: {text}"),
        None => format!("crun {verb} {how} and gave no reason"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_is_the_complaint() {
        let log = concat!(
            "{\"msg\":\"a warning\",\"level\":\"warning\",\"time\":\"t\"}\n",
            "{\"msg\":\"executable file `/nope` not found in $PATH:\\n No such file\",",
            "\"level\":\"error\",\"time\":\"t\"}\n",
        );
        let failure = explain("create", Exit::Code(1), complaint(log));
        assert_eq!(
            failure.message,
            "crun create: executable file `/nope` not found in $PATH: No such file"
        );
    }

    #[test]
    fn a_log_that_is_not_json_and_no_log_at_all() {
        let failure = explain("start", Exit::Code(1), complaint("garbage\nlast words\n\n"));
        assert_eq!(failure.message, "crun start: last words");
        let failure = explain("start", Exit::Signal(11), complaint(""));
        assert_eq!(
            failure.message,
            "crun start was ended by signal 11 and gave no reason"
        );
    }
}
