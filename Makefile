# kai: two commands do everything. `make demo` runs the main job on a real cluster; `make test` passes all tests.
.PHONY: demo test check bench evals clean-clusters

CARGO_BUILD_JOBS ?= $(shell nproc)
export CARGO_BUILD_JOBS

demo:
	@bash evals/demo.sh

test: check
	@bash evals/test.sh

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny check licenses bans sources; else echo "cargo-deny is not installed: licences and sources are not checked"; fi

bench:
	@bash evals/bench.sh

evals:
	@bash evals/evals.sh

clean-clusters:
	cargo run -q -p kai-evals -- cluster down --all
