//! Figures: latency, order, medians.

use std::collections::HashSet;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart, in nanoseconds: a minute.
const LATENCY_MAX: u64 = 60_000_000_000;
/// How many gaps are remembered, so that what comes late is not taken for a duplicate.
const GAPS_MAX: usize = 1 << 20;

/// One figure of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    /// What it is, with its unit.
    pub(crate) name: String,
    /// How much.
    pub(crate) value: f64,
    /// Whether a ratio between two servers says something.
    #[serde(skip)]
    pub(crate) comparable: bool,
}

/// The figures of a run, in the order in which they are shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(pub(crate) Vec<Figure>);

impl Figures {
    /// Adds one that is worth a ratio.
    pub(crate) fn compare(&mut self, name: impl Into<String>, value: f64) {
        self.0.push(Figure { name: name.into(), value, comparable: true });
    }

    /// Adds one that explains the others.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: f64) {
        self.0.push(Figure { name: name.into(), value, comparable: false });
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|f| f.name == name).map(|f| f.value)
    }
}

/// Latencies, to two digits.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_MAX, 2).expect("the bounds are in order"))
    }

    #[inline]
    pub(crate) fn record(&mut self, nanos: u64) {
        self.0.saturating_record(nanos.max(1));
    }

    /// Adds percentiles in microseconds, if anything was recorded.
    pub(crate) fn report(&self, prefix: &str, figures: &mut Figures) {
        if self.0.is_empty() {
            return;
        }
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            let micros = self.0.value_at_quantile(quantile) as f64 / 1e3;
            figures.compare(format!("{prefix}latency_{name}_us"), micros);
        }
        figures.note(format!("{prefix}latency_max_us"), self.0.max() as f64 / 1e3);
    }
}

/// What a delivery was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It came for the first time.
    New,
    /// It had come already.
    Duplicate,
}

/// Watches the order of many streams of numbers, each from 0.
#[derive(Debug)]
pub(crate) struct Tracker {
    expected: Vec<u64>,
    gaps: HashSet<(u32, u64)>,
    pub(crate) delivered: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,
}

impl Tracker {
    pub(crate) fn new(streams: usize) -> Self {
        let expected = vec![0; streams];
        Self { expected, gaps: HashSet::new(), delivered: 0, duplicates: 0, out_of_order: 0 }
    }

    /// Notes number `n` of a stream.
    #[inline]
    pub(crate) fn note(&mut self, stream: usize, n: u64) -> Verdict {
        let expected = &mut self.expected[stream];
        if n == *expected {
            *expected += 1;
        } else if n > *expected {
            let room = GAPS_MAX.saturating_sub(self.gaps.len());
            self.gaps.extend((*expected..n).take(room).map(|gap| (stream as u32, gap)));
            *expected = n + 1;
        } else if self.gaps.remove(&(stream as u32, n)) {
            self.out_of_order += 1;
        } else {
            self.duplicates += 1;
            return Verdict::Duplicate;
        }
        self.delivered += 1;
        Verdict::New
    }
}

/// The middle of several runs, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Some(Spread { median, least, most })
    }
}

/// A number as people read it: three digits, with k, M or G.
pub(crate) fn human(value: f64) -> String {
    let size = value.abs();
    let (scaled, unit) = match size {
        _ if size >= 1e9 => (value / 1e9, " G"),
        _ if size >= 1e6 => (value / 1e6, " M"),
        _ if size >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        s if s == s.trunc() && unit.is_empty() => 0,
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 0.1 => 2,
        _ => 4,
    };
    format!("{scaled:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_odd_even_and_none() {
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn tracker_tells_late_from_twice_and_streams_apart() {
        let mut t = Tracker::new(2);
        assert_eq!(t.note(0, 0), Verdict::New);
        assert_eq!(t.note(0, 3), Verdict::New);
        assert_eq!(t.note(0, 1), Verdict::New);
        assert_eq!(t.note(0, 1), Verdict::Duplicate);
        assert_eq!(t.note(0, 0), Verdict::Duplicate);
        assert_eq!(t.note(1, 0), Verdict::New);
        assert_eq!((t.delivered, t.duplicates, t.out_of_order), (4, 2, 1));
    }

    #[test]
    fn percentiles_are_in_microseconds() {
        let mut latency = Latency::new();
        let mut figures = Figures::default();
        latency.report("", &mut figures);
        assert_eq!(figures, Figures::default());
        for micros in 1..=1000u64 {
            latency.record(micros * 1000);
        }
        latency.report("", &mut figures);
        let p50 = figures.get("latency_p50_us").unwrap();
        assert!((495.0..=510.0).contains(&p50), "{p50}");
    }

    #[test]
    fn numbers_are_short() {
        let shown = [0.0, 42.0, 1.5, 12_345.0, 1_234_567.0, 0.012].map(human);
        assert_eq!(shown, ["0", "42", "1.50", "12.3 k", "1.23 M", "0.0120"]);
    }
}
