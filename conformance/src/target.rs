//! A target of tunnels, for servers that relay.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// Returns what it gets, and ends when its peer does. It listens as long as the program runs.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
}

impl Target {
    /// Listens at `host:port`; port 0: the system chooses.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// let target = bowline_conformance::target::Target::listen("127.0.0.1:0")?;
    /// let mut stream = std::net::TcpStream::connect(target.address)?;
    /// stream.write_all(b"hi")?;
    /// stream.shutdown(std::net::Shutdown::Write)?;
    /// let mut all = Vec::new();
    /// stream.read_to_end(&mut all)?;
    /// assert_eq!(all, b"hi");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The address is taken, or not this machine's.
    pub fn listen(at: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(at)?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || echo(stream));
            }
        });
        Ok(Self { address })
    }
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    let mut memory = [0; 16_384];
    loop {
        match stream.read(&mut memory)? {
            0 => return stream.shutdown(Shutdown::Write),
            n => stream.write_all(&memory[..n])?,
        }
    }
}
