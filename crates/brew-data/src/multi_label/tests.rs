use std::path::PathBuf;

use brew_random::Key;
use brew_testkit::real_data;

use super::*;
use crate::{Layout, LayoutOptions, MultiLabelReport, Split};

fn read(name: &str, content: &str, file: &TextFileSpec, spec: &MultiLabelSpec) -> Vec<MultiLabelExample> {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    read_multi_label_examples(&path, file, spec).unwrap()
}

fn labels(examples: &[MultiLabelExample]) -> Vec<Option<Vec<&str>>> {
    examples
        .iter()
        .map(|example| example.labels.as_ref().map(|labels| labels.iter().map(String::as_str).collect()))
        .collect()
}

#[test]
fn lists_of_labels_in_tables() {
    let content = "\u{feff}good\t4,27\tid1\r\nbad\t 3 \tid2\r\nnew\t\tid3";
    let read_with = |spec: &MultiLabelSpec| read("a.tsv", content, &TextFileSpec::default(), spec);
    let examples = read_with(&MultiLabelSpec::default());
    assert_eq!(labels(&examples), [Some(vec!["4", "27"]), Some(vec!["3"]), None]);
    assert_eq!((examples[1].id, examples[1].origin.line, examples[1].text.as_str()), (1, 2, "bad"));
    let none = MultiLabelSpec { empty_means_none: true, ..MultiLabelSpec::default() };
    assert_eq!(labels(&read_with(&none))[2], Some(vec![]));
    let semicolons = MultiLabelSpec { separator: "; ".to_owned(), ..MultiLabelSpec::default() };
    let examples = read("a.csv", "text,label\nx,\"joy; anger\"\n", &TextFileSpec::default(), &semicolons);
    assert_eq!(labels(&examples), [Some(vec!["joy", "anger"])]);
}

#[test]
fn lists_of_labels_in_json() {
    let content = "{\"text\": \"a\", \"label\": [\"joy\", 3]}\n{\"text\": \"b\", \"label\": []}\n\
                   {\"text\": \"c\", \"label\": null}\n{\"text\": \"d\"}\n{\"text\": \"e\", \"label\": \"x,y\"}\n";
    let examples = read("a.jsonl", content, &TextFileSpec::default(), &MultiLabelSpec::default());
    assert_eq!(labels(&examples), [Some(vec!["joy", "3"]), Some(vec![]), None, None, Some(vec!["x", "y"])]);
}

#[test]
fn the_label_column_may_be_called_labels() {
    for (name, content) in [
        ("a.tsv", "labels\ttext\nx,y\tjoy!\n"),
        ("a.csv", "text,labels\njoy!,\"x,y\"\n"),
        ("a.jsonl", "{\"text\": \"joy!\", \"labels\": [\"x\", \"y\"]}\n"),
    ] {
        let file = TextFileSpec { text: "text".into(), ..TextFileSpec::default() };
        let examples = read(name, content, &file, &MultiLabelSpec::default());
        assert_eq!(
            (examples[0].text.as_str(), labels(&examples)),
            ("joy!", vec![Some(vec!["x", "y"])]),
            "{name}"
        );
    }
}

#[test]
fn labels_become_flags_by_name_and_by_number() {
    let content = "a\tjoy,anger\nb\t1\nc\t\n";
    let raw = read("a.tsv", content, &TextFileSpec::default(), &MultiLabelSpec::default());
    let set = LabelSet::new(["anger", "joy"]).unwrap();
    let targets: Vec<_> =
        flag_examples(&raw, &set).unwrap().into_iter().map(|example| example.target).collect();
    let flags = |flags: &[bool]| Some(Target::Flags(flags.to_vec()));
    assert_eq!(targets, [flags(&[true, true]), flags(&[false, true]), None]);
    assert_eq!(multi_label_set(&raw).unwrap().names(), ["1", "anger", "joy"]);

    let raw = read("a.tsv", "a\tjoy,angr\n", &TextFileSpec::default(), &MultiLabelSpec::default());
    let error = flag_examples(&raw, &set).unwrap_err().to_string();
    assert!(
        error.ends_with("unknown label `angr` (did you mean `anger`?); the labels are `anger`, `joy`"),
        "{error}"
    );
    let raw = read("a.tsv", "a\t2\n", &TextFileSpec::default(), &MultiLabelSpec::default());
    assert!(flag_examples(&raw, &set).is_err(), "there is no label of number 2");
}

#[test]
fn an_empty_separator_is_refused() {
    let spec = MultiLabelSpec { separator: String::new(), ..MultiLabelSpec::default() };
    let result = read_multi_label_examples("a.tsv".as_ref(), &TextFileSpec::default(), &spec);
    assert!(matches!(result, Err(DataError::EmptySeparator)));
}

/// F1 of each label and of all, by the report.
fn scores(logits: &[f32], gold: &[Vec<bool>], thresholds: &Thresholds) -> MultiLabelReport {
    let names = LabelSet::new((0..thresholds.values().len()).map(|label| label.to_string())).unwrap();
    MultiLabelReport::new(&thresholds.flags(logits), gold, &names).unwrap()
}

#[test]
fn chosen_thresholds_are_the_best_of_every_possible_one() {
    let mut stream = Key::new(8).purpose("thresholds").stream();
    for _ in 0..200 {
        let (examples, labels) = (1 + stream.below(12), 1 + stream.below(4));
        // Few distinct logits, so that there are ties.
        let logits: Vec<f32> = (0..examples * labels).map(|_| stream.below(9) as f32 - 4.0).collect();
        let gold: Vec<Vec<bool>> =
            (0..examples).map(|_| (0..labels).map(|_| stream.below(3) == 0).collect()).collect();
        let candidates: Vec<f64> =
            (-10..=9).map(|half| 1.0 / (1.0 + (-f64::from(half) - 0.5).exp())).collect();
        let uniform = |threshold: f64| scores(&logits, &gold, &Thresholds::uniform(threshold, labels));

        let most = |score: &dyn Fn(&MultiLabelReport) -> f64| {
            candidates.iter().map(|&threshold| score(&uniform(threshold))).fold(0.0, f64::max)
        };
        let found = Thresholds::best_of_all(&logits, &gold, labels, F1Average::Micro).unwrap();
        let micro = scores(&logits, &gold, &found).micro_f1;
        assert!((micro - most(&|report| report.micro_f1)).abs() < 1e-9, "{logits:?} {gold:?} {found:?}");
        let found = Thresholds::best_of_all(&logits, &gold, labels, F1Average::Macro).unwrap();
        let mean = scores(&logits, &gold, &found).macro_f1;
        assert!((mean - most(&|report| report.macro_f1)).abs() < 1e-9, "{logits:?} {gold:?} {found:?}");

        let found = Thresholds::best_of_each(&logits, &gold, labels).unwrap();
        let report = scores(&logits, &gold, &found);
        for label in 0..labels {
            let best = most(&|report| report.per_label[label].scores.f1);
            assert!((report.per_label[label].scores.f1 - best).abs() < 1e-9, "{logits:?} {gold:?} {found:?}");
        }
    }
}

#[test]
fn a_label_that_never_holds_keeps_the_usual_threshold() {
    let gold = [[false, true], [false, false]];
    let found = Thresholds::best_of_each(&[1.0, -2.0, 3.0, -5.0], &gold, 2).unwrap();
    assert_eq!(found.values()[0], 0.5);
    assert!(found.values()[1] < 0.12 && found.values()[1] > 0.007, "{found:?}");
    assert_eq!(serde_json::to_string(&Thresholds::uniform(0.25, 2)).unwrap(), "[0.25,0.25]");
}

#[test]
fn extreme_logits_have_a_threshold_between_them() {
    let gold = [[true], [false], [false]];
    for logits in [[80.0f32, 30.0, 0.0], [-600.0, -700.0, -710.0], [f32::INFINITY, 20.0, f32::NAN]] {
        let found = Thresholds::best_of_each(&logits, &gold, 1).unwrap();
        assert_eq!(found.flags(&logits), [[true], [false], [false]], "{logits:?} {found:?}");
    }
}

#[test]
fn thresholds_refuse_what_does_not_fit() {
    let error = Thresholds::best_of_each(&[1.0, 2.0], &[[true]], 1).unwrap_err();
    assert!(matches!(error, DataError::DifferentLengths { predictions: 2, labels: 1 }));
    let error = Thresholds::best_of_all(&[1.0, 2.0], &[[true, false], [true, false]], 1, F1Average::Micro)
        .unwrap_err();
    assert!(matches!(error, DataError::FlagCount { example: 0, found: 2, expected: 1 }));
}

#[test]
fn goemotions_has_the_rows_it_should() {
    let Some(folder) = real_data("goemotions") else { return };
    for (split, rows) in [(Split::Train, 43_410), (Split::Dev, 5_426), (Split::Test, 5_427)] {
        let (raw, set) =
            Layout::Goemotions.read_multi_label(&folder, split, &LayoutOptions::default()).unwrap();
        let set = set.unwrap();
        assert_eq!((raw.len(), set.len()), (rows, 28), "{split:?}");
        let examples = flag_examples(&raw, &set).unwrap();
        if split == Split::Train {
            let flags = |example: &TargetedExample| match &example.target {
                Some(Target::Flags(flags)) => flags.clone(),
                other => panic!("{other:?}"),
            };
            let several =
                |example: &&TargetedExample| flags(example).iter().filter(|&&flag| flag).count() > 1;
            assert_eq!(examples.iter().filter(several).count(), 7_102);
            for (label, count) in [("grief", 77), ("pride", 111), ("relief", 153)] {
                let index = set.index(label).unwrap();
                assert_eq!(examples.iter().filter(|example| flags(example)[index]).count(), count, "{label}");
            }
        }
    }
}

#[test]
fn a_number_among_names_of_numbers_is_a_name() {
    let row = |labels: &[&str]| MultiLabelExample {
        id: 0,
        text: "a".into(),
        text_pair: None,
        labels: Some(labels.iter().map(ToString::to_string).collect()),
        origin: crate::RawExample::new(0, "a").origin,
    };
    let names = LabelSet::new(["1", "2", "5", "7"]).unwrap();
    let target = &flag_examples(&[row(&["2", "7"])], &names).unwrap()[0].target;
    assert_eq!(target, &Some(Target::Flags(vec![false, true, false, true])));
    // The fourth label is `7`, but `3` is none of them.
    let error = flag_examples(&[row(&["3"])], &names).unwrap_err().to_string();
    assert!(error.contains("unknown label `3`"), "{error}");
}
