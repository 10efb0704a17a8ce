//! `bowline room`.

use std::time::Duration;

use bowline_driver::client::{JoinOptions, PresenceMode, RoomPlace};
use clap::Args;

use super::ConnectArgs;
use crate::text::parse_seconds;

const EXAMPLES: &str = "\
Prints what is said in the room, and sends each line of standard input to it. It ends with Ctrl-C, with the
end of standard input, or when what was asked for came (-C, -W). When a connection is lost it joins again by
itself, and nothing is missed, or it says so.

Examples:
  bowline room lobby                             chat
  bowline room lobby --last 20 --presence        with what was said before, and who is there
  bowline room lobby --listen --json | jq .payload
  echo deployed | bowline room ops               say one thing
  bowline room lobby --since 9f3c2a7d41b8e650:17 what came after the place that an earlier run told";

/// `bowline room`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RoomArgs {
    /// The room
    #[arg(value_name = "NAME")]
    pub(crate) name: String,

    /// Begin with so many of the newest messages
    #[arg(long, value_name = "N", default_value_t = 0)]
    last: u64,

    /// Begin behind this place, as --json and an earlier run tell it
    #[arg(long, value_name = "EPOCH:OFFSET", value_parser = place)]
    since: Option<RoomPlace>,

    /// Tell who is there, comes and goes
    #[arg(long)]
    presence: bool,

    /// Tell only how many are there
    #[arg(long, conflicts_with = "presence")]
    count_members: bool,

    /// What others see of this member
    #[arg(long, value_name = "TEXT", default_value = "")]
    data: String,

    /// Do not print what is sent from here
    #[arg(long)]
    no_echo: bool,

    /// Say on stderr when the server has let it in, also without a terminal
    #[arg(long)]
    pub(crate) say_ready: bool,

    /// Send nothing, and leave standard input alone
    #[arg(short, long)]
    pub(crate) listen: bool,

    /// End after so many messages
    #[arg(short = 'C', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End after this long; a number alone means seconds
    #[arg(short = 'W', long, value_name = "TIME", value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Print all that happens as JSON, an object a line
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

impl RoomArgs {
    /// What to ask for.
    pub(crate) fn options(&self) -> JoinOptions<'_> {
        JoinOptions {
            since: self.since,
            history: self.last,
            presence: match (self.presence, self.count_members) {
                (true, _) => PresenceMode::Full,
                (_, true) => PresenceMode::Count,
                _ => PresenceMode::None,
            },
            data: self.data.as_bytes(),
            echo: !self.no_echo,
            ..JoinOptions::default()
        }
    }

    /// Whether it goes on when standard input has ended.
    pub(crate) const fn outlasts_input(&self) -> bool {
        self.listen || self.count.is_some() || self.timeout.is_some()
    }
}

/// A place as it is shown: the epoch in hexadecimal digits, the offset.
fn place(text: &str) -> Result<RoomPlace, String> {
    let parts = text.split_once(':').and_then(|(epoch, offset)| {
        Some(RoomPlace { epoch: u64::from_str_radix(epoch, 16).ok()?, offset: offset.parse().ok()? })
    });
    parts.ok_or_else(|| "a place is an epoch of hexadecimal digits, a colon, and an offset".into())
}
