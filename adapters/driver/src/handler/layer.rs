//! What lies around handlers.

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bowline_core::status::Status;

use super::{BoxFuture, Call, Erased, Failure, FromMessage, IntoReply, Response, Session};
use crate::clock;

/// Something around handlers: it may look at a call and change it before, look at the answer and change it
/// afterwards, or answer itself and never call what is within.
///
/// Every `async` function of a [`Call`] and a [`Next`] is one. A router's layers are around all its
/// handlers and those nested in it, whenever they were added; the layer that was added first is
/// outermost, so it sees a call first and its answer last. Layers of a nested router are within those of the
/// router around it.
///
/// ```
/// use bowline_driver::core::status::Status;
/// use bowline_driver::handler::{Call, Failure, Next, Response, Router};
///
/// async fn only_short<S: Send>(call: Call<S>, next: Next<S>) -> Result<Response, Failure> {
///     if call.payload().len() > 1000 {
///         return Err(Failure::new(Status::Quota, "at most 1,000 octets"));
///     }
///     Ok(next.run(call).await)
/// }
///
/// let router: Router = Router::new().serve("greet", async || "hello").layer(only_short);
/// ```
///
/// There is no need of `tower` here: a call is ready whenever a handler may run, because how many run is
/// bounded before, so what is left of a service is this one function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no layer around handlers",
    note = "a layer is an async function `Fn(Call<S>, Next<S>)` whose output is a reply"
)]
pub trait Layer<S>: Send + Sync + 'static {
    /// Handles `call`, by [`Next::run`] or by itself.
    fn handle(&self, call: Call<S>, next: Next<S>) -> BoxFuture<Response>;
}

impl<S, F, Fut> Layer<S> for F
where
    F: Fn(Call<S>, Next<S>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoReply> + Send + 'static,
{
    fn handle(&self, call: Call<S>, next: Next<S>) -> BoxFuture<Response> {
        let running = self(call, next);
        Box::pin(async move { running.await.into_reply() })
    }
}

/// What is within a layer: the next one, or the handler.
pub struct Next<S>(Erased<S>);

impl<S> fmt::Debug for Next<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next(..)")
    }
}

impl<S> Next<S> {
    /// Hands on the call; ready with the answer.
    ///
    /// Cancel safety: dropped before it is ready, the handler goes no further.
    #[must_use]
    pub fn run(self, call: Call<S>) -> BoxFuture<Response> {
        (self.0)(call)
    }
}

/// `handler` within `layer`.
pub(super) fn wrap<S: 'static>(layer: Arc<dyn Layer<S>>, handler: Erased<S>) -> Erased<S> {
    Arc::new(move |call| layer.handle(call, Next(Arc::clone(&handler))))
}

/// Answers with [`Status::Timeout`] what takes longer than `limit`; the handler goes no further. Requests have a
/// deadline of their own, after which they are cancelled in any case; messages have none.
///
/// ```
/// use std::time::Duration;
/// use bowline_driver::handler::{Router, timeout};
/// let router = Router::<()>::new().serve("slow", std::future::pending::<()>).layer(timeout(Duration::from_secs(2)));
/// ```
pub fn timeout<S: Send + 'static>(limit: Duration) -> impl Layer<S> {
    move |call: Call<S>, next: Next<S>| async move {
        let hub = call.hub().clone();
        let mut late = Box::pin(async move { hub.sleep(limit).await });
        let mut answer = next.run(call);
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(answer);
            }
            let reason = || format!("the handler took longer than {} ms", limit.as_millis());
            late.as_mut().poll(cx).map(|()| Failure::new(Status::Timeout, reason()).into_reply())
        })
        .await
    }
}

/// Answers with [`Status::NotAuthorized`] whom `may` says no to, and whose session is not known. The server's own
/// program is asked about like all others.
///
/// The hub's rules ([`Access`](bowline_core::access::Access)) say who may ask on which topic; this is for what
/// they do not know.
///
/// ```
/// use bowline_driver::handler::{Router, guard};
/// let admin = Router::<()>::new().serve("stop", async || {}).layer(guard(|who| who.user == "root" || who.is_program));
/// let all = Router::new().nest("admin", admin);
/// ```
pub fn guard<S: Send + 'static>(may: impl Fn(&Session) -> bool + Send + Sync + 'static) -> impl Layer<S> {
    let may = Arc::new(may);
    move |call: Call<S>, next: Next<S>| {
        let may = Arc::clone(&may);
        async move {
            if may(&Session::from_message(&call)?) {
                return Ok(next.run(call).await);
            }
            Err(Failure::new(Status::NotAuthorized, "not for you"))
        }
    }
}

/// A call that was handled, for [`observe`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Handled<'a> {
    /// What it was about.
    pub topic: &'a str,
    /// Whether it is a request, which is answered, and no message.
    pub is_request: bool,
    /// Octets of its payload.
    pub octets: usize,
    /// What was answered.
    pub response: &'a Response,
    /// From the call to the answer.
    pub took: Duration,
}

/// Tells of each call that was handled, for a log or for metrics. What is cancelled is not told of.
///
/// ```
/// use bowline_driver::handler::{Router, observe};
/// let router = Router::<()>::new()
///     .serve("greet", async || "hello")
///     .layer(observe(|call| println!("{} {:?} in {:?}", call.topic, call.response.status, call.took)));
/// ```
pub fn observe<S: Send + 'static>(tell: impl Fn(&Handled<'_>) + Send + Sync + 'static) -> impl Layer<S> {
    let tell = Arc::new(tell);
    move |call: Call<S>, next: Next<S>| {
        let tell = Arc::clone(&tell);
        async move {
            let (begun, content) = (clock::now(), call.content.clone());
            let (is_request, octets) = (call.is_request(), call.payload().len());
            let response = next.run(call).await;
            let took = clock::now().saturating_since(begun);
            tell(&Handled { topic: content.topic(), is_request, octets, response: &response, took });
            response
        }
    }
}
