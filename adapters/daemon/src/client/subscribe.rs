//! `bowline sub`.

use std::pin::pin;
use std::time::SystemTime;

use futures_util::stream::{LocalBoxStream, SelectAll, Stream, StreamExt, unfold};
use tokio::time::{Instant, sleep_until};

use super::{connect, format, interrupted, print};
use crate::cli::SubArgs;
use crate::failure::Failure;
use crate::net::{Client, Message, Subscription};
use crate::output;
use crate::text::format_duration;

/// Subscribes, and prints until told to end.
pub(crate) async fn run(args: SubArgs) -> Result<(), Failure> {
    let filters = args.filters()?;
    let deadline = args.timeout.map(|timeout| Instant::now() + timeout);
    let target = args.connect.target("sub")?;
    let (client, watch) = connect(&target, args.timeout).await?;
    let outcome = listen(&args, &client, &filters, deadline).await;
    client.close().await;
    watch.abort();
    outcome
}

async fn listen(
    args: &SubArgs,
    client: &Client,
    filters: &[String],
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    let mut messages = SelectAll::new();
    for filter in filters {
        let subscription = client.subscribe(filter, args.options()).await?;
        messages.push(subscription.into_stream().boxed_local());
    }
    if args.say_ready || output::is_watched() {
        output::note(&format!("subscribed to {}; Ctrl-C ends", filters.join(", ")));
    }
    print_all(args, &mut messages, deadline).await
}

/// The messages of all subscriptions, each in its turn.
type Messages = SelectAll<LocalBoxStream<'static, Message>>;

async fn print_all(
    args: &SubArgs,
    messages: &mut Messages,
    deadline: Option<Instant>,
) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut came = 0;
    // One for the whole time: a signal between two messages must not be missed.
    let mut stop = pin!(interrupted());
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = until(deadline) => return timed_out(args, came),
            () = &mut stop => return Ok(()),
        };
        let Some(message) = message else {
            return Err(Failure::new("the server ended the session; its log says why"));
        };
        let line = format::message(args.format(), !args.no_newline, &message, SystemTime::now());
        if !print(&mut out, &line).await? {
            return Ok(());
        }
        came += 1;
        if args.count == Some(came) {
            return Ok(());
        }
    }
}

/// What is missing when the time has passed.
fn timed_out(args: &SubArgs, came: u64) -> Result<(), Failure> {
    let within = format_duration(args.timeout.unwrap_or_default());
    match args.count {
        Some(count) => Err(Failure::timeout(format!("{came} of {count} messages came within {within}"))),
        None if came == 0 => Err(Failure::timeout(format!("no message came within {within}"))),
        None => Ok(()),
    }
}

/// Ends at `deadline`, or never.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Subscription {
    /// The messages as a stream, which ends with the session.
    fn into_stream(self) -> impl Stream<Item = Message> {
        unfold(self, |mut subscription| async move {
            let message = subscription.next().await?;
            Some((message, subscription))
        })
    }
}
