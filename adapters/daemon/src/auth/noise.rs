//! The keys of the secure mode: the server's own, those of clients, and those that they share.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use bowline_core::endpoint::server::{NoiseConfig, Users};
use bowline_core::secure::{KeyError, PublicKey, SecretKey, SharedKey};
use zeroize::Zeroizing;

use super::Summary;
use super::users::{check_name, is_open_to_all, read_text};
use crate::config::{self, Complaint, Origin};
use crate::failure::Failure;

/// The largest file of keys that is read, in octets.
const FILE_MAX: u64 = 64 << 20;

/// Reads the files that the configuration names: what clients prove by their keys goes to `users`.
pub(super) fn load(
    given: &config::Noise,
    users: &mut Users,
    summary: &mut Summary,
    warnings: &mut Vec<String>,
) -> Result<NoiseConfig, Failure> {
    let mut noise = NoiseConfig { plain: given.plain, strangers: given.strangers, ..NoiseConfig::default() };
    for path in [&given.key_file, &given.psk_file].into_iter().flatten() {
        if is_open_to_all(path) {
            let shown = path.display();
            warnings.push(format!("{shown} is open to every user of this machine; chmod o= {shown}"));
        }
    }
    if let Some(path) = &given.key_file {
        let key: SecretKey = read_key(path)?;
        summary.noise_key = Some(key.public().fingerprint());
        noise.keys.own = Some(key);
    }
    if let Some(path) = &given.authorized_keys {
        for (key, user) in entries::<PublicKey>(path)? {
            users.add_noise_key(*key.as_octets(), &user);
            summary.keys.insert(user, *key.as_octets());
        }
    }
    if let Some(path) = &given.psk_file {
        for (key, user) in entries::<SharedKey>(path)? {
            users.add_noise_key(key.identity(), &user);
            summary.shared_keys.insert(user, key.identity());
            noise.keys.add_shared(key);
        }
    }
    if noise.keys.is_empty() && !noise.plain {
        return Err(Failure::new(
            "noise.plain: nobody could speak Bowline's own protocol: it is off in clear, and the secure mode has \
             neither noise.key_file nor noise.psk_file",
        ));
    }
    Ok(noise)
}

/// Reads a file with one key, such as `bowline key generate` makes.
pub(crate) fn read_key<K: FromStr<Err = KeyError>>(path: &Path) -> Result<K, Failure> {
    let file = path.display().to_string();
    let text = Zeroizing::new(read_text(path, "key file", FILE_MAX)?);
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| is_content(line));
    let Some((number, line)) = lines.next() else {
        return Err(Failure::new(format!("{file} has no key in it; make one with `bowline key generate`")));
    };
    line.parse().map_err(|error| complaint(&file, number, &error))
}

/// Reads a file with a key and a user in each line.
fn entries<K: FromStr<Err = KeyError>>(path: &Path) -> Result<Vec<(K, String)>, Failure> {
    let file = path.display().to_string();
    let text = Zeroizing::new(read_text(path, "file of keys", FILE_MAX)?);
    let (mut all, mut complaints) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| is_content(line)) {
        let origin = || Origin::File { file: file.clone(), line: number, column: 1 };
        // What is wrong is never shown: it may be a secret.
        let words: Vec<&str> = line.splitn(3, ' ').map(str::trim).collect();
        let [kind, key, user] = words[..] else {
            let message =
                "it is not a line `KIND KEY USER`: a key as `bowline key` writes it, and whose it is";
            complaints.push(Complaint { origin: origin(), key: String::new(), message: message.to_owned() });
            continue;
        };
        let key = Zeroizing::new(format!("{kind} {key}")).parse::<K>().map_err(|error| error.to_string());
        match key.and_then(|key| check_name(user).map(|()| key)) {
            Ok(key) => all.push((key, user.to_owned())),
            Err(message) => complaints.push(Complaint { origin: origin(), key: String::new(), message }),
        }
    }
    if complaints.is_empty() { Ok(all) } else { Err(Complaint::all(&complaints)) }
}

fn is_content(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#')
}

fn complaint(file: &str, line: usize, error: &KeyError) -> Failure {
    let origin = Origin::File { file: file.to_owned(), line, column: 1 };
    Complaint::all(&[Complaint { origin, key: String::new(), message: error.to_string() }])
}

/// Writes a new file for its owner alone; one that there is, is left as it is.
pub(crate) fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let shown = path.display();
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::new(format!(
            "{shown} exists, and is left as it is: a key that is lost cannot be made again; choose another file"
        )),
        _ => Failure::io(format_args!("cannot make {shown}"), &error),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| {
        let _ = fs::remove_file(path); // half a key is none
        Failure::io(format_args!("cannot write {shown}"), &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bowline_core::endpoint::server::{Anonymous, Identity};

    fn all(given: &config::Noise) -> Result<(NoiseConfig, Users, Vec<String>), String> {
        let (mut users, mut summary, mut warnings) =
            (Users::new(Anonymous::Never), Summary::default(), Vec::new());
        load(given, &mut users, &mut summary, &mut warnings)
            .map(|noise| (noise, users, warnings))
            .map_err(|failure| failure.message().unwrap().to_owned())
    }

    #[test]
    fn keys_are_read_and_say_who_comes() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (own, ann, shared) = (
            SecretKey::from_octets([1; 32]),
            SecretKey::from_octets([2; 32]),
            SharedKey::from_octets([3; 32]),
        );
        write_new(&at("key"), &format!("# the server's\n{}\n", &*own.to_text())).unwrap();
        write_new(&at("keys"), &format!("\n# who comes\n{} ann of the east\n", ann.public())).unwrap();
        write_new(&at("psk"), &format!("{} sensor\n", &*shared.to_text())).unwrap();
        let given = config::Noise {
            key_file: Some(at("key")),
            authorized_keys: Some(at("keys")),
            psk_file: Some(at("psk")),
            plain: false,
            strangers: false,
        };
        let (noise, users, warnings) = all(&given).unwrap();
        assert_eq!(noise.keys.own.unwrap().public(), own.public());
        assert!(!noise.plain && !noise.strangers && warnings.is_empty(), "{warnings:?}");
        assert_eq!(users.identify(&Identity::Key(*ann.public().as_octets())), Some("ann of the east"));
        assert_eq!(users.identify(&Identity::Key(shared.identity())), Some("sensor"));
        let again = write_new(&at("key"), "").unwrap_err();
        assert!(again.message().unwrap().contains("exists"), "{again:?}");
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let secret = SecretKey::from_octets([1; 32]).to_text();
        let base64 = secret.split(' ').nth(1).unwrap();
        fs::write(at("keys"), format!("# x\n{} ann\nbowline-public-v1 AAAA ann\nnonsense\n", &*secret))
            .unwrap();
        fs::write(at("key"), format!("bowline-psk-v1 {base64}\n")).unwrap();
        fs::write(at("empty"), "# nothing\n").unwrap();
        let noise = |key: &str, keys: &str| config::Noise {
            key_file: Some(at(key)).filter(|_| !key.is_empty()),
            authorized_keys: Some(at(keys)).filter(|_| !keys.is_empty()),
            ..config::Noise::default()
        };
        let failure = all(&noise("", "keys")).unwrap_err();
        for line in ["keys:2:1: ", "keys:3:1: ", "keys:4:1: it is not a line"] {
            assert!(failure.contains(line), "{failure}");
        }
        let other = all(&noise("key", "")).unwrap_err();
        assert!(other.contains("key:1:1: a key of this kind is written `bowline-key-v1 `"), "{other}");
        assert!(!format!("{failure}{other}").contains(base64));
        assert!(all(&noise("empty", "")).unwrap_err().contains("has no key in it"));
        assert!(all(&noise("none", "")).unwrap_err().starts_with("cannot read the key file"));
        let silent = config::Noise { plain: false, ..config::Noise::default() };
        assert!(all(&silent).unwrap_err().starts_with("noise.plain: "));
    }
}
