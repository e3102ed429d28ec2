# `make demo` shows it, `make test` proves it; both set the machine up first (deploy/bootstrap.sh).

.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Set this machine up: packages, Docker Engine, base image, model
	@deploy/bootstrap.sh

.PHONY: demo
demo: setup ## Real prompts, real Spaces, and the chain stepping down to SmolLM
	@$(BIN)/python deploy/demo/demo.py

.PHONY: lint
lint: setup style ## ruff, mypy and the import contracts

.PHONY: style
style:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .cache/imports.log || { cat .cache/imports.log; exit 1; }

.PHONY: dist
dist: setup ## What a release ships, in dist/: built, its contents checked, the wheel tried alone
	@deploy/dist/make.sh

.PHONY: reference
reference: ## Write docs/reference, and the transcript of what the commands say, from the code
	@$(BIN)/python -m docs.reference.write
	@$(BIN)/pytest -q tests/integration/test_transcript.py --rewrite

.PHONY: docs
docs: setup ## The documentation as a site, in site/: every link checked, nothing loaded from elsewhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean
	@echo "docs: site/index.html"

.PHONY: screenshots
screenshots: setup test-tools ## Pictures of the page, on a phone and on a desk, light and dark, in docs/screenshots
	@$(BIN)/pytest -q tests/browser/test_screenshots.py --rewrite

.PHONY: check
check: lint test-tools ## lint, and the tests that need no Docker Engine
	@$(BIN)/pytest -q -n 2 tests/unit tests/routing

.PHONY: test
test: ## Everything: lint, unit, integration and acceptance tests on the real engine
	@$(MAKE) --no-print-directory --jobs=2 setup test-tools
	@tests/all.sh

.PHONY: test-full
test-full: setup ## Every test Space on every Gradio (writes docs/compatibility.md); 50 kills; the client alone
	@$(BIN)/pytest tests/compat tests/acceptance/test_kills.py tests/acceptance/test_thin_client.py tests/acceptance/test_cases.py tests/acceptance/test_openai.py tests/acceptance/test_life_cycle.py tests/acceptance/test_readme.py tests/integration/test_batch_engine.py --all-versions --timeout=1200

.PHONY: test-http
test-http: setup ## The HTTP API asked 10,000 times what its document allows, and more (schemathesis)
	@$(BIN)/pytest tests/integration/http/test_conformance.py --all-versions --timeout=1800

.PHONY: test-systemd
test-systemd: setup ## The service under a real systemd: upgraded, killed, frozen, rebooted with jobs under way
	@$(BIN)/pytest -v tests/acceptance/test_service.py --all-versions --timeout=600

.PHONY: test-gradio-minors
test-gradio-minors: setup ## Minor versions of Gradio from 3.35 on: each installed, started, called; VERSIONS="5.9.1" chooses
	@$(BIN)/python -m tests.minors.try_minors $(VERSIONS)

.PHONY: test-foreign
test-foreign: setup ## Apps that others wrote: DIR=… holds a folder for each row of tests/foreign/apps.yaml
	@$(BIN)/python -m tests.foreign.try_foreign $(DIR)

.PHONY: test-engines
test-engines: setup test-tools ## Suites on Docker Engine 20.10 to 28 and Podman; ENGINE="28 podman" SUITES="hostile disk" choose
	@$(BIN)/python -m tests.engines.matrix --engines $(ENGINE) --suites $(SUITES)

.PHONY: test-pythons
test-pythons: setup test-tools ## Unit and queue tests on Python 3.11 to 3.14, and on Redis and Valkey of Debian
	@$(BIN)/python -m tests.engines.pythons

.PHONY: test-bare
test-bare: setup ## make demo in bare Debian 12 and 13, without Docker, pip or venv
	@for system in bookworm trixie; do tests/engines/bare-demo.sh $$system || exit 1; done

.PHONY: test-compose
test-compose: setup ## deploy/compose: the daemon's image, a queue and two hosts, one of them killed; after make dist
	@tests/engines/compose.sh

.PHONY: test-tools
test-tools:
	@deploy/test-tools.sh

.PHONY: faults
faults: setup test-tools ## What goes wrong, tried again and again: writes docs/reliability.md; ROWS="1 3.slow" TRIALS=5 choose
	@$(BIN)/python -m tests.faults $(ROWS) $(if $(TRIALS),--trials $(TRIALS))

.PHONY: bench
bench: setup ## The queue beside arq, streaq, SAQ and taskiq: writes docs/benchmarks.md in under ten minutes
	@$(BIN)/python -m tests.benchmarks.queues.bench

.PHONY: bench-adapter
bench-adapter: setup ## A call by HTTP alone, by the adapter, by gradio_client, on six versions of Gradio
	@$(BIN)/python -m tests.benchmarks.bench_adapter

.PHONY: bench-pool
bench-pool: setup ## Interleaved prompts beside `docker run` for each, and what warm and paused calls cost
	@$(BIN)/python -m tests.benchmarks.bench_pool

.PHONY: bench-hostile
bench-hostile: setup ## What a Space that answers to keep its reader busy costs the others
	@$(BIN)/python -m tests.benchmarks.bench_hostile

.PHONY: bench-registry
bench-registry: setup ## Ten thousand Spaces: list, search, recommend
	@$(BIN)/python -m tests.benchmarks.bench_registry

.PHONY: bench-http
bench-http: setup ## What the HTTP door adds to a job, alone and with 1,000 connections that wait
	@$(BIN)/python -m tests.benchmarks.bench_http

.PHONY: bench-batch
bench-batch: setup ## A batch of a million lines: what the client and the queue's server hold; LINES=… tries fewer
	@$(BIN)/python -m tests.benchmarks.bench_batch

.PHONY: bench-pipeline
bench-pipeline: setup ## What a pipeline's step costs beside the same job, and whether 1,000 items keep a host busy
	@$(BIN)/python -m tests.benchmarks.bench_pipeline

.PHONY: bench-idle
bench-idle: setup ## What an idle host takes with 10,000 jobs queued: memory, CPU, and the time to its start
	@$(BIN)/python -m tests.benchmarks.bench_idle

.PHONY: clean
clean: ## Remove the virtual environment and caches
	@rm -rf .venv dist site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
