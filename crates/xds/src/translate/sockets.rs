//! TLS by endpoint (`transport_socket_matches`), in the one form that the configuration can say: the
//! endpoint's metadata names the identity that its certificate must carry.
use std::sync::Arc;

use cloudwright_config::cluster::UpstreamTls;

use super::{
    context::{Bad, Context, unread},
    tls::{self, Credentials},
};
use crate::{
    schema::{cluster as schema, core as core_schema, tls as tls_schema},
    wire::Value,
};

/// Adds one match to the cluster's TLS: the same context but for the identity, which must be the
/// `identity` that is compared.
pub fn add(
    cx: &mut Context,
    value: Value<'_>,
    owner: &str,
    all: &mut Option<UpstreamTls>,
    credentials: &mut Credentials,
) -> Result<(), Bad> {
    let (mut wanted, mut socket) = (None, None);
    cx.read(&schema::SOCKET_MATCH, value.bytes()?, |cx, name, value| {
        match name {
            "match" => wanted = Some(compared(cx, value.bytes()?)?),
            "transport_socket" => {
                socket = tls::socket(cx, value.bytes()?, &tls_schema::UPSTREAM_TLS)?;
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    let (Some(wanted), Some(bytes)) = (wanted, socket) else {
        return Err(Bad::new("only match.identity with TLS is supported"));
    };
    let mut own = Credentials::default();
    let found = tls::upstream(cx, bytes, owner, &mut own)
        .map_err(|bad| bad.within("transport_socket.typed_config"))?;
    if found.identities.as_slice() != std::slice::from_ref(&wanted) || !own.inline.is_empty() {
        let reason = "only discovered secrets and the identity that is compared are supported";
        return Err(Bad::new(reason).within("transport_socket"));
    }
    match all {
        None => {
            credentials.discovered.append(&mut own.discovered);
            *all = Some(found);
        }
        Some(before) => {
            let same = UpstreamTls {
                identities: before.identities.clone(),
                ..found
            };
            if same != *before {
                let reason = "differs from the others in more than the identity";
                return Err(Bad::new(reason).within("transport_socket"));
            }
            before.identities.push(wanted);
        }
    }
    Ok(())
}

/// The identity of a `match` that compares nothing else.
fn compared(cx: &mut Context, bytes: &[u8]) -> Result<Arc<str>, Bad> {
    let mut found = None;
    cx.read(&core_schema::STRUCT, bytes, |cx, _, value| {
        let ("identity", Some(value)) = value.entry()? else {
            return Err(Bad::new("only identity is supported"));
        };
        cx.read(
            &core_schema::VALUE,
            value.bytes()?,
            |_, name, value| match name {
                "string_value" => {
                    found = Some(value.text()?.into());
                    Ok(())
                }
                _ => unread(name),
            },
        )
    })?;
    found.ok_or_else(|| Bad::new("is needed").within("identity"))
}
