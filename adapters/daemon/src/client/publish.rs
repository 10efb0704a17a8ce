//! `bowline pub`.

use std::pin::pin;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncBufReadExt, BufReader, Split, Stdin};
use tokio::time::sleep;

use super::{after, connect, interrupted, read_payload, template};
use crate::cli::{Content, PubArgs};
use crate::failure::Failure;
use crate::net::{Client, Receipt};
use crate::output;
use crate::text::format_duration;

/// Messages on their way that the server has not accepted yet; the session's own limit is near.
const WINDOW: usize = 512;

/// Publishes what the arguments say, and reports.
pub(crate) async fn run(args: PubArgs) -> Result<(), Failure> {
    let (topic, content) = args.plan()?;
    let source = Source::open(content, args.repeat, args.template).await?;
    let (client, watch) = connect(&args.connect.target("pub")?, args.timeout).await?;
    let mut count = Count::default();
    let outcome = {
        let publish = pin!(publish_all(&client, &args, &topic, source, &mut count));
        let limit = pin!(after(args.timeout));
        tokio::select! {
            result = publish => result,
            _ = limit => Err(Failure::timeout(String::new())),
            () = interrupted() => Err(Failure::new("interrupted")),
        }
    };
    match outcome {
        Ok(()) => client.close().await,
        // What was not accepted by now is told so, and must not be accepted afterwards.
        Err(_) => client.abandon().await,
    }
    watch.abort();
    report(&args, &count, outcome)
}

/// How far it came.
#[derive(Default)]
struct Count {
    published: u64,
    accepted: u64,
}

/// Says what was accepted; of what was not, the failure says it.
fn report(args: &PubArgs, count: &Count, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let how = if args.qos == 0 { "sent" } else { "accepted" };
    match outcome {
        Ok(()) => {
            if !args.quiet {
                output::note(&format!("{} {how}", count.accepted));
            }
            Ok(())
        }
        Err(failure) => {
            let far = format!("{} of {} {how}", count.accepted, count.published);
            match (args.timeout, failure.code()) {
                (Some(timeout), 3) => {
                    Err(Failure::timeout(format!("{far} within {}", format_duration(timeout))))
                }
                _ => {
                    if count.published > 0 {
                        output::note(&far);
                    }
                    Err(failure)
                }
            }
        }
    }
}

async fn publish_all(
    client: &Client,
    args: &PubArgs,
    topic: &str,
    mut source: Source,
    count: &mut Count,
) -> Result<(), Failure> {
    let mut open = FuturesUnordered::new();
    while let Some(payload) = source.next(count.published).await? {
        if count.published > 0 && !args.repeat_delay.is_zero() && source.repeats() {
            let mut wait = pin!(sleep(args.repeat_delay));
            // What is accepted meanwhile is counted, so that an interrupt reports the truth.
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    Some(result) = open.next() => accepted(result, count)?,
                }
            }
        }
        let receipt = client.publish(topic, payload, args.qos == 1, args.retain).await?;
        count.published += 1;
        open.push(Receipt::accepted(receipt));
        while open.len() >= WINDOW {
            if let Some(result) = open.next().await {
                accepted(result, count)?;
            }
        }
    }
    while let Some(result) = open.next().await {
        accepted(result, count)?;
    }
    Ok(())
}

fn accepted(result: Result<(), Failure>, count: &mut Count) -> Result<(), Failure> {
    result.map(|()| count.accepted += 1)
}

/// Where the payloads come from.
pub(super) enum Source {
    Lines(Split<BufReader<Stdin>>),
    Same { payload: Bytes, left: u64 },
    Template { template: String, left: u64 },
}

impl Source {
    pub(super) async fn open(content: Content, left: u64, template: bool) -> Result<Self, Failure> {
        let payload = match content {
            Content::Lines if left > 1 => {
                return Err(Failure::usage("lines of standard input come once: leave --repeat or -l out"));
            }
            Content::Lines => return Ok(Self::Lines(BufReader::new(tokio::io::stdin()).split(b'\n'))),
            Content::Text(text) if template => return Ok(Self::Template { template: text, left }),
            Content::Text(text) => text.into(),
            Content::File(file) => read_payload(&file).await?,
            Content::Stdin => read_payload("-".as_ref()).await?,
        };
        Ok(Self::Same { payload, left })
    }

    pub(super) fn repeats(&self) -> bool {
        !matches!(self, Self::Lines(_))
    }

    /// The next payload, `published` others have gone before.
    pub(super) async fn next(&mut self, published: u64) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Lines(lines) => {
                let line = lines.next_segment().await;
                let line =
                    line.map_err(|error| Failure::io("cannot read a line of standard input", &error))?;
                Ok(line.map(Bytes::from))
            }
            Self::Same { left: 0, .. } | Self::Template { left: 0, .. } => Ok(None),
            Self::Same { payload, left } => {
                *left -= 1;
                Ok(Some(payload.clone()))
            }
            Self::Template { template, left } => {
                *left -= 1;
                let now = SystemTime::now();
                let payload = template::expand(template, |name| template::common(name, published + 1, now));
                Ok(Some(payload.into()))
            }
        }
    }
}
