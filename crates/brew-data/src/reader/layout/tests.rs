use std::path::{Path, PathBuf};

use brew_testkit::real_data;
use tempfile::TempDir;

use super::*;
use crate::{Target, label_examples, value_examples};

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

fn read(layout: Layout, files: &[(&str, &str)], split: Split) -> LayoutRows {
    layout.read(folder(files).path(), split, &LayoutOptions::default()).unwrap()
}

/// Text, second text and label of each example.
fn plain(rows: &LayoutRows) -> Vec<(&str, Option<&str>, Option<&str>)> {
    for (at, example) in rows.examples.iter().enumerate() {
        assert_eq!(example.id, at as u64);
    }
    rows.examples.iter().map(|e| (e.text.as_str(), e.text_pair.as_deref(), e.label.as_deref())).collect()
}

#[test]
fn cola_has_a_header_in_its_test_set_only() {
    let train = "gj04\t1\t\tOur friends won't buy this \"analysis\".\ngj04\t0\t*\tThey drank the pub.\n";
    let test = "index\tsentence\n0\tBill whistled past the house.\n";
    let files = [("train.tsv", train), ("test.tsv", test)];
    assert_eq!(
        plain(&read(Layout::Cola, &files, Split::Train)),
        [
            ("Our friends won't buy this \"analysis\".", None, Some("1")),
            ("They drank the pub.", None, Some("0"))
        ]
    );
    assert_eq!(
        plain(&read(Layout::Cola, &files, Split::Test)),
        [("Bill whistled past the house.", None, None)]
    );
}

#[test]
fn sst2_with_and_without_a_header() {
    let expected = [("a fine film ", None, Some("1")), ("dull", None, Some("0"))];
    for content in ["sentence\tlabel\na fine film \t1\ndull\t0\n", "a fine film \t1\ndull\t0\n"] {
        assert_eq!(plain(&read(Layout::Sst2, &[("train.tsv", content)], Split::Train)), expected);
    }
    let test = [("test.tsv", "index\tsentence\n0\tuneasy\n")];
    assert_eq!(plain(&read(Layout::Sst2, &test, Split::Test)), [("uneasy", None, None)]);
}

#[test]
fn mrpc_by_glue_and_by_microsoft() {
    let train = "\u{feff}Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n1\t702876\t702977\tHe said \"no.\tHe said no.\r\n";
    let test = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n0\t1\t2\tOne.\tTwo.\r\n";
    for name in ["train.tsv", "msr_paraphrase_train.txt", "msr-para-train.tsv"] {
        let rows = read(Layout::Mrpc, &[(name, train)], Split::Train);
        assert_eq!(plain(&rows), [("He said \"no.", Some("He said no."), Some("1"))]);
    }
    let rows = read(Layout::Mrpc, &[("test.tsv", test)], Split::Test);
    assert_eq!(plain(&rows), [("One.", Some("Two."), None)]);
}

#[test]
fn qqp_counts_its_broken_rows() {
    let train = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tHow?\tHow so?\t1\n7\t3\t4\tWhy\n9\t5\t6\tWho?\tWhere?\t0\n";
    let rows = read(Layout::Qqp, &[("train.tsv", train)], Split::Train);
    assert_eq!(plain(&rows), [("How?", Some("How so?"), Some("1")), ("Who?", Some("Where?"), Some("0"))]);
    assert_eq!((rows.broken, rows.to_string().as_str()), (1, "2 examples, 1 that lack columns left out"));
    let test = [("test.tsv", "id\tquestion1\tquestion2\n0\tHow?\tHow so?\n")];
    assert_eq!(plain(&read(Layout::Qqp, &test, Split::Test)), [("How?", Some("How so?"), None)]);
}

#[test]
fn stsb_has_numbers() {
    let train = "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n\
                 0\tmain-captions\tMSRvid\t2012test\t0001\tnone\tnone\tA plane takes off.\tAn air plane takes off.\t4.750\n";
    let rows = read(Layout::Stsb, &[("train.tsv", train)], Split::Train);
    assert_eq!(plain(&rows), [("A plane takes off.", Some("An air plane takes off."), Some("4.750"))]);
    assert_eq!(value_examples(&rows.examples).unwrap()[0].target, Some(Target::Value(4.75)));
    assert_eq!((Layout::Stsb.task(), Layout::Stsb.labels()), (LayoutTask::Regression, None));
}

#[test]
fn mnli_drops_rows_without_agreement_and_tells_its_dev_sets_apart() {
    let head = "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2";
    let row = |n: usize, label: &str| {
        format!(
            "{n}\t31193\t31193n\tgovernment\t( a b )\t( c d )\t(ROOT a)\t(ROOT b)\tPremise {n}\tHypothesis {n}\t{label}\n"
        )
    };
    let train = format!("{head}\tlabel1\tgold_label\n{}", row(0, "neutral\tneutral"));
    let matched = format!(
        "{head}\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n{}{}",
        row(1, "neutral\tentailment\tneutral\tentailment\tcontradiction\t-"),
        row(2, "a\tb\tc\td\te\tentailment")
    );
    let mismatched = matched.replace("entailment\n", "contradiction\n");
    let test = format!("{head}\n{}", row(3, "").replace("\t\n", "\n"));
    let files = [
        ("train.tsv", train.as_str()),
        ("dev_matched.tsv", &matched),
        ("dev_mismatched.tsv", &mismatched),
        ("test_matched.tsv", &test),
        ("test_mismatched.tsv", &test),
    ];
    assert_eq!(
        plain(&read(Layout::Mnli, &files, Split::Train)),
        [("Premise 0", Some("Hypothesis 0"), Some("neutral"))]
    );
    let dev = read(Layout::Mnli, &files, Split::Dev);
    assert_eq!(plain(&dev), [("Premise 2", Some("Hypothesis 2"), Some("entailment"))]);
    assert_eq!(dev.without_agreement, 1);
    assert_eq!(dev.examples[0].origin.line, 3);
    let dev = read(Layout::Mnli, &files, Split::DevMismatched);
    assert_eq!(dev.examples[0].label.as_deref(), Some("contradiction"));
    for split in [Split::Test, Split::TestMismatched] {
        assert_eq!(plain(&read(Layout::Mnli, &files, split)), [("Premise 3", Some("Hypothesis 3"), None)]);
    }
}

#[test]
fn mnli_as_its_authors_publish_it() {
    let table = "gold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\tpromptID\tpairID\tgenre\tlabel1\n\
                 entailment\t(\t(\t(\t(\tA premise.\tA hypothesis.\t1\t1e\tfiction\tentailment\n";
    let lines = r#"{"annotator_labels": ["neutral"], "genre": "fiction", "gold_label": "entailment", "pairID": "1e", "promptID": "1", "sentence1": "A premise.", "sentence1_parse": "(", "sentence2": "A hypothesis."}
{"gold_label": "-", "sentence1": "x", "sentence2": "y"}
"#;
    for (name, content, dropped) in
        [("multinli_1.0_dev_matched.txt", table, 0), ("multinli_1.0_dev_matched.jsonl", lines, 1)]
    {
        let rows = read(Layout::Mnli, &[(name, content)], Split::Dev);
        assert_eq!(plain(&rows), [("A premise.", Some("A hypothesis."), Some("entailment"))], "{name}");
        assert_eq!(rows.without_agreement, dropped);
    }
}

#[test]
fn qnli_rte_and_wnli() {
    let qnli = [("dev.tsv", "index\tquestion\tsentence\tlabel\n0\tWho?\tHe \"did.\tnot_entailment\n")];
    let rows = read(Layout::Qnli, &qnli, Split::Dev);
    assert_eq!(plain(&rows), [("Who?", Some("He \"did."), Some("not_entailment"))]);
    for layout in [Layout::Rte, Layout::Wnli] {
        let label = &layout.labels().unwrap().names()[1].clone();
        let content = format!("index\tsentence1\tsentence2\tlabel\n0\tOne.\tTwo.\t{label}\n");
        let rows = read(layout, &[("train.tsv", content.as_str())], Split::Train);
        assert_eq!(plain(&rows), [("One.", Some("Two."), Some(label.as_str()))]);
        assert_eq!(label_examples(&rows.examples, &layout.labels().unwrap()).unwrap()[0].label, Some(1));
    }
}

#[test]
fn xnli_keeps_one_language_and_reads_the_translated_train_file() {
    let head = "language\tgold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\tsentence2_parse\tsentence1\tsentence2\tpromptID\tpairID\tgenre\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tsentence1_tokenized\tsentence2_tokenized\tmatch\n";
    let row = |language: &str, label: &str, one: &str, two: &str| {
        format!("{language}\t{label}\t\t\t\t\t{one}\t{two}\t1\t1\tfacetoface\tx\tx\tx\tx\tx\tt\tt\tTrue\n")
    };
    let dev = format!(
        "{head}{}{}{}",
        row("en", "neutral", "And he said", "He called"),
        row("zh", "contradiction", "他说", "他没说"),
        row("zh", "-", "好", "坏")
    );
    let train =
        "premise\thypo\tlabel\n我们 在 那里\t我们 不 在\tcontradictory\n他 来 了\t他 来\tentailment\n";
    let files =
        [("XNLI-1.0/xnli.dev.tsv", dev.as_str()), ("XNLI-MT-1.0/multinli/multinli.train.zh.tsv", train)];
    let rows = read(Layout::Xnli, &files, Split::Dev);
    assert_eq!(plain(&rows), [("他说", Some("他没说"), Some("contradiction"))]);
    assert_eq!((rows.other_languages, rows.without_agreement), (1, 1));
    let line = |language: &str| {
        let row =
            format!(r#"{{"language":"{language}","gold_label":"neutral","sentence1":"a","sentence2":"b"}}"#);
        row + "\n"
    };
    let lines = line("en") + &line("zh") + &line("de");
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("xnli.dev.jsonl");
    std::fs::write(&file, lines).unwrap();
    let rows = Layout::Xnli.read(&file, Split::Dev, &LayoutOptions::default()).unwrap();
    assert_eq!((plain(&rows).len(), rows.other_languages), (1, 2));
    let rows = read(Layout::Xnli, &files, Split::Train);
    assert_eq!(
        plain(&rows),
        [
            ("我们 在 那里", Some("我们 不 在"), Some("contradiction")),
            ("他 来 了", Some("他 来"), Some("entailment"))
        ]
    );
    let english = LayoutOptions { language: "en".to_owned(), ..LayoutOptions::default() };
    let rows = Layout::Xnli.read(folder(&files).path(), Split::Dev, &english).unwrap();
    assert_eq!(plain(&rows), [("And he said", Some("He called"), Some("neutral"))]);
    let french = LayoutOptions { language: "fr".to_owned(), ..LayoutOptions::default() };
    let error = Layout::Xnli.read(folder(&files).path(), Split::Dev, &french).unwrap_err().to_string();
    assert!(error.contains("3 of other languages left out: nothing is left; are `language`"), "{error}");
}

#[test]
fn lcqmc_with_and_without_a_header() {
    let body = "喜欢打篮球的男生\t爱打篮球的男生\t1\n我手机丢了\t我想换个手机\t0\n";
    for content in [body.to_owned(), format!("text_a\ttext_b\tlabel\n{body}"), body.replace('\n', "\r\n")] {
        let rows = read(Layout::Lcqmc, &[("train.tsv", content.as_str())], Split::Train);
        assert_eq!(
            plain(&rows),
            [
                ("喜欢打篮球的男生", Some("爱打篮球的男生"), Some("1")),
                ("我手机丢了", Some("我想换个手机"), Some("0"))
            ]
        );
    }
    let test = [("test.tsv", "谁有狂三这张图\t谁有这张图\n")];
    assert_eq!(
        plain(&read(Layout::Lcqmc, &test, Split::Test)),
        [("谁有狂三这张图", Some("谁有这张图"), None)]
    );
}

#[test]
fn afqmc_as_json_lines_and_as_a_table() {
    let lines =
        "{\"sentence1\": \"双十一花呗提额在哪\", \"sentence2\": \"里可以提花呗额度\", \"label\": \"0\"}\n";
    let table = "双十一花呗提额在哪\t里可以提花呗额度\t0\n";
    for file in [("dev.json", lines), ("dev.txt", table)] {
        assert_eq!(
            plain(&read(Layout::Afqmc, &[file], Split::Dev)),
            [("双十一花呗提额在哪", Some("里可以提花呗额度"), Some("0"))]
        );
    }
    let test = [("test.json", "{\"id\": 0, \"sentence1\": \"一\", \"sentence2\": \"二\"}\n")];
    assert_eq!(plain(&read(Layout::Afqmc, &test, Split::Test)), [("一", Some("二"), None)]);
}

#[test]
fn chnsenticorp_by_position_and_by_header_and_without_what_train_has() {
    let train =
        [("train.tsv", "好酒店\tpositive\n差\tnegative\n"), ("dev.tsv", "好酒店 \tnegative\n新\tpositive\n")];
    assert_eq!(plain(&read(Layout::Chnsenticorp, &train, Split::Train))[1], ("差", None, Some("negative")));
    let headed = [("dev.tsv", "qid\tlabel\ttext_a\n0\t1\t\"好\"酒店\n")];
    assert_eq!(plain(&read(Layout::Chnsenticorp, &headed, Split::Dev)), [("\"好\"酒店", None, Some("1"))]);

    let options = LayoutOptions { drop_seen: true, ..LayoutOptions::default() };
    let folder = folder(&train);
    for path in [folder.path().to_owned(), folder.path().join("dev.tsv")] {
        let rows = Layout::Chnsenticorp.read(&path, Split::Dev, &options).unwrap();
        assert_eq!(plain(&rows), [("新", None, Some("positive"))]);
        assert_eq!(rows.to_string(), "1 examples, 1 that are in train as well left out");
    }
    let rows = Layout::Chnsenticorp.read(folder.path(), Split::Train, &options).unwrap();
    assert_eq!((rows.examples.len(), rows.seen), (2, 0));
}

#[test]
fn goemotions_with_its_names() {
    let files = [("train.tsv", "Thanks!\t0,2\teebbqej\n"), ("labels.txt", "gratitude\ngrief\njoy\n")];
    let (examples, labels) = Layout::Goemotions
        .read_multi_label(folder(&files).path(), Split::Train, &LayoutOptions::default())
        .unwrap();
    let examples = crate::flag_examples(&examples, &labels.unwrap()).unwrap();
    assert_eq!(examples[0].target, Some(Target::Flags(vec![true, false, true])));
}

#[test]
fn tagged_sets_by_their_usual_names() {
    for (layout, name, content, tags) in [
        (Layout::Conll2003, "eng.testa", "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\n", "B-ORG"),
        (Layout::Conll2003, "valid.txt", "EU NNP B-NP B-ORG\nis VBZ B-VP O\n", "B-ORG O"),
        (Layout::Wnut17, "emerging.dev.conll", "Kim\tB-person\nsings\tO\n\t\n", "B-person O"),
        (Layout::ResumeNer, "dev.char.bmes", "常 建\tB-NAME E-NAME\n", "B-NAME E-NAME"),
        (Layout::MsraNer, "dev.txt", "当 O\n京 B-LOC\n城 I-LOC\n", "O B-LOC I-LOC"),
    ] {
        let file = layout
            .read_tagged(folder(&[(name, content)]).path(), Split::Dev, &LayoutOptions::default())
            .unwrap();
        assert_eq!(file.examples[0].tags.as_ref().unwrap().join(" "), tags, "{name}");
    }
}

#[test]
fn a_missing_part_says_what_was_looked_for_and_what_is_there() {
    let folder = folder(&[("train.tsv", "x\t1\n"), ("notes.md", "")]);
    let error = Layout::Sst2.read(folder.path(), Split::Dev, &LayoutOptions::default()).unwrap_err();
    let text = error.to_string();
    let text = text.strip_prefix(&folder.path().display().to_string()).unwrap();
    assert_eq!(
        text,
        ": no dev file of sst2: looked for `dev.tsv`, `dev.txt`, `dev.jsonl`, `dev.json`; \
         the folder holds `notes.md`, `train.tsv`"
    );
    let error = Layout::Rte.read(folder.path(), Split::DevMismatched, &LayoutOptions::default());
    assert!(error.unwrap_err().to_string().contains("looked for nothing"));
    let error = Layout::Rte.read(Path::new("/nowhere"), Split::Dev, &LayoutOptions::default());
    assert!(matches!(error, Err(DataError::Missing { .. })));
}

#[test]
fn a_file_of_another_layout_is_refused() {
    let file = folder(&[("dev.tsv", "index\tsentence1\tsentence_2\tlabel\n0\ta\tb\tc\n")]);
    let error = Layout::Rte.read(file.path(), Split::Dev, &LayoutOptions::default()).unwrap_err().to_string();
    assert!(
        error.contains("line 1") && error.contains("sentence2") && error.contains("`sentence_2`"),
        "{error}"
    );
    let error = Layout::Mnli.read(file.path(), Split::Train, &LayoutOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::MissingSplit { layout: "mnli", split: "train", .. }), "{error}");
    let lines = folder(&[("dev.json", "{\"sentence1\": \"a\", \"text\": \"b\"}\n")]);
    let error = Layout::Afqmc.read(lines.path(), Split::Dev, &LayoutOptions::default()).unwrap_err();
    assert!(matches!(error, DataError::UnknownColumn { ref name, .. } if name == "sentence2"), "{error}");
    let error = Layout::Wnut17.read(lines.path(), Split::Dev, &LayoutOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "the layout wnut17 is one of tagged words, read with `read_tagged`");
}

#[test]
fn every_layout_has_a_name_and_files_for_its_parts() {
    for layout in Layout::ALL {
        assert_eq!(layout.name().parse::<Layout>().unwrap(), layout);
        let text = format!("\"{}\"", layout.name());
        assert_eq!(serde_json::from_str::<Layout>(&text).unwrap(), layout);
        assert_eq!(serde_json::to_string(&layout).unwrap(), text);
        for &split in layout.splits() {
            let empty = tempfile::tempdir().unwrap();
            let names = match layout.find(empty.path(), split, &LayoutOptions::default()).unwrap_err() {
                DataError::MissingSplit { names, .. } => names,
                other => panic!("{other}"),
            };
            assert!(!names.is_empty(), "{layout} {split:?}");
            assert!(names.iter().all(|name| !name.contains('{')), "{names:?}");
        }
    }
    assert_eq!("SST-2".parse::<Layout>().unwrap(), Layout::Sst2);
    assert_eq!("STS-B".parse::<Layout>().unwrap(), Layout::Stsb);
    let error = "mnly".parse::<Layout>().unwrap_err().to_string();
    assert!(
        error.starts_with("unknown layout `mnly` (did you mean `mnli`?); the layouts are `cola`"),
        "{error}"
    );
    assert!(Layout::Mnli.is_pair() && !Layout::Sst2.is_pair() && !Layout::Wnut17.is_pair());
}

fn real(
    layout: Layout,
    split: Split,
    expected: &[(&str, usize)],
    options: &LayoutOptions,
) -> Option<LayoutRows> {
    let path: PathBuf = real_data(layout.name())?;
    let rows = layout.read(&path, split, options).unwrap();
    for &(label, count) in expected {
        let found = rows.examples.iter().filter(|example| example.label.as_deref() == Some(label)).count();
        assert_eq!(found, count, "{layout} {split:?} {label}");
    }
    let all: usize = expected.iter().map(|&(_, count)| count).sum();
    assert_eq!(rows.examples.len(), all, "{layout} {split:?}");
    Some(rows)
}

#[test]
fn real_sets_have_the_rows_they_should() {
    let usual = LayoutOptions::default();
    real(Layout::Sst2, Split::Train, &[("0", 3310), ("1", 3610)], &usual);
    real(Layout::Sst2, Split::Dev, &[("0", 428), ("1", 444)], &usual);
    real(Layout::Sst2, Split::Test, &[("0", 912), ("1", 909)], &usual);
    real(Layout::Mrpc, Split::Train, &[("0", 1169), ("1", 2407)], &usual);
    real(Layout::Mrpc, Split::Dev, &[("0", 154), ("1", 346)], &usual);
    real(Layout::Mrpc, Split::Test, &[("0", 578), ("1", 1147)], &usual);
    real(Layout::Afqmc, Split::Train, &[("0", 23_761), ("1", 10_573)], &usual);
    real(Layout::Afqmc, Split::Dev, &[("0", 2978), ("1", 1338)], &usual);
    real(Layout::Chnsenticorp, Split::Train, &[("negative", 4801), ("positive", 4799)], &usual);
    real(Layout::Chnsenticorp, Split::Dev, &[("negative", 607), ("positive", 593)], &usual);
}

#[test]
fn chnsenticorp_loses_the_dev_texts_that_are_in_train() {
    let Some(folder) = real_data("chnsenticorp") else { return };
    let options = LayoutOptions { drop_seen: true, ..LayoutOptions::default() };
    let rows = Layout::Chnsenticorp.read(&folder, Split::Dev, &options).unwrap();
    assert_eq!((rows.examples.len(), rows.seen), (862, 338));
}
