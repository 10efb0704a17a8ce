use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::entropy::{Scripted, Seeded};

// The example of RFC 7677, section 3.
const USER: &str = "user";
const PASSWORD: &str = "pencil";
const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const CLIENT_FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn salt() -> [u8; 16] {
    let mut octets = [0; 18];
    assert_eq!(text::decode(SALT, &mut octets), Ok(16));
    *octets.first_chunk().unwrap()
}

fn signature() -> Key {
    Zeroizing::new(text::decode_hash(&SERVER_FINAL[2..]).unwrap())
}

fn credential() -> Credential {
    static ONCE: std::sync::OnceLock<Credential> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| Credential::derive(PASSWORD, &salt(), 4096).unwrap()).clone()
}

fn decoy() -> Decoy {
    Decoy::from_secret(&[7; 32], 4096).unwrap()
}

fn client() -> ScramClient {
    ScramClient::with_nonce(USER, PASSWORD, CLIENT_NONCE).unwrap()
}

/// The server's answer to `first`, of a server with one user.
fn server(first: &str) -> Result<(ScramServer, String), ScramError> {
    let mut out = [0; MAX_MESSAGE];
    let lookup = |user: &str| (user == USER).then(credential);
    let (server, n) = ScramServer::with_nonce(first.as_bytes(), lookup, &decoy(), SERVER_NONCE, &mut out)?;
    Ok((server, str::from_utf8(&out[..n]).unwrap().to_string()))
}

fn refusal(first: &str) -> ScramError {
    server(first).map(|_| ()).unwrap_err()
}

fn client_final(first: &str, last: &str) -> Result<String, ScramError> {
    let (mut server, _) = server(first).unwrap();
    let mut out = [0; MAX_MESSAGE];
    let result = server.handle_client_final(last.as_bytes(), &mut out);
    assert_eq!(server.is_authenticated(), result.is_ok());
    result.map(|n| str::from_utf8(&out[..n]).unwrap().to_string())
}

#[test]
fn the_example_of_rfc_7677_as_a_client() {
    let (mut client, mut out) = (client(), [0; MAX_MESSAGE]);
    let n = client.first(&mut out).unwrap();
    assert_eq!(str::from_utf8(&out[..n]), Ok(CLIENT_FIRST));
    let n = client.handle_server_first(SERVER_FIRST.as_bytes(), &mut out).unwrap();
    assert_eq!(str::from_utf8(&out[..n]), Ok(CLIENT_FINAL));
    assert!(!client.is_server_verified());
    client.handle_server_final(SERVER_FINAL.as_bytes()).unwrap();
    assert!(client.is_server_verified());
}

#[test]
fn the_example_of_rfc_7677_as_a_server() {
    let (mut server, first) = server(CLIENT_FIRST).unwrap();
    assert_eq!((first.as_str(), server.user()), (SERVER_FIRST, USER));
    let mut out = [0; 46];
    assert!(!server.is_authenticated());
    assert_eq!(server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut out), Ok(46));
    assert_eq!(str::from_utf8(&out), Ok(SERVER_FINAL));
    assert!(server.is_authenticated());
}

#[test]
fn names_with_commas_and_long_passwords_get_through_with_drawn_nonces() {
    let name = "a,b=c=2C,é".to_string();
    for password in ["", "x", &"p".repeat(64), &"p".repeat(65), "päß,="] {
        let (mut ours, mut theirs) = (Seeded::new(1), Seeded::new(2));
        let stored =
            Credential::derive(password, &[9; MAX_SALT][..MAX_SALT - password.len() % 2], 5000).unwrap();
        let (mut a, mut b) = ([0; 256], [0; 256]);
        let mut client = ScramClient::new(&name, password, &mut ours).unwrap();
        let n = client.first(&mut a).unwrap();
        assert!(a.starts_with("n,,n=a=2Cb=3Dc=3D2C=2Cé,r=".as_bytes()));
        let lookup = |user: &str| (user == name).then_some(stored);
        let (mut server, n) = ScramServer::first(&a[..n], lookup, &decoy(), &mut theirs, &mut b).unwrap();
        assert_eq!(server.user(), name);
        let n = client.handle_server_first(&b[..n], &mut a).unwrap();
        let n = server.handle_client_final(&a[..n], &mut b).unwrap();
        client.handle_server_final(&b[..n]).unwrap();
    }
}

#[test]
fn a_password_as_a_key_gives_what_pbkdf2_gives() {
    for length in [0, 1, 63, 64, 65, 200] {
        let password = "k".repeat(length);
        let plain: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), b"salt", 3);
        let key: [u8; 32] = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(&*password_key(&password), b"salt", 3);
        assert_eq!(plain, key, "{length} octets");
    }
}

#[test]
fn nonces_come_from_the_wire_stream_in_base64() {
    let mut entropy = Scripted::new(&[0xff; 18], &[]);
    let mut client = ScramClient::new("u", "p", &mut entropy).unwrap();
    let mut out = [0; 64];
    let n = client.first(&mut out).unwrap();
    assert_eq!(str::from_utf8(&out[..n]), Ok("n,,n=u,r=////////////////////////"));
    assert!(!entropy.overdrawn());
}

#[test]
fn a_client_that_could_bind_is_served_and_must_repeat_that() {
    let (mut a, mut b) = ([0; 256], [0; 256]);
    let first = CLIENT_FIRST.replacen('n', "y", 1);
    assert!(matches!(client_final(&first, CLIENT_FINAL), Err(ScramError::Malformed { .. })));

    // As a client that sends `y,,` signs it.
    let bare = "n=user,r=rOprNGfwEbeRWgbNEkqO";
    let unproved = format!("c=eSws,r={CLIENT_NONCE}{SERVER_NONCE}");
    let keys = Keys::derive(&password_key(PASSWORD), credential().salt(), 4096);
    let message = format!("{bare},{SERVER_FIRST},{unproved}");
    let proof = xor(&keys.client, &hmac(&keys.stored, &[message.as_bytes()]));
    let mut encoded = [0; HASH_TEXT];
    text::Out::new(&mut encoded).put_base64(&*proof);
    let last = format!("{unproved},p={}", str::from_utf8(&encoded).unwrap());
    assert!(client_final(&first, &last).is_ok());
    assert!(client_final(CLIENT_FIRST, &last).is_err(), "a downgrade must show");

    let mut server = server(CLIENT_FIRST).unwrap().0;
    assert_eq!(server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut a), Ok(46));
    assert_eq!(
        server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut b),
        Err(ScramError::OutOfOrder),
        "once"
    );
}

#[test]
fn an_unknown_user_looks_like_a_known_one_until_the_end() {
    let first = CLIENT_FIRST.replace("n=user", "n=eve");
    let (_, answer) = server(&first).unwrap();
    assert_eq!(answer, server(&first).unwrap().1, "the same salt each time");
    assert_eq!(answer.len(), SERVER_FIRST.len());
    assert_ne!(answer, SERVER_FIRST);
    let other = server(&CLIENT_FIRST.replace("n=user", "n=mal")).unwrap().1;
    assert_ne!(answer, other, "each has its own salt");
    let elsewhere = Decoy::from_secret(&[8; 32], 4096).unwrap().credential("eve").unwrap();
    assert_ne!(decoy().credential("eve").unwrap().salt(), elsewhere.salt());

    let wrong = CLIENT_FINAL.replace("p=d", "p=e");
    assert_eq!(client_final(&first, &wrong), Err(ScramError::BadProof));
    assert_eq!(client_final(CLIENT_FIRST, &wrong), Err(ScramError::BadProof));
}

#[test]
fn an_unknown_user_is_refused_even_with_a_proof_that_fits() {
    let mut server = server(CLIENT_FIRST).unwrap().0;
    server.known = subtle::Choice::from(0);
    let result = server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut [0; 64]);
    assert_eq!(result, Err(ScramError::BadProof));
}

#[test]
fn bad_client_first_messages_are_refused() {
    let malformed = [
        "n",
        "n,",
        "n,,",
        "x,,n=u,r=a",
        ",,n=u,r=a",
        "n,b=c,n=u,r=a",
        "n,,r=a,n=u",
        "n,,n=,r=a",
        "n,,n=u",
        "n,,n=u,r=",
        "n,,n=u,,r=a",
        "n,,n=u,r=a,",
        "n,,n=u,r=a,x",
        "n,,n=u,r=a,1=2",
        "n,,n=u=,r=a",
        "n,,n=u=2,r=a",
        "n,,n=u=2c,r=a",
        "n,,n=u=41,r=a",
        "n,,n=u=é,r=a",
        "n,,n=u\0,r=a",
        "n,,n=u,r=a b",
        "n,,n=u,r=é",
    ];
    for first in malformed {
        assert!(matches!(refusal(first), ScramError::Malformed { .. }), "{first:?}: {}", refusal(first));
    }
    assert_eq!(refusal("p=tls-exporter,,n=u,r=a"), ScramError::ChannelBinding);
    assert_eq!(refusal("n,a=root,n=u,r=a"), ScramError::AuthorizationId);
    assert_eq!(refusal("n,,m=x,n=u,r=a"), ScramError::Extension);
    assert_eq!(refusal("n,,n=u,r=a,m=x"), ScramError::Extension);
    let long = |what| move |e: &ScramError| matches!(e, ScramError::Length { what: w, .. } if *w == what);
    assert!(long("message")(&refusal("")));
    assert!(long("message")(&refusal(&format!("n,,n=u,r=a,x={}", "y".repeat(1024)))));
    assert!(long("user name")(&refusal(&format!("n,,n={},r=a", "u".repeat(257)))));
    assert!(long("user name")(&refusal(&format!("n,,n={},r=a", "=2C".repeat(257)))));
    assert!(long("nonce")(&refusal(&format!("n,,n=u,r={}", "a".repeat(129)))));

    let longest = format!("n,,n={},r={},x=y,z==", "=3D".repeat(256), "a".repeat(128));
    let mut out = [0; MAX_MESSAGE];
    let begun = ScramServer::first(longest.as_bytes(), |_| None, &decoy(), &mut Seeded::new(1), &mut out);
    assert_eq!(begun.unwrap().0.user(), "=".repeat(256));
}

#[test]
fn bad_client_final_messages_are_refused() {
    let cases = [
        (CLIENT_FINAL.replace("biws", "eSws"), "another header"),
        (CLIENT_FINAL.replace("c=biws,", ""), "no channel binding"),
        (CLIENT_FINAL.replace("c=", "m=x,c="), "m="),
        (CLIENT_FINAL.replace("VQ=", "VQ"), "base64"),
        (CLIENT_FINAL.replace("VQ=", "VR="), "base64"), // bits that no octet holds
        (CLIENT_FINAL.replace("p=d", "p="), "base64"),
        (CLIENT_FINAL.replace("p=dHzb", "p="), "32 octets"),
        (CLIENT_FINAL.replace(",p=", ",q="), "does not end in a proof"),
        (format!("{CLIENT_FINAL},x=y"), "base64"),
        (CLIENT_FINAL.replace("k0,", "k1,"), "nonce does not match"),
        (CLIENT_FINAL.replace(SERVER_NONCE, ""), "nonce does not match"),
        (CLIENT_FINAL.replace(",p=", ",x=y,p="), "wrong user or password"),
        (String::new(), "message is empty"),
        ("c".repeat(1025), "too long"),
    ];
    for (last, why) in cases {
        let error = client_final(CLIENT_FIRST, &last).unwrap_err().to_string();
        assert!(error.contains(why), "{last}: {error}");
    }
}

#[test]
fn one_exchange_one_guess() {
    let (mut server, _) = server(CLIENT_FIRST).unwrap();
    let mut out = [0; 64];
    let wrong = CLIENT_FINAL.replace("p=d", "p=e");
    assert_eq!(server.handle_client_final(wrong.as_bytes(), &mut out), Err(ScramError::BadProof));
    assert_eq!(server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut out), Err(ScramError::OutOfOrder));
    assert!(!server.is_authenticated());
}

#[test]
fn bad_server_first_messages_are_refused_before_any_work() {
    let cases = [
        (SERVER_FIRST.replace("4096", "4095"), "4095 iterations"),
        (SERVER_FIRST.replace("4096", "1000001"), "1000001 iterations"),
        (SERVER_FIRST.replace("4096", "4294967296"), "not a number"),
        (SERVER_FIRST.replace("4096", "04096"), "not a number"),
        (SERVER_FIRST.replace("4096", "+4096"), "not a number"),
        (SERVER_FIRST.replace("4096", ""), "letter=value"),
        (SERVER_FIRST.replace("rOpr", "sOpr"), "nonce does not match"),
        (SERVER_FIRST.replace(SERVER_NONCE, ""), "nonce is empty"),
        (SERVER_FIRST.replace("%hv", "% v"), "printable"),
        (SERVER_FIRST.replace("r=", "m=x,r="), "m="),
        (SERVER_FIRST.replace("W22Z", "W2"), "base64"),
        (SERVER_FIRST.replace(SALT, &"A".repeat(88)), "salt"),
        (SERVER_FIRST.replace(SALT, &"A".repeat(800)), "base64"),
        (SERVER_FIRST.replace("s=", "t="), "no salt"),
        ("e=other-error".to_string(), "no nonce"),
        ("r".repeat(1025), "message"),
    ];
    for (first, why) in cases {
        let (mut client, mut out) = (client(), [0; MAX_MESSAGE]);
        let error = client.handle_server_first(first.as_bytes(), &mut out).unwrap_err();
        assert!(error.to_string().contains(why), "{first}: {error}");
        let again = client.handle_server_first(SERVER_FIRST.as_bytes(), &mut out);
        assert_eq!(again, Err(ScramError::OutOfOrder));
    }
}

#[test]
fn bad_server_final_messages_are_refused() {
    let signature = signature();
    let check = |last: &str| client::verify(last.as_bytes(), &signature);
    assert_eq!(check(SERVER_FINAL), Ok(()));
    assert_eq!(check(&format!("{SERVER_FINAL},x=y")), Ok(()), "an extension is ignored");
    assert_eq!(check(&SERVER_FINAL.replace("v=6", "v=7")), Err(ScramError::BadSignature));
    assert_eq!(check("e=invalid-proof"), Err(ScramError::Refused));
    assert_eq!(check("m=x,v=y"), Err(ScramError::Extension));
    for bad in ["v=", "v=AAAA", "w=AAAA", "v", "v=====", &format!("{SERVER_FINAL},")] {
        assert!(matches!(check(bad), Err(ScramError::Malformed { .. })), "{bad}");
    }
}

#[test]
fn a_wrong_signature_ends_the_client_s_trust() {
    let (mut client, mut out) = (client(), [0; MAX_MESSAGE]);
    assert_eq!(client.handle_server_final(SERVER_FINAL.as_bytes()), Err(ScramError::OutOfOrder));
    client.handle_server_first(SERVER_FIRST.as_bytes(), &mut out).unwrap();
    assert_eq!(client.first(&mut out), Err(ScramError::OutOfOrder));
    let wrong = SERVER_FINAL.replace("v=6", "v=7");
    assert_eq!(client.handle_server_final(wrong.as_bytes()), Err(ScramError::BadSignature));
    assert_eq!(client.handle_server_final(SERVER_FINAL.as_bytes()), Err(ScramError::OutOfOrder));
    assert!(!client.is_server_verified());
}

#[test]
fn without_room_nothing_changes() {
    let (mut client, mut out) = (client(), [0; MAX_MESSAGE]);
    let no_room = |needed| Err(ScramError::NoRoom { needed });
    assert_eq!(client.first(&mut out[..CLIENT_FIRST.len() - 1]), no_room(CLIENT_FIRST.len()));
    assert_eq!(client.first(&mut out[..CLIENT_FIRST.len()]), Ok(CLIENT_FIRST.len()));
    let (data, length) = (SERVER_FIRST.as_bytes(), CLIENT_FINAL.len());
    assert_eq!(client.handle_server_first(data, &mut out[..length - 1]), no_room(length));
    assert_eq!(client.handle_server_first(data, &mut out[..length]), Ok(length));

    let mut small = [0; SERVER_FIRST.len() - 1];
    let refused = ScramServer::with_nonce(
        CLIENT_FIRST.as_bytes(),
        |_| Some(credential()),
        &decoy(),
        SERVER_NONCE,
        &mut small,
    );
    assert_eq!(refused.map(|(_, n)| n), no_room(SERVER_FIRST.len()));
    let (mut server, _) = server(CLIENT_FIRST).unwrap();
    assert_eq!(server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut out[..45]), no_room(46));
    assert_eq!(server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut out[..46]), Ok(46));
}

#[test]
fn what_is_out_of_bounds_is_refused_here_too() {
    let length = |what, limit| Some(ScramError::Length { what, limit });
    assert_eq!(Credential::derive("p", b"", 4096).err(), length("salt", MAX_SALT));
    assert_eq!(Credential::derive("p", &[0; 65], 4096).err(), length("salt", MAX_SALT));
    assert_eq!(Credential::derive("p", b"s", 4095).err(), Some(ScramError::Iterations { given: 4095 }));
    let many = MAX_ITERATIONS + 1;
    assert_eq!(Decoy::from_secret(&[0; 32], many).err(), Some(ScramError::Iterations { given: many }));
    let new = |user: &str| ScramClient::new(user, "p", &mut Seeded::new(1)).map(|_| ()).err();
    assert_eq!((new(""), new(&"u".repeat(257))), (length("user name", 256), length("user name", 256)));
    assert!(matches!(new("a\0"), Some(ScramError::Malformed { .. })));
    assert_eq!(new(&"=".repeat(256)), None);
}

#[test]
fn secrets_are_not_shown_and_sizes_are_known() {
    let shown =
        format!("{:?} {:?} {:?} {:?}", credential(), decoy(), client(), server(CLIENT_FIRST).unwrap().0);
    assert_eq!(
        shown,
        "Credential { iterations: 4096, .. } Decoy { iterations: 4096, .. } \
         ScramClient { user: \"user\", .. } ScramServer { user: \"user\", .. }"
    );
    assert_eq!(size_of::<Credential>(), 136);
    assert!(size_of::<ScramClient>() <= 560);
    assert!(size_of::<ScramServer>() <= 800);
}

proptest! {
    /// Whatever arrives: no panic, and nobody gets in.
    #[test]
    fn arbitrary_messages_authenticate_nobody(
        data in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            "[nycrsipvem]=[ -~]{0,60}(,[a-z]=[A-Za-z0-9+/=]{0,50}){0,4}".prop_map(String::into_bytes),
        ],
    ) {
        let mut out = [0; MAX_MESSAGE];
        let lookup = |_: &str| Some(credential());
        if let Ok((server, n)) = ScramServer::with_nonce(&data, lookup, &decoy(), SERVER_NONCE, &mut out) {
            prop_assert!(!server.is_authenticated() && out[..n].starts_with(b"r="));
        }
        let (mut server, _) = server(CLIENT_FIRST).unwrap();
        prop_assert!(server.handle_client_final(&data, &mut out).is_err());
        prop_assert!(client().handle_server_first(&data, &mut out).is_err());
        prop_assert!(client::verify(&data, &Zeroizing::new([0; 32])).is_err());
    }

    /// One octet of the right proof message changed, anywhere, and it is refused; likewise of the
    /// messages before it, which the proof covers.
    #[test]
    fn no_changed_message_gets_through(
        at in any::<proptest::sample::Index>(), to in any::<u8>(), which in 0..3usize,
    ) {
        let originals = [CLIENT_FIRST, CLIENT_FINAL, SERVER_FINAL];
        let mut changed: Vec<u8> = originals[which].into();
        let at = at.index(changed.len());
        prop_assume!(changed[at] != to);
        changed[at] = to;
        let mut out = [0; MAX_MESSAGE];
        match which {
            0 => {
                let lookup = |_: &str| Some(credential());
                let begun = ScramServer::with_nonce(&changed, lookup, &decoy(), SERVER_NONCE, &mut out);
                if let Ok((mut server, _)) = begun {
                    prop_assert!(server.handle_client_final(CLIENT_FINAL.as_bytes(), &mut out).is_err());
                }
            }
            1 => {
                let (mut server, _) = server(CLIENT_FIRST).unwrap();
                prop_assert!(server.handle_client_final(&changed, &mut out).is_err());
            }
            _ => {
                prop_assert!(client::verify(&changed, &signature()).is_err());
            }
        }
    }

    /// Escaped names come back.
    #[test]
    fn names_come_back(name in "[a-c,=éß☃]{1,60}") {
        let mut escaped = Vec::new();
        text::escape(&name, &mut |piece| escaped.extend_from_slice(piece));
        let escaped = String::from_utf8(escaped).unwrap();
        prop_assert!(!escaped.contains(','));
        let back = text::unescape(&escaped).unwrap();
        prop_assert_eq!(back.as_str(), name);
    }
}
