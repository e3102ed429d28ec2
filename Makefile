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

.PHONY: check
check: lint test-tools ## lint, and the tests that need no Docker Engine
	@$(BIN)/pytest -q -n 2 tests/unit tests/routing

.PHONY: test
test: setup test-tools ## Everything: lint, unit, integration and acceptance tests on the real engine
	@tests/all.sh

.PHONY: test-full
test-full: setup ## Every test Space on every Gradio (writes docs/compatibility.md); 50 kills of a worker
	@$(BIN)/pytest tests/compat tests/acceptance/test_kills.py --all-versions --timeout=1200

.PHONY: test-tools
test-tools:
	@deploy/test-tools.sh

.PHONY: bench-queue
bench-queue: setup ## Submit to result, bulk submission, jobs per second
	@$(BIN)/python -m tests.benchmarks.bench_queue

.PHONY: bench-adapter
bench-adapter: setup ## A call by HTTP alone, by the adapter, by gradio_client, on six versions of Gradio
	@$(BIN)/python -m tests.benchmarks.bench_adapter

.PHONY: bench-pool
bench-pool: setup ## Interleaved prompts beside `docker run` for each, and what warm and paused calls cost
	@$(BIN)/python -m tests.benchmarks.bench_pool

.PHONY: bench-registry
bench-registry: setup ## Ten thousand Spaces: list, search, recommend
	@$(BIN)/python -m tests.benchmarks.bench_registry

.PHONY: clean
clean: ## Remove the virtual environment and caches
	@rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
