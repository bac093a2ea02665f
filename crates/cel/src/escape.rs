//! Property names as identifiers: `a.b` is `a__dot__b`, `namespace` is `__namespace__`.

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
const WORDS: [(&str, &str); 4] = [
    ("underscores", "__"),
    ("dot", "."),
    ("dash", "-"),
    ("slash", "/"),
];

/// The identifier of a property name; `None`: it cannot be accessed by one.
#[must_use]
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '_' if chars.peek() == Some(&'_') => {
                chars.next();
                out.push_str("__underscores__");
            }
            '.' => out.push_str("__dot__"),
            '-' => out.push_str("__dash__"),
            '/' => out.push_str("__slash__"),
            c if c.is_ascii_alphanumeric() || c == '_' => out.push(c),
            _ => return None,
        }
    }
    Some(out)
}

/// The property name of an identifier; `None`: it is the identifier of none.
#[must_use]
pub fn unescape(identifier: &str) -> Option<String> {
    if !identifier.contains("__") {
        return Some(identifier.to_owned());
    }
    let mut out = String::with_capacity(identifier.len());
    let mut rest = identifier;
    while let Some(at) = rest.find("__") {
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = inner.find("__")?;
        let word = &inner[..end];
        match WORDS.iter().find(|(name, _)| *name == word) {
            Some((_, text)) => out.push_str(text),
            None if RESERVED.contains(&word) && word.len() + 4 == identifier.len() => {
                out.push_str(word);
            }
            None => return None,
        }
        rest = &inner[end + 2..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        let names = [
            ("a", "a"),
            ("a.b-c/d", "a__dot__b__dash__c__slash__d"),
            ("namespace", "__namespace__"),
            ("a__b", "a__underscores__b"),
            ("___", "__underscores___"),
        ];
        for (name, identifier) in names {
            assert_eq!(escape(name).as_deref(), Some(identifier));
            assert_eq!(unescape(identifier).as_deref(), Some(name));
        }
        for name in ["", "1a", "a b", "ä", "a$"] {
            assert_eq!(escape(name), None);
        }
        assert_eq!(unescape("a__what__b"), None);
    }
}
