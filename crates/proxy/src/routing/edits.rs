//! Header rules and rewrites of a request's target, prepared when the configuration comes.
use cloudwright_config::{
    ConfigError,
    matching::PathMatch,
    policy::{HeaderEdits, Rewrite},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, uri::PathAndQuery};

/// Fields to remove, set and add, in this order.
#[derive(Debug, Default, Clone)]
pub struct Edits {
    remove: Vec<HeaderName>,
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
}

fn name(text: &str) -> Result<HeaderName, ConfigError> {
    HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| ConfigError::new("headers", format!("{text:?} is no header name")))
}

fn pair(
    entry: (&std::sync::Arc<str>, &std::sync::Arc<str>),
) -> Result<(HeaderName, HeaderValue), ConfigError> {
    let value = HeaderValue::from_str(entry.1).map_err(|_| {
        let reason = format!("{}: {:?} is no header value", entry.0, entry.1);
        ConfigError::new("headers", reason)
    })?;
    Ok((name(entry.0)?, value))
}

impl Edits {
    /// Prepares `config`.
    ///
    /// # Errors
    /// A name or value that no header may have.
    pub fn new(config: &HeaderEdits) -> Result<Self, ConfigError> {
        Ok(Self {
            remove: config
                .remove
                .iter()
                .map(|text| name(text))
                .collect::<Result<_, _>>()?,
            set: config.set.iter().map(pair).collect::<Result<_, _>>()?,
            add: config.add.iter().map(pair).collect::<Result<_, _>>()?,
        })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }

    /// Applies them.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

/// The path after a rewrite; `None` when it stays.
#[must_use]
pub fn path(rewrite: &Rewrite, rule: &PathMatch, path: &str) -> Option<String> {
    if let Some(regex) = &rewrite.regex {
        return Some(regex.pattern.replace(path, &regex.replacement));
    }
    let prefix = rewrite.prefix.as_deref()?;
    Some(replaced(rule, path, prefix))
}

/// `path` with what `rule` matched replaced by `prefix`.
#[must_use]
pub fn replaced(rule: &PathMatch, path: &str, prefix: &str) -> String {
    match rule {
        PathMatch::Exact(_) | PathMatch::Regex(_) => prefix.to_owned(),
        PathMatch::StartsWith(text) => {
            format!("{prefix}{}", path.get(text.len()..).unwrap_or_default())
        }
        PathMatch::Prefix(text) => {
            let length = text.trim_end_matches('/').len();
            let rest = path.get(length..).unwrap_or_default();
            let head = prefix.trim_end_matches('/');
            if head.is_empty() && rest.is_empty() {
                "/".to_owned()
            } else if rest.is_empty() {
                prefix.to_owned()
            } else {
                format!("{head}{rest}")
            }
        }
    }
}

/// The target with another path; query and authority stay. The old one when the new is no target.
#[must_use]
pub fn with_path(uri: &Uri, path: &str) -> Uri {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    match text.parse::<PathAndQuery>() {
        Ok(path) => parts.path_and_query = Some(path),
        Err(_) => return uri.clone(),
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_replaced_by_segments() {
        let rule = PathMatch::Prefix("/pay".into());
        for (path, prefix, wanted) in [
            ("/pay/x", "/", "/x"),
            ("/pay", "/", "/"),
            ("/pay/", "/", "/"),
            ("/pay/x", "/v2", "/v2/x"),
            ("/pay", "/v2/", "/v2/"),
            ("/pay/x", "/v2/", "/v2/x"),
        ] {
            assert_eq!(replaced(&rule, path, prefix), wanted, "{path} {prefix}");
        }
        let text = PathMatch::StartsWith("/pa".into());
        assert_eq!(replaced(&text, "/pay/x", "/zu"), "/zuy/x");
        assert_eq!(replaced(&PathMatch::Exact("/a".into()), "/a", "/b"), "/b");
    }

    #[test]
    fn the_query_stays() {
        let uri: Uri = "/pay/x?a=1".parse().unwrap();
        assert_eq!(with_path(&uri, "/x").to_string(), "/x?a=1");
    }

    #[test]
    fn remove_set_add() {
        let config = HeaderEdits {
            remove: vec!["x-a".into()],
            set: [("x-b".into(), "2".into())].into(),
            add: [("x-c".into(), "3".into())].into(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in [("x-a", "1"), ("x-b", "1"), ("x-c", "1")] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Edits::new(&config).unwrap().apply(&mut headers);
        assert!(!headers.contains_key("x-a"));
        assert_eq!(headers["x-b"], "2");
        assert_eq!(headers.get_all("x-c").iter().count(), 2);
        let bad = HeaderEdits {
            remove: vec!["not a name".into()],
            ..HeaderEdits::default()
        };
        assert!(
            Edits::new(&bad)
                .unwrap_err()
                .to_string()
                .contains("not a name")
        );
    }
}
