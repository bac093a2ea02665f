//! Requests' bodies: read whole, none larger than a limit, all together within a budget.
//!
//! What has arrived counts, not what was announced: who is slow holds little. A body must also come at some speed, so
//! that nobody holds even that for long. Who has shown no certificate of ours has a budget apart: strangers cannot
//! take the room of clients that are known.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

use crate::config::Config;

/// What is read and thrown away of a body that is too large, so that the client sees the answer.
const DISCARD_MAX: usize = 32 << 20;
const DISCARD: Duration = Duration::from_secs(5);
/// How long a body may wait for room.
const PATIENCE: Duration = Duration::from_secs(5);
/// The slowest that a body may come, in bytes a second, after one pause.
const SPEED: u64 = 16 << 10;
const UNIT: usize = 1024;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    TooLarge,
    /// It ended early, stopped coming, or came too slowly.
    Broken,
    /// There is no room for it now.
    Busy,
}

/// The room for bodies.
#[derive(Debug)]
pub(crate) struct Bodies {
    known: Semaphore,
    strangers: Semaphore,
    limit: usize,
    pause: Duration,
}

/// A body, and the room it takes until this is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub data: Bytes,
    _room: Option<SemaphorePermit<'a>>,
}

impl Bodies {
    pub fn new(config: &Config) -> Self {
        let limit = config.body_bytes_max;
        let room = |bytes: usize| Semaphore::new((bytes / UNIT).max(limit.div_ceil(UNIT) + 1));
        Self {
            known: room(config.bodies_bytes_max),
            strangers: room(config.bodies_bytes_max / 2),
            limit,
            pause: config.body_pause,
        }
    }

    /// The whole body. `known`: its sender has shown a certificate.
    pub async fn read(
        &self,
        headers: &HeaderMap,
        incoming: Incoming,
        known: bool,
    ) -> Result<Held<'_>, Refused> {
        if incoming.is_end_stream() {
            return Ok(Held {
                data: Bytes::new(),
                _room: None,
            });
        }
        let announced = incoming.size_hint().exact();
        if announced.is_some_and(|size| size > self.limit as u64) {
            // A client that waits for 100-continue has sent nothing yet.
            if !headers.contains_key(header::EXPECT) {
                discard(incoming).await;
            }
            return Err(Refused::TooLarge);
        }
        let room = if known { &self.known } else { &self.strangers };
        self.collect(incoming, room).await
    }

    async fn collect<'a>(
        &self,
        mut body: Incoming,
        room: &'a Semaphore,
    ) -> Result<Held<'a>, Refused> {
        let began = Instant::now();
        let mut taken: Option<SemaphorePermit<'a>> = None;
        let (mut first, mut joined, mut size): (Option<Bytes>, _, usize) =
            (None, BytesMut::new(), 0);
        loop {
            let until = began + self.pause + Duration::from_secs(size as u64 / SPEED);
            let left = until.saturating_duration_since(Instant::now());
            let frame = timeout(left.min(self.pause), body.frame()).await;
            let Some(frame) = frame.map_err(|_| Refused::Broken)? else {
                break;
            };
            let Ok(data) = frame.map_err(|_| Refused::Broken)?.into_data() else {
                continue;
            };
            if size + data.len() > self.limit {
                discard(body).await;
                return Err(Refused::TooLarge);
            }
            let units = (size + data.len()).div_ceil(UNIT) - size.div_ceil(UNIT);
            size += data.len();
            take(room, units, &mut taken).await?;
            match first.take() {
                None if joined.is_empty() => first = Some(data),
                None => joined.extend_from_slice(&data),
                Some(begin) => {
                    joined.extend_from_slice(&begin);
                    joined.extend_from_slice(&data);
                }
            }
        }
        Ok(Held {
            data: first.unwrap_or_else(|| joined.freeze()),
            _room: taken,
        })
    }
}

/// Adds room to what a body has already.
async fn take<'a>(
    room: &'a Semaphore,
    units: usize,
    taken: &mut Option<SemaphorePermit<'a>>,
) -> Result<(), Refused> {
    let units = u32::try_from(units).map_err(|_| Refused::Busy)?;
    if units == 0 {
        return Ok(());
    }
    let more = match room.try_acquire_many(units) {
        Ok(more) => more,
        Err(_) => match timeout(PATIENCE, room.acquire_many(units)).await {
            Ok(Ok(more)) => more,
            _ => return Err(Refused::Busy),
        },
    };
    match taken {
        Some(permit) => permit.merge(more),
        None => *taken = Some(more),
    }
    Ok(())
}

async fn discard(mut body: Incoming) {
    let reading = async {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_MAX {
                return;
            }
        }
    };
    let _ = timeout(DISCARD, reading).await;
}
