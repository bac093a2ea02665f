//! The HTTP face for Python: requests come in batches, answers go back by id.
use std::{
    collections::HashMap,
    net::TcpListener,
    os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd},
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use cloudwright_face::{
    Arrival, BUCKETS, Bookmark, Change, Config, Head, Kind, Labels, Notice, Peer, Server,
    StartError, WatchWish, query,
};
use pyo3::{
    exceptions::{PyOSError, PyValueError},
    prelude::*,
    pybacked::PyBackedBytes,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};

/// Smaller texts are copied: that costs less than keeping the Python object.
const COPIED: usize = 16 << 10;
const GONE: u8 = 1;
const ROOM: u8 = 2;
const PEERS_MAX: usize = 10_000;

/// A key, its newest text or `None`, and the revision.
type Object = (String, Option<PyBackedBytes>, u64);
/// A topic, the revision, and a line for its watchers.
type Line = (u64, u64, PyBackedBytes);
/// The texts around a bookmark's revision, by the number of its digits.
type Around = Vec<(PyBackedBytes, PyBackedBytes)>;

fn change(objects: Vec<Object>, lines: Vec<Line>, invalidate: bool, revision: u64) -> Change {
    let mut change = Change::new(revision, invalidate);
    for (key, value, revision) in objects {
        let value = value.map(|data| Bytes::copy_from_slice(&data));
        change.object(key, value, revision);
    }
    for (topic, revision, line) in lines {
        change.event(topic, revision, &line);
    }
    change
}

fn bookmark(around: Around) -> Bookmark {
    let forms = around.into_iter();
    let forms = forms.map(|(before, after)| (bytes(before), bytes(after)));
    Bookmark {
        forms: forms.collect(),
    }
}

/// A running HTTPS server; see `cloudwright.apiserver.native`.
#[pyclass(frozen)]
pub struct FaceServer {
    server: Server,
    peers: Mutex<HashMap<u64, Py<PyTuple>>>,
}

fn bytes(data: PyBackedBytes) -> Bytes {
    if data.len() <= COPIED {
        Bytes::copy_from_slice(&data)
    } else {
        Bytes::from_owner(data)
    }
}

fn head(status: u16, headers: &Bound<'_, PyDict>) -> PyResult<Head> {
    let mut found = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        found.push((name.extract()?, value.extract()?));
    }
    Ok(Head {
        status,
        headers: found,
    })
}

fn start_error(error: StartError) -> PyErr {
    match error {
        StartError::Io(why) => {
            PyOSError::new_err((why.raw_os_error().unwrap_or(5), why.to_string()))
        }
        StartError::Tls(why) => PyValueError::new_err(why.to_string()),
    }
}

fn text(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    }
}

fn headers<'py>(py: Python<'py>, arrival: &Arrival) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for name in arrival.headers.keys() {
        let mut values = arrival.headers.get_all(name).iter();
        let mut value = text(values.next().map_or(&[][..], |v| v.as_bytes()));
        for other in values {
            value.push_str(", ");
            value.push_str(&text(other.as_bytes()));
        }
        dict.set_item(PyString::intern(py, name.as_str()), value)?;
    }
    Ok(dict)
}

fn labels(labels: &Labels) -> (&str, &str, &str, &str, &str, &str, bool) {
    let (group, version, resource) = labels.kind.as_ref().map_or(("", "", ""), |kind| {
        (
            kind.group.as_str(),
            kind.version.as_str(),
            kind.resource.as_str(),
        )
    });
    let subresource = labels.subresource();
    (
        labels.verb,
        group,
        version,
        resource,
        subresource,
        labels.scope,
        labels.dry_run,
    )
}

impl FaceServer {
    fn peer<'py>(
        &self,
        py: Python<'py>,
        peer: Option<(u64, Arc<Peer>)>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let Some((number, peer)) = peer else {
            return Ok(None);
        };
        let mut known = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&number) {
            return Ok(Some(found.bind(py).clone()));
        }
        if known.len() >= PEERS_MAX {
            known.clear();
        }
        let fingerprint: String = peer
            .fingerprint
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let groups = PyTuple::new(py, &peer.groups)?;
        let fields = (
            number,
            fingerprint,
            &peer.name,
            groups,
            peer.not_after,
            &peer.problem,
        );
        let made = fields.into_pyobject(py)?;
        known.insert(number, made.clone().unbind());
        Ok(Some(made))
    }

    fn request<'py>(&self, py: Python<'py>, arrival: Arrival) -> PyResult<Bound<'py, PyTuple>> {
        let headers = headers(py, &arrival)?;
        let pairs = query::pairs(&arrival.query);
        (
            arrival.id,
            PyString::intern(py, arrival.method.as_str()),
            arrival.path,
            PyTuple::new(py, pairs)?,
            headers,
            PyBytes::new(py, &arrival.body),
            self.peer(py, arrival.peer)?,
            arrival.askable,
        )
            .into_pyobject(py)
    }
}

#[pymethods]
impl FaceServer {
    #[new]
    #[pyo3(signature = (listener, chain, key, authority, *, body_bytes_max, header_bytes_max,
        headers_max, gzip_bytes_min, idle_seconds, bookmark_seconds, watch_events_max,
        allow_seconds, state_bytes_max))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        listener: RawFd,
        chain: PyBackedBytes,
        key: PyBackedBytes,
        authority: PyBackedBytes,
        body_bytes_max: usize,
        header_bytes_max: usize,
        headers_max: usize,
        gzip_bytes_min: usize,
        idle_seconds: f64,
        bookmark_seconds: f64,
        watch_events_max: usize,
        allow_seconds: f64,
        state_bytes_max: usize,
    ) -> PyResult<Self> {
        let seconds = |value: f64| {
            Duration::try_from_secs_f64(value).map_err(|e| PyValueError::new_err(e.to_string()))
        };
        let config = Config {
            body_bytes_max,
            header_bytes_max,
            headers_max,
            gzip_bytes_min,
            idle: seconds(idle_seconds)?,
            body_pause: seconds(idle_seconds)?.min(Config::default().body_pause),
            bookmark: seconds(bookmark_seconds)?,
            watch_events_max,
            allow: seconds(allow_seconds)?,
            state_bytes_max,
            ..Config::default()
        };
        // SAFETY: the caller gives this descriptor away (Python's `socket.detach`).
        #[allow(unsafe_code)]
        let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(listener) });
        let pem = (&chain[..], &key[..], &authority[..]);
        let server = py
            .detach(|| Server::start(listener, pem, config))
            .map_err(start_error)?;
        Ok(Self {
            server,
            peers: Mutex::default(),
        })
    }

    fn listen(&self, listener: RawFd) -> PyResult<()> {
        // SAFETY: the caller gives this descriptor away (Python's `socket.detach`).
        #[allow(unsafe_code)]
        let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(listener) });
        self.server.listen(listener).map_err(Into::into)
    }

    fn fileno(&self) -> RawFd {
        self.server.bell()
    }

    fn take<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for notice in self.server.take() {
            let item = match notice {
                Notice::Request(arrival) => self.request(py, *arrival)?,
                Notice::Gone(id) => (id, GONE).into_pyobject(py)?,
                Notice::Room(id) => (id, ROOM).into_pyobject(py)?,
            };
            list.append(item)?;
        }
        Ok(list)
    }

    #[pyo3(signature = (id, status, headers, body, allow = false))]
    fn answer(
        &self,
        id: u64,
        status: u16,
        headers: &Bound<'_, PyDict>,
        body: PyBackedBytes,
        allow: bool,
    ) -> PyResult<bool> {
        Ok(self
            .server
            .answer(id, head(status, headers)?, bytes(body), allow))
    }

    fn open(&self, id: u64, status: u16, headers: &Bound<'_, PyDict>) -> PyResult<bool> {
        Ok(self.server.open(id, head(status, headers)?))
    }

    fn write(&self, id: u64, data: PyBackedBytes) -> Option<bool> {
        self.server.write(id, bytes(data))
    }

    fn end(&self, id: u64) {
        self.server.end(id);
    }

    fn abort(&self, id: u64) {
        self.server.abort(id);
    }

    fn close_topic(&self, topic: u64) {
        self.server.close_topic(topic);
    }

    fn reset(&self) {
        self.server.reset();
    }

    fn upgrade(&self, id: u64, headers: &Bound<'_, PyDict>) -> PyResult<Option<RawFd>> {
        let given = self.server.upgrade(id, head(101, headers)?)?;
        Ok(given.map(IntoRawFd::into_raw_fd))
    }

    fn reload(
        &self,
        chain: PyBackedBytes,
        key: PyBackedBytes,
        authority: PyBackedBytes,
    ) -> PyResult<()> {
        let loaded = self.server.reload(&chain, &key, &authority);
        loaded.map_err(|error| PyValueError::new_err(error.to_string()))
    }

    /// Rows of `(group, version, resource, namespaced, storage, list_kind, plain, subresources)`.
    #[allow(clippy::type_complexity)]
    fn kinds(
        &self,
        rows: Vec<(
            String,
            String,
            String,
            bool,
            String,
            String,
            bool,
            bool,
            Vec<String>,
        )>,
    ) {
        let kinds = rows.into_iter().map(|row| Kind {
            group: row.0,
            version: row.1,
            resource: row.2,
            namespaced: row.3,
            storage: row.4,
            list_kind: row.5,
            plain: row.6,
            bare: row.7,
            subresources: row.8,
        });
        self.server.kinds(kinds.collect());
    }

    fn invalidate(&self) {
        self.server.invalidate();
    }

    fn put(&self, key: &str, value: Option<PyBackedBytes>, revision: u64) {
        let value = value.map(|data| Bytes::copy_from_slice(&data));
        self.server.put(key, value, revision);
    }

    fn ready(&self, revision: u64) {
        self.server.ready(revision);
    }

    #[pyo3(signature = (id, topic, after, bookmark, seconds, initial, initial_end, overrun))]
    #[allow(clippy::too_many_arguments)]
    fn watch(
        &self,
        id: u64,
        topic: u64,
        after: u64,
        bookmark: Option<Around>,
        seconds: f64,
        initial: Option<(String, String)>,
        initial_end: Option<Around>,
        overrun: PyBackedBytes,
    ) -> bool {
        let wish = WatchWish {
            topic,
            after,
            initial,
            initial_end: initial_end.map(self::bookmark),
            bookmark: bookmark.map(self::bookmark),
            overrun: bytes(overrun),
            seconds,
        };
        self.server.watch(id, wish)
    }

    fn publish(&self, objects: Vec<Object>, lines: Vec<Line>, invalidate: bool, revision: u64) {
        self.server
            .publish(change(objects, lines, invalidate, revision));
    }

    fn hold(&self, objects: Vec<Object>, lines: Vec<Line>, invalidate: bool, revision: u64) {
        self.server
            .hold(change(objects, lines, invalidate, revision));
    }

    fn release(&self) {
        self.server.release();
    }

    fn discard(&self) {
        self.server.discard();
    }

    fn progress(&self, revision: u64) {
        self.server.progress(revision);
    }

    fn forget(&self, id: u64) {
        self.server.forget(id);
    }

    /// What is counted: see the type stub.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = self.server.counts();
        let requests = PyList::empty(py);
        for (what, count) in counts.requests() {
            let buckets = count.buckets.to_vec();
            requests.append((labels(&what), count.codes, buckets, count.seconds))?;
        }
        let running = PyList::empty(py);
        for gauge in counts.running() {
            running.append((labels(&gauge.labels), gauge.open))?;
        }
        let dict = PyDict::new(py);
        dict.set_item("bounds", BUCKETS.to_vec())?;
        dict.set_item("requests", requests)?;
        dict.set_item("running", running)?;
        dict.set_item("inflight", counts.inflight())?;
        dict.set_item("connections", counts.connections.load(Ordering::Relaxed))?;
        dict.set_item(
            "connections_total",
            counts.connections_total.load(Ordering::Relaxed),
        )?;
        dict.set_item("direct", counts.direct.load(Ordering::Relaxed))?;
        dict.set_item(
            "slow_watchers",
            counts.slow_watchers.load(Ordering::Relaxed),
        )?;
        dict.set_item("state", self.server.state_size())?;
        Ok(dict)
    }

    fn drain(&self) {
        self.server.drain();
    }

    fn stop(&self, py: Python<'_>, grace_seconds: f64) {
        let grace = Duration::try_from_secs_f64(grace_seconds).unwrap_or_default();
        py.detach(|| self.server.stop(grace));
    }
}
