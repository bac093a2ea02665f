//! The command line of both roles.
use std::path::{Path, PathBuf};

use crate::{
    bootstrap::{Bootstrap, Role},
    run::run,
    snapshot::Snapshot,
    tls,
};

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;

struct Options {
    bootstrap: PathBuf,
    validate: bool,
}

fn help(role: &str) -> String {
    format!(
        "usage: cloudwright-native {role} --bootstrap FILE [--validate]\n\n\
         \x20 --bootstrap FILE  who this proxy is and where its files are (JSON)\n\
         \x20 --validate        check the bootstrap and the files it names, then exit\n\
         \x20 --help            this text\n\n\
         exit codes: 0 ended or valid, 1 could not run, 2 wrong usage or bootstrap\n"
    )
}

fn parse(args: &[String]) -> Result<Option<Options>, String> {
    let (mut bootstrap, mut validate) = (None, false);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--help" | "-h" => return Ok(None),
            "--validate" => validate = true,
            "--bootstrap" => {
                let file = words.next().ok_or("--bootstrap: a file is needed")?;
                bootstrap = Some(PathBuf::from(file));
            }
            other => match other.strip_prefix("--bootstrap=") {
                Some(file) => bootstrap = Some(PathBuf::from(file)),
                None => return Err(format!("unknown option {other:?}")),
            },
        }
    }
    let bootstrap = bootstrap.ok_or("--bootstrap FILE is needed")?;
    Ok(Some(Options {
        bootstrap,
        validate,
    }))
}

/// Runs the role named by `role` (`gateway` or `sidecar`) with the remaining command-line words.
///
/// Returns the process's exit code.
#[must_use]
pub fn main(role: &str, args: &[String]) -> i32 {
    let options = match parse(args) {
        Ok(Some(options)) => options,
        Ok(None) => {
            eprint!("{}", help(role));
            return 0;
        }
        Err(message) => {
            eprintln!("error: {message}\nhint: cloudwright-native {role} --help");
            return WRONG_USAGE;
        }
    };
    let boot = match Bootstrap::load(&options.bootstrap, role) {
        Ok(boot) => boot,
        Err(error) => {
            eprintln!("error: {error}");
            return WRONG_USAGE;
        }
    };
    if options.validate {
        return validate(&options.bootstrap, &boot);
    }
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
    let code = match runtime.block_on(run(boot)) {
        Ok(()) => 0,
        Err(message) => {
            eprintln!("error: {message}");
            FAILED
        }
    };
    runtime.shutdown_background();
    code
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
        assert_eq!(main("sidecar", &words("--nonsense")), 2);
        assert_eq!(main("sidecar", &[]), 2);
        assert_eq!(main("sidecar", &words("--bootstrap /nonexistent/file")), 2);
        assert_eq!(main("gateway", &words("--help")), 0);
    }
}
