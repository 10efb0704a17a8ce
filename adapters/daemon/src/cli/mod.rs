//! The command line.

mod admin;
mod arguments;
mod auth;
mod bench;
mod connect;
mod endpoint;
mod key;
mod mqtt;
mod publish;
mod relay;
mod request;
mod room;
mod serve;
mod store;
mod subscribe;
mod tls;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use admin::{PluginsArgs, PluginsCommand, SessionsArgs, SessionsCommand};
pub(crate) use arguments::{PART, arguments};
pub(crate) use auth::{CheckAccessArgs, CheckUsersArgs, PasswdArgs};
pub(crate) use bench::{BenchArgs, Scenario};
pub(crate) use connect::{ConnectArgs, fields};
pub(crate) use endpoint::Endpoint;
pub(crate) use key::{KeyArgs, KeyCommand, SecureArgs};
pub(crate) use mqtt::{MqttArgs, MqttOutput, MqttPubArgs, MqttReqArgs, MqttSubArgs};
pub(crate) use publish::{Content, PubArgs};
pub(crate) use relay::{RelayArgs, TunnelArgs};
pub(crate) use request::{Answer, PingArgs, ReplyArgs, ReqArgs};
pub(crate) use room::RoomArgs;
pub(crate) use serve::{CheckArgs, CheckWhat, ConfigArgs, ServeArgs};
pub(crate) use store::{StoreArgs, StoreCommand};
pub(crate) use subscribe::{Format, SubArgs};
pub(crate) use tls::{CertArgs, CertWhat, TlsArgs};

use crate::failure::Failure;
use crate::output;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const ABOUT_EXITS: &str = "\
Exit codes:
  0  done
  1  failed; stderr says why, and what to do
  2  the command line is wrong
  3  the time given has passed
  4  nobody answers requests on the topic
 27  the time given has passed, with --mqtt

Examples:
  bowline                                serve on 127.0.0.1:7790, and for MQTT on 127.0.0.1:1883
  bowline -c bowline.toml                serve as a file says
  bowline sub 'demo/#'                   show every message below demo
  bowline pub demo/hello hi              publish one
  bowline room lobby                     chat in a room
  bowline reply time --exec 'date'       answer requests
  bowline req time                       ask
  bowline relay --allow localhost:8080   let clients reach a web server on this machine
  bowline tunnel -L 8080 localhost:8080  ... from another
  bowline sub ws://host:7790/ 'demo/#'   over a WebSocket; so all of them
  bowline pub --mqtt -t a -m b           MQTT, with mosquitto_pub's flags";

/// A messaging server, and the tools to talk to one. Without a command it serves.
#[derive(Debug, Parser)]
#[command(
    name = "bowline",
    version,
    styles = STYLES,
    disable_help_flag = true,
    args_conflicts_with_subcommands = true,
    after_help = ABOUT_EXITS
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,

    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Print help
    #[arg(long, global = true, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the server (also without a command)
    Serve(ServeArgs),
    /// Publish messages
    Pub(PubArgs),
    /// Subscribe, and print what comes
    Sub(SubArgs),
    /// Send a request, and print the answers
    Req(ReqArgs),
    /// Answer requests
    Reply(ReplyArgs),
    /// Take part in a room: print what is said there, send lines
    Room(RoomArgs),
    /// Connect clients to targets that are allowed, and to no others
    Relay(RelayArgs),
    /// Reach a target through a server that relays
    Tunnel(TunnelArgs),
    /// Measure round trips to the server
    Ping(PingArgs),
    /// Put load on a server, and measure latency
    Bench(BenchArgs),
    /// Check a configuration, and show what is in effect
    Check(CheckArgs),
    /// List plugins, switch them on and off
    Plugins(PluginsArgs),
    /// List sessions, look at them, disconnect them, tell them something
    Sessions(SessionsArgs),
    /// Look at what a server keeps, save it, bring it back
    Store(StoreArgs),
    /// Make certificates for TLS, and an authority of your own
    Cert(CertArgs),
    /// Make an entry for a user or a token of the configuration
    Credentials(CredentialsArgs),
    /// Edit a file of users and their passwords
    Passwd(PasswdArgs),
    /// Make a key for the secure mode, or show what others may know of one
    Key(KeyArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Publish messages over MQTT
    #[command(hide = true)]
    MqttPub(Box<MqttPubArgs>),
    /// Subscribe over MQTT, and print what comes
    #[command(hide = true)]
    MqttSub(Box<MqttSubArgs>),
    /// Send a request over MQTT 5, and print the answer
    #[command(hide = true)]
    MqttReq(Box<MqttReqArgs>),
}

/// `bowline credentials`.
#[derive(Args, Debug)]
#[command(after_help = "\
The password is asked for on a terminal, and not shown; else it is the first line of standard input.

Examples:
  bowline credentials alice >> bowline.toml             a user; asks for the password
  bowline credentials --token sensors >> bowline.toml   a new random token, shown once on stderr")]
pub(crate) struct CredentialsArgs {
    /// The user's name, or whom the token stands for
    pub(crate) name: String,

    /// Make a random token instead of a password's entry
    #[arg(long)]
    pub(crate) token: bool,

    /// How often the password is hashed
    #[arg(long, value_name = "N", default_value_t = 600_000, value_parser = clap::value_parser!(u32).range(4_096..=1_000_000))]
    pub(crate) iterations: u32,
}

/// `bowline completions`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  bowline completions bash > ~/.local/share/bash-completion/completions/bowline
  bowline completions fish > ~/.config/fish/completions/bowline.fish")]
pub(crate) struct CompletionsArgs {
    /// Which shell
    pub(crate) shell: Shell,
}

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bowline", &mut script);
    output::data(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests;
