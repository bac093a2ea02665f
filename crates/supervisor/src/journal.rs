//! The supervisor's own log: one JSON object a line on standard error.
use std::io::Write;
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::timestamp;

/// Writes one line; `fields` is a JSON object whose members are added. A closed standard error loses the line.
pub fn write(level: &str, message: &str, fields: &Value) {
    let mut line = Map::new();
    line.insert("ts".into(), timestamp::rfc3339(SystemTime::now()).into());
    line.insert("level".into(), level.into());
    line.insert("room".into(), "supervisor".into());
    line.insert("msg".into(), message.into());
    if let Value::Object(more) = fields {
        line.extend(
            more.iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
    let mut text = Value::Object(line).to_string();
    text.push('\n');
    let _ = std::io::stderr().write_all(text.as_bytes());
}

macro_rules! info {
    ($message:expr $(, $($fields:tt)*)?) => {
        $crate::journal::write("info", $message, &serde_json::json!({$($($fields)*)?}))
    };
}

macro_rules! warning {
    ($message:expr $(, $($fields:tt)*)?) => {
        $crate::journal::write("warning", $message, &serde_json::json!({$($($fields)*)?}))
    };
}

pub(crate) use {info, warning};
