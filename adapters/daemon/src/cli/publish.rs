//! `bowline pub`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::ConnectArgs;
use crate::failure::Failure;
use crate::text::parse_seconds;

const EXAMPLES: &str = "\
At quality 1 it waits until the server has accepted every message, over lost connections too.

Examples:
  bowline pub demo/hello hi
  bowline pub -t demo/hello -m hi -q 0           as mosquitto_pub has it
  bowline pub -r demo/door open                  kept by the topic; -r -n clears it
  tail -f log | bowline pub demo/log -l          each line a message
  bowline pub demo/picture -f picture.png
  bowline pub demo/log -f app.log --compression zstd
  bowline pub demo/tick 'tick {{Count}} at {{Time}}' --template --repeat 10 --repeat-delay 1s";

/// `bowline pub`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct PubArgs {
    /// Speak MQTT, with mosquitto_pub's flags: see bowline pub --mqtt --help
    #[arg(long)]
    mqtt: bool,

    /// Topic, then payload
    #[arg(value_name = "TOPIC PAYLOAD", num_args = 0..=2)]
    positional: Vec<String>,

    /// The topic
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,

    /// The payload
    #[arg(short, long, value_name = "PAYLOAD", allow_hyphen_values = true, group = "content")]
    message: Option<String>,

    /// Publish each line of standard input as a message
    #[arg(short = 'l', long, group = "content")]
    stdin_line: bool,

    /// Publish the contents of a file (-: standard input) as one message
    #[arg(short, long, value_name = "FILE", group = "content")]
    file: Option<PathBuf>,

    /// Publish an empty message
    #[arg(short, long, group = "content")]
    null_message: bool,

    /// 0: at most once; 1: at least once, accepted by the server
    #[arg(short, long, value_name = "QOS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,

    /// Let the topic keep it, for those who subscribe later; an empty one (-n) clears what it keeps
    #[arg(short, long)]
    pub(crate) retain: bool,

    /// How often to publish it
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: u64,

    /// How long to wait between; a number alone means seconds
    #[arg(long, value_name = "TIME", value_parser = parse_seconds, default_value = "0s")]
    pub(crate) repeat_delay: Duration,

    /// Replace {{Count}}, {{Time}} and {{Unix}} in the payload
    #[arg(long)]
    pub(crate) template: bool,

    /// Give up after this long (exit code 3); a number alone means seconds
    #[arg(short = 'W', long, value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Say nothing of what went well
    #[arg(long)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// What to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    File(PathBuf),
    /// All of standard input.
    Stdin,
    /// Each line of standard input.
    Lines,
}

impl PubArgs {
    /// The topic, and what to publish there.
    pub(crate) fn plan(&self) -> Result<(String, Content), Failure> {
        let mut positional = self.positional.iter().cloned();
        let Some(topic) = self.topic.clone().or_else(|| positional.next()) else {
            return Err(Failure::usage("say where to publish: bowline pub TOPIC PAYLOAD"));
        };
        let payload = positional.next();
        if let Some(more) = positional.next() {
            return Err(Failure::usage(format!(
                "`{more}` is one too many: with -t there is only a payload; quote a payload that has spaces"
            )));
        }
        let mut contents: Vec<Content> = payload.into_iter().map(Content::Text).collect();
        contents.extend(self.message.clone().map(Content::Text));
        contents.extend(self.file.clone().map(|file| match file.as_os_str() == "-" {
            true => Content::Stdin,
            false => Content::File(file),
        }));
        if self.stdin_line {
            contents.push(Content::Lines);
        }
        if self.null_message {
            contents.push(Content::Text(String::new()));
        }
        let mut contents = contents.into_iter();
        match (contents.next(), contents.next()) {
            (Some(content), None) => Ok((topic, content)),
            (None, _) => Err(Failure::usage(
                "say what to publish: PAYLOAD, -m PAYLOAD, -f FILE, -l (lines) or -n (nothing)",
            )),
            _ => Err(Failure::usage("give the payload once: as PAYLOAD or by one of -m, -f, -l, -n")),
        }
    }
}
