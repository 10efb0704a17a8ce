//! `bowline-conformance`: tries the vectors on an implementation.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bowline_conformance::carrier::Carrier;
use bowline_conformance::differences::Differences;
use bowline_conformance::mqtt::statements;
use bowline_conformance::runner::{self, Cut, Outcome};
use bowline_conformance::service::InProcess;
use bowline_conformance::shim::{self, Shim};
use bowline_conformance::target::Target as Echo;
use bowline_conformance::vector::{self, Vector};
use bowline_conformance::{mutate, socket};
use bowline_core::secure::PublicKey;
use clap::{Args, Parser, Subcommand};

mod report;

const EXAMPLES: &str = "\
Examples:
  bowline-conformance run --connect localhost:7790
  bowline-conformance run --connect wss://localhost:7790/ --cafile ca.pem
  bowline-conformance run --connect bowline+udp://localhost --server-key 'bowline-public-v1 …'
  bowline-conformance run --shim 'python3 -m bowline.shim' --filter handshake/
  bowline-conformance run --whitebox --json
  bowline-conformance run --connect localhost:1883 --filter mqtt3- --filter mqtt5- \
    --differences conformance/mqtt/mosquitto.json
  bowline-conformance mutate
  bowline-conformance list --rules

Exit codes: 0 all passed, 1 something failed, 2 wrong usage.
What an implementation does not support is reported, and does not fail.";

/// The conformance vectors of the protocols that Bowline speaks, and their runners.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Cli {
    /// Use the vectors of this directory instead of those built in
    #[arg(long, global = true, value_name = "DIR")]
    vectors: Option<PathBuf>,
    /// Only vectors whose name contains this, or one of these
    #[arg(long, global = true, value_name = "TEXT")]
    filter: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run vectors on an implementation
    Run(Run),
    /// Change each vector in every way that matters; each change must fail (on our own session machine)
    Mutate {
        /// Try only each Nth change
        #[arg(long, default_value_t = 1, value_name = "N")]
        stride: usize,
    },
    /// List the vectors, or which of them check each rule
    List {
        /// By rule
        #[arg(long)]
        rules: bool,
    },
    /// Print every normative statement of MQTT and what shows it, as MQTT.md holds it
    Statements,
    /// Offer our own session machine over standard input and output, as `run --shim` expects it
    Shim,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    secured: Secured,
    /// Results as JSON
    #[arg(long)]
    json: bool,
    /// Cut input at random places, in so many ways (white box and shim)
    #[arg(long, default_value_t = 4, value_name = "N")]
    cuts: u64,
    /// Failures that are known of this server and explained there do not fail; if they do not occur, they do
    #[arg(long, value_name = "FILE")]
    differences: Option<PathBuf>,
    /// How long a server behind a socket may take for an answer, in seconds
    #[arg(long, default_value_t = socket::PATIENCE.as_secs(), value_name = "SECONDS")]
    patience: u64,
}

/// What secures the way to a server.
#[derive(Args)]
struct Secured {
    /// Trust the authorities in this file, instead of those that this machine trusts
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Trust whoever answers: whoever is in between can read and change all
    #[arg(long, conflicts_with = "cafile")]
    dangerous_trust_anyone: bool,
    /// The server's public key: our own protocol goes in the records of Noise, and UDP is secured so
    #[arg(long, value_name = "KEY")]
    server_key: Option<PublicKey>,
    /// The server relays to this address, where the runner then listens for its tunnels
    #[arg(long, value_name = "HOST:PORT")]
    target: Option<String>,
    /// Sessions over UDP are not secured
    #[arg(long, conflicts_with = "server_key")]
    insecure_udp: bool,
}

impl Secured {
    fn carrier(&self, address: &str) -> Result<Carrier, Box<dyn std::error::Error>> {
        let mut carrier = Carrier::new(address)?;
        if carrier.address().is_secured() {
            // Each dialect is known by its first octets, as on every transport.
            let tls = bowline_tls::Client::builder().alpn::<&str>(&[]);
            let tls = match &self.cafile {
                Some(file) => tls.authority(file),
                None if self.dangerous_trust_anyone => tls.dangerous_trust_anyone(),
                None => tls.platform_authorities(),
            };
            carrier = carrier.tls(tls.build()?);
        }
        if let Some(key) = self.server_key {
            carrier = carrier.noise(key);
        }
        if let Some(target) = &self.target {
            Echo::listen(target)?;
            carrier = carrier.target(target);
        }
        if self.insecure_udp {
            carrier = carrier.insecure_datagrams();
        }
        Ok(carrier)
    }
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// A server that listens here: host:port, unix:/path, bowlines://host (TLS), ws://host/path, wss://host/path,
    /// bowline+udp://host
    #[arg(long, value_name = "ADDRESS")]
    connect: Option<String>,
    /// Our own session machine, in this process
    #[arg(long)]
    whitebox: bool,
    /// A command that speaks JSON lines over standard input and output
    #[arg(long, value_name = "COMMAND")]
    shim: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bowline-conformance: {error}");
            ExitCode::from(2)
        }
    }
}

fn execute(cli: &Cli) -> Result<bool, Box<dyn std::error::Error>> {
    if matches!(cli.command, Command::Shim) {
        shim::serve(&mut InProcess::default(), std::io::stdin().lock(), std::io::stdout().lock())?;
        return Ok(true);
    }
    let mut vectors = match &cli.vectors {
        Some(dir) => vector::from_directory(dir)?,
        None => vector::builtin()?,
    };
    let known = match &cli.command {
        Command::Run(Run { differences: Some(file), .. }) => Some(Differences::read(file)?),
        _ => None,
    };
    if let Some(name) = known.iter().flat_map(|k| k.unknown(&vectors)).next() {
        return Err(format!("the differences name {name}, which is no vector").into());
    }
    if !cli.filter.is_empty() {
        vectors.retain(|v| cli.filter.iter().any(|text| v.name.contains(text.as_str())));
    }
    if vectors.is_empty() {
        return Err("no vector has such a name; `list` shows them all".into());
    }
    match &cli.command {
        Command::Run(run) => {
            let mut results = run_on(run, &vectors)?;
            if let Some(known) = &known {
                known.judge(&vectors, results.iter_mut().map(|(_, outcome)| outcome));
            }
            if run.json {
                report::json(&vectors, &results);
            } else {
                report::table(&vectors, &results, std::io::stdout().is_terminal());
            }
            Ok(!results.iter().any(|(_, o)| matches!(o, Outcome::Fail { .. })))
        }
        Command::Mutate { stride } => {
            let report = mutate::check(&vectors, &mut InProcess::default(), *stride);
            report::survivors(&report);
            Ok(report.survivors.is_empty())
        }
        Command::List { rules } => {
            report::list(&vectors, *rules)?;
            Ok(true)
        }
        Command::Statements => {
            print!("{}", statements::page(&vectors));
            Ok(true)
        }
        Command::Shim => Ok(true),
    }
}

fn run_on(run: &Run, vectors: &[Vector]) -> Result<Vec<(Cut, Outcome)>, Box<dyn std::error::Error>> {
    if let Some(address) = &run.target.connect {
        let (carrier, patience) = (run.secured.carrier(address)?, Duration::from_secs(run.patience));
        let one = |v| (Cut::Whole, socket::run_patiently(v, &carrier, patience));
        return Ok(vectors.iter().map(one).collect());
    }
    if let Some(command) = &run.target.shim {
        let mut shim = Shim::start(command)?;
        let mut results = Vec::with_capacity(vectors.len());
        for vector in vectors {
            let result = runner::run_all_ways(vector, &mut shim, run.cuts);
            if matches!(&result.1, Outcome::Fail { what, .. } if what.starts_with("the command has ended")) {
                shim = Shim::start(command)?;
            }
            results.push(result);
        }
        return Ok(results);
    }
    let mut whitebox = InProcess::default();
    Ok(vectors.iter().map(|v| runner::run_all_ways(v, &mut whitebox, run.cuts)).collect())
}
