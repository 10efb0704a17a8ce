//! Runs the program, and waits for what it prints: no test sleeps.

#![allow(dead_code)] // Each test file uses its part.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before the test fails: far beyond what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `bowline`; ended when dropped.
pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    out: Receiver<String>,
    err: Receiver<String>,
    line: String,
}

/// How a program ended, and what it printed that nobody had waited for.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Fails the test unless it ended with this code; gives the output back.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }
}

/// Starts `bowline` with these arguments, in an environment without any of its variables.
pub(crate) fn start(args: &[&str]) -> Program {
    start_with(args, &[])
}

/// Likewise, with these variables.
pub(crate) fn start_with(args: &[&str], variables: &[(&str, &str)]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bowline"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("BOWLINE_")) {
        command.env_remove(name);
    }
    // Each test's server is alone, and leaves nothing behind.
    command.env("BOWLINE_STORE__MEMORY", "true");
    command.args(args).envs(variables.iter().copied());
    spawn(command, args.join(" "))
}

/// Runs a line of the shell.
pub(crate) fn shell(line: &str) -> Program {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    spawn(command, line.to_owned())
}

/// Likewise, with this as its standard input.
pub(crate) fn shell_with_input(line: &str, input: Stdio) -> Program {
    let mut command = Command::new("sh");
    command.args(["-c", line]);
    spawn_with(command, line.to_owned(), input)
}

fn spawn(command: Command, line: String) -> Program {
    spawn_with(command, line, Stdio::piped())
}

fn spawn_with(mut command: Command, line: String, input: Stdio) -> Program {
    command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let out = lines(child.stdout.take().expect("piped"));
    let err = lines(child.stderr.take().expect("piped"));
    Program { input: child.stdin.take(), child, out, err, line }
}

/// Runs to the end.
pub(crate) fn run(args: &[&str]) -> Ended {
    start(args).finish()
}

/// Runs to the end with this on standard input, of which a program that refuses reads nothing.
pub(crate) fn run_with_input(args: &[&str], input: &[u8]) -> Ended {
    let mut program = start(args);
    let _ = program.input.as_mut().expect("standard input is open").write_all(input);
    program.finish()
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (to, receiver) = channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            if to.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
    receiver
}

impl Program {
    /// Writes to standard input.
    pub(crate) fn write(&mut self, input: &[u8]) {
        let to = self.input.as_mut().expect("standard input is open");
        to.write_all(input).and_then(|()| to.flush()).expect("the program reads");
    }

    /// The next line of standard output that holds `part`; lines before it are dropped.
    #[track_caller]
    pub(crate) fn out_line(&self, part: &str) -> String {
        wait_for(&self.out, part, &self.line)
    }

    /// The next line of standard error that holds `part`.
    #[track_caller]
    pub(crate) fn err_line(&self, part: &str) -> String {
        wait_for(&self.err, part, &self.line)
    }

    /// Whether it has ended by now.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("the child is ours").is_some()
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(status.success());
    }

    /// Ends standard input, and waits for the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Ended {
        drop(self.input.take());
        self.ended()
    }

    /// Waits for the end, with standard input open.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Ended {
        // Its output ends when the program does.
        let (out, err) = (rest(&self.out, &self.line), rest(&self.err, &self.line));
        let code = self.child.wait().expect("the child is ours").code();
        Ended { code, out, err }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait_for(lines: &Receiver<String>, part: &str, program: &str) -> String {
    let end = Instant::now() + PATIENCE;
    let mut seen = String::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) if line.contains(part) => return line,
            Ok(line) => seen.push_str(&line),
            Err(why) => {
                let why = if why == RecvTimeoutError::Timeout { "did not print" } else { "ended without" };
                panic!("bowline {program} {why} {part:?}; it printed:\n{seen}");
            }
        }
    }
}

/// All lines to the end.
#[track_caller]
fn rest(lines: &Receiver<String>, program: &str) -> String {
    let end = Instant::now() + PATIENCE;
    let mut seen = String::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(line) => seen.push_str(&line),
            Err(RecvTimeoutError::Disconnected) => return seen,
            Err(RecvTimeoutError::Timeout) => panic!("bowline {program} did not end; it printed:\n{seen}"),
        }
    }
}

/// A server of the test's own, on a port that the system chose.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) port: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::start_at("127.0.0.1:0", variables)
    }

    pub(crate) fn start_at(address: &str, variables: &[(&str, &str)]) -> Self {
        let program = start_with(&["serve", "--listen", address], variables);
        let line = program.out_line("listens on");
        let port = line.trim().rsplit(':').next().expect("there is an address").to_owned();
        Self { program, port }
    }

    /// `command -p PORT rest`.
    pub(crate) fn args<'a>(&'a self, line: &[&'a str]) -> Vec<&'a str> {
        let (command, rest) = line.split_first().expect("there is a command");
        [&[*command, "-p", &self.port], rest].concat()
    }

    pub(crate) fn start_client(&self, line: &[&str]) -> Program {
        start(&self.args(line))
    }

    pub(crate) fn run_client(&self, line: &[&str]) -> Ended {
        run(&self.args(line))
    }

    /// A connection to it.
    pub(crate) fn dial(&self) -> TcpStream {
        let port = self.port.parse::<u16>().expect("it is a port");
        TcpStream::connect(("127.0.0.1", port)).expect("it listens")
    }

    /// What a request is answered with, to the end of the stream.
    pub(crate) fn ask(&self, request: &str) -> String {
        let mut stream = self.dial();
        stream.write_all(request.as_bytes()).expect("it takes a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }
}
