//! `bowline req`.

use bowline_core::status::Status;

use super::{connect, format, interrupted, print, read_payload};
use crate::cli::ReqArgs;
use crate::failure::Failure;
use crate::net::{Replies, Reply};
use crate::output;
use crate::text::format_duration;

/// Asks, and prints the answers.
pub(crate) async fn run(args: ReqArgs) -> Result<(), Failure> {
    let (topic, file, text) = args.plan()?;
    let payload = match file {
        Some(file) => read_payload(&file).await?,
        None => text.into(),
    };
    let (client, watch) = connect(&args.connect.target("req")?, Some(args.timeout)).await?;
    let outcome = match client.request(&topic, payload, args.timeout, args.many).await {
        Ok(mut replies) => tokio::select! {
            outcome = print_all(&args, &topic, &mut replies) => outcome,
            () = interrupted() => Err(Failure::new("interrupted")),
        },
        Err(failure) => Err(failure),
    };
    client.close().await;
    watch.abort();
    outcome
}

async fn print_all(args: &ReqArgs, topic: &str, replies: &mut Replies) -> Result<(), Failure> {
    let mut out = tokio::io::stdout();
    let mut came = 0;
    let mut failed = false;
    loop {
        let Some(reply) = replies.next().await? else {
            return Err(Failure::new(format!(
                "the connection was lost before {topic} had answered; ask again"
            )));
        };
        let one_of_many = args.many && reply.more;
        if is_end_of_many(args.many, &reply) || !(reply.status.is_ok() || one_of_many) {
            return match reply.status {
                Status::Ok if failed => Err(Failure::silent()),
                Status::Ok => Ok(()),
                Status::Timeout if came > 0 => {
                    output::note(&format!("{came} answered within {}", format_duration(args.timeout)));
                    Ok(())
                }
                _ => Err(failure_of(args, topic, &reply)),
            };
        }
        if reply.status.is_ok() {
            if !print(&mut out, &format::reply(args.json, !args.no_newline, &reply)).await? {
                return Ok(());
            }
            came += 1;
        } else {
            // One of many could not; the others are not to blame.
            failed = true;
            output::warning(failure_of(args, topic, &reply).message().unwrap_or_default());
        }
        if args.count == Some(came) || !reply.more {
            return Ok(());
        }
    }
}

/// Whether this is what a hub adds behind the answers of many.
fn is_end_of_many(many: bool, reply: &Reply) -> bool {
    many && !reply.more && reply.payload.is_empty()
}

/// What to tell the user of an answer that is none.
fn failure_of(args: &ReqArgs, topic: &str, reply: &Reply) -> Failure {
    let reason = String::from_utf8_lossy(&reply.payload);
    let because = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match reply.status {
        Status::Timeout => {
            let time = format_duration(args.timeout);
            Failure::timeout(format!("no answer on {topic} within {time}; -W gives it longer"))
        }
        Status::NoResponder => Failure::no_responder(format!(
            "nobody answers requests on {topic}; start one, for example: bowline reply '{topic}' --echo"
        )),
        Status::NotAuthorized => Failure::new(format!("requests on {topic} are not allowed{because}")),
        Status::Quota => Failure::new(format!("too many requests are open{because}; try again later")),
        Status::ResponderGone => {
            Failure::new(format!("who served {topic} went away before it had answered; ask again"))
        }
        Status::Draining => {
            Failure::new("the server goes away and takes no requests; ask again soon".to_owned())
        }
        Status::Other(code) if code >= Status::APPLICATION => {
            Failure::new(format!("the responder of {topic} failed (status {code}){because}"))
        }
        status => Failure::new(format!("the request on {topic} failed ({status:?}){because}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn failure(status: Status, reason: &'static str) -> Failure {
        let Some(Command::Req(args)) = Cli::try_parse_from(["bowline", "req", "time"]).unwrap().command
        else {
            panic!("it is a request");
        };
        failure_of(&args, "time", &Reply { status, more: false, payload: reason.into() })
    }

    #[test]
    fn failures_say_what_to_do_and_have_their_codes() {
        let timeout = failure(Status::Timeout, "");
        assert_eq!(
            (timeout.code(), timeout.message()),
            (3, Some("no answer on time within 5s; -W gives it longer"))
        );
        let nobody = failure(Status::NoResponder, "");
        assert_eq!(nobody.code(), 4);
        assert!(nobody.message().unwrap().ends_with("bowline reply 'time' --echo"));
        let own = failure(Status::Other(64), "no disk");
        assert_eq!(
            (own.code(), own.message()),
            (1, Some("the responder of time failed (status 64): no disk"))
        );
    }

    #[test]
    fn an_empty_last_answer_ends_a_request_to_many_alone() {
        let last = Reply { status: Status::Ok, more: false, payload: "".into() };
        assert!(is_end_of_many(true, &last));
        assert!(!is_end_of_many(false, &last));
        assert!(!is_end_of_many(true, &Reply { more: true, ..last }));
    }
}
