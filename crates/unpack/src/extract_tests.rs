use super::*;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use tar::{Builder, Header};

struct Layer(Builder<Vec<u8>>);

impl Layer {
    fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    fn add(mut self, kind: EntryType, name: &str, link: &str, data: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        // Written raw: the builder itself refuses the names that we want to see refused.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(86_400);
        header.set_cksum();
        self.0.append(&header, data).unwrap();
        self
    }

    fn file(self, name: &str, data: &[u8]) -> Self {
        self.add(EntryType::Regular, name, "", data)
    }

    fn unpack(self) -> (tempfile::TempDir, Result<Extracted, Error>) {
        self.unpack_within(Limits::default())
    }

    fn unpack_within(self, limits: Limits) -> (tempfile::TempDir, Result<Extracted, Error>) {
        let folder = tempfile::tempdir().unwrap();
        let (blob, target) = (folder.path().join("layer.tar"), folder.path().join("root"));
        std::fs::write(&blob, self.0.into_inner().unwrap()).unwrap();
        std::fs::create_dir(&target).unwrap();
        let result = extract(&blob, &target, limits);
        (folder, result)
    }
}

fn is_root() -> bool {
    rustix::process_is_root()
}

mod rustix {
    pub fn process_is_root() -> bool {
        std::fs::metadata("/proc/self").is_ok_and(|meta| {
            use std::os::unix::fs::MetadataExt;
            meta.uid() == 0
        })
    }
}

#[test]
fn files_links_and_directories_arrive_with_owner_mode_and_time() {
    if !is_root() {
        return;
    }
    let (folder, result) = Layer::new()
        .add(EntryType::Directory, "etc/", "", b"")
        .file("./etc/name", b"value")
        .add(EntryType::Symlink, "link", "etc/name", b"")
        .add(EntryType::Link, "hard", "etc/name", b"")
        .unpack();
    assert_eq!(result.unwrap().entries, 4);
    let root = folder.path().join("root");
    let meta = std::fs::metadata(root.join("etc/name")).unwrap();
    assert_eq!(
        (meta.uid(), meta.gid(), meta.mtime(), meta.nlink()),
        (7, 8, 86_400, 2)
    );
    assert_eq!(meta.permissions().mode() & 0o7777, 0o644);
    assert_eq!(std::fs::read(root.join("link")).unwrap(), b"value");
    assert_eq!(std::fs::metadata(root.join("etc")).unwrap().mtime(), 86_400);
}

#[test]
fn no_path_leaves_the_layer() {
    for name in ["../evil", "a/../../evil", "a/.."] {
        let (_folder, result) = Layer::new().file(name, b"x").unpack();
        assert!(
            matches!(result, Err(Error::Refused { .. })),
            "{name}: {result:?}"
        );
    }
    let (_folder, result) = Layer::new()
        .add(EntryType::Link, "passwd", "../../etc/passwd", b"")
        .unpack();
    assert!(matches!(result, Err(Error::Refused { .. })), "{result:?}");
}

#[test]
fn a_link_to_the_host_is_followed_inside_the_layer_only() {
    if !is_root() {
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    let escape = outside.path().to_str().unwrap().to_owned();
    let (folder, result) = Layer::new()
        .add(EntryType::Symlink, "out", &escape, b"")
        .add(EntryType::Symlink, "up", "../../..", b"")
        .file("up/seen", b"x")
        .file("out/evil", b"x")
        .unpack();
    // The dangling link is not made into a directory of the host: the entry fails or stays inside.
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    assert!(result.is_err() || folder.path().join("root/seen").exists());
}

#[test]
fn whiteouts_become_overlay_whiteouts() {
    if !is_root() {
        return;
    }
    let (folder, result) = Layer::new().file("gone/.wh.old", b"").unpack();
    result.unwrap();
    let meta = std::fs::symlink_metadata(folder.path().join("root/gone/old")).unwrap();
    assert!(meta.file_type().is_char_device());
    assert_eq!(meta.rdev(), 0);
}

#[test]
fn devices_and_bombs_are_refused() {
    let (_folder, result) = Layer::new().add(EntryType::Block, "disk", "", b"").unpack();
    assert!(matches!(result, Err(Error::Refused { .. })), "{result:?}");
    let limits = Limits {
        bytes: 4096,
        entries: 10,
    };
    let (_folder, result) = Layer::new().file("big", &[0; 8192]).unpack_within(limits);
    assert!(
        matches!(result, Err(Error::TooLarge { unit: "bytes", .. })),
        "{result:?}"
    );
    let mut many = Layer::new();
    for number in 0..11 {
        many = many.add(EntryType::Directory, &format!("d{number}"), "", b"");
    }
    let (_folder, result) = many.unpack_within(Limits {
        bytes: 1 << 20,
        entries: 10,
    });
    assert!(
        matches!(
            result,
            Err(Error::TooLarge {
                unit: "entries",
                ..
            })
        ),
        "{result:?}"
    );
}

#[test]
fn a_damaged_archive_is_named_so() {
    let folder = tempfile::tempdir().unwrap();
    let (blob, target) = (folder.path().join("b"), folder.path().join("t"));
    std::fs::create_dir(&target).unwrap();
    for bytes in [
        &b"\x1f\x8b\x08\x00broken"[..],
        &[b'x'; 700][..],
        b"\x28\xb5\x2f\xfdbroken",
    ] {
        std::fs::write(&blob, bytes).unwrap();
        assert!(extract(&blob, &target, Limits::default()).is_err());
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0_u8.., 0..2048)) {
        let folder = tempfile::tempdir().unwrap();
        let (blob, target) = (folder.path().join("b"), folder.path().join("t"));
        std::fs::create_dir(&target).unwrap();
        std::fs::write(&blob, bytes).unwrap();
        let _ = extract(&blob, &target, Limits { bytes: 1 << 20, entries: 100 });
    }
}
