//! A look at the files now and then.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Server;

/// Reloads certificates when their files change, for as long as this lives. What came of it is told by
/// [`Builder::on_reload`](super::Builder::on_reload).
#[derive(Debug)]
#[must_use = "dropped, it looks no longer"]
pub struct Watch(Arc<Ended>);

#[derive(Debug, Default)]
struct Ended {
    ended: Mutex<bool>,
    told: Condvar,
}

impl Server {
    /// Looks every so often whether a file has changed, in a thread of its own that sleeps between: a look
    /// is one call to the system for each file. At least 10 ms.
    pub fn watch(&self, interval: Duration) -> Watch {
        let (ended, interval) = (Arc::new(Ended::default()), interval.max(Duration::from_millis(10)));
        let (server, watched) = (self.clone(), Arc::clone(&ended));
        // Where the system has no more threads there is none; what is loaded stays.
        let _ = thread::Builder::new().name("bowline-tls".into()).spawn(move || {
            let mut over = watched.ended.lock();
            while !*over {
                if watched.told.wait_for(&mut over, interval).timed_out() && !*over {
                    // What came of it was told.
                    let _ = server.reload_if_changed();
                }
            }
        });
        Watch(ended)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.0.ended.lock() = true;
        self.0.told.notify_all();
    }
}
