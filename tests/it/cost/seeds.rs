//! What the three systems of the design documents cost before they are deployed, worked out from their manifests' requests.
//!
//! At the generic rates a core is 0.021811 x 730 = 15.92203 a month, a GiB 0.002923 x 730 = 2.13379, a GiB of a volume 0.04.

use std::path::Path;

use kai_evals::cluster::build::{Tool, go_tool};
use kai_evals::proxy::Action;
use kai_evals::terminal::Progress;
use serde_json::Value;

use super::site::{flat, has, near};
use crate::support::seeds::{copy_santaclaude, seed};
use crate::support::{World, has_real_kubelets, run};

/// The cluster's own nodes, without those of other tests, whose prices may be others.
fn world(name: &str) -> World {
    let world = World::empty(name);
    world.proxy.hook(|r| {
        if r.method == "GET" && r.path == "/api/v1/nodes" {
            Action::Narrow("labelSelector=type%3Dkwok".into())
        } else if r.path.ends_with("/configmaps/kai-prices") {
            Action::answer(404, "NotFound", "there is none")
        } else {
            Action::Forward
        }
    });
    world
}

/// What the preview of an apply says, and the figures of `kai cost -f`.
fn both(world: &World, path: &Path) -> (String, Value) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let kubectl = runtime.block_on(go_tool(&Progress::stderr(), Tool::Kubectl)).unwrap();
    let kai = |arguments: &[&str]| {
        let folder = kubectl.parent().unwrap();
        run(world.command().env("PATH", folder).args(arguments))
    };
    let path = path.to_str().unwrap();
    let shown = flat(&kai(&["apply", path, "--dry-run"]).all());
    let told = kai(&["cost", "-f", path, "-o", "json"]).ends(0);
    let found = serde_json::from_str(&told.stdout).unwrap_or_else(|e| panic!("{e}: {}", told.all()));
    (shown, found)
}

#[test]
fn todo_app() {
    if has_real_kubelets() {
        return; // Its nodes have other prices.
    }
    let world = world("costtodo");
    let (shown, found) = both(&world, &seed("todo-app/k8s"));
    // Three Deployments of 250m and 256Mi: two say 2 replicas, backend says none and is autoscaled from 2 to 5.
    // 6 x (0.25 x 15.92203 + 0.25 x 2.13379) = 6 x 4.513955; at the most 5 + 2 + 2 = 9 of them.
    has(&shown, &["reserved +27.08 USD/month (0.00 → 27.08): CPU +23.88, memory +3.20"]);
    has(&shown, &["autoscaled: reserved 27.08 at the fewest replicas, 40.63 at the most"]);
    near(&found["delta"]["reserved"], 27.083730);
    near(&found["delta"]["range"]["min"], 27.083730);
    near(&found["delta"]["range"]["max"], 40.625595);
    near(&found["delta"]["bill"]["now"], 0.0);
    // Two Services of a NodePort, no load balancer, no volume.
    near(&found["delta"]["pv"], 0.0);
    near(&found["delta"]["lb"], 0.0);
    world.nothing_was_written();
}

#[test]
fn mycorrhizae() {
    if has_real_kubelets() {
        return;
    }
    let world = world("costmyco");
    // frontend 50m and 64Mi: 0.7961015 + 0.133361875 = 0.929463375. backend-server and backend-ingest 100m and 128Mi:
    // 1.592203 + 0.26672375 = 1.85892675; in prod backend-server has 200m: 3.184406 + 0.26672375 = 3.45112975.
    // prod: 3 x 0.929463375 + 3 x 3.45112975 + 2 x 1.85892675.
    let (shown, prod) = both(&world, &seed("mycorrhizae/overlays/prod"));
    near(&prod["delta"]["reserved"], 16.859633);
    has(&shown, &["reserved +16.86 USD/month (0.00 → 16.86): CPU +15.13, memory +1.73"]);
    // nightly: two of each, at the base's requests.
    let (shown, nightly) = both(&world, &seed("mycorrhizae/overlays/nightly"));
    near(&nightly["delta"]["reserved"], 9.294634);
    has(&shown, &["reserved +9.29 USD/month (0.00 → 9.29)"]);
    world.nothing_was_written();
}

#[test]
fn santaclaude() {
    if has_real_kubelets() {
        return;
    }
    let world = world("costsanta");
    let folder = world.home.path().join("santaclaude");
    copy_santaclaude(&folder);
    let (shown, found) = both(&world, &folder);
    // ai-service, audit-sink, message-queue, two each of 100m and 256Mi: 6 x (1.592203 + 0.5334475) = 12.753903.
    // browser-pool, two of 500m and 512Mi: 2 x (7.961015 + 1.066895) = 18.05582.
    // clickhouse 250m and 512Mi: 3.9805075 + 1.066895; redis 100m and 128Mi: 1.592203 + 0.26672375.
    let pods = 12.753903 + 18.05582 + 5.0474025 + 1.85892675;
    // Claims of 5 GiB and 1 GiB, and one of 1 GiB for each of ai-service's two pods.
    let volumes = 8.0 * 0.04;
    let micros = |x: f64| (x * 1e6).round() / 1e6;
    near(&found["delta"]["pv"], volumes);
    near(&found["delta"]["reserved"], micros(pods + volumes));
    near(&found["delta"]["bill"]["now"], volumes);
    has(&shown, &["reserved +38.04 USD/month (0.00 → 38.04)", "volumes +0.32", "bill +0.32 (volumes +0.32)"]);
    // At the most: 10 of ai-service, 8 of audit-sink, 6 of message-queue, 5 of browser-pool; and the two that stay as they
    // are. Each of ai-service's ten has its volume.
    let most = 24.0 * 2.1256505 + 5.0 * 9.02791 + 5.0474025 + 1.85892675 + 16.0 * 0.04;
    near(&found["delta"]["range"]["max"], micros(most));
    near(&found["delta"]["range"]["min"], micros(pods + volumes));
    world.nothing_was_written();
}
