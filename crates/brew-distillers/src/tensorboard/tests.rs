use std::fs;

use super::*;
use crate::TermReport;

/// CRC-32C bit by bit (RFC 3720, appendix B.4), apart from the crate that the writer uses.
fn crc32c(data: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn masked(data: &[u8]) -> u32 {
    let crc = crc32c(data);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file, whose lengths and sums must be right.
fn records(mut file: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while !file.is_empty() {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        assert_eq!(word(8), masked(&file[..8]));
        let data = &file[12..12 + length];
        assert_eq!(word(12 + length), masked(data));
        records.push(data.to_vec());
        file = &file[16 + length..];
    }
    records
}

/// What a field holds: a number, or bytes.
#[derive(Debug, Clone, PartialEq)]
enum Field {
    Number(u64),
    Double(f64),
    Float(f32),
    Bytes(Vec<u8>),
}

/// The fields of a message, each with its number.
fn fields(mut data: &[u8]) -> Vec<(u64, Field)> {
    fn varint(data: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = data[0];
            *data = &data[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut found = Vec::new();
    while !data.is_empty() {
        let key = varint(&mut data);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut data)),
            1 => {
                let (bytes, rest) = data.split_at(8);
                data = rest;
                Field::Double(f64::from_le_bytes(bytes.try_into().unwrap()))
            }
            2 => {
                let length = varint(&mut data) as usize;
                let (bytes, rest) = data.split_at(length);
                data = rest;
                Field::Bytes(bytes.to_vec())
            }
            5 => {
                let (bytes, rest) = data.split_at(4);
                data = rest;
                Field::Float(f32::from_le_bytes(bytes.try_into().unwrap()))
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn bytes(message: &[(u64, Field)], number: u64) -> Option<Vec<u8>> {
    message.iter().find_map(|(found, field)| match field {
        Field::Bytes(bytes) if *found == number => Some(bytes.clone()),
        _ => None,
    })
}

fn step(message: &[(u64, Field)]) -> u64 {
    let Some((_, Field::Number(step))) = message.iter().find(|(number, _)| *number == 2) else {
        panic!("no step: {message:?}")
    };
    *step
}

/// Tag and value of an event's points.
fn scalars(message: &[(u64, Field)]) -> Vec<(String, f32)> {
    let summary = fields(&bytes(message, 5).unwrap());
    summary
        .iter()
        .map(|(number, value)| {
            assert_eq!(*number, 1);
            let Field::Bytes(value) = value else { panic!("{value:?}") };
            let value = fields(value);
            let tag = String::from_utf8(bytes(&value, 1).unwrap()).unwrap();
            let Some((_, Field::Float(number))) = value.iter().find(|(number, _)| *number == 2) else {
                panic!("{value:?}")
            };
            (tag, *number)
        })
        .collect()
}

/// The files of a folder in the order in which TensorBoard reads them.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn report(step: usize) -> StepReport {
    let term = |name: &str, value, weight: f64| TermReport {
        name: name.into(),
        value,
        weight,
        weighted: value * weight,
    };
    StepReport {
        step,
        total_steps: 300,
        epoch: 1,
        loss: 1.5,
        terms: vec![term("kd_loss", 2.0, 0.5), term("first/hidden_mse_0_0", 0.5, 1.0)],
        temperature: Some(8.0),
        lr: 1e-4,
        grad_norm: 0.25,
        examples: 64,
        tokens: 640,
        seconds: 2.0,
    }
}

#[test]
fn the_sum_of_the_test_is_the_published_one() {
    // RFC 3720, appendix B.4.
    assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
}

#[test]
fn a_file_holds_its_version_its_first_step_and_the_points_of_reports() {
    let folder = tempfile::tempdir().unwrap();
    let mut board = TensorBoard::new(folder.path().join("curves"));
    board.start(0).unwrap();
    board.report(&report(200)).unwrap();
    board.scalars(200, &[("dev/accuracy".into(), 0.875)]).unwrap();
    let files = files(board.folder());
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(name.starts_with("events.out.tfevents."), "{name}");
    let events: Vec<_> = records(&fs::read(file).unwrap()).iter().map(|data| fields(data)).collect();
    assert_eq!(bytes(&events[0], 3).unwrap(), b"brain.Event:2");
    assert_eq!(fields(&bytes(&events[1], 7).unwrap()), [(1, Field::Number(1))], "a session starts");
    assert_eq!(step(&events[1]), 1);
    assert_eq!(step(&events[2]), 200);
    let found = scalars(&events[2]);
    let expected = [
        ("scalar/total_loss", 1.5),
        ("scalar/unweighted_kd_loss", 2.0),
        ("weighted/kd_loss", 1.0),
        ("weight/kd_loss", 0.5),
        ("scalar/first/unweighted_hidden_mse_0_0", 0.5),
        ("weighted/first/hidden_mse_0_0", 0.5),
        ("weight/first/hidden_mse_0_0", 1.0),
        ("training/learning_rate", 1e-4),
        ("training/gradient_norm", 0.25),
        ("training/epoch", 2.0),
        ("training/temperature", 8.0),
        ("speed/examples_per_second", 32.0),
        ("speed/tokens_per_second", 320.0),
    ];
    assert_eq!(found, expected.map(|(tag, value)| (tag.to_owned(), value)));
    assert_eq!(scalars(&events[3]), [("dev/accuracy".to_owned(), 0.875)]);
    let Field::Double(time) = events[3][0].1 else { panic!("{:?}", events[3]) };
    assert!(time > 1.7e9, "seconds since 1970");
}

#[test]
fn a_continued_run_writes_a_file_behind_the_others_that_takes_over_after_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = TensorBoard::new(folder.path());
    first.start(0).unwrap();
    first.report(&report(10)).unwrap();
    let earlier = files(folder.path());
    let mut second = TensorBoard::new(folder.path());
    second.start(7).unwrap();
    let both = files(folder.path());
    assert_eq!(both.len(), 2);
    assert_eq!(both[0], earlier[0], "files are read in the order of their names");
    let events = records(&fs::read(&both[1]).unwrap());
    assert_eq!(step(&fields(&events[1])), 8, "of step 7 the earlier file is right");
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = TensorBoard::new(file.join("curves")).start(0).unwrap_err().to_string();
    assert!(error.contains("cannot create") && error.contains("file/curves"), "{error}");
}
