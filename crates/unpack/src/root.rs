//! A directory that nothing escapes: every path is opened by the kernel with `RESOLVE_IN_ROOT`.
//!
//! Symbolic links of a layer are followed as a container would follow them, that is inside the root
//! (openat2(2)); a path is never looked up twice.
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{self, AtFlags, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use std::path::{Component, Path, PathBuf};

/// An open directory that confines every lookup made through it.
pub struct Root {
    descriptor: OwnedFd,
}

impl Root {
    /// Opens `path`, which must exist.
    pub fn open(path: &Path) -> rustix::io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        Ok(Self {
            descriptor: fs::open(path, flags, Mode::empty())?,
        })
    }

    /// The directory `path` lies in (made if missing), and the last name of `path`.
    pub fn parent<'a>(&self, path: &'a Path) -> rustix::io::Result<(OwnedFd, &'a Path)> {
        let name = path.file_name().map(Path::new).ok_or(Errno::INVAL)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.directory(parent)?, name))
    }

    /// Opens a directory inside the root, making the missing ones on the way.
    pub fn directory(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        match self.lookup(path) {
            Err(Errno::NOENT) => {}
            other => return other,
        }
        let mut done = PathBuf::new();
        for part in path.components() {
            done.push(part);
            if let Err(Errno::NOENT) = self.lookup(&done) {
                let (parent, name) = self.parent(&done)?;
                fs::mkdirat(&parent, name, Mode::from_raw_mode(0o755))?;
            }
        }
        self.lookup(path)
    }

    /// Where a hard link's target lies: the directory and the name.
    pub fn existing<'a>(&self, path: &'a Path) -> rustix::io::Result<(OwnedFd, &'a Path)> {
        let name = path.file_name().map(Path::new).ok_or(Errno::INVAL)?;
        Ok((self.lookup(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn lookup(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        fs::openat2(&self.descriptor, path, flags, Mode::empty(), resolve)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// `./a//b` → `a/b`; `None` for an absolute-escaping path (`..` anywhere) or a name with a NUL.
pub fn normalise(raw: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in raw.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// Removes whatever has that name (a whole tree if need be), without following links.
pub fn remove(parent: BorrowedFd<'_>, name: &Path) -> rustix::io::Result<()> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        other => return other,
    }
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::RDONLY;
    let directory = fs::openat(parent, name, flags, Mode::empty())?;
    for entry in fs::Dir::read_from(&directory)? {
        let entry = entry?;
        let inner = entry.file_name();
        if inner != c"." && inner != c".." {
            use std::os::unix::ffi::OsStrExt;
            remove(
                directory.as_fd(),
                Path::new(std::ffi::OsStr::from_bytes(inner.to_bytes())),
            )?;
        }
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
