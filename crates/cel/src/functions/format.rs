//! `kubernetes.NamedFormat`: the named formats and what they say of a text.
use std::sync::Arc;

use base64::Engine as _;

use super::no_overload;
use super::url::Url;
use crate::regexes;
use crate::times;
use crate::value::{Outcome, Value};

/// A named format.
#[derive(Debug)]
pub struct Format {
    pub name: &'static str,
    pub regex_size: u64,
    check: fn(&str) -> Vec<String>,
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const NAME: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
const LABEL_SAYS: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric \
                          characters or '-', and must start and end with an alphanumeric character";
const SUBDOMAIN_SAYS: &str = "a lowercase RFC 1123 subdomain must consist of lower case \
                              alphanumeric characters, '-' or '.', and must start and end with \
                              an alphanumeric character";
const LABEL_1035_SAYS: &str = "a DNS-1035 label must consist of lower case alphanumeric \
                               characters or '-', start with an alphabetic character, and end \
                               with an alphanumeric character";
const NAME_SAYS: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must \
                         start and end with an alphanumeric character";
const VALUE_SAYS: &str = "a valid label must be an empty string or consist of alphanumeric \
                          characters, '-', '_' or '.', and must start and end with an \
                          alphanumeric character";

static FORMATS: [(&str, Format); 13] = [
    (
        "dns1123Label",
        Format {
            name: "DNS1123Label",
            regex_size: 30,
            check: label,
        },
    ),
    (
        "dns1123Subdomain",
        Format {
            name: "DNS1123Subdomain",
            regex_size: 60,
            check: subdomain,
        },
    ),
    (
        "dns1035Label",
        Format {
            name: "DNS1035Label",
            regex_size: 30,
            check: label_1035,
        },
    ),
    (
        "qualifiedName",
        Format {
            name: "QualifiedName",
            regex_size: 60,
            check: qualified,
        },
    ),
    (
        "dns1123LabelPrefix",
        Format {
            name: "DNS1123LabelPrefix",
            regex_size: 30,
            check: |text| label(&masked(text)),
        },
    ),
    (
        "dns1123SubdomainPrefix",
        Format {
            name: "DNS1123SubdomainPrefix",
            regex_size: 60,
            check: |text| subdomain(&masked(text)),
        },
    ),
    (
        "dns1035LabelPrefix",
        Format {
            name: "DNS1035LabelPrefix",
            regex_size: 30,
            check: |text| label_1035(&masked(text)),
        },
    ),
    (
        "labelValue",
        Format {
            name: "LabelValue",
            regex_size: 40,
            check: value,
        },
    ),
    (
        "uri",
        Format {
            name: "URI",
            regex_size: 1104,
            check: uri,
        },
    ),
    (
        "uuid",
        Format {
            name: "uuid",
            regex_size: 72,
            check: uuid,
        },
    ),
    (
        "byte",
        Format {
            name: "byte",
            regex_size: 84,
            check: byte,
        },
    ),
    (
        "date",
        Format {
            name: "date",
            regex_size: 72,
            check: date,
        },
    ),
    (
        "datetime",
        Format {
            name: "datetime",
            regex_size: 72,
            check: datetime,
        },
    ),
];

fn find(name: &str) -> Option<&'static Format> {
    FORMATS
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, format)| format)
}

/// Whether a text is of a named format.
#[must_use]
pub fn valid(name: &str, text: &str) -> bool {
    find(name).is_some_and(|format| (format.check)(text).is_empty())
}

/// `format.NAME()`.
pub fn constant(name: &str, args: &[Value]) -> Outcome {
    match (find(name.trim_start_matches("format.")), args) {
        (Some(format), []) => Ok(Value::Format(format)),
        _ => Err(no_overload(name, args)),
    }
}

/// `format.named(name)`.
pub fn named(name: &str, args: &[Value]) -> Outcome {
    match args {
        [Value::String(wanted)] => Ok(Value::Optional(
            find(wanted).map(|format| Arc::new(Value::Format(format))),
        )),
        _ => Err(no_overload(name, args)),
    }
}

/// `format.validate(text)`: nothing when it fits, else what is wrong.
pub fn validate(name: &str, args: &[Value]) -> Outcome {
    let [Value::Format(format), Value::String(text)] = args else {
        return Err(no_overload(name, args));
    };
    let found = (format.check)(text);
    if found.is_empty() {
        return Ok(Value::Optional(None));
    }
    let texts: Vec<Value> = found.into_iter().map(Value::from).collect();
    Ok(Value::Optional(Some(Arc::new(Value::from(texts)))))
}

/// A name that is only the beginning may end with a dash.
fn masked(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if text.len() > 1 => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

fn fits(pattern: &str, text: &str) -> bool {
    regexes::compile(&format!("^{pattern}$")).is_ok_and(|found| found.regex.is_match(text))
}

fn explained(says: &str, pattern: &str, examples: &[&str]) -> String {
    let shown: Vec<String> = examples.iter().map(|one| format!("'{one}', ")).collect();
    format!(
        "{says} (e.g. {}regex used for validation is '{pattern}')",
        shown.join(" or ")
    )
}

fn checked(text: &str, most: usize, pattern: &str, says: &str, examples: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    if text.len() > most {
        found.push(format!("must be no more than {most} bytes"));
    }
    if !fits(pattern, text) {
        found.push(explained(says, pattern, examples));
    }
    found
}

fn label(text: &str) -> Vec<String> {
    if text.len() <= 63 && !fits(LABEL, text) && fits(SUBDOMAIN, text) {
        return vec!["must not contain dots".to_owned()];
    }
    checked(text, 63, LABEL, LABEL_SAYS, &["my-name", "123-abc"])
}

fn subdomain(text: &str) -> Vec<String> {
    checked(text, 253, SUBDOMAIN, SUBDOMAIN_SAYS, &["example.com"])
}

fn label_1035(text: &str) -> Vec<String> {
    checked(
        text,
        63,
        LABEL_1035,
        LABEL_1035_SAYS,
        &["my-name", "abc-123"],
    )
}

fn value(text: &str) -> Vec<String> {
    checked(
        text,
        63,
        VALUE,
        VALUE_SAYS,
        &["MyValue", "my_value", "12345"],
    )
}

fn qualified(text: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let parts: Vec<&str> = text.split('/').collect();
    let (prefix, name) = match parts.as_slice() {
        [name] => (None, *name),
        [prefix, name] => (Some(*prefix), *name),
        _ => {
            let says = explained(NAME_SAYS, NAME, &examples);
            return vec![format!(
                "a valid label key {says} with an optional DNS subdomain prefix and '/' \
                 (e.g. 'example.com/MyName')"
            )];
        }
    };
    let mut found = Vec::new();
    match prefix {
        Some("") => found.push("prefix part must be non-empty".to_owned()),
        Some(prefix) => {
            found.extend(
                subdomain(prefix)
                    .into_iter()
                    .map(|one| format!("prefix part {one}")),
            );
        }
        None => {}
    }
    if name.is_empty() {
        found.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        found.push("name part must be no more than 63 bytes".to_owned());
    }
    if !fits(NAME, name) {
        found.push(format!(
            "name part {}",
            explained(NAME_SAYS, NAME, &examples)
        ));
    }
    found
}

fn wrong(fits: bool, text: impl Into<String>) -> Vec<String> {
    if fits { vec![] } else { vec![text.into()] }
}

fn uri(text: &str) -> Vec<String> {
    Url::parse(text).err().into_iter().collect()
}

fn uuid(text: &str) -> Vec<String> {
    let pattern = "(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}";
    wrong(fits(pattern, text), "does not match the UUID format")
}

fn byte(text: &str) -> Vec<String> {
    let decoded = base64::engine::general_purpose::STANDARD.decode(text);
    wrong(decoded.is_ok() && !text.is_empty(), "invalid base64")
}

fn date(text: &str) -> Vec<String> {
    wrong(times::parse_date(text).is_some(), "invalid date")
}

fn datetime(text: &str) -> Vec<String> {
    wrong(times::parse_timestamp(text).is_some(), "invalid datetime")
}
