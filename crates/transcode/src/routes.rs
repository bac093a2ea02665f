//! From method and path to a binding: a tree over the segments of all templates. Literals go
//! before `*`, `*` before `**`, a template with a verb before one without.
use std::collections::HashMap;

use crate::template::{Segment, Template};

/// The tree; leaves hold indices of bindings.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Node>,
    star: Option<Box<Node>>,
    here: Vec<Leaf>,
    rest: Vec<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    /// `*` for any.
    method: String,
    verb: Option<String>,
    binding: usize,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A binding, and the segments its variables are cut from.
    Binding(usize, Vec<&'a str>),
    /// The path is known, with other methods: those.
    OtherMethods(Vec<String>),
    /// Nothing.
    Nothing,
}

impl Routes {
    /// Adds a template. If another one has the same shape, verb and method, its binding is
    /// returned: the path would be ambiguous.
    pub(crate) fn add(
        &mut self,
        method: &str,
        template: &Template,
        binding: usize,
    ) -> Result<(), usize> {
        let mut node = &mut self.root;
        let mut rest = false;
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => {
                    node = node.literals.entry(text.clone()).or_default();
                }
                Segment::Star => node = node.star.get_or_insert_default(),
                Segment::Rest => rest = true,
            }
        }
        let leaves = if rest { &mut node.rest } else { &mut node.here };
        let same = |leaf: &&Leaf| leaf.method == method && leaf.verb == template.verb;
        if let Some(other) = leaves.iter().find(same) {
            return Err(other.binding);
        }
        leaves.push(Leaf {
            method: method.to_owned(),
            verb: template.verb.clone(),
            binding,
        });
        Ok(())
    }

    /// Finds the binding of a request.
    pub(crate) fn find<'a>(&self, method: &str, path: &'a str) -> Found<'a> {
        let Some(path) = path.strip_prefix('/') else {
            return Found::Nothing;
        };
        let mut others = Vec::new();
        // The verb is after the last colon of the last segment.
        let last = path.rfind('/').map_or(0, |at| at + 1);
        let colon = path.get(last..).and_then(|segment| segment.rfind(':'));
        let cut = colon.map(|at| path.split_at(last + at));
        let ways = cut
            .map(|(path, verb)| (path, Some(verb.trim_start_matches(':'))))
            .into_iter()
            .chain([(path, None)]);
        for (path, verb) in ways {
            let segments: Vec<&str> = path.split('/').collect();
            let mut search = Search {
                method,
                verb,
                others: &mut others,
            };
            if let Some(binding) = search.walk(&self.root, &segments) {
                return Found::Binding(binding, segments);
            }
        }
        if others.is_empty() {
            Found::Nothing
        } else {
            others.sort();
            others.dedup();
            Found::OtherMethods(others)
        }
    }
}

struct Search<'a> {
    method: &'a str,
    verb: Option<&'a str>,
    others: &'a mut Vec<String>,
}

impl Search<'_> {
    fn leaf(&mut self, leaves: &[Leaf]) -> Option<usize> {
        let verb = self.verb;
        let of_verb = || {
            leaves
                .iter()
                .filter(move |leaf| leaf.verb.as_deref() == verb)
        };
        let named = of_verb().find(|leaf| leaf.method == self.method);
        if let Some(leaf) = named.or_else(|| of_verb().find(|leaf| leaf.method == "*")) {
            return Some(leaf.binding);
        }
        self.others
            .extend(of_verb().map(|leaf| leaf.method.clone()));
        None
    }

    /// Depth first; visits no node of the tree twice, so never more than there are.
    fn walk(&mut self, node: &Node, segments: &[&str]) -> Option<usize> {
        let Some((first, left)) = segments.split_first() else {
            return self.leaf(&node.here).or_else(|| self.leaf(&node.rest));
        };
        if let Some(next) = node.literals.get(*first)
            && let Some(found) = self.walk(next, left)
        {
            return Some(found);
        }
        if !first.is_empty()
            && let Some(next) = &node.star
            && let Some(found) = self.walk(next, left)
        {
            return Some(found);
        }
        self.leaf(&node.rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn routes(templates: &[(&str, &str)]) -> Routes {
        let mut routes = Routes::default();
        for (index, (method, template)) in templates.iter().enumerate() {
            routes
                .add(method, &Template::parse(template).unwrap(), index)
                .unwrap();
        }
        routes
    }

    fn find(routes: &Routes, method: &str, path: &str) -> Option<usize> {
        match routes.find(method, path) {
            Found::Binding(binding, _) => Some(binding),
            _ => None,
        }
    }

    #[test]
    fn the_more_particular_goes_first() {
        let routes = routes(&[
            ("GET", "/v1/{name=**}"),
            ("GET", "/v1/books/{id}"),
            ("GET", "/v1/books/new"),
            ("GET", "/v1/books/{id}:archive"),
            ("*", "/v1/books/{id}"),
            ("GET", "/v1/*/pages/last"),
        ]);
        for (method, path, binding) in [
            ("GET", "/v1/books/new", Some(2)),
            ("GET", "/v1/books/7", Some(1)),
            ("PURGE", "/v1/books/7", Some(4)),
            ("GET", "/v1/books/7:archive", Some(3)),
            ("GET", "/v1/books/7:other", Some(1)),
            ("GET", "/v1/books/pages/last", Some(5)),
            ("GET", "/v1/books/pages/first", Some(0)),
            ("GET", "/v1", Some(0)),
            ("GET", "/v1/books/", Some(0)),
            ("GET", "/v2", None),
            ("GET", "", None),
        ] {
            assert_eq!(find(&routes, method, path), binding, "{method} {path}");
        }
    }

    #[test]
    fn tells_which_methods_there_are() {
        let routes = routes(&[("GET", "/a"), ("PUT", "/a"), ("POST", "/a:x")]);
        let others = Found::OtherMethods(vec!["GET".into(), "PUT".into()]);
        assert_eq!(routes.find("POST", "/a"), others);
        assert_eq!(routes.find("GET", "/b"), Found::Nothing);
        let mut routes = routes;
        assert_eq!(
            routes.add("GET", &Template::parse("/a").unwrap(), 9),
            Err(0)
        );
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_harm(path in "[/a:%]{0,30}") {
            let routes = routes(&[("GET", "/a/*/a"), ("GET", "/**"), ("GET", "/a:a")]);
            let _found = routes.find("GET", &path);
        }
    }
}
