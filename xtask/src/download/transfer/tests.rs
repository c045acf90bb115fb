use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::testing::{Reply, Request, Server, client, content};
use super::*;

struct Outcome {
    result: Result<Sums>,
    said: String,
    folder: tempfile::TempDir,
}

impl Outcome {
    fn target(&self) -> PathBuf {
        self.folder.path().join("file.zip")
    }

    fn error(&self) -> String {
        self.result.as_ref().unwrap_err().to_string()
    }

    /// The finished file; no piece or note of it may be left.
    fn finished(&self) -> Vec<u8> {
        let sums = self.result.as_ref().unwrap();
        assert_eq!(self.files(), ["file.zip"]);
        let bytes = fs::read(self.target()).unwrap();
        assert_eq!(sums.bytes, bytes.len() as u64);
        bytes
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[derive(Default)]
struct Asked {
    bytes: Option<u64>,
    expected: Option<Expected>,
    token: Option<&'static str>,
}

fn fetch_into(folder: tempfile::TempDir, url: &str, asked: Asked) -> Outcome {
    let reporter = Reporter::kept();
    let target = folder.path().join("file.zip");
    let Asked { bytes, expected, token } = asked;
    let result = client().fetch(&Download { url, target: &target, token, bytes, expected }, &reporter);
    Outcome { result, said: reporter.said(), folder }
}

fn fetch_as(url: &str, asked: Asked) -> Outcome {
    fetch_into(tempfile::tempdir().unwrap(), url, asked)
}

fn fetch(url: &str) -> Outcome {
    fetch_as(url, Asked::default())
}

fn expecting(bytes: &[u8]) -> Asked {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("f"), bytes).unwrap();
    let sum = Sum::Sha256(Sums::of_file(&folder.path().join("f")).unwrap().sha256);
    let expected = Expected { sum, reason: "published in PAPER".into(), remedy: "Do this".into() };
    Asked { expected: Some(expected), ..Asked::default() }
}

#[test]
fn a_file_arrives_whole() {
    let body = content(100_000);
    let sent = body.clone();
    let server = Server::start(move |request| Reply::file(request, &sent, "\"a\""));
    let outcome = fetch_as(&server.at("/a/b?c=d"), Asked { bytes: Some(100_000), ..expecting(&body) });
    assert_eq!(outcome.finished(), body);
    assert_eq!(outcome.said, "file.zip, 100.0 kB");
    let [request] = &server.requests()[..] else { panic!("one request is enough") };
    assert_eq!(request.path, "/a/b?c=d");
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("range"), None);
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn an_empty_file_arrives_too() {
    let server = Server::start(|_| Reply::new(200, "").header("ETag", "\"a\""));
    assert_eq!(fetch(&server.url).finished(), b"");
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_cut_connection_is_resumed_where_it_ended() {
    let body = content(300_000);
    let sent = body.clone();
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &sent, "\"a\"");
        if request.number < 2 { reply.cut_after(100_000) } else { reply }
    });
    let outcome = fetch_as(&server.url, expecting(&body));
    assert_eq!(outcome.finished(), body);
    let starts: Vec<Option<usize>> = server.requests().iter().map(Request::from).collect();
    assert_eq!(starts, [None, Some(100_000), Some(200_000)]);
    assert!(server.requests()[1..].iter().all(|request| request.header("if-range") == Some("\"a\"")));
    assert!(outcome.said.contains("try 2 of 4"), "{}", outcome.said);
    assert!(outcome.said.contains("going on after 200.0 kB"), "{}", outcome.said);
}

#[test]
fn a_later_run_goes_on_where_an_earlier_one_gave_up() {
    let body = content(50_000);
    let sent = body.clone();
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let flag = std::sync::Arc::clone(&broken);
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &sent, "\"a\"");
        if flag.load(Ordering::SeqCst) { reply.cut_after(1_000) } else { reply }
    });
    let first = fetch(&server.url);
    let message = first.error();
    assert!(message.contains("4 tries") && message.contains("4000 bytes are kept"), "{message}");
    assert!(message.contains("file.zip.part"), "{message}");
    assert_eq!(first.files(), ["file.zip.part", "file.zip.part.json"]);
    broken.store(false, Ordering::SeqCst);
    let second = fetch_into(first.folder, &server.url, expecting(&body));
    assert_eq!(second.finished(), body);
    assert_eq!(server.requests().last().unwrap().from(), Some(4_000));
}

#[test]
fn a_piece_of_another_address_is_not_gone_on_with() {
    let body = content(5_000);
    let sent = body.clone();
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &sent, "\"a\"");
        if request.path == "/old" { reply.cut_after(1_000) } else { reply }
    });
    let first = fetch(&server.at("/old"));
    let second = fetch_into(first.folder, &server.at("/new"), Asked::default());
    assert_eq!(second.finished(), body);
    assert_eq!(server.requests().last().unwrap().header("range"), None);
}

#[test]
fn a_server_that_ignores_range_is_taken_from_the_beginning() {
    let body = content(20_000);
    let sent = body.clone();
    let server = Server::start(move |request| {
        let reply = Reply::new(200, &sent[..]).header("ETag", "\"a\"");
        if request.number == 0 { reply.cut_after(7_000) } else { reply }
    });
    let outcome = fetch_as(&server.url, expecting(&body));
    assert_eq!(outcome.finished(), body);
    assert_eq!(server.requests()[1].from(), Some(7_000));
}

#[test]
fn a_file_that_changes_in_between_is_not_glued_together() {
    let (old, new) = (content(20_000), vec![7; 20_000]);
    let sent = new.clone();
    let server = Server::start(move |request| match request.number {
        0 => Reply::file(request, &old, "\"old\"").cut_after(9_000),
        _ => Reply::file(request, &sent, "\"new\""),
    });
    assert_eq!(fetch_as(&server.url, expecting(&new)).finished(), new);
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_server_that_heeds_range_but_not_if_range_is_found_out() {
    let (old, new) = (content(20_000), vec![7; 20_000]);
    let sent = new.clone();
    let server = Server::start(move |request| {
        let mut heedless = request.clone();
        heedless.headers.remove("if-range");
        match request.number {
            0 => Reply::file(request, &old, "\"old\"").cut_after(9_000),
            _ => Reply::file(&heedless, &sent, "\"new\""),
        }
    });
    let outcome = fetch(&server.url);
    assert_eq!(outcome.finished(), new);
    assert!(outcome.said.contains("has changed on the server"), "{}", outcome.said);
}

#[test]
fn a_wrong_piece_is_thrown_away() {
    let body = content(20_000);
    let sent = body.clone();
    let server = Server::start(move |request| match request.number {
        0 => Reply::file(request, &sent, "\"a\"").cut_after(9_000),
        1 => Reply::new(206, &sent[5_000..])
            .header("ETag", "\"a\"")
            .header("Content-Range", "bytes 5000-19999/20000"),
        _ => Reply::file(request, &sent, "\"a\""),
    });
    let outcome = fetch(&server.url);
    assert_eq!(outcome.finished(), body);
    assert!(outcome.said.contains("from byte 5000, not from 9000"), "{}", outcome.said);
}

#[test]
fn pieces_that_do_not_fit_are_fetched_again_once() {
    let body = content(20_000);
    let sent = body.clone();
    // The first piece is of other bytes under the same ETag.
    let server = Server::start(move |request| match request.number {
        0 => Reply::file(request, &[7; 20_000], "\"a\"").cut_after(9_000),
        _ => Reply::file(request, &sent, "\"a\""),
    });
    let outcome = fetch_as(&server.url, expecting(&body));
    assert_eq!(outcome.finished(), body);
    assert!(outcome.said.contains("do not fit together"), "{}", outcome.said);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn without_a_validator_nothing_is_resumed() {
    for etag in [None, Some("W/\"weak\"")] {
        let body = content(20_000);
        let sent = body.clone();
        let server = Server::start(move |request| {
            let reply = Reply::new(200, &sent[..]);
            let reply = if let Some(etag) = etag { reply.header("ETag", etag) } else { reply };
            if request.number == 0 { reply.cut_after(9_000) } else { reply }
        });
        assert_eq!(fetch(&server.url).finished(), body);
        assert!(server.requests().iter().all(|request| request.header("range").is_none()));
    }
}

#[test]
fn a_date_serves_as_validator() {
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    let body = content(20_000);
    let sent = body.clone();
    let server = Server::start(move |request| match request.from() {
        None => Reply::new(200, &sent[..]).header("Last-Modified", date).cut_after(9_000),
        Some(from) => Reply::new(206, &sent[from..])
            .header("Last-Modified", date)
            .header("Content-Range", format!("bytes {from}-19999/20000")),
    });
    assert_eq!(fetch(&server.url).finished(), body);
    assert_eq!(server.requests()[1].header("if-range"), Some(date));
}

#[test]
fn a_wrong_sum_is_an_error_and_leaves_nothing() {
    let server = Server::start(|request| Reply::file(request, &content(1_000), "\"a\""));
    let outcome = fetch_as(&server.url, expecting(b"something else"));
    let message = outcome.error();
    assert!(message.contains("SHA-256") && message.contains("published in PAPER"), "{message}");
    assert!(message.contains("Do this"), "{message}");
    assert_eq!(outcome.files(), [""; 0]);
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_wrong_length_is_found_before_the_content_comes() {
    let server = Server::start(|request| Reply::file(request, &content(1_000), "\"a\""));
    let outcome = fetch_as(&server.url, Asked { bytes: Some(999), ..Asked::default() });
    let message = outcome.error();
    assert!(message.contains("1000 bytes where 999"), "{message}");
    assert!(!outcome.target().exists());
}

#[test]
fn announcing_more_than_is_sent_is_not_a_whole_file() {
    let server = Server::start(|_| Reply::new(200, content(500)).announcing(1_000));
    let outcome = fetch(&server.url);
    assert!(matches!(outcome.result, Err(DownloadError::GaveUp { tries: 4, .. })), "{}", outcome.error());
    assert!(!outcome.target().exists());
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn what_is_sent_beyond_the_announced_length_is_not_taken() {
    let server = Server::start(|_| Reply::new(200, content(1_000)).announcing(400));
    assert_eq!(fetch(&server.url).finished(), content(400));
}

#[test]
fn a_missing_file_is_asked_for_once() {
    let server = Server::start(|_| Reply::new(404, "no"));
    let outcome = fetch(&server.at("/gone.zip"));
    let message = outcome.error();
    assert_eq!(outcome.files(), [""; 0]);
    assert!(
        message.contains("/gone.zip") && message.contains("404") && message.contains("--from"),
        "{message}"
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_busy_server_is_asked_again() {
    let body = content(10);
    let sent = body.clone();
    let server = Server::start(move |request| match request.number {
        0 => Reply::new(429, "").header("Retry-After", 0),
        1 => Reply::new(503, ""),
        _ => Reply::file(request, &sent, "\"a\""),
    });
    let outcome = fetch(&server.url);
    assert_eq!(outcome.finished(), body);
    assert!(outcome.said.contains("answered 429; try 2 of 4 in 0 s"), "{}", outcome.said);
    assert!(outcome.said.contains("answered 503; try 3 of 4"), "{}", outcome.said);
}

#[test]
fn the_wait_that_is_asked_for_is_kept() {
    let server = Server::start(|request| match request.number {
        0 => Reply::new(429, "").header("Retry-After", 1),
        _ => Reply::new(200, "x"),
    });
    let start = Instant::now();
    fetch(&server.url).finished();
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_server_that_stays_broken_is_given_up() {
    let server = Server::start(|_| Reply::new(500, ""));
    let outcome = fetch(&server.url);
    assert!(outcome.error().contains("the server answered 500"), "{}", outcome.error());
    assert_eq!(server.requests().len(), 4);
}

#[test]
fn silence_counts_as_a_cut() {
    let body = content(20_000);
    let sent = body.clone();
    let server = Server::start(move |request| {
        let reply = Reply::file(request, &sent, "\"a\"");
        if request.number == 0 { reply.cut_after(9_000).then_silent(Duration::from_secs(60)) } else { reply }
    });
    let start = Instant::now();
    assert_eq!(fetch(&server.url).finished(), body);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(server.requests()[1].from(), Some(9_000));
}

#[test]
fn nobody_there_is_tried_again_and_reported() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    drop(listener);
    let outcome = fetch(&url);
    assert!(matches!(outcome.result, Err(DownloadError::GaveUp { .. })), "{}", outcome.error());
}

#[test]
fn what_is_no_address_is_not_tried_again() {
    let outcome = fetch("mirror.example/file");
    assert!(matches!(outcome.result, Err(DownloadError::Request { .. })), "{}", outcome.error());
    assert!(outcome.error().contains("BREW_MIRROR"), "{}", outcome.error());
}

#[test]
fn another_host_gets_the_range_but_not_the_token() {
    let body = content(20_000);
    let sent = body.clone();
    let storage = Server::start(move |request| {
        let reply = Reply::file(request, &sent, "\"a\"");
        if request.number == 0 { reply.cut_after(9_000) } else { reply }
    });
    // Another name for the same machine is another host.
    let elsewhere = storage.at("/blob").replace("127.0.0.1", "localhost");
    let hub = Server::start(move |_| Reply::new(302, "").header("Location", &elsewhere));
    let outcome = fetch_as(&hub.at("/file"), Asked { token: Some("secret"), ..expecting(&body) });
    assert_eq!(outcome.finished(), body);
    assert!(hub.requests().iter().all(|request| request.header("authorization") == Some("Bearer secret")));
    assert_eq!(storage.requests().len(), 2);
    assert!(storage.requests().iter().all(|request| request.header("authorization").is_none()));
    assert_eq!(storage.requests()[1].from(), Some(9_000));
}

#[test]
fn the_same_host_under_another_path_gets_the_token() {
    // As the hub answers for a model that was renamed.
    let server = Server::start(|request| match request.path.as_str() {
        "/old" => Reply::new(307, "").header("Location", "/new"),
        _ if request.header("authorization") == Some("Bearer secret") => Reply::new(200, "x"),
        _ => Reply::new(401, ""),
    });
    let outcome = fetch_as(&server.at("/old"), Asked { token: Some("secret"), ..Asked::default() });
    assert_eq!(outcome.finished(), b"x");
}

#[test]
fn redirects_without_end_are_an_error() {
    let server = Server::start(|_| Reply::new(302, "").header("Location", "/again"));
    let outcome = fetch(&server.url);
    assert!(outcome.error().contains("redirects"), "{}", outcome.error());
}

#[test]
fn a_finished_piece_needs_no_request() {
    let body = content(1_000);
    let folder = tempfile::tempdir().unwrap();
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&count);
    let server = Server::start(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Reply::new(500, "")
    });
    let origin = Origin { url: server.url.clone(), validator: Some("\"a\"".into()), total: Some(1_000) };
    fs::write(folder.path().join("file.zip.part"), &body).unwrap();
    fs::write(folder.path().join("file.zip.part.json"), serde_json::to_vec(&origin).unwrap()).unwrap();
    assert_eq!(fetch_into(folder, &server.url, expecting(&body)).finished(), body);
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn more_than_fits_on_the_disk_is_refused_before_it_comes() {
    let server = Server::start(|_| Reply::new(200, "x").announcing(1 << 60));
    let outcome = fetch(&server.url);
    assert!(matches!(outcome.result, Err(DownloadError::NoSpace { .. })), "{}", outcome.error());
}
