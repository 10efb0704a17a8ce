//! Hashes of passwords: argon2id and bcrypt, and what mosquitto writes.

use std::fmt;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Argon2, Params};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bcrypt::{HashParts, Version};
use bowline_core::endpoint::server::PasswordCheck;
use sha2::Sha512;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::config::Scram;

/// Octets of salt.
const SALT: usize = 16;

/// A check that takes longer than this holds up all others, and clients give up: argon2's memory in
/// KiB times its passes (some 10 s), bcrypt's cost (some 10 s), PBKDF2's iterations (some 10 s).
const ARGON2_WORK_MAX: u64 = 8 << 20;
const BCRYPT_COST_MAX: u32 = 17;
const PBKDF2_MAX: u32 = 10_000_000;
/// Two checks run at a time.
const ARGON2_MEMORY_MAX: u32 = 1 << 20;

/// The cost of a new bcrypt hash: about as much as argon2id's defaults.
const BCRYPT_COST: u32 = 10;

/// What a line of a users file knows of a password.
#[derive(Clone)]
pub(crate) enum Stored {
    /// A hash that [`Checker`] checks.
    Hash {
        text: String,
        kind: Kind,
    },
    Scram(Scram),
}

/// How a password is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Argon2,
    Bcrypt,
    /// mosquitto's: PBKDF2 with SHA-512.
    Mosquitto,
    Scram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Argon2 => "argon2",
            Self::Bcrypt => "bcrypt",
            Self::Mosquitto => "mosquitto's PBKDF2",
            Self::Scram => "SCRAM",
        })
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (hidden)", self.kind())
    }
}

impl Stored {
    /// Makes one of a password.
    pub(crate) fn make(kind: Kind, password: &str) -> Result<Self, String> {
        let salt: [u8; SALT] = rand::random();
        let failed = |error: &dyn fmt::Display| format!("the password cannot be hashed: {error}");
        let text = match kind {
            Kind::Argon2 => Argon2::default()
                .hash_password_with_salt(password.as_bytes(), &salt)
                .map_err(|error| failed(&error))?
                .to_string(),
            // It looks at 72 octets, and would take two passwords for one.
            Kind::Bcrypt => bcrypt::non_truncating_hash_with_salt(password, BCRYPT_COST, salt)
                .map_err(|error| failed(&error))?
                .format_for_version(Version::TwoB),
            Kind::Scram => return Scram::make(password, Scram::ITERATIONS).map(Self::Scram),
            Kind::Mosquitto => return Err("mosquitto's hashes are only read; use argon2id".into()),
        };
        Ok(Self::Hash { text, kind })
    }

    /// Reads what stands behind `user:`, and says what is wrong without showing it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let kind = match text.split('$').nth(1) {
            Some(id) if id.starts_with("argon2") => argon2_cost(text).map(|()| Kind::Argon2),
            Some("2a" | "2b" | "2y") => bcrypt_cost(text).map(|()| Kind::Bcrypt),
            Some("7") => mosquitto_parts(text).map(|_| Kind::Mosquitto),
            Some(id) => Err(format!(
                "{} is not known; argon2, bcrypt ($2a$, $2b$, $2y$), mosquitto's $7$ and SCRAM are",
                other_name(id)
            )),
            None if text.is_empty() => Err("there is no hash".into()),
            None => return Scram::parse(text).map(Self::Scram).map_err(|_| not_a_hash()),
        };
        let kind = kind.map_err(|what| format!("{what}; set the password anew with `bowline passwd`"))?;
        Ok(Self::Hash { text: text.to_owned(), kind })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Hash { kind, .. } => *kind,
            Self::Scram(_) => Kind::Scram,
        }
    }
}

impl fmt::Display for Stored {
    /// As it stands in a users file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash { text, .. } => f.write_str(text),
            Self::Scram(scram) => scram.fmt(f),
        }
    }
}

/// How it was made that nobody here can check.
fn other_name(id: &str) -> &'static str {
    match id {
        "1" | "apr1" => "an MD5 hash",
        "5" => "a SHA-256 hash",
        "6" => "a SHA-512 hash",
        "2x" => "a hash of a bcrypt with a known fault ($2x$)",
        "y" | "gy" => "a yescrypt hash",
        _ => "the kind of the hash",
    }
}

fn not_a_hash() -> String {
    "what stands behind the name is no hash (a password in the clear?); set it with `bowline passwd`".into()
}

fn argon2_cost(text: &str) -> Result<(), String> {
    let hash =
        PasswordHash::new(text).map_err(|error| format!("the argon2 hash cannot be read ({error})"))?;
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err("the argon2 hash has no salt or no outcome".into());
    }
    argon2::Algorithm::try_from(hash.algorithm.as_str())
        .map_err(|_| "the kind of argon2 is not known".to_owned())?;
    let params =
        Params::try_from(&hash).map_err(|error| format!("the argon2 hash cannot be read ({error})"))?;
    let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
    if params.m_cost() > ARGON2_MEMORY_MAX || work > ARGON2_WORK_MAX {
        return Err(format!(
            "a check would take too long (m={} KiB, t={}; at most m={ARGON2_MEMORY_MAX}, and m × t {ARGON2_WORK_MAX})",
            params.m_cost(),
            params.t_cost()
        ));
    }
    Ok(())
}

fn bcrypt_cost(text: &str) -> Result<(), String> {
    let parts: HashParts =
        text.parse().map_err(|_| "the bcrypt hash is not $2y$COST$ and 53 characters".to_owned())?;
    match parts.get_cost() {
        4..=BCRYPT_COST_MAX => Ok(()),
        cost => Err(format!("a cost of {cost} is not allowed; 4 to {BCRYPT_COST_MAX} are")),
    }
}

/// `$7$ITERATIONS$SALT$HASH`.
fn mosquitto_parts(text: &str) -> Result<(u32, Vec<u8>, Vec<u8>), String> {
    let form = || "it is not $7$ITERATIONS$SALT$HASH".to_owned();
    let parts: Vec<&str> = text.split('$').collect();
    let &["", "7", iterations, salt, hash] = parts.as_slice() else { return Err(form()) };
    let iterations: u32 = iterations.parse().map_err(|_| form())?;
    if !(1..=PBKDF2_MAX).contains(&iterations) {
        return Err(format!("{iterations} iterations are not allowed; 1 to {PBKDF2_MAX} are"));
    }
    let decode = |part: &str| BASE64.decode(part).map_err(|_| form());
    let (salt, hash) = (decode(salt)?, decode(hash)?);
    if salt.is_empty() || hash.len() != 64 { Err(form()) } else { Ok((iterations, salt, hash)) }
}

/// Checks hashes for the core.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checker;

impl PasswordCheck for Checker {
    fn check(&self, hash: &str, password: &[u8]) -> bool {
        match hash.as_bytes() {
            [b'$', b'a', ..] => {
                let Ok(hash) = PasswordHash::new(hash) else { return false };
                Argon2::default().verify_password(password, &hash).is_ok()
            }
            [b'$', b'2', ..] => bcrypt::verify(password, hash).unwrap_or(false),
            _ => {
                let Ok((iterations, salt, hash)) = mosquitto_parts(hash) else { return false };
                let mut derived = Zeroizing::new([0; 64]);
                pbkdf2::pbkdf2_hmac::<Sha512>(password, &salt, iterations, &mut *derived);
                derived.ct_eq(hash.as_slice()).into()
            }
        }
    }

    fn cost<'a>(&self, hash: &'a str) -> &'a str {
        if hash.starts_with("$2") {
            // `$2y$12$`, whoever wrote it: `2a`, `2b` and `2y` take the same time.
            return hash.get(3..7).unwrap_or(hash);
        }
        hash.rsplitn(3, '$').nth(2).unwrap_or(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `pencil`, by `mosquitto_passwd`.
    const MOSQUITTO: &str = "$7$101$n4mTGrY4GQxDsgrF$V+wfoub1o9ogCcBw6YMExUf5P1HI1F/os7aD3xgjMd4dp/SC4ekKvA6mDmf7xgYxpWqWmDTPSMNtYgQW9RYerg==";

    fn is_right(stored: &Stored, password: &str) -> bool {
        match stored {
            Stored::Hash { text, .. } => Checker.check(text, password.as_bytes()),
            Stored::Scram(_) => unreachable!("the core checks it"),
        }
    }

    #[test]
    fn what_is_made_is_read_and_checked() {
        for kind in [Kind::Argon2, Kind::Bcrypt] {
            let made = Stored::make(kind, "pencil").unwrap();
            let read = Stored::parse(&made.to_string()).unwrap();
            assert_eq!(read.kind(), kind);
            assert!(is_right(&read, "pencil") && !is_right(&read, "Pencil") && !is_right(&read, ""));
            assert_ne!(made.to_string(), Stored::make(kind, "pencil").unwrap().to_string(), "salted");
            assert!(!format!("{made:?}").contains('$'));
        }
        let scram = Stored::make(Kind::Scram, "pencil").unwrap();
        assert_eq!(Stored::parse(&scram.to_string()).unwrap().kind(), Kind::Scram);
        assert!(Stored::make(Kind::Bcrypt, &"x".repeat(73)).unwrap_err().contains("cannot be hashed"));
    }

    #[test]
    fn hashes_of_others_are_checked() {
        for (hash, password) in [
            (MOSQUITTO, "pencil"),
            // Of crypt_blowfish, and of argon2's reference implementation.
            ("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"),
            ("$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"),
            (
                "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                "password",
            ),
        ] {
            let stored = Stored::parse(hash).unwrap();
            assert!(is_right(&stored, password), "{hash}");
            assert!(!is_right(&stored, "other") && !is_right(&stored, hash), "{hash}");
        }
    }

    #[test]
    fn what_cannot_be_checked_is_refused_with_a_reason_and_without_the_hash() {
        for (hash, want) in [
            ("", "there is no hash"),
            ("hunter2", "no hash (a password in the clear?)"),
            ("hunter2:600000:a:b", "no hash (a password in the clear?)"),
            ("$6$salt$hunter2", "a SHA-512 hash is not known"),
            ("$apr1$salt$hunter2", "an MD5 hash is not known"),
            ("$2x$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "a known fault"),
            ("$2y$31$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e", "a cost of 31 is not allowed"),
            ("$2y$05$hunter2", "is not $2y$COST$ and 53 characters"),
            ("$7$101$hunter2", "it is not $7$ITERATIONS$SALT$HASH"),
            ("$7$0$aGk=$aGk=", "0 iterations are not allowed"),
            (
                "$argon2id$v=19$m=4194304,t=3,p=1$c29tZXNhbHRzb21l$JGaeMkqXJGaeMkqXJGaeMkqX",
                "a check would take too long",
            ),
            ("$argon2id$v=19$m=65536,t=3,p=1$c29tZXNhbHRzb21l", "no salt or no outcome"),
            (
                "$argon2xx$v=19$m=65536,t=3,p=1$c29tZXNhbHRzb21l$JGaeMkqXJGaeMkqXJGaeMkqX",
                "the kind of argon2",
            ),
        ] {
            let found = Stored::parse(hash).unwrap_err();
            assert!(found.contains(want) && !found.contains("hunter2"), "{hash}: {found}");
        }
    }

    #[test]
    fn what_a_check_costs_is_the_front_part() {
        assert_eq!(
            Checker.cost("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"),
            "$argon2id$v=19$m=19456,t=2,p=1"
        );
        assert_eq!(Checker.cost("$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4"), "$05$");
        assert_eq!(Checker.cost(MOSQUITTO), "$7$101");
        assert_eq!(Checker.cost("x"), "x");
    }
}
