//! One step of a path into an object, and its wire form (`f:`, `k:`, `v:`, `i:`).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::MergeError;
use crate::value::Value;

/// How a child is selected in its parent. The order is that of the wire form's sets.
#[derive(Debug, Clone)]
pub enum Element<'a> {
    /// A field of a struct or an entry of a map.
    Field(Cow<'a, str>),
    /// The item of a keyed list with these values, sorted by name.
    Key(Vec<(Cow<'a, str>, Value<'a>)>),
    /// The item of a set.
    Value(Value<'a>),
    /// The item of an atomic list.
    Index(i64),
}

impl<'a> Element<'a> {
    /// Read the wire form; `None` for a type that a later release may know.
    ///
    /// # Errors
    /// `MergeError::Malformed`: it is no path element.
    pub fn parse(text: &str) -> Result<Option<Element<'a>>, MergeError> {
        let bytes = text.as_bytes();
        if bytes.len() < 2 || bytes[1] != b':' || !text.is_char_boundary(2) {
            return Err(MergeError::malformed(format!("no path element: {text:?}")));
        }
        let rest = &text[2..];
        Ok(match bytes[0] {
            b'f' => Some(Element::Field(Cow::Owned(rest.to_owned()))),
            b'v' => Some(Element::Value(Value::parse(rest.as_bytes())?.into_owned())),
            b'k' => match Value::parse(rest.as_bytes())?.into_owned() {
                Value::Map(members) => Some(Element::Key(members)),
                _ => return Err(MergeError::malformed(format!("no keys: {text:?}"))),
            },
            b'i' => {
                Some(Element::Index(rest.parse().map_err(|_| {
                    MergeError::malformed(format!("no index: {text:?}"))
                })?))
            }
            _ => None,
        })
    }

    /// Append the wire form as a JSON string.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Element::Field(name) => {
                let plain = |byte: &u8| *byte >= 0x20 && *byte != b'"' && *byte != b'\\';
                if name.as_bytes().iter().all(plain) {
                    out.extend_from_slice(b"\"f:");
                    out.extend_from_slice(name.as_bytes());
                    out.push(b'"');
                } else {
                    crate::value::write_str(&format!("f:{name}"), out);
                }
            }
            Element::Key(members) => {
                let mut text = b"k:".to_vec();
                text.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        text.push(b',');
                    }
                    crate::value::write_str(name, &mut text);
                    text.push(b':');
                    value.write(&mut text);
                }
                text.push(b'}');
                write_escaped(&text, out);
            }
            Element::Value(value) => {
                let mut text = b"v:".to_vec();
                value.write(&mut text);
                write_escaped(&text, out);
            }
            Element::Index(at) => out.extend_from_slice(format!("\"i:{at}\"").as_bytes()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Element::Field(_) => 0,
            Element::Key(_) => 1,
            Element::Value(_) => 2,
            Element::Index(_) => 3,
        }
    }
}

/// Upstream's encoder makes HTML-safe text of values inside of elements.
fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(text);
    if text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        let safe = text
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
            .replace('\u{2028}', "\\u2028")
            .replace('\u{2029}', "\\u2029");
        crate::value::write_str(&safe, out);
    } else {
        crate::value::write_str(&text, out);
    }
}

impl PartialEq for Element<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Element<'_> {}

impl PartialOrd for Element<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Element<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Element::Field(one), Element::Field(two)) => one.cmp(two),
            (Element::Key(one), Element::Key(two)) => one.cmp(two),
            (Element::Value(one), Element::Value(two)) => one.cmp(two),
            (Element::Index(one), Element::Index(two)) => one.cmp(two),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl fmt::Display for Element<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Element::Field(name) => write!(out, ".{name}"),
            Element::Key(members) => {
                write!(out, "[")?;
                for (at, (name, value)) in members.iter().enumerate() {
                    write!(out, "{}{name}={value}", if at > 0 { "," } else { "" })?;
                }
                write!(out, "]")
            }
            Element::Value(value) => write!(out, "[={value}]"),
            Element::Index(at) => write!(out, "[{at}]"),
        }
    }
}
