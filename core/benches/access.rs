//! What a decision costs: `cargo bench -p bowline-core --bench access`. Prints nanoseconds each.

use std::hint::black_box;
use std::time::Instant as Clock;

use bowline_core::access::{Access, Action, Actions, Effect, Group, Rule, Rules, Who};

fn main() {
    let own = ["home/%u/#", "chat/+", "devices/%c/status"];
    let few = Rules::new(Effect::Deny, &[], vec![rule(&own)]).expect("they make sense");
    measure("one rule for all, three patterns: the first", &few, Action::Publish, "home/user77/door");
    measure("  the third", &few, Action::Publish, "devices/phone77/status");
    measure("  none", &few, Action::Publish, "sensors/room1/temperature");
    measure("  a filter", &few, Action::Subscribe, "home/user77/+/state");

    let house = house();
    measure("a house of 12 rules: by a group's, the fifth", &house, Action::Publish, "home/kitchen/light");
    measure("  the last", &house, Action::Publish, "public/x");
    measure("  none", &house, Action::Publish, "sensors/room1/temperature");

    let each = |i| Rule { users: vec![format!("user{i}")], ..rule(&[&format!("own/{i}/#"), "all/+/in"]) };
    let many = Rules::new(Effect::Deny, &[], (0..100_000).map(each).collect()).expect("they make sense");
    measure("a rule for each of 100,000 users", &many, Action::Publish, "own/77/temperature");
}

fn rule(topics: &[&str]) -> Rule {
    let topics = topics.iter().map(ToString::to_string).collect();
    Rule { effect: Effect::Allow, topics, ..Rule::default() }
}

/// What somebody may write for a house with people, devices and guests.
fn house() -> Rules {
    let about = |actions: &[Action], topics: &[&str]| Rule {
        actions: Actions::from_iter(actions.iter().copied()),
        ..rule(topics)
    };
    let (read, write) = (Action::Subscribe, Action::Publish);
    let deny = |rule: Rule| Rule { effect: Effect::Deny, ..rule };
    let group = |name: &str, rule: Rule| Rule { groups: vec![name.into()], ..rule };
    let rules = vec![
        Rule { users: vec!["root".into()], ..rule(&[]) },
        deny(about(&[write], &["$SYS/#"])),
        group("staff", about(&[read], &["$SYS/#"])),
        deny(group("guests", about(&[read, write], &["home/safe/#", "home/door/#"]))),
        group("staff", about(&[read, write], &["office/#", "home/#"])),
        group("devices", about(&[write], &["telemetry/%c/+", "status/%c"])),
        group("devices", about(&[read], &["commands/%c/#"])),
        Rule { anonymous: Some(true), ..deny(rule(&[])) },
        about(&[read, write], &["users/%u/#"]),
        about(&[write], &["inbox/+/%u"]),
        about(&[Action::Request], &["services/#"]),
        about(&[read, write], &["public/#"]),
    ];
    let groups = ["staff", "devices", "guests"].map(|name| Group {
        name: name.into(),
        members: if name == "staff" { (0..100).map(|i| format!("user{i}")).collect() } else { vec![] },
    });
    Rules::new(Effect::Deny, &groups, rules).expect("they make sense")
}

fn measure(what: &str, rules: &Rules, action: Action, subject: &str) {
    let who =
        Who { user: "user77", client_id: "phone77", address: Some([192, 0, 2, 7].into()), ..Who::default() };
    let allowed = rules.decide(&who, action, subject).allowed;
    let rounds = 2_000_000u32;
    let begin = Clock::now();
    for _ in 0..rounds {
        black_box(rules.decide(black_box(&who), action, black_box(subject)));
    }
    let each = begin.elapsed().as_nanos() as f64 / f64::from(rounds);
    println!("{what}: {each:.1} ns ({})", if allowed { "allowed" } else { "denied" });
}
