//! HTTP listeners (`HttpConnectionManager`): routes, limits, HTTP filters.
use std::time::Duration;

use cloudwright_config::{
    Listener,
    listener::{HttpLimits, Protocol},
};

use super::{
    common,
    context::{Bad, Context, Warning, unread},
    fault,
    listener::ListenerParts,
    route,
};
use crate::{
    schema::{core as core_schema, listener as schema},
    wire::Value,
};

/// The message's full name.
pub const NAME: &str =
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

/// HTTP filters whose work the proxy does by itself or that change no answer.
const HARMLESS: [&str; 6] = [
    "envoy.extensions.filters.http.router.v3.Router",
    "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
    "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
    // Does nothing without a policy on a route, and those are refused.
    "envoy.extensions.filters.http.cors.v3.Cors",
    "stats.PluginConfig",
    "io.istio.http.peer_metadata.Config",
];

/// Fills `out` and `parts` from the connection manager.
pub fn read(
    cx: &mut Context,
    bytes: &[u8],
    out: &mut Listener,
    parts: &mut ListenerParts,
) -> Result<(), Bad> {
    out.protocol = Protocol::Http;
    let mut inline = None;
    let mut router = false;
    cx.read(&schema::HCM, bytes, |cx, name, value| match name {
        "route_config" => {
            inline = Some(value.bytes()?);
            Ok(())
        }
        "rds" => {
            let mut called = "";
            cx.read(&schema::RDS, value.bytes()?, |cx, name, value| {
                match name {
                    "config_source" => common::config_source(cx, value.bytes()?)?,
                    "route_config_name" => called = value.text()?,
                    _ => return unread(name),
                }
                Ok(())
            })?;
            if called.is_empty() {
                return Err(Bad::new("is needed").within("route_config_name"));
            }
            parts.routes = Some(called.into());
            Ok(())
        }
        "http_filters" => {
            router |= http_filter(cx, value.bytes()?)?;
            Ok(())
        }
        "upgrade_configs" => {
            parts.upgrades |= upgrade(cx, value.bytes()?)?;
            Ok(())
        }
        _ => setting(cx, name, value, out),
    })?;
    if !router {
        return Err(Bad::new("the router is needed").within("http_filters"));
    }
    if let Some(bytes) = inline {
        let called = format!("listener/{}/routes", out.name).into();
        let table = route::table(cx, bytes, Some(called));
        let table = table.map_err(|bad| bad.within("route_config"))?;
        out.routes = Some(std::sync::Arc::clone(&table.table.name));
        parts.inline_table = Some(std::sync::Arc::new(table));
    } else {
        out.routes.clone_from(&parts.routes);
    }
    if out.routes.is_none() {
        return Err(Bad::new("rds or route_config is needed"));
    }
    Ok(())
}

fn setting(
    cx: &mut Context,
    name: &'static str,
    value: Value<'_>,
    out: &mut Listener,
) -> Result<(), Bad> {
    let limits = &mut out.limits;
    match name {
        "codec_type" => {
            out.protocol = match value.u64()? {
                0 => Protocol::Http,
                1 => Protocol::Http1,
                2 => Protocol::Http2,
                _ => return Err(Bad::unsupported()),
            }
        }
        "http_protocol_options" => super::protocol::http1(cx, value)?,
        "http2_protocol_options" => http2(cx, value.bytes()?, limits)?,
        "common_http_protocol_options" => {
            cx.read(
                &core_schema::HTTP_OPTIONS,
                value.bytes()?,
                |_, name, value| {
                    match name {
                        "idle_timeout" => positive(value.duration()?, &mut limits.idle_timeout),
                        _ => return unread(name),
                    }
                    Ok(())
                },
            )?;
        }
        "stream_idle_timeout" => positive(value.duration()?, &mut limits.body_idle_timeout),
        "request_headers_timeout" => positive(value.duration()?, &mut limits.header_timeout),
        "request_timeout" => {
            if !value.duration()?.is_zero() {
                cx.warn(Warning::Value(
                    "HttpConnectionManager.request_timeout: body_idle_timeout counts".into(),
                ));
            }
        }
        "max_request_headers_kb" => {
            limits.max_header_bytes = value.wrapped_u32()?.clamp(1, 8192) * 1024;
        }
        "xff_num_trusted_hops" => out.trusted_hops = value.u32()?,
        "path_with_escaped_slashes_action" => match value.u64()? {
            0 | 1 => {}
            2 => limits.refuse_escaped_slashes = true,
            // What a path means would not be what the route was chosen by.
            _ => return Err(Bad::unsupported()),
        },
        _ => return unread(name),
    }
    Ok(())
}

fn positive(wanted: Duration, limit: &mut Duration) {
    if !wanted.is_zero() {
        *limit = wanted;
    }
}

fn http2(cx: &mut Context, bytes: &[u8], limits: &mut HttpLimits) -> Result<(), Bad> {
    cx.read(
        &core_schema::HTTP2_OPTIONS,
        bytes,
        |cx, name, value| match name {
            "max_concurrent_streams" => {
                limits.max_streams = value.wrapped_u32()?.max(1);
                Ok(())
            }
            "connection_keepalive" => {
                cx.read(&core_schema::KEEPALIVE, value.bytes()?, |_, name, value| {
                    match name {
                        "interval" => positive(value.duration()?, &mut limits.keepalive),
                        "timeout" => positive(value.duration()?, &mut limits.keepalive_timeout),
                        _ => return unread(name),
                    }
                    Ok(())
                })
            }
            _ => unread(name),
        },
    )
}

/// Whether the filter is the router; what is not known refuses the listener unless it is optional.
fn http_filter(cx: &mut Context, bytes: &[u8]) -> Result<bool, Bad> {
    let (mut called, mut config) = ("", None);
    let (mut optional, mut disabled) = (false, false);
    cx.read(&schema::HTTP_FILTER, bytes, |_, name, value| {
        match name {
            "name" => called = value.text()?,
            "typed_config" => config = Some(value),
            "is_optional" => optional = value.bool()?,
            "disabled" => disabled = value.bool()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    let (kind, bytes) = config.map_or(Ok((called, &[][..])), Value::any)?;
    if HARMLESS.contains(&kind) {
        return Ok(kind.ends_with(".Router") && !disabled);
    }
    if kind == "envoy.extensions.filters.http.fault.v3.HTTPFault" {
        if fault::fault(cx, bytes)?.is_some() && !disabled {
            let reason = "a fault for all routes is not supported: put it on the routes";
            return Err(Bad::new(reason).within(called));
        }
        return Ok(false);
    }
    if optional || disabled {
        let kind: String = kind.chars().take(120).collect();
        cx.warn(Warning::Value(format!("http_filters: {kind} is left out")));
        return Ok(false);
    }
    Err(Bad::new(format!("{kind} is not supported")).within(called))
}

fn upgrade(cx: &mut Context, bytes: &[u8]) -> Result<bool, Bad> {
    let (mut kind, mut enabled) = ("", true);
    cx.read(&schema::UPGRADE, bytes, |_, name, value| {
        match name {
            "upgrade_type" => kind = value.text()?,
            "enabled" => enabled = value.wrapped_bool()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if enabled && kind.eq_ignore_ascii_case("connect") {
        return Err(Bad::unsupported().within("upgrade_type"));
    }
    Ok(enabled)
}
