//! Picks a route: the most specific host first, then the path itself, then the longest path prefix,
//! by whole segments.
//!
//! Pure. `payment` is reached by `/payment`, `/payment/x` and `/payment?x`, never by `/payments`; a
//! path that is meant exactly by nothing else.
use std::collections::HashMap;

/// One entry; `T` is what the route leads to.
#[derive(Debug, Clone)]
struct Entry<T> {
    prefix: String,
    /// The path itself, and nothing below it.
    exact: bool,
    target: T,
}

impl<T> Entry<T> {
    fn covers(&self, path: &str) -> bool {
        if self.exact {
            self.prefix == path
        } else {
            covers(&self.prefix, path)
        }
    }

    /// Exact paths stand before all prefixes.
    fn rank(&self) -> (bool, usize) {
        (self.exact, self.prefix.len())
    }
}

/// Routes by host, each list ordered by falling rank.
#[derive(Debug, Clone)]
pub struct Router<T> {
    exact: HashMap<String, Vec<Entry<T>>>,
    /// `*.SUFFIX`, longest suffix first; the suffix keeps its leading dot.
    wildcard: Vec<(String, Vec<Entry<T>>)>,
    any: Vec<Entry<T>>,
}

impl<T> Default for Router<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            wildcard: Vec::new(),
            any: Vec::new(),
        }
    }
}

/// The prefix without a trailing slash: `/` and the empty prefix are the same.
fn canonical(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

/// Whether `path` is `prefix` or lies below it.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Lower case, without port and trailing dot.
#[must_use]
pub fn canonical_host(host: &str) -> String {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

impl<T> Router<T> {
    /// Adds a route; of two with the same host and prefix the first wins.
    pub fn add(&mut self, host: &str, prefix: &str, target: T) {
        self.insert(
            host,
            Entry {
                prefix: canonical(prefix).to_owned(),
                exact: false,
                target,
            },
        );
    }

    /// Adds a route for one path only, with its trailing slash if it has one.
    pub fn add_exact(&mut self, host: &str, path: &str, target: T) {
        self.insert(
            host,
            Entry {
                prefix: path.to_owned(),
                exact: true,
                target,
            },
        );
    }

    fn insert(&mut self, host: &str, entry: Entry<T>) {
        let list = if host == "*" {
            &mut self.any
        } else if let Some(suffix) = host.strip_prefix('*') {
            let suffix = suffix.to_ascii_lowercase();
            let at = self.wildcard.partition_point(|(known, _)| {
                (known.len(), suffix.as_str()) > (suffix.len(), known.as_str())
            });
            if self
                .wildcard
                .get(at)
                .is_none_or(|(known, _)| *known != suffix)
            {
                self.wildcard.insert(at, (suffix, Vec::new()));
            }
            match self.wildcard.get_mut(at) {
                Some((_, list)) => list,
                None => return,
            }
        } else {
            self.exact.entry(canonical_host(host)).or_default()
        };
        let at = list.partition_point(|known| known.rank() >= entry.rank());
        list.insert(at, entry);
    }

    /// The target for a request, with the matched prefix (no trailing slash).
    #[must_use]
    pub fn find(&self, host: &str, path: &str) -> Option<(&T, &str)> {
        if self.exact.is_empty() && self.wildcard.is_empty() {
            return pick(&self.any, path);
        }
        let host = canonical_host(host);
        self.exact
            .get(&host)
            .and_then(|list| pick(list, path))
            .or_else(|| {
                self.wildcard
                    .iter()
                    .filter(|(suffix, _)| {
                        host.len() > suffix.len() && host.ends_with(suffix.as_str())
                    })
                    .find_map(|(_, list)| pick(list, path))
            })
            .or_else(|| pick(&self.any, path))
    }
}

fn pick<'a, T>(list: &'a [Entry<T>], path: &str) -> Option<(&'a T, &'a str)> {
    list.iter()
        .find(|entry| entry.covers(path))
        .map(|entry| (&entry.target, entry.prefix.as_str()))
}

/// `path` without `prefix`, always starting with a slash.
#[must_use]
pub fn strip<'a>(path: &'a str, prefix: &str) -> &'a str {
    match path.strip_prefix(prefix) {
        Some("") | None => "/",
        Some(rest) => rest,
    }
}

/// Whether a path has `.` or `..` segments, plain or percent-encoded.
///
/// Such a path could mean another route to the application than it meant to the router.
#[must_use]
pub fn has_dot_segment(path: &str) -> bool {
    if !path.contains("/.") && !path.contains('%') && !path.contains('\\') {
        return false;
    }
    let decoded = path
        .replace("%2e", ".")
        .replace("%2E", ".")
        .replace("%2f", "/");
    let decoded = decoded
        .replace("%2F", "/")
        .replace("%5c", "/")
        .replace("%5C", "/");
    decoded
        .split(['/', '\\'])
        .any(|segment| segment == "." || segment == "..")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn router(routes: &[(&'static str, &'static str)]) -> Router<(&'static str, &'static str)> {
        let mut router = Router::default();
        for (host, prefix) in routes {
            router.add(host, prefix, (*host, *prefix));
        }
        router
    }

    #[test]
    fn longest_prefix_by_segments() {
        let router = router(&[("*", "/"), ("*", "/pay"), ("*", "/pay/admin/")]);
        let find = |path| router.find("x", path).unwrap().0.1;
        assert_eq!(find("/pay"), "/pay");
        assert_eq!(find("/pay/x"), "/pay");
        assert_eq!(find("/payment"), "/");
        assert_eq!(find("/pay/admin"), "/pay/admin/");
        assert_eq!(find("/pay/administrator"), "/pay");
    }

    #[test]
    fn an_exact_path_is_nothing_else() {
        let mut router = Router::default();
        router.add("*", "/", "all");
        router.add("*", "/pay/now", "below");
        router.add_exact("*", "/pay", "exact");
        router.add("*", "/pay", "prefix");
        router.add_exact("*", "/slash/", "slash");
        router.add_exact("*", "/", "root");
        let find = |path| *router.find("x", path).unwrap().0;
        assert_eq!(find("/pay"), "exact");
        assert_eq!(find("/pay/"), "prefix");
        assert_eq!(find("/pay/x"), "prefix");
        assert_eq!(find("/pay/now/x"), "below");
        assert_eq!(find("/slash/"), "slash");
        assert_eq!(find("/slash"), "all");
        assert_eq!(find("/"), "root");
    }

    #[test]
    fn host_first_then_less_specific_hosts() {
        let router = router(&[
            ("*", "/"),
            ("*.example.com", "/a"),
            ("*.b.example.com", "/"),
            ("a.example.com", "/only"),
        ]);
        let find = |host, path| router.find(host, path).unwrap().0.0;
        assert_eq!(find("a.example.com:8080", "/only/x"), "a.example.com");
        assert_eq!(find("A.Example.com", "/a"), "*.example.com");
        assert_eq!(find("x.b.example.com", "/a"), "*.b.example.com");
        assert_eq!(find("example.com", "/a"), "*");
        assert_eq!(find("a.example.com", "/zzz"), "*");
    }

    #[test]
    fn no_route_is_none() {
        assert!(router(&[("a", "/x")]).find("b", "/x").is_none());
        assert!(router(&[("a", "/x")]).find("a", "/y").is_none());
    }

    #[test]
    fn dot_segments_are_seen() {
        for bad in [
            "/a/../b",
            "/..",
            "/a/.",
            "/a/%2e%2E/b",
            "/a%2f../b",
            "/a/..\\b",
            "/%2e",
        ] {
            assert!(has_dot_segment(bad), "{bad}");
        }
        for good in ["/", "/a..b/c", "/.well-known/x", "/...", "/a/%20b"] {
            assert!(!has_dot_segment(good), "{good}");
        }
    }

    proptest! {
        /// The choice is the same as by the definition, tried on all routes.
        #[test]
        fn same_as_the_definition(
            routes in prop::collection::vec(
                ("(\\*|\\*\\.b\\.c|\\*\\.c|a\\.b\\.c|x)", "(/[ab]{1,2}){0,3}/?"), 0..12),
            host in "(a\\.b\\.c|z\\.c|x|q\\.b\\.c)",
            path in "(/[ab]{1,2}){0,4}/?",
        ) {
            let mut router = Router::default();
            for (index, (host, prefix)) in routes.iter().enumerate() {
                router.add(host, prefix, index);
            }
            let rank = |pattern: &str| -> Option<usize> {
                if pattern == host { Some(1000) }
                else if pattern == "*" { Some(0) }
                else if let Some(suffix) = pattern.strip_prefix('*') {
                    host.ends_with(suffix).then_some(suffix.len())
                } else { None }
            };
            let expected = routes.iter().enumerate()
                .filter_map(|(index, (pattern, prefix))| {
                    let prefix = prefix.trim_end_matches('/');
                    let below = path == prefix || path.starts_with(&format!("{prefix}/"));
                    Some((rank(pattern)?, below.then_some(prefix.len())?, std::cmp::Reverse(index)))
                })
                .max()
                .map(|(_, _, std::cmp::Reverse(index))| index);
            prop_assert_eq!(router.find(&host, &path).map(|(index, _)| *index), expected);
        }

        /// What is left after stripping, put behind the prefix again, is the path.
        #[test]
        fn stripping_is_reversible(prefix in "(/[a-z]{1,3}){0,2}", rest in "(/[a-z]{1,3}){0,2}") {
            let path = format!("{prefix}{rest}");
            let left = strip(&path, &prefix);
            prop_assert!(left.starts_with('/'));
            if !rest.is_empty() { prop_assert_eq!(left, rest); }
        }
    }
}
