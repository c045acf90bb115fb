//! Lines as SVG, drawn with the page's colours.

use super::html::Html;
use super::numbers;

/// How the numbers of an axis are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Plain,
    /// Shares from 0 to 1, in per cent.
    Percent,
}

/// How a series is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    Line,
    /// Behind the others, thin.
    Faint,
    /// A line with a dot a point.
    Dots,
    Dashed,
}

/// Points that belong together.
#[derive(Debug, Clone)]
pub(super) struct Series {
    /// What the legend calls it; a series without a name is not in the legend.
    pub(super) name: Option<String>,
    /// Its colour's number, from 0.
    pub(super) colour: usize,
    pub(super) stroke: Stroke,
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart of lines over optimizer steps.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) title: String,
    /// Beside the title: a unit, a weight.
    pub(super) note: String,
    /// Set in the typeface of code.
    pub(super) is_code: bool,
    pub(super) scale: Scale,
    pub(super) series: Vec<Series>,
    /// Width and height; they are units of the picture, which takes the width it is given.
    pub(super) size: (f64, f64),
    /// The axis runs from 0 to here; to the last point where it is not given.
    pub(super) last_x: Option<f64>,
    /// The axis shows 0.
    pub(super) from_zero: bool,
}

/// The size of a chart that is looked at first.
pub(super) const LARGE: (f64, f64) = (360.0, 260.0);
/// The size of one among many.
pub(super) const SMALL: (f64, f64) = (360.0, 180.0);

/// Classes of the colours, in the style sheet.
const COLOURS: [&str; 6] = ["c0", "c1", "c2", "c3", "c4", "c5"];

const LEFT: f64 = 52.0;
const RIGHT: f64 = 22.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;

/// More points than this are not seen.
const MOST_POINTS: usize = 400;

impl Chart {
    /// The figure with title, picture and legend. Numbers that are not finite are left out; a chart without any
    /// number says so.
    pub(super) fn figure(&self) -> Html {
        let mut out = Html::default();
        out.raw("<figure class=\"card\"><figcaption>");
        match self.is_code {
            true => out.element("<code>", &self.title, "</code>"),
            false => out.element("<b>", &self.title, "</b>"),
        };
        if !self.note.is_empty() {
            out.element(" <span class=\"note\">", &self.note, "</span>");
        }
        out.raw("</figcaption>");
        let series: Vec<Series> = self.series.iter().map(Series::drawn).collect();
        if series.iter().all(|one| one.points.is_empty()) {
            out.raw("<p class=\"note\">nothing yet</p></figure>");
            return out;
        }
        self.picture(&mut out, &series);
        let named: Vec<&Series> = self.series.iter().filter(|one| one.name.is_some()).collect();
        let is_said = |name: &Option<String>| name.as_ref() == Some(&self.title);
        if named.iter().any(|one| !is_said(&one.name)) {
            out.raw("<p class=\"legend\">");
            for one in named {
                out.raw("<span><i class=\"").raw(COLOURS[one.colour % COLOURS.len()]);
                out.raw(if one.stroke == Stroke::Dashed { " dashed" } else { "" });
                out.raw("\"></i>").text(one.name.as_deref().unwrap_or_default()).raw("</span>");
            }
            out.raw("</p>");
        }
        out.raw("</figure>");
        out
    }

    fn picture(&self, out: &mut Html, series: &[Series]) {
        let (width, height) = self.size;
        let points = || series.iter().flat_map(|one| one.points.iter());
        let range = |values: &mut dyn Iterator<Item = f64>| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let last_x = self.last_x.unwrap_or_else(|| range(&mut points().map(|point| point.0)).1).max(1.0);
        let (low, high) = range(&mut points().map(|point| point.1));
        // A curve that comes near 0 is seen from there.
        let low = if self.from_zero || (low > 0.0 && low < 0.4 * high) { low.min(0.0) } else { low };
        let y_axis = Axis::around(low, high, if height < 200.0 { 3 } else { 5 }).of(self.scale);
        let x_axis = Axis::within(last_x, 5);
        let x = |value: f64| LEFT + value / last_x * (width - LEFT - RIGHT);
        let y = |value: f64| TOP + (y_axis.to - value) / (y_axis.to - y_axis.from) * (height - TOP - BOTTOM);

        out.raw("<svg role=\"img\" viewBox=\"0 0 ").text(width).raw(" ").text(height).raw("\" aria-label=\"");
        out.text(&self.title).raw("\">");
        for value in y_axis.lines() {
            let at = y(value);
            out.raw("<path class=\"grid\" d=\"M").text(LEFT).raw(" ").text(coordinate(at)).raw("H");
            out.text(width - RIGHT).raw("\"/><text text-anchor=\"end\" x=\"").text(LEFT - 7.0).raw("\" y=\"");
            out.text(coordinate(at + 4.0)).raw("\">").text(y_axis.written(value, self.scale)).raw("</text>");
        }
        for value in x_axis.lines() {
            out.raw("<text text-anchor=\"middle\" x=\"").text(coordinate(x(value))).raw("\" y=\"");
            out.text(height - BOTTOM + 17.0).raw("\">").text(numbers::whole(value as usize)).raw("</text>");
        }
        out.raw("<text text-anchor=\"end\" x=\"").text(width - RIGHT).raw("\" y=\"").text(height - 3.0);
        out.raw("\">steps</text>");
        for one in series {
            out.raw("<g class=\"").raw(COLOURS[one.colour % COLOURS.len()]).raw("\"><path class=\"");
            out.raw(match one.stroke {
                Stroke::Faint => "line faint",
                Stroke::Dashed => "line dashed",
                Stroke::Line | Stroke::Dots => "line",
            });
            out.raw("\" d=\"");
            for (index, point) in one.points.iter().enumerate() {
                out.raw(if index == 0 { "M" } else { "L" });
                out.text(coordinate(x(point.0))).raw(" ").text(coordinate(y(point.1)));
            }
            out.raw("\"/>");
            if one.stroke == Stroke::Dots || one.points.len() == 1 {
                for point in &one.points {
                    out.raw("<circle r=\"3.5\" cx=\"").text(coordinate(x(point.0))).raw("\" cy=\"");
                    out.text(coordinate(y(point.1)))
                        .raw("\"><title>step ")
                        .text(numbers::whole(point.0 as usize));
                    out.raw(": ").text(value_written(point.1, self.scale)).raw("</title></circle>");
                }
            }
            out.raw("</g>");
        }
        out.raw("</svg>");
    }
}

impl Series {
    /// A line with a name.
    pub(super) fn line(name: impl Into<String>, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: Some(name.into()), colour, stroke: Stroke::Line, points }
    }

    /// The same points as few enough to be drawn: means of neighbours.
    fn drawn(&self) -> Self {
        let finite: Vec<(f64, f64)> =
            self.points.iter().copied().filter(|point| point.0.is_finite() && point.1.is_finite()).collect();
        let size = finite.len().div_ceil(MOST_POINTS).max(1);
        let means = finite.chunks(size).map(|chunk| {
            let count = chunk.len() as f64;
            let sum = chunk.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
            (sum.0 / count, sum.1 / count)
        });
        Self { points: means.collect(), ..self.clone() }
    }
}

/// The mean of each point and its neighbours, `window` points in all.
pub(super) fn smoothed(points: &[(f64, f64)], window: usize) -> Vec<(f64, f64)> {
    let half = window / 2;
    let mean = |index: usize| {
        let around = &points[index.saturating_sub(half)..(index + half + 1).min(points.len())];
        around.iter().map(|point| point.1).sum::<f64>() / around.len() as f64
    };
    points.iter().enumerate().map(|(index, point)| (point.0, mean(index))).collect()
}

/// Where the lines of an axis are.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Axis {
    from: f64,
    to: f64,
    step: f64,
}

impl Axis {
    /// An axis of about so many even steps that holds these values.
    fn around(low: f64, high: f64, steps: usize) -> Self {
        let (low, high) = match high - low > 1e-9 * high.abs().max(1e-12) {
            true => (low, high),
            // Something that does not change, or a single point.
            false => (low - 0.1 * low.abs().max(1e-6), high + 0.1 * high.abs().max(1e-6)),
        };
        let step = round_step((high - low) / steps as f64);
        let from = (low / step + 1e-9).floor() * step;
        let to = (high / step - 1e-9).ceil() * step;
        Self { from, to, step }
    }

    /// The same without what no number of a scale can be.
    fn of(self, scale: Scale) -> Self {
        match scale {
            Scale::Plain => self,
            Scale::Percent => Self { from: self.from.max(0.0), to: self.to.min(1.0), ..self },
        }
    }

    /// The lines of an axis from 0 to a step of a run.
    fn within(last: f64, steps: usize) -> Self {
        Self { from: 0.0, to: last, step: round_step(last / steps as f64).max(1.0) }
    }

    fn lines(&self) -> impl Iterator<Item = f64> {
        let Self { from, to, step } = *self;
        let count = ((to - from) / step + 1e-6).floor() as usize;
        (0..=count).map(move |line| from + step * line as f64)
    }

    /// A line's value, with the digits that its neighbours differ by.
    fn written(&self, value: f64, scale: Scale) -> String {
        let (value, step, unit) = match scale {
            Scale::Plain => (value, self.step, ""),
            Scale::Percent => (100.0 * value, 100.0 * self.step, " %"),
        };
        if value.abs() < 1e-9 * step {
            return format!("0{unit}");
        }
        if step >= 1e3 && self.to >= 1e4 {
            return format!("{}{unit}", numbers::short(value));
        }
        if step < 1e-4 || value.abs() >= 1e5 {
            return format!("{value:.1e}{unit}");
        }
        if step >= 1.0 && value >= 1e3 && scale == Scale::Plain {
            return numbers::whole(value as usize);
        }
        let decimals = (-(step * 1.0001).log10().floor()).max(0.0) as usize;
        format!("{value:.decimals$}{unit}")
    }
}

/// 1, 2 or 5 times a power of ten, at least as large.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|one| one * power).into_iter().find(|&one| one >= step * 0.999).unwrap_or(step)
}

fn value_written(value: f64, scale: Scale) -> String {
    match scale {
        Scale::Plain => numbers::plain(value),
        Scale::Percent => format!("{:.2} %", 100.0 * value),
    }
}

fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_their_values_between_even_lines() {
        let cases = [(0.0, 1.0), (0.7, 4.8), (0.8, 0.88), (1e-6, 1e-4), (2.0, 2.0), (-3.0, 5.0), (0.0, 0.0)];
        for (low, high) in cases {
            let axis = Axis::around(low, high, 5);
            assert!(axis.from <= low + 1e-12 && high <= axis.to + 1e-12, "{low} to {high}: {axis:?}");
            let lines: Vec<f64> = axis.lines().collect();
            assert!((2..=8).contains(&lines.len()), "{low} to {high}: {lines:?}");
            let written: Vec<String> = lines.iter().map(|&line| axis.written(line, Scale::Plain)).collect();
            let mut different = written.clone();
            different.dedup();
            assert_eq!(written, different, "{low} to {high}");
        }
        let axis = Axis::around(0.8, 0.88, 4);
        assert_eq!(axis.written(0.82, Scale::Percent), "82 %");
    }

    #[test]
    fn long_curves_are_thinned_and_what_is_no_number_is_left_out() {
        let points = (0..10_000).map(|step| (f64::from(step), if step == 7 { f64::NAN } else { 2.0 }));
        let drawn = Series::line("loss", 0, points.collect()).drawn();
        assert!(drawn.points.len() <= MOST_POINTS);
        assert!(drawn.points.iter().all(|point| point.1 == 2.0));
        let smooth = smoothed(&[(0.0, 1.0), (1.0, 2.0), (2.0, 6.0)], 3);
        assert_eq!(smooth, [(0.0, 1.5), (1.0, 3.0), (2.0, 4.0)]);
    }
}
