//! The sockets of the DNS: UDP and TCP, and the way to the host's resolvers with egress.
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    sync::Semaphore,
    time::timeout,
};

use crate::{
    dns::{Verdict, decide},
    proxy::Proxy,
};

const FORWARD_LIMIT: Duration = Duration::from_secs(3);
const TCP_IDLE: Duration = Duration::from_secs(10);
const MAX_FORWARDS: usize = 256;
const RESOLV_CONF: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];

/// The host's resolvers; loopback ones cannot be reached from a pod's namespace.
#[must_use]
pub fn resolvers(text: &str) -> Vec<SocketAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|rest| rest.trim().parse::<IpAddr>().ok())
        .filter(|address| !address.is_loopback())
        .map(|address| SocketAddr::new(address, 53))
        .collect()
}

fn host_resolvers() -> Vec<SocketAddr> {
    RESOLV_CONF
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .map(|text| resolvers(&text))
        .find(|all| !all.is_empty())
        .unwrap_or_default()
}

fn verdict(proxy: &Proxy, query: &[u8], udp: bool) -> Verdict {
    proxy.metrics.dns_queries.fetch_add(1, Ordering::Relaxed);
    let table = proxy.table.load();
    decide(query, &table, &proxy.boot.namespace, proxy.boot.egress, udp)
}

/// Answers queries on a UDP socket for ever.
pub async fn udp(proxy: Arc<Proxy>, socket: UdpSocket) {
    let socket = Arc::new(socket);
    let room = Arc::new(Semaphore::new(MAX_FORWARDS));
    let mut buffer = vec![0; 4096];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let query = buffer.get(..length).unwrap_or_default();
        match verdict(&proxy, query, true) {
            Verdict::Answer(bytes) => {
                // A client that is gone does not get its answer.
                let _ = socket.send_to(&bytes, from).await;
            }
            Verdict::Forward => {
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
                    continue;
                };
                let (socket, query) = (Arc::clone(&socket), query.to_vec());
                proxy.tasks.spawn(async move {
                    if let Some(bytes) = forward_udp(&query).await {
                        let _ = socket.send_to(&bytes, from).await;
                    }
                    drop(permit);
                });
            }
            Verdict::Drop => {}
        }
    }
}

async fn forward_udp(query: &[u8]) -> Option<Vec<u8>> {
    for server in host_resolvers() {
        if let Ok(Ok(answer)) = timeout(FORWARD_LIMIT, ask_udp(query, server)).await {
            return Some(answer);
        }
    }
    None
}

async fn ask_udp(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let any = match server {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut answer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut answer).await?;
        if answer.get(..2) == query.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

/// Answers queries on one TCP connection.
pub async fn tcp(proxy: Arc<Proxy>, mut stream: TcpStream, _peer: SocketAddr) {
    // A client that goes away or stalls ends its own connection, nothing else.
    let _ = serve_tcp(&proxy, &mut stream).await;
}

async fn serve_tcp(proxy: &Proxy, stream: &mut TcpStream) -> io::Result<()> {
    loop {
        let query = timeout(TCP_IDLE, read_message(stream)).await??;
        let answer = match verdict(proxy, &query, false) {
            Verdict::Answer(bytes) => bytes,
            Verdict::Forward => match forward_tcp(&query).await {
                Some(bytes) => bytes,
                None => return Ok(()),
            },
            Verdict::Drop => return Ok(()),
        };
        write_message(stream, &answer).await?;
    }
}

async fn forward_tcp(query: &[u8]) -> Option<Vec<u8>> {
    for server in host_resolvers() {
        let ask = async {
            let mut stream = TcpStream::connect(server).await?;
            write_message(&mut stream, query).await?;
            read_message(&mut stream).await
        };
        if let Ok(Ok(answer)) = timeout(FORWARD_LIMIT, ask).await {
            return Some(answer);
        }
    }
    None
}

async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut out = length.to_be_bytes().to_vec();
    out.extend_from_slice(message);
    stream.write_all(&out).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_resolvers_are_left_out() {
        let text = "# x\nsearch a\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver ::1\n";
        assert_eq!(resolvers(text), ["9.9.9.9:53".parse().unwrap()]);
    }
}
