//! One answer of the server: all of it is taken, or nothing.
use std::{collections::BTreeSet, hash::BuildHasher, sync::Arc, time::Instant};

use super::{
    Changed, Engine, Sink, assemble,
    store::{Changes, Entry, Rejection},
    validate,
};
use crate::{
    kind::Kind,
    message::{Item, Request, Response},
    translate::{self, Bad, Resource},
    wire::WireError,
};

/// Problems that are told of one answer.
const MOST_PROBLEMS: usize = 5;

/// What an answer would do.
#[derive(Default)]
struct Draft {
    changes: Changes,
    /// Wanted names that the server says are not there.
    absent: Vec<Arc<str>>,
    problems: Vec<String>,
}

impl Engine {
    pub(super) fn answer(
        &mut self,
        now: Instant,
        bytes: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<Vec<Request>, WireError> {
        let response = if self.delta {
            Response::delta(bytes)?
        } else {
            Response::whole(bytes)?
        };
        let Some(kind) = Kind::of_url(response.url) else {
            return Ok(Vec::new());
        };
        if !self.connected || self.store(kind).asked.is_none() {
            // Nobody asked: of an earlier stream, or a server's mistake.
            return Ok(Vec::new());
        }
        self.store_mut(kind).nonce = response.nonce.into();
        let draft = self.draft(now, kind, &response);
        let result = if draft.problems.is_empty() {
            self.commit(now, kind, draft, sink)
        } else {
            Err(draft.problems.join("; "))
        };
        let mut out = Vec::new();
        match result {
            Ok(()) => {
                let store = self.store_mut(kind);
                store.version = response.version.into();
                store.accepted += 1;
                store.answered = true;
                if matches!(kind, Kind::Cluster | Kind::Listener) {
                    self.follow();
                }
                out.extend(self.reply(kind, None));
            }
            Err(reason) => {
                let store = self.store_mut(kind);
                store.rejected += 1;
                store.last_rejection = Some(Rejection {
                    version: response.version.to_owned(),
                    reason: reason.clone(),
                });
                out.extend(self.reply(kind, Some(reason)));
            }
        }
        out.extend(self.subscriptions());
        Ok(out)
    }

    fn draft(&mut self, now: Instant, kind: Kind, response: &Response<'_>) -> Draft {
        let mut draft = Draft::default();
        let mut seen = BTreeSet::new();
        for item in &response.items {
            let name = match name_of(kind, item) {
                Ok(name) => name,
                Err(bad) => {
                    problem(&mut draft, kind, "?", &bad);
                    continue;
                }
            };
            if !seen.insert(Arc::clone(&name)) {
                problem(&mut draft, kind, &name, &Bad::new("appears twice"));
            } else if self.store(kind).wants(&name) {
                self.item(now, kind, &name, item, &mut draft);
            }
        }
        let store = self.store(kind);
        if self.delta {
            for name in response.removed.iter().filter(|name| store.wants(name)) {
                draft.remove(kind, (*name).into());
            }
        } else if kind.wildcard() {
            // The state of the world: what is not in it is gone.
            for name in store.entries.keys().filter(|name| !seen.contains(*name)) {
                draft.changes.push((Arc::clone(name), None));
            }
        }
        draft
    }

    fn item(
        &mut self,
        now: Instant,
        kind: Kind,
        name: &Arc<str>,
        item: &Item<'_>,
        draft: &mut Draft,
    ) {
        let expires = item.ttl.and_then(|ttl| now.checked_add(ttl));
        self.mortal |= expires.is_some();
        let before = self.store(kind).entries.get(name);
        let hash = item.body.map(|body| self.hasher.hash_one(body));
        if let Some(before) = before
            && hash.is_none_or(|hash| hash == before.hash)
        {
            let same = expires == before.expires
                && (item.body.is_none() || *item.version == *before.version);
            if !same {
                let mut entry = before.clone();
                entry.expires = expires;
                if item.body.is_some() {
                    entry.version = item.version.into();
                }
                draft.changes.push((Arc::clone(name), Some(entry)));
            }
            return;
        }
        let (Some(body), Some(hash)) = (item.body, hash) else {
            return;
        };
        let made = translate::resource(&mut self.context, kind, body)
            .and_then(|value| validate::one(&value).map(|()| value));
        match made {
            Ok(value) => {
                let entry = Entry {
                    hash,
                    version: item.version.into(),
                    expires,
                    value: share(value, before_value(self, kind, name)),
                };
                draft.changes.push((Arc::clone(name), Some(entry)));
            }
            Err(bad) => problem(draft, kind, name, &bad),
        }
    }

    /// Makes the changes, unless the proxy refuses what comes of them.
    fn commit(
        &mut self,
        now: Instant,
        kind: Kind,
        draft: Draft,
        sink: &mut dyn Sink,
    ) -> Result<(), String> {
        let names: Vec<_> = draft
            .changes
            .iter()
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let store = self.store_mut(kind);
        let absent = store.absent.clone();
        for (name, entry) in &draft.changes {
            if entry.is_some() {
                store.absent.remove(name);
            }
        }
        store.absent.extend(draft.absent);
        let same_absent = absent == store.absent;
        let undo = store.apply(draft.changes);
        let replaced = undo.iter().all(|(_, before)| before.is_some());
        if names.is_empty() && same_absent && store.answered {
            return Ok(());
        }
        let fast = (kind == Kind::Endpoints && replaced && same_absent)
            .then(|| assemble::endpoints(self, &names))
            .flatten();
        let (next, changed) = match fast {
            Some(next) => {
                let assignments = names;
                (
                    next,
                    Changed {
                        assignments,
                        ..Changed::default()
                    },
                )
            }
            None => {
                let next = assemble::whole(self, now);
                let changed = Changed::between(&self.active.resources, &next.resources);
                (next, changed)
            }
        };
        let done = self.put(next, changed, sink);
        if done.is_err() {
            let store = self.store_mut(kind);
            store.undo(undo);
            store.absent = absent;
        }
        done
    }
}

impl Draft {
    /// Notes that the server no longer has `name`.
    fn remove(&mut self, kind: Kind, name: Arc<str>) {
        match kind {
            Kind::Cluster | Kind::Listener => self.changes.push((name, None)),
            Kind::Endpoints => {
                self.absent.push(Arc::clone(&name));
                self.changes.push((name, None));
            }
            // Routes and secrets stay for as long as something that is served needs them.
            Kind::Routes | Kind::Secret => {}
        }
    }
}

fn before_value<'a>(engine: &'a Engine, kind: Kind, name: &str) -> Option<&'a Resource> {
    engine
        .store(kind)
        .entries
        .get(name)
        .map(|entry| &entry.value)
}

/// Takes over parts that are equal to those of before.
fn share(new: Resource, old: Option<&Resource>) -> Resource {
    let (Resource::Routes(new_parts), Some(Resource::Routes(old_parts))) = (&new, old) else {
        return new;
    };
    let mut table = (*new_parts.table).clone();
    let mut same = false;
    for (host, before) in table
        .virtual_hosts
        .iter_mut()
        .zip(&old_parts.table.virtual_hosts)
    {
        for (route, before) in host.routes.iter_mut().zip(&before.routes) {
            if route == before {
                *route = Arc::clone(before);
                same = true;
            }
        }
    }
    if !same {
        return new;
    }
    Resource::Routes(Arc::new(translate::TableParts {
        table: Arc::new(table),
        clusters: new_parts.clusters.clone(),
        source: None,
    }))
}

fn name_of(kind: Kind, item: &Item<'_>) -> Result<Arc<str>, Bad> {
    let Some(body) = item.body else {
        return if item.name.is_empty() {
            Err(Bad::new("is needed").within("name"))
        } else {
            Ok(item.name.into())
        };
    };
    if item.message != kind.message() {
        let reason = format!("{} in an answer about {}", item.message, kind.message());
        return Err(Bad::new(reason));
    }
    let own = translate::name(body)?;
    if !item.name.is_empty() && *item.name != *own {
        return Err(Bad::new(format!("is called {own:?} inside")).within("name"));
    }
    Ok(own)
}

fn problem(draft: &mut Draft, kind: Kind, name: &str, bad: &Bad) {
    if draft.problems.len() < MOST_PROBLEMS {
        let what = format!("{kind} {name:?}");
        draft.problems.push(match bad.path.strip_prefix(&what) {
            Some(_) => bad.to_string(),
            None => format!("{what}: {bad}"),
        });
    }
}
