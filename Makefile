# The project's habits. `make` alone lists them.
CARGO ?= cargo
# The scripts build too.
export CARGO

.PHONY: help build test e2e faults compat lint generate demo
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
e2e: ## The chart on a real node: helm install, kill, upgrade, uninstall, and RBAC against the audit log; MINUTES
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

lint: ## Format, clippy, doc links, scripts, dependency tree, generated files
	hack/lint

generate: ## Writes crds/ and docs/reasons.md from the types
	$(CARGO) run --quiet --locked -- crds --output crds
	$(CARGO) run --quiet --locked -- reasons --output docs/reasons.md

demo: ## The quickstart on this machine, from nothing to both deliveries Complete; KEEP=1 stops before the clean-up
	examples/quickstart/demo
