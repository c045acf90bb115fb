use std::collections::HashSet;
use std::sync::Barrier;

use super::*;
use crate::{TextDigest, Thoroughness, prune, survey};

fn fingerprint(weights: &str) -> Fingerprint {
    Fingerprint::new([("weights", weights.into())]).with_note("teacher", "a folder")
}

fn key(id: u64) -> ExampleKey {
    ExampleKey { id, text: TextDigest::of(&[&[id as u32, 7]]) }
}

fn record(id: u64) -> Vec<u8> {
    (0..40 + id as usize).map(|at| (at as u64 * 31 + id) as u8).collect()
}

fn open(root: &Path) -> Cache {
    Cache::open(root, &fingerprint("a"), u64::MAX).unwrap()
}

fn fill(cache: &mut Cache, ids: std::ops::Range<u64>) {
    cache.append(&ids.map(|id| (key(id), record(id))).collect::<Vec<_>>()).unwrap();
}

/// The only segment of a cache.
fn only_segment(root: &Path) -> PathBuf {
    let mut found = segments_in(open(root).folder()).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn what_was_added_is_there_in_the_next_process() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = open(root.path());
    assert!(!cache.folder().exists(), "nothing is written before there is something to write");
    fill(&mut cache, 0..5);
    fill(&mut cache, 5..8);
    assert_eq!(cache.get(key(6)), Some(record(6)));
    let header = segment_bytes(&fingerprint("a"));
    let records: u64 = (0..8).map(|id| record(id).len() as u64).sum();
    assert_eq!(cache.bytes(), header + block_bytes(5) + block_bytes(3) + records);
    drop(cache);
    let mut cache = open(root.path());
    assert_eq!((cache.len(), cache.damages()), (8, Vec::new()));
    for id in 0..8 {
        assert!(cache.contains(key(id)));
        assert_eq!(cache.get(key(id)), Some(record(id)));
    }
    assert_eq!(cache.get(key(8)), None);
}

#[test]
fn another_text_or_another_fingerprint_finds_nothing() {
    let root = tempfile::tempdir().unwrap();
    fill(&mut open(root.path()), 0..2);
    let changed = ExampleKey { id: 1, text: TextDigest::of(&[&[1, 8]]) };
    assert_eq!(open(root.path()).get(changed), None);
    assert!(Cache::open(root.path(), &fingerprint("b"), u64::MAX).unwrap().is_empty());
}

#[test]
fn a_segment_of_another_cache_is_named_and_not_read() {
    let root = tempfile::tempdir().unwrap();
    fill(&mut open(root.path()), 0..2);
    let other = Cache::open(root.path(), &fingerprint("b"), u64::MAX).unwrap().folder().to_path_buf();
    fs::create_dir(&other).unwrap();
    fs::copy(only_segment(root.path()), other.join("1.seg")).unwrap();
    let cache = Cache::open(root.path(), &fingerprint("b"), u64::MAX).unwrap();
    assert!(cache.is_empty());
    let said = cache.damages()[0].to_string();
    assert!(said.contains("1.seg") && said.contains(fingerprint("a").digest()), "{said}");
}

#[test]
fn a_fill_that_was_killed_is_taken_up_where_its_last_block_ends() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = open(root.path());
    fill(&mut cache, 0..3);
    fill(&mut cache, 3..6);
    drop(cache);
    let path = only_segment(root.path());
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();

    let mut cache = open(root.path());
    assert_eq!(cache.len(), 3);
    let said = cache.damages()[0].to_string();
    assert!(said.contains("no complete block"), "{said}");
    fill(&mut cache, 3..6);
    drop(cache);
    let mut cache = open(root.path());
    assert!((0..6).all(|id| cache.get(key(id)) == Some(record(id))));
}

#[test]
fn a_damaged_record_is_named_and_the_next_one_of_its_key_is_taken() {
    let root = tempfile::tempdir().unwrap();
    fill(&mut open(root.path()), 0..2);
    let path = only_segment(root.path());
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 4;
    fs::write(&path, bytes).unwrap();

    let mut cache = open(root.path());
    assert!(cache.contains(key(1)), "the headers are whole");
    assert_eq!(cache.get(key(1)), None);
    assert_eq!(cache.get(key(0)), Some(record(0)));
    let said = cache.damages()[0].to_string();
    assert!(said.contains("example 1 is damaged") && said.contains("seg"), "{said}");
    fill(&mut cache, 1..2);
    assert_eq!(cache.get(key(1)), Some(record(1)));
    drop(cache);
    // The damaged one is the first that the next process finds.
    assert_eq!(open(root.path()).get(key(1)), Some(record(1)));
    let surveyed = survey(root.path(), Thoroughness::Records).unwrap();
    assert_eq!((surveyed[0].examples, surveyed[0].damages().count()), (2, 1));
    assert_eq!(survey(root.path(), Thoroughness::Headers).unwrap()[0].damages().count(), 0);
}

#[test]
fn a_file_that_is_cut_off_while_it_is_open_gives_no_record() {
    let root = tempfile::tempdir().unwrap();
    fill(&mut open(root.path()), 0..2);
    let mut cache = open(root.path());
    File::options().write(true).open(only_segment(root.path())).unwrap().set_len(30).unwrap();
    assert_eq!(cache.get(key(0)), None);
    assert_eq!(cache.damages().len(), 1);
}

#[test]
fn more_files_than_a_process_may_have_open_are_one_cache() {
    let root = tempfile::tempdir().unwrap();
    let count = 3 * MOST_OPEN as u64;
    for id in 0..count {
        fill(&mut open(root.path()), id..id + 1);
    }
    let mut cache = open(root.path());
    assert_eq!(cache.segments.len() as u64, count);
    for id in (0..count).chain((0..count).rev()) {
        assert_eq!(cache.get(key(id)), Some(record(id)));
        let open = cache.segments.iter().filter(|segment| segment.file.is_some()).count();
        assert!(open <= MOST_OPEN, "{open}");
    }
    fill(&mut cache, count..count + 1);
    assert!((0..=count).all(|id| cache.get(key(id)) == Some(record(id))));
}

#[test]
fn the_limit_is_kept_before_anything_is_written() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = Cache::open(root.path(), &fingerprint("a"), 500).unwrap();
    let error = cache.append(&[(key(0), vec![0; 600])]).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("500"), "{error}");
    assert!(!cache.folder().exists());
    fill(&mut cache, 0..1);
    let before = cache.bytes();
    assert!(cache.append(&[(key(1), vec![0; 600])]).is_err());
    assert_eq!((cache.bytes(), cache.get(key(0))), (before, Some(record(0))));
}

#[test]
fn several_fill_and_read_at_once() {
    const EACH: u64 = 60;
    let root = tempfile::tempdir().unwrap();
    let begin = Barrier::new(4);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let (root, begin) = (root.path(), &begin);
            scope.spawn(move || {
                let mut cache = open(root);
                begin.wait();
                // Halves of the examples overlap with the next one's.
                for id in number * EACH / 2..number * EACH / 2 + EACH {
                    cache.refresh().unwrap();
                    match cache.get(key(id)) {
                        Some(found) => assert_eq!(found, record(id)),
                        None => fill(&mut cache, id..id + 1),
                    }
                }
                assert_eq!(cache.broken, Vec::new());
            });
        }
    });
    let mut cache = open(root.path());
    assert_eq!((cache.len() as u64, cache.damages()), (EACH / 2 * 5, Vec::new()));
    assert!((0..EACH / 2 * 5).all(|id| cache.get(key(id)) == Some(record(id))));
}

#[test]
fn what_another_has_completed_is_seen_after_a_refresh() {
    let root = tempfile::tempdir().unwrap();
    let mut one = open(root.path());
    let mut other = open(root.path());
    fill(&mut one, 0..2);
    assert_eq!(other.get(key(1)), None);
    other.refresh().unwrap();
    assert_eq!(other.get(key(1)), Some(record(1)));
    fill(&mut one, 2..3);
    other.refresh().unwrap();
    assert_eq!((other.get(key(2)), other.len()), (Some(record(2)), 3));
}

#[test]
fn pruning_cuts_off_an_end_that_is_no_block_and_keeps_what_is_before_it() {
    let root = tempfile::tempdir().unwrap();
    let mut cache = open(root.path());
    fill(&mut cache, 0..2);
    fill(&mut cache, 2..3);
    drop(cache);
    let path = only_segment(root.path());
    let length = fs::metadata(&path).unwrap().len();
    File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    let planned = prune(root.path(), None, false).unwrap();
    assert_eq!(planned.len(), 1);
    assert_eq!(fs::metadata(&path).unwrap().len(), length - 1);
    assert_eq!(prune(root.path(), None, true).unwrap(), planned);
    assert_eq!(fs::metadata(&path).unwrap().len(), length - 1 - planned[0].bytes);
    let mut cache = open(root.path());
    assert_eq!((cache.len(), cache.damages()), (2, Vec::new()));
    assert_eq!(cache.get(key(1)), Some(record(1)));
}

#[test]
fn pruning_removes_what_is_useless_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    // Two that fill at once, so that one's records are the other's too.
    let (mut one, mut other) = (open(root.path()), open(root.path()));
    fill(&mut one, 0..3);
    fill(&mut other, 0..2);
    let open_elsewhere = prune(root.path(), None, true).unwrap();
    assert!(open_elsewhere.len() == 1 && open_elsewhere[0].in_use, "{open_elsewhere:?}");
    assert!(open_elsewhere[0].path.exists());
    let folder = one.folder().to_path_buf();
    drop((one, other));
    fs::write(folder.join("9.seg"), "half a header").unwrap();
    fs::write(folder.join("notes.txt"), "of a user").unwrap();
    fs::create_dir(root.path().join("thesis")).unwrap();
    let mut unused = Cache::open(root.path(), &fingerprint("b"), u64::MAX).unwrap();
    fill(&mut unused, 0..1);
    let unused_folder = unused.folder().to_path_buf();
    drop(unused);

    // What would be removed is said, and stays.
    let keep = HashSet::from([fingerprint("a").name().to_owned()]);
    let planned = prune(root.path(), Some(&keep), false).unwrap();
    assert_eq!(planned.len(), 3, "{planned:?}");
    assert!(planned.iter().all(|removal| removal.path.exists() && !removal.in_use));
    assert_eq!(prune(root.path(), None, false).unwrap().len(), 2);

    let mut removed = prune(root.path(), Some(&keep), true).unwrap();
    assert_eq!(removed, planned);
    assert!(removed.iter().all(|removal| !removal.path.exists()));
    removed.retain(|removal| removal.path == unused_folder);
    assert_eq!(removed.len(), 1);
    assert!(folder.join("notes.txt").exists() && root.path().join("thesis").exists());
    assert!((0..3).all(|id| open(root.path()).get(key(id)) == Some(record(id))));
    assert_eq!(prune(root.path(), Some(&keep), true).unwrap(), []);

    let nothing = prune(&root.path().join("none"), None, false).unwrap_err().to_string();
    assert!(nothing.contains("none"), "{nothing}");
}
