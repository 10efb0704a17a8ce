//! What the layer below a connection has proved of it: TLS, or Noise.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::Users;
pub use crate::access::Security;
use crate::scram::MAX_USER;
use crate::stack::Alpn;

/// What the layer below a connection has proved, once its handshake is done.
///
/// ```
/// use bowline_core::endpoint::server::{Anonymous, Identity, Secured, Security, Users};
/// let mut users = Users::new(Anonymous::Never);
/// users.add_noise_key([7; 32], "sensor");
/// let mut secured = Secured::new(Security::Noise);
/// secured.identity = Some(Identity::Key([7; 32]));
/// assert_eq!(secured.identity.as_ref().and_then(|i| users.identify(i)), Some("sensor"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Secured {
    /// By which layer.
    pub by: Security,
    /// Who the peer is, where it said so and proved it.
    pub identity: Option<Identity>,
    /// What both ends know of this connection and nobody else does: TLS's `EXPORTER-Channel-Binding` (RFC
    /// 9266), or the hash of Noise's handshake.
    pub binding: Option<[u8; 32]>,
    /// What is spoken inside, where that was agreed upon.
    pub alpn: Option<Alpn>,
}

impl Secured {
    /// Secured by this, and nothing known of the peer.
    #[must_use]
    pub const fn new(by: Security) -> Self {
        Self { by, identity: None, binding: None, alpn: None }
    }
}

impl fmt::Debug for Secured {
    /// Without the binding, which is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured")
            .field("by", &self.by)
            .field("identity", &self.identity)
            .field("alpn", &self.alpn)
            .finish_non_exhaustive()
    }
}

/// Who a peer has proved to be: it holds the private key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Identity {
    /// The holder of a certificate.
    Certificate(Box<Certificate>),
    /// The holder of a static key of Noise.
    Key([u8; 32]),
}

/// A certificate of a client, as far as it says who that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Its names, in the order in which they stand in it. Empty, where no authority that this side trusts
    /// vouches for them.
    pub names: Vec<(NameKind, String)>,
    /// SHA-256 of its public key (`SubjectPublicKeyInfo`, RFC 7469 §2.4).
    pub spki: [u8; 32],
}

impl Certificate {
    /// The name of this kind, if there is exactly one: of two, nobody is to choose.
    #[must_use]
    pub fn name(&self, kind: NameKind) -> Option<&str> {
        let mut names = self.names.iter().filter(|(k, _)| *k == kind);
        names.next().filter(|_| names.next().is_none()).map(|(_, name)| name.as_str())
    }
}

/// A kind of name in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NameKind {
    /// The subject's common name.
    CommonName,
    /// A subject alternative name: a mail address.
    Email,
    /// A subject alternative name: a URI, such as SPIFFE's.
    Uri,
    /// A subject alternative name: a DNS name.
    Dns,
}

/// Who comes by what the layer below has proved.
#[derive(Clone, Default)]
pub(super) struct Identities {
    /// By SHA-256 of the certificate's public key.
    spki: hashbrown::HashMap<[u8; 32], String>,
    /// By Noise's static key.
    keys: hashbrown::HashMap<[u8; 32], String>,
    /// By which of a certificate's names, for those not listed.
    named_by: Option<NameKind>,
}

impl Users {
    /// Adds the public key of a certificate, by its SHA-256, and who comes with it.
    pub fn add_public_key(&mut self, spki_sha256: [u8; 32], user: &str) {
        self.identities.spki.insert(spki_sha256, user.into());
    }

    /// Adds a static key of Noise, and who comes with it.
    pub fn add_noise_key(&mut self, key: [u8; 32], user: &str) {
        self.identities.keys.insert(key, user.into());
    }

    /// Takes the user's name from certificates whose key is not [listed](Self::add_public_key): the name
    /// of this kind, which must be the only one. Nothing, as at first: only listed keys are known.
    ///
    /// Whoever can have a certificate made by an authority that is trusted for clients chooses his name.
    pub const fn name_certificates_by(&mut self, kind: Option<NameKind>) {
        self.identities.named_by = kind;
    }

    /// Who this is. A name that no user can have (empty, more than 256 octets, with control characters) is
    /// nobody's.
    #[must_use]
    pub fn identify<'a>(&'a self, identity: &'a Identity) -> Option<&'a str> {
        let identities = &self.identities;
        match identity {
            Identity::Key(key) => identities.keys.get(key).map(String::as_str),
            Identity::Certificate(certificate) => {
                let listed = identities.spki.get(&certificate.spki).map(String::as_str);
                let named = || certificate.name(identities.named_by?).filter(|name| is_user(name));
                listed.or_else(named)
            }
        }
    }
}

fn is_user(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_USER && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::super::Anonymous;
    use super::*;
    use std::format;

    fn certificate(names: &[(NameKind, &str)], key: u8) -> Identity {
        let names = names.iter().map(|(kind, name)| (*kind, (*name).into())).collect();
        Identity::Certificate(Box::new(Certificate { names, spki: [key; 32] }))
    }

    #[test]
    fn a_listed_key_is_who_the_list_says_whatever_its_certificate_says() {
        let mut users = Users::new(Anonymous::Never);
        users.add_public_key([1; 32], "ann");
        users.add_noise_key([2; 32], "bob");
        let eve = [(NameKind::CommonName, "eve")];
        assert_eq!(users.identify(&certificate(&eve, 1)), Some("ann"));
        assert_eq!(users.identify(&certificate(&eve, 2)), None, "a key of Noise is no certificate's");
        users.name_certificates_by(Some(NameKind::CommonName));
        assert_eq!(users.identify(&certificate(&eve, 1)), Some("ann"));
        assert_eq!(users.identify(&certificate(&eve, 3)), Some("eve"));
        assert_eq!(users.identify(&Identity::Key([2; 32])), Some("bob"));
        assert_eq!(users.identify(&Identity::Key([1; 32])), None, "a certificate's key is none of Noise");
        users.name_certificates_by(None);
        assert_eq!(users.identify(&certificate(&eve, 3)), None);
    }

    #[test]
    fn a_certificate_is_called_by_the_only_name_of_the_kind() {
        use NameKind::{CommonName, Dns, Email, Uri};
        let all =
            [(CommonName, "Ann"), (Email, "ann@a.example"), (Uri, "spiffe://a/ann"), (Dns, "a.example")];
        let mut users = Users::new(Anonymous::Never);
        for (kind, name) in all {
            users.name_certificates_by(Some(kind));
            assert_eq!(users.identify(&certificate(&all, 1)), Some(name));
            let twice = [all.as_slice(), &[(kind, "other")]].concat();
            assert_eq!(users.identify(&certificate(&twice, 1)), None, "{kind:?} of two");
            let others: Vec<_> = all.into_iter().filter(|(k, _)| *k != kind).collect();
            assert_eq!(users.identify(&certificate(&others, 1)), None, "{kind:?} of none");
        }
    }

    #[test]
    fn what_no_user_is_called_is_nobody() {
        let mut users = Users::new(Anonymous::Never);
        users.name_certificates_by(Some(NameKind::CommonName));
        let long = "x".repeat(MAX_USER + 1);
        for name in ["", "a\0b", "a\nb", &long] {
            assert_eq!(users.identify(&certificate(&[(NameKind::CommonName, name)], 1)), None, "{name:?}");
        }
        let most = &long[1..];
        assert_eq!(users.identify(&certificate(&[(NameKind::CommonName, most)], 1)), Some(most));
    }

    #[test]
    fn the_binding_is_not_shown() {
        let secured = Secured { binding: Some([0xab; 32]), ..Secured::new(Security::Tls) };
        let shown = format!("{secured:?}");
        assert!(shown.contains("Tls") && !shown.contains("171") && !shown.contains("ab"), "{shown}");
    }
}
