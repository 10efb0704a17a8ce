//! Rules against brute force: every topic that can tell two patterns apart, one by one.

use std::collections::BTreeSet;
use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::pattern::{Pattern, Relation};
use super::*;
use crate::topic;

const ANN: Who<'_> = Who { user: "ann", client_id: "phone", address: None, listener: "", secured: None };

fn rule(effect: Effect, actions: &[Action], topics: &[&str]) -> Rule {
    let topics = topics.iter().map(ToString::to_string).collect();
    Rule { effect, actions: actions.iter().copied().collect(), topics, ..Rule::default() }
}

fn rules(default: Effect, rules: Vec<Rule>) -> Rules {
    Rules::new(default, &[], rules).unwrap()
}

fn decides(rules: &Rules, action: Action, subject: &str) -> (bool, Option<u32>) {
    let Decision { allowed, rule } = rules.decide(&ANN, action, subject);
    (allowed, rule)
}

use Action::{Connect, Publish, Queue, Request, Serve, Subscribe};
use Effect::{Allow, Deny};

#[test]
fn the_first_rule_that_matches_decides() {
    let rules = rules(
        Deny,
        vec![
            rule(Deny, &[Publish], &["a/secret"]),
            rule(Allow, &[Publish, Subscribe], &["a/#"]),
            rule(Allow, &[Request, Serve, Queue], &["jobs/+"]),
        ],
    );
    assert_eq!(decides(&rules, Publish, "a/secret"), (false, Some(0)));
    assert_eq!(decides(&rules, Publish, "a/b"), (true, Some(1)));
    assert_eq!(decides(&rules, Subscribe, "a/secret"), (true, Some(1)));
    assert_eq!(decides(&rules, Publish, "b"), (false, None));
    for action in [Request, Serve, Queue] {
        assert_eq!(decides(&rules, action, "jobs/x"), (true, Some(2)));
        assert_eq!(decides(&rules, action, "a/b"), (false, None));
    }
    assert_eq!(decides(&rules, Connect, ""), (true, None), "no rule says no");
    assert_eq!((rules.len(), rules.is_empty()), (3, false));
    let none = Rules::default();
    assert_eq!(decides(&none, Publish, "a"), (false, None));
    assert_eq!(decides(&none, Connect, ""), (true, None));
}

#[test]
fn a_filter_is_allowed_as_a_whole_and_denied_for_a_part() {
    let list = || {
        vec![
            rule(Deny, &[Subscribe], &["home/safe/#"]),
            rule(Allow, &[Subscribe], &["home/#", "$SYS/uptime"]),
        ]
    };
    for default in [Allow, Deny] {
        let rules = rules(default, list());
        let otherwise = (default == Allow, None);
        for (filter, want) in [
            ("home/kitchen/+", (true, Some(1))),
            ("home/safe", (false, Some(0))),
            ("home/+/code", (false, Some(0))),
            ("home/#", (false, Some(0))),
            ("#", (false, Some(0))),
            ("+/safe/#", (false, Some(0))),
            ("home/kitchen", (true, Some(1))),
            ("office/#", otherwise),
            ("$SYS/uptime", (true, Some(1))),
            ("$SYS/#", otherwise),
        ] {
            assert_eq!(decides(&rules, Subscribe, filter), want, "{filter}");
        }
    }
}

#[test]
fn wildcards_in_front_are_not_the_servers_topics() {
    let rules = rules(Deny, vec![rule(Allow, &[Publish, Subscribe], &["#"])]);
    assert!(decides(&rules, Subscribe, "#").0 && decides(&rules, Subscribe, "+/b/#").0);
    for subject in ["$SYS/#", "$SYS/a"] {
        assert!(!decides(&rules, Subscribe, subject).0);
    }
    assert!(!decides(&rules, Publish, "$SYS/a").0);
    let all = Rules::new(Deny, &[], vec![rule(Allow, &[Publish, Subscribe], &[])]).unwrap();
    assert!(decides(&all, Publish, "$SYS/a").0 && decides(&all, Subscribe, "$SYS/#").0);
}

#[test]
fn a_rule_is_about_whom_it_names() {
    let groups = [
        Group { name: "staff".into(), members: vec!["ann".into(), "bob".into()] },
        Group { name: "none".into(), members: vec![] },
    ];
    let with = |change: &dyn Fn(&mut Rule)| {
        let mut rule = rule(Allow, &[Publish], &[]);
        change(&mut rule);
        Rules::new(Deny, &groups, vec![rule]).unwrap()
    };
    let may = |rules: &Rules, user, client_id, address: Option<[u8; 4]>| {
        let who = Who { user, client_id, address: address.map(Into::into), ..Who::default() };
        let decision = rules.decide(&who, Publish, "t");
        let told = rules.explain(&who, Publish, "t").last().unwrap().verdict;
        assert_eq!(decision.allowed, told == Verdict::Decides(Allow));
        (decision.allowed, told)
    };
    let yes = (true, Verdict::Decides(Allow));
    let users = with(&|r| r.users = vec!["ann".into(), "eve".into()]);
    assert_eq!(may(&users, "ann", "", None), yes);
    assert_eq!(may(&users, "bob", "", None), (false, Verdict::User));
    let staff = with(&|r| r.groups = vec!["none".into(), "staff".into()]);
    assert_eq!(may(&staff, "bob", "", None), yes);
    assert_eq!(may(&staff, "", "", None), (false, Verdict::Group));
    assert_eq!(staff.groups_of("bob").collect::<Vec<_>>(), [0]);
    let both = with(&|r| {
        r.users = vec!["ann".into(), "eve".into()];
        r.groups = vec!["staff".into()];
    });
    assert_eq!(may(&both, "ann", "", None), yes);
    assert_eq!(may(&both, "eve", "", None), (false, Verdict::Group));
    assert_eq!(may(&both, "bob", "", None), (false, Verdict::User));
    let strangers = with(&|r| r.anonymous = Some(true));
    assert_eq!(may(&strangers, "", "x", None), yes);
    assert_eq!(may(&strangers, "ann", "", None), (false, Verdict::Anonymous));
    let known = with(&|r| r.anonymous = Some(false));
    assert_eq!(may(&known, "", "x", None), (false, Verdict::Anonymous));
    assert_eq!(may(&known, "ann", "", None), yes);
    let client = with(&|r| r.client_ids = vec!["phone".into()]);
    assert_eq!(may(&client, "", "phone", None), yes);
    assert_eq!(may(&client, "phone", "", None), (false, Verdict::ClientId));
    let near = with(&|r| r.addresses = vec!["192.0.2.0/24".parse().unwrap(), "::1".parse().unwrap()]);
    assert_eq!(may(&near, "", "", Some([192, 0, 2, 9])), yes);
    assert_eq!(may(&near, "", "", Some([192, 0, 3, 9])), (false, Verdict::Address));
    assert_eq!(may(&near, "", "", None), (false, Verdict::Address));
}

#[test]
fn a_rule_is_about_the_listeners_that_it_names() {
    let names = vec!["internal".into(), "0.0.0.0:1883".into()];
    let rules =
        vec![Rule { listeners: names, ..rule(Allow, &[Connect, Publish], &[]) }, rule(Deny, &[Connect], &[])];
    let rules = Rules::new(Deny, &[], rules).unwrap();
    let at = |listener, action| {
        let who = Who { listener, ..Who::default() };
        let told = rules.explain(&who, action, "").map(|step| step.verdict).next();
        (rules.decide(&who, action, "").rule, told)
    };
    for listener in ["internal", "0.0.0.0:1883"] {
        assert_eq!(at(listener, Publish), (Some(0), Some(Verdict::Decides(Allow))));
        assert_eq!(at(listener, Connect), (Some(0), Some(Verdict::Decides(Allow))));
    }
    for listener in ["", "intern", "internal2", "Internal"] {
        assert_eq!(at(listener, Publish), (None, Some(Verdict::Listener)), "{listener}");
        assert_eq!(at(listener, Connect), (Some(1), Some(Verdict::Listener)), "{listener}");
    }
}

#[test]
fn a_rule_is_about_connections_that_are_secured_or_those_that_are_not() {
    let with = |secured| {
        let rule = Rule { secured, ..rule(Allow, &[Publish], &[]) };
        Rules::new(Deny, &[], vec![rule]).unwrap()
    };
    let plain = Who::default();
    let [tls, noise] = [Security::Tls, Security::Noise].map(|by| Who { secured: Some(by), ..plain });
    for (secured, want) in
        [(None, [true; 3]), (Some(true), [false, true, true]), (Some(false), [true, false, false])]
    {
        let rules = with(secured);
        let may = [plain, tls, noise].map(|who| rules.decide(&who, Publish, "t").allowed);
        assert_eq!(may, want, "{secured:?}");
        let told = [plain, tls, noise].map(|who| rules.explain(&who, Publish, "t").last().unwrap().verdict);
        let verdict = |allowed| if allowed { Verdict::Decides(Allow) } else { Verdict::Secured };
        assert_eq!(told, want.map(verdict), "{secured:?}");
    }
}

#[test]
fn own_names_stand_in_topics_and_widen_none() {
    let rules = rules(
        Deny,
        vec![rule(Allow, &[Publish, Subscribe], &["home/%u/#", "%c/x-%u-%c", "100%%/+", "%u-%c"])],
    );
    let may = |user: &str, client_id: &str, action, subject: &str| {
        rules.decide(&Who { user, client_id, ..Who::default() }, action, subject).allowed
    };
    assert!(may("ann", "", Publish, "home/ann/door") && may("ann", "", Publish, "home/ann"));
    assert!(may("ann", "", Subscribe, "home/ann/#") && may("ann", "", Subscribe, "home/ann/+/x"));
    assert!(!may("ann", "", Subscribe, "home/+/door") && !may("ann", "", Publish, "home/annette"));
    assert!(may("ann", "p", Publish, "p/x-ann-p") && !may("ann", "p", Publish, "p/x-ann-q"));
    assert!(may("ann", "p", Publish, "ann-p") && may("x", "", Publish, "100%/a"));
    for bad in ["", "+", "#", "ann/x", "a+", "b#", "/", "a\0", "$SYS"] {
        for filter in
            ["home/+/#", "home/#", "home/ann/x/y", &format!("home/{bad}/#"), &format!("{bad}/x--{bad}")]
        {
            let own = bad == "$SYS" && filter == "home/$SYS/#";
            assert_eq!(may(bad, bad, Subscribe, filter), own, "{bad:?} {filter:?}");
        }
    }
    assert!(may("$SYS", "", Publish, "home/$SYS/x"), "only in front is it the server's");
    assert!(!may("ann", "$SYS", Publish, "$SYS/x-ann-$SYS") && !may("$SYS", "a", Publish, "$SYS-a"));
    let told = rules.explain(&Who { user: "a/b", ..Who::default() }, Publish, "home/a/b").last();
    assert_eq!(told.unwrap().verdict, Verdict::Placeholder);
}

#[test]
fn a_rule_that_makes_no_sense_is_named() {
    let fault = |rule: Rule| {
        let error = Rules::new(Deny, &[], vec![Rule::default(), rule]).unwrap_err();
        assert_eq!(error.rule, 1);
        error.to_string()
    };
    assert_eq!(fault(rule(Allow, &[], &["a"])), "rule 1: it is about no action");
    assert_eq!(
        fault(rule(Allow, &[Connect, Publish], &["a"])),
        "rule 1: connecting has no topic; give it a rule of its own"
    );
    assert_eq!(
        fault(Rule { groups: vec!["staff".into()], ..Rule::default() }),
        "rule 1: there is no group `staff`"
    );
    for (topic, want) in [
        ("a/#/b", "`#` at octet 2 must be the last level"),
        ("a/b%", "`%` at octet 3 must be `%u` (the user), `%c` (the client id), or `%%` for itself"),
        ("%%/%u/%U", "`%` at octet 6 must be `%u` (the user), `%c` (the client id), or `%%` for itself"),
        (
            "$share/g/a",
            "`$share/GROUP/` is not part of what rules are about; write the filter that follows it",
        ),
        ("", "the topic is empty; it needs at least one character"),
    ] {
        assert_eq!(fault(rule(Allow, &[Publish], &["ok", topic])), format!("rule 1: {want}"));
    }
    let everything = rules(Deny, vec![Rule { topics: vec!["a".into()], effect: Allow, ..Rule::default() }]);
    assert_eq!(decides(&everything, Connect, ""), (true, None), "all but connecting, which has no topic");
    assert_eq!(decides(&everything, Queue, "a"), (true, Some(0)));
}

/// Names that patterns use, and as many again that none does: so that each `+` can be told from
/// each name.
const NAMES: [&str; 6] = ["a", "b", "", "$s", "$t", "z"];

/// Patterns have at most this many levels, topics one more.
const LEVELS: usize = 3;

fn topics() -> Vec<String> {
    let mut all: Vec<Vec<&str>> = vec![vec![]];
    let mut topics = Vec::new();
    for _ in 0..=LEVELS {
        all = all
            .iter()
            .flat_map(|topic| NAMES.iter().map(|name| [topic.as_slice(), &[*name]].concat()))
            .collect();
        topics.extend(all.iter().map(|levels| levels.join("/")));
    }
    // An empty topic is none.
    topics.retain(|topic| !topic.is_empty());
    topics
}

fn filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "$s", "+", "+", "a"]);
    (prop::collection::vec(level, 0..=LEVELS), any::<bool>())
        .prop_map(|(mut levels, open)| {
            if open || levels.is_empty() {
                levels.truncate(LEVELS - 1);
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("an empty filter is none", |filter| !filter.is_empty())
}

/// A filter in which own names may stand, or in place of which they do.
fn pattern() -> impl Strategy<Value = String> {
    (filter(), 0u8..4).prop_map(|(filter, how)| match how {
        0 => filter.replace('a', "%u"),
        1 => filter.replace('b', "%c"),
        _ => filter,
    })
}

fn action() -> impl Strategy<Value = Action> {
    prop::sample::select(Action::ALL.to_vec())
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let users = prop::sample::subsequence(vec!["a", "b", "c"], 0..=2);
    let groups = prop::sample::subsequence(vec!["g", "h"], 0..=2);
    let client_ids = prop::sample::subsequence(vec!["a", "b", "c"], 0..=2);
    let networks = prop::sample::subsequence(vec!["10.0.0.0/8", "10.1.0.0/16"], 0..=1);
    let actions = prop::collection::vec(action(), 1..5);
    let topics = prop::collection::vec(pattern(), 0..3);
    let anonymous = prop::sample::select(vec![None, None, None, Some(true), Some(false)]);
    let secured = prop::sample::select(vec![None, None, None, Some(true), Some(false)]);
    let listeners = prop::collection::vec(prop::sample::select(vec!["in", "out"]), 0..2);
    let names = (users, groups, client_ids, networks, anonymous, (secured, listeners));
    (any::<bool>(), actions, topics, names, 0u32..100).prop_map(|(allow, actions, topics, names, line)| {
        let (users, groups, client_ids, networks, anonymous, (secured, listeners)) = names;
        let owned = |names: Vec<&str>| names.iter().map(ToString::to_string).collect();
        let mut actions = Actions::from_iter(actions);
        if !topics.is_empty() && actions.contains(Connect) {
            actions = Actions::ALL;
        }
        Rule {
            effect: if allow { Allow } else { Deny },
            actions,
            users: owned(users),
            groups: owned(groups),
            anonymous,
            client_ids: owned(client_ids),
            addresses: networks.iter().map(|network| network.parse().unwrap()).collect(),
            listeners: owned(listeners),
            secured,
            topics,
            line,
        }
    })
}

fn who() -> impl Strategy<Value = Who<'static>> {
    let names = || prop::sample::select(vec!["", "a", "b", "c", "+", "#", "a/b", "$s"]);
    let addresses = vec![None, Some([10, 1, 2, 3]), Some([10, 2, 0, 1]), Some([192, 0, 2, 1])];
    let secured = prop::sample::select(vec![None, Some(Security::Tls), Some(Security::Noise)]);
    let listeners = prop::sample::select(vec!["", "in", "out"]);
    (names(), names(), prop::sample::select(addresses), listeners, secured).prop_map(
        |(user, client_id, address, listener, secured)| Who {
            user,
            client_id,
            address: address.map(Into::into),
            listener,
            secured,
        },
    )
}

proptest! {
    /// `matches` is MQTT's rule; `Covers` and `Overlaps` are what their names say, topic by topic.
    #[test]
    fn patterns_are_the_topics_that_they_match(a in filter(), b in filter()) {
        let pattern = Pattern::parse(&a).unwrap();
        let (mut covers, mut overlaps) = (true, false);
        for topic in topics() {
            let (ours, theirs) = (topic::matches(&a, &topic), topic::matches(&b, &topic));
            prop_assert_eq!(pattern.matches(&ANN, &topic), ours, "{} {}", a, topic);
            covers &= ours || !theirs;
            overlaps |= ours && theirs;
        }
        prop_assert_eq!(pattern.relates(Relation::Covers, &ANN, &b), covers, "{} covers {}", a, b);
        prop_assert_eq!(pattern.relates(Relation::Overlaps, &ANN, &b), overlaps, "{} overlaps {}", a, b);
    }

    /// A pattern with names filled in is the pattern that has them written out; with a name that
    /// does not fit, it is none.
    #[test]
    fn placeholders_are_the_names_written_out(text in pattern(), who in who(), filter in filter()) {
        let pattern = Pattern::parse(&text).unwrap();
        let written = text.replace("%u", who.user).replace("%c", who.client_id);
        let odd = |mark: &str, name: &str| {
            let unfit = name.is_empty() || name.contains(['+', '#', '/']);
            text.contains(mark) && (unfit || (text.starts_with(mark) && name.starts_with('$')))
        };
        prop_assert_eq!(pattern.fits(&who), !odd("%u", who.user) && !odd("%c", who.client_id));
        if pattern.fits(&who) {
            let plain = Pattern::parse(&written).unwrap();
            for relation in [Relation::Covers, Relation::Overlaps] {
                let (ours, theirs) =
                    (pattern.relates(relation, &who, &filter), plain.relates(relation, &who, &filter));
                prop_assert_eq!(ours, theirs);
            }
            for topic in topics().iter().step_by(7) {
                prop_assert_eq!(pattern.matches(&who, topic), plain.matches(&who, topic));
            }
        }
    }

    /// What is looked up by names is what asking all rules in their order gives.
    #[test]
    fn a_decision_is_the_one_that_is_explained(
        list in prop::collection::vec(any_rule(), 0..12),
        who in who(),
        action in action(),
        subject in filter(),
        allow: bool,
    ) {
        let groups = [
            Group { name: "g".into(), members: vec!["a".into(), "c".into()] },
            Group { name: "h".into(), members: vec!["b".into()] },
        ];
        let default = if allow { Allow } else { Deny };
        let lines: Vec<u32> = list.iter().map(|rule| rule.line).collect();
        let rules = Rules::new(default, &groups, list).unwrap();
        let subject = match action {
            Connect => String::new(),
            Subscribe | Serve => subject,
            _ => subject.replace(['+', '#'], "a"),
        };
        let steps: Vec<Step> = rules.explain(&who, action, &subject).collect();
        for (number, step) in (0..).zip(&steps) {
            prop_assert_eq!((step.rule, step.line), (number, lines[number as usize]));
            let last = number as usize + 1 == steps.len();
            prop_assert!(last || !matches!(step.verdict, Verdict::Decides(_)));
        }
        let want = match steps.last() {
            Some(Step { rule, verdict: Verdict::Decides(effect), .. }) => {
                Decision { allowed: *effect == Allow, rule: Some(*rule) }
            }
            _ => {
                prop_assert_eq!(steps.len(), rules.len());
                (allow || action == Connect).into()
            }
        };
        prop_assert_eq!(rules.decide(&who, action, &subject), want);
    }

    /// Nobody reads by a filter what he could not read topic by topic.
    #[test]
    fn an_allowed_filter_is_allowed_in_every_topic(
        list in prop::collection::vec((any::<bool>(), pattern()), 0..8),
        who in who(),
        filter in filter(),
        allow: bool,
    ) {
        let effect = |allow| if allow { Allow } else { Deny };
        let list = list.iter().map(|(allow, topic)| rule(effect(*allow), &[Subscribe], &[topic])).collect();
        let rules = Rules::new(effect(allow), &[], list).unwrap();
        if rules.decide(&who, Subscribe, &filter).allowed {
            let mine: BTreeSet<String> = topics().into_iter().filter(|t| topic::matches(&filter, t)).collect();
            for topic in mine {
                prop_assert!(rules.decide(&who, Subscribe, &topic).allowed, "{} by {}", topic, filter);
            }
        }
    }
}
