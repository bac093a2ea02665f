//! Which resource, object and verb a path and method name.
use std::{collections::HashMap, sync::Arc};

/// One version of one resource that is served.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub namespaced: bool,
    /// Key prefix of its objects in the state: `/core/pods/`.
    pub storage: String,
    pub list_kind: String,
    /// Stored objects are shown as they are but for their `apiVersion`.
    pub plain: bool,
    /// Items of its lists do not say their version and kind, as those of Go's types.
    pub bare: bool,
    pub subresources: Vec<String>,
}

impl Kind {
    /// `apps/v1`, or `v1` of the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    fn path(group: &str, version: &str, resource: &str) -> String {
        format!("{group}/{version}/{resource}")
    }
}

/// Everything that is served.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    by_path: HashMap<String, Arc<Kind>>,
}

impl Kinds {
    pub fn new(all: Vec<Kind>) -> Self {
        let by_path = all.into_iter().map(|kind| {
            let path = Kind::path(&kind.group, &kind.version, &kind.resource);
            (path, Arc::new(kind))
        });
        Self {
            by_path: by_path.collect(),
        }
    }

    fn find(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&Kind::path(group, version, resource))
    }
}

/// What a request is about. Texts are still percent-encoded.
#[derive(Debug, Default)]
pub(crate) struct Route<'a> {
    pub kind: Option<Arc<Kind>>,
    /// As kube-apiserver's metrics name them: `GET`, `LIST`, `WATCH`, `POST` …
    pub verb: &'static str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub subresource: &'a str,
}

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
const INTERACTIVE: [&str; 4] = ["exec", "attach", "portforward", "proxy"];

impl<'a> Route<'a> {
    /// Understands `path`; `watch`: the query asks for a watch.
    pub fn of(kinds: &Kinds, method: &str, path: &'a str, watch: bool) -> Self {
        let verb = METHODS.iter().find(|m| **m == method).unwrap_or(&"other");
        let mut route = Self {
            verb,
            ..Self::default()
        };
        // An empty first part is no path of ours: the program says what it is.
        let inner = path.strip_prefix('/').unwrap_or(path);
        let mut parts = inner.trim_end_matches('/').split('/');
        let (group, version) = match parts.next() {
            Some("api") => ("", parts.next().unwrap_or_default()),
            Some("apis") => (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            ),
            _ => return route,
        };
        let mut rest: Vec<&str> = parts.collect();
        let old_watch = rest.len() > 1 && rest.first() == Some(&"watch");
        if old_watch {
            rest.remove(0);
        }
        if let ["namespaces", namespace, third, ..] = rest.as_slice()
            && !matches!(*third, "status" | "finalize")
        {
            route.namespace = namespace;
            rest.drain(..2);
        }
        let Some(resource) = rest.first() else {
            return route;
        };
        route.kind = kinds.find(group, version, resource).cloned();
        route.name = rest.get(1).copied().unwrap_or_default();
        route.subresource = rest.get(2).copied().unwrap_or_default();
        if rest.len() > 3 {
            route.kind = None;
        }
        if route.kind.is_some() {
            route.settle(method, watch || old_watch);
        }
        route
    }

    fn settle(&mut self, method: &str, watch: bool) {
        let reads = matches!(method, "GET" | "HEAD");
        if INTERACTIVE.contains(&self.subresource) {
            self.verb = "CONNECT";
        } else if reads && watch && self.subresource.is_empty() {
            self.verb = "WATCH";
        } else if reads && self.name.is_empty() {
            self.verb = "LIST";
        } else if method == "DELETE" && self.name.is_empty() {
            self.verb = "DELETECOLLECTION";
        }
    }

    /// `resource`, `namespace`, `cluster`, or nothing for paths that are no resources.
    pub fn scope(&self) -> &'static str {
        if self.kind.is_none() {
            ""
        } else if !self.name.is_empty() || self.verb == "POST" {
            "resource"
        } else if !self.namespace.is_empty() {
            "namespace"
        } else {
            "cluster"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Kinds {
        let pods = Kind {
            group: String::new(),
            version: "v1".into(),
            resource: "pods".into(),
            namespaced: true,
            storage: "/core/pods/".into(),
            list_kind: "PodList".into(),
            plain: true,
            bare: true,
            subresources: vec!["status".into(), "log".into()],
        };
        let namespaces = Kind {
            resource: "namespaces".into(),
            namespaced: false,
            storage: "/core/namespaces/".into(),
            ..pods.clone()
        };
        let deployments = Kind {
            group: "apps".into(),
            resource: "deployments".into(),
            ..pods.clone()
        };
        Kinds::new(vec![pods, namespaces, deployments])
    }

    fn seen(method: &str, path: &str, watch: bool) -> (String, &'static str, String, &'static str) {
        let all = kinds();
        let route = Route::of(&all, method, path, watch);
        let kind = route.kind.as_ref().map_or("", |k| k.resource.as_str());
        let rest = format!("{}/{}/{}", route.namespace, route.name, route.subresource);
        (kind.to_owned(), route.verb, rest, route.scope())
    }

    #[test]
    fn paths_name_resources() {
        let row = |kind: &str, verb, rest: &str, scope| (kind.into(), verb, rest.into(), scope);
        let ns = "/api/v1/namespaces/a";
        assert_eq!(
            seen("GET", ns, false),
            row("namespaces", "GET", "/a/", "resource")
        );
        assert_eq!(
            seen("PUT", "/api/v1/namespaces/a/finalize", false),
            row("namespaces", "PUT", "/a/finalize", "resource")
        );
        assert_eq!(
            seen("GET", "/api/v1/namespaces/a/pods", false),
            row("pods", "LIST", "a//", "namespace")
        );
        assert_eq!(
            seen("GET", "/api/v1/pods", true),
            row("pods", "WATCH", "//", "cluster")
        );
        assert_eq!(
            seen("GET", "/api/v1/watch/pods", false),
            row("pods", "WATCH", "//", "cluster")
        );
        assert_eq!(
            seen("GET", "/api/v1/namespaces/a/pods/b/log", false),
            row("pods", "GET", "a/b/log", "resource")
        );
        assert_eq!(
            seen("POST", "/api/v1/namespaces/a/pods/b/exec", false),
            row("pods", "CONNECT", "a/b/exec", "resource")
        );
        assert_eq!(
            seen("DELETE", "/apis/apps/v1/namespaces/a/deployments", false),
            row("deployments", "DELETECOLLECTION", "a//", "namespace")
        );
        assert_eq!(
            seen("BREW", "/apis/apps/v1/coffee", false),
            row("", "other", "//", "")
        );
        assert_eq!(seen("GET", "/", false).0, "");
        assert_eq!(seen("GET", "//api/v1/pods", false).0, "");
        assert_eq!(seen("GET", "/api/v1/pods/", false).0, "pods");
    }
}
