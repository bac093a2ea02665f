//! A connection to the control plane: TCP or a Unix socket, in the clear or with TLS.
use std::io;

use cloudwright_config::Address;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::{options::Control, tls};

/// Bytes in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("cannot connect to {server}: {why}")]
    Connect { server: Address, why: io::Error },
    #[error("TLS with {server}: {why}")]
    Handshake { server: Address, why: io::Error },
    #[error(transparent)]
    Load(#[from] tls::TlsLoadError),
    #[error("{0:?} is no name for TLS: control.tls.server_name is needed")]
    Name(String),
}

/// Connects; one type for all kinds keeps the code of HTTP/2 in the program once.
///
/// # Errors
/// The server cannot be reached, or does not prove who it is.
pub async fn connect(options: &Control) -> Result<Box<dyn Io>, ConnectError> {
    let server = &options.server;
    let refused = |why| ConnectError::Connect {
        server: server.clone(),
        why,
    };
    let plain: Box<dyn Io> = match server {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(refused)?),
        Address::Ip(address) => Box::new(tcp(*address).await.map_err(refused)?),
        Address::Name(name, port) => Box::new(resolved(name, *port).await.map_err(refused)?),
    };
    let Some(options) = &options.tls else {
        return Ok(plain);
    };
    let name = match (&options.server_name, server) {
        (Some(name), _) | (None, Address::Name(name, _)) => name.to_string(),
        (None, Address::Ip(address)) => address.ip().to_string(),
        (None, Address::Unix(_)) => "localhost".to_owned(),
    };
    let Ok(name) = ServerName::try_from(name.clone()) else {
        return Err(ConnectError::Name(name));
    };
    let secure = TlsConnector::from(tls::config(options)?)
        .connect(name, plain)
        .await
        .map_err(|why| ConnectError::Handshake {
            server: server.clone(),
            why,
        })?;
    Ok(Box::new(secure))
}

async fn tcp(address: std::net::SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn resolved(name: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = None;
    for address in tokio::net::lookup_host((name, port)).await? {
        match tcp(address).await {
            Ok(stream) => return Ok(stream),
            Err(why) => last = Some(why),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "has no address")))
}
