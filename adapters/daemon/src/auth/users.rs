//! The users file: a line `user:hash` for each, as in mosquitto's and in an htpasswd.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::hash::Stored;
use crate::config::{Complaint, Origin};
use crate::failure::Failure;

/// The longest user name, in octets: what SCRAM and our own protocol take.
const NAME_MAX: usize = bowline_core::scram::MAX_USER;

/// The largest file that is read, in octets: half a million users.
const FILE_MAX: u64 = 64 << 20;

/// The file is for the server alone.
const MODE: u32 = 0o600;

/// A users file, with its comments, so that an edit changes nothing else.
#[derive(Debug, Default)]
pub(crate) struct UsersFile {
    lines: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    /// A comment, or an empty line.
    Other(String),
    User(User),
}

/// A user, and the hash of the password.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) stored: Stored,
}

impl UsersFile {
    /// Reads the text of a file; `file` names it in complaints.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, Vec<Complaint>> {
        let (mut lines, mut complaints, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (number, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() || text.starts_with('#') {
                lines.push(Line::Other(text.to_owned()));
                continue;
            }
            let mut complain = |key: &str, message: String| {
                let origin = Origin::File { file: file.to_owned(), line: number, column: 1 };
                complaints.push(Complaint { origin, key: key.to_owned(), message });
            };
            let Some((name, hash)) = text.split_once(':') else {
                complain("", "it is not a line `user:hash`; make one with `bowline passwd`".to_owned());
                continue;
            };
            // A name that is none is not shown: it may be a password.
            if let Err(message) = check_name(name) {
                complain("", message);
                continue;
            }
            if let Some(first) = seen.insert(name, number) {
                complain(name, format!("the user is listed twice, first in line {first}"));
            }
            match Stored::parse(hash.trim_end()) {
                Ok(stored) => lines.push(Line::User(User { name: name.to_owned(), stored })),
                Err(message) => complain(name, message),
            }
        }
        if complaints.is_empty() { Ok(Self { lines }) } else { Err(complaints) }
    }

    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        Self::parse(&path.display().to_string(), &read_text(path, "users file", FILE_MAX)?)
            .map_err(|complaints| Complaint::all(&complaints))
    }

    /// All users, in the order in which they are written.
    pub(crate) fn users(&self) -> impl Iterator<Item = &User> {
        self.lines.iter().filter_map(|line| match line {
            Line::User(user) => Some(user),
            Line::Other(_) => None,
        })
    }

    /// Gives a user this hash; says whether the user is new.
    pub(crate) fn set(&mut self, name: &str, stored: Stored) -> bool {
        let known = self.lines.iter_mut().find_map(|line| match line {
            Line::User(user) if user.name == name => Some(user),
            _ => None,
        });
        let is_new = known.is_none();
        match known {
            Some(user) => user.stored = stored,
            None => self.lines.push(Line::User(User { name: name.to_owned(), stored })),
        }
        is_new
    }

    /// Takes a user out; false where there is none of that name.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.lines.len();
        self.lines.retain(|line| !matches!(line, Line::User(user) if user.name == name));
        self.lines.len() < before
    }

    fn to_text(&self) -> String {
        let line = |line: &Line| match line {
            Line::Other(text) => format!("{text}\n"),
            Line::User(User { name, stored }) => format!("{name}:{stored}\n"),
        };
        self.lines.iter().map(line).collect()
    }
}

/// Says why a user's name cannot stand in a file.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!("a user's name has 1 to {NAME_MAX} octets"));
    }
    if name.starts_with('#') || name.trim() != name || name.contains(|c: char| c == ':' || c.is_control()) {
        return Err(
            "a user's name has no `:`, no control character, no `#` in front and no space around".into()
        );
    }
    Ok(())
}

/// Reads a file that an operator wrote.
pub(super) fn read_text(path: &Path, what: &str, most: u64) -> Result<String, Failure> {
    let shown = path.display();
    let failed = |error| Failure::io(format_args!("cannot read the {what} {shown}"), &error);
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > most {
        return Err(Failure::new(format!("{shown} has {size} octets: too large for a {what}")));
    }
    fs::read_to_string(path).map_err(failed)
}

/// Whether others than its owner and group can read a file of secrets.
pub(super) fn is_open_to_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.mode() & 0o007 != 0)
}

/// A file that is being edited: the new text beside the old, until it takes its place.
///
/// The new file is also the lock, so that of two edits at a time none is lost.
pub(crate) struct Edit {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    is_done: bool,
}

impl Edit {
    /// Begins an edit of a file that there is, or with `new` of one that there is not.
    pub(crate) fn begin(path: &Path, new: bool) -> Result<Self, Failure> {
        let shown = path.display();
        // Where it is a link, the file that it leads to is edited.
        let path = match fs::canonicalize(path) {
            Ok(_) if new => {
                return Err(Failure::new(format!(
                    "{shown} exists; leave -c out to add to it, or remove it first"
                )));
            }
            Ok(path) => path,
            Err(error) if error.kind() == ErrorKind::NotFound && new => path.to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Failure::new(format!("there is no {shown}; -c makes one")));
            }
            Err(error) => return Err(Failure::io(format_args!("cannot edit {shown}"), &error)),
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = path.with_file_name(name);
        let file =
            OpenOptions::new().write(true).create_new(true).mode(MODE).open(&beside).map_err(|error| {
                let beside = beside.display();
                match error.kind() {
                    ErrorKind::AlreadyExists => Failure::new(format!(
                        "{shown} is being edited: there is {beside}; when nobody is at it, remove that file"
                    )),
                    _ => Failure::io(format_args!("cannot make {beside}"), &error),
                }
            })?;
        Ok(Self { path, beside, file, is_done: false })
    }

    /// Puts the new text in place of the old, whole or not at all, also when the power fails.
    pub(crate) fn commit(mut self, users: &UsersFile) -> Result<(), Failure> {
        let failed = |error| Failure::io(format_args!("cannot write {}", self.path.display()), &error);
        if let Ok(old) = fs::metadata(&self.path) {
            // Who may read it stays, but for all others. Only root can give a file away.
            let given = fchown(&self.file, Some(old.uid()), Some(old.gid())).is_ok();
            let mode = if given { old.mode() & 0o660 | MODE } else { MODE };
            self.file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
        }
        self.file.write_all(users.to_text().as_bytes()).map_err(failed)?;
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.beside, &self.path).map_err(failed)?;
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let synced =
            File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
        synced.map_err(failed)?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Edit {
    fn drop(&mut self) {
        if !self.is_done {
            // It is ours: nothing can be done where it cannot be removed.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::Kind;
    use super::*;

    const BCRYPT: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

    #[test]
    fn an_edit_changes_one_line() {
        let text = format!("# People\nann:{BCRYPT}\n\nbob:{BCRYPT}\r\n# Things\nsensor 1:{BCRYPT}");
        let mut file = UsersFile::parse("users", &text).unwrap();
        let names = |file: &UsersFile| file.users().map(|user| user.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&file), ["ann", "bob", "sensor 1"]);
        assert!(file.remove("bob") && !file.remove("bob"));
        assert!(!file.set("ann", Stored::parse(&BCRYPT.replace("$2a", "$2y")).unwrap()));
        assert!(file.set("eve", Stored::parse(BCRYPT).unwrap()));
        let want = format!(
            "# People\nann:{}\n\n# Things\nsensor 1:{BCRYPT}\neve:{BCRYPT}\n",
            BCRYPT.replace("$2a", "$2y")
        );
        assert_eq!(file.to_text(), want);
        assert_eq!(
            UsersFile::parse("users", &want).unwrap().users().last().unwrap().stored.kind(),
            Kind::Bcrypt
        );
    }

    #[test]
    fn complaints_name_the_line_and_no_secret() {
        let text = format!("hunter2\nann:{BCRYPT}\nann:{BCRYPT}\nbob:hunter2\n:{BCRYPT}\n a:{BCRYPT}\n");
        let complaints = UsersFile::parse("users", &text).unwrap_err();
        let found: Vec<String> = complaints.iter().map(ToString::to_string).collect();
        assert!(found.iter().all(|line| !line.contains("hunter2")));
        assert_eq!(found[0], "users:1:1: it is not a line `user:hash`; make one with `bowline passwd`");
        assert_eq!(found[1], "users:3:1: ann: the user is listed twice, first in line 2");
        assert_eq!(
            found[2],
            "users:4:1: bob: what stands behind the name is no hash (a password in the clear?); set it with \
             `bowline passwd`"
        );
        assert_eq!(found[3], "users:5:1: a user's name has 1 to 256 octets");
        assert!(found[4].starts_with("users:6:1: a user's name has no `:`"));
        assert_eq!(found.len(), 5);
    }

    #[test]
    fn a_file_is_replaced_whole_and_stays_its_owners() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let users = |names: &[&str]| {
            let mut file = UsersFile::default();
            for name in names {
                file.set(name, Stored::parse(BCRYPT).unwrap());
            }
            file
        };
        let message = |result: Result<Edit, Failure>| result.err().unwrap().message().unwrap().to_owned();
        assert!(message(Edit::begin(&path, false)).ends_with("-c makes one"));
        Edit::begin(&path, true).unwrap().commit(&users(&["ann"])).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(message(Edit::begin(&path, true)).contains("leave -c out"));

        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert!(is_open_to_all(&path));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let edit = Edit::begin(&link, false).unwrap();
        assert!(message(Edit::begin(&path, false)).contains("is being edited"));
        edit.commit(&users(&["ann", "bob"])).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640, "no more for others");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(UsersFile::read(&path).unwrap().users().count(), 2);

        drop(Edit::begin(&path, false).unwrap());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left of an edit given up");
    }
}
