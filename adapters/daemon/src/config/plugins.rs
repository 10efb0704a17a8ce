//! Plugins, and where alerts go.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Secret, Size, Span};

/// A plugin: its name, whom it is about, and exactly one of the parts that say what it does.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plugin {
    pub(crate) name: String,
    #[serde(default = "yes")]
    pub(crate) enabled: bool,
    /// Whom it is about; without it everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<Only>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tag: Vec<Tag>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rate: Vec<Rate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) overload: Option<Overload>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) intercept: Vec<Intercept>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heartbeat: Option<Heartbeat>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) audit: Option<Audit>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) alert: Vec<Alert>,
}

const fn yes() -> bool {
    true
}

/// Whom something is about: all that is said must hold.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Only {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) listeners: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) dialects: Vec<Dialect>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) users: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) client_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) networks: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
}

/// What is spoken.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Dialect {
    Bowline,
    Mqtt311,
    Mqtt5,
    Prx1,
    Json,
}

impl Dialect {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Bowline => "bowline",
            Self::Mqtt311 => "mqtt311",
            Self::Mqtt5 => "mqtt5",
            Self::Prx1 => "prx1",
            Self::Json => "json",
        }
    }
}

/// Whoever this is about gets these tags.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tag {
    pub(crate) add: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<Only>,
}

/// How fast messages may come in.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rate {
    /// Filters; without any, all topics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) topics: Vec<String>,
    #[serde(default)]
    pub(crate) per: Per,
    /// A second, and at once; without a burst twice as many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) messages: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) octets: Option<Size>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) octets_burst: Option<Size>,
    #[serde(default)]
    pub(crate) excess: Excess,
}

/// What is counted together.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Per {
    #[default]
    Session,
    User,
    Address,
    Topic,
    All,
}

/// What happens to what is too many.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Excess {
    #[default]
    Hold,
    Drop,
    Refuse,
    Disconnect,
}

/// What is too much, and who is spared.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Overload {
    pub(crate) interval: Span,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) queued: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) octets: Option<Size>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) late: Option<Span>,
    /// It is well again at this part of a limit.
    pub(crate) recovered: f64,
    pub(crate) spared: Vec<String>,
    pub(crate) minor: Vec<String>,
    pub(crate) minor_topics: Vec<String>,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            interval: Span::from_millis(100),
            queued: None,
            octets: None,
            late: None,
            recovered: 0.8,
            spared: Vec::new(),
            minor: Vec::new(),
            minor_topics: Vec::new(),
        }
    }
}

/// What becomes of messages on these topics.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Intercept {
    #[serde(default)]
    pub(crate) direction: Direction,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) topics: Vec<String>,
    pub(crate) action: Action,
    /// Of `copy`: what stands in front of the copy's topic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) front: Option<String>,
    /// Of `change`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<Prefix>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) properties: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lifetime: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<String>,
    #[serde(default)]
    pub(crate) not_retained: bool,
}

/// Which way messages go.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    #[default]
    In,
    Out,
}

/// What is done with them.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    Drop,
    Refuse,
    Change,
    Copy,
}

/// A topic that begins so begins otherwise.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prefix {
    #[serde(default)]
    pub(crate) from: String,
    #[serde(default)]
    pub(crate) to: String,
}

/// A message at intervals.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Heartbeat {
    pub(crate) topic: String,
    pub(crate) interval: Span,
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self { topic: "$SYS/heartbeat".to_owned(), interval: Span::from_secs(10) }
    }
}

/// A log of who did what.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key")]
pub(crate) struct Audit {
    /// A file that lines are added to; without one, they are in the log of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<PathBuf>,
    pub(crate) sessions: bool,
    pub(crate) denials: bool,
    pub(crate) subscriptions: bool,
    pub(crate) publishes: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self { file: None, sessions: true, denials: true, subscriptions: false, publishes: false }
    }
}

/// A threshold.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alert {
    pub(crate) name: String,
    pub(crate) metric: String,
    pub(crate) above: u64,
    #[serde(default = "Alert::hold")]
    pub(crate) hold: Span,
}

impl Alert {
    const fn hold() -> Span {
        Span::from_secs(30)
    }
}

/// Where alerts are sent to, as JSON by POST.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Webhook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Fields of the requests, such as `authorization`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, Secret>,
    /// How often one is tried.
    pub(crate) attempts: u32,
}

impl Default for Webhook {
    fn default() -> Self {
        Self { url: None, headers: BTreeMap::new(), attempts: 8 }
    }
}
