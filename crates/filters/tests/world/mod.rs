//! A folder of filters, a real host for it, and a log of what was reported.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudwright_filters::{Answer, Client, Event, Figures, Host, Loaded, Options, Origin, Verdict};
use http::request::Parts;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const ADD_HEADER: &str = "
from cloudwright.proxy import Filter, Match
class AddHeader(Filter):
    match = Match(path='/api/*')
    timeout_ms = 20000
    def on_request(self, request):
        request.headers['x-added'] = 'yes'
";
/// Far longer than any machine takes; a test that waits so long fails.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub client: Client,
    folder: tempfile::TempDir,
    log: Arc<Mutex<Vec<String>>>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

fn python() -> Option<PathBuf> {
    let named = std::env::var_os("CLOUDWRIGHT_PYTHON").map(PathBuf::from);
    // Not the interpreter itself: the link's place is what makes it the environment's.
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap();
    let own = root.join(".venv/bin/python");
    let found = named.or_else(|| own.exists().then_some(own));
    if found.is_none() {
        eprintln!("skipped: no interpreter; make .venv, or name one in CLOUDWRIGHT_PYTHON");
    }
    found
}

pub fn request(target: &str) -> Parts {
    http::Request::get(target)
        .header("host", "t.example")
        .body(())
        .unwrap()
        .into_parts()
        .0
}

pub fn added(parts: &Parts) -> Vec<&str> {
    parts
        .headers
        .get_all("x-added")
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

impl World {
    /// `None`, with a line that says so, where there is no Python to run.
    pub async fn start(files: &[(&str, &str)]) -> Option<Self> {
        Self::start_with(files, PATIENCE).await
    }

    /// With a host that is killed when it owes an answer for so long after a call was late.
    pub async fn start_with(files: &[(&str, &str)], stall: Duration) -> Option<Self> {
        let python = python()?;
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let log = Arc::new(Mutex::new(Vec::new()));
        let report = {
            let log = Arc::clone(&log);
            Arc::new(move |event: Event| {
                // Shown when the test fails.
                println!("{event:?}");
                log.lock().unwrap().push(format!("{event:?}"));
            })
        };
        let mut options = Options::new(python, folder.path().to_owned(), report);
        options.start = PATIENCE;
        options.stall = stall;
        options.leave = PATIENCE;
        let (client, host) = Host::new(options);
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(host.run(async {
            stopped.await.ok();
        }));
        let loaded = client.ready().await.expect("the host starts");
        assert_eq!(loaded.errors, [], "files that do not load");
        Some(Self {
            client,
            folder,
            log,
            stop,
            running,
        })
    }

    /// Send a request through its filters.
    pub async fn ask(&self, target: &str) -> (Parts, Option<Box<Answer>>) {
        let mut parts = request(target);
        let Some(chain) = self.client.chain(&parts) else {
            return (parts, None);
        };
        match chain.request(&parts, &Origin::default(), true).await {
            Verdict::Continue(changes) => {
                changes.apply_request(&mut parts);
                (parts, None)
            }
            Verdict::Respond(answer) => (parts, Some(answer)),
        }
    }

    /// The same, until filters are not left out any more.
    pub async fn ask_patiently(&self, target: &str) -> (Parts, Option<Box<Answer>>) {
        let asked = async {
            loop {
                let (parts, answer) = self.ask(target).await;
                if answer.is_some() || !added(&parts).is_empty() {
                    return (parts, answer);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked)
            .await
            .expect("filters that work again")
    }

    pub fn figures(&self, name: &str) -> Figures {
        self.client
            .figures()
            .into_iter()
            .find(|one| one.name == name)
            .expect("a filter")
    }

    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .expect("a condition that comes true");
    }

    /// Write a file by renaming, and wait until the host has looked at it.
    pub async fn write(&self, name: &str, text: &str) -> Loaded {
        let hidden = self.folder.path().join(format!(".{name}"));
        std::fs::write(&hidden, text).unwrap();
        self.change(|| std::fs::rename(&hidden, self.folder.path().join(name)).unwrap())
            .await
    }

    pub async fn remove(&self, name: &str) -> Loaded {
        self.change(|| std::fs::remove_file(self.folder.path().join(name)).unwrap())
            .await
    }

    async fn change(&self, change: impl FnOnce()) -> Loaded {
        let before = self.client.loaded().generation;
        change();
        self.until(|world| world.client.loaded().generation > before)
            .await;
        self.client.loaded()
    }

    pub async fn stop(self) {
        self.stop.send(()).expect("a supervisor that runs");
        tokio::time::timeout(PATIENCE, self.running)
            .await
            .expect("an end")
            .expect("no panic");
    }
}
