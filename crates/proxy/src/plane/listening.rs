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

/// One that is open.
struct Listening {
    task: JoinHandle<()>,
    address: Address,
    socket: Arc<TcpListener>,
}

/// The listeners that are open, by name.
#[derive(Default)]
pub struct Open(HashMap<Arc<str>, Listening>);

impl Drop for Open {
    fn drop(&mut self) {
        for open in self.0.values() {
            open.task.abort();
        }
    }
}

impl Open {
    /// Opens and closes what `change` says; a socket whose address stays in use is handed on with
    /// the connections that wait in it.
    ///
    /// # Errors
    /// A socket that cannot be opened; the others are, and the next set tries it again.
    pub fn follow(&mut self, shared: &Arc<Shared>, change: &Change) -> Result<(), ConfigError> {
        let mut free: HashMap<Address, Arc<TcpListener>> = HashMap::new();
        for name in &change.closed {
            if let Some(open) = self.0.remove(name) {
                open.task.abort();
                free.insert(open.address, open.socket);
            }
        }
        let mut first = None;
        for (name, served) in &change.opened {
            let address = served.config.load().address.clone();
            let socket = free.remove(&address).map_or_else(|| socket(&address), Ok);
            match socket {
                Ok(socket) => {
                    let work = accept(Arc::clone(shared), Arc::clone(served), Arc::clone(&socket));
                    let open = Listening {
                        task: tokio::spawn(work),
                        address,
                        socket,
                    };
                    self.0.insert(Arc::clone(name), open);
                }
                Err(reason) => {
                    shared.state.unopened(name);
                    first.get_or_insert(ConfigError::new(format!("listener {name:?}"), reason));
                }
            }
        }
        first.map_or(Ok(()), Err)
    }
}

fn socket(address: &Address) -> Result<Arc<TcpListener>, String> {
    match address {
        Address::Ip(address) => bind(*address).map(Arc::new),
        other => Err(format!("cannot listen on {other}: an IP address is needed")),
    }
}

async fn accept(shared: Arc<Shared>, served: Arc<Served>, listener: Arc<TcpListener>) {
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
