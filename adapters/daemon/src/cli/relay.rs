//! `bowline relay` and `bowline tunnel`.

use clap::Args;

use super::{ConnectArgs, ServeArgs};

const RELAY_EXAMPLES: &str = "\
Serves as `bowline serve` does, keeps nothing unless --data says where, and connects its clients to the targets that
are allowed, and to no others. A target is allowed by
  db.internal:5432                a name and a port; names are compared as they are written
  *.example.org:443               every name below
  192.0.2.7:22, [2001:db8::7]:22  an address
  10.0.0.0/8:5432                 a network
  *:443                           every name, and every public address
  HOST:*, HOST:80,443, HOST:8000-8100
                                  all ports, or some
  unix:/run/app.sock, unix:/run/app/*
                                  a Unix socket, or all in a directory
  tls://HOST:PORTS                over TLS: the target must be the one of that name, by an authority of this machine or
                                  of --target-ca
  ws://HOST:PORTS/PATH, wss://…   WebSockets, at any path where none is said; bowline+ws://… those of a subprotocol
  bowline+udp://HOST:PORTS        sessions over UDP with servers of ours; keys are said in [relay.udp]
What is allowed over one of them is not over another. A name that is allowed may lead to public addresses, and to networks that --allow or --names-reach name; `localhost`
leads to this machine. In a configuration it is the section [relay], which SIGHUP reads again.

Examples:
  bowline relay --allow localhost:8080
  bowline relay --listen 0.0.0.0:7790 --allow '*.internal:5432' --names-reach 10.0.0.0/8
  bowline relay --allow tls://mail.example:993 --allow wss://hub.example/mqtt
  bowline relay -c bowline.toml";

const TUNNEL_EXAMPLES: &str = "\
The target is one that the server allows: HOST:PORT, or unix:PATH on the server's machine. With tls://HOST:PORT,
ws://HOST/PATH, wss://HOST/PATH and bowline+udp://HOST:PORT the relay speaks these with the target, and what goes through
the tunnel is what is within them; bowline+wss://… and mqtt+wss://… ask for that subprotocol. A connection that the target
breaks off is broken off here, one that it ends is ended.

Examples:
  bowline tunnel -L 8080 web.internal:80              then: curl http://127.0.0.1:8080/
  bowline tunnel -h relay.example -L 5432 db:5432     then: psql -h 127.0.0.1
  bowline tunnel -L unix:/tmp/db.sock db:5432
  bowline tunnel -L 1143 tls://mail.example:993       IMAP in clear here, in TLS between the relay and the target
  bowline tunnel -L 1883 mqtt+wss://hub.example/mqtt  then: mosquitto_pub -p 1883 -t a -m b
  ssh -o ProxyCommand='bowline tunnel -h relay.example %h:%p' inside.internal";

/// `bowline relay`.
#[derive(Args, Clone, Debug)]
#[command(after_help = RELAY_EXAMPLES)]
pub(crate) struct RelayArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

/// `bowline tunnel`.
#[derive(Args, Clone, Debug)]
#[command(after_help = TUNNEL_EXAMPLES)]
pub(crate) struct TunnelArgs {
    /// Where to: HOST:PORT, unix:PATH, tls://, ws://, wss:// or bowline+udp://, as the server sees it
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// Listen here (a port of 127.0.0.1, HOST:PORT or unix:PATH; port 0: any), and forward each connection; without it
    /// standard input and output are connected
    #[arg(short = 'L', long, value_name = "LOCAL")]
    pub(crate) local: Option<String>,

    /// Print JSON, an object for each thing that happens
    #[arg(long, requires = "local")]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}
