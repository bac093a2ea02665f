//! API keys: a file of SHA-256 hashes, looked up by the hash of what the caller shows. The file
//! gives nothing away, and looking up takes the same time however much of a key is right.
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ring::digest::{SHA256, digest};
use serde::Deserialize;

use crate::principal::KeyHolder;

/// Longer keys are refused unread.
const MAX_KEY: usize = 4096;

type Hash = [u8; 32];
type Holders = HashMap<Hash, Arc<KeyHolder>>;

/// The keys in force.
#[derive(Default)]
pub(super) struct Keys(ArcSwap<Holders>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    tenant: Option<String>,
    sha256: String,
    expires: Option<u64>,
}

impl Keys {
    /// Takes the content of the file as the keys from now on.
    ///
    /// Errors say which key and why; the old keys stay.
    pub(super) fn replace(&self, content: &[u8]) -> Result<(), String> {
        let document: Document = serde_json::from_slice(content)
            .map_err(|error| format!("not a file of keys: {error}"))?;
        let mut holders = Holders::with_capacity(document.keys.len());
        for (index, line) in document.keys.into_iter().enumerate() {
            let hash = hex(&line.sha256)
                .ok_or_else(|| format!("keys[{index}].sha256 is not 64 hexadecimal digits"))?;
            if line.name.is_empty() {
                return Err(format!("keys[{index}].name is empty"));
            }
            let holder = KeyHolder {
                name: line.name,
                tenant: line.tenant,
                expires: line.expires,
            };
            if let Some(other) = holders.insert(hash, Arc::new(holder)) {
                return Err(format!(
                    "keys[{index}] is the same key as that of {:?}",
                    other.name
                ));
            }
        }
        self.0.store(Arc::new(holders));
        Ok(())
    }

    /// Who holds a key.
    pub(super) fn holder(&self, key: &str, unix: u64) -> Option<Arc<KeyHolder>> {
        if key.len() > MAX_KEY {
            return None;
        }
        let hash = digest(&SHA256, key.as_bytes());
        let holders = self.0.load();
        let holder = holders.get(hash.as_ref())?;
        let good = holder.expires.is_none_or(|expires| unix < expires);
        good.then(|| Arc::clone(holder))
    }
}

fn hex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    // SHA-256 of "secret".
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    #[test]
    fn finds_holders_until_they_expire() {
        let keys = Keys::default();
        assert!(keys.holder("secret", 0).is_none());
        let file = format!(
            r#"{{"keys":[{{"name":"ci","tenant":"shop","sha256":"{SECRET}","expires":100}}]}}"#
        );
        keys.replace(file.as_bytes()).unwrap();
        assert_eq!(keys.holder("secret", 99).unwrap().name, "ci");
        assert!(keys.holder("secret", 100).is_none());
        assert!(keys.holder("Secret", 0).is_none());
    }

    #[test]
    fn a_broken_file_leaves_the_old_keys() {
        let keys = Keys::default();
        let line = |name: &str| format!(r#"{{"name":"{name}","sha256":"{SECRET}"}}"#);
        keys.replace(format!(r#"{{"keys":[{}]}}"#, line("a")).as_bytes())
            .unwrap();
        for (wrong, why) in [
            ("{".to_owned(), "not a file of keys"),
            (
                r#"{"keys":[{"name":"a","sha256":"12"}]}"#.to_owned(),
                "keys[0].sha256",
            ),
            (format!(r#"{{"keys":[{}]}}"#, line("")), "keys[0].name"),
            (
                format!(r#"{{"keys":[{},{}]}}"#, line("a"), line("b")),
                "keys[1] is the same",
            ),
        ] {
            assert!(
                keys.replace(wrong.as_bytes()).unwrap_err().starts_with(why),
                "{wrong}"
            );
        }
        assert!(keys.holder("secret", 0).is_some());
    }
}
