//! Holds containers and native processes of one machine; survives the daemon.

/// Runs the supervisor with the remaining command-line words; returns the process's exit code.
#[must_use]
pub fn main(args: &[String]) -> i32 {
    eprintln!("cloudwright-native supervisor: not built yet ({} arguments)", args.len());
    1
}
