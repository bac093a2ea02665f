//! Rules in their order, found by path without looking at each. Pure.
//!
//! Semantics: the first rule whose path and further conditions hold. Exact paths and prefixes are
//! found by hash, one look for each length of prefix that occurs; expressions one by one.
use std::collections::HashMap;

use cloudwright_config::matching::{PathMatch, Pattern};

type Places = Vec<u32>;

#[derive(Debug, Default)]
struct Prefixes {
    by_text: HashMap<Box<str>, Places>,
    /// Lengths that occur, rising.
    lengths: Vec<usize>,
}

impl Prefixes {
    fn add(&mut self, text: &str, place: u32) {
        self.by_text.entry(text.into()).or_default().push(place);
        if let Err(at) = self.lengths.binary_search(&text.len()) {
            self.lengths.insert(at, text.len());
        }
    }
}

/// Places of rules by their path.
#[derive(Debug, Default)]
pub struct Index {
    exact: HashMap<Box<str>, Places>,
    /// Whole segments; kept without the trailing slash.
    segments: Prefixes,
    text: Prefixes,
    others: Vec<(Other, u32)>,
}

#[derive(Debug)]
enum Other {
    Regex(Pattern),
    /// Any of the above without regard to case: in lower case.
    Folded(PathMatch),
}

fn below(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn folded(rule: &PathMatch, path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    match rule {
        PathMatch::Exact(text) => path == **text,
        PathMatch::Prefix(text) => below(text.trim_end_matches('/'), &path),
        PathMatch::StartsWith(text) => path.starts_with(&**text),
        PathMatch::Regex(_) => false,
    }
}

fn lower(rule: &PathMatch) -> PathMatch {
    let small = |text: &str| text.to_ascii_lowercase().into();
    match rule {
        PathMatch::Exact(text) => PathMatch::Exact(small(text)),
        PathMatch::Prefix(text) => PathMatch::Prefix(small(text)),
        PathMatch::StartsWith(text) => PathMatch::StartsWith(small(text)),
        PathMatch::Regex(pattern) => PathMatch::Regex(pattern.clone()),
    }
}

impl Index {
    /// Adds the rule at `place`; places are added in rising order.
    pub fn add(&mut self, path: &PathMatch, ignore_case: bool, place: u32) {
        match path {
            PathMatch::Regex(pattern) => self.others.push((Other::Regex(pattern.clone()), place)),
            _ if ignore_case => self.others.push((Other::Folded(lower(path)), place)),
            PathMatch::Exact(text) => self.exact.entry((**text).into()).or_default().push(place),
            PathMatch::Prefix(text) => self.segments.add(text.trim_end_matches('/'), place),
            PathMatch::StartsWith(text) => self.text.add(text, place),
        }
    }

    /// The first place whose path matches and for which `holds`.
    #[must_use]
    pub fn first(&self, path: &str, mut holds: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut best: Option<u32> = None;
        let mut look = |places: &[u32]| {
            for place in places {
                if best.is_some_and(|known| *place >= known) {
                    return;
                }
                if holds(*place) {
                    best = Some(*place);
                    return;
                }
            }
        };
        if let Some(places) = self.exact.get(path) {
            look(places);
        }
        let begins = |prefixes: &Prefixes, look: &mut dyn FnMut(&[u32]), whole: bool| {
            for length in &prefixes.lengths {
                let Some(head) = path.get(..*length) else {
                    if *length > path.len() {
                        break;
                    }
                    continue;
                };
                let end = path.as_bytes().get(*length);
                if whole && end.is_some_and(|next| *next != b'/') {
                    continue;
                }
                if let Some(places) = prefixes.by_text.get(head) {
                    look(places);
                }
            }
        };
        begins(&self.segments, &mut look, true);
        begins(&self.text, &mut look, false);
        for (other, place) in &self.others {
            let matches = match other {
                Other::Regex(pattern) => pattern.covers(path),
                Other::Folded(rule) => folded(rule, path),
            };
            if matches {
                look(&[*place]);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(rule: &PathMatch, path: &str) -> bool {
        match rule {
            PathMatch::Exact(text) => **text == *path,
            PathMatch::Prefix(text) => below(text.trim_end_matches('/'), path),
            PathMatch::StartsWith(text) => path.starts_with(&**text),
            PathMatch::Regex(pattern) => pattern.covers(path),
        }
    }

    fn rule() -> impl Strategy<Value = PathMatch> {
        let path = "(/[abü]{0,2}){0,3}";
        prop_oneof![
            path.prop_map(|text| PathMatch::Exact(text.into())),
            path.prop_map(|text| PathMatch::Prefix(text.into())),
            path.prop_map(|text| PathMatch::StartsWith(text.into())),
            "/[ab]".prop_map(|text| PathMatch::Regex(Pattern::new(&format!("{text}.*")).unwrap())),
        ]
    }

    proptest! {
        /// The choice is the same as by looking at each rule in turn.
        #[test]
        fn same_as_the_definition(
            rules in prop::collection::vec((rule(), any::<bool>()), 0..16),
            path in "(/[abü]{0,2}){0,4}",
        ) {
            let mut index = Index::default();
            for (place, (rule, _)) in (0u32..).zip(&rules) {
                index.add(rule, false, place);
            }
            let expected = rules.iter().position(|(rule, holds)| *holds && matches(rule, &path));
            let found = index.first(&path, |place| rules[place as usize].1);
            prop_assert_eq!(found.map(|place| place as usize), expected);
        }
    }

    #[test]
    fn case_does_not_matter_when_told_so() {
        let mut index = Index::default();
        index.add(&PathMatch::Prefix("/Pay/".into()), true, 0);
        index.add(&PathMatch::Exact("/ok".into()), false, 1);
        assert_eq!(index.first("/PAY/x", |_| true), Some(0));
        assert_eq!(index.first("/payments", |_| true), None);
        assert_eq!(index.first("/OK", |_| true), None);
    }
}
