//! `bowline passwd`: the users file, edited line by line.

use std::io::{BufRead, IsTerminal};

use zeroize::Zeroizing;

use super::hash::{Kind, Stored};
use super::users::{Edit, UsersFile, check_name};
use crate::cli::PasswdArgs;
use crate::failure::Failure;
use crate::output;

/// Adds a user, changes the password of one, or takes one out.
pub(crate) fn run(args: &PasswdArgs) -> Result<(), Failure> {
    check_name(&args.user).map_err(Failure::usage)?;
    if !args.delete && args.batch != args.password.is_some() {
        return Err(Failure::usage(if args.batch {
            "-b needs the password behind the user"
        } else {
            "a password on the command line can be seen by all users of this machine; where that is meant, say -b"
        }));
    }
    let shown = args.file.display();
    // The file is held from before it is read, so that no other edit is lost.
    let edit = Edit::begin(&args.file, args.create)?;
    let mut users = if args.create { UsersFile::default() } else { UsersFile::read(&args.file)? };
    let told = if args.delete {
        if !users.remove(&args.user) {
            return Err(Failure::new(format!("{shown} has no user {}", args.user)));
        }
        "removed"
    } else {
        let kind = match (args.scram, args.bcrypt) {
            (true, _) => Kind::Scram,
            (_, true) => Kind::Bcrypt,
            _ => Kind::Argon2,
        };
        let password = match &args.password {
            Some(password) => Zeroizing::new(password.clone()),
            None => read_password(&args.user)?,
        };
        if password.is_empty() {
            return Err(Failure::new("the password is empty: it would let everybody in"));
        }
        let stored = Stored::make(kind, &password).map_err(Failure::new)?;
        if users.set(&args.user, stored) { "added" } else { "changed" }
    };
    edit.commit(&users)?;
    output::note(&format!("{told} {} in {shown}; a running server takes it over on SIGHUP", args.user));
    Ok(())
}

/// Asks twice on a terminal, without showing it; else takes the first line of standard input.
fn read_password(user: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error| Failure::io("cannot read the password", &error);
    if std::io::stdin().is_terminal() {
        let ask = |what: &str| rpassword::prompt_password(format!("{what} of {user}: ")).map(Zeroizing::new);
        let password = ask("password").map_err(failed)?;
        if *password != *ask("again, password").map_err(failed)? {
            return Err(Failure::new("the two are not the same; nothing was changed"));
        }
        return Ok(password);
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
