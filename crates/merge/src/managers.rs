//! `metadata.managedFields`: who owns what, in which version, since when.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::MergeError;
use crate::set::Set;
use crate::value::{Value, write_str};

/// More entries of updates than this are merged, oldest first.
const UPDATERS_MAX: usize = 10;
const ANCIENT: &str = "ancient-changes";

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Create, update or any other patch.
    Update,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Update => "Update",
        }
    }
}

/// Who it is: appliers are the same one in every version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager<'a> {
    /// The name it gave itself.
    pub name: Cow<'a, str>,
    /// How it owns.
    pub operation: Operation,
    /// The version it wrote in.
    pub api_version: Cow<'a, str>,
    /// The subresource it wrote through, or empty.
    pub subresource: Cow<'a, str>,
}

impl Manager<'_> {
    /// Whether both are the same manager.
    #[must_use]
    pub fn same(&self, other: &Manager<'_>) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// The text by which upstream sorts and tells managers.
    #[must_use]
    pub fn identifier(&self) -> String {
        let mut out = Vec::new();
        out.push(b'{');
        let mut member = |name: &str, text: &str| {
            if !text.is_empty() {
                if out.len() > 1 {
                    out.push(b',');
                }
                out.extend_from_slice(format!("\"{name}\":").as_bytes());
                write_str(text, &mut out);
            }
        };
        member("manager", &self.name);
        member("operation", self.operation.name());
        if self.operation == Operation::Update {
            member("apiVersion", &self.api_version);
        }
        member("subresource", &self.subresource);
        out.push(b'}');
        String::from_utf8_lossy(&out).into_owned()
    }

    /// As conflict messages show it.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut text = format!("{:?}", self.name);
        if !self.subresource.is_empty() {
            text += &format!(" with subresource {:?}", self.subresource);
        }
        if self.operation == Operation::Update {
            text += &format!(" using {}", self.api_version);
        }
        text
    }
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Who.
    pub manager: Manager<'a>,
    /// When its fields were last changed by it: RFC 3339 in UTC with seconds.
    pub time: Option<Cow<'a, str>>,
    /// What.
    pub set: Set<'a>,
}

/// All entries of an object.
#[derive(Debug, Clone, Default)]
pub struct Managers<'a> {
    /// In no order.
    pub entries: Vec<Entry<'a>>,
}

impl<'a> Managers<'a> {
    /// Read `metadata.managedFields`.
    ///
    /// # Errors
    /// `MergeError::Malformed`: it breaks upstream's rules.
    pub fn from_value(value: &Value<'a>) -> Result<Managers<'a>, MergeError> {
        let items = match value {
            Value::List(items) => items,
            Value::Null => return Ok(Managers::default()),
            _ => return Err(MergeError::malformed("managedFields is no list")),
        };
        let mut managers = Managers::default();
        for (at, item) in items.iter().enumerate() {
            let entry = read(item, at)?;
            match managers.position(&entry.manager) {
                Some(at) => managers.entries[at] = entry,
                None => managers.entries.push(entry),
            }
        }
        Ok(managers)
    }

    /// Where the entry of `manager` is.
    #[must_use]
    pub fn position(&self, manager: &Manager<'_>) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.manager.same(manager))
    }

    /// Take the entry of `manager` out.
    pub fn take(&mut self, manager: &Manager<'_>) -> Option<Entry<'a>> {
        self.position(manager)
            .map(|at| self.entries.swap_remove(at))
    }

    /// Append the JSON list, sorted as upstream sorts.
    pub fn write(&mut self, out: &mut Vec<u8>) {
        self.entries.sort_by(|one, two| order(one, two));
        out.push(b'[');
        for (at, entry) in self.entries.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            write_entry(entry, out);
        }
        out.push(b']');
    }

    /// Merge the oldest entries of updates until there are few enough.
    pub fn cap(&mut self) {
        let updates = |entry: &Entry<'a>| entry.manager.operation == Operation::Update;
        let mut count = self.entries.iter().filter(|entry| updates(entry)).count();
        if count <= UPDATERS_MAX {
            return;
        }
        let mut old: Vec<Manager<'a>> = {
            let mut entries: Vec<&Entry<'a>> = self.entries.iter().filter(|e| updates(e)).collect();
            entries.sort_by_cached_key(|entry| (entry.time.clone(), entry.manager.identifier()));
            entries
                .into_iter()
                .map(|entry| entry.manager.clone())
                .collect()
        };
        old.reverse();
        let mut first: Vec<Manager<'a>> = Vec::new();
        while let Some(manager) = old.pop()
            && count > UPDATERS_MAX
        {
            let seen = first
                .iter()
                .find(|one| one.api_version == manager.api_version);
            let Some(seen) = seen.cloned() else {
                first.push(manager);
                continue;
            };
            let bucket = Manager {
                name: Cow::Borrowed(ANCIENT),
                operation: Operation::Update,
                api_version: manager.api_version.clone(),
                subresource: Cow::Borrowed(""),
            };
            let Some(merged) = self.take(&manager) else {
                continue;
            };
            if self.position(&bucket).is_none()
                && let Some(at) = self.position(&seen)
            {
                self.entries[at].manager = bucket.clone();
            }
            if let Some(at) = self.position(&bucket) {
                self.entries[at].set = merged.set.union(&self.entries[at].set);
                self.entries[at].time = merged.time;
            }
            count -= 1;
        }
    }
}

fn order(one: &Entry<'_>, two: &Entry<'_>) -> Ordering {
    let key = |entry: &Entry<'_>| {
        let manager = &entry.manager;
        (
            manager.operation,
            entry.time.clone().map(Cow::into_owned),
            manager.name.clone().into_owned(),
            manager.api_version.clone().into_owned(),
            manager.subresource.clone().into_owned(),
        )
    };
    key(one).cmp(&key(two))
}

fn write_entry(entry: &Entry<'_>, out: &mut Vec<u8>) {
    let manager = &entry.manager;
    out.push(b'{');
    if !manager.name.is_empty() {
        out.extend_from_slice(b"\"manager\":");
        write_str(&manager.name, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"operation\":\"");
    out.extend_from_slice(manager.operation.name().as_bytes());
    out.extend_from_slice(b"\",\"apiVersion\":");
    write_str(&manager.api_version, out);
    if let Some(time) = &entry.time {
        out.extend_from_slice(b",\"time\":");
        write_str(time, out);
    }
    out.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
    entry.set.write(out);
    if !manager.subresource.is_empty() {
        out.extend_from_slice(b",\"subresource\":");
        write_str(&manager.subresource, out);
    }
    out.push(b'}');
}

fn read<'a>(item: &Value<'a>, at: usize) -> Result<Entry<'a>, MergeError> {
    let text = |name: &str| match item.get(name) {
        Some(Value::Str(text)) => Ok(text.clone()),
        None | Some(Value::Null) => Ok(Cow::Borrowed("")),
        Some(_) => Err(MergeError::malformed(format!("{name} is no text"))),
    };
    if !matches!(item, Value::Map(_)) {
        return Err(MergeError::malformed("a managed fields entry is no object"));
    }
    let operation = match text("operation")?.as_ref() {
        "Apply" => Operation::Apply,
        "Update" => Operation::Update,
        _ => {
            return Err(MergeError::malformed(
                "operation must be `Apply` or `Update`",
            ));
        }
    };
    let api_version = text("apiVersion")?;
    if api_version.is_empty() {
        return Err(MergeError::malformed("apiVersion must not be empty"));
    }
    match text("fieldsType")?.as_ref() {
        "FieldsV1" => {}
        "" => {
            let message = format!("missing fieldsType in managed fields entry {at}");
            return Err(MergeError::Malformed(message));
        }
        other => {
            let message = format!("invalid fieldsType {other:?} in managed fields entry {at}");
            return Err(MergeError::Malformed(message));
        }
    }
    let time = text("time")?;
    Ok(Entry {
        manager: Manager {
            name: text("manager")?,
            operation,
            api_version,
            subresource: text("subresource")?,
        },
        time: if time.is_empty() {
            None
        } else {
            Some(utc(time)?)
        },
        set: match item.get("fieldsV1") {
            Some(fields) => Set::from_value(fields)?,
            None => Set::default(),
        },
    })
}

/// An RFC 3339 time in UTC, cut to seconds.
fn utc(text: Cow<'_, str>) -> Result<Cow<'_, str>, MergeError> {
    let bad = || MergeError::malformed(format!("not a time: {text:?}"));
    let bytes = text.as_bytes();
    let digits = |from: usize, to: usize| -> Result<i64, MergeError> {
        let part = text.get(from..to).ok_or_else(bad)?;
        part.parse().map_err(|_| bad())
    };
    let shaped = bytes.len() >= 20
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')]
            .iter()
            .all(|(at, byte)| bytes[*at] == *byte);
    if !shaped {
        return Err(bad());
    }
    let fields = (digits(0, 4)?, digits(5, 7)?, digits(8, 10)?);
    let clock = digits(11, 13)? * 3600 + digits(14, 16)? * 60 + digits(17, 19)?;
    if bytes.len() == 20 && bytes[19] == b'Z' {
        return Ok(text);
    }
    let fraction = bytes[19..]
        .iter()
        .skip(1)
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let zone = if bytes[19] == b'.' { 20 + fraction } else { 19 };
    let offset = match (bytes.get(zone), bytes.len() - zone) {
        (Some(b'Z'), 1) => 0,
        (Some(sign @ (b'+' | b'-')), 6) => {
            let minutes = digits(zone + 1, zone + 3)? * 60 + digits(zone + 4, zone + 6)?;
            if *sign == b'+' {
                minutes * 60
            } else {
                -minutes * 60
            }
        }
        _ => return Err(bad()),
    };
    let seconds = days(fields) * 86_400 + clock - offset;
    Ok(Cow::Owned(format_utc(seconds)))
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days((year, month, day): (i64, i64, i64)) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn format_utc(seconds: i64) -> String {
    let (clock, shifted) = (
        seconds.rem_euclid(86_400),
        seconds.div_euclid(86_400) + 719_468,
    );
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = years + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_brought_to_utc() {
        for (given, wanted) in [
            ("2026-01-31T08:00:00Z", "2026-01-31T08:00:00Z"),
            ("2026-01-31T08:00:00.123456Z", "2026-01-31T08:00:00Z"),
            ("2026-01-01T01:30:00+02:00", "2025-12-31T23:30:00Z"),
            ("2024-02-28T23:30:00-01:00", "2024-02-29T00:30:00Z"),
        ] {
            assert_eq!(utc(Cow::Borrowed(given)).unwrap(), wanted);
        }
        for wrong in [
            "",
            "yesterday",
            "2026-01-31 08:00:00Z",
            "2026-01-31T08:00:00",
        ] {
            assert!(utc(Cow::Borrowed(wrong)).is_err(), "{wrong}");
        }
    }
}
