use std::collections::HashMap;
use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::format::block;
use crate::{ExampleKey, Fingerprint, TextDigest};

type Records = Vec<(ExampleKey, Vec<u8>)>;

/// Records of a few bytes: block `number` has `count` of them.
fn records(number: u8, count: u8) -> Records {
    let one = |index: u8| {
        let text = TextDigest::of(&[&[u32::from(number), u32::from(index)]]);
        let record = (0..=number + index).map(|byte| byte.wrapping_mul(37)).collect();
        (ExampleKey { id: u64::from(number) * 100 + u64::from(index), text }, record)
    };
    (0..count).map(one).collect()
}

fn blocks() -> Vec<Records> {
    vec![records(1, 3), records(2, 1), records(3, 2)]
}

/// A segment of three blocks, and where each ends.
fn segment() -> (Vec<u8>, Vec<u64>) {
    let mut bytes = Description::of(&Fingerprint::new([("weights", "of a teacher".into())])).head();
    let ends = blocks().into_iter().map(|one| {
        bytes.extend(block(&one));
        bytes.len() as u64
    });
    let ends = ends.collect();
    (bytes, ends)
}

/// Everything that can be read of a segment.
fn read_all(bytes: &[u8]) -> Records {
    let mut file = Cursor::new(bytes);
    let Ok((_, begin)) = read_description(&mut file).unwrap() else { return Vec::new() };
    let found = scan(&mut file, begin).unwrap();
    let mut records = Vec::new();
    for place in &found.places {
        if let Some(record) = read_record(&mut file, place).unwrap() {
            records.push((place.row.key, record));
        }
    }
    records
}

/// Fails where a record was found that was never written.
fn assert_true(found: &Records, what: &str) {
    let written: HashMap<ExampleKey, Vec<u8>> = blocks().into_iter().flatten().collect();
    for (key, record) in found {
        assert_eq!(written.get(key), Some(record), "{what}: example {}", key.id);
    }
}

#[test]
fn what_was_written_is_found_in_its_order() {
    assert_eq!(read_all(&segment().0), blocks().concat());
}

#[test]
fn a_segment_cut_at_any_byte_has_the_blocks_before_the_cut_and_no_other_record() {
    let (bytes, ends) = segment();
    for length in 0..bytes.len() {
        let found = read_all(&bytes[..length]);
        let whole = ends.iter().filter(|&&end| end <= length as u64).count();
        assert_eq!(found, blocks()[..whole].concat(), "cut at byte {length}");
    }
}

#[test]
fn a_flipped_bit_anywhere_gives_no_wrong_record_and_costs_its_own_block_at_most() {
    let (bytes, ends) = segment();
    let begin = ends[0] as usize - block(&blocks()[0]).len();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            let found = read_all(&damaged);
            let what = format!("bit {bit} of byte {at}");
            assert_true(&found, &what);
            assert_ne!(found, blocks().concat(), "{what} is not noticed");
            if at < begin {
                assert_eq!(found, Records::new(), "{what}: the header");
                continue;
            }
            let hit = ends.iter().position(|&end| (at as u64) < end).unwrap();
            let others = blocks().into_iter().enumerate().filter(|(number, _)| *number != hit);
            for record in others.flat_map(|(_, block)| block) {
                assert!(found.contains(&record), "{what}: example {} is lost", record.0.id);
            }
        }
    }
}

#[test]
fn zeros_where_a_power_cut_left_them_are_no_records() {
    let (bytes, ends) = segment();
    for length in ends[1] as usize..bytes.len() {
        let mut damaged = bytes[..length].to_vec();
        damaged.resize(bytes.len(), 0);
        let found = read_all(&damaged);
        assert_true(&found, &format!("zeros from byte {length} on"));
        assert!(found.len() >= 4, "zeros from byte {length} on");
    }
}

#[test]
fn numbers_beyond_the_file_are_refused_before_memory_is_taken() {
    let (mut bytes, _) = segment();
    let head = |count: u32, payload: u64| {
        let mut head = BLOCK_MAGIC.to_vec();
        head.extend(count.to_le_bytes());
        head.extend(payload.to_le_bytes());
        head.extend(0u32.to_le_bytes());
        let sum = crc_of(&[&head]);
        head.extend(sum.to_le_bytes());
        head
    };
    // Checksums that are right, and sizes that no machine has.
    for (count, payload) in [(1 << 16, 0), (1, u64::MAX), (1, u64::MAX - 60), (u32::MAX, 1), (2, 1 << 50)] {
        let before = bytes.len();
        bytes.extend(head(count, payload));
        assert_eq!(read_all(&bytes), blocks().concat(), "{count} records, {payload} bytes");
        bytes.truncate(before);
    }
    let mut long = bytes.clone();
    long[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let Err(wrong) = read_description(&mut Cursor::new(&long)).unwrap() else { panic!("a header of 4 GiB") };
    assert!(wrong.contains("4294967295"), "{wrong}");
}

#[test]
fn another_version_is_named() {
    let (mut bytes, _) = segment();
    bytes[8] = 9;
    let Err(wrong) = read_description(&mut Cursor::new(&bytes)).unwrap() else { panic!("version 9") };
    assert!(wrong.contains("version 9") && wrong.contains("version 1"), "{wrong}");
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
        read_all(&bytes);
        let (mut whole, _) = segment();
        whole.extend(&bytes);
        assert_true(&read_all(&whole), "bytes after a segment");
    }

    #[test]
    fn any_bytes_over_a_segment_give_no_wrong_record(
        at in 0usize..600,
        bytes in proptest::collection::vec(any::<u8>(), 1..200),
    ) {
        let (mut damaged, _) = segment();
        let at = at % damaged.len();
        let end = (at + bytes.len()).min(damaged.len());
        damaged[at..end].copy_from_slice(&bytes[..end - at]);
        assert_true(&read_all(&damaged), "overwritten");
    }

    #[test]
    fn any_records_come_back(
        sizes in proptest::collection::vec(proptest::collection::vec(0usize..300, 1..8), 0..6),
    ) {
        let mut bytes = Description::of(&Fingerprint::new([("a", 1.into())])).head();
        let mut written = Records::new();
        for (number, sizes) in sizes.iter().enumerate() {
            let one = |(index, &size): (usize, &usize)| {
                let text = TextDigest::of(&[&[size as u32]]);
                (ExampleKey { id: (number * 10 + index) as u64, text }, vec![index as u8; size])
            };
            let records: Records = sizes.iter().enumerate().map(one).collect();
            bytes.extend(block(&records));
            written.extend(records);
        }
        prop_assert_eq!(read_all(&bytes), written);
    }
}
