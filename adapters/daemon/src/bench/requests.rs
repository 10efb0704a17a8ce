//! Requests, one after the other from each client, and responders that echo.

use std::time::Duration;

use bowline_core::status::Status;
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::measure::{Latency, Outcome, Shared, Stamp};
use super::pace::Pace;
use super::{connect, topic};
use crate::cli::BenchArgs;
use crate::failure::Failure;
use crate::net::{Client, Target};

/// How long a request may take before it counts as failed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Runs the scenario.
pub(super) async fn run(args: &BenchArgs, target: &Target, shared: &Shared) -> Result<Outcome, Failure> {
    let topic = topic(target, 0);
    let mut responders = JoinSet::new();
    for number in 0..args.responders {
        let client = connect(target, "reply", number).await?;
        let mut service = client.serve(&topic).await?;
        responders.spawn(async move {
            let _client = client;
            while let Some(request) = service.next().await {
                let payload = request.payload.clone();
                if request.respond(Status::Ok, payload).is_err() {
                    break;
                }
            }
        });
    }
    let mut clients = Vec::new();
    for number in 0..args.clients {
        clients.push(connect(target, "req", number).await?);
        shared.add_connected();
    }

    let began = Instant::now();
    let mut asking = JoinSet::new();
    for client in clients {
        let (args, topic, shared) = (args.clone(), topic.clone(), shared.clone());
        asking.spawn(async move { ask(&args, &client, &topic, began, &shared).await });
    }
    let mut outcome = Outcome {
        sent: 0,
        accepted: 0,
        expected: 0,
        received: 0,
        failed: 0,
        elapsed: Duration::ZERO,
        latency: Latency::new(),
        trouble: None,
    };
    while let Some(done) = asking.join_next().await {
        let part = done.map_err(|error| Failure::new(format!("a task of the bench failed: {error}")))??;
        outcome.sent += part.sent;
        outcome.failed += part.failed;
        outcome.received += part.sent - part.failed;
        outcome.latency.add(&part.latency);
    }
    outcome.accepted = outcome.received;
    outcome.expected = outcome.received;
    outcome.elapsed = began.elapsed();
    responders.shutdown().await;
    Ok(outcome)
}

/// What one requester saw.
struct Part {
    sent: u64,
    failed: u64,
    latency: Latency,
}

async fn ask(
    args: &BenchArgs,
    client: &Client,
    topic: &str,
    began: Instant,
    shared: &Shared,
) -> Result<Part, Failure> {
    let mut pace = Pace::new(began, args.rate, args.clients, args.duration, args.messages);
    let mut part = Part { sent: 0, failed: 0, latency: Latency::new() };
    let mut payload = vec![0; args.size];
    while let Some(due) = pace.next().await {
        let stamp = Stamp { due, number: part.sent };
        stamp.write(&mut payload);
        part.sent += 1;
        shared.add_sent();
        let mut replies = client.request(topic, Bytes::copy_from_slice(&payload), TIMEOUT, false).await?;
        match replies.next().await? {
            Some(reply) if reply.status.is_ok() && Stamp::read(&reply.payload) == Some(stamp) => {
                part.latency.record(stamp.age(began));
                shared.add_received();
            }
            _ => part.failed += 1,
        }
    }
    client.close().await;
    Ok(part)
}
