//! Server-side apply: merge, give up what the applier does not say any more, settle ownership.

use crate::element::Element;
use crate::engine::{
    Managed, NEVER_TRACKED, Request, encode, manager_of, reconciled, settle, take_managed, updated,
};
use crate::managers::{Entry, Manager, Managers, Operation};
use crate::schema::Schema;
use crate::set::Set;
use crate::value::Value;
use crate::{Conflict, MergeError};

const BEFORE: &str = "before-first-apply";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const KUBECTL: &str = "kubectl";

/// What an apply leads to.
#[derive(Debug)]
pub struct Applied<'a> {
    /// The object, without managed fields.
    pub object: Value<'a>,
    /// Its owners.
    pub managed: Managed,
}

/// `patch` applied to `live` (`None`: it is to be created).
///
/// # Errors
/// `MergeError::Conflicts`: others own fields, and `force` is not given; `MergeError::Patch`: the
/// patch does not fit the schema; `MergeError::Malformed`: the live managed fields are none.
pub fn apply<'s>(
    request: &Request<'s, '_>,
    live: Option<Value<'s>>,
    patch: &Value<'s>,
    last_applied: Option<&Value<'s>>,
    force: bool,
) -> Result<Applied<'s>, MergeError> {
    let mut live = live.unwrap_or_else(|| request.schema.zero().clone());
    let before = take_managed(&mut live);
    let mut managers = match &before {
        Some(found) => Managers::from_value(found).map_err(|error| {
            MergeError::Typed(format!("failed to decode managed fields: {error}"))
        })?,
        None => Managers::default(),
    };
    if managers.entries.is_empty() {
        let zero = request.schema.zero().clone();
        managers = updated(request, &zero, &live, managers, BEFORE)?;
    }
    let problems = request.schema.problems(patch, false);
    if !problems.0.is_empty() {
        return Err(MergeError::Patch(problems.to_string()));
    }
    let once = |force| merge_once(request, &live, patch, managers.clone(), force);
    let (object, managers) = match once(force) {
        Err(MergeError::Conflicts(conflicts)) if request.manager == KUBECTL => {
            let left = not_by_kubectl(request.schema, &live, last_applied, conflicts)?;
            if !left.is_empty() {
                return Err(MergeError::Conflicts(left));
            }
            once(true)?
        }
        other => other?,
    };
    let object = object.unwrap_or(live);
    Ok(Applied {
        object,
        managed: encode(managers, before.as_ref()),
    })
}

type Merged<'s> = (Option<Value<'s>>, Managers<'s>);

/// One apply; the object is `None` when nothing changes.
fn merge_once<'s>(
    request: &Request<'s, '_>,
    live: &Value<'s>,
    patch: &Value<'s>,
    managers: Managers<'s>,
    force: bool,
) -> Result<Merged<'s>, MergeError> {
    let schema = request.schema;
    let mut managers = reconciled(request, managers)?;
    let merged = schema.merge(live, patch)?;
    let acting = manager_of(request, request.manager, Operation::Apply);
    let last = managers.take(&acting);
    let time = last.as_ref().and_then(|last| last.time.clone());
    let set = schema.field_set(patch)?.without_trees(request.ignored);
    managers.entries.push(Entry {
        manager: acting.clone(),
        time,
        set,
    });
    let merged = match last {
        Some(last) if !last.set.is_empty() => pruned(request, merged, &managers, &last)?,
        _ => merged,
    };
    let (mut managers, _) = settle(request, live, &merged, managers, Some(&acting), force)?;
    let changed = *live != merged;
    strip(&mut managers, &acting);
    if changed && let Some(at) = managers.position(&acting) {
        managers.entries[at].time = Some(request.now.into());
    }
    Ok((changed.then_some(merged), managers))
}

/// Nobody owns the type and most of the metadata; a manager that owns nothing is none.
fn strip<'s>(managers: &mut Managers<'s>, acting: &Manager<'s>) {
    if let Some(mut entry) = managers.take(acting) {
        entry.set = entry.set.difference(&NEVER_TRACKED);
        if !entry.set.is_empty() {
            managers.entries.push(entry);
        }
    }
}

/// `merged` without what the applier applied the last time, does not now, and nobody else owns.
fn pruned<'s>(
    request: &Request<'s, '_>,
    merged: Value<'s>,
    managers: &Managers<'s>,
    last: &Entry<'s>,
) -> Result<Value<'s>, MergeError> {
    let version = last.manager.api_version.as_ref();
    let own = version == request.api_version;
    let schema = if own {
        Some(request.schema)
    } else {
        request.versions.schema(version)
    };
    let Some(schema) = schema else {
        return Ok(merged);
    };
    let whole = if own {
        merged
    } else {
        request.versions.convert(&merged, version)?
    };
    let root = Some(schema.root());
    let given_up = last.set.with_named_fields(schema, root);
    let mut pruned = schema.without(&whole, &given_up);
    let mut versions: Vec<&str> = vec![version];
    for entry in &managers.entries {
        let other = entry.manager.api_version.as_ref();
        if !versions.contains(&other) {
            versions.push(other);
        }
    }
    // The version of the last apply first: what a conversion needs must be back before it.
    for other in versions {
        pruned = with_owned(request, version, other, &whole, pruned, managers)?;
    }
    let left = schema.field_set(&pruned)?.with_named_fields(schema, root);
    let all = schema.field_set(&whole)?.with_named_fields(schema, root);
    let out = schema.without(&whole, &all.difference(&left).intersection(&given_up));
    if own { Ok(out) } else { back(request, &out) }
}

/// `pruned` with what the managers of version `other` own; both objects are in version `version`.
fn with_owned<'s>(
    request: &Request<'s, '_>,
    version: &str,
    other: &str,
    whole: &Value<'s>,
    pruned: Value<'s>,
    managers: &Managers<'s>,
) -> Result<Value<'s>, MergeError> {
    let same = other == version;
    let schema = if other == request.api_version {
        Some(request.schema)
    } else {
        request.versions.schema(other)
    };
    let Some(schema) = schema else {
        return Ok(pruned);
    };
    let of = |entry: &&Entry<'s>| entry.manager.api_version == other;
    let owned = managers
        .entries
        .iter()
        .filter(of)
        .fold(Set::default(), |all, entry| all.union(&entry.set));
    let (all, left) = if same {
        (whole.clone(), pruned)
    } else {
        (
            request.versions.convert(whole, other)?,
            request.versions.convert(&pruned, other)?,
        )
    };
    let root = Some(schema.root());
    let named = |set: &Set<'s>| set.with_named_fields(schema, root);
    let kept = named(&schema.field_set(&left)?).union(&named(&owned));
    let gone = named(&schema.field_set(&all)?).difference(&kept);
    let out = schema.without(&all, &gone);
    if same {
        Ok(out)
    } else {
        request.versions.convert(&out, version)
    }
}

fn back<'s>(request: &Request<'s, '_>, object: &Value<'s>) -> Result<Value<'s>, MergeError> {
    request.versions.convert(object, request.api_version)
}

/// The conflicts that client-side apply by kubectl does not explain.
fn not_by_kubectl<'s>(
    schema: &'s Schema,
    live: &Value<'s>,
    last_applied: Option<&Value<'s>>,
    conflicts: Vec<Conflict>,
) -> Result<Vec<Conflict>, MergeError> {
    let Some(applied) = last_applied else {
        return Ok(conflicts);
    };
    if applied.get("apiVersion") != live.get("apiVersion")
        || !schema.problems(applied, false).0.is_empty()
        || !schema.problems(live, false).0.is_empty()
    {
        return Ok(conflicts);
    }
    let differs = schema.compare(applied, live)?;
    let allowed = schema
        .field_set(applied)?
        .difference(&differs.modified)
        .difference(&differs.added)
        .difference(&differs.removed);
    let allowed: Vec<String> = allowed.paths().iter().map(|path| shown(path)).collect();
    Ok(conflicts
        .into_iter()
        .filter(|one| !allowed.contains(&one.field))
        .collect())
}

fn shown(path: &[Element<'_>]) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// The text of the annotation in which kubectl keeps what it applied, if the object has it.
#[must_use]
pub fn last_applied_of<'v>(object: &'v Value<'_>) -> Option<&'v str> {
    let annotations = object.get("metadata")?.get("annotations")?;
    annotations
        .get(LAST_APPLIED)?
        .as_str()
        .filter(|text| !text.is_empty())
}
