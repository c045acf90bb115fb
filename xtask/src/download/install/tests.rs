use std::io::{Cursor, Write};

use serde_json::json;

use super::super::convert;
use super::super::sets::Remote;
use super::super::sets::{Conversion, Licence, Placed, Published, Shape};
use super::super::testing::{Reply, Server, client};
use super::gather::{list_files, mirrored};
use super::*;

const LICENCE: Licence =
    Licence { name: "CC BY 4.0", terms: "Name us.", stated: "https://publisher.example/licence" };

const LAYOUT: &[Placed] = &[
    Placed { file: "train.tsv", from: &["SET/train.tsv", "train.txt"], shape: Shape::Tabs(2), known: &[] },
    Placed { file: "dev.tsv", from: &["SET/dev.tsv", "dev.txt"], shape: Shape::Tabs(2), known: &[] },
];

fn leak<T: ?Sized>(value: Box<T>) -> &'static T {
    Box::leak(value)
}

fn sums_of(bytes: &[u8]) -> Sums {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    Sums::of_file(file.path()).unwrap()
}

fn published(bytes: &[u8]) -> Option<Published> {
    let sum = leak(format!("sha256:{}", sums_of(bytes).sha256).into_boxed_str());
    Some(Published { sum, at: "https://publisher.example/sums" })
}

/// A set in one archive, whose publisher is reached over a mirror only.
fn archive_set(published: Option<Published>) -> DataSet {
    let remote =
        Remote { url: "https://publisher.example/v1/SET.zip", bytes: None, published, used_by: "https://a" };
    open_set(vec![remote], LAYOUT)
}

fn open_set(files: Vec<Remote>, layout: &'static [Placed]) -> DataSet {
    DataSet {
        name: "set",
        title: "A Set",
        task: "a task",
        licence: LICENCE,
        home: "https://publisher.example",
        source: Source::Open(leak(files.into_boxed_slice())),
        layout,
        convert: None,
    }
}

fn by_hand(layout: &'static [Placed]) -> DataSet {
    DataSet { source: Source::ByHand { steps: "Ask, then use --from." }, ..open_set(Vec::new(), layout) }
}

fn zip_of(entries: &[(&str, &str)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, text) in entries {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn good_zip() -> Vec<u8> {
    zip_of(&[("SET/train.tsv", "a\t1\nb\t0\n"), ("SET/dev.tsv", "c\t1\n"), ("SET/README", "hello")])
}

/// A cache folder and what a command would be given.
struct Workshop {
    folder: tempfile::TempDir,
    mirror: Option<String>,
    from: Vec<PathBuf>,
    force: bool,
    unattended: bool,
}

impl Workshop {
    fn new(mirror: Option<&Server>) -> Self {
        let mirror = mirror.map(|server| server.url.clone() + "/mirror/");
        let folder = tempfile::tempdir().unwrap();
        Self { folder, mirror, from: Vec::new(), force: false, unattended: false }
    }

    fn install(&self, set: &DataSet) -> (Result<PathBuf>, String) {
        let reporter = Reporter::kept();
        let cache =
            Cache::open(&self.folder.path().join("cache"), || panic!("nobody else is there")).unwrap();
        let mut job = Job {
            client: &client(),
            cache: &cache,
            reporter: &reporter,
            consent: if self.unattended { Consent::Nobody } else { Consent::Given },
            mirror: self.mirror.as_deref(),
            from: &self.from,
            force: self.force,
        };
        let result = job.install(set);
        (result, reporter.said())
    }

    fn installed(&self, set: &DataSet) -> (PathBuf, String) {
        let (result, said) = self.install(set);
        (result.unwrap(), said)
    }

    fn error(&self, set: &DataSet) -> String {
        self.install(set).0.unwrap_err().to_string()
    }

    fn brings(&mut self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join("mine").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        self.from.push(path.clone());
        path
    }

    /// What lies in the cache, whatever it is.
    fn leftovers(&self) -> Vec<String> {
        let mut files = Vec::new();
        list_files(&self.folder.path().join("cache"), "", 9, &mut files).unwrap();
        files.into_iter().map(|(name, _)| name).collect()
    }
}

#[test]
fn a_set_is_fetched_over_the_mirror_checked_and_unpacked() {
    let zip = good_zip();
    let sent = zip.clone();
    let server = Server::start(move |request| Reply::file(request, &sent, "\"a\""));
    let workshop = Workshop::new(Some(&server));
    let set = archive_set(published(&zip));
    let (folder, said) = workshop.installed(&set);
    assert!(folder.is_absolute() && folder.ends_with("data/set"));
    assert_eq!(fs::read_to_string(folder.join("train.tsv")).unwrap(), "a\t1\nb\t0\n");
    assert_eq!(server.requests()[0].path, "/mirror/v1/SET.zip");
    assert!(
        said.find("CC BY 4.0").unwrap() < said.find("SET.zip").unwrap(),
        "the licence comes first: {said}"
    );
    assert!(said.contains("published at https://publisher.example/sums"), "{said}");
    let expected = [".lock", "checksums.json", "data/set/dev.tsv", "data/set/train.tsv"];
    assert_eq!(workshop.leftovers(), expected);
    // The second time nothing is fetched and no consent is asked for.
    let (again, said) = Workshop { unattended: true, ..workshop }.installed(&set);
    assert_eq!(again, folder);
    assert!(said.contains("there already, unchanged"), "{said}");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn without_consent_nothing_is_asked_of_the_server() {
    let server = Server::start(|_| Reply::new(500, ""));
    let workshop = Workshop { unattended: true, ..Workshop::new(Some(&server)) };
    assert!(workshop.error(&archive_set(None)).contains("--accept-licence"));
    assert!(server.requests().is_empty());
}

#[test]
fn a_sum_that_nobody_published_is_recorded_and_compared_the_next_time() {
    let (first, second) = (good_zip(), zip_of(&[("SET/train.tsv", "x\t1\n"), ("SET/dev.tsv", "y\t1\n")]));
    let sent = [first.clone(), second];
    let server = Server::start(move |request| {
        let which = usize::from(request.number > 0);
        Reply::file(request, &sent[which], &format!("\"{which}\""))
    });
    let mut workshop = Workshop::new(Some(&server));
    let set = archive_set(None);
    let (folder, said) = workshop.installed(&set);
    let sum = sums_of(&first).sha256;
    assert!(said.contains(&sum) && said.contains("no sum of it is published"), "{said}");
    let record = workshop.folder.path().join("cache/checksums.json");
    let text = fs::read_to_string(&record).unwrap();
    assert!(text.contains(&sum) && text.contains("https://publisher.example/v1/SET.zip"), "{text}");

    workshop.force = true;
    let message = workshop.error(&set);
    assert!(message.contains(&sum) && message.contains("at the first download"), "{message}");
    assert!(message.contains("remove the entry"), "{message}");
    // What was there stays.
    assert_eq!(fs::read_to_string(folder.join("train.tsv")).unwrap(), "a\t1\nb\t0\n");

    let without = text.replace("https://publisher.example/v1/SET.zip", "https://other");
    fs::write(&record, without).unwrap();
    let (folder, _) = workshop.installed(&set);
    assert_eq!(fs::read_to_string(folder.join("train.tsv")).unwrap(), "x\t1\n");
    assert_eq!(workshop.leftovers().iter().filter(|name| name.contains("old")).count(), 0);
}

#[test]
fn a_wrong_sum_or_a_hostile_archive_leaves_no_data() {
    let evil = zip_of(&[("SET/train.tsv", "a\t1\n"), ("SET/dev.tsv", "a\t1\n"), ("../../evil", "x")]);
    let partial = zip_of(&[("SET/train.tsv", "a\t1\n")]);
    let other = zip_of(&[("OTHER/x", "a")]);
    let page = b"<html>the set has moved</html>".to_vec();
    let cases: [(Vec<u8>, Option<Published>, &str); 5] = [
        (good_zip(), published(b"other"), "published at"),
        (evil, None, "leads out of the folder"),
        (partial, None, "SET/dev.tsv or dev.txt"),
        (other, None, "none of the files"),
        (page, None, "no zip or tar.gz archive"),
    ];
    for (bytes, published, expected) in cases {
        let server = Server::start(move |request| Reply::file(request, &bytes, "\"a\""));
        let workshop = Workshop::new(Some(&server));
        let message = workshop.error(&archive_set(published));
        assert!(message.contains(expected), "{message}");
        assert!(!workshop.folder.path().join("evil").exists());
        let left = workshop.leftovers();
        assert!(!left.iter().any(|name| name.starts_with("data") || name.contains("checksums")), "{left:?}");
    }
}

#[test]
fn a_file_that_was_changed_after_unpacking_is_noticed() {
    let zip = good_zip();
    let server = Server::start(move |request| Reply::file(request, &zip, "\"a\""));
    let mut workshop = Workshop::new(Some(&server));
    let set = archive_set(None);
    let (folder, _) = workshop.installed(&set);
    fs::write(folder.join("dev.tsv"), "mine\t1\n").unwrap();
    let message = workshop.error(&set);
    assert!(message.contains("dev.tsv") && message.contains("--force"), "{message}");
    workshop.force = true;
    workshop.installed(&set);
    assert_eq!(fs::read_to_string(folder.join("dev.tsv")).unwrap(), "c\t1\n");
}

#[test]
fn a_copy_of_the_users_own_is_checked_as_a_download_is() {
    let server = Server::start(|_| Reply::new(404, ""));
    let set = archive_set(published(&good_zip()));
    let mut workshop = Workshop::new(Some(&server));
    let mine = workshop.brings("SET.zip", good_zip());
    let (folder, _) = workshop.installed(&set);
    assert!(folder.join("dev.tsv").is_file() && mine.is_file());
    assert!(server.requests().is_empty());
    // A folder with it, too.
    let mut other = Workshop::new(Some(&server));
    other.from = vec![mine.parent().unwrap().to_path_buf()];
    other.installed(&set);

    let mut wrong = Workshop::new(Some(&server));
    wrong.brings("SET.zip", zip_of(&[("SET/train.tsv", "x")]));
    assert!(wrong.error(&set).contains("SET.zip: its SHA-256"));
    let mut unknown = Workshop::new(Some(&server));
    unknown.brings("elsewhere.zip", good_zip());
    assert!(unknown.error(&set).contains("which are called SET.zip"));
}

#[test]
fn a_set_of_plain_files_needs_no_archive() {
    let layout: &[Placed] = &[Placed { file: "a.json", from: &["a.json"], shape: Shape::Json, known: &[] }];
    let set = open_set(
        vec![Remote {
            url: "http://publisher.example/a.json",
            bytes: Some(2),
            published: None,
            used_by: "https://a",
        }],
        layout,
    );
    let server = Server::start(|request| Reply::file(request, b"{}", "\"a\""));
    let workshop = Workshop::new(Some(&server));
    let (folder, _) = workshop.installed(&set);
    assert_eq!(fs::read(folder.join("a.json")).unwrap(), b"{}");
    assert_eq!(workshop.leftovers(), [".lock", "checksums.json", "data/set/a.json"]);
}

#[test]
fn a_set_by_hand_says_what_to_do_and_takes_what_is_brought() {
    let known = leak(vec![published(b"a\t1\n").unwrap()].into_boxed_slice());
    let layout = leak(
        vec![
            Placed { file: "train.tsv", from: &["train.tsv", "train.txt"], shape: Shape::Tabs(2), known },
            Placed { file: "dev.tsv", from: &["dev.tsv", "dev.txt"], shape: Shape::Tabs(2), known },
        ]
        .into_boxed_slice(),
    );
    let set = by_hand(layout);
    let message = Workshop::new(None).error(&set);
    assert!(message.contains("CC BY 4.0") && message.contains("cannot be fetched"), "{message}");
    assert!(message.contains("Ask, then use --from."), "{message}");

    // An archive, single files, a folder below a folder.
    let mut archive = Workshop::new(None);
    archive.brings("any-name", zip_of(&[("S/train.txt", "a\t1\n"), ("S/dev.tsv", "b\t1\n")]));
    let (_, said) = archive.installed(&set);
    assert!(said.contains("train.tsv: the version whose sum is published"), "{said}");
    assert!(said.contains("dev.tsv: not a version with a published sum; its SHA-256"), "{said}");
    let mut files = Workshop::new(None);
    files.brings("deep/set/train.tsv", "a\t1\n");
    files.brings("deep/set/dev.txt", "b\t1\n");
    let (folder, _) = files.installed(&set);
    assert_eq!(fs::read_to_string(folder.join("dev.tsv")).unwrap(), "b\t1\n");
    let mut folder = Workshop::new(None);
    folder.from = vec![files.folder.path().join("mine")];
    folder.installed(&set);

    let mut half = Workshop::new(None);
    half.brings("train.tsv", "a\t1\n");
    assert!(half.error(&set).contains("dev.tsv"));
    half.brings("train.txt", "a\t1\n");
    assert!(half.error(&set).contains("a second file for train.tsv"));
    let mut other = Workshop::new(None);
    other.brings("train.tsv", "no columns here\n");
    other.brings("dev.tsv", "a\t1\n");
    assert!(other.error(&set).contains("line 1 has 1 columns"));
    let mut missing = Workshop::new(None);
    missing.from = vec!["nowhere.zip".into()];
    assert!(missing.error(&set).contains("nowhere.zip"));
    assert_eq!(missing.leftovers(), [".lock"]);
}

#[test]
fn a_set_that_is_converted_keeps_what_comes_of_it() {
    let layout: &[Placed] = &[Placed {
        file: "combined-newsqa-data-v1.json",
        from: &["combined-newsqa-data-v1.json"],
        shape: Shape::Json,
        known: &[],
    }];
    let set = DataSet {
        convert: Some(Conversion {
            run: convert::newsqa,
            files: &["newsqa.json", "newsqa-dev.json", "newsqa-test.json"],
        }),
        ..by_hand(layout)
    };
    let questions = json!([{"q": "What?", "consensus": {"s": 0, "e": 4}}]);
    let story = json!({"storyId": "s", "type": "train", "text": "This is it.", "questions": questions});
    let mut workshop = Workshop::new(None);
    workshop.brings("combined-newsqa-data-v1.json", json!({"data": [story]}).to_string());
    let (folder, said) = workshop.installed(&set);
    assert!(said.contains("1 questions; 0"), "{said}");
    let train: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join("newsqa.json")).unwrap()).unwrap();
    assert_eq!(
        train["data"][0]["paragraphs"][0]["qas"][0]["answers"][0],
        json!({"text": "This", "answer_start": 0})
    );
    let expected = [
        ".lock",
        "checksums.json",
        "data/set/newsqa-dev.json",
        "data/set/newsqa-test.json",
        "data/set/newsqa.json",
    ];
    assert_eq!(workshop.leftovers(), expected);
}

#[test]
fn an_interrupted_download_is_gone_on_with_by_the_next_command() {
    let zip = good_zip();
    let sent = zip.clone();
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &sent, "\"a\"");
        if request.number < 4 { reply.cut_after(10) } else { reply }
    });
    let workshop = Workshop::new(Some(&server));
    let set = archive_set(published(&zip));
    assert!(workshop.error(&set).contains("40 bytes are kept"));
    // As a command leaves it that was killed while it unpacked.
    let half = workshop.folder.path().join("cache/data/.set-abc");
    fs::create_dir_all(half.join("files")).unwrap();
    workshop.installed(&set);
    assert!(!half.exists());
    assert_eq!(server.requests()[4].from(), Some(40));
}

#[test]
fn the_mirror_replaces_scheme_and_host() {
    assert_eq!(mirrored("https://a.b/c/d.zip?e", None), "https://a.b/c/d.zip?e");
    assert_eq!(mirrored("https://a.b:8/c/d.zip", Some("http://m/x/")), "http://m/x/c/d.zip");
}

/// The shared data sets, where they are at hand: the real files pass the checks of their sets.
#[test]
fn real_files_fit_their_sets() {
    let shared = std::env::var_os("BREW_DATA")
        .map(PathBuf::from)
        .unwrap_or_else(|| crate::workspace_root().unwrap().join("../shared/data"));
    if !shared.is_dir() {
        eprintln!("skipped: no data sets at {}", shared.display());
        return;
    }
    let conll = shared.join("conll2003");
    if conll.is_dir() {
        let workshop = Workshop { from: vec![conll], ..Workshop::new(None) };
        let (folder, _) = workshop.installed(DataSet::find("conll2003").unwrap());
        assert_eq!(fs::read_dir(folder).unwrap().count(), 3);
    }
    // Published sums of parts of open sets, compared with copies from elsewhere.
    for (set, folder) in [("cmrc2018", "cmrc2018"), ("drcd", "drcd")] {
        let set = DataSet::find(set).unwrap();
        let Source::Open(files) = set.source else { panic!("{} is open", set.name) };
        for remote in files {
            let path = shared.join(folder).join(remote.file_name());
            if path.is_file() {
                let sums = Sums::of_file(&path).unwrap();
                let published = remote.published.as_ref().unwrap().parse().unwrap();
                assert_eq!(published.contradicted_by(&sums), None, "{}", path.display());
                assert_eq!(remote.bytes, Some(sums.bytes));
                shape::check(&path, set.place(remote.file_name()).unwrap().shape).unwrap();
            }
        }
    }
}
