//! `bowline key`: keys for the secure mode.

use bowline_core::secure::{PublicKey, SecretKey, SharedKey};
use bowline_driver::OsEntropy;
use zeroize::Zeroizing;

use crate::auth::{read_key, write_new};
use crate::cli::{KeyArgs, KeyCommand};
use crate::failure::Failure;
use crate::output;

/// Makes a key, or shows what others may know of one.
pub(crate) fn run(args: &KeyArgs) -> Result<(), Failure> {
    match &args.command {
        KeyCommand::Generate { file, psk: true } => {
            let key = SharedKey::generate(&mut OsEntropy);
            write_new(file, &Zeroizing::new(format!("{}\n", &*key.to_text())))?;
            output::note(&format!(
                "made {}: both sides need the same; the server's noise.psk_file has it with a user's name behind",
                file.display()
            ));
            Ok(())
        }
        KeyCommand::Generate { file, psk: false } => {
            let key = SecretKey::generate(&mut OsEntropy);
            write_new(file, &Zeroizing::new(format!("{}\n", &*key.to_text())))?;
            output::note(&format!("made {}; {}", file.display(), key.public().fingerprint()));
            output::data(&format!("{}\n", key.public()))
        }
        KeyCommand::Public { file } => output::data(&format!("{}\n", read_key::<SecretKey>(file)?.public())),
        KeyCommand::Fingerprint { file } => {
            let public =
                read_key::<PublicKey>(file).or_else(|_| read_key::<SecretKey>(file).map(|key| key.public()));
            output::data(&format!("{}\n", public?.fingerprint()))
        }
    }
}
