//! `bowline plugins` and `bowline sessions`: what the console does, from a shell.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::cli::{ConnectArgs, Endpoint, PluginsArgs, PluginsCommand, SessionsArgs, SessionsCommand};
use crate::failure::Failure;
use crate::net::http::{self, Url};
use crate::net::{Credentials, Target};
use crate::output;

/// A server's console.
struct Console {
    url: Url,
    headers: Vec<(String, String)>,
}

impl Console {
    fn new(connect: &ConnectArgs) -> Result<Self, Failure> {
        let Target { endpoints, credentials, .. } = connect.target("admin")?;
        let Some(Endpoint::Tcp { host, port }) = endpoints.first() else {
            return Err(Failure::usage("the console is asked over TCP: -h HOST -p PORT"));
        };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let url = Url::parse(&format!("http://{host}:{port}/")).map_err(Failure::usage)?;
        let mut headers = vec![("bowline-admin".to_owned(), "1".to_owned())];
        match credentials {
            Credentials::None => {}
            Credentials::Password { user, password } => {
                let both = STANDARD.encode(format!("{user}:{}", password.reveal()));
                headers.push(("authorization".to_owned(), format!("Basic {both}")));
            }
            Credentials::Token(token) => {
                headers.push(("authorization".to_owned(), format!("Bearer {}", token.reveal())));
            }
            Credentials::Scram { .. } => {
                return Err(Failure::usage("the console takes a password as it is, not --scram"));
            }
        }
        Ok(Self { url, headers })
    }

    /// Asks, and gives the answer; a refusal is a failure that says why.
    async fn ask(&self, method: &str, path: &str, body: Option<&str>) -> Result<Value, Failure> {
        let answer = http::request(method, &self.url.at(path), &self.headers, body).await;
        let (status, text) = answer.map_err(Failure::new)?;
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        match status {
            200..=299 => Ok(value),
            _ => {
                let why = value["error"].as_str().unwrap_or("it is no console of this version");
                Err(Failure::new(format!("the server answered {status}: {why}")))
            }
        }
    }
}

/// Percent-encodes what is no letter, digit, `-`, `_` or `.`.
fn encode(text: &str) -> String {
    let mut out = String::new();
    for b in text.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(b.into()),
            _ => _ = write!(out, "%{b:02X}"),
        }
    }
    out
}

/// `bowline plugins`
pub(crate) async fn plugins(args: PluginsArgs) -> Result<(), Failure> {
    let console = Console::new(&args.connect)?;
    let switch = |name: &str, on: bool| format!("/api/plugins/{}?enabled={on}", encode(name));
    let answer = match &args.command {
        PluginsCommand::List => console.ask("GET", "/api/plugins", None).await?,
        PluginsCommand::Enable { name } => console.ask("POST", &switch(name, true), None).await?,
        PluginsCommand::Disable { name } => console.ask("POST", &switch(name, false), None).await?,
    };
    if args.json {
        return output::data(&format!("{answer}\n"));
    }
    let one = [answer.clone()];
    let all = answer["plugins"].as_array().map_or(&one[..], Vec::as_slice);
    output::data(&table(all, &["name", "enabled", "messages", "changed", "dropped", "refused", "only"]))
}

/// `bowline sessions`
pub(crate) async fn sessions(args: SessionsArgs) -> Result<(), Failure> {
    let console = Console::new(&args.connect)?;
    match &args.command {
        SessionsCommand::List { tag, user, dialect, listener, search, limit } => {
            let mut path = format!("/api/sessions?limit={limit}");
            let filters = [("tag", tag), ("user", user), ("dialect", dialect), ("listener", listener)];
            for (name, value) in filters.into_iter().chain([("search", search)]) {
                if let Some(value) = value {
                    _ = write!(path, "&{name}={}", encode(value));
                }
            }
            let answer = console.ask("GET", &path, None).await?;
            if args.json {
                return output::data(&format!("{answer}\n"));
            }
            let columns = [
                "id",
                "client_id",
                "user",
                "dialect",
                "address",
                "connected",
                "subscriptions",
                "queued",
                "tags",
            ];
            output::data(&table(answer["sessions"].as_array().map_or(&[], Vec::as_slice), &columns))
        }
        SessionsCommand::Inspect { id } => {
            let answer = console.ask("GET", &format!("/api/sessions/{}", encode(id)), None).await?;
            let text = if args.json { answer.to_string() } else { format!("{answer:#}") };
            output::data(&format!("{text}\n"))
        }
        SessionsCommand::Kick { id, forget } => {
            let path = format!("/api/sessions/{}?forget={forget}", encode(id));
            console.ask("DELETE", &path, None).await.map(drop)
        }
        SessionsCommand::Tag { id, tag, remove } => {
            let path = format!("/api/sessions/{}?tag={}", encode(id), encode(tag));
            console.ask(if *remove { "DELETE" } else { "POST" }, &path, None).await.map(drop)
        }
        SessionsCommand::Tell { tag, session, message } => {
            let whom = match (tag, session) {
                (Some(tag), _) => format!("tag={}", encode(tag)),
                (None, session) => format!("session={}", encode(session.as_deref().unwrap_or_default())),
            };
            let answer = console.ask("POST", &format!("/api/tell?{whom}"), Some(message)).await?;
            if args.json {
                return output::data(&format!("{answer}\n"));
            }
            output::data(&format!("told {} of {} sessions\n", answer["told"], answer["sessions"]))
        }
    }
}

/// Rows as columns of text, each as wide as it has to be.
fn table(rows: &[Value], columns: &[&str]) -> String {
    let cell = |row: &Value, column: &str| match &row[column] {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Value::Array(list) if list.is_empty() => "-".to_owned(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    };
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| column.to_uppercase()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()));
    let width = |at: usize| lines.iter().map(|line| line[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}", width = *width)).collect();
        _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_chose_breaks_no_line() {
        let rows = [
            json!({ "name": "a\nb\u{1b}[1m", "on": true, "tags": ["x", "y"] }),
            json!({ "name": "longer name" }),
        ];
        let text = table(&rows, &["name", "on", "tags"]);
        assert_eq!(text, "NAME         ON    TAGS\na?b?[1m      true  x,y\nlonger name  -     -\n");
        assert_eq!(encode("a b/ü&"), "a%20b%2F%C3%BC%26");
    }
}
