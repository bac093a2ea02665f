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

/// Why a set is not in force as it says.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is wrong, and nothing of it is.
    #[error("{0}")]
    Wrong(ConfigError),
    /// All of it is, but for a listener whose socket cannot be opened.
    #[error("{0}")]
    Socket(ConfigError),
}

impl Refused {
    /// The problem.
    #[must_use]
    pub fn error(&self) -> &ConfigError {
        match self {
            Self::Wrong(error) | Self::Socket(error) => error,
        }
    }
}

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
    pub fn apply(&mut self, resources: Resources, again: bool) -> Result<(), Refused> {
        let changed = self.shared.state.apply(resources, again);
        let applied = changed.map_err(Refused::Wrong).and_then(|change| {
            self.kept.follow(&self.shared, &change);
            let opened = self.open.follow(&self.shared, &change);
            opened.map_err(Refused::Socket)
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

/// A file and those that it names, watched by their directories: files are replaced by rename.
struct Watched {
    file: PathBuf,
    watches: inotify::Watches,
    seen: BTreeSet<PathBuf>,
}

impl Watched {
    fn follow(&mut self, resources: &Resources, guards: &[PathBuf]) {
        let secrets = resources.secrets.values().flat_map(|secret| files(secret));
        let transcoded = resources
            .listeners
            .values()
            .filter_map(|it| it.grpc.transcode.as_ref());
        let all = secrets
            .chain(transcoded.map(|it| &it.descriptors))
            .chain(guards)
            .chain([&self.file]);
        let mask = WatchMask::MOVED_TO | WatchMask::CLOSE_WRITE;
        for path in all.map(|path| directory(path)) {
            // A directory that is not there yet is looked for again when the file changes next.
            if !self.seen.contains(&path) && self.watches.add(&path, mask).is_ok() {
                self.seen.insert(path);
            }
        }
    }
}

/// Why a proxy did not begin.
pub enum Ended {
    /// Its configuration is wrong.
    Wrong(Vec<ConfigError>),
    /// It cannot do what it says: a socket, a watch.
    Failed(String),
}

/// Runs what `file` says until `end`; changes of it are taken over while running.
///
/// # Errors
/// The file cannot be used at the start, or not be watched.
pub async fn run(
    shared: Arc<Shared>,
    file: PathBuf,
    end: impl Future<Output = ()>,
) -> Result<(), Ended> {
    let failed = |why: std::io::Error| Ended::Failed(format!("inotify: {why}"));
    let inotify = Inotify::init().map_err(failed)?;
    let mut watched = Watched {
        file: file.clone(),
        watches: inotify.watches(),
        seen: BTreeSet::new(),
    };
    let source = file.display().to_string();
    let resources = cloudwright_config::from_file(&file).map_err(Ended::Wrong)?;
    watched.follow(&resources, &[]);
    let mut applier = Applier::new(&shared);
    applier
        .apply(resources.clone(), true)
        .map_err(|why| match why {
            Refused::Wrong(why) => Ended::Wrong(vec![why.of(&source)]),
            Refused::Socket(why) => Ended::Failed(why.to_string()),
        })?;
    watched.follow(&resources, &shared.state.guard_files());
    let sweeper = tokio::spawn(keeping::sweep(Arc::clone(&shared)));
    let mut events = inotify.into_event_stream([0; 4096]).map_err(failed)?;
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            event = events.next() => if event.is_none() { break },
        }
        again(&shared, &mut applier, &mut watched);
    }
    sweeper.abort();
    crate::run::finish(&shared).await;
    Ok(())
}

/// Reads everything again; what is wrong is told, and what was in force stays.
fn again(shared: &Shared, applier: &mut Applier, watched: &mut Watched) {
    let say = |problem: &dyn std::fmt::Display| {
        eprintln!("error: configuration refused: {problem}");
    };
    match cloudwright_config::from_file(&watched.file) {
        Ok(resources) => {
            if let Err(why) = applier.apply(resources.clone(), true) {
                say(&why.error().clone().of(watched.file.display().to_string()));
            }
            for problem in shared.state.reload_guards() {
                say(&problem);
            }
            watched.follow(&resources, &shared.state.guard_files());
        }
        Err(problems) => {
            bump(&shared.counters.config_refused);
            problems.iter().for_each(|problem| say(problem));
        }
    }
}
