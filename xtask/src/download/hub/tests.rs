use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use brew::models::{
    EncoderConfig, LoadOptions, PretrainedModel, SequenceClassifier, load_pretrained, save_pretrained,
};
use brew::random::Key;
use brew_testkit::TestBackend;
use serde_json::json;

use super::super::cache::Cache;
use super::super::licence::Consent;
use super::super::progress::Reporter;
use super::super::testing::{Reply, Request, Server, client};
use super::*;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

type Files = BTreeMap<String, Vec<u8>>;

fn config() -> EncoderConfig {
    EncoderConfig {
        vocab_size: 6,
        hidden_size: 4,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 8,
        max_position_embeddings: 5,
        ..EncoderConfig::default()
    }
    .with_labels(["no", "yes"])
}

/// A model as its owner would have put it on the hub.
fn files() -> Files {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    let model = SequenceClassifier::<TestBackend>::new(&config(), Key::new(3), &Default::default());
    save_pretrained(&model, &config(), None, &path).unwrap();
    let mut files: Files = ["config.json", "model.safetensors"]
        .into_iter()
        .map(|name| (name.to_owned(), fs::read(path.join(name)).unwrap()))
        .collect();
    files.insert("vocab.txt".into(), b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\n".to_vec());
    files.insert("README.md".into(), b"about".to_vec());
    files.insert("tf_model.h5".into(), vec![0; 99]);
    files
}

fn sums(bytes: &[u8]) -> Sums {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    Sums::of_file(file.path()).unwrap()
}

/// What the hub answers at `/api/models/…/revision/…?blobs=true`.
fn description(files: &Files) -> Value {
    let siblings: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| {
            let sums = sums(bytes);
            let mut file = json!({"rfilename": name, "size": bytes.len(), "blobId": sums.git});
            if name.ends_with(".safetensors") {
                file["blobId"] = json!("f".repeat(40));
                file["lfs"] = json!({"sha256": sums.sha256, "size": bytes.len(), "pointerSize": 135});
            }
            file
        })
        .collect();
    json!({
        "id": "owner/tiny", "sha": COMMIT, "gated": false, "siblings": siblings,
        "tags": ["bert", "license:mit"], "cardData": {"license": "apache-2.0"},
    })
}

/// A hub with one model; its large files are on another host.
fn hub(files: Files, description: Value, storage: Option<String>) -> Server {
    Server::start(move |request| answer(request, &files, &description, storage.as_deref()))
}

fn answer(request: &Request, files: &Files, description: &Value, storage: Option<&str>) -> Reply {
    if request.path.starts_with("/api/models/owner/tiny/revision/") {
        return Reply::new(200, description.to_string());
    }
    let prefix = format!("/owner/tiny/resolve/{COMMIT}/");
    let Some((name, bytes)) = request.path.strip_prefix(&prefix).and_then(|name| files.get_key_value(name))
    else {
        return Reply::new(404, "");
    };
    match storage {
        Some(storage) if name.ends_with(".safetensors") => Reply::new(302, "")
            .header("Location", format!("{storage}/blobs/{name}?signature=1"))
            .header("X-Linked-ETag", format!("\"{}\"", sums(bytes).sha256)),
        _ => Reply::file(request, bytes, &format!("\"{}\"", sums(bytes).git)),
    }
}

struct Outcome {
    result: Result<PathBuf>,
    said: String,
    folder: tempfile::TempDir,
}

impl Outcome {
    fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }
}

fn fetch_into(folder: tempfile::TempDir, server: &Server, model: &Model<'_>) -> Outcome {
    let reporter = Reporter::kept();
    let cache = Cache::open(folder.path(), || panic!("nobody else is there")).unwrap();
    let endpoint = format!("{}/", server.url);
    let mut job = Job {
        client: &client(),
        cache: &cache,
        reporter: &reporter,
        consent: Consent::Given,
        mirror: None,
        from: &[],
        force: false,
    };
    let result = job.model(&Model { endpoint: Some(&endpoint), ..*model });
    Outcome { result, said: reporter.said(), folder }
}

const TINY: Model<'static> = Model { id: "owner/tiny", revision: "main", endpoint: None, token: None };

fn fetch(server: &Server) -> Outcome {
    fetch_into(tempfile::tempdir().unwrap(), server, &TINY)
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_model_arrives_as_a_folder_that_brew_opens() {
    let files = files();
    let body = files["model.safetensors"].clone();
    let storage = Server::start(move |request| Reply::file(request, &body, "\"cdn\""));
    let elsewhere = storage.url.replace("127.0.0.1", "localhost");
    let server = hub(files.clone(), description(&files), Some(elsewhere));
    let model = Model { token: Some("secret"), revision: "refs/pr/1", ..TINY };
    let outcome = fetch_into(tempfile::tempdir().unwrap(), &server, &model);
    let folder = outcome.result.as_ref().unwrap();
    assert_eq!(names_in(folder), ["config.json", "model.safetensors", "vocab.txt"]);
    assert!(folder.ends_with(format!("hub/models--owner--tiny/snapshots/{COMMIT}")), "{}", folder.display());
    let reference = outcome.folder.path().join("hub/models--owner--tiny/refs/refs/pr/1");
    assert_eq!(fs::read_to_string(reference).unwrap(), COMMIT);

    type Classifier = SequenceClassifier<TestBackend>;
    let loaded = load_pretrained::<Classifier>(folder, &LoadOptions::default(), &Default::default()).unwrap();
    assert!(loaded.initialised.is_empty() && loaded.ignored.is_empty());
    let expected = Classifier::new(&config(), Key::new(3), &Default::default());
    assert_eq!(loaded.model.state_dict(&config()).unwrap(), expected.state_dict(&config()).unwrap());

    let asked = server.requests();
    assert_eq!(asked[0].path, "/api/models/owner/tiny/revision/refs%2Fpr%2F1?blobs=true");
    assert!(asked.iter().all(|request| request.header("authorization") == Some("Bearer secret")));
    assert!(asked.last().unwrap().path.ends_with("/config.json"), "the configuration comes last");
    assert!(storage.requests().iter().all(|request| request.header("authorization").is_none()));
    assert!(outcome.said.contains("Licence: apache-2.0"), "{}", outcome.said);
}

#[test]
fn a_model_that_is_there_is_checked_and_not_fetched_again() {
    let files = files();
    let server = hub(files.clone(), description(&files), None);
    let first = fetch(&server);
    let folder = first.result.unwrap();
    let before = server.requests().len();
    let second = fetch_into(first.folder, &server, &TINY);
    assert!(second.said.contains("there already"), "{}", second.said);
    assert_eq!(server.requests().len(), before + 1, "the description alone is asked for");
    // A damaged file is fetched again, alone.
    fs::write(folder.join("vocab.txt"), "damaged").unwrap();
    let third = fetch_into(second.folder, &server, &TINY);
    assert_eq!(fs::read(third.result.unwrap().join("vocab.txt")).unwrap(), files["vocab.txt"]);
    let paths: Vec<String> =
        server.requests()[before + 1..].iter().map(|request| request.path.clone()).collect();
    assert_eq!(paths.len(), 2, "{paths:?}");
    assert!(paths[1].ends_with("/vocab.txt"));
}

#[test]
fn contents_other_than_the_published_are_refused() {
    for name in ["model.safetensors", "vocab.txt"] {
        let honest = files();
        let mut sent = honest.clone();
        sent.get_mut(name).unwrap()[2] ^= 1;
        let outcome = fetch(&hub(sent, description(&honest), None));
        let message = outcome.error();
        assert!(message.contains(name) && message.contains("published by the hub"), "{message}");
        let snapshots = outcome.folder.path().join("hub/models--owner--tiny/snapshots").join(COMMIT);
        let left = names_in(&snapshots);
        assert!(!left.contains(&name.to_owned()) && !left.contains(&"config.json".to_owned()), "{left:?}");
        assert!(!outcome.folder.path().join("hub/models--owner--tiny/refs").exists());
    }
}

#[test]
fn a_cut_transfer_is_resumed() {
    let files = files();
    let (whole, about) = (files.clone(), description(&files));
    let server = Server::start(move |request| {
        let reply = answer(request, &whole, &about, None);
        let first = request.path.ends_with(".safetensors") && request.from().is_none();
        if first { reply.cut_after(500) } else { reply }
    });
    let outcome = fetch(&server);
    assert_eq!(
        fs::read(outcome.result.unwrap().join("model.safetensors")).unwrap(),
        files["model.safetensors"]
    );
    assert!(server.requests().iter().any(|request| request.from() == Some(500)));
}

#[test]
fn a_file_without_a_published_sum_is_recorded() {
    let files = files();
    let mut about = description(&files);
    for file in about["siblings"].as_array_mut().unwrap() {
        if file["rfilename"] == "vocab.txt" {
            file.as_object_mut().unwrap().remove("blobId");
        }
    }
    let outcome = fetch(&hub(files.clone(), about.clone(), None));
    assert!(outcome.said.contains("vocab.txt: the hub publishes no sum"), "{}", outcome.said);
    let folder = outcome.result.unwrap();
    let mut changed = files;
    changed.get_mut("vocab.txt").unwrap().push(b'x');
    about["siblings"].as_array_mut().unwrap().iter_mut().for_each(|file| {
        file.as_object_mut().unwrap().remove("size");
    });
    fs::remove_file(folder.join("vocab.txt")).unwrap();
    let again = fetch_into(outcome.folder, &hub(changed, about, None), &TINY);
    assert!(again.error().contains("at the first download"), "{}", again.error());
}

#[test]
fn what_brew_cannot_read_is_said_before_it_is_fetched() {
    let cases = [
        (vec!["config.json", "model.safetensors.index.json"], "split over several files"),
        (vec!["config.json", "tf_model.h5"], "neither model.safetensors nor pytorch_model.bin"),
        (vec!["pytorch_model.bin"], "no config.json"),
    ];
    for (names, expected) in cases {
        let files: Files = names.iter().map(|name| ((*name).to_owned(), b"x".to_vec())).collect();
        let server = hub(files.clone(), description(&files), None);
        let message = fetch(&server).error();
        assert!(message.contains(expected) && message.contains(names[names.len() - 1]), "{message}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[test]
fn the_hubs_refusals_and_nonsense_are_explained() {
    for (code, remedy) in [(401, "HF_TOKEN"), (403, "agree to its terms"), (404, "no such file")] {
        let message = fetch(&Server::start(move |_| Reply::new(code, "{\"error\": \"no\"}"))).error();
        assert!(message.contains(remedy) && message.contains("owner/tiny"), "{message}");
    }
    let message = fetch(&Server::start(|_| Reply::new(200, "<html>"))).error();
    assert!(message.contains("not the description of a model"), "{message}");
    let evil = json!({"sha": "../../../evil", "siblings": [{"rfilename": "config.json"}]});
    let message = fetch(&Server::start(move |_| Reply::new(200, evil.to_string()))).error();
    assert!(message.contains("which is none"), "{message}");
    let files = files();
    let (whole, about) = (files.clone(), description(&files));
    let busy = Server::start(move |request| match request.number {
        0 => Reply::new(503, ""),
        1 => Reply::new(429, "").header("Retry-After", 0),
        _ => answer(request, &whole, &about, None),
    });
    fetch(&busy).result.unwrap();
}

#[test]
fn names_that_would_lead_elsewhere_are_refused() {
    let server = Server::start(|_| Reply::new(500, ""));
    for id in ["", "a/b/c", "../x", "a/..", "owner/na me", "https://huggingface.co/a", "a/", "-a/b"] {
        let message = fetch_into(tempfile::tempdir().unwrap(), &server, &Model { id, ..TINY }).error();
        assert!(message.contains("not the name of a model"), "{message}");
    }
    for revision in ["", "../main", "a b", "/main"] {
        let message = fetch_into(tempfile::tempdir().unwrap(), &server, &Model { revision, ..TINY }).error();
        assert!(message.contains("not a branch"), "{message}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn licences_are_read_from_the_card_or_the_tags() {
    let read = |value: Value| serde_json::from_value::<Description>(value).unwrap().licence();
    let base = |card: Value, tags: Value| json!({"sha": "", "siblings": [], "cardData": card, "tags": tags});
    let card = json!({"license": "other", "license_name": "llama", "license_link": "LICENSE.txt"});
    assert_eq!(read(base(card, json!([]))), "Licence: llama, as its card says. See LICENSE.txt");
    assert_eq!(read(base(json!(null), json!(["license:mit"]))), "Licence: mit, as its card says.");
    assert!(read(json!({"sha": "", "siblings": []})).contains("names none"));
}
