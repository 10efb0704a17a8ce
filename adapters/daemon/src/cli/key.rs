//! `bowline key`, and the flags of clients for the secure mode.

use std::path::{Path, PathBuf};

use bowline_core::secure::{PublicKey, SharedKey};
use bowline_driver::client::{NoiseKeys, ServerTrust};
use clap::{Args, Subcommand};

use super::Endpoint;
use crate::auth::read_key;
use crate::failure::Failure;
use crate::net::{Datagrams, KnownKeys, Secure, udp};

/// `bowline key`.
#[derive(Args, Debug)]
#[command(after_help = "\
A key is a line of text: `bowline-key-v1 …` is private, `bowline-public-v1 …` is what others may know, and
`bowline-psk-v1 …` is what two sides share. Files are made for their owner alone, and never overwritten.

Examples:
  bowline key generate server.key                     make a pair; prints the public key
  bowline key public server.key                       print it again
  bowline key fingerprint server.key                  what people compare
  bowline key generate --psk sensor.psk               a key that both sides have
  bowline sub --server-key 'bowline-public-v1 …' --noise-key my.key 'demo/#'")]
pub(crate) struct KeyArgs {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

/// What to do with a key.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new one, in a file that there is not yet
    Generate {
        /// The file
        file: PathBuf,
        /// One that both sides have, for NNpsk0
        #[arg(long)]
        psk: bool,
    },
    /// Print the public key of a private one
    Public {
        /// The file of the private key
        file: PathBuf,
    },
    /// Print the fingerprint of a public or private key
    Fingerprint {
        /// The file
        file: PathBuf,
    },
}

/// The secure mode of a client: with any of these, nothing is said in clear. Over UDP it is a session's own.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Secure mode (Noise)")]
pub(crate) struct SecureArgs {
    /// This client's private key, as `bowline key generate` makes it; without one it is nobody's
    #[arg(long, value_name = "FILE", conflicts_with = "psk_file")]
    pub(crate) noise_key: Option<PathBuf>,

    /// The server's public key, itself or in a file; may be repeated
    #[arg(long, value_name = "KEY", conflicts_with_all = ["psk_file", "known_keys"])]
    pub(crate) server_key: Vec<String>,

    /// Take the key that a server shows first, keep it in this file, and take no other from then on
    #[arg(long, value_name = "FILE", conflicts_with = "psk_file")]
    pub(crate) known_keys: Option<PathBuf>,

    /// A key that the server has as well
    #[arg(long, value_name = "FILE")]
    pub(crate) psk_file: Option<PathBuf>,
}

impl SecureArgs {
    /// What the flags ask for; nothing without any.
    pub(super) fn secure(&self, endpoints: &[Endpoint]) -> Result<Option<Secure>, Failure> {
        if let Some(path) = &self.psk_file {
            let keys = NoiseKeys::Shared(read_key::<SharedKey>(path)?);
            return Ok(Some(Secure { keys, known: None }));
        }
        let own = self.noise_key.as_deref().map(read_key).transpose()?;
        if let Some(path) = &self.known_keys {
            let known = KnownKeys::read(path)?;
            let of_endpoints = endpoints.iter().map(|endpoint| known.of(&endpoint.to_string())).collect();
            let keys = NoiseKeys::Static { own, server: ServerTrust::FirstUse(of_endpoints) };
            return Ok(Some(Secure { keys, known: Some(known) }));
        }
        if self.server_key.is_empty() {
            return match own {
                None => Ok(None),
                Some(_) => Err(Failure::usage(
                    "--noise-key needs to know the server: --server-key KEY, or --known-keys FILE to take the key \
                     that it shows first",
                )),
            };
        }
        let server = self.server_key.iter().map(|key| server_key(key)).collect::<Result<_, _>>()?;
        Ok(Some(Secure { keys: NoiseKeys::Static { own, server: ServerTrust::Keys(server) }, known: None }))
    }

    /// How sessions over UDP are secured; nothing where none go there. `insecure`: not at all.
    pub(super) fn datagrams(
        &self,
        endpoints: &[Endpoint],
        insecure: bool,
    ) -> Result<Option<Datagrams>, Failure> {
        let Some(endpoint) = endpoints.iter().find(|endpoint| endpoint.is_udp()) else { return Ok(None) };
        if !endpoints.iter().all(Endpoint::is_udp) {
            return Err(Failure::usage(format!(
                "{endpoint} cannot be in a list with servers that are not reached over UDP: what secures them is not \
                 the same"
            )));
        }
        if let Some(path) = &self.psk_file {
            return Ok(Some(udp::shared(read_key(path)?)));
        }
        let Some(server) = self.udp_server(endpoints)? else {
            if insecure && self.noise_key.is_none() {
                return Ok(Some(udp::insecure()));
            }
            return Err(Failure::usage(format!(
                "a session with {endpoint} is secured by keys: --server-key KEY (the server's [udp] key, as \
                 `bowline key public` prints it) or --psk-file FILE; --insecure, if the server has none and you trust \
                 the network"
            )));
        };
        let own = self.noise_key.as_deref().map(read_key).transpose()?;
        Ok(Some(udp::known(own, server)))
    }

    /// The one key that the servers have, as far as the flags say.
    fn udp_server(&self, endpoints: &[Endpoint]) -> Result<Option<PublicKey>, Failure> {
        let mut keys = self.server_key.iter().map(|key| server_key(key)).collect::<Result<Vec<_>, _>>()?;
        if let Some(path) = &self.known_keys {
            let known = KnownKeys::read(path)?;
            for endpoint in endpoints {
                let address = endpoint.to_string();
                let Some(key) = known.of(&address) else {
                    let shown = path.display();
                    return Err(Failure::usage(format!(
                        "{shown} has no key of {address}, and over UDP none is taken at first sight: write the line \
                         `{address} KEY` there, or use --server-key KEY"
                    )));
                };
                keys.push(key);
            }
        }
        keys.dedup();
        if keys.len() > 1 {
            return Err(Failure::usage("over UDP, all servers of a list must have the same key"));
        }
        Ok(keys.pop())
    }
}

/// A key as it is, or the file that it is in.
fn server_key(text: &str) -> Result<PublicKey, Failure> {
    match text.parse() {
        Ok(key) => Ok(key),
        Err(error) if text.starts_with("bowline-") => Err(Failure::usage(format!("--server-key: {error}"))),
        Err(_) => read_key(Path::new(text)),
    }
}
