//! `bowline serve`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use crate::auth;
use crate::cli::{Endpoint, RelayArgs, ServeArgs};
use crate::config::{self, Auth, Config, Console, Listen, Noise, Origin, PORT, Relay, Tls};
use crate::failure::Failure;
use crate::http::Site;
use crate::log;
use crate::net::{Activated, Server, egress};
use crate::notify::{self, Watchdog};
use crate::output;

/// Descriptors beside those of connections: listeners, the log, the runtime's own.
const DESCRIPTORS_BESIDE: u64 = 64;

/// Serves as a relay above all.
pub(crate) async fn relay(args: RelayArgs) -> Result<(), Failure> {
    run(ServeArgs { is_relay: true, ..args.serve }).await
}

/// Serves until a signal, then drains.
pub(crate) async fn run(args: ServeArgs) -> Result<(), Failure> {
    let activated = Activated::take()?;
    let config::Loaded { config, origins } = config::load_with_flags(&args)?;
    let tail = log::start(&config.log)?;
    let auth = auth::load(&config)?;
    make_room(config.limits.connections);
    // Signals are taken before anybody is told that the server runs.
    let mut signals = Signals::new()?;
    let mut reloads = Reloads::new(args, &config, &auth);
    // What nobody has asked for is no reason not to start.
    let if_free = matches!(origins.source("listen[0].tcp"), Origin::Default);
    activated.warn_of_unused(&config.listen);
    let server = Server::bind(&config, auth, if_free, Site::new(&config, tail), activated).await?;
    let addresses = server.addresses();
    warn_of_missing(&config, &addresses);
    announce(&config, &addresses, &server)?;
    info!(addresses = listed(&addresses), "serving");
    let _watchdog = Watchdog::start(&server);
    notify::ready(&listed(&addresses));
    loop {
        tokio::select! {
            () = server.stopped() => {
                return Err(Failure::new("the server stopped by itself; the lines above say why"));
            }
            _ = signals.hangup.recv() => {
                notify::reloading();
                reloads.run(&server).await;
                notify::reloaded();
            }
            name = next(&mut signals.terminate, &mut signals.interrupt) => {
                let deadline = config.drain.deadline;
                info!(signal = name, %deadline, "draining; a second signal ends at once");
                break;
            }
        }
    }
    notify::stopping();
    tokio::select! {
        () = server.drain(&config.drain) => {
            info!("drained");
            Ok(())
        }
        name = next(&mut signals.terminate, &mut signals.interrupt) => {
            warn!(signal = name, "ending at once");
            Err(Failure::new(format!("ended at once by a second signal ({name}); clients were not waited for")))
        }
    }
}

/// Says which of the default addresses it does without.
fn warn_of_missing(config: &Config, addresses: &[Endpoint]) {
    if addresses.len() == config.listen.len() {
        return;
    }
    for address in config.listen.iter().filter_map(|listen| listen.tcp) {
        let address = address.to_string();
        if !addresses.iter().any(|listening| listening.to_string() == address) {
            warn!(address, "another program listens there; serving without it (--listen says where instead)");
        }
    }
}

/// Reads users, rules and listeners again while the server runs.
struct Reloads {
    args: ServeArgs,
    /// The configuration without what a reload changes.
    fixed: Config,
    /// Where it listens.
    listen: Vec<Listen>,
    summary: auth::Summary,
    relay: Relay,
}

impl Reloads {
    fn new(args: ServeArgs, config: &Config, auth: &auth::Loaded) -> Self {
        for warning in &auth.warnings {
            warn!("{warning}");
        }
        let (listen, relay) = (config.listen.clone(), config.relay.clone());
        Self { args, fixed: fixed(config), listen, summary: auth.summary.clone(), relay }
    }

    /// Takes over what is written now; what is wrong changes nothing.
    async fn run(&mut self, server: &Server) {
        let args = self.args.clone();
        let read = move || {
            let config = config::load_with_flags(&args)?.config;
            let auth = auth::load(&config)?;
            let egress = egress(&config.relay)?;
            Ok::<_, Failure>((config, auth, egress))
        };
        let (config, auth, egress) = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(new)) => new,
            Ok(Err(failure)) => {
                let reason = failure.message().unwrap_or_default();
                error!(reason, "SIGHUP: nothing was reloaded, and what counted before still does");
                // The files of certificates are none of it.
                return server.reload_certificates();
            }
            Err(error) => {
                error!(%error, "SIGHUP: nothing was reloaded, and what counted before still does");
                return;
            }
        };
        match server.reload_tls(&config.tls) {
            Ok(true) => info!("SIGHUP: what is said of TLS counts for handshakes from now on"),
            Ok(false) => {}
            Err(()) => error!("SIGHUP: what is said of TLS is not taken over; the line above says why"),
        }
        for warning in &auth.warnings {
            warn!("{warning}");
        }
        let mut changes = self.summary.changes(&auth.summary);
        if config.relay != self.relay {
            changes.push("what is relayed".to_owned());
            self.relay = config.relay.clone();
        }
        self.summary = auth.summary.clone();
        server.reload(auth, &config.relay, egress);
        match server.reload_plugins(&config.plugin) {
            Ok(true) => info!("SIGHUP: plugins reloaded; their counts and buckets begin anew"),
            Ok(false) => {}
            Err(failure) => {
                let reason = failure.message().unwrap_or_default();
                error!(reason, "SIGHUP: the plugins were not reloaded");
            }
        }
        let changes = if changes.is_empty() { "nothing".to_owned() } else { changes.join(", ") };
        info!(changes, "SIGHUP: users, keys and access rules reloaded");
        let (changes, failures) = server.listen_anew(&mut self.listen, config.listen.clone());
        for change in changes {
            info!("SIGHUP: {change}");
        }
        for reason in failures {
            error!(reason, "SIGHUP: a listener is not as the configuration says");
        }
        if format!("{:?}", fixed(&config)) != format!("{:?}", self.fixed) {
            warn!("other settings are different too; they count when the server is started again");
        }
    }
}

fn fixed(config: &Config) -> Config {
    // Whether there is any, and where it is not needed, is decided at the start.
    let tls =
        Tls { cert: config.tls.cert.as_ref().map(|_| "".into()), plain: config.tls.plain, ..Tls::default() };
    Config {
        auth: Auth::default(),
        listen: Vec::new(),
        noise: Noise::default(),
        plugin: Vec::new(),
        relay: Relay::default(),
        tls,
        ..config.clone()
    }
}

/// The signals that are taken.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let take = |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self {
            terminate: take(SignalKind::terminate())?,
            interrupt: take(SignalKind::interrupt())?,
            hangup: take(SignalKind::hangup())?,
        })
    }
}
/// The name of the next signal that ends the server.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Says on standard output where the server is, and how to try it.
fn announce(config: &Config, addresses: &[Endpoint], server: &Server) -> Result<(), Failure> {
    let flags = addresses.first().map(flags).unwrap_or_default();
    let console = Some(()).filter(|()| config.http.console != Console::Off).and_then(|()| console(addresses));
    let console = console.map(|url| format!("console at {url}\n")).unwrap_or_default();
    let text = format!(
        "bowline {} listens on {}\n{}\n{console}try it:  bowline sub{flags} 'demo/#'\n         bowline pub{flags} demo/hello hi\n",
        env!("CARGO_PKG_VERSION"),
        listed(addresses),
        server.stores()
    );
    output::data(&text)
}

/// Where the console is, for a browser on this machine.
fn console(addresses: &[Endpoint]) -> Option<String> {
    addresses.iter().find_map(|address| match address {
        Endpoint::Unix(_)
        | Endpoint::Udp { .. }
        | Endpoint::WebSocket { .. }
        | Endpoint::TlsWebSocket { .. } => None,
        Endpoint::Tcp { host, port } | Endpoint::Tls { host, port } => {
            let host = match host.as_str() {
                "0.0.0.0" => "127.0.0.1".to_owned(),
                "::" => "[::1]".to_owned(),
                host if host.contains(':') => format!("[{host}]"),
                host => host.to_owned(),
            };
            let scheme = if matches!(address, Endpoint::Tls { .. }) { "https" } else { "http" };
            Some(format!("{scheme}://{host}:{port}/"))
        }
    })
}

fn listed(addresses: &[Endpoint]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

/// The flags that lead a client on this machine to an address.
fn flags(address: &Endpoint) -> String {
    match address {
        Endpoint::Unix(path) => format!(" --unix {}", path.display()),
        other @ (Endpoint::WebSocket { .. }
        | Endpoint::Tls { .. }
        | Endpoint::TlsWebSocket { .. }
        | Endpoint::Udp { .. }) => format!(" {other}"),
        Endpoint::Tcp { host, port } => {
            let host = match host.as_str() {
                "127.0.0.1" | "0.0.0.0" | "::" => String::new(),
                host => format!(" -h {host}"),
            };
            if *port == PORT { host } else { format!("{host} -p {port}") }
        }
    }
}

/// Raises the limit of open files as far as the connections need, and says when that is not enough.
fn make_room(connections: usize) {
    let needed = connections as u64 + DESCRIPTORS_BESIDE;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return;
    }
    let allowed = maximum.map_or(needed, |maximum| maximum.min(needed));
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(allowed), maximum });
    let have = if raised.is_ok() { allowed } else { current.unwrap_or(0) };
    if have < needed {
        warn!(
            files = have,
            "limits.connections is {connections}, but this process may open {have} files only; raise the limit \
             (ulimit -n, or LimitNOFILE= in a systemd unit) to {needed}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_where_a_browser_finds_it() {
        let at = |all: &[&str]| {
            let all: Vec<_> = all.iter().map(|text| Endpoint::parse(text).unwrap()).collect();
            console(&all).unwrap_or_default()
        };
        assert_eq!(at(&["unix:/run/b.sock", "127.0.0.1:7790"]), "http://127.0.0.1:7790/");
        assert_eq!(at(&["0.0.0.0:80"]), "http://127.0.0.1:80/");
        assert_eq!(at(&["[::]:7790"]), "http://[::1]:7790/");
        assert_eq!(at(&["[2001:db8::1]:7790"]), "http://[2001:db8::1]:7790/");
        assert_eq!(at(&["unix:/run/b.sock"]), "");
    }

    #[test]
    fn the_hints_lead_to_the_server() {
        let hint = |text: &str| flags(&Endpoint::parse(text).unwrap());
        assert_eq!(hint("127.0.0.1:7790"), "");
        assert_eq!(hint("0.0.0.0:7791"), " -p 7791");
        assert_eq!(hint("[::1]:7790"), " -h ::1");
        assert_eq!(hint("192.0.2.1:7791"), " -h 192.0.2.1 -p 7791");
        assert_eq!(hint("unix:/run/bowline.sock"), " --unix /run/bowline.sock");
    }
}
