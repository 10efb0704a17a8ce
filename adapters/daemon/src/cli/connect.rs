//! How every tool finds the server, and says who it is.

use std::path::PathBuf;
use std::time::Duration;

use bowline_core::compression::Codec;
use clap::Args;

use super::{Endpoint, SecureArgs, TlsArgs};
use crate::config::{CodecName, PORT, Secret};
use crate::failure::Failure;
use crate::net::{Compression, Credentials, Faults, RequestFields, Target};
use crate::text::parse_seconds;

/// The flags of all tools that connect.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectArgs {
    /// The server's host [default: 127.0.0.1]
    #[arg(short = 'h', long, value_name = "HOST", conflicts_with = "unix")]
    pub(crate) host: Option<String>,

    /// The server's port [default: 7790]
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "unix")]
    pub(crate) port: Option<u16>,

    /// The server's Unix socket
    #[arg(long, value_name = "PATH")]
    pub(crate) unix: Option<PathBuf>,

    /// Servers to try in turn: bowline://host:port,ws://host2:port/path,unix:/path, or with keys
    /// bowline+udp://host:port. A single one may also stand in the first place, without this flag
    /// [env: BOWLINE_SERVER]
    #[arg(short, long, value_name = "LIST", conflicts_with_all = ["host", "port", "unix"])]
    pub(crate) server: Option<String>,

    /// Log in as this user [env: BOWLINE_USER]
    #[arg(short, long, value_name = "USER", conflicts_with = "token")]
    pub(crate) username: Option<String>,

    /// The user's password; others can see it in the list of processes, so better use the variable
    /// [env: BOWLINE_PASSWORD]
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD", requires = "username")]
    pub(crate) password: Option<String>,

    /// Log in with this token [env: BOWLINE_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,

    /// Prove the password by SCRAM-SHA-256, without sending it
    #[arg(long)]
    pub(crate) scram: bool,

    /// Send the password, token or header readable over an unencrypted network; over UDP, have nothing secured
    #[arg(long)]
    pub(crate) insecure: bool,

    /// Put this header field into the request for a WebSocket, `Authorization: Bearer …` for one; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", allow_hyphen_values = true)]
    pub(crate) headers: Vec<String>,

    /// What the server's log shall call this client
    #[arg(short, long, value_name = "NAME")]
    pub(crate) id: Option<String>,

    #[command(flatten)]
    pub(crate) secure: SecureArgs,

    /// Compress payloads of 512 octets and more, where the server agrees, by the first of these that it does:
    /// lz4,zstd. Not for what holds secrets beside what others may choose: its size would tell of them
    #[arg(long, value_name = "CODECS", value_delimiter = ',')]
    pub(crate) compression: Vec<CodecName>,

    /// How often the server must be heard from; a number alone means seconds
    #[arg(short, long, value_name = "TIME", value_parser = parse_seconds, default_value = "30s")]
    pub(crate) keepalive: Option<Duration>,

    #[command(flatten)]
    pub(crate) tls: TlsArgs,
}

/// What the environment says for all tools.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    pub(crate) server: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) token: Option<String>,
}

impl Environment {
    fn of_process() -> Self {
        let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            server: read("BOWLINE_SERVER"),
            user: read("BOWLINE_USER"),
            password: read("BOWLINE_PASSWORD"),
            token: read("BOWLINE_TOKEN"),
        }
    }
}

impl ConnectArgs {
    /// Where to connect, and as whom; `what` names this client if the user did not.
    pub(crate) fn target(&self, what: &str) -> Result<Target, Failure> {
        self.target_in(what, Environment::of_process())
    }

    pub(crate) fn target_in(&self, what: &str, environment: Environment) -> Result<Target, Failure> {
        let endpoints = self.endpoints(environment.server.as_deref())?;
        let endpoints: Vec<_> = endpoints.into_iter().map(|endpoint| self.tls.apply(endpoint)).collect();
        let faults = Faults::default();
        let told = faults.clone();
        let tls = self.tls.client(&endpoints, move |why| told.tell(why))?;
        let credentials = self.credentials(environment)?;
        let fields = fields(&self.headers)?;
        let datagrams = self.secure.datagrams(&endpoints, self.insecure)?;
        let secure = if datagrams.is_some() { None } else { self.secure.secure(&endpoints)? };
        let readable = credentials.is_readable() && secure.is_none() || !self.headers.is_empty();
        // Over UDP there are keys, or it was said.
        if readable
            && datagrams.is_none()
            && !self.insecure
            && let Some(endpoint) =
                endpoints.iter().find(|endpoint| !endpoint.is_local() && !endpoint.is_secured())
        {
            return Err(Failure::usage(format!(
                "the connection to {endpoint} is not encrypted: whoever sees it could read your secret; \
                     use --scram with a user and password, or --insecure if you trust the network"
            )));
        }
        Ok(Target {
            endpoints,
            credentials,
            name: self.id.clone().unwrap_or_else(|| format!("bowline-{what}-{}", std::process::id())),
            keepalive: self.keepalive.filter(|keepalive| !keepalive.is_zero()),
            fields,
            secure,
            compression: (!self.compression.is_empty()).then(|| Compression {
                codecs: self.compression.iter().copied().map(Codec::from).collect(),
                ..Compression::default()
            }),
            tls,
            datagrams,
            faults,
        })
    }

    fn endpoints(&self, from_environment: Option<&str>) -> Result<Vec<Endpoint>, Failure> {
        if let Some(path) = &self.unix {
            return Ok(vec![Endpoint::Unix(path.clone())]);
        }
        let by_flags = self.host.is_some() || self.port.is_some();
        let list = self.server.as_deref().or(from_environment.filter(|_| !by_flags));
        if let Some(list) = list {
            return Endpoint::parse_list(list).map_err(Failure::usage);
        }
        let host = self.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
        Ok(vec![Endpoint::Tcp { host, port: self.port.unwrap_or(PORT) }])
    }

    fn credentials(&self, environment: Environment) -> Result<Credentials, Failure> {
        // What the flags say wins as a whole: a user of the flags never meets a token of the environment.
        if let Some(token) = &self.token {
            return Ok(Credentials::Token(Secret::new(token.clone())));
        }
        let user = match (&self.username, environment.token) {
            (Some(user), _) => user.clone(),
            (None, Some(token)) if environment.user.is_none() => {
                return Ok(Credentials::Token(Secret::new(token)));
            }
            (None, _) => match environment.user {
                Some(user) => user,
                None if self.scram => {
                    return Err(Failure::usage("--scram needs a user: -u USER -P PASSWORD"));
                }
                None => return Ok(Credentials::None),
            },
        };
        let Some(password) = self.password.clone().or(environment.password) else {
            return Err(Failure::usage(format!("the user {user} needs a password: -P, or BOWLINE_PASSWORD")));
        };
        let password = Secret::new(password);
        Ok(if self.scram {
            Credentials::Scram { user, password }
        } else {
            Credentials::Password { user, password }
        })
    }
}

/// Reads header fields as they are written in a request.
pub(crate) fn fields(headers: &[String]) -> Result<RequestFields, Failure> {
    headers.iter().try_fold(RequestFields::new(), |fields, header| {
        let Some((name, value)) = header.split_once(':') else {
            return Err(Failure::usage(
                "--header wants a name, a colon and a value: --header 'Origin: http://a.example'",
            ));
        };
        fields.with(name.trim(), value.trim()).map_err(|error| Failure::usage(format!("--header: {error}")))
    })
}
