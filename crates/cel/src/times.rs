//! Points in time and durations: their texts and parts.
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, TimeZone, Timelike, Utc};

use crate::error::Fault;
use crate::value::{Outcome, Value};

const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];
/// Years 1 to 9999, in seconds.
const SECONDS_MIN: i64 = -62_135_596_800;
const SECONDS_MAX: i64 = 253_402_300_799;

/// Nanoseconds of a Go duration such as `1h30m` or `-1.5s`.
#[must_use]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let unit_end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(unit_end);
        let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1 as i128;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let whole: i128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total.checked_add(whole.checked_mul(scale)?)?;
        if !fraction.is_empty() {
            if !fraction.bytes().all(|c| c.is_ascii_digit()) {
                return None;
            }
            let digits = &fraction[..fraction.len().min(18)];
            let part: i128 = digits.parse().ok()?;
            total += part * scale / 10i128.pow(u32::try_from(digits.len()).ok()?);
        }
        rest = next;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A duration as CEL's `string()` writes it: seconds, such as `90s` or `1.5s`.
#[must_use]
pub fn duration_text(nanos: i64) -> String {
    let (sign, value) = if nanos < 0 {
        ("-", nanos.unsigned_abs())
    } else {
        ("", nanos.unsigned_abs())
    };
    let (seconds, part) = (value / 1_000_000_000, value % 1_000_000_000);
    if part == 0 {
        return format!("{sign}{seconds}s");
    }
    let digits = format!("{part:09}");
    format!("{sign}{seconds}.{}s", digits.trim_end_matches('0'))
}

/// The point in time of an RFC 3339 text.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    // Go wants `T`, and knows no leap seconds.
    if text.as_bytes().get(10) != Some(&b'T') || text.as_bytes().get(17..19) == Some(b"60") {
        return None;
    }
    DateTime::parse_from_rfc3339(text)
        .ok()
        .map(|one| one.with_timezone(&Utc))
}

/// Midnight of a date such as `2026-01-31`.
#[must_use]
pub fn parse_date(text: &str) -> Option<DateTime<Utc>> {
    if text.len() != 10 {
        return None;
    }
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(Utc.from_utc_datetime(&date.and_hms_opt(0, 0, 0)?))
}

/// A point in time as RFC 3339 in UTC, with as many digits as it needs.
#[must_use]
pub fn timestamp_text(moment: DateTime<Utc>) -> String {
    let whole = moment.format("%Y-%m-%dT%H:%M:%S");
    let part = moment.nanosecond();
    if part == 0 {
        return format!("{whole}Z");
    }
    let digits = format!("{part:09}");
    format!("{whole}.{}Z", digits.trim_end_matches('0'))
}

/// A point in time from seconds since 1970.
pub fn from_seconds(seconds: i64) -> Outcome {
    checked(DateTime::from_timestamp(seconds, 0))
}

fn checked(moment: Option<DateTime<Utc>>) -> Outcome {
    moment
        .filter(|one| (SECONDS_MIN..=SECONDS_MAX).contains(&one.timestamp()))
        .map(Value::Timestamp)
        .ok_or_else(|| Fault::new("timestamp overflow"))
}

/// `moment` and `nanos` later.
pub fn add(moment: DateTime<Utc>, nanos: i64) -> Outcome {
    checked(moment.checked_add_signed(chrono::Duration::nanoseconds(nanos)))
}

/// How long `b` is before `a`.
pub fn difference(a: DateTime<Utc>, b: DateTime<Utc>) -> Outcome {
    let nanos = a.signed_duration_since(b).num_nanoseconds();
    nanos
        .map(Value::Duration)
        .ok_or_else(|| Fault::new("duration overflow"))
}

/// A part of a point in time in a zone (`""`: UTC): `getHours` and its like.
pub fn part(name: &str, moment: DateTime<Utc>, zone: &str) -> Outcome {
    let fixed = |offset: FixedOffset| get(name, &moment.with_timezone(&offset));
    if zone.is_empty() || zone == "UTC" || zone == "Z" {
        return get(name, &moment);
    }
    if zone.contains(':') {
        let bad = || Fault::new(format!("invalid timezone offset: {zone}"));
        let (sign, rest) = match zone.as_bytes().first() {
            Some(b'-') => (-1, &zone[1..]),
            Some(b'+') => (1, &zone[1..]),
            _ => (1, zone),
        };
        let (hours, minutes) = rest.split_once(':').ok_or_else(bad)?;
        let hours: i32 = hours.parse().map_err(|_| bad())?;
        let minutes: i32 = minutes.parse().map_err(|_| bad())?;
        let offset = FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60)).ok_or_else(bad)?;
        return fixed(offset);
    }
    let found: chrono_tz::Tz = zone
        .parse()
        .map_err(|_| Fault::new(format!("unknown time zone {zone}")))?;
    get(name, &moment.with_timezone(&found))
}

fn get<Z: TimeZone>(name: &str, moment: &DateTime<Z>) -> Outcome {
    let found = match name {
        "getFullYear" => i64::from(moment.year()),
        "getMonth" => i64::from(moment.month0()),
        "getDayOfYear" => i64::from(moment.ordinal0()),
        "getDayOfMonth" => i64::from(moment.day0()),
        "getDate" => i64::from(moment.day()),
        "getDayOfWeek" => i64::from(moment.weekday().num_days_from_sunday()),
        "getHours" => i64::from(moment.hour()),
        "getMinutes" => i64::from(moment.minute()),
        "getSeconds" => i64::from(moment.second()),
        "getMilliseconds" => i64::from(moment.nanosecond() / 1_000_000),
        _ => return Err(Fault::new("no such overload")),
    };
    Ok(Value::Int(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_reads_them() {
        let cases = [
            ("1h30m", Some(5_400_000_000_000)),
            ("-1.5s", Some(-1_500_000_000)),
            ("0", Some(0)),
            ("1us", Some(1000)),
            (".5m", Some(30_000_000_000)),
            ("", None),
            ("1", None),
            ("1x", None),
            ("s", None),
            ("2562048h", None),
        ];
        for (text, wanted) in cases {
            assert_eq!(parse_duration(text), wanted, "{text}");
        }
        assert_eq!(duration_text(5_400_000_000_000), "5400s");
        assert_eq!(duration_text(-1_500_000_000), "-1.5s");
    }

    #[test]
    fn times_go_there_and_back() {
        let moment = parse_timestamp("2023-02-03T23:31:20+00:00");
        assert_eq!(
            moment.map(timestamp_text).as_deref(),
            Some("2023-02-03T23:31:20Z")
        );
        assert_eq!(parse_timestamp("2023-02-03 23:31:20Z"), None);
        assert_eq!(parse_timestamp("2023-02-03T23:31:60Z"), None);
        assert!(parse_date("2023-02-29").is_none());
    }
}
