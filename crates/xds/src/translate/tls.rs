//! TLS contexts of listeners and clusters, and secrets.
use std::sync::Arc;

use cloudwright_config::{Secret, cluster::UpstreamTls, listener::ListenerTls, secret::Pem};

use super::{
    common,
    context::{Bad, Context, Warning, expect, unread},
};
use crate::{
    schema::{core as core_schema, tls as schema},
    wire::Value,
};

/// Names and secrets that a TLS context brings along.
#[derive(Debug, Default)]
pub struct Credentials {
    /// Secrets that were written into the resource itself.
    pub inline: Vec<Arc<Secret>>,
    /// Names of secrets that discovery has to give.
    pub discovered: Vec<Arc<str>>,
}

#[derive(Default)]
struct Common {
    certificates: Vec<Arc<str>>,
    trust: Option<Arc<str>>,
    identities: Vec<Arc<str>>,
    tls13_only: bool,
}

#[derive(Default)]
struct Validation {
    trust: Option<Pem>,
    identities: Vec<Arc<str>>,
}

/// The message of a `core.TransportSocket`; `None` is a plain connection.
pub fn socket<'a>(
    cx: &mut Context,
    bytes: &'a [u8],
    message: &'static crate::schema::Message,
) -> Result<Option<&'a [u8]>, Bad> {
    const PLAIN: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";
    let (mut kind, mut found) = ("", None);
    cx.read(&core_schema::TRANSPORT_SOCKET, bytes, |_, name, value| {
        match name {
            "name" => kind = value.text()?,
            "typed_config" if value.any()?.0 == PLAIN => kind = PLAIN,
            "typed_config" => found = Some(expect(message, value)?),
            _ => return unread(name),
        }
        Ok(())
    })?;
    let plain = matches!(kind, PLAIN | "envoy.transport_sockets.raw_buffer");
    if found.is_none() && !plain {
        return Err(Bad::new("TLS or raw_buffer is needed").within("typed_config"));
    }
    Ok(found)
}

/// `tls.DownstreamTlsContext` of the listener `owner`.
pub fn downstream(
    cx: &mut Context,
    bytes: &[u8],
    owner: &str,
    credentials: &mut Credentials,
) -> Result<ListenerTls, Bad> {
    let (mut common, mut required) = (Common::default(), false);
    cx.read(&schema::DOWNSTREAM_TLS, bytes, |cx, name, value| {
        match name {
            "common_tls_context" => {
                common = common_context(cx, value.bytes()?, owner, credentials)?;
            }
            "require_client_certificate" => required = value.wrapped_bool()?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    let inside = |field: &str, reason: &str| {
        Err(Bad::new(reason).within(field).within("common_tls_context"))
    };
    if common.certificates.is_empty() {
        return inside("tls_certificates", "at least one certificate is needed");
    }
    if common.trust.is_none() && (required || !common.identities.is_empty()) {
        return inside(
            "validation_context",
            "trusted_ca is needed to verify clients",
        );
    }
    Ok(ListenerTls {
        certificates: common.certificates,
        client_trust: common.trust,
        require_client_certificate: required,
        client_identities: common.identities,
        tls12: !common.tls13_only,
    })
}

/// `tls.UpstreamTlsContext` of the cluster `owner`.
pub fn upstream(
    cx: &mut Context,
    bytes: &[u8],
    owner: &str,
    credentials: &mut Credentials,
) -> Result<UpstreamTls, Bad> {
    let (mut common, mut sni) = (Common::default(), None);
    cx.read(&schema::UPSTREAM_TLS, bytes, |cx, name, value| {
        match name {
            "common_tls_context" => {
                common = common_context(cx, value.bytes()?, owner, credentials)?;
            }
            "sni" => sni = Some(value.text()?.into()),
            // The endpoint's name is asked for and verified when there is no other.
            "auto_host_sni" | "auto_sni_san_validation" => {}
            _ => return unread(name),
        }
        Ok(())
    })?;
    if common.certificates.len() > 1 {
        let bad = Bad::new("one certificate at most").within("tls_certificates");
        return Err(bad.within("common_tls_context"));
    }
    if common.tls13_only {
        cx.warn(Warning::Value(
            "UpstreamTlsContext: TLS 1.3 is preferred, 1.2 is not ruled out".into(),
        ));
    }
    Ok(UpstreamTls {
        certificate: common.certificates.pop(),
        trust: common.trust,
        server_name: sni,
        identities: common.identities,
    })
}

fn common_context(
    cx: &mut Context,
    bytes: &[u8],
    owner: &str,
    credentials: &mut Credentials,
) -> Result<Common, Bad> {
    let mut common = Common::default();
    let mut validated = Validation::default();
    cx.read(&schema::COMMON_TLS, bytes, |cx, name, value| {
        match name {
            "tls_params" => common.tls13_only = parameters(cx, value.bytes()?)?,
            "tls_certificates" => {
                let index = common.certificates.len();
                let own = format!("{owner}/certificate/{index}").into();
                let secret = certificate(cx, value.bytes()?, own)?;
                common.certificates.push(Arc::clone(&secret.name));
                credentials.inline.push(Arc::new(secret));
            }
            "validation_context" => validated = validation(cx, value.bytes()?)?,
            "tls_certificate_sds_secret_configs" => {
                let secret = sds(cx, value)?;
                common.certificates.push(Arc::clone(&secret));
                credentials.discovered.push(secret);
            }
            "validation_context_sds_secret_config" => common.trust = Some(sds(cx, value)?),
            "combined_validation_context" => {
                (validated, common.trust) = combined(cx, value.bytes()?)?;
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    common.identities = validated.identities;
    match (&common.trust, validated.trust) {
        (Some(name), None) => credentials.discovered.push(Arc::clone(name)),
        (Some(_), Some(_)) => {
            let bad = Bad::new("there is a trusted_ca already");
            return Err(bad.within("validation_context_sds_secret_config"));
        }
        (None, Some(trust)) => {
            let name: Arc<str> = format!("{owner}/trust").into();
            common.trust = Some(Arc::clone(&name));
            credentials.inline.push(Arc::new(Secret {
                name,
                certificate: None,
                key: None,
                trust: Some(trust),
            }));
        }
        (None, None) => {}
    }
    Ok(common)
}

fn combined(cx: &mut Context, bytes: &[u8]) -> Result<(Validation, Option<Arc<str>>), Bad> {
    let (mut validated, mut trust) = (Validation::default(), None);
    cx.read(&schema::COMBINED_VALIDATION, bytes, |cx, name, value| {
        match name {
            "default_validation_context" => validated = validation(cx, value.bytes()?)?,
            "validation_context_sds_secret_config" => trust = Some(sds(cx, value)?),
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok((validated, trust))
}

fn sds(cx: &mut Context, value: Value<'_>) -> Result<Arc<str>, Bad> {
    let mut found = "";
    cx.read(&schema::SDS_CONFIG, value.bytes()?, |cx, name, value| {
        match name {
            "name" => found = value.text()?,
            "sds_config" => common::config_source(cx, value.bytes()?)?,
            _ => return unread(name),
        }
        Ok(())
    })?;
    if found.is_empty() {
        return Err(Bad::new("is needed").within("name"));
    }
    Ok(found.into())
}

/// Whether only TLS 1.3 is meant.
fn parameters(cx: &mut Context, bytes: &[u8]) -> Result<bool, Bad> {
    let mut only13 = false;
    cx.read(&schema::TLS_PARAMETERS, bytes, |_, name, value| {
        match (name, value.u64()?) {
            // Older versions than 1.2 are never spoken, whatever is allowed.
            ("tls_minimum_protocol_version", version) => only13 = version == 4,
            ("tls_maximum_protocol_version", 0 | 4) => {}
            _ => return Err(Bad::unsupported()),
        }
        Ok(())
    })?;
    Ok(only13)
}

fn certificate(cx: &mut Context, bytes: &[u8], name: Arc<str>) -> Result<Secret, Bad> {
    let (mut chain, mut key) = (None, None);
    cx.read(&schema::TLS_CERTIFICATE, bytes, |cx, name, value| {
        match name {
            "certificate_chain" => chain = Some(common::pem(cx, value.bytes()?)?),
            "private_key" => key = Some(common::pem(cx, value.bytes()?)?),
            _ => return unread(name),
        }
        Ok(())
    })?;
    for (missing, field) in [
        (chain.is_none(), "certificate_chain"),
        (key.is_none(), "private_key"),
    ] {
        if missing {
            return Err(Bad::new("is needed").within(field));
        }
    }
    Ok(Secret {
        name,
        certificate: chain,
        key,
        trust: None,
    })
}

fn validation(cx: &mut Context, bytes: &[u8]) -> Result<Validation, Bad> {
    let mut found = Validation::default();
    cx.read(&schema::VALIDATION, bytes, |cx, name, value| {
        match name {
            "trusted_ca" => found.trust = Some(common::pem(cx, value.bytes()?)?),
            "match_subject_alt_names" => found.identities.push(identity(cx, value.bytes()?)?),
            "match_typed_subject_alt_names" => {
                found.identities.push(typed_identity(cx, value.bytes()?)?);
            }
            "trust_chain_verification" if value.u64()? != 0 => return Err(Bad::unsupported()),
            "trust_chain_verification" | "system_root_certs" => {}
            _ => return unread(name),
        }
        Ok(())
    })?;
    Ok(found)
}

fn typed_identity(cx: &mut Context, bytes: &[u8]) -> Result<Arc<str>, Bad> {
    let mut found = None;
    cx.read(&schema::SAN_MATCHER, bytes, |cx, name, value| {
        match name {
            "san_type" if !matches!(value.u64()?, 2 | 3) => {
                return Err(Bad::new("only DNS and URI are supported"));
            }
            "san_type" => {}
            "matcher" => found = Some(identity(cx, value.bytes()?)?),
            _ => return unread(name),
        }
        Ok(())
    })?;
    found.ok_or_else(|| Bad::new("is needed").within("matcher"))
}

fn identity(cx: &mut Context, bytes: &[u8]) -> Result<Arc<str>, Bad> {
    use cloudwright_config::matching::ValueMatch;
    match common::string_matcher(cx, bytes)? {
        ValueMatch::Exact(text) if !text.ends_with('*') => Ok(text),
        ValueMatch::Prefix(text) => Ok(format!("{text}*").into()),
        _ => Err(Bad::new("only exact and prefix are supported")),
    }
}

/// `tls.Secret`.
pub fn secret(cx: &mut Context, bytes: &[u8]) -> Result<Secret, Bad> {
    let (mut called, mut found) = (Arc::default(), None);
    cx.read(&schema::SECRET, bytes, |cx, name, value| {
        match name {
            "name" => called = value.text()?.into(),
            "tls_certificate" => {
                found = Some(certificate(cx, value.bytes()?, Arc::default())?);
            }
            "validation_context" => {
                let validated = validation(cx, value.bytes()?)?;
                if !validated.identities.is_empty() {
                    let bad = Bad::new("belongs into default_validation_context of the resource");
                    return Err(bad.within("match_typed_subject_alt_names"));
                }
                let trust = validated.trust;
                let trust = trust.ok_or_else(|| Bad::new("is needed").within("trusted_ca"))?;
                found = Some(Secret {
                    name: Arc::default(),
                    certificate: None,
                    key: None,
                    trust: Some(trust),
                });
            }
            _ => return unread(name),
        }
        Ok(())
    })?;
    let found = found.ok_or_else(|| Bad::new("tls_certificate or validation_context is needed"))?;
    Ok(Secret {
        name: called,
        ..found
    })
}
