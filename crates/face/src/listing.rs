//! Lists spliced from stored objects, in pieces: a list of any length needs little memory.
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::kinds::Kind;

const PIECE: usize = 64 << 10;
const START: &[u8] = b"{\"apiVersion\":\"";
const KIND: &[u8] = b"\",\"kind\":\"";

/// A stored object as a version shows it: its start, and where the rest of the stored text begins.
struct Shown<'a> {
    start: &'a [u8],
    skip: usize,
}

/// How `value` is shown under `wanted` (`{"apiVersion":"apps/v1"`); `None`: not of our making.
fn shown<'a>(wanted: &'a [u8], value: &[u8]) -> Option<Shown<'a>> {
    if value.starts_with(wanted) {
        return Some(Shown {
            start: &[],
            skip: 0,
        });
    }
    let rest = value.strip_prefix(START)?;
    let end = rest.iter().position(|byte| *byte == b'"')?;
    Some(Shown {
        start: wanted,
        skip: START.len() + end + 1,
    })
}

/// How many bytes of an item's text a list of a built-in kind leaves out: its version and kind,
/// which the list has said (as Go's types do); `None`: not of our making.
fn said(value: &[u8]) -> Option<usize> {
    let rest = value.strip_prefix(START)?;
    let version = rest.iter().position(|byte| *byte == b'"')?;
    let rest = rest.get(version..)?.strip_prefix(KIND)?;
    let kind = rest.iter().position(|byte| *byte == b'"')?;
    // The quote and the comma after it; an object of nothing else is not stored.
    let next = rest.get(kind + 1)?;
    (*next == b',').then_some(START.len() + version + KIND.len() + kind + 2)
}

/// How objects of a version begin.
pub(crate) fn beginning(api_version: &str) -> Vec<u8> {
    let mut wanted = Vec::from(START);
    wanted.extend_from_slice(api_version.as_bytes());
    wanted.push(b'"');
    wanted
}

/// Appends `value` as the version shows it that begins with `wanted`.
pub(crate) fn put(wanted: &[u8], value: &[u8], out: &mut BytesMut) {
    match shown(wanted, value) {
        Some(how) => {
            out.put_slice(how.start);
            out.put_slice(value.get(how.skip..).unwrap_or_default());
        }
        None => out.put_slice(value),
    }
}

/// One object as its kind's version shows it.
pub(crate) fn object(kind: &Kind, value: &Bytes) -> Option<Bytes> {
    let wanted = beginning(&kind.api_version());
    let how = shown(&wanted, value)?;
    if how.skip == 0 {
        return Some(value.clone());
    }
    let mut out = BytesMut::with_capacity(value.len() + wanted.len());
    out.put_slice(how.start);
    out.put_slice(value.get(how.skip..)?);
    Some(out.freeze())
}

/// A list's body, not yet written out.
#[derive(Debug)]
pub(crate) struct Listing {
    wanted: Arc<[u8]>,
    bare: bool,
    head: Bytes,
    items: Vec<Bytes>,
    at: usize,
    begun: bool,
    ended: bool,
    length: u64,
}

impl Listing {
    /// The list of `items` at `revision`; `None`: one of them cannot be shown.
    pub fn new(kind: &Kind, revision: u64, items: Vec<Bytes>) -> Option<Self> {
        let wanted = beginning(&kind.api_version());
        // Upstream's lists of custom objects always have one.
        let token = if kind.bare { "" } else { r#""continue":"","# };
        let head = format!(
            r#"{{"kind":"{}","apiVersion":"{}","metadata":{{{token}"resourceVersion":"{revision}"}},"items":["#,
            kind.list_kind,
            kind.api_version(),
        );
        let mut length = head.len() + 2 + items.len().saturating_sub(1);
        for value in &items {
            length += if kind.bare {
                1 + value.len() - said(value)?
            } else {
                let how = shown(&wanted, value)?;
                how.start.len() + value.len() - how.skip
            };
        }
        Some(Self {
            wanted: wanted.into(),
            bare: kind.bare,
            head: Bytes::from(head),
            items,
            at: 0,
            begun: false,
            ended: false,
            length: length as u64,
        })
    }

    /// Bytes of the whole body.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next piece.
    pub fn next(&mut self) -> Option<Bytes> {
        if self.ended {
            return None;
        }
        let mut out = BytesMut::with_capacity(PIECE.min(self.length as usize));
        if !self.begun {
            self.begun = true;
            out.put_slice(&self.head);
        }
        while let Some(value) = self.items.get(self.at) {
            if !out.is_empty() && out.len() + value.len() + self.wanted.len() > PIECE {
                return Some(out.freeze());
            }
            if self.at > 0 {
                out.put_u8(b',');
            }
            match said(value).filter(|_| self.bare) {
                Some(at) => {
                    out.put_u8(b'{');
                    out.put_slice(value.get(at..).unwrap_or_default());
                }
                None => put(&self.wanted, value, &mut out),
            }
            self.at += 1;
        }
        self.ended = true;
        out.put_slice(b"]}");
        Some(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind() -> Kind {
        Kind {
            group: "apps".into(),
            version: "v1".into(),
            resource: "deployments".into(),
            namespaced: true,
            storage: "/apps/deployments/".into(),
            list_kind: "DeploymentList".into(),
            plain: true,
            bare: false,
            subresources: vec![],
        }
    }

    fn whole(mut listing: Listing) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = listing.next() {
            all.extend_from_slice(&piece);
        }
        all
    }

    #[test]
    fn an_empty_list() {
        let bare = Kind {
            bare: true,
            ..kind()
        };
        let listing = Listing::new(&bare, 9, vec![]).unwrap();
        let expected = r#"{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"9"},"items":[]}"#;
        assert_eq!(listing.length(), expected.len() as u64);
        assert_eq!(whole(listing), expected.as_bytes());
    }

    #[test]
    fn the_version_is_swapped() {
        let value = Bytes::from_static(br#"{"apiVersion":"apps/v1beta1","kind":"Deployment"}"#);
        let shown = object(&kind(), &value).unwrap();
        assert_eq!(
            &shown[..],
            br#"{"apiVersion":"apps/v1","kind":"Deployment"}"#
        );
        assert!(object(&kind(), &Bytes::from_static(b"[]")).is_none());
    }

    #[test]
    fn items_of_built_in_kinds_do_not_say_their_kind() {
        let kind = Kind {
            bare: true,
            ..kind()
        };
        let item = |text: &'static str| Bytes::from_static(text.as_bytes());
        let items = vec![
            item(r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"a"}}"#),
            item(r#"{"apiVersion":"apps/v1beta1","kind":"Deployment","metadata":{}}"#),
        ];
        let listing = Listing::new(&kind, 9, items).unwrap();
        let length = listing.length();
        let all = String::from_utf8(whole(listing)).unwrap();
        assert_eq!(all.len() as u64, length);
        assert!(
            all.ends_with(r#""items":[{"metadata":{"name":"a"}},{"metadata":{}}]}"#),
            "{all}"
        );
        let odd = vec![item(r#"{"kind":"Deployment","apiVersion":"apps/v1"}"#)];
        assert!(Listing::new(&kind, 9, odd).is_none());
    }

    proptest! {
        #[test]
        fn the_length_is_what_is_sent(
            items in proptest::collection::vec(("apps/v1|v2", 0usize..9000), 0..40)
        ) {
            let items: Vec<Bytes> = items
                .into_iter()
                .map(|(version, size)| {
                    let text = "x".repeat(size);
                    Bytes::from(format!(r#"{{"apiVersion":"{version}","t":"{text}"}}"#))
                })
                .collect();
            let count = items.len();
            let listing = Listing::new(&kind(), 1, items).unwrap();
            let length = listing.length();
            let all = whole(listing);
            prop_assert_eq!(all.len() as u64, length);
            let text = String::from_utf8(all).unwrap();
            prop_assert_eq!(text.matches("\"apiVersion\":\"apps/v1\"").count(), count + 1);
        }
    }
}
