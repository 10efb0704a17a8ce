//! The plugins of a running server.

use std::sync::Arc;

use bowline_core::plugin::{BadPlugin, Placement, Plugin, PluginInfo};

use super::shared::Shared;
use crate::clock;

/// The plugins of a running server, by their names. What is changed counts from the next message on, for who is
/// connected too; no connection is touched.
///
/// ```
/// # use bowline_driver::{Runtime, server::Server};
/// # fn with<R: Runtime>(server: &Server<R>) {
/// if server.plugins().enable("limits", false).is_ok_and(|was| was) {
///     println!("nobody is limited any more");
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Plugins<'s>(pub(super) &'s Arc<Shared>);

impl Plugins<'_> {
    /// All of them, in the order in which they are asked.
    #[must_use]
    pub fn list(&self) -> Vec<PluginInfo> {
        self.0.with(|core, _| core.machine.plugins())
    }

    /// Adds one.
    ///
    /// # Errors
    ///
    /// There is one of this name, or too many.
    pub fn add(
        &self,
        name: &str,
        plugin: impl Plugin + 'static,
        placement: Placement,
    ) -> Result<(), BadPlugin> {
        let plugin = Box::new(plugin);
        self.0.with(|core, _| core.machine.add_plugin(clock::now(), name, plugin, placement))
    }

    /// Takes one away.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn remove(&self, name: &str) -> Result<(), BadPlugin> {
        let plugin = self.0.with(|core, _| core.machine.remove_plugin(clock::now(), name));
        plugin.map(drop) // Without the lock: there may be much of it.
    }

    /// Switches one on or off, and says what it was. Off it is asked nothing, and keeps its state.
    ///
    /// # Errors
    ///
    /// There is none of this name.
    pub fn enable(&self, name: &str, enabled: bool) -> Result<bool, BadPlugin> {
        self.0.with(|core, _| core.machine.enable_plugin(clock::now(), name, enabled))
    }

    /// Puts others in the place of all that there are whose name `replaces` says yes to, at once: no message
    /// passes between the two. Those that stay keep their place in front.
    ///
    /// # Errors
    ///
    /// One of the new ones cannot be added; those before it are.
    pub fn replace(
        &self,
        replaces: impl Fn(&str) -> bool,
        with: Vec<(String, Box<dyn Plugin>, Placement)>,
    ) -> Result<(), BadPlugin> {
        let mut old = Vec::new();
        let done = self.0.with(|core, _| {
            let now = clock::now();
            for PluginInfo { name, .. } in core.machine.plugins() {
                if replaces(&name) {
                    old.extend(core.machine.remove_plugin(now, &name));
                }
            }
            with.into_iter().try_for_each(|(name, plugin, placement)| {
                core.machine.add_plugin(now, &name, plugin, placement)
            })
        });
        drop(old);
        done
    }
}
