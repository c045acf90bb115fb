//! What one side measured in one process, and whether both computed the same.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::statistics::median;

/// The largest difference between numbers that are to be equal, of one plus their size.
const TOLERANCE: f64 = 1e-3;

/// One side of a pair.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    pub(super) parts: Vec<Part>,
    pub(super) peak_kib: Option<u64>,
}

/// A part of a row, such as a loss.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Part {
    pub(super) name: String,
    /// The median of the times.
    pub(super) seconds: f64,
    /// The shortest.
    pub(super) shortest: f64,
    /// Examples, or floating-point operations.
    pub(super) items: f64,
    /// Some of what was computed.
    pub(super) check: Vec<f64>,
}

#[derive(Debug, Deserialize)]
struct Said {
    parts: Vec<SaidPart>,
}

#[derive(Debug, Deserialize)]
struct SaidPart {
    name: String,
    seconds: Vec<f64>,
    items: f64,
    check: Vec<f64>,
}

/// The parts in what a side printed: its last line. `whole` is the time of a part that is the process itself.
pub(super) fn parse(stdout: &str, whole: Option<f64>) -> Result<Vec<Part>> {
    let line = stdout.lines().last().context("it printed nothing")?;
    let said: Said = serde_json::from_str(line).with_context(|| format!("it printed {line:?}"))?;
    let part = |part: SaidPart| {
        let SaidPart { name, seconds: times, items, check } = part;
        let times = whole.map_or(times, |whole| vec![whole]);
        let seconds = median(&times).with_context(|| format!("no time of {name:?}"))?;
        let shortest = times.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(Part { name, seconds, shortest, items, check })
    };
    said.parts.into_iter().map(part).collect()
}

/// That both sides did the same work with the same outcome.
///
/// # Errors
/// Names the part and both numbers.
pub(super) fn ensure_same(brew: &Measured, peer: &Measured) -> Result<()> {
    let names = |side: &Measured| side.parts.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    ensure!(names(brew) == names(peer), "Brew measured {:?}, the peer {:?}", names(brew), names(peer));
    for (brew, peer) in brew.parts.iter().zip(&peer.parts) {
        let what =
            if brew.name.is_empty() { "outputs".to_owned() } else { format!("outputs of {}", brew.name) };
        let is_alike = brew.items == peer.items && brew.check.len() == peer.check.len();
        ensure!(is_alike, "{what} differ in number");
        for (one, other) in brew.check.iter().zip(&peer.check) {
            // Written so that a NaN on either side is a difference.
            let is_same = (one - other).abs() <= TOLERANCE * (1.0 + other.abs());
            ensure!(is_same, "{what} differ: Brew {one}, the peer {other}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(check: &[f64]) -> Measured {
        let part =
            Part { name: "cos".to_owned(), seconds: 1.0, shortest: 1.0, items: 16.0, check: check.to_vec() };
        Measured { parts: vec![part], peak_kib: None }
    }

    #[test]
    fn the_last_line_is_read_and_its_median_taken() {
        let stdout = "first step\n{\"parts\": [{\"name\": \"\", \"seconds\": [3.0, 1.0, 2.0], \"items\": 16, \
                      \"check\": [0.5]}]}\n";
        let parts = parse(stdout, None).unwrap();
        assert_eq!((parts[0].seconds, parts[0].shortest, parts[0].items), (2.0, 1.0, 16.0));
        assert_eq!(parse(stdout, Some(9.0)).unwrap()[0].seconds, 9.0);
        let error = format!("{:#}", parse("oops\n", None).unwrap_err());
        assert!(error.contains("oops"), "{error}");
    }

    #[test]
    fn other_outputs_are_refused() {
        ensure_same(&side(&[100.0, -0.5]), &side(&[100.05, -0.5005])).unwrap();
        let error = ensure_same(&side(&[0.5]), &side(&[0.6])).unwrap_err().to_string();
        assert_eq!(error, "outputs of cos differ: Brew 0.5, the peer 0.6");
        assert!(ensure_same(&side(&[f64::NAN]), &side(&[0.5])).is_err());
        assert!(ensure_same(&side(&[0.5]), &side(&[0.5, 0.5])).is_err());
        let none = Measured { parts: Vec::new(), peak_kib: None };
        assert!(ensure_same(&none, &side(&[0.5])).unwrap_err().to_string().contains("cos"));
    }
}
