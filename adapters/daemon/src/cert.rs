//! `bowline cert`: an authority of one's own, and certificates by it.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bowline_tls::make::{Authority, Made, MakeError};

use crate::cli::{CertArgs, CertWhat};
use crate::failure::Failure;
use crate::output;

/// The files are for their owner alone: also certificates, so that nobody has to think which is which.
const MODE: u32 = 0o600;

/// Makes what was asked for, and says how to use it.
pub(crate) fn run(args: &CertArgs) -> Result<(), Failure> {
    let directory = &args.directory;
    let (name, made, hint) = match &args.what {
        CertWhat::Ca { name, days } => {
            let authority = Authority::new(name, *days).map_err(|error| failed(&error))?;
            (
                "ca".to_owned(),
                authority.to_pem(),
                "give ca.pem to those who are to trust it; keep ca.key safe",
            )
        }
        CertWhat::Server { names, days } => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let made = authority(directory)?.server(&names, *days).map_err(|error| failed(&error))?;
            (file_name(names[0]), made, "name both in the configuration: tls.cert and tls.key")
        }
        CertWhat::Client { name, days } => {
            let made = authority(directory)?.client(name, *days).map_err(|error| failed(&error))?;
            (file_name(name), made, "connect with --cert and --key, and ca.pem as --cafile")
        }
    };
    let (chain, key) = put(directory, &name, &made)?;
    output::data(&format!("{}\n{}\n", chain.display(), key.display()))?;
    output::note(hint);
    Ok(())
}

fn failed(error: &MakeError) -> Failure {
    Failure::new(format!("no certificate was made: {error}"))
}

/// The authority of the directory.
fn authority(directory: &Path) -> Result<Authority, Failure> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Failure::new(format!("there is no {}; make one with `bowline cert ca`", path.display()))
            }
            _ => Failure::io(format_args!("cannot read {}", path.display()), &error),
        })
    };
    let (certificate, key) = (read("ca.pem")?, zeroize::Zeroizing::new(read("ca.key")?));
    Authority::from_pem(&certificate, &key).map_err(|error| failed(&error))
}

/// A name that no directory is in, and that is not taken for a flag.
fn file_name(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '@') { c } else { '_' };
    let name: String = name.replace("*.", "any.").chars().map(keep).collect();
    if name.starts_with(['.', '-']) || name == "ca" { format!("_{name}") } else { name }
}

/// Writes both, or neither.
fn put(directory: &Path, name: &str, made: &Made) -> Result<(PathBuf, PathBuf), Failure> {
    let [chain, key] = [".pem", ".key"].map(|end| directory.join(format!("{name}{end}")));
    write_new(&key, made.key.as_bytes())?;
    if let Err(failure) = write_new(&chain, made.chain.as_bytes()) {
        // It is ours, and new.
        let _ = fs::remove_file(&key);
        return Err(failure);
    }
    Ok((chain, key))
}

fn write_new(path: &Path, octets: &[u8]) -> Result<(), Failure> {
    let shown = path.display();
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(path).map_err(|error| match error
            .kind()
        {
            ErrorKind::AlreadyExists => {
                Failure::new(format!("{shown} exists, and is not overwritten; move it away first"))
            }
            _ => Failure::io(format_args!("cannot make {shown}"), &error),
        })?;
    let written = file.write_all(octets).and_then(|()| file.sync_all());
    written.map_err(|error| Failure::io(format_args!("cannot write {shown}"), &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn make(directory: &Path, what: CertWhat) -> Result<(), Failure> {
        run(&CertArgs { what, directory: directory.into() })
    }

    #[test]
    fn certificates_are_made_once_and_for_their_owner() {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        let server = || CertWhat::Server { names: vec!["*.hub.example".into(), "127.0.0.1".into()], days: 1 };
        let why = make(at, server()).unwrap_err();
        assert!(why.message().unwrap().ends_with("make one with `bowline cert ca`"));
        make(at, CertWhat::Ca { name: "test".into(), days: 1 }).unwrap();
        make(at, server()).unwrap();
        make(at, CertWhat::Client { name: "ann@home.example".into(), days: 1 }).unwrap();
        make(at, CertWhat::Client { name: "../ca".into(), days: 1 }).unwrap();
        for name in ["ca", "any.hub.example", "ann@home.example", "_.._ca"] {
            for end in ["pem", "key"] {
                let path = at.join(format!("{name}.{end}"));
                assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
            }
        }
        let before = fs::read(at.join("ca.key")).unwrap();
        let why = make(at, CertWhat::Ca { name: "test".into(), days: 1 }).unwrap_err();
        assert!(why.message().unwrap().contains("is not overwritten"));
        assert_eq!(fs::read(at.join("ca.key")).unwrap(), before);
        fs::remove_file(at.join("ann@home.example.key")).unwrap();
        make(at, CertWhat::Client { name: "ann@home.example".into(), days: 1 }).unwrap_err();
        assert!(!at.join("ann@home.example.key").exists(), "both or neither");
        bowline_tls::Server::builder()
            .certificate(at.join("any.hub.example.pem"), at.join("any.hub.example.key"))
            .client_authority(at.join("ca.pem"))
            .build()
            .unwrap();
    }
}
