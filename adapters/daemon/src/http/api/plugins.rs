//! Plugins: listed, switched on and off.

use bowline_core::endpoint::server::Server;
use bowline_core::plugin::{PluginInfo, Scope};
use bowline_tokio::server::{Overview, StatusCode};
use serde_json::{Map, Value, json};
use tracing::warn;

use super::gate::Denied;
use super::not_found;

/// `GET /api/plugins`
pub(super) fn list(server: &Overview<'_>) -> Value {
    let plugins: Vec<Value> = server.look(Server::plugins).iter().map(row).collect();
    json!({ "plugins": plugins })
}

/// `GET /api/plugins/NAME`
pub(super) fn one(name: &str, server: &Overview<'_>) -> Result<Value, Denied> {
    let plugins = server.look(Server::plugins);
    plugins.iter().find(|plugin| plugin.name == name).map(row).ok_or_else(|| none(name))
}

/// `POST /api/plugins/NAME?enabled=true`
pub(super) fn switch(name: &str, enabled: Option<bool>, server: &Overview<'_>) -> Result<Value, Denied> {
    let Some(enabled) = enabled else {
        let why = "say whether it is to be on: ?enabled=true or ?enabled=false".to_owned();
        return Err(Denied { status: StatusCode::BAD_REQUEST, why });
    };
    let was = server.plugins().enable(name, enabled).map_err(|_| none(name))?;
    if was != enabled {
        warn!(plugin = name, enabled, "switched by an administrator");
    }
    one(name, server)
}

fn none(name: &str) -> Denied {
    not_found(format!("there is no plugin {name:?}"))
}

fn row(plugin: &PluginInfo) -> Value {
    json!({
        "name": plugin.name, "enabled": plugin.enabled, "only": only(&plugin.scope),
        "messages": plugin.messages, "changed": plugin.changed, "dropped": plugin.dropped,
        "refused": plugin.refused, "overruns": plugin.overruns,
    })
}

/// Whom it is about, as the configuration has it; nothing where that is everybody.
fn only(scope: &Scope) -> Option<Value> {
    if scope.is_everybody() {
        return None;
    }
    let networks: Vec<String> = scope.networks.iter().map(ToString::to_string).collect();
    let lists = [
        ("listeners", &scope.listeners),
        ("dialects", &scope.dialects),
        ("users", &scope.users),
        ("client_ids", &scope.client_ids),
        ("networks", &networks),
        ("tags", &scope.tags),
    ];
    let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
    Some(Value::Object(lists.map(|(name, list)| (name.to_owned(), json!(list))).collect::<Map<_, _>>()))
}
