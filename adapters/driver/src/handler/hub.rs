//! What handlers reach the rest with.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bowline_core::time::Instant;
use bytes::Bytes;

use super::{BoxFuture, Failure, Response, Session};
use crate::clock;
use crate::runtime::{Runtime, Timer};

/// What a [`Hub`] is made of.
pub(crate) trait Speak: Send + Sync {
    fn publish(&self, topic: &str, payload: Bytes, reliable: bool) -> Result<(), Failure>;
    fn request(
        &self,
        topic: &str,
        payload: Bytes,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Response, Failure>>;
    /// Whose session has this number, where that is known.
    fn session(&self, number: u64) -> Option<Session>;
    /// Ready at `until`.
    fn sleep(&self, until: Instant) -> BoxFuture<()>;
}

/// Waits as this runtime does.
pub(crate) fn sleep<R: Runtime>(runtime: &R, until: Instant) -> BoxFuture<()> {
    let mut timer = runtime.timer();
    timer.reset(until);
    Box::pin(poll_fn(move |cx| timer.poll(cx)))
}

/// A way to publish and to request, for handlers: of the server they run in, or over the client
/// they are attached to. Clones are cheap.
#[derive(Clone)]
pub struct Hub(Arc<dyn Speak>);

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hub(..)")
    }
}

impl Hub {
    pub(crate) fn new(speak: impl Speak + 'static) -> Self {
        Self(Arc::new(speak))
    }

    pub(super) fn session(&self, number: u64) -> Option<Session> {
        self.0.session(number)
    }

    /// Publishes at most once.
    ///
    /// # Errors
    ///
    /// The topic is not one, or a limit is reached.
    pub fn publish(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Failure> {
        self.0.publish(topic, payload.into(), false)
    }

    /// Publishes at least once.
    ///
    /// # Errors
    ///
    /// The topic is not one, or a limit is reached.
    pub fn publish_reliable(&self, topic: &str, payload: impl Into<Bytes>) -> Result<(), Failure> {
        self.0.publish(topic, payload.into(), true)
    }

    /// Asks one of those who serve `topic`; an answer with a status other than OK is a failure with
    /// that status. `timeout`: nothing for the default of 30 s.
    ///
    /// Cancel safety: dropped before it is ready, the answer is not waited for any more.
    ///
    /// # Errors
    ///
    /// Nobody serves it, the answer is no, or none came.
    pub async fn request(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        timeout: Option<Duration>,
    ) -> Result<Bytes, Failure> {
        let response = self.0.request(topic, payload.into(), timeout).await?;
        if response.status.is_ok() {
            return Ok(response.payload);
        }
        Err(Failure::new(response.status, String::from_utf8_lossy(&response.payload)))
    }

    /// Waits, by a timer of the runtime that the handler runs on, whichever that is.
    ///
    /// Cancel safety: it only waits.
    pub async fn sleep(&self, duration: Duration) {
        self.0.sleep(clock::now() + duration).await;
    }
}
