#!/usr/bin/env bash
# Speed and size of kai, each beside something in the same run. Prints; asserts nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v hyperfine >/dev/null || { [ "$(id -u)" = 0 ] && apt-get install -y -qq hyperfine >/dev/null; } || { echo "make bench needs hyperfine"; exit 2; }
cargo build --release -p kai
cargo build -p kai-evals
target=${CARGO_TARGET_DIR:-$(pwd)/target}
kai=$target/release/kai
evals=$target/debug/kai-evals
printf 'size of the release binary: %s MB\n' "$(( $(stat -c %s "$kai") / 1000000 ))"
hyperfine --shell=none --warmup 10 --runs 100 --style basic /bin/true "$kai --version" "$kai --help" 2>/dev/null
"$evals" cluster up --name bench
trap '"$evals" cluster down --name bench >/dev/null 2>&1 || true' EXIT
eval "$("$evals" cluster env --name bench)"
"$("$evals" cluster build kubectl)" apply -f evals/sample/todo.yaml >/dev/null
sleep 5
"$evals" bench --kai "$kai" --kubeconfig "$KUBECONFIG"
"$evals" cluster down --name bench >/dev/null
"$evals" cluster up --name bench --nodes 500
eval "$("$evals" cluster env --name bench)"
"$evals" bench-diagnose --kai "$kai" --kubeconfig "$KUBECONFIG"
