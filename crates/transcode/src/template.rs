//! Path templates of `google.api.http`:
//!
//! ```text
//! Template = "/" Segments [ ":" Verb ]      Segment  = "*" | "**" | LITERAL | Variable
//! Segments = Segment { "/" Segment }        Variable = "{" FieldPath [ "=" Segments ] "}"
//! ```
use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
    pub(crate) verb: Option<String>,
    pub(crate) variables: Vec<Variable>,
}

/// What one segment of a path has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(String),
    /// One segment.
    Star,
    /// All that is left, also nothing; only at the end.
    Rest,
}

/// A field that part of the path goes into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Field names, separated by dots.
    pub(crate) path: String,
    /// Its first segment.
    start: usize,
    /// The segment after its last; None: to the end.
    end: Option<usize>,
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    template: Template,
}

impl Template {
    /// Parses a template.
    ///
    /// Errors say what is wrong, and at which byte.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser {
            text,
            at: 0,
            template: Self {
                segments: Vec::new(),
                verb: None,
                variables: Vec::new(),
            },
        };
        parser.expect('/')?;
        parser.segments(false)?;
        if parser.eat(':') {
            let verb = parser.literal()?;
            parser.template.verb = Some(verb);
        }
        if parser.at != text.len() {
            return Err(parser.wrong("expected / or the end"));
        }
        let template = parser.template;
        let rest = template
            .segments
            .iter()
            .position(|segment| *segment == Segment::Rest);
        if rest.is_some_and(|at| at + 1 != template.segments.len()) {
            return Err(format!("{text:?}: ** has to be the last segment"));
        }
        Ok(template)
    }
}

impl Parser<'_> {
    fn wrong(&self, why: &str) -> String {
        format!("{:?} at byte {}: {why}", self.text, self.at)
    }

    fn left(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.left().starts_with(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), String> {
        if self.eat(wanted) {
            Ok(())
        } else {
            Err(self.wrong(&format!("expected {wanted}")))
        }
    }

    fn segments(&mut self, within: bool) -> Result<(), String> {
        loop {
            if self.left().starts_with("**") {
                self.at += 2;
                self.template.segments.push(Segment::Rest);
            } else if self.eat('*') {
                self.template.segments.push(Segment::Star);
            } else if self.left().starts_with('{') {
                if within {
                    return Err(self.wrong("a variable within a variable"));
                }
                self.variable()?;
            } else {
                let literal = self.literal()?;
                self.template.segments.push(Segment::Literal(literal));
            }
            if !self.eat('/') {
                return Ok(());
            }
        }
    }

    fn literal(&mut self) -> Result<String, String> {
        let left = self.left();
        let end = left
            .find(['/', ':', '{', '}', '*', '=', '?', '#'])
            .unwrap_or(left.len());
        let literal = left.get(..end).unwrap_or_default();
        if literal.is_empty() {
            return Err(self.wrong("expected a name, * or {"));
        }
        let decoded = percent_decode_str(literal).decode_utf8_lossy().into_owned();
        self.at += end;
        Ok(decoded)
    }

    fn variable(&mut self) -> Result<(), String> {
        self.expect('{')?;
        let left = self.left();
        let end = left
            .find(['=', '}'])
            .ok_or_else(|| self.wrong("a { without }"))?;
        let path = left.get(..end).unwrap_or_default().to_owned();
        let named = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if path
            .split('.')
            .any(|name| name.is_empty() || !name.chars().all(named))
        {
            return Err(self.wrong(&format!("{path:?} is not the path of a field")));
        }
        if self
            .template
            .variables
            .iter()
            .any(|variable| variable.path == path)
        {
            return Err(self.wrong(&format!("{path:?} is bound twice")));
        }
        self.at += end;
        let start = self.template.segments.len();
        if self.eat('=') {
            self.segments(true)?;
        } else {
            self.template.segments.push(Segment::Star);
        }
        self.expect('}')?;
        let open = self.template.segments.last() == Some(&Segment::Rest);
        let end = (!open).then_some(self.template.segments.len());
        self.template.variables.push(Variable { path, start, end });
        Ok(())
    }
}

impl Variable {
    /// Whether it takes in more than one segment (then slashes within stay encoded).
    fn is_multi(&self) -> bool {
        self.end != Some(self.start + 1)
    }

    /// The value, out of the segments of a path that matched.
    pub(crate) fn value(&self, segments: &[&str]) -> String {
        let end = self.end.unwrap_or(segments.len());
        let own = segments.get(self.start..end).unwrap_or_default();
        if self.is_multi() {
            let decoded: Vec<_> = own
                .iter()
                .map(|segment| decode_but_slash(segment))
                .collect();
            decoded.join("/")
        } else {
            own.iter().map(|segment| decode(segment)).collect()
        }
    }
}

fn decode(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// Decodes all but `%2F` (so that the number of segments stays what it is).
fn decode_but_slash(segment: &str) -> String {
    let mut out = String::new();
    let mut rest = segment;
    while let Some(at) = rest.find("%2F").or_else(|| rest.find("%2f")) {
        let lower = rest.find("%2f").unwrap_or(at).min(at);
        out.push_str(&decode(rest.get(..lower).unwrap_or_default()));
        out.push_str(rest.get(lower..lower + 3).unwrap_or_default());
        rest = rest.get(lower + 3..).unwrap_or_default();
    }
    out.push_str(&decode(rest));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(template: &str, path: &str) -> Vec<String> {
        let template = Template::parse(template).unwrap();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        template
            .variables
            .iter()
            .map(|variable| variable.value(&segments))
            .collect()
    }

    #[test]
    fn parses_all_that_there_is() {
        let template = Template::parse("/v1/{name=shelves/*/books/**}:archive").unwrap();
        assert_eq!(template.verb.as_deref(), Some("archive"));
        assert_eq!(template.segments.len(), 5);
        assert_eq!(template.segments[4], Segment::Rest);
        let template = Template::parse("/{a}/x/{b.c_d=*}").unwrap();
        assert_eq!(template.variables[1].path, "b.c_d");
        assert_eq!(Template::parse("/**").unwrap().segments, [Segment::Rest]);
    }

    #[test]
    fn values_are_decoded() {
        assert_eq!(value("/v1/{name}", "/v1/a%2Fb%20c"), ["a/b c"]);
        assert_eq!(
            value("/v1/{name=a/*}", "/v1/a/b%2fc%20d%2F"),
            ["a/b%2fc d%2F"]
        );
        assert_eq!(value("/{name=**}", "/a/b/c"), ["a/b/c"]);
        assert_eq!(value("/v/{name=**}", "/v"), [""]);
        assert_eq!(value("/{a}/{b}", "/1/2"), ["1", "2"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, why) in [
            ("v1", "at byte 0: expected /"),
            ("/", "expected a name"),
            ("/v1/{name", "a { without }"),
            ("/v1/{na me}", "not the path of a field"),
            ("/v1/{a={b}}", "within a variable"),
            ("/{a}/{a}", "bound twice"),
            ("/**/x", "** has to be the last"),
            ("/a//b", "expected a name"),
            ("/a?b", "expected / or the end"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_harm(text in "[/a{}=*.:%]{0,20}", path in "[/a%2fF]{0,20}") {
            if let Ok(template) = Template::parse(&text) {
                let segments: Vec<&str> = path.split('/').skip(1).collect();
                for variable in &template.variables {
                    let _value = variable.value(&segments);
                }
            }
        }
    }
}
