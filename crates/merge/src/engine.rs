//! What every write does to the owners of an object's fields.

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::element::Element;
use crate::fresh::Skip;
use crate::managers::{Entry, Manager, Managers, Operation};
use crate::schema::Schema;
use crate::set::Set;
use crate::typed::Comparison;
use crate::value::Value;
use crate::{Conflict, MergeError};

/// Further versions in which managers may own fields.
pub trait Versions<'s> {
    /// The schema of `api_version`; `None`: it is not served any more.
    fn schema(&self, api_version: &str) -> Option<&'s Schema>;

    /// `object` (in the version of the request) in another version.
    ///
    /// # Errors
    /// `MergeError`: the conversion failed.
    fn convert(&self, object: &Value<'_>, api_version: &str) -> Result<Value<'static>, MergeError>;
}

/// The kind, the version and the writer.
pub struct Request<'s, 'r> {
    /// The schema of the version that was written.
    pub schema: &'s Schema,
    /// That version, as objects say it.
    pub api_version: &'s str,
    /// The name of the writer; empty: unknown.
    pub manager: &'s str,
    /// The subresource that was written, or empty.
    pub subresource: &'s str,
    /// The time of the write: RFC 3339 in UTC with seconds.
    pub now: &'s str,
    /// Fields that the strategy resets, so nobody gets to own them.
    pub ignored: &'r Set<'s>,
    /// The other versions.
    pub versions: &'r dyn Versions<'s>,
}

/// The new `managedFields`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Managed {
    /// The JSON list; `None`: the object has none.
    pub fields: Option<Vec<u8>>,
    /// The list with the times of the old one, where it differs in nothing else: to be taken
    /// when the whole object has not changed.
    pub same: Option<Vec<u8>>,
}

/// The owners after a create (`live` is `None`), an update or a patch. `new` is what is to be
/// stored, maybe with `managedFields` that the client sent. They are dropped when the object does
/// not fit its schema.
///
/// # Errors
/// `MergeError::Malformed`: `live` or `new` is no object in JSON.
pub fn update<'s>(
    request: &Request<'s, '_>,
    live: Option<Value<'s>>,
    mut new: Value<'s>,
) -> Result<Managed, MergeError> {
    let given = take_managed(&mut new);
    let Some(mut live) = live else {
        return Ok(created(request, &new, given.as_ref()));
    };
    let before = take_managed(&mut live);
    let Some(managers) = starting(request, before.as_ref(), given.as_ref()) else {
        return Ok(Managed::default());
    };
    if managers.entries.is_empty() {
        return Ok(Managed::default());
    }
    match updated(request, &live, &new, managers, request.manager) {
        Ok(managers) => Ok(encode(managers, before.as_ref())),
        // Upstream's UpdateNoErrors: nothing is better than garbage.
        Err(_) => Ok(Managed::default()),
    }
}

/// The owners of a new object.
fn created<'s>(request: &Request<'s, '_>, new: &Value<'s>, given: Option<&Value<'s>>) -> Managed {
    let Some(managers) = starting(request, None, given) else {
        return Managed::default();
    };
    if managers.entries.is_empty()
        && request.schema.zero_fits()
        && request.schema.fits(new)
        && let Some(set) = own_of_new(request, new)
    {
        let mut managers = Managers::default();
        if !set.is_empty() {
            managers.entries.push(Entry {
                manager: manager_of(request, request.manager, Operation::Update),
                time: Some(Cow::Borrowed(request.now)),
                set,
            });
        }
        return encode(managers, None);
    }
    // What does not fit, has many owners, or is compared as two kinds at once.
    updated(
        request,
        request.schema.zero(),
        new,
        managers,
        request.manager,
    )
    .map_or_else(|_| Managed::default(), |managers| encode(managers, None))
}

fn own_of_new<'s>(request: &Request<'s, '_>, new: &Value<'s>) -> Option<Set<'s>> {
    let skip = Skip {
        trees: (!request.ignored.is_empty()).then_some(request.ignored),
        fields: Some(&NEVER_TRACKED),
    };
    request.schema.fresh(new, skip)
}

/// The managers that a write starts from; `None`: the client wants none to be tracked.
fn starting<'s>(
    request: &Request<'s, '_>,
    before: Option<&Value<'s>>,
    given: Option<&Value<'s>>,
) -> Option<Managers<'s>> {
    if request.subresource.is_empty()
        && let Some(Value::List(items)) = given
    {
        if resets(items) {
            return Some(Managers::default());
        }
        if let Ok(found) = given.map_or(Ok(Managers::default()), Managers::from_value)
            && !found.entries.is_empty()
        {
            return Some(found);
        }
    }
    Some(
        before
            .and_then(|one| Managers::from_value(one).ok())
            .unwrap_or_default(),
    )
}

fn resets(items: &[Value<'_>]) -> bool {
    match items {
        [] => true,
        [Value::Map(members)] => members.is_empty(),
        _ => false,
    }
}

/// Take `managedFields` out of an object.
pub(crate) fn take_managed<'a>(object: &mut Value<'a>) -> Option<Value<'a>> {
    object
        .get_mut("metadata")
        .and_then(|metadata| metadata.remove("managedFields"))
}

/// The owners after `live` has become `new` by the hand of `name`.
pub(crate) fn updated<'s>(
    request: &Request<'s, '_>,
    live: &Value<'s>,
    new: &Value<'s>,
    managers: Managers<'s>,
    name: &'s str,
) -> Result<Managers<'s>, MergeError> {
    check(request.schema, live)?;
    check(request.schema, new)?;
    let managers = reconciled(request, managers)?;
    let (mut managers, comparison) = settle(request, live, new, managers, None, true)?;
    // The fields of this operation alone; those that the manager had before are added below.
    let Comparison {
        modified, added, ..
    } = comparison;
    let own = if modified.is_empty() {
        added
    } else {
        modified.union(&added)
    };
    let own = own
        .without_trees(request.ignored)
        .difference(&NEVER_TRACKED);
    if !own.is_empty() {
        let manager = manager_of(request, name, Operation::Update);
        let previous = managers.take(&manager);
        managers.entries.push(Entry {
            set: match previous {
                Some(previous) => own.union(&previous.set),
                None => own,
            },
            manager,
            time: Some(Cow::Borrowed(request.now)),
        });
    }
    managers.cap();
    Ok(managers)
}

fn check(schema: &Schema, object: &Value<'_>) -> Result<(), MergeError> {
    if schema.fits(object) {
        return Ok(());
    }
    Err(MergeError::Typed(schema.problems(object, true).to_string()))
}

/// The manager that the request writes as.
pub(crate) fn manager_of<'s>(
    request: &Request<'s, '_>,
    name: &'s str,
    operation: Operation,
) -> Manager<'s> {
    Manager {
        name: Cow::Borrowed(if name.is_empty() { "unknown" } else { name }),
        operation,
        api_version: Cow::Borrowed(request.api_version),
        subresource: Cow::Borrowed(request.subresource),
    }
}

/// The sets of all managers as the present schemas would have them.
pub(crate) fn reconciled<'s>(
    request: &Request<'s, '_>,
    mut managers: Managers<'s>,
) -> Result<Managers<'s>, MergeError> {
    managers.entries.retain_mut(|entry| {
        let version = entry.manager.api_version.as_ref();
        let schema = if version == request.api_version {
            Some(request.schema)
        } else {
            request.versions.schema(version)
        };
        match schema.map(|schema| schema.reconciled(&entry.set)) {
            Some(changed) => {
                if let Some(set) = changed {
                    entry.set = set;
                }
                true
            }
            None => false,
        }
    });
    Ok(managers)
}

/// Take from every other manager what was changed or removed; without `force` that is a conflict.
/// Returns what changed in the version of the request.
pub(crate) fn settle<'s>(
    request: &Request<'s, '_>,
    live: &Value<'s>,
    new: &Value<'s>,
    mut managers: Managers<'s>,
    acting: Option<&Manager<'s>>,
    force: bool,
) -> Result<(Managers<'s>, Comparison<'s>), MergeError> {
    let mut own = request.schema.compare(live, new)?;
    own.ignore(request.ignored);
    if managers.entries.is_empty() {
        return Ok((managers, own));
    }
    let mut others: Vec<(String, Comparison<'s>, Set<'s>)> = Vec::new();
    let own_taken = own.modified.union(&own.added);
    let mut conflicts: Vec<(String, Vec<Conflict>)> = Vec::new();
    let mut kept = Vec::with_capacity(managers.entries.len());
    for mut entry in managers.entries.drain(..) {
        if acting.is_some_and(|acting| acting.same(&entry.manager)) {
            kept.push(entry);
            continue;
        }
        let version = entry.manager.api_version.as_ref();
        let (removed, taken) = if version == request.api_version {
            (&own.removed, &own_taken)
        } else {
            if !others.iter().any(|(known, _, _)| known == version) {
                let Some(found) = compared_in(request, live, new, version)? else {
                    continue;
                };
                let taken = found.modified.union(&found.added);
                others.push((version.to_owned(), found, taken));
            }
            match others.iter().find(|(known, _, _)| known == version) {
                Some((_, found, taken)) => (&found.removed, taken),
                None => continue,
            }
        };
        let conflict = entry.set.intersection(taken);
        if !conflict.is_empty() {
            if !force {
                let of = conflicts_of(&entry.manager, &conflict);
                conflicts.push((entry.manager.identifier(), of));
            }
            entry.set = entry.set.difference(&conflict);
        }
        if !removed.is_empty() {
            entry.set = entry.set.difference(removed);
        }
        if !entry.set.is_empty() {
            kept.push(entry);
        }
    }
    if !conflicts.is_empty() {
        conflicts.sort_by(|one, two| one.0.cmp(&two.0));
        let all = conflicts.into_iter().flat_map(|(_, of)| of).collect();
        return Err(MergeError::Conflicts(all));
    }
    managers.entries = kept;
    Ok((managers, own))
}

/// What changed, in another version; `None`: that version is gone.
fn compared_in<'s>(
    request: &Request<'s, '_>,
    live: &Value<'s>,
    new: &Value<'s>,
    version: &str,
) -> Result<Option<Comparison<'s>>, MergeError> {
    let Some(schema) = request.versions.schema(version) else {
        return Ok(None);
    };
    let left = request.versions.convert(live, version)?;
    let right = request.versions.convert(new, version)?;
    Ok(Some(schema.compare(&left, &right)?))
}

fn conflicts_of(manager: &Manager<'_>, set: &Set<'_>) -> Vec<Conflict> {
    let shown = manager.shown();
    let paths = set.paths();
    let each = paths.iter().map(|path| Conflict {
        manager: shown.clone(),
        field: path.iter().map(ToString::to_string).collect(),
    });
    each.collect()
}

/// Fields of the type and the metadata that nobody ever owns.
pub(crate) static NEVER_TRACKED: LazyLock<Set<'static>> = LazyLock::new(never_tracked);

fn never_tracked() -> Set<'static> {
    let field = |name| Element::Field(Cow::Borrowed(name));
    let metadata = [
        "clusterName",
        "creationTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    ];
    Set {
        members: ["apiVersion", "kind", "metadata"].map(field).to_vec(),
        children: vec![(
            field("metadata"),
            Set {
                members: metadata.map(field).to_vec(),
                children: Vec::new(),
            },
        )],
    }
}

/// The wire form, and the same with the old times.
pub(crate) fn encode(mut managers: Managers<'_>, before: Option<&Value<'_>>) -> Managed {
    if managers.entries.is_empty() {
        return Managed::default();
    }
    let mut fields = Vec::with_capacity(512);
    managers.write(&mut fields);
    let same = before.and_then(|before| with_old_times(managers, before));
    Managed {
        same: same.filter(|same| *same != fields),
        fields: Some(fields),
    }
}

fn with_old_times(mut managers: Managers<'_>, before: &Value<'_>) -> Option<Vec<u8>> {
    let old = Managers::from_value(before).ok()?;
    if old.entries.len() != managers.entries.len() {
        return None;
    }
    for entry in &mut managers.entries {
        let at = old.position(&entry.manager)?;
        let found = &old.entries[at];
        if found.set != entry.set || found.manager.api_version != entry.manager.api_version {
            return None;
        }
        entry.time = found.time.clone().map(|time| Cow::Owned(time.into_owned()));
    }
    let mut fields = Vec::with_capacity(512);
    managers.write(&mut fields);
    Some(fields)
}
