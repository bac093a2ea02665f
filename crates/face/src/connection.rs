//! What a connection knows about its other side, and giving a connection away.
use std::{
    io,
    os::unix::net::UnixStream as StdStream,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncWriteExt, copy, split},
    net::UnixStream,
    time::timeout,
};

use crate::{tls::Peer, transport::Slot};

/// The other side of a connection.
#[derive(Debug)]
pub(crate) struct Caller {
    pub peer: Option<(u64, Arc<Peer>)>,
    pub http2: bool,
    /// Of HTTP/1.1: where the connection can be asked for.
    pub slot: Arc<Slot>,
}

impl Caller {
    pub fn new(peer: Option<(u64, Arc<Peer>)>, http2: bool) -> Self {
        Self {
            peer,
            http2,
            slot: Arc::default(),
        }
    }

    /// The fingerprint of a certificate that was verified and is valid now; `Err`: it is not.
    pub fn certificate(&self) -> Result<Option<[u8; 32]>, ()> {
        let Some((_, peer)) = &self.peer else {
            return Ok(None);
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_err(|_| ())?;
        let valid = peer.problem.is_empty() && peer.not_after > now.as_secs() as i64;
        valid.then_some(Some(peer.fingerprint)).ok_or(())
    }
}

const LINGER: Duration = Duration::from_secs(5);

/// Carries bytes between an upgraded connection and the program's socket, until one side ends.
pub(crate) async fn carry(connection: OnUpgrade, program: StdStream) -> io::Result<()> {
    let upgraded = connection.await.map_err(io::Error::other)?;
    program.set_nonblocking(true)?;
    let (mut from_client, mut to_client) = split(TokioIo::new(upgraded));
    let (mut from_program, mut to_program) = UnixStream::from_std(program)?.into_split();
    let mut inward = std::pin::pin!(async {
        let copied = copy(&mut from_client, &mut to_program).await;
        let ended = to_program.shutdown().await;
        copied.and(ended)
    });
    let mut outward = std::pin::pin!(async {
        let copied = copy(&mut from_program, &mut to_client).await;
        let ended = to_client.shutdown().await;
        copied.and(ended)
    });
    tokio::select! {
        ended = &mut inward => {
            ended?;
            outward.await
        }
        ended = &mut outward => {
            ended?;
            // The client may close first, but not stay for ever.
            timeout(LINGER, inward).await.unwrap_or(Ok(()))
        }
    }
}
