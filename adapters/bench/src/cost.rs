//! What a run costs, read from /proc: processor time, memory, and what others took of the cores.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::stats::Figures;

/// A process to watch.
#[derive(Clone, Debug)]
struct Watched {
    directory: PathBuf,
    /// The core it is pinned to, if it is to exactly one.
    core: Option<usize>,
}

/// Processor seconds at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seconds {
    own: f64,
    server: f64,
    own_core: f64,
    server_core: f64,
}

/// Watches the server (if its process is known) and this program.
#[derive(Debug)]
pub(crate) struct Meter {
    own: Watched,
    server: Option<Watched>,
    begin: Seconds,
    rss_begin: f64,
    rss_peak: f64,
}

/// What a window cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cost {
    spent: Seconds,
    has_server: bool,
    rss_begin: f64,
    rss_peak: f64,
    rss_end: f64,
}

impl Meter {
    /// Watches process `server`, and this one.
    pub(crate) fn new(server: Option<u32>) -> Self {
        let watched = |pid: u32| Watched { directory: format!("/proc/{pid}").into(), core: only_core(pid) };
        let own = watched(process::id());
        let server = server.map(watched);
        Self { own, server, begin: Seconds::default(), rss_begin: 0.0, rss_peak: 0.0 }
    }

    /// A window begins.
    pub(crate) fn begin(&mut self) {
        self.rss_begin = self.rss();
        self.rss_peak = self.rss_begin;
        self.begin = self.seconds();
    }

    /// Looks at the server's memory; to be called now and then.
    pub(crate) fn sample(&mut self) {
        self.rss_peak = self.rss_peak.max(self.rss());
    }

    /// The window ends.
    pub(crate) fn end(&mut self) -> Cost {
        let end = self.seconds();
        self.sample();
        let spent = Seconds {
            own: end.own - self.begin.own,
            server: end.server - self.begin.server,
            own_core: end.own_core - self.begin.own_core,
            server_core: end.server_core - self.begin.server_core,
        };
        Cost {
            spent,
            has_server: self.server.is_some(),
            rss_begin: self.rss_begin,
            rss_peak: self.rss_peak,
            rss_end: self.rss(),
        }
    }

    /// The server's resident memory in octets; 0 if it is not known.
    pub(crate) fn rss(&self) -> f64 {
        let Some(server) = &self.server else { return 0.0 };
        let text = fs::read_to_string(server.directory.join("statm")).unwrap_or_default();
        resident_pages(&text).unwrap_or(0.0) * rustix::param::page_size() as f64
    }

    /// The server's memory that it has written to and shares with nobody, in octets; 0 if it is not known.
    pub(crate) fn private(&self) -> f64 {
        let Some(server) = &self.server else { return 0.0 };
        let text = fs::read_to_string(server.directory.join("smaps_rollup")).unwrap_or_default();
        private_octets(&text)
    }

    /// The server's threads; 0 if that is not known.
    pub(crate) fn threads(&self) -> f64 {
        let Some(server) = &self.server else { return 0.0 };
        fs::read_dir(server.directory.join("task")).map_or(0.0, |tasks| tasks.count() as f64)
    }

    /// Whether the server's process is there. Unknown counts as there.
    pub(crate) fn is_alive(&self) -> bool {
        self.server.as_ref().is_none_or(|s| is_running(&s.directory))
    }

    fn seconds(&self) -> Seconds {
        let hertz = rustix::param::clock_ticks_per_second() as f64;
        let process = |w: &Watched| {
            let text = fs::read_to_string(w.directory.join("stat")).unwrap_or_default();
            process_ticks(&text).unwrap_or(0.0) / hertz
        };
        let cores = fs::read_to_string("/proc/stat").unwrap_or_default();
        let core = |w: &Watched| w.core.and_then(|n| core_ticks(&cores, n)).unwrap_or(0.0) / hertz;
        let server = self.server.as_ref();
        Seconds {
            own: process(&self.own),
            server: server.map_or(0.0, process),
            own_core: core(&self.own),
            server_core: server.map_or(0.0, core),
        }
    }
}

impl Cost {
    /// The share of both cores that other processes took, in percent of one core; `None` if the
    /// processes are not pinned.
    fn foreign_percent(&self, seconds: f64) -> Option<f64> {
        let s = &self.spent;
        if s.own_core == 0.0 && s.server_core == 0.0 {
            return None;
        }
        let of = |core: f64, process: f64| if core > 0.0 { (core - process).max(0.0) } else { 0.0 };
        Some(100.0 * of(s.own_core, s.own).max(of(s.server_core, s.server)) / seconds)
    }

    /// Adds what a window of so many seconds and messages cost.
    pub(crate) fn report(&self, seconds: f64, messages: u64, figures: &mut Figures) {
        if self.has_server {
            if messages > 0 {
                figures.compare("server_cpu_us_per_message", self.spent.server * 1e6 / messages as f64);
            }
            figures.note("server_cpu_pct", 100.0 * self.spent.server / seconds);
            figures.note("server_rss_begin_mib", self.rss_begin / 1_048_576.0);
            figures.compare("server_rss_peak_mib", self.rss_peak / 1_048_576.0);
            figures.note("server_rss_end_mib", self.rss_end / 1_048_576.0);
        }
        if let Some(foreign) = self.foreign_percent(seconds) {
            figures.note("foreign_pct", foreign);
        }
    }

    /// Processor time of the server, in seconds.
    pub(crate) fn server_seconds(&self) -> f64 {
        self.spent.server
    }

    /// The server's memory at the beginning, in octets.
    pub(crate) fn rss_begin(&self) -> f64 {
        self.rss_begin
    }

    /// By how much the server's memory grew at most, in octets.
    pub(crate) fn growth(&self) -> f64 {
        self.rss_peak - self.rss_begin
    }
}

/// Whether a process is there, and not a zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    is_running(Path::new(&format!("/proc/{pid}")))
}

fn is_running(directory: &Path) -> bool {
    fs::read_to_string(directory.join("stat"))
        .is_ok_and(|text| text.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}

/// User and system time of all threads, from /proc/PID/stat.
fn process_ticks(stat: &str) -> Option<f64> {
    // The name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(") ")?.1.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The time that a core was not idle, from /proc/stat.
fn core_ticks(stat: &str, core: usize) -> Option<f64> {
    let name = format!("cpu{core}");
    let line = stat.lines().find(|l| l.split(' ').next() == Some(&name))?;
    let ticks: Vec<f64> = line.split_ascii_whitespace().skip(1).map_while(|f| f.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; guests are in user.
    Some(ticks.iter().take(8).enumerate().filter(|(i, _)| !matches!(i, 3 | 4)).map(|(_, t)| t).sum())
}

fn resident_pages(statm: &str) -> Option<f64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Of /proc/PID/smaps_rollup what was written to: pages of the program's file are its own or shared as others
/// come and go.
fn private_octets(smaps: &str) -> f64 {
    let dirty = smaps.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib = dirty.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}

fn only_core(pid: u32) -> Option<usize> {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    let set = sched_getaffinity(Some(pid)).ok()?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|&c| set.is_set(c));
    cores.next().filter(|_| cores.next().is_none())
}

/// The cores that this thread may use.
pub(crate) fn allowed_cores() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::MAX_CPU).filter(|&c| set.is_set(c)).collect()
}

/// Pins this thread, and what it starts from now on.
pub(crate) fn pin(cores: &[usize]) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

/// Raises the number of descriptors as far as allowed (what this process starts inherits it), and
/// returns what it is now.
pub(crate) fn raise_descriptors() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const WANTED: u64 = 65_536;
    let now = getrlimit(Resource::Nofile);
    let hard = now.maximum.unwrap_or(u64::MAX);
    let wanted = Rlimit { current: Some(WANTED), maximum: Some(hard.max(WANTED)) };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        // Not allowed to raise the ceiling: up to it, then. If that fails, things stay as they are.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 5";
        assert_eq!(process_ticks(stat), Some(300.0));
        let cores = "cpu  1 1 1 1\ncpu1 10 1 5 700 9 2 3 4 0 0\ncpu10 7 0 0 1 1 0 0 0 0 0\n";
        assert_eq!(core_ticks(cores, 1), Some(25.0));
        assert_eq!(core_ticks(cores, 10), Some(7.0));
        assert_eq!(core_ticks(cores, 2), None);
        assert_eq!(resident_pages("900 123 4 5"), Some(123.0));
        let smaps =
            "Rss: 90 kB\nShared_Dirty: 7 kB\nPrivate_Clean:         2 kB\nPrivate_Dirty:        40 kB\n";
        assert_eq!(private_octets(smaps), 40_960.0);
    }

    #[test]
    fn this_process_has_memory_and_lives() {
        let meter = Meter::new(Some(process::id()));
        assert!(meter.rss() > 0.0);
        assert!(meter.is_alive());
    }

    #[test]
    fn what_others_take_is_counted_once_pinned() {
        let cost = |own_core| Cost {
            spent: Seconds { own: 1.0, server: 0.5, own_core, server_core: 0.5 },
            has_server: true,
            rss_begin: 0.0,
            rss_peak: 0.0,
            rss_end: 0.0,
        };
        assert_eq!(cost(1.2).foreign_percent(2.0).map(f64::round), Some(10.0));
        assert_eq!(cost(0.9).foreign_percent(2.0), Some(0.0));
    }
}
