//! `bowline room`.

use std::pin::pin;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bowline_driver::client::{Presence, RoomEvent, RoomMessage, RoomPlace};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{after, connect, interrupted, print};
use crate::cli::RoomArgs;
use crate::failure::Failure;
use crate::net::{Client, Room};
use crate::output;
use crate::text::format_duration;

/// Joins, prints and sends until told to end.
pub(crate) async fn run(args: RoomArgs) -> Result<(), Failure> {
    let (client, watch) = connect(&args.connect.target("room")?, args.timeout).await?;
    let outcome = take_part(&args, &client).await;
    client.close().await;
    watch.abort();
    outcome
}

async fn take_part(args: &RoomArgs, client: &Client) -> Result<(), Failure> {
    let mut room = client.join(&args.name, args.options()).await?;
    if args.say_ready || output::is_watched() {
        output::note(&format!("in the room {}; Ctrl-C ends", args.name));
    }
    let outcome = talk(args, &mut room).await;
    if let Some(place) = room.place().filter(|_| output::is_watched()) {
        output::note(&format!("--since {} goes on from here", shown(place)));
    }
    room.leave().await;
    outcome
}

async fn talk(args: &RoomArgs, room: &mut Room) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let (mut came, mut reads) = (0, !args.listen);
    // One for the whole time: a signal between two messages must not be missed.
    let (mut stop, mut limit) = (pin!(interrupted()), pin!(after(args.timeout)));
    loop {
        tokio::select! {
            event = room.next() => {
                let Some(event) = event else {
                    return Err(Failure::new("the server ended the session; its log says why"));
                };
                if let RoomEvent::Ended { status, reason } = &event {
                    return Err(Failure::new(format!("the room lets nobody in now: {status:?} {reason}")));
                }
                let line = if args.json { in_json(&event) } else { in_words(&event) };
                if let Some(line) = line && !print(&mut out, &line).await? {
                    return Ok(());
                }
                came += u64::from(matches!(event, RoomEvent::Message(_)));
                if args.count == Some(came) {
                    return Ok(());
                }
            }
            line = lines.next_line(), if reads => {
                match line.map_err(|error| Failure::io("cannot read a line of standard input", &error))? {
                    // A reader that stalls is no reason to read on: the next line waits for this one.
                    Some(line) => drop(room.send(line).await.map_err(|error| Failure::new(format!("not sent: {error}")))?),
                    None if args.outlasts_input() => reads = false,
                    None => return Ok(()),
                };
            }
            () = &mut stop => return Ok(()),
            limit = &mut limit => return match args.count {
                Some(count) => Err(Failure::timeout(format!("{came} of {count} messages came within {}", format_duration(limit)))),
                None => Ok(()),
            },
        }
    }
}

/// A place as `--since` takes it.
fn shown(place: RoomPlace) -> String {
    format!("{:016x}:{}", place.epoch, place.offset)
}

/// An event as a line, if it is worth one.
fn in_words(event: &RoomEvent) -> Option<Vec<u8>> {
    let told = |text: String| Some(format!("* {text}\n").into_bytes());
    match event {
        RoomEvent::Message(m) => {
            let mut line =
                if m.missed == 0 { Vec::new() } else { told(format!("{} messages are lost", m.missed))? };
            line.extend_from_slice(m.message.payload());
            line.push(b'\n');
            Some(line)
        }
        RoomEvent::Presence(Presence::Here { member, user, data }) => {
            let who = if user.is_empty() { member } else { user };
            let data = String::from_utf8_lossy(data);
            told(if data.is_empty() { format!("{who} is here") } else { format!("{who} is here: {data}") })
        }
        RoomEvent::Presence(Presence::Gone { member }) => told(format!("{member} has gone")),
        RoomEvent::Presence(Presence::Count(count)) => told(format!("{count} are here")),
        RoomEvent::NotShown { reason, .. } => {
            told(format!("the server does not show what others are to see: {reason}"))
        }
        _ => None,
    }
}

/// An event as an object.
fn in_json(event: &RoomEvent) -> Option<Vec<u8>> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| drop(object.insert(name.into(), value));
    match event {
        RoomEvent::Joined { place, recovered, members, member } => {
            put("event", json!("joined"));
            put("place", json!(shown(*place)));
            put("recovered", json!(recovered));
            put("members", json!(members));
            put("member", json!(member));
        }
        RoomEvent::Message(m) => message(m, &mut put),
        RoomEvent::Sent { place, .. } => {
            put("event", json!("sent"));
            put("place", json!(shown(*place)));
        }
        RoomEvent::Presence(Presence::Here { member, user, data }) => {
            put("event", json!("here"));
            put("member", json!(member));
            put("user", json!(user));
            put("data", json!(String::from_utf8_lossy(data)));
        }
        RoomEvent::Presence(Presence::Gone { member }) => {
            put("event", json!("gone"));
            put("member", json!(member));
        }
        RoomEvent::Presence(Presence::Count(count)) => {
            put("event", json!("count"));
            put("members", json!(count));
        }
        RoomEvent::Presence(Presence::Anew) => put("event", json!("anew")),
        RoomEvent::NotShown { reason, .. } => {
            put("event", json!("not_shown"));
            put("reason", json!(reason));
        }
        _ => return None,
    }
    Some(format!("{}\n", Value::Object(object)).into_bytes())
}

fn message(m: &RoomMessage, put: &mut impl FnMut(&str, Value)) {
    put("event", json!("message"));
    if m.place.offset > 0 {
        put("place", json!(shown(m.place)));
        let stamp = UNIX_EPOCH + Duration::from_millis(m.stamp);
        put("time", json!(humantime::format_rfc3339_millis(stamp).to_string()));
    }
    if m.missed > 0 {
        put("missed", json!(m.missed));
    }
    match std::str::from_utf8(m.message.payload()) {
        Ok(text) => put("payload", json!(text)),
        Err(_) => put("payload_base64", json!(BASE64.encode(m.message.payload()))),
    }
}
