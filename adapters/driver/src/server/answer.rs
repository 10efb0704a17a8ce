//! What a handler of HTTP answers: now, later, or part by part.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};

use bowline_core::endpoint::server::{Awaited, ConnectionKey, HttpResponse};
use bowline_core::http::StatusCode;
use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;

use super::shared::{Core, Shared, Woken};
use crate::handler::BoxFuture;

type Body = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// An answer to a request of HTTP: most often an [`HttpResponse`], which is one.
pub struct HttpAnswer(pub(super) Answer);

pub(super) enum Answer {
    Now(HttpResponse),
    Later(BoxFuture<HttpResponse>),
    Parts(HttpResponse, Body),
}

impl HttpAnswer {
    /// An answer that takes its time. The connection waits for it and others do not; where its peer
    /// goes, it is dropped.
    pub fn later(answer: impl Future<Output = HttpResponse> + Send + 'static) -> Self {
        Self(Answer::Later(Box::pin(answer)))
    }

    /// An answer whose body comes part by part, behind that of `head`: chunked, or until the connection
    /// ends to a peer of HTTP/1.0.
    ///
    /// `parts` is polled when there is room for one, so it is never ahead of its peer by more than
    /// that and the buffers of the transport. It is dropped when it has ended, when its peer is gone or
    /// takes nothing for the time of [`write_timeout`](bowline_core::http::server::Config::write_timeout), and
    /// when the server drains. A peer that is gone without a word is only found out by what is
    /// sent to it: say something now and then.
    ///
    /// ```
    /// use std::pin::Pin;
    /// use std::task::{Context, Poll};
    /// use bowline_driver::server::{HttpAnswer, HttpResponse, StatusCode};
    ///
    /// /// Counts down.
    /// struct Countdown(u32);
    ///
    /// impl futures_core::Stream for Countdown {
    ///     type Item = bytes::Bytes;
    ///
    ///     fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<bytes::Bytes>> {
    ///         let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
    ///         self.0 = left;
    ///         Poll::Ready(Some(format!("data: {left}\n\n").into()))
    ///     }
    /// }
    ///
    /// let head = HttpResponse::new(StatusCode::OK, "text/event-stream", "");
    /// let answer = HttpAnswer::parts(head, Countdown(10));
    /// # drop(answer);
    /// ```
    pub fn parts(head: HttpResponse, parts: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Answer::Parts(head, Box::pin(parts)))
    }
}

impl From<HttpResponse> for HttpAnswer {
    fn from(response: HttpResponse) -> Self {
        Self(Answer::Now(response))
    }
}

impl fmt::Debug for HttpAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Answer::Now(response) => f.debug_tuple("Now").field(response).finish(),
            Answer::Later(_) => f.debug_tuple("Later").finish_non_exhaustive(),
            Answer::Parts(head, _) => f.debug_tuple("Parts").field(head).finish_non_exhaustive(),
        }
    }
}

/// What becomes of a [`Job`].
enum Done {
    Answer(HttpResponse),
    Part(Bytes),
    End,
}

/// An answer that is being made for a connection, in whose task it is polled.
pub(super) struct Job {
    work: Work,
    rouser: Arc<Rouser>,
}

enum Work {
    Later(BoxFuture<HttpResponse>),
    Parts(Body),
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

impl Job {
    fn new(work: Work) -> Self {
        Self { work, rouser: Arc::default() }
    }

    /// The connection is gone: nothing wakes it from here on. Another may be in its place at once.
    pub(super) fn close(&self) {
        self.rouser.0.lock().take();
    }

    fn poll(&mut self) -> Poll<Done> {
        let waker = Waker::from(Arc::clone(&self.rouser));
        let cx = &mut Context::from_waker(&waker);
        match &mut self.work {
            Work::Later(answer) => answer.as_mut().poll(cx).map(Done::Answer),
            Work::Parts(parts) => parts.as_mut().poll_next(cx).map(|part| part.map_or(Done::End, Done::Part)),
        }
    }
}

/// Wakes a connection's task. Without the server's lock: whatever makes an answer may hold locks of its own,
/// or be within that one.
#[derive(Default)]
struct Rouser(Mutex<Option<(ConnectionKey, Woken, Waker)>>);

impl Wake for Rouser {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if let Some((key, woken, waker)) = &*self.0.lock() {
            woken.of(*key).store(true, Ordering::Release);
            waker.wake_by_ref();
        }
    }
}

impl Core {
    /// Takes what is being made for a connection, to be polled without the lock.
    pub(super) fn take_job(&mut self, key: ConnectionKey, woken: &Woken) -> Option<Job> {
        let slot = self.slot(key)?;
        let job = slot.beside.as_mut()?.job.take()?;
        let mut to = job.rouser.0.lock();
        if to.as_ref().is_none_or(|(_, _, waker)| !waker.will_wake(slot.waker())) {
            *to = Some((key, woken.clone(), slot.waker().clone()));
        }
        drop(to);
        Some(job)
    }
}

impl Shared {
    /// Answers a request, or begins to.
    pub(super) fn begin(&self, key: ConnectionKey, answer: HttpAnswer) {
        let job = match answer.0 {
            Answer::Now(response) => {
                return self.with(|core, wake| {
                    core.machine.respond(key, response);
                    core.wake(key, wake);
                });
            }
            Answer::Later(answer) => Work::Later(answer),
            Answer::Parts(head, parts) => {
                self.with(|core, _| core.machine.begin_parts(key, head));
                Work::Parts(parts)
            }
        };
        self.keep(key, Job::new(job), true);
    }

    /// Works on what is being made for a connection, as far as that waits for it.
    pub(super) fn work(&self, key: ConnectionKey, mut job: Job, awaited: Awaited) {
        match (awaited, &job.work) {
            (Awaited::Answer, Work::Later(_)) | (Awaited::Part, Work::Parts(_)) => {}
            // Its turn comes when the transport has taken what there is.
            (Awaited::Room, _) => return self.keep(key, job, false),
            // Nobody waits for it any more.
            _ => return drop(job),
        }
        let polled = catch_unwind(AssertUnwindSafe(|| job.poll())).unwrap_or_else(|_| {
            let why = "what answers this request panicked";
            let failed = HttpResponse::text(StatusCode::INTERNAL_SERVER_ERROR, why);
            // Of an answer that was begun only the end can still be said.
            Poll::Ready(if awaited == Awaited::Answer { Done::Answer(failed) } else { Done::End })
        });
        match polled {
            Poll::Pending => self.keep(key, job, false),
            Poll::Ready(Done::Answer(response)) => self.begin(key, response.into()),
            Poll::Ready(Done::Part(part)) => {
                let taken = self.with(|core, _| core.machine.push_part(key, part));
                if taken.is_ok() {
                    self.keep(key, job, true);
                }
            }
            Poll::Ready(Done::End) => self.with(|core, wake| {
                core.machine.finish_parts(key);
                core.wake(key, wake);
            }),
        }
    }

    /// Keeps it for the connection's next turn, which is `soon` or when it is woken.
    fn keep(&self, key: ConnectionKey, job: Job, soon: bool) {
        let left = self.with(|core, wake| {
            let Some(slot) = core.slot(key) else { return Some(job) };
            slot.beside.get_or_insert_default().job = Some(job);
            if soon {
                core.wake(key, wake);
            }
            None
        });
        drop(left); // Without the lock: it is not ours.
    }
}
