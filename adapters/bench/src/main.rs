//! `bowline-bench`: load for messaging servers, and comparisons between them. See the README.

mod attackers;
mod clock;
mod compare;
mod cost;
mod engine;
mod fleet;
mod scenario;
mod servers;
mod stamp;
mod stats;
#[cfg(test)]
mod tests;
mod tls;
mod tokio_echo;
mod wire;

use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::compare::Settings;
use crate::scenario::{Common, Protocol, Scenario, Target};
use crate::servers::Spec;
use crate::stats::Figures;

const EXAMPLES: &str = "\
Examples:
  bowline-bench compare fanout                        bowline and nats-server, 5 runs each, in turns
  bowline-bench compare pairs --pairs 50 --runs 9 --json
  bowline-bench compare echo --depth 1                bowline-echo and tokio-echo
  bowline-bench compare idle --server bowline-tls     what a session in TLS takes
  bowline-bench compare fanout --server nats-server --server 'mine=nats:./mine --port {port}'
  bowline-bench run pingpong --protocol nats --address 127.0.0.1:4222 --server-pid 4711
  bowline-bench run slowloris --connections 2000 --watch 10s

Build the servers first:
  cargo build --release -p bowline -p bowline-bench
  cargo build --release -p bowline-tokio --example echo_server";

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Something about sockets, processes or files.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// Clients could not be made ready.
    #[error("only {ready} of {of} clients became ready: {why}; does the server speak this protocol?")]
    NotReady { ready: usize, of: usize, why: String },
    /// Too few descriptors.
    #[error(
        "{allowed} open files are allowed and {wanted} are needed; raise `ulimit -n`, or take fewer connections"
    )]
    Descriptors { allowed: u64, wanted: u64 },
    /// The scenario needs topics, and the protocol has none; or it knows no TLS.
    #[error("this scenario cannot be run over this protocol, or not in TLS")]
    Unfit,
    /// A server's program was not found.
    #[error("there is no program {0}; build or install it, or name another with --server")]
    NoProgram(String),
    /// A server did not come up.
    #[error("{name} does not listen; the last that it said: {said}")]
    NotListening { name: String, said: String },
    /// None of the servers is installed.
    #[error("none of the servers is there to be compared")]
    NoServers,
}

/// Load for messaging servers: throughput, latency, cost, and behaviour under attack.
///
/// Everything runs on 127.0.0.0/8, from one thread. Payloads carry a number and a time, so what is
/// lost, doubled, out of order or changed is counted.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure a server that is running
    Run(Run),
    /// Start servers, measure them in turns, and print medians, ranges and ratios
    Compare(Compare),
    /// A plain echo server of length-prefixed frames on tokio
    #[command(hide = true)]
    ServeTokioEcho { port: u16 },
}

#[derive(Args, Debug)]
struct Run {
    #[command(subcommand)]
    scenario: Scenario,
    /// What the server speaks
    #[arg(long, value_enum, default_value = "bowline", global = true)]
    protocol: Protocol,
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1:7790", value_parser = loopback, global = true)]
    address: SocketAddrV4,
    /// In TLS, trusting the authorities of this file of PEM; the server goes by the name localhost
    #[arg(long, value_name = "FILE", global = true)]
    cafile: Option<PathBuf>,
    /// Its process, to read its cost and memory from
    #[arg(long, global = true)]
    server_pid: Option<u32>,
    #[command(flatten)]
    common: Common,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Args, Debug)]
struct Compare {
    #[command(subcommand)]
    scenario: Scenario,
    /// A server: a built-in name (bowline, bowline-tls, nats-server, bowline-echo, tokio-echo) or
    /// NAME=PROTOCOL:COMMAND, in which {port} is filled in, and {dir} with an empty directory;
    /// PROTOCOL+tls: in TLS, with {dir}/cert.pem and {dir}/key.pem;
    /// may be repeated, the first is the one whose ratios are shown
    #[arg(long = "server", value_name = "SERVER", global = true)]
    servers: Vec<Spec>,
    /// Runs of each server
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000), global = true)]
    runs: u16,
    /// The core for servers
    #[arg(long, default_value_t = 1, global = true)]
    server_core: usize,
    /// The core for the load
    #[arg(long, default_value_t = 0, global = true)]
    load_core: usize,
    /// Do a run again when other processes took more of a core than this, in percent
    #[arg(long, default_value_t = 15.0, global = true)]
    max_foreign: f64,
    /// Do it again at most so often
    #[arg(long, default_value_t = 2, global = true)]
    retries: usize,
    #[command(flatten)]
    common: Common,
    /// As JSON
    #[arg(long, global = true)]
    json: bool,
}

/// An address in 127.0.0.0/8: nobody else's server is loaded by mistake.
fn loopback(text: &str) -> Result<SocketAddrV4, String> {
    let address: SocketAddrV4 =
        text.parse().map_err(|_| "not an address such as 127.0.0.1:7790".to_owned())?;
    if address.ip().is_loopback() { Ok(address) } else { Err("only 127.0.0.0/8 is measured".into()) }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cost::raise_descriptors();
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bowline-bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::ServeTokioEcho { port } => tokio_echo::serve(port)?,
        Command::Run(run) => {
            let Run { scenario, protocol, address, cafile, server_pid: pid, common, json } = run;
            let trust = cafile.as_deref().map(tls::Trust::in_file).transpose()?;
            let figures = scenario.run(&common, &Target { protocol, address, trust, pid })?;
            print_figures(&scenario.title(&common), &figures, json);
        }
        Command::Compare(args) => {
            let ended = ctrlc::set_handler(|| servers::end_all_and_exit(130));
            ended.map_err(std::io::Error::other)?;
            let json = args.json;
            let comparison = compare::compare(&settings(&args), &args.scenario, &args.common)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&comparison).map_err(std::io::Error::other)?);
            } else {
                println!("{}", comparison.markdown());
            }
        }
    }
    Ok(())
}

fn settings(args: &Compare) -> Settings {
    let mut servers = args.servers.clone();
    if servers.is_empty() {
        let names: &[&str] = if args.scenario.wants_echo() {
            &["bowline-echo", "tokio-echo"]
        } else if args.scenario.is_http() {
            &["bowline"]
        } else {
            &["bowline", "nats-server"]
        };
        servers = names.iter().filter_map(|n| n.parse().ok()).collect();
    }
    Settings {
        servers,
        runs: usize::from(args.runs),
        server_core: args.server_core,
        load_core: args.load_core,
        max_foreign: args.max_foreign,
        retries: args.retries,
    }
}

fn print_figures(title: &str, figures: &Figures, json: bool) {
    if json {
        let map: serde_json::Map<_, _> =
            figures.0.iter().map(|f| (f.name.clone(), serde_json::Value::from(f.value))).collect();
        println!("{}", serde_json::json!({ "title": title, "figures": map }));
        return;
    }
    println!("{title}");
    for figure in &figures.0 {
        println!("  {:<28} {}", figure.name, stats::human(figure.value));
    }
}
