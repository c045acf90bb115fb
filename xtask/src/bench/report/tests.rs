use super::super::measured::Part;
use super::super::sizes::Sizes;
use super::*;

fn side(parts: &[(&str, f64)], peak_kib: u64) -> Measured {
    let parts = parts.iter().map(|&(name, seconds)| Part {
        name: name.to_owned(),
        seconds,
        shortest: seconds,
        items: 64.0,
        check: Vec::new(),
    });
    Measured { parts: parts.collect(), peak_kib: Some(peak_kib) }
}

fn report(rows: Vec<RowReport>) -> Report {
    Report {
        rows,
        ceiling: Ceiling::new(Sizes::full(), &[]),
        machine: Machine {
            cpu: "Z80".to_owned(),
            cores: 2,
            load: Some(0.5),
            date: "1976-07-01 12:00".to_owned(),
        },
        brew: BTreeMap::from([("burn".to_owned(), "0.21.0".to_owned())]),
        peer: BTreeMap::from([("torch".to_owned(), "2.8.0".to_owned())]),
        peer_idle_kib: Some(300 * 1024),
        settings: Settings {
            threads: 2,
            profile: "release".to_owned(),
            quick: false,
            batch: 16,
            length: 128,
            depth: 1,
            changed: Vec::new(),
        },
    }
}

#[test]
fn losses_are_one_row_with_the_lowest_ratio_and_their_parts() {
    let mut losses = RowReport::new(Row::F);
    losses.add(&side(&[("cos", 0.5), ("nst", 2.0)], 2048), &side(&[("cos", 1.0), ("nst", 1.5)], 4096));
    losses.add(&side(&[("cos", 0.5), ("nst", 1.0)], 1024), &side(&[("cos", 2.0), ("nst", 1.25)], 4096));
    let json = report(vec![losses]).json();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[0]["row"]), (1, &json!("F")));
    assert_eq!(rows[0]["ratio"], 1.0);
    assert_eq!((&rows[0]["lowest_ratio"], &rows[0]["highest_ratio"]), (&json!(0.75), &json!(1.25)));
    assert_eq!(
        rows[0]["parts"][0],
        json!({
            "name": "cos", "ratio": 3.0, "lowest_ratio": 2.0, "highest_ratio": 4.0,
            "brew_seconds": 0.5, "peer_seconds": 1.5, "each": {"brew": [0.5, 0.5], "peer": [1.0, 2.0]},
        })
    );
    assert_eq!((&rows[0]["brew_peak_kib"], &rows[0]["memory_ratio"]), (&json!(2048), &json!(0.5)));
}

#[test]
fn a_refused_row_has_no_ratio_and_says_why() {
    let mut row = RowReport::new(Row::A);
    row.add(&side(&[("", 1.0)], 1), &side(&[("", 1.0)], 1));
    row.refuse("outputs differ: Brew 1, the peer 2".to_owned());
    assert!(row.is_refused());
    let report = report(vec![row]);
    assert_eq!(report.json()["rows"][0]["ratio"], Value::Null);
    assert!(report.markdown().contains("outputs differ: Brew 1"), "{}", report.markdown());
}

#[test]
fn the_table_says_what_was_measured_on_what() {
    let mut run = RowReport::new(Row::G);
    run.add(&side(&[("", 10.0)], 512 * 1024), &side(&[("", 65.0)], 1024 * 1024));
    let mut rate = RowReport::new(Row::J);
    rate.add(&side(&[("", 0.01)], 1024), &side(&[("", 0.02)], 2048));
    let mut refused = RowReport::new(Row::A);
    refused.refuse("no torch".to_owned());
    let text = report(vec![run, rate, refused]).markdown();
    for part in [
        "Z80",
        "burn 0.21.0",
        "torch 2.8.0; loaded and idle 300 MiB",
        "16 × 128 tokens\n",
        "| G | BERT-base to T4-tiny, whole run | 10.0 s | 65.0 s | **6.50** | 6.50–6.50 | 6 | 512 / 1024 MiB |",
        "| 6400/s | 3200/s | **2.00** |",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let columns: Vec<usize> =
        text.lines().filter(|line| line.starts_with('|')).map(|line| line.matches('|').count()).collect();
    assert!(columns.iter().all(|&count| count == columns[0]), "{text}");
}

#[test]
fn a_busy_machine_is_told() {
    let mut report = report(Vec::new());
    assert!(!report.markdown().contains("Busy"));
    report.machine.load = Some(3.0);
    assert!(report.markdown().contains("Busy: other processes"), "{}", report.markdown());
}

#[test]
fn durations_have_three_digits() {
    let shown = [123.4, 1.234, 0.0123, 4.56e-5].map(duration);
    assert_eq!(shown, ["123 s", "1.23 s", "12.3 ms", "45.6 µs"]);
}
