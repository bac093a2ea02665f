//! Sockets and the accepting of connections.
use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use cloudwright_config::{Address, ConfigError};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};

use super::{
    connection,
    served::Served,
    shared::{Shared, bump},
    state::Change,
};
use crate::{drain::Phase, serve::bind};

/// The listeners that are open.
#[derive(Default)]
pub struct Open(HashMap<Arc<str>, JoinHandle<()>>);

impl Drop for Open {
    fn drop(&mut self) {
        for task in self.0.values() {
            task.abort();
        }
    }
}

impl Open {
    /// Opens and closes what `change` says.
    ///
    /// # Errors
    /// A socket that cannot be opened; the others are.
    pub fn follow(&mut self, shared: &Arc<Shared>, change: &Change) -> Result<(), ConfigError> {
        for name in &change.closed {
            if let Some(task) = self.0.remove(name) {
                task.abort();
            }
        }
        let mut first = None;
        for (name, served) in &change.opened {
            match socket(served) {
                Ok(listener) => {
                    let task = accept(Arc::clone(shared), Arc::clone(served), listener);
                    self.0.insert(Arc::clone(name), tokio::spawn(task));
                }
                Err(reason) => {
                    first.get_or_insert(ConfigError::new(format!("listener {name:?}"), reason));
                }
            }
        }
        first.map_or(Ok(()), Err)
    }
}

fn socket(served: &Served) -> Result<TcpListener, String> {
    match &served.config.load().address {
        Address::Ip(address) => bind(*address),
        other => Err(format!("cannot listen on {other}: an IP address is needed")),
    }
}

async fn accept(shared: Arc<Shared>, served: Arc<Served>, listener: TcpListener) {
    let most = usize::try_from(served.config.load().max_connections).unwrap_or(usize::MAX);
    let room = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let drain = Arc::clone(&shared.drain);
    let mut end = std::pin::pin!(drain.reached(Phase::Draining));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut end => return,
        };
        let (stream, peer) = match accepted {
            Ok(pair) => pair,
            Err(error) => {
                // Out of descriptors, or a connection that is gone already: later ones may work.
                eprintln!("accept: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        bump(&shared.counters.connections);
        let (shared, served) = (Arc::clone(&shared), Arc::clone(&served));
        tokio::spawn(async move {
            let open = Arc::clone(&shared);
            open.counters.connections_open.fetch_add(1, Relaxed);
            connection::serve(shared, served, stream, peer).await;
            open.counters.connections_open.fetch_sub(1, Relaxed);
            drop(permit);
        });
    }
}
