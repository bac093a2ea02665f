//! Listeners: addresses, filter chains, listener filters.
use std::{collections::BTreeSet, sync::Arc};

use cloudwright_config::{
    Address, Listener,
    grpc::Grpc,
    listener::{HttpLimits, ListenerTls, Protocol},
};

use super::{
    common, connection_manager,
    context::{Bad, Context, unread},
    route::TableParts,
    tcp,
    tls::{self, Credentials},
};
use crate::schema::{listener as schema, tls as tls_schema};

/// A listener and what it refers to.
#[derive(Debug)]
pub struct ListenerParts {
    pub listener: Arc<Listener>,
    /// The route table that was written into the listener.
    pub inline_table: Option<Arc<TableParts>>,
    /// The name of the route table that must come.
    pub routes: Option<Arc<str>>,
    /// The cluster of a TCP listener.
    pub cluster: Option<Arc<str>>,
    /// WebSocket upgrades are allowed on every route.
    pub upgrades: bool,
    pub credentials: Credentials,
}

/// What a filter chain does with its connections, raw bytes for comparison included.
pub struct Chain<'a> {
    network: Option<(&'a str, &'a [u8])>,
    tls: Option<&'a [u8]>,
    names: bool,
}

/// `listener.Listener`.
pub fn listener(cx: &mut Context, bytes: &[u8]) -> Result<ListenerParts, Bad> {
    let name = super::name_field(bytes, 1)?;
    let mut chains = Vec::new();
    let mut address = None;
    let (mut captured, mut proxy_protocol) = (false, false);
    cx.read(&schema::LISTENER, bytes, |cx, field, value| {
        match field {
            "name" => {}
            "address" => address = Some(common::address(cx, value.bytes()?)?),
            "filter_chains" | "default_filter_chain" => {
                chains.push(chain(cx, value.bytes()?, &mut proxy_protocol)?);
            }
            "use_original_dst" => captured |= value.wrapped_bool()?,
            "listener_filters" => {
                listener_filter(cx, value.bytes()?, &mut captured, &mut proxy_protocol)?;
            }
            "bind_to_port" if !value.wrapped_bool()? => return Err(Bad::unsupported()),
            "transparent" if value.wrapped_bool()? => return Err(Bad::unsupported()),
            "bind_to_port" | "transparent" => {}
            _ => return unread(field),
        }
        Ok(())
    })?;
    let address = address.ok_or_else(|| Bad::new("is needed").within("address"))?;
    if matches!(address, Address::Name(..)) {
        return Err(Bad::new(format!("{address} is a name, an IP is needed")).within("address"));
    }
    let blank = Listener {
        name: Arc::clone(&name),
        address,
        protocol: Protocol::Tcp,
        tls: None,
        routes: None,
        cluster: None,
        limits: HttpLimits::default(),
        max_connections: 20_000,
        captured,
        trusted_hops: 0,
        proxy_protocol,
        grpc: Grpc::default(),
    };
    assemble(cx, blank, &chains).map_err(|bad| bad.within("filter_chains"))
}

/// Joins the chains: they may differ in certificates only.
fn assemble(
    cx: &mut Context,
    mut out: Listener,
    chains: &[Chain<'_>],
) -> Result<ListenerParts, Bad> {
    let first = chains
        .first()
        .ok_or_else(|| Bad::new("at least one is needed"))?;
    let (kind, network) = first
        .network
        .ok_or_else(|| Bad::new("filters are needed"))?;
    if chains.iter().any(|one| one.network != first.network) {
        return Err(Bad::new(
            "chains that do different things are not supported",
        ));
    }
    let owner = format!("listener/{}", out.name);
    let mut parts = ListenerParts {
        listener: Arc::new(out.clone()),
        inline_table: None,
        routes: None,
        cluster: None,
        upgrades: false,
        credentials: Credentials::default(),
    };
    out.tls = certificates(cx, chains, &owner, &mut parts.credentials)?;
    match kind {
        tcp::NAME => {
            let cluster = tcp::cluster(cx, network).map_err(|bad| bad.within("filters"))?;
            out.cluster = Some(Arc::clone(&cluster));
            parts.cluster = Some(cluster);
        }
        _ => connection_manager::read(cx, network, &mut out, &mut parts)
            .map_err(|bad| bad.within("filters"))?,
    }
    parts.listener = Arc::new(out);
    Ok(parts)
}

fn certificates(
    cx: &mut Context,
    chains: &[Chain<'_>],
    owner: &str,
    credentials: &mut Credentials,
) -> Result<Option<ListenerTls>, Bad> {
    let mut all: Option<ListenerTls> = None;
    let mut seen = BTreeSet::new();
    for (index, chain) in chains.iter().enumerate() {
        let Some(bytes) = chain.tls else {
            if chains.iter().any(|one| one.tls.is_some()) {
                return Err(Bad::new(
                    "TLS and plain chains in one listener are not supported",
                ));
            }
            return Ok(None);
        };
        if chains.len() > 1 && !chain.names && index + 1 < chains.len() {
            return Err(Bad::new("several chains need server_names"));
        }
        if !seen.insert(bytes) {
            continue;
        }
        let mut own = Credentials::default();
        let place = format!("{owner}/{index}");
        let found = tls::downstream(cx, bytes, &place, &mut own)
            .map_err(|bad| bad.within("transport_socket"))?;
        credentials.inline.append(&mut own.inline);
        credentials.discovered.append(&mut own.discovered);
        match &mut all {
            None => all = Some(found),
            Some(before) => {
                let same = before.tls12 == found.tls12
                    && before.client_trust == found.client_trust
                    && before.client_identities == found.client_identities
                    && before.require_client_certificate == found.require_client_certificate;
                if !same {
                    let reason = "chains that verify clients differently are not supported";
                    return Err(Bad::new(reason));
                }
                before.certificates.extend(found.certificates);
            }
        }
    }
    Ok(all)
}

fn chain<'a>(
    cx: &mut Context,
    bytes: &'a [u8],
    proxy_protocol: &mut bool,
) -> Result<Chain<'a>, Bad> {
    let mut out = Chain {
        network: None,
        tls: None,
        names: false,
    };
    cx.read(&schema::FILTER_CHAIN, bytes, |cx, name, value| {
        match name {
            "filter_chain_match" => {
                cx.read(
                    &schema::FILTER_CHAIN_MATCH,
                    value.bytes()?,
                    |_, name, value| {
                        match (name, value.text()?) {
                            ("server_names", _) => out.names = true,
                            // A connection of another kind is refused by the chain itself.
                            ("transport_protocol", "tls") => {}
                            ("transport_protocol", "raw_buffer") => {}
                            ("application_protocols", "h2" | "http/1.1" | "http/1.0") => {}
                            _ => return Err(Bad::unsupported()),
                        }
                        Ok(())
                    },
                )?;
            }
            "filters" => filter(cx, value.bytes()?, &mut out)?,
            "use_proxy_proto" => *proxy_protocol |= value.wrapped_bool()?,
            "transport_socket" => {
                out.tls = tls::socket(cx, value.bytes()?, &tls_schema::DOWNSTREAM_TLS)?;
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(out)
}

fn filter<'a>(cx: &mut Context, bytes: &'a [u8], out: &mut Chain<'a>) -> Result<(), Bad> {
    cx.read(&schema::FILTER, bytes, |_, name, value| {
        if name != "typed_config" {
            return Ok(());
        }
        let found = value.any()?;
        match found.0 {
            tcp::NAME | connection_manager::NAME if out.network.is_none() => {
                out.network = Some(found);
                Ok(())
            }
            other => Err(Bad::new(format!("{other} is not supported"))),
        }
    })
}

fn listener_filter(
    cx: &mut Context,
    bytes: &[u8],
    captured: &mut bool,
    proxy_protocol: &mut bool,
) -> Result<(), Bad> {
    let (mut called, mut config) = ("", None);
    cx.read(&schema::LISTENER_FILTER, bytes, |_, name, value| {
        match name {
            "name" => called = value.text()?,
            "typed_config" => config = Some(value),
            _ => return unread(name),
        }
        Ok(())
    })?;
    let kind = match config {
        Some(any) => any.any()?.0,
        None => called,
    };
    let known = |wanted: &str| kind.starts_with("envoy.") && kind.contains(wanted);
    if known("original_dst.") || kind == "envoy.filters.listener.original_dst" {
        *captured = true;
    } else if known("listener.proxy_protocol") {
        *proxy_protocol = true;
        let bytes = config.map_or(Ok(&[][..]), |any| any.any().map(|found| found.1))?;
        cx.read(&schema::PROXY_PROTOCOL, bytes, |_, name, _| unread(name))?;
    } else if !known("listener.tls_inspector") && !known("listener.http_inspector") {
        return Err(Bad::new(format!("{kind} is not supported")));
    }
    Ok(())
}
