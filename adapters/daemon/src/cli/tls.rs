//! TLS: whom tools trust, and the certificates that `bowline cert` makes.

use std::path::PathBuf;

use bowline_tls::make::DAYS;
use bowline_tls::{Client, Pin, Version};
use clap::{Args, Subcommand, ValueEnum};

use super::Endpoint;
use crate::failure::Failure;

/// The flags of all tools that connect.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Trust the authorities in this file, instead of those that this machine trusts
    #[arg(long, value_name = "FILE")]
    pub(crate) cafile: Option<PathBuf>,

    /// Show the server this certificate
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,

    /// The key to it
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Trust only a server whose public key has this SHA-256; may be repeated
    #[arg(long, value_name = "SHA256", value_parser = pin)]
    pub(crate) pin: Vec<[u8; 32]>,

    /// The oldest version to speak
    #[arg(long, value_name = "VERSION")]
    pub(crate) tls_version: Option<TlsVersion>,

    /// Offer this protocol, instead of the one that is spoken; may be repeated
    #[arg(long, value_name = "PROTOCOL", alias = "tls-alpn")]
    pub(crate) alpn: Vec<String>,

    /// Trust whoever answers: whoever is in between can read and change all
    #[arg(long, conflicts_with_all = ["cafile", "pin"])]
    pub(crate) dangerous_trust_anyone: bool,
}

/// A version, as `mosquitto_pub` calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsVersion {
    #[value(name = "tlsv1.2", alias = "1.2")]
    Tls12,
    #[value(name = "tlsv1.3", alias = "1.3")]
    Tls13,
}

fn pin(text: &str) -> Result<[u8; 32], String> {
    let wrong = || "64 hexadecimal digits are wanted".to_owned();
    crate::config::TokenHash::parse(text).map(|hash| hash.0).ok_or_else(wrong)
}

impl TlsArgs {
    /// Whether anything is said that makes sense with TLS alone: then TLS is meant.
    fn is_meant(&self) -> bool {
        self.cafile.is_some() || self.cert.is_some() || !self.pin.is_empty() || self.dangerous_trust_anyone
    }

    /// Where to connect, by what these flags say of TLS, and whom to trust there.
    pub(crate) fn apply(&self, endpoint: Endpoint) -> Endpoint {
        if self.is_meant() { endpoint.secured() } else { endpoint }
    }

    /// Whom to trust, where TLS is spoken at one of these. `tell` hears of what fails.
    pub(crate) fn client(
        &self,
        endpoints: &[Endpoint],
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Option<Client>, Failure> {
        if !endpoints.iter().any(Endpoint::is_secured) {
            return Ok(None);
        }
        let mut builder = Client::builder().on_failure(move |_, why| tell(why));
        if let Some(file) = &self.cafile {
            builder = builder.authority(file);
        }
        for pin in &self.pin {
            builder = builder.pin(Pin::PublicKey(*pin));
        }
        if self.dangerous_trust_anyone {
            builder = builder.dangerous_trust_anyone();
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            builder = builder.identity(cert, key);
        }
        if !self.alpn.is_empty() {
            builder = builder.alpn(&self.alpn);
        }
        if self.tls_version == Some(TlsVersion::Tls13) {
            builder = builder.min_version(Version::Tls13);
        }
        builder.build().map(Some).map_err(|error| Failure::usage(error.to_string()))
    }
}

const CERT_EXAMPLES: &str = "\
Each makes NAME.pem, a certificate, and NAME.key, its key, which only you can read; what exists is
not overwritten. The authority is ca.pem and ca.key. For other machines to trust, they need ca.pem
alone.

Examples:
  bowline cert ca                                an authority of your own
  bowline cert server hub.example 192.0.2.7      hub.example.pem, for a server of these names
  bowline cert client ann                        ann.pem, for a client that is ann";

/// `bowline cert`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CERT_EXAMPLES)]
pub(crate) struct CertArgs {
    #[command(subcommand)]
    pub(crate) what: CertWhat,

    /// The directory of the files
    #[arg(long, global = true, value_name = "DIRECTORY", default_value = ".")]
    pub(crate) directory: PathBuf,
}

/// What is made.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum CertWhat {
    /// Make an authority
    Ca {
        /// What it calls itself
        #[arg(long, value_name = "NAME", default_value = "Bowline development authority")]
        name: String,
        /// How many days it is valid
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Make a server's certificate
    Server {
        /// The names and addresses by which clients connect to it
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// How many days it is valid
        #[arg(long, value_name = "N", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Make a client's certificate
    Client {
        /// Who it is: a name, a mail address, a URI
        name: String,
        /// How many days it is valid
        #[arg(long, value_name = "N", default_value_t = DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
}
