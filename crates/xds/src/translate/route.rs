//! Route tables: virtual hosts, routes, what they answer themselves.
use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
};

use cloudwright_config::{
    Action, Forward, Route, RouteTable, VirtualHost,
    policy::{Fault, HeaderEdits, Hedge, Mirror, Retry},
    route::{Redirect, Respond},
};

use super::{
    action, common,
    context::{Bad, Context, expect, shared, unread},
    fault, matching,
};
use crate::{schema::route as schema, wire::Value};

/// What xDS has no word for keeps the configuration's own defaults, as in a file.
fn blank<T: serde::de::DeserializeOwned>(json: &str) -> T {
    #[expect(
        clippy::expect_used,
        reason = "a constant of this file, read by every test"
    )]
    serde_json::from_str(json).expect("the blank is configuration")
}

static BLANK_HOST: LazyLock<VirtualHost> =
    LazyLock::new(|| blank(r#"{"domains": [], "routes": []}"#));
static BLANK_ROUTE: LazyLock<Route> =
    LazyLock::new(|| blank(r#"{"action": {"respond": {"status": 500}}}"#));

/// A route table and the clusters that it names.
#[derive(Debug)]
pub struct TableParts {
    pub table: Arc<RouteTable>,
    pub clusters: BTreeSet<Arc<str>>,
    /// The table that this one was derived from.
    pub source: Option<Arc<RouteTable>>,
}

/// What routes of a virtual host do when they say nothing themselves.
#[derive(Default)]
pub struct Defaults {
    pub retry: Option<Retry>,
    pub hedge: Option<Hedge>,
    pub mirrors: Vec<Mirror>,
}

/// `route.RouteConfiguration`, called `called` when that is given.
pub fn table(cx: &mut Context, bytes: &[u8], called: Option<Arc<str>>) -> Result<TableParts, Bad> {
    let mut out = RouteTable {
        name: Arc::default(),
        virtual_hosts: Vec::new(),
    };
    let (mut request, mut response) = (HeaderEdits::default(), HeaderEdits::default());
    let mut clusters = BTreeSet::new();
    cx.read(&schema::ROUTE_CONFIGURATION, bytes, |cx, name, value| {
        match name {
            "name" => out.name = value.text()?.into(),
            "virtual_hosts" => {
                let host = virtual_host(cx, value.bytes()?, &mut clusters)?;
                out.virtual_hosts.push(host);
            }
            // Ports are never looked at when hosts are compared.
            "ignore_port_in_host_matching" => {}
            _ => edits(cx, name, value, &mut request, &mut response)?,
        }
        Ok(())
    })?;
    for host in &mut out.virtual_hosts {
        inherit(&mut host.request_headers, &request);
        inherit(&mut host.response_headers, &response);
    }
    if let Some(called) = called {
        out.name = called;
    }
    unique(&out)?;
    Ok(TableParts {
        table: Arc::new(out),
        clusters,
        source: None,
    })
}

/// No domain may be in two virtual hosts.
fn unique(table: &RouteTable) -> Result<(), Bad> {
    let mut seen = BTreeSet::new();
    for host in &table.virtual_hosts {
        for domain in &host.domains {
            if !seen.insert(domain.to_ascii_lowercase()) {
                let reason = format!("domain {domain:?} appears twice");
                return Err(Bad::new(reason).within("virtual_hosts"));
            }
        }
    }
    Ok(())
}

/// Adds what the table says to a virtual host, whose own word counts more.
fn inherit(own: &mut HeaderEdits, above: &HeaderEdits) {
    for (name, value) in &above.set {
        own.set
            .entry(Arc::clone(name))
            .or_insert_with(|| Arc::clone(value));
    }
    for (name, value) in &above.add {
        own.add
            .entry(Arc::clone(name))
            .or_insert_with(|| Arc::clone(value));
    }
    own.remove.extend(above.remove.iter().cloned());
}

fn edits(
    cx: &mut Context,
    name: &str,
    value: Value<'_>,
    request: &mut HeaderEdits,
    response: &mut HeaderEdits,
) -> Result<(), Bad> {
    match name {
        "request_headers_to_add" => common::header_option(cx, value, request),
        "request_headers_to_remove" => common::removed(value, request),
        "response_headers_to_add" => common::header_option(cx, value, response),
        "response_headers_to_remove" => common::removed(value, response),
        _ => unread(name),
    }
}

fn virtual_host(
    cx: &mut Context,
    bytes: &[u8],
    clusters: &mut BTreeSet<Arc<str>>,
) -> Result<VirtualHost, Bad> {
    let mut out: VirtualHost = BLANK_HOST.clone();
    let (mut defaults, mut routes) = (Defaults::default(), Vec::new());
    let (mut request, mut response) = (HeaderEdits::default(), HeaderEdits::default());
    cx.read(&schema::VIRTUAL_HOST, bytes, |cx, name, value| {
        match name {
            "name" => out.name = value.text()?.into(),
            "domains" => out.domains.push(domain(value.text()?)?),
            "routes" => routes.push(route(cx, value.bytes()?, clusters)?),
            "retry_policy" => defaults.retry = Some(action::retry(cx, value.bytes()?)?),
            "hedge_policy" => defaults.hedge = action::hedge(cx, value.bytes()?)?,
            "request_mirror_policies" => {
                let mirror = action::mirror(cx, value.bytes()?)?;
                clusters.insert(Arc::clone(&mirror.cluster));
                defaults.mirrors.push(mirror);
            }
            _ => edits(cx, name, value, &mut request, &mut response)?,
        }
        Ok(())
    })?;
    if out.domains.is_empty() {
        return Err(Bad::new("at least one is needed").within("domains"));
    }
    out.request_headers = request;
    out.response_headers = response;
    out.routes = routes
        .into_iter()
        .map(|mut one| {
            if let Action::Forward(forward) = &mut one.action {
                action::complete(forward, &defaults);
            }
            Arc::new(one)
        })
        .collect();
    Ok(out)
}

fn domain(text: &str) -> Result<Arc<str>, Bad> {
    let inner = text.strip_prefix('*').unwrap_or(text);
    let inner = inner.strip_suffix('*').unwrap_or(inner);
    let odd = |c: char| c.is_whitespace() || matches!(c, '*' | '/');
    if text != "*" && (inner.is_empty() || inner.contains(odd)) {
        return Err(Bad::new(format!(
            "{text:?} is not a host, *SUFFIX, PREFIX* or *"
        )));
    }
    Ok(text.into())
}

fn route(cx: &mut Context, bytes: &[u8], clusters: &mut BTreeSet<Arc<str>>) -> Result<Route, Bad> {
    let (mut called, mut matches, mut action) = (Arc::default(), None, None);
    let (mut request, mut response) = (HeaderEdits::default(), HeaderEdits::default());
    let mut fault = None;
    cx.read(&schema::ROUTE, bytes, |cx, name, value| {
        match name {
            "name" => called = shared(value.text()?),
            "match" => matches = Some(matching::route_match(cx, value.bytes()?)?),
            "route" => {
                let forward = action::forward(cx, value.bytes()?)?;
                named(&forward, clusters);
                action = Some(Action::Forward(Box::new(forward)));
            }
            "redirect" => {
                action = Some(Action::Redirect(Box::new(redirect(cx, value.bytes()?)?)));
            }
            "direct_response" => {
                action = Some(Action::Respond(Box::new(respond(cx, value.bytes()?)?)));
            }
            "typed_per_filter_config" => fault = filter_config(cx, value)?,
            _ => edits(cx, name, value, &mut request, &mut response)?,
        }
        Ok(())
    })?;
    let missing = || Bad::new("route, redirect or direct_response is needed");
    let mut out: Route = BLANK_ROUTE.clone();
    out.name = called;
    out.matches = matches.ok_or_else(|| Bad::new("is needed").within("match"))?;
    out.action = action.ok_or_else(missing)?;
    out.request_headers = request;
    out.response_headers = response;
    out.fault = fault;
    Ok(out)
}

/// The clusters of a route, its mirrors' too.
fn named(forward: &Forward, clusters: &mut BTreeSet<Arc<str>>) {
    let weighted = forward.clusters.iter().map(|one| &one.cluster);
    let mirrors = forward.mirrors.iter().map(|one| &one.cluster);
    for name in forward.cluster.iter().chain(weighted).chain(mirrors) {
        if !clusters.contains(name) {
            clusters.insert(Arc::clone(name));
        }
    }
}

fn filter_config(cx: &mut Context, value: Value<'_>) -> Result<Option<Fault>, Bad> {
    let (filter, any) = value.entry()?;
    let found = match any {
        Some(any) => expect(&schema::FAULT, any).and_then(|bytes| fault::fault(cx, bytes)),
        None => Err(Bad::unsupported()),
    };
    found.map_err(|bad| bad.within(filter))
}

fn redirect(cx: &mut Context, bytes: &[u8]) -> Result<Redirect, Bad> {
    let mut out = Redirect::default();
    cx.read(&schema::REDIRECT, bytes, |_, name, value| {
        let text = || -> Result<Option<Arc<str>>, Bad> {
            Ok(Some(value.text()?)
                .filter(|text| !text.is_empty())
                .map(Into::into))
        };
        match name {
            "host_redirect" => out.host = text()?,
            "path_redirect" => out.path = text()?,
            "prefix_rewrite" => out.prefix = text()?,
            "scheme_redirect" => out.scheme = text()?,
            "https_redirect" => out.scheme = value.bool()?.then(|| "https".into()),
            "strip_query" => out.strip_query = value.bool()?,
            "port_redirect" => {
                let port = u16::try_from(value.u64()?);
                out.port = Some(port.map_err(|_| Bad::new("is above 65535"))?);
            }
            "response_code" => {
                out.status = Some(match value.u64()? {
                    0 => 301,
                    1 => 302,
                    2 => 303,
                    3 => 307,
                    4 => 308,
                    _ => return Err(Bad::unsupported()),
                });
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(out)
}

fn respond(cx: &mut Context, bytes: &[u8]) -> Result<Respond, Bad> {
    let mut out = Respond {
        status: 0,
        body: Arc::default(),
        content_type: None,
    };
    cx.read(&schema::DIRECT_RESPONSE, bytes, |cx, name, value| {
        match name {
            "status" => out.status = u16::try_from(value.u64()?).unwrap_or(u16::MAX),
            "body" => out.body = common::text(cx, value.bytes()?)?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if !(200..600).contains(&out.status) {
        let reason = format!("{} is not from 200 to 599", out.status);
        return Err(Bad::new(reason).within("status"));
    }
    Ok(out)
}
