# `make` alone prints what there is. Every target with a `##` behind it appears there.

SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help demo up down psql status logs test image-test check fmt fuzz chaos bench clean

# The tests start the program itself, with the fail points that no release has. Whatever builds for
# them names the same packages and features, so that nothing is built twice or replaced by another.
TEST_BUILD := --workspace --features longshore/failpoints
TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
RUN_TESTS := env LONGSHORE_BIN=$(TARGET_DIR)/debug/longshore cargo test $(TEST_BUILD) $(ARGS)
RUN_CHAOS := env LONGSHORE_BIN=$(TARGET_DIR)/debug/longshore $(TARGET_DIR)/debug/chaos
RUN_BENCH := env LONGSHORE_BIN=$(TARGET_DIR)/release/longshore \
	cargo run --release -p longshore-tests --bin bench -- $(addprefix --only ,$(ONLY)) $(ARGS)

# For each target, in seconds.
FUZZ_SECONDS ?= 600
# cargo-fuzz passes flags that a stable compiler takes only so. Our code has no unsafe part, so that a sanitizer would only
# cost speed.
CARGO_FUZZ := env RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none --features libfuzzer

help: ## what there is
	@echo 'Usage: make TARGET'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

demo: ## load 1,000,000 sample rows with servers of its own, check and show them, stop again
	@scripts/demo

up: ## leave Longshore running on a folder: ./inbox, or another as in make up INBOX=/path
	@scripts/demo up $(if $(INBOX),"$(INBOX)")

down: ## stop what `make up` started, and remove its data
	@scripts/demo down

psql: ## open psql on the database of `make up`
	@scripts/demo psql

status: ## show what `make up` left running, and how far it is
	@scripts/demo status

logs: ## follow the logs of what `make up` left running
	@scripts/demo logs

test: ## all tests, on real servers of their own, or on DATABASE_URL and AMQP_URL, and a short chaos; ARGS=name picks some
	@[[ "$${DATABASE_URL:+set}" == "$${AMQP_URL:+set}" ]] || \
		{ echo 'make: set both DATABASE_URL and AMQP_URL, or neither' >&2; exit 2; }
	cargo build --all-targets $(TEST_BUILD)
	@if [[ -n "$$DATABASE_URL" ]]; then $(RUN_TESTS); else scripts/stack run test -- $(RUN_TESTS); fi
	@# On servers of its own in any case, because it restarts them.
	$(if $(ARGS),,@scripts/stack run chaos -- $(RUN_CHAOS) --quick)

image-test: ## build the image, and run docker-compose.yml with it: load, scale, restart, stop
	@scripts/image-test

check: ## formatting, lints and documentation, without a warning
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy $(TEST_BUILD) --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items

fmt: ## format the code
	cargo fmt --all

fuzz: ## fuzz records and typing, FUZZ_SECONDS=600 each; needs a C++ compiler, installs cargo-fuzz
	@cargo fuzz --version >/dev/null 2>&1 || { echo 'make: installing cargo-fuzz'; cargo install --locked cargo-fuzz; }
	@for target in records typing; do \
		found=$(TARGET_DIR)/fuzz/$$target; mkdir -p "$$found"; \
		echo "make: fuzzing $$target for $(FUZZ_SECONDS) s; new inputs in $$found"; \
		$(CARGO_FUZZ) "$$target" "$$found" "fuzz/corpus/$$target" -- -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 || exit 1; \
	done

chaos: ## kill, stop and cut off everything, on servers of its own; ARGS=--quick is short, ARGS=--help tells more
	cargo build --all-targets $(TEST_BUILD)
	@scripts/stack run chaos -- $(RUN_CHAOS) $(ARGS)

bench: ## measure against the goals, on servers of its own; ONLY='figure …' picks some
	cargo build --release -p longshore
	@scripts/stack run bench -- $(RUN_BENCH)

clean: ## remove what was built
	cargo clean
