//! `bowline reply`.

use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;
use std::time::SystemTime;

use bowline_core::status::Status;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{PAYLOAD_MAX, connect, interrupted, template};
use crate::cli::{Answer, ReplyArgs};
use crate::failure::Failure;
use crate::net::{Client, Incoming};
use crate::output;

/// What a requester is told when a command failed.
const FAILED: Status = Status::Other(Status::APPLICATION);

/// The most of a command's stderr that a requester is told, in octets.
const REASON_MAX: u64 = 512;

/// Serves until told to end.
pub(crate) async fn run(args: ReplyArgs) -> Result<(), Failure> {
    let answer = Arc::new(args.answer()?);
    let filter = args.filter()?;
    let (client, watch) = connect(&args.connect.target("reply")?, None).await?;
    let outcome = serve(&args, &filter, answer, &client).await;
    client.close().await;
    watch.abort();
    outcome
}

async fn serve(args: &ReplyArgs, filter: &str, answer: Arc<Answer>, client: &Client) -> Result<(), Failure> {
    let mut service = client.serve(filter).await?;
    output::note(&format!("serving {filter}; Ctrl-C ends"));
    let room = Arc::new(Semaphore::new(usize::from(args.jobs)));
    let mut jobs = JoinSet::new();
    let mut count = 0;
    // One for the whole time: a signal between two requests must not be missed.
    let mut stop = pin!(interrupted());
    while args.count != Some(count) {
        let permit = Arc::clone(&room).acquire_owned().await;
        let request = tokio::select! {
            request = service.next() => request,
            () = &mut stop => break,
        };
        let Some(request) = request else {
            return Err(Failure::new("the server ended the session; its log says why"));
        };
        count += 1;
        if args.verbose {
            output::note(&format!("request {count} on {}, {} octets", request.topic, request.payload.len()));
        }
        let answer = Arc::clone(&answer);
        jobs.spawn(async move {
            let _permit = permit;
            respond(&answer, count, request).await;
        });
        while jobs.try_join_next().is_some() {}
    }
    // What is being answered is answered to its end.
    while jobs.join_next().await.is_some() {}
    Ok(())
}

async fn respond(answer: &Answer, count: u64, request: Incoming) {
    let (status, payload) = match answer {
        Answer::Echo => (Status::Ok, request.payload.clone()),
        Answer::Template(text) => {
            let now = SystemTime::now();
            let payload = template::expand(text, |name| match name {
                "Request" => Some(request.payload.to_vec()),
                "Topic" => Some(request.topic.clone().into_bytes()),
                name => template::common(name, count, now),
            });
            (Status::Ok, payload.into())
        }
        Answer::Exec(command) => match execute(command, count, &request).await {
            Ok(output) => (Status::Ok, output),
            Err(reason) => {
                output::warning(&format!("request {count}: {reason}"));
                (FAILED, reason.into())
            }
        },
    };
    if let Err(failure) = request.respond(status, payload) {
        output::warning(&format!(
            "request {count} is not answered: {}",
            failure.message().unwrap_or_default()
        ));
    }
}

/// Runs a command with the request on its standard input; what it prints is the answer.
async fn execute(command: &str, count: u64, request: &Incoming) -> Result<Bytes, String> {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("BOWLINE_REQUEST_TOPIC", &request.topic)
        .env("BOWLINE_REQUEST_COUNT", count.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("cannot run the command: {error}"))?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command need not read what it does not want.
            let _ = stdin.write_all(&request.payload).await;
        }
    };
    let (mut output, mut complaint) = (Vec::new(), Vec::new());
    let read = async {
        match stdout {
            Some(stdout) => stdout.take(PAYLOAD_MAX).read_to_end(&mut output).await,
            None => Ok(0),
        }
    };
    let hear = async {
        match stderr {
            Some(stderr) => listen(stderr, &mut complaint).await,
            None => Ok(()),
        }
    };
    let ((), read, _) = tokio::join!(feed, read, hear);
    read.map_err(|error| format!("cannot read what the command prints: {error}"))?;
    let status = child.wait().await.map_err(|error| format!("cannot wait for the command: {error}"))?;
    if status.success() {
        return Ok(output.into());
    }
    let complaint = String::from_utf8_lossy(&complaint);
    let complaint = complaint.trim();
    Err(if complaint.is_empty() { format!("the command failed: {status}") } else { complaint.to_owned() })
}

/// Keeps the beginning of what comes, and drops the rest, so that the command never waits.
async fn listen(stderr: tokio::process::ChildStderr, complaint: &mut Vec<u8>) -> std::io::Result<()> {
    let mut limited = stderr.take(REASON_MAX);
    limited.read_to_end(complaint).await?;
    tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await?;
    Ok(())
}
