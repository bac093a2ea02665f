//! What is spoken to the endpoints of a cluster.
use cloudwright_config::{Cluster, cluster::Protocol};

use super::context::{Bad, Context, unread};
use crate::{
    schema::{Message, cluster as schema, core as core_schema},
    wire::Value,
};

/// `upstreams.http.HttpProtocolOptions`.
pub fn options(cx: &mut Context, bytes: &[u8], out: &mut Cluster) -> Result<(), Bad> {
    cx.read(&schema::UPSTREAM_OPTIONS, bytes, |cx, name, value| {
        match name {
            "common_http_protocol_options" => common(cx, value, out)?,
            "upstream_http_protocol_options" => auto_sni(cx, value)?,
            "explicit_http_config" => {
                out.protocol = choice(cx, &schema::EXPLICIT_HTTP, value, out)?;
            }
            "use_downstream_protocol_config" => {
                choice(cx, &schema::DOWNSTREAM_HTTP, value, out)?;
                out.protocol = Protocol::Auto;
            }
            "auto_config" => {
                choice(cx, &schema::AUTO_HTTP, value, out)?;
                out.protocol = Protocol::Auto;
            }
            _ => return unread(name),
        }
        Ok(())
    })
}

fn choice(
    cx: &mut Context,
    message: &'static Message,
    value: Value<'_>,
    out: &mut Cluster,
) -> Result<Protocol, Bad> {
    let mut found = Protocol::Http1;
    cx.read(message, value.bytes()?, |cx, name, value| {
        match name {
            "http_protocol_options" => http1(cx, value)?,
            "http2_protocol_options" => {
                http2(cx, value, out)?;
                found = Protocol::Http2;
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(found)
}

/// `core.Http1ProtocolOptions`: nothing of it is used.
pub fn http1(cx: &mut Context, value: Value<'_>) -> Result<(), Bad> {
    cx.read(&core_schema::HTTP1_OPTIONS, value.bytes()?, |_, name, _| {
        unread(name)
    })
}

/// `core.Http2ProtocolOptions`.
pub fn http2(cx: &mut Context, value: Value<'_>, out: &mut Cluster) -> Result<(), Bad> {
    cx.read(
        &core_schema::HTTP2_OPTIONS,
        value.bytes()?,
        |cx, name, value| {
            match name {
                "max_concurrent_streams" => out.max_streams = value.wrapped_u32()?,
                "connection_keepalive" => {
                    cx.read(&core_schema::KEEPALIVE, value.bytes()?, |_, name, value| {
                        if name == "interval" {
                            out.keepalive = Some(value.duration()?);
                        }
                        Ok(())
                    })?;
                }
                _ => return unread(name),
            }
            Ok(())
        },
    )
}

/// `core.HttpProtocolOptions`.
pub fn common(cx: &mut Context, value: Value<'_>, out: &mut Cluster) -> Result<(), Bad> {
    cx.read(
        &core_schema::HTTP_OPTIONS,
        value.bytes()?,
        |_, name, value| {
            match name {
                "idle_timeout" => {
                    let wanted = value.duration()?;
                    if !wanted.is_zero() {
                        out.idle_timeout = wanted;
                    }
                }
                _ => return unread(name),
            }
            Ok(())
        },
    )
}

/// `core.UpstreamHttpProtocolOptions`: the endpoint's name is asked for and verified anyway.
pub fn auto_sni(cx: &mut Context, value: Value<'_>) -> Result<(), Bad> {
    cx.read(&schema::UPSTREAM_HTTP, value.bytes()?, |_, name, value| {
        match name {
            "auto_sni" | "auto_san_validation" => value.bool().map(drop)?,
            _ => return unread(name),
        }
        Ok(())
    })
}
