//! Outputs kept on disk.

use std::fs;
use std::path::{Path, PathBuf};

use brew_cache::Fingerprint;

use super::*;

/// The rows of a batch, their texts being their numbers of tokens and `salt`.
fn salted(salt: u32) -> impl Fn(&Batch) -> BatchRows<B> {
    move |batch| {
        let texts = batch.iter().map(|one| TextDigest::of(&[&vec![salt; one.1]])).collect();
        BatchRows { texts, ..rows(batch) }
    }
}

fn open(root: &Path, weights: &str) -> Cache {
    Cache::open(root, &Fingerprint::new([("weights", weights.into())]), 1 << 20).unwrap()
}

/// A teacher that keeps what it says in `root`, and how often it was asked.
fn on_disk(root: &Path, storage: Storage) -> (impl Teacher<B, Batch>, Rc<Cell<usize>>) {
    let (teacher, calls) = counted();
    let cached =
        CachedTeacher::new(teacher, salted(0)).with_storage(storage).with_cache(open(root, "a"), WANTS);
    (cached, calls)
}

/// Every number of an output.
fn numbers(output: &AdaptorOutput<B>) -> Vec<Vec<u32>> {
    let bits = |feature: FeatureTensor<B>| -> Vec<u32> {
        let data = feature.into_positions().into_data();
        data.iter::<f32>().map(f32::to_bits).collect()
    };
    let hidden = output.hidden.iter().cloned().map(FeatureTensor::from);
    let mask = output.inputs_mask.iter().cloned().map(FeatureTensor::from);
    output
        .logits
        .iter()
        .cloned()
        .chain(hidden)
        .chain(output.attention.clone())
        .chain(mask)
        .map(bits)
        .collect()
}

fn segments(root: &Path) -> Vec<PathBuf> {
    let folder = open(root, "a").folder().to_path_buf();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

#[test]
fn a_second_run_never_asks_the_teacher_and_hears_the_same() {
    let root = tempfile::tempdir().unwrap();
    let (first, calls) = on_disk(root.path(), Storage::default());
    let batches = [vec![(1, 2), (2, 4)], vec![(3, 3), (4, 1)]];
    let computed = batches.clone().map(|batch| numbers(&first.outputs(&batch, WANTS).unwrap()));
    assert_eq!(calls.get(), 2);
    drop(first);

    let (second, calls) = on_disk(root.path(), Storage::default());
    let known = batches.map(|batch| numbers(&second.outputs(&batch, WANTS).unwrap()));
    assert_eq!(known, computed, "to the last bit");
    // Shuffled: what was kept of the first batches, in another one.
    let shuffled = vec![(4, 1), (2, 4), (1, 2)];
    let found = second.outputs(&shuffled, WANTS).unwrap();
    assert_eq!(calls.get(), 0);
    let expected = outputs(&shuffled);
    for (found, expected) in found.hidden.into_iter().zip(expected.hidden) {
        assert_eq!(real(found), real(expected));
    }
    drop(second);
    assert_eq!(segments(root.path()).len(), 1, "a run that finds everything writes nothing");
}

#[test]
fn what_is_heard_the_first_time_is_what_is_kept_rounding_included() {
    let f16 = Precision::F16;
    for storage in [Storage { precision: f16, top_k: None }, Storage { precision: f16, top_k: Some(1) }] {
        let root = tempfile::tempdir().unwrap();
        let batch = vec![(31, 2), (22, 4)];
        let (first, _) = on_disk(root.path(), storage);
        let computed = numbers(&first.outputs(&batch, WANTS).unwrap());
        let (second, calls) = on_disk(root.path(), storage);
        assert_eq!(numbers(&second.outputs(&batch, WANTS).unwrap()), computed);
        assert_eq!(calls.get(), 0);
        let exact = numbers(&outputs(&batch));
        assert_ne!(computed[1], exact[1], "3100.25 and the like are no float16");
    }
}

#[test]
fn a_number_beyond_float16_is_named_with_its_example() {
    let root = tempfile::tempdir().unwrap();
    let (cached, _) = on_disk(root.path(), Storage { precision: Precision::F16, top_k: None });
    let error = cached.outputs(&vec![(1, 2), (900, 2)], WANTS).unwrap_err().to_string();
    assert!(error.contains("example 900") && error.contains("90000") && error.contains("f32"), "{error}");
    assert!(open(root.path(), "a").is_empty());
}

#[test]
fn a_changed_text_or_teacher_is_asked_again() {
    let root = tempfile::tempdir().unwrap();
    let batch = vec![(1, 2), (2, 4)];
    let run = |salt: u32, weights: &str| {
        let (teacher, calls) = counted();
        let cached = CachedTeacher::new(teacher, salted(salt)).with_cache(open(root.path(), weights), WANTS);
        cached.outputs(&batch, WANTS).unwrap();
        calls.get()
    };
    assert_eq!([run(0, "a"), run(0, "a")], [1, 0]);
    assert_eq!([run(7, "a"), run(7, "a")], [1, 0]);
    assert_eq!([run(0, "b"), run(0, "b"), run(0, "a")], [1, 0, 0]);
}

#[test]
fn one_changed_text_of_a_batch_leaves_the_others_as_they_were() {
    let root = tempfile::tempdir().unwrap();
    let (first, _) = on_disk(root.path(), Storage::default());
    first.outputs(&vec![(1, 2), (2, 4)], WANTS).unwrap();
    let before = open(root.path(), "a").len();
    // Example 2 has three tokens now.
    let (second, calls) = on_disk(root.path(), Storage::default());
    let batch = vec![(1, 2), (2, 3)];
    let found = second.outputs(&batch, WANTS).unwrap();
    assert_eq!(calls.get(), 1);
    assert_eq!(real(found.hidden[0].clone()), real(outputs(&batch).hidden[0].clone()));
    assert_eq!(open(root.path(), "a").len(), before + 1);
}

#[test]
fn a_fill_that_was_interrupted_goes_on_where_it_ended() {
    let root = tempfile::tempdir().unwrap();
    let batches: Vec<Batch> = (0..6).map(|at| vec![(2 * at, 3), (2 * at + 1, 2)]).collect();
    let fill = |batches: &[Batch]| {
        let (teacher, calls) = counted();
        let cached = CachedTeacher::new(teacher, salted(0)).with_cache(open(root.path(), "a"), WANTS);
        let filled: Vec<_> = batches.iter().map(|batch| cached.fill(batch, WANTS).unwrap()).collect();
        (filled, calls.get())
    };
    assert_eq!(fill(&batches[..3]).1, 3);
    let path = &segments(root.path())[0];
    let whole = fs::read(path).unwrap();
    // At whichever byte it was killed: what was complete is known, the rest is computed, nothing is wrong.
    for length in (0..whole.len()).step_by(7) {
        segments(root.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        fs::write(path, &whole[..length]).unwrap();
        let known = open(root.path(), "a").len() / 2;
        let (filled, calls) = fill(&batches);
        assert_eq!(calls, 6 - known, "cut at byte {length}");
        let expected: Vec<_> =
            (0..6).map(|at| if at < known { Filled::Known } else { Filled::Computed }).collect();
        assert_eq!(filled, expected, "cut at byte {length}");
        let (warm, calls) = on_disk(root.path(), Storage::default());
        for batch in &batches {
            let found = warm.outputs(batch, WANTS).unwrap();
            assert_eq!(real(found.hidden[1].clone()), real(outputs(batch).hidden[1].clone()));
        }
        assert_eq!(calls.get(), 0);
    }
}

#[test]
fn a_flipped_bit_is_computed_anew_and_never_used() {
    let root = tempfile::tempdir().unwrap();
    let batches = [vec![(1, 2), (2, 3)], vec![(3, 1)]];
    let (first, _) = on_disk(root.path(), Storage::default());
    let expected = batches.clone().map(|batch| numbers(&first.outputs(&batch, WANTS).unwrap()));
    drop(first);
    let path = segments(root.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(5) {
        segments(root.path()).iter().for_each(|path| fs::remove_file(path).unwrap());
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&path, damaged).unwrap();
        let (second, calls) = on_disk(root.path(), Storage::default());
        let found = batches.clone().map(|batch| numbers(&second.outputs(&batch, WANTS).unwrap()));
        assert_eq!(found, expected, "byte {at}");
        assert!(calls.get() > 0, "byte {at} is not noticed");
        drop(second);
        // What was computed anew is there from now on.
        let (third, calls) = on_disk(root.path(), Storage::default());
        let found = batches.clone().map(|batch| numbers(&third.outputs(&batch, WANTS).unwrap()));
        assert_eq!((found, calls.get()), (expected.clone(), 0), "byte {at}");
    }
}

#[test]
fn two_that_fill_at_once_share_what_they_complete() {
    let root = tempfile::tempdir().unwrap();
    let (one, one_asked) = on_disk(root.path(), Storage::default());
    let (other, other_asked) = on_disk(root.path(), Storage::default());
    for at in 0..10 {
        let (mine, yours) = (vec![(2 * at, 3)], vec![(2 * at + 1, 2)]);
        one.outputs(&mine, WANTS).unwrap();
        other.outputs(&yours, WANTS).unwrap();
        one.outputs(&yours, WANTS).unwrap();
        other.outputs(&mine, WANTS).unwrap();
    }
    assert_eq!((one_asked.get(), other_asked.get()), (10, 10));
}

#[test]
fn other_features_than_the_cache_is_for_are_not_kept_in_it() {
    let root = tempfile::tempdir().unwrap();
    let (cached, calls) = on_disk(root.path(), Storage::default());
    let batch = vec![(1, 2)];
    for asked in 1..=2 {
        cached.outputs(&batch, Wants::default()).unwrap();
        assert_eq!(calls.get(), asked);
    }
    assert!(open(root.path(), "a").is_empty());
}

#[test]
fn a_cache_on_disk_needs_the_texts_and_keeps_its_limit() {
    let root = tempfile::tempdir().unwrap();
    let batch = vec![(1, 2), (2, 4)];
    let (teacher, _) = counted();
    let cached = CachedTeacher::new(teacher, rows).with_cache(open(root.path(), "a"), WANTS);
    let error = cached.outputs(&batch, WANTS).unwrap_err().to_string();
    assert!(error.contains("2 examples says 0 texts"), "{error}");

    let (teacher, _) = counted();
    let small = Cache::open(root.path(), &Fingerprint::new([("a", 1.into())]), 300).unwrap();
    let cached = CachedTeacher::new(teacher, salted(0)).with_cache(small, WANTS);
    let error = cached.outputs(&batch, WANTS).unwrap_err().to_string();
    assert!(error.contains("limit is 300"), "{error}");
}
