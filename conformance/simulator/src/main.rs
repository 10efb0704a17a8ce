//! Runs simulated worlds: many seeds, or one of them again.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bowline_simulator::{Kind, Options, Outcome, Over, Scenario, run};
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Simulates a Bowline server and its clients on virtual time")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many worlds.
    Run {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        start: u64,
        #[command(flatten)]
        world: World,
    },
    /// Run one world again.
    Replay {
        /// Its seed.
        seed: u64,
        /// Print all that happens.
        #[arg(long)]
        trace: bool,
        #[command(flatten)]
        world: World,
    },
}

#[derive(Args)]
struct World {
    /// Whose worlds: `session`, clients of our own protocol and a server that keeps nothing; `broker`,
    /// clients of MQTT and a server with a store, which dies again and again; `rooms`, members of a room
    /// over our own protocol and typed JSON, and such a server.
    #[arg(long = "world", value_parser = kind, default_value = "session")]
    kind: Kind,
    /// What worlds of sessions are about; else each seed chooses.
    #[arg(long, value_parser = scenario)]
    scenario: Option<Scenario>,
    /// What its lines are, of worlds of sessions: plain, websocket, noise, tls, udp.
    #[arg(long, value_parser = over, default_value = "plain")]
    over: Over,
    /// Messages in each world.
    #[arg(long, default_value_t = 2000)]
    messages: u64,
}

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Scenario::ALL.iter().map(|s| s.name()).collect();
        format!("there are: {}", names.join(", "))
    })
}

fn over(name: &str) -> Result<Over, String> {
    Over::from_name(name).ok_or_else(|| {
        let names: Vec<_> = Over::ALL.iter().map(|o| o.name()).collect();
        format!("there are: {}", names.join(", "))
    })
}

fn kind(name: &str) -> Result<Kind, String> {
    [Kind::Session, Kind::Broker, Kind::Rooms]
        .into_iter()
        .find(|kind| kind.name() == name)
        .ok_or_else(|| "there are: session, broker, rooms".into())
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run { seeds, start, world } => run_many(start..start + seeds, &world),
        Command::Replay { seed, trace, world } => replay(seed, trace, &world),
    }
}

fn options(world: &World) -> Options {
    Options {
        kind: world.kind,
        scenario: world.scenario,
        over: world.over,
        messages: world.messages,
        ..Options::default()
    }
}

fn run_many(seeds: std::ops::Range<u64>, world: &World) -> ExitCode {
    let (begun, count) = (Instant::now(), seeds.end - seeds.start);
    let (mut failed, mut messages, mut deaths, mut time) = (0u64, 0u64, 0u64, Duration::ZERO);
    let mut connections = [0u64; 3];
    for seed in seeds {
        let outcome = run(seed, &options(world));
        messages += outcome.messages;
        deaths += outcome.deaths;
        time += outcome.virtual_time;
        connections.iter_mut().zip(outcome.connections).for_each(|(sum, n)| *sum += n);
        if outcome.wrong.is_some() {
            failed += 1;
            tell(seed, world, &outcome);
        }
    }
    let wall = begun.elapsed();
    let rate = messages as f64 / wall.as_secs_f64().max(1e-9);
    let [made, resumed, lost] = connections;
    println!(
        "{count} seeds, {failed} failed; {messages} messages, {made} connections, {resumed} resumed, {lost} sessions lost, {deaths} deaths of the server"
    );
    println!(
        "{:.0} s of virtual time in {:.1} s: {rate:.0} messages a second",
        time.as_secs_f64(),
        wall.as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, trace: bool, world: &World) -> ExitCode {
    let outcome = run(seed, &Options { print: trace, ..options(world) });
    if outcome.wrong.is_some() {
        tell(seed, world, &outcome);
        return ExitCode::FAILURE;
    }
    let (hash, messages) = (outcome.hash, outcome.messages);
    println!("seed {seed} ({}): {messages} messages, trace {hash:016x}", outcome.name);
    ExitCode::SUCCESS
}

fn tell(seed: u64, world: &World, outcome: &Outcome) {
    let wrong = outcome.wrong.as_deref().unwrap_or_default();
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("seed {seed} ({}): {wrong}", outcome.name);
    let scenario = world.scenario.map_or(String::new(), |s| format!(" --scenario {}", s.name()));
    println!(
        "  again: cargo run --release -p bowline-simulator -- replay {seed} --world {}{scenario} --over {} --messages {} --trace",
        world.kind.name(),
        world.over.name(),
        world.messages
    );
}
