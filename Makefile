# The project's habits. `make` alone lists them.
CARGO ?= cargo
# The scripts build too.
export CARGO

.PHONY: help build test e2e faults compat scale fuzz bench image lint generate demo
.DEFAULT_GOAL := help

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Builds the operator (target/debug/outbound-operator, the profile that tests and demo share)
	$(CARGO) build --locked

# Eight at a time on any machine: the whole-system tests mostly wait.
test: ## Runs every test, against a real control plane and a real S3 server
	tests/tools/build
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-8} $(CARGO) test --locked --no-fail-fast

# Root, as a kubelet needs it; tests/tools/node --check says what else is missing.
e2e: ## The chart on a real node: helm install, kill, upgrade, uninstall, and RBAC against the audit log; two minutes
	tests/tools/node --check
	tests/tools/build --node
	$(CARGO) test --locked --test node -- --ignored --nocapture

faults: ## Every fault plan, and a table of them; PLAN=file runs one. Failed ones go to tests/faults/failed
	tests/tools/build
ifdef PLAN
	OUTBOUND_FAULT_PLAN=$(abspath $(PLAN)) $(CARGO) test --locked --test faults -- --ignored --nocapture one_plan
else
	$(CARGO) test --locked --test faults -- --ignored --nocapture every_plan
endif

compat: ## The same manifests on MinIO and Garage, whose servers take some 15 minutes to build once
	tests/tools/build
	tests/tools/build-stores
	$(CARGO) test --locked --test compat -- --ignored --nocapture

scale: ## Ten thousand destinations and deliveries, measured, into docs/performance.md; a quarter of an hour; SCALE=500 takes a minute
	tests/tools/build
	$(CARGO) build --release --locked
	OUTBOUND_OPERATOR=$(CURDIR)/target/release/outbound-operator \
		$(CARGO) test --locked --test scale -- --ignored --nocapture

fuzz: ## Each fuzz target for 60 s; what breaks goes to fuzz/artifacts
	hack/fuzz

# ONLY=splits-http,... some tables; RUNS=1 SIZE=64M tries it; BENCH=large: docs/performance.md has more.
bench: ## Measures deliveries beside rclone, s5cmd and others on this machine, and writes docs/performance.md
	$(CARGO) build --release --locked
	python3 -B benches/measure

image: ## Builds the operator for release, minutes, and its container image: target/image/outbound-operator.tar
	$(CARGO) build --release --locked
	hack/image --binary target/release/outbound-operator --output target/image

lint: ## Format, clippy, doc links, scripts, dependency tree, generated files, the chart
	hack/lint

generate: ## Writes crds/, docs/reasons.md, docs/reference.md, and what in the chart is generated
	$(CARGO) run --quiet --locked -- crds --output crds
	$(CARGO) run --quiet --locked -- reasons --output docs/reasons.md
	$(CARGO) run --quiet --locked -- reference --output docs/reference.md
	hack/chart generate

demo: ## The quickstart on this machine, from nothing to both deliveries Complete; KEEP=1 stops before the clean-up
	examples/quickstart/demo
