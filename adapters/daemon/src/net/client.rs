//! The client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bowline_core::secure::PublicKey;
use bowline_core::session::Code;
use bowline_core::session::Property;
use bowline_core::status::Status;
use bowline_driver::client::{
    self as driver, ClientConfig, ClientError, ClientEvent, Error, JoinOptions, NoiseConfig, Publish,
    QueueLimits, Reason, Request, RequestFailure, SubscribeOptions,
};
use bowline_driver::clock;
use bowline_driver::handler::{Payload, Response, Topic};
use bowline_tokio::{Room, Tokio};
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::diagnose::diagnose;
use super::{Credentials, Event, Message, Reply, Target};
use crate::failure::Failure;
use crate::output;

/// Octets of messages that may wait to be accepted before the next has to wait: what keeps memory
/// small, and a fast network busy.
const WAITING: u32 = 8 << 20;

/// What the client itself may keep: more than [`WAITING`], with what each message costs beside, so
/// that it never refuses, and messages never overtake one another.
const KEPT: QueueLimits = QueueLimits { max_messages: 1 << 20, max_bytes: 256 << 20 };

/// So many requests wait to be taken up; beyond, the server is told to wait.
const REQUESTS: usize = 64;

/// How long the last words may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);

/// A client of a server, that connects again when it must; a handle.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: bowline_tokio::Client,
    room: Arc<Semaphore>,
}

impl Client {
    /// Connects. When no endpoint can be reached, or the server says no, that is a failure; only a
    /// connection that stood once is made again.
    pub(crate) async fn connect(target: &Target) -> Result<Self, Failure> {
        let endpoints: Vec<String> = target.endpoints.iter().map(ToString::to_string).collect();
        let mut builder =
            bowline_tokio::Client::builder(&endpoints.join(",")).config(config(target)).follow(true);
        if let Some(tls) = &target.tls {
            builder = builder.tls(tls.clone());
        }
        if let Some(datagrams) = &target.datagrams {
            let told = target.faults.clone();
            builder = builder
                .datagrams(datagrams.clone())
                .on_connect_failed(move |_, error| told.tell(&super::udp::explain(error)));
        }
        let inner = builder.start().map_err(|error| Failure::usage(error.to_string()))?;
        let client = Self { inner, room: Arc::new(Semaphore::new(WAITING as usize)) };
        let mut events = client.inner.events();
        let mut failures = 0;
        while !client.inner.is_connected() {
            let reason = match events.next().await {
                Some(ClientEvent::ServerKey { endpoint, key }) => {
                    keep_key(target, endpoint, &key)?;
                    continue;
                }
                Some(ClientEvent::Disconnected { reason, .. }) => reason,
                Some(ClientEvent::Closed { reason, .. }) => return Err(refused(&endpoints, &reason)),
                Some(_) => continue,
                None => return Err(refused(&endpoints, &client.inner.closed().await)),
            };
            failures += 1;
            if failures >= endpoints.len() {
                client.inner.close().await;
                let what = if target.datagrams.is_some() { "session over UDP" } else { "TLS" };
                if let Some(failure) = target.faults.explain(what, &endpoints) {
                    return Err(failure);
                }
                return Err(match reason {
                    Reason::Unreachable => diagnose(&target.endpoints).await,
                    reason => refused(&endpoints, &reason),
                });
            }
        }
        // The connection may stand before its events were looked at.
        while let Some(Some(event)) = events.next().now_or_never() {
            if let ClientEvent::ServerKey { endpoint, key } = event {
                keep_key(target, endpoint, &key)?;
            }
        }
        Ok(client)
    }

    /// What happens to the connection from now on.
    pub(crate) fn events(&self) -> Events {
        Events(self.inner.events())
    }

    /// Publishes; ready when it is on its way. Messages keep the order of the calls.
    pub(crate) async fn publish(
        &self,
        topic: &str,
        payload: Bytes,
        reliable: bool,
        retain: bool,
    ) -> Result<Receipt, Failure> {
        let size = u32::try_from(topic.len() + payload.len()).unwrap_or(u32::MAX).clamp(1, WAITING);
        let room = Arc::clone(&self.room).acquire_many_owned(size).await;
        let room = room.map_err(|_| Failure::new("the client is closed"))?;
        let (client, owned) = (self.inner.clone(), topic.to_owned());
        let publish = async move {
            client.publish(Publish { reliable, retain, ..Publish::new(&owned, payload) }).await
        };
        let mut publish: Pending<()> = Box::pin(publish);
        // The first step queues it: there is room, by the numbers above.
        match (&mut publish).now_or_never() {
            Some(done) => done.map(|()| Receipt(None)).map_err(|error| not_published(topic, &error)),
            None => Ok(Receipt(Some((publish, room, topic.to_owned())))),
        }
    }

    /// Subscribes; ready when the server has agreed.
    pub(crate) async fn subscribe(
        &self,
        filter: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription, Failure> {
        let subscribed = self.inner.subscribe(filter, options).await;
        subscribed.map(Subscription).map_err(|error| not_subscribed(filter, &error))
    }

    /// Joins a room; ready when the server has agreed.
    pub(crate) async fn join(&self, name: &str, options: JoinOptions<'_>) -> Result<Room, Failure> {
        self.inner.join(name, options).await.map_err(|error| {
            Failure::new(match error {
                Error::Status { status: Status::NotAuthorized, reason } => {
                    format!("the room {name} is not allowed{}", because(&reason))
                }
                Error::Status { status: Status::Unsupported, .. } => "the server has no rooms".into(),
                error => format!("the room {name} is not joined: {}", plain(&error)),
            })
        })
    }

    /// Asks.
    pub(crate) async fn request(
        &self,
        topic: &str,
        payload: Bytes,
        timeout: Duration,
        many: bool,
    ) -> Result<Replies, Failure> {
        let failed = |error: &Error| Failure::new(format!("cannot ask on {topic}: {}", plain(error)));
        if many {
            let request = Request { timeout: Some(timeout), ..Request::new(topic, payload) };
            let responses = self.inner.request_many(request).await.map_err(|error| failed(&error))?;
            return Ok(Replies::Many { responses, ahead: None });
        }
        let (client, topic) = (self.inner.clone(), topic.to_owned());
        Ok(Replies::One(Some(Box::pin(async move {
            client.request(Request { timeout: Some(timeout), ..Request::new(&topic, payload) }).await
        }))))
    }

    /// Reaches a target through the server.
    pub(crate) async fn tunnel(&self, target: &str) -> Result<driver::Tunnel<Tokio>, Error> {
        self.inner.tunnel(target).await
    }

    /// Serves requests; ready when the server has agreed.
    pub(crate) async fn serve(&self, filter: &str) -> Result<Service, Failure> {
        let (requests, service) = mpsc::channel::<Incoming>(REQUESTS);
        let handler = move |Topic(topic): Topic, Payload(payload): Payload| {
            let requests = requests.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                // Where nobody takes it up any more, or drops it, this service is about to end.
                let _ = requests.send(Incoming { topic, payload, answer }).await;
                let (status, payload) = answered.await.unwrap_or((Status::Draining, Bytes::new()));
                Response { status, payload }
            }
        };
        let served = self.inner.serve(filter, handler).await;
        served.map(|()| Service(service)).map_err(|error| not_subscribed(filter, &error))
    }

    /// Measures the time to the server and back; nothing while there is no connection.
    pub(crate) async fn ping(&self) -> Option<Duration> {
        self.inner.ping().await.ok()
    }

    /// Ends at once: what waits is given up.
    pub(crate) async fn abandon(&self) {
        self.inner.close().await;
    }

    /// Ends: what waits is sent, within a time.
    pub(crate) async fn close(&self) {
        self.inner.drain(FAREWELL).await;
    }
}

fn config(target: &Target) -> ClientConfig {
    let mut config = ClientConfig {
        name: target.name.clone(),
        credentials: match &target.credentials {
            Credentials::None => driver::Credentials::None,
            Credentials::Token(token) => driver::Credentials::token(token.reveal()),
            Credentials::Password { user, password } => {
                driver::Credentials::password(user, password.reveal())
            }
            Credentials::Scram { user, password } => driver::Credentials::scram(user, password.reveal()),
        },
        outgoing: KEPT,
        request_fields: target.fields.clone(),
        noise: target.secure.as_ref().map(|secure| NoiseConfig::new(secure.keys.clone())),
        compression: target.compression.clone(),
        ..ClientConfig::default()
    };
    config.session.limits.keepalive = target.keepalive;
    config.session.limits.max_frame = bowline_core::session::MAX_FRAME_CEILING;
    config
}

/// Keeps the key that a server showed first.
fn keep_key(target: &Target, endpoint: usize, key: &PublicKey) -> Result<(), Failure> {
    let known = target.secure.as_ref().and_then(|secure| secure.known.as_ref());
    let (Some(known), Some(endpoint)) = (known, target.endpoints.get(endpoint)) else { return Ok(()) };
    known.keep(&endpoint.to_string(), key)?;
    output::note(&format!(
        "the key of {endpoint} was not known; it is now, in {}: {}",
        known.path().display(),
        key.fingerprint()
    ));
    Ok(())
}

type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// A message on its way.
pub(crate) struct Receipt(Option<(Pending<()>, OwnedSemaphorePermit, String)>);

impl Receipt {
    /// Ready when the server has accepted it; at most once, when it was queued.
    pub(crate) async fn accepted(self) -> Result<(), Failure> {
        let Some((publish, _room, topic)) = self.0 else { return Ok(()) };
        publish.await.map_err(|error| not_published(&topic, &error))
    }
}

/// The events of a connection.
pub(crate) struct Events(driver::Events<bowline_tokio::Tokio>);

impl Events {
    /// The next; nothing after the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            return Some(match self.0.next().await? {
                ClientEvent::Connected { resumed, .. } => Event::Connected { resumed },
                ClientEvent::Disconnected { reason, retry_at } => {
                    let retry_in = Some(retry_at.saturating_since(clock::now()));
                    Event::Disconnected { reason: plain_reason(&reason), retry_in }
                }
                ClientEvent::Draining { endpoint, .. } => Event::Draining { endpoint },
                ClientEvent::Closed { reason: Reason::Requested, .. } => return None,
                ClientEvent::Closed { reason, .. } => Event::Closed { reason: plain_reason(&reason) },
                _ => continue,
            });
        }
    }
}

/// The messages of one filter.
#[derive(Debug)]
pub(crate) struct Subscription(bowline_tokio::Subscription);

impl Subscription {
    /// The next; nothing when the session has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let message = self.0.next().await?;
        let mut shown = Message {
            topic: message.topic().to_owned(),
            payload: Bytes::new(),
            reliable: message.is_reliable(),
            retain: message.is_retained(),
            content_type: None,
            response_topic: None,
            correlation: None,
            properties: Vec::new(),
        };
        for property in message.properties().iter() {
            match property {
                Property::ContentType(text) => shown.content_type = Some(text.to_owned()),
                Property::ResponseTopic(topic) => shown.response_topic = Some(topic.to_owned()),
                Property::Correlation(data) => shown.correlation = Some(data.to_owned()),
                Property::User(name, value) => shown.properties.push((name.to_owned(), value.to_owned())),
                _ => {}
            }
        }
        shown.payload = message.into_payload();
        Some(shown)
    }
}

/// The requests of one filter.
pub(crate) struct Service(mpsc::Receiver<Incoming>);

impl Service {
    /// The next; nothing when the session has ended.
    pub(crate) async fn next(&mut self) -> Option<Incoming> {
        self.0.recv().await
    }
}

/// A request to us.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    answer: oneshot::Sender<(Status, Bytes)>,
}

impl Incoming {
    /// Answers; a requester that has gone away meanwhile is a failure.
    pub(crate) fn respond(self, status: Status, payload: Bytes) -> Result<(), Failure> {
        self.answer.send((status, payload)).map_err(|_| Failure::new("the requester no longer waits"))
    }
}

/// The answers to a request.
pub(crate) enum Replies {
    /// Of one: a request is one wait.
    One(Option<Pending<Bytes>>),
    /// Of all who serve the topic.
    Many {
        responses: driver::Responses<bowline_tokio::Tokio>,
        /// Taken already, to see whether there is more.
        ahead: Option<Result<driver::Response, Error>>,
    },
}

impl Replies {
    /// The next; nothing when the connection was lost, or after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Reply>, Failure> {
        let (responses, ahead) = match self {
            Self::Many { responses, ahead } => (responses, ahead),
            Self::One(asked) => {
                let Some(asked) = asked.take() else { return Ok(None) };
                let answer = asked.await.map(|payload| driver::Response { status: Status::Ok, payload });
                return reply(answer, false);
            }
        };
        let answer = match ahead.take() {
            Some(answer) => answer,
            None => match responses.next().await {
                Some(answer) => answer,
                None => return Ok(None),
            },
        };
        // That there is no other is known at once; another may have come at once as well.
        let more = match responses.next().now_or_never() {
            Some(None) => false,
            Some(next) => {
                *ahead = next;
                true
            }
            None => true,
        };
        reply(answer, more)
    }
}

fn reply(answer: Result<driver::Response, Error>, more: bool) -> Result<Option<Reply>, Failure> {
    let (status, payload) = match answer {
        Ok(response) => (response.status, response.payload),
        Err(Error::Status { status, reason }) => (status, reason.into()),
        Err(Error::NoAnswer(RequestFailure::Timeout)) => (Status::Timeout, Bytes::new()),
        Err(Error::NoAnswer(RequestFailure::Disconnected)) => return Ok(None),
        Err(error) => return Err(Failure::new(format!("no answer: {}", plain(&error)))),
    };
    Ok(Some(Reply { status, more, payload }))
}

/// The server does not let us in.
fn refused(endpoints: &[String], reason: &Reason) -> Failure {
    let at = endpoints.join(", ");
    Failure::new(match reason.code() {
        Some(Code::AuthFailed) => format!(
            "{at} refused the login ({reason}); give a user (-u, -P) or a --token that the server knows"
        ),
        Some(Code::AuthMethod) => format!("{at} refused this way to log in ({reason})"),
        _ => match reason {
            Reason::WebSocket(why) => format!("{at}: {why}"),
            Reason::Cut => format!(
                "{at} took the connection and cut it without a word: is another protocol spoken there? TLS is with \
                 bowlines:// or --cafile"
            ),
            reason => format!("{at} refused the connection: {}", plain_reason(reason)),
        },
    })
}

fn not_published(topic: &str, error: &Error) -> Failure {
    Failure::new(match error {
        Error::Status { status: Status::NotAuthorized, reason } => {
            format!("publishing on {topic} is not allowed{}", because(reason))
        }
        error => format!("not published on {topic}: {}", plain(error)),
    })
}

fn not_subscribed(filter: &str, error: &Error) -> Failure {
    Failure::new(match error {
        Error::Status { status: Status::NotAuthorized, reason } => {
            format!("{filter} is not allowed{}", because(reason))
        }
        Error::Status { status: Status::Invalid, reason } => format!(
            "`{filter}` is not a filter{}; + stands alone in a level, # alone in the last",
            because(reason)
        ),
        error => format!("the server did not take {filter}: {}", plain(error)),
    })
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

/// An error without what the user did not ask for.
fn plain(error: &Error) -> String {
    match error {
        Error::Closed(reason) => plain_reason(reason),
        Error::Refused(error @ ClientError::TooLarge { .. }) => {
            format!("{error}; limits.frame of the server allows more")
        }
        Error::Dropped(why) => why.to_string(),
        error => error.to_string(),
    }
}

fn plain_reason(reason: &Reason) -> String {
    match reason {
        Reason::Remote { code, text } if text.is_empty() => format!("the server closed it: {code}"),
        Reason::Remote { code, text } => format!("the server closed it: {text} ({code})"),
        reason => reason.to_string(),
    }
}
