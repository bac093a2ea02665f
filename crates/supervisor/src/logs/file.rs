//! One log file with rotation. `x.log` is current; `x.log.1` is the newest of the old ones.
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::private;

/// Where output goes and how much of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Target {
    pub path: PathBuf,
    #[serde(default = "default_max_bytes")]
    pub max_bytes: u64,
    #[serde(default = "default_max_files")]
    pub max_files: u32,
}

fn default_max_bytes() -> u64 {
    10 * 1024 * 1024
}

fn default_max_files() -> u32 {
    5
}

/// An open log. Writing never fails towards the caller: lines that the disk refuses are counted and dropped.
pub struct LogFile {
    target: Target,
    file: Option<File>,
    size: u64,
    dropped: u64,
    /// Dropped since the last line that was written; reported in the log itself once there is room.
    unreported: u64,
}

// === impl LogFile ===

impl LogFile {
    /// Opens (or makes) the file and its directories.
    pub fn open(target: Target) -> io::Result<Self> {
        if !target.path.is_absolute() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it must be an absolute path",
            ));
        }
        if let Some(directory) = target.path.parent() {
            private::make_directory(directory)?;
        }
        let mut log = Self {
            target,
            file: None,
            size: 0,
            dropped: 0,
            unreported: 0,
        };
        log.reopen()?;
        Ok(log)
    }

    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Appends whole lines, rotating between lines where a file would become too large.
    pub fn write(&mut self, mut lines: &[u8], stamp: &str) {
        if self.unreported > 0 {
            let note = format!(
                "{stamp} stderr F cloudwright: {} log lines were dropped (disk full?)\n",
                self.unreported
            );
            if self.append(note.as_bytes()) {
                self.unreported = 0;
            }
        }
        while !lines.is_empty() {
            let room = self.target.max_bytes.saturating_sub(self.size);
            let fits = whole_lines_within(lines, room);
            if fits == 0 && self.size > 0 {
                if !self.rotate() {
                    self.drop_lines(lines);
                    return;
                }
                continue;
            }
            // A single line that is larger than a whole file goes into one of its own.
            let end = if fits == 0 { first_line(lines) } else { fits };
            if !self.append(&lines[..end]) {
                self.drop_lines(&lines[..end]);
            }
            lines = &lines[end..];
        }
    }

    fn drop_lines(&mut self, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        self.dropped += count;
        self.unreported += count;
    }

    /// Writes all of `data` or nothing: a half-written line would garble the next.
    fn append(&mut self, data: &[u8]) -> bool {
        if self.file.is_none() && self.reopen().is_err() {
            return false;
        }
        let Some(file) = self.file.as_mut() else {
            return false;
        };
        if file.write_all(data).is_ok() {
            self.size += data.len() as u64;
            return true;
        }
        if file.set_len(self.size).is_err() {
            self.file = None;
        }
        false
    }

    fn rotate(&mut self) -> bool {
        self.file = None;
        let numbered = |number: u32| {
            let mut name = self.target.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let oldest = self.target.max_files.saturating_sub(1);
        if oldest == 0 {
            let _ = fs::remove_file(&self.target.path);
        } else {
            let _ = fs::remove_file(numbered(oldest));
            for number in (1..oldest).rev() {
                let _ = fs::rename(numbered(number), numbered(number + 1));
            }
            let _ = fs::rename(&self.target.path, numbered(1));
        }
        self.reopen().is_ok()
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(&self.target.path)?;
        self.size = file.metadata()?.len();
        self.file = Some(file);
        Ok(())
    }
}

/// The length of the longest run of whole lines within `room` bytes.
fn whole_lines_within(lines: &[u8], room: u64) -> usize {
    let room = usize::try_from(room).unwrap_or(usize::MAX).min(lines.len());
    memchr::memrchr(b'\n', &lines[..room]).map_or(0, |end| end + 1)
}

fn first_line(lines: &[u8]) -> usize {
    memchr::memchr(b'\n', lines).map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log(directory: &std::path::Path, max_bytes: u64, max_files: u32) -> LogFile {
        LogFile::open(Target {
            path: directory.join("a/b.log"),
            max_bytes,
            max_files,
        })
        .unwrap()
    }

    #[test]
    fn rotates_by_size_and_keeps_the_count() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), 10, 3);
        for number in 0..10 {
            log.write(format!("line{number}\n").as_bytes(), "T");
        }
        let read = |name: &str| fs::read_to_string(directory.path().join("a").join(name));
        assert_eq!(read("b.log").unwrap(), "line9\n");
        assert_eq!(read("b.log.1").unwrap(), "line8\n");
        assert_eq!(read("b.log.2").unwrap(), "line7\n");
        assert!(read("b.log.3").is_err());
    }

    #[test]
    fn carries_on_in_an_existing_file() {
        let directory = tempfile::tempdir().unwrap();
        log(directory.path(), 100, 2).write(b"old\n", "T");
        log(directory.path(), 100, 2).write(b"new\n", "T");
        let text = fs::read_to_string(directory.path().join("a/b.log")).unwrap();
        assert_eq!(text, "old\nnew\n");
    }

    #[test]
    fn does_not_follow_a_symbolic_link() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        std::os::unix::fs::symlink(&victim, directory.path().join("x.log")).unwrap();
        let target = Target {
            path: directory.path().join("x.log"),
            max_bytes: 10,
            max_files: 1,
        };
        assert!(LogFile::open(target).is_err());
        assert!(!victim.exists());
    }

    #[test]
    fn drops_and_counts_when_the_directory_is_gone_and_says_so_later() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = log(directory.path(), 8, 2);
        log.write(b"before\n", "T");
        fs::remove_dir_all(directory.path().join("a")).unwrap();
        log.write(b"lost1\nlost2\n", "T"); // needs a rotation, which cannot be made
        assert_eq!(log.dropped(), 2);
        fs::create_dir(directory.path().join("a")).unwrap();
        log.target.max_bytes = 1000;
        log.write(b"after\n", "T");
        let text = fs::read_to_string(directory.path().join("a/b.log")).unwrap();
        assert!(text.contains("2 log lines were dropped"), "{text}");
        assert!(text.ends_with("after\n"), "{text}");
    }

    proptest! {
        #[test]
        fn files_hold_the_newest_lines_in_order_and_within_the_limit(
            batches in prop::collection::vec(prop::collection::vec(1usize..30, 1..8), 1..20),
            max_bytes in 10u64..120,
            max_files in 1u32..5,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut log = log(directory.path(), max_bytes, max_files);
            let mut written = Vec::new();
            for (number, batch) in batches.iter().enumerate() {
                let mut bytes = Vec::new();
                for (index, length) in batch.iter().enumerate() {
                    let line = format!("{number}.{index}{}\n", "x".repeat(*length));
                    bytes.extend_from_slice(line.as_bytes());
                    written.push(line);
                }
                log.write(&bytes, "T");
            }
            let base = directory.path().join("a/b.log");
            let mut kept = String::new();
            for number in (1..max_files).rev() {
                let path = format!("{}.{number}", base.display());
                kept += &fs::read_to_string(path).unwrap_or_default();
            }
            let current = fs::read_to_string(&base).unwrap();
            prop_assert!(
                current.len() as u64 <= max_bytes || current.matches('\n').count() == 1
            );
            kept += &current;
            prop_assert!(written.concat().ends_with(&kept));
            prop_assert!(!kept.is_empty());
            let names = fs::read_dir(directory.path().join("a")).unwrap().count();
            prop_assert!(names <= max_files as usize);
            prop_assert_eq!(log.dropped(), 0);
        }
    }
}
