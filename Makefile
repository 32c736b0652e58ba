# What there is to do with a clone. CONTRIBUTING.md says when.

SCRIPTS = .ci/run $(shell find . \( -name target -o -name node_modules -o -name .git \) -prune -o -name '*.sh' -print)

.PHONY: run check test test-spring test-rabbitmq4 test-scale soak bench

run:
	cargo run --release

# The second clippy looks at what is shipped: without the feature of the tests, and without their dependencies.
check:
	cargo fmt --check
	cargo clippy --locked --all-targets --all-features -- -D warnings
	cargo clippy --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	for script in $(SCRIPTS); do bash -n "$$script" || exit 1; done
	if command -v shellcheck; then shellcheck $(SCRIPTS); fi
	tests/rows.sh

test:
	tests/all.sh

test-spring:
	tests/all.sh spring

test-rabbitmq4:
	tests/rabbitmq4.sh

FAULTS = cargo test --release --locked --features test-rabbitmq --test faults

# Ten thousand clients need as many open files in two processes.
test-scale:
	STOMPGATE_TEST_CLIENTS=10000 $(FAULTS) scale:: -- --nocapture

SOAK ?= 10m

soak:
	SOAK=$(SOAK) $(FAULTS) soak:: -- --nocapture

bench:
	cargo bench --bench load
