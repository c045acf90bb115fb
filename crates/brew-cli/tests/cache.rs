//! What teachers say, kept on disk: filled, taken up, shown, verified, pruned, and read by runs.

mod workshop;

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use workshop::{Workshop, texts};

const ALL_FEATURES: &str = r#"distillation.intermediate_matches=[
    {layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse"},
    {layer_T=1,layer_S=1,feature="attention",loss="attention_ce"},
    {layer_T=0,layer_S=0,feature="attention_scores",loss="attention_mse"},
    {layer_T=1,layer_S=0,feature="queries",loss="hidden_mse"},
    {layer_T=0,layer_S=1,feature="values",loss="hidden_mse"}]"#;

impl Workshop {
    /// A shop with a teacher in `out`.
    fn taught() -> Self {
        let shop = Self::new();
        shop.succeed(&["train", "run.toml", "--set", "training.num_epochs=6"]);
        shop
    }

    /// The losses of a distillation into `folder`, as they are logged, and what it said meanwhile.
    fn losses(&self, folder: &str, settings: &[&str]) -> (Vec<String>, String) {
        let output = format!("training.output_dir={folder}");
        let said = self.succeed(&command(&["distill", "run.toml"], &[&[output.as_str()], settings].concat()));
        let log = fs::read_to_string(self.path(folder).join("log.jsonl")).unwrap();
        let events = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let reports = events.filter(|event| event["event"] == "report");
        (reports.map(|event| format!("{} {}", event["loss"], event["terms"])).collect(), said.stderr)
    }

    fn build(&self, settings: &[&str]) -> String {
        self.succeed(&command(&["cache", "build", "run.toml"], settings)).stdout
    }

    /// What `inspect` says of the run.
    fn inspect(&self, settings: &[&str]) -> Value {
        let said = self.succeed(&command(&["cache", "inspect", "run.toml", "--json"], settings)).stdout;
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// The segments of all caches.
    fn segments(&self) -> Vec<PathBuf> {
        let files = self.files().into_iter().filter(|path| path.extension().is_some_and(|one| one == "seg"));
        files.map(|path| self.path(&path.to_string_lossy())).collect()
    }
}

/// A command with the teacher, a cache in `kept`, and these settings.
fn command<'a>(words: &[&'a str], settings: &[&'a str]) -> Vec<&'a str> {
    let always = ["teacher.from=out", "training.log_every=1"];
    let settings = always.iter().chain(settings).flat_map(|setting| ["--set", *setting]);
    words.iter().copied().chain(settings).collect()
}

const KEPT: &str = "cache.dir=kept";

#[test]
fn a_run_that_starts_warm_learns_to_the_last_bit_as_one_that_keeps_in_memory() {
    let shop = Workshop::taught();
    let (in_memory, said) = shop.losses("in-memory", &[ALL_FEATURES, "distillation.is_caching_logits=true"]);
    assert!(said.contains("40 texts is kept in memory"), "{said}");

    let built = shop.build(&[ALL_FEATURES, KEPT]);
    assert!(built.contains("40 texts") && built.contains("of 5 batches 0 were known"), "{built}");
    let found = shop.inspect(&[ALL_FEATURES, KEPT]);
    assert_eq!((&found["uses"][0]["known"], &found["uses"][0]["examples"]), (&40.into(), &40.into()));
    // What was told before it was filled is what it takes.
    assert_eq!(found["uses"][0]["expected_bytes"], found["caches"][0]["bytes"]);
    let before = shop.segments();
    assert_eq!(before.len(), 1);

    let (warm, said) = shop.losses("warm", &[ALL_FEATURES, KEPT]);
    assert!(said.contains("40 of 40 texts") && !said.contains("to come"), "{said}");
    assert_eq!(warm, in_memory);
    assert_eq!(shop.segments(), before, "a warm run writes nothing");
    assert!(shop.build(&[ALL_FEATURES, KEPT]).contains("of 5 batches 5 were known"));

    // Filled during the first epoch, and read in the second.
    let (filling, said) = shop.losses("filling", &[ALL_FEATURES, "cache.dir=other"]);
    assert!(said.contains(" 0 of 40 texts") && said.contains("to come"), "{said}");
    assert_eq!(filling, in_memory);
    // Other batches, shuffled otherwise.
    let (_, said) = shop.losses("shuffled", &[ALL_FEATURES, KEPT, "training.seed=9", "data.batch_size=5"]);
    assert!(said.contains("40 of 40 texts"), "{said}");
    assert_eq!(shop.segments().len(), 2);
}

#[test]
fn half_precision_and_the_largest_logits_take_what_is_told_and_teach_nearly_the_same() {
    let shop = Workshop::taught();
    let loss = |terms: &str| terms.split_once(' ').unwrap().0.parse::<f64>().unwrap();
    let (exact, _) = shop.losses("exact", &[ALL_FEATURES, KEPT]);
    let (half, _) = shop.losses("half", &[ALL_FEATURES, KEPT, "cache.dtype=f16"]);
    let (warm, _) = shop.losses("warm", &[ALL_FEATURES, KEPT, "cache.dtype=f16"]);
    assert_eq!(warm, half, "rounded the first time as the second");
    assert_ne!(half, exact);
    for (half, exact) in half.iter().zip(&exact).map(|(half, exact)| (loss(half), loss(exact))) {
        assert!((half - exact).abs() < 0.01 * exact, "{half}, exact {exact}");
    }
    // Of two classes the largest and the rest is all there is.
    let (largest, _) = shop.losses("largest", &[KEPT, "cache.top_k=1"]);
    let (all, _) = shop.losses("all", &[KEPT]);
    for (largest, all) in largest.iter().zip(&all).map(|(largest, all)| (loss(largest), loss(all))) {
        assert!((largest - all).abs() < 1e-5 * all, "{largest}, all {all}");
    }
    let caches = shop.inspect(&[KEPT])["caches"].as_array().unwrap().clone();
    assert_eq!(caches.len(), 4);
    for settings in [vec![ALL_FEATURES], vec![ALL_FEATURES, "cache.dtype=f16"], vec!["cache.top_k=1"], vec![]]
    {
        let found = shop.inspect(&[&settings[..], &[KEPT]].concat());
        let name = &found["uses"][0]["name"];
        let cache = caches.iter().find(|cache| &cache["name"] == name).unwrap();
        assert_eq!(found["uses"][0]["expected_bytes"], cache["bytes"], "{settings:?}");
    }
}

#[test]
fn what_changed_is_computed_anew_and_said() {
    let shop = Workshop::taught();
    let (first, _) = shop.losses("first", &[KEPT]);
    // One text.
    let changed = texts(40).replacen("the film good", "a film good", 1);
    shop.write("train.tsv", &changed);
    let (_, said) = shop.losses("text", &[KEPT]);
    assert!(said.contains("1 of 40 texts are not those"), "{said}");
    assert!(said.contains("39 of 40 texts"), "{said}");
    shop.write("train.tsv", texts(40));
    let (again, said) = shop.losses("again", &[KEPT]);
    assert!(said.contains("40 of 40 texts"), "{said}");
    assert_eq!(again, first);

    // The teacher: its weights, its tokenizer.
    let names = || -> Vec<String> {
        let caches = shop.inspect(&[KEPT])["caches"].as_array().unwrap().clone();
        caches.iter().map(|cache| cache["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names().len(), 1);
    let weights = shop.path("out/model/model.safetensors");
    let whole = fs::read(&weights).unwrap();
    let mut other = whole.clone();
    *other.last_mut().unwrap() ^= 1;
    fs::write(&weights, other).unwrap();
    let (_, said) = shop.losses("weights", &[KEPT]);
    assert!(said.contains(" 0 of 40 texts"), "{said}");
    fs::write(&weights, whole).unwrap();
    let vocabulary = fs::read_to_string(shop.path("vocab/vocab.txt")).unwrap();
    for folder in ["vocab", "out/model"] {
        shop.write(&format!("{folder}/vocab.txt"), vocabulary.replace("[MASK]", "[MASC]"));
    }
    let (_, said) = shop.losses("tokenizer", &[KEPT]);
    assert!(said.contains(" 0 of 40 texts"), "{said}");
    assert_eq!(names().len(), 3);
}

#[test]
fn damage_is_named_and_never_used() {
    let shop = Workshop::taught();
    shop.build(&[KEPT]);
    let (expected, _) = shop.losses("whole", &[KEPT]);
    assert!(shop.succeed(&["cache", "verify", "kept"]).stdout.contains("40 records are whole"));
    let path = shop.segments().remove(0);
    let whole = fs::read(&path).unwrap();
    let wrong = |damaged: &[u8], folder: &str, parts: &[&str]| {
        fs::write(&path, damaged).unwrap();
        let verified = shop.textbrew(&["cache", "verify", "kept"]);
        assert_eq!(verified.code, Some(1), "{verified:?}");
        let (found, said) = shop.losses(folder, &[KEPT]);
        for part in parts {
            assert!(verified.stdout.contains(part), "{part}: {}", verified.stdout);
            assert!(said.contains(part), "{part}: {said}");
        }
        // Of the same batches the teacher says the same.
        assert_eq!(found, expected, "{folder}");
        shop.segments().iter().filter(|one| **one != path).for_each(|one| fs::remove_file(one).unwrap());
    };
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    wrong(&flipped, "record", &["the record of example", "is damaged"]);
    wrong(&whole[..whole.len() - 3], "cut", &["no complete block"]);
    let mut version = whole.clone();
    version[8] = 2;
    wrong(&version, "version", &["version 2 of the format"]);
    wrong(&whole[..9], "header", &["its header is cut off"]);
    wrong(b"something else altogether", "other", &["does not begin as a cache does"]);

    // What is of no use is removed, once that is asked for.
    shop.build(&[KEPT]);
    assert_eq!(shop.segments().len(), 2);
    let said = shop.succeed(&["cache", "prune", "kept"]).stdout;
    assert!(said.contains("would be removed") && said.contains("--yes"), "{said}");
    assert_eq!(shop.segments().len(), 2);
    let said = shop.succeed(&["cache", "prune", "kept", "--yes"]).stdout;
    assert!(said.contains("does not begin as a cache does"), "{said}");
    assert_eq!(shop.segments().len(), 1);
    shop.succeed(&["cache", "verify", "kept"]);
    assert!(shop.succeed(&["cache", "prune", "kept", "--yes"]).stdout.contains("nothing to remove"));
}

#[test]
fn a_build_that_is_killed_is_taken_up_and_a_finished_one_is_whole() {
    let shop = Workshop::taught();
    shop.write("train.tsv", texts(1500));
    let settings = [ALL_FEATURES, KEPT, "data.batch_size=2"];
    for times in 1..=3 {
        let arguments = command(&["cache", "build", "run.toml"], &settings);
        let mut child = shop.command(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let length = || shop.segments().iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>();
        let before = length();
        while length() < before + 20_000 {
            assert!(child.try_wait().unwrap().is_none(), "the build ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(shop.segments().len(), times);
    }
    let found = shop.inspect(&settings);
    let known = found["uses"][0]["known"].as_u64().unwrap();
    assert!(known > 0 && known < 1500, "{known}");
    let said = shop.build(&settings);
    assert!(said.contains(&format!("of 750 batches {} were known", known / 2)), "{said}");
    assert_eq!(shop.inspect(&settings)["uses"][0]["known"], 1500);
}

/// A product over the rows of another batch may round otherwise, so a run that goes on must read what it would have.
#[test]
fn a_killed_run_that_keeps_outputs_ends_as_one_that_was_not() {
    let shop = Workshop::new();
    // So wide, on this backend, and padded to other lengths, it does round otherwise.
    let on = ["--backend", "ndarray"];
    let wide = workshop::config(8, 2).replace("\"hidden_size\": 8", "\"hidden_size\": 96");
    shop.write("config.json", wide.replace("\"intermediate_size\": 16", "\"intermediate_size\": 192"));
    shop.succeed(&[&["train", "run.toml", "--set", "training.num_epochs=1"], &on[..]].concat());
    let long: String = texts(60).lines().enumerate().fold(String::new(), |mut all, (index, line)| {
        let (text, label) = line.split_once('\t').unwrap();
        let _ = writeln!(all, "{}{text}\t{label}", "a the ".repeat(index % 3));
        all
    });
    shop.write("train.tsv", long);
    let common = [
        ALL_FEATURES,
        "training.num_epochs=3",
        "training.ckpt_steps=12",
        "data.batch_size=3",
        "data.length_buckets=false",
    ];
    let memory = "distillation.is_caching_logits=true";
    shop.succeed(&command(
        &[&["distill", "run.toml"], &on[..]].concat(),
        &[&common[..], &[memory, "training.output_dir=whole"]].concat(),
    ));
    for (name, keeping, kill_after) in
        [("first", KEPT, 12), ("second", "cache.dir=later", 24), ("memory", memory, 24)]
    {
        let output = format!("training.output_dir={name}");
        let settings = [&common[..], &[keeping, output.as_str()]].concat();
        let arguments = command(&[&["distill", "run.toml"], &on[..]].concat(), &settings);
        let mut child = shop.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
        let index = shop.path(name).join("checkpoints/index.json");
        let last = || {
            let index: Value = serde_json::from_slice(&fs::read(&index).ok()?).ok()?;
            index["last"].as_array()?.last()?.as_str()?.strip_prefix("step-")?.parse::<u32>().ok()
        };
        while last().is_none_or(|step| step < kill_after) {
            assert!(child.try_wait().unwrap().is_none(), "the run ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        shop.succeed(&[&arguments[..], &["--resume"]].concat());
        let weights = |run: &str| fs::read(shop.path(run).join("model/model.safetensors")).unwrap();
        assert!(weights("whole") == weights(name), "{name}: the weights differ");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_build_after_a_batch() {
    let shop = Workshop::taught();
    shop.write("train.tsv", texts(3000));
    let settings = [KEPT, "data.batch_size=1"];
    let arguments = command(&["cache", "build", "run.toml"], &settings);
    let child = shop.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while shop.segments().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let signalled = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    let outcome = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status.code(), Some(130), "{said}");
    assert!(said.contains("what is complete is kept") && said.contains("goes on from here"), "{said}");
    shop.succeed(&["cache", "verify", "kept"]);
    let known = shop.inspect(&settings)["uses"][0]["known"].as_u64().unwrap();
    assert!(known > 0 && known < 3000, "{known}");
}

#[test]
fn two_builds_at_once_fill_one_cache() {
    let shop = Workshop::taught();
    shop.write("train.tsv", texts(400));
    let settings = [KEPT, "data.batch_size=2"];
    let arguments = command(&["cache", "build", "run.toml"], &settings);
    let children: Vec<_> = (0..2)
        .map(|_| shop.command(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(shop.inspect(&settings)["uses"][0]["known"], 400);
    shop.succeed(&["cache", "verify", "kept"]);
}

#[test]
fn caches_of_no_run_are_removed_and_those_of_the_runs_given_stay() {
    let shop = Workshop::taught();
    shop.write(
        "first.toml",
        fs::read_to_string(shop.path("run.toml")).unwrap() + "[cache]\ndir = \"kept\"\n",
    );
    shop.build(&[KEPT]);
    shop.build(&[KEPT, "cache.dtype=f16"]);
    let said = shop.succeed(&["cache", "inspect", "kept"]).stdout;
    assert_eq!(said.matches("40 texts").count(), 2, "{said}");
    assert!(said.contains("weights") && said.contains("f16") && said.contains("out/model"), "{said}");
    let prune = |more: &[&'static str]| {
        let words = [&["cache", "prune", "first.toml"][..], more].concat();
        shop.succeed(&[&words[..], &["--set", "teacher.from=out"]].concat()).stdout
    };
    assert!(prune(&[]).contains("no run that is kept uses it"));
    assert_eq!(shop.segments().len(), 2);
    prune(&["--yes"]);
    assert_eq!(shop.segments().len(), 1);
    assert_eq!(shop.inspect(&[KEPT])["uses"][0]["known"], 40);
    assert!(prune(&["--yes"]).contains("nothing to remove"));
    shop.refuse(&["cache", "prune", "nowhere.toml"], 2, &["nowhere.toml"]);
    shop.refuse(&["cache", "verify", "nowhere"], 2, &["nowhere"]);
    fs::create_dir(shop.path("empty")).unwrap();
    assert!(shop.succeed(&["cache", "inspect", "empty"]).stdout.contains("holds no cache"));
}

#[test]
fn what_cannot_be_kept_is_refused_before_anything_is_written() {
    let shop = Workshop::taught();
    let refuse = |settings: &[&str], code: i32, named: &[&str]| {
        let settings = [&[KEPT, "training.output_dir=no"], settings].concat();
        shop.refuse(&command(&["distill", "run.toml"], &settings), code, named);
        shop.refuse(&command(&["cache", "build", "run.toml"], &settings), code, named);
    };
    // About 40 × 80 bytes.
    refuse(&["cache.limit_gb=1e-6"], 2, &["40 texts", " kB in kept", "limit_gb allows 1.0 kB", "f16"]);
    refuse(&["cache.limit_gb=0"], 2, &["cache.limit_gb", "above 0"]);
    refuse(&["cache.dtype=f8"], 2, &["f8", "f16"]);
    refuse(&["cache.top_k=0"], 2, &["cache.top_k", "at least 1"]);
    refuse(&["cache.top_k=2"], 2, &["cache.top_k", "2 labels"]);
    refuse(&["cache.top_k=1", "distillation.kd_loss_type=mse"], 2, &["cache.top_k", "mse"]);
    refuse(&[r#"data.augmentation=[{name="deleting",p=0.1}]"#], 2, &["cache = given", "augmentation"]);
    let both = ["cache.keep=false", "distillation.is_caching_logits=true"];
    refuse(&both, 2, &["cache.keep = false", "is_caching_logits"]);
    refuse(&["cache.folder=kept"], 2, &["cache.folder", "dir"]);
    // Below a file: not even root may write there.
    refuse(&["cache.dir=run.toml/kept"], 1, &["run.toml/kept"]);
    let settings = ["distillation.is_caching_logits=true", "cache.limit_gb=1e-6", "training.output_dir=no"];
    shop.refuse(&command(&["distill", "run.toml"], &settings), 2, &["of memory", "limit_gb"]);
    shop.refuse(&command(&["cache", "build", "run.toml"], &[]), 2, &["cache.dir", "missing"]);
    // What pays is kept unasked, and what is not to be kept is not.
    let (_, said) = shop.losses("unasked", &[]);
    assert!(said.contains("of 40 texts is kept in memory"), "{said}");
    for nothing in ["cache.keep=false", "training.num_epochs=1"] {
        let (_, said) = shop.losses("nothing", &[nothing]);
        assert!(!said.contains("kept in memory"), "{said}");
        fs::remove_dir_all(shop.path("nothing")).unwrap();
    }
}

/// Every way to distil keeps what it needs, as large as it was told, and reads it again.
#[test]
fn every_distiller_starts_warm() {
    let shop = Workshop::taught();
    shop.succeed(&["train", "run.toml", "--set", "training.output_dir=second", "--set", "training.seed=5"]);
    let mut vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".to_owned();
    for letter in 'a'..='z' {
        let _ = writeln!(vocabulary, "{letter}\n##{letter}");
    }
    fs::create_dir(shop.path("small")).unwrap();
    shop.write("small/vocab.txt", vocabulary);
    let small = workshop::config(8, 2).replace("\"vocab_size\": 15", "\"vocab_size\": 57");
    shop.write(
        "small.json",
        small.replace("\"max_position_embeddings\": 16", "\"max_position_embeddings\": 40"),
    );
    let both = r#"teacher={from=["out","second"],weights=[2,1]}"#;
    let own_tokens = ["model.config=small.json", "model.tokenizer=small", "data.max_length=32"];
    let hidden =
        r#"distillation.intermediate_matches=[{layer_T=2,layer_S=2,feature="hidden",loss="hidden_mse"}]"#;
    let ways: [(&str, Vec<&str>); 5] = [
        ("emd", vec!["emd.attention_weight=0.5"]),
        ("crd", vec!["crd.negatives=6", "crd.feature_dim=4"]),
        ("several", vec![both, hidden]),
        ("tokens", [&own_tokens[..], &[hidden]].concat()),
        ("dkd", vec!["distillation.kd_loss_type=dkd"]),
    ];
    for (way, settings) in ways {
        let memory = [&settings[..], &["distillation.is_caching_logits=true"]].concat();
        let (expected, _) = shop.losses(&format!("{way}-memory"), &memory);
        let kept = format!("cache.dir=kept-{way}");
        let settings = [&settings[..], &[kept.as_str()]].concat();
        shop.build(&settings);
        let found = shop.inspect(&settings);
        for one in found["uses"].as_array().unwrap() {
            let caches = found["caches"].as_array().unwrap();
            let cache = caches.iter().find(|cache| cache["name"] == one["name"]).unwrap();
            assert_eq!(one["expected_bytes"], cache["bytes"], "{way}");
        }
        let before = shop.segments();
        let (warm, _) = shop.losses(&format!("{way}-warm"), &settings);
        assert_eq!(warm, expected, "{way}");
        assert_eq!(shop.segments(), before, "{way}");
    }
}

/// Tags of words and places of answers take what they were told to take.
#[test]
fn every_task_takes_what_it_is_told_to() {
    let run = |task: &str, train: &str, more: &str| {
        format!(
            "task = \"{task}\"\n[data]\ntrain = \"{train}\"\nmax_length = 16\nbatch_size = 8\n{more}\n[model]\n\
             config = \"config.json\"\ntokenizer = \"vocab\"\n[training]\noutput_dir = \"out\"\nnum_epochs = 2\n"
        )
    };
    let shop = Workshop::new();
    let mut tagged = String::new();
    for index in 0..12 {
        let _ = write!(
            tagged,
            "the O\ngood B-A\nfilm {}\n{}\n",
            ["I-A", "B-B"][index % 2],
            ["", "a O\n"][index % 2]
        );
    }
    shop.write("train.conll", tagged);
    let question = |index: usize| {
        let context = format!("the film a {}", ["good", "bad"][index % 2]);
        serde_json::json!({"title": "a", "paragraphs": [{"context": context, "qas": [{
            "id": index.to_string(), "question": "good a",
            "answers": [{"text": &context[11..], "answer_start": 11}],
        }]}]})
    };
    let questions: Vec<Value> = (0..10).map(question).collect();
    shop.write("train.json", serde_json::json!({"version": "1.1", "data": questions}).to_string());
    let flags: String =
        (0..10).map(|index| format!("the film\t{}\n", ["a", "a,b", "c"][index % 3])).collect();
    shop.write("flags.tsv", flags);
    let values: String = (0..10).map(|index| format!("a good film\t{index}\n")).collect();
    shop.write("values.tsv", values);
    for (task, train, more, settings) in [
        ("token_classification", "train.conll", "", vec!["cache.top_k=2"]),
        (
            "question_answering",
            "train.json",
            "questions = { max_question_length = 4, doc_stride = 4 }",
            vec![],
        ),
        ("multi_label", "flags.tsv", "", vec!["distillation.kd_loss_type=bce"]),
        ("regression", "values.tsv", "", vec!["distillation.kd_loss_type=mse"]),
    ] {
        shop.write("run.toml", run(task, train, more));
        shop.succeed(&["train", "run.toml", "--overwrite"]);
        let kept = format!("cache.dir=kept-{task}");
        let settings = [&settings[..], &[ALL_FEATURES, kept.as_str(), "cache.dtype=f16"]].concat();
        shop.build(&settings);
        let found = shop.inspect(&settings);
        assert_eq!(found["uses"][0]["expected_bytes"], found["caches"][0]["bytes"], "{task}");
        let (_, said) = shop.losses(&format!("{task}-student"), &settings);
        assert!(!said.contains("to come"), "{task}: {said}");
    }
}
