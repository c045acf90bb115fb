use brew_config::MatchFeature;
use proptest::prelude::*;

use super::*;
use crate::cached::kept::FEATURES;

/// Numbers of which no two are alike, some of them not exact in float16.
fn values(count: usize, salt: f32) -> Vec<f32> {
    (0..count).map(|at| salt + (at as f32 * 0.37).sin() * 3.0 + at as f32 * 0.01).collect()
}

fn piece(kind: Kind, tokens: usize, salt: f32) -> Piece {
    Piece { kind, values: values(kind.size(tokens), salt) }
}

/// An example with a piece of every kind.
fn kept(tokens: usize) -> Kept {
    let mut features: [Vec<Option<Piece>>; 6] = Default::default();
    for (index, (feature, layers)) in FEATURES.into_iter().zip(&mut features).enumerate() {
        let kind = match feature {
            MatchFeature::Attention => Kind::Pairs { heads: 2, flat: false },
            MatchFeature::AttentionScores => Kind::Pairs { heads: 1, flat: true },
            _ => Kind::Tokens { width: 3 },
        };
        let layer = |layer: usize| piece(kind, tokens, (10 * index + layer) as f32);
        *layers = vec![Some(layer(0)), None, Some(layer(2))];
    }
    Kept {
        tokens,
        aligned: true,
        logits: vec![
            piece(Kind::Text { width: 7 }, tokens, 1.0),
            piece(Kind::Tokens { width: 5 }, tokens, 2.0),
            piece(Kind::Places, tokens, 3.0),
        ],
        logits_mask: vec![piece(Kind::Mask, tokens, 4.0)],
        features,
    }
}

const HALF_TOP: Storage = Storage { precision: Precision::F16, top_k: Some(2) };

fn storages() -> [Storage; 4] {
    let f32 = Storage::default();
    let f16 = Storage { precision: Precision::F16, top_k: None };
    [f32, f16, Storage { top_k: Some(2), ..f32 }, HALF_TOP]
}

#[test]
fn every_kind_comes_back_to_the_last_bit() {
    let whole = kept(4);
    let record = whole.encode(Storage::default()).unwrap();
    assert_eq!(Kept::decode(&record), Some(whole));
    let without_tokens = Kept {
        tokens: 0,
        aligned: false,
        logits: vec![piece(Kind::Text { width: 2 }, 0, 0.5)],
        logits_mask: Vec::new(),
        features: Default::default(),
    };
    let record = without_tokens.encode(Storage::default()).unwrap();
    assert_eq!(Kept::decode(&record), Some(without_tokens));
}

#[test]
fn odd_numbers_come_back_as_they_are() {
    let odd = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, f32::MIN_POSITIVE / 2.0];
    let one = Kept {
        logits: vec![Piece { kind: Kind::Text { width: odd.len() }, values: odd.clone() }],
        ..kept(1)
    };
    let found = Kept::decode(&one.encode(Storage::default()).unwrap()).unwrap();
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&found.logits[0].values), bits(&odd));
    let half = Storage { precision: Precision::F16, top_k: None };
    let found = Kept::decode(&one.encode(half).unwrap()).unwrap().logits[0].values.clone();
    assert!(found[0].is_nan() && found[1] == f32::INFINITY && found[2] == f32::NEG_INFINITY, "{found:?}");
}

#[test]
fn float16_rounds_to_eleven_bits_and_refuses_what_it_cannot_hold() {
    let whole = kept(4);
    let half = Storage { precision: Precision::F16, top_k: None };
    let found = Kept::decode(&whole.encode(half).unwrap()).unwrap();
    let pairs = whole.pieces().zip(found.pieces()).filter_map(|((a, _), (b, _))| a.zip(b));
    let mut differs = false;
    for (expected, found) in pairs.flat_map(|(a, b)| a.values.iter().zip(&b.values)) {
        assert!((expected - found).abs() <= expected.abs() / 2048.0 + 1e-7, "{expected} became {found}");
        differs |= expected != found;
    }
    assert!(differs, "float16 rounds");
    // What was rounded once is not rounded again.
    assert_eq!(Kept::decode(&found.encode(half).unwrap()), Some(found));

    let mut large = whole;
    large.features[0][2].as_mut().unwrap().values[1] = -70_000.0;
    assert_eq!(large.encode(half), Err(BeyondHalf(-70_000.0)));
}

#[test]
fn the_largest_logits_are_kept_of_rows_and_nothing_else_is_changed() {
    let whole = kept(3);
    let storage = Storage { precision: Precision::F32, top_k: Some(2) };
    let found = Kept::decode(&whole.encode(storage).unwrap()).unwrap();
    assert_eq!(found.features, whole.features);
    assert_eq!((&found.logits[2], &found.logits_mask), (&whole.logits[2], &whole.logits_mask));
    for at in 0..2 {
        let width = if at == 0 { 7 } else { 5 };
        for (found, row) in found.logits[at].values.chunks(width).zip(whole.logits[at].values.chunks(width)) {
            let (largest, rest) = largest(row, 2);
            let mut expected = vec![rest; width];
            for (place, value) in largest {
                expected[place as usize] = value;
            }
            assert_eq!(found, expected);
        }
    }
    // As many as there are, or more, are all of them.
    for k in [7, 100] {
        let all = Storage { top_k: Some(k), ..storage };
        assert_eq!(Kept::decode(&whole.encode(all).unwrap()), Some(whole.clone()));
    }
}

#[test]
fn the_size_told_before_is_the_size_it_takes() {
    for storage in storages() {
        let mut size = KeptSize::new(storage);
        size.logits_of_text(7);
        size.logits_of_tokens(5);
        size.places();
        size.places();
        for feature in FEATURES {
            for is_kept in [true, false, true] {
                match feature {
                    _ if !is_kept => size.left_out(),
                    MatchFeature::Attention => size.pairs(2),
                    MatchFeature::AttentionScores => size.pairs(1),
                    _ => size.tokens(3),
                }
            }
        }
        for tokens in [1, 2, 9] {
            let record = kept(tokens).encode(storage).unwrap();
            assert_eq!(size.bytes(tokens as u64), record.len() as u64, "{storage:?}, {tokens} tokens");
        }
    }
}

#[test]
fn a_record_that_is_cut_off_or_too_long_is_none() {
    for storage in storages() {
        let record = kept(2).encode(storage).unwrap();
        for length in 0..record.len() {
            assert_eq!(Kept::decode(&record[..length]), None, "{storage:?}, {length} bytes");
        }
        assert_eq!(Kept::decode(&[record.as_slice(), &[0]].concat()), None);
    }
}

#[test]
fn sizes_that_no_machine_holds_are_refused_before_memory_is_taken() {
    let mut record = vec![0xff, 0xff, 0xff, 0xff, 0];
    record.extend([1u16, 0, 0, 0, 0, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes));
    let piece = |code: u8, width: u32, k: u32| {
        [&[code][..], &width.to_le_bytes(), &k.to_le_bytes(), &[0; 64]].concat()
    };
    for (code, width, k) in [(4, u32::MAX, 1), (5, u32::MAX, 0), (4, 2, 1), (3, 0, 0), (1, u32::MAX, 1)] {
        assert_eq!(Kept::decode(&[record.as_slice(), &piece(code, width, k)].concat()), None);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        at in 0usize..1000,
    ) {
        Kept::decode(&bytes);
        for storage in [Storage::default(), HALF_TOP] {
            let mut record = kept(2).encode(storage).unwrap();
            let at = at % record.len();
            let end = (at + bytes.len() / 16).min(record.len());
            record[at..end].copy_from_slice(&bytes[..end - at]);
            Kept::decode(&record);
        }
    }
}
