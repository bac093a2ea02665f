//! Owners of the scale subresource: only the replicas, under another name.

use std::borrow::Cow;

use crate::MergeError;
use crate::element::Element;
use crate::managers::{Entry, Managers};
use crate::set::Set;
use crate::value::Value;

const SCALE: &str = "autoscaling/v1";

fn path<'a>(dotted: &str) -> Vec<Element<'a>> {
    let parts = dotted.trim_start_matches('.').split('.');
    parts
        .map(|part| Element::Field(Cow::Owned(part.to_owned())))
        .collect()
}

fn encoded(mut managers: Managers<'_>) -> Option<Vec<u8>> {
    if managers.entries.is_empty() {
        return None;
    }
    let mut out = Vec::new();
    managers.write(&mut out);
    Some(out)
}

/// The owners that a Scale shows. `replicas`: where each version keeps the number
/// (`apps/v1` → `spec.replicas`).
///
/// # Errors
/// `MergeError::Malformed`: the managed fields are none.
pub fn scale_to(
    managed: &Value<'_>,
    replicas: &[(String, String)],
) -> Result<Option<Vec<u8>>, MergeError> {
    let mut shown = Managers::default();
    for mut entry in Managers::from_value(managed)?.entries {
        let version = entry.manager.api_version.as_ref();
        let known = replicas.iter().find(|(known, _)| known == version);
        if known.is_some_and(|(_, dotted)| entry.set.has(&path(dotted))) {
            entry.manager.api_version = Cow::Borrowed(SCALE);
            entry.set = Set::default();
            entry.set.insert(&path("spec.replicas"));
            shown.entries.push(entry);
        }
    }
    Ok(encoded(shown))
}

/// The owners of an object after those of its Scale have become `scale`; it is written in
/// `api_version`.
///
/// # Errors
/// `MergeError::Malformed`: one of the managed fields is none.
pub fn scale_from(
    managed: &Value<'_>,
    scale: &Value<'_>,
    api_version: &str,
    replicas: &[(String, String)],
) -> Result<Option<Vec<u8>>, MergeError> {
    let mut of_scale = Managers::from_value(scale)?;
    let mut out = Managers::default();
    let parent = Managers::from_value(managed)?;
    for mut entry in parent.entries.clone() {
        let version = entry.manager.api_version.as_ref();
        let Some((_, dotted)) = replicas.iter().find(|(known, _)| known == version) else {
            continue;
        };
        let steps = path(dotted);
        if entry.set.has(&steps) && take_scale(&mut of_scale, &entry).is_none() {
            let mut stolen = Set::default();
            stolen.insert(&steps);
            entry.set = entry.set.difference(&stolen);
            if entry.set.is_empty() {
                continue;
            }
        }
        out.entries.push(entry);
    }
    let own = replicas.iter().find(|(known, _)| known == api_version);
    let Some((_, dotted)) = own else {
        return Ok(encoded(out));
    };
    for mut entry in of_scale.entries {
        if entry.set.has(&path("spec.replicas")) {
            // Upstream looks the time up among the object's own entries.
            let before = parent.position(&entry.manager);
            entry.time = before.and_then(|at| parent.entries[at].time.clone());
            entry.manager.api_version = Cow::Borrowed(api_version);
            entry.set = Set::default();
            entry.set.insert(&path(dotted));
            out.take(&entry.manager);
            out.entries.push(entry);
        }
    }
    Ok(encoded(out))
}

/// Take the entry of the Scale that stands for `entry`.
fn take_scale<'a>(scale: &mut Managers<'a>, entry: &Entry<'_>) -> Option<Entry<'a>> {
    let stands = |one: &Entry<'a>| {
        one.manager.name == entry.manager.name
            && one.manager.operation == entry.manager.operation
            && one.manager.subresource == entry.manager.subresource
    };
    let at = scale.entries.iter().position(stands)?;
    Some(scale.entries.swap_remove(at))
}
