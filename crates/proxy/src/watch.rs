//! Watches the directories of snapshot and certificates; files are replaced by rename.
use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures_util::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchMask};

use crate::proxy::Proxy;

/// A watch that was set up before the first read, so that no change is missed.
pub struct Watch(EventStream<[u8; 4096]>);

fn directories(proxy: &Proxy) -> BTreeSet<PathBuf> {
    let boot = &proxy.boot;
    [
        Some(&boot.snapshot),
        Some(&boot.cert),
        Some(&boot.key),
        Some(&boot.ca),
    ]
    .into_iter()
    .chain([boot.https_cert.as_ref(), boot.https_key.as_ref()])
    .flatten()
    .filter_map(|file| file.parent().map(Path::to_path_buf))
    .collect()
}

impl Watch {
    /// Starts watching.
    pub fn new(proxy: &Proxy) -> Result<Self, String> {
        let inotify = Inotify::init().map_err(|error| format!("inotify: {error}"))?;
        for directory in directories(proxy) {
            let mask = WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE;
            inotify
                .watches()
                .add(&directory, mask)
                .map_err(|error| format!("cannot watch {}: {error}", directory.display()))?;
        }
        let stream = inotify.into_event_stream([0; 4096]);
        Ok(Self(stream.map_err(|error| format!("inotify: {error}"))?))
    }

    /// Applies changes for ever.
    pub async fn run(mut self, proxy: Arc<Proxy>) {
        while let Some(event) = self.0.next().await {
            match event {
                Ok(event) if event.mask.contains(EventMask::Q_OVERFLOW) => all(&proxy),
                Ok(event) => one(&proxy, event.name.as_ref()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    eprintln!("inotify: {error}");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                    all(&proxy);
                }
            }
        }
    }
}

/// Reads every file.
pub fn all(proxy: &Proxy) {
    proxy.reload_certificate();
    proxy.reload_edge();
    proxy.reload_snapshot();
}

fn one(proxy: &Proxy, name: Option<&OsString>) {
    let boot = &proxy.boot;
    let is = |path: &Path| name.is_some_and(|name| path.file_name() == Some(name));
    if is(&boot.snapshot) {
        proxy.reload_snapshot();
    }
    if is(&boot.cert) || is(&boot.key) || is(&boot.ca) {
        proxy.reload_certificate();
    }
    if boot.https_cert.as_deref().is_some_and(is) || boot.https_key.as_deref().is_some_and(is) {
        proxy.reload_edge();
    }
}
