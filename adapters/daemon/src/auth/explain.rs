//! `bowline check access` and `bowline check users`.

use std::collections::BTreeMap;
use std::fmt::Write;

use bowline_core::access::{Access, Action, Decision, Effect, Rule, Rules, Security, Step, Verdict, Who};
use bowline_core::topic;
use serde_json::{Value, json};

use super::hash::Kind;
use super::rules::AccessFile;
use super::users::{UsersFile, is_open_to_all};
use crate::cli::{CheckAccessArgs, CheckUsersArgs, ConfigArgs};
use crate::config;
use crate::failure::Failure;
use crate::output;

/// Says what the rules decide, and why; ends with 1 where that is a denial.
pub(crate) fn access(args: &CheckAccessArgs, config: &ConfigArgs, json: bool) -> Result<(), Failure> {
    let path = match &args.file {
        Some(path) => path.clone(),
        None => config::load(config.config.as_deref())?.config.auth.access_file.ok_or_else(|| {
            Failure::new(
                "the configuration names no access file (auth.access_file): who is let in may do everything; \
                 to try one, --file ACCESS.toml",
            )
        })?,
    };
    let file = AccessFile::read(&path)?;
    let action = args.action.action();
    let subject = subject(action, args.topic.as_deref())?;
    let secured = args.secured.then_some(Security::Tls);
    let CheckAccessArgs { user, client_id, address, listener, .. } = args;
    let who = Who { user, client_id, address: *address, listener, secured };
    let rules = file.with_member(who.user, &args.group)?;
    let answer = Answer { file: &file, rules: &rules, who, action, subject };
    let text = if json { answer.to_json()? } else { answer.to_text() };
    output::data(&text)?;
    if answer.decision().allowed { Ok(()) } else { Err(Failure::silent()) }
}

/// The topic or filter that the rules are asked about.
fn subject(action: Action, topic: Option<&str>) -> Result<&str, Failure> {
    match (action, topic) {
        (Action::Connect, None) => Ok(""),
        (Action::Connect, Some(_)) => Err(Failure::usage("connecting has no topic")),
        (_, None) => Err(Failure::usage("which topic? it stands behind the action")),
        (Action::Subscribe | Action::Serve, Some(filter)) => topic::parse_filter(filter)
            .map(|parsed| parsed.filter)
            .map_err(|error| Failure::usage(format!("{filter}: {error}"))),
        (_, Some(topic)) => topic::validate_topic(topic)
            .map(|()| topic)
            .map_err(|error| Failure::usage(format!("{topic}: {error}"))),
    }
}

/// A question to the rules.
struct Answer<'a> {
    file: &'a AccessFile,
    rules: &'a Rules,
    who: Who<'a>,
    action: Action,
    subject: &'a str,
}

impl Answer<'_> {
    fn decision(&self) -> Decision {
        self.rules.decide(&self.who, self.action, self.subject)
    }

    fn steps(&self) -> impl Iterator<Item = Step> {
        self.rules.explain(&self.who, self.action, self.subject)
    }

    /// What is asked: `ann may publish to a/b`.
    fn sentence(&self, may: &str) -> String {
        let user = if self.who.is_anonymous() { "an anonymous client" } else { self.who.user };
        let what = match self.action {
            Action::Connect => "connect".to_owned(),
            Action::Publish => format!("publish to {}", self.subject),
            Action::Subscribe => format!("subscribe to {}", self.subject),
            Action::Serve => format!("serve requests to {}", self.subject),
            Action::Request => format!("send requests to {}", self.subject),
            Action::Relay => format!("open tunnels to {}", self.subject),
            _ => format!("use the queue {}", self.subject),
        };
        format!("{user} {may} {what}")
    }

    /// Why, where no rule decides.
    fn otherwise(&self) -> String {
        let name = &self.file.name;
        match (self.action, self.file.default) {
            (Action::Connect, _) => format!("{name}: no rule matches, and connecting is allowed then"),
            (_, Effect::Allow) => format!("{name}: no rule matches, and the default is to allow"),
            (_, Effect::Deny) => format!("{name}: no rule matches, and the default is to deny"),
        }
    }

    fn to_text(&self) -> String {
        let decision = self.decision();
        let (word, may) = if decision.allowed { ("allowed", "may") } else { ("denied", "may not") };
        let mut text = format!("{word}: {}\n", self.sentence(may));
        if decision.rule.is_none() {
            _ = writeln!(text, "{}", self.otherwise());
        }
        let steps: Vec<(String, String, Step)> = self
            .steps()
            .map(|step| {
                (format!("{}:{}", self.file.name, step.line), format!("rule {}", step.rule + 1), step)
            })
            .collect();
        let widest =
            |width: &dyn Fn(&(String, String, Step)) -> usize| steps.iter().map(width).max().unwrap_or(0);
        let (places, numbers) = (widest(&|step| step.0.len()), widest(&|step| step.1.len()));
        for (place, number, step) in &steps {
            let rule = &self.file.given[step.rule as usize];
            let reason = reason(step.verdict, rule, self.action);
            _ = writeln!(text, "  {place:<places$}  {number:<numbers$}  {reason}");
        }
        text
    }

    fn to_json(&self) -> Result<String, Failure> {
        let Decision { allowed, rule } = self.decision();
        let step = |step: Step| {
            let given = &self.file.given[step.rule as usize];
            json!({
                "rule": step.rule + 1,
                "line": step.line,
                "decides": matches!(step.verdict, Verdict::Decides(_)),
                "reason": reason(step.verdict, given, self.action),
            })
        };
        let steps: Vec<Value> = self.steps().map(step).collect();
        let answer = json!({
            "allowed": allowed,
            "user": self.who.user,
            "client_id": self.who.client_id,
            "address": self.who.address.map(|address| address.to_string()),
            "listener": self.who.listener,
            "secured": self.who.secured.is_some(),
            "action": format!("{:?}", self.action).to_lowercase(),
            "topic": self.subject,
            "file": self.file.name,
            "rule": rule.map(|rule| rule + 1),
            "line": rule.map(|rule| self.file.given[rule as usize].line),
            "steps": steps,
        });
        let text = serde_json::to_string_pretty(&answer);
        let text =
            text.map_err(|error| Failure::new(format!("the answer cannot be shown as JSON: {error}")))?;
        Ok(text + "\n")
    }
}

/// What a rule had to say, in words.
fn reason(verdict: Verdict, rule: &Rule, action: Action) -> String {
    let named = |what: &str, names: &[String]| format!("is about {what} {}", names.join(", "));
    match verdict {
        Verdict::Decides(Effect::Allow) => "allows it".to_owned(),
        Verdict::Decides(Effect::Deny) if action == Action::Subscribe || action == Action::Serve => {
            "denies it: some of the filter's topics are its".to_owned()
        }
        Verdict::Decides(Effect::Deny) => "denies it".to_owned(),
        Verdict::User => named("the user", &rule.users),
        Verdict::Group => named("members of", &rule.groups),
        Verdict::Anonymous if rule.anonymous == Some(true) => "is about anonymous clients".to_owned(),
        Verdict::Anonymous => "is about clients with a user".to_owned(),
        Verdict::ClientId => named("the client id", &rule.client_ids),
        Verdict::Address => {
            let addresses: Vec<String> = rule.addresses.iter().map(ToString::to_string).collect();
            named("addresses in", &addresses)
        }
        Verdict::Listener => named("the listener", &rule.listeners),
        Verdict::Secured if rule.secured == Some(true) => "is about connections that are secured".to_owned(),
        Verdict::Secured => "is about connections that nothing secures".to_owned(),
        Verdict::Topic if rule.effect == Effect::Allow && action == Action::Subscribe => {
            format!("does not cover all of the filter: {}", rule.topics.join(", "))
        }
        Verdict::Topic => named("other topics:", &rule.topics),
        Verdict::Placeholder => {
            format!("has a place for a name that is missing or does not fit: {}", rule.topics.join(", "))
        }
        _ => {
            let actions: Vec<String> = rule.actions.iter().map(|a| format!("{a:?}").to_lowercase()).collect();
            named("other actions:", &actions)
        }
    }
}

/// Checks a users file, and says what is in it.
pub(crate) fn users_file(args: &CheckUsersArgs, json: bool) -> Result<(), Failure> {
    let file = UsersFile::read(&args.file)?;
    let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
    for user in file.users() {
        *kinds.entry(user.stored.kind()).or_default() += 1;
    }
    let (shown, count) = (args.file.display(), file.users().count());
    if is_open_to_all(&args.file) {
        output::warning(&format!("{shown} is open to every user of this machine; chmod o= {shown}"));
    }
    if json {
        let users: Vec<Value> = file
            .users()
            .map(|user| json!({"name": user.name, "kind": user.stored.kind().to_string()}))
            .collect();
        return output::data(&format!("{}\n", json!({"valid": true, "users": users})));
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} by {kind}")).collect();
    let plural = if count == 1 { "" } else { "s" };
    let told = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
    output::data(&format!("{shown} is fine, and has {count} user{plural}{told}\n"))
}
