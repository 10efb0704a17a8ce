//! Why no server could be reached.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::cli::Endpoint;
use crate::failure::Failure;

/// How long one more try may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tries each endpoint once more, and says what is wrong with it, and what to do.
pub(crate) async fn diagnose(endpoints: &[Endpoint]) -> Failure {
    let mut lines = Vec::new();
    for endpoint in endpoints {
        let why = match timeout(PATIENCE, reach(endpoint)).await {
            Ok(Ok(())) => "something answers there now; try again".to_owned(),
            Ok(Err(error)) => explain(endpoint, &error),
            Err(_) => {
                "nothing answers; is the host right, and does a firewall let the port through?".to_owned()
            }
        };
        lines.push(format!("cannot connect to {endpoint}: {why}"));
    }
    Failure::new(lines.join("\n       "))
}

async fn reach(endpoint: &Endpoint) -> io::Result<()> {
    match endpoint {
        Endpoint::Tcp { host, port }
        | Endpoint::Tls { host, port }
        | Endpoint::WebSocket { host, port, .. }
        | Endpoint::TlsWebSocket { host, port, .. } => {
            TcpStream::connect((host.as_str(), *port)).await.map(drop)
        }
        Endpoint::Unix(path) => UnixStream::connect(path).await.map(drop),
        // Nobody answers there but to who has the keys.
        Endpoint::Udp { .. } => Err(ErrorKind::TimedOut.into()),
    }
}

fn explain(endpoint: &Endpoint, error: &io::Error) -> String {
    let start = "start one with `bowline serve`, or say where it is with -h and -p, --unix or -s";
    match error.kind() {
        ErrorKind::ConnectionRefused => format!("no server listens there; {start}"),
        ErrorKind::NotFound if matches!(endpoint, Endpoint::Unix(_)) => {
            format!("there is no such socket; {start}")
        }
        _ if endpoint.is_udp() => super::udp::explain(error),
        ErrorKind::PermissionDenied => "this user may not use it".to_owned(),
        _ => format!("{error}; {start}"),
    }
}
