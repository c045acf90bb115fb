//! Bars of mean scores as an SVG picture.

use std::fmt::Write;

/// The scores of one arm.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) mean: f64,
    /// The single runs.
    pub(super) values: Vec<f64>,
    /// The peer's mean.
    pub(super) peer: Option<f64>,
}

const WIDTH: f64 = 760.0;
const LABELS: f64 = 240.0;
const RIGHT: f64 = 70.0;
const ROW: f64 = 24.0;
const TOP: f64 = 56.0;

/// A horizontal bar an arm with its mean beside it, a dot a run, and a line where the peer's mean is.
///
/// The axis begins below the least value, since the arms of one experiment differ by little.
pub(super) fn chart(title: &str, axis: &str, peer: Option<&str>, bars: &[Bar]) -> String {
    let all = || bars.iter().flat_map(|bar| bar.values.iter().copied().chain(bar.peer));
    let (least, most) = all()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let (from, to, step) = axis_of(least, most);
    let x = |value: f64| LABELS + (value - from) / (to - from) * (WIDTH - LABELS - RIGHT);
    let bottom = TOP + ROW * bars.len() as f64;
    let height = bottom + 40.0;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\" \
         fill=\"#222\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\">{}</text>",
        escaped(title)
    );
    let lines = ((to - from) / step).round() as usize;
    for value in (0..=lines).map(|line| from + step * line as f64) {
        let at = x(value);
        let _ = writeln!(
            out,
            "<line x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{}</text>",
            bottom + 14.0,
            short(value)
        );
    }
    for (row, bar) in bars.iter().enumerate() {
        let top = TOP + ROW * row as f64 + 4.0;
        let middle = top + 8.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LABELS}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"16\" fill=\"#7aa6d6\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{:.2}</text>",
            LABELS - 8.0,
            middle + 4.0,
            escaped(&bar.label),
            x(bar.mean) - LABELS,
            x(bar.values.iter().copied().fold(bar.mean, f64::max)) + 8.0,
            middle + 4.0,
            bar.mean
        );
        for &value in &bar.values {
            let _ =
                writeln!(out, "<circle cx=\"{:.1}\" cy=\"{middle:.1}\" r=\"3\" fill=\"#1d4e89\"/>", x(value));
        }
        if let Some(value) = bar.peer {
            let at = x(value);
            let _ = writeln!(
                out,
                "<line x1=\"{at:.1}\" y1=\"{:.1}\" x2=\"{at:.1}\" y2=\"{:.1}\" stroke=\"#c0392b\" stroke-width=\"2\"/>",
                top - 2.0,
                top + 18.0
            );
        }
    }
    let mut legend = format!("{axis}; a dot is a run");
    if let Some(peer) = peer.filter(|_| bars.iter().any(|bar| bar.peer.is_some())) {
        let _ = write!(legend, "; the red line is {peer}'s mean");
    }
    let _ = writeln!(out, "<text x=\"12\" y=\"44\" fill=\"#666\">{}</text>\n</svg>", escaped(&legend));
    out
}

/// Beginning, end and distance of the lines of an axis that holds these values.
fn axis_of(least: f64, most: f64) -> (f64, f64, f64) {
    if !(least.is_finite() && most.is_finite()) {
        return (0.0, 100.0, 20.0);
    }
    let span = (most - least).max(1.0);
    let step = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0].into_iter().find(|step| span / step <= 6.0).unwrap_or(50.0);
    let from = (((least - 0.5 * step) / step).floor() * step).max(0.0);
    (from, ((most + 0.2 * step) / step).ceil() * step, step)
}

fn short(value: f64) -> String {
    if (value - value.round()).abs() < 1e-9 { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_their_values_between_even_lines() {
        for (least, most) in [(79.1, 88.9), (0.0, 100.0), (50.0, 50.0), (3.2, 3.3)] {
            let (from, to, step) = axis_of(least, most);
            assert!(from <= least && most <= to, "{least} to {most}: {from} to {to}");
            let lines = (to - from) / step;
            assert!((lines - lines.round()).abs() < 1e-9 && lines <= 9.0, "{lines}");
        }
    }

    #[test]
    fn names_cannot_break_the_picture() {
        let bar = Bar { label: "a<b".into(), mean: 80.0, values: vec![79.0, 81.0], peer: Some(82.0) };
        let svg = chart("T & U", "accuracy (%)", Some("Peer"), &[bar]);
        assert!(svg.contains("a&lt;b") && svg.contains("T &amp; U") && svg.contains("Peer's mean"), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
