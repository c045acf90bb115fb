use super::*;

/// The features of [`question`] in windows, with logits of 0.
fn decodable() -> (Vec<QuestionExample>, Vec<SpanFeature>, Vec<Vec<f32>>) {
    let questions = vec![question()];
    let (features, _) = question_features(&tokenizer(), &questions, &windowed(13, 3)).unwrap();
    // Two more than there are tokens, as padding leaves them, which must not be looked at.
    let logits = features.iter().map(|f| [vec![0.0; f.feature.len()], vec![99.0; 2]].concat()).collect();
    (questions, features, logits)
}

#[test]
fn the_best_span_over_all_windows_is_the_answer() {
    let (questions, features, zeros) = decodable();
    let (mut starts, mut ends) = (zeros.clone(), zeros);
    // Question and special tokens, an end before its start, and a start without its full context lose.
    starts[1][2] = 50.0;
    ends[1][12] = 50.0;
    ends[1][6] = 20.0; // The full stop, of which the first window shows more.
    starts[2][6] = 40.0; // `the`, of which the second window shows more.
    starts[1][9] = 4.0;
    ends[1][11] = 3.0;
    ends[1][10] = 2.0;
    let decoding = SpanDecoding::default();
    let found = &decode_spans(&questions, &features, &starts, &ends, &decoding).unwrap()[0];
    assert_eq!((found.text.as_str(), found.n_best[0].score), ("the old town", 7.0));
    assert_eq!(found.id, "7");
    let sum: f64 = found.n_best.iter().map(|candidate| candidate.probability).sum();
    assert!((sum - 1.0).abs() < 1e-12);
    assert!(found.n_best.len() <= 20);
    assert_eq!(found.span, Some(20..32));
    assert_eq!(found.n_best[1].score, 6.0);
    assert_eq!(found.n_best[1].text, "the old");
    assert_eq!(found.null_difference, Some(-7.0));

    let short = SpanDecoding { max_answer_length: 2, n_best: 1, ..decoding };
    let found = &decode_spans(&questions, &features, &starts, &ends, &short).unwrap()[0];
    assert_eq!((found.text.as_str(), found.probability, found.n_best.len()), ("the old", 1.0, 1));
}

/// Every span that may be an answer, looked at one by one.
#[test]
fn random_logits_decode_as_by_brute_force() {
    let questions =
        [question(), QuestionExample::new(8, "who?", "Bob saw the river. Ann walked the old town.")];
    let (features, _) = question_features(&tokenizer(), &questions, &windowed(13, 2)).unwrap();
    let mut stream = brew_random::Key::new(5).purpose("qa").stream();
    for round in 0..50 {
        let mut logits = || -> Vec<Vec<f32>> {
            let mut row = |length: usize| (0..length).map(|_| stream.below(1000) as f32 / 50.0).collect();
            features.iter().map(|feature| row(feature.feature.len())).collect()
        };
        let (starts, ends) = (logits(), logits());
        let decoding = SpanDecoding { n_best: 5, max_answer_length: 1 + round % 5, null_threshold: None };
        let found = decode_spans(&questions, &features, &starts, &ends, &decoding).unwrap();
        for (example, prediction) in found.iter().enumerate() {
            let mut scores = Vec::new();
            for (at, feature) in features.iter().enumerate().filter(|(_, feature)| feature.example == example)
            {
                let tokens = feature.context_start..feature.feature.len() - 1;
                for start in tokens.clone().filter(|start| feature.is_max_context[start - tokens.start]) {
                    for end in (start..tokens.end).take(decoding.max_answer_length) {
                        scores.push(f64::from(starts[at][start]) + f64::from(ends[at][end]));
                    }
                }
            }
            scores.sort_by(|a, b| b.total_cmp(a));
            assert_eq!(prediction.n_best[0].score, scores[0]);
            let is_kept = prediction.n_best.iter().all(|candidate| scores[..5].contains(&candidate.score));
            assert!(is_kept, "{prediction:?} {scores:?}");
        }
    }
}

#[test]
fn no_answer_is_given_above_the_threshold() {
    let (questions, features, zeros) = decodable();
    let (mut starts, mut ends) = (zeros.clone(), zeros);
    starts[1][9] = 4.0;
    ends[1][11] = 3.0;
    for row in &mut starts {
        row[0] = 9.0;
    }
    starts[3][0] = 8.0;
    let at = |null_threshold| {
        let decoding = SpanDecoding { null_threshold, ..SpanDecoding::default() };
        decode_spans(&questions, &features, &starts, &ends, &decoding).unwrap().remove(0)
    };
    // The least of the windows scores 8, the answer 7.
    assert_eq!((at(None).text.as_str(), at(None).null_difference), ("the old town", Some(1.0)));
    assert_eq!((at(Some(0.5)).text.as_str(), at(Some(0.5)).span), ("", None));
    assert_eq!(at(Some(0.5)).n_best[0].score, 8.0);
    let kept = at(Some(1.0));
    assert_eq!((kept.text.as_str(), kept.n_best[1].text.as_str()), ("the old town", "the old town"));
    assert_eq!(kept.probability, kept.n_best[1].probability);
}

#[test]
fn logits_that_are_not_numbers_never_win_and_missing_ones_are_an_error() {
    let (questions, features, zeros) = decodable();
    let nan: Vec<Vec<f32>> = zeros.iter().map(|row| vec![f32::NAN; row.len()]).collect();
    let decoding = SpanDecoding::default();
    let found = &decode_spans(&questions, &features, &nan, &nan, &decoding).unwrap()[0];
    assert_eq!((found.text.as_str(), found.probability, found.null_difference), ("", 0.0, None));
    let mut starts = nan.clone();
    starts[1][9] = f32::NEG_INFINITY;
    let found = &decode_spans(&questions, &features, &starts, &zeros, &decoding).unwrap()[0];
    assert!(found.text.starts_with("the"), "{}", found.text);
    assert!(found.probability > 0.0);

    let error = decode_spans(&questions, &features, &zeros[1..], &zeros, &decoding).unwrap_err().to_string();
    assert!(error.starts_with("4 rows of start logits for 5 features"), "{error}");
    let mut short = zeros.clone();
    short[2].truncate(12);
    let error = decode_spans(&questions, &features, &zeros, &short, &decoding).unwrap_err().to_string();
    assert!(error.starts_with("feature 2 has 13 tokens but 12 end logits"), "{error}");
}
