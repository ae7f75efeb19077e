//! Each file of `evals/reproductions` breaks something on a real cluster; the diagnosis must name that cause on that
//! object, and nothing else, from what Kubernetes itself wrote. Then it is healed, and nothing must be found.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::Value;

use crate::support::{World, has_real_kubelets, kubectl};

/// How long Kubernetes may take to show the fault, and kai to find it.
const PATIENCE: Duration = Duration::from_secs(150);
/// How many are shown side by side.
const AT_ONCE: usize = 5;

/// The first document of a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reproduction {
    /// All faults, the first on top: `cause kind/name`.
    expect: Vec<String>,
    /// What must be in the impact of the first.
    #[serde(default)]
    down: Vec<String>,
    /// Whether pods must really run.
    #[serde(default, rename = "kubelet")]
    _kubelet: bool,
    /// kubectl commands; `[apply]` applies the other documents. That alone by default.
    #[serde(default = "only_apply")]
    steps: Vec<Vec<String>>,
    /// kubectl commands that mend it; `[fix]` lets kai make its own first fix, `[]` for what cannot be mended in place.
    #[serde(default)]
    heal: Vec<Vec<String>>,
}

fn only_apply() -> Vec<Vec<String>> {
    vec![vec!["apply".into()]]
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("evals/reproductions");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "yaml"));
    all.sort();
    all
}

/// The faults in a namespace, as `cause kind/name`, and all of the first one.
fn faults(world: &World) -> (Vec<String>, Value) {
    let out = world.kai(&["diagnose", "-n", &world.namespace, "-o", "json"]).ends(0).stdout;
    let answer: Value = serde_json::from_str(&out).unwrap();
    let faults: Vec<&Value> =
        answer["data"]["findings"].as_array().unwrap().iter().filter(|f| f["class"] == "fault").collect();
    let name = |o: &Value| format!("{}/{}", o["kind"].as_str().unwrap(), o["name"].as_str().unwrap());
    let told =
        faults.iter().map(|f| format!("{} {}", f["cause"].as_str().unwrap(), name(&f["object"]))).collect();
    (told, faults.first().map(|f| (*f).clone()).unwrap_or_default())
}

fn run(world: &World, steps: &[Vec<String>], manifests: &Path) {
    for step in steps {
        let words: Vec<String> = step.iter().map(|w| w.replace("NS", &world.namespace)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["apply"] => drop(world.kubectl(&["apply", "-f", manifests.to_str().unwrap()])),
            ["fix"] => {
                world.kai(&["diagnose", "-n", &world.namespace, "--fix", "1", "--yes"]).ends(0);
            }
            words => drop(world.kubectl(words)),
        }
    }
}

/// Shows one, and says what was wrong about the diagnosis.
fn show(file: &Path) -> Result<Duration, String> {
    let id = file.file_stem().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    let (head, manifests) = text.split_once("\n---\n").unwrap_or((&text, ""));
    let head: Reproduction = serde_saphyr::from_str(head).map_err(|e| format!("{id}: {e}"))?;
    let short: String = id.chars().filter(char::is_ascii_alphanumeric).take(24).collect();
    let world = World::empty(&format!("r-{short}"));
    let path = world.home.path().join("manifests.yaml");
    std::fs::write(&path, manifests.replace("NS", &world.namespace)).unwrap();
    let wanted: Vec<String> = head.expect.iter().map(|e| e.replace("NS", &world.namespace)).collect();
    let started = Instant::now();
    run(&world, &head.steps, &path);
    let down = |first: &Value| -> Vec<String> {
        let name = |o: &Value| format!("{}/{}", o["kind"].as_str().unwrap(), o["name"].as_str().unwrap());
        first["impact"].as_array().into_iter().flatten().map(|i| name(&i["object"])).collect()
    };
    let mut seen;
    loop {
        seen = faults(&world);
        let is_whole = head.down.iter().all(|d| down(&seen.1).contains(d));
        if seen.0 == wanted && is_whole || started.elapsed() > PATIENCE {
            break;
        }
        std::thread::sleep(Duration::from_millis(1500));
    }
    let took = started.elapsed();
    let clean = || {
        // Kinds without a namespace stay behind otherwise.
        if manifests.contains("name: NS") || manifests.contains("-NS") {
            kubectl(&["delete", "-f", path.to_str().unwrap(), "--ignore-not-found", "--wait=false"]);
        }
        kubectl(&["delete", "namespace", &world.namespace, "--wait=false"]);
    };
    if seen.0 != wanted {
        clean();
        return Err(format!(
            "{id}: wanted {wanted:?}, found {:?}\n{}",
            seen.0,
            serde_json::to_string_pretty(&seen.1).unwrap()
        ));
    }
    let down = down(&seen.1);
    if let Some(missing) = head.down.iter().find(|d| !down.contains(d)) {
        clean();
        return Err(format!("{id}: {missing} is not in the impact {down:?}"));
    }
    if !head.heal.is_empty() {
        run(&world, &head.heal, &path);
        let started = Instant::now();
        loop {
            seen = faults(&world);
            if seen.0.is_empty() || started.elapsed() > PATIENCE {
                break;
            }
            std::thread::sleep(Duration::from_millis(1500));
        }
        if !seen.0.is_empty() {
            clean();
            return Err(format!(
                "{id}: after it was mended {:?} is found\n{}",
                seen.0,
                serde_json::to_string_pretty(&seen.1).unwrap()
            ));
        }
    }
    clean();
    Ok(took)
}

#[test]
fn each_reproduction_is_named_by_its_cause_and_healed_is_clean() {
    let only = std::env::var("REPRODUCTION").unwrap_or_default();
    let chosen: Vec<PathBuf> = files()
        .into_iter()
        .filter(|f| f.file_stem().unwrap().to_str().unwrap().contains(&only))
        .filter(|f| std::fs::read_to_string(f).unwrap().contains("\nkubelet: true") == has_real_kubelets())
        .collect();
    let queue = Mutex::new(chosen.clone().into_iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(file) = queue.lock().unwrap().next() else { return };
                    let id = file.file_stem().unwrap().display().to_string();
                    // One that breaks off is told beside the others.
                    let shown = std::panic::catch_unwind(|| show(&file));
                    let told = match shown {
                        Ok(Ok(took)) => format!("{id} in {:.1} s", took.as_secs_f64()),
                        Ok(Err(why)) => {
                            failures.lock().unwrap().push(why);
                            format!("{id} failed")
                        }
                        Err(_) => {
                            failures.lock().unwrap().push(format!("{id} broke off"));
                            format!("{id} broke off")
                        }
                    };
                    // Not by the macro, whose words the harness keeps to the end.
                    let _ = writeln!(std::io::stderr(), "  {told}");
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(
        failures.is_empty(),
        "{} of {} reproductions:\n{}",
        failures.len(),
        chosen.len(),
        failures.join("\n")
    );
    println!("{} reproductions", chosen.len());
}
