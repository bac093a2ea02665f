//! Patterns with `*` (within a segment) and `**` (across segments), and paths in one spelling.
use std::borrow::Cow;

/// Whether `text` fits `pattern`; both are cut at `/`. `*` stands for any part of a segment, a
/// segment `**` for any number of segments. Time is linear in the text for each star.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    // What comes before the segment with the first star is compared as it is: most rules that
    // do not fit end here.
    let star = pattern.find('*').unwrap_or(pattern.len());
    let cut = pattern
        .get(..star)
        .and_then(|before| before.rfind('/'))
        .unwrap_or(0);
    let (literal, pattern) = pattern.split_at(cut);
    let Some(text) = text.strip_prefix(literal) else {
        return false;
    };
    let at_edge = literal.is_empty() || text.is_empty() || text.starts_with('/');
    if !at_edge {
        return false;
    }
    let segments = |text| str::split(text, '/');
    if !pattern.contains("**") {
        let (mut pattern, mut text) = (segments(pattern), segments(text));
        loop {
            match (pattern.next(), text.next()) {
                (None, None) => return true,
                (Some(wanted), Some(got)) if within(wanted.as_bytes(), got.as_bytes()) => {}
                _ => return false,
            }
        }
    }
    stars(
        &segments(pattern).collect::<Segments>(),
        &segments(text).collect::<Segments>(),
    )
}

type Segments<'a> = Vec<&'a str>;

/// The classic two-pointer match, one level up: segments are the letters, `**` the star.
fn stars(pattern: &[&str], text: &[&str]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(segment) = text.get(t) {
        match pattern.get(p) {
            Some(&"**") => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if within(wanted.as_bytes(), segment.as_bytes()) => {
                p += 1;
                t += 1;
            }
            _ => match &mut retry {
                Some((again, from)) => {
                    *from += 1;
                    (p, t) = (*again, *from);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == "**")
}

/// `*` within one segment.
fn within(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(wanted) if wanted == letter => {
                p += 1;
                t += 1;
            }
            _ => match &mut retry {
                Some((again, from)) => {
                    *from += 1;
                    (p, t) = (*again, *from);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == b'*')
}

/// A pattern for names: `*` alone is any name, otherwise a glob, compared without allocation
/// where it has no star.
pub(crate) fn name(pattern: &str, text: &str) -> bool {
    match pattern {
        "*" | "**" => !text.is_empty(),
        _ if pattern.contains('*') => glob(pattern, text),
        _ => pattern == text,
    }
}

/// A path that different readers would read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ambiguous;

/// The path in the one spelling rules are written in: dot segments resolved, slashes merged,
/// unreserved characters decoded (RFC 3986, 6.2.2). An encoded slash or NUL, a backslash, or a
/// bad escape is refused, since the upstream may understand another path than we would.
pub(crate) fn normalize(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    if path.contains('\\') {
        return Err(Ambiguous);
    }
    if !(path.contains('%') || path.contains("//") || path.contains("/.")) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode_unreserved(path)?;
    let mut kept: Vec<&str> = Vec::new();
    let mut directory = false;
    for segment in decoded.split('/') {
        directory = matches!(segment, "" | "." | "..");
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    let slash = if directory && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    Ok(Cow::Owned(format!("/{}{slash}", kept.join("/"))))
}

fn decode_unreserved(path: &str) -> Result<String, Ambiguous> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let hex = after.get(..2).ok_or(Ambiguous)?;
        if !hex.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(Ambiguous);
        }
        let byte = u8::from_str_radix(hex, 16).map_err(|_| Ambiguous)?;
        match byte {
            b'/' | b'\\' | 0 => return Err(Ambiguous),
            b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => out.push(byte.into()),
            _ => {
                out.push('%');
                out.push_str(&hex.to_ascii_uppercase());
            }
        }
        rest = after.get(2..).ok_or(Ambiguous)?;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars() {
        for (pattern, text, fits) in [
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", false),
            ("/a/**/c", "/a/b/b/c", true),
            ("/a/**/c", "/a/c", true),
            ("/a/**", "/a", true),
            ("/a/**", "/ab", false),
            ("/a/*", "/a", false),
            ("/a/*", "/a/", true),
            ("a*", "ab", true),
            ("*/b", "a/b", true),
            ("/a", "/a", true),
            ("/a", "/a/b", false),
            ("**", "/a/b", true),
            ("/v*/x-*-y", "/v1/x-abc-y", true),
            ("/v*/x-*-y", "/v1/x-abc", false),
            (
                "spiffe://mesh/ns/*/sa/web",
                "spiffe://mesh/ns/a/sa/web",
                true,
            ),
            (
                "spiffe://mesh/ns/*/sa/web",
                "spiffe://mesh/ns/a/b/sa/web",
                false,
            ),
            ("spiffe://mesh/**", "spiffe://other/x", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn one_spelling() {
        for (path, expected) in [
            ("/a/b", Ok("/a/b")),
            ("/a/./b/../c", Ok("/a/c")),
            ("/../../etc", Ok("/etc")),
            ("//a///b/", Ok("/a/b/")),
            ("/%61dm%69n", Ok("/admin")),
            ("/%2e%2e/admin", Ok("/admin")),
            ("/a/%2e", Ok("/a/")),
            ("/caf%c3%a9", Ok("/caf%C3%A9")),
            ("/a%2fb", Err(Ambiguous)),
            ("/a%5Cb", Err(Ambiguous)),
            ("/a%00", Err(Ambiguous)),
            ("/a%4", Err(Ambiguous)),
            ("/a%+1", Err(Ambiguous)),
            ("/a\\b", Err(Ambiguous)),
            ("/.hidden", Ok("/.hidden")),
            ("/..", Ok("/")),
        ] {
            assert_eq!(normalize(path).as_deref(), expected.as_deref(), "{path}");
        }
    }

    /// The definition, by brute force.
    fn slow(pattern: &[&str], text: &[&str]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=text.len()).any(|n| slow(rest, &text[n..])),
            ([p, ps @ ..], [t, ts @ ..]) => letters(p.as_bytes(), t.as_bytes()) && slow(ps, ts),
            _ => false,
        }
    }

    fn letters(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|n| letters(rest, &text[n..])),
            ([p, ps @ ..], [t, ts @ ..]) => p == t && letters(ps, ts),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn fast_is_the_same_as_slow(pattern in "[a/*]{0,8}", text in "[ab/]{0,8}") {
            let cut = |text| str::split(text, '/').collect::<Vec<_>>();
            prop_assert_eq!(glob(&pattern, &text), slow(&cut(&pattern), &cut(&text)));
        }

        #[test]
        fn normal_paths_stay(path in "(/[a-z.%2EeFf/]{0,12}){1,4}") {
            if let Ok(once) = normalize(&path) {
                prop_assert!(once.starts_with('/') && !once.contains("//"));
                prop_assert!(!once.contains("/../") && !once.contains("/./"));
                let twice = normalize(&once);
                prop_assert_eq!(twice.as_deref(), Ok(&*once));
            }
        }

        #[test]
        fn any_text_is_read_without_harm(pattern in ".{0,20}", text in ".{0,20}") {
            let _fits = (glob(&pattern, &text), name(&pattern, &text), normalize(&text));
        }
    }
}
