//! The demonstration, which is a test as well: a hub, a gateway, a bad cable, and the firmware in a process.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bowline_driver::client::{NoiseKeys, ServerTrust};
use bowline_driver::core::access::{Access, Action, Decision, Who};
use bowline_driver::core::secure::SecretKey;
use bowline_driver::core::serial::Line;
use bowline_driver::server::{Anonymous, NoiseConfig, Users};
use bowline_driver::{Address, OsEntropy};
use bowline_tokio::{Client, Publish, Server, ServerConfig, SubscribeOptions, Subscription};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::cable::{Harm, Harms, cable};
use crate::gateway::gateway;
use crate::tty;

type Failure = Box<dyn Error>;

/// How long anything may take: the line is given up after a second, then there is a new attempt or some.
const PATIENCE: Duration = Duration::from_secs(10);

/// What befalls the line: octets from the firmware, octets to it, and what of it all.
const HARMS: [(&str, Option<Harm>, Option<Harm>); 8] = [
    ("an octet is lost on the way up", Some(Harm::Lose(20)), None),
    ("an octet is changed on the way up", Some(Harm::Flip(20)), None),
    ("an octet is lost on the way down", None, Some(Harm::Lose(9))),
    ("an octet is changed on the way down", None, Some(Harm::Flip(9))),
    ("the length of a record is changed on the way up", Some(Harm::Flip(0)), None),
    ("a piece is lost on the way up", Some(Harm::Cut), None),
    ("a piece is lost on the way down", None, Some(Harm::Cut)),
    ("both directions are damaged", Some(Harm::Flip(7)), Some(Harm::Lose(3))),
];

/// The sensor reports, and takes commands; the operator reads, and gives them. Nothing else.
struct Rules;

impl Access for Rules {
    fn decide(&self, who: &Who<'_>, action: Action, subject: &str) -> Decision {
        let (says, hears) = match who.user {
            "sensor-1" => {
                (["sensor/1/reading", "sensor/1/state"].as_slice(), ["sensor/1/command"].as_slice())
            }
            "operator" => {
                (["sensor/1/command"].as_slice(), ["sensor/1/reading", "sensor/1/state"].as_slice())
            }
            _ => return false.into(),
        };
        match action {
            Action::Connect => true,
            Action::Publish => says.contains(&subject),
            Action::Subscribe => hears.contains(&subject),
            _ => false,
        }
        .into()
    }
}

/// The firmware in a process, with the cable and the gateway at its UART.
struct Board {
    process: Child,
    console: mpsc::UnboundedReceiver<String>,
    folder: PathBuf,
}

impl Board {
    fn start(
        firmware: &Path,
        key: &SecretKey,
        hub: &SecretKey,
        harms: &Harms,
        to: &str,
    ) -> Result<Self, Failure> {
        let folder = std::env::temp_dir().join(format!("bowline-board-{}-{}", std::process::id(), to.len()));
        std::fs::create_dir_all(&folder)?;
        let flash = format!("{}\n{}\n", &*key.to_text(), hub.public());
        std::fs::write(folder.join("flash.bin"), flash)?;

        let (near, far) = tty::pair()?;
        let (wire, gateway_end) = tokio::io::duplex(256);
        tokio::spawn(cable(near, wire, harms.clone()));
        let to = to.to_owned();
        tokio::spawn(async move { gateway(gateway_end, Line::server(), &to).await });

        let mut command = Command::new(firmware.canonicalize()?);
        command.current_dir(&folder).stdin(far).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn()?;
        let (said, console) = mpsc::unbounded_channel();
        let stderr = process.stderr.take().ok_or("the console is piped")?;
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                println!("  firmware: {line}");
                let _ = said.send(line);
            }
        });
        Ok(Self { process, console, folder })
    }

    /// Waits until the console has said something with these words.
    async fn says(&mut self, words: &str) -> Result<String, Failure> {
        let wait = async {
            while let Some(line) = self.console.recv().await {
                if line.contains(words) {
                    return Some(line);
                }
            }
            None
        };
        let line = timeout(PATIENCE, wait).await.map_err(|_| format!("the console never said {words:?}"))?;
        Ok(line.ok_or("the firmware ended")?)
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What the operator hears.
struct Operator {
    client: Client,
    readings: Subscription,
    states: Subscription,
    /// The number of the last reading.
    last: u32,
}

impl Operator {
    async fn connect(address: &str, key: SecretKey, hub: &SecretKey) -> Result<Self, Failure> {
        let keys = NoiseKeys::Static { own: Some(key), server: ServerTrust::Keys(vec![hub.public()]) };
        let client = Client::builder(address).name("operator").noise(keys).connect().await?;
        let surely = SubscribeOptions { reliable: true, ..SubscribeOptions::default() };
        let readings = client.subscribe("sensor/1/reading", surely).await?;
        let states = client.subscribe("sensor/1/state", SubscribeOptions::default()).await?;
        Ok(Self { client, readings, states, last: 0 })
    }

    /// Waits for so many readings more, of which none is missing and none comes twice.
    async fn hears(&mut self, more: u32) -> Result<(), Failure> {
        let until = self.last + more;
        while self.last < until {
            let message = timeout(PATIENCE, self.readings.next()).await?.ok_or("no more readings")?;
            let number = message.payload().first_chunk().map(|octets| u32::from_be_bytes(*octets));
            if number != Some(self.last + 1) {
                return Err(format!("after reading {} came {number:?}", self.last).into());
            }
            self.last += 1;
        }
        Ok(())
    }

    /// Waits until the sensor says that it is there: it does with each connection.
    async fn state(&mut self) -> Result<String, Failure> {
        let message = timeout(PATIENCE, self.states.next()).await?.ok_or("no more states")?;
        Ok(String::from_utf8_lossy(message.payload()).into_owned())
    }

    async fn command(&self, command: &str) -> Result<(), Failure> {
        let command = command.as_bytes().to_vec();
        Ok(self
            .client
            .publish(Publish { reliable: true, ..Publish::new("sensor/1/command", command) })
            .await?)
    }
}

fn hub_config(own: &SecretKey, sensor: &SecretKey, operator: &SecretKey) -> ServerConfig {
    let mut users = Users::new(Anonymous::Never);
    users.add_noise_key(*sensor.public().as_octets(), "sensor-1");
    users.add_noise_key(*operator.public().as_octets(), "operator");
    let mut noise = NoiseConfig { plain: false, strangers: false, ..NoiseConfig::default() };
    noise.keys.own = Some(own.clone());
    ServerConfig { users, noise, ..ServerConfig::default() }
}

/// Runs it all.
pub(crate) async fn demo(firmware: &Path) -> Result<(), Failure> {
    let [own, sensor, operator, stranger] = std::array::from_fn(|_| SecretKey::generate(&mut OsEntropy));
    let server = Server::builder()
        .config(hub_config(&own, &sensor, &operator))
        .access(Rules)
        .listen("127.0.0.1:0")
        .start()
        .await?;
    let Address::Tcp(address) = server.addresses()[0].clone() else { return Err("it listens on TCP".into()) };
    let mut operator = Operator::connect(&address, operator, &own).await?;
    let harms = Harms::default();

    println!("a board whose key the hub does not know");
    let mut board = Board::start(firmware, &stranger, &own, &harms, &address)?;
    board.says("NotAuthorized").await?;
    drop(board);

    println!("the board");
    let mut board = Board::start(firmware, &sensor, &own, &harms, &address)?;
    operator.hears(1).await?;
    println!("  state: {}", operator.state().await?);
    operator.command("every 20").await?;
    board.says("command: every 20").await?;
    operator.hears(20).await?;

    for (what, up, down) in HARMS {
        println!("{what}");
        let (before, since) = (operator.last, Instant::now());
        harms.set(up, down);
        board.says("the connection is over").await?;
        let state = operator.state().await?;
        operator.hears(20).await?;
        println!(
            "  state: {state}; readings {} to {}, each once, in order, in {} ms",
            before + 1,
            operator.last,
            since.elapsed().as_millis()
        );
    }

    operator.command("stop").await?;
    board.says("stopped").await?;
    let status = board.process.wait()?;
    if !status.success() {
        return Err(format!("the firmware ended with {status}").into());
    }
    server.drain(Duration::from_secs(1)).await;
    Ok(())
}
