//! Spans of messages for OpenTelemetry, over OTLP: what is done with each message that has a sampled trace.
//!
//! A message of a trace has one span where the server takes it, `receive`, and below that one for each client
//! that it is handed to, `deliver`, which lasts from the one to the other. What consumers are handed is the
//! context that the producer made, unchanged, as OpenTelemetry asks of what is in between.
//!
//! Built by the feature `otlp` alone; what is here otherwise says so to who sets it.

#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod span;
#[cfg(all(test, feature = "otlp"))]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "otlp")]
pub(crate) use export::Exporter;
#[cfg(not(feature = "otlp"))]
pub(crate) use without::Exporter;

/// What became of spans.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    exported: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Counts {
    /// By outcome: how many a collector took, were too many to wait, and were given up as no collector took them.
    pub(crate) fn by_outcome(&self) -> [(&'static str, u64); 3] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("exported", read(&self.exported)), ("dropped", read(&self.dropped)), ("failed", read(&self.failed))]
    }
}

#[cfg(not(feature = "otlp"))]
mod without {
    use std::future::Ready;
    use std::sync::Arc;

    use bowline_core::endpoint::server::Traced;

    use super::Counts;
    use crate::config::Otlp;
    use crate::failure::Failure;

    /// There is none.
    #[derive(Debug)]
    pub(crate) enum Exporter {}

    impl Exporter {
        pub(crate) fn start(config: &Otlp, _counts: Arc<Counts>) -> Result<Option<Self>, Failure> {
            if config.endpoint.is_some() {
                let how = "build it with `cargo build --release --features otlp`, or leave the setting out";
                let what = "otlp.endpoint is set, but this program was built without OpenTelemetry";
                return Err(Failure::new(format!("{what}; {how}")));
            }
            Ok(None)
        }

        pub(crate) fn offer(&self, _traced: &Traced) {
            match *self {}
        }

        pub(crate) fn finish(&self) -> Ready<()> {
            match *self {}
        }
    }
}

#[cfg(all(test, not(feature = "otlp")))]
mod tests_without {
    use std::sync::Arc;

    use super::Exporter;
    use crate::config::Otlp;

    #[test]
    fn who_sets_what_was_not_built_is_told() {
        let none = Otlp::default();
        assert!(Exporter::start(&none, Arc::default()).is_ok_and(|exporter| exporter.is_none()));
        let some = Otlp { endpoint: Some("http://127.0.0.1:4318".to_owned()), ..none };
        let failure = Exporter::start(&some, Arc::default()).expect_err("there is none");
        assert!(failure.message().is_some_and(|message| message.contains("--features otlp")), "{failure:?}");
    }
}
