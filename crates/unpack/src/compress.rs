//! `layer.tar` → `layer.tar.gz`, deterministic, with both digests in one pass.
use crate::{Error, digest::Hashing};
use libdeflater::{CompressionLvl, Compressor};
use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
};

/// One gzip member holds this much; memory stays bounded, and members could be made in parallel.
/// RFC 1952 §2.2: a gzip file is a series of members.
const MEMBER_BYTES: usize = 8 * 1024 * 1024;
const LEVEL: i32 = 6;

/// What [`compress`] made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compressed {
    /// `sha256:…` of the compressed file: the blob's name.
    pub digest: String,
    /// Bytes of the compressed file.
    pub size: u64,
    /// `sha256:…` of the archive itself: the image configuration's `diff_id`.
    pub diff_id: String,
    /// Bytes of the archive itself.
    pub uncompressed: u64,
}

/// Compresses the archive `tar` into `target`. The same archive always gives the same bytes.
///
/// # Errors
/// [`Error::Io`] when a file cannot be read or written.
pub fn compress(tar: &Path, target: &Path) -> Result<Compressed, Error> {
    let mut source = Hashing::new(File::open(tar).map_err(Error::io(tar))?);
    let mut sink = Hashing::new(File::create(target).map_err(Error::io(target))?);
    let level = CompressionLvl::new(LEVEL).unwrap_or_default();
    let mut compressor = Compressor::new(level);
    let mut member = vec![0_u8; MEMBER_BYTES];
    let mut packed = vec![0_u8; compressor.gzip_compress_bound(MEMBER_BYTES)];
    let mut first = true;
    loop {
        let length = fill(&mut source, &mut member).map_err(Error::io(tar))?;
        if length == 0 && !first {
            break;
        }
        first = false;
        let count = compressor
            .gzip_compress(&member[..length], &mut packed)
            .map_err(|error| Error::Corrupt(format!("compression failed: {error:?}")))?;
        sink.write_all(&packed[..count])
            .map_err(Error::io(target))?;
        if length < MEMBER_BYTES {
            break;
        }
    }
    let (diff_id, uncompressed, _) = source.finish();
    let (digest, size, file) = sink.finish();
    file.sync_all().map_err(Error::io(target))?;
    Ok(Compressed {
        digest,
        size,
        diff_id,
        uncompressed,
    })
}

/// Reads until `buffer` is full or the input ends; returns how much was read.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match source.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;

    fn round_trip(data: &[u8]) -> (Compressed, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let (tar, packed) = (folder.path().join("a.tar"), folder.path().join("a.tar.gz"));
        std::fs::write(&tar, data).unwrap();
        let made = compress(&tar, &packed).unwrap();
        let mut back = Vec::new();
        MultiGzDecoder::new(File::open(&packed).unwrap())
            .read_to_end(&mut back)
            .unwrap();
        assert_eq!(std::fs::metadata(&packed).unwrap().len(), made.size);
        (made, back)
    }

    #[test]
    fn any_length_comes_back() {
        for length in [
            0,
            1,
            MEMBER_BYTES - 1,
            MEMBER_BYTES,
            MEMBER_BYTES + 1,
            2 * MEMBER_BYTES,
        ] {
            let data: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
            let (made, back) = round_trip(&data);
            assert_eq!(back, data);
            assert_eq!(made.uncompressed, length as u64);
        }
    }

    #[test]
    fn the_same_input_gives_the_same_digest() {
        assert_eq!(round_trip(b"layer").0, round_trip(b"layer").0);
        assert_eq!(
            round_trip(b"").0.diff_id,
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
