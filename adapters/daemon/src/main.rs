//! The `bowline` program: a messaging server, and the tools to talk to one.
//!
//! `bowline` alone serves on loopback. `bowline --help` lists the rest.

mod auth;
mod bench;
mod cert;
mod cli;
mod client;
mod config;
mod failure;
mod http;
mod key;
mod log;
mod net;
mod notify;
mod otlp;
mod output;
mod plugins;
mod serve;
mod store;
mod text;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::{Builder, Runtime};

use cli::{CheckWhat, Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let cli = Cli::parse_from(cli::arguments(std::env::args_os()));
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::error(message);
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Runs one command on a runtime of its own.
fn run(cli: Cli) -> Result<(), Failure> {
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    match command {
        Command::Check(args) => match &args.what {
            None => config::report::run(&args),
            Some(CheckWhat::Access(what)) => auth::access(what, &args.config, args.json),
            Some(CheckWhat::Users(what)) => auth::users_file(what, args.json),
        },
        Command::Passwd(args) => auth::passwd(&args),
        Command::Key(args) => key::run(&args),
        Command::Completions(args) => cli::completions(args.shell),
        Command::Credentials(args) => client::credentials::run(&args),
        Command::Cert(args) => cert::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Serve(args) => drive(wide()?, serve::run(args)),
        Command::Bench(args) => drive(wide()?, bench::run(args)),
        Command::Relay(args) => drive(wide()?, serve::relay(args)),
        Command::Tunnel(args) => drive(narrow()?, client::tunnel::run(args)),
        Command::Pub(args) => drive(narrow()?, client::publish::run(args)),
        Command::Sub(args) => drive(narrow()?, client::subscribe::run(args)),
        Command::Req(args) => drive(narrow()?, client::request::run(args)),
        Command::Reply(args) => drive(narrow()?, client::reply::run(args)),
        Command::Room(args) => drive(narrow()?, client::room::run(args)),
        Command::MqttPub(args) => drive(narrow()?, client::mqtt::publish(*args)),
        Command::MqttSub(args) => drive(narrow()?, client::mqtt::subscribe(*args)),
        Command::MqttReq(args) => drive(narrow()?, client::mqtt::request(*args)),
        Command::Plugins(args) => drive(narrow()?, client::admin::plugins(args)),
        Command::Sessions(args) => drive(narrow()?, client::admin::sessions(args)),
        Command::Ping(args) => drive(narrow()?, client::ping::run(args)),
    }
}

/// Runs a command to its end. What still blocks then, such as a read of standard input that waits for
/// a line, is not waited for.
fn drive(runtime: Runtime, command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let outcome = runtime.block_on(command);
    runtime.shutdown_background();
    outcome
}

/// A runtime with a thread for each core, for the server and for load.
fn wide() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().enable_all().build().map_err(no_runtime)
}

/// A runtime on this thread alone: a client needs no more.
fn narrow() -> Result<Runtime, Failure> {
    Builder::new_current_thread().enable_all().build().map_err(no_runtime)
}

#[allow(clippy::needless_pass_by_value)] // The shape of `map_err`.
fn no_runtime(error: std::io::Error) -> Failure {
    Failure::new(format!("the system gives no event queue ({error}); it may be out of file descriptors"))
}
