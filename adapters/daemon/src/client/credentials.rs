//! `bowline credentials`: entries for users and tokens, so that no password stands in a file.

use std::io::{BufRead, IsTerminal};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::cli::CredentialsArgs;
use crate::config::Scram;
use crate::failure::Failure;
use crate::output;

/// Octets of a token: nobody guesses 256 bits.
const TOKEN: usize = 32;

/// Prints the entry on stdout; a new token, once, on stderr.
pub(crate) fn run(args: &CredentialsArgs) -> Result<(), Failure> {
    let name = toml::Value::String(args.name.clone());
    if args.token {
        let token = Zeroizing::new(URL_SAFE_NO_PAD.encode(Zeroizing::new(rand::random::<[u8; TOKEN]>())));
        output::data(&format!("\n[[auth.tokens]]\nname = {name}\nsha256 = \"{}\"\n", hash_token(&token)))?;
        output::note(&format!("the token, shown this once: {}", *token));
        return Ok(());
    }
    let password = read_password(&args.name)?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::new("the password is empty: give it as one line of standard input"));
    }
    let scram = Scram::make(password, args.iterations).map_err(Failure::new)?;
    output::data(&format!("\n[[auth.users]]\nname = {name}\nscram = \"{scram}\"\n"))
}

/// Asks on a terminal, without showing it; else takes the first line of standard input.
fn read_password(name: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error| Failure::io("cannot read the password", &error);
    if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password(format!("password of {name}: ")).map_err(failed)?;
        return Ok(Zeroizing::new(password));
    }
    let mut password = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut password).map_err(failed)?;
    Ok(password)
}

/// The SHA-256 of a token in hexadecimal digits.
fn hash_token(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bowline_core::scram::Credential;

    use super::*;

    #[test]
    fn an_entry_is_read_back_as_it_was_written() {
        let written = Scram(Credential::derive("pencil", b"0123456789abcdef", 4_096).unwrap());
        let read = Scram::parse(&written.to_string()).unwrap().0;
        assert_eq!((read.salt(), read.iterations()), (written.0.salt(), 4_096));
        assert_eq!((read.stored_key(), read.server_key()), (written.0.stored_key(), written.0.server_key()));
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        // `printf secret | sha256sum`
        assert_eq!(hash_token("secret"), "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
    }
}
