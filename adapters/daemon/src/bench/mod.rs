//! `bowline bench`: load, and how long messages take under it.

mod connects;
mod measure;
mod pace;
mod pubsub;
mod report;
mod requests;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use crate::cli::{BenchArgs, Scenario};
use crate::failure::Failure;
use crate::net::{Client, Target};
use crate::output;

use measure::{Counters, Shared};

/// How often what is shown is brought up to date.
const SHOWN_EVERY: Duration = Duration::from_millis(200);

/// Puts load on, and reports.
pub(crate) async fn run(args: BenchArgs) -> Result<(), Failure> {
    let target = args.connect.target("bench")?;
    let shared = Shared::default();
    let progress = Progress::start(&args, &shared);
    let outcome = tokio::select! {
        outcome = async {
            match args.scenario {
                Scenario::FanOut | Scenario::Pairs => pubsub::run(&args, &target, &shared).await,
                Scenario::Connect => connects::run(&args, &target, &shared).await,
                Scenario::Requests => requests::run(&args, &target, &shared).await,
            }
        } => outcome,
        _ = tokio::signal::ctrl_c() => Err(Failure::new("interrupted; nothing is reported of half a run")),
    };
    progress.stop();
    let result = outcome?;
    let text = if args.json { report::json(&args, &result) } else { report::text(&args, &result) };
    output::data(&text)?;
    if let Some(trouble) = &result.trouble {
        let (failed, lost) = (result.failed, result.lost());
        let why = format!(
            "{failed} connections failed, and {lost} of those that were to stay were lost; first: {trouble}"
        );
        return Err(Failure::new(why));
    }
    // At least once that came less often is the server's fault, and worth an exit code.
    match result.lost() {
        0 => Ok(()),
        _ if args.qos == 0 => Ok(()),
        lost => Err(Failure::new(format!(
            "{lost} messages were accepted but never came: the server dropped them where a queue was full \
             (limits.queue_messages, queue_bytes, queue_policy); a smaller --window avoids it"
        ))),
    }
}

/// Connects a client of the bench.
async fn connect(target: &Target, role: &str, number: u32) -> Result<Client, Failure> {
    let name = format!("{}-{role}-{number}", target.name);
    Client::connect(&Target { name, ..target.clone() }).await
}

/// A topic of this run alone, so that two runs do not meet.
fn topic(target: &Target, number: u32) -> String {
    format!("bench/{}/{number}", target.name)
}

/// A line on a terminal that shows how far it is.
struct Progress {
    task: Option<(ProgressBar, JoinHandle<()>)>,
}

impl Progress {
    fn start(args: &BenchArgs, shared: &Shared) -> Self {
        if !output::is_watched() {
            return Self { task: None };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            bar.set_style(style);
        }
        let counters = shared.counters();
        let (shown, clients) = (bar.clone(), args.clients);
        let task = tokio::spawn(async move {
            loop {
                let Counters { connected, sent, received } = counters.read();
                shown
                    .set_message(format!("{connected} of {clients} ready, {sent} sent, {received} received"));
                shown.tick();
                tokio::time::sleep(SHOWN_EVERY).await;
            }
        });
        Self { task: Some((bar, task)) }
    }

    fn stop(self) {
        if let Some((bar, task)) = self.task {
            task.abort();
            bar.finish_and_clear();
        }
    }
}
