//! `bowline credentials`: entries for users and tokens, so that no password stands in a file.

use std::io::{BufRead, IsTerminal};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::cli::CredentialsArgs;
use crate::config::Scram;
use crate::failure::Failure;
use crate::output;

/// Octets of salt: as many as RFC 7677's example has.
const SALT: usize = 16;

/// Octets of a token: nobody guesses 256 bits.
const TOKEN: usize = 32;

/// Prints the entry on stdout; a new token, once, on stderr.
pub(crate) fn run(args: &CredentialsArgs) -> Result<(), Failure> {
    let name = toml::Value::String(args.name.clone());
    if args.token {
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(rand::random::<[u8; TOKEN]>())));
        anstream::println!("\n[[auth.tokens]]\nname = {name}\nsha256 = \"{}\"", hash_token(&token));
        output::note(&format!("the token, shown this once: {}", *token));
        return Ok(());
    }
    if std::io::stdin().is_terminal() {
        output::note(&format!("type the password of {}, then Enter (it shows as you type)", args.name));
    }
    let mut password = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .read_line(&mut password)
        .map_err(|error| Failure::io("cannot read the password", &error))?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::new("the password is empty: give it as one line of standard input"));
    }
    let entry = scram(password.as_bytes(), &rand::random::<[u8; SALT]>(), args.iterations)?;
    anstream::println!("\n[[auth.users]]\nname = {name}\nscram = \"{entry}\"");
    Ok(())
}

/// What a server keeps of a password (RFC 5802 §3, with SHA-256).
fn scram(password: &[u8], salt: &[u8], iterations: u32) -> Result<Scram, Failure> {
    let mut salted = Zeroizing::new([0; 32]);
    pbkdf2::pbkdf2::<Hmac<Sha256>>(password, salt, iterations, salted.as_mut_slice())
        .map_err(|error| Failure::new(format!("the password cannot be hashed: {error}")))?;
    let client_key = Zeroizing::new(sign(&salted, b"Client Key")?);
    Ok(Scram {
        salt: salt.to_vec(),
        iterations,
        stored_key: Sha256::digest(client_key.as_slice()).into(),
        server_key: sign(&salted, b"Server Key")?,
    })
}

fn sign(key: &[u8; 32], text: &[u8]) -> Result<[u8; 32], Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)
        .map_err(|error| Failure::new(format!("the password cannot be hashed: {error}")))?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().into())
}

/// The SHA-256 of a token in hexadecimal digits.
fn hash_token(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD as BASE64;

    use super::*;

    #[test]
    fn the_keys_prove_the_exchange_of_rfc_7677() {
        // RFC 7677 §3: user "user", password "pencil".
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = scram(b"pencil", &salt, 4_096).unwrap();
        let exchange = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = sign(&keys.server_key, exchange.as_bytes()).unwrap();
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        let proof = BASE64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let client_signature = sign(&keys.stored_key, exchange.as_bytes()).unwrap();
        let client_key: Vec<u8> = proof.iter().zip(client_signature).map(|(a, b)| a ^ b).collect();
        assert_eq!(<[u8; 32]>::from(Sha256::digest(client_key)), keys.stored_key);
    }

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let keys = scram(b"pencil", b"0123456789abcdef", 4_096).unwrap();
        assert_eq!(Scram::parse(&keys.to_string()), Ok(keys));
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        // `printf secret | sha256sum`
        assert_eq!(hash_token("secret"), "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
    }
}
