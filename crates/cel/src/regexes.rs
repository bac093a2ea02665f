//! Go's regular expressions on the `regex` crate.
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use regex::Regex;

const SIZE_MAX: usize = 4 * 1024 * 1024;
const KEPT_MAX: usize = 4096;

/// A compiled pattern and its text.
#[derive(Debug)]
pub struct Pattern {
    pub text: Arc<str>,
    pub regex: Regex,
}

static KEPT: LazyLock<Mutex<HashMap<String, Arc<Pattern>>>> = LazyLock::new(Mutex::default);

/// The pattern of a text; compiled once.
///
/// # Errors
///
/// A message in Go's manner when it is no valid pattern.
pub fn compile(text: &str) -> Result<Arc<Pattern>, String> {
    if let Some(found) = KEPT
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(text)
    {
        return Ok(found.clone());
    }
    let regex = regex::RegexBuilder::new(&translate(text))
        .size_limit(SIZE_MAX)
        .build()
        .map_err(|error| format!("error parsing regexp: {}", reason(&error, text)))?;
    let found = Arc::new(Pattern {
        text: Arc::from(text),
        regex,
    });
    let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= KEPT_MAX {
        kept.clear();
    }
    kept.insert(text.to_owned(), found.clone());
    Ok(found)
}

/// Why a pattern is refused, in Go's words where it has some.
fn reason(error: &regex::Error, pattern: &str) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "expression too large".to_owned(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            match last.trim_start_matches("error: ") {
                "unclosed group" => format!("missing closing ): `{pattern}`"),
                "unopened group" => format!("unexpected ): `{pattern}`"),
                "unclosed character class" => {
                    let at = pattern.rfind('[').unwrap_or(0);
                    format!("missing closing ]: `{}`", &pattern[at..])
                }
                "repetition operator missing expression" => {
                    let found = pattern.find(['*', '+', '?']).unwrap_or(0);
                    let shown = pattern[found..].chars().take(1).collect::<String>();
                    format!("missing argument to repetition operator: `{shown}`")
                }
                "look-around, including look-ahead and look-behind, is not supported" => {
                    let at = pattern.find("(?").unwrap_or(0);
                    let shown: String = pattern[at..].chars().take(3).collect();
                    format!("invalid or unsupported Perl syntax: `{shown}`")
                }
                other => other.to_owned(),
            }
        }
    }
}

/// Go's classes `\d`, `\w`, `\s` and `\b` are ASCII; `[`, `&&` and `~~` in a class are plain.
fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.chars().peekable();
    let mut class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('Q') => {
                    let mut quoted = String::new();
                    while let Some(c) = chars.next() {
                        if c == '\\' && chars.peek() == Some(&'E') {
                            chars.next();
                            break;
                        }
                        quoted.push(c);
                    }
                    out.push_str(&regex::escape(&quoted));
                }
                Some('b') if !class => out.push_str(r"(?-u:\b)"),
                Some('C') if !class => out.push_str("(?s:.)"),
                Some(kind) => match ascii(kind, class) {
                    Some(replaced) => out.push_str(replaced),
                    None => out.extend(['\\', kind]),
                },
                None => out.push('\\'),
            },
            '[' if class => {
                if chars.peek() == Some(&':') {
                    out.push('[');
                    for c in chars.by_ref() {
                        out.push(c);
                        if c == ']' {
                            break;
                        }
                    }
                } else {
                    out.push_str(r"\[");
                }
            }
            '[' => {
                class = true;
                out.push('[');
                if chars.peek() == Some(&'^') {
                    chars.next();
                    out.push('^');
                }
                if chars.peek() == Some(&']') {
                    chars.next();
                    out.push_str(r"\]");
                }
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

fn ascii(kind: char, class: bool) -> Option<&'static str> {
    Some(match (kind, class) {
        ('d', false) => "[0-9]",
        ('d', true) => "0-9",
        ('D', _) => "[^0-9]",
        ('w', false) => "[0-9A-Za-z_]",
        ('w', true) => "0-9A-Za-z_",
        ('W', _) => "[^0-9A-Za-z_]",
        ('s', false) => r"[\t\n\f\r ]",
        ('s', true) => r"\t\n\f\r ",
        ('S', _) => r"[^\t\n\f\r ]",
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ascii() {
        assert!(!compile(r"^\d$").unwrap().regex.is_match("٣"));
        assert!(compile(r"^[\w.-]+$").unwrap().regex.is_match("a_b.c-d"));
        assert!(compile(r"^[a&&b[]+$").unwrap().regex.is_match("&[a"));
        assert!(compile(r"^\Qa.b\E$").unwrap().regex.is_match("a.b"));
        assert!(compile(r"^[[:alnum:]]+$").unwrap().regex.is_match("aZ9"));
        assert!(compile("(").unwrap_err().contains("error parsing regexp"));
    }
}
