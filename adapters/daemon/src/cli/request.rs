//! `bowline req`, `bowline reply`, `bowline ping`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ConnectArgs;
use crate::failure::Failure;
use crate::text::parse_seconds;

const REQ_EXAMPLES: &str = "\
Each answer is printed with a newline behind. Ends with 3 when the time has passed, with 4 when nobody answers there.

Examples:
  bowline req time
  bowline req upper 'hello' --timeout 2s
  bowline req service/status --many              ask everybody, and print all answers
  bowline req resize -f picture.png -N > small.png";

const REPLY_EXAMPLES: &str = "\
A command gets the request on standard input, and BOWLINE_REQUEST_TOPIC and BOWLINE_REQUEST_COUNT in its environment;
what it prints is the answer. When it fails, the requester is told, with what it wrote on stderr.

In a payload, {{Request}} is the request, {{Topic}} its topic, {{Count}} its number, {{Time}} and {{Unix}} the time.

Examples:
  bowline reply echo --echo
  bowline reply time --exec 'date --iso-8601=seconds'
  bowline reply greet 'Hello {{Request}}, you are number {{Count}}'
  bowline reply work --queue workers --exec ./work";

const PING_EXAMPLES: &str = "\
Ends with 3 when an answer is missing.

Examples:
  bowline ping
  bowline ping -C 100 --interval 10ms
  bowline ping -h hub.example -C 1 -W 2";

/// `bowline req`.
#[derive(Args, Clone, Debug)]
#[command(after_help = REQ_EXAMPLES)]
pub(crate) struct ReqArgs {
    /// Speak MQTT, with mosquitto_rr's flags: see bowline req --mqtt --help
    #[arg(long)]
    mqtt: bool,

    /// The topic, then the payload
    #[arg(value_name = "TOPIC PAYLOAD", num_args = 0..=2)]
    positional: Vec<String>,

    /// The topic
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,

    /// The payload
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true, group = "content")]
    message: Option<String>,

    /// The contents of a file (-: standard input) as payload
    #[arg(short, long, value_name = "FILE", group = "content")]
    file: Option<PathBuf>,

    /// Ask everybody who serves the topic
    #[arg(long)]
    pub(crate) many: bool,

    /// End after so many answers
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// How long to wait for answers; a number alone means seconds
    #[arg(short = 'W', long, value_name = "TIME", value_parser = parse_seconds, default_value = "5s")]
    pub(crate) timeout: Duration,

    /// Print JSON, an object for each answer
    #[arg(long)]
    pub(crate) json: bool,

    /// Print no newline behind an answer
    #[arg(short = 'N', long)]
    pub(crate) no_newline: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl ReqArgs {
    /// The topic; and a file, or the payload itself.
    pub(crate) fn plan(&self) -> Result<(String, Option<PathBuf>, String), Failure> {
        let mut positional = self.positional.iter().cloned();
        let Some(topic) = self.topic.clone().or_else(|| positional.next()) else {
            return Err(Failure::usage("say what to ask: bowline req TOPIC [PAYLOAD]"));
        };
        let payload = positional.next();
        let contents = [payload.is_some(), self.message.is_some(), self.file.is_some()];
        if positional.next().is_some() || contents.iter().filter(|given| **given).count() > 1 {
            return Err(Failure::usage(
                "give the payload once: as PAYLOAD, or by -m or -f; quote one that has spaces",
            ));
        }
        Ok((topic, self.file.clone(), payload.or_else(|| self.message.clone()).unwrap_or_default()))
    }
}

/// `bowline reply`.
#[derive(Args, Clone, Debug)]
#[command(after_help = REPLY_EXAMPLES)]
pub(crate) struct ReplyArgs {
    /// The topic filter to serve
    pub(crate) topic: String,

    /// The answer
    #[arg(group = "answer")]
    payload: Option<String>,

    /// Answer with what came
    #[arg(long, group = "answer")]
    echo: bool,

    /// Answer with what this shell command prints
    #[arg(long, value_name = "COMMAND", group = "answer", visible_alias = "command")]
    exec: Option<String>,

    /// How many commands may run at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) jobs: u16,

    /// End after so many requests
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// Share the requests with the other members of this group
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,

    /// Say on stderr what was asked
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// How to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Echo,
    Exec(String),
    Template(String),
}

impl ReplyArgs {
    /// The filter to serve, with the group in front.
    pub(crate) fn filter(&self) -> Result<String, Failure> {
        super::subscribe::shared(self.queue.as_deref(), &self.topic)
    }

    /// How to answer.
    pub(crate) fn answer(&self) -> Result<Answer, Failure> {
        match (&self.payload, &self.exec) {
            (_, Some(command)) => Ok(Answer::Exec(command.clone())),
            (Some(payload), None) => Ok(Answer::Template(payload.clone())),
            (None, None) if self.echo => Ok(Answer::Echo),
            (None, None) => Err(Failure::usage("say how to answer: a PAYLOAD, --echo or --exec COMMAND")),
        }
    }
}

/// `bowline ping`.
#[derive(Args, Clone, Debug)]
#[command(after_help = PING_EXAMPLES)]
pub(crate) struct PingArgs {
    /// How many to send; without, until interrupted
    #[arg(short = 'C', short_alias = 'c', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// How long between two; a number alone means seconds
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, default_value = "1s")]
    pub(crate) interval: Duration,

    /// How long to wait for an answer; a number alone means seconds
    #[arg(short = 'W', long, value_name = "TIME", value_parser = parse_seconds, default_value = "5s")]
    pub(crate) timeout: Duration,

    /// Print JSON: an object for each, and one at the end
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
