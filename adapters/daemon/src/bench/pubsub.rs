//! Fan-out and pairs: publishers, and subscribers that time what comes.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::measure::{Latency, Outcome, Shared, Stamp};
use super::pace::Pace;
use super::{connect, topic};
use crate::cli::{BenchArgs, Scenario};
use crate::failure::Failure;
use crate::net::{Client, Subscription, Target};

/// When nothing has come for so long after the last was sent, nothing more will.
const QUIET: Duration = Duration::from_secs(2);

/// Runs the scenario.
pub(super) async fn run(args: &BenchArgs, target: &Target, shared: &Shared) -> Result<Outcome, Failure> {
    let (publishers, copies) = match args.scenario {
        Scenario::Pairs => (args.clients, 1),
        _ => (args.publishers, u64::from(args.clients)),
    };
    let topics: Vec<String> = (0..publishers).map(|number| topic(target, number)).collect();

    // All are connected and subscribed before the first message is sent.
    let mut subscribers = Vec::new();
    let mut subscriptions = Vec::new();
    for number in 0..args.clients {
        let client = connect(target, "sub", number).await?;
        for topic in subscribed(args.scenario, &topics, number) {
            subscriptions.push(client.subscribe(topic, args.qos == 1).await?);
        }
        subscribers.push(client);
        shared.add_connected();
    }
    let mut senders = Vec::new();
    for number in 0..publishers {
        senders.push(connect(target, "pub", number).await?);
    }

    let began = Instant::now();
    let end = Arc::new(End::default());
    let mut receiving = JoinSet::new();
    for subscription in subscriptions {
        let (shared, end) = (shared.clone(), Arc::clone(&end));
        receiving.spawn(async move { receive(subscription, began, &shared, &end).await });
    }
    let mut sending = JoinSet::new();
    for (client, topic) in senders.into_iter().zip(topics) {
        let (args, shared) = (args.clone(), shared.clone());
        sending.spawn(async move { send(&args, &client, &topic, began, publishers, &shared).await });
    }

    let (mut sent, mut accepted) = (0, 0);
    while let Some(done) = sending.join_next().await {
        let (more_sent, more_accepted) = done.unwrap_or_else(|error| Err(broken(&error)))?;
        sent += more_sent;
        accepted += more_accepted;
    }
    let expected = accepted * copies;
    end.tell(expected);
    let mut outcome = Outcome {
        sent,
        accepted,
        expected,
        received: 0,
        failed: sent - accepted,
        elapsed: Duration::ZERO,
        latency: Latency::new(),
    };
    while let Some(done) = receiving.join_next().await {
        let part = done.map_err(|error| broken(&error))?;
        outcome.received += part.received;
        outcome.latency.add(&part.latency);
        outcome.elapsed = outcome.elapsed.max(part.last);
    }
    for client in subscribers {
        client.close().await;
    }
    Ok(outcome)
}

/// The topics that a subscriber of this number hears.
fn subscribed(scenario: Scenario, topics: &[String], number: u32) -> &[String] {
    match scenario {
        Scenario::Pairs => &topics[number as usize..=number as usize],
        _ => topics,
    }
}

fn broken(error: &tokio::task::JoinError) -> Failure {
    Failure::new(format!("a task of the bench failed: {error}"))
}

/// How many messages come altogether, once that is known.
#[derive(Default)]
struct End {
    expected: AtomicU64,
    received: AtomicU64,
    told: Notify,
}

impl End {
    fn tell(&self, expected: u64) {
        // 0 means not known yet, so that one more is kept.
        self.expected.store(expected + 1, Ordering::Release);
        self.told.notify_waiters();
    }

    fn is_reached(&self) -> bool {
        let expected = self.expected.load(Ordering::Acquire);
        expected > 0 && self.received.load(Ordering::Acquire) + 1 >= expected
    }

    fn is_known(&self) -> bool {
        self.expected.load(Ordering::Acquire) > 0
    }
}

/// What one subscription received.
struct Part {
    received: u64,
    latency: Latency,
    /// When the last came, since the run began.
    last: Duration,
}

async fn receive(mut subscription: Subscription, began: Instant, shared: &Shared, end: &End) -> Part {
    let mut part = Part { received: 0, latency: Latency::new(), last: Duration::ZERO };
    loop {
        let told = end.told.notified();
        if end.is_reached() {
            break;
        }
        // As long as the publishers publish, silence means nothing.
        let quiet = async {
            match end.is_known() {
                true => sleep(QUIET).await,
                false => pending().await,
            }
        };
        let message = tokio::select! {
            message = subscription.next() => message,
            () = told => continue,
            () = quiet => break,
        };
        let Some(message) = message else { break };
        let Some(stamp) = Stamp::read(&message.payload) else { continue };
        part.latency.record(stamp.age(began));
        part.received += 1;
        part.last = began.elapsed();
        shared.add_received();
        end.received.fetch_add(1, Ordering::AcqRel);
        if end.is_reached() {
            end.told.notify_waiters();
        }
    }
    part
}

/// Publishes at its pace; says how many were sent, and accepted.
async fn send(
    args: &BenchArgs,
    client: &Client,
    topic: &str,
    began: Instant,
    senders: u32,
    shared: &Shared,
) -> Result<(u64, u64), Failure> {
    let mut pace = Pace::new(began, args.rate, senders, args.duration, args.messages);
    let mut open = FuturesUnordered::new();
    let (mut sent, mut accepted) = (0, 0);
    let mut payload = vec![0; args.size];
    while let Some(due) = pace.next().await {
        Stamp { due, number: sent }.write(&mut payload);
        let receipt = client.publish(topic, Bytes::copy_from_slice(&payload), args.qos == 1).await?;
        sent += 1;
        shared.add_sent();
        open.push(receipt.accepted());
        while open.len() >= args.window as usize {
            accepted += u64::from(matches!(open.next().await, Some(Ok(()))));
        }
    }
    while let Some(result) = open.next().await {
        accepted += u64::from(result.is_ok());
    }
    client.close().await;
    Ok((sent, accepted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_alone_and_a_fan_out_is_for_all() {
        let topics = ["a".to_owned(), "b".to_owned()];
        assert_eq!(subscribed(Scenario::Pairs, &topics, 1), ["b".to_owned()]);
        assert_eq!(subscribed(Scenario::FanOut, &topics, 1), topics);
    }

    #[test]
    fn the_end_is_reached_when_all_has_come() {
        let end = End::default();
        assert!(!end.is_known() && !end.is_reached());
        end.tell(1);
        assert!(end.is_known() && !end.is_reached());
        end.received.fetch_add(1, Ordering::AcqRel);
        assert!(end.is_reached());
        let nothing = End::default();
        nothing.tell(0);
        assert!(nothing.is_reached(), "nothing was sent, so nothing is waited for");
    }
}
