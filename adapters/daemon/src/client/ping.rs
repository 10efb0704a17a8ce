//! `bowline ping`.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{connect, interrupted, print};
use crate::cli::PingArgs;
use crate::failure::Failure;
use crate::net::Client;

/// Pings until told to end, and sums up as ping(8) does.
pub(crate) async fn run(args: PingArgs) -> Result<(), Failure> {
    let target = args.connect.target("ping")?;
    let servers: Vec<String> = target.endpoints.iter().map(ToString::to_string).collect();
    let servers = servers.join(",");
    let (client, watch) = connect(&target, Some(args.timeout)).await?;
    let began = Instant::now();
    let mut trips = Trips::default();
    let outcome = tokio::select! {
        outcome = ping_all(&args, &servers, &client, &mut trips) => outcome,
        () = interrupted() => Ok(()),
    };
    client.close().await;
    watch.abort();
    let summary = trips.summary(args.json, &servers, began.elapsed());
    print(&mut tokio::io::stdout(), summary.as_bytes()).await?;
    outcome?;
    match trips.sent - trips.received() {
        0 => Ok(()),
        missing => Err(Failure::timeout(format!("{missing} of {} got no answer", trips.sent))),
    }
}

async fn ping_all(args: &PingArgs, servers: &str, client: &Client, trips: &mut Trips) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut ticks = interval(args.interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while args.count != Some(trips.sent) {
        ticks.tick().await;
        let seq = trips.sent + 1;
        // One that is interrupted halfway does not count as lost.
        let answer = timeout(args.timeout, client.ping()).await;
        trips.sent = seq;
        let line = match answer {
            Ok(Some(trip)) => {
                trips.times.push(trip);
                let ms = millis(trip);
                if args.json {
                    format!("{}\n", json!({"seq": seq, "ms": ms}))
                } else {
                    format!("from {servers}: seq={seq} time={ms:.3} ms\n")
                }
            }
            _ if args.json => format!("{}\n", json!({"seq": seq, "ms": null})),
            _ => format!("from {servers}: seq={seq} no answer\n"),
        };
        if !print(&mut out, line.as_bytes()).await? {
            break;
        }
    }
    Ok(())
}

/// What was measured.
#[derive(Default)]
struct Trips {
    sent: u64,
    times: Vec<Duration>,
}

impl Trips {
    fn received(&self) -> u64 {
        self.times.len() as u64
    }

    /// The last lines.
    fn summary(&self, as_json: bool, servers: &str, elapsed: Duration) -> String {
        let times: Vec<f64> = self.times.iter().copied().map(millis).collect();
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let deviation = (times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / count).sqrt();
        let min = times.iter().copied().fold(f64::INFINITY, f64::min);
        let max = times.iter().copied().fold(0.0, f64::max);
        if as_json {
            let trip = (count > 0.0).then(|| json!({"min": min, "avg": mean, "max": max, "mdev": deviation}));
            let all = json!({"sent": self.sent, "received": self.received(), "ms": trip});
            return format!("{all}\n");
        }
        let lost = self.sent - self.received();
        let percent = if self.sent == 0 { 0.0 } else { lost as f64 * 100.0 / self.sent as f64 };
        let mut text = format!(
            "\n--- {servers} ping statistics ---\n{} sent, {} received, {percent:.0}% lost, time {} ms\n",
            self.sent,
            self.received(),
            elapsed.as_millis()
        );
        if count > 0.0 {
            _ = writeln!(text, "rtt min/avg/max/mdev = {min:.3}/{mean:.3}/{max:.3}/{deviation:.3} ms");
        }
        text
    }
}

fn millis(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_that_of_ping() {
        let times = [1, 2, 3, 4].map(Duration::from_millis).to_vec();
        let text = Trips { sent: 5, times }.summary(false, "127.0.0.1:7790", Duration::from_millis(4_004));
        assert_eq!(
            text,
            "\n--- 127.0.0.1:7790 ping statistics ---\n\
             5 sent, 4 received, 20% lost, time 4004 ms\n\
             rtt min/avg/max/mdev = 1.000/2.500/4.000/1.118 ms\n"
        );
    }

    #[test]
    fn nothing_measured_divides_by_nothing() {
        let none = Trips::default();
        assert_eq!(none.summary(true, "a", Duration::ZERO), "{\"ms\":null,\"received\":0,\"sent\":0}\n");
        assert!(
            none.summary(false, "a", Duration::ZERO).ends_with("0 sent, 0 received, 0% lost, time 0 ms\n")
        );
    }
}
