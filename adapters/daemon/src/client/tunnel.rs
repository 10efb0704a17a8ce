//! `bowline tunnel`.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bowline_core::status::Status;
use bowline_driver::client::{Error, Tunnel};
use bowline_driver::{Address, Listener, Runtime, Splice, Transport};
use bowline_tokio::Tokio;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, Stdin, Stdout};

use super::{connect, interrupted};
use crate::cli::TunnelArgs;
use crate::failure::Failure;
use crate::net::Client;
use crate::output;

/// Forwards what connects here, or standard input and output.
pub(crate) async fn run(args: TunnelArgs) -> Result<(), Failure> {
    let connection = args.connect.target("tunnel")?;
    let listener = match &args.local {
        Some(local) => Some(listen(local)?),
        None => None,
    };
    let (client, watch) = connect(&connection, None).await?;
    let outcome = match listener {
        Some(listener) => tokio::select! {
            outcome = forward(&args, &client, listener) => outcome,
            () = interrupted() => Ok(()),
        },
        None => stdio(&args.target, &client).await,
    };
    client.close().await;
    watch.abort();
    outcome
}

/// Listens on a port of this machine, unless a host is named.
fn listen(local: &str) -> Result<<Tokio as Runtime>::Listener, Failure> {
    let full =
        if local.bytes().all(|b| b.is_ascii_digit()) { format!("127.0.0.1:{local}") } else { local.into() };
    let address: Address = full.parse().map_err(|error| Failure::usage(format!("-L {local}: {error}")))?;
    if !matches!(address, Address::Tcp(_) | Address::Unix(_)) {
        return Err(Failure::usage(format!("-L {local}: it must be a port, HOST:PORT or unix:PATH")));
    }
    Tokio.bind(&address).map_err(|error| Failure::io(format_args!("cannot listen on {full}"), &error))
}

/// Why there is no tunnel, and what to do.
fn refused(target: &str, error: &Error) -> String {
    match error {
        Error::Status { status: Status::Unsupported, .. } => {
            "the server relays nothing; start it with --allow, or `bowline relay`".into()
        }
        Error::Status { reason, .. } => format!("no tunnel to {target}: {reason}"),
        error => format!("no tunnel to {target}: {error}"),
    }
}

/// Standard input goes there, what comes to standard output, until both have ended.
async fn stdio(target: &str, client: &Client) -> Result<(), Failure> {
    let tunnel = client.tunnel(target).await.map_err(|error| Failure::new(refused(target, &error)))?;
    let stdio = Stdio { stdin: tokio::io::stdin(), stdout: tokio::io::stdout() };
    let moved = Splice::new(stdio, tunnel).await;
    moved.map(drop).map_err(|error| Failure::new(format!("the connection to {target} broke: {error}")))
}

async fn forward(
    args: &TunnelArgs,
    client: &Client,
    mut listener: <Tokio as Runtime>::Listener,
) -> Result<(), Failure> {
    let here =
        listener.local_address().map_err(|error| Failure::io("the system does not say where", &error))?;
    let here = here.to_string();
    let here = here.strip_prefix("bowline://").unwrap_or(&here);
    let (target, as_json) = (args.target.clone(), args.json);
    output::data(&if as_json {
        format!("{}\n", json!({ "event": "listening", "address": here, "target": target }))
    } else {
        format!("{here} leads to {target}\n")
    })?;
    for number in 1_u64.. {
        let accepted = poll_fn(|cx| listener.poll_accept(cx)).await;
        let (stream, _) = accepted.map_err(|error| Failure::io("cannot accept connections", &error))?;
        let (client, target) = (client.clone(), target.clone());
        tokio::spawn(async move {
            match client.tunnel(&target).await {
                Ok(tunnel) => join(number, stream, tunnel, as_json).await,
                Err(error) => {
                    let mut stream = stream;
                    stream.abort();
                    let why = refused(&target, &error);
                    if as_json {
                        say(&json!({ "event": "refused", "connection": number, "reason": why }));
                    } else {
                        output::warning(&why);
                    }
                }
            }
        });
    }
    Ok(())
}

async fn join(number: u64, stream: <Tokio as Runtime>::Stream, tunnel: Tunnel<Tokio>, as_json: bool) {
    if as_json {
        say(&json!({ "event": "open", "connection": number }));
    }
    match Splice::new(stream, tunnel).await {
        Ok((sent, received)) if as_json => {
            say(&json!({ "event": "closed", "connection": number, "sent": sent, "received": received }));
        }
        Ok(_) => {}
        Err(error) if as_json => {
            say(&json!({ "event": "broken", "connection": number, "reason": error.to_string() }));
        }
        Err(error) => output::note(&format!("connection {number} broke: {error}")),
    }
}

/// Where nobody reads it any more, the tunnel goes on.
fn say(line: &serde_json::Value) {
    let _ = output::data(&format!("{line}\n"));
}

/// Standard input and output, as one stream.
struct Stdio {
    stdin: Stdin,
    stdout: Stdout,
}

impl Transport for Stdio {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(to);
        ready!(Pin::new(&mut self.stdin).poll_read(cx, &mut buf))?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, from: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(first) = from.iter().find(|piece| !piece.is_empty()) else { return Poll::Ready(Ok(0)) };
        let n = ready!(Pin::new(&mut self.stdout).poll_write(cx, first))?;
        // What is not out at once follows with what comes next, or the end.
        let _ = Pin::new(&mut self.stdout).poll_flush(cx)?;
        Poll::Ready(Ok(n))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_flush(cx)
    }
}
