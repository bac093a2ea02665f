//! The command line.
use std::path::PathBuf;

pub const HELP: &str = "\
usage: cloudwright-native supervisor --run-dir DIR --instance INST [options]

Holds the containers and native processes of one Cloudwright instance and answers on DIR/supervisor.sock.

  --run-dir DIR        sockets, locks and crun's state
  --instance INST      the instance's six hex digits
  --cgroup-root PATH   where its cgroups lie (default /cloudwright-INST)
  --crun PATH          the OCI runtime (default: crun on PATH)
  --create-timeout-ms N  how long one runtime call may take (default 10000)
  --detach             return when the socket listens; carry on in the background
  --log-file FILE      standard error goes here with --detach (default DIR/supervisor.log)
  --help               this text
";

/// What the command line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub run_dir: PathBuf,
    pub instance: String,
    pub cgroup_root: String,
    pub crun: PathBuf,
    pub create_timeout_ms: u64,
    pub detach: bool,
    /// Set by `--detach` for the process it leaves behind: say on standard output that it listens, then let go of it.
    pub announce: bool,
    pub log_file: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    #[error("help")]
    Help,
    #[error("unknown option {0}")]
    Unknown(String),
    #[error("{0} needs a value")]
    Missing(String),
    #[error("{0} is required")]
    Required(&'static str),
    #[error("{option} must be {want}, not {value:?}")]
    Invalid {
        option: &'static str,
        want: &'static str,
        value: String,
    },
}

// === impl Options ===

impl Options {
    pub fn parse(args: &[String]) -> Result<Self, UsageError> {
        let (mut run_dir, mut instance, mut cgroup_root) = (None, None, None);
        let (mut crun, mut log_file) = (None, None);
        let (mut create_timeout_ms, mut detach, mut announce) = (10_000, false, false);
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let (name, inline) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (word.as_str(), None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| words.next().cloned())
                    .ok_or_else(|| UsageError::Missing(name.to_owned()))
            };
            match name {
                "--run-dir" => run_dir = Some(PathBuf::from(value()?)),
                "--instance" => instance = Some(value()?),
                "--cgroup-root" => cgroup_root = Some(value()?),
                "--crun" => crun = Some(PathBuf::from(value()?)),
                "--create-timeout-ms" => create_timeout_ms = milliseconds(value()?)?,
                "--log-file" => log_file = Some(PathBuf::from(value()?)),
                "--detach" => detach = true,
                "--announce" => announce = true,
                "--help" | "-h" => return Err(UsageError::Help),
                _ => return Err(UsageError::Unknown(word.clone())),
            }
        }
        let run_dir = run_dir.ok_or(UsageError::Required("--run-dir"))?;
        let instance = instance.ok_or(UsageError::Required("--instance"))?;
        let cgroup_root = cgroup_root.unwrap_or_else(|| format!("/cloudwright-{instance}"));
        check(&run_dir, &cgroup_root)?;
        Ok(Self {
            run_dir,
            instance,
            cgroup_root,
            crun: crun.unwrap_or_else(|| PathBuf::from("crun")),
            create_timeout_ms,
            detach,
            announce,
            log_file,
        })
    }
}

fn milliseconds(value: String) -> Result<u64, UsageError> {
    match value.parse() {
        Ok(number @ 1..=600_000) => Ok(number),
        _ => Err(UsageError::Invalid {
            option: "--create-timeout-ms",
            want: "1 to 600000",
            value,
        }),
    }
}

fn check(run_dir: &std::path::Path, cgroup_root: &str) -> Result<(), UsageError> {
    if !run_dir.is_absolute() {
        return Err(UsageError::Invalid {
            option: "--run-dir",
            want: "an absolute path",
            value: run_dir.display().to_string(),
        });
    }
    // "/" would make the clean-up of an earlier life kill the whole machine.
    let below_root = cgroup_root
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if below_root {
        Ok(())
    } else {
        Err(UsageError::Invalid {
            option: "--cgroup-root",
            want: "a path below / without . or ..",
            value: cgroup_root.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, UsageError> {
        Options::parse(
            &line
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn defaults_follow_the_instance() {
        let options = parse("--run-dir=/run/x --instance abcdef").unwrap();
        assert_eq!(options.cgroup_root, "/cloudwright-abcdef");
        assert_eq!(options.crun, PathBuf::from("crun"));
        assert!(!options.detach);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        assert_eq!(
            parse("--wat").unwrap_err().to_string(),
            "unknown option --wat"
        );
        assert_eq!(
            parse("--run-dir").unwrap_err().to_string(),
            "--run-dir needs a value"
        );
        assert_eq!(
            parse("--run-dir /x").unwrap_err().to_string(),
            "--instance is required"
        );
    }

    #[test]
    fn refuses_a_cgroup_root_that_is_the_machine() {
        for root in ["/", "relative", "/a/../b", "/a//b", "/."] {
            let line = format!("--run-dir /x --instance i --cgroup-root {root}");
            assert!(
                matches!(parse(&line), Err(UsageError::Invalid { .. })),
                "{root}"
            );
        }
    }
}
