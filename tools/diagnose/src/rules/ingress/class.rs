//! Who serves an Ingress: its class, the class that is the default, and the controller's pods.

use serde_json::json;

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Ingress, IngressClass, Pod};
use crate::rules::services::apply;
use crate::rules::similar::nearest;
use crate::snapshot::{Lookup, Seen};
use crate::walk;

pub(super) const CLASS_MISSING: Cause =
    Cause::fault("ingress-class-missing", 2, "An Ingress asks for an IngressClass that does not exist.");
pub(super) const NO_CLASS: Cause = Cause::fault(
    "ingress-no-class",
    3,
    "An Ingress names no class, and none is the default, so that nobody serves it.",
);
pub(super) const CONTROLLER_ABSENT: Cause =
    Cause::fault("ingress-controller-absent", 2, "No controller runs that serves the class of an Ingress.");

/// How long a controller may take to see an Ingress.
const CLASS_PATIENCE: i64 = 120;
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const DEFAULT_ANNOTATION: &str = "ingressclass.kubernetes.io/is-default-class";

/// Classes that controllers serve without an object of that name.
const BUILT_IN: &[&str] = &["gce", "gce-internal", "alb", "azure/application-gateway"];

/// Controllers by a part of their id, with what their pods are called. An empty list: it runs where no pod shows.
const CONTROLLERS: &[(&str, &[&str])] = &[
    ("k8s.io/ingress-nginx", &["ingress-nginx", "nginx-ingress"]),
    ("nginx.org/ingress-controller", &["nginx-ingress"]),
    ("traefik.io/ingress-controller", &["traefik"]),
    ("haproxy", &["haproxy"]),
    ("projectcontour.io", &["contour"]),
    ("konghq.com", &["kong"]),
    ("ingress.k8s.aws/alb", &["aws-load-balancer-controller", "aws-alb-ingress-controller"]),
    ("cilium.io/ingress-controller", &["cilium"]),
    ("istio.io/ingress-controller", &["istio", "pilot"]),
    ("caddyserver", &["caddy"]),
    ("skipper", &["skipper"]),
    ("apisix", &["apisix"]),
    ("ngrok", &["ngrok"]),
    ("cloudflare", &["cloudflare"]),
    ("tailscale", &["tailscale"]),
    ("gce", &[]),
    ("openshift", &[]),
    ("azure", &[]),
    ("ibm", &[]),
    ("vmware", &[]),
    ("f5", &[]),
];

/// The class that an Ingress names, as a field or in the old way.
pub(super) fn name(ingress: &Ingress) -> Option<&str> {
    let field = ingress.spec.ingress_class_name.as_str();
    let annotation = ingress.metadata.annotations.get(CLASS_ANNOTATION);
    [field, annotation].into_iter().find(|n| !n.is_empty())
}

fn default<'a>(engine: &Engine<'a>) -> Option<&'a IngressClass> {
    engine
        .snap
        .ingress_classes
        .items
        .iter()
        .find(|c| c.metadata.annotations.get(DEFAULT_ANNOTATION) == "true")
}

/// The class that an Ingress names, else the default one.
pub(super) fn effective<'a>(engine: &Engine<'a>, ingress: &'a Ingress) -> Option<&'a str> {
    name(ingress).or_else(|| default(engine).map(|c| c.metadata.name.as_str()))
}

/// The id of the controller of an Ingress.
pub(super) fn controller<'a>(engine: &Engine<'a>, ingress: &'a Ingress) -> Option<&'a str> {
    let class = effective(engine, ingress)?;
    engine.snap.ingress_classes.find("", class).found().map(|c| c.spec.controller.as_str())
}

/// What explains that nobody serves an Ingress. One that has an address was served, and is still, unless its
/// controller's own pods are down.
pub(super) fn explain(engine: &mut Engine<'_>, ingress: &Ingress) -> Roots {
    let snap = engine.snap;
    let meta = &ingress.metadata;
    let is_served = !ingress.status.load_balancer.ingress.is_empty();
    let is_young = !meta.creation_timestamp.older_than(CLASS_PATIENCE, snap.now);
    if is_young || meta.deletion_timestamp.is_set() || !snap.ingress_classes.sees("") {
        return Roots::new();
    }
    let Some(class) = name(ingress) else {
        return match default(engine) {
            Some(class) => absent(engine, class, is_served),
            None if is_served => Roots::new(),
            None => no_class(engine, ingress),
        };
    };
    match snap.ingress_classes.find("", class) {
        Lookup::Found(class) => absent(engine, class, is_served),
        Lookup::Absent if is_served => Roots::new(),
        Lookup::Absent if BUILT_IN.contains(&class) => Roots::new(),
        // In the old way the name is the controller's own word, for which there need be no object.
        Lookup::Absent if ingress.spec.ingress_class_name.is_empty() => old_word(engine, ingress, class),
        Lookup::Absent => missing(engine, ingress, class, "spec.ingressClassName"),
        Lookup::Unknown => Roots::new(),
    }
}

fn old_word(engine: &mut Engine<'_>, ingress: &Ingress, class: &str) -> Roots {
    let snap = engine.snap;
    let is_controllers = snap.ingress_classes.items.iter().any(|c| c.spec.controller.contains(class));
    let runs = snap.pods.seen != Seen::Everywhere || snap.pods.items.iter().any(|p| is_called(p, class));
    if is_controllers || runs || snap.ingress_classes.items.is_empty() {
        return Roots::new();
    }
    missing(engine, ingress, class, &format!("metadata.annotations[{CLASS_ANNOTATION}]"))
}

/// The Ingress with that class.
fn reclass(ingress: &Ingress, class: &str) -> Fix {
    let manifest = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": ingress.metadata.name, "namespace": ingress.metadata.namespace},
        "spec": {"ingressClassName": class},
    });
    apply(format!("give ingress/{} the class {class}", ingress.metadata.name), &manifest)
}

/// The classes that there are, as people read them.
fn listed(engine: &Engine<'_>) -> String {
    let names: Vec<&str> =
        engine.snap.ingress_classes.items.iter().map(|c| c.metadata.name.as_str()).collect();
    if names.is_empty() { "there is none at all".into() } else { format!("there is {}", names.join(", ")) }
}

/// The class to take: the nearest name, the default one, the only one.
fn meant<'a>(engine: &Engine<'a>, wanted: &str) -> Option<&'a str> {
    let all = &engine.snap.ingress_classes.items;
    nearest(wanted, all.iter().map(|c| c.metadata.name.as_str()))
        .or_else(|| default(engine).map(|c| c.metadata.name.as_str()))
        .or_else(|| all.first().filter(|_| all.len() == 1).map(|c| c.metadata.name.as_str()))
}

fn missing(engine: &mut Engine<'_>, ingress: &Ingress, class: &str, field: &str) -> Roots {
    let object = Object::of("ingress", &ingress.metadata);
    let says = format!("asks for the class {class}, which does not exist; {}", listed(engine));
    let fix = match meant(engine, class) {
        Some(right) => reclass(ingress, right),
        None => Fix::advice(format!("install an ingress controller with the class {class}")),
    };
    let finding = Finding::new(&CLASS_MISSING, object.clone(), says)
        .seen(object, field, class)
        .since(ingress.metadata.written.at)
        .fix(fix);
    engine.root(finding)
}

fn no_class(engine: &mut Engine<'_>, ingress: &Ingress) -> Roots {
    let snap = engine.snap;
    // Some controllers take what has no class.
    let takes_all = |p: &Pod| {
        let others = ["traefik", "haproxy", "contour", "kong", "gce", "istio", "skipper", "caddy"];
        others.iter().any(|o| is_called(p, o))
            || p.spec
                .containers
                .iter()
                .flat_map(|c| &c.args)
                .any(|a| a.contains("watch-ingress-without-class=true"))
    };
    if snap.pods.seen != Seen::Everywhere || snap.pods.items.iter().any(takes_all) {
        return Roots::new();
    }
    let object = Object::of("ingress", &ingress.metadata);
    let says = format!("names no class, and no class is the default; {}", listed(engine));
    let fix = match meant(engine, "") {
        Some(class) => reclass(ingress, class),
        None => Fix::advice("install an ingress controller, and give the Ingress its class"),
    };
    let finding = Finding::new(&NO_CLASS, object.clone(), says)
        .seen(object, "spec.ingressClassName", "none, and no address in its status")
        .since(ingress.metadata.creation_timestamp)
        .fix(fix);
    engine.root(finding)
}

/// Whether a pod is of that program, by its images or labels.
fn is_called(pod: &Pod, word: &str) -> bool {
    let labels = ["app.kubernetes.io/name", "app", "app.kubernetes.io/part-of", "k8s-app"];
    pod.spec.containers.iter().any(|c| c.image.contains(word))
        || labels.iter().any(|l| pod.metadata.labels.get(l).is_some_and(|v| v.contains(word)))
}

/// The same of a workload.
fn is_for(workload: &Workload<'_>, word: &str) -> bool {
    workload.kind != "job"
        && (workload.meta.name.contains(word)
            || workload.template.spec.containers.iter().any(|c| c.image.contains(word)))
}

/// The controller of a class, as far as its id says what it is called: its workloads are found by these words.
fn words(id: &str) -> Vec<&str> {
    match CONTROLLERS.iter().find(|(part, _)| id.contains(part)) {
        Some((_, words)) => words.to_vec(),
        None => {
            // Of a controller that is not known, whatever is called an ingress may be its pod.
            let own = id.split(['/', '.']).filter(|w| w.len() > 3 && *w != "k8s");
            ["ingress", "gateway"].into_iter().chain(own).collect()
        }
    }
}

/// The class is there, and nobody serves it: what its controller's pods suffer from, or that there are none.
fn absent(engine: &mut Engine<'_>, class: &IngressClass, is_served: bool) -> Roots {
    let (snap, index) = (engine.snap, engine.index);
    let object = Object::of("ingressclass", &class.metadata);
    let id = class.spec.controller.as_str();
    let words = words(id);
    if snap.pods.seen != Seen::Everywhere || id.is_empty() || words.is_empty() {
        return Roots::new();
    }
    let known = CONTROLLERS.iter().any(|(part, _)| id.contains(part));
    let roots = engine.explain(&object, |engine| down(engine, &object, id, &words, known));
    let runs = |p: &Pod| words.iter().any(|w| is_called(p, w));
    let has_makers = index.workloads.iter().any(|w| words.iter().any(|word| is_for(w, word)));
    if !roots.is_empty() || is_served || has_makers || snap.pods.items.iter().any(runs) {
        return roots;
    }
    let says = format!("is served by {id}, and no pod of such a controller runs");
    let finding = Finding::new(&CONTROLLER_ABSENT, object.clone(), says)
        .seen(object, "spec.controller", id)
        .fix(Fix::advice(format!(
            "install the controller {id}, or give its Ingresses the class of one that runs"
        )));
    engine.root(if known {
        finding
    } else {
        finding.likely("whether its controller runs outside of the cluster")
    })
}

/// What keeps all workloads of a controller down; empty when one serves, or when there is none.
fn down(engine: &mut Engine<'_>, object: &Object, id: &str, words: &[&str], known: bool) -> Roots {
    let index = engine.index;
    let makers: Vec<&Workload<'_>> =
        index.workloads.iter().filter(|w| words.iter().any(|word| is_for(w, word))).collect();
    if makers.iter().any(|w| w.ready > 0) || (!known && makers.len() > 1) {
        return Roots::new();
    }
    let mut roots = Roots::new();
    for workload in &makers {
        roots.extend(walk::workload(engine, workload));
    }
    let idle = makers.iter().find(|w| w.desired == 0 && w.kind != "daemonset").filter(|_| roots.is_empty());
    let Some(workload) = idle else { return roots };
    let at = workload.object();
    let says = format!("is served by {id}, and {at} of {} is scaled to 0", at.namespace);
    let finding = Finding::new(&CONTROLLER_ABSENT, object.clone(), says)
        .seen(at.clone(), "spec.replicas", "0")
        .since(workload.meta.written.at)
        .fix(Fix::call(
            format!("scale {at} to 1"),
            "scale",
            json!({"workload": at.to_string(), "namespace": at.namespace, "replicas": 1}),
        ));
    engine.root(finding)
}
