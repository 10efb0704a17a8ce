//! The gateway: it leads a serial line to a hub, and can read nothing of what it carries.

use std::io;

use bowline_driver::core::serial::{Edge, Line};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Octets that are taken at once, each way.
const CHUNK: usize = 512;

/// Leads connections on `wire` to `hub`, until the wire ends.
pub(crate) async fn gateway(
    mut wire: impl AsyncRead + AsyncWrite + Unpin,
    mut line: Line,
    hub: &str,
) -> io::Result<()> {
    let (mut up, mut down) = ([0; CHUNK], [0; CHUNK]);
    let mut connection = None;
    loop {
        tokio::select! {
            n = wire.read(&mut up) => match n? {
                0 => return Ok(()),
                n => ascend(&mut line, &up[..n], &mut connection, hub).await,
            },
            n = read(&mut connection, &mut down) => match n {
                Ok(n @ 1..) => say(&mut line, &down[..n], &mut wire).await?,
                // The hub has ended the connection, or it broke: the firmware begins another.
                Ok(0) | Err(_) => hang_up(&mut line, &mut connection),
            },
        }
        say(&mut line, &[], &mut wire).await?;
    }
}

/// What came over the line goes to the hub; what begins there begins here.
async fn ascend(line: &mut Line, mut wire: &[u8], connection: &mut Option<TcpStream>, hub: &str) {
    let mut octets = [0; CHUNK];
    while !wire.is_empty() {
        let heard = line.hear(wire, &mut octets);
        wire = &wire[heard.taken..];
        if let Some(stream) = connection
            && stream.write_all(&octets[..heard.put]).await.is_err()
        {
            hang_up(line, connection);
        }
        match heard.edge {
            Some(Edge::Began) => match connect(hub).await {
                Ok(stream) => *connection = Some(stream),
                Err(error) => {
                    eprintln!("{hub}: {error}");
                    hang_up(line, connection);
                }
            },
            Some(Edge::Ended) => *connection = None,
            None => {}
        }
    }
}

async fn connect(hub: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(hub).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn hang_up(line: &mut Line, connection: &mut Option<TcpStream>) {
    *connection = None;
    line.end();
}

/// Octets of the hub; without a connection there are none, ever.
async fn read(connection: &mut Option<TcpStream>, to: &mut [u8]) -> io::Result<usize> {
    match connection {
        Some(stream) => stream.read(to).await,
        None => std::future::pending().await,
    }
}

/// Puts on the line what the line owes, then `octets`. A line that takes nothing holds the hub back.
async fn say(line: &mut Line, mut octets: &[u8], wire: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    loop {
        let mut stuffed = [0; CHUNK];
        let said = line.say(octets, &mut stuffed);
        wire.write_all(&stuffed[..said.put]).await?;
        octets = &octets[said.taken..];
        if said.put == 0 {
            return wire.flush().await;
        }
    }
}
