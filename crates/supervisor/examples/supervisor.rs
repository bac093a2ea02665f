//! The supervisor alone, for working on it without the other roles: `cargo run --example supervisor -- --help`.
fn main() {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "supervisor") {
        words.remove(0);
    }
    std::process::exit(cloudwright_supervisor::main(&words));
}
