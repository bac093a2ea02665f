//! `kubernetes.Quantity`: amounts such as `500m` and `1.5Gi`, exact to a billionth.
use std::cmp::Ordering;
use std::fmt;

use super::no_overload;
use crate::error::Fault;
use crate::value::{Outcome, Value};

const NANO: i128 = 1_000_000_000;
const FORMAT: &str = "quantities must match the regular expression \
                      '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const NUMBER: &str = "unable to parse numeric part of quantity";
const SUFFIX: &str = "unable to parse quantity's suffix";

/// An amount, in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity(i128);

impl Quantity {
    /// The amount of a text; upstream's message when there is none.
    pub fn parse(text: &str) -> Result<Quantity, &'static str> {
        if text.is_empty() {
            return Err(FORMAT);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(FORMAT);
        }
        if fraction.contains('.') {
            return Err(NUMBER);
        }
        let (numerator, denominator) = scale(suffix).ok_or(SUFFIX)?;
        let value = amount(whole, fraction, numerator, denominator);
        Ok(Quantity(if text.starts_with('-') { -value } else { value }))
    }

    fn whole(self) -> Option<i64> {
        (self.0 % NANO == 0)
            .then(|| i64::try_from(self.0 / NANO).ok())
            .flatten()
    }
}

/// The largest amount that there is.
const MOST: i128 = i64::MAX as i128 * NANO;

/// Rounded up to billionths, capped like upstream's.
fn amount(whole: &str, fraction: &str, numerator: i128, denominator: i128) -> i128 {
    let digits = whole.trim_start_matches('0');
    if digits.len() > 20 {
        return MOST;
    }
    let whole: i128 = digits.parse().unwrap_or(0);
    let kept = &fraction[..fraction.len().min(18)];
    let rest = fraction[kept.len()..].bytes().any(|c| c != b'0');
    let unit = 10i128.pow(u32::try_from(kept.len()).unwrap_or(0));
    let part: i128 = kept.parse().unwrap_or(0);
    let parts = |value: i128, unit: i128| -> Option<(i128, bool)> {
        let dividend = value.checked_mul(numerator)?.checked_mul(NANO)?;
        let divisor = unit.checked_mul(denominator)?;
        Some((dividend / divisor, dividend % divisor != 0))
    };
    // The fraction is divided alone, so that products stay small.
    let (Some((a, x)), Some((b, y))) = (
        parts(whole, 1),
        fraction_parts(part, unit, numerator, denominator),
    ) else {
        return MOST;
    };
    (a + b + i128::from(x || y || (rest && numerator == 1))).min(MOST)
}

fn fraction_parts(
    part: i128,
    unit: i128,
    numerator: i128,
    denominator: i128,
) -> Option<(i128, bool)> {
    // part / unit * numerator / denominator * NANO without overflow for 18 digits and 2^60.
    let whole = part.checked_mul(numerator)?;
    let scaled = whole / unit;
    let left = whole % unit;
    let dividend = scaled
        .checked_mul(NANO)?
        .checked_add(left.checked_mul(NANO)? / unit)?;
    let inexact = left.checked_mul(NANO)? % unit != 0;
    Some((
        dividend / denominator,
        inexact || dividend % denominator != 0,
    ))
}

fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1i128 << (10 * power), 1));
    let decimal = |power: u32| Some((10i128.pow(power), 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, NANO)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "k" => decimal(3),
        "M" => decimal(6),
        "G" => decimal(9),
        "T" => decimal(12),
        "P" => decimal(15),
        "E" => decimal(18),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10i128.checked_pow(exponent.unsigned_abs().min(27))?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut value, mut suffix) = (self.0, "n");
        for next in ["u", "m", "", "k", "M", "G", "T", "P", "E"] {
            if value == 0 || value % 1000 != 0 {
                break;
            }
            value /= 1000;
            suffix = next;
        }
        if value == 0 {
            out.write_str("0")
        } else {
            write!(out, "{value}{suffix}")
        }
    }
}

/// The functions, by name.
#[allow(clippy::cast_precision_loss)]
pub fn call(name: &str, args: &[Value]) -> Outcome {
    let int = |value: i64| Quantity(i128::from(value) * NANO);
    Ok(match (name, args) {
        ("quantity", [Value::String(text)]) => {
            Value::Quantity(Quantity::parse(text).map_err(Fault::new)?)
        }
        ("isQuantity", [Value::String(text)]) => Value::Bool(Quantity::parse(text).is_ok()),
        ("sign", [Value::Quantity(one)]) => Value::Int(i64::from(one.0.signum() as i8)),
        ("asApproximateFloat", [Value::Quantity(one)]) => Value::Double(one.0 as f64 / NANO as f64),
        ("isInteger", [Value::Quantity(one)]) => Value::Bool(one.whole().is_some()),
        ("asInteger", [Value::Quantity(one)]) => Value::Int(
            one.whole()
                .ok_or_else(|| Fault::new("cannot convert value to integer"))?,
        ),
        ("add", [Value::Quantity(a), Value::Quantity(b)]) => Value::Quantity(Quantity(a.0 + b.0)),
        ("add", [Value::Quantity(a), Value::Int(b)]) => Value::Quantity(Quantity(a.0 + int(*b).0)),
        ("sub", [Value::Quantity(a), Value::Quantity(b)]) => Value::Quantity(Quantity(a.0 - b.0)),
        ("sub", [Value::Quantity(a), Value::Int(b)]) => Value::Quantity(Quantity(a.0 - int(*b).0)),
        _ => return Err(no_overload(name, args)),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_upstream_reads_them() {
        for (a, b) in [
            ("1", "1000m"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("12E", "12e18"),
            ("1.2e-3", "1200u"),
            ("0.1Ki", "102400m"),
            ("9Ei", "99999999999999999999999"),
            ("+5", "5"),
            ("-.5", "-500m"),
        ] {
            assert_eq!(
                Quantity::parse(a).unwrap(),
                Quantity::parse(b).unwrap(),
                "{a} {b}"
            );
        }
        for bad in ["", "a", "1x", "1.2.3", "1 k", "1KiB", "1e", "e3"] {
            assert!(Quantity::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Quantity::parse("1500m").unwrap().to_string(), "1500m");
        assert_eq!(Quantity::parse("2000").unwrap().to_string(), "2k");
    }
}
