//! Runs handlers: bounded, cancelled when nobody wants the answer, and so that a panic harms
//! nobody else.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bowline_core::status::Status;
use parking_lot::Mutex;

use super::{BoxFuture, Call, Erased, Failure, IntoReply, Response, Tally};
use crate::runtime::Runtime;

/// Where calls come from, and answers go.
pub(crate) trait Source<S>: Send + Sync + 'static {
    /// Names a request.
    type Ticket: Copy + Send + Sync + 'static;

    /// Moves what waits into `calls`, up to `room`, and wakes the task when there is more. Takes
    /// note of requests that need no answer any more. Ready when nothing more comes.
    fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        calls: &mut VecDeque<(Option<Self::Ticket>, Call<S>)>,
        room: usize,
    ) -> Poll<()>;

    /// Answers.
    fn answer(&self, ticket: Self::Ticket, response: Response);

    /// Ready when the request needs no answer any more.
    fn poll_cancelled(&self, cx: &mut Context<'_>, ticket: Self::Ticket) -> Poll<()>;
}

/// How many handlers run, and the task that waits for fewer.
#[derive(Default)]
struct Running {
    count: usize,
    waker: Option<Waker>,
}

/// Runs `handler` for all that comes from `source`, at most `limit` at once; one at a time and in
/// order if that is 1.
pub(crate) async fn serve<R: Runtime, S, C: Source<S>>(
    runtime: R,
    source: Arc<C>,
    handler: Erased<S>,
    limit: usize,
    tally: Arc<Tally>,
) where
    S: Send + 'static,
{
    let mut calls = VecDeque::new();
    let running = Arc::new(Mutex::new(Running::default()));
    while let Some((ticket, call)) = poll_fn(|cx| next(cx, &*source, &mut calls, &running, limit)).await {
        let job = run(Arc::clone(&source), ticket, Arc::clone(&handler), call, Arc::clone(&tally));
        if limit == 1 {
            job.await;
            continue;
        }
        running.lock().count += 1;
        let running = Arc::clone(&running);
        runtime.spawn(async move {
            job.await;
            let waker = {
                let mut running = running.lock();
                running.count -= 1;
                running.waker.take()
            };
            waker.into_iter().for_each(Waker::wake);
        });
    }
}

type Next<T, S> = Option<(Option<T>, Call<S>)>;

fn next<S, C: Source<S>>(
    cx: &mut Context<'_>,
    source: &C,
    calls: &mut VecDeque<(Option<C::Ticket>, Call<S>)>,
    running: &Mutex<Running>,
    limit: usize,
) -> Poll<Next<C::Ticket, S>> {
    // As many wait here as may run, so that what is said about those that run is heard.
    let room = limit - calls.len().min(limit);
    let over = source.poll_fill(cx, calls, room).is_ready();
    if over && calls.is_empty() {
        return Poll::Ready(None);
    }
    let mut running = running.lock();
    if running.count >= limit {
        running.waker = Some(cx.waker().clone());
        return Poll::Pending;
    }
    calls.pop_front().map_or(Poll::Pending, |call| Poll::Ready(Some(call)))
}

async fn run<S, C: Source<S>>(
    source: Arc<C>,
    ticket: Option<C::Ticket>,
    handler: Erased<S>,
    call: Call<S>,
    tally: Arc<Tally>,
) {
    tally.called();
    let content = tally.tells().then(|| call.content.clone());
    let mut job = match catch_unwind(AssertUnwindSafe(|| handler(call))) {
        Ok(future) => Caught(Some(future)),
        Err(_) => Caught(None),
    };
    let response = poll_fn(|cx| {
        if ticket.is_some_and(|ticket| source.poll_cancelled(cx, ticket).is_ready()) {
            return Poll::Ready(None);
        }
        Pin::new(&mut job).poll(cx).map(Some)
    });
    let Some(response) = response.await else { return tally.cancelled() };
    let response = response.unwrap_or_else(|| {
        tally.panicked();
        panicked()
    });
    tally.done(content.as_ref(), ticket.is_some(), &response);
    if let Some(ticket) = ticket {
        source.answer(ticket, response);
    }
}

fn panicked() -> Response {
    Failure::new(Status::Rejected, "the handler panicked").into_reply()
}

/// A handler at work; nothing comes of one that panicked, be it when it was called.
struct Caught(Option<BoxFuture<Response>>);

impl Future for Caught {
    type Output = Option<Response>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Response>> {
        let Some(job) = &mut self.0 else { return Poll::Ready(None) };
        // The future is not polled again after it panicked.
        match catch_unwind(AssertUnwindSafe(|| job.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }
}
