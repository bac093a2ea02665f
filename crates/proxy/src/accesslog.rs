//! The access log: JSON lines, gathered in memory and written off the request path.
//!
//! A slow reader of the log must not slow a request: what does not fit is dropped and counted.
use std::{
    fs::{File, OpenOptions},
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::sync::Notify;

use crate::record::Record;

const CAPACITY_BYTES: usize = 1024 * 1024;
const GATHER: Duration = Duration::from_millis(50);

/// One line.
#[derive(Serialize)]
pub struct Line<'a> {
    time: String,
    role: &'a str,
    direction: &'a str,
    method: &'a str,
    path: &'a str,
    host: &'a str,
    status: u16,
    bytes: u64,
    duration_ms: f64,
    service: &'a str,
    upstream: &'a str,
    peer: &'a str,
    request_id: &'a str,
    retries: u32,
    flags: &'a str,
}

impl<'a> Line<'a> {
    #[must_use]
    pub fn new(role: &'a str, record: &'a Record, seconds: f64) -> Self {
        Self {
            time: rfc3339(SystemTime::now()),
            role,
            direction: record.direction,
            method: record.method.as_str(),
            path: &record.path,
            host: &record.host,
            status: record.status,
            bytes: record.bytes,
            duration_ms: (seconds * 1e6).round() / 1e3,
            service: &record.service,
            upstream: &record.upstream,
            peer: &record.peer,
            request_id: record
                .request_id
                .as_ref()
                .and_then(|id| id.to_str().ok())
                .unwrap_or(""),
            retries: record.retries,
            flags: record.flags,
        }
    }
}

/// `2026-01-02T03:04:05.678Z`.
#[must_use]
pub fn rfc3339(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days to civil date: Howard Hinnant's algorithm, with years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        second / 3600,
        second / 60 % 60,
        second % 60,
        since.subsec_millis()
    )
}

enum Sink {
    Off,
    Stdout,
    File(File),
}

/// The writer; [`AccessLog::run`] does the writing.
pub struct AccessLog {
    sink: Sink,
    buffer: Mutex<Vec<u8>>,
    filled: Notify,
    pub dropped: AtomicU64,
}

impl AccessLog {
    /// Opens the target of the bootstrap (`-`, a file, or none).
    pub fn open(target: &str) -> std::io::Result<Self> {
        let sink = match target {
            "" | "off" => Sink::Off,
            "-" => Sink::Stdout,
            path => Sink::File(OpenOptions::new().create(true).append(true).open(path)?),
        };
        Ok(Self {
            sink,
            buffer: Mutex::new(Vec::new()),
            filled: Notify::new(),
            dropped: AtomicU64::new(0),
        })
    }

    #[must_use]
    pub fn enabled(&self) -> bool {
        !matches!(self.sink, Sink::Off)
    }

    /// Puts a line into the buffer, or drops and counts it.
    pub fn write(&self, line: &Line<'_>) {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() >= CAPACITY_BYTES || serde_json::to_writer(&mut *buffer, line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        buffer.push(b'\n');
        let first = buffer.len() < 4096;
        drop(buffer);
        if first {
            self.filled.notify_one();
        }
    }

    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.buffer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, batch: &[u8]) -> std::io::Result<()> {
        match &self.sink {
            Sink::Off => Ok(()),
            Sink::Stdout => std::io::stdout().lock().write_all(batch),
            Sink::File(file) => {
                let mut file = file;
                file.write_all(batch)
            }
        }
    }

    /// Writes batches on a helper thread for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.filled.notified().await;
            tokio::time::sleep(GATHER).await;
            self.flush().await;
        }
    }

    /// Writes what is gathered; lines are counted as dropped when the target fails.
    pub async fn flush(self: &Arc<Self>) {
        let batch = self.take();
        if batch.is_empty() {
            return;
        }
        let lines = batch.iter().filter(|byte| **byte == b'\n').count() as u64;
        let this = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || this.put(&batch)).await;
        if !matches!(written, Ok(Ok(()))) {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc3339() {
        let at =
            |seconds, millis: u32| rfc3339(UNIX_EPOCH + Duration::new(seconds, millis * 1_000_000));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 5), "2000-02-29T00:00:00.005Z");
        assert_eq!(at(1_767_225_599, 999), "2025-12-31T23:59:59.999Z");
    }

    #[test]
    fn a_full_buffer_drops_and_counts() {
        let log = AccessLog::open("-").unwrap();
        let mut record = Record::new("inbound");
        record.path = "x".repeat(CAPACITY_BYTES);
        log.write(&Line::new("sidecar", &record, 0.1));
        log.write(&Line::new("sidecar", &record, 0.1));
        assert_eq!(log.dropped.load(Ordering::Relaxed), 1);
    }
}
