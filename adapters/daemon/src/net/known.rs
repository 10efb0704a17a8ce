//! Servers' keys that a client has seen, as ssh keeps those of hosts: a line `ADDRESS bowline-public-v1 KEY` each.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bowline_core::secure::PublicKey;
use bowline_driver::client::NoiseKeys;

use crate::config::{Complaint, Origin};
use crate::failure::Failure;

/// The secure mode of a client.
#[derive(Clone, Debug)]
pub(crate) struct Secure {
    pub(crate) keys: NoiseKeys,
    /// Where a key that is seen for the first time goes.
    pub(crate) known: Option<KnownKeys>,
}

/// A file of known keys, as it was read.
#[derive(Clone, Debug)]
pub(crate) struct KnownKeys {
    path: PathBuf,
    keys: Vec<(String, PublicKey)>,
}

impl KnownKeys {
    /// Reads a file; one that there is not is empty.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::io(format_args!("cannot read {}", path.display()), &error)),
        };
        let (mut keys, mut complaints) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split_once(' ').map(|(address, key)| (address, key.parse())) {
                Some((address, Ok(key))) => keys.push((address.to_owned(), key)),
                _ => complaints.push(Complaint {
                    origin: Origin::File { file: path.display().to_string(), line: number, column: 1 },
                    key: String::new(),
                    message: "it is not a line `ADDRESS bowline-public-v1 KEY`".to_owned(),
                }),
            }
        }
        if complaints.is_empty() {
            Ok(Self { path: path.to_owned(), keys })
        } else {
            Err(Complaint::all(&complaints))
        }
    }

    /// The key of the server at an address.
    pub(crate) fn of(&self, address: &str) -> Option<PublicKey> {
        self.keys.iter().find(|(known, _)| known == address).map(|(_, key)| *key)
    }

    /// Keeps the key of a server that was not known.
    pub(crate) fn keep(&self, address: &str, key: &PublicKey) -> Result<(), Failure> {
        let failed = |error| Failure::io(format_args!("cannot write {}", self.path.display()), &error);
        let mut file =
            OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).map_err(failed)?;
        file.write_all(format!("{address} {key}\n").as_bytes()).map_err(failed)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_known_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("known");
        let key = PublicKey::from_octets([7; 32]);
        let known = KnownKeys::read(&path).unwrap();
        assert_eq!(known.of("bowline://a:1"), None);
        known.keep("bowline://a:1", &key).unwrap();
        known.keep("unix:/x", &PublicKey::from_octets([8; 32])).unwrap();
        let known = KnownKeys::read(&path).unwrap();
        assert_eq!((known.of("bowline://a:1"), known.of("bowline://a:2")), (Some(key), None));
        fs::write(&path, "# ours\n\nbowline://a:1 AAAA\n").unwrap();
        let failure = KnownKeys::read(&path).unwrap_err();
        assert!(failure.message().unwrap().contains("known:3:1: it is not a line"), "{failure:?}");
    }
}
