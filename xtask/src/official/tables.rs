//! The tables of results in TextBrewer's README: data sets, teachers, students and their figures.

/// A data set of the tables.
pub(super) struct DataSet {
    /// Its folder below `configs/official/`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) task: &'static str,
    /// What its files are and where to get them.
    pub(super) about: &'static str,
    /// Its files: train, dev and, where there is one, test.
    pub(super) files: [Option<&'static str>; 3],
    /// Lines of `[data]` beyond the files.
    pub(super) data: &'static str,
    pub(super) metrics: &'static [&'static str],
    pub(super) max_length: usize,
    pub(super) batch_size: usize,
    pub(super) teacher: Teacher,
    pub(super) students: Students,
    /// Rows of TextBrewer's table: the name here, and its numbers in the order of the columns.
    pub(super) scores: &'static [(&'static str, &'static [f64])],
}

/// How a teacher is fine-tuned.
pub(super) struct Teacher {
    pub(super) lr: &'static str,
    pub(super) epochs: usize,
}

/// How students are distilled.
pub(super) struct Students {
    pub(super) epochs: usize,
    /// The README: "Learning rate decay is not used in distillation on CMRC 2018 and DRCD".
    pub(super) decays: bool,
    /// Another set whose texts are distilled as well, for the students whose names are here.
    pub(super) augmentation: Option<(&'static str, &'static [&'static str])>,
}

/// A student: its name in the tables and here, how it starts, and its matches.
pub(super) struct Student {
    pub(super) name: &'static str,
    pub(super) model: &'static str,
    pub(super) matches: &'static [&'static str],
}

pub(super) const TEACHER: &str = "teacher";
pub(super) const ELECTRA_TEACHER: &str = "electra-teacher";

pub(super) const STUDENTS: [Student; 7] = [
    Student { name: "BiGRU", model: "preset = \"BiGRU\"\ntokenizer = \"models/PRETRAINED\"", matches: &[] },
    Student {
        name: "T6",
        model: "from = \"models/PRETRAINED\"\nlayers = [0, 1, 2, 3, 4, 5]   # the first ones, as the scripts load them",
        matches: &["L6_hidden_mse", "L6_hidden_smmd"],
    },
    Student {
        name: "T3",
        model: "from = \"models/PRETRAINED\"\nlayers = [0, 1, 2]            # the first ones, as the scripts load them",
        matches: &["L3_hidden_mse", "L3_hidden_smmd"],
    },
    Student {
        name: "T3-small",
        model: "preset = \"T3-small\"\ntokenizer = \"models/PRETRAINED\"",
        matches: &["L3n_hidden_mse", "L3_hidden_smmd"],
    },
    Student {
        name: "T4-tiny",
        model: "preset = \"T4-tiny\"\ntokenizer = \"models/PRETRAINED\"",
        matches: &["L4t_hidden_mse", "L4_hidden_smmd"],
    },
    Student {
        name: "T12-nano",
        model: "preset = \"T12-nano\"\ntokenizer = \"models/PRETRAINED\"",
        matches: &["small_hidden_mse", "small_hidden_smmd"],
    },
    Student {
        name: "Electra-small",
        model: "from = \"models/chinese-electra-small\"",
        matches: &["small_hidden_mse", "small_hidden_smmd"],
    },
];

const CHINESE_QA: &str =
    "questions = { rules = \"cmrc\", max_answer_length = 64, unaligned_as_unlabelled = true }";

pub(super) const SETS: [DataSet; 8] = [
    DataSet {
        name: "mnli",
        title: "MNLI, matched (dev) and mismatched (test)",
        task: "classification",
        about: "MNLI as GLUE distributes it: `cargo xtask download mnli`",
        files: [Some("train.tsv"), Some("dev_matched.tsv"), Some("dev_mismatched.tsv")],
        data: "layout = \"mnli\"",
        metrics: &["accuracy"],
        max_length: 128,
        batch_size: 32,
        teacher: Teacher { lr: "2e-5", epochs: 3 },
        students: Students { epochs: 40, decays: true, augmentation: None },
        scores: &[
            (TEACHER, &[83.7, 84.0]),
            ("T6", &[83.5, 84.0]),
            ("T3", &[81.8, 82.7]),
            ("T3-small", &[81.3, 81.7]),
            ("T4-tiny", &[82.0, 82.6]),
            ("T12-nano", &[83.2, 83.9]),
        ],
    },
    DataSet {
        name: "squad",
        title: "SQuAD 1.1",
        task: "question_answering",
        about: "SQuAD 1.1: `cargo xtask download squad`",
        files: [Some("train-v1.1.json"), Some("dev-v1.1.json"), None],
        data: "",
        metrics: &["exact_match", "f1"],
        max_length: 384,
        batch_size: 32,
        teacher: Teacher { lr: "3e-5", epochs: 2 },
        students: Students {
            epochs: 40,
            decays: true,
            augmentation: Some(("newsqa/newsqa.json", &["T4-tiny"])),
        },
        scores: &[
            (TEACHER, &[81.5, 88.6]),
            ("T6", &[80.8, 88.1]),
            ("T3", &[76.4, 84.9]),
            ("T3-small", &[72.3, 81.4]),
            ("T4-tiny", &[75.2, 84.0]),
            ("T12-nano", &[79.0, 86.6]),
        ],
    },
    DataSet {
        name: "conll2003",
        title: "CoNLL-2003 named entities",
        task: "token_classification",
        about: "CoNLL-2003: `cargo xtask download conll2003`",
        files: [Some("eng.train"), Some("eng.testa"), Some("eng.testb")],
        data: "layout = \"conll2003\"",
        metrics: &["f1"],
        max_length: 128,
        batch_size: 32,
        teacher: Teacher { lr: "5e-5", epochs: 3 },
        students: Students {
            epochs: 40,
            decays: true,
            augmentation: Some(("hotpotqa/hotpotqa.conll", &["T4-tiny", "T12-nano"])),
        },
        scores: &[
            (TEACHER, &[91.1]),
            ("BiGRU", &[85.3]),
            ("T6", &[90.7]),
            ("T3", &[87.5]),
            ("T3-small", &[78.6]),
            ("T4-tiny", &[89.1]),
            ("T12-nano", &[89.6]),
        ],
    },
    DataSet {
        name: "xnli",
        title: "XNLI, Chinese",
        task: "classification",
        about: "XNLI with its machine-translated training set: `cargo xtask download xnli`",
        files: [Some("multinli.train.zh.tsv"), Some("xnli.dev.tsv"), Some("xnli.test.tsv")],
        data: "layout = \"xnli\"\nlayout_options = { language = \"zh\" }",
        metrics: &["accuracy"],
        max_length: 128,
        batch_size: 32,
        teacher: Teacher { lr: "3e-5", epochs: 3 },
        students: Students { epochs: 40, decays: true, augmentation: None },
        scores: &[
            (TEACHER, &[79.9]),
            ("T3", &[78.4]),
            ("T3-small", &[76.0]),
            ("T4-tiny", &[76.2]),
            (ELECTRA_TEACHER, &[77.8]),
            ("Electra-small", &[77.7]),
        ],
    },
    DataSet {
        name: "lcqmc",
        title: "LCQMC",
        task: "classification",
        about: "LCQMC, which its authors give out: `cargo xtask download lcqmc`",
        files: [Some("train.tsv"), Some("dev.tsv"), Some("test.tsv")],
        data: "layout = \"lcqmc\"",
        metrics: &["accuracy"],
        max_length: 128,
        batch_size: 32,
        teacher: Teacher { lr: "3e-5", epochs: 3 },
        students: Students { epochs: 40, decays: true, augmentation: None },
        scores: &[
            (TEACHER, &[89.4]),
            ("T3", &[89.0]),
            ("T3-small", &[88.1]),
            ("T4-tiny", &[88.4]),
            (ELECTRA_TEACHER, &[89.8]),
            ("Electra-small", &[89.3]),
        ],
    },
    DataSet {
        name: "cmrc2018",
        title: "CMRC 2018",
        task: "question_answering",
        about: "CMRC 2018 in SQuAD's layout: `cargo xtask download cmrc2018`",
        files: [Some("cmrc2018_train.json"), Some("cmrc2018_dev.json"), None],
        data: CHINESE_QA,
        metrics: &["exact_match", "f1"],
        max_length: 512,
        batch_size: 24,
        teacher: Teacher { lr: "3e-5", epochs: 2 },
        students: Students {
            epochs: 50,
            decays: false,
            augmentation: Some(("drcd/DRCD_training.json", &["T3", "T3-small", "T4-tiny", "Electra-small"])),
        },
        scores: &[
            (TEACHER, &[68.8, 86.4]),
            ("T3", &[66.4, 84.2]),
            ("T3-small", &[58.0, 79.3]),
            ("T4-tiny", &[61.8, 81.8]),
            (ELECTRA_TEACHER, &[65.6, 84.7]),
            ("Electra-small", &[66.5, 84.9]),
        ],
    },
    DataSet {
        name: "drcd",
        title: "DRCD",
        task: "question_answering",
        about: "DRCD: `cargo xtask download drcd`",
        files: [Some("DRCD_training.json"), Some("DRCD_dev.json"), None],
        data: CHINESE_QA,
        metrics: &["exact_match", "f1"],
        max_length: 512,
        batch_size: 24,
        teacher: Teacher { lr: "3e-5", epochs: 2 },
        students: Students {
            epochs: 50,
            decays: false,
            augmentation: Some((
                "cmrc2018/cmrc2018_train.json",
                &["T3", "T3-small", "T4-tiny", "Electra-small"],
            )),
        },
        scores: &[
            (TEACHER, &[86.5, 92.5]),
            ("T3", &[78.2, 86.4]),
            ("T3-small", &[75.8, 84.8]),
            ("T4-tiny", &[77.3, 86.1]),
            (ELECTRA_TEACHER, &[86.9, 92.3]),
            ("Electra-small", &[85.5, 91.3]),
        ],
    },
    DataSet {
        name: "msra_ner",
        title: "MSRA NER",
        task: "token_classification",
        about: "MSRA NER, a character and its tag a line: `cargo xtask download msra_ner`",
        files: [Some("msra_train_bio.txt"), None, Some("msra_test_bio.txt")],
        data: "layout = \"msra_ner\"",
        metrics: &["f1"],
        max_length: 160,
        batch_size: 24,
        teacher: Teacher { lr: "3e-4", epochs: 2 },
        students: Students { epochs: 30, decays: true, augmentation: None },
        scores: &[(ELECTRA_TEACHER, &[95.14]), ("Electra-small", &[93.48])],
    },
];
