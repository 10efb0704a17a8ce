//! Servers that this program starts and ends itself.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::Mutex;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;
use crate::cost;
use crate::scenario::{Protocol, Target};
use crate::tls::{self, Trust};

/// A server has so long to listen, and so long to end when asked.
const START_MAX: Duration = Duration::from_secs(15);
const END_MAX: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The processes that are running and their directories, for a signal that ends this program.
static RUNNING: Mutex<Vec<(u32, PathBuf)>> = Mutex::new(Vec::new());

/// How to start a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) protocol: Protocol,
    /// In TLS, with a certificate that is made for it.
    tls: bool,
    /// The program and its arguments; `{port}` and `{dir}` are filled in.
    command: Vec<String>,
}

/// The names that need no command.
pub(crate) const BUILT_IN: [&str; 5] =
    ["bowline", "bowline-tls", "nats-server", "bowline-echo", "tokio-echo"];

impl FromStr for Spec {
    type Err = String;

    /// A built-in name, or `NAME=PROTOCOL:COMMAND`.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((name, rest)) = text.split_once('=') else {
            return built_in(text).ok_or_else(|| {
                format!("{text:?} is neither NAME=PROTOCOL:COMMAND nor one of {}", BUILT_IN.join(", "))
            });
        };
        let (protocol, command) =
            rest.split_once(':').ok_or("a PROTOCOL and a colon are missing before the command")?;
        let (protocol, tls) = protocol.strip_suffix("+tls").map_or((protocol, false), |base| (base, true));
        let protocol = match protocol {
            "bowline" => Protocol::Bowline,
            "nats" => Protocol::Nats,
            "raw" => Protocol::Raw,
            _ => return Err(format!("{protocol:?} is none of the protocols bowline, nats, raw")),
        };
        if !command.contains("{port}") {
            return Err(
                "the command does not hold {port}: the server could not be told where to listen".into()
            );
        }
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        Ok(Spec { name: name.to_owned(), protocol, tls, command })
    }
}

fn built_in(name: &str) -> Option<Spec> {
    let own = std::env::current_exe().unwrap_or_else(|_| "bowline-bench".into());
    // The other programs of a workspace are built into the same directory.
    let near = |name: &str| own.with_file_name(name).to_string_lossy().into_owned();
    let words = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let (protocol, command) = match name {
        "bowline" | "bowline-tls" => {
            (Protocol::Bowline, words(&[&near("bowline"), "serve", "--listen", "127.0.0.1:{port}"]))
        }
        "nats-server" => (Protocol::Nats, words(&["nats-server", "-a", "127.0.0.1", "-p", "{port}"])),
        "bowline-echo" => (Protocol::Bowline, words(&[&near("examples/echo_server"), "{port}"])),
        "tokio-echo" => (Protocol::Raw, words(&[&own.to_string_lossy(), "serve-tokio-echo", "{port}"])),
        _ => return None,
    };
    Some(Spec { name: name.into(), protocol, tls: name == "bowline-tls", command })
}

impl Spec {
    /// Where its program is, or `None` if there is none.
    pub(crate) fn program(&self) -> Option<PathBuf> {
        let program = Path::new(self.command.first()?);
        if program.components().count() > 1 {
            return program.is_file().then(|| program.to_owned());
        }
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|d| d.join(program)).find(|p| p.is_file())
    }

    /// The program, as it was given.
    pub(crate) fn program_name(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// Starts it on a free port, pinned to these cores, and waits until it listens.
    pub(crate) fn start(&self, server_cores: &[usize], own_cores: &[usize]) -> Result<Running, Failure> {
        let program = self.program().ok_or_else(|| Failure::NoProgram(self.program_name().into()))?;
        let port = free_port()?;
        let directory = std::env::temp_dir().join(format!("bowline-bench-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let fill = |word: &String| {
            word.replace("{port}", &port.to_string()).replace("{dir}", &directory.to_string_lossy())
        };
        let certificate = self.tls.then(|| tls::make(&directory)).transpose()?;
        let trust = self.tls.then(|| Trust::in_directory(&directory)).transpose()?;
        let log = std::fs::File::create(directory.join("server.log"))?;
        // Held while it starts: a signal's handler must know it, or come before it.
        let mut known = lock();
        // A child inherits the pinning of the thread that starts it.
        cost::pin(server_cores)?;
        let child = Command::new(program)
            .args(self.command[1..].iter().map(fill))
            .envs(certificate.into_iter().flatten())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn();
        cost::pin(own_cores)?;
        let child = child?;
        known.push((child.id(), directory.clone()));
        drop(known);
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let mut running = Running { child, address, protocol: self.protocol, trust, directory };
        running.wait_listening(&self.name)?;
        Ok(running)
    }
}

/// A server that runs. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    address: SocketAddrV4,
    protocol: Protocol,
    trust: Option<Trust>,
    directory: PathBuf,
}

impl Running {
    pub(crate) fn target(&self) -> Target {
        let (protocol, address, trust) = (self.protocol, self.address, self.trust.clone());
        Target { protocol, address, trust, pid: Some(self.child.id()) }
    }

    fn wait_listening(&mut self, name: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + START_MAX;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait()?;
            if ended.is_some() || Instant::now() > deadline {
                let said = std::fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
                let said = said.lines().last().unwrap_or("nothing").to_owned();
                return Err(Failure::NotListening { name: name.into(), said });
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        send(self.child.id(), Signal::TERM);
        let deadline = Instant::now() + END_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                // It was asked, and had its time. Neither call fails for a child of ours.
                let _ = self.child.kill();
                let _ = self.child.wait();
                break;
            }
            sleep(LOOK_EVERY);
        }
        lock().retain(|(pid, _)| *pid != self.child.id());
        // What stays behind in a temporary directory does no harm.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Ends what runs, by process id, and then this program: for the handler of a signal.
pub(crate) fn end_all_and_exit(code: i32) -> ! {
    // Not given back, so that no other server is started.
    let running = lock();
    for (pid, _) in &*running {
        send(*pid, Signal::TERM);
    }
    let deadline = Instant::now() + END_MAX;
    while running.iter().any(|(pid, _)| cost::is_alive(*pid)) && Instant::now() < deadline {
        sleep(LOOK_EVERY);
    }
    for (pid, directory) in &*running {
        if cost::is_alive(*pid) {
            send(*pid, Signal::KILL);
        }
        // What stays behind in a temporary directory does no harm.
        let _ = std::fs::remove_dir_all(directory);
    }
    std::process::exit(code)
}

fn lock() -> std::sync::MutexGuard<'static, Vec<(u32, PathBuf)>> {
    RUNNING.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may have ended by itself.
        let _ = kill_process(pid, signal);
    }
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read() {
        let spec: Spec = "mine=nats:/opt/x --port {port} --data {dir}".parse().unwrap();
        assert_eq!((spec.name.as_str(), spec.protocol), ("mine", Protocol::Nats));
        assert_eq!(spec.command, ["/opt/x", "--port", "{port}", "--data", "{dir}"]);
        for name in BUILT_IN {
            assert_eq!(name.parse::<Spec>().unwrap().name, name);
        }
        let secured: Spec = "mine=raw+tls:/opt/x {port} {dir}/cert.pem".parse().unwrap();
        assert!(secured.tls && secured.protocol == Protocol::Raw && !spec.tls);
        for wrong in ["nobody", "a=b", "a=smtp:x {port}", "a=raw:x 80"] {
            assert!(wrong.parse::<Spec>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_not_found() {
        let spec: Spec = "a=raw:no-such-program-anywhere {port}".parse().unwrap();
        assert_eq!(spec.program(), None);
    }
}
