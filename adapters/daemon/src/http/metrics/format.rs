//! How metrics are written: the text format of Prometheus, 0.0.4, and OpenMetrics 1.0.

use std::fmt::{self, Display, Write};

use bowline_core::histogram::Histogram;

/// What a scraper is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// The text format of Prometheus.
    Text,
    OpenMetrics,
}

impl Format {
    /// What an `Accept` field asks for: OpenMetrics where it is named, in the version that is written here or in
    /// none, and no less wanted than text.
    pub(crate) fn of(accept: Option<&str>) -> Self {
        let (mut open, mut text) = (0, 0);
        for range in accept.unwrap_or_default().split(',') {
            let mut parts = range.split(';').map(str::trim);
            let sort = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1000, None);
            for part in parts {
                match part.split_once('=') {
                    Some((name, value)) if name.eq_ignore_ascii_case("q") => quality = thousandths(value),
                    Some((name, value)) if name.eq_ignore_ascii_case("version") => version = Some(value),
                    _ => {}
                }
            }
            match &*sort {
                "application/openmetrics-text" if matches!(version, None | Some("1.0.0")) => {
                    open = open.max(quality);
                }
                "text/plain" if matches!(version, None | Some("0.0.4")) => text = text.max(quality),
                _ => {}
            }
        }
        if open > 0 && open >= text { Self::OpenMetrics } else { Self::Text }
    }

    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A weight (RFC 9110 §12.4.2) in thousandths; one that is none counts for nothing.
fn thousandths(value: &str) -> u32 {
    let weight = value.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    weight.map_or(0, |weight| (weight * 1000.0) as u32)
}

/// What a value stands for, beside its number.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unit {
    /// It was counted in nanoseconds, and is written in seconds.
    Seconds,
    Bytes,
}

/// What was written so far.
pub(super) struct Metrics {
    out: String,
    format: Format,
    /// Where the last family begins, and its values.
    family: (usize, usize),
}

impl Metrics {
    pub(super) fn new(format: Format) -> Self {
        Self { out: String::with_capacity(16 << 10), format, family: (0, 0) }
    }

    /// All of it.
    pub(super) fn end(mut self) -> String {
        self.drop_without_values();
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }

    pub(super) fn head(&mut self, name: &str, sort: &str, help: &str) {
        self.drop_without_values();
        let begin = self.out.len();
        // There a counter is known without what its values end in.
        let name = match self.format {
            Format::OpenMetrics if sort == "counter" => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {sort}");
        self.family = (begin, self.out.len());
    }

    /// A family without a value is none: not every reader takes one.
    fn drop_without_values(&mut self) {
        let (begin, values) = self.family;
        if self.out.len() == values {
            self.out.truncate(begin);
        }
    }

    pub(super) fn value(&mut self, name: &str, labels: impl Display, value: impl Display) {
        let _ = writeln!(self.out, "{name}{labels} {value}");
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.head(name, "gauge", help);
        self.value(name, "", value);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.value(name, "", value);
    }

    /// One value for each value of a label.
    pub(super) fn by(&mut self, name: &str, sort: &str, help: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, sort, help);
        for (of, value) in values {
            self.value(name, format_args!("{{{label}=\"{of}\"}}"), *value);
        }
    }

    /// The values of a histogram, whose labels (`a="b",`) are none or end in a comma.
    pub(super) fn histogram<const N: usize>(
        &mut self,
        name: &str,
        labels: &str,
        unit: Unit,
        of: &Histogram<N>,
    ) {
        for (bound, count) in of.up_to() {
            let bound = Scaled(bound, unit);
            let _ = writeln!(self.out, "{name}_bucket{{{labels}le=\"{bound}\"}} {count}");
        }
        let _ = writeln!(self.out, "{name}_bucket{{{labels}le=\"+Inf\"}} {}", of.count());
        let alone = labels.strip_suffix(',').map(|labels| format!("{{{labels}}}")).unwrap_or_default();
        let _ = writeln!(self.out, "{name}_sum{alone} {}", Scaled(of.sum(), unit));
        let _ = writeln!(self.out, "{name}_count{alone} {}", of.count());
    }
}

/// A number in its unit, as OpenMetrics writes what may have a fraction: `1.0`, `0.0025`.
struct Scaled(u64, Unit);

impl Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(value, unit) = *self;
        match unit {
            Unit::Bytes => write!(f, "{value}.0"),
            Unit::Seconds => {
                let fraction = format!("{:09}", value % 1_000_000_000);
                let digits = fraction.trim_end_matches('0');
                write!(f, "{}.{}", value / 1_000_000_000, if digits.is_empty() { "0" } else { digits })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_what_it_asks_for() {
        let of = |accept| Format::of(Some(accept));
        // Prometheus 2 and 3, curl, browsers.
        assert_eq!(
            of(
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
            ),
            Format::OpenMetrics
        );
        assert_eq!(
            of("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"),
            Format::OpenMetrics
        );
        assert_eq!(
            (of("*/*"), of("text/html,*/*;q=0.8"), Format::of(None)),
            (Format::Text, Format::Text, Format::Text)
        );
        assert_eq!(of("Application/OpenMetrics-Text"), Format::OpenMetrics);
        assert_eq!(of("application/openmetrics-text; version=2.0.0"), Format::Text);
        assert_eq!(of("application/openmetrics-text;q=0"), Format::Text);
        assert_eq!(of("application/openmetrics-text;q=0.1, text/plain;q=0.5"), Format::Text);
        assert_eq!(of("application/openmetrics-text;q=nan, ;;=,"), Format::Text);
    }

    #[test]
    fn numbers_have_their_unit() {
        let seconds = |nanos| Scaled(nanos, Unit::Seconds).to_string();
        assert_eq!(
            (seconds(0), seconds(2_500_000), seconds(1_000_000_000)),
            ("0.0".into(), "0.0025".into(), "1.0".into())
        );
        assert_eq!(seconds(u64::MAX), "18446744073.709551615");
        assert_eq!(Scaled(64, Unit::Bytes).to_string(), "64.0");
    }
}
