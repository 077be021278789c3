# Clipbell. `make` alone lists the verbs.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

LOCAL := PYTHONPATH=infra .venv/bin/python -m local
DEPLOY := .venv-deploy/bin
STACK ?=
SEED ?=
JOBS ?= 100
# A Chromium for the tests; `none` goes without.
export BROWSER ?= chromium

.PHONY: help
help: ## list the verbs
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

.PHONY: setup
setup: ## check this machine, and install what is missing
	@infra/setup.sh

.PHONY: build
build: setup ## build the functions for this machine
	@echo "Building the functions (a first build takes some minutes)"
	@cargo build --workspace --bins --locked

.PHONY: demo
demo: setup ## make one video, from prompt to file, on this machine
	@begun=$$SECONDS; $(MAKE) build; BUILD_SECONDS=$$((SECONDS - begun)) $(LOCAL) demo

.PHONY: dev
dev: build ## run everything on this machine until Ctrl-C (PORT, MINISTACK_PORT, SIMULATOR_PORT)
	@$(LOCAL) up

.PHONY: logs
logs: setup ## follow the functions' logs of a running `make dev` (F=webhook: of one function)
	@$(LOCAL) logs $(F)

.PHONY: reconcile
reconcile: setup ## call the worker to all open jobs and events now, put the dead letters back (STACK=name: on AWS)
	@PYTHONPATH=infra .venv/bin/python -m operations.reconcile $(STACK)

.PHONY: lint
lint: setup ## everything that needs no run: formatting, clippy, rustdoc, template, Python
	@echo "cargo fmt"; cargo fmt --all --check
	@echo "cargo clippy"; cargo clippy --workspace --all-targets --locked -- -D warnings
	@echo "cargo doc"; RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked --quiet
	@echo "cfn-lint"; .venv/bin/cfn-lint template.yaml
	@echo "ruff"; .venv/bin/ruff check --quiet . && .venv/bin/ruff format --quiet --check .
	@echo "tsc"; export PATH="$(CURDIR)/.venv/bin:$$PATH"; \
		[[ web/node_modules/.package-lock.json -nt web/package-lock.json ]] || npm ci --prefix web --no-audit --no-fund --loglevel error; \
		web/node_modules/.bin/tsc -p web

.PHONY: test
test: test-setup lint build ## everything: lint, Rust tests, the deployed local stack end to end, a browser (BROWSER=none: without)
	@echo "Rust tests"
	@if cargo nextest --version >/dev/null 2>&1; then \
		cargo nextest run --workspace --locked && cargo test --workspace --locked --doc --quiet; \
	else \
		cargo test --workspace --locked; \
	fi
	@echo "Tests of the simulator and of the local stack"
	@.venv/bin/pytest $(if $(filter none,$(BROWSER)),--ignore tests/e2e/browser)
	@$(MAKE) soak SEED=1 JOBS=100

.PHONY: test-setup
test-setup:
	@infra/setup.sh --tests

.PHONY: fuzz
fuzz: setup ## look for inputs that break a parser (SECONDS_EACH=30, TARGETS="event mp4", KEEP=1)
	@SECONDS_EACH="$(SECONDS_EACH)" TARGETS="$(TARGETS)" KEEP="$(KEEP)" fuzz/run.sh

.PHONY: soak
soak: build ## many jobs at once under every fault, processes killed, then an independent judgement (SEED=n, JOBS=n)
	@PYTHONPATH=infra .venv/bin/python -m soak --jobs $(JOBS) $(if $(SEED),--seed $(SEED))

.PHONY: screenshots
screenshots: test-setup build ## take the page's pictures anew, into docs/screenshots
	@PYTHONPATH=infra .venv/bin/python -m screenshots

.PHONY: deploy
deploy: $(DEPLOY)/installed ## build for AWS and deploy (STACK=name, after a first time with SAM's questions)
	@echo "Building the functions for AWS"
	@PATH="$(CURDIR)/$(DEPLOY):$$PATH" cargo lambda build --workspace --exclude clipbell-test-support --exclude clipbell-parser-tests --exclude clipbell-fault-tests --bins --release --locked --arm64
	@$(DEPLOY)/sam deploy --template-file template.yaml --capabilities CAPABILITY_IAM --resolve-s3 --no-fail-on-empty-changeset \
		$(if $(STACK),--stack-name $(STACK),--guided)
	@PYTHONPATH=infra .venv/bin/python -m operations.publish_page $(STACK)

$(DEPLOY)/installed: infra/requirements-deploy.txt
	@infra/setup.sh
	@echo "Installing cargo-lambda and SAM into .venv-deploy"
	@.venv/bin/python -m venv .venv-deploy
	@$(DEPLOY)/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: requirements
requirements: ## pin the Python packages of infra/requirements.in anew
	@new=$$(mktemp -d); trap 'rm -rf $$new' EXIT; python3 -m venv $$new; \
		$$new/bin/pip install --quiet --disable-pip-version-check -r infra/requirements.in; \
		{ echo '# `make requirements` wrote this from requirements.in.'; $$new/bin/pip freeze; } > infra/requirements.txt

.PHONY: clean
clean: ## remove all that was built or installed here
	@echo "Removing target, fuzz/target, .venv, .venv-deploy and .local"
	@rm -rf target fuzz/target .venv .venv-deploy .local
