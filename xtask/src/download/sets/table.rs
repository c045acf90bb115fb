//! The table of data sets. Every address and sum has its source beside it.

use super::{Conversion, DataSet, Licence, Placed, Published, Remote, Shape, Source};
use crate::download::convert;

/// Sums that the `datasets` library recorded, by folder of its repository.
macro_rules! datasets_library {
    ($name:literal) => {
        concat!(
            "https://github.com/huggingface/datasets/blob/040102f100964a33fd334e2695f1c493fa6b92db/datasets/",
            $name,
            "/dataset_infos.json"
        )
    };
}

const CMRC: &str = "https://github.com/ymcui/cmrc2018/tree/c0eb1b6ba219847457e6af3180da722bbeb656af";
const DRCD: &str = "https://github.com/DRCKnowledgeTeam/DRCD/tree/b944790de5af02c5fbb7cd9cb1473d27d169eebf";
const PADDLE_LCQMC: &str = "https://github.com/PaddlePaddle/PaddleNLP/blob/000762fd341fb46b8daf9a0da4d71ac486922c77/\
                            paddlenlp/datasets/lcqmc.py";

const fn placed(file: &'static str, from: &'static [&'static str], shape: Shape) -> Placed {
    Placed { file, from, shape, known: &[] }
}

const fn known(
    file: &'static str,
    from: &'static [&'static str],
    shape: Shape,
    known: &'static [Published],
) -> Placed {
    Placed { file, from, shape, known }
}

/// All of them, as `--list` shows them.
pub(crate) const SETS: &[DataSet] = &[
    DataSet {
        name: "mnli",
        title: "MultiNLI, as GLUE gives it out",
        task: "English sentence pairs, 3 classes",
        licence: Licence {
            name: "OANC, CC BY 3.0, CC BY-SA 3.0, MIT",
            terms: "Most of the texts are under the licence of the Open American National Corpus, which lets anyone \
                    use them; some fiction is under Creative Commons licences.",
            stated: "https://huggingface.co/datasets/nyu-mll/multi_nli",
        },
        home: "https://cims.nyu.edu/~sbowman/multinli",
        source: Source::Open(&[Remote {
            url: "https://dl.fbaipublicfiles.com/glue/data/MNLI.zip",
            bytes: Some(312_783_507),
            published: Some(Published {
                sum: "sha256:e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
                at: datasets_library!("glue"),
            }),
            used_by: datasets_library!("glue"),
        }]),
        layout: &[
            placed("train.tsv", &["train.tsv"], Shape::Tabs(12)),
            placed("dev_matched.tsv", &["dev_matched.tsv"], Shape::Tabs(12)),
            placed("dev_mismatched.tsv", &["dev_mismatched.tsv"], Shape::Tabs(12)),
            placed("test_matched.tsv", &["test_matched.tsv"], Shape::Tabs(10)),
            placed("test_mismatched.tsv", &["test_mismatched.tsv"], Shape::Tabs(10)),
        ],
        convert: None,
    },
    DataSet {
        name: "sst2",
        title: "SST-2, as GLUE gives it out",
        task: "English sentiment, 2 classes",
        licence: Licence {
            name: "none stated",
            terms: "The Stanford Sentiment Treebank comes without a licence; its sentences are from film reviews of \
                    Rotten Tomatoes. Use it for research.",
            stated: "https://nlp.stanford.edu/sentiment/index.html",
        },
        home: "https://nlp.stanford.edu/sentiment/index.html",
        source: Source::Open(&[Remote {
            url: "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip",
            bytes: Some(7_439_277),
            published: Some(Published {
                sum: "sha256:d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
                at: datasets_library!("glue"),
            }),
            used_by: datasets_library!("glue"),
        }]),
        layout: &[
            placed("train.tsv", &["SST-2/train.tsv"], Shape::Tabs(2)),
            placed("dev.tsv", &["SST-2/dev.tsv"], Shape::Tabs(2)),
            placed("test.tsv", &["SST-2/test.tsv"], Shape::Tabs(2)),
        ],
        convert: None,
    },
    DataSet {
        name: "squad",
        title: "SQuAD 1.1",
        task: "English extractive question answering",
        licence: Licence {
            name: "CC BY-SA 4.0",
            terms: "Name the authors, and share what you make of it under the same licence.",
            stated: "https://rajpurkar.github.io/SQuAD-explorer/",
        },
        home: "https://rajpurkar.github.io/SQuAD-explorer/",
        source: Source::Open(&[
            Remote {
                url: "https://rajpurkar.github.io/SQuAD-explorer/dataset/train-v1.1.json",
                bytes: Some(30_288_272),
                published: Some(Published {
                    sum: "sha256:3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
                    at: datasets_library!("squad"),
                }),
                used_by: datasets_library!("squad"),
            },
            Remote {
                url: "https://rajpurkar.github.io/SQuAD-explorer/dataset/dev-v1.1.json",
                bytes: Some(4_854_279),
                published: Some(Published {
                    sum: "sha256:95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
                    at: datasets_library!("squad"),
                }),
                used_by: datasets_library!("squad"),
            },
        ]),
        layout: &[
            placed("train-v1.1.json", &["train-v1.1.json"], Shape::Json),
            placed("dev-v1.1.json", &["dev-v1.1.json"], Shape::Json),
        ],
        convert: None,
    },
    DataSet {
        name: "conll2003",
        title: "CoNLL-2003, English",
        task: "English named entities, 4 types",
        licence: Licence {
            name: "Reuters Corpus, by agreement",
            terms: "The texts are of the Reuters Corpus, which NIST gives out for research under an agreement; they \
                    may not be handed on.",
            stated: "https://www.clips.uantwerpen.be/conll2003/ner/",
        },
        home: "https://www.clips.uantwerpen.be/conll2003/ner/",
        source: Source::ByHand {
            steps: "1. Ask NIST for the Reuters Corpus (RCV1): https://trec.nist.gov/data/reuters/reuters.html\n\
                    2. Build eng.train, eng.testa and eng.testb from it with the annotations and scripts of \
                    https://www.clips.uantwerpen.be/conll2003/ner/\n\
                    3. Put the three into a folder or a zip or tar.gz archive, and give it with --from PATH\n\
                    Versions called train.txt, valid.txt and test.txt are taken as well.",
        },
        layout: &[
            known(
                "eng.train",
                &["eng.train", "train.txt"],
                Shape::Words(4),
                &[Published {
                    sum: "sha256:c99b26852dabf57ca9d30a0e892b84544cc8962003151e14a71077c55dc66db5",
                    at: datasets_library!("conll2003"),
                }],
            ),
            known(
                "eng.testa",
                &["eng.testa", "valid.txt"],
                Shape::Words(4),
                &[Published {
                    sum: "sha256:f1f6469322876887de1d04acd43c59b02f59d5b02acf42c027132fa1bf349cb2",
                    at: datasets_library!("conll2003"),
                }],
            ),
            known(
                "eng.testb",
                &["eng.testb", "test.txt"],
                Shape::Words(4),
                &[Published {
                    sum: "sha256:82e0c72d262f86ad3e78b15c5d980bbf87cb205aa4bf6d2d97643f463f8d7ff7",
                    at: datasets_library!("conll2003"),
                }],
            ),
        ],
        convert: None,
    },
    DataSet {
        name: "xnli",
        title: "XNLI 1.0, with MultiNLI's training set in Chinese",
        task: "Sentence pairs in 15 languages, 3 classes",
        licence: Licence {
            name: "CC BY-NC 4.0",
            terms: "Name the authors; not for commercial use.",
            stated: "https://bgglue.github.io/tasks/task_info/xnli/",
        },
        home: "https://cims.nyu.edu/~sbowman/xnli",
        source: Source::Open(&[
            Remote {
                url: "https://dl.fbaipublicfiles.com/XNLI/XNLI-1.0.zip",
                bytes: Some(17_865_352),
                published: Some(Published {
                    sum: "sha256:4ba1d5e1afdb7161f0f23c66dc787802ccfa8a25a3ddd3b165a35e50df346ab1",
                    at: datasets_library!("xnli"),
                }),
                used_by: datasets_library!("xnli"),
            },
            Remote {
                url: "https://dl.fbaipublicfiles.com/XNLI/XNLI-MT-1.0.zip",
                bytes: Some(466_098_360),
                published: Some(Published {
                    sum: "sha256:f732517ba2fb1d550e9f3c2aabaef6017c91ee2dcec90e878f138764d224db05",
                    at: datasets_library!("xnli"),
                }),
                used_by: datasets_library!("xnli"),
            },
        ]),
        layout: &[
            placed("multinli.train.zh.tsv", &["multinli.train.zh.tsv"], Shape::Tabs(3)),
            placed("xnli.dev.tsv", &["xnli.dev.tsv"], Shape::Tabs(10)),
            placed("xnli.test.tsv", &["xnli.test.tsv"], Shape::Tabs(10)),
        ],
        convert: None,
    },
    DataSet {
        name: "lcqmc",
        title: "LCQMC",
        task: "Chinese sentence pairs, 2 classes",
        licence: Licence {
            name: "by agreement with its authors",
            terms: "The authors at Harbin Institute of Technology, Shenzhen, give it to those who ask, for research; \
                    others may not hand it on.",
            stated: "https://github.com/ymcui/Chinese-BERT-wwm/blob/6076022237f544ca14aeba2f81ddaba94ba72ddb/data/\
                     lcqmc/README.md",
        },
        home: "http://icrc.hitsz.edu.cn/info/1037/1146.htm",
        source: Source::ByHand {
            steps: "1. Ask the authors for it: http://icrc.hitsz.edu.cn/info/1037/1146.htm\n\
                    2. Give the archive, or a folder with train, dev and test as .tsv or .txt, with --from PATH",
        },
        layout: &[
            known(
                "train.tsv",
                &["train.tsv", "train.txt"],
                Shape::Tabs(2),
                &[Published { sum: "md5:2193c022439b038ac12c0ae918b211a1", at: PADDLE_LCQMC }],
            ),
            known(
                "dev.tsv",
                &["dev.tsv", "dev.txt"],
                Shape::Tabs(2),
                &[Published { sum: "md5:c5dcba253cb4105d914964fd8b3c0e94", at: PADDLE_LCQMC }],
            ),
            known(
                "test.tsv",
                &["test.tsv", "test.txt"],
                Shape::Tabs(2),
                &[Published { sum: "md5:8f4b71e15e67696cc9e112a459ec42bd", at: PADDLE_LCQMC }],
            ),
        ],
        convert: None,
    },
    DataSet {
        name: "cmrc2018",
        title: "CMRC 2018, in SQuAD's layout",
        task: "Chinese extractive question answering",
        licence: Licence {
            name: "CC BY-SA 4.0",
            terms: "Name the authors, and share what you make of it under the same licence.",
            stated: "https://github.com/ymcui/cmrc2018/blob/master/LICENCE",
        },
        home: "https://ymcui.github.io/cmrc2018/",
        source: Source::Open(&[
            Remote {
                url: "https://raw.githubusercontent.com/ymcui/cmrc2018/c0eb1b6ba219847457e6af3180da722bbeb656af/\
                      squad-style-data/cmrc2018_train.json",
                bytes: None,
                published: Some(Published { sum: "git:cd56f7d38f6f4a6f92df2616479bbf134a37bebf", at: CMRC }),
                used_by: CMRC,
            },
            Remote {
                url: "https://raw.githubusercontent.com/ymcui/cmrc2018/c0eb1b6ba219847457e6af3180da722bbeb656af/\
                      squad-style-data/cmrc2018_dev.json",
                bytes: Some(3_299_139),
                published: Some(Published {
                    sum: "sha256:e9ff74231f05c230c6fa88b84441ee334d97234cbb610991cd94b82db00c7f1f",
                    at: datasets_library!("cmrc2018"),
                }),
                used_by: CMRC,
            },
            Remote {
                url: "https://raw.githubusercontent.com/ymcui/cmrc2018/c0eb1b6ba219847457e6af3180da722bbeb656af/\
                      squad-style-data/cmrc2018_trial.json",
                bytes: Some(800_221),
                published: Some(Published {
                    sum: "sha256:f3fae95b57da8e03afb2b57467dd221417060ef4d82db13bf22fc88589f3a6f3",
                    at: datasets_library!("cmrc2018"),
                }),
                used_by: CMRC,
            },
        ]),
        layout: &[
            placed("cmrc2018_train.json", &["cmrc2018_train.json"], Shape::Json),
            placed("cmrc2018_dev.json", &["cmrc2018_dev.json"], Shape::Json),
            placed("cmrc2018_trial.json", &["cmrc2018_trial.json"], Shape::Json),
        ],
        convert: None,
    },
    DataSet {
        name: "drcd",
        title: "DRCD",
        task: "Chinese (traditional) extractive question answering",
        licence: Licence {
            name: "CC BY-SA 3.0",
            terms: "Name the authors, and share what you make of it under the same licence.",
            stated: "https://github.com/DRCKnowledgeTeam/DRCD/blob/master/README.md",
        },
        home: "https://github.com/DRCKnowledgeTeam/DRCD",
        source: Source::Open(&[
            Remote {
                url: "https://raw.githubusercontent.com/DRCKnowledgeTeam/DRCD/\
                      b944790de5af02c5fbb7cd9cb1473d27d169eebf/DRCD_training.json",
                bytes: None,
                published: Some(Published { sum: "git:35480d22ed6449adeb1bece5ae27d0889bf8b7af", at: DRCD }),
                used_by: DRCD,
            },
            Remote {
                url: "https://raw.githubusercontent.com/DRCKnowledgeTeam/DRCD/\
                      b944790de5af02c5fbb7cd9cb1473d27d169eebf/DRCD_dev.json",
                bytes: Some(2_184_379),
                published: Some(Published { sum: "git:daa42e47130e8d5b907b87e75cecc8fb807fd4f5", at: DRCD }),
                used_by: DRCD,
            },
            Remote {
                url: "https://raw.githubusercontent.com/DRCKnowledgeTeam/DRCD/\
                      b944790de5af02c5fbb7cd9cb1473d27d169eebf/DRCD_test.json",
                bytes: Some(2_125_600),
                published: Some(Published { sum: "git:341eda001e27a375f14e6b40976b2492b925eae2", at: DRCD }),
                used_by: DRCD,
            },
        ]),
        layout: &[
            placed("DRCD_training.json", &["DRCD_training.json"], Shape::Json),
            placed("DRCD_dev.json", &["DRCD_dev.json"], Shape::Json),
            placed("DRCD_test.json", &["DRCD_test.json"], Shape::Json),
        ],
        convert: None,
    },
    DataSet {
        name: "msra_ner",
        title: "MSRA NER, of the SIGHAN bakeoff 2006",
        task: "Chinese named entities, 3 types",
        licence: Licence {
            name: "by agreement with Microsoft Research",
            terms: "It was given to those who took part in the bakeoff, under an agreement. The copies that go \
                    around state no licence.",
            stated: "http://sighan.cs.uchicago.edu/bakeoff2006/instructions.html",
        },
        home: "https://www.microsoft.com/en-us/download/details.aspx?id=52531",
        source: Source::ByHand {
            steps: "1. Get it from Microsoft (https://www.microsoft.com/en-us/download/details.aspx?id=52531), or \
                    a copy that you are allowed to use\n\
                    2. Bring it to one character and its BIO tag a line, blank lines between sentences, as \
                    msra_train_bio.txt and msra_test_bio.txt\n\
                    3. Give the folder or archive with --from PATH",
        },
        layout: &[
            known(
                "msra_train_bio.txt",
                &["msra_train_bio.txt"],
                Shape::Words(2),
                &[Published {
                    sum: "sha256:b403d1318c5289917ad2ca4136279592521684748327e93f1bf49a3845a40ac7",
                    at: datasets_library!("msra_ner"),
                }],
            ),
            known(
                "msra_test_bio.txt",
                &["msra_test_bio.txt"],
                Shape::Words(2),
                &[Published {
                    sum: "sha256:2be8e580bcb22e9086e4403d82a7ec0f6e18019ebef35b0fd52941724bdf89a3",
                    at: datasets_library!("msra_ner"),
                }],
            ),
        ],
        convert: None,
    },
    DataSet {
        name: "newsqa",
        title: "NewsQA",
        task: "English extractive question answering; augments SQuAD",
        licence: Licence {
            name: "by agreement with Microsoft; texts of CNN",
            terms: "Its questions are given out by Microsoft under terms of their own, and its texts are CNN's: \
                    each user has to put the two together.",
            stated: "https://github.com/Maluuba/newsqa",
        },
        home: "https://www.microsoft.com/en-us/research/project/newsqa-dataset/",
        source: Source::ByHand {
            steps: "1. Follow https://github.com/Maluuba/newsqa: questions from Microsoft, CNN's stories from \
                    https://cs.nyu.edu/~kcho/DMQA/, and the scripts there\n\
                    2. Give the combined-newsqa-data-v1.json that comes of it with --from PATH",
        },
        layout: &[placed("combined-newsqa-data-v1.json", &["combined-newsqa-data-v1.json"], Shape::Json)],
        convert: Some(Conversion {
            run: convert::newsqa,
            files: &["newsqa.json", "newsqa-dev.json", "newsqa-test.json"],
        }),
    },
    DataSet {
        name: "hotpotqa",
        title: "HotpotQA, training set",
        task: "English question answering; augments CoNLL-2003 and SQuAD",
        licence: Licence {
            name: "CC BY-SA 4.0",
            terms: "Name the authors, and share what you make of it under the same licence.",
            stated: "https://hotpotqa.github.io/",
        },
        home: "https://hotpotqa.github.io/",
        source: Source::Open(&[Remote {
            url: "http://curtis.ml.cmu.edu/datasets/hotpot/hotpot_train_v1.1.json",
            bytes: Some(566_426_227),
            published: Some(Published {
                sum: "sha256:26650cf50234ef5fb2e664ed70bbecdfd87815e6bffc257e068efea5cf7cd316",
                at: datasets_library!("hotpot_qa"),
            }),
            used_by: datasets_library!("hotpot_qa"),
        }]),
        layout: &[placed("hotpot_train_v1.1.json", &["hotpot_train_v1.1.json"], Shape::Json)],
        convert: Some(Conversion { run: convert::hotpotqa, files: &["hotpotqa.json", "hotpotqa.conll"] }),
    },
];
