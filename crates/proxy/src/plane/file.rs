//! Resources from a file that is read again when it, or a secret's file, changes.
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use cloudwright_config::{ConfigError, Resources};
use futures_util::StreamExt;
use inotify::{Inotify, WatchMask};

use super::{
    keeping::{self, Kept},
    listening::Open,
    shared::{Shared, bump},
};
use crate::credentials::material::files;

/// Applies sets and lets sockets and keepers follow.
pub struct Applier {
    shared: Arc<Shared>,
    open: Open,
    kept: Kept,
}

impl Applier {
    /// For the state in `shared`.
    #[must_use]
    pub fn new(shared: &Arc<Shared>) -> Self {
        Self {
            shared: Arc::clone(shared),
            open: Open::default(),
            kept: Kept::default(),
        }
    }

    /// Puts `resources` in force.
    ///
    /// # Errors
    /// Why not; what was in force stays, but for sockets that cannot be opened.
    pub fn apply(&mut self, resources: Resources, again: bool) -> Result<(), ConfigError> {
        let applied = self
            .shared
            .state
            .apply(resources, again)
            .and_then(|change| {
                self.kept.follow(&self.shared, &change);
                self.open.follow(&self.shared, &change)
            });
        match applied {
            Ok(()) => bump(&self.shared.counters.config_applied),
            Err(_) => bump(&self.shared.counters.config_refused),
        }
        applied
    }
}

impl Applier {
    /// Puts the endpoints of some services in force.
    pub fn assign(&self, resources: &Resources, names: &[Arc<str>]) {
        self.shared.state.assign(resources, names);
        bump(&self.shared.counters.config_applied);
    }
}

fn directory(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn directories(config: &Path, resources: &Resources) -> BTreeSet<PathBuf> {
    let secrets = resources.secrets.values().flat_map(|secret| files(secret));
    secrets
        .map(|path| directory(path))
        .chain([directory(config)])
        .collect()
}

fn say(problems: &[ConfigError]) {
    for problem in problems {
        eprintln!("error: configuration refused: {problem}");
    }
}

/// Runs what `file` says until `end`; changes of it are taken over while running.
///
/// # Errors
/// The file cannot be used at the start, or not be watched.
pub async fn run(
    shared: Arc<Shared>,
    file: PathBuf,
    end: impl Future<Output = ()>,
) -> Result<(), Vec<ConfigError>> {
    let one = |why: String| vec![ConfigError::new("", why).of(file.display().to_string())];
    let inotify = Inotify::init().map_err(|why| one(format!("inotify: {why}")))?;
    let mut watches = inotify.watches();
    let mask = WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE;
    let mut watched = BTreeSet::new();
    let mut watch = |resources: &Resources| {
        for path in directories(&file, resources) {
            if !watched.contains(&path) {
                // A directory that is not there yet is seen when the file changes next.
                if watches.add(&path, mask).is_ok() {
                    watched.insert(path);
                }
            }
        }
    };
    let resources = cloudwright_config::from_file(&file)?;
    watch(&resources);
    let mut applier = Applier::new(&shared);
    let source = file.display().to_string();
    applier
        .apply(resources, true)
        .map_err(|why| vec![why.of(&source)])?;
    let sweeper = tokio::spawn(keeping::sweep(Arc::clone(&shared)));
    let stream = inotify.into_event_stream([0; 4096]);
    let mut events = stream.map_err(|why| one(format!("inotify: {why}")))?;
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            event = events.next() => if event.is_none() { break },
        }
        match cloudwright_config::from_file(&file) {
            Ok(resources) => {
                watch(&resources);
                if let Err(why) = applier.apply(resources, true) {
                    say(&[why.of(&source)]);
                }
            }
            Err(problems) => {
                bump(&shared.counters.config_refused);
                say(&problems);
            }
        }
    }
    sweeper.abort();
    crate::run::finish(&shared).await;
    Ok(())
}
