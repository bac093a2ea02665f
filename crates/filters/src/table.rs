//! The filters that are in force: one immutable table, swapped whole when the host announces
//! another.

use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;

use crate::declaration::{Announcement, FileError, Hook, OnError};
use crate::matcher::{Matcher, PatternError};
use crate::stats::FilterState;

/// Filters by position in the table, one bit each.
pub(crate) type Mask = u64;
/// As many as a mask has bits.
pub const FILTERS_AT_MOST: usize = 64;

/// One filter in force.
#[derive(Debug)]
pub(crate) struct Rule {
    pub id: u32,
    pub version: u64,
    pub timeout: Duration,
    pub refuse: bool,
    pub state: Arc<FilterState>,
    matchers: Vec<Matcher>,
}

/// All of them, in the order in which they run.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub generation: u64,
    pub rules: Vec<Rule>,
    /// Which define which hook.
    pub request: Mask,
    pub response: Mask,
    pub request_body: Mask,
    pub response_body: Mask,
    pub errors: Vec<FileError>,
}

impl Table {
    /// From what the host announced; states of filters that are in `before` live on.
    pub fn new(announced: &Announcement, before: &Table) -> Self {
        let mut table = Self {
            generation: announced.generation,
            errors: announced.errors.clone(),
            ..Self::default()
        };
        for declared in announced.filters.iter().take(FILTERS_AT_MOST) {
            let matchers: Result<Vec<_>, PatternError> =
                declared.matches.iter().map(Matcher::new).collect();
            let matchers = match matchers {
                Ok(matchers) => matchers,
                Err(error) => {
                    table.errors.push(FileError {
                        file: declared.file.clone(),
                        line: 0,
                        message: format!("{}: match: {error}", declared.name),
                    });
                    continue;
                }
            };
            let known = before
                .rules
                .iter()
                .find(|rule| *rule.state.name == *declared.name);
            let state = match known {
                Some(rule) => {
                    if rule.version != declared.version {
                        rule.state.renew(declared.budget);
                    }
                    Arc::clone(&rule.state)
                }
                None => Arc::new(FilterState::new(&declared.name, declared.budget)),
            };
            let bit = 1 << table.rules.len();
            for hook in &declared.hooks {
                *table.hook(*hook) |= bit;
            }
            table.rules.push(Rule {
                id: declared.id,
                version: declared.version,
                timeout: Duration::from_millis(declared.timeout_ms),
                refuse: declared.on_error == OnError::Refuse,
                state,
                matchers,
            });
        }
        table
    }

    /// The filters for a request.
    pub fn matching(&self, parts: &Parts) -> Mask {
        let mut mask = 0;
        for (position, rule) in self.rules.iter().enumerate() {
            if rule.matchers.iter().any(|matcher| matcher.is_match(parts)) {
                mask |= 1 << position;
            }
        }
        mask
    }

    /// The rules of a mask, in order.
    pub fn of(&self, mask: Mask) -> impl Iterator<Item = (Mask, &Rule)> {
        self.rules
            .iter()
            .enumerate()
            .map(|(position, rule)| (1 << position, rule))
            .filter(move |(bit, _)| mask & bit != 0)
    }

    /// The state of the filter with this id.
    pub fn state(&self, id: u32) -> Option<&Arc<FilterState>> {
        self.rules
            .iter()
            .find(|rule| rule.id == id)
            .map(|rule| &rule.state)
    }

    fn hook(&mut self, hook: Hook) -> &mut Mask {
        match hook {
            Hook::Request => &mut self.request,
            Hook::Response => &mut self.response,
            Hook::RequestBody => &mut self.request_body,
            Hook::ResponseBody => &mut self.response_body,
        }
    }
}
