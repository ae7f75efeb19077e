//! What pods ask for and may take: requests and limits as the scheduler and the kubelet count them (pure).

use serde_json::Value;

use crate::object::{items, text};
use crate::quantity::{milli, whole};

/// CPU in millicores and memory in bytes, each where it is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    pub cpu: Option<i128>,
    pub memory: Option<i128>,
}

impl Amounts {
    /// The sum, in which what is not set counts nothing; not set when neither is.
    pub fn plus(self, other: Self) -> Self {
        let sum = |a: Option<i128>, b: Option<i128>| match (a, b) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
        };
        Self { cpu: sum(self.cpu, other.cpu), memory: sum(self.memory, other.memory) }
    }

    /// The sum of what bounds: not set, which is no bound, when either is not.
    pub fn bounded_plus(self, other: Self) -> Self {
        let sum = |a: Option<i128>, b: Option<i128>| Some(a?.saturating_add(b?));
        Self { cpu: sum(self.cpu, other.cpu), memory: sum(self.memory, other.memory) }
    }

    /// A `requests`, `limits`, `usage` or `allocatable` map.
    pub fn of(map: Option<&Value>) -> Self {
        let at = |name: &str| map.and_then(|m| m.get(name)).and_then(quantity);
        Self { cpu: at("cpu").and_then(|q| milli(&q)), memory: at("memory").and_then(|q| whole(&q)) }
    }
}

/// A quantity may be written as a number.
fn quantity(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What a pod spec requests in effect: its containers together, or an init container where that takes more; sidecars run
/// beside both; what is set on the pod itself goes before that; the overhead of its runtime comes on top.
pub fn requests(spec: &Value) -> Amounts {
    effective(spec, "requests", Amounts::plus)
}

/// What a pod spec may take at most; not set where one container has no limit.
pub fn limits(spec: &Value) -> Amounts {
    effective(spec, "limits", Amounts::bounded_plus)
}

fn effective(spec: &Value, which: &str, plus: fn(Amounts, Amounts) -> Amounts) -> Amounts {
    let of = |owner: &Value| Amounts::of(owner.pointer(&format!("/resources/{which}")));
    let mut sum: Option<Amounts> = None;
    let add = |sum: &mut Option<Amounts>, more: Amounts| {
        *sum = Some(sum.map_or(more, |s| plus(s, more)));
    };
    let mut sidecars: Option<Amounts> = None;
    let mut starting = Vec::new();
    for init in items(spec, "/initContainers") {
        if text(init, "/restartPolicy") == "Always" {
            add(&mut sidecars, of(init));
        } else {
            starting.push(sidecars.map_or(of(init), |s| plus(s, of(init))));
        }
    }
    for container in items(spec, "/containers") {
        add(&mut sum, of(container));
    }
    if let Some(sidecars) = sidecars {
        add(&mut sum, sidecars);
    }
    let running = sum.unwrap_or_default();
    // What bounds nothing while the pod runs bounds nothing at all.
    let most = |a: Option<i128>, b: Option<i128>| {
        if which == "limits" { a.map(|a| a.max(b.unwrap_or(a))) } else { a.max(b) }
    };
    let mut total = starting
        .iter()
        .fold(running, |t, init| Amounts { cpu: most(t.cpu, init.cpu), memory: most(t.memory, init.memory) });
    let own = of(spec);
    total = Amounts { cpu: own.cpu.or(total.cpu), memory: own.memory.or(total.memory) };
    let overhead = Amounts::of(spec.get("overhead"));
    let on_top = |a: Option<i128>, o: Option<i128>| match (a, o) {
        (None, o) if which == "requests" => o,
        (a, o) => a.map(|a| a.saturating_add(o.unwrap_or(0))),
    };
    Amounts { cpu: on_top(total.cpu, overhead.cpu), memory: on_top(total.memory, overhead.memory) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(cpu: &str, memory: &str, limit: &str) -> Value {
        let mut out = json!({"resources": {"requests": {}, "limits": {}}});
        for (at, key, value) in
            [("requests", "cpu", cpu), ("requests", "memory", memory), ("limits", "memory", limit)]
        {
            if !value.is_empty() {
                out["resources"][at][key] = json!(value);
            }
        }
        out
    }

    fn amounts(cpu: Option<i128>, memory: Option<i128>) -> Amounts {
        Amounts { cpu, memory }
    }

    #[test]
    fn containers_add_up_and_a_big_init_container_counts() {
        let spec = json!({"containers": [container("100m", "1Ki", "1Mi"), container("50m", "", "1Mi")],
            "initContainers": [container("1", "", "")]});
        assert_eq!(requests(&spec), amounts(Some(1000), Some(1024)));
        assert_eq!(limits(&spec), amounts(None, Some(2 << 20)));
    }

    #[test]
    fn sidecars_run_beside_all_that_comes_after() {
        let mut sidecar = container("200m", "", "1Mi");
        sidecar["restartPolicy"] = json!("Always");
        let spec = json!({"containers": [container("100m", "", "1Mi")], "initContainers": [sidecar, container("300m", "", "1Mi")], "overhead": {"cpu": "10m"}});
        assert_eq!(requests(&spec), amounts(Some(510), None), "200m + 300m, and the overhead");
        assert_eq!(limits(&spec).memory, Some(2 << 20));
    }

    #[test]
    fn no_limit_on_one_is_no_limit() {
        assert_eq!(
            limits(&json!({"containers": [container("", "", "1Mi"), container("", "", "")]})),
            Amounts::default()
        );
        assert_eq!(requests(&json!({"containers": []})), Amounts::default());
        assert_eq!(requests(&json!("nonsense")), Amounts::default());
        let pod_level =
            json!({"resources": {"requests": {"cpu": 2}}, "containers": [container("100m", "1Ki", "")]});
        assert_eq!(requests(&pod_level), amounts(Some(2000), Some(1024)));
    }
}
