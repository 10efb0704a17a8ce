//! Handing spans to a collector, in the background: what cannot be handed on is dropped and counted.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bowline_core::endpoint::server::Traced;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{info, warn};

use super::Counts;
use super::span::Spans;
use crate::config::Otlp;
use crate::failure::Failure;

/// Spans at most that wait for the collector.
const WAITING: usize = 4096;
/// Spans at most in one request, and how long they gather.
const BATCH: usize = 512;
const GATHER: Duration = Duration::from_secs(1);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one that fails is left alone: doubled each time.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How long the last spans may take when the server ends.
const FAREWELL: Duration = Duration::from_secs(2);
/// Where a collector takes traces, if its address has no path.
const PATH: &str = "/v1/traces";

/// Takes what is done with messages, and has it exported.
#[derive(Debug)]
pub(crate) struct Exporter {
    /// Until the end.
    open: Mutex<Option<(Spans, Sender<SpanData>)>>,
    task: Mutex<Option<JoinHandle<()>>>,
    counts: Arc<Counts>,
}

impl Exporter {
    /// Exports from now on, where the configuration names a collector. To be called within a runtime.
    pub(crate) fn start(config: &Otlp, counts: Arc<Counts>) -> Result<Option<Self>, Failure> {
        let Some(endpoint) = &config.endpoint else { return Ok(None) };
        let headers = config.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        let built = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(url(endpoint))
            .with_headers(headers.collect())
            .with_timeout(PATIENCE)
            .build();
        let mut exporter =
            built.map_err(|error| Failure::new(format!("otlp.endpoint: `{endpoint}`: {error}")))?;
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before.
        let resource = match std::env::var_os("OTEL_SERVICE_NAME") {
            Some(_) => Resource::builder(),
            None => Resource::builder().with_service_name("bowline"),
        };
        exporter.set_resource(&resource.with_attribute(version).build());
        let (sender, receiver) = mpsc::channel(WAITING);
        let task = tokio::spawn(run(exporter, receiver, Arc::clone(&counts)));
        let open = Mutex::new(Some((Spans::new(config.sample), sender)));
        info!(endpoint, "spans are exported over OTLP");
        Ok(Some(Self { open, task: Mutex::new(Some(task)), counts }))
    }

    /// Something was done with a message.
    pub(crate) fn offer(&self, traced: &Traced) {
        let mut open = self.open.lock();
        let Some((spans, sender)) = &mut *open else { return };
        if let Some(span) = spans.span(traced, SystemTime::now())
            && sender.try_send(span).is_err()
        {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Exports what waits, and no more.
    pub(crate) async fn finish(&self) {
        drop(self.open.lock().take());
        let task = self.task.lock().take();
        if let Some(task) = task {
            // Whoever ends does not wait for a collector that is gone.
            let _ = timeout(FAREWELL, task).await;
        }
    }
}

/// The address of a collector, with the path where it takes traces.
fn url(endpoint: &str) -> String {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    match host.split_once('/') {
        None => format!("{endpoint}{PATH}"),
        Some((_, "")) => format!("{}{PATH}", endpoint.trim_end_matches('/')),
        Some(_) => endpoint.to_owned(),
    }
}

/// Exports all that comes, a batch at a time, until nothing more can come.
async fn run(exporter: SpanExporter, mut queue: Receiver<SpanData>, counts: Arc<Counts>) {
    let mut batch = Vec::new();
    let mut rest = None;
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let until = Instant::now() + GATHER;
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            match timeout_at(until, queue.recv_many(&mut batch, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let count = batch.len() as u64;
        let error = match timeout(PATIENCE, exporter.export(mem::take(&mut batch))).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let Some(error) = error else {
            counts.exported.fetch_add(count, Ordering::Relaxed);
            if rest.take().is_some() {
                info!("the collector takes spans again");
            }
            continue;
        };
        counts.failed.fetch_add(count, Ordering::Relaxed);
        if rest.is_none() {
            warn!(error, "the collector takes no spans: they are dropped and counted; see otlp.endpoint");
        }
        let wait = rest.map_or(REST.0, |rest: Duration| (rest * 2).min(REST.1));
        rest = Some(wait);
        if !queue.is_closed() {
            sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn a_collector_is_known_by_its_address() {
        assert_eq!(url("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(url("http://[::1]:4318/"), "http://[::1]:4318/v1/traces");
        assert_eq!(url("http://collector/own/path"), "http://collector/own/path");
    }
}
