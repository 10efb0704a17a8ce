//! Plugins as the configuration has them, and what becomes of what they report.

mod audit;
mod webhook;

use std::fmt;

use bowline_core::plugin::{
    Audit, Audited, Change, Direction, Excess, Heartbeat, Intercept, InterceptRule, Limit, Limits, Metric,
    Monitor, Overload, OverloadConfig, Per, Placement, Plugin, RateLimit, RateRule, Rejection, Scope,
    TagRule, Tagging, Then, Threshold,
};

pub(crate) use audit::AuditLog;
pub(crate) use webhook::{Counts, Webhook};

use crate::config::plugins as given;

/// Alerts are looked at so often.
const LOOK: std::time::Duration = std::time::Duration::from_secs(1);

/// What is wrong with a plugin: below which key, and what.
pub(crate) type Wrong = (String, String);

/// A plugin that was made, its name, and its place.
pub(crate) type Made = (String, Box<dyn Plugin>, Placement);

/// Makes plugins of what the configuration says, in its order. Also how it is checked.
pub(crate) fn make(all: &[given::Plugin]) -> Result<Vec<Made>, Vec<Wrong>> {
    let (mut made, mut wrong) = (Vec::new(), Vec::new());
    for (index, one) in all.iter().enumerate() {
        let key = |below: String| {
            if below.is_empty() { format!("plugin[{index}]") } else { format!("plugin[{index}].{below}") }
        };
        if !is_name(&one.name) {
            let how = "a name has letters, digits, `-` and `_`, 64 at most";
            wrong.push((key("name".to_owned()), format!("`{}` is no name; {how}", one.name)));
        } else if all[..index].iter().any(|other| other.name == one.name) {
            wrong.push((key("name".to_owned()), format!("`{}` is listed twice", one.name)));
        }
        match make_one(one) {
            Ok((plugin, scope)) => {
                let placement = Placement { scope, disabled: !one.enabled, before: None };
                made.push((one.name.clone(), plugin, placement));
            }
            Err((below, why)) => wrong.push((key(below), why)),
        }
    }
    if made.len() > 48 {
        // The program itself, and what is added while it runs, have places too.
        wrong.push(("plugin".to_owned(), "there are at most 48 plugins".to_owned()));
    }
    if wrong.is_empty() { Ok(made) } else { Err(wrong) }
}

fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

fn make_one(one: &given::Plugin) -> Result<(Box<dyn Plugin>, Scope), Wrong> {
    let mut parts: Vec<Result<Box<dyn Plugin>, Wrong>> = Vec::new();
    if !one.tag.is_empty() {
        parts.push(tagging(&one.tag));
    }
    if !one.rate.is_empty() {
        parts.push(rate_limit(&one.rate));
    }
    parts.extend(one.overload.iter().map(overload));
    if !one.intercept.is_empty() {
        parts.push(intercept(&one.intercept));
    }
    parts.extend(one.heartbeat.iter().map(heartbeat));
    parts.extend(one.audit.iter().map(audit));
    if !one.alert.is_empty() {
        parts.push(monitor(&one.alert));
    }
    let scope = scope(one.only.as_ref(), "only")?;
    match parts.pop() {
        Some(plugin) if parts.is_empty() => Ok((plugin?, scope)),
        _ => {
            let parts = "tag, rate, overload, intercept, heartbeat, audit and alert";
            Err((String::new(), format!("it must have exactly one of {parts}")))
        }
    }
}

/// Whom something is about.
fn scope(only: Option<&given::Only>, key: &str) -> Result<Scope, Wrong> {
    let Some(given::Only { listeners, dialects, users, client_ids, networks, tags }) = only else {
        return Ok(Scope::default());
    };
    let network = |text: &String| {
        text.parse().map_err(|error| (format!("{key}.networks"), format!("`{text}`: {error}")))
    };
    Ok(Scope {
        listeners: listeners.clone(),
        dialects: dialects.iter().map(|dialect| dialect.label().to_owned()).collect(),
        users: users.clone(),
        client_ids: client_ids.clone(),
        networks: networks.iter().map(network).collect::<Result<_, _>>()?,
        tags: tags.clone(),
    })
}

fn at(key: impl Into<String>) -> impl FnOnce(&dyn fmt::Display) -> Wrong {
    let key = key.into();
    move |why| (key, why.to_string())
}

fn tagging(rules: &[given::Tag]) -> Result<Box<dyn Plugin>, Wrong> {
    let mut all = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let scope = scope(rule.only.as_ref(), &format!("tag[{index}].only"))?;
        let one = TagRule { scope, tags: rule.add.clone() };
        Tagging::new(vec![one.clone()]).map_err(|error| at(format!("tag[{index}].add"))(&error))?;
        all.push(one);
    }
    Ok(Box::new(Tagging::new(all).map_err(|error| at("tag")(&error))?))
}

fn rate_limit(rules: &[given::Rate]) -> Result<Box<dyn Plugin>, Wrong> {
    let mut all = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let key = |name: &str| format!("rate[{index}].{name}");
        let limits = |rate: u64, burst: Option<u64>, name: &str| {
            let fits = |n: u64| u32::try_from(n).ok().filter(|n| *n > 0);
            let burst = burst.unwrap_or(rate.saturating_mul(2).min(u64::from(u32::MAX)));
            match (fits(rate), fits(burst)) {
                (Some(rate), Some(burst)) => Ok(Limits { rate, burst }),
                _ => Err((key(name), "a rate and a burst are from 1 to 4294967295".to_owned())),
            }
        };
        let messages = rule.messages.map(|n| limits(n.into(), rule.burst.map(u64::from), "messages"));
        let octets = rule.octets.map(|n| limits(n.0, rule.octets_burst.map(|n| n.0), "octets"));
        if messages.is_none() && octets.is_none() {
            return Err((
                format!("rate[{index}]"),
                "it must have `messages` or `octets`: so many a second".into(),
            ));
        }
        let one = RateRule {
            topics: rule.topics.clone(),
            per: match rule.per {
                given::Per::Session => Per::Session,
                given::Per::User => Per::User,
                given::Per::Address => Per::Address,
                given::Per::Topic => Per::Topic,
                given::Per::All => Per::All,
            },
            messages: messages.transpose()?,
            octets: octets.transpose()?,
            excess: match rule.excess {
                given::Excess::Hold => Excess::Hold,
                given::Excess::Drop => Excess::Drop,
                given::Excess::Refuse => Excess::Refuse,
                given::Excess::Disconnect => Excess::Disconnect,
            },
        };
        RateLimit::new(vec![one.clone()], 0).map_err(|error| at(key("topics"))(&error))?;
        all.push(one);
    }
    Ok(Box::new(RateLimit::new(all, rand::random()).map_err(|error| at("rate")(&error))?))
}

fn overload(given: &given::Overload) -> Result<Box<dyn Plugin>, Wrong> {
    if !(0.1..=1.0).contains(&given.recovered) {
        let why = format!("{} is not allowed; use 0.1 to 1.0", given.recovered);
        return Err(("overload.recovered".to_owned(), why));
    }
    // Saturates.
    let limit = |high: u64| Limit { high, low: (high as f64 * given.recovered) as u64 };
    let millis = |span: crate::config::Span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
    let config = OverloadConfig {
        interval: given.interval.0,
        queued: given.queued.map(limit),
        octets: given.octets.map(|octets| limit(octets.0)),
        late: given.late.map(|late| limit(millis(late))),
        spared: given.spared.clone(),
        minor: given.minor.clone(),
        minor_topics: given.minor_topics.clone(),
    };
    if config.queued.is_none() && config.octets.is_none() && config.late.is_none() {
        let why = "it must have `queued`, `octets` or `late`: from when on it is too much";
        return Err(("overload".to_owned(), why.to_owned()));
    }
    if [config.queued, config.octets, config.late].into_iter().flatten().any(|limit| limit.high == 0) {
        return Err(("overload".to_owned(), "a limit is above 0".to_owned()));
    }
    Ok(Box::new(Overload::new(config).map_err(|error| at("overload.minor_topics")(&error))?))
}

fn intercept(rules: &[given::Intercept]) -> Result<Box<dyn Plugin>, Wrong> {
    let mut all = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let wrong = |name: &str, why: &str| Err((format!("intercept[{index}].{name}"), why.to_owned()));
        let changes = changes(rule);
        let then = match (rule.action, &rule.front) {
            (given::Action::Copy, Some(_)) if rule.direction == given::Direction::Out => {
                return wrong("direction", "a copy is made on the way in");
            }
            (given::Action::Copy, Some(front)) => Then::Copy(front.clone()),
            (given::Action::Copy, None) => {
                return wrong("action", "`copy` needs `front`: what stands in front of the copy's topic");
            }
            (_, Some(_)) => return wrong("front", "only `copy` has a `front`"),
            (given::Action::Change, None) if changes.is_empty() => {
                let what = "prefix, properties, lifetime, payload or not_retained";
                return wrong("action", &format!("`change` needs something to change: {what}"));
            }
            (given::Action::Change, None) => Then::Change(changes),
            (_, None) if !changes.is_empty() => return wrong("action", "only `change` changes something"),
            (given::Action::Drop, None) => Then::Drop,
            (given::Action::Refuse, None) => {
                Then::Refuse(Rejection::forbidden("messages on this topic are refused"))
            }
        };
        let direction = match rule.direction {
            given::Direction::In => Direction::In,
            given::Direction::Out => Direction::Out,
        };
        let one = InterceptRule { direction, topics: rule.topics.clone(), then };
        Intercept::new(vec![one.clone()]).map_err(|error| at(format!("intercept[{index}]"))(&error))?;
        all.push(one);
    }
    Ok(Box::new(Intercept::new(all).map_err(|error| at("intercept")(&error))?))
}

fn changes(rule: &given::Intercept) -> Vec<Change> {
    let mut changes = Vec::new();
    changes.extend(
        rule.prefix
            .as_ref()
            .map(|prefix| Change::Prefix { from: prefix.from.clone(), to: prefix.to.clone() }),
    );
    changes.extend(
        rule.properties.iter().map(|(name, value)| Change::UserProperty(name.clone(), value.clone())),
    );
    changes.extend(rule.lifetime.map(|lifetime| Change::Lifetime(lifetime.0)));
    changes.extend(rule.payload.as_ref().map(|payload| Change::Payload(payload.as_bytes().to_vec())));
    changes.extend(rule.not_retained.then_some(Change::NotRetained));
    changes
}

fn heartbeat(given: &given::Heartbeat) -> Result<Box<dyn Plugin>, Wrong> {
    if given.interval.0.is_zero() {
        return Err(("heartbeat.interval".to_owned(), "it must be more than 0s".to_owned()));
    }
    let made = Heartbeat::new(&given.topic, given.interval.0);
    Ok(Box::new(made.map_err(|error| at("heartbeat.topic")(&error))?))
}

#[expect(clippy::unnecessary_wraps, reason = "as all the others")]
fn audit(given: &given::Audit) -> Result<Box<dyn Plugin>, Wrong> {
    let given::Audit { sessions, denials, subscriptions, publishes, .. } = *given;
    Ok(Box::new(Audit::new(Audited { sessions, denials, subscriptions, publishes })))
}

fn monitor(alerts: &[given::Alert]) -> Result<Box<dyn Plugin>, Wrong> {
    let mut thresholds = Vec::new();
    for (index, alert) in alerts.iter().enumerate() {
        let Some(metric) = Metric::named(&alert.metric) else {
            let all: Vec<_> = Metric::ALL.iter().map(|metric| metric.label()).collect();
            let why = format!("`{}` is not measured; use {}", alert.metric, all.join(", "));
            return Err((format!("alert[{index}].metric"), why));
        };
        let (name, above, hold) = (alert.name.clone(), alert.above, alert.hold.0);
        thresholds.push(Threshold { name, metric, above, hold });
    }
    Ok(Box::new(Monitor::new(thresholds, LOOK)))
}
