//! Compiled system call filters: the runtime compiles a profile once, later containers get its result.
//!
//! Compiling costs crun a quarter of a container's start. It leaves the program in its state directory and takes one
//! by annotation, so what a container gets is bit by bit what it would have compiled itself.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// More different profiles than this are compiled each time.
const MAX: usize = 32;
const ANNOTATION: &str = "run.oci.seccomp_bpf_data";

/// Programs by the profile's JSON text, base64 as the runtime takes them.
#[derive(Default)]
pub struct Filters {
    known: RefCell<BTreeMap<String, String>>,
}

// === impl Filters ===

impl Filters {
    /// Puts the compiled program in the place of the document's profile; the profile when it is not known yet.
    pub fn apply(&self, document: &mut Value) -> Option<String> {
        let profile = document.get("linux")?.get("seccomp")?.to_string();
        let known = self.known.borrow();
        let Some(program) = known.get(&profile) else {
            return Some(profile);
        };
        if let Some(linux) = document.get_mut("linux").and_then(Value::as_object_mut) {
            linux.remove("seccomp");
        }
        document["annotations"][ANNOTATION] = program.as_str().into();
        None
    }

    /// Keeps what the runtime compiled for `profile`.
    pub fn learn(&self, profile: String, state: &Path) {
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX {
            return;
        }
        // A runtime that leaves no program behind compiles each time.
        if let Ok(program) = fs::read(state.join("seccomp.bpf"))
            && is_program(&program)
        {
            known.insert(profile, STANDARD.encode(program));
        }
    }
}

/// A whole number of `struct sock_filter`, of which the kernel takes up to 4096.
fn is_program(bytes: &[u8]) -> bool {
    let count = bytes.len() / 8;
    bytes.len().is_multiple_of(8) && (1..=4096).contains(&count)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_profile_is_replaced_once_its_program_is_known() {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("seccomp.bpf"), [1; 16]).unwrap();
        let filters = Filters::default();
        let original = json!({"annotations": {"a": "b"}, "linux": {"seccomp": {"x": 1}}});
        let mut document = original.clone();
        let profile = filters.apply(&mut document).unwrap();
        assert_eq!(document, original);
        filters.learn(profile, state.path());
        assert_eq!(filters.apply(&mut document), None);
        assert_eq!(document["linux"], json!({}));
        assert_eq!(document["annotations"]["a"], "b");
        assert_eq!(
            document["annotations"][ANNOTATION],
            STANDARD.encode([1; 16])
        );
        let mut other = json!({"linux": {"seccomp": {"x": 2}}});
        assert!(filters.apply(&mut other).is_some());
        assert_eq!(other["linux"]["seccomp"], json!({"x": 2}));
    }

    #[test]
    fn without_a_profile_or_a_good_program_nothing_changes() {
        let state = tempfile::tempdir().unwrap();
        let filters = Filters::default();
        let mut document = json!({"linux": {}});
        assert_eq!(filters.apply(&mut document), None);
        assert_eq!(document, json!({"linux": {}}));
        for bytes in [&[][..], &[1; 7], &[1; 8 * 4097]] {
            fs::write(state.path().join("seccomp.bpf"), bytes).unwrap();
            filters.learn("p".to_owned(), state.path());
        }
        filters.learn("p".to_owned(), &state.path().join("missing"));
        assert!(filters.known.borrow().is_empty());
    }
}
