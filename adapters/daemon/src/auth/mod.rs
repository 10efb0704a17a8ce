//! Who may connect, and what they may do: the users file, the access file, and the commands for
//! them.

mod explain;
mod hash;
mod noise;
mod passwd;
mod rules;
mod users;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use bowline_core::access::Rules;
use bowline_core::endpoint::server::{Anonymous, NameKind, NoiseConfig, Users};
use bowline_core::scram::MIN_ITERATIONS;
use sha2::{Digest, Sha256};

use crate::config::{self, Auth, CertificateName, Config, Scram};
use crate::failure::Failure;
use hash::{Checker, Stored};
use rules::AccessFile;
use users::UsersFile;

pub(crate) use explain::{access, users_file};
pub(crate) use noise::{read_key, write_new};
pub(crate) use passwd::run as passwd;

/// All that the configuration says of users and rules, ready for the server.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) users: Users,
    /// Without an access file, none.
    pub(crate) rules: Option<Rules>,
    pub(crate) noise: NoiseConfig,
    pub(crate) summary: Summary,
    /// What is not as it should be, and yet works.
    pub(crate) warnings: Vec<String>,
}

/// What was loaded, to tell what another load changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    anonymous: String,
    /// Hashes of what is known of each: nothing can be read back.
    users: BTreeMap<String, [u8; 32]>,
    tokens: BTreeMap<String, [u8; 32]>,
    /// Of the secure mode: who comes by which key, and by which shared one; and the server's own.
    keys: BTreeMap<String, [u8; 32]>,
    shared_keys: BTreeMap<String, [u8; 32]>,
    noise_key: Option<String>,
    certificates: BTreeMap<String, [u8; 32]>,
    certificate_name: String,
    rules: usize,
    rules_hash: [u8; 32],
}

/// Reads the users, access and key files that the configuration names.
pub(crate) fn load(config: &Config) -> Result<Loaded, Failure> {
    let auth = &config.auth;
    let (anonymous, from) = match auth.anonymous {
        config::Anonymous::Never => (Anonymous::Never, "never"),
        config::Anonymous::Loopback => (Anonymous::Local, "loopback"),
        config::Anonymous::Always => (Anonymous::Always, "always"),
    };
    let mut users = Users::new(anonymous);
    users.set_check(Arc::new(Checker));
    let (mut summary, mut warnings) =
        (Summary { anonymous: from.to_owned(), ..Summary::default() }, Vec::new());
    configured(auth, &mut users, &mut summary)?;
    if let Some(path) = &auth.users_file {
        let shown = path.display();
        if users::is_open_to_all(path) {
            warnings.push(format!("{shown} is open to every user of this machine; chmod o= {shown}"));
        }
        for user in UsersFile::read(path)?.users() {
            if auth.users.iter().any(|other| other.name == user.name) {
                return Err(Failure::new(format!(
                    "{shown}: {}: the user stands in the configuration too; take one out",
                    user.name
                )));
            }
            match &user.stored {
                Stored::Hash { text, .. } => users.add_hash(&user.name, text),
                Stored::Scram(scram) => users.add_password(&user.name, scram.0.clone()),
            }
            summary.users.insert(user.name.clone(), fingerprint(&user.stored.to_string()));
        }
    }
    let noise = noise::load(&config.noise, &mut users, &mut summary, &mut warnings)?;
    let file = auth.access_file.as_deref().map(AccessFile::read).transpose()?;
    if let Some(file) = &file {
        summary.rules = file.rules.len();
        summary.rules_hash = fingerprint(&format!("{:?}{:?}{:?}", file.default, file.groups, file.given));
    }
    Ok(Loaded { users, rules: file.map(|file| file.rules), noise, summary, warnings })
}

/// The users and tokens that stand in the configuration itself.
fn configured(auth: &Auth, users: &mut Users, summary: &mut Summary) -> Result<(), Failure> {
    for user in &auth.users {
        let (scram, text) = match (&user.scram, &user.plain_password) {
            (Some(scram), _) => (scram.clone(), scram.to_string()),
            // The password itself is in the file: more iterations would protect nothing.
            (None, Some(password)) => {
                let scram = Scram::make(password.reveal(), MIN_ITERATIONS)
                    .map_err(|error| Failure::new(format!("{}: {error}", user.name)))?;
                (scram, password.reveal().to_owned())
            }
            (None, None) => continue,
        };
        users.add_password(&user.name, scram.0);
        summary.users.insert(user.name.clone(), fingerprint(&text));
    }
    for token in &auth.tokens {
        let hash = match (&token.sha256, &token.plain_token) {
            (Some(hash), _) => hash.0,
            (None, Some(plain)) => fingerprint(plain.reveal()),
            (None, None) => continue,
        };
        users.add_token_hash(hash, &token.name);
        summary.tokens.insert(token.name.clone(), hash);
    }
    let (kind, called) = match auth.certificate_name {
        CertificateName::None => (None, "none"),
        CertificateName::CommonName => (Some(NameKind::CommonName), "common-name"),
        CertificateName::Email => (Some(NameKind::Email), "email"),
        CertificateName::Uri => (Some(NameKind::Uri), "uri"),
        CertificateName::Dns => (Some(NameKind::Dns), "dns"),
    };
    users.name_certificates_by(kind);
    summary.certificate_name = called.to_owned();
    for certificate in &auth.certificates {
        users.add_public_key(certificate.public_key.0, &certificate.name);
        // A user may have several.
        let entry = format!("{} {:?}", certificate.name, certificate.public_key.0);
        summary.certificates.insert(entry, certificate.public_key.0);
    }
    Ok(())
}

fn fingerprint(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl Summary {
    /// What is different in `new`, in words; nothing where all is as it was.
    pub(crate) fn changes(&self, new: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        let all = [
            ("user", &self.users, &new.users),
            ("token", &self.tokens, &new.tokens),
            ("certificate", &self.certificates, &new.certificates),
            ("key", &self.keys, &new.keys),
            ("pre-shared key", &self.shared_keys, &new.shared_keys),
        ];
        for (what, old, new) in all {
            let added = new.keys().filter(|name| !old.contains_key(*name)).count();
            let removed = old.keys().filter(|name| !new.contains_key(*name)).count();
            let other = new.iter().filter(|(name, hash)| old.get(*name).is_some_and(|o| o != *hash)).count();
            changes.extend(counted(added, what, "added"));
            changes.extend(counted(removed, what, "removed"));
            changes.extend(counted(other, what, "with another secret"));
        }
        if self.anonymous != new.anonymous {
            changes.push(format!("anonymous: {} (was {})", new.anonymous, self.anonymous));
        }
        if self.certificate_name != new.certificate_name {
            let (now, was) = (&new.certificate_name, &self.certificate_name);
            changes.push(format!("certificate_name: {now} (was {was})"));
        }
        if self.noise_key != new.noise_key {
            let shown = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
            changes.push(format!(
                "the server's key {} (was {})",
                shown(&new.noise_key),
                shown(&self.noise_key)
            ));
        }
        if self.rules_hash != new.rules_hash {
            changes.push(format!("{} access rules (were {})", new.rules, self.rules));
        }
        changes
    }
}

fn counted(count: usize, what: &str, how: impl Display) -> Option<String> {
    let plural = if count == 1 { "" } else { "s" };
    (count > 0).then(|| format!("{count} {what}{plural} {how}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    fn config(auth: &Auth) -> Config {
        Config { auth: auth.clone(), ..Config::default() }
    }

    fn write(path: &std::path::Path, text: &str) {
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn what_changed_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        write(&at("users"), &format!("ann:{BCRYPT}\nbob:{BCRYPT}\n"));
        write(&at("access"), "[[rule]]\nallow = \"all\"\n");
        let mut auth = Auth {
            users_file: Some(at("users")),
            access_file: Some(at("access")),
            tokens: vec![config::Token {
                name: "t".into(),
                plain_token: None,
                sha256: config::TokenHash::parse(&"0".repeat(64)),
            }],
            ..Auth::default()
        };
        let first = load(&config(&auth)).unwrap();
        assert_eq!((first.users.len(), first.rules.as_ref().map(Rules::len)), (2, Some(1)));
        assert!(first.warnings[0].contains("chmod o="), "{:?}", first.warnings);
        assert!(first.summary.changes(&load(&config(&auth)).unwrap().summary).is_empty());

        write(&at("users"), &format!("ann:{}\neve:{BCRYPT}\nzoe:{BCRYPT}\n", BCRYPT.replace("2a", "2y")));
        write(&at("access"), "default = \"allow\"\n");
        auth.tokens.clear();
        auth.anonymous = config::Anonymous::Never;
        assert_eq!(
            first.summary.changes(&load(&config(&auth)).unwrap().summary),
            [
                "2 users added",
                "1 user removed",
                "1 user with another secret",
                "1 token removed",
                "anonymous: never (was loopback)",
                "0 access rules (were 1)"
            ]
        );
    }

    #[test]
    fn a_user_stands_in_one_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        write(&path, &format!("ann:{BCRYPT}\n"));
        let user = config::User {
            name: "ann".into(),
            plain_password: Some(config::Secret::new("pencil".into())),
            scram: None,
        };
        let auth = Auth { users_file: Some(path), users: vec![user], ..Auth::default() };
        let failure = load(&config(&auth)).unwrap_err();
        assert!(
            failure
                .message()
                .unwrap()
                .ends_with("users: ann: the user stands in the configuration too; take one out")
        );
        let nowhere = Auth { access_file: Some("/nowhere/access.toml".into()), ..Auth::default() };
        assert!(
            load(&config(&nowhere))
                .unwrap_err()
                .message()
                .unwrap()
                .starts_with("cannot read the access file /nowhere/")
        );
    }
}
