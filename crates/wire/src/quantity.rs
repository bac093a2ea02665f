//! `resource.Quantity`: the canonical spelling of an amount, as k8s.io/apimachinery gives it back.

/// The powers of ten that have a letter, from nano to exa.
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];
const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];
/// The most that a binary quantity can be (2⁶³ - 1); what is more is cut to it.
const MOST: i128 = i64::MAX as i128;
const NANO: i128 = 1_000_000_000;

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Decimal,
    Exponent,
    Binary,
}

/// The spelling of `text` that Go gives back; `None`: it is no quantity.
///
/// That is the canonical one, or the text itself where Go's short cut keeps it (`+1`, `1E3`).
/// Amounts are kept to the nano (rounded away from zero), and to the milli where `milli` asks for it,
/// as resource lists do.
#[must_use]
pub fn canonical(text: &str, milli: bool) -> Option<String> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = rest.split_at(digits);
    let (fraction, suffix) = match rest.strip_prefix('.') {
        Some(after) => {
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            after.split_at(digits)
        }
        None => ("", rest),
    };
    if kept(whole, fraction, suffix, milli) {
        return Some(text.to_owned());
    }
    let (format, nanos) = amount(whole, fraction, suffix)?;
    let step = if milli { NANO / 1000 } else { 1 };
    let nanos = nanos.saturating_add(step - 1) / step * step;
    let format = if format == Format::Binary && nanos < NANO {
        Format::Decimal
    } else {
        format
    };
    let sign = if negative && nanos != 0 { "-" } else { "" };
    Some(format!("{sign}{}", spelled(format, nanos)))
}

/// Whether Go keeps the text of an amount: it takes it for canonical when it fits 64 bits, and its
/// last digits do not say at once that a larger unit would do.
fn kept(whole: &str, fraction: &str, suffix: &str, milli: bool) -> bool {
    let Some((format, ten, two)) = interpret(suffix) else {
        return false;
    };
    let digits = format!("{}{fraction}", whole.trim_start_matches('0'));
    if digits.len() > 18 || digits.starts_with('0') {
        return false;
    }
    let Ok(value) = digits.parse::<i64>() else {
        return false;
    };
    if format == Format::Binary {
        let places = digits.len() as u32 + two * 3 / 10 + 1;
        return fraction.is_empty() && places <= 15 && value & 7 != 0;
    }
    let scale = ten - fraction.len() as i32;
    let least = if milli { -3 } else { -9 };
    // A whole part of nothing but zeros counts as one digit, which is 0.
    let zero = whole.trim_start_matches('0').is_empty();
    !zero && scale >= least && scale % 3 == 0 && !digits.ends_with("000")
}

/// The amount in nanos, rounded up.
fn amount(whole: &str, fraction: &str, suffix: &str) -> Option<(Format, i128)> {
    let (format, ten, two) = interpret(suffix)?;
    let mut mantissa: i128 = 0;
    let mut places: i32 = 0;
    let mut inexact = false;
    for digit in whole.bytes() {
        mantissa = mantissa
            .saturating_mul(10)
            .saturating_add(i128::from(digit - b'0'));
    }
    for digit in fraction.bytes() {
        if places < 18 && mantissa < i128::MAX / 1_000 {
            mantissa = mantissa * 10 + i128::from(digit - b'0');
            places += 1;
        } else {
            inexact |= digit != b'0';
        }
    }
    let mut value = mantissa.saturating_mul(1i128 << two.min(64));
    let mut power = ten - places + 9;
    while power > 0 && value != 0 && value < i128::MAX / 20 {
        value = value.saturating_mul(10);
        power -= 1;
    }
    while power < 0 && value != 0 {
        inexact |= value % 10 != 0;
        value /= 10;
        power += 1;
    }
    if inexact {
        value = value.saturating_add(1);
    }
    let most = if format == Format::Binary {
        MOST.saturating_mul(NANO)
    } else {
        i128::MAX / 2
    };
    Some((format, value.min(most)))
}

fn interpret(suffix: &str) -> Option<(Format, i32, u32)> {
    if let Some((_, ten)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Decimal, *ten, 0));
    }
    if let Some((_, two)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Some((Format::Binary, 0, *two));
    }
    let digits = suffix.strip_prefix(['e', 'E'])?;
    let bare = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    if bare.is_empty() || !bare.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Beyond this nothing is left, or everything is cut to the most.
    let ten = digits
        .parse::<i32>()
        .unwrap_or(if digits.starts_with('-') { -99 } else { 99 });
    Some((Format::Exponent, ten.clamp(-99, 99), 0))
}

fn spelled(format: Format, nanos: i128) -> String {
    if nanos == 0 {
        return "0".to_owned();
    }
    if format == Format::Binary && nanos % NANO == 0 && nanos / NANO >= 1024 {
        let mut value = nanos / NANO;
        let mut times = 0;
        while value % 1024 == 0 && times < BINARY.len() {
            value /= 1024;
            times += 1;
        }
        let suffix = if times == 0 { "" } else { BINARY[times - 1].0 };
        return format!("{value}{suffix}");
    }
    let mut value = nanos;
    let mut power = -9;
    while value % 1000 == 0 && power < 18 {
        value /= 1000;
        power += 3;
    }
    if format == Format::Exponent {
        return if power == 0 {
            value.to_string()
        } else {
            format!("{value}e{power}")
        };
    }
    let letter = DECIMAL.iter().find(|(_, ten)| *ten == power);
    format!("{value}{}", letter.map_or("", |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn spellings_are_those_of_the_go_library() {
        for (text, wanted) in [
            ("1000m", "1"),
            ("0.5", "500m"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("0", "0"),
            ("100", "100"),
            ("1000", "1k"),
            ("1e3", "1e3"),
            ("1E3", "1E3"),
            ("1E4", "10e3"),
            ("1.500", "1.500"),
            ("100E", "100E"),
            ("1000E", "1000E"),
            ("8Ei", "9223372036854775807"),
            ("12e6", "12e6"),
            ("0.1Mi", "104857600m"),
            ("-5m", "-5m"),
            ("+5", "+5"),
            ("0.0000000001", "1n"),
            ("512", "512"),
            ("1Ki", "1Ki"),
            ("100Ki", "100Ki"),
            ("0.5Ki", "512"),
            ("64Mi", "64Mi"),
            ("1500Mi", "1500Mi"),
            ("010", "010"),
            (".5", "500m"),
            ("5.", "5."),
            (".", "0"),
            ("m", "0"),
            ("0m", "0"),
        ] {
            assert_eq!(canonical(text, false).as_deref(), Some(wanted), "{text}");
        }
        for text in ["", "1x", "1 ", "1e", "--1", "1.2.3"] {
            assert_eq!(canonical(text, false), None, "{text}");
        }
        assert_eq!(canonical("100u", true).as_deref(), Some("1m"));
    }
}
