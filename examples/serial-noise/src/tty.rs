//! A serial device, or one end of a pseudo terminal.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{ControlModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::io::{Join, join};
use tokio::net::unix::pipe::{Receiver, Sender};

/// Octets in, octets out.
pub(crate) type Tty = Join<Receiver, Sender>;

/// Opens a device: eight bits, no parity, and nothing made of what goes through.
pub(crate) fn open_device(path: &Path, baud: u32) -> io::Result<Tty> {
    let device = open_tty(path, OFlags::NONBLOCK)?;
    make_raw(&device, Some(baud))?;
    registered(device)
}

/// A line of which the other end is a file.
pub(crate) fn pair() -> io::Result<(Tty, File)> {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&near)?;
    unlockpt(&near)?;
    let name = ptsname(&near, Vec::new())?;
    let far = open_tty(Path::new(name.to_str().map_err(io::Error::other)?), OFlags::empty())?;
    make_raw(&far, None)?;
    fcntl_setfl(&near, OFlags::NONBLOCK)?;
    Ok((registered(near)?, far.into()))
}

/// What does not block goes the way of a pipe's two ends.
fn registered(device: OwnedFd) -> io::Result<Tty> {
    let again = device.try_clone()?;
    Ok(join(Receiver::from_owned_fd_unchecked(device)?, Sender::from_owned_fd_unchecked(again)?))
}

fn open_tty(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(open(path, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC | flags, Mode::empty())?)
}

fn make_raw(device: &OwnedFd, baud: Option<u32>) -> io::Result<()> {
    let mut settings = tcgetattr(device)?;
    settings.make_raw();
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    if let Some(baud) = baud {
        settings.set_speed(baud)?;
    }
    Ok(tcsetattr(device, OptionalActions::Now, &settings)?)
}
