//! Durations as people write them: a number and one of `ns`, `us`, `ms`, `s`, `m`, `h`.
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

const UNITS: [(&str, u64); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `250ms`, `1.5s`, `1h`; the message says what would have been right.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration (write 250ms, 5s, 10m or 1h)");
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(wrong)?;
    let (number, unit) = text.split_at(end);
    let scale = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?
        .1;
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let nanos = number * scale as f64;
    if nanos > 1e18 {
        return Err(wrong());
    }
    Ok(Duration::from_nanos(nanos.round() as u64))
}

/// Writes a duration in the largest unit that keeps it whole.
pub fn format(value: Duration) -> String {
    let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
    let (unit, scale) = UNITS
        .iter()
        .rev()
        .find(|(_, scale)| nanos % scale == 0 && nanos >= *scale)
        .unwrap_or(&("s", 1_000_000_000));
    format!("{}{unit}", nanos / scale)
}

/// For `#[serde(with = "duration")]`.
pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format(*value))
}

/// For `#[serde(with = "duration")]`.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    parse(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_same() {
        for text in ["250ms", "5s", "10m", "1h", "0s", "7us"] {
            assert_eq!(format(parse(text).unwrap()), text);
        }
        assert_eq!(parse("1.5s").unwrap(), Duration::from_millis(1500));
        for wrong in ["", "5", "s", "5 s", "-5s", "1.2.3s", "5d", "9999999999h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
