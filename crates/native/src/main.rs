//! `cloudwright-native`: one binary, several roles, picked by argv[0] or the first word.
mod memory;

use std::process::exit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: cloudwright-native (supervisor|gateway|sidecar) [--help] …";

fn main() {
    let mut words: Vec<String> = std::env::args().collect();
    let called_as = words
        .first()
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    let role = match called_as {
        "supervisor" | "gateway" | "sidecar" => called_as.to_owned(),
        _ => {
            if words.len() < 2 {
                eprintln!("{USAGE}");
                exit(2);
            }
            words.remove(1)
        }
    };
    let rest = words.get(1..).unwrap_or_default();
    exit(match role.as_str() {
        "supervisor" => cloudwright_supervisor::main(rest),
        "gateway" | "sidecar" => cloudwright_proxy::main(&role, rest, memory::trim),
        "--version" | "-V" => {
            eprintln!("cloudwright-native {}", env!("CARGO_PKG_VERSION"));
            0
        }
        "--help" | "-h" | "help" => {
            eprintln!("{USAGE}");
            0
        }
        other => {
            eprintln!("error: unknown role {other:?}\nhint: {USAGE}");
            2
        }
    });
}
