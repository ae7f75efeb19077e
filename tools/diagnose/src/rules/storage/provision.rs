//! Claims whose class has a provisioner that does not provide: it is not there, it is down, or it says why not.

use crate::engine::{Engine, Roots};
use crate::finding::{Cause, Finding, Fix, Object};
use crate::index::Workload;
use crate::model::{Claim, StorageClass};
use crate::rules::storage::claim_object;
use crate::walk;

/// The causes of this part.
pub const CAUSES: &[Cause] = &[PROVISIONER_ABSENT, PROVISION_ERROR];

const PROVISIONER_ABSENT: Cause = Cause::fault(
    "pvc-provisioner-absent",
    2,
    "The provisioner of a StorageClass does not run, so that claims wait.",
);
const PROVISION_ERROR: Cause = Cause::fault(
    "pvc-provision-error",
    2,
    "The provisioner of a claim cannot make its volume, and says why.",
);

/// How long a provisioner may take before its silence is a symptom.
const SLOW: i64 = 120;

/// A claim that waits for its provisioner.
pub fn waiting<'a>(engine: &mut Engine<'a>, claim: &'a Claim, class: &'a StorageClass) -> Roots {
    let snap = engine.snap;
    let serving = server(engine, &class.provisioner, true);
    // What one that is down said before is old news.
    let is_down = serving.is_some_and(|w| w.ready == 0);
    if let Some(event) = engine.index.event(&claim.metadata, "ProvisioningFailed").filter(|_| !is_down) {
        let finding = Finding::new(
            &PROVISION_ERROR,
            claim_object(claim),
            format!("gets no volume: {} says {}", class.provisioner, first_line(&event.message)),
        )
        .seen(claim_object(claim), "event ProvisioningFailed", event.message.clone())
        .since(event.first())
        .observed()
        .fix(Fix::advice(advice(&event.message, class)));
        return engine.root(finding);
    }
    if !claim.metadata.creation_timestamp.older_than(SLOW, snap.now) {
        return Roots::new();
    }
    let object = Object::of("storageclass", &class.metadata);
    let provisioner = &class.provisioner;
    let finding = match serving {
        Some(w) if w.desired == 0 => Finding::new(
            &PROVISIONER_ABSENT,
            object,
            format!("sends claims to {provisioner}, and {} of {}, which is that, is scaled to zero", w.object(), w.meta.namespace),
        )
        .seen(w.object(), "spec.replicas", "0")
        .fix(Fix::call(
            format!("scale {} to 1", w.object()),
            "scale",
            serde_json::json!({"workload": w.object().to_string(), "namespace": w.meta.namespace, "replicas": 1}),
        )),
        Some(w) => {
            let roots = walk::workload(engine, w);
            if !roots.is_empty() {
                return roots;
            }
            Finding::new(
                &PROVISIONER_ABSENT,
                object,
                format!("sends claims to {provisioner}, and nothing comes of it although {} runs", w.object()),
            )
            .likely(format!("the log of {} in {}", w.object(), w.meta.namespace))
            .fix(Fix::advice(format!("look at its log: kai \"show the log of {} in {}\"", w.object(), w.meta.namespace)))
        }
        // Without the right to see them everywhere, or where the cloud runs it, it may be there all the same.
        None => {
            let is_hidden = !snap.deployments.sees("kube-system") || !snap.csi_drivers.find("", provisioner).is_absent();
            let finding = Finding::new(
                &PROVISIONER_ABSENT,
                object,
                format!("sends claims to {provisioner}, and no workload of the cluster is that provisioner"),
            )
            .fix(Fix::advice(format!("install {provisioner}, or create the claim again with a class whose provisioner runs")));
            if is_hidden { finding.likely("the log of the provisioner, which kai cannot see here") } else { finding.observed() }
        }
    };
    engine.root(
        finding
            .seen(claim_object(claim), "status.phase", "Pending, and no event of its provisioner")
            .since(claim.metadata.creation_timestamp),
    )
}

/// The workload that provides for a driver or provisioner: one that names it, else one that is called after it.
/// `controller` for the one that makes volumes, else the DaemonSet that mounts them.
pub(crate) fn server<'a>(engine: &Engine<'a>, driver: &str, controller: bool) -> Option<&'a Workload<'a>> {
    let index = engine.index;
    let fits = |w: &&Workload<'_>| (w.kind == "daemonset") != controller && w.kind != "job";
    let names = |w: &Workload<'_>| {
        w.template.spec.containers.iter().any(|c| {
            c.args.iter().chain(&c.command).any(|a| a.contains(driver))
                || c.env.iter().any(|e| e.value == driver)
        })
    };
    let is_called = |w: &Workload<'_>| {
        let name = &w.meta.name;
        let role = ["csi", "provision", "storage", "volume", "hostpath"].iter().any(|r| name.contains(r));
        role && words(driver).any(|t| name.contains(t))
    };
    let all = || index.workloads.iter().filter(fits);
    all().find(|w| names(w)).or_else(|| all().find(|w| is_called(w)))
}

/// The words of a driver's name that say which it is.
fn words(driver: &str) -> impl Iterator<Item = &str> {
    let common = [
        "csi",
        "com",
        "org",
        "net",
        "k8s",
        "sigs",
        "aws",
        "azure",
        "amazonaws",
        "gke",
        "google",
        "storage",
        "driver",
        "kubernetes",
        "cloud",
    ];
    // A name such as `rancher.io/local-path` says it after the slash.
    let own = driver.split_once('/').map_or(driver, |(_, own)| own);
    own.split('.').filter(move |w| w.len() > 2 && !common.contains(w)).chain(
        // `disk.csi.azure.com`, `ebs.csi.aws.com`: the first word is short, and still the one.
        own.split('.').take(1).filter(|w| w.len() >= 2 && *w != "csi"),
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or("").trim_end_matches('.')
}

fn advice(message: &str, class: &StorageClass) -> String {
    let low = message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| low.contains(w));
    let name = &class.metadata.name;
    if has(&["quota", "limitexceeded", "limit exceeded"]) {
        "free volumes, or raise the quota for volumes at the provider".into()
    } else if has(&[
        "unauthorized",
        "forbidden",
        "permissiondenied",
        "permission denied",
        "accessdenied",
        "credential",
    ]) {
        format!("give {} the rights it lacks at the provider or in the cluster", class.provisioner)
    } else if has(&["invalidargument", "invalid argument", "parameter", "unsupported", "not support"]) {
        format!("correct what the claim asks for, or the parameters of storageclass {name}")
    } else if has(&["no space", "resourceexhausted", "not enough", "insufficient"]) {
        format!("make room where {} takes its volumes from, or ask for less", class.provisioner)
    } else if has(&["topology", "zone"]) {
        format!(
            "let storageclass {name} provide where the pods can run (allowedTopologies, zones of the nodes)"
        )
    } else {
        format!("mend what {} says, and it tries again by itself", class.provisioner)
    }
}
