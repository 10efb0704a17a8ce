//! A list of rules, of which the first that matches decides.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use ahash::RandomState;
use hashbrown::HashMap;

use super::pattern::{BadPattern, Pattern, Relation};
use super::{Access, Action, Actions, Decision, Network, Who};

/// What a rule does, and what happens where none matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It is allowed.
    Allow,
    /// It is not.
    #[default]
    Deny,
}

/// A rule as it is written: it matches where everything holds that it says. A list that is empty
/// says nothing; of one that is not, any item will do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What it does where it matches.
    pub effect: Effect,
    /// What it is about.
    pub actions: Actions,
    /// Of these users.
    pub users: Vec<String>,
    /// Of the members of these groups.
    pub groups: Vec<String>,
    /// Of those who came without saying who they are; `Some(false)`: of all others.
    pub anonymous: Option<bool>,
    /// Of clients that call themselves one of these.
    pub client_ids: Vec<String>,
    /// From these addresses.
    pub addresses: Vec<Network>,
    /// Where their connections came in: at listeners of these names.
    pub listeners: Vec<String>,
    /// Over connections that TLS or Noise secures; `Some(false)`: over all others.
    pub secured: Option<bool>,
    /// On these topics. Without one it is about every topic, those that begin with `$` too, and
    /// about what has none.
    pub topics: Vec<String>,
    /// Where it is written, for explanations: a line of a file, or whatever tells.
    pub line: u32,
}

/// A group of users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its users.
    pub members: Vec<String>,
}

/// Why a list of rules makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: {problem}")]
pub struct RuleError {
    /// Which rule, counted from 0.
    pub rule: usize,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It has no action.
    #[error("it is about no action")]
    NoAction,
    /// It is about connecting, among others, and has topics, which connecting has not.
    #[error("connecting has no topic; give it a rule of its own")]
    ConnectTopic,
    /// It names a group that there is not; with its place in the list.
    #[error("there is no group `{name}`")]
    NoGroup {
        /// Its place in the list.
        index: usize,
        /// Its name.
        name: String,
    },
    /// A topic is no pattern; with its place in the list.
    #[error("{error}")]
    Topic {
        /// Its place in the list.
        index: usize,
        /// What is wrong.
        error: BadPattern,
    },
}

/// What a rule had to say to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It matches, and decides.
    Decides(Effect),
    /// It is about other actions.
    Action,
    /// It is about other users.
    User,
    /// The user is in none of its groups.
    Group,
    /// It is about anonymous clients, or about those that are not.
    Anonymous,
    /// It is about other client ids.
    ClientId,
    /// It is about other addresses.
    Address,
    /// It is about other listeners.
    Listener,
    /// It is about secured connections, or about those that are not.
    Secured,
    /// It is about other topics. To allow a filter, one of its patterns would have to cover it.
    Topic,
    /// The client's own name would have to stand in its topics, and is missing or cannot.
    Placeholder,
}

/// A step of an [explanation](Rules::explain).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule's number, counted from 0.
    pub rule: u32,
    /// Where it is written.
    pub line: u32,
    /// What it had to say.
    pub verdict: Verdict,
}

/// A rule, ready to be asked.
#[derive(Clone, Debug)]
struct Compiled {
    effect: Effect,
    actions: Actions,
    users: BTreeSet<Box<str>>,
    groups: Box<[u32]>,
    anonymous: Option<bool>,
    client_ids: BTreeSet<Box<str>>,
    addresses: Box<[Network]>,
    listeners: Box<[String]>,
    secured: Option<bool>,
    topics: Option<Box<[Pattern]>>,
    line: u32,
}

type Names = HashMap<Box<str>, Vec<u32>, RandomState>;

/// A compiled list of rules; see [`access`](super) for what they mean.
///
/// Rules that name users, groups or client ids are found by these names: they cost nothing to
/// others, however many there are.
///
/// ```
/// use bowline_core::access::{Access, Action, Actions, Effect, Rule, Rules, Who};
/// let own = Rule {
///     effect: Effect::Allow,
///     actions: Actions::from_iter([Action::Publish, Action::Subscribe]),
///     topics: vec!["home/%u/#".into()],
///     ..Rule::default()
/// };
/// let rules = Rules::new(Effect::Deny, &[], vec![own])?;
/// let alice = Who { user: "alice", ..Who::default() };
/// assert_eq!(rules.decide(&alice, Action::Publish, "home/alice/door").rule, Some(0));
/// assert!(!rules.decide(&alice, Action::Subscribe, "home/#").allowed);
/// # Ok::<(), bowline_core::access::RuleError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rules {
    rules: Box<[Compiled]>,
    default: Effect,
    groups: Box<[BTreeSet<Box<str>>]>,
    /// The rules that are about certain users alone, by user; `""` stands for anonymous clients.
    by_user: Names,
    /// Of the others, those that are about certain client ids alone.
    by_client_id: Names,
    /// All others, by action.
    common: [Box<[u32]>; Actions::COUNT],
}

impl Default for Rules {
    /// No rules: everything but connecting is denied.
    fn default() -> Self {
        let hasher = RandomState::with_seeds(0, 0, 0, 0);
        Self {
            rules: Box::default(),
            default: Effect::default(),
            groups: Box::default(),
            by_user: HashMap::with_hasher(hasher.clone()),
            by_client_id: HashMap::with_hasher(hasher),
            common: core::array::from_fn(|_| Box::default()),
        }
    }
}

impl Rules {
    /// Compiles rules. `default` decides where none matches, on all but connecting, which is
    /// allowed then.
    ///
    /// # Errors
    ///
    /// The first rule that makes no sense.
    pub fn new(default: Effect, groups: &[Group], rules: Vec<Rule>) -> Result<Self, RuleError> {
        let names: HashMap<&str, u32> =
            groups.iter().zip(0..).map(|(group, number)| (group.name.as_str(), number)).collect();
        let compile = |(rule, given): (usize, Rule)| {
            Compiled::new(given, &names).map_err(|problem| RuleError { rule, problem })
        };
        let rules: Box<[Compiled]> = rules.into_iter().enumerate().map(compile).collect::<Result<_, _>>()?;
        let members = |group: &Group| group.members.iter().map(|name| name.as_str().into()).collect();
        let groups = groups.iter().map(members).collect();
        let mut compiled = Self { default, rules, groups, ..Self::default() };
        compiled.index();
        Ok(compiled)
    }

    /// How many rules there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The groups of a user, by their place in the list that was given.
    pub fn groups_of<'a>(&'a self, user: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_member = move |(_, group): &(usize, &BTreeSet<Box<str>>)| group.contains(user);
        self.groups.iter().enumerate().filter(is_member).map(|(number, _)| number)
    }

    /// All rules up to the one that decides, and what each had to say; where none decides, all of
    /// them. The result is the one of [`decide`](Access::decide).
    ///
    /// Slower than that: it asks every rule.
    pub fn explain<'a>(
        &'a self,
        who: &'a Who<'_>,
        action: Action,
        subject: &'a str,
    ) -> impl Iterator<Item = Step> + 'a {
        let mut decided = false;
        self.rules.iter().zip(0..).map_while(move |(rule, number)| {
            if decided {
                return None;
            }
            let verdict = self.ask(rule, who, action, subject);
            decided = matches!(verdict, Verdict::Decides(_));
            Some(Step { rule: number, line: rule.line, verdict })
        })
    }

    /// Puts each rule where it is looked for.
    fn index(&mut self) {
        let mut common: [Vec<u32>; Actions::COUNT] = core::array::from_fn(|_| Vec::new());
        for (rule, number) in self.rules.iter().zip(0..) {
            if let Some(users) = self.users_of(rule) {
                for user in users {
                    self.by_user.entry(user.clone()).or_default().push(number);
                }
            } else if rule.client_ids.is_empty() {
                for action in rule.actions.iter() {
                    common[action as usize].push(number);
                }
            } else {
                for client_id in &rule.client_ids {
                    self.by_client_id.entry(client_id.clone()).or_default().push(number);
                }
            }
        }
        self.common = common.map(Vec::into_boxed_slice);
    }

    /// The users that a rule is about, where it names any.
    fn users_of(&self, rule: &Compiled) -> Option<BTreeSet<Box<str>>> {
        let mut users = match (rule.users.is_empty(), rule.groups.is_empty(), rule.anonymous) {
            (false, _, _) => rule.users.clone(),
            (true, false, _) => {
                rule.groups.iter().flat_map(|group| &self.groups[*group as usize]).cloned().collect()
            }
            (true, true, Some(true)) => BTreeSet::from([Box::from("")]),
            (true, true, _) => return None,
        };
        users.retain(|user| self.concerns(rule, user).is_none());
        Some(users)
    }

    /// Why a rule is not about this user.
    fn concerns(&self, rule: &Compiled, user: &str) -> Option<Verdict> {
        if rule.anonymous.is_some_and(|anonymous| anonymous != user.is_empty()) {
            return Some(Verdict::Anonymous);
        }
        if !rule.users.is_empty() && !rule.users.contains(user) {
            return Some(Verdict::User);
        }
        let is_member = |group: &u32| self.groups[*group as usize].contains(user);
        (!rule.groups.is_empty() && !rule.groups.iter().any(is_member)).then_some(Verdict::Group)
    }

    /// What a rule has to say, asked everything.
    fn ask(&self, rule: &Compiled, who: &Who<'_>, action: Action, subject: &str) -> Verdict {
        if !rule.actions.contains(action) {
            return Verdict::Action;
        }
        self.concerns(rule, who.user).unwrap_or_else(|| rule.ask(who, action, subject))
    }

    /// What happens where no rule decides.
    fn otherwise(&self, action: Action) -> Decision {
        (action == Action::Connect || self.default == Effect::Allow).into()
    }
}

impl Access for Rules {
    fn decide(&self, who: &Who<'_>, action: Action, subject: &str) -> Decision {
        let own = listed(&self.by_user, who.user);
        let client = listed(&self.by_client_id, who.client_id);
        let mut lists = [own, client, &self.common[action as usize]];
        // The next in the order in which they are written: each list is in that order.
        while let Some(list) = lists.iter_mut().filter(|l| !l.is_empty()).min_by_key(|l| l[0]) {
            let number = list[0];
            *list = &list[1..];
            let rule = &self.rules[number as usize];
            let is_anonymous = who.is_anonymous();
            if rule.actions.contains(action)
                && rule.anonymous.is_none_or(|anonymous| anonymous == is_anonymous)
                && rule.is_met(who, action, subject)
            {
                return Decision { allowed: rule.effect == Effect::Allow, rule: Some(number) };
            }
        }
        self.otherwise(action)
    }
}

fn listed<'a>(names: &'a Names, name: &str) -> &'a [u32] {
    names.get(name).map_or(&[], Vec::as_slice)
}

impl Compiled {
    fn new(given: Rule, groups: &HashMap<&str, u32>) -> Result<Self, Problem> {
        let Rule {
            effect,
            mut actions,
            users,
            groups: named,
            anonymous,
            client_ids,
            addresses,
            listeners,
            secured,
            topics,
            line,
        } = given;
        if actions.is_empty() {
            return Err(Problem::NoAction);
        }
        if !topics.is_empty() {
            if actions != Actions::ALL && actions.contains(Action::Connect) {
                return Err(Problem::ConnectTopic);
            }
            actions = actions.without(Action::Connect);
        }
        let known = |(index, name): (usize, String)| {
            groups.get(name.as_str()).copied().ok_or(Problem::NoGroup { index, name })
        };
        let pattern = |(index, topic): (usize, &String)| {
            Pattern::parse(topic).map_err(|error| Problem::Topic { index, error })
        };
        let patterns: Box<[Pattern]> = topics.iter().enumerate().map(pattern).collect::<Result<_, _>>()?;
        Ok(Self {
            effect,
            actions,
            users: users.into_iter().map(Into::into).collect(),
            groups: named.into_iter().enumerate().map(known).collect::<Result<_, _>>()?,
            anonymous,
            client_ids: client_ids.into_iter().map(Into::into).collect(),
            addresses: addresses.into(),
            listeners: listeners.into(),
            secured,
            topics: Some(patterns).filter(|patterns| !patterns.is_empty()),
            line,
        })
    }

    fn names(&self, client_id: &str) -> bool {
        self.client_ids.is_empty() || self.client_ids.contains(client_id)
    }

    fn is_from(&self, address: Option<IpAddr>) -> bool {
        self.addresses.is_empty()
            || address.is_some_and(|address| self.addresses.iter().any(|network| network.contains(address)))
    }

    fn is_at(&self, listener: &str) -> bool {
        self.listeners.is_empty() || self.listeners.iter().any(|name| name == listener)
    }

    fn is_over(&self, who: &Who<'_>) -> bool {
        self.secured.is_none_or(|secured| secured == who.secured.is_some())
    }

    fn is_about(&self, who: &Who<'_>, action: Action, subject: &str) -> bool {
        let Some(topics) = &self.topics else { return true };
        let hit = |pattern: &Pattern| match (action, self.effect) {
            (Action::Subscribe | Action::Serve, Effect::Allow) => {
                pattern.relates(Relation::Covers, who, subject)
            }
            (Action::Subscribe | Action::Serve, Effect::Deny) => {
                pattern.relates(Relation::Overlaps, who, subject)
            }
            _ => pattern.matches(who, subject),
        };
        topics.iter().any(|pattern| hit(pattern) && pattern.fits(who))
    }

    /// Whether all holds that is said of something else than the user.
    #[inline]
    fn is_met(&self, who: &Who<'_>, action: Action, subject: &str) -> bool {
        self.names(who.client_id)
            && self.is_from(who.address)
            && self.is_at(who.listener)
            && self.is_over(who)
            && self.is_about(who, action, subject)
    }

    /// The same with a reason.
    fn ask(&self, who: &Who<'_>, action: Action, subject: &str) -> Verdict {
        if !self.names(who.client_id) {
            return Verdict::ClientId;
        }
        if !self.is_from(who.address) {
            return Verdict::Address;
        }
        if !self.is_at(who.listener) {
            return Verdict::Listener;
        }
        if !self.is_over(who) {
            return Verdict::Secured;
        }
        if self.is_about(who, action, subject) {
            return Verdict::Decides(self.effect);
        }
        let fits = self.topics.iter().flatten().all(|pattern| pattern.fits(who));
        if fits { Verdict::Topic } else { Verdict::Placeholder }
    }
}
