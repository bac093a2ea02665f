//! The command line of both roles.
use std::path::{Path, PathBuf};

use cloudwright_xds::Control;

use crate::{
    bootstrap::{Bootstrap, Role},
    plane::{file::Ended, state::State},
    run::{Options, Origin, run, run_plane},
    snapshot::Snapshot,
    tls,
};

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;

/// Where listeners, routes and clusters come from.
enum Config {
    File(PathBuf),
    Control(PathBuf),
}

/// What the words ask for.
enum Asked {
    Help,
    /// A proxy of the mesh.
    Mesh {
        bootstrap: PathBuf,
        validate: bool,
    },
    /// What a configuration file says.
    File {
        config: Config,
        options: Options,
        validate: bool,
    },
}

fn help(role: &str) -> String {
    format!(
        "usage: cloudwright-native {role} run (-c | --control) FILE [--validate] [OPTIONS]\n\
         \x20      cloudwright-native {role} --bootstrap FILE [--validate]\n\n\
         \x20 -c, --config FILE  listeners, routes, clusters, endpoints, secrets (YAML or JSON);\n\
         \x20                    read again when it changes\n\
         \x20 --control FILE     the same by xDS: server, node and TLS of the control plane (YAML or JSON);\n\
         \x20                    instead of -c\n\
         \x20 --control FILE     the same by xDS: server, node, TLS (YAML or JSON); instead of -c\n\
         \x20 --access-log FILE  JSON lines; - is standard output, off is none (the default)\n\
         \x20 --admin SOCKET     Unix socket with /ready /config /clusters /metrics /drain\n\
         \x20 --filters FOLDER   filters in Python and WASM, in a process of their own\n\
         \x20 --python PROGRAM   the interpreter that runs them (python3)\n\
         \x20 --bootstrap FILE   a proxy of the mesh: who it is and where its files are (JSON)\n\
         \x20 --validate         check the file and the files it names, then exit\n\
         \x20 --help             this text\n\n\
         exit codes: 0 ended or valid, 1 could not run, 2 wrong usage or configuration\n"
    )
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let (mut bootstrap, mut config, mut validate) = (None, None, false);
    let (mut admin, mut control) = (None, None);
    let (mut filters, mut python) = (None, None);
    let mut access_log = "off".to_owned();
    let args = match args {
        [first, rest @ ..] if first == "run" => rest,
        all => all,
    };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let (name, mut value) = match word.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
            _ => (word.as_str(), None),
        };
        let mut needed = |what: &str| {
            let next = value.take().or_else(|| words.next().cloned());
            next.ok_or_else(|| format!("{name}: {what} is needed"))
        };
        match name {
            "--help" | "-h" => return Ok(Asked::Help),
            "--validate" => validate = true,
            "--bootstrap" => bootstrap = Some(PathBuf::from(needed("a file")?)),
            "--config" | "-c" => config = Some(PathBuf::from(needed("a file")?)),
            "--filters" => filters = Some(PathBuf::from(needed("a folder")?)),
            "--python" => python = Some(PathBuf::from(needed("an interpreter")?)),
            "--control" => control = Some(PathBuf::from(needed("a file")?)),
            "--access-log" => access_log = needed("a file, - or off")?,
            "--admin" => admin = Some(PathBuf::from(needed("a path")?)),
            other => return Err(format!("unknown option {other:?}")),
        }
    }
    let config = match (config, control) {
        (Some(_), Some(_)) => return Err("either -c FILE or --control FILE, not both".to_owned()),
        (Some(file), None) => Some(Config::File(file)),
        (None, control) => control.map(Config::Control),
    };
    match (bootstrap, config) {
        (Some(bootstrap), None) => Ok(Asked::Mesh {
            bootstrap,
            validate,
        }),
        (None, Some(config)) => Ok(Asked::File {
            config,
            options: Options {
                trim: None,
                access_log,
                admin,
                filters,
                python: python.unwrap_or_else(|| PathBuf::from("python3")),
            },
            validate,
        }),
        (None, None) => Err("-c FILE, --control FILE or --bootstrap FILE is needed".to_owned()),
        _ => Err("--bootstrap FILE stands alone".to_owned()),
    }
}

/// Runs the role named by `role` (`gateway` or `sidecar`) with the remaining command-line words.
///
/// `trim` gives memory back to the system; it is called when the process has come to rest.
/// Returns the process's exit code.
#[must_use]
pub fn main(role: &str, args: &[String], trim: fn()) -> i32 {
    match parse(args) {
        Ok(Asked::Help) => {
            eprint!("{}", help(role));
            0
        }
        Err(message) => {
            eprintln!("error: {message}\nhint: cloudwright-native {role} --help");
            WRONG_USAGE
        }
        Ok(Asked::Mesh {
            bootstrap,
            validate,
        }) => match Bootstrap::load(&bootstrap, role) {
            Err(error) => {
                eprintln!("error: {error}");
                WRONG_USAGE
            }
            Ok(boot) if validate => self::validate(&bootstrap, &boot),
            Ok(boot) => drive(async { run(boot, trim).await.map_err(Ended::Failed) }),
        },
        Ok(Asked::File {
            config, validate, ..
        }) if validate => match &config {
            Config::File(file) if check(file) => valid(file),
            Config::Control(file) if control(file).is_some() => valid(file),
            _ => WRONG_USAGE,
        },
        Ok(Asked::File {
            config,
            mut options,
            ..
        }) => {
            options.trim = Some(trim);
            let origin = match config {
                Config::File(file) => Some(Origin::File(file)),
                Config::Control(file) => control(&file).map(Origin::Control),
            };
            match origin {
                Some(origin) => drive(run_plane(origin, options)),
                None => WRONG_USAGE,
            }
        }
    }
}

/// Runs the event loop until `work` ends; gives the process's exit code.
fn drive(work: impl Future<Output = Result<(), Ended>>) -> i32 {
    refuse_huge_pages();
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start the event loop: {error}");
            return FAILED;
        }
    };
    let code = match runtime.block_on(work) {
        Ok(()) => 0,
        Err(Ended::Failed(message)) => {
            eprintln!("error: {message}");
            FAILED
        }
        Err(Ended::Wrong(problems)) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            WRONG_USAGE
        }
    };
    runtime.shutdown_background();
    code
}

/// Reads a configuration with the secrets it names; each problem is one line.
fn check(file: &Path) -> bool {
    let resources = match cloudwright_config::from_file(file) {
        Ok(resources) => resources,
        Err(problems) => {
            for problem in problems {
                eprintln!("error: {problem}");
            }
            return false;
        }
    };
    match State::default().apply(resources, true) {
        Ok(_) => true,
        Err(problem) => {
            eprintln!("error: {}", problem.of(file.display().to_string()));
            false
        }
    }
}

fn valid(file: &Path) -> i32 {
    eprintln!("{}: valid", file.display());
    0
}

/// Reads how to reach the control plane.
fn control(file: &Path) -> Option<Box<Control>> {
    match cloudwright_config::load::document(file) {
        Ok(control) => Some(Box::new(control)),
        Err(problem) => {
            eprintln!("error: {problem}");
            None
        }
    }
}

/// Checks what the bootstrap names; each problem is one line.
fn validate(file: &Path, boot: &Bootstrap) -> i32 {
    let mut problems = Vec::new();
    if let Err(error) = tls::MeshTls::load(boot, 0) {
        problems.push(error.to_string());
    }
    if boot.role == Role::Gateway
        && let (Some(cert), Some(key)) = (&boot.https_cert, &boot.https_key)
        && let Err(error) = tls::edge_config(cert, key)
    {
        problems.push(error.to_string());
    }
    match std::fs::read(&boot.snapshot) {
        Ok(text) => {
            if let Err(error) = Snapshot::parse(&text, &boot.trust_domain) {
                problems.push(format!("{}: {error}", boot.snapshot.display()));
            }
        }
        Err(error) => problems.push(format!("{}: {error}", boot.snapshot.display())),
    }
    for problem in &problems {
        eprintln!("error: {problem}");
    }
    if problems.is_empty() {
        eprintln!("{}: valid", file.display());
        0
    } else {
        FAILED
    }
}

/// Each connection is a descriptor: use as many as the kernel lets us.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Not raised is no reason not to run.
    let _ = setrlimit(Resource::Nofile, wanted);
}

/// A huge page for a few hundred kilobytes of heap would triple the memory of an idle sidecar.
fn refuse_huge_pages() {
    // An old kernel only costs memory.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn wrong_usage_is_code_2() {
        assert_eq!(main("sidecar", &words("--nonsense"), || {}), 2);
        assert_eq!(main("sidecar", &[], || {}), 2);
        assert_eq!(
            main("sidecar", &words("--bootstrap /nonexistent/file"), || {}),
            2
        );
        assert_eq!(main("gateway", &words("--help"), || {}), 0);
    }
}
