#!/usr/bin/env bash
# All tests, on real clusters: the control plane from source always; kind, with real kubelets, where this machine can.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
say() { printf '\n== %s\n' "$*"; }
started=$(date +%s)
for tool in cargo go; do
  command -v "$tool" >/dev/null || { echo "make test needs $tool: install Rust from rustup.rs and Go 1.24 or newer from go.dev"; exit 2; }
done
say "building"
cargo build --workspace --all-targets
say "the programs of a cluster (from source the first time, about 10 minutes; then cached)"
"$target"/debug/kai-evals cluster build kube >/dev/null
"$target"/debug/kai-evals cluster build kwok >/dev/null
"$target"/debug/kai-evals cluster build helm >/dev/null
say "unit tests, and tests on the local cluster"
cargo test --workspace
if [ "${KAI_TEST_KIND:-}" != 0 ] && { docker info >/dev/null 2>&1 || { [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; }; }; then
  if [ -f evals/tests/kind.rs ]; then
    say "tests on kind, with real kubelets"
    KAI_TEST_KIND=1 cargo test -p kai-evals --test kind -- --nocapture
    say "kai on kind"
    KAI_TEST_PROVIDER=kind cargo test -p kai --test it -- rollouts:: real:: undo:: approval::zero preview:: --test-threads 3
    say "what breaks where containers really run, and what kai says of it"
    KAI_TEST_PROVIDER=kind cargo test -p kai --test it -- reproductions:: --nocapture
    say "the seed systems on kind"
    KAI_TEST_PROVIDER=kind cargo test -p kai --test it -- seeds --test-threads 1
  fi
else
  say "kind: left out, because there is no Docker daemon and this is not root on Linux"
fi
# Which slice of the scenarios with real kubelets this is comes from the commit: all of them in turn, the same one each time.
commit=$(git rev-parse --short=6 HEAD 2>/dev/null || echo 0)
bash evals/evals.sh "$(( 16#$commit % 4 ))/4"
say "all tests passed in $(( $(date +%s) - started )) s"
