//! What no wording may do: words put into sentences at random, and text that is no sentence.

use super::super::{Call, Core, Parsed};
use super::alone;

/// A small generator (xorshift): the same sequence on every run, so that a failure can be looked at.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Every example of the grammar that changes something.
fn action_examples() -> Vec<&'static str> {
    let grammar = &Core::get().unwrap().grammar;
    let examples = grammar.phrases.iter().flat_map(|p| &p.examples);
    examples
        .filter(|e| e.calls.iter().any(|(name, _)| grammar.is_action(name)))
        .map(|e| e.say.as_str())
        .collect()
}

/// The sentence with the words put in at every place between its words.
fn with(sentence: &str, words: &str) -> Vec<String> {
    let parts: Vec<&str> = sentence.split(' ').collect();
    (0..=parts.len()).map(|at| [&parts[..at], &[words], &parts[at..]].concat().join(" ")).collect()
}

fn acts(sentence: &str) -> bool {
    let grammar = &Core::get().unwrap().grammar;
    matches!(alone(sentence), Parsed::Calls { calls, .. } if calls.iter().any(|c| grammar.is_action(&c.name)))
}

#[test]
fn a_negation_condition_or_exception_anywhere_in_an_action_stops_it() {
    let grammar = &Core::get().unwrap().grammar;
    let stops = [
        "not",
        "unless",
        "except",
        "without",
        "only if",
        "but",
        "if",
        "don't",
        "do not",
        "other than",
        "at most",
    ];
    let mut tried = 0;
    for (nth, example) in action_examples().into_iter().enumerate() {
        for sentence in stops.iter().flat_map(|stop| with(example, stop)) {
            tried += 1;
            assert!(!matches!(alone(&sentence), Parsed::Calls { .. }), "{sentence}");
        }
        // One in fifteen of the other guards, other ones for each example: all of them in the end.
        for sentence in
            grammar.guards.iter().skip(nth % 15).step_by(15).flat_map(|guard| with(example, guard))
        {
            tried += 1;
            assert!(!acts(&sentence), "{sentence}");
        }
    }
    println!("{tried} sentences");
    assert!(tried > 3_000);
}

#[test]
fn a_word_that_is_not_known_anywhere_in_an_action_stops_it() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for example in action_examples() {
        for _ in 0..10 {
            let word: String = std::iter::once('z')
                .chain((0..4 + random.below(5)).map(|_| (b'a' + random.below(26) as u8) as char))
                .collect();
            for sentence in with(example, &word) {
                assert!(!acts(&sentence), "{sentence}");
            }
        }
    }
}

#[test]
fn a_misspelt_word_of_an_action_is_asked_about_at_most() {
    let core = Core::get().unwrap();
    for example in action_examples() {
        let words: Vec<&str> = example.split(' ').collect();
        for (at, word) in words.iter().enumerate().filter(|(_, w)| w.len() > 3) {
            if !core.grammar.index.correctable.contains(&word.to_lowercase()) {
                continue;
            }
            let misspelt = format!("{}x{}", &word[..2], &word[2..]).to_lowercase();
            let sentence = [&words[..at], &[misspelt.as_str()], &words[at + 1..]].concat().join(" ");
            // In the place of a name it is a name, which then is said as such and looked for on the cluster.
            let named = |c: &Call| c.args.values().any(|v| v.as_str().is_some_and(|v| v.contains(&misspelt)));
            let only_named =
                matches!(alone(&sentence), Parsed::Calls { calls, .. } if calls.iter().any(named));
            assert!(only_named || !acts(&sentence), "{sentence}");
        }
    }
}

#[test]
fn an_action_inside_quotes_stays_text() {
    for example in action_examples() {
        for sentence in
            [format!("\"{example}\""), format!("show logs of \"{example}\""), format!("restart `{example}`")]
        {
            assert!(!matches!(alone(&sentence), Parsed::Calls { .. }), "{sentence}");
        }
        for around in
            ["{} said the log", "log: {}", "- {}", "> {}", "({})", "{}\n{}", "# {}", "{{{}}}", "\u{202e}{}"]
        {
            let sentence = around.replace("{}", example);
            assert!(!acts(&sentence), "{sentence}");
        }
    }
}

#[test]
fn anything_at_all_is_read_without_a_panic() {
    let mut random = Random(7);
    let core = Core::get().unwrap();
    let mut words: Vec<String> = core.automaton.words().collect();
    words.sort();
    let odd = [
        "\"", "'", "’s", "=", ",", "--", "-n", "", "\u{0}", "½", "😀", "ß", "İ", "\u{200b}", "3", "-", ".",
        "%", "5x", "//", "a/b/c",
    ];
    for _ in 0..3_000 {
        let mut sentence = String::new();
        for _ in 0..random.below(12) {
            match random.below(4) {
                0 => sentence.extend(char::from_u32(random.below(0x11_0000) as u32)),
                1 => sentence.push_str(odd[random.below(odd.len())]),
                _ => sentence.push_str(&words[random.below(words.len())]),
            }
            if random.below(3) > 0 {
                sentence.push(' ');
            }
        }
        alone(&sentence);
    }
}

/// The workloads that actions of a sentence touch, by bare name and namespace.
fn touched(calls: &[Call]) -> Vec<(String, String)> {
    let grammar = &Core::get().unwrap().grammar;
    let text = |c: &Call, key: &str| c.args.get(key).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
    let bare = |workload: String| workload.rsplit('/').next().unwrap_or_default().to_owned();
    let actions = calls.iter().filter(|c| grammar.is_action(&c.name));
    // A Job or a node is called by its name.
    let target = |c: &Call| match text(c, "workload") {
        none if none.is_empty() => text(c, "name"),
        workload => workload,
    };
    actions.map(|c| (bare(target(c)), text(c, "namespace"))).collect()
}

#[test]
fn a_word_of_the_grammar_put_anywhere_never_moves_an_action_to_another_target() {
    let core = Core::get().unwrap();
    let mut words: Vec<String> = core.automaton.words().collect();
    words.sort();
    words.dedup();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for example in action_examples().into_iter().filter(|e| !e.starts_with("undo ")) {
        let Parsed::Calls { calls: meant, .. } = alone(example) else { panic!("{example}") };
        let meant = touched(&meant);
        for _ in 0..12 {
            for sentence in with(example, &words[random.below(words.len())]) {
                if let Parsed::Calls { calls, .. } = alone(&sentence) {
                    assert!(touched(&calls).iter().all(|t| meant.contains(t)), "{sentence}: {calls:?}");
                }
            }
        }
    }
}

#[test]
fn a_very_long_sentence_is_refused_and_a_long_list_is_read() {
    assert!(!acts(&"restart web and ".repeat(200)));
    assert!(!acts(&format!("restart web{}", " and restart web".repeat(500))));
    let names: Vec<String> = (0..15).map(|i| format!("web-{i}")).collect();
    let sentence = format!("restart {}", names.join(" and "));
    assert!(matches!(alone(&sentence), Parsed::Calls { calls, .. } if calls.len() == 15), "{sentence}");
}

#[test]
fn the_names_that_people_give_are_not_words_of_the_grammar() {
    let common = [
        "web",
        "api",
        "app",
        "backend",
        "frontend",
        "worker",
        "db",
        "redis",
        "postgres",
        "mysql",
        "nginx",
        "gateway",
        "auth",
        "cart",
        "checkout",
        "payments",
        "orders",
        "search",
        "cache",
        "queue",
        "scheduler",
        "proxy",
        "mail",
        "mailer",
        "kafka",
        "rabbitmq",
        "grafana",
        "prometheus",
        "loki",
        "vault",
        "argocd",
        "traefik",
        "istiod",
        "coredns",
        "todo",
        "shop",
        "default",
        "prod",
        "production",
        "staging",
        "dev",
        "test",
        "qa",
        "kube-system",
        "monitoring",
        "logging",
        "users",
        "billing",
        "inventory",
        "catalog",
        "notifications",
        "analytics",
        "ingest",
        "admin",
        "portal",
        "docs",
        "blog",
        "site",
        "batch",
        "jenkins",
        "gitlab",
        "demo",
    ];
    let reserved = &Core::get().unwrap().grammar.index.reserved;
    let taken: Vec<&&str> = common.iter().filter(|name| reserved.contains(**name)).collect();
    assert!(taken.is_empty(), "{taken:?} could not be named without quotes");
}
