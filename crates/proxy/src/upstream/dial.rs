//! Making a connection to an endpoint: socket, TLS, and which protocol it speaks.
use std::{io, net::IpAddr, sync::Arc};

use cloudwright_config::{Address, cluster::Protocol};
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::{Endpoint, cluster::Settings};
use crate::{
    credentials::client::{ClientTls, is},
    io::Io,
};

/// Why no connection could be made. No byte of a request was sent.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DialError {
    #[error("connect to {0}: {1}")]
    Connect(Address, String),
    #[error("TLS with {0}: {1}")]
    Tls(Address, String),
    #[error("connect to {0}: no answer in time")]
    Timeout(Address),
    #[error("{0} is not {1}")]
    Identity(Address, Arc<str>),
    #[error("{0} is not an address: its name was not resolved")]
    Name(Address),
}

/// A new connection and whether it speaks HTTP/2.
pub struct Dialed {
    pub io: Io,
    pub http2: bool,
}

/// Connects within the cluster's limit; `http2` is what the request would like best.
///
/// # Errors
/// Why there is no connection.
pub async fn dial(
    endpoint: &Endpoint,
    settings: &Settings,
    http2: bool,
) -> Result<Dialed, DialError> {
    let limit = settings.config.connect_timeout;
    match tokio::time::timeout(limit, connect(endpoint, settings, http2)).await {
        Ok(result) => result,
        Err(_) => Err(DialError::Timeout(endpoint.address.clone())),
    }
}

async fn connect(
    endpoint: &Endpoint,
    settings: &Settings,
    http2: bool,
) -> Result<Dialed, DialError> {
    let address = &endpoint.address;
    let failed = |error: io::Error| DialError::Connect(address.clone(), error.to_string());
    let tcp = match address {
        Address::Ip(ip) => TcpStream::connect(ip).await.map_err(failed)?,
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            return Ok(Dialed {
                io: Io::Unix(stream),
                http2,
            });
        }
        Address::Name(..) => return Err(DialError::Name(address.clone())),
    };
    tcp.set_nodelay(true).map_err(failed)?;
    match &settings.tls {
        None => Ok(Dialed {
            io: Io::Tcp(tcp),
            http2,
        }),
        Some(tls) => secure(endpoint, settings.config.protocol, tls, tcp, http2).await,
    }
}

async fn secure(
    endpoint: &Endpoint,
    protocol: Protocol,
    tls: &ClientTls,
    tcp: TcpStream,
    http2: bool,
) -> Result<Dialed, DialError> {
    let address = &endpoint.address;
    let failed = |error: io::Error| DialError::Tls(address.clone(), error.to_string());
    let config = match protocol {
        Protocol::Http1 => &tls.http1,
        Protocol::Http2 => &tls.http2,
        Protocol::Auto | Protocol::Tcp => &tls.any,
    };
    let unnamed = IpAddr::from([127, 0, 0, 1]);
    let name = tls.server_name.clone().unwrap_or_else(|| match address {
        Address::Ip(ip) => ServerName::from(ip.ip()),
        _ => ServerName::from(unnamed),
    });
    let stream = TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
        .map_err(failed)?;
    let session = stream.get_ref().1;
    if let Some(identity) = &endpoint.identity {
        let leaf = session.peer_certificates().and_then(|chain| chain.first());
        if !leaf.is_some_and(|leaf| is(leaf, identity)) {
            return Err(DialError::Identity(address.clone(), Arc::clone(identity)));
        }
    }
    let http2 = match session.alpn_protocol() {
        Some(name) => name == b"h2",
        None => http2 && protocol == Protocol::Http2,
    };
    Ok(Dialed {
        io: Io::Client(Box::new(stream)),
        http2,
    })
}
