//! A container's root: read-only layers below, one writable directory on top.
use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, mount, move_mount, unmount,
};

use crate::failure::{Context, Failure, Result};

/// mount(2) takes one page of options.
const OPTIONS_MAX: usize = 4000;

/// Mounts `layers` (lowest first) with `upper` and `work` at `target`.
pub fn mount_at(target: &Path, layers: &[PathBuf], upper: &Path, work: &Path) -> Result<()> {
    for directory in layers
        .iter()
        .map(PathBuf::as_path)
        .chain([upper, work, target])
    {
        if !directory.is_absolute() || !directory.is_dir() {
            return Err(Failure::invalid(format!(
                "{} is not a directory",
                directory.display()
            )));
        }
    }
    let options = options(layers, upper, work)?;
    let what = || format!("cannot mount the root at {}", target.display());
    if options.as_bytes().len() <= OPTIONS_MAX {
        let flags = MountFlags::NODEV;
        return mount("overlay", target, "overlay", flags, options.as_c_str()).context(what);
    }
    mount_many(target, layers, upper, work).context(what)
}

/// The newer interface has no limit on the number of layers (`lowerdir+` needs Linux 6.8).
fn mount_many(
    target: &Path,
    layers: &[PathBuf],
    upper: &Path,
    work: &Path,
) -> rustix::io::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let context = &context;
    for layer in layers.iter().rev() {
        fsconfig_set_string(context, "lowerdir+", layer.as_path())?;
    }
    fsconfig_set_string(context, "upperdir", upper)?;
    fsconfig_set_string(context, "workdir", work)?;
    fsconfig_create(context)?;
    let mounted = fsmount(
        context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NODEV,
    )?;
    let here = rustix::fs::CWD;
    move_mount(
        &mounted,
        "",
        here,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
}

pub fn unmount_at(target: &Path) {
    let _ = unmount(target, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
}

fn options(layers: &[PathBuf], upper: &Path, work: &Path) -> Result<CString> {
    let mut text = b"lowerdir=".to_vec();
    for (number, layer) in layers.iter().rev().enumerate() {
        if number > 0 {
            text.push(b':');
        }
        text.extend(escaped(layer));
    }
    text.extend(b",upperdir=");
    text.extend(escaped(upper));
    text.extend(b",workdir=");
    text.extend(escaped(work));
    CString::new(text).context(|| "a layer's path".to_owned())
}

/// A comma separates options, a colon layers, a backslash escapes.
fn escaped(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in path.as_os_str().to_owned().into_vec() {
        if matches!(byte, b',' | b':' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    debug_assert!(out.len() >= path.as_os_str().as_bytes().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_top_layer_comes_first_and_separators_are_escaped() {
        let layers = [PathBuf::from("/l/base"), PathBuf::from("/l/sha256:a,b")];
        let text = options(&layers, Path::new("/u"), Path::new("/w")).unwrap();
        assert_eq!(
            text.to_str().unwrap(),
            r"lowerdir=/l/sha256\:a\,b:/l/base,upperdir=/u,workdir=/w"
        );
    }

    #[test]
    fn a_missing_layer_is_named() {
        let missing = [PathBuf::from("/nonexistent-layer")];
        let error = mount_at(
            Path::new("/tmp"),
            &missing,
            Path::new("/tmp"),
            Path::new("/tmp"),
        )
        .unwrap_err();
        assert_eq!(error.message, "/nonexistent-layer is not a directory");
    }
}
