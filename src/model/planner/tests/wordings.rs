//! Sentences made from the templates themselves: each is understood, in one way, and means what its phrase says.

use super::super::Core;
use super::super::parse::Parsed;
use super::super::slots::Slot;
use super::super::template::{self, Node};
use super::alone;
use super::safety::Random;

fn sample(slot: Slot, random: &mut Random) -> &'static str {
    let some: &[&str] = match slot {
        Slot::Workload => &["web", "deployment/web", "deployment web", "web deployment", "the web"],
        Slot::Workloads => {
            &["web", "deployment/web", "web and api", "web, api and statefulset/db", "the web app"]
        }
        Slot::Source => &["web", "pod/web-1", "pod web-1", "job migrate"],
        Slot::Object => &["web", "pod web-1", "node/worker-1"],
        Slot::Target => &["deployment/web", "svc/web", "node/worker-1"],
        Slot::Plural => &["workers", "proxies"],
        Slot::Kind => &["deployment", "service", "config map", "pvc"],
        Slot::Kinds => &["pods", "services and ingresses", "config maps", "sts"],
        Slot::Name => &["web", "proxy"],
        Slot::Namespace => &["todo", "prod", "kube-system"],
        Slot::Its => &["its", "their"],
        Slot::Count | Slot::More | Slot::Fewer => &["3", "two", "twenty five"],
        Slot::Number => &["20", "fifty"],
        Slot::PercentMore | Slot::PercentFewer => &["50%", "20 percent"],
        Slot::Times => &["2x", "3 times"],
        Slot::Ordinal => &["2", "second"],
        Slot::Revision => &["4", "12"],
        Slot::Duration => &["10m", "two hours", "today"],
        Slot::Selector => &["app=web", "app=web,tier!=db"],
        Slot::Text | Slot::Pattern => &["timeout", "\"connection refused\""],
        Slot::PlanId => &["7f3a", "deadbeef"],
        Slot::Image | Slot::MarkedImage => &["todo-web:v2", "registry.example:5000/shop/web:1.2"],
        Slot::Tag => &["1.28", "v2"],
        Slot::Port => &["30000", "8080"],
        Slot::Ports => &["3000", "8000 and 9090"],
        Slot::Quantity => &["250m", "512Mi", "2Gi"],
        Slot::Percentage => &["70%", "80 percent"],
        Slot::Pairs => &["MODE=prod", "A=1, B=2 and C=3"],
        Slot::SecretRef => &["app-secrets"],
        Slot::ConfigRef => &["app-config"],
        Slot::Probe => &["/ready", "http:/health:8000", "tcp:5432"],
        Slot::Storage => &["5Gi at /data", "1Gi of storage mounted at /var/lib/x"],
        Slot::UrlPath => &["/", "/api/v1"],
        Slot::Host => &["shop.example.com"],
        Slot::Names => &["DEBUG", "A and B"],
        Slot::NamespaceList => &["dev", "dev and staging"],
        Slot::TargetWorkload => &["deployment/web"],
        Slot::ServicePort => &["web-v2", "backend:8000"],
        Slot::Label => &["nightly", "X-Beta"],
        Slot::Field => &["deployment", "deployment.spec.strategy"],
        Slot::Verb => &["delete", "create"],
        Slot::Account => &["builder"],
        Slot::VersionedImage => &["nginx 1.27", "ghcr.io/shop/api v2"],
        Slot::File => &["k8s/app.yaml", "./charts/todo", "\"my folder\""],
        Slot::OnNode => &["worker-2", "ip-10-0-1-7"],
    };
    some[random.below(some.len())]
}

/// One way through a template, in words.
fn wording<'a>(node: &'a Node, random: &mut Random, out: &mut Vec<String>, slots: &mut Vec<&'a str>) {
    match node {
        Node::Seq(items) => items.iter().for_each(|item| wording(item, random, out, slots)),
        Node::Alt(options) => wording(&options[random.below(options.len())], random, out, slots),
        Node::Many(inner) => (0..random.below(4)).for_each(|_| wording(inner, random, out, slots)),
        Node::Word(word) => out.push(word.clone()),
        Node::Slot { arg, slot } => {
            slots.push(arg);
            out.push(sample(*slot, random).to_owned());
        }
        Node::Set { arg, .. } => slots.push(arg),
    }
}

#[test]
fn every_wording_of_every_template_means_one_thing() {
    let core = Core::get().unwrap();
    let mut random = Random(0x51_7c_c1_b7);
    let (mut made, mut wrong) = (0, Vec::new());
    for phrase in core.grammar.phrases.iter().filter(|p| p.meaning.is_none() && p.follows.is_none()) {
        for text in &phrase.says {
            let node = template::parse(text, &core.grammar.fragments).unwrap();
            for _ in 0..25 {
                let (mut words, mut slots) = (Vec::new(), Vec::new());
                wording(&node, &mut random, &mut words, &mut slots);
                let sentence = words.join(" ");
                slots.sort_unstable();
                if slots.windows(2).any(|two| two[0] == two[1])
                    || sentence.contains("its ")
                    || sentence.contains("their ")
                {
                    continue; // The same thing said twice, or about something that was not said.
                }
                made += 1;
                let expected =
                    |name: &String| *name == phrase.tool || phrase.also.iter().any(|(a, _)| a == name);
                match alone(&sentence) {
                    Parsed::Calls { calls, notes }
                        if notes.is_empty() && calls.iter().all(|c| expected(&c.name)) => {}
                    other => wrong.push(format!("{sentence}\n    of {text}\n    {other:?}")),
                }
            }
        }
    }
    println!("{made} wordings");
    assert!(wrong.is_empty(), "{} of {made} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
