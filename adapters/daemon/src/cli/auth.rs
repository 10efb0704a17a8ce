//! `bowline passwd`, `bowline check access` and `bowline check users`.

use std::net::IpAddr;
use std::path::PathBuf;

use bowline_core::access::Action;
use clap::{Args, ValueEnum};

const PASSWD_EXAMPLES: &str = "\
The password is asked for on a terminal, twice and not shown; else it is the first line of standard input.

The file has a line user:hash for each user. Hashes that other tools made are read as they are: argon2 and
bcrypt (htpasswd -B), and those of mosquitto_passwd. Name it in the configuration as auth.users_file; a
running server takes changes over on SIGHUP.

Examples:
  bowline passwd -c users.txt ann          make the file, with a first user
  bowline passwd users.txt bob             add another, or change the password
  bowline passwd -b users.txt bob pencil   without asking
  bowline passwd -D users.txt bob          take one out";

/// `bowline passwd`.
#[derive(Args, Debug)]
#[command(after_help = PASSWD_EXAMPLES)]
pub(crate) struct PasswdArgs {
    /// Make the file; it must not be there yet
    #[arg(short, long, conflicts_with = "delete")]
    pub(crate) create: bool,

    /// Take the password from the command line
    #[arg(short, long, conflicts_with = "delete")]
    pub(crate) batch: bool,

    /// Take the user out
    #[arg(short = 'D', long, conflicts_with = "password")]
    pub(crate) delete: bool,

    /// Keep a SCRAM credential, so that the client can prove the password without sending it
    #[arg(long, conflicts_with = "delete")]
    pub(crate) scram: bool,

    /// Hash with bcrypt instead of argon2id
    #[arg(long, conflicts_with_all = ["delete", "scram"])]
    pub(crate) bcrypt: bool,

    /// The users file
    pub(crate) file: PathBuf,

    /// The user
    pub(crate) user: String,

    /// The password, with -b
    pub(crate) password: Option<String>,
}

const ACCESS_EXAMPLES: &str = "\
Ends with 0 where it is allowed and with 1 where it is denied, and says which rule decided and why those
before it did not.

Examples:
  bowline check -c bowline.toml access ann publish home/door
  bowline check access --file access.toml ann subscribe 'home/#' --address 192.0.2.7
  bowline check access --file access.toml ann publish t --listener internal
  bowline check access --file access.toml '' connect        an anonymous client";

/// `bowline check access`.
#[derive(Args, Clone, Debug)]
#[command(after_help = ACCESS_EXAMPLES)]
pub(crate) struct CheckAccessArgs {
    /// The access file; else the one that the configuration names
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The user; '' for an anonymous client
    pub(crate) user: String,

    /// What the user wants to do
    pub(crate) action: Verb,

    /// The topic or filter
    pub(crate) topic: Option<String>,

    /// What the client calls itself
    #[arg(long, value_name = "ID", default_value = "")]
    pub(crate) client_id: String,

    /// Where the client connects from
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,

    /// At which listener the client connects, by its name
    #[arg(long, value_name = "NAME", default_value = "")]
    pub(crate) listener: String,

    /// As if TLS secured the connection
    #[arg(long)]
    pub(crate) secured: bool,

    /// As if the user were in this group too; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) group: Vec<String>,
}

/// An action, as it stands in an access file.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Verb {
    Connect,
    Publish,
    Subscribe,
    Serve,
    Request,
    Queue,
    Relay,
}

impl Verb {
    pub(crate) const fn action(self) -> Action {
        match self {
            Self::Connect => Action::Connect,
            Self::Publish => Action::Publish,
            Self::Subscribe => Action::Subscribe,
            Self::Serve => Action::Serve,
            Self::Request => Action::Request,
            Self::Queue => Action::Queue,
            Self::Relay => Action::Relay,
        }
    }
}

/// `bowline check users`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  bowline check users users.txt")]
pub(crate) struct CheckUsersArgs {
    /// The users file
    pub(crate) file: PathBuf,
}
