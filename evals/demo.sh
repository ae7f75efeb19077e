#!/usr/bin/env bash
# The main job from nothing: a real cluster, a sample app, and `kai "scale backend to 3"` with the built-in planner.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '\n== %s\n' "$*"; }
for tool in cargo go; do
  command -v "$tool" >/dev/null || { echo "make demo needs $tool: install Rust from rustup.rs and Go 1.24 or newer from go.dev"; exit 2; }
done
provider=${PROVIDER:-}
if [ -z "$provider" ]; then
  provider=local
  if docker info >/dev/null 2>&1; then provider=kind; fi
fi
say "building kai"
cargo build -p kai -p kai-evals
target=${CARGO_TARGET_DIR:-$(pwd)/target}
kai=$target/debug/kai
evals=$target/debug/kai-evals
say "a real cluster ($provider); the first time this builds Kubernetes from source, about 10 minutes"
"$evals" cluster up --provider "$provider" --name demo
trap '"$evals" cluster down --name demo >/dev/null 2>&1 || true' EXIT
eval "$("$evals" cluster env --name demo)"
kubectl="$("$evals" cluster build kubectl)"
say "the sample app"
"$kubectl" apply -f evals/sample/todo.yaml
"$kubectl" -n todo wait --for=condition=Available deployment --all --timeout=180s
say 'kai "scale backend to 3"'
if [ -t 0 ] && [ -t 2 ]; then
  "$kai" -n todo "scale backend to 3"
else
  echo "(not a terminal, so nobody can be asked: --yes goes ahead where policy allows it)"
  "$kai" -n todo --yes "scale backend to 3"
fi
"$kubectl" -n todo get deployment backend
say "what kai did, and how to take it back: kai log, kai undo"
"$kai" log
