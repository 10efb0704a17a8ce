//! Alerts by POST to an address of the operator's, in the background: each is tried some times, as far apart as
//! clients try to connect; what cannot be delivered is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bowline_core::backoff::{Backoff, Policy};
use bowline_core::plugin::Alert;
use bowline_driver::{OsEntropy, clock};
use serde_json::json;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::config;
use crate::failure::Failure;
use crate::net::http::{self, Url};

/// Alerts at most that wait.
const WAITING: usize = 256;
/// How far apart the attempts for an alert are at most: at first, and in the end.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What became of alerts.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    delivered: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// By outcome: how many were taken, and given up or too many to wait.
    pub(crate) fn by_outcome(&self) -> [(&'static str, u64); 2] {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        [("delivered", read(&self.delivered)), ("dropped", read(&self.dropped))]
    }
}

/// Hands alerts on.
#[derive(Debug)]
pub(crate) struct Webhook {
    queue: Sender<String>,
    counts: Arc<Counts>,
}

impl Webhook {
    /// Hands them on from now on, where the configuration says where to. To be called within a runtime.
    pub(crate) fn start(
        config: &config::plugins::Webhook,
        counts: Arc<Counts>,
    ) -> Result<Option<Self>, Failure> {
        let Some(text) = &config.url else { return Ok(None) };
        let url = Url::parse(text).map_err(|why| Failure::new(format!("webhook.url: {why}")))?;
        let headers: Vec<_> =
            config.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect();
        let (queue, alerts) = mpsc::channel(WAITING);
        tokio::spawn(run(url, headers, config.attempts.max(1), alerts, Arc::clone(&counts)));
        Ok(Some(Self { queue, counts }))
    }

    /// An alert was raised, or has ended.
    pub(crate) fn offer(&self, plugin: &str, alert: &Alert) {
        let lasted = alert.at.saturating_since(alert.since);
        let body = json!({
            "alert": alert.name, "state": if alert.raised { "raised" } else { "ended" }, "plugin": plugin,
            "value": alert.value, "limit": alert.limit,
            "for_ms": u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            "time": humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
        });
        if self.queue.try_send(body.to_string()).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn run(
    url: Url,
    headers: Vec<(String, String)>,
    attempts: u32,
    mut alerts: Receiver<String>,
    counts: Arc<Counts>,
) {
    let policy = Policy { base: REST.0, cap: REST.1, max_attempts: Some(attempts), ..Policy::default() };
    while let Some(alert) = alerts.recv().await {
        let (mut backoff, mut last) = (Backoff::new(policy, 1), String::new());
        let mut delivered = false;
        loop {
            let now = clock::now();
            let Some(attempt) = backoff.next(now, &mut OsEntropy) else { break };
            sleep(attempt.at.saturating_since(now)).await;
            last = match http::request("POST", &url, &headers, Some(&alert)).await {
                Ok((200..=299, _)) => {
                    delivered = true;
                    break;
                }
                // It will not like it any better the next time.
                Ok((status @ (400..=407 | 409..=428 | 430..=499), _)) => {
                    last = format!("it answered {status}");
                    break;
                }
                Ok((status, _)) => format!("it answered {status}"),
                Err(error) => error,
            };
        }
        if delivered {
            counts.delivered.fetch_add(1, Ordering::Relaxed);
            info!(%alert, "alert handed on");
        } else {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
            warn!(error = last, %alert, "an alert could not be handed on; see webhook.url");
        }
    }
}
