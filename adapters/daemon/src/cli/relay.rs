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
A name that is allowed may lead to public addresses, and to networks that --allow or --names-reach name; `localhost`
leads to this machine. In a configuration it is the section [relay], which SIGHUP reads again.

Examples:
  bowline relay --allow localhost:8080
  bowline relay --listen 0.0.0.0:7790 --allow '*.internal:5432' --names-reach 10.0.0.0/8
  bowline relay -c bowline.toml";

const TUNNEL_EXAMPLES: &str = "\
The target is one that the server allows: HOST:PORT, or unix:PATH on the server's machine. A connection that the target
breaks off is broken off here, one that it ends is ended.

Examples:
  bowline tunnel -L 8080 web.internal:80              then: curl http://127.0.0.1:8080/
  bowline tunnel -h relay.example -L 5432 db:5432     then: psql -h 127.0.0.1
  bowline tunnel -L unix:/tmp/db.sock db:5432
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
    /// Where to: HOST:PORT, or unix:PATH, as the server sees it
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
