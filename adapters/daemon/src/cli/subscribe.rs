//! `bowline sub`.

use std::time::Duration;

use bowline_driver::client::{RetainHandling, SubscribeOptions};
use clap::{Args, ValueEnum};

use super::ConnectArgs;
use crate::failure::Failure;
use crate::text::parse_seconds;

const EXAMPLES: &str = "\
Filters are those of MQTT: + is one level, # at the end all that follow. Quote them.
With -W it ends after that time: with 0 when what was asked came (-C messages, or any at all), else with 3.

Examples:
  bowline sub 'demo/#'
  bowline sub -v -t 'demo/+' -t other            topic and payload
  bowline sub -C 1 -W 5 demo/hello               one message, or give up after 5 seconds
  bowline sub --json 'demo/#' | jq .payload
  bowline sub --queue workers jobs               share the messages with the others of the group";

/// How messages are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The payload
    #[default]
    Raw,
    /// The topic, a space, and the payload
    Text,
    /// A JSON object a line
    Json,
}

/// Which retained values to begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Retained {
    /// All that match
    #[default]
    All,
    /// All that match, if the server does not know the subscription from before
    New,
    /// None
    Never,
}

/// `bowline sub`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SubArgs {
    /// Speak MQTT, with mosquitto_sub's flags: see bowline sub --mqtt --help
    #[arg(long)]
    mqtt: bool,

    /// Topic filters
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,

    /// A topic filter; may be repeated
    #[arg(short, long = "topic", value_name = "FILTER")]
    topics: Vec<String>,

    /// 0: at most once; 1: at least once
    #[arg(short, long, value_name = "QOS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,

    /// Which values that topics keep to begin with
    #[arg(long, value_enum, value_name = "WHICH", default_value_t)]
    retained: Retained,

    /// Let also later messages say that they were published to be kept
    #[arg(long)]
    retain_as_published: bool,

    /// End after so many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End after this long; a number alone means seconds
    #[arg(short = 'W', long, value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Print the topic as well: --format text
    #[arg(short, long, conflicts_with_all = ["json", "format"])]
    verbose: bool,

    /// Print JSON: --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// How to print
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Print no newline behind a payload
    #[arg(short = 'N', long)]
    pub(crate) no_newline: bool,

    /// Share the messages with the other members of this group
    #[arg(long, value_name = "GROUP")]
    queue: Option<String>,

    /// Say on stderr when the server has taken the subscriptions, also without a terminal
    #[arg(long)]
    pub(crate) say_ready: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl SubArgs {
    /// The filters to subscribe to, with the group in front.
    pub(crate) fn filters(&self) -> Result<Vec<String>, Failure> {
        let filters: Vec<&String> = self.topics.iter().chain(&self.filters).collect();
        if filters.is_empty() {
            return Err(Failure::usage("say what to subscribe to: bowline sub 'demo/#'"));
        }
        filters.into_iter().map(|filter| shared(self.queue.as_deref(), filter)).collect()
    }

    /// What to ask for.
    pub(crate) fn options(&self) -> SubscribeOptions {
        SubscribeOptions {
            reliable: self.qos == 1,
            retained: match self.retained {
                Retained::All => RetainHandling::Send,
                Retained::New => RetainHandling::SendIfNew,
                Retained::Never => RetainHandling::Never,
            },
            retain_as_published: self.retain_as_published,
            ..SubscribeOptions::default()
        }
    }

    /// How to print.
    pub(crate) fn format(&self) -> Format {
        match self.format {
            Some(format) => format,
            None if self.json => Format::Json,
            None if self.verbose => Format::Text,
            None => Format::Raw,
        }
    }
}

/// The filter as a member of a group has it.
pub(super) fn shared(group: Option<&str>, filter: &str) -> Result<String, Failure> {
    match group {
        None => Ok(filter.to_owned()),
        Some(group) if group.is_empty() || group.contains(['/', '+', '#']) => Err(Failure::usage(format!(
            "`{group}` is not a group: it has at least one character, and no /, + or #"
        ))),
        Some(group) => Ok(format!("$share/{group}/{filter}")),
    }
}
