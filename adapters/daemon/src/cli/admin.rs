//! `bowline plugins` and `bowline sessions`.

use clap::{Args, Subcommand};

use super::ConnectArgs;

/// `bowline plugins`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
They ask the server's console (see http.console in the configuration), over HTTP.

Examples:
  bowline plugins list
  bowline plugins disable limits       nobody is limited until it is enabled again, or the server restarts")]
pub(crate) struct PluginsArgs {
    #[command(subcommand)]
    pub(crate) command: PluginsCommand,

    /// Print JSON, as the server answers it
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// What to do with plugins.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PluginsCommand {
    /// Show them in order, and what they have done
    List,
    /// Switch one on
    Enable {
        /// Its name
        name: String,
    },
    /// Switch one off: it is asked nothing, and keeps its state
    Disable {
        /// Its name
        name: String,
    },
}

/// `bowline sessions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
They ask the server's console (see http.console in the configuration), over HTTP.

Examples:
  bowline sessions list --tag meter
  bowline sessions inspect 0000000100000002
  bowline sessions kick 0000000100000002 --forget
  bowline sessions tell --tag staff 'the server restarts at noon'")]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub(crate) command: SessionsCommand,

    /// Print JSON, as the server answers it
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

/// What to do with sessions.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum SessionsCommand {
    /// Show those of whom all holds that is said
    List {
        /// With this tag
        #[arg(long)]
        tag: Option<String>,
        /// Of this user
        #[arg(long)]
        user: Option<String>,
        /// Speaking this: bowline, mqtt, mqtt311, mqtt5, prx1 or json
        #[arg(long)]
        dialect: Option<String>,
        /// That came in at this address
        #[arg(long, value_name = "ADDRESS")]
        listener: Option<String>,
        /// With this somewhere in their names
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        /// At most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
    },
    /// Show all that is known of one, as JSON
    Inspect {
        /// Its id
        id: String,
    },
    /// Disconnect one; its client may come back to it
    Kick {
        /// Its id
        id: String,
        /// Forget the session as well
        #[arg(long)]
        forget: bool,
    },
    /// Tag one, until its client connects anew
    Tag {
        /// Its id
        id: String,
        /// The tag
        tag: String,
        /// Take the tag away
        #[arg(long)]
        remove: bool,
    },
    /// Send a message to one, or to all with a tag, whatever they have subscribed to: on the topic $notice or
    /// $notice/TAG
    Tell {
        /// All with this tag
        #[arg(long, required_unless_present = "session", conflicts_with = "session")]
        tag: Option<String>,
        /// The session with this id
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// What to say
        message: String,
    },
}
