#!/usr/bin/env bash
# Every proof of every scenario: on a control plane with simulated nodes, then, where this machine can, on kind.
# With a slice such as 2/4, only that part of the scenarios that need real kubelets.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
slice=${1:-}
say() { printf '\n== %s\n' "$*"; }
cargo build --workspace --quiet
say "evals on a control plane: every scenario that needs no kubelet, with all its proofs"
"$target"/debug/kai-evals run --tier C ${KAI_EVALS_REPORT:+--report "$KAI_EVALS_REPORT/control-plane"}
say "what the built-in planner solves by itself"
"$target"/debug/kai-evals run --tier C --model planner ${KAI_EVALS_REPORT:+--report "$KAI_EVALS_REPORT/planner"}
if [ "${KAI_TEST_KIND:-}" != 0 ] && { docker info >/dev/null 2>&1 || { [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ]; }; }; then
  say "evals on kind, with real kubelets${slice:+: slice $slice}"
  "$target"/debug/kai-evals run --provider kind --tier K ${slice:+--slice "$slice"} ${KAI_EVALS_REPORT:+--report "$KAI_EVALS_REPORT/kind"}
fi
