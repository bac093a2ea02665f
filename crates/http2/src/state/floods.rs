//! Limits on what is cheap to send and costs us work.
//!
//! Each kind of noise has an allowance per period of ten seconds, raised by the work that was
//! really done in it. The clock is only read where an allowance is used up.

use std::time::{Duration, Instant};

use crate::error::Fatal;

const PERIOD: Duration = Duration::from_secs(10);

/// How much noise a peer may make in ten seconds.
#[derive(Debug, Clone, Copy)]
pub struct Allowances {
    /// Streams that the peer resets, or that we must reset because of it
    /// (CVE-2023-44487, CVE-2025-8671), beyond half of those that ended well.
    pub resets: u32,
    /// PING frames, beyond one for each two frames of streams that we sent.
    pub pings: u32,
    /// SETTINGS frames.
    pub settings: u32,
    /// DATA frames without data, PRIORITY, and frames of unknown types.
    pub empty: u32,
    /// WINDOW_UPDATE frames beyond ten for each frame of data that we sent.
    pub windows: u32,
}

impl Default for Allowances {
    fn default() -> Self {
        Self {
            resets: 500,
            pings: 200,
            settings: 100,
            empty: 1000,
            windows: 5000,
        }
    }
}

/// Kinds of noise; the word is the cause in errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noise {
    Reset,
    Ping,
    Settings,
    Empty,
    Window,
}

/// Counts of one period.
#[derive(Debug)]
pub(crate) struct Floods {
    allowed: Allowances,
    counts: [u32; 5],
    /// Streams that ended well.
    ended: u32,
    /// Frames of streams that we sent.
    sent: u32,
    since: Instant,
}

impl Floods {
    pub(crate) fn new(allowed: Allowances) -> Self {
        Self {
            allowed,
            counts: [0; 5],
            ended: 0,
            sent: 0,
            since: Instant::now(),
        }
    }

    /// A frame of a stream was sent.
    #[inline]
    pub(crate) fn sent(&mut self) {
        self.sent = self.sent.saturating_add(1);
    }

    /// A stream ended well.
    #[inline]
    pub(crate) fn ended(&mut self) {
        self.ended = self.ended.saturating_add(1);
    }

    /// Count a frame of noise.
    ///
    /// # Errors
    /// It is one too many.
    pub(crate) fn count(&mut self, noise: Noise) -> Result<(), Fatal> {
        let (allowed, cause) = match noise {
            Noise::Reset => (self.allowed.resets + self.ended / 2, "rapid_reset"),
            Noise::Ping => (self.allowed.pings + self.sent / 2, "ping_flood"),
            Noise::Settings => (self.allowed.settings, "settings_flood"),
            Noise::Empty => (self.allowed.empty, "empty_frame_flood"),
            Noise::Window => {
                let earned = self.sent.saturating_mul(10);
                (
                    self.allowed.windows.saturating_add(earned),
                    "window_update_flood",
                )
            }
        };
        let count = &mut self.counts[noise as usize];
        *count += 1;
        if *count <= allowed {
            return Ok(());
        }
        let now = Instant::now();
        if now.duration_since(self.since) < PERIOD {
            return Err(Fatal::flood(cause));
        }
        *self = Self {
            since: now,
            ..Self::new(self.allowed)
        };
        Ok(())
    }
}
