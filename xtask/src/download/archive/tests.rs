use std::fs;
use std::io::Cursor;
use std::path::PathBuf;

use flate2::Compression;
use flate2::write::GzEncoder;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::*;

struct Unpacked {
    result: Result<Vec<String>>,
    folder: tempfile::TempDir,
}

impl Unpacked {
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join("out").join(name)).unwrap()
    }

    fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }
}

/// Everything under its last part.
fn everything(name: &str) -> Option<String> {
    let last = name.rsplit('/').next()?;
    (!last.is_empty()).then(|| last.to_owned())
}

fn unpack_as(
    file_name: &str,
    bytes: &[u8],
    wanted: &dyn Fn(&str) -> Option<String>,
    limits: Limits,
) -> Unpacked {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(file_name);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(&path, bytes).unwrap();
    let result = Kind::of(&path).and_then(|kind| unpack(&path, kind, &out, wanted, limits));
    Unpacked { result, folder }
}

fn unpacked(file_name: &str, bytes: &[u8]) -> Unpacked {
    unpack_as(file_name, bytes, &everything, Limits::default())
}

fn zip_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, bytes) in entries {
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn tar_of(entries: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // Past the checks of `set_path`, as a hostile archive would have it.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        if kind.is_symlink() {
            header.set_link_name("elsewhere").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_wanted_files_come_out_of_every_kind() {
    let wanted = |name: &str| name.ends_with("train.tsv").then(|| "train.tsv".to_owned());
    let long = "a line\n".repeat(50_000);
    let zip = zip_of(&[("SET/", b""), ("SET/train.tsv", long.as_bytes()), ("__MACOSX/SET/._other", b"x")]);
    let file = tar::EntryType::Regular;
    let tar = tar_of(&[
        ("SET/", tar::EntryType::Directory, b""),
        ("SET/train.tsv", file, long.as_bytes()),
        ("SET/link", tar::EntryType::Symlink, b""),
    ]);
    for (name, bytes) in [("a.zip", zip), ("a.tar.gz", tar), ("train.tsv.gz", gzip(long.as_bytes()))] {
        let unpacked = unpack_as(name, &bytes, &wanted, Limits::default());
        assert_eq!(unpacked.result.as_ref().unwrap(), &["train.tsv"], "{name}");
        assert_eq!(unpacked.read("train.tsv"), long, "{name}");
        assert_eq!(fs::read_dir(unpacked.folder.path().join("out")).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn an_archive_with_a_path_that_escapes_is_refused_whole() {
    for evil in ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil"] {
        let zip = zip_of(&[("good", b"good"), (evil, b"evil")]);
        let file = tar::EntryType::Regular;
        let tar = tar_of(&[(evil, file, b"evil"), ("good", file, b"good")]);
        for (name, bytes) in [("a.zip", zip), ("a.tar.gz", tar)] {
            // Not even as something that nobody wants.
            let unpacked =
                unpack_as(name, &bytes, &|name| (name == "good").then(|| "good".into()), Limits::default());
            let message = unpacked.error();
            assert!(message.contains("evil") && message.contains("nothing of it is used"), "{message}");
            assert!(!unpacked.folder.path().join("evil").exists());
            assert!(!unpacked.folder.path().join("out/good").exists());
        }
    }
}

#[test]
fn links_are_not_followed_and_not_made() {
    let tar = tar_of(&[("link", tar::EntryType::Symlink, b"")]);
    assert!(unpacked("a.tar.gz", &tar).error().contains("`link` is a link"));
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.add_symlink("link", "elsewhere", SimpleFileOptions::default()).unwrap();
    let unpacked = unpacked("a.zip", &zip.finish().unwrap().into_inner());
    assert!(unpacked.error().contains("`link` is a link"), "{}", unpacked.error());
    assert!(unpacked.folder.path().join("out/link").symlink_metadata().is_err());
}

/// The place of a 4-byte field in the central directory's first header.
fn central_directory(zip: &[u8], field: usize) -> usize {
    zip.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap() + field
}

#[test]
fn a_bomb_is_known_by_its_headers() {
    let mut zip = zip_of(&[("bomb", b"small")]);
    let size = central_directory(&zip, 24);
    zip[size..size + 4].copy_from_slice(&0xf000_0000u32.to_le_bytes());
    let limits = Limits { bytes: 1 << 30, ..Limits::default() };
    let unpacked = unpack_as("a.zip", &zip, &everything, limits);
    assert!(unpacked.error().contains("by its own headers"), "{}", unpacked.error());
    assert!(!unpacked.folder.path().join("out/bomb").exists());
    // In an archive of honest headers their sum counts, that of unwanted entries too.
    let zip = zip_of(&[("a", &[0; 600]), ("b", &[0; 600])]);
    let limits = Limits { bytes: 1_000, ..Limits::default() };
    assert!(unpack_as("a.zip", &zip, &|_| None, limits).error().contains("1000 bytes"));
    let many = zip_of(&[("a", b""), ("b", b""), ("c", b"")]);
    let limits = Limits { entries: 2, ..Limits::default() };
    assert!(unpack_as("a.zip", &many, &everything, limits).error().contains("2 entries"));
}

#[test]
fn a_header_that_declares_too_little_does_not_let_more_through() {
    let mut zip = zip_of(&[("bomb", &[0; 100_000])]);
    let size = central_directory(&zip, 24);
    zip[size..size + 4].copy_from_slice(&10u32.to_le_bytes());
    let unpacked = unpacked("a.zip", &zip);
    assert!(unpacked.result.is_err());
    let path = unpacked.folder.path().join("out/bomb");
    assert!(path.metadata().map_or(0, |metadata| metadata.len()) <= 10);
}

#[test]
fn gzip_stops_at_the_limit() {
    let limits = Limits { entries: 4, bytes: 1_000 };
    let unpacked = unpack_as("a.gz", &gzip(&[0; 100_000]), &everything, limits);
    assert!(unpacked.error().contains("more bytes than declared or allowed"), "{}", unpacked.error());
    // A tar archive of which nothing is wanted is still unpacked on the way to its next entry.
    let tar = tar_of(&[("a", tar::EntryType::Regular, &[0; 100_000])]);
    let unpacked = unpack_as("a.tar.gz", &tar, &|_| None, limits);
    assert!(unpacked.error().contains("by its own headers"), "{}", unpacked.error());
}

#[test]
fn damage_is_an_error() {
    let zip = zip_of(&[("a", "text ".repeat(1_000).as_bytes())]);
    let half = &zip[..zip.len() / 2];
    assert!(unpacked("a.zip", half).error().contains("a.zip"));
    let mut flipped = zip.clone();
    flipped[40] ^= 0xff;
    assert!(unpacked("a.zip", &flipped).result.is_err());
    let tar =
        tar_of(&[("a", tar::EntryType::Regular, &(0..9_000).map(|i| (i * i) as u8).collect::<Vec<_>>())]);
    assert!(unpacked("a.tar.gz", &tar[..tar.len() / 2]).result.is_err());
    assert!(unpacked("a.zip", b"<html>not found</html>").error().contains("neither"));
    assert!(unpacked("a.zip", b"").error().contains("neither"));
}

#[test]
fn two_files_for_one_name_are_refused() {
    let zip = zip_of(&[("a/train", b"1"), ("b/train", b"2")]);
    assert!(unpacked("a.zip", &zip).error().contains("more than one file for `train`"));
}

#[test]
fn kinds_are_known_by_content_not_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |bytes: &[u8]| {
        let path: PathBuf = folder.path().join("file");
        fs::write(&path, bytes).unwrap();
        Kind::of(&path).unwrap()
    };
    assert_eq!(kind(&zip_of(&[("a", b"")])), Kind::Zip);
    assert_eq!(kind(&tar_of(&[("a", tar::EntryType::Regular, b"x")])), Kind::TarGz);
    assert_eq!(kind(&gzip(b"x")), Kind::Gz);
    assert_eq!(kind(b"{}"), Kind::Plain);
}
