//! One layer → one directory that overlayfs can take as a lower layer.
use crate::{
    Error,
    digest::Hashing,
    root::{Root, normalise, remove},
};
use flate2::read::MultiGzDecoder;
use rustix::{
    fd::{AsFd, BorrowedFd},
    fs::{self, AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};
use std::{
    ffi::OsStr,
    fs::File,
    io::{self, BufReader, Read},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};
use tar::{Archive, Entry, EntryType};

const WHITEOUT: &str = ".wh.";
const OPAQUE: &str = ".wh..wh..opq";

/// Bounds on what one layer may make (a "zip bomb" is refused, not unpacked).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the uncompressed archive.
    pub bytes: u64,
    /// Files, directories, links.
    pub entries: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 16 << 30,
            entries: 2_000_000,
        }
    }
}

/// What [`extract`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extracted {
    /// `sha256:…` of the uncompressed archive, to be compared with the image's `diff_id`.
    pub diff_id: String,
    /// Bytes of the uncompressed archive.
    pub uncompressed: u64,
    /// How many entries it had.
    pub entries: u64,
}

/// Unpacks `blob` (plain, gzip or zstd, told by its first bytes) into the existing empty directory `target`.
///
/// Whiteouts become overlayfs whiteouts (image-spec `layer.md`). Device nodes, paths with `..` and extended
/// attributes of the archive are not taken: the first two refuse the layer, the last are left out.
///
/// # Errors
/// [`Error::Refused`] for an entry that is not allowed, [`Error::TooLarge`], [`Error::Corrupt`], [`Error::Io`].
/// The directory is then to be thrown away.
pub fn extract(blob: &Path, target: &Path, limits: Limits) -> Result<Extracted, Error> {
    let reader = decompressed(blob)?;
    let root = Root::open(target).map_err(|errno| Error::io(target)(errno.into()))?;
    let mut source = Hashing::new(Bounded {
        inner: reader,
        left: limits.bytes,
    });
    let mut entries = 0;
    let mut directories = Vec::new();
    {
        let mut archive = Archive::new(&mut source);
        let listing = archive.entries().map_err(|error| corrupt(&error))?;
        for entry in listing {
            let mut entry = entry.map_err(|error| damaged(&error, limits))?;
            entries += 1;
            if entries > limits.entries {
                return Err(Error::TooLarge {
                    limit: limits.entries,
                    unit: "entries",
                });
            }
            place(&root, &mut entry, &mut directories).map_err(|error| bounded(error, limits))?;
        }
    }
    // Times of directories last: making their contents changed them.
    for (path, times) in directories.iter().rev() {
        if let Ok(directory) = root.directory(path) {
            let _ = fs::futimens(&directory, times);
        }
    }
    io::copy(&mut source, &mut io::sink()).map_err(|error| damaged(&error, limits))?;
    let (diff_id, uncompressed, _) = source.finish();
    Ok(Extracted {
        diff_id,
        uncompressed,
        entries,
    })
}

type Directories = Vec<(PathBuf, Timestamps)>;

fn place<R: Read>(
    root: &Root,
    entry: &mut Entry<'_, R>,
    directories: &mut Directories,
) -> Result<(), Error> {
    let raw = entry.path_bytes().into_owned();
    let shown = String::from_utf8_lossy(&raw).into_owned();
    let path = normalise(Path::new(OsStr::from_bytes(&raw)))
        .ok_or_else(|| Error::refused(&shown, "its path leaves the layer"))?;
    let kind = entry.header().entry_type();
    let failed = |errno: Errno| Error::Io {
        path: path.clone(),
        source: errno.into(),
    };
    if path.as_os_str().is_empty() {
        return Ok(());
    }
    let (parent, name) = root.parent(&path).map_err(failed)?;
    let text = name.to_string_lossy();
    if text == OPAQUE {
        return fs::fsetxattr(&parent, "trusted.overlay.opaque", b"y", XattrFlags::empty())
            .map_err(failed);
    }
    if let Some(hidden) = text.strip_prefix(WHITEOUT) {
        if hidden.is_empty() || hidden == "." || hidden == ".." {
            return Err(Error::refused(&shown, "it hides no name"));
        }
        remove(parent.as_fd(), Path::new(hidden)).map_err(failed)?;
        return fs::mknodat(&parent, hidden, FileType::CharacterDevice, Mode::empty(), 0)
            .map_err(failed);
    }
    let meta = Meta::of(entry).map_err(|error| corrupt(&error))?;
    match kind {
        EntryType::Directory => {
            match fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)) {
                Err(Errno::EXIST) if is_directory(parent.as_fd(), name) => {}
                Err(Errno::EXIST) => {
                    remove(parent.as_fd(), name).map_err(failed)?;
                    fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755)).map_err(failed)?;
                }
                other => other.map_err(failed)?,
            }
            meta.apply_path(parent.as_fd(), name, true)
                .map_err(failed)?;
            directories.push((path, meta.times));
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            remove(parent.as_fd(), name).map_err(failed)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file =
                fs::openat(&parent, name, flags, Mode::from_raw_mode(0o600)).map_err(failed)?;
            let mut file = File::from(file);
            io::copy(entry, &mut file).map_err(|source| Error::Io {
                path: path.clone(),
                source,
            })?;
            meta.apply_file(file.as_fd()).map_err(failed)?;
        }
        EntryType::Symlink => {
            let link = link_name(entry, &shown)?;
            remove(parent.as_fd(), name).map_err(failed)?;
            fs::symlinkat(Path::new(OsStr::from_bytes(&link)), &parent, name).map_err(failed)?;
            meta.apply_path(parent.as_fd(), name, false)
                .map_err(failed)?;
        }
        EntryType::Link => {
            let link = link_name(entry, &shown)?;
            let target = normalise(Path::new(OsStr::from_bytes(&link)))
                .ok_or_else(|| Error::refused(&shown, "its link leaves the layer"))?;
            remove(parent.as_fd(), name).map_err(failed)?;
            let (from, old) = root.existing(&target).map_err(failed)?;
            fs::linkat(&from, old, &parent, name, AtFlags::empty()).map_err(failed)?;
        }
        EntryType::XGlobalHeader | EntryType::XHeader => {}
        other => {
            return Err(Error::refused(
                &shown,
                format!("entry type {other:?} is not allowed"),
            ));
        }
    }
    Ok(())
}

fn link_name<R: Read>(entry: &Entry<'_, R>, shown: &str) -> Result<Vec<u8>, Error> {
    match entry.link_name_bytes() {
        Some(link) if !link.is_empty() => Ok(link.into_owned()),
        _ => Err(Error::refused(shown, "a link without a target")),
    }
}

fn is_directory(parent: BorrowedFd<'_>, name: &Path) -> bool {
    fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

/// Owner, mode and time of an entry.
struct Meta {
    uid: Uid,
    gid: Gid,
    mode: Mode,
    times: Timestamps,
}

impl Meta {
    fn of<R: Read>(entry: &Entry<'_, R>) -> io::Result<Self> {
        let header = entry.header();
        let number = |value: u64| {
            u32::try_from(value)
                .ok()
                .filter(|number| *number != u32::MAX)
                .ok_or_else(|| io::Error::other(format!("owner {value} is out of range")))
        };
        let seconds = i64::try_from(header.mtime()?)
            .map_err(|_| io::Error::other("modification time is out of range"))?;
        let moment = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        Ok(Self {
            uid: Uid::from_raw(number(header.uid()?)?),
            gid: Gid::from_raw(number(header.gid()?)?),
            mode: Mode::from_raw_mode(header.mode()? & 0o7777),
            times: Timestamps {
                last_access: moment,
                last_modification: moment,
            },
        })
    }

    fn apply_file(&self, file: BorrowedFd<'_>) -> rustix::io::Result<()> {
        fs::fchown(file, Some(self.uid), Some(self.gid))?;
        fs::fchmod(file, self.mode)?;
        fs::futimens(file, &self.times)
    }

    fn apply_path(
        &self,
        parent: BorrowedFd<'_>,
        name: &Path,
        chmod: bool,
    ) -> rustix::io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        fs::chownat(parent, name, Some(self.uid), Some(self.gid), flags)?;
        if chmod {
            fs::chmodat(parent, name, self.mode, AtFlags::empty())?;
        }
        fs::utimensat(parent, name, &self.times, flags)
    }
}

/// Reads at most `left` bytes, then fails.
struct Bounded<R> {
    inner: R,
    left: u64,
}

const OVERFLOW: &str = "layer exceeds its byte limit";

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, OVERFLOW))?;
        Ok(count)
    }
}

fn decompressed(blob: &Path) -> Result<Box<dyn Read>, Error> {
    let mut head = [0_u8; 4];
    let mut file = File::open(blob).map_err(Error::io(blob))?;
    let length = file.read(&mut head).map_err(Error::io(blob))?;
    let file = BufReader::with_capacity(1 << 18, File::open(blob).map_err(Error::io(blob))?);
    match &head[..length] {
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(file))),
        [0x28, 0xb5, 0x2f, 0xfd] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(file)
                .map_err(|error| Error::Corrupt(error.to_string()))?;
            Ok(Box::new(decoder))
        }
        _ => Ok(Box::new(file)),
    }
}

fn corrupt(error: &io::Error) -> Error {
    Error::Corrupt(error.to_string())
}

fn damaged(error: &io::Error, limits: Limits) -> Error {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return Error::TooLarge {
            limit: limits.bytes,
            unit: "bytes",
        };
    }
    corrupt(error)
}

fn bounded(error: Error, limits: Limits) -> Error {
    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => {
            Error::TooLarge {
                limit: limits.bytes,
                unit: "bytes",
            }
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "extract_tests.rs"]
mod tests;
