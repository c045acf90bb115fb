//! The sets and tokenizers of which there is more than a test can make, where they are at hand.

use std::path::PathBuf;

use super::*;
use crate::Target;
use crate::metrics::{QaReport, QaRules};

/// A folder below the one that a variable names, else below `../shared` beside the project; `None`, with a line
/// saying so, where there is none.
fn shared(variable: &str, usual: &str, name: &str) -> Option<PathBuf> {
    let root = match std::env::var_os(variable) {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(usual),
    };
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: no {name} in {}; set {variable}", root.display());
    None
}

fn real(file: &str) -> Option<(Vec<QuestionExample>, ReadReport)> {
    let path = shared("BREW_DATA", "data", file)?;
    Some(read_questions(&path, &QuestionFileSpec::default()).unwrap())
}

#[test]
fn real_sets_have_the_questions_they_should() {
    let counts = |report: &ReadReport| {
        [
            report.titles,
            report.paragraphs,
            report.questions,
            report.answers,
            report.realigned,
            report.unaligned,
        ]
    };
    if let Some((questions, report)) = real("squadshifts/new_wiki_v1.0.json") {
        assert_eq!(counts(&report), [48, 1581, 7938, 22794, 0, 0]);
        let (train, dev) = split_by_title(questions, 40).unwrap();
        assert!(train.len() > dev.len() && train.len() + dev.len() == 7938, "{} {}", train.len(), dev.len());
        assert!(train.iter().all(|a| dev.iter().all(|b| a.title != b.title)));
    }
    if let Some((_, report)) = real("cmrc2018/cmrc2018_dev.json") {
        // 9,457 answers stand where the file says and 7 elsewhere, by which every question has one.
        assert_eq!(counts(&report), [848, 848, 3219, 9657, 7, 193]);
        assert_eq!(report.without_span, 0);
    }
    if let Some((_, report)) = real("cmrc2018/cmrc2018_trial.json") {
        assert_eq!(counts(&report), [256, 256, 1002, 1002, 5, 0]);
    }
    if let Some((_, report)) = real("drcd/DRCD_dev.json") {
        assert_eq!(counts(&report), [383, 1000, 3524, 7048, 0, 0]);
    }
}

/// The answers that the features' own targets decode to, judged. What is lost is lost by the tokenizer.
fn decoded_targets(
    file: &str,
    model: &str,
    rules: QaRules,
    options: &SpanOptions,
) -> Option<(QaReport, WindowReport)> {
    let (questions, _) = real(file)?;
    let folder = shared("BREW_MODELS", "models", model)?;
    let tokenizer = TextTokenizer::from_folder(&folder).unwrap();
    let (features, report) = question_features(&tokenizer, &questions, options).unwrap();
    assert!(features.iter().all(|feature| feature.feature.len() <= options.max_length));
    let logits = |is_end: bool| -> Vec<Vec<f32>> {
        features
            .iter()
            .map(|feature| {
                let mut row = vec![0.0; feature.feature.len()];
                if let Some(Target::Span { start, end }) = feature.feature.target {
                    // As a model that knows the answer and, in windows without it, says so.
                    row[if is_end { end } else { start }] = 10.0;
                }
                row
            })
            .collect()
    };
    let decoding = SpanDecoding { max_answer_length: 400, n_best: 1, null_threshold: None };
    let predictions = decode_spans(&questions, &features, &logits(false), &logits(true), &decoding).unwrap();
    let judged = QaReport::new(rules, &predictions, &questions).unwrap();
    eprintln!("{file}: {report}\n{judged}");
    Some((judged, report))
}

#[test]
fn english_targets_decode_to_the_answers() {
    let file = "squadshifts/new_wiki_v1.0.json";
    let found = decoded_targets(file, "all-MiniLM-L6-v2", QaRules::Squad, &SpanOptions::default());
    let Some((report, spans)) = found else { return };
    assert_eq!((spans.questions, spans.unaligned), (7938, 0));
    // What is left begins or ends within a word.
    assert!(report.exact_match > 0.999, "{report}");
}

#[test]
fn chinese_targets_decode_to_the_answers() {
    let model = "zh-e5-small-char";
    for (file, least) in [
        ("cmrc2018/cmrc2018_dev.json", 0.999),
        // Seven answers are longer than a window.
        ("cmrc2018/cmrc2018_trial.json", 0.99),
        ("drcd/DRCD_dev.json", 0.999),
    ] {
        let found = decoded_targets(file, model, QaRules::Cmrc, &SpanOptions::default());
        let Some((report, spans)) = found else { continue };
        assert_eq!(spans.unaligned, 0, "{file}");
        assert!(report.exact_match > least, "{file}: {report}");
    }
}
