//! `string.format(list)`: `%s %d %f %e %b %o %x %X`.
use std::fmt::Write as _;

use super::no_overload;
use super::strings::quote;
use crate::convert;
use crate::error::Fault;
use crate::value::{List, Map, Outcome, Value};

const PRECISION: usize = 6;

/// The function.
pub fn call(name: &str, args: &[Value]) -> Outcome {
    match args {
        [Value::String(text), Value::List(list)] => format(text, list).map(Value::from),
        _ => Err(no_overload(name, args)),
    }
}

fn format(text: &str, list: &List) -> Result<String, Fault> {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    let mut next = 0;
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let mut digits = String::new();
            while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            precision = Some(digits.parse::<usize>().ok().filter(|n| *n <= 100).ok_or_else(
                || Fault::new("error while parsing precision: unable to convert precision specifier to integer"),
            )?);
        }
        let clause = chars
            .next()
            .ok_or_else(|| Fault::new("unexpected end of string"))?;
        if clause == '%' {
            out.push('%');
            continue;
        }
        let argument = list
            .get(next)
            .ok_or_else(|| Fault::new(format!("index {next} out of range")))??;
        next += 1;
        write(&mut out, clause, precision, &argument)?;
    }
    Ok(out)
}

fn write(
    out: &mut String,
    clause: char,
    precision: Option<usize>,
    value: &Value,
) -> Result<(), Fault> {
    let wrong = |what: &str| {
        let text = format!(
            "error during formatting: {what}, was given {}",
            value.type_name()
        );
        Err(Fault::new(text))
    };
    let done = match (clause, value) {
        ('s', value) => {
            out.push_str(&plain(value)?);
            Ok(())
        }
        ('d', Value::Int(value)) => write!(out, "{value}"),
        ('d', Value::Uint(value)) => write!(out, "{value}"),
        ('d', _) => return wrong("decimal clause can only be used on integers"),
        ('f', Value::Double(value)) => {
            out.push_str(&fixed(*value, precision.unwrap_or(PRECISION)));
            Ok(())
        }
        ('f' | 'e', Value::String(text)) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => {
            out.push_str(&text.replace("Infinity", "∞"));
            Ok(())
        }
        ('f', _) => return wrong("fixed-point clause can only be used on doubles"),
        ('e', Value::Double(value)) => {
            out.push_str(&scientific(*value, precision.unwrap_or(PRECISION)));
            Ok(())
        }
        ('e', _) => return wrong("scientific clause can only be used on doubles"),
        ('b', Value::Int(value)) => signed(out, *value, |n| format!("{n:b}")),
        ('b', Value::Uint(value)) => write!(out, "{value:b}"),
        ('b', Value::Bool(value)) => write!(out, "{}", u8::from(*value)),
        ('b', _) => return wrong("only integers and bools can be formatted as binary"),
        ('o', Value::Int(value)) => signed(out, *value, |n| format!("{n:o}")),
        ('o', Value::Uint(value)) => write!(out, "{value:o}"),
        ('o', _) => return wrong("octal clause can only be used on integers"),
        ('x', Value::Int(value)) => signed(out, *value, |n| format!("{n:x}")),
        ('X', Value::Int(value)) => signed(out, *value, |n| format!("{n:X}")),
        ('x', Value::Uint(value)) => write!(out, "{value:x}"),
        ('X', Value::Uint(value)) => write!(out, "{value:X}"),
        ('x' | 'X', Value::String(text)) => hex(out, text.as_bytes(), clause == 'X'),
        ('x' | 'X', Value::Bytes(bytes)) => hex(out, bytes, clause == 'X'),
        ('x' | 'X', _) => {
            return wrong("only integers, byte buffers, and strings can be formatted as hex");
        }
        (other, _) => {
            return Err(Fault::new(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            )));
        }
    };
    done.map_err(|_| Fault::new("the text cannot be written"))
}

fn signed(out: &mut String, value: i64, digits: fn(u64) -> String) -> std::fmt::Result {
    let sign = if value < 0 { "-" } else { "" };
    write!(out, "{sign}{}", digits(value.unsigned_abs()))
}

fn hex(out: &mut String, bytes: &[u8], upper: bool) -> std::fmt::Result {
    for byte in bytes {
        if upper {
            write!(out, "{byte:02X}")?
        } else {
            write!(out, "{byte:02x}")?
        }
    }
    Ok(())
}

/// With thousands separated, as the English locale has it.
fn fixed(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "∞" } else { "-∞" }.to_owned();
    }
    let text = format!("{:.precision$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::from(if value < 0.0 { "-" } else { "" });
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// `2.718280×10⁰⁰`.
fn scientific(value: f64, precision: usize) -> String {
    if !value.is_finite() {
        return fixed(value, precision);
    }
    let text = format!("{value:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let number: i32 = exponent.parse().unwrap_or(0);
    let mut out = format!("{digits}×10");
    if number < 0 {
        out.push('⁻');
    }
    for digit in format!("{:02}", number.abs()).chars() {
        let at = digit.to_digit(10).unwrap_or(0) as usize;
        out.extend("⁰¹²³⁴⁵⁶⁷⁸⁹".chars().nth(at));
    }
    out
}

/// `%s` of a value.
fn plain(value: &Value) -> Result<String, Fault> {
    match value {
        Value::Null => Ok("null".to_owned()),
        Value::List(list) => list_text(list),
        Value::Map(map) => map_text(map),
        Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Double(_)
        | Value::String(_)
        | Value::Bytes(_)
        | Value::Timestamp(_)
        | Value::Duration(_)
        | Value::Type(_) => convert::text(value),
        other => Err(Fault::new(format!(
            "error during formatting: string clause can only be used on strings, bools, bytes, \
             ints, doubles, maps, lists, types, durations, and timestamps, was given {}",
            other.type_name()
        ))),
    }
}

fn inner(value: &Value) -> Result<String, Fault> {
    Ok(match value {
        Value::String(text) => quote(text),
        Value::Bytes(_) => format!("b{}", quote(&convert::text(value)?)),
        Value::Timestamp(_) => format!("timestamp({})", quote(&convert::text(value)?)),
        Value::Duration(_) => format!("duration({})", quote(&convert::text(value)?)),
        Value::Double(value) => format!("{value:.PRECISION$}"),
        other => plain(other)?,
    })
}

fn list_text(list: &List) -> Result<String, Fault> {
    let parts = list
        .iter()
        .map(|one| inner(&one?))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[{}]", parts.join(", ")))
}

fn map_text(map: &Map) -> Result<String, Fault> {
    let mut parts = Vec::with_capacity(map.len());
    for key in map.keys() {
        let value = map.find(&key).unwrap_or(Ok(Value::Null))?;
        parts.push((inner(&key)?, inner(&value)?));
    }
    parts.sort();
    let shown: Vec<String> = parts
        .into_iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    Ok(format!("{{{}}}", shown.join(", ")))
}
