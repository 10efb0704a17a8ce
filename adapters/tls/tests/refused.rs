//! What is refused, and in which words: certificates of every wrong kind, and peers that break the protocol.

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use bowline_driver::Transport;
use bowline_driver::core::endpoint::server::{Identity, NameKind, Peer};
use bowline_driver::core::stack::Alpn;
use bowline_tls::make::{Authority, Made};
use bowline_tls::{Client, ClientCertificate, Error, Failure, Pin, Server, Version};
use common::{End, Failures, Pki, Read, cx, line, open, pair, write};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

/// Why the client refuses, and what the server is told.
fn refused(client: &Client, made: &Made) -> (Failure, String, Vec<(Failure, String)>) {
    let builder = Server::builder().certificate_pem(&made.chain, made.key.as_bytes());
    let (server, failures) = Failures::of(builder);
    let (mut a, mut b) = pair(client, &server, line(usize::MAX, usize::MAX));
    let (done, _) = open(&mut a, &mut b);
    let error = done.expect("it ends").expect_err("it is refused");
    let mut at_b = Read::default();
    at_b.poll(&mut b);
    (Failure::of(&error), error.to_string(), failures.take())
}

/// A certificate by nobody but its own key.
fn self_signed() -> Made {
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate().unwrap();
    let chain = params.self_signed(&key).unwrap().pem();
    Made { chain, key: key.serialize_pem().into() }
}

#[test]
fn a_self_signed_certificate() {
    let (kind, why, told) = refused(&Pki::new().client().build().unwrap(), &self_signed());
    assert_eq!(kind, Failure::Certificate);
    assert_eq!(
        why,
        "the peer's certificate is by nobody who is trusted here (self-signed, or by another authority)"
    );
    let want = "the peer says: it does not trust the authority of this side's certificate (UnknownCA)";
    assert_eq!(told, [(Failure::Alert, want.into())]);
}

#[test]
fn an_expired_certificate_and_one_of_the_future() {
    for (from, until, want) in [
        ((2001, 1), (2002, 1), "the peer's certificate has expired"),
        ((2090, 1), (2091, 1), "the peer's certificate is not valid yet; is this machine's clock right?"),
    ] {
        let (leaf, ca) = dated(from, until);
        let client = Client::builder().authority_pem(ca).build().unwrap();
        let (kind, why, _) = refused(&client, &leaf);
        assert_eq!((kind, why.as_str()), (Failure::Certificate, want));
    }
}

/// A server's certificate of that time, and the authority that made it.
fn dated(from: (i32, u8), until: (i32, u8)) -> (Made, String) {
    let authority = Authority::new("test", 30).unwrap().to_pem();
    let key = KeyPair::from_pem(&authority.key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&authority.chain, key).unwrap();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.not_before = date_time_ymd(from.0, from.1, 1);
    params.not_after = date_time_ymd(until.0, until.1, 1);
    let key = KeyPair::generate().unwrap();
    let chain = params.signed_by(&key, &issuer).unwrap().pem();
    (Made { chain, key: key.serialize_pem().into() }, authority.chain)
}

#[test]
fn a_certificate_for_another_name() {
    let pki = Pki::new();
    let client = pki.client().build().unwrap();
    let made = pki.authority.server(&["hub.example", "*.hub.example"], 1).unwrap();
    let (kind, why, _) = refused(&client, &made);
    assert_eq!(kind, Failure::Certificate);
    assert!(why.starts_with("the peer's certificate is for ") && why.ends_with("not for localhost"), "{why}");
    assert!(!why.contains(['(', '"']), "the name alone: {why}");
    // The name counts for pinned ones too.
    let der = bowline_tls::rustls::pki_types::CertificateDer::from_pem(made.chain.as_bytes());
    let pin = Pin::Certificate(sha256(&der));
    let (kind, why, _) = refused(&Client::builder().pin(pin).build().unwrap(), &made);
    assert_eq!(kind, Failure::Certificate);
    assert!(why.contains("localhost") || why.ends_with("is for another name"), "{why}");
}

trait FromPem {
    fn from_pem(pem: &[u8]) -> Self;
}

impl FromPem for bowline_tls::rustls::pki_types::CertificateDer<'static> {
    fn from_pem(pem: &[u8]) -> Self {
        use bowline_tls::rustls::pki_types::pem::PemObject;
        Self::from_pem_slice(pem).unwrap()
    }
}

fn sha256(octets: &[u8]) -> [u8; 32] {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, octets).as_ref().try_into().unwrap()
}

#[test]
fn a_clients_certificate_as_a_servers_and_the_other_way_round() {
    let pki = Pki::new();
    let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let authority = pki.authority.to_pem();
    let issuer =
        rcgen::Issuer::from_ca_cert_pem(&authority.chain, KeyPair::from_pem(&authority.key).unwrap())
            .unwrap();
    let key = KeyPair::generate().unwrap();
    let chain = params.signed_by(&key, &issuer).unwrap().pem();
    let made = Made { chain, key: key.serialize_pem().into() };
    let (kind, why, _) = refused(&pki.client().build().unwrap(), &made);
    let want = "the peer's certificate is not for this purpose: a client's is none of a server, and the other way round";
    assert_eq!((kind, why.as_str()), (Failure::Certificate, want));

    let (chain, key) = pki.server_files("localhost");
    let client = pki.client().identity(chain, key).build().unwrap();
    let (server, failures) = Failures::of(pki.server().client_authority(pki.ca()));
    let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
    let (_, done) = open(&mut a, &mut b);
    assert_eq!(done.unwrap().unwrap_err().to_string(), want);
    assert_eq!(failures.take(), [(Failure::Certificate, want.into())]);
}

#[test]
fn pins() {
    let pki = Pki::new();
    let server = pki.server().build().unwrap();
    let (mut a, mut b) = pair(&pki.client().build().unwrap(), &server, line(usize::MAX, usize::MAX));
    open(&mut a, &mut b);
    let key = a.peer_key().unwrap();
    let der = bowline_tls::rustls::pki_types::CertificateDer::from_pem(
        common::read_file(&pki.path("localhost.pem")).as_bytes(),
    );
    let opens = |client: Client| {
        let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
        open(&mut a, &mut b).0.unwrap().map_err(|error| error.to_string())
    };
    let (whole, other) = (Pin::Certificate(sha256(&der)), Pin::PublicKey([1; 32]));
    for pin in [whole, Pin::PublicKey(key)] {
        assert_eq!(opens(Client::builder().pin(pin).build().unwrap()), Ok(()));
        assert_eq!(opens(Client::builder().pin(other).pin(pin).build().unwrap()), Ok(()), "one of several");
        assert_eq!(opens(pki.client().pin(pin).build().unwrap()), Ok(()), "with its authority");
        let stranger = Client::builder().authority_pem(Authority::new("x", 1).unwrap().to_pem().chain);
        assert!(opens(stranger.pin(pin).build().unwrap()).unwrap_err().contains("by nobody who is trusted"));
    }
    for client in [Client::builder(), pki.client()] {
        let why = opens(client.pin(other).build().unwrap()).unwrap_err();
        assert_eq!(why, "the peer's certificate has a key that is not among the pinned ones");
    }
    assert_eq!(opens(Client::builder().dangerous_trust_anyone().build().unwrap()), Ok(()));
}

#[test]
fn clients_without_a_certificate_and_with_anothers() {
    let pki = Pki::new();
    let required = || pki.server().client_authority(pki.ca()).client_certificate(ClientCertificate::Required);
    let (server, failures) = Failures::of(required());
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let none = pki
        .client()
        .on_failure(move |failure, why| heard.lock().unwrap().push((failure, why.to_owned())))
        .build()
        .unwrap();
    let (mut a, mut b) = pair(&none, &server, line(usize::MAX, usize::MAX));
    let (_, done) = open(&mut a, &mut b);
    assert_eq!(done.unwrap().unwrap_err().to_string(), "the peer has no certificate");
    assert_eq!(failures.take()[0].0, Failure::Certificate);
    // TLS 1.3 lets the client hear of it only afterwards.
    let mut at_a = Read::default();
    at_a.poll(&mut a);
    assert!(at_a.end.unwrap().is_err());
    let told = told.lock().unwrap().clone();
    assert_eq!(
        told,
        [(Failure::Alert, "the peer says: it wants a certificate (CertificateRequired)".into())]
    );

    let made = Authority::new("other", 1).unwrap().client("ann", 1).unwrap();
    let (chain, key) = pki.put("stranger", &made);
    let stranger = pki.client().identity(chain, key).build().unwrap();
    for (server, failures) in
        [Failures::of(required()), Failures::of(pki.server().client_authority(pki.ca()))]
    {
        let (mut a, mut b) = pair(&stranger, &server, line(usize::MAX, usize::MAX));
        let (_, done) = open(&mut a, &mut b);
        assert!(done.unwrap().unwrap_err().to_string().contains("by nobody who is trusted here"));
        assert_eq!(failures.take()[0].0, Failure::Certificate, "shown, it must be good");
    }
    let (server, _) = Failures::of(pki.server().client_authority(pki.ca()));
    let (mut a, mut b) = pair(&pki.client().build().unwrap(), &server, line(usize::MAX, usize::MAX));
    let (done, opened) = open(&mut a, &mut b);
    assert!(done.unwrap().is_ok() && opened.unwrap().is_ok(), "without one it may come in otherwise");
    assert_eq!(b.secured().unwrap().identity, None);
}

#[test]
fn names_of_clients_are_what_their_certificates_say() {
    let pki = Pki::new();
    let server = pki.server().client_authority(pki.ca()).build().unwrap();
    for (name, kind) in [
        ("ann", NameKind::CommonName),
        ("ann@home.example", NameKind::Email),
        ("spiffe://home.example/ann", NameKind::Uri),
    ] {
        let (chain, key) = pki.put("x", &pki.authority.client(name, 1).unwrap());
        let client = pki.client().identity(chain, key).build().unwrap();
        let (mut a, mut b) = pair(&client, &server, line(usize::MAX, usize::MAX));
        let (done, opened) = open(&mut a, &mut b);
        assert!(done.unwrap().is_ok() && opened.unwrap().is_ok());
        let Some(Identity::Certificate(certificate)) = b.secured().unwrap().identity else { panic!("one") };
        assert_eq!(certificate.name(kind), Some(name));
        assert_eq!(Some(certificate.spki), b.peer_key());
    }
}

#[test]
fn versions_and_protocols_that_are_not_common() {
    let pki = Pki::new();
    let (server, failures) = Failures::of(pki.server().alpn(&[Alpn::Mqtt]));
    let (mut a, mut b) = pair(&pki.client().build().unwrap(), &server, line(usize::MAX, usize::MAX));
    let (done, _) = open(&mut a, &mut b);
    let error = done.unwrap().unwrap_err();
    assert_eq!(Failure::of(&error), Failure::Alert);
    assert!(error.to_string().contains("none of the protocols that were offered"), "{error}");
    assert_eq!(
        failures.take(),
        [(Failure::Incompatible, "no protocol is known to both sides (ALPN)".into())]
    );
    // Who offers none may speak whatever is spoken.
    let none: &[&str] = &[];
    let (mut a, mut b) =
        pair(&pki.client().alpn(none).build().unwrap(), &server, line(usize::MAX, usize::MAX));
    let (done, opened) = open(&mut a, &mut b);
    assert!(done.unwrap().is_ok() && opened.unwrap().is_ok());
    assert_eq!(b.secured().unwrap().alpn, None);
    // A hello of TLS 1.2, and a server that wants more.
    let (server, failures) = Failures::of(pki.server().min_version(Version::Tls13));
    let (a, b) = line(usize::MAX, usize::MAX);
    let (mut a, mut b) = (old_client(&pki, a), server.accept(b, Peer::default()).unwrap());
    let (_, done) = open(&mut a, &mut b);
    assert!(done.unwrap().is_err());
    assert_eq!(failures.take()[0].0, Failure::Incompatible);
}

/// A client of TLS 1.2 alone, by rustls itself.
struct Old {
    session: bowline_tls::rustls::ClientConnection,
    end: End,
}

fn old_client(pki: &Pki, end: End) -> Old {
    use bowline_tls::rustls::pki_types::pem::PemObject;
    use bowline_tls::rustls::{self, pki_types};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki_types::CertificateDer::from_pem_file(pki.ca()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_secret_extraction = true;
    let name = pki_types::ServerName::try_from("localhost").unwrap();
    Old { session: rustls::ClientConnection::new(Arc::new(config), name).unwrap(), end }
}

impl Transport for Old {
    fn poll_open(&mut self, cx: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        let mut out = Vec::new();
        while self.session.wants_write() {
            self.session.write_tls(&mut out).unwrap();
        }
        write(&mut self.end, &mut &out[..])?;
        let mut octets = [0; 4096];
        while let std::task::Poll::Ready(n) = self.end.poll_read(cx, &mut octets)? {
            if n == 0 {
                return std::task::Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let mut rest = &octets[..n];
            while !rest.is_empty() {
                self.session.read_tls(&mut rest)?;
                self.session.process_new_packets().map_err(io::Error::other)?;
            }
        }
        if self.session.is_handshaking() || self.session.wants_write() {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_read(
        &mut self,
        _: &mut std::task::Context<'_>,
        _: &mut [u8],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Pending
    }

    fn poll_write_vectored(
        &mut self,
        _: &mut std::task::Context<'_>,
        _: &[io::IoSlice<'_>],
    ) -> std::task::Poll<io::Result<usize>> {
        std::task::Poll::Pending
    }

    fn poll_shutdown(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<io::Result<()>> {
        std::task::Poll::Pending
    }
}

/// Asked for once, renegotiation is declined; who insists is cut off (TLS 1.2).
#[test]
fn renegotiation_is_refused() {
    use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
    use bowline_tls::rustls::ConnectionTrafficSecrets as Secrets;
    let pki = Pki::new();
    let (server, failures) = Failures::of(pki.server());
    let (a, b) = line(usize::MAX, usize::MAX);
    let mut raw = a.clone();
    let (mut a, mut b) = (old_client(&pki, a), server.accept(b, Peer::default()).unwrap());
    let (done, opened) = open(&mut a, &mut b);
    assert!(done.unwrap().is_ok() && opened.unwrap().is_ok());
    assert_eq!(b.handshake().unwrap().version, Version::Tls12);
    let (mut number, secrets) = a.session.dangerous_extract_secrets().unwrap().tx;
    // The hello that it began with, once more and inside the connection.
    let hello = {
        let log = &raw.to.lock().unwrap().log;
        log[5..5 + usize::from(u16::from_be_bytes([log[3], log[4]]))].to_vec()
    };
    let mut send = |raw: &mut End| {
        let (head, sealed) = match &secrets {
            Secrets::Aes256Gcm { key, iv } | Secrets::Aes128Gcm { key, iv } => {
                let algorithm = if key.as_ref().len() == 32 {
                    &aws_lc_rs::aead::AES_256_GCM
                } else {
                    &aws_lc_rs::aead::AES_128_GCM
                };
                let explicit = number.to_be_bytes();
                let nonce: [u8; 12] = [&iv.as_ref()[..4], &explicit].concat().try_into().unwrap();
                (explicit.to_vec(), seal(algorithm, key.as_ref(), nonce, number, &hello))
            }
            Secrets::Chacha20Poly1305 { key, iv } => {
                let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
                nonce.iter_mut().skip(4).zip(number.to_be_bytes()).for_each(|(n, o)| *n ^= o);
                let unbound = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref()).unwrap();
                let mut octets = hello.clone();
                LessSafeKey::new(unbound)
                    .seal_in_place_append_tag(
                        Nonce::assume_unique_for_key(nonce),
                        Aad::from(additional(number, hello.len())),
                        &mut octets,
                    )
                    .unwrap();
                (Vec::new(), octets)
            }
            _ => panic!("there is no other suite"),
        };
        number += 1;
        let length = u16::try_from(head.len() + sealed.len()).unwrap().to_be_bytes();
        let record = [&[22, 3, 3][..], &length, &head, &sealed].concat();
        assert!(!write(raw, &mut &record[..]).unwrap());
    };
    let mut at_b = Read::default();
    send(&mut raw);
    at_b.poll(&mut b);
    assert!(at_b.end.is_none() && failures.take().is_empty(), "{at_b:?}: once, it is declined");
    send(&mut raw);
    at_b.poll(&mut b);
    assert!(at_b.octets.is_empty() && at_b.end.unwrap().is_err());
    let told = failures.take();
    assert_eq!(told[0].0, Failure::Protocol, "{told:?}");
    assert!(told[0].1.contains("enegotiation"), "{told:?}");
}

fn seal(
    algorithm: &'static aws_lc_rs::aead::Algorithm,
    key: &[u8],
    nonce: [u8; 12],
    number: u64,
    plain: &[u8],
) -> Vec<u8> {
    use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey};
    let mut octets = plain.to_vec();
    LessSafeKey::new(UnboundKey::new(algorithm, key).unwrap())
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(additional(number, plain.len())),
            &mut octets,
        )
        .unwrap();
    octets
}

/// What is authenticated beside a record of TLS 1.2 (RFC 5246 §6.2.3.3).
fn additional(number: u64, length: usize) -> [u8; 13] {
    let length = u16::try_from(length).unwrap().to_be_bytes();
    [&number.to_be_bytes()[..], &[22, 3, 3], &length].concat().try_into().unwrap()
}

#[test]
fn oversized_records_and_handshakes() {
    let pki = Pki::new();
    let (server, failures) = Failures::of(pki.server());
    let hello = |length: u32, octets: usize| {
        let length = length.to_be_bytes();
        let body = [&[1][..], &length[1..], &vec![0; octets]].concat();
        body.chunks(16_000)
            .flat_map(|chunk| {
                let size = u16::try_from(chunk.len()).unwrap().to_be_bytes();
                [&[22, 3, 1][..], &size, chunk].concat()
            })
            .collect::<Vec<u8>>()
    };
    for octets in [
        // A record of 65,535 octets: said, and sent.
        [&[22, 3, 1, 0xff, 0xff][..], &[1; 70_000]].concat(),
        // A hello of 16 MiB, of which as much comes as is taken.
        hello(0xff_ffff, 1 << 20),
    ] {
        let (mut a, b) = line(usize::MAX, usize::MAX);
        let mut b = server.accept(b, Peer::default()).unwrap();
        assert!(!write(&mut a, &mut &octets[..]).unwrap());
        let mut at_b = Read::default();
        for _ in 0..100 {
            at_b.poll(&mut b);
        }
        let error = at_b.end.expect("it is refused before its end").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        let left = a.to.lock().unwrap().octets.len();
        assert!(octets.len() - left < 100_000, "no more than a handshake's worth was read");
        assert_eq!(failures.take().len(), 1);
    }
}

/// A handshake that never ends takes what is bounded, and ends when its connection is given up.
#[test]
fn a_slow_handshake_is_counted_when_it_is_given_up() {
    let pki = Pki::new();
    let (server, failures) = Failures::of(pki.server());
    let (mut a, b) = line(usize::MAX, usize::MAX);
    let mut b = server.accept(b, Peer::default()).unwrap();
    for octet in [22, 3, 1, 0, 200, 1] {
        assert!(!write(&mut a, &mut &[octet][..]).unwrap());
        assert!(b.poll_read(&mut cx(), &mut [0; 100]).is_pending());
    }
    assert!(failures.take().is_empty());
    drop(b);
    assert_eq!(failures.take(), [(Failure::Unfinished, "it ended before TLS's handshake was done".into())]);
    assert_eq!(server.counters().failures[Failure::Unfinished as usize], 1);
}

#[test]
fn what_is_in_files_is_said_by_file_and_fault() {
    let pki = Pki::new();
    let (chain, key) = pki.server_files("localhost");
    let (_, other) = pki.server_files("other");
    let text = common::read_file(&key);
    let file = |name: &str, octets: &[u8]| {
        std::fs::write(pki.path(name), octets).unwrap();
        pki.path(name)
    };
    let half = file("half.key", &text.as_bytes()[..text.len() / 2]);
    let encrypted = file("encrypted.key", text.replace("PRIVATE", "ENCRYPTED PRIVATE").as_bytes());
    let nonsense = file("nonsense.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    let empty = file("empty.pem", b"");
    for (chain, key, want) in [
        (&chain, &half, "it ends in the middle; is somebody writing it?"),
        (&chain, &encrypted, "the key is encrypted; decrypt it with `openssl pkey`"),
        (&chain, &other, "the key does not belong to the certificate in "),
        (&chain, &empty, "there is no private key in it (-----BEGIN PRIVATE KEY-----)"),
        (&chain, &nonsense, "the key is of no use: "),
        (&empty, &key, "there is no certificate in it (-----BEGIN CERTIFICATE-----)"),
    ] {
        let error = Server::builder().certificate(chain, key).build().unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error:?}");
        let shown = error.to_string();
        assert!(shown.contains(want) && shown.starts_with(pki.directory.path().to_str().unwrap()), "{shown}");
        let secret = &text.lines().nth(1).unwrap()[..20];
        assert!(!format!("{error:?}{shown}").contains(secret), "no key is shown");
    }
    let missing = Server::builder().certificate(pki.path("no.pem"), &key).build().unwrap_err();
    assert!(matches!(missing, Error::Read { .. }) && missing.to_string().contains("no.pem"), "{missing}");
    assert!(matches!(Server::builder().build(), Err(Error::NoCertificate)));
    let nobody = Server::builder().certificate(&chain, &key).client_certificate(ClientCertificate::Required);
    assert!(nobody.build().unwrap_err().to_string().contains("no authority for them"));
    let given = Server::builder().certificate_pem("x", common::read_file(&key));
    assert!(!format!("{given:?}").contains("PRIVATE"), "{given:?}");
    assert!(Pki::new().client().build().unwrap().connect(line(1, 1).0, "a b", Alpn::Mqtt).is_err());
}
